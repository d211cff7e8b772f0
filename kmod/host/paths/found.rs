// SPDX-License-Identifier: GPL-2.0

//! Walks of paths, and what they find.

use super::Lookups;
use crate::bindings as kwasmi_bindings;
use core::mem::MaybeUninit;
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*, //
};

/// Path that a walk found, with references to its mount and its dentry.
pub(super) struct Found(pub(super) bindings::path);

impl Drop for Found {
    fn drop(&mut self) {
        // SAFETY: `path_put` requires a referenced path. `vfs_path_lookup` took the references of
        // `self.0`.
        unsafe { bindings::path_put(&self.0) };
    }
}

impl Found {
    pub(super) fn inode(&self) -> *mut bindings::inode {
        // SAFETY: `self.0` references its dentry. The dentry is positive, as `vfs_path_lookup`
        // returns no other, and a referenced positive dentry keeps its inode.
        unsafe { (*self.0.dentry).d_inode }
    }

    /// Returns the file type: the `S_IFMT` bits of the inode.
    pub(super) fn kind(&self) -> u32 {
        // SAFETY: The referenced dentry keeps its inode, see `inode`. The type of an inode does not
        // change.
        u32::from(unsafe { (*self.inode()).i_mode }) & bindings::S_IFMT
    }

    pub(super) fn idmap(&self) -> *mut bindings::mnt_idmap {
        // SAFETY: `self.0` references its mount. The kernel stores `mnt_idmap` as one word.
        unsafe { (&raw const (*self.0.mnt).mnt_idmap).read_volatile() }
    }

    /// Returns the mode of the file: type and permissions.
    pub(super) fn mode(&self) -> u32 {
        // SAFETY: The referenced dentry keeps its inode, see `inode`. The kernel stores `i_mode` in
        // one access.
        u32::from(unsafe { (&raw const (*self.inode()).i_mode).read_volatile() })
    }

    /// Copies the target of this symbolic link to `text`, cut off at its end. Returns the length of
    /// the whole target in bytes.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the file is not a symbolic link; `EPERM` if it is a magic link of procfs.
    pub(super) fn read_link(&self, text: &mut [u8]) -> Result<u64> {
        if self.kind() != bindings::S_IFLNK {
            return Err(EINVAL);
        }
        // SAFETY: The referenced dentry keeps its inode, see `inode`. `i_op` does not change.
        if unsafe { (*(*self.inode()).i_op).readlink }.is_some() {
            // Magic links of procfs have no text.
            return Err(EPERM);
        }
        let mut done = bindings::delayed_call::default();
        // SAFETY: `vfs_get_link` requires a referenced dentry, which `self.0` holds, and a
        // `delayed_call` to fill in.
        let link =
            from_err_ptr(unsafe { bindings::vfs_get_link(self.0.dentry, &mut done) }.cast_mut())?;
        if link.is_null() {
            return Err(EINVAL);
        }
        // SAFETY: `vfs_get_link` returned a NUL-terminated string, which is valid until `done` is
        // called.
        let link = unsafe { CStr::from_char_ptr(link) }.to_bytes();
        let fits = link.len().min(text.len());
        if let (Some(text), Some(link)) = (text.get_mut(..fits), link.get(..fits)) {
            text.copy_from_slice(link);
        }
        let len = link.len() as u64;
        if let Some(call) = done.fn_ {
            // SAFETY: `vfs_get_link` set `fn_` and `arg` together. The call is made once, and
            // `link` is not used after it.
            unsafe { call(done.arg) };
        }
        // SAFETY: `touch_atime` requires a referenced path, which `self.0` is.
        unsafe { bindings::touch_atime(&self.0) };
        Ok(len)
    }
}

/// Directory that a guest has open, as the start of lookups.
#[derive(Clone, Copy)]
pub(super) struct Base<'a> {
    /// Path of a file of the guest. The file is referenced for `'a`.
    pub(super) path: *const bindings::path,
    pub(super) lookups: &'a Lookups,
}

/// Walks the path `name`, which must end with a NUL, from `base` on. `flags` are `LOOKUP_*`.
///
/// # Errors
///
/// `EPERM` if the path leaves the directory; other errors of the path lookup.
pub(super) fn walk(base: Base<'_>, name: &[u8], flags: u32) -> Result<Found> {
    // SAFETY: `base.path` points to the path of a file that is referenced for the lifetime of
    // `base`.
    let bindings::path { dentry, mnt } = unsafe { *base.path };
    let flags = flags | kwasmi_bindings::KWASMI_CONST_LOOKUP_BENEATH;
    base.lookups.retry(|| {
        base.lookups.add();
        let mut found = MaybeUninit::<bindings::path>::zeroed();
        // SAFETY: `vfs_path_lookup` requires a referenced dentry and mount, which the file of
        // `base` references, a NUL-terminated name, which `name` is by this function's contract,
        // and room for a path, which `found` has.
        let status = unsafe {
            kwasmi_bindings::vfs_path_lookup(
                dentry,
                mnt,
                name.as_ptr().cast(),
                flags,
                found.as_mut_ptr(),
            )
        };
        match to_result(status) {
            // SAFETY: `vfs_path_lookup` succeeded, so it filled in `found`.
            Ok(()) => Ok(Found(unsafe { found.assume_init() })),
            // `LOOKUP_BENEATH` reports a path that leaves the directory as EXDEV.
            Err(error) if error == EXDEV => Err(EPERM),
            Err(error) => Err(error),
        }
    })
}
