#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# kwasmi.h compiles in C and C++ programs without warnings.
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

check "a C program compiles with gcc" compile gcc -Wall -Wextra -Wpedantic -Wpadded -Werror -std=c99
check "a C program compiles with clang" compile clang -Wall -Wextra -Wpedantic -Wpadded -Werror -std=c11
check "a C++ program compiles with g++" compile g++ -x c++ -Wall -Wextra -Wpadded -Werror
check "the structures have no padding in 32-bit programs" gcc -m32 -Wall -Wpadded -Werror -fsyntax-only \
    -isystem /usr/include/x86_64-linux-gnu -x c kmod/uapi/kwasmi.h
check "the header compiles alone" gcc -Wall -Werror -fsyntax-only -x c kmod/uapi/kwasmi.h
rm -rf "$work"
finish
