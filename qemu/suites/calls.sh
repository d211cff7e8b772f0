#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off
# not on the debug kernel: it tests the command, and `abi` calls functions, too
# Calls of services that are reactors, by the command.
. /suites/ktap.sh

cd /tmp || exit
cat >sum.wat <<'END'
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\08\00\00\00\05\00\00\00call\n")
  (global $sum (mut i64) (i64.const 0))
  (func $add (export "add") (param i64) (result i64)
    (global.set $sum (i64.add (global.get $sum) (local.get 0)))
    (global.get $sum))
  (func (export "types") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
    (local.get 3) (local.get 2) (local.get 1) (local.get 0))
  (func (export "log") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100))))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "compute") (param $n i64) (result i64)
    (loop $more
      (local.set $n (i64.sub (local.get $n) (i64.const 1)))
      (br_if $more (i64.gt_s (local.get $n) (i64.const 0))))
    (call $add (i64.const 1)))
  (func (export "trap") unreachable)
  (func (export "exit") (param i32) (call $exit (local.get 0))))
END
cat >trap.wat <<'END'
(module (func (export "_initialize") unreachable) (func (export "f")))
END
cat >loop.wat <<'END'
(module (func (export "_start") (loop (br 0))))
END

# fails STATUS WORDS COMMAND...: checks the status of COMMAND, and WORDS in its only line of errors.
fails() {
    expected=$1 words=$2
    shift 2
    "$@" >out 2>err
    equal "$expected" $? && equal 1 "$(wc -l <err | tr -d ' ')" && grep -qF "$words" err || { cat err; return 1; }
}
sum() { equal "$1" "$(kwasmi call sum add "${2:-0}")"; }

keeps_its_state() {
    kwasmi spawn sum sum.wat && sum 40 40 && sum 42 2 && sum 39 -3 || return
    equal '{"results":[1.5,"inf",-1,7]}' "$(kwasmi call -j sum types 7 0xffffffffffffffff inf 1.5)" &&
        equal "1.5 -0.25 -1 7" "$(kwasmi call sum types 7 0xffffffffffffffff -0.25 1.5 | tr '\n' ' ' | sed 's/ $//')"
}
output_is_in_the_log() { kwasmi call sum log && within 5 sh -c 'kwasmi logs sum | grep -qx call'; }
wrong_calls_are_refused() {
    fails 125 "sum: no function none is exported" kwasmi call sum none &&
        fails 125 "sum: no function _initialize is exported" kwasmi call sum _initialize &&
        fails 125 "sum: function add: 0 arguments given, 1 needed" kwasmi call sum add &&
        fails 125 "sum: function add: 'x' is not an i64" kwasmi call sum add x &&
        fails 127 "none: no service has this name" kwasmi call none add 1 &&
        fails 125 "missing: No such file or directory" kwasmi call --input missing sum add 1 || return
    head -c 1048577 /dev/zero >large
    fails 125 "large: input of more than 1048576 bytes" kwasmi call --input large sum add 1 && sum 39
}
programs_have_no_functions() {
    kwasmi spawn loop loop.wat &&
        fails 125 "loop: not a reactor: its functions cannot be called" kwasmi call loop _start && kwasmi stop loop
}
timeouts_are_told() {
    kwasmi call sum compute 1000000000000 &
    long=$!
    sleep 0.5
    fails 124 "sum: the call has not begun within 100ms" kwasmi call --timeout 100ms sum add 1000 || return
    # A signal ends the caller, and its call goes on.
    kill $long
    wait $long
    equal 143 $? || return
    fails 124 "sum: the call has not begun within 100ms" kwasmi call --timeout 100ms sum add 1000 || return
    kwasmi stop sum && kwasmi spawn sum sum.wat &&
        fails 124 "sum: the function has not returned within 200ms, and runs on" \
            kwasmi call --timeout 200ms sum compute 1000000000000 &&
        kwasmi stop sum && kwasmi spawn sum sum.wat && sum 0
}
many_callers_at_once() {
    times=10
    for _ in 1 2 3 4 5; do
        for _ in $(seq "$times"); do kwasmi call sum add 1 >/dev/null || echo failed >>failed; done &
        callers="$callers $!"
    done
    for caller in $callers; do wait "$caller"; done
    [ ! -e failed ] && sum $((5 * times))
}
# The cgroup of the caller has no room for 32 MiB; the cgroup of the service has.
memory_is_charged_to_the_service() {
    echo +memory >/sys/fs/cgroup/cgroup.subtree_control
    mkdir /sys/fs/cgroup/caller /sys/fs/cgroup/service
    echo 16M >/sys/fs/cgroup/caller/memory.max
    sh -c 'echo 0 >/sys/fs/cgroup/service/cgroup.procs && kwasmi spawn large sum.wat' || return
    before=$(cat /sys/fs/cgroup/service/memory.current)
    sh -c 'echo 0 >/sys/fs/cgroup/caller/cgroup.procs && kwasmi call large grow 512' || return
    after=$(cat /sys/fs/cgroup/service/memory.current)
    [ $((after - before)) -gt 30000000 ] || { echo "$before to $after bytes"; return 1; }
    equal 0 "$(sed -n 's/^oom_kill //p' /sys/fs/cgroup/caller/memory.events)" &&
        equal 513 "$(kwasmi call large grow 0)" || return
    # The limit of the service holds for calls.
    echo 64M >/sys/fs/cgroup/service/memory.max
    equal -1 "$(kwasmi call large grow 2000)" || equal 124 $?
    kwasmi rm -f large && within 10 rmdir /sys/fs/cgroup/service
}
# A caller whose cpu.max is 1% of a processor does not delay others: the supervisor runs its call.
throttled_callers_leave_the_work_to_the_service() {
    echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
    mkdir /sys/fs/cgroup/slow && echo "1000 100000" >/sys/fs/cgroup/slow/cpu.max
    kwasmi call sum compute 200000000 >one &&
        ticks=$(awk '{ print $14 + $15 }' "/proc/$(pid_of sum)/stat") || return
    sh -c 'echo 0 >/sys/fs/cgroup/slow/cgroup.procs && kwasmi call sum compute 200000000' >two || return
    spent=$(($(awk '{ print $14 + $15 }' "/proc/$(pid_of sum)/stat") - ticks))
    [ "$spent" -ge 3 ] && equal $(($(cat one) + 1)) "$(cat two)" || echo "the service computed $spent ticks"
}
traps_end_the_service() {
    fails 134 "sum: the guest ended during the call: trap: " kwasmi call sum trap &&
        fails 125 "sum: the service has ended" kwasmi call sum add 1 || return
    kwasmi wait sum 2>/dev/null
    equal 134 $? && kwasmi rm sum
}
exits_end_the_service() {
    kwasmi spawn sum sum.wat && fails 3 "sum: the guest ended during the call: exited with 3" kwasmi call sum exit 3 &&
        kwasmi rm sum && kwasmi spawn sum sum.wat &&
        fails 125 "sum: the guest ended during the call: exited with 0" kwasmi call sum exit 0 && within 5 has_no_name sum
}
initialization_may_trap() {
    kwasmi spawn sum trap.wat && kwasmi wait sum 2>/dev/null
    equal 134 $? && fails 125 "sum: the service has ended" kwasmi call sum f && kwasmi rm sum
}
killed_services_end_calls() {
    kwasmi spawn sum sum.wat || return
    kwasmi call sum compute 1000000000000 2>err &
    caller=$!
    sleep 0.5
    kill -9 "$(pid_of sum)"
    wait $caller
    equal 137 $? && grep -Eq "^kwasmi: sum: the (service was killed|guest ended) during the call" err && within 5 has_no_name sum
}
users_may_call() {
    kwasmi spawn sum sum.wat && chmod 666 /dev/kwasmi && equal 5 "$(su -s /bin/sh nobody -c 'kwasmi call sum add 5')"
    status=$?
    chmod 600 /dev/kwasmi
    kwasmi stop sum
    return $status
}

check "a reactor is called, and keeps its state" keeps_its_state
check "output of a call is in the log of the service" output_is_in_the_log
check "wrong calls are refused and change nothing" wrong_calls_are_refused
check "a program has no functions to call" programs_have_no_functions
check "timeouts and signals end the command" timeouts_are_told
check "many callers at once" many_callers_at_once
check "memory of a call is charged to the service" memory_is_charged_to_the_service
check "the service finishes the call of a throttled caller" throttled_callers_leave_the_work_to_the_service
check "a trap ends the service" traps_end_the_service
check "an exit ends the service" exits_end_the_service
check "a trap in _initialize ends the service" initialization_may_trap
check "a call ends when the service is killed" killed_services_end_calls
check "any process that may open the device may call" users_may_call
finish
