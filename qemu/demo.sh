#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The demo, in the VM: prints commands and their output. `kwasmi run` runs the programs in the
# kernel, with its own standard streams.

show() {
    echo "\$ $*"
    sh -c "$*" 2>&1
}

show uname -r
show 'lsmod | grep kwasmi'
for language in rust c; do
    show "kwasmi run /guests/hello-$language.wasm"
    show "printf 'one two\nthree\n' | kwasmi run /guests/wc-$language.wasm"
    show "kwasmi run /guests/primes-$language.wasm 20"
done
