// SPDX-License-Identifier: GPL-2.0

//! Audit records. kwasmi records each load, also refused ones; each start that succeeds or that
//! policy refuses; and each first run that policy refuses. A record names the task, the module, its
//! signer and the result.
//!
//! If audit is disabled, only refused loads are recorded. Without an audit daemon the kernel writes
//! records to its log, at a limited rate.
//!
//! C header: [`include/linux/audit.h`](srctree/include/linux/audit.h)

use super::identity::Identity;
use crate::{
    bindings as kwasmi_bindings,
    log::Hex, //
};
use core::ptr;
use kernel::{
    bindings,
    error::code,
    fmt,
    prelude::*,
    str::CString, //
};

/// Kind of an audit record.
#[derive(Clone, Copy)]
pub(crate) enum Event {
    /// Load of a module.
    Load,
    /// Start of an instance.
    Start,
    /// First run of an instance.
    Run,
}

/// Records `event`. `error` is the reason if it was refused. Without memory for the record, nothing
/// is recorded.
pub(crate) fn record(event: Event, identity: &Identity, error: Option<Error>) {
    let op = match event {
        Event::Load => "load",
        Event::Start => "start",
        Event::Run => "run",
    };
    let is_refused_load = matches!(event, Event::Load) && error.is_some();
    // Any holder of a module fd can make failing calls at will, so those do not fill the audit log.
    let is_mistake = matches!(event, Event::Start)
        && error
            .is_some_and(|error| error != code::EKEYREJECTED && error != EACCES && error != EPERM);
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
    // SAFETY: `audit_log_start` may be called in any task that may sleep, as `GFP_KERNEL` allows. A
    // null context makes the record independent of the system call's own records.
    let record = unsafe {
        kwasmi_bindings::audit_log_start(
            ptr::null_mut(),
            bindings::GFP_KERNEL,
            bindings::AUDIT_KERNEL_OTHER as c_int,
        )
    };
    if record.is_null() {
        return;
    }
    // SAFETY: `audit_log_task_info` requires a record that is not ended; `audit_log_start` returned
    // it.
    unsafe { kwasmi_bindings::audit_log_task_info(record) };
    // SAFETY: `audit_log_format` requires a record that is not ended, and arguments that the format
    // describes: `%s` takes a NUL-terminated string, which `text` is.
    unsafe {
        kwasmi_bindings::audit_log_format(
            record,
            kernel::str::as_char_ptr_in_const_context(c"%s"),
            kernel::str::CStrExt::as_char_ptr(&*text),
        )
    };
    // SAFETY: `audit_log_end` requires a record that is not ended, and consumes it. It is not used
    // afterwards.
    unsafe { kwasmi_bindings::audit_log_end(record) };
}

/// Returns true if audit is enabled.
fn is_enabled() -> bool {
    let enabled = &raw const kwasmi_bindings::audit_enabled;
    // SAFETY: `audit_enabled` is a static word of the kernel, which the kernel stores as a whole.
    unsafe { enabled.read_volatile() != 0 }
}

/// Formatter for untrusted text, as `audit_log_untrustedstring` writes it: quoted, or as
/// hexadecimal digits if it has a byte that could forge another field. An empty text is `?`.
struct Untrusted<'a>(&'a [u8]);

impl fmt::Display for Untrusted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = self
            .0
            .iter()
            .all(|byte| byte.is_ascii_graphic() && *byte != b'"');
        match core::str::from_utf8(self.0) {
            Ok("") => f.write_str("?"),
            Ok(text) if is_plain => write!(f, "\"{text}\""),
            _ => fmt::Display::fmt(&Hex(self.0), f),
        }
    }
}
