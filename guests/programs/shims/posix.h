/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Declarations of POSIX that programs in C use and wasi-libc does not have. The compiler includes
 * this file before all others.
 */
#ifndef KWASMI_POSIX_H
#define KWASMI_POSIX_H

#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>

/* wasi-libc's fchmod fails. Files have no modes in WASI, so this one does nothing. */
#define fchmod(fd, mode) 0

#ifndef L_tmpnam
#define L_tmpnam 20
#endif

int chown(const char *path, uid_t owner, gid_t group);
int fchown(int fd, uid_t owner, gid_t group);
uid_t geteuid(void);
uid_t getuid(void);
int pclose(FILE *stream);
FILE *popen(const char *command, const char *mode);
mode_t umask(mode_t mask);

#endif /* KWASMI_POSIX_H */
