// SPDX-License-Identifier: GPL-2.0

//! Checks that the system calls make and no exported function of the kernel.

use super::{
    super::credentials,
    found::Found,
    Path, //
};
use kernel::{
    bindings,
    error::to_result,
    prelude::*, //
};

/// Checks that the current task may link to a file: `may_linkat` of `fs/namei.c` with the sysctl
/// `protected_hardlinks` set. A task that does not own the file must be able to read and write it.
///
/// # Errors
///
/// `EPERM` if the task may not.
pub(super) fn may_link(old: &Found) -> Result {
    let (idmap, inode) = (old.idmap(), old.inode());
    // SAFETY: `inode_owner_or_capable` requires an inode and the idmap of its mount. `old`
    // references both.
    if unsafe { bindings::inode_owner_or_capable(idmap, inode) } {
        return Ok(());
    }
    // SAFETY: `old` references its dentry, which keeps its inode.
    let mode = u32::from(unsafe { (*inode).i_mode });
    let is_executable_by_group = bindings::S_ISGID | bindings::S_IXGRP;
    if mode & bindings::S_IFMT != bindings::S_IFREG
        || mode & bindings::S_ISUID != 0
        || mode & is_executable_by_group == is_executable_by_group
    {
        return Err(EPERM);
    }
    let access = (bindings::MAY_READ | bindings::MAY_WRITE) as c_int;
    // SAFETY: `inode_permission` requires an inode and the idmap of its mount. `old` references
    // both.
    to_result(unsafe { bindings::inode_permission(idmap, inode, access) }).map_err(|_| EPERM)
}

impl Found {
    /// Checks an existing file that an open with `O_CREAT` found at `path`: `may_create_in_sticky`
    /// of `fs/namei.c` with the sysctls `protected_regular` and `protected_fifos` at 2. The kernel
    /// does not export their actual values.
    ///
    /// # Errors
    ///
    /// `EACCES` for a regular file or FIFO of another user in a sticky directory that its group or
    /// others can write to, unless the file belongs to the owner of the directory.
    pub(super) fn may_create_in_sticky(&self, path: &Path<'_>) -> Result {
        if !matches!(self.kind(), bindings::S_IFREG | bindings::S_IFIFO) {
            return Ok(());
        }
        // SAFETY: `self.0` references its mount. The root of a mount does not change.
        let root = unsafe { (*self.0.mnt).mnt_root };
        // SAFETY: `owner` requires an inode that stays valid; the dentry of `self.0` keeps this one.
        let owner = unsafe { self.owner(self.inode()) };
        let (mode, directory_owner) = if self.0.dentry == root {
            // The file is a mount point: its directory is in the mount above.
            let parent = path.parent()?.parent;
            // SAFETY: `owner` requires an inode that stays valid; the dentry of `parent.0` keeps this
            // one.
            (parent.mode(), unsafe { parent.owner(parent.inode()) })
        } else {
            // SAFETY: `dget_parent` requires a referenced dentry, which `self.0` holds.
            let parent = Parent(unsafe { bindings::dget_parent(self.0.dentry) });
            // SAFETY: `dget_parent` returned a referenced dentry. The parent of a dentry is
            // positive and keeps its inode while referenced.
            let inode = unsafe { (*parent.0).d_inode };
            // SAFETY: The referenced parent keeps its inode. The kernel stores `i_mode` in one
            // access.
            let mode = u32::from(unsafe { (&raw const (*inode).i_mode).read_volatile() });
            // SAFETY: `owner` requires an inode that stays valid; the referenced parent keeps it.
            (mode, unsafe { self.owner(inode) })
        };
        let others_write = bindings::S_IWGRP | bindings::S_IWOTH;
        if mode & bindings::S_ISVTX == 0 || mode & others_write == 0 {
            return Ok(());
        }
        let is_known = owner != bindings::uid_t::MAX;
        if is_known && (owner == directory_owner || owner == credentials::fsuid().val) {
            return Ok(());
        }
        Err(EACCES)
    }

    /// Returns the owner of `inode`, which must be on the same mount: `i_uid_into_vfsuid` of
    /// `include/linux/fs.h`. Returns `u32::MAX` if the idmap does not map the owner.
    ///
    /// # Safety
    ///
    /// `inode` must be valid during the call.
    unsafe fn owner(&self, inode: *mut bindings::inode) -> bindings::uid_t {
        // SAFETY: `inode` is valid by this function's safety requirement. An inode keeps its
        // superblock, whose `s_user_ns` does not change.
        let user_ns = unsafe { (*(*inode).i_sb).s_user_ns };
        // SAFETY: `inode` is valid by this function's safety requirement. The kernel stores `i_uid`
        // in one access.
        let owner = unsafe { (&raw const (*inode).i_uid).read_volatile() };
        // SAFETY: `make_vfsuid` requires a valid idmap and user namespace. The mount of `self.0`
        // keeps its idmap, and the superblock its namespace.
        unsafe { bindings::make_vfsuid(self.idmap(), user_ns, owner) }.val
    }
}

/// Owned reference to a dentry.
struct Parent(*mut bindings::dentry);

impl Drop for Parent {
    fn drop(&mut self) {
        // SAFETY: `dput` requires a reference, which it consumes; `dget_parent` took it.
        unsafe { bindings::dput(self.0) };
    }
}

/// Calls the security hook for renames, which also stands in for those for removing directories and
/// creating hard links: the kernel does not export these. It checks at least the same permissions.
///
/// # Safety
///
/// `old` and `new` must be valid dentries that are locked or referenced during the call.
pub(super) unsafe fn security_path_rename(
    old_dir: &Found,
    old: *mut bindings::dentry,
    new_dir: &Found,
    new: *mut bindings::dentry,
) -> Result {
    #[cfg(CONFIG_SECURITY_PATH)]
    // SAFETY: `security_path_rename` requires referenced directories, to which `old_dir` and
    // `new_dir` hold references, and dentries that stay valid, as this function requires.
    to_result(unsafe { bindings::security_path_rename(&old_dir.0, old, &new_dir.0, new, 0) })?;
    #[cfg(not(CONFIG_SECURITY_PATH))]
    let _ = (old_dir, old, new_dir, new);
    Ok(())
}

/// Calls the security hook for the creation of a file with the type and permissions `mode`.
///
/// # Safety
///
/// `new` must be a child dentry of `dir` that is locked during the call.
pub(super) unsafe fn security_path_mknod(
    dir: &Found,
    new: *mut bindings::dentry,
    mode: u32,
) -> Result {
    #[cfg(CONFIG_SECURITY_PATH)]
    // SAFETY: `security_path_mknod` requires a referenced directory, to which `dir` holds a
    // reference, and a locked child dentry, which `new` is by this function's safety requirement.
    to_result(unsafe { bindings::security_path_mknod(&dir.0, new, mode as bindings::umode_t, 0) })?;
    #[cfg(not(CONFIG_SECURITY_PATH))]
    let _ = (dir, new, mode);
    Ok(())
}
