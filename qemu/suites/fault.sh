#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --env KWASMI_TEST_PERCENT
# A fault of the engine ends its guest, and affects nothing else.
. /suites/ktap.sh

rmmod kwasmi
insmod /lib/kwasmi/kwasmi.ko verify=off fault_injection=1

fails() {
    kwasmi run /guests/fixtures/panic.wat >/tmp/out 2>/tmp/err
    equal 125 $? && grep -q 'engine fault' /tmp/err || { cat /tmp/err; return 1; }
}
faults=$((100 * ${KWASMI_TEST_PERCENT:-100} / 100))
many_times() {
    for _ in $(seq "$faults"); do
        fails || return
        kwasmi run /guests/hello-c.wasm >/dev/null || return
    done
}
nothing_held() {
    sleep 1
    kwasmi status >/tmp/status
    grep -qx 'heap: 0 bytes in 0 blocks' /tmp/status || { cat /tmp/status; return 1; }
}
not_provided() { ! kwasmi run /guests/fixtures/panic.wat 2>/tmp/err && grep -q 'kwasmi_test.panic' /tmp/err; }

check "the guest ends with an engine fault" fails
check "the next guest runs" kwasmi run /guests/hello-rust.wasm
check "engine faults, each followed by a guest that runs: $faults" many_times
check "the memory of failed engines is freed" nothing_held
rmmod kwasmi
insmod /lib/kwasmi/kwasmi.ko verify=off
check "without fault_injection the import is not provided" not_provided
finish
