#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off --memory 2048 --add target/programs programs --env KWASMI_ENGINE
# not on the debug kernel: it takes ten minutes there
# Programs by other authors behave in the kernel as their native twins do, including the files that
# they write.
. /suites/ktap.sh

cd /tmp || exit
export PROGRAMS=/host/programs RUNNER="kwasmi run --engine ${KWASMI_ENGINE:-auto}"
. $PROGRAMS/twins.sh

nothing_held() {
    sleep 1
    kwasmi status >out
    grep -qx 'modules: 0' out && grep -qx 'instances: 0' out && grep -qx 'heap: 0 bytes in 0 blocks' out ||
        { cat out; return 1; }
}

. $PROGRAMS/cases.sh
check "kwasmi holds nothing afterwards" nothing_held
finish
