// SPDX-License-Identifier: GPL-2.0
/* Lists a directory, as ls -a -U does, one name per line. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	const struct dirent *entry;
	DIR *directory;

	if (argc != 2) {
		fputs("usage: ls DIRECTORY\n", stderr);
		return EXIT_FAILURE;
	}
	directory = opendir(argv[1]);
	if (!directory) {
		perror(argv[1]);
		return EXIT_FAILURE;
	}
	while (errno = 0, (entry = readdir(directory)) != NULL)
		puts(entry->d_name);
	if (errno != 0 || closedir(directory) != 0 || fflush(stdout) != 0) {
		perror(argv[1]);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
