#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# A JavaScript engine: QuickJS-ng, from the sources in a crate. QuickJS-ng supports WASI.
. "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

begin "$1"
crate_source rquickjs-sys 0.14.0
cd "$source/quickjs"
c_program qjs -D_GNU_SOURCE -DQUICKJS_NG_BUILD -funsigned-char dtoa.c gen/repl.c gen/standalone.c libregexp.c libunicode.c \
  qjs.c quickjs-libc.c quickjs.c
version=$(awk '/define QJS_VERSION_(MAJOR|MINOR|PATCH)/ { printf "%s%s", separator, $3; separator = "." }' quickjs.h)
finish "crate rquickjs-sys 0.14.0"
