// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! The work of guests, done by a native process that uses io_uring as it is meant to be used: what does not depend on each other
//! is submitted at once.

use std::{
    ffi::CString,
    fs::File,
    io,
    os::{
        fd::AsRawFd as _,
        unix::ffi::OsStrExt as _, //
    },
    path::Path,
    time::{
        Duration,
        Instant, //
    },
};

use anyhow::{
    Context as _,
    Result, //
};
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

/// Operations that are submitted at once, where they do not depend on each other.
const BATCH: usize = 16;

/// Submits `entries` and waits until all are done; the least result.
///
/// # Safety
///
/// Whatever the entries point to stays until this returns.
unsafe fn submit(ring: &mut IoUring, entries: &[Entry]) -> io::Result<i32> {
    // SAFETY: The caller guarantees it.
    unsafe { ring.submission().push_multiple(entries) }.map_err(io::Error::other)?;
    ring.submit_and_wait(entries.len())?;
    let mut least = i32::MAX;
    let mut done = 0;
    while done < entries.len() {
        let completion = ring.completion().next();
        match completion {
            Some(completion) => {
                least = least.min(completion.result());
                done += 1;
            }
            // A signal came in between.
            None => drop(ring.submit_and_wait(1)?),
        }
    }
    if least < 0 { Err(io::Error::from_raw_os_error(-least)) } else { Ok(least) }
}

/// A write and a read of `len` bytes, linked.
fn selfpipe(count: u64, len: usize) -> Result<Duration> {
    let (input, output) = (Fd(3), Fd(4));
    let size = u32::try_from(len)?;
    let from = vec![0_u8; len];
    let mut to = vec![0_u8; len];
    let mut ring = IoUring::new(8)?;
    let began = Instant::now();
    for _ in 0..count {
        let write = opcode::Write::new(output, from.as_ptr(), size).build().flags(Flags::IO_LINK);
        let read = opcode::Read::new(input, to.as_mut_ptr(), size).build();
        // SAFETY: The buffers outlive the ring.
        let least = unsafe { submit(&mut ring, &[write, read]) }?;
        anyhow::ensure!(usize::try_from(least)? == len, "a short transfer");
    }
    Ok(began.elapsed())
}

/// Reads of 64 bytes, a batch at a time; their lines.
fn scan(count: u64, folder: &Path) -> Result<Duration> {
    let file = File::open(folder.join("lines"))?;
    let len = file.metadata()?.len();
    let fd = Fd(file.as_raw_fd());
    let mut bytes = [[0_u8; 64]; BATCH];
    let mut ring = IoUring::new(32)?;
    let mut offset = 0;
    let mut lines = 0;
    let began = Instant::now();
    for _ in 0..count.div_ceil(BATCH as u64) {
        let mut entries = Vec::with_capacity(BATCH);
        for buffer in &mut bytes {
            entries.push(opcode::Read::new(fd, buffer.as_mut_ptr(), 64).offset(offset).build());
            offset = (offset + 64) % len;
        }
        // SAFETY: The buffers outlive the ring.
        unsafe { submit(&mut ring, &entries) }?;
        for buffer in &bytes {
            lines += memchr::memchr_iter(b'\n', buffer).count();
        }
    }
    std::hint::black_box(lines);
    Ok(began.elapsed())
}

/// Open, read and close, linked, a batch of files at a time.
fn files(count: u64, folder: &Path) -> Result<Duration> {
    let mut names = Vec::new();
    for index in 0..64 {
        names.push(CString::new(folder.join(format!("small-{index}")).as_os_str().as_bytes())?);
    }
    let mut bytes = [[0_u8; 256]; BATCH];
    let mut ring = IoUring::new(64)?;
    ring.submitter().register_files_sparse(u32::try_from(BATCH)?)?;
    let mut names = names.iter().cycle();
    let began = Instant::now();
    for _ in 0..count.div_ceil(BATCH as u64) {
        let mut entries = Vec::with_capacity(3 * BATCH);
        for (slot, buffer) in (0..).zip(&mut bytes) {
            let name = names.next().context("no names")?;
            let place = DestinationSlot::try_from_slot_target(slot).ok().context("no such slot")?;
            let open = opcode::OpenAt::new(Fd(libc::AT_FDCWD), name.as_ptr()).file_index(Some(place)).build();
            let read = opcode::Read::new(Fixed(slot), buffer.as_mut_ptr(), 256).build();
            entries.push(open.flags(Flags::IO_LINK));
            // A hard link: a read that is short is none that failed.
            entries.push(read.flags(Flags::IO_HARDLINK));
            entries.push(opcode::Close::new(Fixed(slot)).build());
        }
        // SAFETY: Names and buffers outlive the ring.
        unsafe { submit(&mut ring, &entries) }?;
    }
    Ok(began.elapsed())
}

/// Does `work`; how long that took.
///
/// # Errors
/// It cannot be done.
pub(crate) fn run(work: &str, count: u64, args: &[String]) -> Result<Duration> {
    let arg = args.first().context("an argument is missing")?;
    match work {
        "selfpipe" => selfpipe(count, arg.parse()?),
        "scan" => scan(count, Path::new(arg)),
        "files" => files(count, Path::new(arg)),
        _ => anyhow::bail!("{work}: nobody does it by io_uring"),
    }
}
