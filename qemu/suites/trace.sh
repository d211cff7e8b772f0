#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off
# Trace events.
. /suites/ktap.sh

cd /tmp || exit
tracing=/sys/kernel/tracing
[ -e $tracing/events ] || mount -t tracefs tracefs $tracing
cat >reactor.wat <<'END'
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\08\00\00\00\01\00\00\00\n")
  (func (export "nothing"))
  (func (export "write") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100))))
  (func (export "trap") unreachable))
END
printf "\0asm\1\0\0\0\377" >garbage.wasm

# record COMMAND...: runs COMMAND with all events on, and keeps the events in the file `trace`.
record() {
    : >$tracing/trace
    echo 1 >$tracing/events/kwasmi/enable
    "$@" >out 2>err
    status=$?
    echo 0 >$tracing/events/kwasmi/enable
    grep -v '^#' $tracing/trace >trace
    return $status
}
# events NAME: prints the fields of the recorded events NAME.
events() { sed -n "s/.* kwasmi_$1: //p" trace; }
# has COUNT EVENT FIELDS: this number of events has these fields.
has() { equal "$1" "$(events "$2" | grep -cE -- "$3")" || { cat trace; return 1; }; }

exist() { equal "call end enter host_operation leave load start" "$(ls $tracing/events/kwasmi | sed -n 's/^kwasmi_//p' | xargs)"; }
off() {
    : >$tracing/trace
    kwasmi run /guests/hello-c.wasm >out && equal 0 "$(grep -c kwasmi_ $tracing/trace)"
}
# The events of one run, in their order.
run() {
    record kwasmi run /guests/hello-c.wasm || return
    hash=$(kwasmi inspect -j /guests/hello-c.wasm | sed 's/.*"sha256":"\([0-9a-f]*\)".*/\1/')
    number=$(events start | sed -n 's/^instance=\([0-9]*\) .*/\1/p')
    equal "load start enter leave end" "$(sed -n 's/.* kwasmi_\([a-z]*\): .*/\1/p' trace | uniq | xargs)" &&
        has 1 load "^sha256=$hash bytes=[0-9]+ error=0$" && has 1 start "^instance=$number sha256=$hash error=0$" &&
        has 1 end "^instance=$number ended=exited code=0$" && has 1 enter "^instance=$number$" && has 1 leave "^instance=$number$" &&
        [ "$(events host_operation | grep -c "^instance=$number operation=transfer$")" -gt 0 ] || { cat trace; return 1; }
}
refused() {
    record kwasmi run garbage.wasm
    equal 126 $? && has 1 load "^sha256=[0-9a-f]{64} bytes=9 error=-8$" && has 0 start ""
}
trap_and_call() {
    kwasmi spawn reactor reactor.wat || return
    record kwasmi call reactor nothing && has 1 call "^instance=[0-9]+ function=[0-9]+$" && has 1 enter "" && has 1 leave "" && has 0 end "" &&
        record kwasmi call reactor write && has 1 call "" && [ "$(events host_operation | wc -l)" -gt 0 ] || return
    record kwasmi call reactor trap
    equal 134 $? && has 1 end "ended=trapped code=1$" && kwasmi rm reactor
}
limit() {
    record kwasmi run --timeout 100ms /guests/fixtures/loop.wat
    equal 124 $? && has 1 end "ended=limited code=[0-9]+$"
}
# The event of one kind alone, with a filter.
filter() {
    echo 'ended == 1' >$tracing/events/kwasmi/kwasmi_end/filter && : >$tracing/trace && echo 1 >$tracing/events/kwasmi/kwasmi_end/enable &&
        kwasmi run /guests/hello-c.wasm >out
    kwasmi run reactor-trap.wat 2>err
    echo 0 >$tracing/events/kwasmi/kwasmi_end/enable
    echo 0 >$tracing/events/kwasmi/kwasmi_end/filter
    grep -v '^#' $tracing/trace >trace
    equal 1 "$(wc -l <trace)" && has 1 end "ended=trapped code=1$"
}
cat >reactor-trap.wat <<'END'
(module (memory (export "memory") 1) (func (export "_start") unreachable))
END
# Events are switched while guests run and call the host.
switched() {
    for _ in 1 2 3; do
        kwasmi run /guests/cat-rust.wasm </dev/zero >/dev/null &
        guests="${guests:-} $!"
    done
    for _ in $(seq 50); do
        echo 1 >$tracing/events/kwasmi/enable
        echo 0 >$tracing/events/kwasmi/enable
    done
    # shellcheck disable=SC2086 # a list
    kill $guests
    wait
    : >$tracing/trace
}

check "the events exist" exist
check "events that are off record nothing" off
check "a run is recorded from the load to the end" run
check "a refused load is recorded" refused
check "calls and traps are recorded" trap_and_call
check "a limit is recorded" limit
check "an event can be filtered" filter
check "events are switched on and off while guests run" switched
finish
