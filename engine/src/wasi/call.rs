// SPDX-License-Identifier: GPL-2.0

//! `kwasmi_call_1`: host functions by which an exported function of a reactor reads the input of the
//! present call and writes its output. Described in `docs/calls.md`.

use super::{
    Done, WasiCtx,
    memory::{
        slice,
        slice_mut,
        write, //
    },
};
use crate::{
    host::Host,
    wasi::abi::Errno, //
};

/// Copies at most `buf_len` bytes of the call's input from `offset` on to `buf`, and writes the
/// length of the whole input to `size`.
pub(super) fn input<H: Host>(
    context: &mut WasiCtx<H>,
    memory: &mut [u8],
    buf: u32,
    buf_len: u32,
    offset: u32,
    size: u32,
) -> Done {
    slice_mut(memory, size, 4)?;
    let bytes = slice_mut(memory, buf, buf_len)?;
    let len = bytes.len();
    let total = context.host.call_input(offset.into(), bytes)?;
    context.count_moved(total.saturating_sub(offset as usize).min(len));
    let total = u32::try_from(total).map_err(|_| Errno::Overflow)?;
    Ok(write(memory, size, &total.to_le_bytes())?)
}

/// Appends the `buf_len` bytes at `buf` to the call's output.
pub(super) fn output<H: Host>(context: &mut WasiCtx<H>, memory: &mut [u8], buf: u32, buf_len: u32) -> Done {
    let bytes = slice(memory, buf, buf_len)?;
    context.host.call_output(bytes)?;
    context.count_moved(bytes.len());
    Ok(())
}
