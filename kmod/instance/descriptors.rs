// SPDX-License-Identifier: GPL-2.0

//! Descriptors that the caller of START hands to a guest.

use crate::{
    ffi::{
        Bytes,
        FdGrant, //
    },
    host::Files,
    ioctl,
    log::LogBuffer,
    signing::manifest::{
        Capabilities,
        Capability, //
    },
    uapi::{
        kwasmi_fd,
        KWASMI_GUEST_FDS_MAX,
        KWASMI_NAMES_MAX,
        KWASMI_NAME_MAX, //
    },
};
use core::fmt::Write;
use kernel::{
    prelude::*,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// Preview 1 `rights` that require a readable file: `fd_read`, `fd_readdir`.
const RIGHTS_READ: u64 = 1 << 1 | 1 << 14;

/// Preview 1 `rights` that require a writable file: `fd_write`, `fd_allocate`,
/// `fd_filestat_set_size`.
const RIGHTS_WRITE: u64 = 1 << 6 | 1 << 8 | 1 << 22;

/// Preview 1 `rights` that a directory never has: `fd_read`, `fd_seek`, `fd_tell`, `fd_write`,
/// `fd_advise`, `fd_allocate`, `fd_filestat_set_size`, `sock_shutdown`, `sock_accept`.
const RIGHTS_NOT_OF_DIRECTORIES: u64 =
    1 << 1 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 22 | 1 << 28 | 1 << 29;

/// Number of standard streams: the guest's descriptors 0, 1 and 2, which need no capability.
const STANDARD_FDS: u32 = 3;

/// Names of preopened directories. The grants hold pointers to them.
type Names = KVVec<KVec<u8>>;

/// Takes references to the caller's files, checks them against the capabilities `has`, and removes
/// rights that the files do not have. The grants point to the returned names.
///
/// # Errors
///
/// `EBADF`, `EINVAL`, `EPERM`, `EACCES` and `E2BIG` as documented for `KWASMI_IOC_START`; `EFAULT`
/// if a name cannot be read; `ENOMEM`.
pub(super) fn open_files(
    fds: &[kwasmi_fd],
    has: Capabilities,
    log: &mut LogBuffer,
) -> Result<(Files, KVVec<FdGrant>, Names)> {
    let mut files = Files::new();
    let mut grants = KVVec::with_capacity(fds.len(), GFP_KERNEL_ACCOUNT)?;
    let mut names = Names::new();
    let mut names_len = 0;
    for fd in fds {
        if fd.flags != 0 {
            return Err(EINVAL);
        }
        let (handle, (is_readable, is_writable)) = files.open(fd.fd).inspect_err(|_| {
            let _ = write!(log, "descriptor {} is not open", fd.fd);
        })?;
        if grants
            .iter()
            .any(|other: &FdGrant| other.guest_fd == fd.guest_fd)
        {
            let _ = write!(log, "guest descriptor {}: used twice", fd.guest_fd);
            return Err(EINVAL);
        }
        if fd.guest_fd >= KWASMI_GUEST_FDS_MAX
            || fd.rights >> 30 != 0
            || fd.rights_inheriting >> 30 != 0
        {
            let _ = write!(
                log,
                "guest descriptor {}: number or rights out of range",
                fd.guest_fd
            );
            return Err(EINVAL);
        }
        // Such a file can hold the instance fd, and the instance holds the file: neither would ever
        // be freed.
        if files.may_hold_files(handle) && ioctl::require_sys_admin().is_err() {
            let _ = write!(
                log,
                "descriptor {} is a Unix socket or anonymous file: needs CAP_SYS_ADMIN",
                fd.fd
            );
            return Err(EPERM);
        }
        let (needed, word) = if files.is_socket(handle) {
            (Capability::Sockets, "sockets")
        } else {
            (Capability::Files, "files")
        };
        if fd.guest_fd >= STANDARD_FDS && !has.has(needed) {
            let _ = write!(
                log,
                "the manifest lacks the capability {word} for descriptor {}",
                fd.guest_fd
            );
            return Err(EACCES);
        }
        names_len += fd.name_len.min(KWASMI_NAME_MAX + 1);
        if fd.name_len > KWASMI_NAME_MAX || names_len > KWASMI_NAMES_MAX {
            let _ = write!(log, "guest descriptor {}: name too long", fd.guest_fd);
            return Err(E2BIG);
        }
        let name = name(&files, handle, fd, log)?;
        let mut rights = fd.rights;
        if !is_readable {
            rights &= !RIGHTS_READ;
        }
        if !is_writable {
            rights &= !RIGHTS_WRITE;
        }
        if files.is_directory(handle) {
            rights &= !RIGHTS_NOT_OF_DIRECTORIES;
        }
        let grant = FdGrant {
            guest_fd: fd.guest_fd,
            handle,
            rights,
            rights_inheriting: fd.rights_inheriting,
            name: Bytes::new(&name),
        };
        names.push(name, GFP_KERNEL_ACCOUNT)?;
        grants.push(grant, GFP_KERNEL_ACCOUNT)?;
    }
    Ok((files, grants, names))
}

/// Copies the guest's path of a preopened directory. Returns an empty name if there is none.
fn name(files: &Files, handle: u32, fd: &kwasmi_fd, log: &mut LogBuffer) -> Result<KVec<u8>> {
    let mut name = KVec::new();
    if fd.name_len == 0 {
        return Ok(name);
    }
    let len = fd.name_len as usize;
    UserSlice::new(UserPtr::from_addr(usize::try_from(fd.name)?), len)
        .reader()
        .read_all(&mut name, GFP_KERNEL_ACCOUNT)?;
    if name.contains(&0) {
        let _ = write!(
            log,
            "guest descriptor {}: the name contains a NUL",
            fd.guest_fd
        );
        return Err(EINVAL);
    }
    if !files.is_directory(handle) {
        let _ = write!(
            log,
            "guest descriptor {}: has a name but is not a directory",
            fd.guest_fd
        );
        return Err(EINVAL);
    }
    Ok(name)
}
