/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Byte search by the host, for guests of kwasmi: the host functions of kwasmi_bytes_1
 * (specification: docs/bytes.md). A program that calls these functions runs only in kwasmi.
 */
#ifndef KWASMI_BYTES_H
#define KWASMI_BYTES_H

#include <stdint.h>

/*
 * Sets *found to the offset of the first of len bytes that equals byte, or to len if none does.
 * Returns 0 or a preview 1 errno: fault if the guest does not export its memory as "memory", or
 * a range is outside of it; inval if byte is above 255.
 */
__attribute__((import_module("kwasmi_bytes_1"), import_name("find"))) int32_t
kwasmi_find(const void *bytes, uint32_t len, uint32_t byte, uint32_t *found);

/*
 * Sets *counted to the number of len bytes that equal byte. Returns 0 or a preview 1 errno, as
 * kwasmi_find() does.
 */
__attribute__((import_module("kwasmi_bytes_1"), import_name("count"))) int32_t
kwasmi_count(const void *bytes, uint32_t len, uint32_t byte, uint32_t *counted);

#endif
