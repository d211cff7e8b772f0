// SPDX-License-Identifier: GPL-2.0

//! A call ring that tests access without checks.

use crate::{
    kernel::{
        call as ioctl,
        owned, //
    },
    pool::LONG,
    reactor::function,
};
use kwasmi::uapi::{
    self,
    kwasmi_ring,
    kwasmi_ring_entry,
    kwasmi_ring_header,
    kwasmi_ring_run, //
};
use std::{
    mem::offset_of,
    os::fd::{
        AsRawFd as _,
        OwnedFd, //
    },
    sync::atomic::{
        AtomicI32,
        AtomicU32,
        AtomicU64,
        Ordering, //
    },
};

/// Creates a ring. Returns its descriptor and the answer, or the error number.
pub(crate) fn create(fd: &OwnedFd, entries: u32, data_size: u32) -> Result<(OwnedFd, kwasmi_ring), i32> {
    let mut request = kwasmi_ring { entries, data_size, ..kwasmi_ring::default() };
    let ring = owned(ioctl(fd, uapi::IOC_RING, &mut request))?;
    Ok((ring, request))
}

/// Maps a descriptor. Returns the address, or the error number.
pub(crate) fn map(fd: &OwnedFd, len: usize, protection: i32, flags: i32, offset: i64) -> Result<usize, i32> {
    // SAFETY: The kernel chooses the address, so no existing mapping is replaced.
    let address = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, fd.as_raw_fd(), offset) };
    if address == libc::MAP_FAILED {
        return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0));
    }
    Ok(address.expose_provenance())
}

pub(crate) const ACCESS: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// Fields of `struct kwasmi_ring_entry`.
#[repr(C)]
struct Fields {
    function: AtomicU32,
    args_len: AtomicU32,
    input: AtomicU32,
    input_len: AtomicU32,
    output: AtomicU32,
    output_size: AtomicU32,
    output_len: AtomicU32,
    results_len: AtomicU32,
    error: AtomicI32,
    reserved: AtomicU32,
    user_data: AtomicU64,
    values: [AtomicU64; 10],
}

const _: () = assert!(size_of::<Fields>() == size_of::<kwasmi_ring_entry>());

/// A ring and its mapping, without any check.
pub(crate) struct Ring {
    pub(crate) fd: OwnedFd,
    pub(crate) address: usize,
    /// Size of the mapping in bytes.
    pub(crate) size: usize,
    pub(crate) entries: u32,
}

impl Ring {
    pub(crate) fn new(fd: &OwnedFd, entries: u32, data_size: u32) -> Self {
        let (ring, answer) = create(fd, entries, data_size).expect("a ring");
        let size = usize::try_from(answer.map_size).expect("fits");
        let address = map(&ring, size, ACCESS, libc::MAP_SHARED, 0).expect("can be mapped");
        Self { fd: ring, address, size, entries }
    }

    /// Returns the number at an offset of the mapping.
    pub(crate) fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset + 4 <= self.size);
        // SAFETY: The address is mapped and aligned. The kernel and all threads access it as an
        // atomic.
        unsafe { &*std::ptr::with_exposed_provenance::<AtomicU32>(self.address + offset) }
    }

    /// Returns the number of 64 bits at an offset of the mapping.
    pub(crate) fn wide(&self, offset: usize) -> &AtomicU64 {
        assert!(offset + 8 <= self.size);
        // SAFETY: The address is mapped and aligned. The kernel and all threads access it as an
        // atomic.
        unsafe { &*std::ptr::with_exposed_provenance::<AtomicU64>(self.address + offset) }
    }

    pub(crate) fn head(&self) -> u32 {
        self.word(offset_of!(kwasmi_ring_header, head)).load(Ordering::Acquire)
    }

    pub(crate) fn tail(&self) -> &AtomicU32 {
        self.word(offset_of!(kwasmi_ring_header, tail))
    }

    fn entry(&self, number: u32) -> usize {
        uapi::KWASMI_RING_ENTRIES_OFFSET as usize + (number % self.entries) as usize * size_of::<kwasmi_ring_entry>()
    }

    /// Returns the entry of a call.
    fn fields(&self, number: u32) -> &Fields {
        let entry = self.entry(number);
        assert!(entry + size_of::<Fields>() <= self.size);
        // SAFETY: The address is mapped and aligned. The kernel and all threads access the fields as
        // atomics.
        unsafe { &*std::ptr::with_exposed_provenance::<Fields>(self.address + entry) }
    }

    /// Fills in the entry of call `number`.
    pub(crate) fn fill(&self, number: u32, call: &kwasmi_ring_entry) {
        let fields = self.fields(number);
        fields.function.store(call.function, Ordering::Relaxed);
        fields.args_len.store(call.args_len, Ordering::Relaxed);
        fields.input.store(call.input, Ordering::Relaxed);
        fields.input_len.store(call.input_len, Ordering::Relaxed);
        fields.output.store(call.output, Ordering::Relaxed);
        fields.output_size.store(call.output_size, Ordering::Relaxed);
        for (place, value) in fields.values.iter().zip(&call.values).take(call.args_len as usize) {
            place.store(*value, Ordering::Relaxed);
        }
    }

    /// Adds a call.
    pub(crate) fn push(&self, call: &kwasmi_ring_entry) {
        let number = self.tail().load(Ordering::Relaxed);
        self.fill(number, call);
        self.tail().store(number.wrapping_add(1), Ordering::Release);
    }

    /// Adds `count` calls.
    pub(crate) fn push_many(&self, call: &kwasmi_ring_entry, count: u32) {
        let first = self.tail().load(Ordering::Relaxed);
        for index in 0..count {
            self.fill(first.wrapping_add(index), call);
        }
        self.tail().store(first.wrapping_add(count), Ordering::Release);
    }

    /// Adds a call of `function` with `args`.
    pub(crate) fn push_call(&self, function: u32, args: &[u64]) {
        let mut call =
            kwasmi_ring_entry { function, args_len: u32::try_from(args.len()).expect("few"), ..Default::default() };
        call.values[..args.len()].copy_from_slice(args);
        self.push(&call);
    }

    /// Returns the error of a finished call, and its first result.
    pub(crate) fn result(&self, number: u32) -> Result<u64, i32> {
        let fields = self.fields(number);
        let error = fields.error.load(Ordering::Relaxed);
        let value = fields.values[0].load(Ordering::Relaxed);
        if error == 0 { Ok(value) } else { Err(-error) }
    }

    /// Runs calls until `KWASMI_IOC_RING_RUN` returns.
    pub(crate) fn run_once(&self, timeout: u64) -> Result<kwasmi_ring_run, i32> {
        let mut request = kwasmi_ring_run { timeout, ..kwasmi_ring_run::default() };
        ioctl(&self.fd, uapi::IOC_RING_RUN, &mut request).map(|_| request)
    }

    /// Runs all calls. No guest may end.
    pub(crate) fn run(&self) -> Result<(), i32> {
        while self.head() != self.tail().load(Ordering::Relaxed) {
            assert_eq!(self.run_once(LONG)?.ended, 0);
        }
        Ok(())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: No reference to the mapping exists.
        unsafe { libc::munmap(std::ptr::with_exposed_provenance_mut(self.address), self.size) };
    }
}

pub(crate) fn number(fd: &OwnedFd, name: &str) -> u32 {
    function(fd, name.as_bytes()).expect("exported").function
}
