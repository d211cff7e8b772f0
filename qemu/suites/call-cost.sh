#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --icount --param verify=off
# not on the debug kernel: its figures are those of the stock kernel
# Compares the instructions of an empty call of a reactor with those of getppid(2), and of an empty
# guest with those of an empty process.
exec kwasmi-abi call-cost
