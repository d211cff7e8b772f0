// SPDX-License-Identifier: GPL-2.0

//! Servers on a listening socket. Each accepts a given number of connections and serves them until
//! all are closed.

use crate::{
    abi::FDS,
    ffi::{
        poll,
        PollEntry,
        Position, //
    },
    files::Files,
    readiness, sockets, splice,
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

/// Protocol of a server.
pub(crate) trait Protocol {
    /// Returns the answer after the connection with this handle has sent `fresh`.
    fn answer<'a>(&'a mut self, handle: u32, fresh: &'a [u8]) -> Result<&'a [u8]>;
}

/// Protocol that answers with the bytes received.
pub(crate) struct Echo;

impl Protocol for Echo {
    #[inline]
    fn answer<'a>(&'a mut self, _handle: u32, fresh: &'a [u8]) -> Result<&'a [u8]> {
        Ok(fresh)
    }
}

/// Protocol of requests, each of which may arrive in parts.
pub(crate) trait Requests {
    /// Appends the answers to the complete requests in `input` to `output`. Returns the number of
    /// bytes of these requests.
    fn answer(&mut self, input: &[u8], output: &mut KVVec<u8>) -> Result<usize>;
}

/// Protocol that collects bytes until requests are complete.
pub(crate) struct Whole<R> {
    requests: R,
    /// Bytes of incomplete requests, by handle.
    unanswered: KVVec<KVVec<u8>>,
    output: KVVec<u8>,
}

impl<R> Whole<R> {
    /// Creates the state for `connections` connections. Their handles follow those of the job's
    /// descriptors.
    pub(crate) fn new(requests: R, connections: u32) -> Result<Self> {
        let mut unanswered = KVVec::new();
        for _ in 0..connections as usize + FDS {
            unanswered.push(KVVec::new(), GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self {
            requests,
            unanswered,
            output: KVVec::new(),
        })
    }

    /// Discards the bytes of an incomplete request.
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
            // Usual case: complete requests only.
            let done = self.requests.answer(fresh, &mut self.output)?;
            kept.extend_from_slice(fresh.get(done..).unwrap_or_default(), GFP_KERNEL_ACCOUNT)?;
        } else {
            kept.extend_from_slice(fresh, GFP_KERNEL_ACCOUNT)?;
            let (len, done) = (
                kept.len(),
                self.requests
                    .answer(kept, &mut self.output)?
                    .min(kept.len()),
            );
            kept.copy_within(done.., 0);
            kept.truncate(len - done);
        }
        Ok(&self.output)
    }
}

/// Accepts a connection. Returns its handle.
fn accept(files: &mut Files, listener: u64) -> Result<u32> {
    let accepted = sockets::accept(files.get(listener)?, 0, false)?;
    files.add(accepted)
}

/// Reads once and answers. Returns the number of bytes read; 0 if the connection is closed, also if
/// it was reset before the answer.
#[inline]
fn answer(
    files: &Files,
    handle: u32,
    buffer: &mut [u8],
    at: Position,
    protocol: &mut impl Protocol,
) -> Result<usize> {
    let open = files.get(u64::from(handle))?;
    let answered = read(open, buffer, at).and_then(|len| {
        write_all(
            open,
            protocol.answer(handle, buffer.get(..len).unwrap_or_default())?,
        )?;
        Ok(len)
    });
    match answered {
        Err(error) if error == ECONNRESET || error == EPIPE => Ok(0),
        answered => answered,
    }
}

/// Serves `count` connections at once. Returns the duration in nanoseconds.
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
        entries.push(
            PollEntry {
                handle,
                events: poll::READ,
                ..PollEntry::default()
            },
            GFP_KERNEL_ACCOUNT,
        )?;
    }
    match entries.as_slice() {
        // A single connection needs no poll.
        [only] => serve_one(files, only.handle, buffer, &mut protocol)?,
        _ => serve_many(files, entries, buffer, &mut protocol)?,
    }
    Ok(since(began))
}

fn serve_one(
    files: &Files,
    handle: u32,
    buffer: &mut [u8],
    protocol: &mut impl Protocol,
) -> Result {
    let mut pace = Pace::default();
    loop {
        match answer(files, handle, buffer, Position::CURRENT, protocol)? {
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
        readiness::poll(files, &mut entries, u64::MAX)?;
        let mut ended = None;
        for entry in entries.iter().filter(|entry| entry.revents != 0) {
            match answer(files, entry.handle, buffer, Position::CURRENT_NOW, protocol) {
                Ok(0) => ended = Some(entry.handle),
                Err(error) if error == EAGAIN => {}
                answered => pace.count(answered?)?,
            }
        }
        // One connection is removed at a time: others that are closed are ready in the next round.
        if let Some(handle) = ended {
            files.close(u64::from(handle))?;
            entries.retain(|entry| entry.handle != handle);
        }
    }
    Ok(())
}

/// Copies the data of the first connection to the second until the first is closed. Returns the
/// duration in nanoseconds.
pub(crate) fn relay(
    files: &mut Files,
    [listener, _]: [u64; 2],
    count: u32,
    buffer: &mut [u8],
) -> Result<u64> {
    if count != 2 {
        return Err(EINVAL);
    }
    let (from, to) = (accept(files, listener)?, accept(files, listener)?);
    let (from, to) = (files.get(u64::from(from))?, files.get(u64::from(to))?);
    let mut pace = Pace::default();
    let began = Instant::<Monotonic>::now();
    loop {
        let len = read(from, buffer, Position::CURRENT)?;
        if len == 0 {
            return Ok(since(began));
        }
        write_all(to, buffer.get(..len).unwrap_or_default())?;
        pace.count(len)?;
    }
}

/// Serves one request of each of `count` connections, one after another. Returns the duration in
/// nanoseconds.
pub(crate) fn serve_each(
    files: &mut Files,
    [listener, _]: [u64; 2],
    count: u64,
    buffer: &mut [u8],
    mut protocol: Whole<impl Requests>,
) -> Result<u64> {
    time(count, || {
        let handle = accept(files, listener)?;
        let len = answer(files, handle, buffer, Position::CURRENT, &mut protocol)?;
        files.close(u64::from(handle))?;
        // The next connection gets the same handle.
        protocol.forget(handle);
        Ok(len)
    })
}

/// Sends `count` times `len` bytes to one connection, from the file, which is read repeatedly.
/// Returns the duration in nanoseconds.
pub(crate) fn relay_file(
    files: &mut Files,
    [listener, file]: [u64; 2],
    count: u64,
    len: u32,
) -> Result<u64> {
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
