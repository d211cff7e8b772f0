#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off --timeout 9000 --cpus 2 --env KWASMI_SOAK_SECONDS
# on demand
# Spawns, calls, upgrades and kills services at random for KWASMI_SOAK_SECONDS, by default 60.
# Service b has several instances. Each call appends a byte to a file, so that lost and repeated
# calls are found. The memory in use must not grow.
. /suites/ktap.sh

cd /tmp || exit
seconds=${KWASMI_SOAK_SECONDS:-60}
# reactor [INITIALIZE] [HEALTH]: prints a reactor whose function `mark` writes a byte to descriptor
# 3.
reactor() {
    cat <<END
(module
  (import "wasi_snapshot_preview1" "fd_write" (func \$write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\01\\00\\00\\00")
  (func (export "_initialize") $1)
  (func (export "kwasmi_health") (result i32) ${2:-(i32.const 0)})
  (func (export "trap") unreachable)
  (func (export "mark") (result i32) (call \$write (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 8))))
END
}
reactor >1.wat
reactor "(drop (memory.grow (i32.const 10)))" >2.wat
reactor unreachable >traps.wat
reactor "" "(i32.const 1)" >unhealthy.wat
reactor "(loop (br 0))" >hangs.wat
echo garbage >garbage.wat
# below COUNT: prints a random number from 0 to COUNT - 1.
below() { echo $(($(od -An -N2 -tu2 /dev/urandom) % $1)); }
start() {
    [ "$1" = a ] || set -- --instances $((1 + $(below 4))) --max-restarts 1000 "$1"
    for service; do :; done
    kwasmi spawn --fd 5 "$@" 1.wat 5>>"marks.$service" 2>>spawn.err
}

# calls SERVICE NUMBER: calls the service until the end. Counts calls that have returned, that have
# not run, and that may have run.
calls() {
    returned=0 not_run=0 perhaps=0
    while [ ! -e over ]; do
        if answer=$(kwasmi call "$1" mark 2>"call.$1.$2.err"); then
            [ "$answer" = 0 ] || echo "mark returned $answer" >>unexpected
            returned=$((returned + 1))
        elif grep -q 'no service has this name\|the service has ended' "call.$1.$2.err"; then
            not_run=$((not_run + 1))
        elif grep -q 'killed during the call\|ended during the call' "call.$1.$2.err"; then
            perhaps=$((perhaps + 1))
        else
            cat "call.$1.$2.err" >>unexpected
        fi
    done
    echo "$returned $not_run $perhaps" >"counts.$1.$2"
}
upgrader() {
    upgrades=0 refused=0
    while [ ! -e over ]; do
        case $(below 7) in
        0) file=traps.wat ;;
        1) file=unhealthy.wat ;;
        2) file=hangs.wat ;;
        3) file=garbage.wat ;;
        4) file=1.wat ;;
        *) file=2.wat ;;
        esac
        if kwasmi upgrade --health-timeout 2s --drain 2s "$1" $file 2>"upgrade.$1.err"; then
            case $file in
            [12].wat) upgrades=$((upgrades + 1)) ;;
            *) echo "$file was accepted" >>unexpected ;;
            esac
        else
            refused=$((refused + 1))
        fi
    done
    echo "$upgrades $refused" >"upgrades.$1"
}
killer() {
    kills=0
    while [ ! -e over ]; do
        sleep "$(below 4)"
        case $(below 7) in
        0) kwasmi stop "$1" ;;
        1) kwasmi kill "$1" ;;
        2) kwasmi rm -f "$1" ;;
        3 | 4) kwasmi call "$1" trap ;;
        5) kill -9 "$(pid_of "$1")" ;;
        *) pkill -9 -f "kwasmi upgrade.* $1 " ;;
        esac 2>>kill.err
        kills=$((kills + 1))
        start "$1"
    done
    echo "$kills" >"kills.$1"
}
# memory: prints the memory that is not available, in KiB, without caches.
memory() {
    sync
    echo 3 >/proc/sys/vm/drop_caches
    sleep 1
    awk '/^MemTotal/ { total = $2 } /^MemFree/ { free = $2 } END { print total - free }' /proc/meminfo
}
runs() {
    start a && start b || return
    processes=
    for service in a b; do
        calls $service 1 &
        processes="$processes $!"
        calls $service 2 &
        processes="$processes $!"
        upgrader $service &
        processes="$processes $!"
        killer $service &
        processes="$processes $!"
    done
    sleep "$seconds"
    touch over
    for process in $processes; do wait "$process"; done
    kwasmi rm -f a b 2>/dev/null
    [ ! -e unexpected ] || { head -n 20 unexpected; return 1; }
}
no_call_is_lost() {
    for service in a b; do
        bytes=$(wc -c <"marks.$service")
        returned=$(cat "counts.$service".* | awk '{ sum += $1 } END { print sum }')
        perhaps=$(cat "counts.$service".* | awk '{ sum += $3 } END { print sum }')
        [ "$returned" -ge $((seconds / 4)) ] || { echo "only $returned calls"; return 1; }
        [ "$returned" -le "$bytes" ] && [ "$bytes" -le $((returned + perhaps)) ] ||
            { echo "$service: $returned calls returned, $perhaps may have run, $bytes ran"; return 1; }
    done
}
all_is_freed() {
    within 20 sh -c 'kwasmi status | grep -qx "instances: 0"' && within 20 sh -c 'kwasmi status | grep -q "^heap: 0 "' || { kwasmi status; return 1; }
    after=$(memory)
    echo "$before KiB before, $after KiB after" >memory
    # KASAN keeps freed memory for a while; kmemleak finds what is lost.
    [ -e /sys/kernel/debug/kmemleak ] || [ $((after - before)) -le 16384 ] || { echo "$before KiB before, $after KiB after"; return 1; }
}

# The first services fill caches.
start a && kwasmi call a mark >/dev/null && kwasmi stop a
rm -f marks.a
before=$(memory)
check "services are spawned, called, upgraded and killed at random for $seconds s" runs
for service in a b; do
    echo "# $service: calls that have returned, not run, perhaps run: $(cat counts.$service.* | awk '{ r += $1; n += $2; p += $3 } END { print r, n, p }'); upgrades done, refused: $(cat upgrades.$service); kills: $(cat kills.$service)"
done
check "no call is lost or run twice" no_call_is_lost
check "all memory is freed" all_is_freed
echo "# $(cat memory)"
finish
