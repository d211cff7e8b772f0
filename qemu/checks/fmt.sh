#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# sources only
# All Rust code has the formatting of rustfmt.
. qemu/suites/ktap.sh
export PATH=/opt/rust/bin:$PATH

kernel_side() { git ls-files -z 'kmod/*.rs' 'qemu/bound/*.rs' | xargs -0 rustfmt --check --color never --edition 2021 --config skip_children=true; }

check "the workspace is formatted" cargo fmt --all --check
check "the guests are formatted" cargo fmt --all --check --manifest-path guests/Cargo.toml
check "the fuzz targets are formatted" cargo fmt --all --check --manifest-path engine/fuzz/Cargo.toml
check "qemu/runtimes is formatted" cargo fmt --all --check --manifest-path qemu/runtimes/Cargo.toml
check "the kernel side is formatted" kernel_side
finish
