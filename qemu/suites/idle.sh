#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --memory 1024 --param verify=off
# not on the debug kernel: the checks of that kernel change the memory that an instance takes
# Memory of idle reactors: 2,000 instances in a pool, with a thread each.
. /suites/ktap.sh >/dev/null

kwasmi-abi idle
status=$?
look_for_leaks
exit "$status"
