#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# A compressor.
. "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

begin "$1"
debian_source bzip2
cd "$source"
c_program bzip2 -D_FILE_OFFSET_BITS=64 blocksort.c bzip2.c bzlib.c compress.c crctable.c decompress.c huffman.c randtable.c
finish "Debian's source of bzip2"
