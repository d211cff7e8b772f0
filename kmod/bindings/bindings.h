/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What kwasmi needs of the kernel's headers and the `kernel` crate does not bind. Input of bindgen.
 */
#include <linux/anon_inodes.h>
#include <linux/fs.h>

/* bindgen does not see through casts in macros. */
const fmode_t KWASMI_CONST_FMODE_ATOMIC_POS = FMODE_ATOMIC_POS;
const fmode_t KWASMI_CONST_FMODE_PREAD = FMODE_PREAD;
const fmode_t KWASMI_CONST_FMODE_PWRITE = FMODE_PWRITE;
const fmode_t KWASMI_CONST_FMODE_STREAM = FMODE_STREAM;
