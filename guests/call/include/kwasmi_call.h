/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Input and output of the current call of a reactor, for guests of kwasmi: the host functions of
 * kwasmi_call_1 (specification: docs/calls.md). A module that imports these functions runs only in
 * kwasmi.
 */
#ifndef KWASMI_CALL_H
#define KWASMI_CALL_H

#include <stdint.h>

/*
 * Copies at most len bytes of the call's input from offset on to buf, and sets *size to the length
 * of the whole input. Returns 0 or a preview 1 errno: notconn outside of a call, fault if buf or
 * size is outside of the memory that is exported as "memory".
 */
__attribute__((import_module("kwasmi_call_1"), import_name("input"))) int32_t
kwasmi_call_input(void *buf, uint32_t len, uint32_t offset, uint32_t *size);

/*
 * Appends the len bytes at buf to the call's output. Returns 0 or a preview 1 errno: nobufs if they
 * do not fit in the caller's buffer, notconn outside of a call, fault if buf is outside of the memory that is
 * exported as "memory".
 */
__attribute__((import_module("kwasmi_call_1"), import_name("output"))) int32_t
kwasmi_call_output(const void *buf, uint32_t len);

#endif
