/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The userspace interface of kwasmi: ioctls on /dev/kwasmi and on the file descriptors that it hands out.
 *
 *     /dev/kwasmi  --KWASMI_IOC_LOAD-->   module fd    a validated and translated Wasm module
 *     module fd    --KWASMI_IOC_START-->  instance fd  a program with its arguments, environment and descriptors
 *     instance fd  --KWASMI_IOC_RUN-->    how it ended
 *
 * Closing the last descriptor of an object frees it. All integers are in native byte order, addresses are 64 bits
 * wide, structures have no implicit padding, fields named `reserved` and unknown bits of `flags` must be zero
 * (EINVAL). A structure never changes: an extended call gets a new number. An unknown command is ENOTTY.
 *
 * Where a call fails for a reason that a number cannot tell, the reason is a line of UTF-8 text in the log buffer
 * (`log`, `log_size`; size 0 means none is wanted). `log_len` is set to the length of the whole text in bytes, also
 * when the call fails; what does not fit is cut off. The text is not NUL-terminated.
 */
#ifndef _UAPI_KWASMI_H
#define _UAPI_KWASMI_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* The version of this interface: struct kwasmi_info's `abi`. */
#define KWASMI_ABI			4

/* Bits of struct kwasmi_info's `features`. */
#define KWASMI_FEATURE_WASI_PREVIEW1	(1ULL << 0)
/* The module was loaded with fault_injection=1: guests may import `kwasmi_test`. Never set it in production. */
#define KWASMI_FEATURE_FAULT_INJECTION	(1ULL << 1)

/*
 * KWASMI_IOC_INFO on /dev/kwasmi: what this kwasmi is, and what it holds now.
 */
struct kwasmi_info {
	__u32 abi;			/* KWASMI_ABI */
	__u32 reserved;
	__u64 features;			/* KWASMI_FEATURE_* */
	__u64 modules;			/* module fds that are open */
	__u64 instances;		/* instance fds that are open */
	__u64 heap_bytes;		/* memory that engines hold now, linear memories included */
	__u64 heap_blocks;		/* in how many blocks */
	__u64 reclaimed_bytes;		/* taken back from engines that failed or did not free it, since the module was loaded */
	__u64 reserve_bytes;		/* size of the reserve that serves small allocations when memory runs out */
	__u64 reserve_used_bytes;	/* of it in use now */
	__u64 reserve_peak_bytes;	/* the most of it that was ever in use */
	__u64 engine_stack_bytes;	/* size of an engine stack */
	__u64 engine_stack_peak_bytes;	/* the deepest use of one, since the module was loaded */
	char version[32];		/* kwasmi's own version, NUL-terminated */
};

/*
 * Limits: what a module or an instance may take. Each has a default, and a ceiling that root sets with a parameter of
 * the kernel module; KWASMI_IOC_LIMITS tells both. A caller may ask for any value up to the ceiling.
 *
 * A call that would exceed a limit fails with EDQUOT and tells which one in `limit` and `limit_value`. A guest that
 * reaches one while it runs is ended with the status KWASMI_LIMITED.
 */

/* Of a module, given to KWASMI_IOC_LOAD. */
#define KWASMI_LIMIT_MODULE_SIZE	1	/* bytes */
#define KWASMI_LIMIT_FUNCTIONS		2	/* functions */
#define KWASMI_LIMIT_FUNCTION_SIZE	3	/* bytes of code of one function */
#define KWASMI_LIMIT_LOCALS		4	/* locals of one function, besides its parameters */
#define KWASMI_LIMIT_ARITY		5	/* parameters of one function type, or results */
#define KWASMI_LIMIT_GLOBALS		6	/* globals */
#define KWASMI_LIMIT_DATA_SEGMENTS	7	/* data segments */
#define KWASMI_LIMIT_ELEMENT_SEGMENTS	8	/* element segments */
#define KWASMI_LIMIT_STACK		9	/* bytes of the Wasm stack of each instance: values, and 64 for each call */
#define KWASMI_LIMIT_CODE		10	/* bytes that the engine may take for the translated module */
/* Of an instance, given to KWASMI_IOC_START. */
#define KWASMI_LIMIT_MEMORY		11	/* bytes of linear memory */
#define KWASMI_LIMIT_TABLE		12	/* elements of tables */
#define KWASMI_LIMIT_HEAP		13	/* bytes that the engine may take for it, linear memory included */
#define KWASMI_LIMIT_FDS		14	/* open descriptors */
#define KWASMI_LIMIT_FUEL		15	/* instructions, about */
/* Of both: of the call itself for KWASMI_IOC_LOAD, from the first KWASMI_IOC_RUN on for an instance. */
#define KWASMI_LIMIT_TIME		16	/* nanoseconds */
#define KWASMI_LIMIT_CPU_TIME		17	/* nanoseconds of CPU time */
/*
 * Of all modules and instances together; there are only ceilings, and no caller can ask for less. The last eighth of
 * TOTAL_HEAP, TOTAL_INSTANCES and TOTAL_RUNNING is kept for callers with CAP_SYS_ADMIN; where another reaches one,
 * `limit_value` is what it could have.
 */
#define KWASMI_LIMIT_TOTAL_HEAP		18	/* bytes that engines may take */
#define KWASMI_LIMIT_TOTAL_MODULES	19	/* modules */
#define KWASMI_LIMIT_TOTAL_INSTANCES	20	/* instances */
#define KWASMI_LIMIT_TOTAL_RUNNING	21	/* tasks that load, start or run at the same time */
/*
 * Of what a user has started; again, there are only ceilings. That is the real user of who called KWASMI_IOC_START, or in
 * a user namespace the one who made the outermost. A caller with CAP_SYS_ADMIN is not stopped by them.
 */
#define KWASMI_LIMIT_USER_INSTANCES	22	/* instances */
#define KWASMI_LIMIT_USER_RUNNING	23	/* tasks that start or run the user's instances at the same time */

/* No limit, where a limit allows that: the default of FUEL, TIME and CPU_TIME. */
#define KWASMI_UNLIMITED		(~0ULL)

/* The value of a limit for one call. Limits of the other call are ignored; one that is there twice is EINVAL. */
struct kwasmi_limit {
	__u32 limit;			/* KWASMI_LIMIT_* */
	__u32 reserved;
	__u64 value;			/* not 0 */
};

/*
 * KWASMI_IOC_LIMITS on /dev/kwasmi: the limits that this kwasmi has, in ascending order of their numbers.
 */
struct kwasmi_limit_info {
	__u32 limit;			/* KWASMI_LIMIT_* */
	__u32 reserved;
	__u64 value;			/* the default */
	__u64 ceiling;			/* the most that can be asked for */
};

struct kwasmi_limits {
	__u64 limits;			/* address of struct kwasmi_limit_info[] */
	__u32 limits_len;		/* in: how many there is room for; out: how many there are */
	__u32 reserved;
};

/*
 * KWASMI_IOC_LOAD on /dev/kwasmi: validates and translates a module.
 *
 * Returns a module fd (close-on-exec). The bytes are copied once, before they are looked at. First the signature is
 * checked, as KWASMI_IOC_POLICY says, then the manifest, then the code; docs/signing.md has the formats.
 *
 * EKEYREJECTED	the signature does not fit, or there is none; or the module is denied, or older than its least version
 * ENOKEY	signed by a key that is not in the keyring `.kwasmi`
 * ENOEXEC	not valid Wasm, or a program that kwasmi cannot run, or that its manifest does not cover; the log says why
 *		and where
 * EDQUOT	beyond a limit, or one above its ceiling was asked for; see `limit`
 * EINVAL	a limit that there is not, twice, or with a value that it cannot have
 * ENOMEM	no memory
 * EINTR	a signal came that ends the process
 * EIO		the engine failed; the log says how
 * EPERM	the caller lacks CAP_SYS_ADMIN
 */
struct kwasmi_load {
	__u64 wasm;			/* address of the module's bytes */
	__u64 wasm_len;
	__u64 limits;			/* address of struct kwasmi_limit[] */
	__u32 limits_len;		/* how many */
	__u32 limit;			/* out, if EDQUOT: KWASMI_LIMIT_* */
	__u64 limit_value;		/* out, if EDQUOT: its value */
	__u64 log;			/* address of the log buffer */
	__u32 log_size;
	__u32 log_len;			/* out */
	__u32 flags;			/* none defined */
	__u32 reserved;
};

/*
 * A descriptor that a guest is handed. Rights that the descriptor itself does not give (to write what is open for reading)
 * are left out. What the guest does with it is done with the credentials of who called KWASMI_IOC_START.
 */
struct kwasmi_fd {
	__s32 fd;			/* the caller's descriptor */
	__u32 guest_fd;			/* the guest's number for it, below KWASMI_GUEST_FDS_MAX */
	__u64 rights;			/* preview 1 `rights`: what the guest may do with it */
	__u64 rights_inheriting;	/* what with descriptors made from it */
	__u64 name;			/* address of the path under which the guest finds it, if it is a preopened directory */
	__u32 name_len;			/* its bytes, at most KWASMI_NAME_MAX; 0: it is none */
	__u32 flags;			/* none defined */
};

#define KWASMI_GUEST_FDS_MAX		1024

/* The most bytes that the name of a preopened directory may have, and those of an instance together. */
#define KWASMI_NAME_MAX			4095
#define KWASMI_NAMES_MAX		(1U << 20)

/* The most bytes that `args` and `env` may have together. */
#define KWASMI_STRINGS_MAX		(2U << 20)

/*
 * KWASMI_IOC_START on a module fd: makes an instance, ready to run.
 *
 * Returns an instance fd (close-on-exec).
 *
 * Whoever has the module fd may start it. What its manifest says holds: limits, and what may be handed over.
 *
 * EACCES	the manifest lacks the capability for one of `fds`
 * EPERM	one of `fds` is a Unix socket or an anonymous file (io_uring and its like), and the caller lacks CAP_SYS_ADMIN: if
 *		the instance's own descriptor comes to be in there, neither is ever freed
 * EKEYREJECTED	the module is denied, or older than its least version, or not signed and the kernel locked down, since it
 *		was loaded
 * EBADF	`fds` names a descriptor that is not open
 * EINVAL	a string without an end, a guest_fd twice or too large, a name with a NUL in it or of what is no directory, a
 *		limit as above
 * ENOEXEC	the module cannot be instantiated; the log says why
 * E2BIG	`args` and `env` exceed KWASMI_STRINGS_MAX, `fds_len` KWASMI_GUEST_FDS_MAX, names KWASMI_NAME_MAX or
 *		KWASMI_NAMES_MAX
 * EDQUOT	beyond a limit, or one above its ceiling was asked for; see `limit`
 * ENOMEM	no memory
 * EINTR	a signal came that ends the process
 * EIO		the engine failed, now or in an earlier instance of this module
 */
struct kwasmi_start {
	__u64 args;			/* address of NUL-terminated strings, one after another */
	__u64 args_len;			/* their bytes, NULs included */
	__u64 env;			/* the same: NAME=VALUE */
	__u64 env_len;
	__u64 fds;			/* address of struct kwasmi_fd[] */
	__u32 fds_len;			/* how many */
	__u32 limits_len;		/* how many */
	__u64 limits;			/* address of struct kwasmi_limit[] */
	__u64 limit_value;		/* out, if EDQUOT: its value */
	__u32 limit;			/* out, if EDQUOT: KWASMI_LIMIT_* */
	__u32 flags;			/* KWASMI_START_* */
	__u64 log;			/* address of the log buffer */
	__u32 log_size;
	__u32 log_len;			/* out */
	__u64 reserved[2];
};

/*
 * A write to a pipe or stream socket that nobody reads ends the guest, as SIGPIPE ends a process: KWASMI_KILLED with SIGPIPE
 * in `code`. Without this flag the guest is told preview 1 `pipe` and goes on. No signal is sent either way.
 */
#define KWASMI_START_SIGPIPE		(1U << 0)

/* How a guest ended: struct kwasmi_run's `status`. */
#define KWASMI_EXITED			0	/* `code` is the exit status, 0 to 255 */
#define KWASMI_TRAPPED			1	/* `code` is one of KWASMI_TRAP_* */
#define KWASMI_LIMITED			2	/* `code` is the KWASMI_LIMIT_* that it reached, `limit_value` its value */
#define KWASMI_KILLED			3	/* by a signal, or by KWASMI_IOC_KILL: `code` is 0; KWASMI_START_SIGPIPE: SIGPIPE */
#define KWASMI_OUT_OF_MEMORY		4	/* the machine, or the caller's memory cgroup, has no more */
#define KWASMI_ENGINE_FAULT		5	/* a defect of kwasmi: please report the log's text */

/* Traps of the WebAssembly specification. */
#define KWASMI_TRAP_UNREACHABLE		1
#define KWASMI_TRAP_MEMORY_BOUNDS	2
#define KWASMI_TRAP_TABLE_BOUNDS	3
#define KWASMI_TRAP_NULL_ELEMENT	4
#define KWASMI_TRAP_DIVIDE_BY_ZERO	5
#define KWASMI_TRAP_INTEGER_OVERFLOW	6
#define KWASMI_TRAP_BAD_CONVERSION	7
#define KWASMI_TRAP_BAD_SIGNATURE	8
/* Another one: an exit status beyond 255, or what the log's text says. */
#define KWASMI_TRAP_OTHER		9

/*
 * KWASMI_IOC_RUN on an instance fd: runs the guest in the calling thread until it ends. Its file operations are made with
 * the credentials of the process that started it, as they were then: an instance fd that is passed on carries neither more
 * nor less.
 *
 * A signal that the process handles interrupts the call, and the kernel restarts it as it would a read: the guest goes
 * on where it was. One that ends the process ends the guest. Returns 0 when the guest has ended, also when it
 * ended badly; a further call tells the same again.
 *
 * EBUSY	another thread runs it
 * EKEYREJECTED	it has not run yet, and the module was denied since it was started, or is older than its least version, or not
 *		signed and the kernel locked down
 * EDQUOT	KWASMI_LIMIT_TOTAL_RUNNING or KWASMI_LIMIT_USER_RUNNING: `code` tells which, `limit_value` its value
 * ENOMEM	no memory
 * EINTR	interrupted by a signal whose handler was installed without SA_RESTART
 */
struct kwasmi_run {
	__u32 status;			/* out: KWASMI_EXITED ... */
	__u32 code;			/* out; if EDQUOT: KWASMI_LIMIT_* */
	__u64 fuel_used;		/* out: instructions, about */
	__u64 memory_peak;		/* out: bytes of linear memory */
	__u64 heap_peak;		/* out: bytes that the engine took for the instance, linear memories included */
	__u64 stack_peak;		/* out: bytes of the engine stack */
	__u64 limit_value;		/* out: of the limit that was reached */
	__u64 log;			/* address of the log buffer: why the guest ended, where that needs words */
	__u32 log_size;
	__u32 log_len;			/* out */
	__u32 flags;			/* none defined */
	__u32 reserved;
};

/*
 * KWASMI_IOC_MODULE on a module fd: what was loaded.
 */
struct kwasmi_module {
	__u8 sha256[32];		/* of the module without its signature */
	__u32 verdict;			/* KWASMI_VERDICT_* */
	__u32 flags;			/* KWASMI_MODULE_* */
	__u32 version[3];		/* of the manifest: major, minor, patch */
	__u32 reserved;
	char name[72];			/* of the manifest, NUL-terminated */
	char signer[128];		/* the description of the key, NUL-terminated, cut off if it is longer */
};

#define KWASMI_VERDICT_UNSIGNED		0	/* there is no signature */
#define KWASMI_VERDICT_SIGNED		1	/* by a key in the keyring `.kwasmi` */
#define KWASMI_VERDICT_KERNEL_KEY	2	/* by a key that the kernel itself trusts */
#define KWASMI_VERDICT_REJECTED		3	/* there is one that does not hold; loaded all the same */

#define KWASMI_MODULE_MANIFEST		(1U << 0)	/* there is a manifest */
#define KWASMI_MODULE_SHARED		(1U << 1)	/* it was not translated: a module of the same bytes and limits was there */

/*
 * KWASMI_IOC_POLICY on /dev/kwasmi: what it takes for a module to be loaded.
 */
struct kwasmi_policy {
	__u32 verify;			/* KWASMI_VERIFY_*: the one in force */
	__u32 flags;			/* KWASMI_POLICY_* */
	__s32 keyring;			/* serial number of the keyring `.kwasmi` */
	__u32 denied_len;		/* hashes that are denied */
	__u32 least_len;		/* names that have a least version */
	__u32 reserved;
};

#define KWASMI_VERIFY_OFF		0	/* signatures are looked at, but not needed */
#define KWASMI_VERIFY_WARN		1	/* the same, and the kernel log tells of a module that lacks one */
#define KWASMI_VERIFY_ENFORCE		2	/* what is not signed is not loaded */

#define KWASMI_POLICY_LOCKED_DOWN	(1U << 0)	/* the kernel is locked down: ENFORCE, whatever was asked for */
#define KWASMI_POLICY_KERNEL_KEYS	(1U << 1)	/* keys that the kernel itself trusts count, too */

/*
 * KWASMI_IOC_DENY on /dev/kwasmi: the module with this SHA-256 is not loaded nor started any more, until kwasmi is unloaded, and
 * instances that have not run yet do not run. Guests that run already go on, also after an interruption.
 *
 * EPERM	the caller lacks CAP_SYS_ADMIN
 * EDQUOT	KWASMI_POLICY_MAX are denied
 * ENOMEM	no memory
 */
struct kwasmi_deny {
	__u8 sha256[32];
};

/*
 * KWASMI_IOC_LEAST on /dev/kwasmi: modules of this name with a lower version are not loaded nor started any more, until
 * kwasmi is unloaded, and instances of them that have not run yet do not run. A least version can be raised, not lowered.
 *
 * EPERM	the caller lacks CAP_SYS_ADMIN
 * EINVAL	not a name; or a version lower than the one there is
 * EDQUOT	there are KWASMI_POLICY_MAX
 * ENOMEM	no memory
 */
struct kwasmi_least {
	char name[72];			/* NUL-terminated; the bytes after the NUL are zero */
	__u32 version[3];
	__u32 reserved;
};

/* The most hashes that can be denied, and names that can have a least version. */
#define KWASMI_POLICY_MAX		65536

/*
 * KWASMI_IOC_DENIED, KWASMI_IOC_LEASTS on /dev/kwasmi: those that there are, in ascending order.
 */
struct kwasmi_policy_list {
	__u64 entries;			/* address of struct kwasmi_deny[] or struct kwasmi_least[] */
	__u32 entries_len;		/* in: how many there is room for; out: how many there are */
	__u32 reserved;
};

#define KWASMI_IOC_TYPE			0xB9

#define KWASMI_IOC_INFO			_IOR(KWASMI_IOC_TYPE, 0x80, struct kwasmi_info)
#define KWASMI_IOC_LOAD			_IOWR(KWASMI_IOC_TYPE, 0x81, struct kwasmi_load)
#define KWASMI_IOC_START		_IOWR(KWASMI_IOC_TYPE, 0x82, struct kwasmi_start)
#define KWASMI_IOC_RUN			_IOWR(KWASMI_IOC_TYPE, 0x83, struct kwasmi_run)
#define KWASMI_IOC_LIMITS		_IOWR(KWASMI_IOC_TYPE, 0x85, struct kwasmi_limits)
#define KWASMI_IOC_MODULE		_IOR(KWASMI_IOC_TYPE, 0x86, struct kwasmi_module)
#define KWASMI_IOC_POLICY		_IOR(KWASMI_IOC_TYPE, 0x87, struct kwasmi_policy)
#define KWASMI_IOC_DENY			_IOW(KWASMI_IOC_TYPE, 0x88, struct kwasmi_deny)
#define KWASMI_IOC_DENIED		_IOWR(KWASMI_IOC_TYPE, 0x89, struct kwasmi_policy_list)
#define KWASMI_IOC_LEAST		_IOW(KWASMI_IOC_TYPE, 0x8A, struct kwasmi_least)
#define KWASMI_IOC_LEASTS		_IOWR(KWASMI_IOC_TYPE, 0x8B, struct kwasmi_policy_list)
/* KWASMI_IOC_KILL on an instance fd: ends the guest, whether it runs now or not. */
#define KWASMI_IOC_KILL			_IO(KWASMI_IOC_TYPE, 0x84)

#endif /* _UAPI_KWASMI_H */
