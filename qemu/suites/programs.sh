#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off --memory 2048 --timeout 1800 --add target/programs programs
# Programs that nobody here wrote do in the kernel what their native twins do, files and all.
. /suites/ktap.sh

cd /tmp || exit
export PROGRAMS=/host/programs RUNNER="kwasmi run"
. $PROGRAMS/twins.sh

nothing_held() {
    sleep 1
    kwasmi status >out
    grep -qx 'modules: 0' out && grep -qx 'instances: 0' out && grep -qx 'heap: 0 bytes in 0 blocks' out ||
        { cat out; return 1; }
}

. $PROGRAMS/cases.sh
check "nothing is held afterwards" nothing_held
finish
