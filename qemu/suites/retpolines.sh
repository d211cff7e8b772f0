#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --kernel-argument spectre_v2=retpoline --param verify=off --param compiler=0
# options: --add target/x86_64-unknown-linux-gnu/release/kwasmi-spec kwasmi-spec
# On a kernel with retpolines, instruction handlers dispatch by comparisons and direct jumps. Runs
# all instructions that way.
. /suites/ktap.sh

uses_retpolines() { grep Retpolines /sys/devices/system/cpu/vulnerabilities/spectre_v2; }
primes() { equal "$(/guests/native/primes-rust 20000)" "$(kwasmi run /guests/primes-rust.wasm 20000)"; }
specification() { /host/kwasmi-spec >/tmp/spec && grep -q '^ok' /tmp/spec || { grep -v '^ok' /tmp/spec; return 1; }; }
endless() {
    kwasmi run --fuel 1000000 /guests/fixtures/loop.wat
    equal 124 $?
}

check "the kernel uses retpolines" uses_retpolines
check "primes in Rust behaves as its twin" primes
check "an endless loop ends at the fuel limit" endless
check "the tests of the WebAssembly specification pass" specification
finish
