// SPDX-License-Identifier: GPL-2.0

//! Answers. `qemu/limit` compiles this very file.

/// The answer to a request for `/`.
pub(crate) const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nHello, world!\n";

/// The answer to every other one.
pub(crate) const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

/// What comes before what is in a file.
pub(crate) const FILE_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4096\r\n\r\n";

/// How much of the file it is.
pub(crate) const FILE_LEN: usize = 4096;
