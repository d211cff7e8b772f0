#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Fuzzes the engine (engine/fuzz): each target of KWASMI_FUZZ_TARGETS, by default all, for
# KWASMI_FUZZ_SECONDS, by default 30. The corpus stays in target/fuzz/corpus, failing inputs in
# target/fuzz/artifacts. `run`, `control` and `compiled` compare with wasmtime, which is built for
# that.
# Without libFuzzer and wasmtime, which take long to build: cargo run --no-default-features --bin compiled-loop.
# KWASMI_FUZZ_KEEP=FILE target/fuzz/bin/control INPUT writes the program of an input to FILE.
export PATH=/opt/rust/bin:$PATH

seconds=${KWASMI_FUZZ_SECONDS:-30}
targets=${KWASMI_FUZZ_TARGETS:-load run control compiled wasi signing}
triple=x86_64-unknown-linux-gnu
work=target/fuzz

# The instrumentation of cargo-fuzz, but without AddressSanitizer, whose runtime Debian's rustc
# lacks.
instrument=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1)
# Programs without libFuzzer, such as compiled-loop, cannot be linked with the instrumentation.
build() {
    local target programs=()
    for target in $targets; do
        programs+=(--bin "$target")
    done
    scripts/wasmi >/dev/null
    RUSTC_WRAPPER=$PWD/engine/fuzz/rustc \
        cargo build --locked --quiet --release --manifest-path engine/fuzz/Cargo.toml "${programs[@]}" --target "$triple" \
        --config "target.$triple.rustflags=[$(printf "'%s'," "${instrument[@]}")]"
    mkdir -p "$work/bin"
    for target in $targets; do
        cp "$CARGO_TARGET_DIR/$triple/release/$target" "$work/bin"
    done
}
# scripts/cached-target runs this script as `fuzz.sh build`: the target folder is in the cache, since
# wasmtime takes minutes to compile.
if [ "${1:-}" = build ]; then
    set -e
    build
    exit
fi
. qemu/suites/ktap.sh

# The guests except large ones, which take long and of whose bytes few matter.
seeds() {
    rm -rf "$work/seeds"
    mkdir -p "$work/seeds"
    find target/guests target/hostile -name '*.wasm' -size -64k -exec cp -t "$work/seeds" {} +
    find "$work/seeds" -type f | wc -l
    [ "$(find "$work/seeds" -type f | wc -l)" -gt 50 ]
}

fuzz() {
    local target=$1 status=0 inputs=("$work/corpus/$1" "$work/seeds") length=65536
    # These make a program from a few bytes, and do not read guests.
    case $target in
        control | compiled) inputs=("$work/corpus/$1") length=4096 ;;
    esac
    mkdir -p "$work/corpus/$target" "$work/artifacts/$target"
    "$work/bin/$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len="$length" \
        -print_final_stats=1 -artifact_prefix="$work/artifacts/$target/" "${inputs[@]}" \
        >"$work/$target.log" 2>&1 || status=$?
    [ "$status" = 0 ] || tail -n 40 "$work/$target.log"
    return "$status"
}

# Prints the number of inputs, the coverage and the memory of a run from its log.
tell() {
    local log=$work/$1.log
    sed -nE 's/^stat::(number_of_executed_units|average_exec_per_sec|peak_rss_mb): +/# '"$1"': \1 /p' "$log"
    grep -E '^#[0-9]+' "$log" | tail -n 1 | sed -E "s/^/# $1: /"
}

check "the fuzz targets are built" scripts/cached-target fuzz engine/fuzz bash "$0" build
check "there are guests to begin with" seeds
for target in $targets; do
    check "$target finds no failure in $seconds s" fuzz "$target"
    tell "$target"
done
finish
