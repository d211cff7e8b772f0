// SPDX-License-Identifier: GPL-2.0

//! Dump of machine code to userspace.
//!
//! The checks are those of `bpf_prog_get_info_by_fd` in `kernel/bpf/syscall.c`. Modules cannot call
//! `kallsyms_show_value`, so the capability that it asks for is required whatever `kptr_restrict`
//! is.
//!
//! C headers: [`include/linux/capability.h`](srctree/include/linux/capability.h),
//! [`include/linux/security.h`](srctree/include/linux/security.h)

use crate::{
    code::Code,
    ioctl::{
        self,
        Argument, //
    },
    uapi::kwasmi_dump, //
};
use kernel::{
    bindings::{
        capable,
        lockdown_reason_LOCKDOWN_BPF_READ_KERNEL,
        security_locked_down,
        CAP_BPF,
        CAP_PERFMON,
        CAP_SYSLOG,
        CAP_SYS_ADMIN, //
    },
    error::code::EOPNOTSUPP,
    prelude::*,
    uaccess::UserSlice, //
};

/// Returns true if the caller has the capability `number` in the initial user namespace.
fn has(number: u32) -> bool {
    // SAFETY: `capable` may be called in any task with a valid capability number; the callers pass
    // constants of `linux/capability.h`.
    unsafe { capable(number as c_int) }
}

/// Checks that the caller may read machine code and its addresses.
///
/// # Errors
///
/// `EPERM` if the caller may not.
fn check() -> Result {
    if !has(CAP_SYSLOG) || !(has(CAP_SYS_ADMIN) || (has(CAP_BPF) && has(CAP_PERFMON))) {
        return Err(EPERM);
    }
    // SAFETY: `security_locked_down` requires a valid reason, which `LOCKDOWN_BPF_READ_KERNEL` is.
    kernel::error::to_result(unsafe {
        security_locked_down(lockdown_reason_LOCKDOWN_BPF_READ_KERNEL)
    })
}

/// Implements `KWASMI_IOC_DUMP`.
pub(crate) fn dump(code: &Code, arg: &Argument) -> Result<isize> {
    check()?;
    let mut request: kwasmi_dump = arg.read()?;
    let programs = code.programs().ok_or(EOPNOTSUPP)?;
    request.functions = u32::try_from(programs.images().len())?;
    let Some(image) = programs.images().get(request.function as usize) else {
        arg.write(&request)?;
        return Err(EINVAL);
    };
    let bytes = image.bytes();
    request.address = bytes.as_ptr().addr() as u64;
    request.instructions = image.instructions();
    request.code_len = u32::try_from(bytes.len())?;
    let part = bytes.get(..request.code_size as usize).unwrap_or(bytes);
    UserSlice::new(
        UserPtr::from_addr(usize::try_from(request.code)?),
        part.len(),
    )
    .writer()
    .write_slice(part)?;
    let helpers = programs.helpers();
    for (index, helper) in helpers
        .iter()
        .take(request.helpers_len as usize)
        .enumerate()
    {
        ioctl::element_to_user(request.helpers, index, &(*helper as u64))?;
    }
    request.helpers_len = u32::try_from(helpers.len())?;
    arg.write(&request)?;
    Ok(0)
}
