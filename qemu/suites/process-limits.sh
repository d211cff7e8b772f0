#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off --env KWASMI_TEST_PERCENT
# Limits of a process, and the kernel's access checks, apply to a guest as to a process.
. /suites/ktap.sh >/dev/null

kwasmi-abi process-limits rebuilt
status=$?
look_for_leaks
exit "$status"
