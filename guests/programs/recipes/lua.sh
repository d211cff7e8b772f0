#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# An interpreter. shims/try.c and Binaryen's asyncify implement its errors, because this WASI has
# neither exceptions nor setjmp.
. "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

begin "$1"
debian_packages binaryen binaryen
debian_source lua5.4
cp -r "$source/src" "$work/src"
rm "$work/src/luac.c"
cd "$work/src"
echo '#define DEB_HOST_MULTIARCH "x86_64-linux-gnu"' >lua5.4-deb-multiarch.h
wasm_flags=(-include "$shims/try.h" "$shims/try.c")
c_program lua -DLUA_COMPAT_5_3 ./*.c
LD_LIBRARY_PATH=$tools/usr/lib/x86_64-linux-gnu "$tools/usr/bin/wasm-opt" --enable-bulk-memory --enable-multivalue \
  --enable-mutable-globals --enable-nontrapping-float-to-int --enable-reference-types --enable-sign-ext \
  -O1 --asyncify --pass-arg=asyncify-imports@none.none "$out/lua.wasm" -o "$work/lua.wasm"
mv "$work/lua.wasm" "$out/lua.wasm"
finish "Debian's source of lua5.4"
