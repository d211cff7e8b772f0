#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# sources only
# Shellcheck gives no warning for any script.
. qemu/suites/ktap.sh

while IFS= read -r file; do
    case $file in
        *.sh) ;;
        *) head -n 1 "$file" | grep -qE '^#(!.*[/ ](ba)?sh$| shellcheck shell=)' || continue ;;
    esac
    options=(--external-sources --source-path=SCRIPTDIR --exclude=SC1091 --severity=warning)
    # Suites run in the VM's busybox shell, which has extensions that shellcheck does not know:
    # `exec -a`.
    [[ $file != qemu/suites/* ]] || options+=(--shell=busybox --exclude=SC3038)
    check "$file has no warning" shellcheck "${options[@]}" "$file"
done < <(git ls-files --cached --others --exclude-standard)
finish
