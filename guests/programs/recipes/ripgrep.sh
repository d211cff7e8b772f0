#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Searches for text in files and folders.
. "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

begin "$1"
crate_program ripgrep 15.2.0 rg
finish "crate ripgrep"
