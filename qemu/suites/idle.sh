#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --memory 1024 --param verify=off
# not on the debug kernel: its memory is that of the stock kernel, without checks
# Memory of idle reactors: 2,000 instances in a pool, with a thread each.
. /suites/ktap.sh >/dev/null

kwasmi-abi idle
status=$?
look_for_leaks
exit "$status"
