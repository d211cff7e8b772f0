// SPDX-License-Identifier: GPL-2.0

//! HTTP/1.1 server with one page, equal to the one in `guests/bench`. It examines the same parts of
//! a request.

use crate::{
    files::Open,
    pages::{
        ANSWER,
        FILE_HEAD,
        FILE_LEN,
        NOT_FOUND, //
    },
    servers::Requests,
    work::read_exact, //
};
use kernel::{
    bindings,
    prelude::*, //
};

/// Upper bound of the number of headers of a request.
const HEADERS_MAX: usize = 16;

/// Server of the page and, if `file` is set, of a file, which it reads for each request.
#[derive(Default)]
pub(crate) struct Http<'a> {
    pub(crate) file: Option<&'a Open>,
}

impl Http<'_> {
    /// Appends the answer to a request for `path`.
    fn get(&mut self, path: &[u8], output: &mut KVVec<u8>) -> Result {
        match (path, self.file) {
            (b"/", _) => output.extend_from_slice(ANSWER, GFP_KERNEL_ACCOUNT)?,
            (b"/file", Some(file)) => {
                output.extend_from_slice(FILE_HEAD, GFP_KERNEL_ACCOUNT)?;
                let start = output.len();
                output.resize(start + FILE_LEN, 0, GFP_KERNEL_ACCOUNT)?;
                file.seek(0, u64::from(bindings::SEEK_SET))?;
                read_exact(file, output.get_mut(start..).unwrap_or_default())?;
            }
            _ => output.extend_from_slice(NOT_FOUND, GFP_KERNEL_ACCOUNT)?,
        }
        Ok(())
    }
}

impl Requests for Http<'_> {
    fn answer(&mut self, input: &[u8], output: &mut KVVec<u8>) -> Result<usize> {
        let mut rest = Rest(input);
        let mut done = 0;
        while let Some(request) = rest.request() {
            match request? {
                (b"GET", path) => self.get(path, output)?,
                _ => output.extend_from_slice(NOT_FOUND, GFP_KERNEL_ACCOUNT)?,
            }
            done = input.len().saturating_sub(rest.0.len());
        }
        Ok(done)
    }
}

/// Bytes that were not parsed yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// Parses a request. Returns its method and path, or `None` if it is not complete.
    fn request(&mut self) -> Option<Result<(&'a [u8], &'a [u8])>> {
        // Empty lines before a request are ignored.
        while let [b'\r' | b'\n', rest @ ..] = self.0 {
            self.0 = rest;
        }
        let (method, space) = self.take(is_token)?;
        let (path, another) = self.take(|byte| byte >= b'!' && byte != 0x7f)?;
        let (version, end) = self.take(|byte| byte > b' ')?;
        let is_known = matches!(version, b"HTTP/1.0" | b"HTTP/1.1");
        if method.is_empty()
            || (space, another) != (b' ', b' ')
            || !is_known
            || !self.ends_line(end)?
        {
            return Some(Err(EINVAL));
        }
        for _ in 0..=HEADERS_MAX {
            let (name, colon) = self.take(is_token)?;
            if name.is_empty() && self.ends_line(colon)? {
                return Some(Ok((method, path)));
            }
            let (_, end) = self.take(|byte| byte == b'\t' || byte >= b' ' && byte != 0x7f)?;
            if name.is_empty() || colon != b':' || !self.ends_line(end)? {
                return Some(Err(EINVAL));
            }
        }
        Some(Err(E2BIG))
    }

    /// Takes the bytes up to and including the first one for which `is_good` returns false. Returns
    /// them, with that byte apart.
    #[inline]
    fn take(&mut self, is_good: impl Fn(u8) -> bool) -> Option<(&'a [u8], u8)> {
        let len = self.0.iter().position(|byte| !is_good(*byte))?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        let (next, rest) = rest.split_first()?;
        self.0 = rest;
        Some((bytes, *next))
    }

    /// Returns true if `byte`, which was taken, ends a line, alone or with the next byte, which is
    /// then taken too.
    fn ends_line(&mut self, byte: u8) -> Option<bool> {
        if byte != b'\r' {
            return Some(byte == b'\n');
        }
        let (next, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*next == b'\n')
    }
}

/// Returns true if `byte` may be part of a method or of the name of a header.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
