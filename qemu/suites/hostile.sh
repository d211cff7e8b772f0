#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off --cpus 4 --memory 4096 --env KWASMI_TEST_PERCENT --add target/hostile hostile
# Hostile guests (guests/hostile): each ends as its line in the list says, alone and with all others
# at the same time, and leaves nothing behind. KWASMI_TEST_PERCENT reduces the guests that run alone.
. /suites/ktap.sh >/dev/null

kwasmi-abi hostile
status=$?
look_for_leaks
exit "$status"
