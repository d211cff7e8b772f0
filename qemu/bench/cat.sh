#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Copies 1 GiB from a file by cat to /dev/null, three times by the native program and by the guest
# in the kernel. The program is in C, because Rust's standard output searches every byte for line
# ends, which is slow in an interpreter.

cd /tmp || exit
head -c 1073741824 /dev/zero >gib

# milliseconds COMMAND...: prints the elapsed time of COMMAND with gib as standard input.
milliseconds() {
    before=$(cut -d' ' -f1 /proc/uptime | tr -d .)
    "$@" <gib >/dev/null || exit
    after=$(cut -d' ' -f1 /proc/uptime | tr -d .)
    echo $(((after - before) * 10))
}

echo "1 GiB through cat, milliseconds"
echo "native  kwasmi  speed relative to native"
for _ in 1 2 3; do
    native=$(milliseconds /guests/native/cat-c)
    kwasmi=$(milliseconds kwasmi run /guests/cat-c.wasm)
    printf '%6d  %6d  %d %%\n' "$native" "$kwasmi" $((native * 100 / kwasmi))
done
