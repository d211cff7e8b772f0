// SPDX-License-Identifier: GPL-2.0

//! Module parameter `verify`. Its value is a string, a type that the macro `module!` does not
//! support.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)

use crate::verify::Mode;
use core::{
    ptr,
    sync::atomic::{
        AtomicPtr,
        Ordering, //
    }, //
};
use kernel::{
    bindings,
    module_param::KernelParam,
    prelude::*, //
};

/// Value of the parameter: a NUL-terminated string, or null if it was not set.
static TEXT: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());

/// Definition of the parameter: `module_param(verify, charp, 0444)`.
#[link_section = "__param"]
#[used(compiler)]
static PARAMETER: KernelParam = KernelParam::new(bindings::kernel_param {
    name: kernel::str::as_char_ptr_in_const_context(c"verify"),
    mod_: (&raw const bindings::__this_module).cast_mut(),
    ops: &raw const bindings::param_ops_charp,
    perm: 0o444,
    level: -1,
    flags: 0,
    __bindgen_anon_1: bindings::kernel_param__bindgen_ty_1 {
        arg: TEXT.as_ptr().cast(),
    },
});

/// Type of the parameter, for modinfo(8).
#[link_section = ".modinfo"]
#[used(compiler)]
static TYPE: [u8; 22] = *b"parmtype=verify:charp\0";

/// Description of the parameter, for modinfo(8).
#[link_section = ".modinfo"]
#[used(compiler)]
static DESCRIPTION: [u8; 99] =
    *b"parm=verify:Handling of modules that do not have a valid signature: off, warn or enforce (default)\0";

/// Returns the mode that was requested; `None` if the value is unknown.
pub(crate) fn mode() -> Option<Mode> {
    let text = TEXT.load(Ordering::Relaxed);
    if text.is_null() {
        return Some(Mode::Enforce);
    }
    // SAFETY: `from_char_ptr` requires a NUL-terminated string that lives as long as the result.
    // The kernel stored one when the module was loaded and frees it when the module is unloaded;
    // mode 0444 makes the parameter read-only.
    match unsafe { CStr::from_char_ptr(text) }.to_bytes() {
        b"off" => Some(Mode::Off),
        b"warn" => Some(Mode::Warn),
        b"enforce" => Some(Mode::Enforce),
        _ => None,
    }
}

/// Checks the value of the parameter.
///
/// # Errors
///
/// `EINVAL` if the value is unknown; the kernel log gets the reason.
pub(crate) fn check() -> Result {
    if mode().is_none() {
        pr_err!("parameter verify: must be off, warn or enforce\n");
        return Err(EINVAL);
    }
    Ok(())
}
