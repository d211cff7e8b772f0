// SPDX-License-Identifier: GPL-2.0

//! Opening and creating files by path.

use super::super::files::{
    linux_flags,
    Open, //
};
use super::{
    entry::{
        split,
        Entry,
        Last, //
    },
    found::{
        walk,
        Found, //
    },
    lookups::TRIES,
    Path,
    FILE_MODE, //
};
use crate::{
    bindings as kwasmi_bindings,
    ffi::{
        open as how_bits,
        PATH_MAX, //
    },
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::from_err_ptr,
    prelude::*, //
};

/// Upper bound of the symbolic links that one path may traverse: `MAXSYMLINKS` of
/// `include/linux/namei.h`.
const LINKS_MAX: usize = 40;

impl Path<'_> {
    /// Opens the file. `how` are bits of [`how_bits`]; the open file gets the preview 1 `fdflags`
    /// `flags`.
    pub(in super::super) fn open(&self, how: u64, flags: u64) -> Result<Open> {
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
