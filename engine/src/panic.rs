// SPDX-License-Identifier: GPL-2.0

//! Panic and allocation error handlers of the engine object. Both abort: they end the engine entry.

use crate::{
    border::{
        abort,
        context, //
    },
    ffi::{
        Limit,
        Status, //
    },
    heap::{
        Account,
        AllocError, //
    },
    text::TruncatingWriter,
};
use core::{
    alloc::Layout,
    fmt::{
        Arguments,
        Write, //
    },
    panic::PanicInfo,
};

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => fail(Status::Fault, None, format_args!("{} ({}:{})", info.message(), at.file(), at.line())),
        None => fail(Status::Fault, None, format_args!("{}", info.message())),
    }
}

/// Aborts because an allocation that cannot report failure has failed: neither the host nor the
/// account's share of the reserve could serve it.
#[alloc_error_handler]
fn out_of_memory(layout: Layout) -> ! {
    let (status, limit) = Account::current().map_or(AllocError::Memory, Account::alloc_error).status();
    fail(status, limit, format_args!("no memory for {} bytes", layout.size()))
}

/// Aborts with `status`, after saving `limit` and the text `why` in the context.
pub(crate) fn fail(status: Status, limit: Option<Limit>, why: Arguments<'_>) -> ! {
    // SAFETY: The context is valid while the engine runs, and only this task accesses it.
    if let Some(context) = unsafe { context().as_mut() } {
        let mut text = TruncatingWriter::new(context.set_aborted());
        // `TruncatingWriter` drops the text that does not fit, and writing to it never fails.
        let _ = text.write_fmt(why);
        context.fault_len = text.written();
        context.limit = limit.map_or(0, |limit| limit as u32);
    }
    // SAFETY: The context says that the engine aborted, so the host closes the account and uses no
    // other object of it.
    unsafe { abort(status as i32) }
}
