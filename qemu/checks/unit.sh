#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# sources only
# Tests of the crates by cargo test, including kwasmi-vm and the engine on the host.
. qemu/suites/ktap.sh
[ -z "${CI:-}" ] || export CARGO_INCREMENTAL=0

log=$(mktemp)
status=0
export PATH=/opt/rust/bin:$PATH
cached() { scripts/cached-target --in-ci target unit . "$@"; }
cached cargo test --locked "$(scripts/wasmi)" --workspace --features kwasmi-engine/simulator --no-fail-fast >"$log" 2>&1 ||
    status=$?
# wasmi without the patches.
cached cargo test --locked --package kwasmi-engine --no-default-features --test patches programs_go_wrong >>"$log" 2>&1 ||
    status=$?

# Each line is a test: its program, its name, and its result.
while IFS=$'\t' read -r name outcome; do
    case $outcome in
        ok) check "$name" true ;;
        ignored*) skip "$name" "ignored" ;;
        *) check "$name" grep -A 30 -F -- "---- ${name#* } stdout ----" "$log" - ;;
    esac
done < <(awk '
    $1 == "Running" || $1 == "Doc-tests" { program = $2 == "unittests" ? $3 $4 : $2; sub(/\(.*\/deps\//, " ", program); sub(/-[0-9a-f]+\)$/, "", program) }
    /^test .* \.\.\. / { name = $0; sub(/^test /, "", name); outcome = name; sub(/ \.\.\. .*/, "", name); sub(/.* \.\.\. /, "", outcome); print program " " name "\t" outcome }
' "$log")
succeeds() {
    [ "$status" = 0 ] || { grep -A 20 '^error' "$log" | head -n 60; tail -n 20 "$log"; df -h target; return 1; }
}
check "cargo test succeeds: $(grep -c '^test result: ok' "$log") programs" succeeds
rm -f "$log"
finish
