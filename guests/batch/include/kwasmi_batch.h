/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Many operations in one host call, for guests of kwasmi: the host functions of kwasmi_batch_1
 * (specification: docs/batch.md). A program that calls these functions runs only in kwasmi.
 */
#ifndef KWASMI_BATCH_H
#define KWASMI_BATCH_H

#include <stdint.h>

/* Kind of an operation. */
enum kwasmi_op_kind {
	KWASMI_OP_NOP = 0,	/* does nothing */
	KWASMI_OP_READ = 1,	/* reads into data from the current position */
	KWASMI_OP_WRITE = 2,	/* writes data at the current position */
	KWASMI_OP_READ_AT = 3,	/* reads into data from byte offset of a file */
	KWASMI_OP_WRITE_AT = 4, /* writes data at byte offset of a file */
	KWASMI_OP_EXCHANGE = 5, /* writes all of data, then reads an answer into then */
	KWASMI_OP_COPY = 6,	/* moves at most offset bytes from fd to then_fd */
	KWASMI_OP_ACCEPT = 7,	/* accepts a connection; offset: its fdflags; kwasmi_wait() only */
	KWASMI_OP_CLOSE = 8,	/* closes fd */
};

/* Flag of reads and writes: continues until all len bytes are moved, or the end of the file. */
#define KWASMI_OP_ALL (1 << 0)

/* Flag for kwasmi_submit(): limits len to the done of the preceding operation. */
#define KWASMI_OP_PREVIOUS (1 << 1)

/*
 * Flag for kwasmi_submit(): the batch continues after this operation even if it fails or reads
 * the end of a file.
 */
#define KWASMI_OP_GO_ON (1 << 2)

/* Value of error that requests an operation from kwasmi_wait(), and stays until it is complete. */
#define KWASMI_OP_PENDING 0xffff

struct kwasmi_op {
	uint64_t offset;
	uint64_t done; /* out: bytes moved, or the new descriptor; for kwasmi_wait() 0 at first */
	uint32_t fd;
	uint8_t kind;
	uint8_t flags;
	uint16_t error; /* out: preview 1 errno, 0 for success, or KWASMI_OP_PENDING */
	void *data;
	uint32_t len;
	union {
		void *then;
		uint32_t then_fd;
	};
	uint32_t then_len;
	uint64_t user; /* for the program's own use; the host ignores it */
};

_Static_assert(sizeof(struct kwasmi_op) == 48, "the layout is that of wasm32");

/*
 * Does number operations, at most 1024, one after another, and waits for each as long as
 * necessary. Stops after an operation that fails or reads the end of a file, unless it has
 * KWASMI_OP_GO_ON. Sets *ndone to the number of operations done, including the one that it
 * stopped after. Returns 0, or a preview 1 errno if the arguments are invalid; each operation
 * has its own result in error.
 */
__attribute__((import_module("kwasmi_batch_1"), import_name("submit")))
int32_t kwasmi_submit(struct kwasmi_op *ops, uint32_t number, uint32_t *ndone);

/*
 * Does the operations whose error is KWASMI_OP_PENDING, of number operations, at most 1024.
 * Returns when at least one is complete or timeout nanoseconds have passed (UINT64_MAX: no
 * time-out; 0: without waiting). Puts the indices of the completed operations into completed,
 * which has room for max, at least 1, and sets *ncompleted to their number, which is 0 after a
 * time-out. Returns 0 or a preview 1 errno: inval if no operation is pending and there is no
 * time-out.
 */
__attribute__((import_module("kwasmi_batch_1"), import_name("wait")))
int32_t kwasmi_wait(struct kwasmi_op *ops, uint32_t number, uint64_t timeout, uint32_t *completed, uint32_t max,
		    uint32_t *ncompleted);

#endif
