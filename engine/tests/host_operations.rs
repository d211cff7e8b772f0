// SPDX-License-Identifier: GPL-2.0

//! The border of host operations: typed arguments, their words, and typed arguments again.

use kwasmi_engine::{
    ffi::{
        Checkpoint,
        FileStat,
        Handle,
        IoVec,
        Jit,
        JitFunction,
        Opened,
        PollEntry,
        Position,
        Received,
        Times, //
    },
    host_operations::{
        Allocated,
        Block,
        Border,
        CallError,
        Destination,
        HostOp,
        Operations,
        RawOperations,
        RelativePath,
        Source,
        Ticks,
        Transfer,
        Uncompiled,
        WORDS,
        dispatch, //
    },
    wasi::abi::{
        Advice,
        ClockId,
        FdFlags,
        Whence, //
    },
};
use std::{
    ffi::CStr,
    num::NonZero,
    ptr::NonNull,
    sync::atomic::{
        AtomicU64,
        Ordering, //
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Call(CallError),
    Host(i32),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

/// A host that notes its last call, with its arguments.
#[derive(Default)]
struct Noting(String);

macro_rules! note {
    ($host:ident, $($value:expr),*) => {
        $host.0 = [$(format!("{:?}", $value)),*].join(" ")
    };
}

impl Operations for Noting {
    type Error = Failure;

    fn yield_now(&mut self) -> Result<(), Failure> {
        note!(self, "yield");
        Ok(())
    }

    fn seek(&mut self, handle: Handle, offset: i64, whence: Whence) -> Result<u64, Failure> {
        note!(self, handle.0, offset, whence);
        Ok(u64::MAX)
    }

    fn close(&mut self, _handle: Handle) -> Result<(), Failure> {
        Err(Failure::Host(9))
    }

    fn stat(&mut self, handle: Handle) -> Result<FileStat, Failure> {
        Ok(FileStat { ino: handle.0.into(), size: 3, ..FileStat::default() })
    }

    fn set_flags(&mut self, handle: Handle, flags: FdFlags) -> Result<(), Failure> {
        note!(self, handle.0, flags.bits());
        Ok(())
    }

    fn clock_time(&mut self, clock: ClockId) -> Result<u64, Failure> {
        note!(self, clock);
        Ok(7)
    }

    fn clock_resolution(&mut self, clock: ClockId) -> Result<u64, Failure> {
        note!(self, clock);
        Ok(8)
    }

    fn sleep_until(&mut self, clock: ClockId, deadline: u64) -> Result<(), Failure> {
        note!(self, clock, deadline);
        Ok(())
    }

    fn random(&mut self, bytes: &mut [u8]) -> Result<(), Failure> {
        bytes.fill(0x5a);
        Ok(())
    }

    fn call_input(&mut self, offset: u64, bytes: &mut [u8]) -> Result<usize, Failure> {
        note!(self, offset);
        bytes.fill(0xa5);
        Ok(bytes.len() + 1)
    }

    fn call_output(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        note!(self, bytes);
        Ok(())
    }

    fn open(&mut self, place: RelativePath<'_>, how: u64, flags: FdFlags) -> Result<Opened, Failure> {
        note!(self, place.dir.0, place.path, place.follow, how, flags.bits());
        Ok(Opened { handle: Handle(u32::MAX), is_directory: place.follow })
    }

    fn stat_at(&mut self, place: RelativePath<'_>) -> Result<FileStat, Failure> {
        Ok(FileStat { ino: place.dir.0.into(), ..FileStat::default() })
    }

    fn set_times_at(&mut self, place: RelativePath<'_>, times: &Times) -> Result<(), Failure> {
        note!(self, place.dir.0, place.path, place.follow, times.flags, times.atime, times.mtime);
        Ok(())
    }

    fn symlink(&mut self, target: &CStr, place: RelativePath<'_>) -> Result<(), Failure> {
        note!(self, target, place.dir.0, place.path, place.follow);
        Ok(())
    }

    fn rename(&mut self, old: RelativePath<'_>, new: RelativePath<'_>) -> Result<(), Failure> {
        note!(self, old.dir.0, old.path, old.follow, new.dir.0, new.path, new.follow);
        Ok(())
    }

    fn read_link(&mut self, place: RelativePath<'_>, text: &mut [u8]) -> Result<usize, Failure> {
        let path = place.path.to_bytes();
        text[..path.len()].copy_from_slice(path);
        Ok(path.len())
    }

    fn advise(&mut self, handle: Handle, offset: u64, len: u64, advice: Advice) -> Result<(), Failure> {
        note!(self, handle.0, offset, len, advice);
        Ok(())
    }

    fn poll(&mut self, entries: &mut [PollEntry], deadline: Option<u64>) -> Result<usize, Failure> {
        note!(self, entries.len(), deadline);
        for entry in &mut *entries {
            entry.bytes = u64::from(entry.handle) + 1;
        }
        Ok(entries.len())
    }

    fn accept(&mut self, handle: Handle, flags: FdFlags, waits: bool) -> Result<Handle, Failure> {
        note!(self, handle.0, flags.bits(), waits);
        Ok(Handle(12))
    }
}

impl RawOperations for Noting {
    fn alloc(&mut self, size: usize, align: usize) -> Result<Allocated, Failure> {
        note!(self, size, align);
        if size == 0 {
            return Ok(Allocated::Stop(Checkpoint::Time));
        }
        Ok(Allocated::At(NonNull::without_provenance(size.try_into().expect("not 0"))))
    }

    fn free(&mut self, block: Block) -> Result<(), Failure> {
        let (start, size) = block.into_parts();
        note!(self, start.addr(), size);
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<Checkpoint, Failure> {
        Ok(Checkpoint::BrokenPipe)
    }

    fn transfer(&mut self, handle: Handle, transfer: Transfer<'_>, at: Position) -> Result<usize, Failure> {
        let (direction, parts) = match transfer {
            Transfer::Read(into) => ("read", into.parts()),
            Transfer::Write(from) => ("write", from.parts()),
        };
        note!(self, direction, handle.0, parts.iter().map(|part| part.len).collect::<Vec<_>>(), at.0);
        Ok(parts.iter().map(|part| part.len).sum())
    }

    fn receive(&mut self, handle: Handle, into: Destination<'_>, flags: u16) -> Result<Received, Failure> {
        note!(self, handle.0, into.parts().len(), flags);
        Ok(Received { bytes: 1 << 40, is_truncated: flags == 1 })
    }

    fn send(&mut self, handle: Handle, from: Source<'_>) -> Result<usize, Failure> {
        note!(self, handle.0, from.parts().len());
        Ok(0)
    }

    fn splice(&mut self, from: Handle, to: Handle, len: usize) -> Result<usize, Failure> {
        note!(self, from.0, to.0, len);
        Ok(len)
    }

    fn compile(&mut self, functions: Uncompiled<'_>) -> Result<(), Failure> {
        let jit = functions.into_jit();
        note!(self, jit.count, jit.helpers_len, jit.size_max);
        // SAFETY: By the invariant of `Uncompiled`, there are `count` functions, which nothing else
        // uses.
        let functions = unsafe { std::slice::from_raw_parts_mut(jit.functions, jit.count) };
        for function in functions {
            function.entry = function.len + 1;
        }
        Ok(())
    }

    fn tick(&mut self, ticks: Option<Ticks>) -> Result<(), Failure> {
        note!(self, ticks.is_some());
        for (word, value) in ticks.map(Ticks::into_parts).into_iter().flatten() {
            // SAFETY: By the invariant of `Ticks`, the word is valid for atomic accesses.
            unsafe { AtomicU64::from_ptr(word) }.store(value, Ordering::Relaxed);
        }
        Ok(())
    }

    fn alloc_stack(&mut self, size: usize) -> Result<NonNull<u8>, Failure> {
        NonZero::new(size).map(NonNull::without_provenance).ok_or(Failure::Host(12))
    }

    fn grow_memory(&mut self, index: u16, size: usize) -> Result<Allocated, Failure> {
        note!(self, index, size);
        let start = NonZero::new(size).map(NonNull::without_provenance).ok_or(Failure::Host(12))?;
        Ok(if index == 0 { Allocated::At(start) } else { Allocated::Stop(Checkpoint::Time) })
    }
}

/// The engine's end of a border to a [`Noting`] host.
#[derive(Default)]
struct Engine(Noting);

impl Border for Engine {
    type Error = Failure;

    unsafe fn call(&mut self, op: HostOp, words: [u64; WORDS]) -> Result<u64, Failure> {
        assert_eq!(HostOp::from_raw(op as u32), Some(op));
        // SAFETY: The words are those of `op` by the safety requirement of this function.
        unsafe { dispatch(&mut self.0, op, words) }
    }
}

impl Engine {
    fn noted(&self) -> &str {
        &self.0.0
    }
}

fn place(dir: u32, path: &CStr, follow: bool) -> RelativePath<'_> {
    RelativePath { dir: Handle(dir), path, follow }
}

#[test]
fn numbers_and_flags_arrive_as_they_were_sent() {
    let mut engine = Engine::default();
    assert_eq!(engine.seek(Handle(u32::MAX), -5, Whence::End), Ok(u64::MAX));
    assert_eq!(engine.noted(), "4294967295 -5 End");
    assert_eq!(engine.set_flags(Handle(1), FdFlags::from_raw(0b10101).expect("known")), Ok(()));
    assert_eq!(engine.noted(), "1 21");
    assert_eq!(engine.clock_time(ClockId::ThreadCpu), Ok(7));
    assert_eq!(engine.noted(), "ThreadCpu");
    assert_eq!(engine.sleep_until(ClockId::Monotonic, u64::MAX), Ok(()));
    assert_eq!(engine.noted(), "Monotonic 18446744073709551615");
    assert_eq!(engine.advise(Handle(2), 3, u64::MAX, Advice::NoReuse), Ok(()));
    assert_eq!(engine.noted(), "2 3 18446744073709551615 NoReuse");
    assert_eq!(engine.accept(Handle(3), FdFlags::default(), false), Ok(Handle(12)));
    assert_eq!(engine.noted(), "3 0 false");
    assert_eq!(engine.splice(Handle(4), Handle(5), 6), Ok(6));
    assert_eq!(engine.noted(), "4 5 6");
}

#[test]
fn places_and_texts_arrive_as_they_were_sent() {
    let mut engine = Engine::default();
    let opened = engine.open(place(u32::MAX, c"a/b", true), 1 << 5, FdFlags::default());
    assert_eq!(opened, Ok(Opened { handle: Handle(u32::MAX), is_directory: true }));
    assert_eq!(engine.noted(), "4294967295 \"a/b\" true 32 0");
    let opened = engine.open(place(3, c"c", false), 0, FdFlags::default());
    assert_eq!(opened, Ok(Opened { handle: Handle(u32::MAX), is_directory: false }));
    assert_eq!(engine.rename(place(1, c"old", false), place(2, c"new", true)), Ok(()));
    assert_eq!(engine.noted(), "1 \"old\" false 2 \"new\" true");
    assert_eq!(engine.symlink(c"../target", place(1, c"link", false)), Ok(()));
    assert_eq!(engine.noted(), "\"../target\" 1 \"link\" false");
    let times = Times { flags: 5, reserved: 0, atime: 6, mtime: 7 };
    assert_eq!(engine.set_times_at(place(1, c"file", true), &times), Ok(()));
    assert_eq!(engine.noted(), "1 \"file\" true 5 6 7");
    let mut text = [0; 8];
    assert_eq!(engine.read_link(place(1, c"link", false), &mut text), Ok(4));
    assert_eq!(&text, b"link\0\0\0\0");
}

#[test]
fn the_host_writes_into_what_the_engine_borrows() {
    let mut engine = Engine::default();
    let mut bytes = [0; 3];
    assert_eq!(engine.random(&mut bytes), Ok(()));
    assert_eq!(bytes, [0x5a; 3]);
    assert_eq!(engine.random(&mut []), Ok(()));
    assert_eq!(engine.call_input(u64::MAX, &mut bytes), Ok(4));
    assert_eq!((engine.noted(), bytes), ("18446744073709551615", [0xa5; 3]));
    assert_eq!(engine.call_output(&bytes), Ok(()));
    assert_eq!(engine.noted(), "[165, 165, 165]");
    let stat = engine.stat(Handle(41)).expect("no failure");
    assert_eq!((stat.ino, stat.size), (41, 3));
    assert_eq!(engine.stat_at(place(42, c"x", false)).map(|stat| stat.ino), Ok(42));
    let mut entries = [PollEntry { handle: 1, ..PollEntry::default() }, PollEntry::default()];
    assert_eq!(engine.poll(&mut entries, None), Ok(2));
    assert_eq!(engine.noted(), "2 None");
    assert_eq!(entries.map(|entry| entry.bytes), [2, 1]);
    assert_eq!(engine.poll(&mut [], Some(0)), Ok(0));
    assert_eq!(engine.noted(), "0 Some(0)");
}

#[test]
fn transfers_arrive_with_their_direction() {
    let mut engine = Engine::default();
    let mut memory = [0_u8; 16];
    let part = |len| IoVec { addr: std::ptr::null_mut(), len };
    let parts = [IoVec { addr: memory.as_mut_ptr(), len: 16 }, part(0)];
    // SAFETY: The parts are `memory`, which nothing else uses, and nothing.
    let into = unsafe { Destination::new(&parts) };
    // SAFETY: The parts are `memory`, which nothing writes, and nothing.
    let from = unsafe { Source::new(&parts) };
    assert_eq!(engine.transfer(Handle(1), Transfer::Read(into), Position::CURRENT), Ok(16));
    assert_eq!(engine.noted(), "\"read\" 1 [16, 0] 18446744073709551615");
    assert_eq!(engine.transfer(Handle(2), Transfer::Write(from), Position(9)), Ok(16));
    assert_eq!(engine.noted(), "\"write\" 2 [16, 0] 9");
    assert_eq!(engine.receive(Handle(3), into, 1), Ok(Received { bytes: 1 << 40, is_truncated: true }));
    assert_eq!(engine.noted(), "3 2 1");
    assert_eq!(engine.receive(Handle(3), into, 0), Ok(Received { bytes: 1 << 40, is_truncated: false }));
    assert_eq!(engine.send(Handle(4), from), Ok(0));
    assert_eq!(engine.noted(), "4 2");
}

#[test]
fn memory_is_allocated_and_freed() {
    let mut engine = Engine::default();
    let Ok(Allocated::At(start)) = engine.alloc(8192, 16) else {
        panic!("no block");
    };
    assert_eq!((engine.noted(), start.addr().get()), ("8192 16", 8192));
    assert_eq!(engine.alloc(0, 16), Ok(Allocated::Stop(Checkpoint::Time)));
    // SAFETY: `alloc` returned `start` for this size, and nothing uses it.
    let block = unsafe { Block::new(start, 8192) };
    assert_eq!(engine.free(block), Ok(()));
    assert_eq!(engine.noted(), "8192 8192");
    assert_eq!(engine.checkpoint(), Ok(Checkpoint::BrokenPipe));
}

#[test]
fn functions_are_compiled() {
    let mut engine = Engine::default();
    let code = [0_u64; 3];
    let function = JitFunction { code: code.as_ptr(), len: code.len(), frame: 8, size: 0, entry: 0, reserved: 0 };
    let mut functions = [function; 2];
    let helpers = [0_usize; 5];
    let jit = Jit {
        functions: functions.as_mut_ptr(),
        count: functions.len(),
        helpers: helpers.as_ptr(),
        helpers_len: helpers.len(),
        size_max: 100,
    };
    // SAFETY: The addresses are those of `functions`, `code` and `helpers`, which are not used
    // until the call returns. There are no helpers.
    let uncompiled = unsafe { Uncompiled::new(&jit) };
    assert_eq!(engine.compile(uncompiled), Ok(()));
    assert_eq!(engine.noted(), "2 5 100");
    assert_eq!(functions.map(|function| function.entry), [4, 4]);
}

#[test]
fn ticks_set_both_words() {
    let mut engine = Engine::default();
    let (flag, word) = (AtomicU64::new(0), AtomicU64::new(0));
    // SAFETY: Both words live until the end of this function and are accessed atomically.
    let ticks = unsafe { Ticks::new(flag.as_ptr(), word.as_ptr(), u64::MAX) };
    assert_eq!(engine.tick(Some(ticks)), Ok(()));
    assert_eq!((flag.into_inner(), word.into_inner()), (1, u64::MAX));
    assert_eq!(engine.noted(), "true");
    assert_eq!(engine.tick(None), Ok(()));
    assert_eq!(engine.noted(), "false");
}

#[test]
fn stacks_are_allocated() {
    let mut engine = Engine::default();
    assert_eq!(engine.alloc_stack(0), Err(Failure::Host(12)));
    let start = engine.alloc_stack(8192).expect("no failure");
    assert_eq!(start.addr().get(), 8192);
}

#[test]
fn memories_grow() {
    let mut engine = Engine::default();
    assert_eq!(engine.grow_memory(0, 0), Err(Failure::Host(12)));
    let start = NonNull::without_provenance(NonZero::new(1 << 16).expect("not 0"));
    assert_eq!(engine.grow_memory(0, 1 << 16), Ok(Allocated::At(start)));
    assert_eq!(engine.noted(), "0 65536");
    assert_eq!(engine.grow_memory(15, 1), Ok(Allocated::Stop(Checkpoint::Time)));
    assert_eq!(engine.noted(), "15 1");
}

#[test]
fn failures_arrive_and_missing_operations_are_not_supported() {
    let mut engine = Engine::default();
    assert_eq!(engine.close(Handle(1)), Err(Failure::Host(9)));
    assert_eq!(engine.unlink(place(1, c"x", false)), Err(Failure::Call(CallError::NotSupported)));
    assert_eq!(engine.shutdown(Handle(1), 1), Err(Failure::Call(CallError::NotSupported)));
    assert_eq!(HostOp::from_raw(5), None);
    assert_eq!(HostOp::from_raw(u32::MAX), None);
}

#[test]
fn words_that_are_no_arguments_are_refused() {
    let mut host = Noting::default();
    // SAFETY: The words of these operations hold no addresses.
    let mut malformed = |op, words| unsafe { dispatch(&mut host, op, words) };
    let refused = Err(Failure::Call(CallError::Malformed));
    assert_eq!(malformed(HostOp::ClockTime, [4, 0, 0, 0]), refused);
    assert_eq!(malformed(HostOp::Seek, [1, 0, 3, 0]), refused);
    assert_eq!(malformed(HostOp::SetFlags, [1, 1 << 5, 0, 0]), refused);
    assert_eq!(malformed(HostOp::Shutdown, [1, 256, 0, 0]), refused);
    assert_eq!(malformed(HostOp::Free, [0, 1, 0, 0]), refused);
}
