#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off
# not on the debug kernel: it takes minutes there
# Guests in the kernel behave as their native twins do. The command reports limits, refusals and
# signals.
. /suites/ktap.sh

cd /tmp || exit
seq 1 20000 >numbers
head -c 1048576 /dev/urandom >random
: >empty
printf 'no newline at the end' >line

# twin NAME INPUT [ARG]...: checks that output and status are the same in the kernel and natively.
twin() {
    name=$1 input=$2
    shift 2
    kwasmi run --inherit-env "/guests/$name.wasm" "$@" <"$input" >guest.out 2>guest.err
    guest=$?
    (exec -a "$name.wasm" "/guests/native/$name" "$@") <"$input" >native.out 2>native.err
    equal "$?" "$guest" && cmp native.out guest.out && cmp native.err guest.err
}
# at_once N: runs N guests at the same time, each with its own input and output.
at_once() {
    pids=
    for n in $(seq "$1"); do
        seq "$n" "$((n * 3000))" >"in.$n"
        kwasmi run /guests/cat-rust.wasm <"in.$n" >"out.$n" &
        pids="$pids $!"
    done
    for pid in $pids; do
        wait "$pid" || return
    done
    for n in $(seq "$1"); do
        cmp "in.$n" "out.$n" || return
    done
}
# Checks that a guest lists all names of a directory with 10,000 files.
lists() {
    mkdir many && (cd many && seq 10000 | sed 's/^/a file called /' | tr '\n' '\0' | xargs -0 touch) || return
    kwasmi run --dir many::/d /guests/ls-c.wasm /d | sort >listed
    ls -a many | sort >there
    equal 10002 "$(wc -l <there | tr -d ' ')" && cmp there listed
}
# copied OPTION...: checks that a guest with this option reads the file on its standard input.
copied() { kwasmi run "$@" /guests/cat-c.wasm | cmp numbers; }
at_the_guests_place() {
    mkdir -p place/deep && cp numbers place/deep/file
    kwasmi run --dir place/deep::/somewhere/else /guests/ls-c.wasm /somewhere/else | sort >listed
    printf '.\n..\nfile\n' | cmp - listed
}
in_a_pipe() { equal "$(md5sum <random)" "$(cat random | kwasmi run /guests/cat-c.wasm | kwasmi run /guests/cat-rust.wasm | cat | md5sum)"; }
# to_nobody OPTION...: runs a guest whose output is closed early. Leaves its status in `ended`,
# standard error in `err`.
to_nobody() { { kwasmi run --stats "$@" /guests/cat-rust.wasm </dev/zero 2>err; echo $? >ended; } | head -c 1 | wc -c | tr -d ' ' >bytes_read; }
# The guest gets an error, reports it, and exits.
head_closes_early() {
    to_nobody
    equal 1 "$(cat bytes_read)" && equal 1 "$(cat ended)" && grep -q "cannot write" err && grep -q "fuel " err || { cat ended err; return 1; }
}
# The guest is ended by SIGPIPE, without a message.
head_kills_early() {
    to_nobody --sigpipe
    equal 1 "$(cat bytes_read)" && equal 141 "$(cat ended)" && equal 1 "$(grep -c "" err)" && grep -q "fuel " err ||
        { cat ended err; return 1; }
}
# status EXPECTED ARG...: checks the status of `kwasmi run`, and that it gives the reason in one line.
status() {
    expected=$1
    shift
    kwasmi run "$@" >out 2>err
    equal "$expected" $? || { cat err; return 1; }
    equal 1 "$(wc -l <err | tr -d ' ')"
}
# silent EXPECTED ARG...: checks the status of `kwasmi run`, and that it prints nothing on standard
# error.
silent() {
    expected=$1
    shift
    kwasmi run "$@" >out 2>err
    equal "$expected" $? && equal "" "$(cat err)"
}
# says EXPECTED LINE ARG...: checks the status of `kwasmi run` and its line on standard error.
says() {
    expected=$1 line=$2
    shift 2
    kwasmi run "$@" >out 2>err
    equal "$expected" $? && equal "kwasmi: $line" "$(cat err)"
}
from_input() {
    kwasmi run - one <$fixtures/exit-42.wat 2>err
    equal 42 $? && equal "" "$(cat err)" || return
    equal "$(kwasmi run /guests/hello-c.wasm one | sed 's/hello-c.wasm/-/')" "$(kwasmi run - one </guests/hello-c.wasm)" || return
    cat /guests/cat-c.wasm | kwasmi run --stdin numbers - | cmp numbers
}
text_in_wasm() {
    cp $fixtures/exit-42.wat text.wasm
    silent 42 text.wasm
}
component() {
    words='this is a WebAssembly component; kwasmi runs core modules of WASI preview 1'
    printf '(component)' >component.wat && cp component.wat component-text.wasm
    printf '\0asm\r\0\1\0' >component.wasm && cp component.wasm component-binary.wat
    for file in component.wat component-text.wasm component.wasm component-binary.wat; do
        says 126 "$file: $words" "$file" || return
    done
}
# json STATUS ENDED ARG...: checks the line of JSON at the end of `kwasmi run -j`.
json() {
    expected=$1 ended=$2
    shift 2
    kwasmi run -j "$@" >out 2>err
    equal "$expected" $? || { cat err; return 1; }
    tail -n 1 err | grep -q "^{\"file\":.*\"ended\":\"$ended\",\"exit_status\":$expected,.*}\$" || { cat err; return 1; }
    # At most one line, the reason, precedes it.
    [ "$(wc -l <err)" -le 2 ]
}
# stats STATUS ARG...: checks the line at the end of `kwasmi run --stats`.
stats() {
    expected=$1
    shift
    kwasmi run --stats "$@" >out 2>err
    equal "$expected" $? && tail -n 1 err | grep -qE ': ((compiled|interpreted.*), )?fuel [0-9]*, memory peak ' || { cat err; return 1; }
}
# ended_by SIGNAL NUMBER OPTION WORDS PROGRAM INPUT: checks that a signal ends the guest, and that
# statistics follow.
ended_by() {
    kwasmi run "$3" "$5" <"$6" 2>err &
    guest_runs || return
    kill "-$1" $!
    wait $! 2>/dev/null
    equal $((128 + $2)) $? && grep -q "$4" err && equal 2 "$(wc -l <err | tr -d ' ')" || { cat err; return 1; }
}
killed() {
    kwasmi run "$2" <"$3" &
    guest_runs || return
    kill "-$1" $!
    wait $! 2>/dev/null
    equal $((128 + $1)) $?
}
names_limit() {
    kwasmi run --fuel 1000000 $fixtures/loop.wat 2>err
    equal "kwasmi: $fixtures/loop.wat: limit reached: fuel 1000000 (in _start, before any host call)" "$(cat err)"
}
nothing_held() {
    sleep 1
    kwasmi status >out
    grep -qx 'modules: 0' out && grep -qx 'instances: 0' out && grep -qx 'heap: 0 bytes in 0 blocks' out ||
        { cat out; return 1; }
}

for language in rust c; do
    check "hello in $language behaves as its twin" twin hello-$language empty
    check "hello in $language with arguments behaves as its twin" twin hello-$language empty one 'two words' '' ünïcode
    check "cat in $language copies lines" twin cat-$language numbers
    check "cat in $language copies 1 MiB of random bytes" twin cat-$language random
    check "cat in $language copies an empty input" twin cat-$language empty
    check "wc in $language counts lines" twin wc-$language numbers
    check "wc in $language counts a line without a newline" twin wc-$language line
    check "wc in $language counts random bytes" twin wc-$language random
    check "primes in $language behaves as its twin" twin primes-$language empty 2000
    check "primes in $language rejects an argument that is not a number" twin primes-$language empty many
done
check "a module of several megabytes behaves as its twin" twin big empty
check "a guest lists a directory of 10,000 files" lists
check "a preopen can have another name in the guest" at_the_guests_place
check "--stdin reads standard input from a file" copied --stdin numbers
check "--dir of a missing directory fails with 127" status 127 --dir nowhere /guests/ls-c.wasm /
check "--dir of a file fails with 125" says 125 'numbers: Not a directory' --dir numbers /guests/ls-c.wasm /
check "--dir of a path below a file fails with 127" status 127 --dir numbers/x /guests/ls-c.wasm /
check "--dir with one colon instead of two is explained" says 127 '/tmp:/d: No such file or directory (two colons separate HOST::GUEST)' --dir /tmp:/d \
    /guests/ls-c.wasm /
check "two preopens with the same name are refused" says 125 '/d/: two directories have this name for the guest: many and place' \
    --dir many::/d --dir place::/d/ /guests/ls-c.wasm /d
check "--dir accepts :rw" silent 0 --dir place::/d:rw /guests/ls-c.wasm /d
check "--stdin of a directory fails with 125" says 125 'place: Is a directory' --stdin place /guests/cat-c.wasm
check "a directory as the program is refused" says 126 'place: a directory, not a WebAssembly module' place
check "--tcp-listen on an address in use fails with 125" says 125 '127.0.0.1:4099: Address already in use' --tcp-listen 127.0.0.1:4099 \
    --tcp-listen 127.0.0.1:4099 /guests/hello-c.wasm
check "--fd of a closed descriptor fails with 125" status 125 --fd 99 /guests/ls-c.wasm /
check "1 MiB passes through two guests and their pipes" in_a_pipe
check "a guest whose reader closes early gets an error" head_closes_early
check "with --sigpipe a guest whose reader closes early is ended" head_kills_early
check "two guests run at the same time" at_once 2
check "eight guests run at the same time" at_once 8
fixtures=/guests/fixtures
check "a program on standard input runs" from_input
check "a program in text format runs whatever its file name" text_in_wasm
check "components are refused with a reason" component
check "the exit status is the guest's" silent 42 $fixtures/exit-42.wat
check "a program that uses SIMD runs" silent 136 $fixtures/simd.wat
check "a minimal program runs" silent 0 $fixtures/minimal.wat
for trap in unreachable start-trap divide-by-zero load-out-of-bounds indirect-type; do
    check "a trap ends with 134: $trap" status 134 $fixtures/$trap.wat
done
for program in if-without-else local-below-parameter loop-parameter br-table select; do
    check "values are kept where control flow joins: $program" silent 0 $fixtures/control-$program.wat
done
check "a store of a local at the address in the same local works" silent 0 $fixtures/store-own-address.wat
check "--fuel limits a loop" status 124 --fuel 1000000 $fixtures/loop.wat
check "--fuel limits a start function" status 124 --fuel 1000000 $fixtures/start-loop.wat
check "--timeout limits a loop" status 124 --timeout 300ms $fixtures/loop.wat
check "--cpu-time limits a loop" status 124 --cpu-time 100ms $fixtures/loop.wat
check "--stack limits a recursion" status 124 --stack 64K $fixtures/recursion.wat
check "--memory limits a growing memory" status 124 --memory 1M $fixtures/grow.wat
check "--functions limits a module" status 124 --functions 1 /guests/hello-c.wasm
check "the message names the limit, its value and where the guest was" names_limit
check "a value below the minimum is refused with both" says 125 \
    "/guests/hello-c.wasm: stack: requested 1024, least 4096, greatest 16777216" --stack 1K /guests/hello-c.wasm
check "a value above the ceiling is refused with both" says 124 \
    "/guests/hello-c.wasm: limit reached: memory 4G (memory: requested 5368709120, least 1, greatest 4294967296)" \
    --memory 5G /guests/hello-c.wasm
check "a module that is too large is refused with both sizes" says 124 \
    "/guests/hello-c.wasm: limit reached: module-size 100 bytes (module-size: requested $(stat -c %s /guests/hello-c.wasm), limit 100)" \
    --module-size 100 /guests/hello-c.wasm
check "--timeout accepts a fraction of a second" status 124 --timeout 0.3s $fixtures/loop.wat
check "kwasmi limits lists default and ceiling" sh -c 'kwasmi limits | grep -q "^memory  *256M  *4G  linear memory$"'
check "missing imports are refused" status 126 $fixtures/missing-imports.wat
check "an import of another type is refused" status 126 $fixtures/import-type.wat
# calls EXPECTED TEXT ARG...: checks the status and the standard output of `kwasmi run --invoke`.
calls() {
    expected=$1 text=$2
    shift 2
    kwasmi run --invoke "$@" >out 2>err
    equal "$expected" $? && equal "$text" "$(cat out)" || { cat err; return 1; }
}
reactor=$fixtures/reactor.wat
check "a function of a reactor is called after its initialization" calls 0 142 add $reactor 40 2
check "--invoke takes negative and hexadecimal numbers" calls 0 99 add $reactor -17 0x10
check "--invoke prints each result on a line" calls 0 "-1.5
-1" divide $reactor 3 -2
check "--invoke returns the exit status of a function that exits" calls 7 "" exit $reactor 7
check "a trap in an invoked function ends with 134" calls 134 "" trap $reactor
check "--invoke calls a function of a program" calls 134 "" _start $fixtures/unreachable.wat
check "an unknown function is refused with the exports" says 125 \
    "$reactor: no function none is exported; exported are add, divide, exit, trap, vector" --invoke none $reactor
check "a wrong number of arguments is refused with both numbers" says 125 "$reactor: function add: 1 arguments given, 2 needed" \
    --invoke add $reactor 1
check "an argument that is no number is refused" says 125 "$reactor: function add: 'x' is not an i32" --invoke add $reactor 1 x
check "a vector cannot be passed" says 125 \
    "$reactor: function vector: a parameter or result has the type v128; only i32, i64, f32 and f64 can be passed" \
    --invoke vector $reactor 1
check "a reactor is refused without --invoke, with its exports" says 126 \
    "$reactor: no function _start is exported: a reactor, whose functions --invoke NAME calls: add, divide, exit, trap, vector" $reactor
check "-j reports an invoked function" json 0 exited --invoke add $reactor 1 2
check "a module without an entry point is refused" status 126 $fixtures/no-entry.wat
check "a file that is not Wasm is refused" status 126 numbers
check "an empty file is refused" status 126 empty
check "a missing file fails with 127" status 127 /no/such/file
check "a sleep ends" silent 0 $fixtures/sleep.wat
check "SIGKILL ends a guest that computes" killed 9 $fixtures/loop.wat empty
check "SIGTERM ends a guest that computes" killed 15 $fixtures/loop.wat empty
mkfifo fifo
sleep 100 >fifo &
check "SIGKILL ends a guest in a read that waits" killed 9 /guests/cat-rust.wasm fifo
check "SIGTERM ends a guest in a read that waits" killed 15 /guests/cat-c.wasm fifo
kill %1 2>/dev/null
check "-j reports an exit" json 42 exited $fixtures/exit-42.wat
check "-j reports a trap" json 134 trapped $fixtures/unreachable.wat
check "-j reports a limit" json 124 limited --fuel 1000000 $fixtures/loop.wat
check "-j reports a limit of the module" json 124 limited --functions 1 /guests/hello-c.wasm
check "-j reports a refusal" json 126 refused $fixtures/no-entry.wat
check "-j reports a file that is not Wasm" json 126 refused numbers
check "-j reports a component in text format" json 126 refused component.wat
check "-j reports a missing file" json 127 not-found /no/such/file
check "-j reports a failed --dir" json 125 failed --dir numbers $fixtures/exit-42.wat
check "-j reports a limit out of range" json 125 failed --stack 1K $fixtures/exit-42.wat
check "--stats reports an exit" stats 42 $fixtures/exit-42.wat
check "--stats reports a trap" stats 134 $fixtures/unreachable.wat
check "--stats reports a limit" stats 124 --fuel 1000000 $fixtures/loop.wat
check "--stats reports SIGTERM" ended_by TERM 15 --stats 'heap peak [1-9]' $fixtures/loop.wat empty
check "-j reports SIGTERM" ended_by TERM 15 -j '"ended":"killed","exit_status":143,' $fixtures/loop.wat empty
mkfifo waits
sleep 100 >waits &
writer=$!
check "-j reports SIGHUP in a read that waits" ended_by HUP 1 -j '"ended":"killed","exit_status":129,' /guests/cat-c.wasm waits
kill $writer 2>/dev/null
check "kwasmi holds nothing afterwards" nothing_held
finish
