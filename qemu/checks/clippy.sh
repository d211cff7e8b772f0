#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# sources only
# Clippy gives no warning, in any crate and its tests. Except qemu/runtimes, which would need a
# whole compiler to be built; scripts/bench builds it.
. qemu/suites/ktap.sh
[ -z "${CI:-}" ] || export CARGO_INCREMENTAL=0

wasmi=$(scripts/wasmi)

cached() { PATH=/opt/rust/bin:$PATH scripts/cached-target --in-ci "$@"; }
workspace() { cached target clippy . cargo clippy --locked --quiet "$wasmi" --workspace --all-targets -- -D warnings; }
# Code that only the engine object has.
object() { cached target clippy . cargo clippy --locked --quiet "$wasmi" --package kwasmi-engine --features object -- -D warnings; }
# Code that is only linked with the engine object.
native() { cached target clippy . cargo clippy --locked --quiet --package kwasmi-native --features object -- -D warnings; }
guests() {
    scripts/cached-target --in-ci target/guests-clippy guests-clippy guests \
        cargo clippy --locked --quiet --manifest-path guests/Cargo.toml --target wasm32-wasip1 --all-targets -- -D warnings
}
# Code that only the native twins have.
twins() {
    scripts/cached-target --in-ci target/guests-clippy guests-clippy guests \
        cargo clippy --locked --quiet --manifest-path guests/Cargo.toml --package bench --target x86_64-unknown-linux-gnu \
        --all-targets -- -D warnings
}
# The target folder is in the cache, since wasmtime takes minutes to check.
fuzz_targets() {
    PATH=/opt/rust/bin:$PATH scripts/cached-target fuzz-clippy engine/fuzz \
        cargo clippy --locked --quiet --manifest-path engine/fuzz/Cargo.toml --all-targets -- -D warnings
}

check "the workspace has no warning" workspace
check "the engine object has no warning" object
check "kwasmi-native with the engine object has no warning" native
check "the guests have no warning" guests
check "the native twins have no warning" twins
check "the fuzz targets have no warning" fuzz_targets
finish
