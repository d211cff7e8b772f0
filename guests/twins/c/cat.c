// SPDX-License-Identifier: GPL-2.0
/* Copies standard input to standard output, unchanged. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Size of a read, in bytes. */
#define BUFFER (64 * 1024)

static char buffer[BUFFER];

static int fail(const char *what)
{
	fprintf(stderr, "cat: %s\n", what);
	return EXIT_FAILURE;
}

int main(void)
{
	for (;;) {
		ssize_t len = read(STDIN_FILENO, buffer, sizeof(buffer));

		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return fail("cannot read");
		if (len == 0)
			return EXIT_SUCCESS;
		for (char *from = buffer; len > 0;) {
			ssize_t written = write(STDOUT_FILENO, from, (size_t)len);

			if (written < 0 && errno == EINTR)
				continue;
			if (written < 0)
				return fail("cannot write");
			from += written;
			len -= written;
		}
	}
}
