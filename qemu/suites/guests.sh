#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off
# Programs in the kernel do what their native twins do.
. /suites/ktap.sh

cd /tmp || exit
seq 1 20000 >numbers
head -c 1048576 /dev/urandom >random
: >empty
printf 'no newline at the end' >line

# twin NAME INPUT [ARG]...: the same output and status in the kernel and natively.
twin() {
    name=$1 input=$2
    shift 2
    kwasmi run --inherit-env "/guests/$name.wasm" "$@" <"$input" >guest.out 2>guest.err
    guest=$?
    (exec -a "$name.wasm" "/guests/native/$name" "$@") <"$input" >native.out 2>native.err
    equal "$?" "$guest" && cmp native.out guest.out && cmp native.err guest.err
}
# at_once N: N guests at the same time, each with its own input and output.
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
# A directory of 10,000 files, listed by a guest, has the names that it has.
lists() {
    mkdir many && (cd many && seq 10000 | sed 's/^/a file called /' | tr '\n' '\0' | xargs -0 touch) || return
    kwasmi run --dir many::/d /guests/ls-c.wasm /d | sort >listed
    ls -a many | sort >there
    equal 10002 "$(wc -l <there | tr -d ' ')" && cmp there listed
}
# copied OPTION...: a guest with this option finds the file on its standard input.
copied() { kwasmi run "$@" /guests/cat-c.wasm | cmp numbers; }
at_the_guests_place() {
    mkdir -p place/deep && cp numbers place/deep/file
    kwasmi run --dir place/deep::/somewhere/else /guests/ls-c.wasm /somewhere/else | sort >listed
    printf '.\n..\nfile\n' | cmp - listed
}
in_a_pipe() { equal "$(md5sum <random)" "$(cat random | kwasmi run /guests/cat-c.wasm | kwasmi run /guests/cat-rust.wasm | cat | md5sum)"; }
# to_nobody OPTION...: the end of a guest whose output nobody reads, and what the command and the guest say, in err.
to_nobody() { { kwasmi run --stats "$@" /guests/cat-rust.wasm </dev/zero 2>err; echo $? >ended; } | head -c 1 | wc -c | tr -d ' ' >bytes_read; }
# The guest is told, says so, and ends by itself.
head_closes_early() {
    to_nobody
    equal 1 "$(cat bytes_read)" && equal 1 "$(cat ended)" && grep -q "cannot write" err && grep -q "fuel " err || { cat ended err; return 1; }
}
# It ends as a filter does, without a word of its own.
head_kills_early() {
    to_nobody --sigpipe
    equal 1 "$(cat bytes_read)" && equal 141 "$(cat ended)" && equal 1 "$(grep -c "" err)" && grep -q "fuel " err ||
        { cat ended err; return 1; }
}
# status WANTED ARG...: the status of `kwasmi run`, and that it says why in one line.
status() {
    wanted=$1
    shift
    kwasmi run "$@" >out 2>err
    equal "$wanted" $? || { cat err; return 1; }
    equal 1 "$(wc -l <err | tr -d ' ')"
}
# silent WANTED ARG...: the same, but there is nothing to say.
silent() {
    wanted=$1
    shift
    kwasmi run "$@" >out 2>err
    equal "$wanted" $? && equal "" "$(cat err)"
}
# says WANTED LINE ARG...: the status of `kwasmi run`, and the line that it says.
says() {
    wanted=$1 line=$2
    shift 2
    kwasmi run "$@" >out 2>err
    equal "$wanted" $? && equal "kwasmi: $line" "$(cat err)"
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
# json STATUS ENDED ARG...: the line of JSON that `kwasmi run -j` ends with.
json() {
    wanted=$1 ended=$2
    shift 2
    kwasmi run -j "$@" >out 2>err
    equal "$wanted" $? || { cat err; return 1; }
    tail -n 1 err | grep -q "^{\"file\":.*\"ended\":\"$ended\",\"exit_status\":$wanted,.*}\$" || { cat err; return 1; }
    # At most the reason before it.
    [ "$(wc -l <err)" -le 2 ]
}
# stats STATUS ARG...: what `kwasmi run --stats` says at the end.
stats() {
    wanted=$1
    shift
    kwasmi run --stats "$@" >out 2>err
    equal "$wanted" $? && tail -n 1 err | grep -q ': fuel [0-9]*, memory peak ' || { cat err; return 1; }
}
# ended_by SIGNAL NUMBER OPTION WORDS PROGRAM INPUT: a signal ends the guest, and then it is said what that took.
ended_by() {
    kwasmi run "$3" "$5" <"$6" 2>err &
    sleep 0.5
    kill "-$1" $!
    wait $! 2>/dev/null
    equal $((128 + $2)) $? && grep -q "$4" err && equal 2 "$(wc -l <err | tr -d ' ')" || { cat err; return 1; }
}
killed() {
    kwasmi run "$2" <"$3" &
    sleep 0.5
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
    check "hello in $language" twin hello-$language empty
    check "hello in $language with arguments" twin hello-$language empty one 'two words' '' ünïcode
    check "cat in $language" twin cat-$language numbers
    check "cat in $language of 1 MiB of random bytes" twin cat-$language random
    check "cat in $language of nothing" twin cat-$language empty
    check "wc in $language" twin wc-$language numbers
    check "wc in $language of a line without end" twin wc-$language line
    check "wc in $language of random bytes" twin wc-$language random
    check "primes in $language" twin primes-$language empty 2000
    check "primes in $language of what is not a number" twin primes-$language empty many
done
check "a module of several megabytes" twin big empty
check "a directory of 10,000 files" lists
check "a directory under another name" at_the_guests_place
check "standard input from a file" copied --stdin numbers
check "a directory that is not there" status 127 --dir nowhere /guests/ls-c.wasm /
check "a directory that is a file" says 125 'numbers: Not a directory' --dir numbers /guests/ls-c.wasm /
check "a directory in a file" status 127 --dir numbers/x /guests/ls-c.wasm /
check "one colon for two" says 127 '/tmp:/d: No such file or directory (two colons separate HOST::GUEST)' --dir /tmp:/d \
    /guests/ls-c.wasm /
check "two directories of one name" says 125 '/d/: two directories have this name for the guest: many and place' \
    --dir many::/d --dir place::/d/ /guests/ls-c.wasm /d
check "a directory that can be written, and says so" silent 0 --dir place::/d:rw /guests/ls-c.wasm /d
check "standard input from a directory" says 125 'place: Is a directory' --stdin place /guests/cat-c.wasm
check "a program that is a directory" says 126 'place: a directory, not a WebAssembly module' place
check "an address in use" says 125 '127.0.0.1:4099: Address already in use' --tcp-listen 127.0.0.1:4099 \
    --tcp-listen 127.0.0.1:4099 /guests/hello-c.wasm
check "a descriptor that is not open" status 125 --fd 99 /guests/ls-c.wasm /
check "1 MiB through two guests and two pipes" in_a_pipe
check "a reader that closes early" head_closes_early
check "a reader that closes early, with --sigpipe" head_kills_early
check "two guests at once" at_once 2
check "eight guests at once" at_once 8
fixtures=/guests/fixtures
check "a program on standard input" from_input
check "text without the name of one" text_in_wasm
check "components" component
check "an exit status" silent 42 $fixtures/exit-42.wat
check "a minimal program" silent 0 $fixtures/minimal.wat
for trap in unreachable start-trap divide-by-zero load-out-of-bounds indirect-type; do
    check "a trap: $trap" status 134 $fixtures/$trap.wat
done
for program in if-without-else local-below-parameter loop-parameter br-table select; do
    check "values keep what they are where control meets: $program" silent 0 $fixtures/control-$program.wat
done
check "a local is stored at its own address" silent 0 $fixtures/store-own-address.wat
check "a limit on fuel" status 124 --fuel 1000000 $fixtures/loop.wat
check "a limit on fuel in a start function" status 124 --fuel 1000000 $fixtures/start-loop.wat
check "a limit on time" status 124 --timeout 300ms $fixtures/loop.wat
check "a limit on CPU time" status 124 --cpu-time 100ms $fixtures/loop.wat
check "a limit on the stack" status 124 --stack 64K $fixtures/recursion.wat
check "a limit on memory" status 124 --memory 1M $fixtures/grow.wat
check "a limit on functions" status 124 --functions 1 /guests/hello-c.wasm
check "a limit is named, with its value and where the guest was" names_limit
check "a value below the least" says 125 \
    "/guests/hello-c.wasm: stack: requested 1024, least 4096, greatest 16777216" --stack 1K /guests/hello-c.wasm
check "a value above the ceiling" says 124 \
    "/guests/hello-c.wasm: limit reached: memory 1G (memory: requested 2147483648, least 1, greatest 1073741824)" \
    --memory 2G /guests/hello-c.wasm
check "a module that is too large" says 124 \
    "/guests/hello-c.wasm: limit reached: module-size 100 bytes (module-size: requested $(stat -c %s /guests/hello-c.wasm), limit 100)" \
    --module-size 100 /guests/hello-c.wasm
check "a fraction of a second" status 124 --timeout 0.3s $fixtures/loop.wat
check "the limits are told" sh -c 'kwasmi limits | grep -q "^memory  *256M  *1G  linear memory$"'
check "missing imports" status 126 $fixtures/missing-imports.wat
check "an import of another type" status 126 $fixtures/import-type.wat
check "no entry" status 126 $fixtures/no-entry.wat
check "no Wasm" status 126 numbers
check "an empty file" status 126 empty
check "no file" status 127 /no/such/file
check "a sleep" silent 0 $fixtures/sleep.wat
check "SIGKILL in a computation" killed 9 $fixtures/loop.wat empty
check "SIGTERM in a computation" killed 15 $fixtures/loop.wat empty
mkfifo fifo
sleep 100 >fifo &
check "SIGKILL in a read that waits" killed 9 /guests/cat-rust.wasm fifo
check "SIGTERM in a read that waits" killed 15 /guests/cat-c.wasm fifo
kill %1 2>/dev/null
check "JSON of an exit" json 42 exited $fixtures/exit-42.wat
check "JSON of a trap" json 134 trapped $fixtures/unreachable.wat
check "JSON of a limit" json 124 limited --fuel 1000000 $fixtures/loop.wat
check "JSON of a limit before the start" json 124 limited --functions 1 /guests/hello-c.wasm
check "JSON of a refusal" json 126 refused $fixtures/no-entry.wat
check "JSON of no program at all" json 126 refused numbers
check "JSON of text that is wrong" json 126 refused component.wat
check "JSON of no file" json 127 not-found /no/such/file
check "JSON of a directory that is a file" json 125 failed --dir numbers $fixtures/exit-42.wat
check "JSON of a value that cannot be" json 125 failed --stack 1K $fixtures/exit-42.wat
check "statistics of an exit" stats 42 $fixtures/exit-42.wat
check "statistics of a trap" stats 134 $fixtures/unreachable.wat
check "statistics of a limit" stats 124 --fuel 1000000 $fixtures/loop.wat
check "statistics of SIGTERM" ended_by TERM 15 --stats ': fuel [1-9]' $fixtures/loop.wat empty
check "JSON of SIGTERM" ended_by TERM 15 -j '"ended":"killed","exit_status":143,' $fixtures/loop.wat empty
mkfifo waits
sleep 100 >waits &
writer=$!
check "JSON of SIGHUP in a read that waits" ended_by HUP 1 -j '"ended":"killed","exit_status":129,' /guests/cat-c.wasm waits
kill $writer 2>/dev/null
check "nothing is held afterwards" nothing_held
finish
