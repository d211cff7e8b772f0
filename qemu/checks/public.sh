#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# on demand
# Programs that other people ship behave in the engine, in an ordinary process, as in wasmtime. The
# lines "# time" of the output have the CPU times.
exec guests/programs/public/check "$PWD/target/native/${KWASMI_KERNEL_NAME:-stock}/kwasmi-native"
