#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Properties of kwasmi.ko and the engine object: size, sections, symbols.
. qemu/suites/ktap.sh

kernel=$(qemu/kernel "${KWASMI_KERNEL_NAME:-stock}")
out=target/kmod/${KWASMI_KERNEL_NAME:-stock}
ko=$out/kwasmi.ko

at_most() {
    echo "$(stat -c %s "$ko") bytes"
    [ "$(stat -c %s "$ko")" -le "$1" ]
}
no_warnings() { ! grep -E 'warning|WARNING|undefined!' "$out/kbuild.log"; }
only_exported() {
    local missing
    missing=$(comm -23 <(readelf -sW "$ko" | awk '$7 == "UND" && $8 != "" { print $8 }' | sort -u) \
        <(cut -f2 "$kernel/build/Module.symvers" | sort -u))
    equal "" "$missing"
}
globals() {
    readelf -sW "$ko" | awk '($5 == "GLOBAL" || $5 == "WEAK") && $7 != "UND" { print $8 }' | sort | paste -sd' '
}
is_stripped() { ! readelf -SW "$ko" | grep -q '\.debug_'; }
is_for_the_kernel() { equal "$(cut -d' ' -f1 "$kernel/release")" "$(modinfo -F vermagic "$ko" | cut -d' ' -f1)"; }
is_gpl() { equal GPL "$(modinfo -F license "$ko")"; }

check "kwasmi.ko has at most 5.25 MiB" at_most 5505024
check "it has no debug information" is_stripped
check "objtool and modpost give no warning" no_warnings
check "it needs only symbols that the kernel exports" only_exported
check "only the entry points are global" equal \
    "__this_module cleanup_module init_module" "$(globals)"
check "it is built for the kernel's release" is_for_the_kernel
check "its licence is GPL" is_gpl
finish
