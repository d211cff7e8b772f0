#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off --param compiler=0 --add target/x86_64-unknown-linux-gnu/release/kwasmi-spec kwasmi-spec
# not on the debug kernel: it takes ten minutes there; `compiler` runs a part of these tests there
# Runs the tests of the WebAssembly specification in the kernel, interpreted. The suite `compiler` runs
# them compiled.
exec /host/kwasmi-spec
