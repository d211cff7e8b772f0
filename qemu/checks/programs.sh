#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Programs by other authors behave in the engine, in an ordinary process, as their native twins do.
exec guests/programs/check "$PWD/target/native/${KWASMI_KERNEL_NAME:-stock}/kwasmi-native"
