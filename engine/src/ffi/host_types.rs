// SPDX-License-Identifier: GPL-2.0

//! C types of host operations: arguments, results, and [`HostCall`], which carries them.

use super::{
    Ending,
    Limit,
    SIGPIPE, //
};
use core::ffi::c_void;

/// The host's number of a file that a guest has a descriptor of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(pub u32);

/// Position of a transfer in a file: one of the constants, or an offset in bytes, with which the
/// file's own position stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position(pub u64);

impl Position {
    /// The file's own position, which advances.
    pub const CURRENT: Self = Self(u64::MAX);
    /// The file's own position, which advances. The transfer fails with `EAGAIN` instead of
    /// waiting.
    pub const CURRENT_NOW: Self = Self(u64::MAX - 1);
}

/// Result of opening a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Handle of the file.
    pub handle: Handle,
    /// Set if the file is a directory.
    pub is_directory: bool,
}

/// Result of receiving from a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Number of bytes received.
    pub bytes: usize,
    /// Set if the message was longer.
    pub is_truncated: bool,
}

/// Function to compile to machine code.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct JitFunction {
    /// eBPF instructions. The immediate of a call of a function is the function's index in
    /// [`Jit::functions`]; that of a call of a helper is the helper's number.
    pub code: *const u64,
    /// Number of instructions.
    pub len: usize,
    /// Size of the frame in bytes.
    pub frame: u32,
    /// Out: size of the machine code in bytes.
    pub size: u32,
    /// Out: address of the machine code.
    pub entry: usize,
    /// Must be zero.
    pub reserved: u64,
}

/// Functions to compile to machine code.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Jit {
    /// Functions, which may call each other.
    pub functions: *mut JitFunction,
    /// Number of functions.
    pub count: usize,
    /// Addresses of the helpers by their numbers; 0 for a number without a helper.
    pub helpers: *const usize,
    /// Number of elements of `helpers`.
    pub helpers_len: usize,
    /// Upper bound of the machine code of all functions, in bytes.
    pub size_max: u64,
}

/// Bits that tell how to open a file.
pub mod open {
    /// Create the file if it does not exist.
    pub const CREATE: u64 = 1 << 0;
    /// Fail unless it is a directory.
    pub const DIRECTORY: u64 = 1 << 1;
    /// Fail if it exists.
    pub const EXCLUSIVE: u64 = 1 << 2;
    /// Truncate it to 0 bytes.
    pub const TRUNCATE: u64 = 1 << 3;
    /// Open for reading.
    pub const READ: u64 = 1 << 4;
    /// Open for writing.
    pub const WRITE: u64 = 1 << 5;
}

/// Upper bound of a path's length: Linux's `PATH_MAX`, without the NUL.
pub const PATH_MAX: usize = 4095;

/// Timestamps to set.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Preview 1 `fstflags`: which timestamps to set, and whether to the current time.
    pub flags: u32,
    /// Must be zero.
    pub reserved: u32,
    /// Time of the last access, in nanoseconds since 1970.
    pub atime: u64,
    /// Time of the last change of the data, in nanoseconds since 1970.
    pub mtime: u64,
}

/// File to wait for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PollEntry {
    /// Handle of the file.
    pub handle: u32,
    /// [`poll::READ`] or [`poll::WRITE`]; [`poll::BYTES`] in addition to the former.
    pub events: u32,
    /// Out: the bits of `events` that occurred, and [`poll::HANGUP`]; or a negative `errno`.
    pub revents: i32,
    /// Must be zero.
    pub reserved: u32,
    /// Out, with [`poll::BYTES`]: number of bytes that can be read; 1 if the number is not known.
    pub bytes: u64,
}

/// Bits of a [`PollEntry`].
pub mod poll {
    /// The file can be read without waiting.
    pub const READ: u32 = 1 << 0;
    /// The file can be written without waiting.
    pub const WRITE: u32 = 1 << 1;
    /// The peer has closed its end.
    pub const HANGUP: u32 = 1 << 2;
    /// Request for [`PollEntry::bytes`].
    pub const BYTES: u32 = 1 << 3;
}

/// Upper bound of the number of [`IoVec`]s of one call: Linux's `UIO_MAXIOV`.
pub const IOVECS_MAX: usize = 1024;

/// Part of a guest's memory. Laid out as `struct iovec` and `struct kvec`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IoVec {
    /// Address of the first byte.
    pub addr: *mut u8,
    /// Length in bytes.
    pub len: usize,
}

/// The host's decision at a checkpoint.
#[repr(u64)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// Continue.
    Continue = 0,
    /// Pause. The guest can be run again later.
    Interrupt = 1,
    /// End the guest with [`Ending::Killed`].
    Killed = 2,
    /// End the guest with [`Limit::Time`].
    Time = 3,
    /// End the guest with [`Limit::CpuTime`].
    CpuTime = 4,
    /// End the guest with [`Ending::Killed`], by SIGPIPE.
    BrokenPipe = 5,
}

impl Checkpoint {
    /// Returns the decision with the number `value`; [`Checkpoint::Killed`] for other numbers.
    #[must_use]
    pub fn from_raw(value: u64) -> Self {
        match value {
            0 => Self::Continue,
            1 => Self::Interrupt,
            3 => Self::Time,
            4 => Self::CpuTime,
            5 => Self::BrokenPipe,
            _ => Self::Killed,
        }
    }

    /// Returns the ending of the guest and its detail, if the guest is to end.
    #[must_use]
    pub const fn ending(self) -> Option<(Ending, u32)> {
        match self {
            Self::Continue | Self::Interrupt => None,
            Self::Killed => Some((Ending::Killed, 0)),
            Self::BrokenPipe => Some((Ending::Killed, SIGPIPE)),
            Self::Time => Some((Ending::Limited, Limit::Time as u32)),
            Self::CpuTime => Some((Ending::Limited, Limit::CpuTime as u32)),
        }
    }
}

/// Metadata of a file.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct FileStat {
    /// Device of the inode.
    pub dev: u64,
    /// Number of the inode.
    pub ino: u64,
    /// Number of hard links.
    pub nlink: u64,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last access, in nanoseconds since 1970.
    pub atime: u64,
    /// Time of the last change of the data, in nanoseconds since 1970.
    pub mtime: u64,
    /// Time of the last change of the inode, in nanoseconds since 1970.
    pub ctime: u64,
    /// Linux's `st_mode`.
    pub mode: u32,
    /// Linux's open flags.
    pub flags: u32,
    /// Type of a socket (Linux's `SOCK_*`); 0 for other files.
    pub socket_type: u32,
    /// Must be zero.
    pub reserved: u32,
}

/// Argument of `kwasmi_host_entry`.
#[repr(C)]
pub struct HostCall {
    /// [`Context::host`].
    pub host: *mut c_void,
    /// Words of the operation's arguments.
    pub args: [u64; 4],
    /// Out: word of the operation's result.
    pub value: u64,
}

/// Status of a host call that did nothing because a signal or the end of the guest is pending. The
/// next checkpoint tells which. `kwasmi_host_entry` otherwise returns 0 or a negative Linux
/// `errno`.
pub const HOST_INTERRUPTED: i32 = -512;
