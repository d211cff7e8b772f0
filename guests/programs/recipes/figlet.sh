#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Prints words in large letters, from files that describe them.
. "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

begin "$1"
debian_source figlet
cd "$source"
# figlet needs definitions that wasi-libc does not have in the headers that figlet includes.
wasm_flags=(-D__BEGIN_DECLS= -D__END_DECLS= -include getopt.h)
c_program figlet -DTLF_FONTS -DDEFAULTFONTDIR='"."' -DDEFAULTFONTFILE='"standard"' crc.c figlet.c inflate.c utf8.c zipio.c
mkdir "$out/share/figlet"
cp fonts/{banner,big,slant,standard}.flf "$out/share/figlet"
finish "Debian's source of figlet"
