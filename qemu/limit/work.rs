// SPDX-License-Identifier: GPL-2.0

//! The work, as `guests/bench` does it.

use crate::{
    abi::{
        Job,
        Work,
        CONNECTIONS_MAX,
        LEN_MAX, //
    },
    ffi::{
        poll,
        IoVec,
        PollEntry,
        AT_POSITION,
        AT_POSITION_NOW, //
    },
    files::{
        Direction,
        Files,
        Open, //
    },
    memory,
    ready,
    rules::{
        self,
        REQUEST, //
    },
    signal,
    sockets, //
};
use kernel::{
    bindings,
    error::code::ERESTARTSYS,
    prelude::*,
    time::{
        Instant,
        Monotonic, //
    }, //
};

/// Operations between two looks at whether to go on, and bytes that make one due: those of kwasmi's batches.
const OPERATIONS_PER_CHECK: u32 = 64;
const BYTES_PER_CHECK: usize = 1024 * 1024;

/// Bytes of a file that are looked at at a time.
const PIECE: usize = 64;

/// Does `job`; how many nanoseconds that took.
///
/// # Errors
///
/// `EINVAL`, `EBADF`, `ENOMEM`; `EINTR` for any signal; those of files.
pub(crate) fn run(job: &Job) -> Result<u64> {
    let work = Work::ALL.into_iter().find(|work| *work as u32 == job.work).ok_or(EINVAL)?;
    let is_server = matches!(work, Work::Echo | Work::Relay);
    let has_len = is_server || work == Work::Selfpipe;
    if job.reserved != 0
        || job.len > LEN_MAX
        || has_len != (job.len > 0)
        || job.connections > CONNECTIONS_MAX
        || is_server != (job.connections > 0)
    {
        return Err(EINVAL);
    }
    let mut files = Files::new();
    let mut handles = [u64::MAX; 2];
    for (handle, fd) in handles.iter_mut().zip(job.fds) {
        if fd >= 0 {
            *handle = files.open(fd)?.0.into();
        }
    }
    let mut buffer = memory::buffer(job.len as usize)?;
    buffer.resize(job.len as usize, 0, GFP_KERNEL_ACCOUNT)?;
    let result = match work {
        Work::Selfpipe => selfpipe(&files, handles, job.count, &mut buffer),
        Work::Ping => ping(&files, handles, job.count),
        Work::Pong => pong(&files, handles, job.count),
        Work::Scan => scan(&files, handles, job.count),
        Work::Policy => policy(&files, handles, job.count),
        Work::Echo => echo(&mut files, handles, job.connections, &mut buffer),
        Work::Relay => relay(&mut files, handles, job.connections, &mut buffer),
    };
    // A call that a signal has ended is not made again: part of the work is done.
    result.map_err(|error| if error == ERESTARTSYS { EINTR } else { error })
}

/// Looks from time to time whether the work is to go on.
#[derive(Default)]
struct Pace {
    operations: u32,
    bytes: usize,
}

impl Pace {
    /// Counts an operation that has moved so many bytes.
    #[inline]
    fn count(&mut self, bytes: usize) -> Result {
        self.operations += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.operations < OPERATIONS_PER_CHECK && self.bytes < BYTES_PER_CHECK {
            return Ok(());
        }
        *self = Self::default();
        signal::yield_now();
        if kernel::current!().signal_pending() {
            return Err(EINTR);
        }
        Ok(())
    }
}

/// How long it takes to do `work` `count` times.
#[inline]
fn time(count: u64, mut work: impl FnMut() -> Result<usize>) -> Result<u64> {
    let mut pace = Pace::default();
    let began = Instant::<Monotonic>::now();
    for _ in 0..count {
        pace.count(work()?)?;
    }
    Ok(since(began))
}

fn since(began: Instant<Monotonic>) -> u64 {
    began.elapsed().as_nanos() as u64
}

/// Reads once; how many bytes.
#[inline]
fn read(open: &Open, bytes: &mut [u8], at: u64) -> Result<usize> {
    let vector = IoVec { addr: bytes.as_mut_ptr(), len: bytes.len() };
    // SAFETY: The vector describes `bytes`, and both outlive the call.
    let done = unsafe { open.transfer((&raw const vector as u64, 1), at, Direction::Read) }?;
    Ok((done as usize).min(bytes.len()))
}

fn read_exact(open: &Open, bytes: &mut [u8]) -> Result {
    let mut rest = bytes;
    while !rest.is_empty() {
        let done = read(open, rest, AT_POSITION)?;
        if done == 0 {
            return Err(EIO);
        }
        rest = rest.get_mut(done..).unwrap_or_default();
    }
    Ok(())
}

fn write_all(open: &Open, bytes: &[u8]) -> Result {
    let mut rest = bytes;
    while !rest.is_empty() {
        let vector = IoVec { addr: rest.as_ptr().cast_mut(), len: rest.len() };
        // SAFETY: The vector describes `rest`, which is only read, and both outlive the call.
        let done = unsafe { open.transfer((&raw const vector as u64, 1), AT_POSITION, Direction::Write) }?;
        if done == 0 {
            return Err(EIO);
        }
        rest = rest.get(done as usize..).unwrap_or_default();
    }
    Ok(())
}

fn selfpipe(files: &Files, [input, output]: [u64; 2], count: u64, bytes: &mut [u8]) -> Result<u64> {
    let (input, output) = (files.get(input)?, files.get(output)?);
    time(count, || {
        write_all(output, bytes)?;
        read_exact(input, bytes)?;
        Ok(bytes.len())
    })
}

fn ping(files: &Files, [input, output]: [u64; 2], count: u64) -> Result<u64> {
    let (input, output) = (files.get(input)?, files.get(output)?);
    let mut byte = [0];
    time(count, || {
        write_all(output, &byte)?;
        read_exact(input, &mut byte)?;
        Ok(1)
    })
}

fn pong(files: &Files, [input, output]: [u64; 2], count: u64) -> Result<u64> {
    let (input, output) = (files.get(input)?, files.get(output)?);
    let mut byte = [0];
    time(count, || {
        read_exact(input, &mut byte)?;
        write_all(output, &byte)?;
        Ok(1)
    })
}

/// The lines that end in `bytes`, eight bytes at a time, as memchr's do it where there are no vectors.
fn lines(bytes: &[u8]) -> u64 {
    const LOW: u64 = u64::from_ne_bytes([0x7f; 8]);
    let mut lines = 0;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = word.first_chunk().copied().map_or(0, u64::from_ne_bytes) ^ u64::from_ne_bytes([b'\n'; 8]);
        // The highest bit of each byte that is zero; no carry goes from one to the next.
        let zeros = !(((word & LOW) + LOW) | word | LOW);
        lines += (zeros >> 7).wrapping_mul(u64::from_ne_bytes([1; 8])) >> 56;
    }
    lines + words.remainder().iter().filter(|byte| **byte == b'\n').count() as u64
}

fn scan(files: &Files, [input, _]: [u64; 2], count: u64) -> Result<u64> {
    let input = files.get(input)?;
    let mut bytes = [0; PIECE];
    let mut total = 0;
    let took = time(count, || {
        let len = read(input, &mut bytes, AT_POSITION)?;
        if len == 0 {
            input.seek(0, u64::from(bindings::SEEK_SET))?;
            return Ok(0);
        }
        total += lines(bytes.get(..len).unwrap_or_default());
        Ok(len)
    })?;
    core::hint::black_box(total);
    Ok(took)
}

fn policy(files: &Files, [input, output]: [u64; 2], count: u64) -> Result<u64> {
    let (input, output) = (files.get(input)?, files.get(output)?);
    let (mut request, mut state) = ([0; REQUEST], 1);
    time(count, || {
        read_exact(input, &mut request)?;
        rules::next(&mut request, &mut state);
        write_all(output, &[u8::from(rules::is_allowed(&request))])?;
        Ok(REQUEST)
    })
}

/// Takes a connection; its handle.
fn accept(files: &mut Files, listener: u64) -> Result<u32> {
    let accepted = sockets::accept(files.get(listener)?, 0, false)?;
    files.add(accepted)
}

/// Reads once and says the same; how many bytes, 0 where the connection ends.
#[inline]
fn answer(open: &Open, buffer: &mut [u8], at: u64) -> Result<usize> {
    let len = read(open, buffer, at)?;
    write_all(open, buffer.get(..len).unwrap_or_default())?;
    Ok(len)
}

fn echo(files: &mut Files, [listener, _]: [u64; 2], count: u32, buffer: &mut [u8]) -> Result<u64> {
    let began = Instant::<Monotonic>::now();
    let mut entries = KVVec::with_capacity(count as usize, GFP_KERNEL_ACCOUNT)?;
    for _ in 0..count {
        let handle = accept(files, listener)?;
        entries.push(PollEntry { handle, events: poll::READ, ..PollEntry::default() }, GFP_KERNEL_ACCOUNT)?;
    }
    match entries.as_slice() {
        // Nobody else to wait for.
        [only] => echo_one(files.get(u64::from(only.handle))?, buffer)?,
        _ => echo_many(files, entries, buffer)?,
    }
    Ok(since(began))
}

fn echo_one(open: &Open, buffer: &mut [u8]) -> Result {
    let mut pace = Pace::default();
    loop {
        match answer(open, buffer, AT_POSITION)? {
            0 => return Ok(()),
            len => pace.count(len)?,
        }
    }
}

fn echo_many(files: &mut Files, mut entries: KVVec<PollEntry>, buffer: &mut [u8]) -> Result {
    let mut pace = Pace::default();
    while !entries.is_empty() {
        let (place, count) = (entries.as_mut_ptr() as u64, entries.len() as u64);
        // SAFETY: There are as many entries, and nobody else uses them.
        unsafe { ready::poll(files, place, count, u64::MAX) }?;
        let mut ended = None;
        for entry in entries.iter().filter(|entry| entry.ready != 0) {
            let handle = u64::from(entry.handle);
            match answer(files.get(handle)?, buffer, AT_POSITION_NOW) {
                Ok(0) => ended = Some(entry.handle),
                Err(error) if error == EAGAIN => {}
                answered => pace.count(answered?)?,
            }
        }
        // Others that have ended as well are ready still.
        if let Some(handle) = ended {
            files.close(u64::from(handle))?;
            entries.retain(|entry| entry.handle != handle);
        }
    }
    Ok(())
}

fn relay(files: &mut Files, [listener, _]: [u64; 2], count: u32, buffer: &mut [u8]) -> Result<u64> {
    if count != 2 {
        return Err(EINVAL);
    }
    let (from, to) = (accept(files, listener)?, accept(files, listener)?);
    let (from, to) = (files.get(u64::from(from))?, files.get(u64::from(to))?);
    let mut pace = Pace::default();
    let began = Instant::<Monotonic>::now();
    loop {
        let len = read(from, buffer, AT_POSITION)?;
        if len == 0 {
            return Ok(since(began));
        }
        write_all(to, buffer.get(..len).unwrap_or_default())?;
        pace.count(len)?;
    }
}
