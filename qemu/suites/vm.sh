#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What a command finds in the VM.
. /suites/ktap.sh

has_line() { grep -q "$1" "$2" || { cat "$2"; return 1; }; }
# Its parent is this shell, which `init` started: the first process of its session.
is_session_leader() { equal "$$" "$(awk '{ print $6 }' /proc/$$/stat)"; }
clock_is_set() { [ "$(date +%Y)" -ge 2026 ]; }
nobody_may_not() { ! su -s /bin/sh nobody -c 'cat /etc/kwasmi-job'; }

check "root" equal 0 "$(id -u)"
check "in /root" equal /root "$PWD"
check "a session of its own" is_session_leader
check "the path" equal /bin:/sbin:/usr/bin:/usr/sbin "$PATH"
check "host name" equal kwasmi "$(hostname)"
check "cgroup2" has_line '^cgroup2 /sys/fs/cgroup ' /proc/mounts
check "the memory controller" has_line memory /sys/fs/cgroup/cgroup.controllers
check "debugfs" has_line '^debugfs /sys/kernel/debug ' /proc/mounts
check "pseudo-terminals" test -e /dev/pts/ptmx
check "standard streams by name" test -L /dev/stdin -a -L /dev/stdout -a -L /dev/stderr -a -L /dev/fd
check "temporary files" touch /tmp/file
check "loopback" ping -c 1 -W 5 127.0.0.1
check "another user" equal nobody "$(su -s /bin/sh nobody -c 'id -un')"
check "another user is not root" nobody_may_not
check "the clock" clock_is_set
check "two processors" equal 2 "$(nproc)"
check "the module" has_line '^kwasmi ' /proc/modules
check "the device" test -c /dev/kwasmi
check "the command" kwasmi version
check "guests" test -e /guests/hello-rust.wasm -a -x /guests/native/hello-rust
finish
