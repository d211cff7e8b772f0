// SPDX-License-Identifier: GPL-2.0

//! An in-memory cache that speaks `get` and `set` of memcached's
//! [text protocol](https://github.com/memcached/memcached/blob/master/doc/protocol.txt).

use crate::serve::Protocol;
use std::{
    collections::HashMap,
    io::{
        self,
        ErrorKind,
        Write as _, //
    },
};

/// What is kept under a key.
struct Item {
    flags: u32,
    data: Vec<u8>,
}

/// The cache.
#[derive(Default)]
pub(crate) struct Cache {
    items: HashMap<Vec<u8>, Item>,
}

fn number(word: Option<&[u8]>) -> io::Result<usize> {
    word.and_then(|word| std::str::from_utf8(word).ok())
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| ErrorKind::InvalidData.into())
}

impl Cache {
    /// Does one command; the bytes that it takes, or none if it is not whole yet.
    fn command(&mut self, input: &[u8], output: &mut Vec<u8>) -> io::Result<Option<usize>> {
        let Some(end) = memchr::memchr(b'\n', input) else { return Ok(None) };
        let line = input.get(..end).unwrap_or_default().trim_ascii_end();
        let mut words = line.split(|byte| *byte == b' ');
        match words.next() {
            Some(b"get") => {
                for key in words {
                    if let Some(item) = self.items.get(key) {
                        output.extend_from_slice(b"VALUE ");
                        output.extend_from_slice(key);
                        write!(output, " {} {}\r\n", item.flags, item.data.len())?;
                        output.extend_from_slice(&item.data);
                        output.extend_from_slice(b"\r\n");
                    }
                }
                output.extend_from_slice(b"END\r\n");
                Ok(Some(end + 1))
            }
            Some(b"set") => {
                let key = words.next().unwrap_or_default();
                let flags = number(words.next())?;
                number(words.next())?;
                let len = number(words.next())?;
                // After the line come the data and another line end.
                let Some(data) = input.get(end + 1..end + 1 + len + 2) else { return Ok(None) };
                let data = data.get(..len).unwrap_or_default();
                let flags = u32::try_from(flags).map_err(|_| ErrorKind::InvalidData)?;
                match self.items.get_mut(key) {
                    Some(item) => {
                        item.flags = flags;
                        item.data.clear();
                        item.data.extend_from_slice(data);
                    }
                    None => drop(self.items.insert(key.to_vec(), Item { flags, data: data.to_vec() })),
                }
                output.extend_from_slice(b"STORED\r\n");
                Ok(Some(end + 1 + len + 2))
            }
            _ => {
                output.extend_from_slice(b"ERROR\r\n");
                Ok(Some(end + 1))
            }
        }
    }
}

impl Protocol for Cache {
    fn answer(&mut self, input: &[u8], output: &mut Vec<u8>) -> io::Result<usize> {
        let mut done = 0;
        while let Some(len) = self.command(input.get(done..).unwrap_or_default(), output)? {
            done += len;
        }
        Ok(done)
    }
}
