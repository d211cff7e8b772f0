// SPDX-License-Identifier: GPL-2.0
/* Counts lines, words and bytes of standard input, as wc(1) does in the C locale. */
#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* Size of a read, in bytes. */
#define BUFFER (64 * 1024)

static unsigned char buffer[BUFFER];

int main(void)
{
	uint64_t lines = 0, words = 0, bytes = 0;
	bool in_word = false;
	size_t len;

	while ((len = fread(buffer, 1, sizeof(buffer), stdin)) > 0) {
		for (size_t i = 0; i < len; i++) {
			bool is_space = isspace(buffer[i]);

			lines += buffer[i] == '\n';
			words += !is_space && !in_word;
			in_word = !is_space;
		}
		bytes += len;
	}
	if (ferror(stdin)) {
		fputs("wc: cannot read\n", stderr);
		return EXIT_FAILURE;
	}
	printf("%7" PRIu64 " %7" PRIu64 " %7" PRIu64 "\n", lines, words, bytes);
	if (fflush(stdout) || ferror(stdout)) {
		fputs("wc: cannot write\n", stderr);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
