#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --kernel-argument spectre_v2=retpoline --param verify=off
# options: --add target/x86_64-unknown-linux-gnu/release/kwasmi-spec kwasmi-spec
# Where the kernel uses retpolines, instructions find the next one by comparisons: they all do.
. /suites/ktap.sh

uses_retpolines() { grep Retpolines /sys/devices/system/cpu/vulnerabilities/spectre_v2; }
primes() { equal "$(/guests/native/primes-rust 20000)" "$(kwasmi run /guests/primes-rust.wasm 20000)"; }
specification() { /host/kwasmi-spec >/tmp/spec && grep -q '^ok' /tmp/spec || { grep -v '^ok' /tmp/spec; return 1; }; }
endless() {
    kwasmi run --fuel 1000000 /guests/fixtures/loop.wat
    equal 124 $?
}

check "the kernel uses retpolines" uses_retpolines
check "primes" primes
check "an endless loop ends" endless
check "the tests of the WebAssembly specification" specification
finish
