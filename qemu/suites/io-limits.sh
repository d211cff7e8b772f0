#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off --env KWASMI_TEST_PERCENT
# not on the debug kernel: lockdep may report lock orders of the kernel's block layer
# io.cost and io.latency delay a guest as they delay a process. Only the debug kernel has io.latency.
. /suites/ktap.sh >/dev/null

kwasmi-abi io-limits
status=$?
look_for_leaks
exit "$status"
