// SPDX-License-Identifier: GPL-2.0

//! Servers on a listening socket. Each takes as many connections as it is told, serves them until they are closed, and ends.

use crate::{
    abi::FDS,
    ffi::{
        poll,
        PollEntry,
        AT_POSITION,
        AT_POSITION_NOW, //
    },
    files::Files,
    ready, sockets, splice,
    work::{
        read,
        since,
        time,
        write_all,
        Pace, //
    },
};
use kernel::{
    bindings,
    prelude::*,
    time::{
        Instant,
        Monotonic, //
    }, //
};

/// What a server says.
pub(crate) trait Protocol {
    /// What there is to say now that the connection with this handle has said `fresh`.
    fn answer<'a>(&'a mut self, handle: u32, fresh: &'a [u8]) -> Result<&'a [u8]>;
}

/// Says what was said.
pub(crate) struct Echo;

impl Protocol for Echo {
    #[inline]
    fn answer<'a>(&'a mut self, _handle: u32, fresh: &'a [u8]) -> Result<&'a [u8]> {
        Ok(fresh)
    }
}

/// What is asked in requests, which may come in parts.
pub(crate) trait Requests {
    /// Answers what is whole in `input`, the start of what a connection has sent; how many of its bytes that were.
    fn answer(&mut self, input: &[u8], output: &mut KVVec<u8>) -> Result<usize>;
}

/// Answers requests once they are whole.
pub(crate) struct Whole<R> {
    requests: R,
    /// By handle.
    unanswered: KVVec<KVVec<u8>>,
    output: KVVec<u8>,
}

impl<R> Whole<R> {
    /// For as many connections, whose handles are those after the descriptors'.
    pub(crate) fn new(requests: R, connections: u32) -> Result<Self> {
        let mut unanswered = KVVec::new();
        for _ in 0..connections as usize + FDS {
            unanswered.push(KVVec::new(), GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self { requests, unanswered, output: KVVec::new() })
    }

    /// Forgets what was not answered.
    fn forget(&mut self, handle: u32) {
        if let Some(kept) = self.unanswered.get_mut(handle as usize) {
            kept.clear();
        }
    }
}

impl<R: Requests> Protocol for Whole<R> {
    fn answer<'a>(&'a mut self, handle: u32, fresh: &'a [u8]) -> Result<&'a [u8]> {
        let kept = self.unanswered.get_mut(handle as usize).ok_or(EBADF)?;
        self.output.clear();
        if kept.is_empty() {
            // The usual case: whole requests, nothing to keep.
            let done = self.requests.answer(fresh, &mut self.output)?;
            kept.extend_from_slice(fresh.get(done..).unwrap_or_default(), GFP_KERNEL_ACCOUNT)?;
        } else {
            kept.extend_from_slice(fresh, GFP_KERNEL_ACCOUNT)?;
            let (len, done) = (kept.len(), self.requests.answer(kept, &mut self.output)?.min(kept.len()));
            kept.copy_within(done.., 0);
            kept.truncate(len - done);
        }
        Ok(&self.output)
    }
}

/// Takes a connection; its handle.
fn accept(files: &mut Files, listener: u64) -> Result<u32> {
    let accepted = sockets::accept(files.get(listener)?, 0, false)?;
    files.add(accepted)
}

/// Reads once and answers; how many bytes, 0 where the connection ends. One that goes without waiting for its answers does.
#[inline]
fn answer(files: &Files, handle: u32, buffer: &mut [u8], at: u64, protocol: &mut impl Protocol) -> Result<usize> {
    let open = files.get(u64::from(handle))?;
    let answered = read(open, buffer, at).and_then(|len| {
        write_all(open, protocol.answer(handle, buffer.get(..len).unwrap_or_default())?)?;
        Ok(len)
    });
    match answered {
        Err(error) if error == ECONNRESET || error == EPIPE => Ok(0),
        answered => answered,
    }
}

/// Answers `count` connections.
pub(crate) fn serve(
    files: &mut Files,
    [listener, _]: [u64; 2],
    count: u32,
    buffer: &mut [u8],
    mut protocol: impl Protocol,
) -> Result<u64> {
    let began = Instant::<Monotonic>::now();
    let mut entries = KVVec::with_capacity(count as usize, GFP_KERNEL_ACCOUNT)?;
    for _ in 0..count {
        let handle = accept(files, listener)?;
        entries.push(PollEntry { handle, events: poll::READ, ..PollEntry::default() }, GFP_KERNEL_ACCOUNT)?;
    }
    match entries.as_slice() {
        // Nobody else to wait for.
        [only] => serve_one(files, only.handle, buffer, &mut protocol)?,
        _ => serve_many(files, entries, buffer, &mut protocol)?,
    }
    Ok(since(began))
}

fn serve_one(files: &Files, handle: u32, buffer: &mut [u8], protocol: &mut impl Protocol) -> Result {
    let mut pace = Pace::default();
    loop {
        match answer(files, handle, buffer, AT_POSITION, protocol)? {
            0 => return Ok(()),
            len => pace.count(len)?,
        }
    }
}

fn serve_many(
    files: &mut Files,
    mut entries: KVVec<PollEntry>,
    buffer: &mut [u8],
    protocol: &mut impl Protocol,
) -> Result {
    let mut pace = Pace::default();
    while !entries.is_empty() {
        let (place, count) = (entries.as_mut_ptr() as u64, entries.len() as u64);
        // SAFETY: There are as many entries, and nobody else uses them.
        unsafe { ready::poll(files, place, count, u64::MAX) }?;
        let mut ended = None;
        for entry in entries.iter().filter(|entry| entry.ready != 0) {
            match answer(files, entry.handle, buffer, AT_POSITION_NOW, protocol) {
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

/// Passes on what the first connection says to the second, until it ends.
pub(crate) fn relay(files: &mut Files, [listener, _]: [u64; 2], count: u32, buffer: &mut [u8]) -> Result<u64> {
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

/// Answers one request of each of `count` connections, one after the other.
pub(crate) fn serve_each(
    files: &mut Files,
    [listener, _]: [u64; 2],
    count: u64,
    buffer: &mut [u8],
    mut protocol: Whole<impl Requests>,
) -> Result<u64> {
    time(count, || {
        let handle = accept(files, listener)?;
        let len = answer(files, handle, buffer, AT_POSITION, &mut protocol)?;
        files.close(u64::from(handle))?;
        // The next connection has the same handle.
        protocol.forget(handle);
        Ok(len)
    })
}

/// Sends the file, over and over, to one connection: `count` times `len` bytes.
pub(crate) fn relay_file(files: &mut Files, [listener, file]: [u64; 2], count: u64, len: u32) -> Result<u64> {
    let to = accept(files, listener)?;
    let (file, to) = (files.get(file)?, files.get(u64::from(to))?);
    let mut left = count.checked_mul(len.into()).ok_or(EINVAL)?;
    let mut pace = Pace::default();
    let began = Instant::<Monotonic>::now();
    while left > 0 {
        let moved = splice::splice(file, to, left)?;
        if moved == 0 {
            file.seek(0, u64::from(bindings::SEEK_SET))?;
        }
        left = left.saturating_sub(moved);
        pace.count(moved as usize)?;
    }
    Ok(since(began))
}
