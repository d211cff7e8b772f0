#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off
# not on the debug kernel: it tests the command, and `abi` replaces programs, too
# Upgrades of services by the command.
. /suites/ktap.sh

cd /tmp || exit
# reactor NUMBER [INITIALIZE] [HEALTH]: prints a reactor whose function `version` returns NUMBER.
reactor() {
    cat <<END
(module
  (global \$sum (mut i64) (i64.const 0))
  (func (export "_initialize") $2)
  $3
  (func (export "version") (result i32) (i32.const $1))
  (func (export "add") (param i64) (result i64)
    (global.set \$sum (i64.add (global.get \$sum) (local.get 0)))
    (global.get \$sum))
  (func (export "compute") (param \$n i64) (result i64)
    (loop \$more
      (local.set \$n (i64.sub (local.get \$n) (i64.const 1)))
      (br_if \$more (i64.gt_s (local.get \$n) (i64.const 0))))
    (i64.const $1)))
END
}
health() { echo "(func (export \"kwasmi_health\") (result i32) $1)"; }
reactor 1 >1.wat
reactor 2 "" "$(health "(i32.const 0)")" >2.wat
reactor 3 >3.wat
reactor 4 "unreachable" >traps.wat
reactor 5 "(loop (br 0))" >hangs.wat
reactor 6 "" "$(health "(i32.const -7)")" >unhealthy.wat
reactor 7 "" "$(health unreachable)" >health-traps.wat
reactor 8 "" "$(health "(loop (br 0)) (i32.const 0)")" >health-hangs.wat
reactor 9 "" '(func (export "kwasmi_health") (param i32) (result i32) (local.get 0))' >health-type.wat
# program NUMBER: prints a program that writes NUMBER to standard output and reads standard input.
program() {
    cat <<END
(module
  (import "wasi_snapshot_preview1" "fd_write" (func \$write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func \$poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\08\\00\\00\\00\\02\\00\\00\\00$1\\n")
  (func (export "_start")
    (drop (call \$write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100)))
    $2))
END
}
program 1 "(loop (br 0))" >loop1.wat
program 2 "(loop (br 0))" >loop2.wat
program 3 "unreachable" >start-traps.wat
program 4 "" >ends.wat
echo "no module" >garbage.wasm

# fails STATUS WORDS COMMAND...: checks the status of COMMAND, and WORDS in its only line of errors.
fails() {
    expected=$1 words=$2
    shift 2
    "$@" >out 2>err
    equal "$expected" $? && equal 1 "$(wc -l <err | tr -d ' ')" && grep -qF "$words" err || { cat err; return 1; }
}
version() { equal "$1" "$(kwasmi call web version)"; }
# instances COUNT: checks the number of instances; ended ones are freed within moments.
instances() { within 10 sh -c "kwasmi status | grep -qx 'instances: $1'"; }

reactors_are_replaced() {
    kwasmi spawn web 1.wat && version 1 && pid=$(pid_of web) || return
    for number in 2 3 1 2; do
        kwasmi upgrade web $number.wat && version $number || return
    done
    equal "$pid" "$(pid_of web)" && instances 1
}
options_are_kept() {
    cat >env.wat <<'END'
(module
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "count") (result i32 i32)
    (drop (call $sizes (i32.const 0) (i32.const 4))) (i32.load (i32.const 0))
    (call $prestat (i32.const 3) (i32.const 8)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))
END
    kwasmi spawn --env A=1 --env B=2 --dir /tmp --memory 256K env env.wat && kwasmi upgrade env env.wat &&
        equal "2 0" "$(kwasmi call env count | tr '\n' ' ' | sed 's/ $//')" &&
        fails 124 "env: the guest ended during the call: limit reached: memory 256K" kwasmi call env grow 10
    status=$?
    kwasmi stop env
    return $status
}
bad_programs_are_refused() {
    kwasmi call web add 40 >/dev/null || return
    fails 126 "garbage.wasm: " kwasmi upgrade web garbage.wasm &&
        fails 127 "missing.wasm: No such file" kwasmi upgrade web missing.wasm &&
        fails 127 "none: no service has this name" kwasmi upgrade none 1.wat &&
        fails 126 "web: traps.wat: the new program ended: trap: " kwasmi upgrade web traps.wat &&
        fails 124 "web: hangs.wat: _initialize or kwasmi_health did not return within 500ms" \
            kwasmi upgrade --health-timeout 0.5 web hangs.wat &&
        fails 126 "web: unhealthy.wat: the new program is not healthy: kwasmi_health has returned -7" \
            kwasmi upgrade web unhealthy.wat &&
        fails 126 "web: health-traps.wat: the new program ended: trap: " kwasmi upgrade web health-traps.wat &&
        fails 124 "web: health-hangs.wat: _initialize or kwasmi_health did not return within 500ms" \
            kwasmi upgrade --health-timeout 0.5 web health-hangs.wat &&
        fails 126 "web: health-type.wat: kwasmi_health: its type is not [] -> [i32]" kwasmi upgrade web health-type.wat &&
        fails 126 "web: start-traps.wat: the new program ended: trap: " kwasmi upgrade web start-traps.wat &&
        fails 126 "web: ends.wat: the new program ended: exited with 0" kwasmi upgrade web ends.wat || return
    # The former program has noticed nothing.
    version 2 && equal 42 "$(kwasmi call web add 2)" && instances 1
}
calls_are_finished() {
    kwasmi call web compute 400000000 >one &
    call=$!
    sleep 0.5
    kwasmi upgrade web 3.wat &
    upgrade=$!
    within 20 sh -c 'kwasmi call web version | grep -qx 3' && wait $upgrade && wait $call && equal 2 "$(cat one)" && instances 1
}
endless_calls_are_ended() {
    kwasmi call web compute 1000000000000 >one 2>call.err &
    call=$!
    sleep 0.5
    fails 0 "web: the former program was killed after 1s, and its unfinished calls failed (--drain)" kwasmi upgrade --drain 1s web 1.wat || return
    wait $call
    equal 137 $? && version 1 && instances 1
}
callers_notice_nothing() {
    rm -f stop failed
    for _ in 1 2 3; do
        while [ ! -e stop ]; do
            kwasmi call web add 1 >/dev/null 2>call.err || cat call.err >>failed
        done &
        callers="$callers $!"
    done
    for number in 2 3 1 2 3 1; do
        kwasmi upgrade web $number.wat || echo upgrade $number >>failed
    done
    touch stop
    for caller in $callers; do wait "$caller"; done
    [ ! -e failed ] || { cat failed; return 1; }
    version 1
}
wait_and_logs_follow() {
    kwasmi spawn loop loop1.wat && within 5 sh -c 'kwasmi logs loop | grep -qx 1' || return
    kwasmi wait loop 2>wait.err &
    waiter=$!
    kwasmi logs -f loop >logs.out 2>logs.err &
    follower=$!
    sleep 0.3
    kwasmi upgrade --settle 0.3 loop loop2.wat && instances 2 && within 5 grep -qx 2 logs.out || return
    kwasmi kill loop
    wait $waiter
    equal 137 $? && wait $follower && equal "1 2" "$(paste -sd' ' logs.out)" && grep -q "loop: killed" logs.err && kwasmi rm loop
}
two_at_once_are_taken_in_turn() {
    kwasmi upgrade web 2.wat &
    one=$!
    kwasmi upgrade web 3.wat &
    two=$!
    wait $one && wait $two && kwasmi call web version | grep -qx '[23]' && instances 1
}
killed_commands_leave_one_program() {
    for time in 0.05 0.1 0.2 0.3 0.5; do
        kwasmi upgrade web 1.wat &
        command=$!
        sleep $time
        kill -9 $command 2>/dev/null
        wait $command
    done 2>/dev/null
    instances 1 && kwasmi call web version | grep -qx '[123]'
}
killed_supervisors_free_both() {
    kwasmi upgrade --health-timeout 60 web hangs.wat 2>err &
    upgrade=$!
    instances 2 && kill -9 "$(pid_of web)"
    wait $upgrade
    equal 125 $? && grep -q "web: the supervisor ended during the upgrade" err && within 5 has_no_name web && instances 0
}
services_end_during_upgrades() {
    kwasmi spawn web 1.wat || return
    kwasmi upgrade --health-timeout 1h web hangs.wat 2>err &
    upgrade=$!
    instances 2 && kwasmi kill web && kwasmi wait --timeout 20 web 2>/dev/null
    equal 137 $? && kwasmi rm web || return
    wait $upgrade
    [ $? -ge 125 ] && instances 0
}
# While the former program finishes a call, the new one may end.
new_programs_end_during_the_drain() {
    kwasmi spawn web 1.wat || return
    kwasmi call web compute 1000000000000 2>/dev/null &
    call=$!
    sleep 0.5
    kwasmi upgrade --drain 1h web 2.wat &
    upgrade=$!
    # A call that waits for the former program waits as long as the call before it.
    within 20 sh -c 'kwasmi call --timeout 0.5 web version 2>/dev/null | grep -qx 2' && kwasmi kill web && kwasmi wait --timeout 20 web 2>/dev/null
    equal 137 $? && kwasmi rm web && within 20 has_no_name web || return
    wait $upgrade 2>/dev/null
    wait $call 2>/dev/null
    within 20 instances 0
}
ended_services_are_told() {
    kwasmi spawn web 1.wat && kwasmi kill web && kwasmi wait web 2>/dev/null
    fails 125 "web: the service has ended; kwasmi spawn starts it again" kwasmi upgrade web 2.wat && kwasmi rm web
}
users_may_not() {
    kwasmi spawn web 1.wat && chmod 666 /dev/kwasmi || return
    fails 125 "2.wat: " su -s /bin/sh nobody -c 'kwasmi upgrade web 2.wat'
    status=$?
    chmod 600 /dev/kwasmi
    version 1 && kwasmi stop web && return $status
}
sockets_are_removed() { kwasmi spawn web 1.wat && [ -S /run/kwasmi/web/control ] && kwasmi stop web && within 5 test ! -e /run/kwasmi/web; }

check "reactors are replaced in the same supervisor" reactors_are_replaced
check "the new program gets the options of spawn" options_are_kept
check "bad programs are refused, and the former one continues" bad_programs_are_refused
check "the former program finishes its calls" calls_are_finished
check "a call that does not end is ended after the drain time" endless_calls_are_ended
check "callers notice nothing of six upgrades" callers_notice_nothing
check "programs are replaced; wait and logs follow the name" wait_and_logs_follow
check "two upgrades at once are taken in turn" two_at_once_are_taken_in_turn
check "a killed upgrade leaves one program" killed_commands_leave_one_program
check "a killed supervisor frees both programs" killed_supervisors_free_both
check "a service that ends during an upgrade stays ended" services_end_during_upgrades
check "the message tells that a service has ended" ended_services_are_told
check "a new program may end while the former one finishes a call" new_programs_end_during_the_drain
check "another user may not upgrade" users_may_not
check "the socket of a service is removed" sockets_are_removed
finish
