// SPDX-License-Identifier: GPL-2.0

//! Call of an exported function in place of `_start`, as the caller of START requests it.

use crate::{
    ioctl::{
        self,
        Argument, //
    },
    log::LogBuffer,
    uapi::{
        kwasmi_invoke,
        KWASMI_INVOKE_MAX,
        KWASMI_INVOKE_NAME_MAX, //
    },
};
use core::fmt::Write;
use kernel::prelude::*;

/// Call of an exported function, copied from `struct kwasmi_invoke`.
pub(crate) struct Invocation {
    pub(super) name: KVVec<u8>,
    pub(super) args: KVVec<u64>,
}

impl Invocation {
    /// Copies the call at the caller's address `addr`.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `E2BIG`, `EFAULT` and `ENOMEM` as documented for `KWASMI_IOC_START`; `log` gets
    /// the reason.
    pub(crate) fn from_user(addr: u64, log: &mut LogBuffer) -> Result<Self> {
        let invoke: kwasmi_invoke = Argument::new(usize::try_from(addr)?).read()?;
        if invoke.reserved != 0 {
            return Err(EINVAL);
        }
        if invoke.name_len == 0 {
            let _ = write!(log, "the name of the function is empty");
            return Err(EINVAL);
        }
        if invoke.name_len > KWASMI_INVOKE_NAME_MAX {
            let len = invoke.name_len;
            let _ = write!(
                log,
                "name of the function: {len} bytes, limit {KWASMI_INVOKE_NAME_MAX}"
            );
            return Err(E2BIG);
        }
        if invoke.args_len > KWASMI_INVOKE_MAX {
            let len = invoke.args_len;
            let _ = write!(
                log,
                "arguments of the function: {len} given, limit {KWASMI_INVOKE_MAX}"
            );
            return Err(E2BIG);
        }
        let name = ioctl::bytes_from_user(invoke.name, invoke.name_len as usize)?;
        let mut args = KVVec::with_capacity(invoke.args_len as usize, GFP_KERNEL_ACCOUNT)?;
        for index in 0..invoke.args_len {
            args.push(
                ioctl::element_from_user(invoke.args, index as usize)?,
                GFP_KERNEL_ACCOUNT,
            )?;
        }
        Ok(Self { name, args })
    }
}
