#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off --env KWASMI_LOADS --env KWASMI_TEST_PERCENT
# options: --add target/x86_64-unknown-linux-gnu/release/kwasmi-spec kwasmi-spec
# Guests that run as machine code, made by the kernel's eBPF JIT. KWASMI_LOADS is the number of
# loads after which no machine code may be left.
. /suites/ktap.sh

cd /tmp || exit
fixtures=/guests/fixtures
head -c 1048576 /dev/urandom >random
loaded=/guests/hello-rust.wasm
loads=${KWASMI_LOADS:-40}
[ "${KWASMI_TEST_PERCENT:-100}" -ge 25 ] || loads=${KWASMI_LOADS:-10}
# Recursion without a loop: checkpoints are in the functions' entries.
cat >fibonacci.wat <<'EOF'
(module
    (func $fibonacci (param i32) (result i32)
        (if (result i32) (i32.lt_s (local.get 0) (i32.const 2))
            (then (local.get 0))
            (else (i32.add
                (call $fibonacci (i32.sub (local.get 0) (i32.const 1)))
                (call $fibonacci (i32.sub (local.get 0) (i32.const 2)))))))
    (func (export "_start") (drop (call $fibonacci (i32.const 60)))))
EOF

# Grows two memories page by page, and writes the number of each page to its start. Checks all
# pages, and that the rest of the last one is zero. Exit status 0 if they are right.
cat >pages.wat <<'EOF'
(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory $a (export "memory") 1)
    (memory $b 0)
    (func (export "_start") (local $page i32)
        (loop $grow
            (i32.store $a (i32.mul (local.get $page) (i32.const 65536)) (local.get $page))
            (local.set $page (i32.add (local.get $page) (i32.const 1)))
            (drop (memory.grow $b (i32.const 1)))
            (i64.store $b offset=65528 (i32.mul (i32.sub (local.get $page) (i32.const 1)) (i32.const 65536)) (i64.const -1))
            (drop (memory.grow $a (i32.const 1)))
            (br_if $grow (i32.lt_u (local.get $page) (i32.const 200))))
        (loop $check
            (local.set $page (i32.sub (local.get $page) (i32.const 1)))
            (if (i32.ne (i32.load $a (i32.mul (local.get $page) (i32.const 65536))) (local.get $page))
                (then (call $exit (i32.const 1))))
            (if (i64.ne (i64.load $b offset=65528 (i32.mul (local.get $page) (i32.const 65536))) (i64.const -1))
                (then (call $exit (i32.const 2))))
            (if (i64.ne (i64.load $b (i32.mul (local.get $page) (i32.const 65536))) (i64.const 0))
                (then (call $exit (i32.const 3))))
            (br_if $check (local.get $page)))
        (if (i32.ne (memory.size $a) (i32.const 201)) (then (call $exit (i32.const 4))))
        (if (i64.ne (i64.load $a (i32.const 13107200)) (i64.const 0)) (then (call $exit (i32.const 5))))))
EOF

# The JIT compiles each of 7,000 programs, which takes long on the debug kernel.
specification() {
    scripts=
    [ "${KWASMI_TEST_PERCENT:-100}" -ge 25 ] || scripts="v2/br_table v2/call_indirect v2/f32.wast v2/i64.wast v2/memory_grow exceptions/throw.wast"
    # shellcheck disable=SC2086 # several arguments
    /host/kwasmi-spec --compiled $scripts >spec && grep -q '^ok' spec || { grep -v '^ok' spec; return 1; }
}
# compiled FILE [ARG]...: checks that the module was compiled, by the run's statistics.
compiled() {
    kwasmi run -j "$@" </dev/null >/dev/null 2>err
    tail -n 1 err | grep -q '"compiled":true' || { cat err; return 1; }
}
# status STATUS [OPTION]... FILE: checks the exit status.
status() {
    expected=$1
    shift
    kwasmi run "$@" </dev/null
    equal "$expected" $?
}
primes() { equal "$(/guests/native/primes-rust 20000)" "$(kwasmi run /guests/primes-rust.wasm 20000)"; }
copies() { kwasmi run /guests/cat-rust.wasm <random | cmp random; }
# Fuel is counted by the interpreter.
fuel() {
    kwasmi run --fuel 1000000 $fixtures/loop.wat
    equal 124 $?
}
# killed SIGNAL: checks that the signal ends a loop.
# killed SIGNAL [FILE]: checks that a signal ends a guest.
killed() {
    kwasmi run "${2:-$fixtures/loop.wat}" &
    pid=$!
    guest_runs || return
    kill -s "$1" $pid
    wait $pid
    equal "$((128 + $(kill -l "$1")))" $?
}
# stopped FILE: checks that a guest stops, continues, and ends by SIGTERM.
stopped() {
    kwasmi run "$1" &
    pid=$!
    guest_runs || return
    kill -s STOP $pid
    sleep 0.3
    state=$(cut -d' ' -f3 /proc/$pid/stat)
    kill -s CONT $pid
    sleep 0.3
    kill -s TERM $pid
    wait $pid
    equal "T 143" "$state $?"
}
# at_once N: checks N guests that run at the same time.
at_once() {
    pids=
    for n in $(seq "$1"); do
        kwasmi run /guests/primes-c.wasm "$((n * 1000))" >"out.$n" &
        pids="$pids $!"
    done
    for pid in $pids; do
        wait "$pid" || return
    done
    for n in $(seq "$1"); do
        equal "$(/guests/native/primes-c "$((n * 1000))")" "$(cat "out.$n")" || return
    done
}
status_of_compiler() {
    : >out
    kwasmi load /guests/primes-c.wasm >out 2>err &
    pid=$!
    wait_for_load
    kwasmi status >status
    kill $pid
    wait $pid
    grep -q '^compiler: on, 1 programs compiled to [1-9][0-9]* bytes of machine code$' status || { cat status; return 1; }
}
no_jit() {
    echo 0 >/proc/sys/net/core/bpf_jit_enable || return
    kwasmi run -j /guests/hello-c.wasm >out 2>err
    code=$?
    echo 1 >/proc/sys/net/core/bpf_jit_enable
    equal "0 Hello from C!" "$code $(cat out)" && tail -n 1 err | grep -q '"compiled":false'
}
hardened() {
    echo 2 >/proc/sys/net/core/bpf_jit_harden || return
    compiled /guests/primes-c.wasm 1000 && primes
    code=$?
    echo 0 >/proc/sys/net/core/bpf_jit_harden
    return $code
}
# refuses STATUS REASON ARG...: checks how `kwasmi run` fails.
refuses() {
    expected=$1 reason=$2
    shift 2
    kwasmi run "$@" </dev/null 2>err
    equal "$expected" $? && grep -qF "$reason" err || { cat err; return 1; }
}
# interpreted REASON ARG...: checks that the module was not compiled, by the run's statistics.
interpreted() {
    reason=$1
    shift
    kwasmi run -j "$@" </dev/null >/dev/null 2>err
    tail -n 1 err | grep -qF "\"compiled\":false,\"interpreted_because\":\"$reason\"" || { cat err; return 1; }
}
without_jit_compiler_fails() {
    echo 0 >/proc/sys/net/core/bpf_jit_enable || return
    refuses 125 'cannot be compiled: ' --engine compiler /guests/hello-c.wasm
    code=$?
    echo 1 >/proc/sys/net/core/bpf_jit_enable
    return $code
}
# Waits until `kwasmi load`, whose standard output is the file `out`, has loaded its module.
wait_for_load() {
    for _ in $(seq 600); do
        [ ! -s out ] || return 0
        sleep 0.1
    done
    echo "the module is not loaded after a minute"
    return 1
}
simd_is_compiled() {
    kwasmi run -j --engine compiler $fixtures/simd.wat >out 2>err
    equal 136 $? && grep -qF '"compiled":true' err || { cat err; return 1; }
}
# A function whose locals do not fit into a frame.
printf '(module (func (export "_start") (local%s)))' "$(printf ' i64%.0s' $(seq 4096))" >locals.wat
large_frame_is_interpreted() {
    kwasmi run -j locals.wat >out 2>err
    equal 0 $? && grep -qF '"compiled":false,"interpreted_because":"too large for compiled code: frame of a function"' err ||
        { cat err; return 1; }
}
without_jit_load_tells() {
    echo 0 >/proc/sys/net/core/bpf_jit_enable || return
    : >out
    kwasmi load /guests/hello-c.wasm >out 2>err &
    wait_for_load
    kill $!
    wait $!
    echo 1 >/proc/sys/net/core/bpf_jit_enable
    grep -q '^kwasmi: /guests/hello-c.wasm: interpreted: the compiler does not support this kernel' err || { cat err; return 1; }
}
# A program with a custom section of 1 MiB.
{ head -c 8 /guests/hello-c.wasm && printf '\000\201\200\100\000' && head -c 1048576 /dev/zero &&
    tail -c +9 /guests/hello-c.wasm; } >large.wasm
large_is_shared() {
    : >out
    kwasmi load large.wasm >out 2>err &
    pid=$!
    wait_for_load
    compiled large.wasm
    code=$?
    kill $pid
    wait $pid
    return $code
}
dump() {
    kwasmi dump /guests/hello-c.wasm _start >out && head -n 1 out | grep -q '^_start: .* eBPF instructions$' &&
        grep -q ' push rbp$' out || { cat out; return 1; }
}
dump_of_nothing() {
    kwasmi dump /guests/hello-c.wasm nothing 2>err
    equal 125 $? && grep -qF "defines no function 'nothing'" err || { cat err; return 1; }
}
# Bytes of memory for machine code, which the kernel's JIT takes in packs of 2 MiB.
machine_code() { awk '/execmem/ { bytes += $2 } END { print bytes }' /proc/vmallocinfo; }
# The status is that of the limit at any size of the stack, so host calls have room below the limit.
host_calls_in_recursion() {
    mkdir -p dir/a
    for stack in 4K 4104 4112 4120 16K 64K; do
        kwasmi run --stack $stack --dir dir::/ $fixtures/recursion-host-calls.wat >/dev/null 2>err
        equal 124 $? && grep -q 'stack' err || { cat err; return 1; }
    done
}
# loads N SIGNAL: loads a module N times, ends the loader after 0 to 0.7 seconds, and checks that
# the machine code is freed. Without that, each four loads would take another pack. The kernel's
# cache of executable memory may keep one pack for later use, if the address is not a multiple of 2
# MiB (execmem_cache_clean in mm/execmem.c).
loads() {
    before=$(machine_code)
    for n in $(seq "$1"); do
        kwasmi load "$loaded" >out 2>err &
        pid=$!
        sleep "0.$((n % 8))"
        kill -s "$2" $pid
        wait $pid
    done
    # The kernel frees machine code in work items.
    for _ in $(seq 600); do
        [ "$(machine_code)" -gt $((before + 2097152 + 4096)) ] || return 0
        sleep 0.2
    done
    echo "bytes for machine code: $before before, $(machine_code) after"
    return 1
}
# Checks that a memory is never held twice while it grows, nor more than an eighth too much. 8 MiB
# are for the command and its module.
grows_in_place() {
    group=/sys/fs/cgroup/kwasmi-test
    echo +memory >/sys/fs/cgroup/cgroup.subtree_control
    mkdir $group
    sh -c "echo \$\$ >$group/cgroup.procs; exec kwasmi run --memory 48M $fixtures/grow.wat"
    peak=$(cat $group/memory.peak)
    echo "peak: $peak bytes"
    [ "$peak" -ge $((48 << 20)) ] && [ "$peak" -le $(((54 + 8) << 20)) ] && rmdir $group
}
# fails WORDS COMMAND...: checks that a command fails with 125 and these words.
fails() {
    words=$1
    shift
    "$@" >out 2>err
    equal "125 0" "$? $(wc -c <out)" && grep -q "$words" err || { cat err; return 1; }
}
dumps() {
    kwasmi dump fibonacci.wat >out && equal 2 "$(grep -c 'eBPF instructions$' out)" &&
        equal 6 "$(grep -c 'call fibonacci' out)" || { cat out; return 1; }
}
# The name of a function, of an export, and an index.
dumps_function() {
    for function in fibonacci _start 1; do
        kwasmi dump --raw fibonacci.wat $function >out && equal 1 "$(grep -c 'eBPF instructions$' out)" || return
    done
}
dumps_as_json() { kwasmi dump -j fibonacci.wat | grep -q '^{"sha256":"[0-9a-f]*","functions":\[{"index":0,"name":"fibonacci",.*}\]}$'; }
dump_without_jit() {
    echo 0 >/proc/sys/net/core/bpf_jit_enable || return
    fails 'cannot be compiled: ' kwasmi dump /guests/hello-c.wasm
    code=$?
    echo 1 >/proc/sys/net/core/bpf_jit_enable
    return $code
}
# The engine in a process runs the machine code of the kernel.
runs_elsewhere() {
    kwasmi dump --json --raw /guests/primes-rust.wasm >code &&
        equal "$(/guests/native/primes-rust 20000)" "$(kwasmi-native --machine-code code /guests/primes-rust.wasm 20000)" &&
        fails "another module" kwasmi-native --machine-code code /guests/primes-c.wasm
}
# exceptions [WAT]... BODY: makes a module whose _start is BODY, with two tags, and prints it.
exceptions() {
    printf '(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 20) (tag $number (export "number") (param i32)) (tag $other)
        (func $throw (param i32) (throw $number (local.get 0))) (func $throw_other (throw $other))\n'
    while [ $# -gt 1 ]; do
        printf '%s\n' "$1"
        shift
    done
    printf '(func (export "_start") %s))\n' "$1"
}
caught='(call $exit (block $caught (result i32)
    (try_table (catch $number $caught) (try_table (catch $other 0) (call $throw (i32.const 7)))) (unreachable)))'
exceptions "$caught" >caught.wat
exceptions "(data (i32.const 0) \"$(head -c 1100000 /dev/zero | tr '\0' a)\")" "$caught" >large-caught.wat
exceptions 'try (result i32) try (call $throw (i32.const 7)) catch $other end (i32.const 1)
    catch $number i32.const 2 i32.add end call $exit' >legacy.wat
exceptions '(call $throw (i32.const 7))' >uncaught.wat
exceptions '(func $first (call $throw_other))' '(start $first)' '' >start.wat
exceptions '(throw_ref (ref.null exn))' >null.wat
exceptions 'try (call $throw_other) catch $other end
    (block $caught (try_table (catch $other $caught)))' >mixed.wat
exceptions '(loop $forever (block $caught (result exnref) (try_table (catch_all_ref $caught) (call $throw (i32.const 7))) (unreachable))
    (drop) (br $forever))' >throwing.wat
exceptions '(table $kept 1000000 exnref)' '(local $n i32) (loop $more
    (block $caught (result exnref) (try_table (catch_all_ref $caught) (call $throw (local.get $n))) (unreachable))
    (local.set $caught) (table.set $kept (local.get $n) (local.get $caught))
    (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000000))))' |
    sed 's/(local $n i32)/(local $n i32) (local $caught exnref)/' >kept.wat
# On the way out of a deep recursion, each frame tests 2,000 clauses.
clauses=$(seq 2000 | sed 's/.*/(catch $number $out)/' | tr '\n' ' ')
exceptions '(global $depth (mut i32) (i32.const 0))' "(func \$deep
    (block \$out (result i32)
        (try_table $clauses
            (global.set \$depth (i32.add (global.get \$depth) (i32.const 1)))
            (if (i32.lt_u (global.get \$depth) (i32.const 20000)) (then (call \$deep)) (else (throw \$other))))
        (return))
    (drop))" '(call $deep)' >unwinding.wat
exceptions_without_jit() {
    echo 0 >/proc/sys/net/core/bpf_jit_enable || return
    refuses 126 "$need_compiled: " caught.wat
    code=$?
    echo 1 >/proc/sys/net/core/bpf_jit_enable
    return $code
}
# With more and more code, a module with exceptions first reaches the limit, the last time in the
# JIT.
exceptions_at_code_limit() {
    named=''
    for code in 16K 24K 32K 40K 48K 56K 64K 72K 80K 96K 112K 128K 160K 192K 256K; do
        kwasmi run --code $code caught.wat 2>err
        case $? in
            124) ! grep -q 'machine code and the memory to compile it' err || named=$code ;;
            7) ;;
            *) cat err; return 1 ;;
        esac
    done
    echo "in the JIT at $named"
    [ -n "$named" ]
}
need_compiled='exceptions need compiled code, and the module would be interpreted'
nothing_held() {
    sleep 1
    kwasmi status >status
    grep -qx 'modules: 0' status && grep -qx 'instances: 0' status && grep -qx 'heap: 0 bytes in 0 blocks' status &&
        grep -qx 'modules with unsafe compiled code: 0' status || { cat status; return 1; }
}

check "a module in C is compiled" compiled /guests/hello-c.wasm
check "a module in Rust is compiled" compiled /guests/hello-rust.wasm
check "primes in Rust behaves as its twin" primes
check "a guest copies 1 MiB" copies
for trap in unreachable start-trap divide-by-zero load-out-of-bounds indirect-type; do
    check "a trap ends a guest: $trap" status 134 $fixtures/$trap.wat
done
check "endless recursion ends at the stack limit" status 124 $fixtures/recursion.wat
check "endless recursion ends at a stack limit of 16 KiB" status 124 --stack 16K $fixtures/recursion.wat
check "host calls at each depth of a recursion leave the stack limit as it is" host_calls_in_recursion
check "a time-out ends an endless loop" status 124 --timeout 500ms $fixtures/loop.wat
check "a limit of CPU time ends an endless loop" status 124 --cpu-time 200ms $fixtures/loop.wat
check "a limit of fuel ends an endless loop" fuel
check "--engine compiler compiles" compiled --engine compiler /guests/hello-c.wasm
check "--engine interpreter does not compile" interpreted "the caller asked for the interpreter" \
    --engine interpreter /guests/hello-c.wasm
check "a run with limited fuel is interpreted" interpreted "fuel is limited, and only the interpreter counts fuel" \
    --fuel 1000000000 /guests/hello-c.wasm
check "--engine compiler and --fuel exclude each other" refuses 125 'only the interpreter counts fuel' \
    --engine compiler --fuel 1000 $fixtures/loop.wat
check "a module that uses SIMD is compiled" simd_is_compiled
check "a module with a large frame is interpreted, and the reason is reported" large_frame_is_interpreted
check "--engine compiler refuses a module with a large frame" refuses 125 'cannot be compiled: too large for compiled code' \
    --engine compiler locals.wat
check "--engine compiler fails without the JIT" without_jit_compiler_fails
check "load tells that a module is interpreted" without_jit_load_tells
check "dump prints the machine code of a function" dump
check "dump of an unknown function fails" dump_of_nothing
check "status counts compiled programs" status_of_compiler
check "a large module is interpreted if it runs once" interpreted "the module is large and runs once" large.wasm
check "--engine compiler compiles a large module" compiled --engine compiler large.wasm
check "a large module is compiled if it is loaded to stay" large_is_shared
for signal in KILL TERM HUP; do
    check "SIG$signal ends an endless loop" killed $signal
done
check "a guest in a loop stops and continues" stopped $fixtures/loop.wat
check "a guest in a recursion stops and continues" stopped fibonacci.wat
check "20 guests run at the same time" at_once 20
check "without the JIT a module is interpreted" no_jit
check "a module is compiled with constant blinding" hardened
check "memories keep their bytes while they grow" status 0 pages.wat
check "a memory that grows is never held twice" grows_in_place
check "dump shows machine code" dumps
check "dump shows one function" dumps_function
check "dump prints JSON" dumps_as_json
check "dump of an unknown index fails" fails "no function '2'" kwasmi dump fibonacci.wat 2
check "dump fails without the JIT" dump_without_jit
check "dump by an unprivileged user fails" fails "are you root" su -s /bin/sh nobody -c 'kwasmi dump /tmp/fibonacci.wat'
check "machine code of the kernel runs in a process" runs_elsewhere
check "a guest catches an exception" status 7 caught.wat
check "a guest catches an exception in the legacy form" status 9 legacy.wat
check "an exception that nothing catches is a trap that names the tag" refuses 134 'uncaught exception: tag 0 (number)' uncaught.wat
check "an exception of the start function is a trap" refuses 134 'uncaught exception: tag 1' start.wat
check "throw_ref of a null reference is a trap" refuses 134 'null exception reference' null.wat
check "a function that mixes both forms of exceptions is refused" refuses 126 'not valid Wasm: ' mixed.wat
check "a large module with exceptions is compiled for one run" status 7 large-caught.wat
check "exceptions and --engine interpreter exclude each other" refuses 126 "$need_compiled: the caller asked for the interpreter" \
    --engine interpreter caught.wat
check "exceptions and --fuel exclude each other" refuses 126 "$need_compiled: fuel is limited" --fuel 1000000 caught.wat
check "machine code of a module with exceptions beyond the limit of code is a limit" exceptions_at_code_limit
check "without the JIT a module with exceptions is refused, with the reason" exceptions_without_jit
if [ "${KWASMI_TEST_PERCENT:-100}" -ge 25 ]; then
    check "exceptions without references use no memory" status 124 --timeout 3s --heap 4M throwing.wat
    check "a time-out ends a guest that leaves a deep recursion by an exception" \
        status 124 --timeout 2s --stack 8M unwinding.wat
    check "a million live exceptions reach the heap limit" refuses 124 'heap' --heap 16M kept.wat
fi
check "a guest that throws and catches is killed" killed KILL throwing.wat
check "the tests of the WebAssembly specification pass" specification
check "loads that end leave no machine code" loads "$loads" TERM
check "loads that are killed leave no machine code" loads "$loads" KILL
check "kwasmi holds nothing afterwards" nothing_held
finish
