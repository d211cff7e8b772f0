#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# sources only
# No warning of shellcheck's, in any script.
. qemu/suites/ktap.sh

while IFS= read -r file; do
    case $file in
        *.sh) ;;
        *) head -n 1 "$file" | grep -qE '^#(!.*[/ ](ba)?sh$| shellcheck shell=)' || continue ;;
    esac
    options=(--external-sources --source-path=SCRIPTDIR --exclude=SC1091 --severity=warning)
    # What runs in the VM is for the shell there, which has more than shellcheck knows: `exec -a`.
    [[ $file != qemu/suites/* ]] || options+=(--shell=busybox --exclude=SC3038)
    check "$file" shellcheck "${options[@]}" "$file"
done < <(git ls-files --cached --others --exclude-standard)
finish
