// SPDX-License-Identifier: GPL-2.0

//! Helpers that run on the guest's stack: host calls, and other helpers if they need neither a
//! trap, nor a checkpoint, nor much time.
//!
//! A thunk saves the arguments and calls the quick form of the helper. If that declines, the thunk
//! restores the arguments and switches to the engine's stack, like a helper without a quick form. A
//! quick form that declines has done nothing, but for a host call that does not return to the
//! guest: the guest keeps the [`Stop`](crate::wasi::Stop) for the engine.

use super::{
    guest::Guest,
    instance::{
        Private,
        private_word, //
    }, //
};
use crate::{
    kernel_host::KernelHost,
    vmctx::Helper, //
};

/// Upper bound of the bytes that a quick form fills or copies.
const BYTES_MAX: u64 = 16 * 1024;

/// Result of a quick form: in RAX and RDX.
#[repr(C)]
struct Answer {
    value: u64,
    /// 0 if the quick form declined.
    is_done: u64,
}

/// Returns the result of `helper` for `guest`; `None` if its quick form declines.
#[inline(always)]
fn answer(helper: Helper, guest: &mut Guest<KernelHost>, [a, b, c]: [u64; 3]) -> Option<u64> {
    let index = |word: u64| usize::try_from(word).unwrap_or(usize::MAX);
    let number = |word: u64| u32::try_from(word).unwrap_or(u32::MAX);
    if helper == Helper::CallImport {
        return guest.call_quickly(index(a));
    }
    let (native, instance) = guest.parts();
    if instance.is_checkpoint_requested() {
        return None;
    }
    match helper {
        Helper::Resolve => {
            instance.resolve(native.declarations(), index(a), index(b), number(c)).ok()?;
            native.resolve(instance);
            Some(0)
        }
        Helper::ResolveTail => {
            instance.resolve_tail(native.declarations(), number(a)).ok()?;
            native.resolve(instance);
            Some(0)
        }
        Helper::MemoryFill => {
            let args = instance.bulk_args().filter(|[_, _, len]| *len <= BYTES_MAX)?;
            instance.memory_fill(index(a), args).ok()?;
            Some(0)
        }
        Helper::MemoryCopy => {
            let args = instance.bulk_args().filter(|[_, _, len]| *len <= BYTES_MAX)?;
            instance.memory_copy(index(a), index(b), args).ok()?;
            Some(0)
        }
        Helper::TableGet => instance.table_get(index(a), index(b)).ok(),
        Helper::TableSet => instance.table_set(index(a), index(b), c).ok().map(|()| 0),
        Helper::TableSize => Some(instance.table_size(index(a))),
        Helper::TrappingNumeric => super::numeric::convert(a, b).ok(),
        _ => None,
    }
}

macro_rules! quick {
    ($($name:ident = $helper:ident;)*) => {
        $(
            /// Quick form of a helper.
            ///
            /// # Safety
            ///
            /// `context` must be that of the guest that runs, which [`Guest::resume`] has entered.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name(context: *mut u64, a: u64, b: u64, c: u64) -> Answer {
                // SAFETY: `private_word` requires the context of an instance, which `context` is by
                // this function's safety requirement.
                let guest = unsafe { private_word(context, Private::Guest) };
                let guest = core::ptr::with_exposed_provenance_mut::<Guest<KernelHost>>(guest);
                // SAFETY: `Guest::resume` stored the address of its mutable reference, which it
                // does not use until the guest switches back to the engine's stack, or null.
                let guest = unsafe { guest.as_mut() };
                match guest.and_then(|guest| answer(Helper::$helper, guest, [a, b, c])) {
                    Some(value) => Answer { value, is_done: 1 },
                    None => Answer { value: 0, is_done: 0 },
                }
            }
        )*
    };
}

quick! {
    kwasmi_quick_call_import = CallImport;
    kwasmi_quick_resolve = Resolve;
    kwasmi_quick_resolve_tail = ResolveTail;
    kwasmi_quick_memory_fill = MemoryFill;
    kwasmi_quick_memory_copy = MemoryCopy;
    kwasmi_quick_table_get = TableGet;
    kwasmi_quick_table_set = TableSet;
    kwasmi_quick_table_size = TableSize;
    kwasmi_quick_trapping_numeric = TrappingNumeric;
}
