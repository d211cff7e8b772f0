#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# A compressor.
. "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

begin "$1"
debian_source libzstd
cd "$source"
c_program zstd -DZSTD_DISABLE_ASM -DXXH_NAMESPACE=ZSTD_ -DBACKTRACE_ENABLE=0 -DZSTD_NOBENCH -DZSTD_NODICT -DZSTD_NOTRACE \
  -Ilib -Ilib/common lib/common/*.c lib/compress/*.c lib/decompress/*.c programs/fileio.c programs/fileio_asyncio.c \
  programs/timefn.c programs/util.c programs/zstdcli.c programs/zstdcli_trace.c
finish "Debian's source of libzstd"
