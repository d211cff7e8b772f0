// SPDX-License-Identifier: GPL-2.0

//! The ioctl of `/dev/kwasmi-limit`. The module and the bench compile this very file.

/// The type of the ioctl.
pub const GROUP: u8 = b'L';

/// Its number.
pub const NUMBER: u8 = 0x80;

/// The most bytes of a buffer.
pub const LEN_MAX: u32 = 1 << 20;

/// The most descriptors.
pub const FDS: usize = 2;

/// The most connections of a server.
pub const CONNECTIONS_MAX: u32 = 1024;

/// What there is to do.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Writes `len` bytes into the second file and reads them from the first.
    Selfpipe = 0,
    /// Writes a byte into the second file and reads one from the first.
    Ping = 1,
    /// Reads a byte from the first file and writes one into the second.
    Pong = 2,
    /// Reads 64 bytes of the first file, from its start again at its end, and counts the lines in them.
    Scan = 3,
    /// Reads a request from the first file and writes the decision into the second.
    Policy = 4,
    /// Takes `connections` from the first file, a socket, and says what they say until all of them are closed.
    Echo = 5,
    /// Takes two connections from the first file, a socket, and passes on what the first says to the second until it ends.
    Relay = 6,
    /// Has the first file the flags that it has: nothing.
    Null = 7,
    /// As `Echo`, but answers requests of HTTP/1.1.
    Http = 8,
    /// As `Echo`, but is a cache that speaks memcached's protocol.
    Kv = 9,
    /// As `Http`; what is in the second file is read for each request for it.
    HttpFile = 10,
    /// As `Http`, but `count` connections, one after the other, for one request each.
    HttpClose = 11,
    /// Takes a connection from the first file, a socket, and sends it `count` times `len` bytes of the second, over and over.
    RelayFile = 12,
}

impl Work {
    /// All of them, by number.
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

/// The argument of the ioctl.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Job {
    /// The number of a [`Work`].
    pub work: u32,
    /// Bytes of a message or, of a server, of its buffer.
    pub len: u32,
    /// Connections of a server; 1 where it has one at a time.
    pub connections: u32,
    /// Must be zero.
    pub reserved: u32,
    /// Descriptors; -1 for none.
    pub fds: [i32; FDS],
    /// How often; of no account to a server.
    pub count: u64,
    /// Out: how many nanoseconds that took.
    pub nanoseconds: u64,
}
