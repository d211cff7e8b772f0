#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# sources only
# Every crate comes from the registry, under a licence that goes with GPL-2.0 (see deny.toml).
. qemu/suites/ktap.sh

# The fuzz targets have it instead of the registry's.
scripts/wasmi >/dev/null
export PATH=/opt/rust/bin:$PATH

version=0.18.9
tools=/cache/tools/cargo-deny-$version

# Unoptimized: it is built once and runs for a second.
install_deny() {
    [ -x "$tools/bin/cargo-deny" ] && return
    cargo install --locked --debug --quiet --root "$tools.part" cargo-deny --version "$version" --no-default-features
    mv -T "$tools.part" "$tools"
}
deny() { "$tools/bin/cargo-deny" --manifest-path "$1" --locked check --config "$PWD/deny.toml" licenses bans sources; }

check "cargo-deny itself" install_deny
check "workspace" deny Cargo.toml
check "guests" deny guests/Cargo.toml
check "fuzz targets" deny kmod/engine/fuzz/Cargo.toml
check "rivals" deny qemu/rivals/Cargo.toml
finish
