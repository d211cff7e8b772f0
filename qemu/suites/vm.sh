#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# not on the debug kernel: it tests the VM
# Environment of a command in the VM.
. /suites/ktap.sh

has_line() { grep -q "$1" "$2" || { cat "$2"; return 1; }; }
# The parent of a command is this shell, which is started by `init` as the first process of its
# session.
is_session_leader() { equal "$$" "$(awk '{ print $6 }' /proc/$$/stat)"; }
clock_is_set() { [ "$(date +%Y)" -ge 2026 ]; }
nobody_may_not() { ! su -s /bin/sh nobody -c 'cat /etc/kwasmi-job'; }

check "a command runs as root" equal 0 "$(id -u)"
check "the working directory is /root" equal /root "$PWD"
check "a command has its own session" is_session_leader
check "PATH has the usual folders" equal /bin:/sbin:/usr/bin:/usr/sbin "$PATH"
check "the host name is kwasmi" equal kwasmi "$(hostname)"
check "cgroup2 is mounted" has_line '^cgroup2 /sys/fs/cgroup ' /proc/mounts
check "the memory controller is available" has_line memory /sys/fs/cgroup/cgroup.controllers
check "debugfs is mounted" has_line '^debugfs /sys/kernel/debug ' /proc/mounts
check "pseudo-terminals are available" test -e /dev/pts/ptmx
check "the standard streams have names in /dev" test -L /dev/stdin -a -L /dev/stdout -a -L /dev/stderr -a -L /dev/fd
check "files can be made in /tmp" touch /tmp/file
check "the loopback interface is up" ping -c 1 -W 5 127.0.0.1
check "su changes to another user" equal nobody "$(su -s /bin/sh nobody -c 'id -un')"
check "another user cannot read root's files" nobody_may_not
check "the clock is set" clock_is_set
check "the VM has two processors" equal 2 "$(nproc)"
check "the module is loaded" has_line '^kwasmi ' /proc/modules
check "the device exists" test -c /dev/kwasmi
check "the command runs" kwasmi version
check "the guests and their twins are there" test -e /guests/hello-rust.wasm -a -x /guests/native/hello-rust
finish
