#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off --add target/libraries/c/client-test client-test --add target/libraries/c/call call --add target/libraries/c/ring ring --add target/x86_64-unknown-linux-gnu/release/kwasmi-call-example call-rust
# not on the debug kernel: it tests the libraries, and `abi` calls functions, too
# The library for C: calls of services, and guests that its program loads and runs. The examples of
# docs/calls.md in C and Rust.
. /suites/ktap.sh

cd /tmp || exit
calls=/guests/fixtures/calls.wat
# The library takes modules in the binary format only.
kwasmi key new --key key.pem --cert cert.pem && kwasmi sign --key key.pem --cert cert.pem -o sum.wasm $calls || exit

# fresh TEST: runs a test of the program with a new service `sum`.
fresh() {
    has_no_name sum || kwasmi rm -f sum
    kwasmi spawn sum $calls && /host/client-test "$1"
}
words() {
    kwasmi spawn words /guests/examples/words.wasm && /host/client-test bytes && kwasmi stop words
}
unknown() {
    kwasmi spawn loop /guests/fixtures/loop.wat && fresh unknown && kwasmi stop loop
}
examples() {
    equal "sum: the service has ended" "$(/host/call 2>&1)"
    equal 1 "$(/host/ring; echo $?)"
    kwasmi rm sum && kwasmi spawn sum $calls && equal 40 "$(/host/call)" && equal "[80]" "$(/host/call-rust)" || return
    # 80 and the sum of 1 to 64.
    equal 2160 "$(/host/ring | tail -n 1)" && equal 64 "$(/host/ring | wc -l)"
}

check "a call passes numbers of all types" fresh numbers
check "an empty call is one ioctl" fresh one-ioctl
check "a ring makes many calls with one ioctl" fresh ring
check "a call passes bytes" words
check "unknown services and functions are errors" unknown
check "arguments of wrong types are refused before the call" fresh wrong-types
check "a call that has not begun within the timeout has not run" fresh not-begun
check "a call that has not returned within the timeout runs on" fresh runs-on
check "a call ends when the supervisor is killed" fresh supervisor-killed
check "a trap ends the call and the service" fresh trap
check "the examples call a function" examples
check "wait returns at the end of a service, whose status can be read" fresh wait
check "a program is the supervisor of a service" /host/client-test spawn
check "a program runs a guest with arguments and a stream" /host/client-test program
finish
