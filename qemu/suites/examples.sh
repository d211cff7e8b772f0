#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off
# not on the debug kernel: it tests the guests
# The guests of examples/ do in the kernel what their comments say.
. /suites/ktap.sh

cd /tmp || exit
examples=/guests/examples

# 2,500 lines of 5 bytes are 12 files of 200 lines and one of 100. The second run continues with the
# files of the first one.
log_rotates() {
    mkdir log && seq 1001 3500 >lines && [ "$(wc -c <lines)" = 12500 ] || return
    head -n 1250 lines | kwasmi run --dir log::/log $examples/rotate.wasm /log/out 1000 2 || return
    tail -n 1250 lines | kwasmi run --dir log::/log $examples/rotate.wasm /log/out 1000 2 || return
    equal "out out.1 out.2" "$(cd log && echo *)" || return
    seq 3401 3500 | cmp - log/out && seq 3201 3400 | cmp - log/out.1 && seq 3001 3200 | cmp - log/out.2
}
log_keeps_long_line() {
    mkdir long && { seq 5; seq -s ' ' 1000; printf end; } >lines || return
    kwasmi run --dir long::/log $examples/rotate.wasm /log/out 100 9 <lines || return
    equal "out out.1 out.2" "$(cd long && echo *)" && cat long/out.2 long/out.1 long/out | cmp - lines
}
log_outside() {
    kwasmi run --dir log::/log:ro $examples/rotate.wasm /log/out 1000 2 <lines 2>err
    equal 1 $? && grep -q '^Error: .*Capabilities insufficient' err || { cat err; return 1; }
}

# get NUMBER: writes the answer to an HTTP request to the file answer.NUMBER.
get() { wget -q -T 60 -O "answer.$1" http://127.0.0.1:9100/metrics; }
# Three requests get all fields, and the values that do not change. A client that ends its connection
# without a request does not end the guest.
meminfo_answers() {
    kwasmi run --dir /proc::/proc:ro --tcp-listen 127.0.0.1:9100 $examples/meminfo.wasm &
    server=$!
    guest_runs && get 1 && nc 127.0.0.1 9100 </dev/null >nothing && get 2 && get 3
    status=$?
    kill $server
    wait $server
    equal 143 $? && equal 0 $status || return
    sed 's/^\([^:]*\): *\([0-9]*\).*/meminfo{field="\1"} \2/' /proc/meminfo >expected
    [ "$(wc -l <expected)" -gt 30 ] || return
    for n in 1 2 3; do
        sed 's/ [0-9]*$//' expected >names
        sed 's/ [0-9]*$//' "answer.$n" | cmp - names || return
        grep -E '"(MemTotal|VmallocTotal|Hugepagesize)"' expected >constant
        grep -E '"(MemTotal|VmallocTotal|Hugepagesize)"' "answer.$n" | cmp - constant || return
    done
    equal 3 "$(wc -l <constant)"
}

# 300 processes, whose files are read in three host calls, or more with the system's own processes.
resident_of_300() {
    pids=
    for _ in $(seq 300); do
        sleep 1000 &
        pids="$pids $!"
    done
    # Each process has its own memory once it is past exec.
    for pid in $pids; do
        until grep -qx sleep "/proc/$pid/comm"; do sleep 0.1; done
    done
    kwasmi run --dir /proc::/proc:ro $examples/resident.wasm >printed
    status=$?
    for pid in $pids; do
        awk -v OFS=' ' '/^Name:/ { name = $2 } /^VmRSS:/ { kib = $2 } /^Pid:/ { pid = $2 } END { printf "%8d %7d %s\n", kib, pid, name }' "/proc/$pid/status"
    done | sort >expected
    # shellcheck disable=SC2086 # a list
    kill $pids
    equal 0 $status && equal 300 "$(grep -c ' sleep$' printed)" && grep ' sleep$' printed | sort | cmp - expected &&
        grep -q ' 1 ' printed
}
resident_needs_proc() {
    mkdir -p empty && kwasmi run --dir empty::/nothing $examples/resident.wasm >printed
    equal 1 $? && equal "" "$(cat printed)"
}

# Words of two texts, the second one longer than a buffer of the guest and without an end of line.
words_of_callers() {
    cat /suites/services.sh >two && printf 'the last word' >>two && kwasmi spawn words $examples/words.wasm || return
    for text in /suites/examples.sh two; do
        tr -cs '[:alnum:]' '\n' <$text | tr '[:upper:]' '[:lower:]' | cut -c 1-31 | sed '/^$/d' >"$(basename $text).words"
        equal "$(wc -l <"$(basename $text).words" | tr -d ' ')" "$(kwasmi call --input $text words add)" || return
    done
    sort examples.sh.words two.words | uniq -c | awk '{ print $1, $2 }' | sort -k1,1nr -k2 | head -n 50 >expected
    kwasmi call --output printed words most 50 >lines && equal 50 "$(cat lines)" && cmp expected printed && kwasmi stop words
}

check "rotate keeps lines in files of bounded size, and continues with them" log_rotates
check "rotate neither splits a long line nor loses the last one" log_keeps_long_line
check "rotate cannot write to a folder that it was handed for reading" log_outside
check "meminfo answers requests with the fields of /proc/meminfo" meminfo_answers
check "resident prints the memory of 300 processes" resident_of_300
check "resident fails without /proc" resident_needs_proc
check "words counts the words of several callers" words_of_callers
finish
