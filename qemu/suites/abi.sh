#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --env KWASMI_RACE --env KWASMI_TEST_PERCENT
# Tests of every ioctl with valid and invalid arguments, with fault injection in the engine. Guests are
# interpreted, as many tests limit their fuel; the suite `abi-compiled` runs the others again.
. /suites/ktap.sh >/dev/null

rmmod kwasmi
insmod /lib/kwasmi/kwasmi.ko verify=off fault_injection=1 compiler=0
kwasmi-abi
status=$?
look_for_leaks
exit "$status"
