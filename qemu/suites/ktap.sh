# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0
# Results of a suite in KTAP, for suites in the VM and checks on the host. A suite is
#
#     . /suites/ktap.sh
#     check "a statement about COMMAND" COMMAND [ARG]...
#     skip "a statement that cannot be tested" "reason"
#     finish
#
# COMMAND may be a function. Its output is printed if it fails. The plan is printed last, so that a
# suite that ends early has none and fails.

ktap_count=0
ktap_failed=0
ktap_output=$(mktemp)

echo "KTAP version 1"

check() {
    ktap_name=$1
    shift
    ktap_count=$((ktap_count + 1))
    ktap_status=0
    read -r ktap_begin _ </proc/uptime
    # Without the suite's standard input, which may be data of the suite.
    "$@" >"$ktap_output" 2>&1 </dev/null || ktap_status=$?
    read -r ktap_end _ </proc/uptime
    echo "# $((${ktap_end%.*} - ${ktap_begin%.*})) s"
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

# equal EXPECTED GOT: succeeds if both texts are the same, and prints them otherwise.
equal() {
    [ "$1" = "$2" ] && return
    printf 'expected: %s\ngot:      %s\n' "$1" "$2"
    return 1
}

# guest_runs: waits up to 60 s until a guest has been loaded and had time to enter its function. The
# load takes seconds on the debug kernel.
guest_runs() {
    for _ in $(seq 600); do
        if ! kwasmi status | grep -qx 'instances: 0'; then
            sleep 0.3
            return
        fi
        sleep 0.1
    done
    echo "no guest runs after 60 s"
    return 1
}

# within SECONDS COMMAND...: repeats COMMAND until it succeeds, for at most SECONDS.
within() {
    tries=$(($1 * 10))
    shift
    for _ in $(seq "$tries"); do
        ! "$@" || return 0
        sleep 0.1
    done
    echo "not within $((tries / 10)) s: $*"
    return 1
}

# pid_of SERVICE: prints the process ID of the supervisor.
pid_of() { kwasmi ps -j "$1" | sed 's/.*"pid":\([0-9]*\).*/\1/'; }

# has_no_name SERVICE: succeeds if no service has this name.
has_no_name() { ! kwasmi ps "$1" >/dev/null 2>&1; }

# Makes a kernel with kmemleak report leaks in its log. It ignores blocks younger than five seconds.
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
