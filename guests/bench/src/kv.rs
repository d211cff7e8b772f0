// SPDX-License-Identifier: GPL-2.0

//! In-memory cache with `get` and `set` of memcached's [text
//! protocol](https://github.com/memcached/memcached/blob/master/doc/protocol.txt).

mod command;

use self::command::{
    Command,
    Malformed,
    command,
    words, //
};
use crate::serve::Protocol;
use fnv::FnvHashMap;
use std::io::{
    self,
    ErrorKind, //
};

/// Value of a key.
struct Item {
    flags: u32,
    data: Vec<u8>,
}

/// Cache.
#[derive(Default)]
pub(crate) struct Cache {
    items: FnvHashMap<Vec<u8>, Item>,
}

impl Cache {
    /// Executes the first command of `input`. Returns its length in bytes, or `None` if it is not
    /// complete yet.
    fn command(&mut self, input: &[u8], output: &mut Vec<u8>) -> io::Result<Option<usize>> {
        let Some(end) = memchr::memchr(b'\n', input) else { return Ok(None) };
        let command = command(input, end).map_err(|Malformed| ErrorKind::InvalidData)?;
        let Some((command, len)) = command else { return Ok(None) };
        match command {
            Command::Get(keys) => {
                for key in words(keys) {
                    if let Some(item) = self.items.get(key) {
                        output.extend_from_slice(b"VALUE ");
                        output.extend_from_slice(key);
                        for number in [u64::from(item.flags), item.data.len() as u64] {
                            output.push(b' ');
                            output.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
                        }
                        output.extend_from_slice(b"\r\n");
                        output.extend_from_slice(&item.data);
                        output.extend_from_slice(b"\r\n");
                    }
                }
                output.extend_from_slice(b"END\r\n");
            }
            Command::Set { key, flags, data } => {
                match self.items.get_mut(key) {
                    Some(item) => {
                        item.flags = flags;
                        item.data.clear();
                        item.data.extend_from_slice(data);
                    }
                    None => drop(self.items.insert(key.to_vec(), Item { flags, data: data.to_vec() })),
                }
                output.extend_from_slice(b"STORED\r\n");
            }
            Command::Unknown => output.extend_from_slice(b"ERROR\r\n"),
        }
        Ok(Some(len))
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
