#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Commands of uutils; each is a crate. Each command becomes a module, so that a test loads only one.
# The native twin is one program, which chooses the command by its own name.
. "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

readonly COMMANDS=(cat cp cut head ln ls mkdir mv readlink rm seq sha256sum sort tail touch truncate uniq wc)
# Crates that are built without optimization: optimizing them takes long, and no test shows it.
readonly COLD=(aho-corasick bigdecimal calendrical_calculations clap_builder clap_lex console data-encoding fluent
  fluent-bundle fluent-syntax icu_calendar icu_collator icu_datetime icu_decimal icu_locale icu_locale_core icu_normalizer
  icu_pattern icu_plurals icu_properties icu_time indicatif intl-memoizer itertools jiff jiff-core jiff-icu libm num-bigint
  parse_datetime rand rustix tempfile textwrap winnow zerotrie zerovec)

# make_package REGISTRY: makes a package of the commands' main functions, with the lock file of the
# crate coreutils.
make_package() {
  local registry=$1 command
  cp "$registry/coreutils-$version/Cargo.lock" .
  # bytecount assumes that Wasm has vectors.
  cp -r "$registry"/bytecount-0.6.9 bytecount
  sed -i 's/target_arch = "wasm32"/target_feature = "simd128"/' bytecount/src/lib.rs bytecount/src/simd/mod.rs
  {
    printf '[package]\nname = "commands"\nedition = "2024"\n[workspace]\n[dependencies]\nfluent = "*"\n'
    printf 'uucore = "=%s"\n' "$version"
    printf "uu_%s = { version = \"=$version\", default-features = false }\n" "${COMMANDS[@]}"
    printf '[patch.crates-io]\nbytecount = { path = "bytecount" }\n'
    printf '[profile.release.package.%s]\nopt-level = 0\n' "${COLD[@]}"
    printf '[[bin]]\nname = "coreutils"\npath = "coreutils.rs"\n'
    for command in "${COMMANDS[@]}"; do
      printf '[[bin]]\nname = "%s"\npath = "%s.rs"\n' "$command" "$command"
      cp "$registry/uu_$command-$version/src/main.rs" "$command.rs"
    done
  } >Cargo.toml
  {
    printf 'mod %s;\n' "${COMMANDS[@]}"
    echo 'fn main() {'
    echo '    let name = std::env::args().next().expect("a name");'
    echo '    match name.strip_suffix(".wasm").expect("a name") {'
    for command in "${COMMANDS[@]}"; do
      printf '        "%s" => %s::main(),\n' "$command" "$command"
    done
    echo '        other => panic!("no command {other}"),'
    echo '    }'
    echo '}'
  } >coreutils.rs
}

begin "$1"
bins=() sources=()
for command in "${COMMANDS[@]}"; do
  bins+=(--bin "$command")
  sources+=("uu_$command" 0.12.0)
done
crate_source coreutils 0.12.0 bytecount 0.6.9 "${sources[@]}"
mkdir "$work/package"
cd "$work/package"
make_package "${source%/*}"
for_wasm cargo build --release "${bins[@]}"
for_native cargo build --release --bin coreutils
mv "$work/target/$NATIVE/release/coreutils" "$out/native"
for command in "${COMMANDS[@]}"; do
  mv "$work/target/$WASM/release/$command.wasm" "$out"
  ln -s coreutils "$out/native/$command"
done
finish "crates coreutils, uu_*"
