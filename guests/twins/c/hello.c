// SPDX-License-Identifier: GPL-2.0
/*
 * Prints a greeting and its arguments, one per line. With an argument, prints also its
 * environment, sorted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int main(int argc, char **argv)
{
	size_t count = 0;

	puts("Hello from C!");
	for (int i = 1; i < argc; i++)
		printf("argument %s\n", argv[i]);
	if (argc > 1) {
		while (environ[count])
			count++;
		qsort(environ, count, sizeof(*environ), compare);
		for (size_t i = 0; i < count; i++)
			printf("variable %s\n", environ[i]);
	}
	if (fflush(stdout) || ferror(stdout)) {
		fputs("hello: cannot write\n", stderr);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
