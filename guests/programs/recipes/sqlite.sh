#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# A database, and its shell. WASI has no file locks, so SQLite locks a database by a folder beside
# it.
. "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

begin "$1"
debian_packages tcl tcl8.6 libtcl8.6
debian_source sqlite3
cp -r "$source" "$work/source"
mkdir "$work/build" "$work/bin"
# Scripts in Tcl make SQLite's sources.
cat >"$work/bin/tclsh" <<EOF
#!/bin/sh
library=$tools/usr/share/tcltk/tcl8.6
LD_LIBRARY_PATH=$tools/usr/lib/x86_64-linux-gnu TCL_LIBRARY=\$library TCL8_6_TM_PATH=\$library/tcl8 \\
exec $tools/usr/bin/tclsh8.6 "\$@"
EOF
chmod 755 "$work/bin/tclsh"
cd "$work/build"
PATH=$work/bin:$PATH ../source/configure --disable-readline --disable-tcl --disable-load-extension >configure.log
PATH=$work/bin:$PATH make sqlite3.c shell.c
# Module and native twin lock in the same way, so that they write and remove the same files.
c_program sqlite3 -DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_OMIT_WAL -DSQLITE_NOHAVE_SYSTEM -DUSE_PREAD \
  -DSQLITE_DEFAULT_UNIX_VFS='"unix-dotfile"' shell.c sqlite3.c
finish "Debian's source of sqlite3"
