// SPDX-License-Identifier: GPL-2.0

//! Cache with the memcached protocol, equal to the one in `guests/bench`.

use crate::{
    command::{
        command,
        words,
        Command,
        Malformed, //
    },
    servers::Requests, //
};
use core::fmt::{
    self,
    Write, //
};
use kernel::prelude::*;

/// Number of lists.
const LISTS: usize = 1024;

/// Item of the cache.
struct Item {
    key: KVVec<u8>,
    flags: u32,
    data: KVVec<u8>,
}

/// Hash table of items. The hash of a key selects the list of its item.
pub(crate) struct Cache {
    lists: KVVec<KVVec<Item>>,
}

impl Cache {
    /// Creates an empty cache.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if no memory is available.
    pub(crate) fn new() -> Result<Self> {
        let mut lists = KVVec::with_capacity(LISTS, GFP_KERNEL_ACCOUNT)?;
        for _ in 0..LISTS {
            lists.push(KVVec::new(), GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self { lists })
    }

    /// Returns the list for `key`.
    fn list(&mut self, key: &[u8]) -> Result<&mut KVVec<Item>> {
        // FNV-1a.
        let add = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = key.iter().fold(0xcbf2_9ce4_8422_2325, add);
        self.lists.get_mut(hash as usize % LISTS).ok_or(EINVAL)
    }

    fn get(&mut self, key: &[u8], output: &mut KVVec<u8>) -> Result {
        let Some(item) = self.list(key)?.iter().find(|item| *item.key == *key) else {
            return Ok(());
        };
        output.extend_from_slice(b"VALUE ", GFP_KERNEL_ACCOUNT)?;
        output.extend_from_slice(key, GFP_KERNEL_ACCOUNT)?;
        write!(Text(output), " {} {}\r\n", item.flags, item.data.len()).map_err(|_| ENOMEM)?;
        output.extend_from_slice(&item.data, GFP_KERNEL_ACCOUNT)?;
        Ok(output.extend_from_slice(b"\r\n", GFP_KERNEL_ACCOUNT)?)
    }

    fn set(&mut self, key: &[u8], flags: u32, data: &[u8]) -> Result {
        let list = self.list(key)?;
        if let Some(item) = list.iter_mut().find(|item| *item.key == *key) {
            item.flags = flags;
            item.data.clear();
            return Ok(item.data.extend_from_slice(data, GFP_KERNEL_ACCOUNT)?);
        }
        let mut item = Item {
            key: KVVec::new(),
            flags,
            data: KVVec::new(),
        };
        item.key.extend_from_slice(key, GFP_KERNEL_ACCOUNT)?;
        item.data.extend_from_slice(data, GFP_KERNEL_ACCOUNT)?;
        Ok(list.push(item, GFP_KERNEL_ACCOUNT)?)
    }
}

impl Requests for Cache {
    fn answer(&mut self, input: &[u8], output: &mut KVVec<u8>) -> Result<usize> {
        let mut rest = input;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let Some((command, len)) = command(rest, end).map_err(|Malformed| EINVAL)? else {
                break;
            };
            let last: &[u8] = match command {
                Command::Get(keys) => {
                    for key in words(keys) {
                        self.get(key, output)?;
                    }
                    b"END\r\n"
                }
                Command::Set { key, flags, data } => {
                    self.set(key, flags, data)?;
                    b"STORED\r\n"
                }
                Command::Unknown => b"ERROR\r\n",
            };
            output.extend_from_slice(last, GFP_KERNEL_ACCOUNT)?;
            rest = rest.get(len..).unwrap_or_default();
        }
        Ok(input.len().saturating_sub(rest.len()))
    }
}

/// Adapter that appends formatted text to a buffer.
struct Text<'a>(&'a mut KVVec<u8>);

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0
            .extend_from_slice(text.as_bytes(), GFP_KERNEL_ACCOUNT)
            .map_err(|_| fmt::Error)
    }
}
