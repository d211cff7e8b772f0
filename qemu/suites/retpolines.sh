#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --kernel-argument spectre_v2=retpoline --param verify=off
# options: --add target/x86_64-unknown-linux-gnu/release/kwasmi-spec kwasmi-spec
# Guests on a kernel with retpolines: each indirect jump of the interpreter and of the kernel's JIT goes
# through a thunk.
. /suites/ktap.sh

uses_retpolines() { grep Retpolines /sys/devices/system/cpu/vulnerabilities/spectre_v2; }
primes() { equal "$(/guests/native/primes-rust 20000)" "$(kwasmi run --engine "$1" /guests/primes-rust.wasm 20000)"; }
specification() {
    /host/kwasmi-spec v2/br_table v2/call_indirect v2/f32.wast v2/memory_grow tail-call >/tmp/spec &&
        grep -q '^ok' /tmp/spec || { grep -v '^ok' /tmp/spec; return 1; }
}
endless() {
    kwasmi run --fuel 1000000 /guests/fixtures/loop.wat
    equal 124 $?
}

check "the kernel uses retpolines" uses_retpolines
for engine in compiler interpreter; do
    check "primes in Rust behaves as its twin: $engine" primes $engine
done
check "an endless loop ends at the fuel limit" endless
check "calls and branches behave as the WebAssembly specification says" specification
finish
