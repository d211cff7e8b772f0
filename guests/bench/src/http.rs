// SPDX-License-Identifier: GPL-2.0

//! HTTP/1.1 protocol with a page and a file.

mod pages;

use self::pages::{
    ANSWER,
    FILE_HEAD,
    FILE_LEN,
    NOT_FOUND, //
};
use crate::{
    pipes,
    serve::Protocol, //
};
use std::{
    fs::File,
    io::{
        self,
        ErrorKind,
        Read as _,
        Seek as _, //
    },
    mem::{
        ManuallyDrop,
        MaybeUninit, //
    },
};

/// Upper bound of the headers of a request.
const HEADERS_MAX: usize = 16;

/// Protocol with a page and, optionally, a file.
#[derive(Default)]
pub(crate) struct Http {
    file: Option<ManuallyDrop<File>>,
}

impl Http {
    /// Makes a protocol that reads the file at descriptor 4 for each request.
    pub(crate) fn with_file() -> Self {
        Self { file: Some(pipes::borrow_descriptor(4)) }
    }

    /// Appends the answer to a request for `path`.
    fn get(&mut self, path: &str, output: &mut Vec<u8>) -> io::Result<()> {
        match (path, &mut self.file) {
            ("/", _) => output.extend_from_slice(ANSWER),
            ("/file", Some(file)) => {
                output.extend_from_slice(FILE_HEAD);
                let start = output.len();
                output.resize(start + FILE_LEN, 0);
                file.rewind()?;
                file.read_exact(output.get_mut(start..).unwrap_or_default())?;
            }
            _ => output.extend_from_slice(NOT_FOUND),
        }
        Ok(())
    }
}

impl Protocol for Http {
    fn answer(&mut self, input: &[u8], output: &mut Vec<u8>) -> io::Result<usize> {
        let mut done = 0;
        while let rest @ [_, ..] = input.get(done..).unwrap_or_default() {
            let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
            let mut request = httparse::Request::new(&mut []);
            match request.parse_with_uninit_headers(rest, &mut headers) {
                Ok(httparse::Status::Complete(len)) => {
                    match (request.method, request.path) {
                        (Some("GET"), Some(path)) => self.get(path, output)?,
                        _ => output.extend_from_slice(NOT_FOUND),
                    }
                    done += len;
                }
                Ok(httparse::Status::Partial) => break,
                Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
            }
        }
        Ok(done)
    }
}
