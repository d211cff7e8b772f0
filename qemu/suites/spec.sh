#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off --add target/x86_64-unknown-linux-gnu/release/kwasmi-spec kwasmi-spec
# Runs the tests of the WebAssembly specification in the kernel.
exec /host/kwasmi-spec
