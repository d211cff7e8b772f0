/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Userspace interface of kwasmi: ioctls on /dev/kwasmi and on the file descriptors that they
 * return.
 *
 *     /dev/kwasmi  --KWASMI_IOC_LOAD-->   module fd    a validated and translated Wasm module
 *     module fd    --KWASMI_IOC_START-->  instance fd  a program with arguments, environment, fds
 *     instance fd  --KWASMI_IOC_RUN-->    status       how the program ended
 *
 * A module is a program if it exports a function `_start`, which KWASMI_IOC_RUN calls. It can call
 * another exported function instead, of any module, see struct kwasmi_invoke. Any other module can
 * be started as a reactor, whose functions KWASMI_IOC_CALL calls any number of times.
 *
 * Closing the last fd of an object frees the object. An instance keeps its module alive.
 *
 * Integers are in native byte order. Addresses are 64 bits wide. Structures have no implicit
 * padding. Fields named `reserved` and undefined bits of `flags` must be zero; otherwise the call
 * fails with EINVAL. A structure never changes: an extended call gets a new number. An unknown
 * command fails with ENOTTY. A call fails with EFAULT if an address does not point to accessible
 * memory of the caller.
 *
 * Log buffer: calls with the fields `log` and `log_size` write one line of UTF-8 text there when
 * the error number alone does not explain the result. The text has no terminating NUL. Text beyond
 * `log_size` bytes is cut off; a `log_size` of 0 requests no text. `log_len` receives the length of
 * the whole text in bytes, also if the call fails.
 */
#ifndef _UAPI_KWASMI_H
#define _UAPI_KWASMI_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Version of this interface: `abi` of struct kwasmi_info. */
#define KWASMI_ABI			11

/* Bits of `features` of struct kwasmi_info. */
#define KWASMI_FEATURE_WASI_PREVIEW1	(1ULL << 0)
/* kwasmi.ko was loaded with fault_injection=1: guests may import `kwasmi_test`. For tests. */
#define KWASMI_FEATURE_FAULT_INJECTION	(1ULL << 1)
/* kwasmi.ko compiles modules: its parameter `compiler` is set. */
#define KWASMI_FEATURE_COMPILER		(1ULL << 2)

/*
 * KWASMI_IOC_INFO on /dev/kwasmi: returns the version of kwasmi.ko and its current resource usage.
 */
struct kwasmi_info {
	__u32 abi;			/* KWASMI_ABI */
	/* Number of modules whose compiled code failed the safety check, since kwasmi.ko was loaded. */
	__u32 unsafe_modules;
	__u64 features;			/* KWASMI_FEATURE_* */
	__u64 modules;			/* number of modules in memory */
	__u64 instances;		/* number of instances in memory */
	__u64 heap_bytes;		/* bytes allocated for engines, linear memories included */
	__u64 heap_blocks;		/* number of blocks that make up `heap_bytes` */
	/* Bytes freed on behalf of engines that failed or leaked, since kwasmi.ko was loaded. */
	__u64 reclaimed_bytes;
	/* Size of the reserve that serves small allocations when memory runs out, in bytes. */
	__u64 reserve_bytes;
	__u64 reserve_used_bytes;	/* bytes of the reserve in use */
	__u64 reserve_peak_bytes;	/* highest value of `reserve_used_bytes` */
	__u64 engine_stack_bytes;	/* size of one engine stack */
	/* Deepest use of an engine stack since kwasmi.ko was loaded, in bytes. */
	__u64 engine_stack_peak_bytes;
	__u64 compiled;			/* number of compiled programs in memory */
	__u64 machine_code_bytes;	/* bytes of their machine code, part of `heap_bytes` */
	char version[32];		/* version of kwasmi.ko, NUL-terminated */
};

/*
 * Limits bound the resources of a module or an instance. Each limit has a default and a ceiling. A
 * parameter of kwasmi.ko sets the ceiling. KWASMI_IOC_LIST_LIMITS returns both. A caller may
 * request any value from the minimum of the limit up to its ceiling.
 *
 * A call that would exceed a limit fails with EDQUOT and stores the limit in `limit` and its value
 * in `limit_value`. A running guest that reaches a limit is terminated with the status
 * KWASMI_LIMITED.
 */

/* Limits of a module, passed to KWASMI_IOC_LOAD. */
#define KWASMI_LIMIT_MODULE_SIZE	1	/* size of the file, in bytes */
#define KWASMI_LIMIT_FUNCTIONS		2	/* number of functions */
#define KWASMI_LIMIT_FUNCTION_SIZE	3	/* code size of one function, in bytes */
#define KWASMI_LIMIT_LOCALS		4	/* locals of one function, parameters excluded */
#define KWASMI_LIMIT_ARITY		5	/* parameters, or results, of one function type */
#define KWASMI_LIMIT_GLOBALS		6	/* number of globals */
#define KWASMI_LIMIT_DATA_SEGMENTS	7	/* number of data segments */
#define KWASMI_LIMIT_ELEMENT_SEGMENTS	8	/* number of element segments */
/* Wasm stack of each instance, in bytes: its values, and 64 bytes for each call frame. */
#define KWASMI_LIMIT_STACK		9
#define KWASMI_LIMIT_CODE		10	/* memory of the translated module, in bytes */
/* Limits of an instance, passed to KWASMI_IOC_START. */
#define KWASMI_LIMIT_MEMORY		11	/* linear memory, in bytes */
#define KWASMI_LIMIT_TABLE		12	/* elements of all tables */
#define KWASMI_LIMIT_HEAP		13	/* memory, in bytes, linear memory included */
#define KWASMI_LIMIT_FDS		14	/* open descriptors of the guest */
#define KWASMI_LIMIT_FUEL		15	/* fuel: approximately the number of instructions */
/*
 * Limits of both. They bound the call itself for KWASMI_IOC_LOAD. For an instance they count from
 * the first KWASMI_IOC_RUN.
 */
#define KWASMI_LIMIT_TIME		16	/* elapsed time, in nanoseconds */
#define KWASMI_LIMIT_CPU_TIME		17	/* CPU time, in nanoseconds */
/*
 * Limits of all modules and instances together. They have a ceiling only; a call cannot request a
 * value. The last eighth of TOTAL_HEAP, TOTAL_INSTANCES and TOTAL_RUNNING is reserved for callers
 * with CAP_SYS_ADMIN. If another caller reaches one of these, `limit_value` is the part open to
 * that caller.
 */
#define KWASMI_LIMIT_TOTAL_HEAP		18	/* memory of all engines, in bytes */
#define KWASMI_LIMIT_TOTAL_MODULES	19	/* number of modules */
#define KWASMI_LIMIT_TOTAL_INSTANCES	20	/* number of instances */
#define KWASMI_LIMIT_TOTAL_RUNNING	21	/* tasks in LOAD, START, RUN or CALL at one time */
/*
 * Limits of one user. They have a ceiling only. The user of an instance is the real user of the
 * task that called KWASMI_IOC_START; in a user namespace it is the owner of the outermost one.
 * Callers with CAP_SYS_ADMIN are counted, but not refused.
 */
#define KWASMI_LIMIT_USER_INSTANCES	22	/* number of instances */
#define KWASMI_LIMIT_USER_RUNNING	23	/* tasks in START, RUN or CALL of the user's instances */

/* "No limit" as the value of a limit; the default of FUEL, TIME and CPU_TIME. */
#define KWASMI_UNLIMITED		(~0ULL)

/*
 * Value of one limit for one call. A call ignores limits that belong to another call. A call that
 * names a limit twice fails with EINVAL.
 */
struct kwasmi_limit {
	__u32 limit;			/* KWASMI_LIMIT_* */
	__u32 reserved;
	__u64 value;			/* at least 1 */
};

/*
 * KWASMI_IOC_LIST_LIMITS on /dev/kwasmi: lists all limits, in ascending order of their numbers.
 */
struct kwasmi_limit_info {
	__u32 limit;			/* KWASMI_LIMIT_* */
	__u32 reserved;
	__u64 value;			/* default */
	__u64 ceiling;			/* highest value that a caller may request */
};

struct kwasmi_list_limits {
	__u64 limits;			/* address of struct kwasmi_limit_info[] */
	__u32 limits_len;		/* in: capacity in elements; out: number of limits */
	__u32 reserved;
};

/*
 * KWASMI_IOC_LOAD on /dev/kwasmi: validates and translates a module.
 *
 * Returns a module fd (close-on-exec). The bytes are copied once, before kwasmi examines them. The
 * checks run in this order: signature (see KWASMI_IOC_POLICY), manifest, code. docs/signing.md
 * describes the formats.
 *
 * EKEYREJECTED	The signature is missing or does not verify, the module is denied, or its version is
 *		below the minimum version of its name.
 * ENOKEY	The signer's key is not in the keyring `.kwasmi`.
 * ENOEXEC	The bytes are not valid Wasm, or need an import or a feature that kwasmi lacks or
 *		that the manifest does not declare. The log states the reason and the place.
 * EDQUOT	A limit is exceeded, or a requested value is above its ceiling; see `limit`.
 * EINVAL	A limit is unknown or given twice, or its value is below the minimum.
 * ENOMEM	Out of memory.
 * EINTR	A fatal signal is pending.
 * EIO		The engine failed. The log states how.
 * EPERM	The caller lacks CAP_SYS_ADMIN.
 * EOPNOTSUPP	KWASMI_LOAD_COMPILE is set, and the module cannot be compiled. The log states why.
 */
struct kwasmi_load {
	__u64 wasm;			/* address of the module's bytes */
	__u64 wasm_len;			/* size of the module, in bytes */
	__u64 limits;			/* address of struct kwasmi_limit[] */
	__u32 limits_len;		/* number of limits */
	__u32 limit;			/* out, if EDQUOT: KWASMI_LIMIT_* */
	__u64 limit_value;		/* out, if EDQUOT: value of `limit` */
	__u64 log;			/* address of the log buffer */
	__u32 log_size;
	__u32 log_len;			/* out */
	__u32 flags;			/* KWASMI_LOAD_* */
	__u32 reserved;
};

/*
 * Choice of the engine. Without a flag, a module is compiled to machine code if the kernel module's
 * parameter `compiler` is set, `limits` and the manifest do not limit fuel, and the module can be
 * compiled; KWASMI_IOC_MODULE tells whether it was. Machine code counts no fuel: KWASMI_IOC_START
 * on a compiled module fails with ENOEXEC if `limits` there limit fuel. At most one flag may be
 * set.
 */
#define KWASMI_LOAD_COMPILE		0x1	/* fail unless the module is compiled */
#define KWASMI_LOAD_INTERPRET		0x2	/* do not compile */
#define KWASMI_LOAD_ONCE		0x4	/* for one run: do not compile a large module without tags */

/*
 * Descriptor passed to a guest. kwasmi removes rights that the descriptor itself does not have,
 * such as writing to a file opened read-only. The guest uses the descriptor with the credentials of
 * the caller of KWASMI_IOC_START.
 */
struct kwasmi_fd {
	__s32 fd;			/* descriptor of the caller */
	__u32 guest_fd;			/* number in the guest, below KWASMI_GUEST_FDS_MAX */
	__u64 rights;			/* WASI preview 1 `rights` of the descriptor */
	__u64 rights_inheriting;	/* `rights` of descriptors derived from it */
	__u64 name;			/* address of the guest's path of a preopened directory */
	__u32 name_len;			/* bytes, 0 to KWASMI_NAME_MAX; 0: not preopened */
	__u32 flags;			/* none defined */
};

/* Exclusive upper bound of `guest_fd`, and the highest number of `fds`. */
#define KWASMI_GUEST_FDS_MAX		1024

/* Upper bound of the name of one preopened directory, and of all names of an instance, in bytes. */
#define KWASMI_NAME_MAX			4095
#define KWASMI_NAMES_MAX		(1U << 20)

/*
 * Call of an exported function by KWASMI_IOC_RUN, in place of `_start`. KWASMI_IOC_RUN first calls
 * the start function of the module, then `_initialize` if the module exports it, then the function.
 * The parameters and results of the function are of type i32, i64, f32 or f64. A value is 64 bits
 * wide: an i32, or the bits of an f32, is in the lower half; the upper half of an argument is
 * ignored, that of a result is 0.
 */
struct kwasmi_invoke {
	__u64 name;			/* address of the name of the export, in UTF-8, without NUL */
	__u32 name_len;			/* bytes, 1 to KWASMI_INVOKE_NAME_MAX */
	__u32 args_len;			/* number of arguments, 0 to KWASMI_INVOKE_MAX */
	__u64 args;			/* address of __u64[]: the arguments */
	__u64 reserved;
};

#define KWASMI_INVOKE_NAME_MAX		4096

/* Upper bound of the parameters, and of the results, of a function in struct kwasmi_invoke. */
#define KWASMI_INVOKE_MAX		32

/* Upper bound of `args` and `env` together, in bytes. */
#define KWASMI_STRINGS_MAX		(2U << 20)

/*
 * KWASMI_IOC_START on a module fd: creates an instance that is ready to run.
 *
 * Returns an instance fd (close-on-exec). Any process that has the module fd may call this. The
 * manifest of the module restricts the limits and the descriptors.
 *
 * EACCES	The manifest lacks the capability for one of `fds`.
 * EPERM	One of `fds` is a Unix socket or an anonymous file such as an io_uring, and the
 *		caller lacks CAP_SYS_ADMIN. Such a file could come to hold the instance fd; that
 *		reference cycle would never be freed.
 * EKEYREJECTED	Since the load, the module was denied, its version fell below the minimum version,
 *		or the kernel was locked down and the module is not signed.
 * EBADF	One of `fds` is not open.
 * EINVAL	A string has no NUL at its end, a `guest_fd` is used twice or too large, a right is
 *		undefined, a name has a NUL in it or belongs to a file that is not a directory, or a
 *		limit is invalid as in KWASMI_IOC_LOAD. `invoke` is not 0 and KWASMI_START_REACTOR is
 *		set. The name in `invoke` is empty or not UTF-8, or
 *		the function has another number of parameters; the log states both numbers.
 * ENOENT	The module exports no function of the name in `invoke`.
 * EOPNOTSUPP	The function in `invoke` has a parameter or result that is not a number, or the module
 *		imports it.
 * ENOEXEC	The module cannot be instantiated; or it is not a program, `invoke` is 0 and
 *		KWASMI_START_REACTOR is not set; or it is a program and KWASMI_START_REACTOR is set.
 *		The log states the reason.
 * E2BIG	`args` and `env` exceed KWASMI_STRINGS_MAX, `fds_len` exceeds KWASMI_GUEST_FDS_MAX,
 *		names exceed KWASMI_NAME_MAX or KWASMI_NAMES_MAX, or the function in `invoke` exceeds
 *		KWASMI_INVOKE_NAME_MAX or KWASMI_INVOKE_MAX.
 * EDQUOT	A limit is exceeded, or a requested value is above its ceiling; see `limit`.
 * ENOMEM	Out of memory.
 * EINTR	A fatal signal is pending.
 * EIO		The engine failed, now or in an earlier instance of this module.
 */
struct kwasmi_start {
	__u64 args;			/* address of NUL-terminated strings, one after another */
	__u64 args_len;			/* size of `args` in bytes, NULs included */
	__u64 env;			/* address of strings NAME=VALUE, laid out as `args` */
	__u64 env_len;			/* size of `env` in bytes, NULs included */
	__u64 fds;			/* address of struct kwasmi_fd[] */
	__u32 fds_len;			/* number of elements of `fds` */
	__u32 limits_len;		/* number of elements of `limits` */
	__u64 limits;			/* address of struct kwasmi_limit[] */
	__u64 limit_value;		/* out, if EDQUOT: value of `limit` */
	__u32 limit;			/* out, if EDQUOT: KWASMI_LIMIT_* */
	__u32 flags;			/* KWASMI_START_* */
	__u64 log;			/* address of the log buffer */
	__u32 log_size;
	__u32 log_len;			/* out */
	__u64 invoke;			/* address of struct kwasmi_invoke, or 0: `_start` */
	__u64 reserved;
};

/*
 * A write to a pipe or stream socket without a reader terminates the guest, as SIGPIPE terminates a
 * process: the status is KWASMI_KILLED and `code` is SIGPIPE. Without this flag the guest gets the
 * WASI error `pipe` and continues. The process gets no signal in either case.
 */
#define KWASMI_START_SIGPIPE		(1U << 0)
/*
 * The instance is a reactor. KWASMI_IOC_RUN runs the start function of the module and
 * `_initialize`, if the module exports it, and then waits until the guest ends. Meanwhile
 * KWASMI_IOC_CALL calls functions of the reactor.
 */
#define KWASMI_START_REACTOR		(1U << 1)

/* Values of `status` of struct kwasmi_run: how the guest ended. */
#define KWASMI_EXITED			0	/* `code` is the exit status, 0 to 255 */
#define KWASMI_TRAPPED			1	/* `code` is KWASMI_TRAP_* */
#define KWASMI_LIMITED			2	/* `code` is KWASMI_LIMIT_*; see `limit_value` */
/* By a signal or KWASMI_IOC_KILL: `code` is 0. By KWASMI_START_SIGPIPE: `code` is SIGPIPE. */
#define KWASMI_KILLED			3
/* The machine, or the caller's memory cgroup, is out of memory. */
#define KWASMI_OUT_OF_MEMORY		4
#define KWASMI_ENGINE_FAULT		5	/* a bug in kwasmi: please report the log text */

/* Traps of the WebAssembly specification. */
#define KWASMI_TRAP_UNREACHABLE		1
#define KWASMI_TRAP_MEMORY_BOUNDS	2
#define KWASMI_TRAP_TABLE_BOUNDS	3
#define KWASMI_TRAP_NULL_ELEMENT	4
#define KWASMI_TRAP_DIVIDE_BY_ZERO	5
#define KWASMI_TRAP_INTEGER_OVERFLOW	6
#define KWASMI_TRAP_BAD_CONVERSION	7
#define KWASMI_TRAP_BAD_SIGNATURE	8
/* Any other trap, including an exit status above 255. The log states the reason. */
#define KWASMI_TRAP_OTHER		9

/*
 * KWASMI_IOC_RUN on an instance fd: runs the guest in the calling thread until the guest ends.
 *
 * File operations of the guest use the credentials that the starting process had at
 * KWASMI_IOC_START. The credentials of the process that calls KWASMI_IOC_RUN have no effect on
 * them.
 *
 * A signal that the process handles interrupts the call; the kernel restarts the call as it
 * restarts read(2), and the guest continues where it was. A fatal signal terminates the guest. The
 * call returns 0 once the guest has ended, however it ended. Further calls return the same result
 * again.
 *
 * EBUSY	Another thread runs the instance.
 * EKEYREJECTED	The instance has not run yet. Since KWASMI_IOC_START, the module was denied, its
 *		version fell below the minimum version, or the kernel was locked down and the module
 *		is not signed.
 * EDQUOT	KWASMI_LIMIT_TOTAL_RUNNING or KWASMI_LIMIT_USER_RUNNING is reached: `code` is the
 *		limit, `limit_value` its value.
 * ENOMEM	Out of memory.
 * EINTR	A signal whose handler was installed without SA_RESTART interrupted the call.
 */
struct kwasmi_run {
	__u32 status;			/* out: KWASMI_EXITED to KWASMI_ENGINE_FAULT */
	__u32 code;			/* out: depends on `status`; if EDQUOT: KWASMI_LIMIT_* */
	__u64 fuel_used;		/* out: fuel, approximately the number of instructions */
	__u64 memory_peak;		/* out: peak size of the linear memories, in bytes */
	__u64 heap_peak;		/* out: peak memory of the instance, in bytes */
	__u64 stack_peak;		/* out: peak use of the engine stack, in bytes */
	__u64 limit_value;		/* out: value of the limit that was reached */
	__u64 log;			/* address of the log buffer: explains the status */
	__u32 log_size;
	__u32 log_len;			/* out */
	__u32 flags;			/* none defined */
	__u32 reserved;
};

/*
 * KWASMI_IOC_RESULTS on an instance fd: returns the results of the function that struct
 * kwasmi_invoke named. There are none, and `results_len` becomes 0, if the instance runs a program,
 * or the function has not returned.
 *
 * EBUSY	Another thread runs the instance.
 */
struct kwasmi_results {
	__u64 results;			/* address of __u64[]; gets the first results if it is too small */
	__u32 results_len;		/* in: capacity in elements; out: number of results */
	__u32 reserved;
};

/*
 * KWASMI_IOC_MODULE on a module fd: returns the identity of the module.
 */
struct kwasmi_module {
	__u8 sha256[32];		/* hash of the module without its signature */
	__u32 verdict;			/* KWASMI_VERDICT_* */
	__u32 flags;			/* KWASMI_MODULE_* */
	__u32 version[3];		/* version in the manifest: major, minor, patch */
	__u32 reserved;
	char name[72];			/* name in the manifest, NUL-terminated */
	char signer[128];		/* description of the key, truncated, NUL-terminated */
	char engine_reason[128];	/* reason not to compile, truncated, NUL-terminated; or empty */
};

#define KWASMI_VERDICT_UNSIGNED		0	/* no signature */
#define KWASMI_VERDICT_SIGNED		1	/* signed by a key in the keyring `.kwasmi` */
#define KWASMI_VERDICT_KERNEL_KEY	2	/* signed by a key that the kernel trusts */
#define KWASMI_VERDICT_REJECTED		3	/* signature does not verify; accepted anyway */

#define KWASMI_MODULE_MANIFEST		(1U << 0)	/* the module has a manifest */
/* The load reused the translation of a module with the same bytes and limits. */
#define KWASMI_MODULE_SHARED		(1U << 1)
/* The module is compiled to machine code. */
#define KWASMI_MODULE_COMPILED		(1U << 2)

/*
 * KWASMI_IOC_DUMP on a module fd: returns the machine code of one function of a compiled module.
 *
 * The machine code and its addresses are those of the kernel's eBPF JIT. The caller needs
 * CAP_SYSLOG, as for the addresses in /proc/kallsyms, and also CAP_SYS_ADMIN or both of CAP_BPF and
 * CAP_PERFMON.
 *
 * EPERM	The caller lacks a capability, or the kernel is locked down for confidentiality.
 * EOPNOTSUPP	The module is not compiled; see KWASMI_MODULE_COMPILED.
 * EINVAL	The module has no such function. `functions` is set.
 */
struct kwasmi_dump {
	/*
	 * Index of the function. The first ones are those that the module defines; behind them are
	 * bodies of functions with tail calls, see docs/architecture.md.
	 */
	__u32 function;
	__u32 functions;		/* out: number of functions */
	__u64 address;			/* out: address of the machine code */
	__u64 code;			/* address of the buffer for the machine code */
	__u32 code_size;		/* size of the buffer; it gets the first bytes if it is too small */
	__u32 code_len;			/* out: size of the machine code, in bytes */
	/*
	 * Address of __u64[]: gets the addresses of the kernel functions that compiled code may
	 * call, by their numbers in the eBPF instructions; 0 for a number without a function.
	 */
	__u64 helpers;
	__u32 helpers_len;		/* in: capacity in elements; out: number of elements */
	__u32 instructions;		/* out: number of eBPF instructions of the function */
};

/*
 * KWASMI_IOC_POLICY on /dev/kwasmi: returns the rules by which modules are accepted.
 */
struct kwasmi_policy {
	__u32 verify;			/* KWASMI_VERIFY_* in force */
	__u32 flags;			/* KWASMI_POLICY_* */
	__s32 keyring;			/* serial number of the keyring `.kwasmi` */
	__u32 denied_len;		/* number of denied hashes */
	__u32 min_versions_len;		/* number of names with a minimum version */
	__u32 reserved;
};

#define KWASMI_VERIFY_OFF		0	/* signatures are checked, but not required */
#define KWASMI_VERIFY_WARN		1	/* as OFF, and unsigned modules are logged */
#define KWASMI_VERIFY_ENFORCE		2	/* modules without a valid signature are refused */

/* The kernel is locked down: ENFORCE applies, whatever the module parameter `verify` says. */
#define KWASMI_POLICY_LOCKED_DOWN	(1U << 0)
/* Signatures by keys that the kernel trusts are accepted as well. */
#define KWASMI_POLICY_KERNEL_KEYS	(1U << 1)

/*
 * KWASMI_IOC_DENY on /dev/kwasmi: refuses the module with this SHA-256 until kwasmi.ko is unloaded.
 * The module can no longer be loaded or started, and instances that have not run yet do not run.
 * Guests that run already continue, also after an interruption.
 *
 * EPERM	The caller lacks CAP_SYS_ADMIN.
 * EDQUOT	KWASMI_POLICY_MAX hashes are denied.
 * ENOMEM	Out of memory.
 */
struct kwasmi_deny {
	__u8 sha256[32];
};

/*
 * KWASMI_IOC_SET_MIN_VERSION on /dev/kwasmi: refuses modules of this name with a lower version,
 * until kwasmi.ko is unloaded. They can no longer be loaded or started, and instances that have not
 * run yet do not run. A minimum version can be raised, not lowered.
 *
 * EPERM	The caller lacks CAP_SYS_ADMIN.
 * EINVAL	The name is not valid, or the version is below the current minimum version.
 * EDQUOT	KWASMI_POLICY_MAX names have a minimum version.
 * ENOMEM	Out of memory.
 */
struct kwasmi_min_version {
	char name[72];			/* NUL-terminated, padded with zeros */
	__u32 version[3];
	__u32 reserved;
};

/* Upper bound of the number of denied hashes, and of names with a minimum version. */
#define KWASMI_POLICY_MAX		65536

/*
 * KWASMI_IOC_LIST_DENIED and KWASMI_IOC_LIST_MIN_VERSIONS on /dev/kwasmi: list the denied hashes,
 * and the names with their minimum versions, in ascending order.
 */
struct kwasmi_list_policy {
	__u64 entries;			/* address of struct kwasmi_deny[] or kwasmi_min_version[] */
	__u32 entries_len;		/* in: capacity in elements; out: number of entries */
	__u32 reserved;
};

/*
 * Services: instances and pools with a name, which other processes find, watch and stop.
 *
 *     instance fd  --KWASMI_IOC_PUBLISH-->  the instance is a service
 *     pool fd      --KWASMI_IOC_PUBLISH-->  the pool is a service
 *     /dev/kwasmi  --KWASMI_IOC_FIND-->     service fd
 *
 * A service fd does not keep the instance alive. The kernel frees the instance and removes its name
 * when the last instance fd is closed, at the latest when the processes that have it end. The same
 * holds for a pool and its fd.
 */

/* Values of `state` of struct kwasmi_service. */
#define KWASMI_SERVICE_READY	0	/* the guest has not run */
#define KWASMI_SERVICE_RUNNING	1	/* the guest has begun to run */
#define KWASMI_SERVICE_ENDED	2	/* the guest has ended, and the service still has its name */
#define KWASMI_SERVICE_REMOVED	3	/* the service has lost its name */

/*
 * KWASMI_IOC_PUBLISH on an instance fd or pool fd: makes the instance or pool a service. Without
 * KWASMI_PUBLISH_REPLACE the instance must not have run, and a service that has the name and has
 * ended loses the name.
 *
 * With KWASMI_PUBLISH_REPLACE the instance, which may have run, takes over the name of a running
 * service of the same process, in one step: every KWASMI_IOC_FIND finds one of the two. The state
 * of the former service is KWASMI_SERVICE_REMOVED. A former reactor finishes its running and queued
 * calls; further calls fail with ESTALE. Its KWASMI_IOC_RUN then returns KWASMI_EXITED with `code`
 * 0. A former program with `_start` only loses the name.
 *
 * EPERM	The caller lacks CAP_SYS_ADMIN, or with KWASMI_PUBLISH_REPLACE another process
 *		published the service that has the name.
 * EINVAL	The name is not 1 to 64 characters of a-z 0-9 . _ -, or `log` is not a regular file.
 * EEXIST	Without KWASMI_PUBLISH_REPLACE: the name belongs to a service that has not ended.
 * ENOENT	With KWASMI_PUBLISH_REPLACE: no service has the name.
 * ESHUTDOWN	The guest of the instance has ended; or, with KWASMI_PUBLISH_REPLACE, the guest of
 *		the service that has the name.
 * EBADF	`log` is not open.
 * EBUSY	The instance is a service already; or it has run, without KWASMI_PUBLISH_REPLACE.
 * ENOMEM	Out of memory.
 */
struct kwasmi_publish {
	char name[72];			/* NUL-terminated, padded with zeros */
	/* Descriptor of the regular file that KWASMI_IOC_LOG returns (the guest's output); or -1. */
	__s32 log;
	__u32 flags;			/* KWASMI_PUBLISH_* */
};

#define KWASMI_PUBLISH_REPLACE	(1U << 0)	/* take over the name of a service of this process */

/*
 * KWASMI_IOC_FIND on /dev/kwasmi: returns a service fd (close-on-exec).
 *
 * EINVAL	The name is not valid.
 * ENOENT	No service has the name.
 * ENOMEM	Out of memory.
 */
struct kwasmi_find {
	char name[72];			/* NUL-terminated, padded with zeros */
};

/*
 * KWASMI_IOC_SERVICE on a service fd: describes the service.
 */
struct kwasmi_service {
	char name[72];			/* NUL-terminated */
	__u32 state;			/* KWASMI_SERVICE_* */
	__u32 status;			/* as in struct kwasmi_run, once the guest has ended; else 0 */
	__u32 code;			/* as in struct kwasmi_run, once the guest has ended; else 0 */
	/*
	 * Process that called KWASMI_IOC_PUBLISH, in the caller's PID namespace; 0 if it is not in
	 * that namespace, has ended, or the instance is freed.
	 */
	__s32 pid;
	/* Its effective user at that call, in the caller's user namespace; 0xffffffff if not in it. */
	__u32 uid;
	__u32 instances;		/* number of instances in memory */
	__u64 since;			/* time of that call: CLOCK_BOOTTIME, in nanoseconds */
	__u8 sha256[32];		/* of the module, as in struct kwasmi_module */
	char module[72];		/* name in the manifest of the module */
	__u32 version[3];		/* version in the manifest of the module */
	__u32 reserved2;
};

/*
 * KWASMI_IOC_LIST_SERVICES on /dev/kwasmi: describes all services that have a name, in ascending
 * order of the names.
 */
struct kwasmi_list_services {
	__u64 services;			/* address of struct kwasmi_service[] */
	__u32 services_len;		/* in: capacity in elements; out: number of services */
	__u32 reserved;
};

/*
 * KWASMI_IOC_WAIT on a service fd: waits until the guest has ended (KWASMI_SERVICE_ENDED) or until
 * the service has lost its name (KWASMI_SERVICE_REMOVED). A signal that the process handles
 * interrupts the call; the kernel restarts it only if `timeout` is KWASMI_UNLIMITED.
 *
 * ESTALE	`state` is KWASMI_SERVICE_ENDED, and another instance has taken over the name:
 *		KWASMI_IOC_FIND returns its service fd.
 * EINVAL	`state` is neither of these states.
 * ETIMEDOUT	`timeout` has passed.
 * EINTR	A signal was handled, and `timeout` is not KWASMI_UNLIMITED or the handler
 *		was installed without SA_RESTART.
 */
struct kwasmi_wait {
	__u64 timeout;			/* nanoseconds, or KWASMI_UNLIMITED */
	__u32 state;			/* KWASMI_SERVICE_ENDED or KWASMI_SERVICE_REMOVED */
	__u32 reserved;
};

/*
 * KWASMI_IOC_RESULT on a service fd returns how the guest ended, as KWASMI_IOC_RUN returns it to
 * the process that runs the guest. If the instance was freed before the guest ended, `status` is
 * KWASMI_KILLED. The ioctl fails with EAGAIN if the guest has not ended.
 *
 * KWASMI_IOC_KILL, KWASMI_IOC_LOG and KWASMI_IOC_REMOVE fail with EPERM on a service fd unless the
 * caller has CAP_SYS_ADMIN, or its effective user is that of the process that published the
 * service and is not root of the machine. KWASMI_IOC_KILL and KWASMI_IOC_REMOVE fail with ESTALE if
 * another instance has taken over the name.
 *
 * KWASMI_IOC_KILL on a service fd terminates the guest, running or not.
 *
 * KWASMI_IOC_LOG on a service fd returns a descriptor (close-on-exec) of the file `log` of struct
 * kwasmi_publish. It fails with ENOENT if `log` was -1 or the instance has been freed.
 *
 * KWASMI_IOC_REMOVE on a service fd removes the name of a service that has ended. It fails with
 * EBUSY if the guest has not ended.
 */

/*
 * Pools: several instances of one module, which share a queue of calls and may share a name.
 *
 *     module fd  --KWASMI_IOC_POOL-->     pool fd (close-on-exec)
 *     pool fd    --KWASMI_IOC_START-->    instance fd of an instance of the pool
 *     pool fd    --KWASMI_IOC_FINISH-->   the pool has ended
 *
 * KWASMI_IOC_POOL and KWASMI_IOC_FINISH have no argument. Any process that has a module fd may call
 * KWASMI_IOC_POOL. It fails with ENOMEM if the machine is out of memory.
 *
 * KWASMI_IOC_START, KWASMI_IOC_PUBLISH, KWASMI_IOC_FUNCTION, KWASMI_IOC_CALL, KWASMI_IOC_KILL and
 * KWASMI_IOC_COUNTERS work on a pool fd as on a module fd or an instance fd. A pool can be
 * published after its instances have run; an instance of a pool cannot be published itself (EBUSY).
 * Each instance needs a thread in KWASMI_IOC_RUN.
 *
 * A call on the pool fd, or on the service fd of the pool, runs on an idle instance. If no instance
 * is idle, the call waits for the first instance that becomes idle; the queue is first in, first
 * out. Calls also wait while the pool has no instances. A call on an instance fd runs on this
 * instance, before the calls on the pool. If the guest ends during a call, only this call fails,
 * and the pool continues without the instance. Its process can start another one.
 *
 * KWASMI_IOC_KILL on a pool fd ends all instances of the pool, and waiting calls fail with
 * ESHUTDOWN. On an instance fd it ends this instance only. Closing the last pool fd also ends all
 * instances, and removes the name. An instance is freed when its own fd is closed.
 *
 * The service of a pool has the state KWASMI_SERVICE_READY until an instance has begun to run. The
 * service ends with KWASMI_IOC_FINISH, not with its instances. With KWASMI_PUBLISH_REPLACE a pool
 * may take over the name of a pool or an instance, and an instance that of a pool.
 *
 * KWASMI_IOC_START on a pool fd fails with ESHUTDOWN if the pool was killed or has ended, and with
 * ESTALE if it has lost its name by KWASMI_PUBLISH_REPLACE. KWASMI_IOC_PUBLISH fails with EBUSY if
 * the pool is a service already, and with ESHUTDOWN if it was killed or has ended. If an instance
 * of the pool is not a reactor, calls fail with EOPNOTSUPP.
 *
 * KWASMI_IOC_FINISH kills the remaining instances and ends the pool. The result of its service, for
 * KWASMI_IOC_RESULT, is that of the last instance that had ended before, or KWASMI_KILLED if none
 * had ended.
 *
 * The counters of a pool are the sums over its instances, including freed ones. MEMORY_PEAK and
 * HEAP_PEAK are the maxima over the instances. A pool also has the counters INSTANCES, STARTS, ENDS
 * and TRAPS of its instances.
 */

/*
 * KWASMI_IOC_FUNCTION on an instance fd, pool fd or service fd of a reactor: looks up an exported
 * function.
 *
 * EOPNOTSUPP	The instance is not a reactor, or the function has a parameter or result that is not a
 *		number, or the module imports it.
 * ENOENT	The module exports no such function, or it is `_initialize`.
 * EINVAL	The name is empty or not UTF-8.
 * E2BIG	`name_len` exceeds KWASMI_INVOKE_NAME_MAX, or the function has more than
 *		KWASMI_INVOKE_MAX parameters or results.
 * ESTALE	The instance has been freed, and another instance has taken over its name.
 * ESHUTDOWN	The instance has been freed.
 * ENOMEM	Out of memory.
 */
struct kwasmi_function {
	__u64 name;			/* address of the name of the export, in UTF-8, without NUL */
	__u32 name_len;			/* bytes, 1 to KWASMI_INVOKE_NAME_MAX */
	__u32 function;			/* out: number of the function, for struct kwasmi_call */
	__u32 params_len;		/* out: number of parameters */
	__u32 results_len;		/* out: number of results */
	__u8 params[32];		/* out: KWASMI_TYPE_* of each parameter */
	__u8 results[32];		/* out: KWASMI_TYPE_* of each result */
	__u64 log;			/* address of the log buffer */
	__u32 log_size;
	__u32 log_len;			/* out */
};

#define KWASMI_TYPE_I32			1
#define KWASMI_TYPE_I64			2
#define KWASMI_TYPE_F32			3
#define KWASMI_TYPE_F64			4

/*
 * KWASMI_IOC_CALL on an instance fd, pool fd or service fd of a reactor: calls an exported
 * function.
 *
 * The function runs in the calling thread, one call of an instance at a time, in the order in which
 * the calls came. Calls wait until KWASMI_IOC_RUN has initialised the reactor. Arguments and
 * results are passed as in struct kwasmi_invoke. The function reads `input` and appends to `output`
 * by the host functions of `kwasmi_call_1`, see docs/calls.md. Files are accessed as in
 * KWASMI_IOC_RUN, with the credentials of the process that started the instance.
 *
 * If the calling thread must return to userspace before the function returns, for example to handle
 * a signal, the thread in KWASMI_IOC_RUN runs the rest. That thread runs the whole function if the
 * two threads differ in umask, RLIMIT_FSIZE, scheduling policy or priority, or if the calling
 * thread has a NUMA memory policy. A signal that is not fatal does not end a call that has begun. A
 * fatal signal ends the calling thread, and the function runs on. If the function calls proc_exit,
 * traps, or reaches a limit of the instance, the guest ends: the ioctl returns 0, and `returned` is
 * 0.
 *
 * These errors mean that the function has not run:
 *
 * EOPNOTSUPP	The instance is not a reactor.
 * EINVAL	No function has this number, or `args_len` is not its number of parameters.
 * E2BIG	`args_len` exceeds KWASMI_INVOKE_MAX, or `input_len` or `output_size` exceeds
 *		KWASMI_CALL_BYTES_MAX.
 * EDQUOT	KWASMI_LIMIT_TOTAL_RUNNING or KWASMI_LIMIT_USER_RUNNING is reached. No field tells
 *		which.
 * ESTALE	Another instance has taken over the name of the service (KWASMI_PUBLISH_REPLACE):
 *		KWASMI_IOC_FIND returns its service fd.
 * ESHUTDOWN	The guest has ended, or the instance has been freed.
 * ETIMEDOUT	`timeout` has passed.
 * EINTR	A signal was handled, and `timeout` is not KWASMI_UNLIMITED or the handler
 *		was installed without SA_RESTART.
 * EFAULT	`args`, `input` or this structure is not readable.
 * ENOMEM	Out of memory.
 *
 * These errors mean that the function may have run, and that its results are lost:
 *
 * EINPROGRESS	`timeout` has passed. The function runs on.
 * ECONNRESET	The instance was freed before the function returned.
 * EIO		`results`, `output`, the log buffer or this structure is not writable.
 */
struct kwasmi_call {
	__u32 function;			/* number of the function, from KWASMI_IOC_FUNCTION */
	__u32 args_len;			/* number of arguments */
	__u64 args;			/* address of __u64[]: the arguments */
	__u64 results;			/* address of __u64[]; gets the first results if it is too small */
	__u32 results_len;		/* in: capacity in elements; out: number of results */
	__u32 input_len;		/* bytes, 0 to KWASMI_CALL_BYTES_MAX */
	__u64 input;			/* address of the input */
	__u64 output;			/* address of the buffer for the output */
	__u32 output_size;		/* size of the buffer, 0 to KWASMI_CALL_BYTES_MAX */
	__u32 output_len;		/* out: bytes of output */
	__u64 timeout;			/* nanoseconds, or KWASMI_UNLIMITED */
	__u32 returned;			/* out: 1 if the function returned, 0 if the guest ended */
	__u32 status;			/* out, if `returned` is 0: as in struct kwasmi_run */
	__u32 code;			/* out, if `returned` is 0: as in struct kwasmi_run */
	__u32 flags;			/* none defined */
	__u64 limit_value;		/* out, if `returned` is 0: as in struct kwasmi_run */
	__u64 log;			/* address of the log buffer: explains how the guest ended */
	__u32 log_size;
	__u32 log_len;			/* out */
};

/* Upper bound of the input, and of the output, of one call, in bytes. */
#define KWASMI_CALL_BYTES_MAX		(1U << 20)

/*
 * Call rings: memory that a process shares with the kernel, to make many calls with one ioctl.
 *
 *     instance fd, pool fd or service fd  --KWASMI_IOC_RING-->      ring fd (close-on-exec)
 *     ring fd                             --mmap(2)-->              header, entries and data
 *     ring fd                             --KWASMI_IOC_RING_RUN-->  the calls in the ring have run
 */

/*
 * KWASMI_IOC_RING creates a ring of calls of one reactor, pool or service. The memory is charged to
 * the memory cgroup of the process, and counts as locked memory of the user. A ring does not keep
 * its instance alive: after the end of the instance, KWASMI_IOC_RING_RUN fails with ESHUTDOWN.
 *
 * EOPNOTSUPP	The instance is not a reactor.
 * EINVAL	`entries` is not a power of two, or it or `data_size` is out of range; or a reserved
 *		field is not 0.
 * ESTALE	Another instance has taken over the name of the service.
 * ESHUTDOWN	The guest has ended.
 * EINTR	A fatal signal is pending.
 * ENOMEM	Out of memory; or the user would have more locked memory than RLIMIT_MEMLOCK, and the
 *		process does not have CAP_IPC_LOCK.
 *
 * mmap(2) of the ring fd maps the ring. It fails with EINVAL unless the offset is 0, the length is
 * `map_size`, and the mapping is MAP_SHARED. It fails with EPERM for PROT_EXEC. The mapping stays
 * valid after the fd is closed.
 */
struct kwasmi_ring {
	__u32 entries;			/* number of entries, 1 to KWASMI_RING_ENTRIES_MAX */
	__u32 data_size;		/* bytes for input and output, 0 to KWASMI_RING_DATA_MAX */
	__u64 map_size;			/* out: size of the mapping, in bytes */
	__u32 data_offset;		/* out: offset of the data in the mapping, in bytes */
	__u32 reserved;
};

#define KWASMI_RING_ENTRIES_MAX		4096
#define KWASMI_RING_DATA_MAX		(1U << 24)

/*
 * Header, at offset 0 of the mapping. `head` and `tail` count calls and may wrap around. The process
 * stores the number of calls that it has added in `tail`, with release order, after it has filled in
 * their entries. Call number N is in entry N modulo the number of entries. The kernel stores the
 * number of calls that have finished in `head`, with release order, after it has stored their
 * results. `tail` minus `head`, modulo 2^32, is at most `entries`. The kernel keeps its own count
 * and ignores what the process stores in `head`.
 */
struct kwasmi_ring_header {
	__u32 head;			/* out: calls that have finished */
	__u32 tail;			/* calls that the process has added */
};

/* Offset of the first entry in the mapping, in bytes. */
#define KWASMI_RING_ENTRIES_OFFSET	4096

/* Highest number of arguments, and of stored results, of a call. */
#define KWASMI_RING_VALUES		10

/*
 * Entry of a ring: one call. Input and output are ranges of the data of the mapping. The kernel may
 * read an entry as soon as `tail` includes it. The process changes neither the entry nor the input
 * until `head` has passed the call. After EINPROGRESS, input and output stay in use until
 * KWASMI_IOC_RING_RUN no longer fails with EBUSY.
 *
 * `error` is 0 if the function has returned. Otherwise it is one of these numbers, negated; the
 * first three mean that the function has not run:
 *
 * EINVAL	No function has this number, or `args_len` is not its number of parameters.
 * E2BIG	`args_len` exceeds KWASMI_RING_VALUES. Such a function needs KWASMI_IOC_CALL.
 * EFAULT	The input or the output buffer is not within the data. An empty range is always valid.
 * ECONNRESET	The guest has ended during the call, or the instance was freed.
 * EINPROGRESS	`timeout` has passed, or a fatal signal is pending. The function runs on.
 */
struct kwasmi_ring_entry {
	__u32 function;			/* number of the function, from KWASMI_IOC_FUNCTION */
	__u32 args_len;			/* number of arguments */
	__u32 input;			/* offset of the input in the data */
	__u32 input_len;		/* bytes */
	__u32 output;			/* offset of the buffer for the output in the data */
	__u32 output_size;		/* size of the buffer in bytes */
	__u32 output_len;		/* out: bytes of output */
	/* Out: number of results; `values` has the first KWASMI_RING_VALUES. */
	__u32 results_len;
	__s32 error;			/* out */
	__u32 reserved;
	__u64 user_data;		/* the kernel does not use it */
	/* The arguments; out: the results; both as in struct kwasmi_invoke. */
	__u64 values[KWASMI_RING_VALUES];
};

/*
 * KWASMI_IOC_RING_RUN on a ring fd runs the calls from `head` to `tail` in order, including calls
 * that other threads add meanwhile. Each function runs as for KWASMI_IOC_CALL. The thread keeps its
 * turn for at most 128 calls, and passes it on earlier, after the current call, if it has had the
 * turn for a few milliseconds. In a pool, each turn may be on another instance.
 *
 * The ioctl returns 0 if all calls have finished, if a guest has ended during a call (`ended` is 1),
 * or if the thread must return to userspace, for example to handle a signal. If `head` differs from
 * `tail`, calls are left, and the process calls the ioctl again.
 *
 * EBUSY	Another thread runs calls of the ring, or a function runs on after EINPROGRESS.
 * EINVAL	`tail` is not between `head` and `head` plus the number of entries.
 * EINPROGRESS	`timeout` has passed, or a fatal signal is pending. The function runs on. The entry
 *		has the same error, and `head` has passed the call.
 * ECONNRESET	The instance was freed during a call before the thread could learn how the guest
 *		ended. The entry has the same error, and `head` has passed the call.
 *
 * The ioctl also fails with EDQUOT, ESTALE, ESHUTDOWN, ETIMEDOUT, EINTR, EFAULT and ENOMEM, as
 * KWASMI_IOC_CALL does. Then the call at `head` has not run; earlier calls may have finished.
 */
struct kwasmi_ring_run {
	__u64 timeout;			/* of all calls together: nanoseconds, or KWASMI_UNLIMITED */
	__u32 flags;			/* none defined */
	__u32 ended;			/* out: 1 if a guest has ended during the call before `head` */
	__u32 status;			/* out, if `ended` is 1: as in struct kwasmi_run */
	__u32 code;			/* out, if `ended` is 1: as in struct kwasmi_run */
	__u64 limit_value;		/* out, if `ended` is 1: as in struct kwasmi_run */
	__u64 log;			/* address of the log buffer: explains how the guest ended */
	__u32 log_size;
	__u32 log_len;			/* out */
};

/*
 * Counters of one object.
 *
 * KWASMI_IOC_COUNTERS on a module, instance, pool or service fd returns the counters of the object,
 * in ascending order of `counter` and `index`. The call does not wait for a running guest. A
 * service that has ended returns the last values. A counter with a `label` is left out while its
 * value is 0. /proc/PID/fdinfo/FD of the fd has the same values as text: a line for each counter, its name as
 * in docs/stats.md, `[label]` if it has one, a colon, a tab, and the value.
 *
 * Later versions add counters. A program ignores numbers that it does not know.
 */
struct kwasmi_counter {
	__u32 counter;			/* KWASMI_COUNTER_* */
	__u32 index;			/* which of several counters of this number; 0 if there is one */
	__u64 value;
	char label[48];			/* name of `index`, NUL-terminated; empty if there is one */
};

struct kwasmi_counters {
	__u64 counters;			/* address of struct kwasmi_counter[] */
	__u32 counters_len;		/* in: capacity in elements; out: number of counters */
	__u32 reserved;
};

/* Counters of instance fds and service fds. */
/* Entries into the guest by RUN, CALL and RING_RUN (one for up to 128 calls), restarts included. */
#define KWASMI_COUNTER_RUNS		1
#define KWASMI_COUNTER_HOST_CALLS	2	/* calls of imported functions */
/* Those of one function: `label` is `MODULE.FUNCTION`. */
#define KWASMI_COUNTER_FUNCTION_CALLS	3
/*
 * Fuel used, up to the end of the last slice of at most 100,000 units. For machine code only that
 * of host calls.
 */
#define KWASMI_COUNTER_FUEL		4
/*
 * CPU time of the tasks in the guest, in nanoseconds, up to the last scheduler tick or context
 * switch.
 */
#define KWASMI_COUNTER_CPU_TIME		5
#define KWASMI_COUNTER_MEMORY		6	/* size of the linear memories, in bytes; 0 after the end */
#define KWASMI_COUNTER_MEMORY_PEAK	7	/* highest value of MEMORY */
#define KWASMI_COUNTER_HEAP		8	/* memory of the instance, in bytes, MEMORY included */
#define KWASMI_COUNTER_HEAP_PEAK	9	/* highest value of HEAP */
/* Counters of a module, of the instances of all modules that share its code; and of a pool, of its
 * instances. */
#define KWASMI_COUNTER_INSTANCES	10	/* number of instances in memory */
#define KWASMI_COUNTER_STARTS		11	/* instances that were started */
#define KWASMI_COUNTER_ENDS		12	/* guests that have ended; `index` is `status` of struct kwasmi_run */
#define KWASMI_COUNTER_TRAPS		13	/* guests that have trapped; `index` is KWASMI_TRAP_* */
/* Further counters of instance fds and service fds. */
#define KWASMI_COUNTER_CALLS		14	/* calls that have got their turn; those of a ring are counted at the end of the turn */
#define KWASMI_COUNTER_CALLS_QUEUED	15	/* calls that wait for their turn; a waiting RING_RUN counts as one */
/*
 * Histogram of the durations of calls whose functions have returned. By KWASMI_IOC_CALL: from the
 * entry of the ioctl to the result, waiting included. By KWASMI_IOC_RING_RUN: the time of one turn,
 * without the wait for it, divided by the number of its calls whose functions have returned; each of
 * these calls counts with this mean. Number `index` counts durations of more than 512 << index and at
 * most 1024 << index nanoseconds; number 0 counts all of at most 1024; number 25, the last one, has
 * no upper bound. `label` is the upper bound in decimal, or "+Inf".
 */
#define KWASMI_COUNTER_CALL_DURATION	16
#define KWASMI_COUNTER_CALL_TIME	17	/* sum of these durations, in nanoseconds */

#define KWASMI_IOC_TYPE			0xB9

#define KWASMI_IOC_INFO			_IOR(KWASMI_IOC_TYPE, 0x80, struct kwasmi_info)
#define KWASMI_IOC_LOAD			_IOWR(KWASMI_IOC_TYPE, 0x81, struct kwasmi_load)
#define KWASMI_IOC_START		_IOWR(KWASMI_IOC_TYPE, 0x82, struct kwasmi_start)
#define KWASMI_IOC_RUN			_IOWR(KWASMI_IOC_TYPE, 0x83, struct kwasmi_run)
#define KWASMI_IOC_LIST_LIMITS		_IOWR(KWASMI_IOC_TYPE, 0x85, struct kwasmi_list_limits)
#define KWASMI_IOC_MODULE		_IOR(KWASMI_IOC_TYPE, 0x86, struct kwasmi_module)
#define KWASMI_IOC_POLICY		_IOR(KWASMI_IOC_TYPE, 0x87, struct kwasmi_policy)
#define KWASMI_IOC_DENY			_IOW(KWASMI_IOC_TYPE, 0x88, struct kwasmi_deny)
#define KWASMI_IOC_LIST_DENIED		_IOWR(KWASMI_IOC_TYPE, 0x89, struct kwasmi_list_policy)
#define KWASMI_IOC_SET_MIN_VERSION	_IOW(KWASMI_IOC_TYPE, 0x8A, struct kwasmi_min_version)
#define KWASMI_IOC_LIST_MIN_VERSIONS	_IOWR(KWASMI_IOC_TYPE, 0x8B, struct kwasmi_list_policy)
#define KWASMI_IOC_DUMP			_IOWR(KWASMI_IOC_TYPE, 0x8C, struct kwasmi_dump)
#define KWASMI_IOC_RESULTS		_IOWR(KWASMI_IOC_TYPE, 0x8D, struct kwasmi_results)
#define KWASMI_IOC_PUBLISH		_IOW(KWASMI_IOC_TYPE, 0x8E, struct kwasmi_publish)
#define KWASMI_IOC_FIND			_IOW(KWASMI_IOC_TYPE, 0x8F, struct kwasmi_find)
#define KWASMI_IOC_LIST_SERVICES	_IOWR(KWASMI_IOC_TYPE, 0x90, struct kwasmi_list_services)
#define KWASMI_IOC_SERVICE		_IOR(KWASMI_IOC_TYPE, 0x91, struct kwasmi_service)
#define KWASMI_IOC_WAIT			_IOW(KWASMI_IOC_TYPE, 0x92, struct kwasmi_wait)
#define KWASMI_IOC_RESULT		_IOWR(KWASMI_IOC_TYPE, 0x93, struct kwasmi_run)
#define KWASMI_IOC_LOG			_IO(KWASMI_IOC_TYPE, 0x94)
#define KWASMI_IOC_REMOVE		_IO(KWASMI_IOC_TYPE, 0x95)
#define KWASMI_IOC_COUNTERS		_IOWR(KWASMI_IOC_TYPE, 0x96, struct kwasmi_counters)
#define KWASMI_IOC_FUNCTION		_IOWR(KWASMI_IOC_TYPE, 0x97, struct kwasmi_function)
#define KWASMI_IOC_CALL			_IOWR(KWASMI_IOC_TYPE, 0x98, struct kwasmi_call)
#define KWASMI_IOC_POOL			_IO(KWASMI_IOC_TYPE, 0x99)
#define KWASMI_IOC_FINISH		_IO(KWASMI_IOC_TYPE, 0x9A)
#define KWASMI_IOC_RING			_IOWR(KWASMI_IOC_TYPE, 0x9B, struct kwasmi_ring)
#define KWASMI_IOC_RING_RUN		_IOWR(KWASMI_IOC_TYPE, 0x9C, struct kwasmi_ring_run)
/* KWASMI_IOC_KILL on an instance, pool or service fd: terminates the guest, running or not. */
#define KWASMI_IOC_KILL			_IO(KWASMI_IOC_TYPE, 0x84)

#endif /* _UAPI_KWASMI_H */
