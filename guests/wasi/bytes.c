// SPDX-License-Identifier: GPL-2.0
/*
 * Test of the C header of kwasmi_bytes_1: prints the number of lines of standard input, and the
 * length of the first line in bytes.
 */
#include "kwasmi_bytes.h"
#include <stdio.h>
#include <unistd.h>

static char bytes[1 << 20];

int main(void)
{
	uint32_t len = 0, lines, end;
	ssize_t more;

	while ((more = read(0, bytes + len, sizeof(bytes) - len)) > 0)
		len += (uint32_t)more;
	int32_t error = kwasmi_count(bytes, len, '\n', &lines);

	if (!error)
		error = kwasmi_find(bytes, len, '\n', &end);
	if (more < 0 || error) {
		fprintf(stderr, "errno %d\n", error);
		return 1;
	}
	printf("%u lines, the first of %u bytes\n", lines, end);
	return 0;
}
