#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off --env KWASMI_TEST_PERCENT
# Services: guests that run in the background under a name.
. /suites/ktap.sh

cd /tmp || exit
cat >loop.wat <<'END'
(module (func (export "_start") (loop (br 0))))
END
cat >trap.wat <<'END'
(module (func (export "_start") unreachable))
END
# Writes "out" to standard output and "err" to standard error, and exits with 3.
cat >three.wat <<'END'
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\04\00\00\00\14\00\00\00\04\00\00\00out\nerr\n")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100)))
    (drop (call $write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 100)))
    (call $exit (i32.const 3))))
END

state() { kwasmi ps "$1" 2>&1 | awk 'NR == 2 { print $2 ($3 ~ /^[0-9]+$/ && $2 == "exited" ? " " $3 : "") }'; }
has_state() { [ "$(state "$1")" = "$2" ]; }
is_gone() { [ ! -e "/proc/$1" ]; }
instances() { kwasmi status | sed -n 's/^instances: //p'; }
has_instances() { [ "$(instances)" = "$1" ]; }
has_heap() { [ "$(heap)" = "$1" ]; }
heap() { kwasmi status | sed -n 's/^heap: \([0-9]*\).*/\1/p'; }
# without_notice FILE: prints the lines of FILE but the notice that a module is interpreted.
without_notice() { grep -v ': interpreted: ' "$1"; }
# fails STATUS WORDS COMMAND...: checks the status of COMMAND, and WORDS in its only line of errors.
fails() {
    expected=$1 words=$2
    shift 2
    "$@" >out 2>err
    equal "$expected" $? && equal 1 "$(without_notice err | wc -l | tr -d ' ')" && grep -qF "$words" err || { cat err; return 1; }
}

runs_in_the_background() {
    kwasmi spawn loop loop.wat && within 5 has_state loop running || return
    pid=$(pid_of loop)
    grep -qz spawn "/proc/$pid/cmdline" || { echo "process $pid is not a supervisor"; return 1; }
    # The CPU time of the guest is accounted to the supervisor.
    ticks() { awk '{ print $14 + $15 }' "/proc/$pid/stat"; }
    before=$(ticks)
    sleep 1
    [ "$(ticks)" -gt $((before + 30)) ] || { echo "computed $before to $(ticks) ticks"; return 1; }
}
session_is_its_own() {
    equal "$pid" "$(awk '{ print $6 }' "/proc/$pid/stat")" && equal /dev/null "$(readlink "/proc/$pid/fd/2")" && equal / "$(readlink "/proc/$pid/cwd")"
}
has_its_name_only() {
    kwasmi spawn named loop.wat 7<three.wat && within 5 has_state named running || return
    process=$(pid_of named)
    equal kwasmi "$(cat "/proc/$process/comm")" && ! readlink "/proc/$process/fd/"* | grep three.wat && kwasmi stop named
}
standard_output_is_not_passed() { fails 125 "descriptor 1: " kwasmi spawn --fd 1 one loop.wat && has_no_name one; }
output_is_whole_after_the_end() {
    for n in 1 2 3 4 5; do
        kwasmi spawn three three.wat || return
        kwasmi wait three
        kwasmi logs three 2>&1 | grep -qx "kwasmi: three: exited with 3" || { echo "not the run $n"; return 1; }
    done
    kwasmi rm three
}
logs_ends_beside_a_fast_writer() {
    kwasmi spawn --stdin /dev/zero busy /guests/cat-rust.wasm && sleep 0.5 || return
    timeout 20 kwasmi logs busy >/dev/null 2>&1
    equal 0 $? && kwasmi stop busy
}
foreground_without_a_reader() {
    { kwasmi spawn --foreground three three.wat 2>/dev/null; echo $? >status; } | true
    equal 3 "$(cat status)"
}
is_in_the_callers_cgroup() { equal "$(cat /proc/self/cgroup)" "$(cat "/proc/$pid/cgroup")"; }
name_is_taken() { fails 125 "loop: the name belongs to a service that has not ended" kwasmi spawn loop trap.wat && equal 1 "$(instances)"; }
stops() {
    kwasmi stop loop && has_no_name loop && within 5 is_gone "$pid" && within 5 has_instances 0
}
keeps_a_failure() {
    kwasmi spawn three three.wat || return
    kwasmi wait three
    equal 3 $? && equal "exited 3" "$(state three)" && pid=$(pid_of three)
}
has_its_output() {
    kwasmi logs three >out 2>err
    equal out "$(cat out)" && equal "err
kwasmi: three: exited with 3" "$(cat err)"
}
has_times() {
    year=$(date +%Y)
    kwasmi logs -t three | grep -Eqx "$year-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z out" || { kwasmi logs -t three; return 1; }
}
has_json() {
    kwasmi logs -j three >out 2>err && equal "" "$(cat err)" && equal '"stream":"stdout","text":"out"}
"stream":"stderr","text":"err"}
"stream":"kwasmi","text":"exited with 3"}' "$(sed 's/^{"time":"[0-9T:.-]*Z",//' out)" || return
    kwasmi wait -j three >out 2>err
    equal 3 $? && equal "" "$(cat err)" &&
        grep -qx '{"name":"three","ended":"exited","exit_status":3,"reason":null,"fuel_used":[0-9]*,"memory_peak_bytes":65536,"heap_peak_bytes":[0-9]*,"engine_stack_peak_bytes":[0-9]*}' out || { cat out; return 1; }
}
removes() { kwasmi rm three && has_no_name three && within 5 is_gone "$pid" && within 5 has_instances 0; }
gives_up_the_name() {
    kwasmi spawn again trap.wat && within 5 has_state again trapped || return
    old=$(pid_of again)
    kwasmi spawn again loop.wat && within 5 has_state again running && within 5 is_gone "$old" && equal 1 "$(instances)" && kwasmi stop again
}
success_frees_the_name() {
    mkfifo fifo || return
    kwasmi spawn --stdin fifo cat /guests/cat-rust.wasm &
    spawned=$!
    exec 3>fifo
    wait "$spawned" || return
    kwasmi wait cat >waited 2>&1 3>&- &
    waiter=$!
    kwasmi logs -f cat >followed 2>&1 3>&- &
    follower=$!
    sleep 0.5
    echo "line 1" >&3
    within 5 grep -qx "line 1" followed || return
    exec 3>&-
    wait "$waiter"
    equal 0 $? && equal "" "$(cat waited)" && within 5 has_no_name cat || return
    wait "$follower"
    equal 0 $? && equal "line 1
kwasmi: cat: exited with 0" "$(cat followed)"
}
old_output_is_dropped() {
    kwasmi spawn --log-size 4K --stdin fifo ring /guests/cat-rust.wasm &
    spawned=$!
    exec 3>fifo
    wait "$spawned" || return
    seq 1000 2000 >&3
    within 5 sh -c 'kwasmi logs ring 2>/dev/null | grep -qx 2000' || return
    kwasmi logs ring >out 2>err
    kept=$(wc -l <out)
    dropped=$(sed -n 's/^kwasmi: ring: \([0-9]*\) lines were dropped$/\1/p' err)
    [ "$kept" -gt 100 ] && equal 1001 $((kept + dropped)) && equal "$(seq $((2001 - kept)) 2000)" "$(cat out)"
    kept=$?
    exec 3>&-
    within 5 has_no_name ring && return "$kept"
}
dies_with_its_process() {
    # The supervisors of earlier services may still be ending.
    within 10 has_heap 0 || return
    kwasmi spawn loop loop.wat && within 5 has_state loop running || return
    kwasmi wait loop >waited 2>&1 &
    waiter=$!
    sleep 0.3
    kill -9 "$(pid_of loop)"
    wait "$waiter"
    equal 137 $? && within 5 has_no_name loop && within 5 has_instances 0 && within 5 has_heap 0
}
ends_by_sigterm() {
    kwasmi spawn loop loop.wat && within 5 has_state loop running || return
    kill "$(pid_of loop)"
    within 5 has_no_name loop && within 5 has_instances 0
}
kill_keeps_the_name() {
    kwasmi spawn loop loop.wat && within 5 has_state loop running && kwasmi kill loop || return
    kwasmi wait loop 2>err
    equal 137 $? && grep -q "^kwasmi: loop: killed" err && has_state loop killed && kwasmi rm loop && has_no_name loop
}
rm_refuses_what_runs() {
    kwasmi spawn loop loop.wat || return
    fails 125 "loop: has not ended" kwasmi rm loop && has_state loop running && kwasmi rm -f loop && has_no_name loop
}
wait_has_a_time_limit() {
    kwasmi spawn loop loop.wat || return
    fails 124 "loop: has not ended within 200ms" kwasmi wait --timeout 200ms loop && kwasmi stop loop
}
foreground() {
    kwasmi spawn --foreground three three.wat >out 2>err
    equal 3 $? && equal out "$(cat out)" && equal "err
kwasmi: three: exited with 3" "$(without_notice err)" && has_no_name three
}
refused_modules_leave_nothing() {
    echo '(module (func (export "_start") (drop (i64.const 0)) i32.const 1))' >wrong.wat
    echo '(module (import "a" "b" (func)) (func (export "_start")))' >import.wat
    kwasmi spawn bad wrong.wat 2>err
    equal 126 $? || return
    fails 126 "import.wat: " kwasmi spawn bad import.wat && fails 127 "there-is-none.wasm: " kwasmi spawn bad there-is-none.wasm &&
        fails 125 "invalid name 'Bad'" kwasmi spawn Bad loop.wat && has_no_name bad && equal 0 "$(instances)"
}
unknown_names() {
    for command in ps logs wait stop kill rm; do
        fails 127 "nobody: no service has this name" kwasmi "$command" nobody || return
    done
}
others_may_look_only() {
    kwasmi spawn three three.wat && chmod 666 /dev/kwasmi || return
    kwasmi wait three
    as_nobody() { su -s /bin/sh nobody -c "$*"; }
    as_nobody kwasmi ps three | grep -q "exited 3" &&
        fails 125 "three: not permitted" as_nobody kwasmi kill three &&
        fails 125 "three: not permitted" as_nobody kwasmi rm three &&
        fails 125 "three: not permitted" as_nobody kwasmi logs three &&
        as_nobody kwasmi wait three
    got=$?
    chmod 600 /dev/kwasmi
    kwasmi rm three && equal 3 "$got"
}
rmmod_is_refused() {
    kwasmi spawn loop loop.wat || return
    ! rmmod kwasmi 2>/dev/null && has_state loop running && kwasmi stop loop
}
# With fewer repetitions of random tests, fewer services.
many_at_once() {
    last=59
    [ "${KWASMI_TEST_PERCENT:-100}" -ge 25 ] || last=19
    before=$(heap)
    # The guests wait for input, which never comes.
    mkfifo silent && exec 4<>silent || return
    for n in $(seq 10 "$last"); do
        kwasmi spawn --stdin silent "s-$n" /guests/cat-rust.wasm || return
    done
    equal "$(seq 10 "$last" | sed 's/^/s-/')" "$(kwasmi ps | awk 'NR > 1 { print $1 }')" || return
    for n in $(seq 10 "$last" | sort -k1.2); do
        if [ $((n % 3)) = 0 ]; then kill -9 "$(pid_of "s-$n")"; else kwasmi stop "s-$n" || return; fi
    done
    exec 4>&-
    within 10 has_instances 0 && equal 1 "$(kwasmi ps | wc -l | tr -d ' ')" && equal "$before" "$(heap)"
}

check "a service runs in the background" runs_in_the_background
check "its process has a session of its own, and no terminal" session_is_its_own
check "its process has the name kwasmi, and no descriptors of the caller" has_its_name_only
check "standard output cannot be passed to a service" standard_output_is_not_passed
check "its process is in the cgroup of the caller" is_in_the_callers_cgroup
check "a name belongs to one service" name_is_taken
check "stop ends a service, its process and its name" stops
check "a service that failed keeps its name and its status" keeps_a_failure
check "a service that failed keeps its output" has_its_output
check "logs shows times" has_times
check "the log and the end of a service are printed as JSON" has_json
check "rm removes it, and its process ends" removes
check "logs shows the last output once wait has returned" output_is_whole_after_the_end
check "logs ends although the service writes all the time" logs_ends_beside_a_fast_writer
check "a new service gets the name of one that failed" gives_up_the_name
check "a service that succeeds frees its name, and wait and logs see its end" success_frees_the_name
check "old output is dropped and counted" old_output_is_dropped
check "a service ends with its supervisor, and its memory is freed" dies_with_its_process
check "SIGTERM to the supervisor ends the service" ends_by_sigterm
check "kill ends a service and keeps its name" kill_keeps_the_name
check "rm refuses a service that has not ended" rm_refuses_what_runs
check "wait has a time limit" wait_has_a_time_limit
check "in the foreground, output and status are those of the command" foreground
check "a service in the foreground does not need a reader of its output" foreground_without_a_reader
check "a refused module leaves no service" refused_modules_leave_nothing
check "commands report an unknown name" unknown_names
check "another user can list and await a service, but not end it or read its output" others_may_look_only
check "the kernel module cannot be removed while a service runs" rmmod_is_refused
check "many services run at once" many_at_once
finish
