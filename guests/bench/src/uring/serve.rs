// SPDX-License-Identifier: GPL-2.0

//! Servers. Each connection has one multishot receive, and at most one send at a time.

#![allow(unsafe_code, reason = "the entries contain addresses")]

use super::{
    buffers::{
        Buffers,
        GROUP, //
    },
    checked,
    queue,
    ring, //
};
use crate::{
    argument,
    http::Http,
    kv::Cache,
    serve::{
        BUFFER,
        Echo,
        LISTENER,
        Protocol,
        Unanswered,
        accept,
        is_gone, //
    },
};
use io_uring::{
    IoUring, cqueue, opcode,
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
    io::{
        self,
        ErrorKind, //
    },
    os::fd::AsRawFd as _,
    ptr::null_mut,
    time::Duration,
};

/// Bit in the `user_data` of a send; a receive does not have it.
const SEND: u64 = 1 << 32;

/// Makes a send of all of `bytes`.
fn send(slot: u32, bytes: &[u8]) -> io::Result<Entry> {
    let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    Ok(opcode::Send::new(Fixed(slot), bytes.as_ptr(), len).flags(libc::MSG_WAITALL).build())
}

/// Connection with its input and output.
#[derive(Default)]
struct Connection {
    unanswered: Unanswered,
    /// Answers that are being sent. Not changed until the send is complete.
    sent: Vec<u8>,
    /// Answers for the next send.
    next: Vec<u8>,
    is_sending: bool,
    is_over: bool,
}

impl Connection {
    /// Makes a send of the next answers, unless there are none or another send is running.
    fn send(&mut self, slot: u32) -> io::Result<Option<Entry>> {
        if self.is_sending || self.next.is_empty() {
            return Ok(None);
        }
        std::mem::swap(&mut self.sent, &mut self.next);
        self.next.clear();
        self.is_sending = true;
        Ok(Some(send(slot, &self.sent)?.user_data(SEND | u64::from(slot))))
    }
}

/// Server with all its connections.
struct Server<'a, P> {
    connections: Vec<Connection>,
    buffers: Buffers,
    protocol: &'a mut P,
    open: usize,
}

impl<P: Protocol> Server<'_, P> {
    /// Makes a multishot receive for connection `slot`.
    fn receive(slot: u32) -> Entry {
        opcode::RecvMulti::new(Fixed(slot), GROUP).build().user_data(u64::from(slot))
    }

    /// Handles a completion. Returns the operations to submit next.
    fn handle(&mut self, done: &cqueue::Entry) -> io::Result<[Option<Entry>; 2]> {
        let slot = done.user_data() as u32;
        let connection = self.connections.get_mut(slot as usize).ok_or(ErrorKind::NotFound)?;
        let mut again = None;
        if done.user_data() & SEND != 0 {
            match checked(done.result()) {
                Ok(len) if len == connection.sent.len() => {}
                Ok(_) => return Err(ErrorKind::WriteZero.into()),
                // The next receive reports the end of the connection.
                Err(error) if is_gone(&error) => connection.next.clear(),
                Err(error) => return Err(error),
            }
            connection.is_sending = false;
        } else {
            if done.result() != -libc::ENOBUFS {
                let len = match checked(done.result()) {
                    Err(error) if is_gone(&error) => 0,
                    len => len?,
                };
                connection.is_over = len == 0;
                if let Some(id) = cqueue::buffer_select(done.flags()) {
                    // SAFETY: The completion says that the kernel has taken this buffer, and it is
                    // provided only afterwards.
                    let fresh = unsafe { self.buffers.taken(id, len) };
                    connection.unanswered.answer(fresh, &mut connection.next, self.protocol)?;
                    self.buffers.provide(id);
                }
            }
            again = (!connection.is_over && !cqueue::more(done.flags())).then(|| Self::receive(slot));
        }
        let send = connection.send(slot)?;
        self.open -= usize::from(connection.is_over && !connection.is_sending);
        Ok([send, again])
    }
}

fn serve<P: Protocol>(args: &[String], protocol: &mut P) -> io::Result<Duration> {
    let (began, streams) = accept(argument(args, 0)?)?;
    let open = streams.len();
    // Declared before the ring so that it is dropped after it: sends read its memory.
    let mut server;
    let mut ring = ring(2 * open)?;
    let fds: Vec<_> = streams.iter().map(|stream| stream.as_raw_fd()).collect();
    ring.submitter().register_files(&fds)?;
    let connections = streams.iter().map(|_| Connection::default()).collect();
    server = Server { connections, buffers: Buffers::new(&ring, open)?, protocol, open };

    let (mut submitter, mut submissions, mut completions) = ring.split();
    // Only an optimization, which older kernels lack.
    submitter.register_ring_fd().ok();
    for slot in (0..).take(open) {
        // SAFETY: A receive writes only into provided buffers, which live as long as the program.
        unsafe { submissions.push(&Server::<P>::receive(slot)) }.map_err(io::Error::other)?;
    }
    while server.open > 0 {
        submissions.sync();
        submitter.submit_and_wait(1)?;
        completions.sync();
        for done in &mut completions {
            for entry in server.handle(&done)?.into_iter().flatten() {
                // SAFETY: A send reads `sent` of its connection, which outlives the ring and is not
                // changed while `is_sending` is set.
                unsafe { submissions.push(&entry) }.map_err(io::Error::other)?;
            }
        }
    }
    // Closes the sockets now, not when the kernel frees the ring.
    submitter.unregister_files()?;
    Ok(began.elapsed())
}

/// Echo server.
pub(super) fn echo(_count: u64, args: &[String]) -> io::Result<Duration> {
    serve(args, &mut Echo)
}

/// HTTP/1.1 server with persistent connections.
pub(super) fn http(_count: u64, args: &[String]) -> io::Result<Duration> {
    serve(args, &mut Http::default())
}

/// Cache server with memcached's protocol.
pub(super) fn kv(_count: u64, args: &[String]) -> io::Result<Duration> {
    serve(args, &mut Cache::default())
}

/// Submits the queued operations, and waits for the first completion.
fn first(ring: &mut IoUring) -> io::Result<usize> {
    loop {
        ring.submit_and_wait(1)?;
        if let Some(done) = ring.completion().next() {
            return checked(done.result());
        }
    }
}

/// HTTP/1.1 server with a connection for each request. Answer, close, accept and the next receive
/// are linked, and only the last of them completes visibly, or the first that fails.
pub(super) fn http_close(count: u64, _args: &[String]) -> io::Result<Duration> {
    const QUIETLY: Flags = Flags::IO_LINK.union(Flags::SKIP_SUCCESS);
    let (mut buffer, mut output) = (vec![0; BUFFER], Vec::new());
    let mut ring = ring(4)?;
    ring.submitter().register_files_sparse(1)?;
    let place = DestinationSlot::try_from_slot_target(0).map_err(|_| ErrorKind::InvalidInput)?;
    let accept = opcode::Accept::new(Fd(LISTENER), null_mut(), null_mut()).file_index(Some(place)).build();
    let receive = opcode::Recv::new(Fixed(0), buffer.as_mut_ptr(), BUFFER as u32).build();
    let close = opcode::Close::new(Fixed(0)).build();
    let begin = [accept.flags(QUIETLY), receive.clone()];
    let mut left = count;
    // SAFETY: `buffer` outlives `ring`, and is used only while no receive is running.
    unsafe { queue(&mut ring, &begin) }?;
    crate::time(count, || {
        let mut unanswered = Unanswered::default();
        output.clear();
        loop {
            let len = first(&mut ring)?;
            unanswered.answer(buffer.get(..len).unwrap_or_default(), &mut output, &mut Http::default())?;
            if len == 0 || !output.is_empty() {
                break;
            }
            // SAFETY: `buffer` outlives `ring`, and is used only while no receive is running.
            unsafe { queue(&mut ring, std::slice::from_ref(&receive)) }?;
        }
        left -= 1;
        let answer = send(0, &output)?.flags(QUIETLY);
        if left == 0 {
            // SAFETY: `output` outlives `ring`, and is not changed until all operations are
            // complete.
            unsafe { queue(&mut ring, &[answer, close.clone()]) }?;
            return first(&mut ring).map(drop);
        }
        let [accept, receive] = begin.clone();
        // SAFETY: `buffer` and `output` outlive `ring`; both are used only after the last
        // operation, the receive, is complete.
        unsafe { queue(&mut ring, &[answer, close.clone().flags(QUIETLY), accept, receive]) }
    })
}
