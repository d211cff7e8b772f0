#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off
# not on the debug kernel: it tests the command; `abi` tests the pools of the kernel module there
# Services with several instances.
. /suites/ktap.sh

cd /tmp || exit
# reactor NUMBER [INITIALIZE] [EXPORT]: prints a reactor whose function `version` returns NUMBER.
reactor() {
    cat <<END
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func \$exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func \$write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func \$poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\08\\00\\00\\00\\02\\00\\00\\00$1\\n")
  (global \$calls (mut i64) (i64.const 0))
  (func (export "_initialize")
    (drop (call \$write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100)))
    $2)
  $3
  (func (export "version") (result i32) (i32.const $1))
  (func (export "slow") (param \$nanoseconds i64) (result i64)
    (global.set \$calls (i64.add (global.get \$calls) (i64.const 1)))
    (i32.store (i32.const 216) (i32.const 1))
    (i64.store (i32.const 224) (local.get \$nanoseconds))
    (drop (call \$poll (i32.const 200) (i32.const 300) (i32.const 1) (i32.const 400)))
    (global.get \$calls))
  (func (export "compute") (param \$n i64) (result i64)
    (loop \$more
      (local.set \$n (i64.sub (local.get \$n) (i64.const 1)))
      (br_if \$more (i64.gt_s (local.get \$n) (i64.const 0))))
    (i64.const $1))
  (func (export "trap") unreachable)
  (func (export "exit") (param i32) (call \$exit (local.get 0))))
END
}
reactor 1 >1.wat
reactor 2 >2.wat
reactor 3 unreachable >traps.wat
reactor 4 "" '(func (export "kwasmi_health") (result i32) (i32.const 5))' >unhealthy.wat
cat >start.wat <<'END'
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\08\00\00\00\02\00\00\00s\n")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100)))
    (loop (br 0))))
END

# counter NAME: prints a counter of the service `pool`; NAME may be NAME[LABEL].
counter() { kwasmi stats pool | sed -n "s/^  $1: //p"; }
# state WORD: the state of the service `pool` is WORD.
state() { equal "$1" "$(kwasmi ps -j pool | sed 's/.*"state":"\([^"]*\)".*/\1/')"; }
instances() { equal "$1" "$(kwasmi ps -j pool | sed 's/.*"instances":\([0-9]*\).*/\1/')"; }
# total WHAT NUMBER: kwasmi status prints this number of `modules` or `instances`.
total() { equal "$2" "$(kwasmi status | sed -n "s/^$1: //p")"; }
logged() { equal "$1" "$(kwasmi logs pool 2>/dev/null | xargs)"; }
calls_are() { equal "$1" "$(counter calls)"; }
starts_are() { equal "$1" "$(counter starts)"; }
# fails STATUS WORDS COMMAND...: checks the status of COMMAND, and WORDS in its only line of errors.
fails() {
    expected=$1 words=$2
    shift 2
    "$@" >out 2>err
    equal "$expected" $? && equal 1 "$(wc -l <err)" && grep -qF -- "$words" err || { cat err; return 1; }
}
# clean: removes the service after a failure.
clean() { kwasmi rm -f pool >/dev/null 2>&1; true; }

starts() {
    kwasmi spawn --instances 3 pool 1.wat && state running && within 5 instances 3 &&
        equal 3 "$(counter starts)" && equal 3 "$(counter instances)" &&
        within 5 logged "1 1 1" && equal 1 "$(kwasmi call pool version)"
}
# Concurrent calls run on different instances: several of them are the first of their instance.
parallel() {
    for caller in 1 2 3 4 5 6; do
        kwasmi call pool slow 2000000000 >"c$caller" &
    done
    wait
    equal 7 "$(counter calls)" && [ "$(cat c1 c2 c3 c4 c5 c6 | grep -cx 1)" -ge 2 ] || { cat c1 c2 c3 c4 c5 c6; return 1; }
}
trap_is_replaced() {
    kwasmi call pool trap >out 2>err
    equal 134 $? && equal 1 "$(kwasmi call pool version)" && within 5 starts_are 4 &&
        within 5 instances 3 && equal 1 "$(kwasmi stats pool | sed -n 's/^  traps\[unreachable\]: //p')" &&
        kwasmi logs pool 2>&1 | grep -F "kwasmi: pool: an instance has failed: trap: wasm" | grep -qF "it is replaced in 100ms"
}
exit_is_replaced() {
    kwasmi call pool exit 7 >out 2>err
    equal 7 $? && within 5 starts_are 5 && state running
}
# An instance that exits with 0 is not replaced.
exit_0() {
    kwasmi call pool exit 0 >out 2>err
    within 5 instances 2 && state running && equal 5 "$(counter starts)"
}
upgrades() {
    calls=$(($(counter calls) + 1))
    kwasmi call pool compute 20000000 >slow &
    slow=$!
    within 5 calls_are "$calls" && kwasmi upgrade pool 2.wat && equal 2 "$(kwasmi call pool version)" && instances 3
    result=$?
    wait "$slow" && equal 1 "$(cat slow)" && return "$result"
}
# A new program that fails leaves the former pool as it is.
upgrade_fails() {
    fails 126 "the new program ended: trap: wasm" kwasmi upgrade pool traps.wat &&
        fails 126 "kwasmi_health has returned 5" kwasmi upgrade pool unhealthy.wat &&
        equal 2 "$(kwasmi call pool version)" && instances 3 && total modules 1
}
kills() {
    kwasmi kill pool && within 10 state killed && fails 125 "" kwasmi call pool version &&
        within 5 total instances 0 && kwasmi rm pool
}
# Calls wait while the only instance is replaced.
waits() {
    kwasmi spawn --instances 1 pool 1.wat || return
    kwasmi call pool trap >out 2>err
    equal 134 $? && equal 1 "$(kwasmi call --timeout 10s pool version)" && kwasmi stop pool
}
# The service ends with the result of the instance that has failed too often.
gives_up() {
    kwasmi spawn --instances 2 --max-restarts 2 pool traps.wat
    within 20 state trapped && instances 0 && kwasmi logs pool >out 2>&1
    grep -qF "it is replaced in 200ms" out && ! grep -qF "400ms" out || { cat out; return 1; }
    within 3 sh -c 'kwasmi logs pool 2>&1 | tail -n 1 | grep -q "^kwasmi: pool: trap: wasm"' || { kwasmi logs pool; return 1; }
    kwasmi wait pool 2>err
    equal 134 $? && kwasmi rm pool
}
gives_up_at_once() {
    kwasmi spawn --instances 4 --max-restarts 0 pool 1.wat || return
    kwasmi call pool trap >out 2>err
    equal 134 $? && within 10 state trapped && fails 125 "" kwasmi call pool version && kwasmi rm pool
}
# All instances have exited with 0: the name is gone.
all_exit() {
    kwasmi spawn --instances 2 pool 1.wat && fails 125 "the guest ended during the call: exited with 0" kwasmi call pool exit 0 &&
        fails 125 "the guest ended during the call: exited with 0" kwasmi call pool exit 0 && within 10 has_no_name pool
}
programs() {
    kwasmi spawn --instances 2 pool start.wat && within 10 instances 2 &&
        within 10 logged "s s" &&
        fails 125 "" kwasmi call pool version && kwasmi upgrade --settle 200ms pool start.wat && instances 2 && kwasmi stop pool
}
# kill -9 of the supervisor frees all instances.
supervisor_killed() {
    kwasmi spawn --instances 8 pool 1.wat && pid=$(pid_of pool) &&
        kill -9 "$pid" && within 10 has_no_name pool &&
        within 10 total instances 0
}
too_many() {
    fails 125 "expected a number from 1 to 4096" kwasmi spawn --instances 5000 pool 1.wat
    grep -qF "expected a number from 1 to 4096" err || return
    total instances 0
}

check "a service has several instances" starts
check "concurrent calls run on several instances" parallel
check "an instance that traps is replaced, and only its call fails" trap_is_replaced
check "an instance that exits with an error is replaced" exit_is_replaced
check "an instance that exits with 0 is not replaced" exit_0
check "an upgrade replaces all instances, and finishes the running call" upgrades
check "an upgrade that fails changes nothing" upgrade_fails
check "kill ends all instances, and none is replaced" kills; clean
check "calls wait while the only instance is replaced" waits; clean
check "a service whose instances fail too often ends with the last failure" gives_up; clean
check "without restarts the first failure ends the service" gives_up_at_once; clean
check "a service whose instances have exited with 0 loses its name" all_exit; clean
check "programs with _start run in several instances" programs; clean
check "the end of the supervisor frees all instances" supervisor_killed; clean
check "the number of instances is checked" too_many
finish
