// SPDX-License-Identifier: GPL-2.0

//! The work, done as the guests in `guests/bench` do it.

use crate::{
    abi::{
        Job,
        Work,
        CONNECTIONS_MAX,
        LEN_MAX, //
    },
    allocation,
    ffi::{
        IoVec,
        Position, //
    },
    files::{
        Files,
        Open, //
    },
    http::Http,
    kv::Cache,
    rules::{
        self,
        REQUEST, //
    },
    servers::{
        relay,
        relay_file,
        serve,
        serve_each,
        Echo,
        Whole, //
    },
    signal,
    transfer::Direction, //
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

/// Upper bounds of the operations, and of the bytes, between two checks for signals: those of
/// kwasmi's batches.
const OPERATIONS_PER_CHECK: u32 = 64;
const BYTES_PER_CHECK: usize = 1024 * 1024;

/// Number of bytes that `scan` reads at a time.
const PIECE: usize = 64;

/// Does `job`. Returns the duration in nanoseconds.
///
/// # Errors
///
/// `EINVAL` if `job` is not valid; `EBADF` if a descriptor is not open; `ENOMEM`; `EINTR` if a
/// signal is pending; errors of the files.
pub(crate) fn run(job: &Job) -> Result<u64> {
    let work = Work::ALL
        .into_iter()
        .find(|work| *work as u32 == job.work)
        .ok_or(EINVAL)?;
    let is_server = matches!(
        work,
        Work::Echo
            | Work::Relay
            | Work::Http
            | Work::Kv
            | Work::HttpFile
            | Work::HttpClose
            | Work::RelayFile
    );
    let has_len = is_server || work == Work::Selfpipe;
    if job.reserved != 0
        || job.len > LEN_MAX
        || has_len != (job.len > 0)
        || job.connections > CONNECTIONS_MAX
        || is_server != (job.connections > 0)
        || matches!(work, Work::HttpClose | Work::RelayFile) && job.connections != 1
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
    let mut buffer = allocation::buffer(job.len as usize)?;
    buffer.resize(job.len as usize, 0, GFP_KERNEL_ACCOUNT)?;
    let connections = job.connections;
    let result = match work {
        Work::Selfpipe => selfpipe(&files, handles, job.count, &mut buffer),
        Work::Ping => ping(&files, handles, job.count),
        Work::Pong => pong(&files, handles, job.count),
        Work::Scan => scan(&files, handles, job.count),
        Work::Policy => policy(&files, handles, job.count),
        Work::Echo => serve(&mut files, handles, connections, &mut buffer, Echo),
        Work::Relay => relay(&mut files, handles, connections, &mut buffer),
        Work::Null => null(&mut files, handles, job.count),
        Work::Http => serve(
            &mut files,
            handles,
            connections,
            &mut buffer,
            Whole::new(Http::default(), connections)?,
        ),
        Work::HttpFile => {
            // Not in `files`, whose handles belong to the connections.
            let mut others = Files::new();
            let file = others.open(job.fds[1])?.0;
            let http = Http {
                file: Some(others.get(file.into())?),
            };
            serve(
                &mut files,
                handles,
                connections,
                &mut buffer,
                Whole::new(http, connections)?,
            )
        }
        Work::HttpClose => serve_each(
            &mut files,
            handles,
            job.count,
            &mut buffer,
            Whole::new(Http::default(), connections)?,
        ),
        Work::RelayFile => relay_file(&mut files, handles, job.count, job.len),
        Work::Kv => serve(
            &mut files,
            handles,
            connections,
            &mut buffer,
            Whole::new(Cache::new()?, connections)?,
        ),
    };
    // A call that a signal interrupted must not be restarted, as part of the work is done.
    result.map_err(|error| if error == ERESTARTSYS { EINTR } else { error })
}

/// Counter that triggers checks for signals.
#[derive(Default)]
pub(crate) struct Pace {
    operations: u32,
    bytes: usize,
}

impl Pace {
    /// Counts an operation that moved `bytes` bytes. Reschedules and checks for signals when due.
    ///
    /// # Errors
    ///
    /// `EINTR` if a signal is pending.
    #[inline]
    pub(crate) fn count(&mut self, bytes: usize) -> Result {
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

/// Does `work` `count` times. Returns the duration in nanoseconds.
#[inline]
pub(crate) fn time(count: u64, mut work: impl FnMut() -> Result<usize>) -> Result<u64> {
    let mut pace = Pace::default();
    let began = Instant::<Monotonic>::now();
    for _ in 0..count {
        pace.count(work()?)?;
    }
    Ok(since(began))
}

pub(crate) fn since(began: Instant<Monotonic>) -> u64 {
    began.elapsed().as_nanos() as u64
}

/// Reads once. Returns the number of bytes.
#[inline]
pub(crate) fn read(open: &Open, bytes: &mut [u8], at: Position) -> Result<usize> {
    let vector = IoVec {
        addr: bytes.as_mut_ptr(),
        len: bytes.len(),
    };
    // SAFETY: `Open::transfer` requires vectors over writable memory: `vector` describes `bytes`,
    // which outlives the call.
    let done = unsafe { open.transfer(&[vector], at, Direction::Read) }?;
    Ok((done as usize).min(bytes.len()))
}

pub(crate) fn read_exact(open: &Open, bytes: &mut [u8]) -> Result {
    let mut rest = bytes;
    while !rest.is_empty() {
        let done = read(open, rest, Position::CURRENT)?;
        if done == 0 {
            return Err(EIO);
        }
        rest = rest.get_mut(done..).unwrap_or_default();
    }
    Ok(())
}

pub(crate) fn write_all(open: &Open, bytes: &[u8]) -> Result {
    let mut rest = bytes;
    while !rest.is_empty() {
        let vector = IoVec {
            addr: rest.as_ptr().cast_mut(),
            len: rest.len(),
        };
        // SAFETY: `Open::transfer` requires vectors over readable memory: `vector` describes
        // `rest`, which outlives the call. `Direction::Write` only reads the memory.
        let done = unsafe { open.transfer(&[vector], Position::CURRENT, Direction::Write) }?;
        if done == 0 {
            return Err(EIO);
        }
        rest = rest.get(done as usize..).unwrap_or_default();
    }
    Ok(())
}

/// Sets the flags of the file to the flags that it has.
fn null(files: &mut Files, [input, _]: [u64; 2], count: u64) -> Result<u64> {
    time(count, || {
        core::hint::black_box(files.set_flags(core::hint::black_box(input), 0)?);
        Ok(0)
    })
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

/// Returns the number of lines that end in `bytes`, eight bytes at a time, as memchr does without
/// vector instructions.
fn lines(bytes: &[u8]) -> u64 {
    const LOW: u64 = u64::from_ne_bytes([0x7f; 8]);
    let mut lines = 0;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = word.first_chunk().copied().map_or(0, u64::from_ne_bytes)
            ^ u64::from_ne_bytes([b'\n'; 8]);
        // The highest bit of each byte that is zero. No carry crosses from one byte to the next.
        let zeros = !(((word & LOW) + LOW) | word | LOW);
        lines += (zeros >> 7).wrapping_mul(u64::from_ne_bytes([1; 8])) >> 56;
    }
    lines
        + words
            .remainder()
            .iter()
            .filter(|byte| **byte == b'\n')
            .count() as u64
}

fn scan(files: &Files, [input, _]: [u64; 2], count: u64) -> Result<u64> {
    let input = files.get(input)?;
    let mut bytes = [0; PIECE];
    let mut total = 0;
    let took = time(count, || {
        let len = read(input, &mut bytes, Position::CURRENT)?;
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
