// SPDX-License-Identifier: GPL-2.0
/*
 * Calls of the C library over WASI: prints a line for each with its return value or error. Runs
 * in an empty directory, and prints the same as a native program, whose calls are system calls.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const struct {
	int number;
	const char *name;
} errors[] = {
	{ EACCES, "EACCES" },	{ EAGAIN, "EAGAIN" }, { EBADF, "EBADF" },	{ EBUSY, "EBUSY" },
	{ EEXIST, "EEXIST" },	{ EINVAL, "EINVAL" }, { EISDIR, "EISDIR" },	{ ELOOP, "ELOOP" },
	{ ENAMETOOLONG, "ENAMETOOLONG" },	{ ENOENT, "ENOENT" },	{ ENOTDIR, "ENOTDIR" },
	{ ENOTEMPTY, "ENOTEMPTY" },	{ ENOTSUP, "ENOTSUP" },	{ EPERM, "EPERM" },	{ ESPIPE, "ESPIPE" },
	{ EFBIG, "EFBIG" },
};

static const char *error_name(int number)
{
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (errors[i].number == number)
			return errors[i].name;
	return "another error";
}

/* Prints the return value of a call, or the error. Returns the value. */
static long told(const char *call, long result)
{
	if (result < 0)
		printf("%s: %s\n", call, error_name(errno));
	else
		printf("%s: %ld\n", call, result);
	return result;
}

/* Prints the result of a call that returns an error number. */
static void told_error(const char *call, int error)
{
	printf("%s: %s\n", call, error ? error_name(error) : "0");
}

/* Prints whether a call returned a descriptor, or the error. Returns the descriptor. */
static int told_fd(const char *call, int fd)
{
	printf("%s: %s\n", call, fd < 0 ? error_name(errno) : "a descriptor");
	return fd;
}

#define TOLD(call) told(#call, call)
#define TOLD_ERROR(call) told_error(#call, call)
#define TOLD_FD(call) told_fd(#call, call)

static void told_file(const char *name)
{
	char text[200];
	FILE *file = fopen(name, "r");
	size_t len;

	if (!file) {
		printf("%s: %s\n", name, error_name(errno));
		return;
	}
	len = fread(text, 1, sizeof(text), file);
	printf("%s: %zu bytes: %.*s\n", name, len, (int)len, text);
	fclose(file);
}

static void streams(void)
{
	char line[20];
	FILE *file;

	file = fopen("stream", "w+x");
	if (!file) {
		printf("fopen: %s\n", error_name(errno));
		return;
	}
	TOLD(fprintf(file, "%s %d\n%5.2f|%-5s|\n", "one", 2, 3.14159, "x"));
	TOLD(ftell(file));
	rewind(file);
	printf("fgets: %s", fgets(line, sizeof(line), file));
	TOLD(fgetc(file));
	TOLD(ungetc('u', file));
	TOLD(fgetc(file));
	TOLD(fseek(file, -3, SEEK_END));
	TOLD(ftell(file));
	TOLD(fputs("END", file) < 0);
	TOLD(fseek(file, 100, SEEK_SET));
	TOLD(fgetc(file) == EOF);
	TOLD(feof(file) != 0);
	TOLD(fseek(file, -1, SEEK_SET));
	TOLD(setvbuf(file, NULL, _IONBF, 0));
	TOLD(fclose(file));
	told_file("stream");
	printf("wx: %s\n", fopen("stream", "wx") ? "opened" : error_name(errno));
	file = fopen("stream", "a+");
	TOLD(fputs("appended", file) < 0);
	TOLD(fclose(file));
	told_file("stream");
	file = fopen("stream", "r+");
	TOLD(fputs("ONE", file) < 0);
	TOLD(fclose(file));
	told_file("stream");
	file = fopen("stream", "w");
	TOLD(fclose(file));
	told_file("stream");
	told_file("absent");
	told_file("stream/file");
	TOLD(remove("stream"));
	TOLD(remove("stream"));
}

static void descriptors(void)
{
	char buffer[20] = "";
	struct iovec parts[] = { { "vec", 3 }, { "", 0 }, { "tors", 4 } };
	struct stat stat;
	int fd = TOLD_FD(open("file", O_RDWR | O_CREAT | O_EXCL, 0644));

	TOLD_FD(open("file", O_RDWR | O_CREAT | O_EXCL, 0644));
	TOLD(write(fd, "0123456789", 10));
	TOLD(lseek(fd, 0, SEEK_CUR));
	TOLD(lseek(fd, -4, SEEK_CUR));
	TOLD(read(fd, buffer, sizeof(buffer)));
	TOLD(read(fd, buffer, sizeof(buffer)));
	TOLD(lseek(fd, -1, SEEK_SET));
	TOLD(pread(fd, buffer, 3, 5));
	TOLD(pwrite(fd, "abc", 3, 5));
	TOLD(writev(fd, parts, 3));
	TOLD(pread(fd, buffer, sizeof(buffer), 0));
	printf("%.17s\n", buffer);
	TOLD(fcntl(fd, F_GETFL) & (O_APPEND | O_NONBLOCK));
	TOLD(fcntl(fd, F_SETFL, O_APPEND));
	TOLD((fcntl(fd, F_GETFL) & O_APPEND) != 0);
	TOLD(lseek(fd, 0, SEEK_SET));
	TOLD(write(fd, "!", 1));
	TOLD(lseek(fd, 0, SEEK_CUR));
	TOLD(ftruncate(fd, 5));
	TOLD(ftruncate(fd, -1));
	TOLD(fstat(fd, &stat));
	printf("size %lld, a file: %d, links %ld\n", (long long)stat.st_size, S_ISREG(stat.st_mode), (long)stat.st_nlink);
	TOLD_ERROR(posix_fallocate(fd, 0, 100));
	TOLD_ERROR(posix_fallocate(fd, 0, 0));
	TOLD_ERROR(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
	TOLD(lseek(fd, 0, SEEK_END));
	TOLD(fsync(fd));
	TOLD(fdatasync(fd));
	TOLD(isatty(fd) != 0);
	TOLD(close(fd));
	TOLD(close(fd));
	TOLD(read(fd, buffer, 1));
	fd = TOLD_FD(open("file", O_RDONLY));
	TOLD(write(fd, "x", 1) < 0);
	TOLD(close(fd));
	fd = TOLD_FD(open("file", O_WRONLY | O_TRUNC));
	TOLD(read(fd, buffer, 1) < 0);
	TOLD(lseek(fd, 0, SEEK_END));
	TOLD(close(fd));
	TOLD_FD(open("file", O_RDONLY | O_DIRECTORY));
	TOLD_FD(open("absent", O_RDONLY));
	TOLD_FD(open(".", O_WRONLY));
}

static void names(void)
{
	struct timespec times[] = { { 1000000000, 5000 }, { 2000000000, 7000 } };
	char text[20];
	struct stat stat;

	TOLD(mkdir("dir", 0755));
	TOLD(mkdir("dir", 0755));
	TOLD(mkdir("dir/inner", 0755));
	TOLD(mkdir("absent/inner", 0755));
	TOLD(rmdir("dir"));
	TOLD(rmdir("file"));
	TOLD(unlink("absent"));
	TOLD(symlink("file", "link"));
	TOLD(symlink("file", "link"));
	TOLD(symlink("loop", "loop"));
	TOLD(readlink("link", text, sizeof(text)));
	TOLD(readlink("link", text, 2));
	TOLD(readlink("file", text, sizeof(text)));
	TOLD(lstat("link", &stat));
	TOLD(S_ISLNK(stat.st_mode) != 0);
	printf("size %lld, links %ld\n", (long long)stat.st_size, (long)stat.st_nlink);
	TOLD(fstatat(AT_FDCWD, "link", &stat, 0));
	TOLD(S_ISREG(stat.st_mode) != 0);
	TOLD(fstatat(AT_FDCWD, "loop", &stat, 0));
	TOLD_FD(open("link", O_RDONLY | O_NOFOLLOW));
	TOLD_FD(open("loop", O_RDONLY));
	TOLD(link("file", "name"));
	TOLD(link("file", "name"));
	TOLD(rename("name", "dir/name"));
	TOLD(rename("dir", "dir/inner/dir"));
	TOLD(rename("dir", "file"));
	TOLD(rename("file", "dir"));
	TOLD(rename("absent", "name"));
	TOLD(access("file", F_OK));
	TOLD(access("file", R_OK | W_OK));
	TOLD(access("absent", F_OK));
	TOLD(utimensat(AT_FDCWD, "dir/name", times, 0));
	TOLD(fstatat(AT_FDCWD, "file", &stat, 0));
	printf("%lld.%09ld %lld.%09ld\n", (long long)stat.st_atim.tv_sec, stat.st_atim.tv_nsec,
	       (long long)stat.st_mtim.tv_sec, stat.st_mtim.tv_nsec);
	TOLD(unlink("dir"));
	TOLD(unlink("dir/name"));
	TOLD(unlink("link"));
	TOLD(unlink("loop"));
	TOLD(unlink("file"));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void directories(void)
{
	enum { COUNT = 50 };
	struct dirent **list, *entry;
	DIR *dir;
	char name[100];
	long place = 0;
	int count = 0;

	for (int i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "dir/a name that is not too short %d", i);
		close(open(name, O_WRONLY | O_CREAT, 0644));
	}
	dir = opendir("dir");
	if (!dir) {
		printf("opendir: %s\n", error_name(errno));
		return;
	}
	while ((entry = readdir(dir)) != NULL) {
		count++;
		if (count == 20)
			place = telldir(dir);
	}
	printf("%d entries\n", count);
	seekdir(dir, place);
	for (count = 0; readdir(dir) != NULL; count++)
		;
	printf("%d entries after the twentieth\n", count);
	rewinddir(dir);
	for (count = 0; readdir(dir) != NULL; count++)
		;
	printf("%d entries from the start\n", count);
	rewinddir(dir);
	count = 0;
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_type == DT_REG && unlinkat(dirfd(dir), entry->d_name, 0) == 0)
			count++;
	printf("%d removed\n", count);
	TOLD(closedir(dir));
	count = TOLD(scandir("dir", &list, NULL, by_name));
	for (int i = 0; i < count; i++)
		printf("%s %d\n", list[i]->d_name, list[i]->d_type == DT_DIR);
	printf("opendir of a file that is not there: %s\n", opendir("absent") ? "opened" : error_name(errno));
	TOLD(rmdir("dir/inner"));
	TOLD(rmdir("dir"));
}

static void others(void)
{
	struct pollfd fds[] = { { STDIN_FILENO, POLLIN, 0 } };
	struct timespec begin, end, pause = { 0, 20000000 };
	unsigned char random[16] = { 0 };
	int any = 0;

	printf("getenv: %s\n", getenv("TWIN"));
	printf("getenv: %s\n", getenv("ABSENT") ? "there" : "none");
	TOLD(clock_gettime(CLOCK_MONOTONIC, &begin));
	TOLD(nanosleep(&pause, NULL));
	TOLD(clock_gettime(CLOCK_MONOTONIC, &end));
	TOLD((end.tv_sec - begin.tv_sec) * 1000000000L + end.tv_nsec - begin.tv_nsec >= 20000000L);
	TOLD(time(NULL) > 1600000000);
	TOLD(poll(fds, 1, 20));
	TOLD(poll(NULL, 0, 1));
	TOLD(getentropy(random, sizeof(random)));
	for (size_t i = 0; i < sizeof(random); i++)
		any |= random[i];
	TOLD(any != 0);
	TOLD(isatty(STDIN_FILENO));
	TOLD(lseek(STDIN_FILENO, 0, SEEK_CUR));
}

int main(void)
{
	streams();
	descriptors();
	names();
	directories();
	others();
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
