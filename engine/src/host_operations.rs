// SPDX-License-Identifier: GPL-2.0

//! Host operations: the calls that the engine makes to its host, which is the kernel module or a
//! native program in tests.
//!
//! The table at the end of this file is the only list of them. The engine and both hosts compile
//! this file. From the table come the numbers ([`HostOp`]), the typed traits that a host implements
//! ([`Operations`] and [`RawOperations`]), the engine's implementation of the same traits, which
//! forwards each call across the border ([`Border`]), and the host's dispatcher ([`dispatch`]). The
//! module `words` alone knows how words carry typed arguments.

use crate::{
    ffi::{
        Checkpoint,
        FileStat,
        Handle,
        IoVec,
        Jit,
        Opened,
        PollEntry,
        Position,
        Received,
        Times, //
    },
    preview1::{
        Advice,
        ClockId,
        FdFlags,
        Whence, //
    },
};
use core::{
    ffi::CStr,
    ptr::NonNull, //
};

#[path = "host_operations/words.rs"]
mod words;

pub use self::words::WORDS;
use self::words::{
    Answer,
    Argument,
    Words, //
};

/// Reason why a call did not reach the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The host does not implement the operation.
    NotSupported,
    /// A word is not a value of its type.
    Malformed,
}

/// Path below a directory. It is not empty, relative, and at most
/// [`PATH_MAX`](crate::ffi::PATH_MAX) bytes long. The host resolves it without leaving the
/// directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelativePath<'a> {
    /// The directory.
    pub dir: Handle,
    /// The path.
    pub path: &'a CStr,
    /// Set if a symbolic link at the end of the path is followed.
    pub follow: bool,
}

/// Guest memory that a host fills, part by part.
///
/// # Invariants
///
/// Each [`IoVec`] describes memory that is valid for writes, and not used otherwise, for `'a`.
#[derive(Clone, Copy)]
pub struct Destination<'a>(&'a [IoVec]);

impl<'a> Destination<'a> {
    /// Returns the destination that `parts` describe.
    ///
    /// # Safety
    ///
    /// Each part must describe memory that is valid for writes, and not used otherwise, for `'a`.
    #[must_use]
    #[inline(always)]
    pub unsafe fn new(parts: &'a [IoVec]) -> Self {
        // INVARIANT: By the safety requirement of this function.
        Self(parts)
    }

    /// Returns the parts.
    #[must_use]
    #[inline(always)]
    pub fn parts(self) -> &'a [IoVec] {
        self.0
    }
}

/// Guest memory that a host reads, part by part.
///
/// # Invariants
///
/// Each [`IoVec`] describes memory that is valid for reads, and not written, for `'a`.
#[derive(Clone, Copy)]
pub struct Source<'a>(&'a [IoVec]);

impl<'a> Source<'a> {
    /// Returns the source that `parts` describe.
    ///
    /// # Safety
    ///
    /// Each part must describe memory that is valid for reads, and not written, for `'a`.
    #[must_use]
    #[inline(always)]
    pub unsafe fn new(parts: &'a [IoVec]) -> Self {
        // INVARIANT: By the safety requirement of this function.
        Self(parts)
    }

    /// Returns the parts.
    #[must_use]
    #[inline(always)]
    pub fn parts(self) -> &'a [IoVec] {
        self.0
    }
}

/// Guest memory of a transfer, and the transfer's direction.
#[derive(Clone, Copy)]
pub enum Transfer<'a> {
    /// From the file to the guest.
    Read(Destination<'a>),
    /// From the guest to the file.
    Write(Source<'a>),
}

/// Memory block that the host allocated.
///
/// # Invariants
///
/// The block comes from [`RawOperations::alloc`], with this size, and this value owns it.
#[derive(Debug)]
pub struct Block {
    start: NonNull<u8>,
    size: usize,
}

impl Block {
    /// Takes ownership of the `size` bytes at `start`.
    ///
    /// # Safety
    ///
    /// [`RawOperations::alloc`] returned `start` for `size` bytes, and nothing uses the block any
    /// more.
    #[must_use]
    pub unsafe fn new(start: NonNull<u8>, size: usize) -> Self {
        // INVARIANT: By the safety requirement of this function.
        Self { start, size }
    }

    /// Returns address and size in bytes.
    #[must_use]
    pub fn into_parts(self) -> (NonNull<u8>, usize) {
        (self.start, self.size)
    }
}

/// Result of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocated {
    /// Address of the new block.
    At(NonNull<u8>),
    /// Nothing was allocated: the work that needs the memory is to end.
    Stop(Checkpoint),
}

/// Functions that a host compiles to machine code.
///
/// # Invariants
///
/// For `'a`, each address in the [`Jit`] and its functions is that of as many elements as the `Jit`
/// and the functions tell. The functions are valid for reads and writes, and not used otherwise.
/// The instructions and the helpers' addresses are valid for reads, and not written. A helper's
/// address is 0 or that of code that may be called with the arguments of its number.
#[derive(Debug)]
pub struct Uncompiled<'a>(&'a Jit);

impl<'a> Uncompiled<'a> {
    /// Returns the functions that `jit` describes.
    ///
    /// # Safety
    ///
    /// The addresses in `jit` must be as the invariants of this type require, for `'a`.
    #[must_use]
    pub unsafe fn new(jit: &'a Jit) -> Self {
        // INVARIANT: By the safety requirement of this function.
        Self(jit)
    }

    /// Returns the description of the functions.
    #[must_use]
    pub fn into_jit(self) -> &'a Jit {
        self.0
    }
}

/// Words that the host sets every few milliseconds: a flag, which it sets to 1, and a word, which
/// it sets to a value.
///
/// # Invariants
///
/// Until the next [`RawOperations::tick`], the drop of the instance, or the end of an entry into
/// the engine that does not return [`Status::Idle`](crate::ffi::Status::Idle), both addresses are
/// those of aligned words that are valid for reads and writes, and are accessed atomically.
#[derive(Debug)]
pub struct Ticks {
    flag: *mut u64,
    word: *mut u64,
    value: u64,
}

impl Ticks {
    /// Returns ticks that set `flag` to 1 and `word` to `value`.
    ///
    /// # Safety
    ///
    /// `flag` and `word` must be as the invariants of this type require.
    #[must_use]
    pub unsafe fn new(flag: *mut u64, word: *mut u64, value: u64) -> Self {
        // INVARIANT: By the safety requirement of this function.
        Self { flag, word, value }
    }

    /// Returns the words with the values that the host sets them to.
    #[must_use]
    pub fn into_parts(self) -> [(*mut u64, u64); 2] {
        [(self.flag, 1), (self.word, self.value)]
    }
}

/// The engine's end of the border to its host. Implementors get [`Operations`] and
/// [`RawOperations`].
pub trait Border {
    /// Error of a call.
    type Error: From<CallError>;

    /// Makes the call `op`; returns the word of its result.
    ///
    /// # Errors
    ///
    /// The host's error.
    ///
    /// # Safety
    ///
    /// `words` must be those that `op`'s row of the table makes of its arguments and its result,
    /// all of which must be borrowed until this function returns.
    unsafe fn call(&mut self, op: HostOp, words: [u64; WORDS]) -> Result<u64, Self::Error>;
}

/// A method of a trait, as a host implements it: required, or with a default where the row says so.
macro_rules! method {
    ($(#[$doc:meta])* $method:ident($($arg:ident: $type:ty),*) -> $answer:ty) => {
        $(#[$doc])*
        fn $method(&mut self, $($arg: $type),*) -> Result<$answer, Self::Error>;
    };
    ($(#[$doc:meta])* $method:ident($($arg:ident: $type:ty),*) -> $answer:ty, $default:ident) => {
        $(#[$doc])*
        fn $method(&mut self, $($arg: $type),*) -> Result<$answer, Self::Error> {
            $(let _ = $arg;)*
            Err(CallError::$default.into())
        }
    };
}

/// Makes everything from the table. A row is `NUMBER = VALUE: METHOD(ARGUMENTS) -> RESULT`; with
/// `else NotSupported`, a host may leave the operation out. The brackets after a trait's name are
/// what the trait, and the engine's implementation of it, have besides the methods.
macro_rules! operations {
    ($(
        $(#[$trait_doc:meta])*
        trait $trait:ident $(: $super:ident)? [$($declared:tt)*] [$($defined:tt)*] {
            $(
                $(#[$doc:meta])*
                $op:ident = $number:literal: $method:ident($($arg:ident: $type:ty),*) -> $answer:ty
                    $(, else $default:ident)?;
            )*
        }
    )*) => {
        /// Number of a host operation.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum HostOp {
            $($(
                #[doc = concat!("[`", stringify!($trait), "::", stringify!($method), "`].")]
                $op = $number,
            )*)*
        }

        impl HostOp {
            /// Returns the operation with the number `value`, if there is one.
            #[must_use]
            #[inline(always)]
            pub fn from_raw(value: u32) -> Option<Self> {
                match value {
                    $($($number => Some(Self::$op),)*)*
                    _ => None,
                }
            }

            /// Returns the name of the method.
            #[must_use]
            pub fn name(self) -> &'static CStr {
                match self {
                    $($(Self::$op => const {
                        match CStr::from_bytes_with_nul(concat!(stringify!($method), "\0").as_bytes()) {
                            Ok(name) => name,
                            Err(_) => c"",
                        }
                    },)*)*
                }
            }
        }

        $(
            $(#[$trait_doc])*
            pub trait $trait $(: $super)? {
                $($declared)*
                $(method! { $(#[$doc])* $method($($arg: $type),*) -> $answer $(, $default)? })*
            }

            impl<B: Border> $trait for B {
                $($defined)*
                $(
                    #[inline(always)]
                    fn $method(&mut self, $($arg: $type),*) -> Result<$answer, Self::Error> {
                        const { assert!(<$answer as Answer>::WORDS $(+ <$type as Argument>::WORDS)* <= WORDS) };
                        #[allow(unused_mut, reason = "operations without arguments")]
                        let mut words = Words::new([0; WORDS]);
                        $($arg.put(&mut words);)*
                        Answer::call(words, |words| {
                            // SAFETY: The words are those of this row. What its arguments and its
                            // result borrow is borrowed until this function returns.
                            unsafe { self.call(HostOp::$op, words) }
                        })
                    }
                )*
            }
        )*

        /// Makes the call `op` with the arguments in `words`; returns the word of its result.
        ///
        /// # Errors
        ///
        /// The error of the operation; [`CallError::Malformed`] if a word is not a value of its
        /// type.
        ///
        /// # Safety
        ///
        /// `words` must come from [`Border::call`] for the same `op`, which must not have returned
        /// yet.
        #[inline(always)]
        pub unsafe fn dispatch<H: RawOperations>(
            host: &mut H,
            op: HostOp,
            words: [u64; WORDS],
        ) -> Result<u64, H::Error> {
            #[allow(unused_mut, reason = "operations without arguments")]
            let mut words = Words::new(words);
            match op {
                $($(HostOp::$op => {
                    $(
                        // SAFETY: By the safety requirement of this function, `words` are those of
                        // this row. Its arguments are taken in the order in which they were put,
                        // and stay borrowed until `Border::call` returns.
                        let $arg = unsafe { <$type as Argument>::take(&mut words) }.ok_or(CallError::Malformed)?;
                    )*
                    let answer: $answer = host.$method($($arg),*)?;
                    // SAFETY: By the safety requirement of this function, `words` are those of this
                    // row. Its arguments have been taken, and `Border::call` has not returned.
                    unsafe { answer.reply(words) }.ok_or(CallError::Malformed.into())
                })*)*
            }
        }
    };
}

operations! {
    /// Host operations that the engine's functions call as they are here.
    ///
    /// Every method may sleep. All of them fail with an `errno` of Linux, or because a signal or
    /// the end of the guest is pending; then they have done nothing. A host without files or
    /// sockets leaves out their methods, which then fail with [`CallError::NotSupported`].
    trait Operations [
        /// Error of the operations.
        type Error: From<CallError>;
    ] [
        type Error = B::Error;
    ] {
        /// Lets other tasks run.
        Yield = 2: yield_now() -> ();

        /// Moves the position of `handle`; returns the new position, in bytes from the start.
        Seek = 6: seek(handle: Handle, offset: i64, whence: Whence) -> u64;

        /// Closes `handle`, even if it fails.
        Close = 7: close(handle: Handle) -> ();

        /// Returns the metadata of `handle`.
        Stat = 8: stat(handle: Handle) -> FileStat;

        /// Sets the flags of `handle`.
        SetFlags = 9: set_flags(handle: Handle, flags: FdFlags) -> ();

        /// Returns the time of `clock`, in nanoseconds.
        ClockTime = 10: clock_time(clock: ClockId) -> u64;

        /// Returns the resolution of `clock`, in nanoseconds.
        ClockResolution = 11: clock_resolution(clock: ClockId) -> u64;

        /// Sleeps until `clock` shows `deadline` nanoseconds.
        SleepUntil = 12: sleep_until(clock: ClockId, deadline: u64) -> ();

        /// Fills `bytes` with cryptographically secure random bytes.
        Random = 13: random(bytes: &mut [u8]) -> ();

        /// Opens `place` as the bits `how` of [`open`](crate::ffi::open) tell. The new handle has
        /// `flags`.
        Open = 14: open(place: RelativePath<'_>, how: u64, flags: FdFlags) -> Opened, else NotSupported;

        /// Returns the metadata of `place`, but not its flags and socket type.
        StatAt = 15: stat_at(place: RelativePath<'_>) -> FileStat, else NotSupported;

        /// Sets the timestamps of `handle`.
        SetTimes = 16: set_times(handle: Handle, times: &Times) -> (), else NotSupported;

        /// Sets the timestamps of `place`.
        SetTimesAt = 17: set_times_at(place: RelativePath<'_>, times: &Times) -> (), else NotSupported;

        /// Creates a directory.
        CreateDirectory = 18: create_directory(place: RelativePath<'_>) -> (), else NotSupported;

        /// Removes a directory.
        RemoveDirectory = 19: remove_directory(place: RelativePath<'_>) -> (), else NotSupported;

        /// Removes a file.
        Unlink = 20: unlink(place: RelativePath<'_>) -> (), else NotSupported;

        /// Creates the symbolic link `place` with the text `target`, which may be an absolute path.
        Symlink = 21: symlink(target: &CStr, place: RelativePath<'_>) -> (), else NotSupported;

        /// Creates the hard link `new` to `old`.
        Link = 22: link(old: RelativePath<'_>, new: RelativePath<'_>) -> (), else NotSupported;

        /// Renames `old` to `new`.
        Rename = 23: rename(old: RelativePath<'_>, new: RelativePath<'_>) -> (), else NotSupported;

        /// Copies the text of the symbolic link `place` into `text`, as far as it fits; returns the
        /// length of the whole text in bytes.
        ReadLink = 24: read_link(place: RelativePath<'_>, text: &mut [u8]) -> usize, else NotSupported;

        /// Writes the entries of a directory from `cookie` on (0 is the first) to `entries`:
        /// preview 1 `dirent`s, each followed by its name. The last entry may be cut off. Returns
        /// the number of bytes, which is less than the length of `entries` only at the end of the
        /// directory.
        ReadDirectory = 25: read_directory(handle: Handle, entries: &mut [u8], cookie: u64) -> usize, else NotSupported;

        /// Announces the use of `len` bytes at `offset`.
        Advise = 26: advise(handle: Handle, offset: u64, len: u64, advice: Advice) -> (), else NotSupported;

        /// Allocates space for `len` bytes at `offset`.
        Allocate = 27: allocate(handle: Handle, offset: u64, len: u64) -> (), else NotSupported;

        /// Sets the size of a file in bytes.
        SetSize = 28: set_size(handle: Handle, size: u64) -> (), else NotSupported;

        /// Writes a file to its device; with `data_only`, its data and what is needed to find them.
        Sync = 29: sync(handle: Handle, data_only: bool) -> (), else NotSupported;

        /// Waits until one of `entries` is ready, or until the monotonic clock shows `deadline`
        /// nanoseconds. Returns the number of ready entries.
        Poll = 30: poll(entries: &mut [PollEntry], deadline: Option<u64>) -> usize, else NotSupported;

        /// Accepts a connection of a listening socket. The new handle has `flags`. Without `waits`,
        /// it fails with `EAGAIN` instead of waiting.
        Accept = 31: accept(handle: Handle, flags: FdFlags, waits: bool) -> Handle, else NotSupported;

        /// Shuts a socket down, in the directions of the preview 1 `sdflags` `how`.
        Shutdown = 34: shutdown(handle: Handle, how: u8) -> (), else NotSupported;

        /// Copies the input of the present call from `offset` on into `bytes`, as far as both
        /// reach; returns the length of the whole input in bytes. Fails with `ENOTCONN` outside of
        /// a call.
        CallInput = 40: call_input(offset: u64, bytes: &mut [u8]) -> usize, else NotSupported;

        /// Appends `bytes` to the output of the present call. Fails with `ENOBUFS` if they do not
        /// fit in the caller's buffer, and with `ENOTCONN` outside of a call.
        CallOutput = 41: call_output(bytes: &[u8]) -> (), else NotSupported;
    }

    /// Host operations that the engine's functions call in another form: transfers take addresses
    /// here and parts of a linear memory there, and other operations are for the engine itself. A
    /// host without a compiler leaves out the methods of compiled guests, which then fail with
    /// [`CallError::NotSupported`].
    trait RawOperations: Operations [] [] {
        /// Allocates `size` bytes, aligned to `align`. Fails with `EDQUOT` if the heaps of all
        /// guests would exceed their limit.
        Alloc = 0: alloc(size: usize, align: usize) -> Allocated;

        /// Frees a block.
        Free = 1: free(block: Block) -> ();

        /// Decides between two slices, and during long operations, whether the guest may continue.
        /// Lets other tasks run.
        Checkpoint = 3: checkpoint() -> Checkpoint;

        /// Reads from, or writes to, a file; returns the number of bytes, 0 at the end of the file.
        Transfer = 4: transfer(handle: Handle, transfer: Transfer<'_>, at: Position) -> usize;

        /// Receives from a socket into `into`, with preview 1 `riflags`.
        Receive = 32: receive(handle: Handle, into: Destination<'_>, flags: u16) -> Received;

        /// Sends `from` on a socket; returns the number of bytes.
        Send = 33: send(handle: Handle, from: Source<'_>) -> usize;

        /// Moves at most `len` bytes from one file to another, at the positions of both, and waits
        /// until it can write. Returns the number of bytes, 0 at the end of `from`. Fails with
        /// `ENOSYS`, before it moves anything, if these files need a buffer in between.
        Splice = 35: splice(from: Handle, to: Handle, len: usize) -> usize;

        /// Compiles `functions` to machine code and fills in their entries and sizes. The host owns
        /// the machine code and frees it after it has closed the account of the current engine
        /// entry. Fails with `EOPNOTSUPP` if the host has no compiler, with `EFBIG` if there would
        /// be more machine code than [`Jit::size_max`] bytes, and with `EINTR` if the work is to
        /// end.
        Compile = 36: compile(functions: Uncompiled<'_>) -> (), else NotSupported;

        /// Starts to set the words of `ticks` every few milliseconds, until the next such call or
        /// the end of the entry into the engine. Ends earlier ticks. `None` only ends them. While a
        /// reactor is idle, the ticks may stop; they go on in its next call.
        Tick = 37: tick(ticks: Option<Ticks>) -> (), else NotSupported;

        /// Allocates a stack of `size` bytes between guard pages, one for each account. The host
        /// owns it and frees it after it has closed the account of the current engine entry. Fails
        /// with `EDQUOT` if the heaps of all guests would exceed their limit.
        AllocStack = 38: alloc_stack(size: usize) -> NonNull<u8>, else NotSupported;

        /// Makes linear memory `index` of the guest `size` bytes large, at least as large as
        /// before, and returns its new address. New bytes are zero. The host owns the memory and
        /// frees it after it has closed the account of the current engine entry. Fails like
        /// [`RawOperations::alloc`]; then the memory stays where it is.
        GrowMemory = 39: grow_memory(index: u16, size: usize) -> Allocated, else NotSupported;
    }
}
