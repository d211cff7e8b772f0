// SPDX-License-Identifier: GPL-2.0

//! Preview 1 `rights` bits, made from the engine's table, and the sets of rights that the command
//! gives to descriptors.

#![expect(missing_docs, reason = "names of the specification")]

#[path = "../../engine/src/wasi/rights.rs"]
mod table;

macro_rules! bits {
    ($($name:ident = $bit:literal;)*) => {
        $(pub const $name: u64 = 1 << $bit;)*
    };
}

table::rights!(bits);

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
