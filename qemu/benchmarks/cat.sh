#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# 1 GiB from a file through cat to /dev/null: in the kernel against the same program natively, side by side, three times. In C:
# the standard output of Rust's library looks for line ends in every byte, which an interpreter feels.

cd /tmp || exit
head -c 1073741824 /dev/zero >gib

# milliseconds COMMAND...: how long it takes with gib as its input.
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
