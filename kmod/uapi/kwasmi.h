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
#define KWASMI_ABI			1

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
	__u64 reserve_peak_bytes;	/* the most of it that was ever in use */
	__u64 engine_stack_bytes;	/* size of an engine stack */
	__u64 engine_stack_peak_bytes;	/* the deepest use of one, since the module was loaded */
	__u64 module_bytes_max;		/* the largest module that is accepted */
	__u64 memory_bytes_max;		/* the largest linear memory that an instance may have */
	char version[32];		/* kwasmi's own version, NUL-terminated */
};

/*
 * KWASMI_IOC_LOAD on /dev/kwasmi: validates and translates a module.
 *
 * Returns a module fd (close-on-exec). The bytes are copied once, before they are looked at.
 *
 * ENOEXEC	not valid Wasm, or a program that kwasmi cannot run; the log says why and where
 * E2BIG	larger than `module_bytes_max`
 * EDQUOT	a limit above the ceiling; the log names it
 * ENOMEM	no memory
 * EAGAIN	too many guests run
 * EIO		the engine failed; the log says how
 * EPERM	the caller lacks CAP_SYS_ADMIN
 */
struct kwasmi_load {
	__u64 wasm;			/* address of the module's bytes */
	__u64 wasm_len;
	__u64 stack_max;		/* bytes of the Wasm value stack of each instance; 0: the default */
	__u64 log;			/* address of the log buffer */
	__u32 log_size;
	__u32 log_len;			/* out */
	__u32 flags;			/* none defined */
	__u32 reserved;
};

/* A descriptor that a guest is handed. */
struct kwasmi_fd {
	__s32 fd;			/* the caller's descriptor */
	__u32 guest_fd;			/* the guest's number for it, below KWASMI_GUEST_FDS_MAX */
	__u64 rights;			/* preview 1 `rights`: what the guest may do with it */
	__u64 rights_inheriting;	/* what with descriptors made from it */
	__u32 flags;			/* none defined */
	__u32 reserved;
};

#define KWASMI_GUEST_FDS_MAX		1024

/* The most bytes that `args` and `env` may have together. */
#define KWASMI_STRINGS_MAX		(2U << 20)

/*
 * KWASMI_IOC_START on a module fd: makes an instance, ready to run.
 *
 * Returns an instance fd (close-on-exec). A limit of 0 is the default one.
 *
 * EBADF	`fds` names a descriptor that is not open
 * EINVAL	a string without an end, a guest_fd twice or too large
 * ENOEXEC	the module cannot be instantiated; the log says why
 * E2BIG	`args` and `env` exceed KWASMI_STRINGS_MAX, or `fds_len` KWASMI_GUEST_FDS_MAX
 * EDQUOT	a limit above the ceiling; the log names it
 * ENOMEM	no memory
 * EAGAIN	too many guests run
 * EIO		the engine failed, now or in an earlier instance of this module
 */
struct kwasmi_start {
	__u64 args;			/* address of NUL-terminated strings, one after another */
	__u64 args_len;			/* their bytes, NULs included */
	__u64 env;			/* the same: NAME=VALUE */
	__u64 env_len;
	__u64 fds;			/* address of struct kwasmi_fd[] */
	__u32 fds_len;			/* how many */
	__u32 flags;			/* none defined */
	__u64 fuel_max;			/* instructions, about; default: no limit */
	__u64 memory_max;		/* bytes that one linear memory may grow to */
	__u64 heap_max;			/* bytes that the engine may take for the instance, linear memories included */
	__u64 time_max;			/* nanoseconds from the first KWASMI_IOC_RUN on; default: no limit */
	__u64 log;			/* address of the log buffer */
	__u32 log_size;
	__u32 log_len;			/* out */
	__u64 reserved[2];
};

/* How a guest ended: struct kwasmi_run's `status`. */
#define KWASMI_EXITED			0	/* `code` is the exit status */
#define KWASMI_TRAPPED			1	/* `code` is one of KWASMI_TRAP_* */
#define KWASMI_OUT_OF_FUEL		2
#define KWASMI_DEADLINE			3
#define KWASMI_KILLED			4	/* by a signal, or by KWASMI_IOC_KILL */
#define KWASMI_OUT_OF_MEMORY		5	/* the engine's memory for this instance, not `memory.grow` */
#define KWASMI_ENGINE_FAULT		6	/* a defect of kwasmi: please report the log's text */

/* Traps of the WebAssembly specification. */
#define KWASMI_TRAP_UNREACHABLE		1
#define KWASMI_TRAP_MEMORY_BOUNDS	2
#define KWASMI_TRAP_TABLE_BOUNDS	3
#define KWASMI_TRAP_NULL_ELEMENT	4
#define KWASMI_TRAP_DIVIDE_BY_ZERO	5
#define KWASMI_TRAP_INTEGER_OVERFLOW	6
#define KWASMI_TRAP_BAD_CONVERSION	7
#define KWASMI_TRAP_BAD_SIGNATURE	8
#define KWASMI_TRAP_STACK_OVERFLOW	9
#define KWASMI_TRAP_GROWTH_LIMITED	10
#define KWASMI_TRAP_OTHER		11

/*
 * KWASMI_IOC_RUN on an instance fd: runs the guest in the calling thread, with its credentials, until it ends.
 *
 * A signal that the process handles interrupts the call, and the kernel restarts it as it would a read: the guest goes
 * on where it was. One that ends the process ends the guest. Returns 0 when the guest has ended, also when it
 * ended badly; a further call tells the same again.
 *
 * EBUSY	another thread runs it
 * EAGAIN	too many guests run
 * ENOMEM	no memory
 * EINTR	interrupted by a signal whose handler was installed without SA_RESTART
 */
struct kwasmi_run {
	__u32 status;			/* out: KWASMI_EXITED ... */
	__u32 code;			/* out */
	__u64 fuel_used;		/* out: instructions, about */
	__u64 memory_peak;		/* out: bytes of linear memory */
	__u64 heap_peak;		/* out: bytes that the engine took for the instance, linear memories included */
	__u64 stack_peak;		/* out: bytes of the engine stack */
	__u64 log;			/* address of the log buffer: why the guest ended, where that needs words */
	__u32 log_size;
	__u32 log_len;			/* out */
	__u32 flags;			/* none defined */
	__u32 reserved;
};

#define KWASMI_IOC_TYPE			0xB9

#define KWASMI_IOC_INFO			_IOR(KWASMI_IOC_TYPE, 0x80, struct kwasmi_info)
#define KWASMI_IOC_LOAD			_IOWR(KWASMI_IOC_TYPE, 0x81, struct kwasmi_load)
#define KWASMI_IOC_START		_IOWR(KWASMI_IOC_TYPE, 0x82, struct kwasmi_start)
#define KWASMI_IOC_RUN			_IOWR(KWASMI_IOC_TYPE, 0x83, struct kwasmi_run)
/* KWASMI_IOC_KILL on an instance fd: ends the guest, whether it runs now or not. */
#define KWASMI_IOC_KILL			_IO(KWASMI_IOC_TYPE, 0x84)

#endif /* _UAPI_KWASMI_H */
