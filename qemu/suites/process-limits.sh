#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off --timeout 1200 --env KWASMI_EFFORT
# A guest obeys the limits that a process obeys, and is refused what a process is refused.
. /suites/ktap.sh >/dev/null

kwasmi-abi process-limits rebuilt
status=$?
look_for_leaks
exit "$status"
