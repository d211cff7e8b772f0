// SPDX-License-Identifier: GPL-2.0

//! ABI of the ioctl of `/dev/kwasmi-bound`. The module and the bench both compile this file.

/// Type of the ioctl.
pub const GROUP: u8 = b'L';

/// Number of the ioctl.
pub const NUMBER: u8 = 0x80;

/// Upper bound of the size of a buffer, in bytes.
pub const LEN_MAX: u32 = 1 << 20;

/// Number of descriptors of a job.
pub const FDS: usize = 2;

/// Upper bound of the number of connections of a server.
pub const CONNECTIONS_MAX: u32 = 1024;

/// Kind of work.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Writes `len` bytes to the second file and reads them from the first.
    Selfpipe = 0,
    /// Writes a byte to the second file and reads one from the first.
    Ping = 1,
    /// Reads a byte from the first file and writes one to the second.
    Pong = 2,
    /// Reads 64 bytes of the first file, from its start again at its end, and counts their lines.
    Scan = 3,
    /// Reads a request from the first file and writes the decision to the second.
    Policy = 4,
    /// Accepts `connections` from the first file, a socket, and echoes their data until all are
    /// closed.
    Echo = 5,
    /// Accepts two connections from the first file, a socket, and copies the data of the first to
    /// the second until the first is closed.
    Relay = 6,
    /// Sets the flags of the first file to the flags that it has.
    Null = 7,
    /// Serves `connections` as `Echo`, but answers HTTP/1.1 requests.
    Http = 8,
    /// Serves `connections` as `Echo`, but is a cache that speaks the memcached protocol.
    Kv = 9,
    /// Serves as `Http`. Each request for the file reads the second file.
    HttpFile = 10,
    /// Serves as `Http`, but `count` connections, one after another, with one request each.
    HttpClose = 11,
    /// Accepts a connection from the first file, a socket, and sends `count` times `len` bytes of
    /// the second file, repeated as needed.
    RelayFile = 12,
}

impl Work {
    /// All kinds, in ascending order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::Selfpipe,
        Self::Ping,
        Self::Pong,
        Self::Scan,
        Self::Policy,
        Self::Echo,
        Self::Relay,
        Self::Null,
        Self::Http,
        Self::Kv,
        Self::HttpFile,
        Self::HttpClose,
        Self::RelayFile,
    ];
}

/// Argument of the ioctl.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Job {
    /// Number of a [`Work`].
    pub work: u32,
    /// Size of a message, or of the buffer of a server, in bytes.
    pub len: u32,
    /// Number of connections of a server; 1 if it has one at a time.
    pub connections: u32,
    /// Must be zero.
    pub reserved: u32,
    /// Descriptors; -1 for none.
    pub fds: [i32; FDS],
    /// Number of repetitions; ignored by servers except `HttpClose` and `RelayFile`.
    pub count: u64,
    /// Out: duration of the work, in nanoseconds.
    pub nanoseconds: u64,
}
