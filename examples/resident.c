// SPDX-License-Identifier: GPL-2.0
/*
 * Prints the resident memory of each process in KiB, its id and its name. Reads and closes the
 * files /proc/PID/status of up to 128 processes in one host call (docs/batch.md). Processes
 * without memory, which are threads of the kernel, have no line.
 *
 *     clang --target=wasm32-wasi -O2 -Iguests/batch/include -o resident.wasm examples/resident.c
 *     kwasmi run --dir /proc::/proc:ro resident.wasm | sort -n | tail
 */
#include "kwasmi_batch.h"
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define BATCH 128

static char text[BATCH][4096];
/* Two operations for each file: a read and a close. */
static struct kwasmi_op ops[2 * BATCH];

/* Reads and closes the first number files. The file of a process that has ended reads as empty. */
static int print(uint32_t number)
{
	uint32_t done;

	if (kwasmi_submit(ops, 2 * number, &done) || done != 2 * number)
		return 1;
	for (uint32_t i = 0; i < number; i++) {
		text[i][ops[2 * i].error ? 0 : ops[2 * i].done] = '\0';

		const char *pid = strstr(text[i], "\nPid:"), *resident = strstr(text[i], "\nVmRSS:");
		unsigned long id, kib;
		char name[64];

		if (pid && resident && sscanf(text[i], "Name: %63[^\n]", name) == 1 && sscanf(pid, " Pid: %lu", &id) == 1 &&
		    sscanf(resident, " VmRSS: %lu", &kib) == 1)
			printf("%8lu %7lu %s\n", kib, id, name);
	}
	return 0;
}

int main(void)
{
	DIR *processes = opendir("/proc");
	const struct dirent *entry;
	uint32_t number = 0;
	char path[64];

	while (processes && (entry = readdir(processes))) {
		int fd = -1;

		snprintf(path, sizeof(path), "/proc/%s/status", entry->d_name);
		if (isdigit((unsigned char)*entry->d_name))
			fd = open(path, O_RDONLY);
		if (fd < 0)
			continue;
		ops[2 * number] = (struct kwasmi_op){ .kind = KWASMI_OP_READ, .flags = KWASMI_OP_GO_ON, .fd = (uint32_t)fd,
			.data = text[number], .len = sizeof(text[number]) - 1 };
		ops[2 * number + 1] = (struct kwasmi_op){ .kind = KWASMI_OP_CLOSE, .flags = KWASMI_OP_GO_ON, .fd = (uint32_t)fd };
		if (++number == BATCH) {
			if (print(number))
				return 1;
			number = 0;
		}
	}
	return !processes || print(number);
}
