// SPDX-License-Identifier: GPL-2.0

//! Call rings: `KWASMI_IOC_RING` and `KWASMI_IOC_RING_RUN` of `kmod/uapi/kwasmi.h`. One ioctl makes
//! many calls of a reactor. Input and output are in memory that the process shares with the kernel.

use super::calls::{
    Function,
    Reactor, //
};
use crate::{
    kernel_device::{
        Argument,
        Log,
        call,
        returned, //
    },
    run_result::RunResult,
    uapi::{
        self,
        kwasmi_ring,
        kwasmi_ring_entry,
        kwasmi_ring_run,
        kwasmi_run, //
    },
};
use rustix::{
    io::Errno,
    ioctl::Opcode,
    mm::{
        MapFlags,
        ProtFlags,
        mmap,
        munmap, //
    },
};
use std::{
    mem::offset_of,
    num::NonZeroU64,
    ops::Range,
    os::fd::{
        AsFd,
        BorrowedFd,
        OwnedFd, //
    },
    ptr::{
        self,
        NonNull, //
    },
    sync::atomic::{
        AtomicU32,
        AtomicU64,
        Ordering, //
    },
};

// SAFETY: The header defines `KWASMI_IOC_RING` with this structure, which consists of integers
// only.
unsafe impl Argument for kwasmi_ring {
    const OPCODE: Opcode = uapi::IOC_RING;
}

// SAFETY: The header defines `KWASMI_IOC_RING_RUN` with this structure, which consists of integers
// only.
unsafe impl Argument for kwasmi_ring_run {
    const OPCODE: Opcode = uapi::IOC_RING_RUN;
}

/// Upper bound of the number of arguments of a call, and of the results that are stored.
pub const VALUES_MAX: usize = uapi::KWASMI_RING_VALUES as usize;

/// Input, output and number of a call that [`CallRing::push`] adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingCall {
    /// Input: a range of the data.
    pub input: Range<u32>,
    /// Buffer for the output: a range of the data.
    pub output: Range<u32>,
    /// Number that the caller chooses; [`Finished::user_data`] returns it.
    pub user_data: u64,
}

/// Call that has finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The number in [`RingCall`].
    pub user_data: u64,
    /// The results, at most [`VALUES_MAX`] of them, or the error of `struct kwasmi_ring_entry`.
    pub results: Result<Vec<u64>, Errno>,
    /// Bytes of output.
    pub output_len: u32,
}

/// Why [`CallRing::run`] returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ran {
    /// All calls have finished, or the thread had to return to userspace, for example to handle a
    /// signal. If [`CallRing::is_idle`] returns false, call [`CallRing::run`] again.
    Paused,
    /// A guest has ended during the last call that has finished. The fields of [`RunResult`] that
    /// count resources are 0.
    Ended(RunResult),
}

/// A call ring. One thread adds calls and takes their results.
///
/// # Invariants
///
/// `address` is that of `map_size` mapped bytes, which hold a ring with `entries` entries and
/// `data_size` bytes of data from `data_offset` on.
#[derive(Debug)]
pub struct CallRing {
    fd: OwnedFd,
    address: NonNull<u8>,
    map_size: usize,
    entries: u32,
    data_offset: usize,
    data_size: u32,
    /// Number of calls that were added.
    tail: u32,
    /// Number of calls whose results were taken.
    taken: u32,
}

// SAFETY: Any thread may access the mapping.
unsafe impl Send for CallRing {}

impl CallRing {
    /// Creates a ring of calls of `reactor` with `entries` entries, a power of two, and `data_size`
    /// bytes of data.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_RING` and mmap(2).
    pub fn new(reactor: &impl Reactor, entries: u32, data_size: u32) -> Result<Self, Errno> {
        let mut request = kwasmi_ring { entries, data_size, ..kwasmi_ring::default() };
        // SAFETY: The structure has no addresses.
        let fd = unsafe { call(reactor, &mut request) }?;
        // SAFETY: The ioctl has succeeded and returns a new descriptor.
        let fd = unsafe { returned(fd) };
        let map_size = usize::try_from(request.map_size).map_err(|_| Errno::NOMEM)?;
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: The kernel chooses the address, so no memory of this process is replaced.
        let address = unsafe { mmap(ptr::null_mut(), map_size, access, flags, &fd, 0) }?;
        let address = NonNull::new(address.cast()).ok_or(Errno::NOMEM)?;
        // INVARIANT: The ring was just created and mapped.
        Ok(Self {
            fd,
            address,
            map_size,
            entries,
            data_offset: request.data_offset as usize,
            data_size,
            tail: 0,
            taken: 0,
        })
    }

    /// Returns the number at `offset` of the mapping.
    fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.map_size, "a field of the ring");
        let field = self.address.as_ptr().wrapping_byte_add(offset).cast::<AtomicU32>();
        // SAFETY: By the type invariant the address is mapped, and the check above keeps it within
        // the mapping and aligned. The kernel accesses fields of the ring as atomics.
        unsafe { &*field }
    }

    /// Returns the number of 64 bits at `offset` of the mapping.
    fn wide_word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.map_size, "a field of the ring");
        let field = self.address.as_ptr().wrapping_byte_add(offset).cast::<AtomicU64>();
        // SAFETY: By the type invariant the address is mapped, and the check above keeps it within
        // the mapping and aligned. The kernel accesses fields of the ring as atomics.
        unsafe { &*field }
    }

    /// Returns the offset in the mapping of the entry of call `number`.
    fn entry(&self, number: u32) -> usize {
        let index = (number & (self.entries - 1)) as usize;
        uapi::KWASMI_RING_ENTRIES_OFFSET as usize + index * size_of::<kwasmi_ring_entry>()
    }

    /// Returns the number of calls that have finished.
    fn head(&self) -> u32 {
        self.word(offset_of!(uapi::kwasmi_ring_header, head)).load(Ordering::Acquire)
    }

    /// Returns true if all calls have finished.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.head() == self.tail
    }

    /// Adds a call of `function` with `args`. [`CallRing::run`] runs it.
    ///
    /// # Errors
    ///
    /// [`Errno::AGAIN`] if all entries hold calls that have not finished or were not taken by
    /// [`CallRing::pop`]; [`Errno::TOOBIG`] if there are more than [`VALUES_MAX`] arguments.
    pub fn push(&mut self, function: &Function, args: &[u64], request: &RingCall) -> Result<(), Errno> {
        if self.tail.wrapping_sub(self.taken) >= self.entries {
            return Err(Errno::AGAIN);
        }
        if args.len() > VALUES_MAX {
            return Err(Errno::TOOBIG);
        }
        let entry = self.entry(self.tail);
        let set = |field: usize, value: u32| self.word(entry + field).store(value, Ordering::Relaxed);
        let len = |range: &Range<u32>| range.end.saturating_sub(range.start);
        set(offset_of!(kwasmi_ring_entry, function), function.number);
        set(offset_of!(kwasmi_ring_entry, args_len), u32::try_from(args.len()).map_err(|_| Errno::TOOBIG)?);
        set(offset_of!(kwasmi_ring_entry, input), request.input.start);
        set(offset_of!(kwasmi_ring_entry, input_len), len(&request.input));
        set(offset_of!(kwasmi_ring_entry, output), request.output.start);
        set(offset_of!(kwasmi_ring_entry, output_size), len(&request.output));
        let user_data = entry + offset_of!(kwasmi_ring_entry, user_data);
        self.wide_word(user_data).store(request.user_data, Ordering::Relaxed);
        for (index, arg) in args.iter().enumerate() {
            let value = entry + offset_of!(kwasmi_ring_entry, values) + 8 * index;
            self.wide_word(value).store(*arg, Ordering::Relaxed);
        }
        self.tail = self.tail.wrapping_add(1);
        self.word(offset_of!(uapi::kwasmi_ring_header, tail)).store(self.tail, Ordering::Release);
        Ok(())
    }

    /// Runs calls in this thread, for at most `timeout` nanoseconds.
    ///
    /// # Errors
    ///
    /// The errors of `KWASMI_IOC_RING_RUN`.
    pub fn run(&self, timeout: Option<NonZeroU64>) -> Result<Ran, Errno> {
        let mut log = Log::new();
        let mut request = kwasmi_ring_run {
            // u64::MAX is KWASMI_UNLIMITED, whose type bindgen does not know.
            timeout: timeout.map_or(u64::MAX, NonZeroU64::get),
            log: log.address(),
            log_size: log.size(),
            ..kwasmi_ring_run::default()
        };
        // SAFETY: `log` is an owned buffer of `log_size` writable bytes. It lives until the call
        // returns, and is not accessed meanwhile.
        unsafe { call(&self.fd, &mut request) }?;
        if request.ended == 0 {
            return Ok(Ran::Paused);
        }
        let (status, code, limit_value) = (request.status, request.code, request.limit_value);
        let run = kwasmi_run { status, code, limit_value, ..kwasmi_run::default() };
        Ok(Ran::Ended(RunResult::from_raw(&run, log.text(request.log_len))))
    }

    /// Takes the results of the first call that has finished; `None` if there is none.
    pub fn pop(&mut self) -> Option<Finished> {
        if self.head() == self.taken {
            return None;
        }
        let entry = self.entry(self.taken);
        let get = |field: usize| self.word(entry + field).load(Ordering::Relaxed);
        let error = get(offset_of!(kwasmi_ring_entry, error)).cast_signed();
        let results = match error {
            0 => {
                let len = get(offset_of!(kwasmi_ring_entry, results_len)) as usize;
                let value = |index| entry + offset_of!(kwasmi_ring_entry, values) + 8 * index;
                let values = (0..len.min(VALUES_MAX)).map(value);
                Ok(values.map(|value| self.wide_word(value).load(Ordering::Relaxed)).collect())
            }
            error => Err(Errno::from_raw_os_error(error.saturating_neg())),
        };
        let finished = Finished {
            user_data: self.wide_word(entry + offset_of!(kwasmi_ring_entry, user_data)).load(Ordering::Relaxed),
            results,
            output_len: get(offset_of!(kwasmi_ring_entry, output_len)),
        };
        self.taken = self.taken.wrapping_add(1);
        Some(finished)
    }

    /// Returns the address of `len` bytes at `offset` of the data; `None` if they are not within
    /// it.
    fn data(&self, offset: u32, len: usize) -> Option<NonNull<u8>> {
        let end = (offset as usize).checked_add(len)?;
        // SAFETY: By the type invariant the data are mapped, and the check keeps the address within
        // them.
        (end <= self.data_size as usize).then(|| unsafe { self.address.byte_add(self.data_offset + offset as usize) })
    }

    /// Copies `bytes` to `offset` of the data. Returns false if the range is not within the data. No
    /// call that uses the range may be in the ring or, after [`Errno::INPROGRESS`], still run.
    pub fn write_data(&mut self, offset: u32, bytes: &[u8]) -> bool {
        let Some(to) = self.data(offset, bytes.len()) else { return false };
        // SAFETY: `data` has returned the address of as many mapped bytes, which do not overlap
        // memory of Rust. If a function still uses them, some of the bytes are old and some new.
        unsafe { to.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        true
    }

    /// Copies bytes from `offset` of the data to `bytes`. Returns false if the range is not within
    /// the data. No call that uses the range may be in the ring or, after [`Errno::INPROGRESS`],
    /// still run.
    pub fn read_data(&self, offset: u32, bytes: &mut [u8]) -> bool {
        let Some(from) = self.data(offset, bytes.len()) else { return false };
        // SAFETY: `data` has returned the address of as many mapped bytes, which do not overlap
        // memory of Rust. If a function still uses them, some of the bytes are old and some new.
        unsafe { from.copy_to_nonoverlapping(NonNull::from(&mut *bytes).cast(), bytes.len()) };
        true
    }
}

impl AsFd for CallRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for CallRing {
    fn drop(&mut self) {
        // SAFETY: The mapping is that of `new`, and no reference to it is left.
        let unmapped = unsafe { munmap(self.address.as_ptr().cast(), self.map_size) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ioctl_numbers_encode_direction_and_size() {
        use rustix::ioctl::opcode;
        assert_eq!(kwasmi_ring::OPCODE, opcode::read_write::<kwasmi_ring>(0xb9, 0x9b));
        assert_eq!(kwasmi_ring_run::OPCODE, opcode::read_write::<kwasmi_ring_run>(0xb9, 0x9c));
        assert_eq!(size_of::<kwasmi_ring>(), 24);
        assert_eq!(size_of::<kwasmi_ring_entry>(), 128);
        assert_eq!(size_of::<kwasmi_ring_run>(), 48);
    }
}
