// SPDX-License-Identifier: GPL-2.0

//! Preview 1 `rights` bits, from the
//! [definition](https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview1/docs.md#rights), and the
//! sets of rights that the command gives to descriptors.

#![expect(missing_docs, reason = "names of the specification")]

pub const FD_DATASYNC: u64 = 1 << 0;
pub const FD_READ: u64 = 1 << 1;
pub const FD_SEEK: u64 = 1 << 2;
pub const FD_FDSTAT_SET_FLAGS: u64 = 1 << 3;
pub const FD_SYNC: u64 = 1 << 4;
pub const FD_TELL: u64 = 1 << 5;
pub const FD_WRITE: u64 = 1 << 6;
pub const FD_ADVISE: u64 = 1 << 7;
pub const FD_ALLOCATE: u64 = 1 << 8;
pub const PATH_CREATE_DIRECTORY: u64 = 1 << 9;
pub const PATH_CREATE_FILE: u64 = 1 << 10;
pub const PATH_LINK_SOURCE: u64 = 1 << 11;
pub const PATH_LINK_TARGET: u64 = 1 << 12;
pub const PATH_OPEN: u64 = 1 << 13;
pub const FD_READDIR: u64 = 1 << 14;
pub const PATH_READLINK: u64 = 1 << 15;
pub const PATH_RENAME_SOURCE: u64 = 1 << 16;
pub const PATH_RENAME_TARGET: u64 = 1 << 17;
pub const PATH_FILESTAT_GET: u64 = 1 << 18;
pub const PATH_FILESTAT_SET_SIZE: u64 = 1 << 19;
pub const PATH_FILESTAT_SET_TIMES: u64 = 1 << 20;
pub const FD_FILESTAT_GET: u64 = 1 << 21;
pub const FD_FILESTAT_SET_SIZE: u64 = 1 << 22;
pub const FD_FILESTAT_SET_TIMES: u64 = 1 << 23;
pub const PATH_SYMLINK: u64 = 1 << 24;
pub const PATH_REMOVE_DIRECTORY: u64 = 1 << 25;
pub const PATH_UNLINK_FILE: u64 = 1 << 26;
pub const POLL_FD_READWRITE: u64 = 1 << 27;
pub const SOCK_SHUTDOWN: u64 = 1 << 28;
pub const SOCK_ACCEPT: u64 = 1 << 29;

/// Rights of every descriptor.
pub const COMMON: u64 = FD_FDSTAT_SET_FLAGS | FD_FILESTAT_GET | POLL_FD_READWRITE;

/// Rights of a descriptor that has a file position. wasi-libc takes a character device without
/// these rights for a terminal.
pub const SEEKABLE: u64 = FD_SEEK | FD_TELL | FD_ADVISE;

/// Rights that allow changing a file.
const FILE_CHANGES: u64 = FD_WRITE | FD_DATASYNC | FD_SYNC | FD_ALLOCATE | FD_FILESTAT_SET_SIZE | FD_FILESTAT_SET_TIMES;

/// Rights that allow changing the contents of a directory.
const DIRECTORY_CHANGES: u64 = PATH_CREATE_DIRECTORY
    | PATH_CREATE_FILE
    | PATH_LINK_SOURCE
    | PATH_LINK_TARGET
    | PATH_RENAME_SOURCE
    | PATH_RENAME_TARGET
    | PATH_FILESTAT_SET_SIZE
    | PATH_FILESTAT_SET_TIMES
    | PATH_SYMLINK
    | PATH_REMOVE_DIRECTORY
    | PATH_UNLINK_FILE
    | FD_FILESTAT_SET_TIMES;

/// Rights of a read-write directory.
pub const DIRECTORY: u64 = DIRECTORY_READ_ONLY | DIRECTORY_CHANGES;

/// Rights of a read-only directory.
pub const DIRECTORY_READ_ONLY: u64 =
    COMMON | FD_READDIR | FD_SYNC | FD_DATASYNC | PATH_OPEN | PATH_READLINK | PATH_FILESTAT_GET;

/// Rights of descriptors opened beneath a read-write directory: files and directories.
pub const INHERITING: u64 = DIRECTORY | FILE_CHANGES | FD_READ | SEEKABLE;

/// Rights of descriptors opened beneath a read-only directory.
pub const INHERITING_READ_ONLY: u64 = DIRECTORY_READ_ONLY | FD_READ | SEEKABLE;

/// Rights of a connected socket: one that the guest was given, or one that it accepted.
pub const SOCKET: u64 = COMMON | FD_READ | FD_WRITE | SOCK_SHUTDOWN;

/// Rights of a listening socket.
pub const LISTENING: u64 = COMMON | SOCK_ACCEPT;

/// Rights of any other descriptor of the caller. The kernel module drops those that the descriptor
/// does not support.
pub const FILE: u64 = COMMON | FD_READ | FILE_CHANGES;
