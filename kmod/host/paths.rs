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

use super::{
    files::{
        self,
        linux_flags,
        Open, //
    },
    signal, //
};
use crate::{
    bindings as kwasmi_bindings,
    ffi::{
        open as how_bits,
        FileStat,
        Times,
        PATH_MAX, //
    },
};
use core::{
    cell::Cell,
    mem::MaybeUninit,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*,
    time::{
        hrtimer::HrTimerExpires,
        Instant,
        Monotonic, //
    }, //
};

/// Upper bound of the attempts of a walk or a change that concurrent renames or leases defeat.
const TRIES: usize = 1000;

/// Time between two attempts, in nanoseconds.
const PAUSE: u64 = 100_000;

/// Upper bound of the symbolic links that one path may traverse: `MAXSYMLINKS` of
/// `include/linux/namei.h`.
const LINKS_MAX: usize = 40;

/// Permissions of new files and directories, before the umask of the task applies.
const FILE_MODE: bindings::umode_t = 0o666;
const DIRECTORY_MODE: bindings::umode_t = 0o777;

/// Counter of the path lookups of one engine entry.
///
/// If audit rules are loaded, the kernel keeps the names of each lookup until the system call ends,
/// and each further lookup searches them. The kernel releases a file whose opening fails late when
/// the task returns to userspace. So a guest that makes many lookups must leave its ioctl
/// regularly.
pub(super) struct Lookups(Cell<u32>);

impl Lookups {
    /// Upper bound of the lookups of one engine entry.
    const MAX: u32 = 256;

    /// Creates a counter with value 0.
    pub(super) fn new() -> Self {
        Self(Cell::new(0))
    }

    /// Resets the counter for a new engine entry.
    pub(super) fn reset(&self) {
        self.0.set(0);
    }

    /// Counts one lookup.
    fn add(&self) {
        self.0.set(self.0.get().saturating_add(1));
    }

    /// Returns true if this engine entry may make no more lookups.
    pub(super) fn is_spent(&self) -> bool {
        self.0.get() >= Self::MAX
    }

    /// Checks that the next lookup may be made before the task returns to userspace. The first
    /// lookup of an engine entry always passes, so that each entry makes progress.
    ///
    /// # Errors
    ///
    /// `ERESTARTNOINTR` if the task must return to userspace first.
    pub(super) fn check(&self) -> Result {
        if self.is_spent() || self.0.get() > 0 && signal::is_return_work_pending() {
            Err(ERESTARTNOINTR)
        } else {
            Ok(())
        }
    }

    /// Calls `go` until it does not fail with `EAGAIN`, at most [`TRIES`] times. A lookup fails
    /// with `EAGAIN` after a concurrent rename, and a change of a file does while a lease on the
    /// file is being broken.
    ///
    /// # Errors
    ///
    /// Errors of `go`; `EINTR` if a signal is pending; errors of [`Lookups::check`].
    fn retry<T>(&self, mut go: impl FnMut() -> Result<T>) -> Result<T> {
        for _ in 1..TRIES {
            match go() {
                Err(error) if error == EAGAIN => {
                    let until = Instant::<Monotonic>::now().as_nanos() as u64 + PAUSE;
                    signal::sleep_until(until)?;
                    self.check()?;
                }
                result => return result,
            }
        }
        go()
    }
}

/// Path that a walk found, with references to its mount and its dentry.
struct Found(bindings::path);

impl Drop for Found {
    fn drop(&mut self) {
        // SAFETY: `path_put` requires a referenced path. `vfs_path_lookup` took the references of
        // `self.0`.
        unsafe { bindings::path_put(&self.0) };
    }
}

impl Found {
    fn inode(&self) -> *mut bindings::inode {
        // SAFETY: `self.0` references its dentry. The dentry is positive, as `vfs_path_lookup`
        // returns no other, and a referenced positive dentry keeps its inode.
        unsafe { (*self.0.dentry).d_inode }
    }

    /// Returns the file type: the `S_IFMT` bits of the inode.
    fn kind(&self) -> u32 {
        // SAFETY: The referenced dentry keeps its inode, see `inode`. The type of an inode does not
        // change.
        u32::from(unsafe { (*self.inode()).i_mode }) & bindings::S_IFMT
    }

    fn idmap(&self) -> *mut bindings::mnt_idmap {
        // SAFETY: `self.0` references its mount. The kernel stores `mnt_idmap` as one word.
        unsafe { (&raw const (*self.0.mnt).mnt_idmap).read_volatile() }
    }
}

/// Directory that a guest has open, as the start of lookups.
#[derive(Clone, Copy)]
struct Base<'a> {
    /// Path of a file of the guest. The file is referenced for `'a`.
    path: *const bindings::path,
    lookups: &'a Lookups,
}

/// Walks the path `name`, which must end with a NUL, from `base` on. `flags` are `LOOKUP_*`.
///
/// # Errors
///
/// `EPERM` if the path leaves the directory; other errors of the path lookup.
fn walk(base: Base<'_>, name: &[u8], flags: u32) -> Result<Found> {
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

/// Kind of the last component of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// A name.
    Name,
    /// The component `.`.
    Dot,
    /// The component `..`.
    DotDot,
}

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

/// Name in a directory, which may or may not exist.
struct Entry {
    parent: Found,
    /// Last component of the path, with a NUL at the end.
    name: KVec<u8>,
    last: Last,
    /// Set if the path ends with a slash.
    is_directory: bool,
}

/// Dentry of a name, returned by `start_creating`, `start_removing` or `vfs_mkdir`. Its parent
/// directory is locked while this value exists.
struct Locked {
    dentry: *mut bindings::dentry,
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: `end_dirop` requires a dentry of `start_creating` or `start_removing`, or that
        // `vfs_mkdir` returned for one; `self.dentry` is, and is not used afterwards.
        unsafe { bindings::end_dirop(self.dentry) };
    }
}

/// Owned reference to an inode.
struct Held(NonNull<bindings::inode>);

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: `iput` requires a reference, which it consumes; `Locked::hold_inode` took it.
        // `iput` may sleep and take locks of the file system; no directory lock is held here, as
        // `unlink` drops this after its `Locked`.
        unsafe { bindings::iput(self.0.as_ptr()) };
    }
}

/// Write access to a mount: the mount is not remounted read-only while this value exists.
struct Writing<'a>(&'a Found);

impl<'a> Writing<'a> {
    fn new(found: &'a Found) -> Result<Self> {
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
    fn qstr(&self) -> bindings::qstr {
        let mut qstr = bindings::qstr {
            name: self.name.as_ptr(),
            ..Default::default()
        };
        qstr.__bindgen_anon_1.__bindgen_anon_1.len = self.name.len().saturating_sub(1) as u32;
        qstr
    }

    /// Looks up the name and locks its directory, to create the name.
    fn lock_to_create(&self) -> Result<Locked> {
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
    fn lock_to_remove(&self) -> Result<Locked> {
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
    fn expect_new(&self) -> Result {
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
    fn expect_new(&self) -> Result {
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
    fn hold_inode(&self) -> Option<Held> {
        // SAFETY: `self.dentry` is referenced, and its directory is locked, so that `d_inode` does
        // not change.
        let inode = NonNull::new(unsafe { (*self.dentry).d_inode })?;
        // SAFETY: `ihold` requires an inode whose reference count is not zero. The dentry holds a
        // reference to its inode.
        unsafe { bindings::ihold(inode.as_ptr()) };
        Some(Held(inode))
    }

    /// Returns true if the name exists and is a directory.
    fn is_directory(&self) -> bool {
        // SAFETY: `self.dentry` is referenced, and its directory is locked, so that `d_inode` does
        // not change.
        let inode = unsafe { (*self.dentry).d_inode };
        // SAFETY: `inode` is not null here. A referenced dentry keeps its inode, and the type of an
        // inode does not change.
        !inode.is_null()
            && u32::from(unsafe { (*inode).i_mode }) & bindings::S_IFMT == bindings::S_IFDIR
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

    /// Opens the file. `how` are bits of [`how_bits`]; the open file gets the preview 1 `fdflags`
    /// `flags`.
    pub(super) fn open(&self, how: u64, flags: u64) -> Result<Open> {
        let flags = u32::try_from(flags)?;
        let has = |bit| how & bit != 0;
        let mut linux = bindings::O_LARGEFILE | bindings::O_NOCTTY | linux_flags(flags);
        linux |= match (has(how_bits::READ), has(how_bits::WRITE)) {
            (true, true) => bindings::O_RDWR,
            (false, true) => bindings::O_WRONLY,
            // open(2) has no weaker access mode.
            (_, false) => bindings::O_RDONLY,
        };
        if has(how_bits::TRUNCATE) {
            linux |= bindings::O_TRUNC;
        }
        let mut lookup = 0;
        if has(how_bits::DIRECTORY) {
            lookup = kwasmi_bindings::KWASMI_CONST_LOOKUP_DIRECTORY;
            linux |= bindings::O_DIRECTORY;
        }
        if !has(how_bits::CREATE) {
            return self.find(lookup)?.open(linux, flags);
        }
        if has(how_bits::DIRECTORY) {
            return Err(EINVAL);
        }
        if self.parent()?.is_directory {
            // A path with a slash at its end names a directory, which open(2) cannot create.
            return Err(EISDIR);
        }
        if has(how_bits::EXCLUSIVE) {
            return match self.find_itself() {
                Ok(_) => Err(EEXIST),
                Err(error) if error == ENOENT => self.parent()?.create(linux, flags),
                Err(error) => Err(error),
            };
        }
        self.open_or_create(linux, flags)
    }

    /// Looks up the path without following a symbolic link as its last component.
    fn find_itself(&self) -> Result<Found> {
        walk(self.base, self.name, 0)
    }

    /// Opens the file if it exists, else creates it.
    fn open_or_create(&self, linux: u32, flags: u32) -> Result<Open> {
        let mut name = KVec::with_capacity(self.name.len(), GFP_KERNEL_ACCOUNT)?;
        name.extend_from_slice(self.name, GFP_KERNEL_ACCOUNT)?;
        let mut links = 0;
        for _ in 0..TRIES {
            let path = Path {
                base: self.base,
                name: &name,
                follow: self.follow,
            };
            match path.find(0) {
                Ok(found) if found.kind() == bindings::S_IFDIR => return Err(EISDIR),
                Ok(found) => {
                    found.may_create_in_sticky(&path)?;
                    return found.open(linux, flags);
                }
                // ENOTDIR: the target of a symbolic link may be a file name with a slash after it.
                // The steps below follow the link and report the error.
                Err(error) if error == ENOENT || error == ENOTDIR => {}
                Err(error) => return Err(error),
            }
            let entry = path.parent()?;
            if entry.is_directory {
                return Err(EISDIR);
            }
            match entry.create(linux, flags) {
                Err(error) if error == EEXIST => {}
                result => return result,
            }
            self.base.lookups.check()?;
            // The name exists, but the path does not: another task created it meanwhile, or it is a
            // symbolic link to a missing file, which open(2) would create.
            let Ok(found) = path.find_itself() else {
                continue;
            };
            if self.follow && found.kind() == bindings::S_IFLNK {
                links += 1;
                if links > LINKS_MAX {
                    return Err(ELOOP);
                }
                name = path.follow_text(&found)?;
            }
            if kernel::current!().signal_pending() {
                return Err(EINTR);
            }
            self.base.lookups.check()?;
        }
        Err(EAGAIN)
    }

    /// Returns the path that results from replacing the last component with the target of the
    /// symbolic link `link`.
    fn follow_text(&self, link: &Found) -> Result<KVec<u8>> {
        let mut text = KVec::from_elem(0, PATH_MAX, GFP_KERNEL_ACCOUNT)?;
        let len = usize::try_from(link.read_link(&mut text)?)?;
        let target = text.get(..len).ok_or(ENAMETOOLONG)?;
        if target.first() == Some(&b'/') {
            return Err(EPERM);
        }
        let (before, _, _) = split(self.name)?;
        let mut name = KVec::with_capacity(before.len() + len + 1, GFP_KERNEL_ACCOUNT)?;
        name.extend_from_slice(before, GFP_KERNEL_ACCOUNT)?;
        name.extend_from_slice(target, GFP_KERNEL_ACCOUNT)?;
        name.push(0, GFP_KERNEL_ACCOUNT)?;
        if name.len() > PATH_MAX + 1 {
            return Err(ENAMETOOLONG);
        }
        Ok(name)
    }
}

impl Found {
    /// Opens the file. Devices are rejected: a guest can use one only if the process passes it.
    ///
    /// # Errors
    ///
    /// `ELOOP` for a symbolic link; `EPERM` for a device; errors of the file system.
    fn open(&self, linux: u32, flags: u32) -> Result<Open> {
        match self.kind() {
            bindings::S_IFLNK => return Err(ELOOP),
            bindings::S_IFBLK | bindings::S_IFCHR => return Err(EPERM),
            _ => {}
        }
        open_below(&self.0, c"", linux, flags)
    }

    /// Copies the target of this symbolic link to `text`, cut off at its end. Returns the length of
    /// the whole target in bytes.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the file is not a symbolic link; `EPERM` if it is a magic link of procfs.
    fn read_link(&self, text: &mut [u8]) -> Result<u64> {
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

impl Entry {
    /// Creates and opens a file.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the name exists; `EISDIR` if the path cannot name a file; errors of the file
    /// system.
    fn create(&self, linux: u32, flags: u32) -> Result<Open> {
        if self.last != Last::Name || self.is_directory {
            return Err(EISDIR);
        }
        let name = CStr::from_bytes_with_nul(&self.name).map_err(|_| EINVAL)?;
        let linux = linux | bindings::O_CREAT | bindings::O_EXCL | bindings::O_NOFOLLOW;
        open_below(&self.parent.0, name, linux, flags)
    }
}

/// Opens the single component `name` in `dir`, or `dir` itself if `name` is empty.
fn open_below(dir: &bindings::path, name: &CStr, linux: u32, flags: u32) -> Result<Open> {
    // SAFETY: `file_open_root` requires a referenced path and a NUL-terminated name. `dir` is the
    // path of a `Found`; `name` is a `CStr`.
    let file =
        unsafe { bindings::file_open_root(dir, name.as_char_ptr(), linux as c_int, FILE_MODE) };
    let file = NonNull::new(from_err_ptr(file)?).ok_or(EINVAL)?;
    // SAFETY: `Open::own` requires a reference that it may take over. `file_open_root` returned a
    // new file with one reference.
    let mut open = unsafe { Open::own(file) };
    open.flags = flags;
    Ok(open)
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

/// Splits a NUL-terminated path. Returns the part before the last component, the last component,
/// and true if slashes follow it.
fn split(name: &[u8]) -> Result<(&[u8], &[u8], bool)> {
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

/// Checks that the current task may link to a file: `may_linkat` of `fs/namei.c` with the sysctl
/// `protected_hardlinks` set. A task that does not own the file must be able to read and write it.
///
/// # Errors
///
/// `EPERM` if the task may not.
fn may_link(old: &Found) -> Result {
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
    fn may_create_in_sticky(&self, path: &Path<'_>) -> Result {
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
        if is_known && (owner == directory_owner || owner == super::credentials::fsuid().val) {
            return Ok(());
        }
        Err(EACCES)
    }

    /// Returns the mode of the file: type and permissions.
    fn mode(&self) -> u32 {
        // SAFETY: The referenced dentry keeps its inode, see `inode`. The kernel stores `i_mode` in
        // one access.
        u32::from(unsafe { (&raw const (*self.inode()).i_mode).read_volatile() })
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
unsafe fn security_path_rename(
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
unsafe fn security_path_mknod(dir: &Found, new: *mut bindings::dentry, mode: u32) -> Result {
    #[cfg(CONFIG_SECURITY_PATH)]
    // SAFETY: `security_path_mknod` requires a referenced directory, to which `dir` holds a
    // reference, and a locked child dentry, which `new` is by this function's safety requirement.
    to_result(unsafe { bindings::security_path_mknod(&dir.0, new, mode as bindings::umode_t, 0) })?;
    #[cfg(not(CONFIG_SECURITY_PATH))]
    let _ = (dir, new, mode);
    Ok(())
}
