// SPDX-License-Identifier: GPL-2.0
/*
 * Serves the fields of /proc/meminfo to Prometheus: answers each HTTP request on the listening
 * socket with a line such as meminfo{field="MemFree"} 123456 for each field. Serves one connection
 * after another, until it is ended by a signal.
 *
 *     clang --target=wasm32-wasi -O2 -o meminfo.wasm examples/meminfo.c
 *     kwasmi run --dir /proc::/proc:ro --tcp-listen 127.0.0.1:9100 meminfo.wasm
 *     curl http://127.0.0.1:9100/metrics
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Descriptor of the listening socket: 3 is the first --dir. */
#define LISTENER 4

/* Reads a request to its end, an empty line. A request of GET has no body. */
static void read_request(int connection)
{
	char request[8192];
	size_t len = 0;
	ssize_t more;

	while ((more = read(connection, request + len, sizeof(request) - 1 - len)) > 0) {
		len += (size_t)more;
		request[len] = '\0';
		if (strstr(request, "\r\n\r\n"))
			return;
	}
}

int main(void)
{
	for (;;) {
		int connection = accept(LISTENER, NULL, NULL);
		FILE *answer = connection < 0 ? NULL : fdopen(connection, "w");
		FILE *fields = fopen("/proc/meminfo", "r");
		char line[128], name[64];
		unsigned long long value;

		if (!answer || !fields) {
			perror("meminfo");
			return 1;
		}
		read_request(connection);
		fputs("HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\r\n", answer);
		while (fgets(line, sizeof(line), fields))
			if (sscanf(line, "%63[^:]: %llu", name, &value) == 2)
				fprintf(answer, "meminfo{field=\"%s\"} %llu\n", name, value);
		fclose(fields);
		fclose(answer);
	}
}
