# shellcheck shell=bash disable=SC2034 # scripts/build-kmod uses the variables
# SPDX-License-Identifier: GPL-2.0
# Settings of scripts/build-kmod for x86-64.

# Target of the engine object: the file beside this one.
engine_target=x86_64-kwasmi

# Flags of rustc for the engine object. Each function begins 16 bytes after the start of a cache
# line; the kernel may patch these 16 bytes. Without a fixed alignment, the speed of a handler varies
# by a tenth with its address.
# shellcheck disable=SC2054 # commas belong to the flags
engine_flags=(
  -Zcf-protection=branch
  -Zfunction-return=thunk-extern
  -Zpatchable-function-entry=16,16
  -Zfmt-debug=none
  -Cforce-unwind-tables=n
  -Cjump-tables=n
  -Zmin-function-alignment=64
)

# Folder of the processor in arch/ of the kernel, and flags for the compiler that reads its headers.
kernel_arch=x86
kernel_arch_flags=(-m64)
