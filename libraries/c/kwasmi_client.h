/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Client library of kwasmi: loads and runs WebAssembly modules in the kernel, and calls functions of
 * services.
 *
 *     /dev/kwasmi  kwasmi_device_open()
 *      |  kwasmi_module_load()       --> module fd
 *      |  |  kwasmi_instance_start() --> instance fd
 *      |  |  |  kwasmi_instance_publish()   gives the instance a name: it is a service
 *      |  |  |  kwasmi_instance_run()       runs the guest until it ends
 *      |  kwasmi_service_find()      --> service fd
 *      |  |  kwasmi_function_find()         looks up an exported function
 *      |  |  kwasmi_function_call()         calls the function
 *      |  |  kwasmi_ring_open()             makes many calls with one ioctl
 *
 * Each object is a descriptor (close-on-exec), which close(2) closes. Functions that
 * can fail return 0 or a positive value on success, and a negative error number such as -ENOENT on
 * failure. kwasmi.h states the errors of each ioctl. All functions may be called by several threads
 * at once. Functions repeat an ioctl after EINTR, without a longer timeout.
 *
 * A service runs in the thread that calls kwasmi_instance_run(), and ends with the process. The
 * command `kwasmi spawn` starts services with a process of their own.
 *
 * Programs link libkwasmi.a, which needs only libc.
 */
#ifndef KWASMI_CLIENT_H
#define KWASMI_CLIENT_H

#include <kwasmi.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Size of the texts of this library, in bytes. A longer text is truncated. */
#define KWASMI_TEXT_SIZE 512

/* Explanation of a failed call. All functions accept NULL in its place. */
struct kwasmi_error {
	uint32_t limit;			/* if -EDQUOT: KWASMI_LIMIT_* that was exceeded, or 0 */
	uint64_t limit_value;		/* value of `limit` */
	char text[KWASMI_TEXT_SIZE];	/* text of the kernel, NUL-terminated; may be empty */
};

/* How a guest ended: see struct kwasmi_run. */
struct kwasmi_ending {
	uint32_t status;		/* KWASMI_EXITED to KWASMI_ENGINE_FAULT */
	uint32_t code;			/* exit status, KWASMI_TRAP_* or KWASMI_LIMIT_* */
	uint64_t limit_value;		/* value of the limit that was reached */
	uint64_t fuel_used;		/* the following are 0 if a call returned this structure */
	uint64_t memory_peak;		/* bytes */
	uint64_t heap_peak;		/* bytes */
	uint64_t stack_peak;		/* bytes */
	char text[KWASMI_TEXT_SIZE];	/* explains the status, NUL-terminated; may be empty */
};

/*
 * Opens /dev/kwasmi.
 *
 * -ENOENT	The kernel module is not loaded.
 * -EACCES	The process may not open the device.
 */
int kwasmi_device_open(void);

/* Options of a load. A structure of zeros has the defaults. */
struct kwasmi_load_options {
	const struct kwasmi_limit *limits;
	uint32_t limits_len;		/* number of limits */
	uint32_t flags;			/* KWASMI_LOAD_* */
};

/*
 * Loads a module from `wasm_len` bytes in the binary format, and returns its descriptor. `options`
 * may be NULL. The errors are those of KWASMI_IOC_LOAD. The caller needs CAP_SYS_ADMIN.
 */
int kwasmi_module_load(int device, const void *wasm, size_t wasm_len, const struct kwasmi_load_options *options,
		       struct kwasmi_error *error);

/* Loads a module from a file. Further errors are those of open(2) and read(2), and -ENOMEM. */
int kwasmi_module_load_file(int device, const char *path, const struct kwasmi_load_options *options,
			    struct kwasmi_error *error);

/* Options of a start. A structure of zeros has the defaults. */
struct kwasmi_start_options {
	const char *const *args;	/* strings, then NULL; the first is the program's name. Or NULL */
	const char *const *env;		/* strings NAME=VALUE, then NULL. Or NULL */
	const struct kwasmi_fd *fds;	/* descriptors of the guest, see kwasmi_stream() */
	uint32_t fds_len;		/* number of descriptors */
	uint32_t limits_len;		/* number of limits */
	const struct kwasmi_limit *limits;
	uint32_t flags;			/* KWASMI_START_* */
};

/* Returns the element of `fds` that passes a file, pipe or terminal as a stream without position. */
struct kwasmi_fd kwasmi_stream(int fd, uint32_t guest_fd);

/*
 * Creates an instance that is ready to run, and returns its descriptor. A module without `_start`
 * needs KWASMI_START_REACTOR. `options` may be NULL. The errors are those of KWASMI_IOC_START.
 */
int kwasmi_instance_start(int module, const struct kwasmi_start_options *options, struct kwasmi_error *error);

/*
 * Publishes an instance as the service `name`. The instance must not have run. `log` is a descriptor
 * of a regular file, which KWASMI_IOC_LOG returns to other processes, or -1. The errors are those of
 * KWASMI_IOC_PUBLISH. The caller needs CAP_SYS_ADMIN.
 */
int kwasmi_instance_publish(int instance, const char *name, int log);

/*
 * Runs the guest in the calling thread until the guest ends, and returns 0 however it ended. `ending`
 * may be NULL. The errors are those of KWASMI_IOC_RUN. A reactor waits for calls until
 * kwasmi_service_kill() or proc_exit ends it.
 */
int kwasmi_instance_run(int instance, struct kwasmi_ending *ending);

/*
 * Finds a service by its name, and returns its descriptor.
 *
 * -ENOENT	No service has the name.
 * -EINVAL	The name is not valid.
 */
int kwasmi_service_find(int device, const char *name);

/* Describes a service. */
int kwasmi_service_describe(int service, struct kwasmi_service *description);

/*
 * Waits for KWASMI_SERVICE_ENDED or KWASMI_SERVICE_REMOVED. `timeout` is in nanoseconds, or
 * KWASMI_UNLIMITED.
 *
 * -ETIMEDOUT	`timeout` has passed.
 * -ESTALE	`state` is KWASMI_SERVICE_ENDED, and the service was upgraded: find it again.
 */
int kwasmi_service_wait(int service, uint32_t state, uint64_t timeout);

/*
 * Returns how the guest of a service ended.
 *
 * -EAGAIN	The guest has not ended.
 */
int kwasmi_service_ending(int service, struct kwasmi_ending *ending);

/*
 * Ends the guest of a service or an instance. The guest may still run when this function returns.
 *
 * -EPERM	The service belongs to another user.
 * -ESTALE	The service was upgraded: find it again.
 */
int kwasmi_service_kill(int service);

/*
 * Removes the name of a service that has ended.
 *
 * -EBUSY	The guest has not ended.
 * -EPERM	The service belongs to another user.
 * -ESTALE	The service was upgraded: find it again.
 */
int kwasmi_service_remove(int service);

/*
 * Reads the counters of a module, an instance or a service. Stores the first `capacity` counters, and
 * returns the number of all counters, which may be larger.
 */
int kwasmi_counters_read(int fd, struct kwasmi_counter *counters, uint32_t capacity);

/* Function of a reactor. It belongs to the descriptor with which it was found. */
struct kwasmi_export {
	uint32_t function;		/* number of the function */
	uint32_t params_len;		/* number of parameters */
	uint32_t results_len;		/* number of results */
	uint8_t params[KWASMI_INVOKE_MAX];	/* KWASMI_TYPE_* of each parameter */
	uint8_t results[KWASMI_INVOKE_MAX];	/* KWASMI_TYPE_* of each result */
};

/*
 * Looks up an exported function of a service or an instance by its name.
 *
 * -ENOENT	The module exports no such function.
 * -EOPNOTSUPP	The instance is not a reactor, or a parameter or result is not a number.
 * -ESHUTDOWN	The instance has been freed.
 * -ESTALE	The instance has been freed, and another one has taken over its name.
 */
int kwasmi_function_find(int service, const char *name, struct kwasmi_export *function, struct kwasmi_error *error);

/* Argument or result with its type. */
struct kwasmi_value {
	uint32_t type;			/* KWASMI_TYPE_* */
	union {
		int32_t i32;
		int64_t i64;
		float f32;
		double f64;
	} of;
};

struct kwasmi_value kwasmi_i32(int32_t value);
struct kwasmi_value kwasmi_i64(int64_t value);
struct kwasmi_value kwasmi_f32(float value);
struct kwasmi_value kwasmi_f64(double value);

/* Bytes, timeout and ending of a call. A structure of zeros passes no bytes and waits for ever. */
struct kwasmi_exchange {
	const void *input;		/* bytes that the function reads */
	size_t input_len;		/* 0 to KWASMI_CALL_BYTES_MAX */
	void *output;			/* buffer for the bytes that the function writes */
	size_t output_size;		/* 0 to KWASMI_CALL_BYTES_MAX */
	size_t output_len;		/* out: bytes that the function has written */
	uint64_t timeout;		/* nanoseconds; 0 or KWASMI_UNLIMITED: no timeout */
	struct kwasmi_ending *ending;	/* gets the ending if the result is KWASMI_CALL_ENDED; or NULL */
};

/* Results of kwasmi_function_call() that are not errors. */
#define KWASMI_CALL_RETURNED	0	/* the function returned */
#define KWASMI_CALL_ENDED	1	/* the guest ended during the call */

/*
 * Calls a function of a service or an instance. `args` has the types of the parameters, and `results`
 * has room for all results of the function; it may be NULL if there are none. `exchange` may be NULL.
 *
 * A call is one ioctl. It is repeated only if a signal interrupted it before the function began.
 *
 * result		meaning				did the function run?
 * KWASMI_CALL_RETURNED	The function returned.		yes, to its end
 * KWASMI_CALL_ENDED	The guest trapped, exited or	yes, until the guest ended
 *			reached a limit.
 * -ETIMEDOUT		The call did not begin within	no
 *			the timeout.
 * -EINPROGRESS		The function did not return	yes; it continues to its end
 *			within the timeout.
 * -ECONNRESET		The service was killed.		perhaps in part
 * -EIO			A buffer is not writable.	perhaps, to its end
 * -ESHUTDOWN		The guest has ended.		no
 * -ESTALE		Another instance has taken over	no
 *			the name of the service:
 *			kwasmi_service_find() finds it.
 * -EINVAL		Number or types of arguments	no
 *			are wrong, or the function is
 *			not one of this reactor.
 * -E2BIG		Input or output is too large.	no
 * -EDQUOT		Too many calls run.		no
 * -EOPNOTSUPP		The service is not a reactor.	no
 * -ENOMEM, -EFAULT					no
 */
int kwasmi_function_call(int service, const struct kwasmi_export *function, const struct kwasmi_value *args,
			 size_t args_len, struct kwasmi_value *results, struct kwasmi_exchange *exchange);

/*
 * Call ring: see "Call rings" in kwasmi.h. Only one thread at a time may use kwasmi_ring_add() and
 * kwasmi_ring_take(). One other thread may be in kwasmi_ring_run() meanwhile. The program reads and
 * writes `data` itself; no call that uses the bytes may be in the ring.
 */
struct kwasmi_call_ring {
	int fd;
	struct kwasmi_ring_header *header;
	struct kwasmi_ring_entry *entries;
	void *data;			/* input and output of the calls */
	size_t map_size;		/* bytes */
	uint32_t entries_len;		/* number of entries */
	uint32_t tail;			/* number of calls that were added; it wraps around */
	uint32_t taken;			/* number of calls whose results were taken; it wraps around */
};

/*
 * Creates and maps a ring of calls of a service or an instance, with `entries` entries, a power of two,
 * and `data_size` bytes of data. The errors are those of KWASMI_IOC_RING and mmap(2).
 */
int kwasmi_ring_open(int service, uint32_t entries, uint32_t data_size, struct kwasmi_call_ring *ring);

/* Closes and unmaps a ring. */
void kwasmi_ring_close(struct kwasmi_call_ring *ring);

/*
 * Adds a call. The caller sets `function`, `args_len`, `values`, the input and the output, and
 * `user_data`. `values` has the arguments as words of 64 bits, as in struct kwasmi_invoke. An i32, or
 * the bits of an f32, is in the lower half. The types are not checked.
 *
 * -EAGAIN	All entries are in use: by calls that have not finished, or whose results were not
 *		taken.
 * -E2BIG	`args_len` exceeds KWASMI_RING_VALUES.
 */
int kwasmi_ring_add(struct kwasmi_call_ring *ring, const struct kwasmi_ring_entry *call);

/*
 * Runs the calls of a ring in this thread, and continues after signals. `timeout` is for all calls
 * together, in nanoseconds; 0 or KWASMI_UNLIMITED: no timeout. `ending` may be NULL.
 *
 * KWASMI_CALL_RETURNED	All calls have finished; `error` of each call tells whether it failed.
 * KWASMI_CALL_ENDED	A guest has ended during the last call that has finished.
 * negative		The error of KWASMI_IOC_RING_RUN. Earlier calls may have finished.
 */
int kwasmi_ring_run(const struct kwasmi_call_ring *ring, uint64_t timeout, struct kwasmi_ending *ending);

/*
 * Takes the next call that has finished, with its results, and returns 1; returns 0 if there is none.
 * `error` of the call is 0, or a negative error number as in struct kwasmi_ring_entry.
 */
int kwasmi_ring_take(struct kwasmi_call_ring *ring, struct kwasmi_ring_entry *call);

/* Whether a function ran. */
enum kwasmi_ran {
	KWASMI_RAN_NO,			/* it did not begin; the call is safe to repeat */
	KWASMI_RAN_YES,			/* it began; it returned, the guest ended, or it still runs */
	KWASMI_RAN_PERHAPS		/* it may have run, wholly or in part */
};

/* Returns whether the function ran, from the result of kwasmi_function_call(). */
enum kwasmi_ran kwasmi_call_ran(int result);

/* Returns a text for the result of kwasmi_function_call(). */
const char *kwasmi_call_text(int result);

#ifdef __cplusplus
}
#endif

#endif /* KWASMI_CLIENT_H */
