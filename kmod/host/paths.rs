// SPDX-License-Identifier: GPL-2.0

//! Names below a directory that a guest was handed.
//!
//! Every walk is made by the kernel's own path lookup, with `LOOKUP_BENEATH` as openat2(2) has it: `..` and symbolic links
//! do not lead out of the directory, whoever moves what meanwhile, and the links of procfs that are none do not lead
//! anywhere. What is done then is done to the very thing that was found, or to one name in the very directory that was
//! found: no name is looked up twice.
//!
//! The security hooks for paths are called as the system calls call them, where the kernel exports them; see `docs/wasi.md`
//! for the others.
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

/// How often a walk or a change is tried again when others rename or hold on to what it meets.
const TRIES: usize = 1000;

/// How long to wait before the next try, in nanoseconds.
const PAUSE: u64 = 100_000;

/// Symbolic links that one path may go through: `MAXSYMLINKS` of `include/linux/namei.h`.
const LINKS_MAX: usize = 40;

/// Permissions of new files and directories, of which the caller's umask takes away.
const FILE_MODE: bindings::umode_t = 0o666;
const DIRECTORY_MODE: bindings::umode_t = 0o777;

/// Counts the path lookups of one stay in the engine.
///
/// Where audit rules are loaded, the kernel keeps the names of each lookup until the system call ends, and searches them at
/// each further one. A file whose opening fails late is released on the way to userspace. So a guest that looks up many
/// paths leaves its system call now and then.
pub(super) struct Lookups(Cell<u32>);

impl Lookups {
    /// The lookups of one stay.
    const MAX: u32 = 256;

    /// A count of none.
    pub(super) fn new() -> Self {
        Self(Cell::new(0))
    }

    /// Begins another stay.
    pub(super) fn reset(&self) {
        self.0.set(0);
    }

    /// Counts a lookup.
    fn add(&self) {
        self.0.set(self.0.get().saturating_add(1));
    }

    /// Returns true if this stay has no more lookups.
    pub(super) fn is_spent(&self) -> bool {
        self.0.get() >= Self::MAX
    }

    /// Fails if the task is to go on its way to userspace before the next lookup. The first lookup of a stay is always made,
    /// so that each stay gets further.
    ///
    /// # Errors
    ///
    /// `ERESTARTNOINTR`.
    pub(super) fn check(&self) -> Result {
        if self.is_spent() || self.0.get() > 0 && signal::is_return_work_pending() {
            Err(ERESTARTNOINTR)
        } else {
            Ok(())
        }
    }

    /// Calls `go` until it does not fail with `EAGAIN`: a walk crossed a rename, or a file is leased to a client that is
    /// asked to give it back.
    fn again<T>(&self, mut go: impl FnMut() -> Result<T>) -> Result<T> {
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

/// Something that a walk has found.
struct Found(bindings::path);

impl Drop for Found {
    fn drop(&mut self) {
        // SAFETY: The walk took a reference.
        unsafe { bindings::path_put(&self.0) };
    }
}

impl Found {
    fn inode(&self) -> *mut bindings::inode {
        // SAFETY: The path is referenced, and what a walk finds has an inode.
        unsafe { (*self.0.dentry).d_inode }
    }

    /// Its `S_IFMT`.
    fn kind(&self) -> u32 {
        // SAFETY: The path keeps its inode; the kind of an inode does not change.
        u32::from(unsafe { (*self.inode()).i_mode }) & bindings::S_IFMT
    }

    fn idmap(&self) -> *mut bindings::mnt_idmap {
        // SAFETY: The path keeps its mount.
        unsafe { (&raw const (*self.0.mnt).mnt_idmap).read_volatile() }
    }
}

/// A directory that a guest has, to look paths up in.
#[derive(Clone, Copy)]
struct Base<'a> {
    /// That of a file of the guest's, which is referenced for `'a`.
    path: *const bindings::path,
    lookups: &'a Lookups,
}

/// Walks `name`, which has a NUL at its end, from `base` on, and does not leave it.
fn walk(base: Base<'_>, name: &[u8], flags: u32) -> Result<Found> {
    // SAFETY: The directory is referenced.
    let bindings::path { dentry, mnt } = unsafe { *base.path };
    let flags = flags | kwasmi_bindings::KWASMI_CONST_LOOKUP_BENEATH;
    base.lookups.again(|| {
        base.lookups.add();
        let mut found = MaybeUninit::<bindings::path>::zeroed();
        // SAFETY: The directory is referenced; the name has a NUL at its end; there is room for what is found.
        let status =
            unsafe { kwasmi_bindings::vfs_path_lookup(dentry, mnt, name.as_ptr().cast(), flags, found.as_mut_ptr()) };
        match to_result(status) {
            // SAFETY: The walk has filled it in.
            Ok(()) => Ok(Found(unsafe { found.assume_init() })),
            // That is what leaving the directory is.
            Err(error) if error == EXDEV => Err(EPERM),
            Err(error) => Err(error),
        }
    })
}

/// What the last part of a path is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// A name.
    Name,
    /// `.`
    Dot,
    /// `..`
    DotDot,
}

/// A path, as a guest gave it, below a directory that it has.
pub(super) struct Path<'a> {
    base: Base<'a>,
    /// With a NUL at its end.
    name: &'a [u8],
    follow: bool,
}

impl<'a> Path<'a> {
    /// # Safety
    ///
    /// `name` has a NUL at its end; both outlive this.
    pub(super) unsafe fn new(dir: &'a Open, name: *const c_char, follow: bool, lookups: &'a Lookups) -> Self {
        // SAFETY: The caller guarantees it.
        let name = unsafe { CStr::from_char_ptr(name) };
        Self { base: Base { path: dir.path(), lookups }, name: name.to_bytes_with_nul(), follow }
    }

    /// What it names.
    fn find(&self, flags: u32) -> Result<Found> {
        let follow = if self.follow { kwasmi_bindings::KWASMI_CONST_LOOKUP_FOLLOW } else { 0 };
        walk(self.base, self.name, flags | follow)
    }

    /// The directory that its last part is in, and that part.
    fn parent(&self) -> Result<Entry> {
        let (before, last, is_directory) = split(self.name)?;
        let mut name = KVec::with_capacity(last.len() + 1, GFP_KERNEL_ACCOUNT)?;
        name.extend_from_slice(last, GFP_KERNEL_ACCOUNT)?;
        name.push(0, GFP_KERNEL_ACCOUNT)?;
        let mut parent = KVec::with_capacity(before.len() + 2, GFP_KERNEL_ACCOUNT)?;
        parent.extend_from_slice(if before.is_empty() { b"." } else { before }, GFP_KERNEL_ACCOUNT)?;
        parent.push(0, GFP_KERNEL_ACCOUNT)?;

        let flags = kwasmi_bindings::KWASMI_CONST_LOOKUP_FOLLOW | kwasmi_bindings::KWASMI_CONST_LOOKUP_DIRECTORY;
        let last = match last {
            b"." => Last::Dot,
            b".." => Last::DotDot,
            _ => Last::Name,
        };
        let parent = walk(self.base, &parent, flags)?;
        if last == Last::DotDot {
            // That it leads out of the directory comes before whatever else is wrong with it.
            walk(self.base, self.name, flags)?;
        }
        Ok(Entry { parent, name, last, is_directory })
    }
}

/// A name in a directory.
struct Entry {
    parent: Found,
    /// With a NUL at its end.
    name: KVec<u8>,
    last: Last,
    /// The path ended in a slash.
    is_directory: bool,
}

/// A name that is locked in its directory, to make or remove.
struct Locked {
    dentry: *mut bindings::dentry,
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: The directory is locked since the name was looked up.
        unsafe { bindings::end_dirop(self.dentry) };
    }
}

/// A reference to an inode.
struct Held(NonNull<bindings::inode>);

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: `Locked::hold_inode` took the reference, and no lock is held that freeing the inode takes.
        unsafe { bindings::iput(self.0.as_ptr()) };
    }
}

/// A mount that is not made read-only meanwhile.
struct Writing<'a>(&'a Found);

impl<'a> Writing<'a> {
    fn new(found: &'a Found) -> Result<Self> {
        // SAFETY: The path keeps its mount.
        to_result(unsafe { bindings::mnt_want_write(found.0.mnt) })?;
        Ok(Self(found))
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        // SAFETY: `mnt_want_write` was successful.
        unsafe { bindings::mnt_drop_write(self.0 .0.mnt) };
    }
}

impl Entry {
    /// The name alone, as the kernel wants it.
    fn qstr(&self) -> bindings::qstr {
        let mut qstr = bindings::qstr { name: self.name.as_ptr(), ..Default::default() };
        qstr.__bindgen_anon_1.__bindgen_anon_1.len = self.name.len().saturating_sub(1) as u32;
        qstr
    }

    /// Locks the name, for something to be made there.
    fn lock_to_create(&self) -> Result<Locked> {
        let mut name = self.qstr();
        // SAFETY: The directory is referenced, the name there.
        let dentry = unsafe { kwasmi_bindings::start_creating(self.parent.idmap(), self.parent.0.dentry, &mut name) };
        Ok(Locked { dentry: from_err_ptr(dentry)? })
    }

    /// Locks the name, for what is there to be removed.
    fn lock_to_remove(&self) -> Result<Locked> {
        let mut name = self.qstr();
        // SAFETY: As above.
        let dentry = unsafe { kwasmi_bindings::start_removing(self.parent.idmap(), self.parent.0.dentry, &mut name) };
        Ok(Locked { dentry: from_err_ptr(dentry)? })
    }

    /// Fails where the last part is not a name of something that can be made.
    fn expect_new(&self) -> Result {
        if self.last == Last::Name {
            Ok(())
        } else {
            Err(EEXIST)
        }
    }
}

impl Locked {
    /// Fails where there is something of that name: before all else that is wrong, as `filename_create` of `fs/namei.c` has it.
    fn expect_new(&self) -> Result {
        // SAFETY: The name is locked.
        let inode = unsafe { (*self.dentry).d_inode };
        if inode.is_null() {
            Ok(())
        } else {
            Err(EEXIST)
        }
    }

    /// Takes a reference to the inode that the name has, if it has one.
    fn hold_inode(&self) -> Option<Held> {
        // SAFETY: The name is locked, so that it keeps its inode.
        let inode = NonNull::new(unsafe { (*self.dentry).d_inode })?;
        // SAFETY: The locked name has a reference to the inode, so its count is not zero.
        unsafe { bindings::ihold(inode.as_ptr()) };
        Some(Held(inode))
    }

    /// Whether the name is that of a directory.
    fn is_directory(&self) -> bool {
        // SAFETY: The name is locked.
        let inode = unsafe { (*self.dentry).d_inode };
        // SAFETY: A name keeps its inode, if it has one.
        !inode.is_null() && u32::from(unsafe { (*inode).i_mode }) & bindings::S_IFMT == bindings::S_IFDIR
    }
}

/// What the operations on paths are, each as the system call does it.
impl Path<'_> {
    /// Describes what it names in the [`FileStat`] at address `stat`.
    ///
    /// # Safety
    ///
    /// There is one.
    pub(super) unsafe fn stat(&self, stat: u64) -> Result<u64> {
        let found = self.find(0)?;
        // SAFETY: What was found is referenced.
        let result = unsafe { files::stat_path(&found.0) }?;
        // SAFETY: The caller guarantees that it may be written.
        unsafe { (stat as *mut FileStat).write(result) };
        Ok(0)
    }

    /// Sets times.
    ///
    /// # Safety
    ///
    /// There are `Times` at address `times`.
    pub(super) unsafe fn set_times(&self, times: u64) -> Result<u64> {
        let found = self.find(0)?;
        // SAFETY: What was found is referenced, and the caller guarantees the times.
        unsafe { files::set_times(&found.0, times) }
    }

    /// Puts the text of a symbolic link into `text`, as much as fits; returns its length.
    pub(super) fn read_link(&self, text: &mut [u8]) -> Result<u64> {
        self.find(0)?.read_link(text)
    }

    /// Makes a directory.
    pub(super) fn create_directory(&self) -> Result<u64> {
        self.base.lookups.again(|| {
            let entry = self.parent()?;
            entry.expect_new()?;
            let writing = Writing::new(&entry.parent);
            let locked = entry.lock_to_create()?;
            locked.expect_new()?;
            writing.as_ref().map_err(|error| *error)?;
            #[cfg(CONFIG_SECURITY_PATH)]
            // SAFETY: The directory is referenced, the name locked.
            to_result(unsafe { bindings::security_path_mkdir(&entry.parent.0, locked.dentry, DIRECTORY_MODE) })?;
            let (idmap, dir) = (entry.parent.idmap(), entry.parent.inode());
            let dentry = locked.dentry;
            // Whatever comes, the name is unlocked by way of what `vfs_mkdir` returns.
            core::mem::forget(locked);
            // SAFETY: The directory is referenced, and locked with the name.
            let made = unsafe { bindings::vfs_mkdir(idmap, dir, dentry, DIRECTORY_MODE, ptr::null_mut()) };
            drop(Locked { dentry: from_err_ptr(made)? });
            Ok(0)
        })
    }

    /// Removes a directory.
    pub(super) fn remove_directory(&self) -> Result<u64> {
        self.base.lookups.again(|| {
            let entry = self.parent()?;
            match entry.last {
                Last::Name => {}
                Last::Dot => return Err(EINVAL),
                Last::DotDot => return Err(ENOTEMPTY),
            }
            let _writing = Writing::new(&entry.parent)?;
            let locked = entry.lock_to_remove()?;
            security_path_rename(&entry.parent, locked.dentry, &entry.parent, locked.dentry)?;
            let (idmap, dir) = (entry.parent.idmap(), entry.parent.inode());
            // SAFETY: The directory is referenced, and locked with the name.
            to_result(unsafe { bindings::vfs_rmdir(idmap, dir, locked.dentry, ptr::null_mut()) })?;
            Ok(0)
        })
    }

    /// Removes a file.
    pub(super) fn unlink(&self) -> Result<u64> {
        self.base.lookups.again(|| {
            let entry = self.parent()?;
            if entry.last != Last::Name {
                return Err(EISDIR);
            }
            let _writing = Writing::new(&entry.parent)?;
            // It is dropped after `locked`: the blocks of a large file are freed without the directory's lock.
            let _inode;
            let locked = entry.lock_to_remove()?;
            if entry.is_directory {
                return Err(if locked.is_directory() { EISDIR } else { ENOTDIR });
            }
            _inode = locked.hold_inode();
            #[cfg(CONFIG_SECURITY_PATH)]
            // SAFETY: The directory is referenced, the name locked.
            to_result(unsafe { bindings::security_path_unlink(&entry.parent.0, locked.dentry) })?;
            let (idmap, dir) = (entry.parent.idmap(), entry.parent.inode());
            // SAFETY: The directory is referenced, and locked with the name.
            to_result(unsafe { bindings::vfs_unlink(idmap, dir, locked.dentry, ptr::null_mut()) })?;
            Ok(0)
        })
    }

    /// Makes it a symbolic link to `target`.
    ///
    /// # Safety
    ///
    /// `target` has a NUL at its end.
    pub(super) unsafe fn symlink(&self, target: *const c_char) -> Result<u64> {
        self.base.lookups.again(|| {
            let entry = self.parent()?;
            entry.expect_new()?;
            let writing = Writing::new(&entry.parent);
            let locked = entry.lock_to_create()?;
            locked.expect_new()?;
            if entry.is_directory {
                return Err(ENOENT);
            }
            writing.as_ref().map_err(|error| *error)?;
            // The hook for symbolic links is not exported; for those who mind, this one asks the same.
            security_path_mknod(&entry.parent, locked.dentry, bindings::S_IFLNK | 0o777)?;
            let (idmap, dir) = (entry.parent.idmap(), entry.parent.inode());
            let no_inode = ptr::null_mut();
            // SAFETY: The directory is referenced, and locked with the name; the caller guarantees the target.
            to_result(unsafe { bindings::vfs_symlink(idmap, dir, locked.dentry, target, no_inode) })?;
            Ok(0)
        })
    }

    /// Gives what `self` names the name `new`, too.
    pub(super) fn link(&self, new: &Path<'_>) -> Result<u64> {
        self.base.lookups.again(|| {
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
            security_path_rename(&old, old.0.dentry, &entry.parent, locked.dentry)?;
            let (idmap, dir) = (entry.parent.idmap(), entry.parent.inode());
            let no_inode = ptr::null_mut();
            // SAFETY: What was found is referenced; the directory is too, and locked with the name.
            to_result(unsafe { bindings::vfs_link(old.0.dentry, idmap, dir, locked.dentry, no_inode) })?;
            Ok(0)
        })
    }

    /// Gives what `self` names the name `new`.
    pub(super) fn rename(&self, new: &Path<'_>) -> Result<u64> {
        self.base.lookups.again(|| {
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
            // SAFETY: The directories are referenced, the names there.
            to_result(unsafe { kwasmi_bindings::start_renaming(&mut data, 0, &mut old_name, &mut new_name) })?;
            let result = rename_locked(&mut data, &old, &new);
            // SAFETY: `start_renaming` was successful.
            unsafe { kwasmi_bindings::end_renaming(&mut data) };
            result
        })
    }

    /// Opens it, as `how` says; the file has the preview 1 `fdflags` `flags`.
    pub(super) fn open(&self, how: u64, flags: u64) -> Result<Open> {
        let flags = u32::try_from(flags)?;
        let has = |bit| how & bit != 0;
        let mut linux = bindings::O_LARGEFILE | bindings::O_NOCTTY | linux_flags(flags);
        linux |= match (has(how_bits::READ), has(how_bits::WRITE)) {
            (true, true) => bindings::O_RDWR,
            (false, true) => bindings::O_WRONLY,
            // Nothing less can be had.
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
            // What is made here is no directory, whatever is there.
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

    /// What it names; a symbolic link at its end is not followed.
    fn find_itself(&self) -> Result<Found> {
        walk(self.base, self.name, 0)
    }

    /// Opens it if it is there, else makes it.
    fn open_or_create(&self, linux: u32, flags: u32) -> Result<Open> {
        let mut name = KVec::with_capacity(self.name.len(), GFP_KERNEL_ACCOUNT)?;
        name.extend_from_slice(self.name, GFP_KERNEL_ACCOUNT)?;
        let mut links = 0;
        for _ in 0..TRIES {
            let path = Path { base: self.base, name: &name, follow: self.follow };
            match path.find(0) {
                Ok(found) if found.kind() == bindings::S_IFDIR => return Err(EISDIR),
                Ok(found) => {
                    found.may_create_in_sticky(&path)?;
                    return found.open(linux, flags);
                }
                // A slash after a file, which is none if nothing is to be made by way of it, may come from a symbolic link.
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
            // It is there, and it is not: someone made it meanwhile, or it is a symbolic link to nothing, which the system call
            // would make.
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

    /// The path that its last part, the symbolic link `link`, stands for.
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
    /// Opens it. Devices are not opened by name: whoever wants a guest to have one hands it over.
    fn open(&self, linux: u32, flags: u32) -> Result<Open> {
        match self.kind() {
            bindings::S_IFLNK => return Err(ELOOP),
            bindings::S_IFBLK | bindings::S_IFCHR => return Err(EPERM),
            _ => {}
        }
        open_below(&self.0, c"", linux, flags)
    }

    /// Puts the text of the symbolic link that it is into `text`, as much as fits; returns its length.
    fn read_link(&self, text: &mut [u8]) -> Result<u64> {
        if self.kind() != bindings::S_IFLNK {
            return Err(EINVAL);
        }
        // SAFETY: The path keeps its inode; an inode's operations do not change.
        if unsafe { (*(*self.inode()).i_op).readlink }.is_some() {
            // Those of procfs, which are no texts.
            return Err(EPERM);
        }
        let mut done = bindings::delayed_call::default();
        // SAFETY: The path is referenced.
        let link = from_err_ptr(unsafe { bindings::vfs_get_link(self.0.dentry, &mut done) }.cast_mut())?;
        if link.is_null() {
            return Err(EINVAL);
        }
        // SAFETY: It is a string, valid until `done` is called.
        let link = unsafe { CStr::from_char_ptr(link) }.to_bytes();
        let fits = link.len().min(text.len());
        if let (Some(text), Some(link)) = (text.get_mut(..fits), link.get(..fits)) {
            text.copy_from_slice(link);
        }
        let len = link.len() as u64;
        if let Some(call) = done.fn_ {
            // SAFETY: That is what it is for.
            unsafe { call(done.arg) };
        }
        // SAFETY: The path is referenced.
        unsafe { bindings::touch_atime(&self.0) };
        Ok(len)
    }
}

impl Entry {
    /// Makes a file, which must not be there.
    fn create(&self, linux: u32, flags: u32) -> Result<Open> {
        if self.last != Last::Name || self.is_directory {
            return Err(EISDIR);
        }
        let name = CStr::from_bytes_with_nul(&self.name).map_err(|_| EINVAL)?;
        let linux = linux | bindings::O_CREAT | bindings::O_EXCL | bindings::O_NOFOLLOW;
        open_below(&self.parent.0, name, linux, flags)
    }
}

/// Opens `name` in `dir`, or what `dir` is if it is empty. It is no path: there is nothing to walk.
fn open_below(dir: &bindings::path, name: &CStr, linux: u32, flags: u32) -> Result<Open> {
    // SAFETY: The path is referenced.
    let file = unsafe { bindings::file_open_root(dir, name.as_char_ptr(), linux as c_int, FILE_MODE) };
    let file = NonNull::new(from_err_ptr(file)?).ok_or(EINVAL)?;
    // SAFETY: The file is new, and nobody else has it.
    let mut open = unsafe { Open::own(file) };
    open.flags = flags;
    Ok(open)
}

/// Renames what `start_renaming` has locked.
fn rename_locked(data: &mut bindings::renamedata, old: &Entry, new: &Entry) -> Result<u64> {
    // SAFETY: The name is locked, and has an inode.
    let mode = u32::from(unsafe { (*(*data.old_dentry).d_inode).i_mode });
    if mode & bindings::S_IFMT != bindings::S_IFDIR && (old.is_directory || new.is_directory) {
        return Err(ENOTDIR);
    }
    security_path_rename(&old.parent, data.old_dentry, &new.parent, data.new_dentry)?;
    // SAFETY: `start_renaming` was successful.
    to_result(unsafe { bindings::vfs_rename(data) })?;
    Ok(0)
}

/// Splits a path with a NUL at its end: what is before its last part, that part, and whether slashes follow it.
fn split(name: &[u8]) -> Result<(&[u8], &[u8], bool)> {
    let text = name.split_last().map_or(name, |(_, text)| text);
    let end = text.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let trimmed = text.get(..end).unwrap_or(text);
    let start = trimmed.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let (before, last) = trimmed.split_at_checked(start).ok_or(EINVAL)?;
    Ok((before, last, end < text.len()))
}

/// `may_linkat` of `fs/namei.c`, with `protected_hardlinks` on: who does not own a file links it only if it could also write
/// it.
fn may_link(old: &Found) -> Result {
    let (idmap, inode) = (old.idmap(), old.inode());
    // SAFETY: The path keeps its inode and its mount.
    if unsafe { bindings::inode_owner_or_capable(idmap, inode) } {
        return Ok(());
    }
    // SAFETY: As above.
    let mode = u32::from(unsafe { (*inode).i_mode });
    let is_executable_by_group = bindings::S_ISGID | bindings::S_IXGRP;
    if mode & bindings::S_IFMT != bindings::S_IFREG
        || mode & bindings::S_ISUID != 0
        || mode & is_executable_by_group == is_executable_by_group
    {
        return Err(EPERM);
    }
    let access = (bindings::MAY_READ | bindings::MAY_WRITE) as c_int;
    // SAFETY: As above.
    to_result(unsafe { bindings::inode_permission(idmap, inode, access) }).map_err(|_| EPERM)
}

impl Found {
    /// `may_create_in_sticky` of `fs/namei.c`, with `protected_regular` and `protected_fifos` at 2, whatever they are: their
    /// values are not exported. The file is there, at `path`, and was to be created unless it is.
    ///
    /// # Errors
    ///
    /// `EACCES` for a regular file or FIFO of another user in a sticky directory that its group or others can write, unless
    /// the file belongs to the directory's owner.
    fn may_create_in_sticky(&self, path: &Path<'_>) -> Result {
        if !matches!(self.kind(), bindings::S_IFREG | bindings::S_IFIFO) {
            return Ok(());
        }
        // SAFETY: The path keeps its mount.
        let root = unsafe { (*self.0.mnt).mnt_root };
        let owner = self.owner(self.inode());
        let (mode, directory_owner) = if self.0.dentry == root {
            // A file that is a mount point is in the directory of the mount above.
            let parent = path.parent()?.parent;
            (parent.mode(), parent.owner(parent.inode()))
        } else {
            // SAFETY: The path keeps its dentry.
            let parent = Parent(unsafe { bindings::dget_parent(self.0.dentry) });
            // SAFETY: The dentry is referenced, and a parent has an inode.
            let inode = unsafe { (*parent.0).d_inode };
            // SAFETY: A referenced dentry keeps its inode; the mode is written as a whole.
            (u32::from(unsafe { (&raw const (*inode).i_mode).read_volatile() }), self.owner(inode))
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

    /// The permissions and the kind.
    fn mode(&self) -> u32 {
        // SAFETY: The path keeps its inode; the mode is written as a whole.
        u32::from(unsafe { (&raw const (*self.inode()).i_mode).read_volatile() })
    }

    /// The owner of `inode`, which is on the same mount: `i_uid_into_vfsuid` of `include/linux/fs.h`. `u32::MAX` if there is
    /// none.
    fn owner(&self, inode: *mut bindings::inode) -> bindings::uid_t {
        // SAFETY: The caller's inode is kept by a dentry that is referenced, and keeps its file system.
        let user_ns = unsafe { (*(*inode).i_sb).s_user_ns };
        // SAFETY: The caller's inode is kept by a dentry that is referenced; the owner is written as a whole.
        let owner = unsafe { (&raw const (*inode).i_uid).read_volatile() };
        // SAFETY: The mount keeps its mapping, and the file system its namespace.
        unsafe { bindings::make_vfsuid(self.idmap(), user_ns, owner) }.val
    }
}

/// A reference to a dentry.
struct Parent(*mut bindings::dentry);

impl Drop for Parent {
    fn drop(&mut self) {
        // SAFETY: `dget_parent` took the reference.
        unsafe { bindings::dput(self.0) };
    }
}

/// Asks the security modules that go by paths. The hooks for removing directories and for links are not exported: this one
/// stands in for them, and asks for no less than they would.
fn security_path_rename(
    old_dir: &Found,
    old: *mut bindings::dentry,
    new_dir: &Found,
    new: *mut bindings::dentry,
) -> Result {
    #[cfg(CONFIG_SECURITY_PATH)]
    // SAFETY: The directories are referenced, the names locked or referenced.
    to_result(unsafe { bindings::security_path_rename(&old_dir.0, old, &new_dir.0, new, 0) })?;
    #[cfg(not(CONFIG_SECURITY_PATH))]
    let _ = (old_dir, old, new_dir, new);
    Ok(())
}

/// Asks them about something new of the kind and mode `mode`.
fn security_path_mknod(dir: &Found, new: *mut bindings::dentry, mode: u32) -> Result {
    #[cfg(CONFIG_SECURITY_PATH)]
    // SAFETY: The directory is referenced, the name locked.
    to_result(unsafe { bindings::security_path_mknod(&dir.0, new, mode as bindings::umode_t, 0) })?;
    #[cfg(not(CONFIG_SECURITY_PATH))]
    let _ = (dir, new, mode);
    Ok(())
}
