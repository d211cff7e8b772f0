#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off --env KWASMI_RACE --env KWASMI_TEST_PERCENT
# Tests of ioctls with compiled guests, with fault injection: those of the suite `abi` that do not
# limit fuel.
. /suites/ktap.sh >/dev/null

kwasmi-abi load start run invoke calls upgrade pool rest counters faults fuzz race
status=$?
look_for_leaks
exit "$status"
