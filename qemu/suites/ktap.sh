# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0
# What the suites share: results in KTAP. A suite is
#
#     . /suites/ktap.sh
#     check "what is true" COMMAND [ARG]...
#     skip "what cannot be tried" "why"
#     finish
#
# COMMAND may be a function. What it prints is shown if it fails. The plan comes at the end, so that a suite that
# does not reach it has none, and fails.

ktap_count=0
ktap_failed=0
ktap_output=$(mktemp)

echo "KTAP version 1"

check() {
    ktap_name=$1
    shift
    ktap_count=$((ktap_count + 1))
    ktap_status=0
    # Without standard input, of which the suite itself may be a part.
    "$@" >"$ktap_output" 2>&1 </dev/null || ktap_status=$?
    if [ "$ktap_status" = 0 ]; then
        echo "ok $ktap_count - $ktap_name"
    else
        ktap_failed=$((ktap_failed + 1))
        sed 's/^/# /' "$ktap_output"
        echo "# status $ktap_status"
        echo "not ok $ktap_count - $ktap_name"
    fi
}

skip() {
    ktap_count=$((ktap_count + 1))
    echo "ok $ktap_count - $1 # SKIP $2"
}

# equal WANTED GOT: whether they are the same text; says what they are if not.
equal() {
    [ "$1" = "$2" ] && return
    printf 'wanted: %s\ngot:    %s\n' "$1" "$2"
    return 1
}

# A kernel that looks for leaks reports them in its log, of what is older than five seconds.
look_for_leaks() {
    if [ -e /sys/kernel/debug/kmemleak ]; then
        sleep 6
        echo scan >/sys/kernel/debug/kmemleak
        echo scan >/sys/kernel/debug/kmemleak
    fi
}

finish() {
    look_for_leaks
    rm -f "$ktap_output"
    echo "1..$ktap_count"
    [ "$ktap_failed" = 0 ]
}
