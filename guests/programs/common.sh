# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Functions of guests/programs/build and of its recipes. A recipe gets the name of the folder for
# its results. /cache/programs keeps fetched and built files; an unfinished folder has another name.
set -euo pipefail
shopt -s inherit_errexit

programs=/cache/programs
# `shims` has C sources that stand in for what wasi-libc does not have.
shims=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/shims" && pwd)
readonly WASM=wasm32-wasip1 NATIVE=x86_64-unknown-linux-gnu

# Variables of a recipe: `work` is the folder in which it builds, `out` the folder for results.
# `version` and `source` are the version and folder of the fetched source, `tools` is the folder of
# fetched packages.
work='' out='' version='' source='' tools=''
wasm_flags=()

# begin FOLDER: begins a recipe, which leaves NAME.wasm, native/NAME and share/NAME in `out`, that
# is FOLDER.
begin() {
  out=$1
  work=$programs/work/$(basename "$0" .sh)
  rm -rf "$work"
  mkdir -p "$work" "$out/native" "$out/share"
}

# finish ORIGIN: ends a recipe, and records version and origin of the program.
finish() {
  echo "$(basename "$0" .sh) $version $1" >"$out/version"
  rm -rf "$work"
}

# whole FOLDER COMMAND...: makes FOLDER, if it does not exist: runs COMMAND with the name of a new
# folder to fill, and renames that folder to FOLDER if COMMAND succeeds.
whole() {
  local folder=$1
  shift
  [ ! -e "$folder" ] || return 0
  rm -rf "$folder.part"
  mkdir -p "$folder.part"
  "$@" "$folder.part"
  mv -T "$folder.part" "$folder"
}

# --- Debian's archive, of the build root's release

archive() {
  local folder=$programs/apt command=$1
  shift
  "$command" -q -o APT::Sandbox::User=root -o Acquire::Retries=3 -o Acquire::Languages=none -o Dir::Etc::sourceparts=- \
    -o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::State::lists="$folder/lists" -o Dir::Cache="$folder" "$@"
}

# update_archive: fetches the lists of packages, unless that was done in the last 30 minutes. The
# build root's own lists do not have the sources.
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
    # The lists may name files that are gone. Then another version is tried, or the source without
    # Debian's patches.
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

# debian_source PACKAGE: fetches the newest source of PACKAGE, with Debian's patches; sets `version`
# and `source`.
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

# debian_packages NAME PACKAGE...: unpacks packages that the build root does not have; sets `tools`.
debian_packages() {
  tools=$programs/debian/tools-$1
  whole "$tools" fetch_packages "${@:2}"
}

# --- crates

export PATH=/opt/rust/bin:$PATH
export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_PANIC=abort \
  CARGO_PROFILE_RELEASE_STRIP=symbols

# crate_source CRATE VERSION [CRATE VERSION]...: fetches crates; sets `version` and `source` to
# those of the first. The folders of the others are beside `source`.
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

# make_rust_std FOLDER: builds the standard library of the newer rustc for Wasm, as a sysroot,
# because Debian does not have it. The libc is that of the build root; its functions for threads
# fail.
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

# for_wasm COMMAND..., for_native COMMAND...: runs COMMAND with variables that make cargo build for
# Wasm or for the machine, each with its own level of optimization.
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

# crate_program CRATE VERSION PROGRAM [ARG]...: builds PROGRAM of a crate for Wasm and for the
# machine, with the versions in the crate's lock file.
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

# c_program PROGRAM SOURCE-OR-FLAG...: builds a C program for Wasm and for the machine, in the
# current folder, without warnings.
c_program() {
  local program=$1
  shift
  clang-19 --target=wasm32-wasi -O2 -w -include "$shims/posix.h" -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_PROCESS_CLOCKS \
    -D_WASI_EMULATED_PTHREAD -D_WASI_EMULATED_GETPID -Wl,-s,-z,stack-size=1048576 "${wasm_flags[@]}" "$@" "$shims/posix.c" \
    -lwasi-emulated-signal -lwasi-emulated-process-clocks -lwasi-emulated-pthread -lwasi-emulated-getpid -o "$out/$program.wasm"
  clang-19 -static -s -O2 -w "$@" -lm -o "$out/native/$program"
}
