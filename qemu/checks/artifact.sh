#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Properties of kwasmi.ko and the engine object: size, sections, symbols, alternatives.
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
# Counts indirect jumps without an alternative: these would still work, by a retpoline, but slowly.
none_left_out() {
    local jumps alternatives
    jumps=$(objdump -dr --no-show-raw-insn "$out/engine.o" | awk '
        /^[0-9a-f]+ <.*>:$/ { is_handler = $2 ~ /^<kwe\.exec\./ }
        is_handler && is_call && /__x86_indirect_thunk_r11-0x4$/ { count++ }
        { is_call = $2 == "jmp" || $2 == "call" }
        END { print count }')
    alternatives=$(readelf -rW "$ko" | awk '/^Relocation section/ { is_ours = /\.rela\.altinstructions/ } is_ours && $5 ~ /^kwe\.exec\./' | wc -l)
    echo "$jumps jumps and calls, $alternatives alternatives"
    [ "$jumps" -gt 1000 ] && [ "$jumps" -eq "$alternatives" ]
}
hot_handlers() {
    equal "" "$(comm -23 <(grep -v '^#' kmod/engine/hot-handlers | cut -d' ' -f1 | sort -u) \
        <(readelf -sW "$out/engine.o" | sed -n 's/.* kwe\.exec\.\(.*\)\.[0-9]*$/\1/p' | sort -u))"
}
# Checks that the listed successors are targets of indirect jumps: only functions that begin with
# endbr64 are.
successors() {
    equal "" "$(comm -23 <(grep -v '^#' kmod/engine/hot-handlers | cut -s -d' ' -f2- | tr ' ' '\n' | sort -u) \
        <(objdump -d --no-show-raw-insn "$out/engine.o" | awk '
            is_first && $2 == "endbr64" { print name }
            { is_first = 0 }
            match($0, /<kwe\.exec\..*>:$/) {
                name = substr($0, RSTART + 10, RLENGTH - 12)
                sub(/\.[0-9]+$/, "", name)
                is_first = 1
            }' | sort -u))"
}

check "kwasmi.ko has at most 5 MiB" at_most 5242880
check "it has no debug information" is_stripped
check "objtool and modpost give no warning" no_warnings
check "it needs only symbols that the kernel exports" only_exported
check "only the entry points are global" equal \
    "__this_module cleanup_module init_module" "$(globals)"
check "every indirect jump and call of a handler has an alternative for retpolines" none_left_out
check "all handlers in hot-handlers exist" hot_handlers
check "all successors in hot-handlers are targets of indirect jumps" successors
check "it is built for the kernel's release" is_for_the_kernel
check "its licence is GPL" is_gpl
finish
