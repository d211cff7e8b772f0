// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the client library in the VM. The suite `client` starts the services and calls this
 * program with the name of a test.
 */
#define _POSIX_C_SOURCE 200809L
#include "kwasmi_client.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MILLISECOND 1000000ULL
/* Iterations of the function `compute` that take hours. */
#define HOURS 1000000000000000LL

#define EXPECT(condition)                                                             \
	do {                                                                          \
		if (!(condition)) {                                                   \
			fprintf(stderr, "line %d: not %s\n", __LINE__, #condition);   \
			exit(1);                                                      \
		}                                                                     \
	} while (0)

#define EXPECT_EQUAL(expected, got)                                                   \
	do {                                                                          \
		long long expected_ = (expected), got_ = (got);                       \
		if (expected_ != got_) {                                              \
			fprintf(stderr, "line %d: %s: expected %lld, got %lld\n",     \
				__LINE__, #got, expected_, got_);                     \
			exit(1);                                                      \
		}                                                                     \
	} while (0)

/* The linker replaces the calls of ioctl() in the library by calls of this function. */
int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, void *argument);
static int ioctls;

int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
	ioctls++;
	return __real_ioctl(fd, request, argument);
}

static int device;

static int find(const char *name)
{
	int service = kwasmi_service_find(device, name);

	EXPECT(service >= 0);
	return service;
}

static struct kwasmi_export function(int service, const char *name)
{
	struct kwasmi_export found;

	EXPECT_EQUAL(0, kwasmi_function_find(service, name, &found, NULL));
	return found;
}

/* Calls a function with one i64 parameter and one i64 result. */
static int call(int service, const char *name, int64_t arg, int64_t *result, struct kwasmi_exchange *exchange)
{
	struct kwasmi_export called = function(service, name);
	struct kwasmi_value value = kwasmi_i64(arg), returned = kwasmi_i64(0);
	int outcome = kwasmi_function_call(service, &called, &value, 1, &returned, exchange);

	if (result)
		*result = returned.of.i64;
	return outcome;
}

static int64_t add(int service, int64_t arg)
{
	int64_t sum;

	EXPECT_EQUAL(KWASMI_CALL_RETURNED, call(service, "add", arg, &sum, NULL));
	return sum;
}

static uint64_t counter(int fd, uint32_t number)
{
	static struct kwasmi_counter counters[256];
	int len = kwasmi_counters_read(fd, counters, 256);

	EXPECT(len > 0 && len <= 256);
	for (int at = 0; at < len; at++)
		if (counters[at].counter == number)
			return counters[at].value;
	return 0;
}

static void pause_for(long milliseconds)
{
	struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};

	while (nanosleep(&time, &time))
		;
}

/* A call of `compute` for hours, in another thread. */
struct work {
	pthread_t thread;
	int service;
	int outcome;
	struct kwasmi_ending ending;
};

static void *work(void *argument)
{
	struct work *work = argument;
	struct kwasmi_exchange exchange = {0};

	exchange.ending = &work->ending;
	work->outcome = call(work->service, "compute", HOURS, NULL, &exchange);
	return NULL;
}

static void begin_work(struct work *begun, int service)
{
	uint64_t calls = counter(service, KWASMI_COUNTER_CALLS);

	begun->service = service;
	EXPECT_EQUAL(0, pthread_create(&begun->thread, NULL, work, begun));
	while (counter(service, KWASMI_COUNTER_CALLS) == calls)
		pause_for(10);
}

static void numbers(void)
{
	int service = find("sum");
	struct kwasmi_value args[4] = {kwasmi_i32(-7), kwasmi_i64(-1), kwasmi_f32(-0.25F), kwasmi_f64(1.5)};
	struct kwasmi_value results[4];
	struct kwasmi_export types = function(service, "types");

	EXPECT_EQUAL(40, add(service, 40));
	EXPECT_EQUAL(42, add(service, 2));
	EXPECT_EQUAL(39, add(service, -3));
	EXPECT_EQUAL(0, kwasmi_function_call(service, &types, args, 4, results, NULL));
	EXPECT(results[0].type == KWASMI_TYPE_F64 && results[0].of.f64 == 1.5);
	EXPECT(results[1].type == KWASMI_TYPE_F32 && results[1].of.f32 == -0.25F);
	EXPECT(results[2].type == KWASMI_TYPE_I64 && results[2].of.i64 == -1);
	EXPECT(results[3].type == KWASMI_TYPE_I32 && results[3].of.i32 == -7);
}

static void one_ioctl(void)
{
	int service = find("sum");
	struct kwasmi_export nothing = function(service, "nothing");
	uint64_t calls = counter(service, KWASMI_COUNTER_CALLS);

	ioctls = 0;
	EXPECT_EQUAL(0, kwasmi_function_call(service, &nothing, NULL, 0, NULL, NULL));
	EXPECT_EQUAL(1, ioctls);
	EXPECT_EQUAL(calls + 1, counter(service, KWASMI_COUNTER_CALLS));
}

/* Adds calls of `add` to a ring, runs them with one ioctl, and checks their results. */
static void ring(void)
{
	int service = find("sum");
	struct kwasmi_export adds = function(service, "add"), traps = function(service, "trap");
	struct kwasmi_ring_entry call = {0}, taken;
	struct kwasmi_call_ring calls;
	struct kwasmi_ending ending;

	EXPECT_EQUAL(-EINVAL, kwasmi_ring_open(service, 3, 0, &calls));
	EXPECT_EQUAL(0, kwasmi_ring_open(service, 64, 4096, &calls));
	EXPECT_EQUAL(0, kwasmi_ring_take(&calls, &taken));
	call.args_len = KWASMI_RING_VALUES + 1;
	EXPECT_EQUAL(-E2BIG, kwasmi_ring_add(&calls, &call));
	call.function = adds.function;
	call.args_len = 1;
	call.values[0] = 1;
	for (uint64_t at = 0; at < 64; at++) {
		call.user_data = at;
		EXPECT_EQUAL(0, kwasmi_ring_add(&calls, &call));
	}
	EXPECT_EQUAL(-EAGAIN, kwasmi_ring_add(&calls, &call));
	ioctls = 0;
	EXPECT_EQUAL(0, kwasmi_ring_run(&calls, 0, NULL));
	EXPECT(ioctls <= 2);
	for (uint64_t at = 0; at < 64; at++) {
		EXPECT_EQUAL(1, kwasmi_ring_take(&calls, &taken));
		EXPECT_EQUAL(0, taken.error);
		EXPECT_EQUAL(1, taken.results_len);
		EXPECT_EQUAL(at, taken.user_data);
		EXPECT_EQUAL(at + 1, taken.values[0]);
	}
	EXPECT_EQUAL(0, kwasmi_ring_take(&calls, &taken));
	call.function = traps.function;
	call.args_len = 0;
	EXPECT_EQUAL(0, kwasmi_ring_add(&calls, &call));
	EXPECT_EQUAL(KWASMI_CALL_ENDED, kwasmi_ring_run(&calls, 0, &ending));
	EXPECT_EQUAL(KWASMI_TRAPPED, ending.status);
	EXPECT(strstr(ending.text, "unreachable"));
	EXPECT_EQUAL(1, kwasmi_ring_take(&calls, &taken));
	EXPECT_EQUAL(-ECONNRESET, taken.error);
	kwasmi_ring_close(&calls);
}

static void bytes(void)
{
	static const char text[] = "two one two", lines[] = "2 two\n1 one\n";
	int service = find("words");
	struct kwasmi_export adds = function(service, "add"), most = function(service, "most");
	struct kwasmi_value limit = kwasmi_i32(10), result;
	char output[64];
	struct kwasmi_exchange exchange = {0};

	exchange.input = text;
	exchange.input_len = strlen(text);
	EXPECT_EQUAL(0, kwasmi_function_call(service, &adds, NULL, 0, &result, &exchange));
	EXPECT_EQUAL(3, result.of.i32);
	memset(&exchange, 0, sizeof(exchange));
	exchange.output = output;
	exchange.output_size = sizeof(output);
	EXPECT_EQUAL(0, kwasmi_function_call(service, &most, &limit, 1, &result, &exchange));
	EXPECT_EQUAL(2, result.of.i32);
	EXPECT_EQUAL(strlen(lines), exchange.output_len);
	EXPECT(!memcmp(output, lines, strlen(lines)));
	/* The second line does not fit. */
	exchange.output_size = 6;
	EXPECT_EQUAL(0, kwasmi_function_call(service, &most, &limit, 1, &result, &exchange));
	EXPECT_EQUAL(1, result.of.i32);
	EXPECT_EQUAL(6, exchange.output_len);
	exchange.output_size = KWASMI_CALL_BYTES_MAX + 1;
	EXPECT_EQUAL(-E2BIG, kwasmi_function_call(service, &most, &limit, 1, &result, &exchange));
}

static void unknown(void)
{
	struct kwasmi_export none;
	struct kwasmi_error error;
	int service = find("sum");

	EXPECT_EQUAL(-ENOENT, kwasmi_service_find(device, "none"));
	EXPECT_EQUAL(-EINVAL, kwasmi_service_find(device, "No Name"));
	EXPECT_EQUAL(-EINVAL, kwasmi_service_find(device, "0123456789012345678901234567890123456789012345678901234567890123456789012345"));
	EXPECT_EQUAL(-ENOENT, kwasmi_function_find(service, "none", &none, &error));
	EXPECT(strstr(error.text, "none"));
	EXPECT_EQUAL(-ENOENT, kwasmi_function_find(service, "_initialize", &none, NULL));
	EXPECT_EQUAL(-EOPNOTSUPP, kwasmi_function_find(find("loop"), "_start", &none, &error));
}

static void wrong_types(void)
{
	int service = find("sum");
	struct kwasmi_export adds = function(service, "add");
	struct kwasmi_value args[2] = {kwasmi_i32(5), kwasmi_i64(5)}, result;
	int64_t before = add(service, 0);

	ioctls = 0;
	EXPECT_EQUAL(-EINVAL, kwasmi_function_call(service, &adds, args, 1, &result, NULL));
	EXPECT_EQUAL(-EINVAL, kwasmi_function_call(service, &adds, NULL, 0, &result, NULL));
	EXPECT_EQUAL(-EINVAL, kwasmi_function_call(service, &adds, args, 2, &result, NULL));
	EXPECT_EQUAL(0, ioctls);
	EXPECT_EQUAL(KWASMI_RAN_NO, kwasmi_call_ran(-EINVAL));
	adds.function += 1000;
	EXPECT_EQUAL(-EINVAL, kwasmi_function_call(service, &adds, &args[1], 1, &result, NULL));
	EXPECT_EQUAL(before, add(service, 0));
	EXPECT_EQUAL(-ENOTTY, kwasmi_function_call(device, &adds, &args[1], 1, &result, NULL));
	EXPECT_EQUAL(KWASMI_RAN_NO, kwasmi_call_ran(-ENOTTY));
}

static void on_alarm(int signal)
{
	(void)signal;
}

/* Signals interrupt the wait for the turn, which takes no longer for them. */
static void not_begun(void)
{
	struct itimerval often = {{0, 20000}, {0, 20000}}, never = {{0, 0}, {0, 0}};
	struct sigaction action;
	struct kwasmi_exchange exchange = {0};
	struct timespec begin, end;
	struct work other;
	int service = find("sum");
	int64_t milliseconds;

	begin_work(&other, service);
	memset(&action, 0, sizeof(action));
	action.sa_handler = on_alarm;
	EXPECT_EQUAL(0, sigaction(SIGALRM, &action, NULL));
	EXPECT_EQUAL(0, setitimer(ITIMER_REAL, &often, NULL));
	exchange.timeout = 300 * MILLISECOND;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	EXPECT_EQUAL(-ETIMEDOUT, call(service, "add", 1000, NULL, &exchange));
	clock_gettime(CLOCK_MONOTONIC, &end);
	EXPECT_EQUAL(0, setitimer(ITIMER_REAL, &never, NULL));
	milliseconds = (end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000;
	EXPECT(milliseconds >= 299 && milliseconds < 5000);
	EXPECT_EQUAL(KWASMI_RAN_NO, kwasmi_call_ran(-ETIMEDOUT));
	/* The other call is ended by the end of the guest. */
	EXPECT_EQUAL(0, kwasmi_service_kill(service));
	EXPECT_EQUAL(0, pthread_join(other.thread, NULL));
	EXPECT_EQUAL(KWASMI_CALL_ENDED, other.outcome);
	EXPECT_EQUAL(KWASMI_KILLED, other.ending.status);
	EXPECT_EQUAL(KWASMI_RAN_YES, kwasmi_call_ran(KWASMI_CALL_ENDED));
}

static void runs_on(void)
{
	struct kwasmi_exchange exchange = {0};
	int service = find("sum");

	exchange.timeout = 200 * MILLISECOND;
	EXPECT_EQUAL(-EINPROGRESS, call(service, "compute", HOURS, NULL, &exchange));
	EXPECT_EQUAL(KWASMI_RAN_YES, kwasmi_call_ran(-EINPROGRESS));
	EXPECT_EQUAL(0, kwasmi_service_kill(service));
	EXPECT_EQUAL(0, kwasmi_service_wait(service, KWASMI_SERVICE_ENDED, KWASMI_UNLIMITED));
}

/* SIGKILL ends the supervisor and so frees the instance. */
static void supervisor_killed(void)
{
	struct kwasmi_service description;
	struct work other;
	int service = find("sum");

	begin_work(&other, service);
	EXPECT_EQUAL(0, kwasmi_service_describe(service, &description));
	EXPECT_EQUAL(KWASMI_SERVICE_RUNNING, description.state);
	EXPECT(!strcmp("sum", description.name));
	EXPECT_EQUAL(0, kill(description.pid, SIGKILL));
	EXPECT_EQUAL(0, pthread_join(other.thread, NULL));
	EXPECT(other.outcome == -ECONNRESET || other.outcome == KWASMI_CALL_ENDED);
	EXPECT_EQUAL(KWASMI_RAN_PERHAPS, kwasmi_call_ran(-ECONNRESET));
	EXPECT_EQUAL(0, kwasmi_service_wait(service, KWASMI_SERVICE_REMOVED, KWASMI_UNLIMITED));
	EXPECT_EQUAL(-ENOENT, kwasmi_service_find(device, "sum"));
}

static void trap(void)
{
	struct kwasmi_ending ending;
	struct kwasmi_exchange exchange = {0};
	int service = find("sum");
	struct kwasmi_export traps = function(service, "trap");

	exchange.ending = &ending;
	EXPECT_EQUAL(KWASMI_CALL_ENDED, kwasmi_function_call(service, &traps, NULL, 0, NULL, &exchange));
	EXPECT_EQUAL(KWASMI_TRAPPED, ending.status);
	EXPECT_EQUAL(KWASMI_TRAP_UNREACHABLE, ending.code);
	EXPECT(ending.text[0]);
	EXPECT_EQUAL(-ESHUTDOWN, kwasmi_function_call(service, &traps, NULL, 0, NULL, NULL));
	EXPECT_EQUAL(KWASMI_RAN_NO, kwasmi_call_ran(-ESHUTDOWN));
}

static void wait_and_ending(void)
{
	struct kwasmi_ending ending;
	int service = find("sum");

	EXPECT_EQUAL(-ETIMEDOUT, kwasmi_service_wait(service, KWASMI_SERVICE_ENDED, 100 * MILLISECOND));
	EXPECT_EQUAL(-EAGAIN, kwasmi_service_ending(service, &ending));
	EXPECT_EQUAL(-EBUSY, kwasmi_service_remove(service));
	EXPECT_EQUAL(0, kwasmi_service_kill(service));
	EXPECT_EQUAL(0, kwasmi_service_wait(service, KWASMI_SERVICE_ENDED, KWASMI_UNLIMITED));
	EXPECT_EQUAL(0, kwasmi_service_ending(service, &ending));
	EXPECT_EQUAL(KWASMI_KILLED, ending.status);
	EXPECT_EQUAL(0, kwasmi_service_remove(service));
	EXPECT_EQUAL(0, kwasmi_service_wait(service, KWASMI_SERVICE_REMOVED, KWASMI_UNLIMITED));
	EXPECT_EQUAL(-ENOENT, kwasmi_service_find(device, "sum"));
}

static void *run(void *argument)
{
	struct kwasmi_ending *ending = calloc(1, sizeof(*ending));

	EXPECT(ending);
	EXPECT_EQUAL(0, kwasmi_instance_run(*(int *)argument, ending));
	return ending;
}

/* This process is the supervisor of the service. */
static void spawn(void)
{
	struct kwasmi_start_options options = {0};
	struct kwasmi_ending *ending;
	struct kwasmi_error error;
	pthread_t thread;
	int module, instance, service;
	void *result;

	module = kwasmi_module_load_file(device, "sum.wasm", NULL, &error);
	EXPECT(module >= 0);
	EXPECT_EQUAL(-ENOEXEC, kwasmi_instance_start(module, NULL, &error));
	EXPECT(strstr(error.text, "_start"));
	options.flags = KWASMI_START_REACTOR;
	instance = kwasmi_instance_start(module, &options, &error);
	EXPECT(instance >= 0);
	EXPECT_EQUAL(0, close(module));
	EXPECT_EQUAL(0, kwasmi_instance_publish(instance, "mine", -1));
	EXPECT_EQUAL(-EBUSY, kwasmi_instance_publish(instance, "other", -1));
	EXPECT_EQUAL(0, pthread_create(&thread, NULL, run, &instance));
	service = find("mine");
	EXPECT_EQUAL(40, add(service, 40));
	EXPECT_EQUAL(42, add(instance, 2));
	EXPECT_EQUAL(2, counter(service, KWASMI_COUNTER_CALLS));
	EXPECT_EQUAL(0, kwasmi_service_kill(service));
	EXPECT_EQUAL(0, pthread_join(thread, &result));
	ending = result;
	EXPECT_EQUAL(KWASMI_KILLED, ending->status);
	EXPECT(ending->heap_peak > 0);
	free(ending);
	EXPECT_EQUAL(0, close(instance));
	EXPECT_EQUAL(-ENOENT, kwasmi_service_find(device, "mine"));
}

static void program(void)
{
	static const char *const args[] = {"hello", "a", NULL};
	static const char *const env[] = {"NAME=value", NULL};
	struct kwasmi_limit limit = {KWASMI_LIMIT_MEMORY, 0, 1ULL << 62};
	struct kwasmi_start_options options = {0};
	struct kwasmi_ending ending;
	struct kwasmi_error error;
	struct kwasmi_fd fds[1];
	char text[64] = "";
	int module, instance, ends[2];

	EXPECT_EQUAL(-ENOENT, kwasmi_module_load_file(device, "none.wasm", NULL, &error));
	EXPECT_EQUAL(-ENOEXEC, kwasmi_module_load(device, "text", 4, NULL, &error));
	EXPECT(error.text[0]);
	EXPECT_EQUAL(-ENOEXEC, kwasmi_module_load(device, "text", 4, NULL, NULL));
	EXPECT_EQUAL(0, pipe(ends));
	module = kwasmi_module_load_file(device, "/guests/hello-c.wasm", NULL, &error);
	EXPECT(module >= 0);
	options.args = args;
	options.env = env;
	options.limits = &limit;
	options.limits_len = 1;
	EXPECT_EQUAL(-EDQUOT, kwasmi_instance_start(module, &options, &error));
	EXPECT_EQUAL(KWASMI_LIMIT_MEMORY, error.limit);
	options.limits_len = 0;
	fds[0] = kwasmi_stream(ends[1], 1);
	options.fds = fds;
	options.fds_len = 1;
	instance = kwasmi_instance_start(module, &options, &error);
	EXPECT(instance >= 0);
	EXPECT_EQUAL(0, kwasmi_instance_run(instance, &ending));
	EXPECT_EQUAL(KWASMI_EXITED, ending.status);
	EXPECT_EQUAL(0, ending.code);
	EXPECT(read(ends[0], text, sizeof(text) - 1) > 0);
	EXPECT(strstr(text, "Hello"));
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{"numbers", numbers},	{"one-ioctl", one_ioctl},   {"bytes", bytes},
	{"ring", ring},
	{"unknown", unknown},	{"wrong-types", wrong_types}, {"not-begun", not_begun},
	{"runs-on", runs_on},	{"supervisor-killed", supervisor_killed},
	{"trap", trap},		{"wait", wait_and_ending},  {"spawn", spawn},
	{"program", program},
};

int main(int argc, char **argv)
{
	device = kwasmi_device_open();
	EXPECT(device >= 0);
	for (size_t at = 0; argc == 2 && at < sizeof(tests) / sizeof(*tests); at++)
		if (!strcmp(tests[at].name, argv[1])) {
			tests[at].run();
			return 0;
		}
	fprintf(stderr, "usage: client-test TEST\n");
	return 2;
}
