#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# on demand
# options: --param verify=off --memory 6144 --timeout 3600 --add target/public public --env KWASMI_ENGINE
# Programs that other people ship behave in the kernel as in wasmtime, including the files that they
# write.
. /suites/ktap.sh

cd /tmp || exit
PUBLIC=/host/public
. $PUBLIC/sides.sh

# shellcheck disable=SC2034 # read by sides.sh
[ "${KWASMI_ENGINE:-auto}" != interpreter ] || INTERPRETED=yes
on_kwasmi() { kwasmi run --engine "${KWASMI_ENGINE:-auto}" "$@"; }
# The results of wasmtime are those of guests/programs/public/build.
expected_results() { rm -rf wasmtime && cp -r "$PUBLIC/wasmtime/$1" wasmtime; }
nothing_held() {
    sleep 1
    kwasmi status >out
    grep -qx 'modules: 0' out && grep -qx 'instances: 0' out && grep -qx 'heap: 0 bytes in 0 blocks' out ||
        { cat out; return 1; }
}

. $PUBLIC/cases.sh
check "kwasmi holds nothing afterwards" nothing_held
finish
