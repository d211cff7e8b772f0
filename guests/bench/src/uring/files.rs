// SPDX-License-Identifier: GPL-2.0

//! Workloads on a pipe and on files.

#![allow(unsafe_code, reason = "the entries contain addresses")]

use super::{
    checked,
    queue,
    ring, //
};
use crate::argument;
use io_uring::{
    IoUring, opcode,
    squeue::{
        Entry,
        Flags, //
    },
    types::{
        DestinationSlot,
        Fd,
        Fixed, //
    },
};
use std::{
    ffi::CString,
    fs::File,
    hint::black_box,
    io::{
        self,
        ErrorKind, //
    },
    os::fd::AsRawFd as _,
    time::{
        Duration,
        Instant, //
    },
};

/// Number of independent operations submitted together.
const BATCH: usize = 16;

/// Submits `entries` and waits until all are complete. Returns the smallest result.
///
/// # Safety
///
/// The memory that the entries refer to must stay valid, and must not be used otherwise, until this
/// returns; or until the ring is dropped, if this fails.
unsafe fn submit(ring: &mut IoUring, entries: &[Entry]) -> io::Result<usize> {
    // SAFETY: The memory of the entries is valid until they are complete, by this function's safety
    // requirement.
    unsafe { queue(ring, entries) }?;
    ring.submit_and_wait(entries.len())?;
    let mut least = usize::MAX;
    let mut done = 0;
    while done < entries.len() {
        let completion = ring.completion().next();
        match completion {
            Some(completion) => {
                least = least.min(checked(completion.result())?);
                done += 1;
            }
            // A signal has interrupted the wait.
            None => drop(ring.submit_and_wait(1)?),
        }
    }
    Ok(least)
}

/// Writes and reads `args[0]` bytes by linked operations.
pub(super) fn selfpipe(count: u64, args: &[String]) -> io::Result<Duration> {
    let len: u32 = argument(args, 0)?;
    let size = usize::try_from(len).map_err(io::Error::other)?;
    let (input, output) = (Fd(3), Fd(4));
    let from = vec![0_u8; size];
    let mut to = vec![0_u8; size];
    let mut ring = ring(8)?;
    crate::time(count, || {
        let write = opcode::Write::new(output, from.as_ptr(), len).build().flags(Flags::IO_LINK);
        let read = opcode::Read::new(input, to.as_mut_ptr(), len).build();
        // SAFETY: `from` and `to` outlive `ring`, and are not used while the operations run.
        let least = unsafe { submit(&mut ring, &[write, read]) }?;
        if least == size { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    })
}

/// Reads pieces of 64 bytes by batches, and counts the lines in them.
pub(super) fn scan(count: u64, args: &[String]) -> io::Result<Duration> {
    let folder: String = argument(args, 0)?;
    let file = File::open(format!("{folder}/lines"))?;
    let len = file.metadata()?.len();
    let fd = Fd(file.as_raw_fd());
    let mut bytes = [[0_u8; 64]; BATCH];
    let mut ring = ring(32)?;
    let mut offset = 0;
    let mut lines = 0;
    let took = crate::time(count.div_ceil(BATCH as u64), || {
        let entries = bytes.each_mut().map(|buffer| {
            let read = opcode::Read::new(fd, buffer.as_mut_ptr(), 64).offset(offset).build();
            offset = (offset + 64) % len;
            read
        });
        // SAFETY: `bytes` outlives `ring`, and is not used while the operations run.
        unsafe { submit(&mut ring, &entries) }?;
        for buffer in &bytes {
            lines += memchr::memchr_iter(b'\n', buffer).count();
        }
        Ok(())
    });
    black_box(lines);
    took
}

/// Opens, reads and closes files by linked operations, several files in a batch.
pub(super) fn small(count: u64, args: &[String]) -> io::Result<Duration> {
    let folder: String = argument(args, 0)?;
    let mut names = Vec::new();
    for index in 0..64 {
        names.push(CString::new(format!("{folder}/small-{index}"))?);
    }
    let mut bytes = [[0_u8; 256]; BATCH];
    let mut entries = Vec::with_capacity(3 * BATCH);
    let mut ring = ring(64)?;
    ring.submitter().register_files_sparse(BATCH as u32)?;
    let mut names = names.iter().cycle();
    let began = Instant::now();
    for _ in 0..count.div_ceil(BATCH as u64) {
        entries.clear();
        for ((slot, buffer), name) in (0..).zip(&mut bytes).zip(&mut names) {
            let place = DestinationSlot::try_from_slot_target(slot).map_err(|_| ErrorKind::InvalidInput)?;
            let open = opcode::OpenAt::new(Fd(libc::AT_FDCWD), name.as_ptr()).file_index(Some(place)).build();
            let read = opcode::Read::new(Fixed(slot), buffer.as_mut_ptr(), 256).build();
            entries.push(open.flags(Flags::IO_LINK));
            // A hard link, because a short read breaks an ordinary one.
            entries.push(read.flags(Flags::IO_HARDLINK));
            entries.push(opcode::Close::new(Fixed(slot)).build());
        }
        // SAFETY: `names` and `bytes` outlive `ring`, and are not used while the operations run.
        unsafe { submit(&mut ring, &entries) }?;
    }
    Ok(began.elapsed())
}
