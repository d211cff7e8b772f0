#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off --memory 1024
# When the machine runs out of memory, the kernel kills the process that holds a large guest, not a
# small process.
. /suites/ktap.sh

resident_kib() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$1/status"; }
is_resident() {
    for _ in $(seq 300); do
        [ "$(resident_kib "$guest")" -ge 409600 ] && break
        sleep 0.1
    done
    echo "the process with the guest has $(resident_kib "$guest") KiB"
    [ "$(resident_kib "$guest")" -ge 409600 ] && [ "$(resident_kib "$guest")" -lt 460000 ]
}
kills() { awk '$1 == "oom_kill" { print $2 }' /proc/vmstat; }
available_mib() { awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo; }
# Takes more memory than is available with the guest, and less than without it. Memory of a tmpfs
# belongs to no process, so the kernel cannot free it by killing dd.
takes_all() {
    before=$(kills)
    dd if=/dev/zero of=/mnt/tmpfs/file bs=1M count=$(($(available_mib) + 100)) || return
    [ "$(kills)" -gt "$before" ] || { echo "nobody was killed"; return 1; }
}
# A child that has ended is a zombie until the shell waits for it.
has_ended() { grep -q '^State:.*zombie' "/proc/$1/status" 2>/dev/null || [ ! -e "/proc/$1" ]; }
guest_was_killed() {
    for _ in $(seq 300); do
        has_ended "$guest" && break
        sleep 0.1
    done
    has_ended "$guest" || { echo "it is still there"; kill -9 "$guest"; }
    wait "$guest"
    killed=$?
    equal 137 $killed && [ "$(kills)" -gt "$before" ]
}
neighbour_is_there() { kill -0 "$neighbour"; }
nothing_held() {
    sleep 1
    kwasmi status >/tmp/status
    grep -qx 'instances: 0' /tmp/status && grep -qx 'heap: 0 bytes in 0 blocks' /tmp/status || { cat /tmp/status; return 1; }
}

mkdir -p /mnt/tmpfs
mount -t tmpfs -o size=95% tmpfs /mnt/tmpfs
sleep 1000 &
neighbour=$!
kwasmi run --memory 512M /guests/fixtures/hold.wat &
guest=$!
check "the memory of a guest counts as resident memory of its process" is_resident
check "another process exhausts the memory" takes_all
check "the process with the guest was killed" guest_was_killed
check "a small process was not killed" neighbour_is_there
check "kwasmi holds nothing afterwards" nothing_held
rm /mnt/tmpfs/file
check "another guest runs afterwards" kwasmi run /guests/hello-c.wasm
kill "$neighbour"
finish
