#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# on demand
# The Debian packages: their contents, and their installation, upgrade and removal by apt in a real
# Debian with systemd. Two boots of one disk. KWASMI_IMAGE is the image, which scripts/test makes.
. qemu/suites/ktap.sh

tool=target/x86_64-unknown-linux-gnu/release/kwasmi-vm
kwasmi=target/x86_64-unknown-linux-gnu/release/kwasmi
work=$(mktemp -d -p /cache/tmp)
trap 'rm -rf "$work"' EXIT
read -r release kernel_version <"$KWASMI_KERNEL/release"

# A key for kwasmi.ko, and one for Wasm modules.
openssl req -x509 -newkey rsa:2048 -nodes -subj "/CN=owner of the machine" -keyout "$work/owner.key" -out "$work/owner.pem" \
    -days 30 2>/dev/null
"$kwasmi" key new --key "$work/signer.key" --cert "$work/signer.pem"

# Writes its arguments to standard output on a line, each followed by "|".
cat >"$work/arguments.wat" <<'END'
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $at i32) (local $end i32)
    (drop (call $sizes (i32.const 0) (i32.const 12)))
    (drop (call $get (i32.const 1024) (i32.const 4096)))
    (local.set $at (i32.const 4096))
    (local.set $end (i32.add (local.get $at) (i32.load (i32.const 12))))
    (loop $next
      (if (i32.eqz (i32.load8_u (local.get $at))) (then (i32.store8 (local.get $at) (i32.const 124))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
    (i32.store8 (local.get $end) (i32.const 10))
    (i32.store (i32.const 8) (i32.const 4096))
    (i32.store (i32.const 12) (i32.add (i32.load (i32.const 12)) (i32.const 1)))
    (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))))
END
mkdir "$work/guests"
sign() { "$kwasmi" sign --key "$work/signer.key" --cert "$work/signer.pem" -o "$work/guests/$1.wasm" "$2"; }
packages_are_made() {
    packages/build "$work/old" 0.1.0-1 "$work/owner.key" "$work/owner.pem" >"$work/made" &&
        packages/build "$work/new" 0.1.1-1 >/dev/null || return
    equal "$work/old/kwasmi-module-${release}_0.1.0-1_amd64.deb $work/old/kwasmi_0.1.0-1_amd64.deb $work/old/kwasmi-dev_0.1.0-1_amd64.deb $work/old/python3-kwasmi_0.1.0-1_all.deb" \
        "$(paste -sd' ' "$work/made")"
}
# extract_module FOLDER: unpacks kwasmi.ko from the packages in FOLDER.
extract_module() { dpkg-deb -x "$work/$1"/kwasmi-module-*.deb "$work/$1/module"; }
module_is_signed() {
    extract_module old && equal "owner of the machine" \
        "$(modinfo -F signer "$work/old/module/usr/lib/modules/$release/updates/kwasmi.ko")"
}
module_is_unsigned() {
    extract_module new && equal "" "$(modinfo -F signer "$work/new/module/usr/lib/modules/$release/updates/kwasmi.ko")"
}
module_needs_the_kernel() {
    equal "linux-image-$release (= $kernel_version), kmod" "$(dpkg-deb -f "$work/old"/kwasmi-module-*.deb Depends)"
}
packages_are_reproducible() {
    packages/build "$work/again" 0.1.1-1 >/dev/null && (cd "$work/again" && for deb in *.deb; do cmp "$deb" "../new/$deb" || exit; done)
}

check "the packages are made" packages_are_made
check "a key of the owner signs kwasmi.ko" module_is_signed
check "without a key kwasmi.ko has no signature" module_is_unsigned
check "the package of the module depends on the exact version of the kernel's package" module_needs_the_kernel
check "the same commit makes the same packages" packages_are_reproducible
check "the guests are signed" sign meminfo target/guests/examples/meminfo.wasm
check "a guest in the text format is signed" sign arguments "$work/arguments.wat"
check "a reactor in the text format is signed" sign sum guests/fixtures/calls.wat

# boot SCRIPT: runs qemu/packages/SCRIPT in a VM whose disk is that of the last boot, and reports its
# results as those of this suite.
boot() {
    local status=0 name outcome
    "$tool" run --timeout=900 --image "$KWASMI_IMAGE" --disk "$work/disk" --add qemu/suites/ktap.sh ktap.sh \
        --add "qemu/packages/$1" "$1" --add "$work/old" old --add "$work/new" new --add "$work/guests" guests \
        --add "$work/signer.pem" signer.pem --add libraries/python/tests/vm.py vm.py \
        --add libraries/python/examples/call.py call.py -- sh "/host/$1" </dev/null >"$work/results" 2>"$work/errors" || status=$?
    while IFS=$'\t' read -r outcome name; do
        if [ "$outcome" = ok ]; then check "$name" true; else check "$name" report "$name"; fi
    done < <(sed -n 's/^ok [0-9]* - /ok\t/p; s/^not ok [0-9]* - /not ok\t/p' "$work/results")
    check "the script $1 ends, and the system shuts down" ended "$status"
}
# report NAME: prints the output of a check in the VM that failed.
report() {
    awk -v name="$1" '/^ok / { text = "" } /^#/ { text = text $0 "\n" } /^not ok / { sub(/^not ok [0-9]* - /, ""); if ($0 == name) printf "%s", text; text = "" }' \
        "$work/results"
    return 1
}
# A status of 1 is that of a script with failed checks.
ended() {
    [ "$1" -le 1 ] && grep -q '^1\.\.[1-9]' "$work/results" || { cat "$work/results" "$work/errors"; return 1; }
}

boot install.sh
boot reboot.sh
finish
