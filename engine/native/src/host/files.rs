// SPDX-License-Identifier: GPL-2.0

//! Open files of a guest.

use super::{
    Result,
    readiness,
    sockets, //
};
use crate::{
    ffi::{
        FileStat,
        Position,
        Times,
        poll, //
    },
    preview1::{
        fdflags,
        fstflags, //
    },
};
use rustix::{
    fs::{
        Advice,
        AtFlags,
        FallocateFlags,
        FileType,
        OFlags,
        SeekFrom,
        Stat,
        Timespec,
        Timestamps,
        UTIME_NOW,
        UTIME_OMIT, //
    },
    io::{
        Errno,
        ReadWriteFlags, //
    },
};
use std::{
    io::{
        IoSlice,
        IoSliceMut, //
    },
    num::NonZeroU64,
    os::fd::{
        AsFd,
        BorrowedFd,
        OwnedFd, //
    }, //
};

/// Linux's `O_DSYNC`. rustix defines it as `O_SYNC`.
const DSYNC: OFlags = OFlags::from_bits_retain(0o10000);

/// Linux's open flags for each preview 1 `fdflags` bit.
const FLAGS: [(u32, OFlags); 4] = [
    (fdflags::APPEND, OFlags::APPEND),
    (fdflags::NONBLOCK, OFlags::NONBLOCK),
    (fdflags::DSYNC, DSYNC),
    (fdflags::SYNC | fdflags::RSYNC, OFlags::SYNC),
];

/// Nanoseconds per second.
const PER_SECOND: u64 = 1_000_000_000;

/// Advice values by preview 1 `advice`.
const ADVICE: [Advice; 6] =
    [Advice::Normal, Advice::Sequential, Advice::Random, Advice::WillNeed, Advice::DontNeed, Advice::NoReuse];

/// `RWF_NOAPPEND` of `include/uapi/linux/fs.h`.
const NOAPPEND: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x20);

/// Direction and buffers of a transfer.
pub(super) enum Direction<'a> {
    /// From the file to the guest.
    Read(&'a mut [IoSliceMut<'a>]),
    /// From the guest to the file.
    Write(&'a [IoSlice<'a>]),
}

/// Converts preview 1 `fdflags` to Linux's open flags.
pub(super) fn linux_flags(flags: u32) -> OFlags {
    FLAGS.iter().filter(|(flag, _)| flags & flag != 0).fold(OFlags::empty(), |linux, (_, more)| linux | *more)
}

/// Open file of a guest.
pub(super) struct Open {
    fd: OwnedFd,
    /// Preview 1 `fdflags` of the guest. They are separate from the flags of the open file
    /// description, so that changes do not affect other processes.
    pub(super) flags: u32,
}

impl AsFd for Open {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Open {
    pub(super) fn new(fd: OwnedFd) -> Result<Self> {
        let mut open = Self { fd, flags: 0 };
        let has = open.linux_flags()?;
        for (flag, linux) in FLAGS {
            if has.contains(linux) {
                open.flags |= flag;
            }
        }
        Ok(open)
    }

    /// Returns Linux's open flags of the open file description.
    fn linux_flags(&self) -> Result<OFlags> {
        rustix::fs::fcntl_getfl(self)
    }

    pub(super) fn kind(&self) -> Result<FileType> {
        Ok(FileType::from_raw_mode(rustix::fs::fstat(self)?.st_mode))
    }

    /// Returns true if the guest has set `NONBLOCK`.
    pub(super) fn is_nonblocking(&self) -> bool {
        self.flags & fdflags::NONBLOCK != 0
    }

    /// Calls `go`, which must not wait if its argument is true. If the file itself is non-blocking
    /// and the guest wants to wait, waits for `events` and calls `go` again.
    pub(super) fn waiting<T>(&self, events: u32, now: bool, mut go: impl FnMut(bool) -> Result<T>) -> Result<T> {
        let nonblocking = now || self.is_nonblocking();
        loop {
            let result = go(nonblocking);
            let is_over = !matches!(result, Err(Errno::AGAIN));
            if is_over || nonblocking || !self.linux_flags()?.contains(OFlags::NONBLOCK) {
                return result;
            }
            readiness::wait(self, events)?;
        }
    }

    /// Returns the `RWF_*` flags for what the guest requests and the open file description does not
    /// provide.
    fn writing(&self, has: OFlags) -> ReadWriteFlags {
        let wants = linux_flags(self.flags);
        let mut how = ReadWriteFlags::empty();
        how.set(ReadWriteFlags::APPEND, wants.contains(OFlags::APPEND) && !has.contains(OFlags::APPEND));
        how.set(NOAPPEND, !wants.contains(OFlags::APPEND) && has.contains(OFlags::APPEND));
        how.set(ReadWriteFlags::DSYNC, wants.contains(DSYNC) && !has.contains(DSYNC));
        how.set(ReadWriteFlags::SYNC, wants.contains(OFlags::SYNC) && !has.contains(OFlags::SYNC));
        how
    }

    /// Reads or writes at offset `at` or at the file position. Returns the number of bytes.
    pub(super) fn transfer(&self, mut direction: Direction<'_>, at: Position) -> Result {
        const { assert!(Position::CURRENT.0 == u64::MAX, "the value that preadv2(2) takes for the file position") };
        let now = at == Position::CURRENT_NOW;
        let Position(at) = if now { Position::CURRENT } else { at };
        let kind = self.kind()?;
        if let (Direction::Write(parts), FileType::Socket) = (&direction, kind) {
            return sockets::send(self, parts, now);
        }
        let is_stream = !matches!(kind, FileType::RegularFile | FileType::Directory | FileType::BlockDevice);
        let has = self.linux_flags()?;
        let (events, how) = match direction {
            Direction::Read(_) => (poll::READ, ReadWriteFlags::empty()),
            Direction::Write(_) => (poll::WRITE, self.writing(has)),
        };
        let mut once = |how| match &mut direction {
            Direction::Read(parts) => rustix::io::preadv2(self, parts, at, how),
            Direction::Write(parts) => rustix::io::pwritev2(self, parts, at, how),
        };
        let done = self.waiting(events, now, |nonblocking| {
            if !nonblocking || !is_stream || has.contains(OFlags::NONBLOCK) {
                return once(how);
            }
            match once(how | ReadWriteFlags::NOWAIT) {
                // Some files do not support `RWF_NOWAIT`.
                Err(Errno::OPNOTSUPP) if readiness::is_ready(self, events)? => once(how),
                Err(Errno::OPNOTSUPP) => Err(Errno::AGAIN),
                done => done,
            }
        })?;
        Ok(done as u64)
    }

    /// Moves the file position and returns the new one.
    pub(super) fn seek(&self, offset: i64, whence: u64) -> Result {
        let to = match whence {
            0 => SeekFrom::Start(offset.cast_unsigned()),
            1 => SeekFrom::Current(offset),
            2 => SeekFrom::End(offset),
            _ => return Err(Errno::INVAL),
        };
        rustix::fs::seek(self, to)
    }

    /// Returns the attributes of the file.
    pub(super) fn stat(&self) -> Result<FileStat> {
        let mut stat = file_stat(&rustix::fs::fstat(self)?);
        let own = OFlags::APPEND | OFlags::NONBLOCK;
        stat.flags = ((self.linux_flags()? - own) | linux_flags(self.flags)).bits();
        stat.socket_type = sockets::kind(self);
        Ok(stat)
    }

    /// Sets the timestamps of the file.
    pub(super) fn set_times(&self, times: &Times) -> Result {
        rustix::fs::futimens(self, &timestamps(times)).map(|()| 0)
    }

    /// Announces how a range of the file will be used.
    pub(super) fn advise(&self, offset: u64, len: u64, advice: u64) -> Result {
        let advice = usize::try_from(advice).ok().and_then(|number| ADVICE.get(number)).ok_or(Errno::INVAL)?;
        rustix::fs::fadvise(self, offset, NonZeroU64::new(len), *advice).map(|()| 0)
    }

    /// Allocates space for a range of the file.
    pub(super) fn allocate(&self, offset: u64, len: u64) -> Result {
        rustix::fs::fallocate(self, FallocateFlags::empty(), offset, len).map(|()| 0)
    }

    /// Sets the size of the file.
    pub(super) fn set_size(&self, size: u64) -> Result {
        rustix::fs::ftruncate(self, size).map(|()| 0)
    }

    /// Writes the file to its device. If `data_only` is set, omits metadata that is not needed to
    /// read it.
    pub(super) fn sync(&self, data_only: bool) -> Result {
        if data_only { rustix::fs::fdatasync(self) } else { rustix::fs::fsync(self) }.map(|()| 0)
    }
}

/// Open files of a guest, by handle.
#[derive(Default)]
pub(crate) struct Files {
    table: Vec<Option<Open>>,
}

impl Files {
    /// Returns an empty table.
    pub(crate) const fn new() -> Self {
        Self { table: Vec::new() }
    }

    /// Duplicates the descriptor `fd` and returns the handle.
    pub(crate) fn open(&mut self, fd: BorrowedFd<'_>) -> Result {
        let open = Open::new(rustix::io::fcntl_dupfd_cloexec(fd, 0)?)?;
        Ok(self.add(open))
    }

    /// Adds a file and returns its handle.
    pub(super) fn add(&mut self, open: Open) -> u64 {
        let index = self.table.iter().position(Option::is_none).unwrap_or(self.table.len());
        if index == self.table.len() {
            self.table.push(None);
        }
        self.table[index] = Some(open);
        index as u64
    }

    /// Returns the file with this handle.
    pub(super) fn get(&self, handle: u64) -> Result<&Open> {
        usize::try_from(handle).ok().and_then(|index| self.table.get(index)?.as_ref()).ok_or(Errno::BADF)
    }

    fn slot(&mut self, handle: u64) -> Result<&mut Option<Open>> {
        usize::try_from(handle).ok().and_then(|index| self.table.get_mut(index)).ok_or(Errno::BADF)
    }

    /// Closes a file.
    pub(super) fn close(&mut self, handle: u64) -> Result {
        self.slot(handle)?.take().ok_or(Errno::BADF).map(|_| 0)
    }

    /// Sets preview 1 `fdflags`. The flags for synchronous writes that the file was opened with
    /// cannot be cleared.
    pub(super) fn set_flags(&mut self, handle: u64, flags: u32) -> Result {
        let open = self.slot(handle)?.as_mut().ok_or(Errno::BADF)?;
        let has = open.linux_flags()?;
        for (flag, linux) in FLAGS {
            if OFlags::SYNC.contains(linux) && has.contains(linux) && flags & flag == 0 {
                return Err(Errno::OPNOTSUPP);
            }
        }
        open.flags = flags;
        Ok(0)
    }
}

/// Converts the attributes of a file, except its open flags and socket type.
pub(super) fn file_stat(found: &Stat) -> FileStat {
    let time = |seconds: i64, nanoseconds: u64| {
        u64::try_from(seconds).unwrap_or(0).saturating_mul(PER_SECOND).saturating_add(nanoseconds)
    };
    FileStat {
        dev: found.st_dev,
        ino: found.st_ino,
        nlink: found.st_nlink,
        size: u64::try_from(found.st_size).unwrap_or(0),
        atime: time(found.st_atime, found.st_atime_nsec),
        mtime: time(found.st_mtime, found.st_mtime_nsec),
        ctime: time(found.st_ctime, found.st_ctime_nsec),
        mode: found.st_mode,
        ..FileStat::default()
    }
}

/// Sets the timestamps of the file `fd`, which may be opened with `O_PATH`.
pub(super) fn set_times(fd: impl AsFd, times: &Times) -> Result {
    rustix::fs::utimensat(fd, c"", &timestamps(times), AtFlags::EMPTY_PATH).map(|()| 0)
}

fn timestamps(times: &Times) -> Timestamps {
    let one = |time: u64, given: u32, now: u32| {
        if times.flags & now != 0 {
            Timespec { tv_sec: 0, tv_nsec: UTIME_NOW }
        } else if times.flags & given != 0 {
            Timespec { tv_sec: (time / PER_SECOND).cast_signed(), tv_nsec: (time % PER_SECOND).cast_signed() }
        } else {
            Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }
        }
    };
    Timestamps {
        last_access: one(times.atime, fstflags::ATIM, fstflags::ATIM_NOW),
        last_modification: one(times.mtime, fstflags::MTIM, fstflags::MTIM_NOW),
    }
}
