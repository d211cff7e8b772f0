#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# kwasmi.h and the libraries of libraries/: they compile in C and C++ programs without warnings, the
# package for Python has the layouts of kwasmi.h, and docs/calls.md has their examples.
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

client() { "$@" -Wall -Wextra -Wpedantic -Wshadow -Werror -Ikmod/uapi -Ilibraries/c -c -o "$work/client.o" libraries/c/kwasmi_client.c; }
printf '#include "kwasmi_client.h"\nint main() { return kwasmi_device_open() < 0; }\n' >"$work/client.cc"
client_header() { g++ -Wall -Wextra -Werror -Ikmod/uapi -Ilibraries/c -o "$work/program" "$work/client.cc" "$work/client.o"; }
python_tests() {
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=libraries/python/src python3 -W error -m unittest discover libraries/python/tests
}
# is_in_docs FILE: looks for the code of an example, without its first line, in docs/calls.md.
is_in_docs() {
    python3 - "$1" <<'PYTHON'
import pathlib, sys, textwrap
code = pathlib.Path(sys.argv[1]).read_text().split("\n", 1)[1].strip("\n")
page = pathlib.Path("docs/calls.md").read_text()
sys.exit(textwrap.indent(code.expandtabs(8), "    ") not in page)
PYTHON
}

check "the library for C compiles with gcc" client gcc -std=c99
check "the library for C compiles with clang" client clang -std=c11
check "a C++ program uses the library for C" client_header
check "the package for Python has the layouts of kwasmi.h" python_tests
for example in libraries/c/examples/call.c libraries/c/examples/ring.c libraries/python/examples/call.py userspace-loader/examples/call.rs; do
    check "docs/calls.md has the code of $example" is_in_docs "$example"
done
rm -rf "$work"
finish
