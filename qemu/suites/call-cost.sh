#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --icount --param verify=off
# Instructions of calls.
exec kwasmi-abi call-cost
