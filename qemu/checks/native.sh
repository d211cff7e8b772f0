#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# The engine object of kwasmi.ko in an ordinary process: guests behave as their native twins, and
# the engine's stack is large enough.
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
    local expected=$1 got=0
    shift
    "$native" "$@" >"$work/out" 2>&1 || got=$?
    equal "$expected" "$got" || { cat "$work/out"; return 1; }
}
# Determines the deepest use of the engine stack by any guest, which must be less than half of its
# 64 KiB.
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
    check "hello in $language behaves as its twin" twin hello-$language "$work/empty"
    check "cat in $language copies lines" twin cat-$language "$work/numbers"
    check "wc in $language counts lines" twin wc-$language "$work/numbers"
    check "primes in $language behaves as its twin" twin primes-$language "$work/empty" 10000
done
check "a module of several megabytes behaves as its twin" twin big "$work/empty"
check "a file that is not Wasm is refused" status 126 "$work/numbers"
check "guests use less than half of the engine stack" stack_peak
rm -rf "$work"
finish
