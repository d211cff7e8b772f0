// SPDX-License-Identifier: GPL-2.0

//! `kwasmi_bytes_1`: host functions that search and count bytes in linear memory, which takes a
//! guest many instructions. Described in `docs/bytes.md`.

use super::{
    Done, WasiCtx,
    abi::Errno,
    memory::{
        slice,
        slice_mut,
        write, //
    },
};
use crate::host::Host;

/// Number of bytes between two checkpoints, about as much work as a slice of fuel.
const PIECE: usize = 1 << 20;

/// Returns the byte to search for.
fn needle(byte: u32) -> Result<u8, Errno> {
    u8::try_from(byte).map_err(|_| Errno::Inval)
}

/// Writes the offset of the first byte that equals `byte` to `found`, or `len` if there is none.
pub(super) fn find<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    bytes: u32,
    len: u32,
    byte: u32,
    found: u32,
) -> Done {
    let needle = needle(byte)?;
    slice_mut(memory, found, 4)?;
    let mut before: usize = 0;
    for piece in slice(memory, bytes, len)?.chunks(PIECE) {
        if before > 0 {
            context.checkpoint()?;
        }
        let offset = memchr::memchr(needle, piece);
        let passed = offset.unwrap_or(piece.len());
        context.count_moved(passed);
        before = before.saturating_add(passed);
        if offset.is_some() {
            break;
        }
    }
    let offset = u32::try_from(before).map_err(|_| Errno::Overflow)?;
    Ok(write(memory, found, &offset.to_le_bytes())?)
}

/// Writes the number of bytes that equal `byte` to `counted`.
pub(super) fn count<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    bytes: u32,
    len: u32,
    byte: u32,
    counted: u32,
) -> Done {
    let needle = needle(byte)?;
    slice_mut(memory, counted, 4)?;
    let mut total: usize = 0;
    for (index, piece) in slice(memory, bytes, len)?.chunks(PIECE).enumerate() {
        if index > 0 {
            context.checkpoint()?;
        }
        context.count_moved(piece.len());
        total = total.saturating_add(bytecount::count(piece, needle));
    }
    let total = u32::try_from(total).map_err(|_| Errno::Overflow)?;
    Ok(write(memory, counted, &total.to_le_bytes())?)
}
