// SPDX-License-Identifier: GPL-2.0

//! Descriptor table of a guest.

use super::abi::{
    Errno,
    Rights, //
};
use crate::host::Handle;
use alloc::vec::Vec;

/// Upper bound of the descriptors of a guest: `KWASMI_GUEST_FDS_MAX` of the ioctl interface.
pub const FDS_MAX: usize = 1024;

/// Descriptor of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Handle of the host's object.
    pub handle: Handle,
    /// Operations that are allowed. Rights can be dropped and never added.
    pub rights: Rights,
    /// Rights that descriptors opened from this one can have. They can be dropped and never added.
    pub inheriting: Rights,
    /// Rights that are reported as inheriting although opening with one of them fails. A C library
    /// requests only rights that are reported, and would otherwise open a file for writing that
    /// cannot be written. They can be dropped and never added.
    pub refused: Rights,
    /// Index of the path of a preopened directory, see [`Descriptors::name`].
    pub preopen: Option<u16>,
}

/// Descriptors of a guest, by number.
#[derive(Debug)]
pub struct Descriptors {
    table: Vec<Option<Descriptor>>,
    /// Upper bound of the open descriptors.
    max: usize,
    used: usize,
    /// Paths of preopened directories.
    names: Vec<Vec<u8>>,
}

fn index(fd: u32) -> Result<usize, Errno> {
    usize::try_from(fd).map_err(|_| Errno::BadF)
}

impl Descriptors {
    /// Returns an empty table for at most `max` descriptors.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { table: Vec::new(), max, used: 0, names: Vec::new() }
    }

    /// Saves the path of a preopened directory and returns its index.
    ///
    /// # Errors
    ///
    /// - [`Errno::NoMem`] if no memory is available.
    /// - [`Errno::TooBig`] if there are already 65,536 paths.
    pub fn add_name(&mut self, path: &[u8]) -> Result<u16, Errno> {
        let number = u16::try_from(self.names.len()).map_err(|_| Errno::TooBig)?;
        let mut name = Vec::new();
        name.try_reserve_exact(path.len()).map_err(|_| Errno::NoMem)?;
        name.extend_from_slice(path);
        self.names.try_reserve(1).map_err(|_| Errno::NoMem)?;
        self.names.push(name);
        Ok(number)
    }

    /// Returns the path of the preopened directory `fd`.
    ///
    /// # Errors
    ///
    /// [`Errno::BadF`] if `fd` is not open or is not a preopened directory.
    pub fn name(&self, fd: u32) -> Result<&[u8], Errno> {
        let number = self.get(fd)?.preopen.ok_or(Errno::BadF)?;
        self.names.get(usize::from(number)).map(Vec::as_slice).ok_or(Errno::BadF)
    }

    /// Returns the lowest unused number, or `None` if the table is full.
    #[must_use]
    pub fn vacant(&self) -> Option<u32> {
        if self.used >= self.max {
            return None;
        }
        let index = self.table.iter().position(Option::is_none).unwrap_or(self.table.len());
        u32::try_from(index).ok().filter(|_| index < FDS_MAX)
    }

    /// Adds `descriptor` with number `fd`.
    ///
    /// # Errors
    ///
    /// - [`Errno::Inval`] if `fd` is not below [`FDS_MAX`] or is in use.
    /// - [`Errno::NoMem`] if no memory is available.
    pub fn insert(&mut self, fd: u32, descriptor: Descriptor) -> Result<(), Errno> {
        let index = index(fd)?;
        if index >= FDS_MAX {
            return Err(Errno::Inval);
        }
        if index >= self.table.len() {
            let more = index.saturating_add(1).saturating_sub(self.table.len());
            self.table.try_reserve(more).map_err(|_| Errno::NoMem)?;
            self.table.resize(index.saturating_add(1), None);
        }
        match self.table.get_mut(index) {
            Some(place @ None) => {
                *place = Some(descriptor);
                self.used = self.used.saturating_add(1);
                Ok(())
            }
            _ => Err(Errno::Inval),
        }
    }

    /// Returns the descriptor `fd`.
    ///
    /// # Errors
    ///
    /// [`Errno::BadF`] if `fd` is not open.
    pub fn get(&self, fd: u32) -> Result<Descriptor, Errno> {
        self.table.get(index(fd)?).copied().flatten().ok_or(Errno::BadF)
    }

    /// Returns the descriptor `fd` if it has all of `rights`.
    ///
    /// # Errors
    ///
    /// - [`Errno::BadF`] if `fd` is not open.
    /// - [`Errno::NotCapable`] if a right is missing.
    pub fn get_with(&self, fd: u32, rights: Rights) -> Result<Descriptor, Errno> {
        let descriptor = self.get(fd)?;
        if descriptor.rights.contains(rights) { Ok(descriptor) } else { Err(Errno::NotCapable) }
    }

    /// Removes the descriptor `fd` and returns it.
    ///
    /// # Errors
    ///
    /// [`Errno::BadF`] if `fd` is not open.
    pub fn remove(&mut self, fd: u32) -> Result<Descriptor, Errno> {
        let descriptor = self.table.get_mut(index(fd)?).and_then(Option::take).ok_or(Errno::BadF)?;
        self.used = self.used.saturating_sub(1);
        Ok(descriptor)
    }

    /// Reduces the rights of the descriptor `fd`.
    ///
    /// # Errors
    ///
    /// - [`Errno::BadF`] if `fd` is not open.
    /// - [`Errno::NotCapable`] if it does not have one of the new rights.
    pub fn shrink(&mut self, fd: u32, rights: Rights, inheriting: Rights) -> Result<(), Errno> {
        let place = self.table.get_mut(index(fd)?).and_then(Option::as_mut).ok_or(Errno::BadF)?;
        if !place.rights.contains(rights) || !place.inheriting.with(place.refused).contains(inheriting) {
            return Err(Errno::NotCapable);
        }
        place.rights = rights;
        place.inheriting = place.inheriting.both(inheriting);
        place.refused = place.refused.both(inheriting);
        Ok(())
    }

    /// Moves the descriptor `from` to number `to`, which must be in use. Returns the handle that
    /// `to` had, which must then be closed, or `None` if the two numbers are equal.
    ///
    /// # Errors
    ///
    /// [`Errno::BadF`] if one of the two is not open.
    pub fn renumber(&mut self, from: u32, to: u32) -> Result<Option<Handle>, Errno> {
        let old = self.get(to)?;
        if from == to {
            return Ok(None);
        }
        let moved = self.remove(from)?;
        if let Some(place) = self.table.get_mut(index(to)?) {
            *place = Some(moved);
        }
        Ok(Some(old.handle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(handle: u32) -> Descriptor {
        Descriptor {
            handle: Handle(handle),
            rights: Rights::FD_READ.with(Rights::FD_TELL),
            inheriting: Rights::NONE,
            refused: Rights::NONE,
            preopen: None,
        }
    }

    #[test]
    fn numbers_are_unique_and_bounded() {
        let mut fds = Descriptors::new(FDS_MAX);
        assert_eq!(fds.insert(3, descriptor(7)), Ok(()));
        assert_eq!(fds.insert(3, descriptor(8)), Err(Errno::Inval));
        assert_eq!(fds.insert(1024, descriptor(8)), Err(Errno::Inval));
        assert_eq!(fds.insert(u32::MAX, descriptor(8)), Err(Errno::Inval));
        assert_eq!(fds.get(0), Err(Errno::BadF));
        assert_eq!(fds.get(u32::MAX), Err(Errno::BadF));
        assert_eq!(fds.remove(3), Ok(descriptor(7)));
        assert_eq!(fds.remove(3), Err(Errno::BadF));
    }

    #[test]
    fn the_lowest_unused_number_is_vacant_until_the_table_is_full() {
        let mut fds = Descriptors::new(3);
        fds.insert(0, descriptor(1)).expect("free");
        fds.insert(2, descriptor(2)).expect("free");
        assert_eq!(fds.vacant(), Some(1));
        fds.insert(1, descriptor(3)).expect("free");
        assert_eq!(fds.vacant(), None);
        fds.remove(0).expect("there");
        assert_eq!(fds.vacant(), Some(0));
    }

    #[test]
    fn a_preopened_directory_keeps_its_name_when_it_moves() {
        let mut fds = Descriptors::new(FDS_MAX);
        let preopen = Some(fds.add_name(b"/data").expect("memory"));
        fds.insert(3, Descriptor { preopen, ..descriptor(1) }).expect("free");
        fds.insert(4, descriptor(2)).expect("free");
        assert_eq!(fds.name(3), Ok(b"/data".as_slice()));
        assert_eq!(fds.name(4), Err(Errno::BadF));
        fds.renumber(3, 4).expect("both there");
        assert_eq!(fds.name(3), Err(Errno::BadF));
        assert_eq!(fds.name(4), Ok(b"/data".as_slice()));
    }

    #[test]
    fn rights_only_shrink() {
        let mut fds = Descriptors::new(FDS_MAX);
        fds.insert(0, descriptor(1)).expect("free");
        assert_eq!(fds.get_with(0, Rights::FD_WRITE), Err(Errno::NotCapable));
        assert_eq!(fds.shrink(0, Rights::FD_READ, Rights::NONE), Ok(()));
        assert_eq!(fds.shrink(0, Rights::FD_READ.with(Rights::FD_TELL), Rights::NONE), Err(Errno::NotCapable));
        assert_eq!(fds.shrink(0, Rights::FD_READ, Rights::FD_READ), Err(Errno::NotCapable));
        assert_eq!(fds.get_with(0, Rights::FD_TELL), Err(Errno::NotCapable));
    }

    #[test]
    fn refused_rights_can_be_dropped_and_not_gained() {
        let mut fds = Descriptors::new(FDS_MAX);
        fds.insert(0, Descriptor { refused: Rights::FD_WRITE, ..descriptor(1) }).expect("free");
        assert_eq!(fds.shrink(0, Rights::NONE, Rights::FD_WRITE.with(Rights::FD_READ)), Err(Errno::NotCapable));
        assert_eq!(fds.shrink(0, Rights::NONE, Rights::FD_WRITE), Ok(()));
        let Descriptor { inheriting, refused, .. } = fds.get(0).expect("there");
        assert_eq!((inheriting, refused), (Rights::NONE, Rights::FD_WRITE));
        assert_eq!(fds.shrink(0, Rights::NONE, Rights::NONE), Ok(()));
        assert_eq!(fds.get(0).expect("there").refused, Rights::NONE);
    }

    #[test]
    fn renumbering_returns_the_replaced_handle() {
        let mut fds = Descriptors::new(FDS_MAX);
        fds.insert(0, descriptor(1)).expect("free");
        fds.insert(1, descriptor(2)).expect("free");
        assert_eq!(fds.renumber(0, 5), Err(Errno::BadF));
        assert_eq!(fds.renumber(5, 0), Err(Errno::BadF));
        assert_eq!(fds.renumber(0, 0), Ok(None));
        assert_eq!(fds.renumber(0, 1), Ok(Some(Handle(2))));
        assert_eq!(fds.get(0), Err(Errno::BadF));
        assert_eq!(fds.get(1), Ok(descriptor(1)));
    }
}
