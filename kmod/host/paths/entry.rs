// SPDX-License-Identifier: GPL-2.0

//! Names in directories, and the locks and references that changes of them need.

use super::found::Found;
use crate::bindings as kwasmi_bindings;
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*, //
};

/// Kind of the last component of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// A name.
    Name,
    /// The component `.`.
    Dot,
    /// The component `..`.
    DotDot,
}

/// Name in a directory, which may or may not exist.
pub(super) struct Entry {
    pub(super) parent: Found,
    /// Last component of the path, with a NUL at the end.
    pub(super) name: KVec<u8>,
    pub(super) last: Last,
    /// Set if the path ends with a slash.
    pub(super) is_directory: bool,
}

/// Dentry of a name, returned by `start_creating`, `start_removing` or `vfs_mkdir`. Its parent
/// directory is locked while this value exists.
pub(super) struct Locked {
    pub(super) dentry: *mut bindings::dentry,
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: `end_dirop` requires a dentry of `start_creating` or `start_removing`, or that
        // `vfs_mkdir` returned for one; `self.dentry` is, and is not used afterwards.
        unsafe { bindings::end_dirop(self.dentry) };
    }
}

/// Owned reference to an inode.
pub(super) struct Held(NonNull<bindings::inode>);

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: `iput` requires a reference, which it consumes; `Locked::hold_inode` took it.
        // `iput` may sleep and take locks of the file system; no directory lock is held here, as
        // `unlink` drops this after its `Locked`.
        unsafe { bindings::iput(self.0.as_ptr()) };
    }
}

/// Write access to a mount: the mount is not remounted read-only while this value exists.
pub(super) struct Writing<'a>(&'a Found);

impl<'a> Writing<'a> {
    pub(super) fn new(found: &'a Found) -> Result<Self> {
        // SAFETY: `mnt_want_write` requires a valid mount, which `found` references.
        to_result(unsafe { bindings::mnt_want_write(found.0.mnt) })?;
        Ok(Self(found))
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        // SAFETY: `mnt_drop_write` must balance a successful `mnt_want_write`; `new` made it on
        // this mount.
        unsafe { bindings::mnt_drop_write(self.0 .0.mnt) };
    }
}

impl Entry {
    /// Returns the name, without its NUL, as a `qstr`. The result is valid while `self` is.
    pub(super) fn qstr(&self) -> bindings::qstr {
        let mut qstr = bindings::qstr {
            name: self.name.as_ptr(),
            ..Default::default()
        };
        qstr.__bindgen_anon_1.__bindgen_anon_1.len = self.name.len().saturating_sub(1) as u32;
        qstr
    }

    /// Looks up the name and locks its directory, to create the name.
    pub(super) fn lock_to_create(&self) -> Result<Locked> {
        let mut name = self.qstr();
        // SAFETY: `start_creating` requires a referenced parent dentry and its idmap, which
        // `self.parent` provides, and a name without hash, which `qstr` provides for a live string.
        let dentry = unsafe {
            kwasmi_bindings::start_creating(self.parent.idmap(), self.parent.0.dentry, &mut name)
        };
        Ok(Locked {
            dentry: from_err_ptr(dentry)?,
        })
    }

    /// Looks up the name and locks its directory, to remove the name.
    pub(super) fn lock_to_remove(&self) -> Result<Locked> {
        let mut name = self.qstr();
        // SAFETY: `start_removing` requires a referenced parent dentry and its idmap, which
        // `self.parent` provides, and a name without hash, which `qstr` provides for a live string.
        let dentry = unsafe {
            kwasmi_bindings::start_removing(self.parent.idmap(), self.parent.0.dentry, &mut name)
        };
        Ok(Locked {
            dentry: from_err_ptr(dentry)?,
        })
    }

    /// Checks that the last component is a name, so that it can be created.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the last component is `.` or `..`.
    pub(super) fn expect_new(&self) -> Result {
        if self.last == Last::Name {
            Ok(())
        } else {
            Err(EEXIST)
        }
    }
}

impl Locked {
    /// Checks that nothing has this name. `filename_create` of `fs/namei.c` makes this check before
    /// all others.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the name exists.
    pub(super) fn expect_new(&self) -> Result {
        // SAFETY: `self.dentry` is referenced, and its directory is locked, so that `d_inode` does
        // not change.
        let inode = unsafe { (*self.dentry).d_inode };
        if inode.is_null() {
            Ok(())
        } else {
            Err(EEXIST)
        }
    }

    /// Takes a reference to the inode of the name, if the name exists.
    pub(super) fn hold_inode(&self) -> Option<Held> {
        // SAFETY: `self.dentry` is referenced, and its directory is locked, so that `d_inode` does
        // not change.
        let inode = NonNull::new(unsafe { (*self.dentry).d_inode })?;
        // SAFETY: `ihold` requires an inode whose reference count is not zero. The dentry holds a
        // reference to its inode.
        unsafe { bindings::ihold(inode.as_ptr()) };
        Some(Held(inode))
    }

    /// Returns true if the name exists and is a directory.
    pub(super) fn is_directory(&self) -> bool {
        // SAFETY: `self.dentry` is referenced, and its directory is locked, so that `d_inode` does
        // not change.
        let inode = unsafe { (*self.dentry).d_inode };
        // SAFETY: `inode` is not null here. A referenced dentry keeps its inode, and the type of an
        // inode does not change.
        !inode.is_null()
            && u32::from(unsafe { (*inode).i_mode }) & bindings::S_IFMT == bindings::S_IFDIR
    }
}

/// Splits a NUL-terminated path. Returns the part before the last component, the last component,
/// and true if slashes follow it.
pub(super) fn split(name: &[u8]) -> Result<(&[u8], &[u8], bool)> {
    let text = name.split_last().map_or(name, |(_, text)| text);
    let end = text
        .iter()
        .rposition(|byte| *byte != b'/')
        .map_or(0, |last| last + 1);
    let trimmed = text.get(..end).unwrap_or(text);
    let start = trimmed
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |slash| slash + 1);
    let (before, last) = trimmed.split_at_checked(start).ok_or(EINVAL)?;
    Ok((before, last, end < text.len()))
}
