// SPDX-License-Identifier: GPL-2.0
/* Prints the primes up to its argument, one per line, by the sieve of Eratosthenes. */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* Largest argument: each number needs a byte of memory. */
#define MAX 100000000UL

/* Parses decimal digits, at most MAX. */
static bool parse(const char *text, unsigned long *number)
{
	*number = 0;
	if (!*text)
		return false;
	for (; *text; text++) {
		if (!isdigit((unsigned char)*text))
			return false;
		*number = *number * 10 + (unsigned long)(*text - '0');
		if (*number > MAX)
			return false;
	}
	return true;
}

static int fail(const char *what)
{
	fprintf(stderr, "primes: %s\n", what);
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	unsigned long max;
	bool *is_composite;

	if (argc != 2 || !parse(argv[1], &max)) {
		fprintf(stderr, "usage: primes N, N at most %lu\n", MAX);
		return 2;
	}
	is_composite = calloc(max + 1, sizeof(*is_composite));
	if (!is_composite)
		return fail("no memory");
	for (unsigned long number = 2; number <= max; number++) {
		if (is_composite[number])
			continue;
		if (printf("%lu\n", number) < 0)
			return fail("cannot write");
		/* The square of a larger number could overflow the type. */
		if (number > MAX / number)
			continue;
		for (unsigned long multiple = number * number; multiple <= max; multiple += number)
			is_composite[multiple] = true;
	}
	free(is_composite);
	if (fflush(stdout) || ferror(stdout))
		return fail("cannot write");
	return EXIT_SUCCESS;
}
