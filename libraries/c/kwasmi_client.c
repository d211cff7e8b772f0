// SPDX-License-Identifier: GPL-2.0
/* Client library of kwasmi: see kwasmi_client.h. */
#define _POSIX_C_SOURCE 200809L
#include "kwasmi_client.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Rights of WASI preview 1 that a stream has. */
#define RIGHT_FD_READ			(1ULL << 1)
#define RIGHT_FD_FDSTAT_SET_FLAGS	(1ULL << 3)
#define RIGHT_FD_WRITE			(1ULL << 6)
#define RIGHT_FD_FILESTAT_GET		(1ULL << 21)
#define RIGHT_POLL_FD_READWRITE		(1ULL << 27)

/* Number of bytes that the buffer for a file has at first. */
#define FILE_STEP			(64 * 1024)

#define NANOSECONDS			1000000000ULL

/* Returns the address as in a structure of the interface. */
static uint64_t address(const void *pointer)
{
	return (uint64_t)(uintptr_t)pointer;
}

/* Calls ioctl(2), and returns its result or the negative error number. */
static int control(int fd, unsigned long request, void *argument)
{
	int result = ioctl(fd, request, argument);

	return result < 0 ? -errno : result;
}

/* Returns the time of a clock that never goes back, in nanoseconds. */
static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * NANOSECONDS + (uint64_t)time.tv_nsec;
}

/*
 * Calls ioctl(2) until no signal interrupts it. Each call gets the rest of the timeout in `*timeout`,
 * a field of the argument.
 */
static int control_within(int fd, unsigned long request, void *argument, __u64 *timeout)
{
	uint64_t whole = *timeout;
	uint64_t begin = whole == KWASMI_UNLIMITED ? 0 : now();

	for (;;) {
		int result = control(fd, request, argument);

		if (result != -EINTR)
			return result;
		if (whole != KWASMI_UNLIMITED) {
			uint64_t elapsed = now() - begin;

			*timeout = elapsed < whole ? whole - elapsed : 0;
		}
	}
}

/* Ends the text of the kernel, of `len` bytes, with a NUL. */
static void end_text(char *text, uint32_t len)
{
	text[len < KWASMI_TEXT_SIZE ? len : KWASMI_TEXT_SIZE - 1] = '\0';
}

static void set_error(struct kwasmi_error *error, uint32_t limit, uint64_t limit_value, uint32_t log_len)
{
	if (!error)
		return;
	error->limit = limit;
	error->limit_value = limit_value;
	end_text(error->text, log_len);
}

/* Copies a name into a field of the interface, which is padded with zeros. */
static int set_name(char field[72], const char *name)
{
	size_t len = strlen(name);

	if (len >= 72)
		return -EINVAL;
	memset(field, 0, 72);
	memcpy(field, name, len);
	return 0;
}

int kwasmi_device_open(void)
{
	int fd = open("/dev/kwasmi", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int kwasmi_module_load(int device, const void *wasm, size_t wasm_len, const struct kwasmi_load_options *options,
		       struct kwasmi_error *error)
{
	struct kwasmi_load load = {0};
	int result;

	load.wasm = address(wasm);
	load.wasm_len = wasm_len;
	if (options) {
		load.limits = address(options->limits);
		load.limits_len = options->limits_len;
		load.flags = options->flags;
	}
	if (error) {
		load.log = address(error->text);
		load.log_size = KWASMI_TEXT_SIZE - 1;
	}
	result = control(device, KWASMI_IOC_LOAD, &load);
	set_error(error, load.limit, load.limit_value, load.log_len);
	return result;
}

/* Reads all of a file into memory that the caller frees. */
static int read_file(int fd, char **bytes, size_t *len)
{
	size_t size = 0;

	*bytes = NULL;
	*len = 0;
	for (;;) {
		ssize_t got;

		if (*len == size) {
			char *larger;

			size = size ? size * 2 : FILE_STEP;
			larger = realloc(*bytes, size);
			if (!larger)
				return -ENOMEM;
			*bytes = larger;
		}
		got = read(fd, *bytes + *len, size - *len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			return 0;
		*len += (size_t)got;
	}
}

int kwasmi_module_load_file(int device, const char *path, const struct kwasmi_load_options *options,
			    struct kwasmi_error *error)
{
	char *bytes;
	size_t len;
	int fd, result;

	set_error(error, 0, 0, 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	result = read_file(fd, &bytes, &len);
	close(fd);
	if (!result)
		result = kwasmi_module_load(device, bytes, len, options, error);
	free(bytes);
	return result;
}

struct kwasmi_fd kwasmi_stream(int fd, uint32_t guest_fd)
{
	struct kwasmi_fd stream = {0};

	stream.fd = fd;
	stream.guest_fd = guest_fd;
	stream.rights = RIGHT_FD_READ | RIGHT_FD_FDSTAT_SET_FLAGS | RIGHT_FD_WRITE | RIGHT_FD_FILESTAT_GET |
			RIGHT_POLL_FD_READWRITE;
	return stream;
}

/* Copies strings one after another, with their NULs, into memory that the caller frees. */
static int join(const char *const *strings, char **joined, uint64_t *len)
{
	char *at;

	*joined = NULL;
	*len = 0;
	if (!strings || !*strings)
		return 0;
	for (const char *const *string = strings; *string; string++)
		*len += strlen(*string) + 1;
	at = malloc(*len);
	if (!at)
		return -ENOMEM;
	*joined = at;
	for (const char *const *string = strings; *string; string++) {
		size_t size = strlen(*string) + 1;

		memcpy(at, *string, size);
		at += size;
	}
	return 0;
}

int kwasmi_instance_start(int module, const struct kwasmi_start_options *options, struct kwasmi_error *error)
{
	static const struct kwasmi_start_options defaults;
	struct kwasmi_start start = {0};
	char *args = NULL, *env = NULL;
	uint64_t args_len, env_len;
	int result;

	set_error(error, 0, 0, 0);
	if (!options)
		options = &defaults;
	result = join(options->args, &args, &args_len);
	if (!result)
		result = join(options->env, &env, &env_len);
	if (!result) {
		start.args = address(args);
		start.args_len = args_len;
		start.env = address(env);
		start.env_len = env_len;
		start.fds = address(options->fds);
		start.fds_len = options->fds_len;
		start.limits = address(options->limits);
		start.limits_len = options->limits_len;
		start.flags = options->flags;
		if (error) {
			start.log = address(error->text);
			start.log_size = KWASMI_TEXT_SIZE - 1;
		}
		result = control(module, KWASMI_IOC_START, &start);
		set_error(error, start.limit, start.limit_value, start.log_len);
	}
	free(args);
	free(env);
	return result;
}

int kwasmi_instance_publish(int instance, const char *name, int log)
{
	struct kwasmi_publish publish = {0};
	int result = set_name(publish.name, name);

	if (result)
		return result;
	publish.log = log;
	return control(instance, KWASMI_IOC_PUBLISH, &publish);
}

/* Calls KWASMI_IOC_RUN or KWASMI_IOC_RESULT. */
static int end(int fd, unsigned long request, struct kwasmi_ending *ending)
{
	struct kwasmi_run run;
	int result;

	/* The kernel continues a guest whose run a signal has interrupted. */
	do {
		memset(&run, 0, sizeof(run));
		if (ending) {
			run.log = address(ending->text);
			run.log_size = KWASMI_TEXT_SIZE - 1;
		}
		result = control(fd, request, &run);
	} while (result == -EINTR);
	if (ending) {
		ending->status = run.status;
		ending->code = run.code;
		ending->limit_value = run.limit_value;
		ending->fuel_used = run.fuel_used;
		ending->memory_peak = run.memory_peak;
		ending->heap_peak = run.heap_peak;
		ending->stack_peak = run.stack_peak;
		end_text(ending->text, run.log_len);
	}
	return result;
}

int kwasmi_instance_run(int instance, struct kwasmi_ending *ending)
{
	return end(instance, KWASMI_IOC_RUN, ending);
}

int kwasmi_service_find(int device, const char *name)
{
	struct kwasmi_find find;
	int result = set_name(find.name, name);

	return result ? result : control(device, KWASMI_IOC_FIND, &find);
}

int kwasmi_service_describe(int service, struct kwasmi_service *description)
{
	return control(service, KWASMI_IOC_SERVICE, description);
}

int kwasmi_service_wait(int service, uint32_t state, uint64_t timeout)
{
	struct kwasmi_wait wait = {0};

	wait.timeout = timeout;
	wait.state = state;
	return control_within(service, KWASMI_IOC_WAIT, &wait, &wait.timeout);
}

int kwasmi_service_ending(int service, struct kwasmi_ending *ending)
{
	return end(service, KWASMI_IOC_RESULT, ending);
}

int kwasmi_service_kill(int service)
{
	return control(service, KWASMI_IOC_KILL, NULL);
}

int kwasmi_service_remove(int service)
{
	return control(service, KWASMI_IOC_REMOVE, NULL);
}

int kwasmi_counters_read(int fd, struct kwasmi_counter *counters, uint32_t capacity)
{
	struct kwasmi_counters argument = {0};
	int result;

	argument.counters = address(counters);
	argument.counters_len = capacity;
	result = control(fd, KWASMI_IOC_COUNTERS, &argument);
	return result ? result : (int)argument.counters_len;
}

int kwasmi_function_find(int service, const char *name, struct kwasmi_export *function, struct kwasmi_error *error)
{
	struct kwasmi_function argument = {0};
	size_t len = strlen(name);
	int result;

	set_error(error, 0, 0, 0);
	if (len > KWASMI_INVOKE_NAME_MAX)
		return -E2BIG;
	argument.name = address(name);
	argument.name_len = (uint32_t)len;
	if (error) {
		argument.log = address(error->text);
		argument.log_size = KWASMI_TEXT_SIZE - 1;
	}
	result = control(service, KWASMI_IOC_FUNCTION, &argument);
	set_error(error, 0, 0, argument.log_len);
	if (result)
		return result;
	if (argument.params_len > KWASMI_INVOKE_MAX || argument.results_len > KWASMI_INVOKE_MAX)
		return -E2BIG;
	function->function = argument.function;
	function->params_len = argument.params_len;
	function->results_len = argument.results_len;
	memcpy(function->params, argument.params, sizeof(function->params));
	memcpy(function->results, argument.results, sizeof(function->results));
	return 0;
}

struct kwasmi_value kwasmi_i32(int32_t value)
{
	struct kwasmi_value typed = {KWASMI_TYPE_I32, {0}};

	typed.of.i32 = value;
	return typed;
}

struct kwasmi_value kwasmi_i64(int64_t value)
{
	struct kwasmi_value typed = {KWASMI_TYPE_I64, {0}};

	typed.of.i64 = value;
	return typed;
}

struct kwasmi_value kwasmi_f32(float value)
{
	struct kwasmi_value typed = {KWASMI_TYPE_F32, {0}};

	typed.of.f32 = value;
	return typed;
}

struct kwasmi_value kwasmi_f64(double value)
{
	struct kwasmi_value typed = {KWASMI_TYPE_F64, {0}};

	typed.of.f64 = value;
	return typed;
}

/* Returns the size of a value of this type in bytes; 0 if the type is unknown. */
static size_t size_of(uint32_t type)
{
	switch (type) {
	case KWASMI_TYPE_I32:
	case KWASMI_TYPE_F32:
		return 4;
	case KWASMI_TYPE_I64:
	case KWASMI_TYPE_F64:
		return 8;
	default:
		return 0;
	}
}

/* kwasmi runs on x86-64 only, so the lower half of a word is its first half in memory. */
static uint64_t to_word(const struct kwasmi_value *value)
{
	uint64_t word = 0;

	memcpy(&word, &value->of, size_of(value->type));
	return word;
}

static struct kwasmi_value from_word(uint64_t word, uint32_t type)
{
	struct kwasmi_value value;

	memset(&value, 0, sizeof(value));
	value.type = type;
	memcpy(&value.of, &word, size_of(type));
	return value;
}

/* Stores how a guest ended during a call. `ending` may be NULL. */
static void end_call(struct kwasmi_ending *ending, uint32_t status, uint32_t code, uint64_t limit_value,
		     uint32_t text_len)
{
	if (!ending)
		return;
	end_text(ending->text, text_len);
	ending->status = status;
	ending->code = code;
	ending->limit_value = limit_value;
	ending->fuel_used = 0;
	ending->memory_peak = 0;
	ending->heap_peak = 0;
	ending->stack_peak = 0;
}

int kwasmi_function_call(int service, const struct kwasmi_export *function, const struct kwasmi_value *args,
			 size_t args_len, struct kwasmi_value *results, struct kwasmi_exchange *exchange)
{
	uint64_t words[KWASMI_INVOKE_MAX], returned[KWASMI_INVOKE_MAX];
	struct kwasmi_call call = {0};
	struct kwasmi_ending *ending = NULL;
	int result;

	if (args_len != function->params_len || args_len > KWASMI_INVOKE_MAX ||
	    function->results_len > KWASMI_INVOKE_MAX)
		return -EINVAL;
	for (size_t at = 0; at < args_len; at++) {
		if (args[at].type != function->params[at])
			return -EINVAL;
		words[at] = to_word(&args[at]);
	}
	call.function = function->function;
	call.args_len = (uint32_t)args_len;
	call.args = address(words);
	call.results = address(returned);
	call.results_len = function->results_len;
	call.timeout = KWASMI_UNLIMITED;
	if (exchange) {
		if (exchange->input_len > KWASMI_CALL_BYTES_MAX || exchange->output_size > KWASMI_CALL_BYTES_MAX)
			return -E2BIG;
		ending = exchange->ending;
		exchange->output_len = 0;
		call.input = address(exchange->input);
		call.input_len = (uint32_t)exchange->input_len;
		call.output = address(exchange->output);
		call.output_size = (uint32_t)exchange->output_size;
		if (exchange->timeout)
			call.timeout = exchange->timeout;
	}
	if (ending) {
		call.log = address(ending->text);
		call.log_size = KWASMI_TEXT_SIZE - 1;
	}
	/* EINTR means that the function has not begun. */
	result = control_within(service, KWASMI_IOC_CALL, &call, &call.timeout);
	if (result)
		return result;
	if (!call.returned) {
		end_call(ending, call.status, call.code, call.limit_value, call.log_len);
		return KWASMI_CALL_ENDED;
	}
	for (uint32_t at = 0; at < function->results_len; at++)
		results[at] = from_word(returned[at], function->results[at]);
	if (exchange)
		exchange->output_len = call.output_len;
	return KWASMI_CALL_RETURNED;
}

int kwasmi_ring_open(int service, uint32_t entries, uint32_t data_size, struct kwasmi_call_ring *ring)
{
	struct kwasmi_ring request = {0};
	char *map;
	int fd;

	request.entries = entries;
	request.data_size = data_size;
	fd = control(service, KWASMI_IOC_RING, &request);
	if (fd < 0)
		return fd;
	map = mmap(NULL, (size_t)request.map_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		int error = -errno;

		close(fd);
		return error;
	}
	ring->fd = fd;
	ring->header = (void *)map;
	ring->entries = (void *)(map + KWASMI_RING_ENTRIES_OFFSET);
	ring->data = map + request.data_offset;
	ring->map_size = (size_t)request.map_size;
	ring->entries_len = entries;
	ring->tail = 0;
	ring->taken = 0;
	return 0;
}

void kwasmi_ring_close(struct kwasmi_call_ring *ring)
{
	munmap(ring->header, ring->map_size);
	close(ring->fd);
	ring->fd = -1;
}

int kwasmi_ring_add(struct kwasmi_call_ring *ring, const struct kwasmi_ring_entry *call)
{
	struct kwasmi_ring_entry *entry = &ring->entries[ring->tail & (ring->entries_len - 1)];

	if (ring->tail - ring->taken >= ring->entries_len)
		return -EAGAIN;
	if (call->args_len > KWASMI_RING_VALUES)
		return -E2BIG;
	entry->function = call->function;
	entry->args_len = call->args_len;
	entry->input = call->input;
	entry->input_len = call->input_len;
	entry->output = call->output;
	entry->output_size = call->output_size;
	entry->user_data = call->user_data;
	for (uint32_t at = 0; at < call->args_len; at++)
		entry->values[at] = call->values[at];
	__atomic_store_n(&ring->header->tail, ++ring->tail, __ATOMIC_RELEASE);
	return 0;
}

/* Returns true if all calls have finished. */
static int is_idle(const struct kwasmi_call_ring *ring)
{
	uint32_t tail = __atomic_load_n(&ring->header->tail, __ATOMIC_RELAXED);

	return __atomic_load_n(&ring->header->head, __ATOMIC_ACQUIRE) == tail;
}

int kwasmi_ring_run(const struct kwasmi_call_ring *ring, uint64_t timeout, struct kwasmi_ending *ending)
{
	struct kwasmi_ring_run run = {0};
	uint64_t whole = timeout ? timeout : KWASMI_UNLIMITED, begin = now();

	if (ending) {
		run.log = address(ending->text);
		run.log_size = KWASMI_TEXT_SIZE - 1;
	}
	/* The ioctl returns before all calls have finished if the thread must return to userspace. */
	while (!is_idle(ring)) {
		uint64_t elapsed = now() - begin;
		int result;

		run.timeout = whole == KWASMI_UNLIMITED ? whole : whole - (elapsed < whole ? elapsed : whole);
		result = control_within(ring->fd, KWASMI_IOC_RING_RUN, &run, &run.timeout);
		if (result)
			return result;
		if (run.ended) {
			end_call(ending, run.status, run.code, run.limit_value, run.log_len);
			return KWASMI_CALL_ENDED;
		}
	}
	return KWASMI_CALL_RETURNED;
}

int kwasmi_ring_take(struct kwasmi_call_ring *ring, struct kwasmi_ring_entry *call)
{
	if (__atomic_load_n(&ring->header->head, __ATOMIC_ACQUIRE) == ring->taken)
		return 0;
	*call = ring->entries[ring->taken++ & (ring->entries_len - 1)];
	return 1;
}

enum kwasmi_ran kwasmi_call_ran(int result)
{
	switch (result) {
	case KWASMI_CALL_RETURNED:
	case KWASMI_CALL_ENDED:
	case -EINPROGRESS:
		return KWASMI_RAN_YES;
	case -EBADF:
	case -ENOTTY:
	case -EOPNOTSUPP:
	case -EINVAL:
	case -E2BIG:
	case -EDQUOT:
	case -ESHUTDOWN:
	case -ESTALE:
	case -ETIMEDOUT:
	case -EINTR:
	case -EFAULT:
	case -ENOMEM:
		return KWASMI_RAN_NO;
	default:
		return KWASMI_RAN_PERHAPS;
	}
}

const char *kwasmi_call_text(int result)
{
	switch (result) {
	case KWASMI_CALL_RETURNED:
		return "the function returned";
	case KWASMI_CALL_ENDED:
		return "the guest ended during the call";
	case -ETIMEDOUT:
		return "the call has not begun within the timeout, and the function did not run";
	case -EINPROGRESS:
		return "the function has not returned within the timeout, and runs on";
	case -ECONNRESET:
		return "the service was killed during the call";
	case -ESHUTDOWN:
		return "the service has ended";
	case -ESTALE:
		return "the service was upgraded: find it again";
	case -EINVAL:
		return "wrong number or types of arguments";
	case -E2BIG:
		return "the input or the output is larger than 1 MiB";
	case -EDQUOT:
		return "limit total-running or user-running reached";
	case -EOPNOTSUPP:
		return "the service is not a reactor";
	default:
		return strerror(-result);
	}
}
