#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# The tests of the WebAssembly specification, by the engine object that is linked into kwasmi.ko, in an ordinary process.

# As qemu/checks/native.sh does.
build() {
    PATH=/opt/rust/bin:$PATH KWASMI_ENGINE_OBJECT=/kwasmi/target/kmod/${KWASMI_KERNEL_NAME:-stock}/engine.o \
        RUSTFLAGS=-Crelocation-model=static \
        cargo build --locked --quiet --release -p kwasmi-native --features object --target-dir target/native
}

build || { echo "Bail out! kwasmi-native cannot be built"; exit 1; }
exec target/x86_64-unknown-linux-gnu/release/kwasmi-spec --command target/native/release/kwasmi-native
