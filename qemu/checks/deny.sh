#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# sources only
# Every crate comes from the registry, with a licence that is compatible with GPL-2.0 (see
# deny.toml).
. qemu/suites/ktap.sh

# The fuzz targets use the patched wasmi instead of the registry's.
scripts/wasmi >/dev/null
export PATH=/opt/rust/bin:$PATH

version=0.18.9
tools=/cache/tools/cargo-deny-$version

# Not optimized: it is built once and runs for a second.
install_deny() {
    [ -x "$tools/bin/cargo-deny" ] && return
    cargo install --locked --debug --quiet --root "$tools.part" cargo-deny --version "$version" --no-default-features
    mv -T "$tools.part" "$tools"
}
deny() { "$tools/bin/cargo-deny" --manifest-path "$1" --locked check --config "$PWD/deny.toml" licenses bans sources; }

check "cargo-deny is installed" install_deny
check "the workspace's crates are accepted" deny Cargo.toml
check "the guests' crates are accepted" deny guests/Cargo.toml
check "the fuzz targets' crates are accepted" deny engine/fuzz/Cargo.toml
check "the crates of qemu/runtimes are accepted" deny qemu/runtimes/Cargo.toml
finish
