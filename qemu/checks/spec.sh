#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Runs the tests of the WebAssembly specification with the engine object of kwasmi.ko, in an
# ordinary process.
exec target/x86_64-unknown-linux-gnu/release/kwasmi-spec --command "target/native/${KWASMI_KERNEL_NAME:-stock}/kwasmi-native"
