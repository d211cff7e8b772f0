/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Many operations in one host call, for guests of kwasmi: kwasmi_batch_1, which docs/batch.md describes.
 * A program that calls these functions runs in kwasmi only.
 */
#ifndef KWASMI_BATCH_H
#define KWASMI_BATCH_H

#include <stdint.h>

/* What an operation does. */
enum kwasmi_op_kind {
	KWASMI_OP_NOP = 0,
	KWASMI_OP_READ = 1,	/* from the position, into data */
	KWASMI_OP_WRITE = 2,	/* data, at the position */
	KWASMI_OP_READ_AT = 3,	/* from offset */
	KWASMI_OP_WRITE_AT = 4, /* at offset */
	KWASMI_OP_EXCHANGE = 5, /* writes all of data, then reads an answer into then */
	KWASMI_OP_COPY = 6,	/* from fd to the descriptor then_fd, at most offset bytes */
	KWASMI_OP_ACCEPT = 7,	/* takes a connection with the fdflags in offset; kwasmi_wait() only */
	KWASMI_OP_CLOSE = 8,
};

#define KWASMI_OP_ALL (1 << 0)	    /* read, write: until all bytes are moved, or the end of the file */
#define KWASMI_OP_PREVIOUS (1 << 1) /* len: what the operation before has done, at most as it says; kwasmi_submit() only */
#define KWASMI_OP_GO_ON (1 << 2)    /* what follows is done also if this fails or is at the end; kwasmi_submit() only */

/* The error of an operation that is to be done by kwasmi_wait(), or is not done yet. */
#define KWASMI_OP_PENDING 0xffff

struct kwasmi_op {
	uint64_t offset;
	uint64_t done; /* out: bytes, or the new descriptor */
	uint32_t fd;
	uint8_t kind;
	uint8_t flags;
	uint16_t error; /* out: preview 1 errno */
	void *data;
	uint32_t len;
	union {
		void *then;
		uint32_t then_fd;
	};
	uint32_t then_len;
	uint64_t user; /* the program's own */
};

_Static_assert(sizeof(struct kwasmi_op) == 48, "for wasm32");

/* Does number operations, one after another. Returns a preview 1 errno; *ndone is how many it has come to. */
__attribute__((import_module("kwasmi_batch_1"), import_name("submit")))
int32_t kwasmi_submit(struct kwasmi_op *ops, uint32_t number, uint32_t *ndone);

/*
 * Does what can be done of those that are pending, until one is complete or timeout nanoseconds are over (UINT64_MAX: never).
 * Returns a preview 1 errno; *ncompleted is how many indices it has put into completed, which has room for max.
 */
__attribute__((import_module("kwasmi_batch_1"), import_name("wait")))
int32_t kwasmi_wait(struct kwasmi_op *ops, uint32_t number, uint64_t timeout, uint32_t *completed, uint32_t max,
		    uint32_t *ncompleted);

#endif
