// SPDX-License-Identifier: GPL-2.0

//! Answers of the HTTP servers. Also compiled by `qemu/bound`.

/// Answer to a request for `/`.
pub(crate) const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nHello, world!\n";

/// Answer to all other requests.
pub(crate) const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

/// Headers in front of the file's contents.
pub(crate) const FILE_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4096\r\n\r\n";

/// Number of bytes of the file that are sent.
pub(crate) const FILE_LEN: usize = 4096;
