#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# sources only
# An interrupted setup is continued or started again, and a half-made tree is never used. Tested
# with a build root and a kernel of a few files instead of the real ones, which take minutes.
. qemu/suites/ktap.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# setup WHERE: runs a first setup, which is killed at WHERE. Prints the build root's folder if it
# completes.
setup() {
    KWASMI_CACHE=$work/cache setsid --wait bash -c '
        . scripts/common.sh
        where=$1
        killed() { [ "$1" != "$where" ] || kill -KILL 0; }
        host_tools() { :; }
        host_namespaces() { :; }
        df() { printf "\n- - - %s\n" 99999999; }
        make_root_tree() {
            echo unpacking
            mkdir -p "$1/opt"
            echo one >"$1/one"
            killed unpacking
            [ ! -e "$1/stale" ] && echo two >"$1/two"
        }
        enter() {
            echo finishing
            mkdir "$1/opt/rust"
            echo three >"$1/opt/rust/three"
            killed finishing
            echo four >"$1/opt/rust/four"
        }
        setup_root 2>/dev/null
        echo "$ROOT"' bash "$1"
}
interrupted() {
    setup "$1" 2>/dev/null
    equal 137 "$?" && equal "" "$(find "$work/cache" -maxdepth 1 -name 'root-*')"
}
spoil() { find "$work/cache" -maxdepth 1 -name 'base-*' -exec touch {}/stale \;; }
done_before() { equal "$1" "$(cat "$work/cache/log/root.log" "$work/cache/log/root-finish.log" 2>/dev/null | paste -sd' ')"; }
complete() {
    local root
    root=$(setup nowhere) && equal ". ./.complete ./.unpacked ./one ./opt ./opt/rust ./opt/rust/four ./opt/rust/three ./two" \
        "$(cd "$root" && find . | LC_ALL=C sort | paste -sd' ')" && equal "" "$(find "$work/cache" -name 'base-*')"
}
again() {
    rm "$work/cache"/log/*
    complete && done_before ""
}

check "a setup killed while packages are unpacked leaves no build root" interrupted unpacking
spoil
check "a setup killed while the build root is finished leaves none" interrupted finishing
check "half-unpacked packages are unpacked again" done_before "unpacking finishing"
rm -f "$work/cache"/log/*
check "the next setup makes a complete build root" complete
check "completely unpacked packages are not unpacked again" done_before finishing
check "a setup with a complete build root does nothing" again

tells_size() { KWASMI_CACHE=$work/cache bash scripts/setup --size | grep -q "^[0-9.]*[KM][[:space:]]$work/cache\$"; }
removes() { KWASMI_CACHE=$work/cache bash scripts/setup --remove 2>/dev/null && [ ! -e "$work/cache" ]; }
check "--size prints the size of the cache" tells_size
check "--remove deletes the cache" removes

# kernel [ARG]: runs qemu/kernel with a table of one row.
mkdir -p "$work/kernels" "$work/qemu"
cp qemu/kernel qemu/kernel-source.sh "$work/qemu"
echo "small parts" >"$work/qemu/kernels"
cat >"$work/qemu/kernel-parts" <<'SH'
echo one >"$2/one"
[ ! -e /cache/kill ] || kill -KILL 0
echo two >"$2/two"
SH
kernel() {
    # The build root's mounts are already private.
    unshare --mount --propagation unchanged bash -c 'busybox mount --bind "$0/kernels" /cache && busybox mount --bind "$0/qemu" /kwasmi/qemu &&
        exec setsid --wait bash /kwasmi/qemu/kernel small "$@"' "$work" "$@"
}
kernel_interrupted() {
    touch "$work/kernels/kill"
    kernel --make
    equal 137 "$?" || return
    rm "$work/kernels/kill"
    kernel
    equal 3 "$?"
}
kernel_complete() {
    touch "$(echo "$work"/kernels/*.part)/stale" && kernel --make && equal "$(kernel)" "$(kernel --make)" &&
        equal ".complete one two" "$(cd "$work"/kernels/kernel-small-* && find . -type f -printf '%P\n' | LC_ALL=C sort | paste -sd' ')"
}
check "a killed build of a kernel leaves no kernel" kernel_interrupted
check "the next build makes a complete kernel" kernel_complete
finish
