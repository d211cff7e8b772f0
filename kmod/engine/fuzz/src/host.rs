// SPDX-License-Identifier: GPL-2.0

//! A host that looks closely at what it is asked.

use kwasmi_engine::{
    ffi::{
        FileStat,
        ModuleLimits, //
    },
    host::{
        At,
        Fail,
        Handle,
        Host,
        Pause,
        Span, //
    },
    wasi::{
        Context,
        abi::{
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
use std::collections::BTreeMap;

/// The most bytes that the engine moves with one call.
const TRANSFER_MAX: usize = 16 * 1024 * 1024;

/// The defaults of `kmod/limits.rs`.
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

/// A host whose answers depend on nothing but what it was asked before.
#[derive(Debug)]
pub(crate) struct FuzzHost {
    /// Handles that are in use, and what may be done with each.
    open: BTreeMap<u32, Rights>,
    /// Whether the next calls are interrupted, one bit for each, the lowest first.
    interruptions: u32,
    /// The most bytes of one transfer.
    transfer_max: usize,
    clock: u64,
    /// What was written, and bytes that were read.
    output: u64,
}

/// What a guest did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Effects {
    /// All that was written, in one number.
    output: u64,
    /// When it ended.
    clock: u64,
    /// Handles that are still in use.
    open: Vec<u32>,
}

impl FuzzHost {
    /// With a descriptor for each of `rights`, from 0 on.
    pub(crate) fn context(rights: &[Rights], interruptions: u32, transfer_max: usize) -> Context<Self> {
        let mut host = Self { open: BTreeMap::new(), interruptions, transfer_max, clock: 1_000, output: 0 };
        let mut fds = Descriptors::default();
        for (fd, rights) in (0..).zip(rights) {
            // So that nothing works that takes one for the other.
            let handle = Handle(1000 + fd);
            fds.insert(fd, Descriptor { handle, rights: *rights, inheriting: Rights::ALL }).expect("free");
            host.open.insert(handle.0, *rights);
        }
        let args = Strings::new(b"guest\0one\0two words\0").expect("ends with NUL");
        let env = Strings::new(b"NAME=value\0").expect("ends with NUL");
        Context::new(host, args, env, fds)
    }

    /// What the guest did that can be seen from outside.
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

    /// Looks that the guest was handed it, with these rights, and that it was not closed.
    fn check(&self, handle: Handle, rights: Rights) {
        let has = self.open.get(&handle.0).expect("a handle that is in use");
        assert!(has.contains(rights), "{handle:?} has {has:?}, not {rights:?}");
    }

    /// Looks at a transfer; returns how many bytes are to be moved.
    fn check_transfer(&self, memory: &[u8], spans: &[Span], at: At) -> usize {
        let mut total = 0;
        for span in spans {
            let end = span.start.checked_add(span.len).expect("a span has an end");
            assert!(end <= memory.len(), "{span:?} of {} bytes", memory.len());
            total += span.len;
        }
        assert!(total <= TRANSFER_MAX, "{total} bytes at once");
        if let At::Offset(offset) = at {
            assert!(i64::try_from(offset).is_ok(), "offset {offset}");
        }
        total.min(self.transfer_max)
    }

    fn note(&mut self, value: u64) {
        self.output = self.output.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ value;
    }
}

fn rights(of_direction: Rights, at: At) -> Rights {
    if at == At::Position { of_direction } else { of_direction.with(Rights::FD_SEEK) }
}

impl Host for FuzzHost {
    fn checkpoint(&mut self) -> Pause {
        if self.is_interrupted() { Pause::Interrupt } else { Pause::Continue }
    }

    fn read(&mut self, handle: Handle, memory: &mut [u8], spans: &[Span], at: At) -> Result<usize, Fail> {
        self.check(handle, rights(Rights::FD_READ, at));
        let bytes = self.check_transfer(memory, spans, at);
        self.interruptible()?;
        let mut left = bytes;
        for span in spans {
            let len = span.len.min(left);
            memory[span.start..][..len].fill(b'r');
            left -= len;
        }
        self.note(bytes as u64);
        Ok(bytes)
    }

    fn write(&mut self, handle: Handle, memory: &[u8], spans: &[Span], at: At) -> Result<usize, Fail> {
        self.check(handle, rights(Rights::FD_WRITE, at));
        let bytes = self.check_transfer(memory, spans, at);
        self.interruptible()?;
        let mut left = bytes;
        for span in spans {
            let len = span.len.min(left);
            // Whatever is in the middle of much does not matter.
            for byte in memory[span.start..][..len].iter().take(64) {
                self.note(u64::from(*byte));
            }
            left -= len;
        }
        Ok(bytes)
    }

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

    fn yield_now(&mut self) {}
}
