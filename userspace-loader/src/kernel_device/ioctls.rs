// SPDX-License-Identifier: GPL-2.0

//! Ioctls and their argument structures.

use crate::uapi::{
    self,
    kwasmi_deny,
    kwasmi_dump,
    kwasmi_info,
    kwasmi_list_limits,
    kwasmi_list_policy,
    kwasmi_load,
    kwasmi_min_version,
    kwasmi_module,
    kwasmi_policy,
    kwasmi_results,
    kwasmi_run,
    kwasmi_start, //
};
use rustix::{
    io::Errno,
    ioctl::{
        Ioctl,
        IoctlOutput,
        Opcode, //
    }, //
};
use std::{
    ffi::c_void,
    os::fd::{
        AsFd,
        FromRawFd,
        OwnedFd, //
    }, //
};

/// Argument structure of an ioctl.
///
/// # Safety
///
/// When called with `OPCODE`, the kernel must access at most `size_of::<Self>()` bytes at the
/// argument's address, must leave a valid `Self` there, and apart from that must access only memory
/// that the address fields of `Self` point to.
pub(crate) unsafe trait Argument {
    /// Number of the ioctl.
    const OPCODE: Opcode;
}

// SAFETY: The header defines `KWASMI_IOC_INFO` with this structure, which consists of integers
// only.
unsafe impl Argument for kwasmi_info {
    const OPCODE: Opcode = uapi::IOC_INFO;
}

// SAFETY: The header defines `KWASMI_IOC_LOAD` with this structure, which consists of integers
// only.
unsafe impl Argument for kwasmi_load {
    const OPCODE: Opcode = uapi::IOC_LOAD;
}

// SAFETY: The header defines `KWASMI_IOC_LIST_LIMITS` with this structure, which consists of
// integers only.
unsafe impl Argument for kwasmi_list_limits {
    const OPCODE: Opcode = uapi::IOC_LIST_LIMITS;
}

// SAFETY: The header defines `KWASMI_IOC_START` with this structure, which consists of integers
// only.
unsafe impl Argument for kwasmi_start {
    const OPCODE: Opcode = uapi::IOC_START;
}

// SAFETY: The header defines `KWASMI_IOC_RUN` with this structure, which consists of integers only.
unsafe impl Argument for kwasmi_run {
    const OPCODE: Opcode = uapi::IOC_RUN;
}

// SAFETY: The header defines `KWASMI_IOC_RESULTS` with this structure, which consists of integers
// only.
unsafe impl Argument for kwasmi_results {
    const OPCODE: Opcode = uapi::IOC_RESULTS;
}

// SAFETY: The header defines `KWASMI_IOC_MODULE` with this structure, which consists of integers
// only.
unsafe impl Argument for kwasmi_module {
    const OPCODE: Opcode = uapi::IOC_MODULE;
}

// SAFETY: The header defines `KWASMI_IOC_DUMP` with this structure, which consists of integers
// only.
unsafe impl Argument for kwasmi_dump {
    const OPCODE: Opcode = uapi::IOC_DUMP;
}

// SAFETY: The header defines `KWASMI_IOC_POLICY` with this structure, which consists of integers
// only.
unsafe impl Argument for kwasmi_policy {
    const OPCODE: Opcode = uapi::IOC_POLICY;
}

// SAFETY: The header defines `KWASMI_IOC_DENY` with this structure, which consists of integers
// only.
unsafe impl Argument for kwasmi_deny {
    const OPCODE: Opcode = uapi::IOC_DENY;
}

// SAFETY: The header defines `KWASMI_IOC_SET_MIN_VERSION` with this structure, which consists of
// integers only.
unsafe impl Argument for kwasmi_min_version {
    const OPCODE: Opcode = uapi::IOC_SET_MIN_VERSION;
}

/// Argument of `KWASMI_IOC_LIST_DENIED`.
#[repr(transparent)]
pub(super) struct Denied(pub(super) kwasmi_list_policy);

// SAFETY: The header defines `KWASMI_IOC_LIST_DENIED` with `struct kwasmi_list_policy`, which
// consists of integers only; `Denied` is a transparent wrapper of it.
unsafe impl Argument for Denied {
    const OPCODE: Opcode = uapi::IOC_LIST_DENIED;
}

/// Argument of `KWASMI_IOC_LIST_MIN_VERSIONS`.
#[repr(transparent)]
pub(super) struct ListMinVersions(pub(super) kwasmi_list_policy);

// SAFETY: The header defines `KWASMI_IOC_LIST_MIN_VERSIONS` with `struct kwasmi_list_policy`, which
// consists of integers only; `ListMinVersions` is a transparent wrapper of it.
unsafe impl Argument for ListMinVersions {
    const OPCODE: Opcode = uapi::IOC_LIST_MIN_VERSIONS;
}

/// An ioctl with a borrowed argument, which stays readable when the call fails.
struct Call<'a, T>(&'a mut T);

// SAFETY: By the requirements of `Argument`, `T::OPCODE` expects a pointer to a `T`, which `as_ptr`
// returns, and `IS_MUTATING` is true. `output_from_ptr` does not access the pointer.
unsafe impl<T: Argument> Ioctl for Call<'_, T> {
    type Output = IoctlOutput;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        T::OPCODE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut *self.0).cast()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> Result<IoctlOutput, Errno> {
        Ok(out)
    }
}

/// Calls an ioctl.
///
/// # Safety
///
/// Each address field in `argument` must point to a buffer of the length that `argument` gives,
/// which stays valid and is not otherwise accessed during the call. The buffer must be writable if
/// the header says that the kernel writes it.
pub(crate) unsafe fn call<T: Argument>(fd: impl AsFd, argument: &mut T) -> Result<IoctlOutput, Errno> {
    // SAFETY: `Argument` ensures that the opcode matches the structure, and the buffers that
    // `argument` points to are valid by this function's safety requirement.
    unsafe { rustix::ioctl::ioctl(fd, Call(argument)) }
}

/// Converts the descriptor that an ioctl returned.
///
/// # Safety
///
/// `fd` must be the result of an ioctl that succeeded and returns a new descriptor, and must be
/// converted only once.
pub(crate) unsafe fn returned(fd: IoctlOutput) -> OwnedFd {
    // SAFETY: By this function's safety requirement, `fd` is a new open descriptor that nothing
    // else owns.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::ioctl::opcode;

    #[test]
    fn ioctl_numbers_encode_direction_and_size() {
        assert_eq!(kwasmi_info::OPCODE, opcode::read::<kwasmi_info>(0xb9, 0x80));
        assert_eq!(kwasmi_load::OPCODE, opcode::read_write::<kwasmi_load>(0xb9, 0x81));
        assert_eq!(kwasmi_start::OPCODE, opcode::read_write::<kwasmi_start>(0xb9, 0x82));
        assert_eq!(kwasmi_run::OPCODE, opcode::read_write::<kwasmi_run>(0xb9, 0x83));
        assert_eq!(kwasmi_list_limits::OPCODE, opcode::read_write::<kwasmi_list_limits>(0xb9, 0x85));
        assert_eq!(kwasmi_module::OPCODE, opcode::read::<kwasmi_module>(0xb9, 0x86));
        assert_eq!(kwasmi_policy::OPCODE, opcode::read::<kwasmi_policy>(0xb9, 0x87));
        assert_eq!(kwasmi_dump::OPCODE, opcode::read_write::<kwasmi_dump>(0xb9, 0x8c));
        assert_eq!(kwasmi_results::OPCODE, opcode::read_write::<kwasmi_results>(0xb9, 0x8d));
        assert_eq!(kwasmi_deny::OPCODE, opcode::write::<kwasmi_deny>(0xb9, 0x88));
        assert_eq!(Denied::OPCODE, opcode::read_write::<kwasmi_list_policy>(0xb9, 0x89));
        assert_eq!(kwasmi_min_version::OPCODE, opcode::write::<kwasmi_min_version>(0xb9, 0x8a));
        assert_eq!(ListMinVersions::OPCODE, opcode::read_write::<kwasmi_list_policy>(0xb9, 0x8b));
    }
}
