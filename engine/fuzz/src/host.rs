// SPDX-License-Identifier: GPL-2.0

//! Host for fuzzing that checks every call it receives.

use kwasmi_engine::{
    ffi::{
        FileStat,
        ModuleLimits,
        PATH_MAX,
        PollEntry,
        Times,
        open,
        poll, //
    },
    host::{
        At,
        Fail,
        Handle,
        Host,
        Opened,
        Operations,
        Pause,
        Received,
        RelativePath,
        Span, //
    },
    wasi::{
        WasiCtx,
        abi::{
            Advice,
            ClockId,
            Errno,
            FdFlags,
            Rights,
            Whence, //
        },
        fds::{
            Descriptor,
            Descriptors, //
        },
        strings::Strings,
    },
};
use std::{
    collections::{
        BTreeMap,
        BTreeSet, //
    },
    ffi::CStr, //
};

/// Upper bound of the descriptors of a guest.
pub(crate) const FDS_MAX: usize = 10;

/// Rights that a handle has only if it was opened for reading.
const READING: Rights = Rights::FD_READ.with(Rights::FD_READDIR);
/// Rights that a handle has only if it was opened for writing.
const WRITING: Rights = Rights::FD_WRITE.with(Rights::FD_ALLOCATE).with(Rights::FD_FILESTAT_SET_SIZE);

/// Upper bound of the bytes that the engine moves with one call.
const TRANSFER_MAX: usize = 16 * 1024 * 1024;

/// Limits of modules: the defaults of `kmod/limits.rs`.
pub(crate) const MODULE_LIMITS: ModuleLimits = ModuleLimits {
    functions: 100_000,
    function_size: 128 * 1024,
    locals: 4096,
    arity: 32,
    globals: 10_000,
    data_segments: 10_000,
    element_segments: 10_000,
    stack: 1024 * 1024,
};

/// Deterministic host: its results depend only on the calls before.
#[derive(Debug)]
pub(crate) struct FuzzHost {
    /// Open handles with their rights and inheriting rights.
    open: BTreeMap<u32, (Rights, Rights)>,
    /// Number of the next handle.
    next: u32,
    /// Bit mask of the next calls, lowest bit first: a call whose bit is set is interrupted.
    interruptions: u32,
    /// Upper bound of the bytes of one transfer.
    transfer_max: usize,
    clock: u64,
    /// Number of reads, and of transfers that must not wait.
    reads: u32,
    nows: u32,
    /// Handles that can be copied only through a buffer.
    buffered: BTreeSet<u32>,
    /// Hash of all written bytes and of the numbers of bytes read.
    output: u64,
}

/// Effects of a guest that are visible outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Effects {
    /// Hash of everything written.
    output: u64,
    /// Clock at the end of the guest.
    clock: u64,
    /// Handles that are still open.
    open: Vec<u32>,
}

impl FuzzHost {
    /// Returns a context with descriptors from 0 on, one for each element of `rights` (rights and
    /// inheriting rights). Every second descriptor is a preopened directory.
    pub(crate) fn context(rights: &[(Rights, Rights)], interruptions: u32, transfer_max: usize) -> WasiCtx<Self> {
        // Handles start at another number than descriptors, so that confusing the two is detected.
        let open = BTreeMap::new();
        let mut host = Self {
            open,
            next: 1000,
            interruptions,
            transfer_max,
            clock: 1_000,
            reads: 0,
            nows: 0,
            buffered: BTreeSet::new(),
            output: 0,
        };
        let mut fds = Descriptors::new(FDS_MAX);
        for (fd, (rights, inheriting)) in (0..).zip(rights) {
            let handle = host.add(*rights, *inheriting);
            let preopen = (fd % 2 == 1).then(|| fds.add_name(b"/directory").expect("room for a name"));
            let (rights, inheriting) = (*rights, *inheriting);
            let descriptor = Descriptor { handle, rights, inheriting, refused: Rights::NONE, preopen };
            fds.insert(fd, descriptor).expect("an unused number");
        }
        let args = Strings::new(b"guest\0one\0two words\0").expect("terminated strings");
        let env = Strings::new(b"NAME=value\0").expect("terminated strings");
        WasiCtx::new(host, args, env, fds)
    }

    /// Returns the effects of the guest so far.
    pub(crate) fn effects(&self) -> Effects {
        Effects { output: self.output, clock: self.clock, open: self.open.keys().copied().collect() }
    }

    fn is_interrupted(&mut self) -> bool {
        let is_interrupted = self.interruptions & 1 != 0;
        self.interruptions >>= 1;
        is_interrupted
    }

    fn interruptible(&mut self) -> Result<(), Fail> {
        if self.is_interrupted() { Err(Fail::Interrupted) } else { Ok(()) }
    }

    fn add(&mut self, rights: Rights, inheriting: Rights) -> Handle {
        let handle = self.next;
        self.next += 1;
        self.open.insert(handle, (rights, inheriting));
        Handle(handle)
    }

    /// Checks that `handle` is open and has `rights`. Returns its inheriting rights.
    fn check(&self, handle: Handle, rights: Rights) -> Rights {
        let (has, inheriting) = self.open.get(&handle.0).expect("an open handle");
        assert!(has.contains(rights), "{handle:?} has {has:?}, not {rights:?}");
        *inheriting
    }

    /// Checks the directory and the path. Returns the inheriting rights of the directory.
    fn check_place(&self, place: RelativePath<'_>, rights: Rights) -> Rights {
        let inheriting = self.check(place.dir, rights);
        self.check_path(place.path);
        inheriting
    }

    fn check_path(&self, path: &CStr) {
        let text = path.to_str().expect("UTF-8");
        assert!(!text.is_empty() && !text.starts_with('/') && text.len() <= PATH_MAX, "path {text:?}");
    }

    /// Records a call that changes something, unless it is interrupted.
    fn change(&mut self, values: &[u64]) -> Result<(), Fail> {
        self.interruptible()?;
        for value in values {
            self.note(*value);
        }
        // Some calls fail.
        if self.output & 7 == 7 { Err(Errno::Io.into()) } else { Ok(()) }
    }

    /// Checks a transfer and returns the number of bytes to move.
    fn check_transfer(&self, memory: &[u8], spans: &[Span], at: At) -> usize {
        let mut total = 0;
        for span in spans {
            let end = span.start.checked_add(span.len).expect("a span that ends below usize::MAX");
            assert!(end <= memory.len(), "{span:?} of {} bytes", memory.len());
            total += span.len;
        }
        assert!(total <= TRANSFER_MAX, "{total} bytes at once");
        if let At::Offset(offset) = at {
            assert!(i64::try_from(offset).is_ok(), "offset {offset}");
        }
        total.min(self.transfer_max)
    }

    /// Makes every third transfer that must not wait fail.
    fn be_ready(&mut self, at: At) -> Result<(), Fail> {
        if at != At::PositionNow {
            return Ok(());
        }
        self.nows = self.nows.wrapping_add(1);
        if self.nows.is_multiple_of(3) { Err(Errno::Again.into()) } else { Ok(()) }
    }

    fn read_into(&mut self, memory: &mut [u8], spans: &[Span], at: At) -> Result<usize, Fail> {
        let mut bytes = self.check_transfer(memory, spans, at);
        self.interruptible()?;
        self.be_ready(at)?;
        // Every fifth read reports the end of the file.
        self.reads = self.reads.wrapping_add(1);
        if self.reads.is_multiple_of(5) {
            bytes = 0;
        }
        let mut left = bytes;
        for span in spans {
            let len = span.len.min(left);
            memory[span.start..][..len].fill(b'r');
            left -= len;
        }
        self.note(bytes as u64);
        Ok(bytes)
    }

    fn write_from(&mut self, memory: &[u8], spans: &[Span], at: At) -> Result<usize, Fail> {
        let bytes = self.check_transfer(memory, spans, at);
        self.interruptible()?;
        self.be_ready(at)?;
        let mut left = bytes;
        for span in spans {
            let len = span.len.min(left);
            // The first bytes of a large span suffice.
            for byte in memory[span.start..][..len].iter().take(64) {
                self.note(u64::from(*byte));
            }
            left -= len;
        }
        Ok(bytes)
    }

    fn note(&mut self, value: u64) {
        self.output = self.output.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ value;
    }
}

fn rights(of_direction: Rights, at: At) -> Rights {
    if matches!(at, At::Position | At::PositionNow) { of_direction } else { of_direction.with(Rights::FD_SEEK) }
}

impl Operations for FuzzHost {
    type Error = Fail;

    fn seek(&mut self, handle: Handle, offset: i64, whence: Whence) -> Result<u64, Fail> {
        let is_tell = whence == Whence::Cur && offset == 0;
        self.check(handle, if is_tell { Rights::FD_TELL } else { Rights::FD_SEEK.with(Rights::FD_TELL) });
        self.interruptible()?;
        u64::try_from(offset).map_err(|_| Errno::Inval.into())
    }

    fn close(&mut self, handle: Handle) -> Result<(), Fail> {
        assert!(self.open.remove(&handle.0).is_some(), "{handle:?} is closed once");
        Ok(())
    }

    fn stat(&mut self, handle: Handle) -> Result<FileStat, Fail> {
        self.check(handle, Rights::NONE);
        self.interruptible()?;
        let mode = [0o020_600, 0o040_700, 0o060_600, 0o100_600, 0o120_777, 0o140_600, 0, u32::MAX];
        let mode = mode[usize::try_from(handle.0).map_or(0, |handle| handle % mode.len())];
        Ok(FileStat { ino: u64::from(handle.0), mode, flags: u32::MAX, size: u64::MAX, ..FileStat::default() })
    }

    fn set_flags(&mut self, handle: Handle, flags: FdFlags) -> Result<(), Fail> {
        self.check(handle, Rights::FD_FDSTAT_SET_FLAGS);
        self.interruptible()?;
        self.note(u64::from(flags.bits()));
        Ok(())
    }

    fn clock_time(&mut self, clock: ClockId) -> Result<u64, Fail> {
        match clock {
            ClockId::Realtime => Ok(self.clock.saturating_add(1_000_000_000_000)),
            ClockId::Monotonic => Ok(self.clock),
            _ => Err(Errno::NotSup.into()),
        }
    }

    fn clock_resolution(&mut self, _clock: ClockId) -> Result<u64, Fail> {
        Ok(1)
    }

    fn sleep_until(&mut self, _clock: ClockId, deadline: u64) -> Result<(), Fail> {
        assert!(deadline > self.clock, "{deadline} is over");
        self.interruptible()?;
        self.clock = deadline;
        Ok(())
    }

    fn random(&mut self, bytes: &mut [u8]) -> Result<(), Fail> {
        self.interruptible()?;
        bytes.fill(0x5a);
        Ok(())
    }

    fn yield_now(&mut self) -> Result<(), Fail> {
        Ok(())
    }

    fn open(&mut self, place: RelativePath<'_>, how: u64, flags: FdFlags) -> Result<Opened, Fail> {
        let mut needed = Rights::PATH_OPEN;
        for (flag, right) in
            [(open::CREATE, Rights::PATH_CREATE_FILE), (open::TRUNCATE, Rights::PATH_FILESTAT_SET_SIZE)]
        {
            if how & flag != 0 {
                needed = needed.with(right);
            }
        }
        let inheriting = self.check_place(place, needed);
        self.change(&[how, u64::from(flags.bits()), u64::from(place.follow)])?;
        let mut rights = inheriting.bits();
        for (flag, of_flag) in [(open::READ, READING), (open::WRITE, WRITING)] {
            if how & flag == 0 {
                rights &= !of_flag.bits();
            }
        }
        let handle = self.add(Rights::from_raw(rights).expect("known rights"), inheriting);
        Ok(Opened { handle, is_directory: how & open::DIRECTORY != 0 })
    }

    fn stat_at(&mut self, place: RelativePath<'_>) -> Result<FileStat, Fail> {
        self.check_place(place, Rights::PATH_FILESTAT_GET);
        self.interruptible()?;
        Ok(FileStat { ino: u64::MAX, mode: 0o040_700, ..FileStat::default() })
    }

    fn set_times(&mut self, handle: Handle, times: &Times) -> Result<(), Fail> {
        self.check(handle, Rights::FD_FILESTAT_SET_TIMES);
        self.change(&[u64::from(times.flags), times.atime, times.mtime])
    }

    fn set_times_at(&mut self, place: RelativePath<'_>, times: &Times) -> Result<(), Fail> {
        self.check_place(place, Rights::PATH_FILESTAT_SET_TIMES);
        self.change(&[u64::from(times.flags), times.atime, times.mtime])
    }

    fn create_directory(&mut self, place: RelativePath<'_>) -> Result<(), Fail> {
        self.check_place(place, Rights::PATH_CREATE_DIRECTORY);
        self.change(&[1])
    }

    fn remove_directory(&mut self, place: RelativePath<'_>) -> Result<(), Fail> {
        self.check_place(place, Rights::PATH_REMOVE_DIRECTORY);
        self.change(&[2])
    }

    fn unlink(&mut self, place: RelativePath<'_>) -> Result<(), Fail> {
        self.check_place(place, Rights::PATH_UNLINK_FILE);
        self.change(&[3])
    }

    fn symlink(&mut self, target: &CStr, place: RelativePath<'_>) -> Result<(), Fail> {
        self.check_place(place, Rights::PATH_SYMLINK);
        self.check_path(target);
        self.change(&[4])
    }

    fn link(&mut self, old: RelativePath<'_>, new: RelativePath<'_>) -> Result<(), Fail> {
        self.check_place(old, Rights::PATH_LINK_SOURCE);
        self.check_place(new, Rights::PATH_LINK_TARGET);
        self.change(&[5])
    }

    fn rename(&mut self, old: RelativePath<'_>, new: RelativePath<'_>) -> Result<(), Fail> {
        self.check_place(old, Rights::PATH_RENAME_SOURCE);
        self.check_place(new, Rights::PATH_RENAME_TARGET);
        self.change(&[6])
    }

    fn read_link(&mut self, place: RelativePath<'_>, text: &mut [u8]) -> Result<usize, Fail> {
        self.check_place(place, Rights::PATH_READLINK);
        self.interruptible()?;
        let len = text.len().min(300);
        text[..len].fill(b'l');
        Ok(300)
    }

    fn read_directory(&mut self, handle: Handle, entries: &mut [u8], cookie: u64) -> Result<usize, Fail> {
        self.check(handle, Rights::FD_READDIR);
        assert!(i64::try_from(cookie).is_ok(), "cookie {cookie}");
        self.interruptible()?;
        let len = entries.len().min(self.transfer_max);
        entries[..len].fill(b'd');
        Ok(len)
    }

    fn advise(&mut self, handle: Handle, offset: u64, len: u64, _advice: Advice) -> Result<(), Fail> {
        self.check(handle, Rights::FD_ADVISE);
        self.change(&[offset, len])
    }

    fn allocate(&mut self, handle: Handle, offset: u64, len: u64) -> Result<(), Fail> {
        self.check(handle, Rights::FD_ALLOCATE);
        assert!(i64::try_from(offset).is_ok() && i64::try_from(len).is_ok(), "{len} bytes at {offset}");
        self.change(&[offset, len])
    }

    fn set_size(&mut self, handle: Handle, size: u64) -> Result<(), Fail> {
        self.check(handle, Rights::FD_FILESTAT_SET_SIZE);
        assert!(i64::try_from(size).is_ok(), "{size} bytes");
        self.change(&[size])
    }

    fn sync(&mut self, handle: Handle, data_only: bool) -> Result<(), Fail> {
        self.check(handle, if data_only { Rights::FD_DATASYNC } else { Rights::FD_SYNC });
        self.change(&[7])
    }

    fn poll(&mut self, entries: &mut [PollEntry], deadline: Option<u64>) -> Result<usize, Fail> {
        for entry in &*entries {
            self.check(Handle(entry.handle), Rights::POLL_FD_READWRITE);
            assert!(matches!(entry.events & !poll::BYTES, poll::READ | poll::WRITE), "{entry:?}");
        }
        self.interruptible()?;
        // The first poll finds nothing ready. After that, entries are ready or the deadline passes.
        if deadline == Some(0) {
            return Ok(0);
        }
        if let Some(deadline) = deadline
            && self.transfer_max.is_multiple_of(2)
        {
            self.clock = self.clock.max(deadline);
            return Ok(0);
        }
        for entry in &mut *entries {
            entry.revents =
                if entry.handle % 3 == 0 { -5 } else { (entry.events & !poll::BYTES | poll::HANGUP).cast_signed() };
            entry.bytes = u64::MAX;
        }
        Ok(entries.len())
    }

    fn accept(&mut self, handle: Handle, flags: FdFlags, _waits: bool) -> Result<Handle, Fail> {
        let inheriting = self.check(handle, Rights::SOCK_ACCEPT);
        self.change(&[u64::from(flags.bits())])?;
        Ok(self.add(inheriting, inheriting))
    }

    fn shutdown(&mut self, handle: Handle, how: u8) -> Result<(), Fail> {
        self.check(handle, Rights::SOCK_SHUTDOWN);
        assert!(matches!(how, 1..=3), "how {how}");
        self.change(&[u64::from(how)])
    }
}

impl Host for FuzzHost {
    fn checkpoint(&mut self) -> Pause {
        if self.is_interrupted() { Pause::Interrupt } else { Pause::Continue }
    }

    fn read(&mut self, handle: Handle, memory: &mut [u8], spans: &[Span], at: At) -> Result<usize, Fail> {
        self.check(handle, rights(Rights::FD_READ, at));
        self.read_into(memory, spans, at)
    }

    fn write(&mut self, handle: Handle, memory: &[u8], spans: &[Span], at: At) -> Result<usize, Fail> {
        self.check(handle, rights(Rights::FD_WRITE, at));
        self.write_from(memory, spans, at)
    }

    fn splice(&mut self, from: Handle, to: Handle, len: usize) -> Result<Option<usize>, Fail> {
        self.check(from, Rights::FD_READ);
        self.check(to, Rights::FD_WRITE);
        assert!((1..=TRANSFER_MAX).contains(&len), "{len} bytes at once");
        self.interruptible()?;
        // Some files need a buffer, others only after some calls.
        if from.0.is_multiple_of(2) || self.buffered.contains(&from.0) {
            return Ok(None);
        }
        self.reads = self.reads.wrapping_add(1);
        if self.reads.is_multiple_of(7) {
            self.buffered.insert(from.0);
            return Ok(None);
        }
        let moved = if self.reads.is_multiple_of(5) { 0 } else { len.min(self.transfer_max) };
        self.note(moved as u64);
        Ok(Some(moved))
    }

    fn receive(&mut self, handle: Handle, memory: &mut [u8], spans: &[Span], flags: u16) -> Result<Received, Fail> {
        self.check(handle, Rights::FD_READ);
        assert!(flags & !3 == 0, "flags {flags:x}");
        let bytes = self.read_into(memory, spans, At::Position)?;
        Ok(Received { bytes, is_truncated: bytes % 2 == 1 })
    }

    fn send(&mut self, handle: Handle, memory: &[u8], spans: &[Span]) -> Result<usize, Fail> {
        self.check(handle, Rights::FD_WRITE);
        self.write_from(memory, spans, At::Position)
    }
}
