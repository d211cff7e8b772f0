#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# sources only
# No warning of clippy's, in any crate, its tests included. But for qemu/rivals, a file that wants a whole compiler built
# first: scripts/bench builds that.
. qemu/suites/ktap.sh

wasmi=$(scripts/wasmi)

workspace() { PATH=/opt/rust/bin:$PATH cargo clippy --locked --quiet "$wasmi" --workspace --all-targets -- -D warnings; }
# What is linked only with the engine object.
native() { PATH=/opt/rust/bin:$PATH cargo clippy --locked --quiet --package kwasmi-native --features object -- -D warnings; }
guests() {
    cargo clippy --locked --quiet --manifest-path guests/Cargo.toml --target wasm32-wasip1 --target-dir target/guests-clippy \
        --all-targets -- -D warnings
}
# What only the native twin has.
twins() {
    cargo clippy --locked --quiet --manifest-path guests/Cargo.toml --package bench --target x86_64-unknown-linux-gnu \
        --target-dir target/guests-clippy --all-targets -- -D warnings
}
# Into the target folder of the workspace: what both depend on is checked once.
fuzz_targets() {
    PATH=/opt/rust/bin:$PATH cargo clippy --locked --quiet --manifest-path kmod/engine/fuzz/Cargo.toml --target-dir target \
        --all-targets -- -D warnings
}

check "workspace" workspace
check "native" native
check "guests" guests
check "native twins" twins
check "fuzz targets" fuzz_targets
finish
