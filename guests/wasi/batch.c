// SPDX-License-Identifier: GPL-2.0
/*
 * Test of the C header of kwasmi_batch_1: copies standard input to standard output by one
 * operation, and prints the number of bytes to standard error. With an argument, standard
 * output is nonblocking; a copy waits for it nevertheless.
 */
#include "kwasmi_batch.h"
#include <fcntl.h>
#include <stdio.h>

static int told(const char *what, int32_t error, const struct kwasmi_op *op)
{
	if (error || op->error) {
		fprintf(stderr, "%s: errno %d, %d\n", what, error, op->error);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1 && fcntl(1, F_SETFL, O_NONBLOCK))
		return 1;
	struct kwasmi_op copy = { .kind = KWASMI_OP_COPY, .fd = 0, .then_fd = 1, .offset = UINT64_MAX };
	uint32_t done, index;
	int32_t error = kwasmi_submit(&copy, 1, &done);

	if (told("copy", error, &copy) || done != 1)
		return 1;
	char text[32];
	struct kwasmi_op write = { .kind = KWASMI_OP_WRITE, .flags = KWASMI_OP_ALL, .error = KWASMI_OP_PENDING, .fd = 2 };

	write.data = text;
	write.len = (uint32_t)snprintf(text, sizeof(text), "%llu bytes\n", (unsigned long long)copy.done);
	error = kwasmi_wait(&write, 1, UINT64_MAX, &index, 1, &done);
	return told("write", error, &write) || done != 1 || index != 0;
}
