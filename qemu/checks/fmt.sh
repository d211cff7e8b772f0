#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# sources only
# All Rust code is formatted as rustfmt formats it.
. qemu/suites/ktap.sh
export PATH=/opt/rust/bin:$PATH

kernel_side() { git ls-files -z 'kmod/*.rs' 'qemu/limit/*.rs' ':!kmod/engine' ':!kmod/native' | xargs -0 rustfmt --check --color never --edition 2021 --config skip_children=true; }

check "workspace" cargo fmt --all --check
check "guests" cargo fmt --all --check --manifest-path guests/Cargo.toml
check "fuzz targets" cargo fmt --all --check --manifest-path kmod/engine/fuzz/Cargo.toml
check "rivals" cargo fmt --all --check --manifest-path qemu/rivals/Cargo.toml
check "kernel side" kernel_side
finish
