// SPDX-License-Identifier: GPL-2.0
/*
 * Calls the functions of wasi_unstable (preview 0) whose types differ from those of preview 1, and one that has the
 * same types. Compares the results with those of preview 1, which the C library calls. Needs a preopened directory
 * as descriptor 3. Prints a line for each difference, and the number of comparisons.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define IMPORT(name) __attribute__((import_module("wasi_unstable"), import_name(#name)))

struct unstable_filestat {
	uint64_t dev, ino;
	uint8_t filetype;
	uint32_t nlink;
	uint64_t size, atim, mtim, ctim;
};
_Static_assert(sizeof(struct unstable_filestat) == 56, "the layout of preview 0");

struct unstable_subscription {
	uint64_t userdata;
	uint8_t type;
	union {
		struct {
			uint64_t identifier;
			uint32_t id;
			uint64_t timeout, precision;
			uint16_t flags;
		} clock;
		uint32_t fd;
	};
};
_Static_assert(sizeof(struct unstable_subscription) == 56, "the layout of preview 0");

struct event {
	uint64_t userdata;
	uint16_t error;
	uint8_t type;
	uint64_t nbytes;
	uint16_t flags;
};
_Static_assert(sizeof(struct event) == 32, "the layout of both previews");

IMPORT(fd_seek) int32_t unstable_fd_seek(int32_t, int64_t, int32_t, uint64_t *);
IMPORT(fd_tell) int32_t unstable_fd_tell(int32_t, uint64_t *);
IMPORT(fd_filestat_get) int32_t unstable_fd_filestat_get(int32_t, struct unstable_filestat *);
IMPORT(path_filestat_get)
int32_t unstable_path_filestat_get(int32_t, int32_t, const char *, int32_t, struct unstable_filestat *);
IMPORT(poll_oneoff) int32_t unstable_poll_oneoff(const struct unstable_subscription *, struct event *, int32_t, int32_t *);

enum { CUR, END, SET };		/* whence of preview 0 */
enum { CLOCK, FD_READ, FD_WRITE };	/* eventtype */
enum { REALTIME, MONOTONIC };	/* clockid */
enum { ABSTIME = 1 };		/* subclockflags */
enum { INVAL = 28, SPIPE = 70 };	/* errno */

static int compared, different;

static void equal(const char *what, uint64_t expected, uint64_t found)
{
	compared++;
	if (expected == found)
		return;
	different++;
	printf("%s: expected %llu, found %llu\n", what, (unsigned long long)expected, (unsigned long long)found);
}

static uint64_t nanoseconds(struct timespec time)
{
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return nanoseconds(time);
}

/* Fields that a call did not write are all ones. */
static void compare(const struct stat *expected, const struct unstable_filestat *found)
{
	equal("dev", expected->st_dev, found->dev);
	equal("ino", expected->st_ino, found->ino);
	equal("filetype", S_ISDIR(expected->st_mode) ? 3 : 4, found->filetype);
	equal("nlink", expected->st_nlink, found->nlink);
	equal("size", (uint64_t)expected->st_size, found->size);
	equal("atim", nanoseconds(expected->st_atim), found->atim);
	equal("mtim", nanoseconds(expected->st_mtim), found->mtim);
	equal("ctim", nanoseconds(expected->st_ctim), found->ctim);
}

static void filestats(int fd)
{
	struct {
		struct unstable_filestat stat;
		uint64_t behind;
	} found;
	struct stat expected;

	memset(&found, 0xff, sizeof(found));
	equal("fd_filestat_get", 0, (uint64_t)unstable_fd_filestat_get(fd, &found.stat));
	fstat(fd, &expected);
	equal("nlink of a file with two names", 2, expected.st_nlink);
	compare(&expected, &found.stat);
	equal("behind a filestat", UINT64_MAX, found.behind);

	for (int follow = 0; follow < 2; follow++) {
		memset(&found, 0xff, sizeof(found));
		equal("path_filestat_get", 0, (uint64_t)unstable_path_filestat_get(3, follow, "second", 6, &found.stat));
		compare(&expected, &found.stat);
		equal("behind a filestat", UINT64_MAX, found.behind);
	}
	memset(&found, 0xff, sizeof(found));
	equal("path_filestat_get", 0, (uint64_t)unstable_path_filestat_get(3, 0, ".", 1, &found.stat));
	fstat(3, &expected);
	compare(&expected, &found.stat);
}

static void seeks(int fd)
{
	uint64_t at = 0, told = 0;

	equal("fd_seek", 0, (uint64_t)unstable_fd_seek(fd, 10, SET, &at));
	equal("position from the start", 10, at);
	equal("fd_seek", 0, (uint64_t)unstable_fd_seek(fd, 5, CUR, &at));
	equal("position from the current one", 15, at);
	equal("fd_seek", 0, (uint64_t)unstable_fd_seek(fd, -1, END, &at));
	equal("position from the end", 99, at);
	equal("fd_tell", 0, (uint64_t)unstable_fd_tell(fd, &told));
	equal("position", 99, told);
	equal("lseek", 99, (uint64_t)lseek(fd, 0, SEEK_CUR));
	equal("fd_seek before the start", INVAL, (uint64_t)unstable_fd_seek(fd, -1, SET, &at));
	equal("fd_seek with an unknown whence", INVAL, (uint64_t)unstable_fd_seek(fd, 0, 3, &at));
}

static void polls(int fd)
{
	struct unstable_subscription subscriptions[3];
	struct event events[3];
	uint64_t start = now();
	int32_t count = 0;

	memset(subscriptions, 0xff, sizeof(subscriptions));
	subscriptions[0].userdata = 7;
	subscriptions[0].type = CLOCK;
	subscriptions[0].clock.id = MONOTONIC;
	subscriptions[0].clock.timeout = 20000000;
	subscriptions[0].clock.flags = 0;
	equal("poll_oneoff", 0, (uint64_t)unstable_poll_oneoff(subscriptions, events, 1, &count));
	equal("events", 1, (uint64_t)count);
	equal("userdata", 7, events[0].userdata);
	equal("error", 0, events[0].error);
	equal("type", CLOCK, events[0].type);
	equal("a wait of 20 ms", 1, now() - start >= 20000000 && now() - start < 5000000000);

	/* A time that has passed, and a file in the second and third place. */
	subscriptions[0].clock.timeout = start;
	subscriptions[0].clock.flags = ABSTIME;
	for (int i = 1; i < 3; i++) {
		subscriptions[i].userdata = 7 + (uint64_t)i;
		subscriptions[i].type = i == 1 ? FD_READ : FD_WRITE;
		subscriptions[i].fd = (uint32_t)fd;
	}
	equal("poll_oneoff", 0, (uint64_t)unstable_poll_oneoff(subscriptions, events, 3, &count));
	equal("events", 3, (uint64_t)count);
	uint64_t seen = 0;

	for (int i = 0; i < count && i < 3; i++) {
		equal("error", 0, events[i].error);
		equal("type", events[i].userdata - 7, events[i].type);
		seen |= 1u << events[i].type;
	}
	equal("types", 7, seen);
}

int main(void)
{
	char bytes[100] = { 0 };
	int fd = openat(3, "first", O_RDWR | O_CREAT | O_TRUNC, 0600);

	equal("a file", 1, fd > 3 && write(fd, bytes, sizeof(bytes)) == sizeof(bytes));
	equal("a link", 0, (uint64_t)linkat(3, "first", 3, "second", 0));
	seeks(fd);
	filestats(fd);
	polls(fd);
	unlinkat(3, "first", 0);
	unlinkat(3, "second", 0);
	printf("%d comparisons, %d differences\n", compared, different);
	return different != 0;
}
