// SPDX-License-Identifier: GPL-2.0

//! The words of a call: how they carry typed arguments and results.

use super::{
    Allocated,
    Block,
    CallError,
    Destination,
    RelativePath,
    Source,
    Ticks,
    Transfer,
    Uncompiled, //
};
use crate::{
    ffi::{
        Checkpoint,
        FileStat,
        Handle,
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
    ffi::{
        CStr,
        c_void, //
    },
    ptr::{
        self,
        NonNull, //
    },
    slice, //
};

/// Number of words of one call's arguments.
pub const WORDS: usize = 4;

/// Words of a call, which arguments are written to and read from in order.
pub(super) struct Words {
    words: [u64; WORDS],
    next: usize,
}

impl Words {
    /// Returns the words of a call, to put arguments in or to take them.
    #[inline(always)]
    pub(super) fn new(words: [u64; WORDS]) -> Self {
        Self { words, next: 0 }
    }

    #[inline(always)]
    fn put(&mut self, word: u64) {
        // Each row of the table has at most `WORDS` words; the build checks it.
        if let Some(place) = self.words.get_mut(self.next) {
            *place = word;
        }
        self.next = self.next.wrapping_add(1);
    }

    #[inline(always)]
    fn put_address<T>(&mut self, address: *const T) {
        self.put(address.expose_provenance() as u64);
    }

    #[inline(always)]
    fn take(&mut self) -> u64 {
        let word = self.words.get(self.next).copied().unwrap_or_default();
        self.next = self.next.wrapping_add(1);
        word
    }

    #[inline(always)]
    fn take_address<T>(&mut self) -> Option<*mut T> {
        usize::try_from(self.take()).ok().map(ptr::with_exposed_provenance_mut)
    }

    /// Takes address and number of elements of a slice.
    #[inline(always)]
    fn take_slice<T>(&mut self) -> Option<(*mut T, usize)> {
        Some((self.take_address()?, usize::try_from(self.take()).ok()?))
    }
}

/// Typed argument of an operation.
pub(super) trait Argument: Sized {
    /// Number of words of the argument.
    const WORDS: usize = 1;

    /// Appends the argument's words.
    fn put(self, words: &mut Words);

    /// Takes the argument's words; `None` if they are not a value of this type.
    ///
    /// # Safety
    ///
    /// The next [`Argument::WORDS`] words must come from [`Argument::put`] of the same type, and
    /// what that argument borrowed must still be borrowed while the result is used.
    unsafe fn take(words: &mut Words) -> Option<Self>;
}

/// Returns the low half of a word.
#[expect(clippy::cast_possible_truncation, reason = "the other half is not part of the value")]
#[inline(always)]
fn low(word: u64) -> u32 {
    word as u32
}

/// Arguments that are numbers, or wrap one.
macro_rules! number {
    ($($type:ty, |$value:ident| $into:expr, |$word:ident| $from:expr;)*) => {
        $(
            impl Argument for $type {
                #[inline(always)]
                fn put(self, words: &mut Words) {
                    let $value = self;
                    words.put($into);
                }

                #[inline(always)]
                unsafe fn take(words: &mut Words) -> Option<Self> {
                    let $word = words.take();
                    $from
                }
            }
        )*
    };
}

number! {
    u8, |value| value.into(), |word| word.try_into().ok();
    u16, |value| value.into(), |word| word.try_into().ok();
    u64, |value| value, |word| Some(word);
    i64, |value| u64::from_ne_bytes(value.to_ne_bytes()), |word| Some(i64::from_ne_bytes(word.to_ne_bytes()));
    usize, |value| value as u64, |word| word.try_into().ok();
    bool, |value| value.into(), |word| Some(word != 0);
    Handle, |value| value.0.into(), |word| Some(Handle(low(word)));
    Advice, |value| value as u64, |word| word.try_into().ok().and_then(Advice::from_raw);
    ClockId, |value| value as u64, |word| word.try_into().ok().and_then(ClockId::from_raw);
    FdFlags, |value| value.bits().into(), |word| word.try_into().ok().and_then(FdFlags::from_raw);
    Whence, |value| value as u64, |word| word.try_into().ok().and_then(Whence::from_raw);
    // A deadline; there is none if the clock never shows it.
    Option<u64>, |value| value.unwrap_or(u64::MAX), |word| Some((word != u64::MAX).then_some(word));
    Position, |value| value.0, |word| Some(Position(word));
}

impl Argument for &mut [u8] {
    const WORDS: usize = 2;

    #[inline(always)]
    fn put(self, words: &mut Words) {
        words.put_address(self.as_mut_ptr());
        words.put(self.len() as u64);
    }

    #[inline(always)]
    unsafe fn take(words: &mut Words) -> Option<Self> {
        let (start, len) = words.take_slice()?;
        // SAFETY: By the safety requirement of this function, the words are address and length of a
        // slice that is mutably borrowed.
        Some(unsafe { slice::from_raw_parts_mut(start, len) })
    }
}

impl Argument for &[u8] {
    const WORDS: usize = 2;

    #[inline(always)]
    fn put(self, words: &mut Words) {
        words.put_address(self.as_ptr().cast_mut());
        words.put(self.len() as u64);
    }

    #[inline(always)]
    unsafe fn take(words: &mut Words) -> Option<Self> {
        let (start, len) = words.take_slice()?;
        // SAFETY: By the safety requirement of this function, the words are address and length of a
        // slice that is borrowed.
        Some(unsafe { slice::from_raw_parts(start, len) })
    }
}

impl Argument for &mut [PollEntry] {
    const WORDS: usize = 2;

    #[inline(always)]
    fn put(self, words: &mut Words) {
        words.put_address(self.as_mut_ptr());
        words.put(self.len() as u64);
    }

    #[inline(always)]
    unsafe fn take(words: &mut Words) -> Option<Self> {
        let (start, len) = words.take_slice()?;
        // SAFETY: By the safety requirement of this function, the words are address and length of a
        // slice that is mutably borrowed. `PollEntry` is `repr(C)`.
        Some(unsafe { slice::from_raw_parts_mut(start, len) })
    }
}

impl<'a> Argument for Destination<'a> {
    const WORDS: usize = 2;

    #[inline(always)]
    fn put(self, words: &mut Words) {
        words.put_address(self.0.as_ptr());
        words.put(self.0.len() as u64);
    }

    #[inline(always)]
    unsafe fn take(words: &mut Words) -> Option<Self> {
        let (start, len) = words.take_slice()?;
        // SAFETY: By the safety requirement of this function, the words are address and length of a
        // slice that is borrowed. `IoVec` is `repr(C)`.
        let parts = unsafe { slice::from_raw_parts(start, len) };
        // INVARIANT: They are the parts of a `Destination` that is still borrowed.
        Some(Self(parts))
    }
}

impl<'a> Argument for Source<'a> {
    const WORDS: usize = 2;

    #[inline(always)]
    fn put(self, words: &mut Words) {
        words.put_address(self.0.as_ptr());
        words.put(self.0.len() as u64);
    }

    #[inline(always)]
    unsafe fn take(words: &mut Words) -> Option<Self> {
        let (start, len) = words.take_slice()?;
        // SAFETY: By the safety requirement of this function, the words are address and length of a
        // slice that is borrowed. `IoVec` is `repr(C)`.
        let parts = unsafe { slice::from_raw_parts(start, len) };
        // INVARIANT: They are the parts of a `Source` that is still borrowed.
        Some(Self(parts))
    }
}

/// Bit of a [`Transfer`]'s second word that means [`Transfer::Write`]; the number of parts is below
/// it.
const WRITE: u64 = 1 << 63;

impl<'a> Argument for Transfer<'a> {
    const WORDS: usize = 2;

    #[inline(always)]
    fn put(self, words: &mut Words) {
        let (parts, direction) = match self {
            Self::Read(into) => (into.0, 0),
            Self::Write(from) => (from.0, WRITE),
        };
        words.put_address(parts.as_ptr());
        words.put(parts.len() as u64 | direction);
    }

    #[inline(always)]
    unsafe fn take(words: &mut Words) -> Option<Self> {
        let start = words.take_address()?;
        let word = words.take();
        let len = usize::try_from(word & !WRITE).ok()?;
        // SAFETY: By the safety requirement of this function, the words are address and length of a
        // slice that is borrowed. `IoVec` is `repr(C)`.
        let parts = unsafe { slice::from_raw_parts(start, len) };
        // INVARIANT: They are the parts of a `Destination`, or of a `Source`, that is still
        // borrowed.
        Some(if word & WRITE == 0 { Self::Read(Destination(parts)) } else { Self::Write(Source(parts)) })
    }
}

impl Argument for &CStr {
    #[inline(always)]
    fn put(self, words: &mut Words) {
        words.put_address(self.as_ptr());
    }

    #[inline(always)]
    unsafe fn take(words: &mut Words) -> Option<Self> {
        let text = words.take_address()?;
        // SAFETY: By the safety requirement of this function, the word is the address of a C string
        // that is borrowed.
        Some(unsafe { CStr::from_ptr(text) })
    }
}

impl Argument for &Times {
    #[inline(always)]
    fn put(self, words: &mut Words) {
        words.put_address(self);
    }

    #[inline(always)]
    unsafe fn take(words: &mut Words) -> Option<Self> {
        let times = words.take_address()?;
        // SAFETY: By the safety requirement of this function, the word is the address of `Times`
        // that are borrowed. `Times` is `repr(C)`.
        Some(unsafe { &*times })
    }
}

/// Bit of a [`RelativePath`]'s first word that means `follow`; the directory's handle is below it.
const FOLLOW: u64 = 1 << 32;

impl<'a> Argument for RelativePath<'a> {
    const WORDS: usize = 2;

    #[inline(always)]
    fn put(self, words: &mut Words) {
        words.put(u64::from(self.dir.0) | if self.follow { FOLLOW } else { 0 });
        self.path.put(words);
    }

    #[inline(always)]
    unsafe fn take(words: &mut Words) -> Option<Self> {
        let word = words.take();
        let dir = Handle(low(word));
        // SAFETY: By the safety requirement of this function, the next word comes from `put` of a
        // path that is borrowed.
        let path = unsafe { <&CStr>::take(words) }?;
        Some(Self { dir, path, follow: word & FOLLOW != 0 })
    }
}

impl Argument for Block {
    const WORDS: usize = 2;

    #[inline(always)]
    fn put(self, words: &mut Words) {
        words.put_address(self.start.as_ptr());
        words.put(self.size as u64);
    }

    #[inline(always)]
    unsafe fn take(words: &mut Words) -> Option<Self> {
        let (start, size) = words.take_slice()?;
        // INVARIANT: By the safety requirement of this function, the words are those of a `Block`,
        // which `put` consumed.
        Some(Self { start: NonNull::new(start)?, size })
    }
}

impl Argument for Uncompiled<'_> {
    #[inline(always)]
    fn put(self, words: &mut Words) {
        words.put_address(self.0);
    }

    #[inline(always)]
    unsafe fn take(words: &mut Words) -> Option<Self> {
        let jit = words.take_address::<Jit>()?;
        // SAFETY: By the safety requirement of this function, the word is the address of a `Jit`
        // that is borrowed. `Jit` is `repr(C)`.
        let jit = unsafe { &*jit };
        // INVARIANT: The `Jit` is that of an `Uncompiled`, which `put` consumed.
        Some(Self(jit))
    }
}

/// Ticks; there are none if the flag's address is null.
impl Argument for Option<Ticks> {
    const WORDS: usize = 3;

    #[inline(always)]
    fn put(self, words: &mut Words) {
        let (flag, word, value) =
            self.map_or((ptr::null_mut(), ptr::null_mut(), 0), |ticks| (ticks.flag, ticks.word, ticks.value));
        words.put_address(flag);
        words.put_address(word);
        words.put(value);
    }

    #[inline(always)]
    unsafe fn take(words: &mut Words) -> Option<Self> {
        let (flag, word, value) = (words.take_address::<u64>()?, words.take_address()?, words.take());
        // INVARIANT: By the safety requirement of this function, the words are those of `Ticks`,
        // which `put` consumed.
        Some((!flag.is_null()).then_some(Ticks { flag, word, value }))
    }
}

/// Result of an operation that fits into one word.
trait Value: Sized {
    fn into_word(self) -> u64;

    /// Returns the value of `word`; `None` if it is not one of this type.
    fn from_word(word: u64) -> Option<Self>;
}

macro_rules! value {
    ($($type:ty, |$value:ident| $into:expr, |$word:ident| $from:expr;)*) => {
        $(
            impl Value for $type {
                #[inline(always)]
                fn into_word(self) -> u64 {
                    let $value = self;
                    $into
                }

                #[inline(always)]
                fn from_word($word: u64) -> Option<Self> {
                    $from
                }
            }
        )*
    };
}

/// Bit of a result's word that is its flag; the number is below it.
const FLAG: u64 = 1 << 63;

/// Lowest word that is an address in [`Allocated`]; the words below are numbers of [`Checkpoint`].
const LOWEST_ADDRESS: u64 = 4096;

value! {
    (), |_value| 0, |_word| Some(());
    u64, |value| value, |word| Some(word);
    usize, |value| value as u64, |word| word.try_into().ok();
    Handle, |value| value.0.into(), |word| word.try_into().ok().map(Handle);
    Checkpoint, |value| value as u64, |word| Some(Checkpoint::from_raw(word));
    Opened, |value| u64::from(value.handle.0) | if value.is_directory { FLAG } else { 0 },
        |word| Some(Opened { handle: Handle::from_word(word & !FLAG)?, is_directory: word & FLAG != 0 });
    Received, |value| value.bytes as u64 | if value.is_truncated { FLAG } else { 0 },
        |word| Some(Received { bytes: usize::from_word(word & !FLAG)?, is_truncated: word & FLAG != 0 });
    NonNull<u8>, |value| value.as_ptr().expose_provenance() as u64,
        |word| NonNull::new(ptr::with_exposed_provenance_mut(word.try_into().ok()?));
    NonNull<c_void>, |value| value.as_ptr().expose_provenance() as u64,
        |word| NonNull::new(ptr::with_exposed_provenance_mut(word.try_into().ok()?));
    Allocated, |value| match value {
        Allocated::At(start) => start.as_ptr().expose_provenance() as u64,
        Allocated::Stop(checkpoint) => checkpoint as u64,
    }, |word| if word < LOWEST_ADDRESS {
        Some(Allocated::Stop(Checkpoint::from_raw(word)))
    } else {
        NonNull::new(ptr::with_exposed_provenance_mut(word.try_into().ok()?)).map(Allocated::At)
    };
}

/// Typed result of an operation.
pub(super) trait Answer: Sized {
    /// Number of words that the result adds to the arguments.
    const WORDS: usize;

    /// Makes a call with `words` and returns its result.
    ///
    /// # Errors
    ///
    /// The error of `call`; [`CallError::Malformed`] if its word is not a value of this type.
    fn call<E: From<CallError>>(words: Words, call: impl FnOnce([u64; WORDS]) -> Result<u64, E>) -> Result<Self, E>;

    /// Delivers the result to the caller; returns the word of [`HostCall::value`].
    ///
    /// # Safety
    ///
    /// `words` must come from [`Answer::call`] of the same type, the arguments must have been
    /// taken, and the call must not have returned yet.
    ///
    /// [`HostCall::value`]: crate::ffi::HostCall::value
    unsafe fn reply(self, words: Words) -> Option<u64>;
}

impl<V: Value> Answer for V {
    const WORDS: usize = 0;

    #[inline(always)]
    fn call<E: From<CallError>>(words: Words, call: impl FnOnce([u64; WORDS]) -> Result<u64, E>) -> Result<Self, E> {
        Self::from_word(call(words.words)?).ok_or(CallError::Malformed.into())
    }

    #[inline(always)]
    unsafe fn reply(self, _words: Words) -> Option<u64> {
        Some(self.into_word())
    }
}

impl Answer for FileStat {
    const WORDS: usize = 1;

    #[inline(always)]
    fn call<E: From<CallError>>(
        mut words: Words,
        call: impl FnOnce([u64; WORDS]) -> Result<u64, E>,
    ) -> Result<Self, E> {
        let mut stat = Self::default();
        words.put_address(&raw mut stat);
        call(words.words)?;
        Ok(stat)
    }

    #[inline(always)]
    unsafe fn reply(self, mut words: Words) -> Option<u64> {
        let stat = words.take_address::<Self>()?;
        // SAFETY: By the safety requirement of this function, the word is the address of the
        // `FileStat` in `call`, which has not returned. `FileStat` is `repr(C)`.
        unsafe { stat.write(self) };
        Some(0)
    }
}
