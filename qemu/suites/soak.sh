#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off --timeout 9000 --env KWASMI_SOAK_GUESTS --env KWASMI_SOAK_SECONDS --env KWASMI_TEST_PERCENT
# Runs guests of all kinds for a while, and checks that no memory is lost. A longer run:
#
#     KWASMI_SOAK_GUESTS=100000 KWASMI_SOAK_SECONDS=1200 scripts/test soak
. /suites/ktap.sh >/dev/null

kwasmi-abi soak
status=$?
look_for_leaks
if [ -e /sys/kernel/debug/kmemleak ]; then
    echo "# kmemleak: $(grep -c '^unreferenced object' /sys/kernel/debug/kmemleak) unreferenced blocks"
fi
exit "$status"
