// SPDX-License-Identifier: GPL-2.0

//! Access to linear memory by the pointers and lengths of a guest, with bounds checks.

use super::abi::Errno;
use crate::{
    ffi::IOVECS_MAX,
    host::Span, //
};
use alloc::vec::Vec;

/// Number of spans that are stored without an allocation.
const INLINE_SPANS: usize = 8;

/// Upper bound of the bytes that one call moves, because a guest can be ended only between two
/// calls.
pub(super) const TRANSFER_MAX: usize = 16 * 1024 * 1024;

/// Returns the span of the `len` bytes at `pointer`.
///
/// # Errors
///
/// [`Errno::Fault`] if the bytes are not all inside of `memory`.
pub(super) fn span(memory: &[u8], pointer: u32, len: u32) -> Result<Span, Errno> {
    let start = usize::try_from(pointer).map_err(|_| Errno::Fault)?;
    let len = usize::try_from(len).map_err(|_| Errno::Fault)?;
    let end = start.checked_add(len).ok_or(Errno::Fault)?;
    if end > memory.len() {
        return Err(Errno::Fault);
    }
    Ok(Span { start, len })
}

/// Returns the `len` bytes at `pointer`, or [`Errno::Fault`] if they are not all inside of
/// `memory`.
pub(super) fn slice(memory: &[u8], pointer: u32, len: u32) -> Result<&[u8], Errno> {
    let Span { start, len } = span(memory, pointer, len)?;
    memory.get(start..).and_then(|rest| rest.get(..len)).ok_or(Errno::Fault)
}

/// Returns the `len` bytes at `pointer` for writing, or [`Errno::Fault`] if they are not all inside
/// of `memory`.
pub(super) fn slice_mut(memory: &mut [u8], pointer: u32, len: u32) -> Result<&mut [u8], Errno> {
    let Span { start, len } = span(memory, pointer, len)?;
    memory.get_mut(start..).and_then(|rest| rest.get_mut(..len)).ok_or(Errno::Fault)
}

/// Copies `N` bytes from `pointer`.
pub(super) fn read<const N: usize>(memory: &[u8], pointer: u32) -> Result<[u8; N], Errno> {
    let start = usize::try_from(pointer).map_err(|_| Errno::Fault)?;
    memory.get(start..).and_then(|rest| rest.first_chunk::<N>()).copied().ok_or(Errno::Fault)
}

/// Copies `bytes` to `pointer`.
pub(super) fn write(memory: &mut [u8], pointer: u32, bytes: &[u8]) -> Result<(), Errno> {
    let len = u32::try_from(bytes.len()).map_err(|_| Errno::Fault)?;
    slice_mut(memory, pointer, len)?.copy_from_slice(bytes);
    Ok(())
}

/// Returns the address `offset` bytes after `pointer`, or [`Errno::Fault`] if it overflows.
pub(super) fn after(pointer: u32, offset: u32) -> Result<u32, Errno> {
    pointer.checked_add(offset).ok_or(Errno::Fault)
}

/// Decodes pointer and length of a preview 1 `iovec` or `ciovec`.
const fn iovec([a, b, c, d, e, f, g, h]: [u8; 8]) -> (u32, u32) {
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

/// Returns the span of the preview 1 `iovec` or `ciovec` at `pointer`, cut to [`TRANSFER_MAX`]
/// bytes.
///
/// # Errors
///
/// [`Errno::Fault`] if the `iovec` or its span is not inside of `memory`.
#[inline]
pub(super) fn first_span(memory: &[u8], pointer: u32) -> Result<Span, Errno> {
    let (start, len) = iovec(read(memory, pointer)?);
    let Span { start, len } = span(memory, start, len)?;
    Ok(Span { start, len: len.min(TRANSFER_MAX) })
}

/// Spans of an array of preview 1 `iovec`s or `ciovec`s.
pub(super) struct Spans {
    inline: [Span; INLINE_SPANS],
    more: Vec<Span>,
    len: usize,
}

impl Spans {
    /// Returns an empty list.
    pub(super) const fn new() -> Self {
        Self { inline: [Span { start: 0, len: 0 }; INLINE_SPANS], more: Vec::new(), len: 0 }
    }

    /// Reads `count` `iovec`s at `pointer`, each once. Only the first [`IOVECS_MAX`] are used,
    /// because a guest repeats a partial transfer. The spans have at most [`TRANSFER_MAX`] bytes
    /// altogether.
    ///
    /// # Errors
    ///
    /// - [`Errno::Fault`] if an `iovec` or a span is not inside of `memory`.
    /// - [`Errno::Inval`] if the spans have 4 GiB or more, or if all `iovec`s that are used are
    ///   empty and others are not used. A transfer of no bytes would look like the end of the file.
    /// - [`Errno::NoMem`] if no memory is available.
    pub(super) fn read(&mut self, memory: &[u8], pointer: u32, count: u32) -> Result<(), Errno> {
        if count == 0 {
            return Ok(());
        }
        let all = slice(memory, pointer, count.checked_mul(8).ok_or(Errno::Fault)?)?.as_chunks::<8>().0;
        let pairs = all.get(..IOVECS_MAX).unwrap_or(all);
        let len = pairs.len();
        if len > INLINE_SPANS {
            self.more.try_reserve_exact(len).map_err(|_| Errno::NoMem)?;
        }
        self.len = len;
        let mut total: u32 = 0;
        for (index, pair) in pairs.iter().enumerate() {
            let (start, bytes) = iovec(*pair);
            let before = total;
            total = total.checked_add(bytes).ok_or(Errno::Inval)?;
            let mut span = span(memory, start, bytes)?;
            // A partial transfer is allowed, and the guest can be ended after it.
            span.len = span.len.min(TRANSFER_MAX.saturating_sub(usize::try_from(before).unwrap_or(usize::MAX)));
            if len > INLINE_SPANS {
                self.more.push(span);
            } else if let Some(place) = self.inline.get_mut(index) {
                *place = span;
            }
        }
        if total == 0 && len < all.len() {
            return Err(Errno::Inval);
        }
        Ok(())
    }

    /// Returns the spans in order.
    pub(super) fn as_slice(&self) -> &[Span] {
        if self.len > INLINE_SPANS { &self.more } else { self.inline.get(..self.len).unwrap_or(&[]) }
    }

    /// Returns the total length of the spans, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.as_slice().iter().map(|span| span.len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_checked_against_the_end_of_memory() {
        let memory = [0; 16];
        assert_eq!(span(&memory, 0, 16), Ok(Span { start: 0, len: 16 }));
        assert_eq!(span(&memory, 16, 0), Ok(Span { start: 16, len: 0 }));
        assert_eq!(span(&memory, 17, 0), Err(Errno::Fault));
        assert_eq!(span(&memory, 15, 2), Err(Errno::Fault));
        assert_eq!(span(&memory, u32::MAX, u32::MAX), Err(Errno::Fault));
        assert_eq!(read::<8>(&memory, 9), Err(Errno::Fault));
        assert_eq!(read::<8>(&memory, 8), Ok([0; 8]));
    }

    #[test]
    fn iovecs_are_bounded_in_number_and_in_bytes() {
        let mut memory = [0; 64 * 1024];
        for index in 0..1100_u32 {
            let entry = index * 8;
            write(&mut memory, entry, &16_u32.to_le_bytes()).expect("inside");
            write(&mut memory, entry + 4, &1_u32.to_le_bytes()).expect("inside");
        }
        let read = |memory: &[u8], pointer, count| {
            let mut spans = Spans::new();
            spans.read(memory, pointer, count).map(|()| spans.bytes())
        };
        assert_eq!(read(&memory, 0, 1024), Ok(1024));
        assert_eq!(read(&memory, 0, 9), Ok(9));
        assert_eq!(read(&memory, 0, 8), Ok(8));
        assert_eq!(read(&memory, u32::MAX, 0), Ok(0));
        // More `iovec`s than are used: a partial transfer.
        assert_eq!(read(&memory, 0, 1025), Ok(1024));
        assert_eq!(read(&memory, 0, 1100), Ok(1024));
        assert_eq!(read(&memory, 0, 8192), Ok(1024));
        assert_eq!(read(&memory, 0, 8193), Err(Errno::Fault));
        assert_eq!(read(&memory, 0, u32::MAX), Err(Errno::Fault));
        // Empty `iovec`s followed by unused ones must fail, not look like the end of a file.
        assert_eq!(read(&memory, 9000, 1024), Ok(0));
        assert_eq!(read(&memory, 9000, 1025), Err(Errno::Inval));
        assert_eq!(read(&memory, u32::MAX - 3, 1), Err(Errno::Fault));
        for entry in [0, 8] {
            write(&mut memory, entry, &0_u32.to_le_bytes()).expect("inside");
            write(&mut memory, entry + 4, &0x8000_0000_u32.to_le_bytes()).expect("inside");
        }
        assert_eq!(read(&memory, 0, 1), Err(Errno::Fault));
    }
}
