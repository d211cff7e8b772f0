// SPDX-License-Identifier: GPL-2.0

//! Servers on the listening socket, descriptor 3. Each accepts as many connections as its last
//! argument says, serves them until they are closed, and ends.

use crate::{
    argument,
    http::Http,
    kv::Cache,
    pipes, //
};
use mio::{
    Events,
    Interest,
    Poll,
    Token, //
};
use std::{
    fs::File,
    io::{
        self,
        ErrorKind,
        Read,
        Seek as _,
        Write, //
    },
    mem::ManuallyDrop,
    net::{
        TcpListener,
        TcpStream, //
    },
    os::fd::FromRawFd as _,
    time::{
        Duration,
        Instant, //
    },
};

/// Descriptor of the listening socket.
pub(crate) const LISTENER: i32 = 3;

/// Upper bound of the bytes of one read.
pub(crate) const BUFFER: usize = 16 * 1024;

/// Protocol of a server.
pub(crate) trait Protocol {
    /// Answers the complete requests at the start of `input`. Returns the number of bytes of these
    /// requests.
    fn answer(&mut self, input: &[u8], output: &mut Vec<u8>) -> io::Result<usize>;
}

/// Protocol that returns its input.
pub(crate) struct Echo;

impl Protocol for Echo {
    fn answer(&mut self, input: &[u8], output: &mut Vec<u8>) -> io::Result<usize> {
        output.extend_from_slice(input);
        Ok(input.len())
    }
}

/// Returns the listening socket that the program was started with.
#[allow(unsafe_code, reason = "inherited descriptors only have a number")]
fn listener() -> ManuallyDrop<TcpListener> {
    // SAFETY: Descriptor 3 is open when the program starts. Nothing in it closes the descriptor,
    // and `ManuallyDrop` does not either.
    ManuallyDrop::new(unsafe { TcpListener::from_raw_fd(LISTENER) })
}

/// Returns true if the peer has closed without waiting for its answers, which ends only its
/// connection.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    // wasi-common reports a reset connection only as `io`.
    let is_unknown = cfg!(target_os = "wasi") && error.raw_os_error() == Some(29);
    is_unknown || matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// Input of a connection that was not answered yet.
#[derive(Default)]
pub(crate) struct Unanswered(Vec<u8>);

impl Unanswered {
    /// Answers the requests that are complete with `fresh`.
    pub(crate) fn answer(
        &mut self,
        fresh: &[u8],
        output: &mut Vec<u8>,
        protocol: &mut impl Protocol,
    ) -> io::Result<()> {
        if self.0.is_empty() {
            // The usual case: only complete requests.
            let done = protocol.answer(fresh, output)?;
            self.0.extend_from_slice(fresh.get(done..).unwrap_or_default());
        } else {
            self.0.extend_from_slice(fresh);
            let done = protocol.answer(&self.0, output)?;
            self.0.drain(..done);
        }
        Ok(())
    }
}

/// Connection with its unanswered input.
struct Connection<S> {
    stream: S,
    unanswered: Unanswered,
}

impl<S: Read + Write> Connection<S> {
    fn new(stream: S) -> Self {
        Self { stream, unanswered: Unanswered::default() }
    }

    /// Reads once and answers. Returns true if the connection continues. A client waits for its
    /// answers, so they never fill the socket's buffer.
    fn serve(&mut self, buffer: &mut [u8], output: &mut Vec<u8>, protocol: &mut impl Protocol) -> io::Result<bool> {
        let len = match self.stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) if is_gone(&error) => return Ok(false),
            len => len?,
        };
        let fresh = buffer.get(..len).unwrap_or_default();
        output.clear();
        self.unanswered.answer(fresh, output, protocol)?;
        match self.stream.write_all(output) {
            Err(error) if is_gone(&error) => Ok(false),
            written => written.map(|()| len > 0),
        }
    }
}

/// Serves a single connection.
fn serve_one(stream: TcpStream, protocol: &mut impl Protocol) -> io::Result<()> {
    let (mut buffer, mut output) = (vec![0; BUFFER], Vec::new());
    let mut connection = Connection::new(stream);
    while connection.serve(&mut buffer, &mut output, protocol)? {}
    Ok(())
}

/// Serves several connections, each when it is readable.
fn serve_many(streams: Vec<TcpStream>, protocol: &mut impl Protocol) -> io::Result<()> {
    let (mut buffer, mut output) = (vec![0; BUFFER], Vec::new());
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(streams.len());
    let mut connections = Vec::new();
    for (index, stream) in streams.into_iter().enumerate() {
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
        connections.push(Some(Connection::new(stream)));
    }
    let (count, mut open) = (connections.len(), connections.len());
    while open > 0 {
        let polled = poll.poll(&mut events, None);
        let mut serve = |index: usize| -> io::Result<()> {
            let Some(place) = connections.get_mut(index) else { return Ok(()) };
            let Some(connection) = place else { return Ok(()) };
            if !connection.serve(&mut buffer, &mut output, protocol)? {
                poll.registry().deregister(&mut connection.stream)?;
                *place = None;
                open -= 1;
            }
            Ok(())
        };
        match polled {
            // wasi-common does not tell which peer has closed.
            Err(error) if is_gone(&error) => (0..count).try_for_each(serve)?,
            polled => {
                polled?;
                events.iter().try_for_each(|event| serve(event.token().0))?;
            }
        }
    }
    Ok(())
}

/// Accepts `count` connections. Returns them and the time before the first.
pub(crate) fn accept(count: usize) -> io::Result<(Instant, Vec<TcpStream>)> {
    let listener = listener();
    let began = Instant::now();
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(listener.accept()?.0);
    }
    Ok((began, streams))
}

fn serve(args: &[String], protocol: &mut impl Protocol) -> io::Result<Duration> {
    let (began, mut streams) = accept(argument(args, 0)?)?;
    match (streams.pop(), streams.is_empty()) {
        (Some(stream), true) => serve_one(stream, protocol)?,
        (last, _) => {
            streams.extend(last);
            serve_many(streams, protocol)?;
        }
    }
    Ok(began.elapsed())
}

/// Echo server.
pub(crate) fn echo(_count: u64, args: &[String]) -> io::Result<Duration> {
    serve(args, &mut Echo)
}

/// HTTP/1.1 server with persistent connections.
pub(crate) fn http(_count: u64, args: &[String]) -> io::Result<Duration> {
    serve(args, &mut Http::default())
}

/// HTTP/1.1 server that reads a file for each request.
pub(crate) fn http_file(_count: u64, args: &[String]) -> io::Result<Duration> {
    serve(args, &mut Http::with_file())
}

/// HTTP/1.1 server with a connection for each request.
pub(crate) fn http_close(count: u64, _args: &[String]) -> io::Result<Duration> {
    let (mut buffer, mut output) = (vec![0; BUFFER], Vec::new());
    let listener = listener();
    crate::time(count, || {
        let mut connection = Connection::new(listener.accept()?.0);
        connection.serve(&mut buffer, &mut output, &mut Http::default())?;
        Ok(())
    })
}

/// Cache server with memcached's protocol.
pub(crate) fn kv(_count: u64, args: &[String]) -> io::Result<Duration> {
    serve(args, &mut Cache::default())
}

/// Copies from the first connection to the second until the end.
pub(crate) fn relay(_count: u64, _args: &[String]) -> io::Result<Duration> {
    let listener = listener();
    let (mut from, mut to) = (listener.accept()?.0, listener.accept()?.0);
    let mut buffer = vec![0; BUFFER];
    let began = Instant::now();
    loop {
        let len = from.read(&mut buffer)?;
        if len == 0 {
            return Ok(began.elapsed());
        }
        to.write_all(buffer.get(..len).unwrap_or_default())?;
    }
}

/// Sends the file at descriptor 4 repeatedly to one connection, `count` times [`BUFFER`] bytes in
/// total. `send` gets the number of remaining bytes, sends any number of bytes from the file's
/// position, and returns it.
pub(crate) fn send_file(
    count: u64,
    mut send: impl FnMut(&mut File, &mut TcpStream, u64) -> io::Result<u64>,
) -> io::Result<Duration> {
    let mut file = pipes::borrow_descriptor(4);
    let mut to = listener().accept()?.0;
    let mut left = count.checked_mul(BUFFER as u64).ok_or(ErrorKind::InvalidInput)?;
    let mut is_rewound = false;
    let began = Instant::now();
    while left > 0 {
        match send(&mut file, &mut to, left)? {
            // The file is empty.
            0 if is_rewound => return Err(ErrorKind::UnexpectedEof.into()),
            0 => {
                file.rewind()?;
                is_rewound = true;
            }
            sent => {
                left = left.saturating_sub(sent);
                is_rewound = false;
            }
        }
    }
    Ok(began.elapsed())
}

/// Copies from a file to a connection.
pub(crate) fn relay_file(count: u64, _args: &[String]) -> io::Result<Duration> {
    let mut buffer = vec![0; BUFFER];
    send_file(count, |file, to, left| {
        let wanted = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
        let len = file.read(buffer.get_mut(..wanted).unwrap_or_default())?;
        to.write_all(buffer.get(..len).unwrap_or_default())?;
        Ok(len as u64)
    })
}

/// Copies from a file to a connection; natively by sendfile(2).
#[cfg(target_os = "wasi")]
pub(crate) use relay_file as relay_file_syscall;

/// Copies from a file to a connection; natively by sendfile(2).
#[cfg(not(target_os = "wasi"))]
#[allow(unsafe_code, reason = "a system call without a function in the standard library")]
pub(crate) fn relay_file_syscall(count: u64, _args: &[String]) -> io::Result<Duration> {
    use std::os::fd::AsRawFd as _;
    send_file(count, |file, to, left| {
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        // SAFETY: Both descriptors are open, and there is no offset.
        let sent = unsafe { libc::sendfile(to.as_raw_fd(), file.as_raw_fd(), std::ptr::null_mut(), left) };
        u64::try_from(sent).map_err(|_| io::Error::last_os_error())
    })
}
