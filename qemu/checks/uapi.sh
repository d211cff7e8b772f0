#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# kwasmi.h is a header for C and C++ programs of others.
. qemu/suites/ktap.sh

work=$(mktemp -d)
cat >"$work/program.c" <<'C'
#include "kwasmi.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>

int main(void)
{
	struct kwasmi_info info;
	int fd = open("/dev/kwasmi", O_RDWR);

	if (fd < 0 || ioctl(fd, KWASMI_IOC_INFO, &info) < 0)
		return 1;
	printf("kwasmi %s, interface %u\n", info.version, info.abi);
	return info.abi == KWASMI_ABI ? 0 : 1;
}
C
compile() { "$@" -Ikmod/uapi -o "$work/program" "$work/program.c"; }

check "C, as gcc sees it" compile gcc -Wall -Wextra -Wpedantic -Wpadded -Werror -std=c99
check "C, as clang sees it" compile clang -Wall -Wextra -Wpedantic -Wpadded -Werror -std=c11
check "C++" compile g++ -x c++ -Wall -Wextra -Wpadded -Werror
check "no padding for 32-bit programs either" gcc -m32 -Wall -Wpadded -Werror -fsyntax-only \
    -isystem /usr/include/x86_64-linux-gnu -x c kmod/uapi/kwasmi.h
check "alone" gcc -Wall -Werror -fsyntax-only -x c kmod/uapi/kwasmi.h
rm -rf "$work"
finish
