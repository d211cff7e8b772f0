// SPDX-License-Identifier: GPL-2.0

//! HTTP/1.1 with one answer.

use crate::serve::Protocol;
use std::io::{
    self,
    ErrorKind, //
};

/// The answer to a request for `/`.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nHello, world!\n";

/// The answer to every other one.
const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

/// A server without a state.
pub(crate) struct Http;

impl Protocol for Http {
    fn answer(&mut self, input: &[u8], output: &mut Vec<u8>) -> io::Result<usize> {
        let mut done = 0;
        loop {
            let rest = input.get(done..).unwrap_or_default();
            let mut headers = [httparse::EMPTY_HEADER; 16];
            let mut request = httparse::Request::new(&mut headers);
            match request.parse(rest) {
                Ok(httparse::Status::Complete(len)) => {
                    let is_known = request.method == Some("GET") && request.path == Some("/");
                    output.extend_from_slice(if is_known { ANSWER } else { NOT_FOUND });
                    done += len;
                }
                Ok(httparse::Status::Partial) => return Ok(done),
                Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
            }
        }
    }
}
