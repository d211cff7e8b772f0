// SPDX-License-Identifier: GPL-2.0
/*
 * Functions of POSIX that programs in C call and wasi-libc does not have. They fail or do nothing,
 * because WASI has neither users nor processes.
 */
#include <errno.h>
#include <stdlib.h>

#include "posix.h"

static int unsupported(void)
{
	errno = ENOTSUP;
	return -1;
}

int chown(const char *path, uid_t owner, gid_t group)
{
	return unsupported();
}

int fchown(int fd, uid_t owner, gid_t group)
{
	return unsupported();
}

uid_t geteuid(void)
{
	return 0;
}

uid_t getuid(void)
{
	return 0;
}

int pclose(FILE *stream)
{
	return unsupported();
}

FILE *popen(const char *command, const char *mode)
{
	unsupported();
	return NULL;
}

int system(const char *command)
{
	return command ? unsupported() : 0;
}

FILE *tmpfile(void)
{
	unsupported();
	return NULL;
}

char *tmpnam(char *name)
{
	unsupported();
	return NULL;
}

mode_t umask(mode_t mask)
{
	return 022;
}
