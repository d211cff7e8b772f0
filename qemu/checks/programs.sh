#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Programs that nobody here wrote do in the engine, as an ordinary process, what their native twins do.
exec guests/programs/check "$PWD/target/native/${KWASMI_KERNEL_NAME:-stock}/kwasmi-native"
