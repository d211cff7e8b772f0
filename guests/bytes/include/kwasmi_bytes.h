/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Bytes searched by the host, for guests of kwasmi: kwasmi_bytes_1, which docs/bytes.md describes.
 * A program that calls these functions runs in kwasmi only.
 */
#ifndef KWASMI_BYTES_H
#define KWASMI_BYTES_H

#include <stdint.h>

/* Puts the offset of the first of len bytes that is byte into *found, or len if there is none. Returns a preview 1 errno. */
__attribute__((import_module("kwasmi_bytes_1"), import_name("find"))) int32_t
kwasmi_find(const void *bytes, uint32_t len, uint32_t byte, uint32_t *found);

/* Puts how many of len bytes are byte into *counted. Returns a preview 1 errno. */
__attribute__((import_module("kwasmi_bytes_1"), import_name("count"))) int32_t
kwasmi_count(const void *bytes, uint32_t len, uint32_t byte, uint32_t *counted);

#endif
