#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off --cpus 4 --memory 4096 --timeout 1800 --add target/hostile hostile
# Programs that attack the kernel that runs them end as is written down beside each, one after another and all at once,
# and leave nothing behind.
. /suites/ktap.sh >/dev/null

kwasmi-abi hostile
status=$?
look_for_leaks
exit "$status"
