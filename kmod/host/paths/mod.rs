// SPDX-License-Identifier: GPL-2.0

//! Operations on paths below a directory that the guest has open.
//!
//! The kernel's path lookup makes every walk, with `LOOKUP_BENEATH` as in openat2(2): `..` and
//! symbolic links cannot leave the directory, even under concurrent renames, and magic links of
//! procfs are rejected. An operation then uses the inode that the walk found, or one name in the
//! directory that the walk found. No name is looked up twice.
//!
//! The security hooks for paths are called as the system calls call them, where the kernel exports
//! them. `docs/wasi.md` describes the substitutes for the others.
//!
//! C header: [`include/linux/namei.h`](srctree/include/linux/namei.h)

mod entry;
mod found;
mod lookups;
mod open;
mod permissions;

pub(super) use self::lookups::Lookups;

use self::{
    entry::{
        split,
        Entry,
        Last,
        Locked,
        Writing, //
    },
    found::{
        walk,
        Base,
        Found, //
    },
    permissions::{
        may_link,
        security_path_mknod,
        security_path_rename, //
    },
};
use super::files::{
    self,
    Open, //
};
use crate::{
    bindings as kwasmi_bindings,
    ffi::{
        FileStat,
        Times, //
    },
};
use core::ptr;
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*, //
};

/// Permissions of new files and directories, before the umask of the task applies.
const FILE_MODE: bindings::umode_t = 0o666;
const DIRECTORY_MODE: bindings::umode_t = 0o777;

/// Path that a guest passed, relative to a directory that it has open.
pub(super) struct Path<'a> {
    base: Base<'a>,
    /// Bytes of the path, with a NUL at the end.
    name: &'a [u8],
    follow: bool,
}

impl<'a> Path<'a> {
    /// Creates a path. If `follow` is set, a symbolic link as its last component is followed.
    pub(super) fn new(dir: &'a Open, name: &'a CStr, follow: bool, lookups: &'a Lookups) -> Self {
        Self {
            base: Base {
                path: dir.path(),
                lookups,
            },
            name: name.to_bytes_with_nul(),
            follow,
        }
    }

    /// Looks up the path. `flags` are `LOOKUP_*`.
    fn find(&self, flags: u32) -> Result<Found> {
        let follow = if self.follow {
            kwasmi_bindings::KWASMI_CONST_LOOKUP_FOLLOW
        } else {
            0
        };
        walk(self.base, self.name, flags | follow)
    }

    /// Looks up the parent directory of the last component. Returns it with that component.
    fn parent(&self) -> Result<Entry> {
        let (before, last, is_directory) = split(self.name)?;
        let mut name = KVec::with_capacity(last.len() + 1, GFP_KERNEL_ACCOUNT)?;
        name.extend_from_slice(last, GFP_KERNEL_ACCOUNT)?;
        name.push(0, GFP_KERNEL_ACCOUNT)?;
        let mut parent = KVec::with_capacity(before.len() + 2, GFP_KERNEL_ACCOUNT)?;
        parent.extend_from_slice(
            if before.is_empty() { b"." } else { before },
            GFP_KERNEL_ACCOUNT,
        )?;
        parent.push(0, GFP_KERNEL_ACCOUNT)?;

        let flags = kwasmi_bindings::KWASMI_CONST_LOOKUP_FOLLOW
            | kwasmi_bindings::KWASMI_CONST_LOOKUP_DIRECTORY;
        let last = match last {
            b"." => Last::Dot,
            b".." => Last::DotDot,
            _ => Last::Name,
        };
        let parent = walk(self.base, &parent, flags)?;
        if last == Last::DotDot {
            // Walk `..` as well: leaving the directory must be reported before any other error.
            walk(self.base, self.name, flags)?;
        }
        Ok(Entry {
            parent,
            name,
            last,
            is_directory,
        })
    }
}

/// Operations on paths. Each makes the same checks in the same order as the corresponding system
/// call.
impl Path<'_> {
    /// Returns the attributes of the file.
    pub(super) fn stat(&self) -> Result<FileStat> {
        let found = self.find(0)?;
        // SAFETY: `stat_path` requires a referenced path; `found` holds the references.
        unsafe { files::stat_path(&found.0) }
    }

    /// Sets the times of the file.
    pub(super) fn set_times(&self, times: &Times) -> Result<u64> {
        let found = self.find(0)?;
        // SAFETY: `files::set_times` requires a referenced path; `found` holds the references.
        unsafe { files::set_times(&found.0, times) }
    }

    /// Copies the target of a symbolic link to `text`, cut off at its end. Returns the length of
    /// the whole target in bytes.
    pub(super) fn read_link(&self, text: &mut [u8]) -> Result<u64> {
        self.find(0)?.read_link(text)
    }

    /// Creates a directory.
    pub(super) fn create_directory(&self) -> Result<u64> {
        self.base.lookups.retry(|| {
            let entry = self.parent()?;
            entry.expect_new()?;
            let writing = Writing::new(&entry.parent);
            let locked = entry.lock_to_create()?;
            locked.expect_new()?;
            writing.as_ref().map_err(|error| *error)?;
            #[cfg(CONFIG_SECURITY_PATH)]
            // SAFETY: `security_path_mkdir` requires a referenced directory and a locked child
            // dentry; `entry` and `locked` hold them.
            to_result(unsafe {
                bindings::security_path_mkdir(&entry.parent.0, locked.dentry, DIRECTORY_MODE)
            })?;
            let (idmap, dir) = (entry.parent.idmap(), entry.parent.inode());
            let dentry = locked.dentry;
            // `vfs_mkdir` consumes the dentry: it unlocks the directory if it fails, and returns
            // the dentry to unlock if it succeeds.
            core::mem::forget(locked);
            // SAFETY: `vfs_mkdir` requires a referenced directory that is locked, its idmap, and a
            // child dentry whose reference it takes over. `start_creating` locked the directory and
            // returned `dentry`, which `forget` released.
            let made =
                unsafe { bindings::vfs_mkdir(idmap, dir, dentry, DIRECTORY_MODE, ptr::null_mut()) };
            drop(Locked {
                dentry: from_err_ptr(made)?,
            });
            Ok(0)
        })
    }

    /// Removes an empty directory.
    pub(super) fn remove_directory(&self) -> Result<u64> {
        self.base.lookups.retry(|| {
            let entry = self.parent()?;
            match entry.last {
                Last::Name => {}
                Last::Dot => return Err(EINVAL),
                Last::DotDot => return Err(ENOTEMPTY),
            }
            let _writing = Writing::new(&entry.parent)?;
            let locked = entry.lock_to_remove()?;
            // SAFETY: `security_path_rename` requires dentries that are locked; `locked` holds this
            // one.
            unsafe {
                security_path_rename(&entry.parent, locked.dentry, &entry.parent, locked.dentry)
            }?;
            let (idmap, dir) = (entry.parent.idmap(), entry.parent.inode());
            // SAFETY: `vfs_rmdir` requires a referenced directory that is locked, its idmap, and a
            // child dentry. `entry` holds the directory; `start_removing` locked it and returned
            // the dentry.
            to_result(unsafe { bindings::vfs_rmdir(idmap, dir, locked.dentry, ptr::null_mut()) })?;
            Ok(0)
        })
    }

    /// Removes a name that is not a directory.
    pub(super) fn unlink(&self) -> Result<u64> {
        self.base.lookups.retry(|| {
            let entry = self.parent()?;
            if entry.last != Last::Name {
                return Err(EISDIR);
            }
            let _writing = Writing::new(&entry.parent)?;
            // Declared before `locked`, so dropped after it: the last reference to the inode is
            // dropped without the directory's lock, as freeing the blocks of a large file takes
            // long.
            let _inode;
            let locked = entry.lock_to_remove()?;
            if entry.is_directory {
                return Err(if locked.is_directory() {
                    EISDIR
                } else {
                    ENOTDIR
                });
            }
            _inode = locked.hold_inode();
            #[cfg(CONFIG_SECURITY_PATH)]
            // SAFETY: `security_path_unlink` requires a referenced directory and a locked child
            // dentry; `entry` and `locked` hold them.
            to_result(unsafe { bindings::security_path_unlink(&entry.parent.0, locked.dentry) })?;
            let (idmap, dir) = (entry.parent.idmap(), entry.parent.inode());
            // SAFETY: `vfs_unlink` requires that the directory's `i_rwsem` is held exclusively, its
            // idmap, and a child dentry. `entry` holds the directory; `start_removing` locked it
            // and returned the dentry.
            to_result(unsafe { bindings::vfs_unlink(idmap, dir, locked.dentry, ptr::null_mut()) })?;
            Ok(0)
        })
    }

    /// Creates a symbolic link with the text `target`.
    pub(super) fn symlink(&self, target: &CStr) -> Result<u64> {
        self.base.lookups.retry(|| {
            let entry = self.parent()?;
            entry.expect_new()?;
            let writing = Writing::new(&entry.parent);
            let locked = entry.lock_to_create()?;
            locked.expect_new()?;
            if entry.is_directory {
                return Err(ENOENT);
            }
            writing.as_ref().map_err(|error| *error)?;
            // `security_path_symlink` is not exported. The hook for mknod stands in for it:
            // security modules that check paths ask for the same permission in both.
            // SAFETY: `security_path_mknod` requires a locked child dentry, which `locked` holds.
            unsafe {
                security_path_mknod(&entry.parent, locked.dentry, bindings::S_IFLNK | 0o777)
            }?;
            let (idmap, dir) = (entry.parent.idmap(), entry.parent.inode());
            let no_inode = ptr::null_mut();
            // SAFETY: `vfs_symlink` requires a referenced directory that is locked, its idmap, a
            // child dentry, and a NUL-terminated target. `entry` holds the directory;
            // `start_creating` locked it and returned the dentry; a `CStr` is NUL-terminated.
            to_result(unsafe {
                bindings::vfs_symlink(idmap, dir, locked.dentry, target.as_char_ptr(), no_inode)
            })?;
            Ok(0)
        })
    }

    /// Creates the name `new` as a hard link to the file that `self` names.
    pub(super) fn link(&self, new: &Path<'_>) -> Result<u64> {
        self.base.lookups.retry(|| {
            let old = self.find(0)?;
            let entry = new.parent()?;
            entry.expect_new()?;
            let writing = Writing::new(&entry.parent);
            let locked = entry.lock_to_create()?;
            locked.expect_new()?;
            if entry.is_directory {
                return Err(ENOENT);
            }
            writing.as_ref().map_err(|error| *error)?;
            if old.0.mnt != entry.parent.0.mnt {
                return Err(EXDEV);
            }
            may_link(&old)?;
            // SAFETY: `security_path_rename` requires dentries that are locked or referenced. `old`
            // holds a reference to its dentry, and `locked` holds the other one.
            unsafe { security_path_rename(&old, old.0.dentry, &entry.parent, locked.dentry) }?;
            let (idmap, dir) = (entry.parent.idmap(), entry.parent.inode());
            let no_inode = ptr::null_mut();
            // SAFETY: `vfs_link` requires a referenced dentry to link to, a directory whose
            // `i_rwsem` is held exclusively, its idmap, and a child dentry. `old` and `entry` hold
            // the references; `start_creating` locked the directory and returned the child.
            to_result(unsafe {
                bindings::vfs_link(old.0.dentry, idmap, dir, locked.dentry, no_inode)
            })?;
            Ok(0)
        })
    }

    /// Renames the file from `self` to `new`.
    pub(super) fn rename(&self, new: &Path<'_>) -> Result<u64> {
        self.base.lookups.retry(|| {
            let (old, new) = (self.parent()?, new.parent()?);
            if old.parent.0.mnt != new.parent.0.mnt {
                return Err(EXDEV);
            }
            if old.last != Last::Name || new.last != Last::Name {
                return Err(EBUSY);
            }
            let _writing = Writing::new(&old.parent)?;
            let mut data = bindings::renamedata {
                mnt_idmap: old.parent.idmap(),
                old_parent: old.parent.0.dentry,
                new_parent: new.parent.0.dentry,
                ..Default::default()
            };
            let (mut old_name, mut new_name) = (old.qstr(), new.qstr());
            // SAFETY: `start_renaming` requires referenced parent dentries and their idmap in
            // `data`, which `old.parent` and `new.parent` provide, and two names without hash for
            // live strings, which `qstr` provides.
            to_result(unsafe {
                kwasmi_bindings::start_renaming(&mut data, 0, &mut old_name, &mut new_name)
            })?;
            let result = rename_locked(&mut data, &old, &new);
            // SAFETY: `end_renaming` must balance a successful `start_renaming` with the same
            // `data`.
            unsafe { kwasmi_bindings::end_renaming(&mut data) };
            result
        })
    }
}

/// Renames the two names that `start_renaming` locked.
fn rename_locked(data: &mut bindings::renamedata, old: &Entry, new: &Entry) -> Result<u64> {
    // SAFETY: `start_renaming` stored a referenced positive dentry in `old_dentry`. Its directory
    // is locked, so that it keeps its inode.
    let mode = u32::from(unsafe { (*(*data.old_dentry).d_inode).i_mode });
    if mode & bindings::S_IFMT != bindings::S_IFDIR && (old.is_directory || new.is_directory) {
        return Err(ENOTDIR);
    }
    // SAFETY: `security_path_rename` requires dentries that are locked or referenced.
    // `start_renaming` stored referenced dentries in `data`.
    unsafe { security_path_rename(&old.parent, data.old_dentry, &new.parent, data.new_dentry) }?;
    // SAFETY: `vfs_rename` requires dentries whose parents are locked; `start_renaming` filled in
    // `data` and locked them.
    to_result(unsafe { bindings::vfs_rename(data) })?;
    Ok(0)
}
