#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Cases for every function of WASI, in an ordinary process.
. qemu/suites/ktap.sh
. guests/wasi/world.sh

native=$PWD/target/native/${KWASMI_KERNEL_NAME:-stock}/kwasmi-native
guests=$PWD/target/guests
wasm=$guests/wasi/wasi.wasm
work=$(mktemp -d)
command=$PWD/target/x86_64-unknown-linux-gnu/release/kwasmi
cd "$work" || exit

# topic NAME: checks that no case of this topic failed.
topic() { ! grep -F "FAILED $1: " out; }
calls() { "$command" inspect "$wasm" | grep -qx "imports: $1"; }
complete() { equal 0 "$status" || { grep FAILED out; tail -n 3 out; return 1; }; }

check "the cases call every function" calls 52
make_world
cases "$wasm" "$native" >out
status=$?
while read -r name; do
    check "$name: $(grep -c "^$name: " out) cases" topic "$name"
done < <(sed -n '/^FAILED/d; s/^\([^:]*\): .*/\1/p' out | LC_ALL=C sort -u)
check "all $(grep -vc FAILED out) cases ran" complete
remove_world
check "a C library behaves as natively" twins "$guests/wasi/libc.wasm" "$guests/native/wasi/libc" "$native"
check "wasi_unstable agrees with preview 1" unstable "$guests/wasi/unstable.wasm" "$native"
rm -rf "$work"
finish
