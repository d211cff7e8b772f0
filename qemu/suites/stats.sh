#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off --cpus 2
# not on the debug kernel: it tests the command
# Counters of services: kwasmi stats, kwasmi top and fdinfo, compared with other sources.
. /suites/ktap.sh

cd /tmp || exit
# Writes 7 times, asks for the time 5 times and grows its memory to 3 pages; then computes for ever.
cat >busy.wat <<'END'
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\08\00\00\00\05\00\00\00line\n")
  (func (export "_start") (local $n i32)
    (loop
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100)))
      (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 7))))
    (loop
      (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 200)))
      (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 12))))
    (drop (memory.grow (i32.const 2)))
    (loop (br 0))))
END
# Waits for input, which never comes.
mkfifo silent && exec 4<>silent
cat >trap.wat <<'END'
(module (func (export "_start") unreachable))
END

# counter SERVICE NAME: prints the value of a counter.
counter() { kwasmi stats "$1" | sed -n "s/^  $2: //p"; }
has_counter() { [ "$(counter "$1" "$2")" = "$3" ]; }
# ticks PID: prints the CPU time of the process in ticks, of which a second has 100.
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
preview=wasi_snapshot_preview1

counts_calls() {
    kwasmi spawn busy busy.wat && within 10 has_counter busy host_calls 12 || return
    equal 7 "$(counter busy "function_calls\[$preview.fd_write\]")" && equal 5 "$(counter busy "function_calls\[$preview.clock_time_get\]")" &&
        equal 2 "$(kwasmi stats busy | grep -c 'function_calls\[')" && equal 7 "$(kwasmi logs busy | grep -cx line)"
}
counts_memory() {
    equal 196608 "$(counter busy memory_bytes)" && equal 196608 "$(counter busy memory_peak_bytes)" || return
    heap=$(counter busy heap_bytes)
    total=$(kwasmi status | sed -n 's/^heap: \([0-9]*\).*/\1/p')
    [ "$heap" -ge 196608 ] && [ "$heap" -le "$total" ] || { echo "heap $heap of $total"; return 1; }
}
# The CPU time of the guest grows as that of its process.
counts_cpu_time() {
    pid=$(pid_of busy)
    time=$(counter busy cpu_time_ns) ticks=$(ticks "$pid")
    sleep 2
    time=$((($(counter busy cpu_time_ns) - time) / 10000000)) ticks=$(($(ticks "$pid") - ticks))
    [ "$ticks" -ge 50 ] && [ "$time" -ge $((ticks * 8 / 10 - 5)) ] && [ "$time" -le $((ticks * 12 / 10 + 5)) ] ||
        { echo "counter: $time ticks, /proc: $ticks ticks"; return 1; }
}
shows_a_table() {
    kwasmi spawn --stdin silent idle /guests/cat-rust.wasm && within 10 has_counter idle "function_calls\[$preview.fd_read\]" 1 || return
    kwasmi stats >out && equal "NAME STATE RUNS CALLS FUEL CPU MEMORY HEAP PEAK" "$(awk 'NR == 1 { $1 = $1; print }' out)" &&
        equal "busy running 12" "$(awk 'NR == 2 { print $1, $2, $4 }' out)" && equal "idle running" "$(awk 'NR == 3 { print $1, $2 }' out)" &&
        equal 3 "$(wc -l <out | tr -d ' ')"
}
prints_json() {
    kwasmi stats -j busy | grep -q '^\[{"name":"busy","state":"running","pid":[0-9]*,"counters":{"runs":[0-9]*,"host_calls":12,"function_calls":{"wasi_snapshot_preview1.clock_time_get":5,"wasi_snapshot_preview1.fd_write":7},"fuel_used":' ||
        { kwasmi stats -j busy; return 1; }
}
prints_metrics() {
    kwasmi stats --prometheus >metrics || return
    for line in "kwasmi_instances 2" "kwasmi_service_host_calls_total{service=\"busy\"} 12" "kwasmi_service_memory_bytes{service=\"busy\"} 196608" \
        "kwasmi_service_function_calls_total{service=\"busy\",function=\"$preview.fd_write\"} 7" "# TYPE kwasmi_service_cpu_time_seconds_total counter"; do
        grep -qxF "$line" metrics || { echo "no line $line"; return 1; }
    done
    # Each metric is described once, before its values.
    equal "$(sed -n 's/^# TYPE \([a-z_]*\) .*/\1/p' metrics)" "$(sed -n 's/^\([a-z_]*\)[{ ].*/\1/p' metrics | uniq)" &&
        equal "" "$(sed -n 's/^# HELP \([a-z_]*\) .*/\1/p' metrics | sort | uniq -d)"
}
top_sorts() {
    kwasmi top -n 2 --interval 500ms >out && equal 2 "$(grep -c ^NAME out)" &&
        equal "busy idle busy idle" "$(awk '$2 == "running" { print $1 }' out | tr '\n' ' ' | sed 's/ $//')" || { cat out; return 1; }
    share=$(awk '$1 == "busy" { share = $3 } END { print int(share) }' out)
    [ "$share" -ge 20 ] && [ "$share" -le 110 ] || { cat out; return 1; }
    ! grep -q "$(printf '\033')" out
}
fdinfo_shows_the_instance() {
    for file in /proc/"$(pid_of busy)"/fd/*; do
        [ "$(readlink "$file")" != "anon_inode:[kwasmi-instance]" ] || grep -qx "host_calls:	12" "$(dirname "$(dirname "$file")")/fdinfo/$(basename "$file")" || return
    done
    equal 2 "$(grep -lx "function_calls\[$preview.fd_write\]:	7" /proc/"$(pid_of busy)"/fdinfo/* | grep -c .)"
}
others_may_read() {
    chmod 666 /dev/kwasmi
    su -s /bin/sh nobody -c "kwasmi stats busy" >out
    status=$?
    chmod 600 /dev/kwasmi
    equal 0 "$status" && grep -qx "  host_calls: 12" out
}
keeps_last_values() {
    kwasmi stats busy >before && kwasmi kill busy && kwasmi wait busy
    equal 137 $? && equal "busy: killed" "$(kwasmi stats busy | head -n 1)" && equal 12 "$(counter busy host_calls)" && equal 0 "$(counter busy heap_bytes)" &&
        equal "$(sed -n 's/^  heap_peak_bytes: //p' before)" "$(counter busy heap_peak_bytes)" && [ "$(counter busy cpu_time_ns)" -ge "$(sed -n 's/^  cpu_time_ns: //p' before)" ] &&
        kwasmi rm busy
}
load_counts_traps() {
    kwasmi load trap.wat >loaded &
    loader=$!
    within 10 [ -s loaded ] || return
    kwasmi spawn trap trap.wat
    kwasmi wait trap 2>/dev/null
    equal 134 $? || return
    # The service shares the code that `kwasmi load` keeps.
    kwasmi rm trap && within 10 grep -qx "instances:	0" /proc/$loader/fdinfo/* &&
        equal "starts:	1 ends[trapped]:	1 traps[unreachable]:	1" "$(cat /proc/$loader/fdinfo/* | grep -E '^(starts|ends|traps)' | tr '\n' ' ' | sed 's/ $//')"
    status=$?
    kill "$loader"
    return "$status"
}
unknown_names() {
    kwasmi stats nobody 2>err
    equal 127 $? && grep -q "nobody: no service has this name" err || return
    kwasmi top nobody 2>err
    equal 127 $? && kwasmi stop idle && equal "[]" "$(kwasmi stats -j)" && equal 1 "$(kwasmi stats | wc -l | tr -d ' ')"
}

check "calls are counted by function while the guest runs" counts_calls
check "memory is that of the guest" counts_memory
check "CPU time is that of the process" counts_cpu_time
check "stats prints a table of all services" shows_a_table
check "stats prints JSON" prints_json
check "stats prints metrics for Prometheus" prints_metrics
check "top sorts services by CPU time, and prints no control sequences to a file" top_sorts
check "fdinfo of the supervisor shows the counters of the instance" fdinfo_shows_the_instance
check "another user who may open the device can read counters" others_may_read
check "a service that was killed keeps its last values" keeps_last_values
check "fdinfo of a module shows how its guests ended" load_counts_traps
check "commands report an unknown name, and print nothing without services" unknown_names
exec 4>&-
finish
