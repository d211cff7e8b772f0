// SPDX-License-Identifier: GPL-2.0

//! Waits until files can be read or written.

use super::{
    Result, clock,
    files::{
        Files,
        Open, //
    },
};
use crate::ffi::{
    PollEntry,
    poll as bits, //
};
use rustix::{
    event::{
        PollFd,
        PollFlags,
        Timespec, //
    },
    fs::FileType,
    io::Errno, //
};

const READABLE: PollFlags = PollFlags::IN.union(PollFlags::RDNORM).union(PollFlags::ERR).union(PollFlags::HUP);
const WRITABLE: PollFlags = PollFlags::OUT.union(PollFlags::WRNORM).union(PollFlags::ERR).union(PollFlags::HUP);

fn wanted(events: u32) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN | PollFlags::RDNORM, events & bits::READ != 0);
    flags.set(PollFlags::OUT | PollFlags::WRNORM, events & bits::WRITE != 0);
    flags
}

/// Converts the result of poll(2) to the bits of [`PollEntry::revents`].
fn ready(found: PollFlags, events: u32) -> u32 {
    let mut ready = 0;
    for (flags, bit) in [(READABLE, bits::READ), (WRITABLE, bits::WRITE)] {
        if found.intersects(flags) {
            ready |= bit & events;
        }
    }
    // A hangup is reported only together with a requested event.
    if ready != 0 && found.contains(PollFlags::HUP) {
        ready |= bits::HANGUP;
    }
    ready
}

/// Returns true if `open` is ready for one of `events` now.
pub(super) fn is_ready(open: &Open, events: u32) -> Result<bool> {
    let mut fds = [PollFd::new(open, wanted(events))];
    rustix::event::poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(ready(fds[0].revents(), events) != 0)
}

/// Waits until `open` is ready for one of `events`.
pub(super) fn wait(open: &Open, events: u32) -> Result<()> {
    rustix::event::poll(&mut [PollFd::new(open, wanted(events))], None).map(drop)
}

/// Waits until one of `entries` is ready, or until `deadline`. Returns the number of ready entries.
pub(super) fn poll(files: &Files, entries: &mut [PollEntry], deadline: u64) -> Result {
    let opens = entries.iter().map(|entry| files.get(u64::from(entry.handle))).collect::<Result<Vec<_>>>()?;
    let mut fds: Vec<_> =
        opens.iter().zip(&*entries).map(|(open, entry)| PollFd::new(*open, wanted(entry.events))).collect();
    let timeout = (deadline != u64::MAX).then(|| clock::until(deadline));
    rustix::event::poll(&mut fds, timeout.as_ref())?;
    let mut count = 0;
    for ((entry, open), fd) in entries.iter_mut().zip(&opens).zip(&fds) {
        let ready = ready(fd.revents(), entry.events);
        entry.revents = ready.cast_signed();
        entry.bytes = if ready & entry.events & bits::READ != 0 && entry.events & bits::BYTES != 0 {
            readable_bytes(open)?
        } else {
            0
        };
        count += u64::from(ready != 0);
    }
    Ok(count)
}

/// Returns the number of readable bytes: up to the end of a regular file, and 1 for other files, as
/// in the kernel, which does not know it.
fn readable_bytes(open: &Open) -> Result {
    let stat = rustix::fs::fstat(open)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(1);
    }
    let size = u64::try_from(stat.st_size).map_err(|_| Errno::OVERFLOW)?;
    Ok(size.saturating_sub(rustix::fs::tell(open)?))
}
