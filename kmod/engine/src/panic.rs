// SPDX-License-Identifier: GPL-2.0

//! What happens when the engine panics: it lands.

use crate::{
    ffi::{
        FAULT_TEXT_LEN,
        Limit,
        Status, //
    },
    heap::{
        Account,
        Lack, //
    },
    host_call::{
        context,
        land, //
    },
    text::Cut,
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

/// An allocation that cannot fail has failed: the budget or the machine's memory, and the reserve, are used up.
#[alloc_error_handler]
fn out_of_memory(layout: Layout) -> ! {
    let (status, limit) = Account::current().map_or(Lack::Memory, Account::lack).status();
    fail(status, limit, format_args!("no memory for {} bytes", layout.size()))
}

/// Lands with `status`.
pub(crate) fn fail(status: Status, limit: Option<Limit>, why: Arguments<'_>) -> ! {
    // SAFETY: The engine runs, so there is a context, and only this task uses it.
    if let Some(context) = unsafe { context().as_mut() } {
        let mut text = Cut::new(&mut context.fault_text[..FAULT_TEXT_LEN]);
        // What does not fit is cut off.
        let _ = text.write_fmt(why);
        context.fault_len = text.written();
        context.landed = true;
        context.limit = limit.map_or(0, |limit| limit as u32);
    }
    // SAFETY: The host closes the account after these, and touches nothing else of it.
    unsafe { land(status as i32) }
}
