// SPDX-License-Identifier: GPL-2.0

//! The parameter `verify` of the kernel module: a word, which the macro `module!` does not take.
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

/// What was asked for, a text with a NUL at its end; null if nothing was.
static TEXT: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());

/// The parameter itself: `module_param(verify, charp, 0444)`.
#[link_section = "__param"]
#[used(compiler)]
static PARAMETER: KernelParam = KernelParam::new(bindings::kernel_param {
    name: kernel::str::as_char_ptr_in_const_context(c"verify"),
    mod_: (&raw const bindings::__this_module).cast_mut(),
    ops: &raw const bindings::param_ops_charp,
    perm: 0o444,
    level: -1,
    flags: 0,
    __bindgen_anon_1: bindings::kernel_param__bindgen_ty_1 { arg: TEXT.as_ptr().cast() },
});

/// What `modinfo` shows.
#[link_section = ".modinfo"]
#[used(compiler)]
static TYPE: [u8; 22] = *b"parmtype=verify:charp\0";

/// As above.
#[link_section = ".modinfo"]
#[used(compiler)]
static DESCRIPTION: [u8; 99] =
    *b"parm=verify:What becomes of a module whose signature does not hold: off, warn or enforce (default)\0";

/// What was asked for; nothing for a word that there is not.
pub(crate) fn mode() -> Option<Mode> {
    let text = TEXT.load(Ordering::Relaxed);
    if text.is_null() {
        return Some(Mode::Enforce);
    }
    // SAFETY: The kernel set it to a text with a NUL at its end when the module was loaded, and keeps that until it is
    // unloaded: the parameter cannot be written to.
    match unsafe { CStr::from_char_ptr(text) }.to_bytes() {
        b"off" => Some(Mode::Off),
        b"warn" => Some(Mode::Warn),
        b"enforce" => Some(Mode::Enforce),
        _ => None,
    }
}

/// Sees that it is a word that there is.
///
/// # Errors
///
/// `EINVAL`, and the kernel log says why.
pub(crate) fn check() -> Result {
    if mode().is_none() {
        pr_err!("the parameter verify is off, warn or enforce\n");
        return Err(EINVAL);
    }
    Ok(())
}
