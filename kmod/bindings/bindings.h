/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Input of bindgen: the kernel headers that kwasmi uses and the `kernel` crate does not bind.
 */
#include <crypto/public_key.h>
#include <keys/asymmetric-type.h>
#include <linux/anon_inodes.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/namei.h>
#include <linux/poll.h>
#include <linux/splice.h>
#include <linux/verification.h>
#include <linux/vmalloc.h>
#include "../trace/events.h"

/* bindgen skips `union pipe_index` in struct pipe_inode_info, as the member has no name. */
const size_t KWASMI_CONST_PIPE_INDEX = offsetof(struct pipe_inode_info, head_tail);
const size_t KWASMI_CONST_PIPE_BUFS = offsetof(struct pipe_inode_info, bufs);

/* bindgen does not translate macros with casts. */
const fmode_t KWASMI_CONST_FMODE_ATOMIC_POS = FMODE_ATOMIC_POS;
const fmode_t KWASMI_CONST_FMODE_LSEEK = FMODE_LSEEK;
const fmode_t KWASMI_CONST_FMODE_NOWAIT = FMODE_NOWAIT;
const fmode_t KWASMI_CONST_FMODE_PREAD = FMODE_PREAD;
const fmode_t KWASMI_CONST_FMODE_PWRITE = FMODE_PWRITE;
const fmode_t KWASMI_CONST_FMODE_READ = FMODE_READ;
const fmode_t KWASMI_CONST_FMODE_STREAM = FMODE_STREAM;
const fmode_t KWASMI_CONST_FMODE_WRITE = FMODE_WRITE;
const unsigned int KWASMI_CONST_LOOKUP_BENEATH = LOOKUP_BENEATH;
const unsigned int KWASMI_CONST_LOOKUP_DIRECTORY = LOOKUP_DIRECTORY;
const unsigned int KWASMI_CONST_LOOKUP_FOLLOW = LOOKUP_FOLLOW;
const rwf_t KWASMI_CONST_RWF_APPEND = RWF_APPEND;
const rwf_t KWASMI_CONST_RWF_DSYNC = RWF_DSYNC;
const rwf_t KWASMI_CONST_RWF_NOAPPEND = RWF_NOAPPEND;
const rwf_t KWASMI_CONST_RWF_NOSIGNAL = RWF_NOSIGNAL;
const rwf_t KWASMI_CONST_RWF_NOWAIT = RWF_NOWAIT;
const rwf_t KWASMI_CONST_RWF_SYNC = RWF_SYNC;
const __poll_t KWASMI_CONST_EPOLLIN = EPOLLIN;
const __poll_t KWASMI_CONST_EPOLLOUT = EPOLLOUT;
const __poll_t KWASMI_CONST_EPOLLERR = EPOLLERR;
const __poll_t KWASMI_CONST_EPOLLHUP = EPOLLHUP;
const __poll_t KWASMI_CONST_EPOLLRDNORM = EPOLLRDNORM;
const __poll_t KWASMI_CONST_EPOLLWRNORM = EPOLLWRNORM;
/* The `kernel` crate does not bind the fields of struct fs_struct. */
const size_t KWASMI_CONST_FS_UMASK = offsetof(struct fs_struct, umask);
const size_t KWASMI_CONST_BPF_PROG_INSNSI = offsetof(struct bpf_prog, insnsi);
const size_t KWASMI_CONST_BPF_AUX_STACK_DEPTH = offsetof(struct bpf_prog_aux, stack_depth);
