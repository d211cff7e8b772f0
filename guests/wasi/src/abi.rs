// SPDX-License-Identifier: GPL-2.0

//! Constants of preview 1, from its
//! [definition](https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview1/docs.md), and its
//! structures with their layout in memory.

/// Descriptor number.
pub(crate) type Fd = u32;

pub(crate) mod right {
    pub(crate) const FD_READ: u64 = 1 << 1;
    pub(crate) const FD_SEEK: u64 = 1 << 2;
    pub(crate) const FD_FDSTAT_SET_FLAGS: u64 = 1 << 3;
    pub(crate) const FD_TELL: u64 = 1 << 5;
    pub(crate) const FD_WRITE: u64 = 1 << 6;
    pub(crate) const PATH_CREATE_FILE: u64 = 1 << 10;
    pub(crate) const PATH_OPEN: u64 = 1 << 13;
    pub(crate) const FD_READDIR: u64 = 1 << 14;
    pub(crate) const FD_FILESTAT_GET: u64 = 1 << 21;
    pub(crate) const POLL_FD_READWRITE: u64 = 1 << 27;
    /// All rights that preview 1 defines.
    pub(crate) const ALL: u64 = (1 << 30) - 1;
    /// Rights to request in order to read and write a file.
    pub(crate) const READ_WRITE: u64 = ALL & !FD_READDIR;
    /// Rights to request in order to read a file.
    pub(crate) const READ: u64 =
        FD_READ | FD_SEEK | FD_TELL | FD_FILESTAT_GET | POLL_FD_READWRITE | FD_FDSTAT_SET_FLAGS;
}

pub(crate) mod oflags {
    pub(crate) const CREAT: u32 = 1 << 0;
    pub(crate) const DIRECTORY: u32 = 1 << 1;
    pub(crate) const EXCL: u32 = 1 << 2;
    pub(crate) const TRUNC: u32 = 1 << 3;
}

pub(crate) mod fdflags {
    pub(crate) const APPEND: u32 = 1 << 0;
    pub(crate) const DSYNC: u32 = 1 << 1;
    pub(crate) const NONBLOCK: u32 = 1 << 2;
    pub(crate) const SYNC: u32 = 1 << 4;
}

pub(crate) mod fstflags {
    pub(crate) const ATIM: u32 = 1 << 0;
    pub(crate) const ATIM_NOW: u32 = 1 << 1;
    pub(crate) const MTIM: u32 = 1 << 2;
    pub(crate) const MTIM_NOW: u32 = 1 << 3;
}

pub(crate) mod whence {
    pub(crate) const SET: u32 = 0;
    pub(crate) const CUR: u32 = 1;
    pub(crate) const END: u32 = 2;
}

/// `lookupflags`: a symbolic link in the last component is followed.
pub(crate) const FOLLOW: u32 = 1;
/// `lookupflags`: a symbolic link in the last component is not followed.
pub(crate) const NO_FOLLOW: u32 = 0;

/// Names of `filetype`, by number.
pub(crate) const FILE_TYPES: [&str; 8] =
    ["unknown", "block-device", "character-device", "directory", "file", "socket-dgram", "socket-stream", "symlink"];

/// `fdstat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Fdstat {
    pub(crate) filetype: u8,
    pub(crate) flags: u16,
    pub(crate) rights: u64,
    pub(crate) inheriting: u64,
}

/// `filestat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Filestat {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) filetype: u8,
    pub(crate) nlink: u64,
    pub(crate) size: u64,
    pub(crate) atim: u64,
    pub(crate) mtim: u64,
    pub(crate) ctim: u64,
}

/// `prestat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Prestat {
    pub(crate) tag: u8,
    pub(crate) name_len: u32,
}

/// `subscription`, with the fields of both kinds at their offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Subscription {
    pub(crate) userdata: u64,
    pub(crate) tag: u8,
    /// Padding: the following fields are aligned to eight bytes.
    pub(crate) padding: u32,
    /// Clock id or descriptor.
    pub(crate) what: u32,
    pub(crate) timeout: u64,
    pub(crate) precision: u64,
    pub(crate) flags: u16,
}

/// `event`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Event {
    pub(crate) userdata: u64,
    pub(crate) errno: u16,
    pub(crate) kind: u8,
    pub(crate) bytes: u64,
    pub(crate) flags: u16,
}

const _: () = assert!(size_of::<Fdstat>() == 24);
const _: () = assert!(size_of::<Filestat>() == 64);
const _: () = assert!(size_of::<Prestat>() == 8);
const _: () = assert!(size_of::<Subscription>() == 48);
const _: () = assert!(size_of::<Event>() == 32);
