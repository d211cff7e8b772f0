#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# The engine object that is linked into kwasmi.ko, in an ordinary process: what guests do, and how deep its stack gets.
. qemu/suites/ktap.sh

native=target/native/${KWASMI_KERNEL_NAME:-stock}/kwasmi-native
work=$(mktemp -d)
seq 1 100000 >"$work/numbers"
: >"$work/empty"

twin() {
    local name=$1 input=$2 guest
    shift 2
    guest=0
    "$native" "target/guests/$name.wasm" "$@" <"$input" >"$work/guest" 2>&1 || guest=$?
    local twin=0
    "target/guests/native/$name" "$@" <"$input" >"$work/native" 2>&1 || twin=$?
    equal "$twin" "$guest" && cmp "$work/native" "$work/guest"
}
status() {
    local wanted=$1 got=0
    shift
    "$native" "$@" >"$work/out" 2>&1 || got=$?
    equal "$wanted" "$got" || { cat "$work/out"; return 1; }
}
# The deepest use of the engine stack over every guest: under half of the 64 KiB that it has.
stack_peak() {
    local peak=0 deep guest
    for guest in target/guests/*.wasm; do
        deep=$("$native" --stats "$guest" 10 <"$work/empty" 2>&1 >/dev/null | sed -n 's/.*, \([0-9]*\) to run$/\1/p')
        [ -n "$deep" ] || { echo "$guest"; return 1; }
        echo "$guest: $deep bytes"
        [ "$deep" -le "$peak" ] || peak=$deep
    done
    [ "$peak" -gt 8192 ] && [ "$peak" -lt 32768 ]
}

for language in rust c; do
    check "hello in $language" twin hello-$language "$work/empty"
    check "cat in $language" twin cat-$language "$work/numbers"
    check "wc in $language" twin wc-$language "$work/numbers"
    check "primes in $language" twin primes-$language "$work/empty" 10000
done
native+=-retpolines check "primes as where the kernel uses retpolines" twin primes-rust "$work/empty" 10000
check "a module of several megabytes" twin big "$work/empty"
check "no Wasm is refused" status 126 "$work/numbers"
check "the engine stack is less than half used" stack_peak
rm -rf "$work"
finish
