# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Sourced by guests/programs/build and by its recipes, which are called with the name of the folder for what they build. All that
# is fetched or made is kept in /cache/programs, under another name until it is whole.
set -euo pipefail
shopt -s inherit_errexit

programs=/cache/programs
wasi=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/wasi" && pwd)
readonly WASM=wasm32-wasip1 NATIVE=x86_64-unknown-linux-gnu

# What a recipe's functions set and use: where it builds, where what it has built goes, and what it has fetched.
work='' out='' version='' source='' tools=''
wasm_flags=()

# begin FOLDER: the recipe, that is. It leaves NAME.wasm, native/NAME and share/NAME in $out.
begin() {
  out=$1
  work=$programs/work/$(basename "$0" .sh)
  rm -rf "$work"
  mkdir -p "$work" "$out/native" "$out/share"
}

# finish ORIGIN: it is done; where the program is from is recorded.
finish() {
  echo "$(basename "$0" .sh) $version $1" >"$out/version"
  rm -rf "$work"
}

# whole FOLDER COMMAND...: runs COMMAND with the name of a folder to fill, which becomes FOLDER when COMMAND has ended well.
whole() {
  local folder=$1
  shift
  [ ! -e "$folder" ] || return 0
  rm -rf "$folder.part"
  mkdir -p "$folder.part"
  "$@" "$folder.part"
  mv -T "$folder.part" "$folder"
}

# --- Debian's archive, of the release that the build root is

archive() {
  local folder=$programs/apt command=$1
  shift
  "$command" -q -o APT::Sandbox::User=root -o Acquire::Retries=3 -o Acquire::Languages=none -o Dir::Etc::sourceparts=- \
    -o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::State::lists="$folder/lists" -o Dir::Cache="$folder" "$@"
}

# The lists of packages are made anew if anything is to be fetched at all. The build root's own lack the sources.
update_archive() {
  [ -z "$(find "$programs/apt/updated" -mmin -30 2>/dev/null)" ] || return 0
  mkdir -p "$programs/apt/lists/partial"
  sed -n 's/^deb \(.*\)/deb \1\ndeb-src \1/p' /etc/apt/sources.list >"$programs/apt/sources.list"
  archive apt-get update
  touch "$programs/apt/updated"
}

fetch_source() {
  local package=$1 folder=$2 found
  update_archive
  for found in $(archive apt-cache showsrc --only-source "$package" | awk '$1 == "Version:" { print $2 }' | sort -urV); do
    # The lists may name files that are gone: another version then, or what Debian has put nothing to.
    if (cd "$folder" && archive apt-get source --only-source "$package=$found"); then
      echo "$found" >"$folder/version"
      return 0
    fi
    if (cd "$folder" && archive apt-get source --only-source --tar-only "$package=$found" && tar -xf ./*.orig.tar.*); then
      echo "${found%-*}" >"$folder/version"
      return 0
    fi
  done
  echo "no source of $package in Debian's archive" >&2
  return 1
}

# debian_source PACKAGE: sets `version` and `source`, the folder with the newest source of PACKAGE, and Debian's patches.
debian_source() {
  whole "$programs/debian/$1" fetch_source "$1"
  version=$(<"$programs/debian/$1/version")
  source=$(echo "$programs/debian/$1"/*/)
}

fetch_packages() {
  local folder=${*: -1} deb
  update_archive
  (cd "$folder" && archive apt-get download "${@:1:$#-1}")
  for deb in "$folder"/*.deb; do
    dpkg-deb -x "$deb" "$folder"
    rm "$deb"
  done
}

# debian_packages NAME PACKAGE...: sets `tools`, the folder that packages are unpacked in which the build root lacks.
debian_packages() {
  tools=$programs/debian/tools-$1
  whole "$tools" fetch_packages "${@:2}"
}

# --- crates

export PATH=/opt/rust/bin:$PATH
export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_PANIC=abort \
  CARGO_PROFILE_RELEASE_STRIP=symbols

# crate_source CRATE VERSION [CRATE VERSION]...: sets `version`, and `source`, the folder that cargo has unpacked the first one
# in. Those of the others are beside it.
crate_source() {
  version=$2
  mkdir -p "$work/fetch/src"
  : >"$work/fetch/src/lib.rs"
  {
    printf '[package]\nname = "fetch"\nedition = "2024"\n[workspace]\n[dependencies]\n'
    printf '%s = { version = "=%s", default-features = false }\n' "$@"
  } >"$work/fetch/Cargo.toml"
  # shellcheck disable=SC2034 # for recipes
  source=$(cargo metadata --format-version 1 --filter-platform "$NATIVE" --manifest-path "$work/fetch/Cargo.toml" |
    python3 -c 'import json, os, sys
for package in json.load(sys.stdin)["packages"]:
    if package["name"] == sys.argv[1]:
        print(os.path.dirname(package["manifest_path"]))' "$1")
}

# There is no standard library for Wasm of the newer compiler's, so it is made from its source, as a sysroot. Its libc is the
# build root's; what it wants of threads fails when it is called.
make_rust_std() {
  local folder=$1/lib/rustlib/$WASM/lib built=$work/std/target/$WASM/release/deps
  mkdir -p "$work/std/src" "$folder/self-contained"
  : >"$work/std/src/lib.rs"
  printf '[package]\nname = "nothing"\nedition = "2024"\n[workspace]\n' >"$work/std/Cargo.toml"
  (
    cd "$work/std" || exit
    RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=target cargo build --release --target "$WASM" -Zbuild-std=std,panic_abort
  )
  rm -f "$built"/libnothing-*
  cp "$built"/*.rlib "$folder"
  cp /usr/lib/wasm32-wasi/{crt1-command.o,libc.a,libwasi-emulated-pthread.a} "$folder/self-contained"
}

# for_wasm, for_native COMMAND...: with cargo building for one target, with a level of optimization fit for it.
for_wasm() {
  local std
  std=$programs/std-$(rustc --version --verbose | sha256sum | cut -c1-12)
  whole "$std" make_rust_std
  CARGO_BUILD_TARGET=$WASM CARGO_TARGET_WASM32_WASIP1_LINKER=wasm-ld CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="--sysroot=$std -Clink-arg=-lwasi-emulated-pthread" \
    CARGO_TARGET_DIR=$work/target "$@"
}
for_native() {
  CARGO_BUILD_TARGET=$NATIVE CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS=-Ctarget-feature=+crt-static \
    CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_TARGET_DIR=$work/target "$@"
}

# crate_program CRATE VERSION PROGRAM [ARG]...: both forms of a program that a crate brings, with the versions of all it depends
# on that its author chose.
crate_program() {
  local crate=$1 program=$3
  version=$2
  shift 3
  for_wasm cargo install --locked --no-track --root "$work/wasm" --version "$version" "$@" "$crate"
  for_native cargo install --locked --no-track --root "$work/native" --version "$version" "$@" "$crate"
  mv "$work/wasm/bin/$program.wasm" "$out"
  mv "$work/native/bin/$program" "$out/native"
}

# --- C

# c_program PROGRAM SOURCE-OR-FLAG...: both forms of a program in C, from the folder it is called in. Warnings are its author's.
c_program() {
  local program=$1
  shift
  clang-19 --target=wasm32-wasi -O2 -w -include "$wasi/posix.h" -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_PROCESS_CLOCKS \
    -D_WASI_EMULATED_PTHREAD -D_WASI_EMULATED_GETPID -Wl,-s,-z,stack-size=1048576 "${wasm_flags[@]}" "$@" "$wasi/posix.c" \
    -lwasi-emulated-signal -lwasi-emulated-process-clocks -lwasi-emulated-pthread -lwasi-emulated-getpid -o "$out/$program.wasm"
  clang-19 -static -s -O2 -w "$@" -lm -o "$out/native/$program"
}
