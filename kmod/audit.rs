// SPDX-License-Identifier: GPL-2.0

//! Records for the kernel's audit: each load, refused load, start that happened or that policy refused, and run that policy refused. Who did it, which module, who signed it, what came of
//! it. Where audit is switched off, only of what was refused to root. Without an audit daemon the kernel prints records to
//! its log, at a limited rate.
//!
//! C header: [`include/linux/audit.h`](srctree/include/linux/audit.h)

use crate::{
    bindings as kwasmi_bindings,
    identity::Identity, //
};
use core::ptr;
use kernel::{
    bindings,
    error::code,
    fmt,
    prelude::*,
    str::CString, //
};

/// What is recorded.
#[derive(Clone, Copy)]
pub(crate) enum Event {
    /// A module is loaded.
    Load,
    /// An instance of one is started.
    Start,
    /// An instance runs for the first time.
    Run,
}

/// Records `event`; `error` says why it did not happen. If there is no memory for a record, audit itself counts it as lost.
pub(crate) fn record(event: Event, identity: &Identity, error: Option<Error>) {
    let op = match event {
        Event::Load => "load",
        Event::Start => "start",
        Event::Run => "run",
    };
    let is_refused_load = matches!(event, Event::Load) && error.is_some();
    // Whoever holds a module's descriptor can make mistakes as often as it likes: they are nobody's business.
    let is_mistake = matches!(event, Event::Start)
        && error.is_some_and(|error| error != code::EKEYREJECTED && error != EACCES && error != EPERM);
    if !is_refused_load && (is_mistake || !is_enabled()) {
        return;
    }
    let result = error.map_or(0, |error| error.to_errno());
    let [major, minor, patch] = identity.version();
    let text = CString::try_from_fmt(fmt!(
        " op=kwasmi-{op} sha256={} name={} version={major}.{minor}.{patch} signer={} verdict={} errno={result} res={}",
        Hex(identity.sha256()),
        Untrusted(identity.name_bytes()),
        Untrusted(identity.signer()),
        identity.verdict().word(),
        u8::from(error.is_none())
    ));
    let Ok(text) = text else {
        return;
    };
    // SAFETY: It has no requirements; this is not about a system call that is audited anyway.
    let record = unsafe {
        kwasmi_bindings::audit_log_start(ptr::null_mut(), bindings::GFP_KERNEL, bindings::AUDIT_KERNEL_OTHER as c_int)
    };
    if record.is_null() {
        return;
    }
    // SAFETY: The record was just begun.
    unsafe { kwasmi_bindings::audit_log_task_info(record) };
    // SAFETY: The format takes a text with a NUL at its end.
    unsafe {
        kwasmi_bindings::audit_log_format(
            record,
            kernel::str::as_char_ptr_in_const_context(c"%s"),
            kernel::str::CStrExt::as_char_ptr(&*text),
        )
    };
    // SAFETY: The record was begun, and is given up.
    unsafe { kwasmi_bindings::audit_log_end(record) };
}

/// Whether audit is switched on.
fn is_enabled() -> bool {
    let enabled = &raw const kwasmi_bindings::audit_enabled;
    // SAFETY: It is a word of the kernel's, which may change at any time.
    unsafe { enabled.read_volatile() != 0 }
}

/// Bytes as two digits each.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text of others, as `audit_log_untrustedstring` writes it: in quotes, or as digits if there is anything in it that could
/// pass for another field.
struct Untrusted<'a>(&'a [u8]);

impl fmt::Display for Untrusted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = self.0.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'"');
        match core::str::from_utf8(self.0) {
            Ok("") => f.write_str("?"),
            Ok(text) if is_plain => write!(f, "\"{text}\""),
            _ => fmt::Display::fmt(&Hex(self.0), f),
        }
    }
}
