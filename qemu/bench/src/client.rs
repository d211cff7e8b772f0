// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! The client of servers. It sends one request on each connection, then receives one answer from
//! each, and so on: each connection has at most one request in flight.

use std::{
    io::{
        Read as _,
        Write as _, //
    },
    net::{
        SocketAddr,
        TcpStream, //
    },
    thread,
    time::Instant, //
};

use anyhow::{
    Context as _,
    Result, //
};

/// Size of a relayed piece, in bytes.
const PIECE: usize = 16 * 1024;

/// Value in the cache.
const VALUE: [u8; 64] = [b'v'; 64];

const HTTP_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: kwasmi-bench\r\nAccept: */*\r\n\r\n";

const FILE_REQUEST: &[u8] = b"GET /file HTTP/1.1\r\nHost: localhost\r\nUser-Agent: kwasmi-bench\r\nAccept: */*\r\n\r\n";

/// Number of bytes of the file in an answer.
const FILE_LEN: usize = 4096;

const HTTP_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nHello, world!\n";

/// Requests to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// Messages to echo: number of connections, and size of a message in bytes.
    Echo(usize, usize),
    /// A page, on this number of connections.
    Http(usize),
    /// The contents of a file, on this number of connections.
    HttpFile(usize),
    /// A page, on a new connection for each request.
    HttpClose,
    /// A value to read from the cache, on this number of connections.
    Get(usize),
    /// A value to write to the cache, on this number of connections.
    Set(usize),
    /// Pieces to relay from one connection to another.
    Relay,
    /// Pieces of a file, which the server gets as the descriptor after the socket.
    File,
}

/// Returns a text of `len` bytes in lines: the contents of the file that servers get.
pub(crate) fn lines(len: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(len);
    while text.len() < len {
        // Lines of 8 to 71 characters.
        let line = 8 + text.len() / 7 % 64;
        text.resize(text.len() + line, b'x');
        text.push(b'\n');
    }
    text.truncate(len);
    text
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Request and expected answer.
struct Exchange {
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Exchange {
    fn set() -> Self {
        let request = [format!("set key 0 0 {}\r\n", VALUE.len()).as_bytes(), &VALUE, b"\r\n"].concat();
        Self { request, answer: b"STORED\r\n".to_vec() }
    }

    fn get() -> Self {
        let answer = [format!("VALUE key 0 {}\r\n", VALUE.len()).as_bytes(), &VALUE, b"\r\nEND\r\n"].concat();
        Self { request: b"get key\r\n".to_vec(), answer }
    }

    fn file() -> Self {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {FILE_LEN}\r\n\r\n");
        Self { request: FILE_REQUEST.to_vec(), answer: [head.into_bytes(), lines(FILE_LEN)].concat() }
    }

    fn make(&self, stream: &mut TcpStream) -> Result<()> {
        stream.write_all(&self.request)?;
        self.expect(stream)
    }

    fn expect(&self, stream: &mut TcpStream) -> Result<()> {
        let mut answer = vec![0; self.answer.len()];
        stream.read_exact(&mut answer).context("no complete answer")?;
        anyhow::ensure!(answer == self.answer, "unexpected answer: {:?}", String::from_utf8_lossy(&answer));
        Ok(())
    }
}

impl Client {
    /// Returns the number of connections; 0 means one for each request.
    pub(crate) const fn connections(self) -> usize {
        match self {
            Self::Echo(connections, _)
            | Self::Http(connections)
            | Self::HttpFile(connections)
            | Self::Get(connections)
            | Self::Set(connections) => connections,
            Self::File => 1,
            Self::HttpClose => 0,
            Self::Relay => 2,
        }
    }

    /// Rounds `count` up to whole rounds of all connections: the number of operations that the
    /// server does.
    pub(crate) fn rounded(self, count: u64) -> Result<u64> {
        let each = u64::try_from(self.connections().max(1))?;
        Ok(if self == Self::Relay { count } else { count.div_ceil(each) * each })
    }

    /// Makes `count` requests to the server at `address`. Returns the elapsed time in nanoseconds.
    ///
    /// # Errors
    /// Fails if the server cannot be connected to, or gives no answer or an unexpected one.
    pub(crate) fn ask(self, address: SocketAddr, count: u64) -> Result<u64> {
        match self {
            Self::Echo(connections, len) => {
                let message = vec![b'm'; len];
                rounds(address, connections, count, None, &Exchange { request: message.clone(), answer: message })
            }
            Self::Http(connections) => {
                let page = Exchange { request: HTTP_REQUEST.to_vec(), answer: HTTP_ANSWER.to_vec() };
                rounds(address, connections, count, None, &page)
            }
            Self::HttpFile(connections) => rounds(address, connections, count, None, &Exchange::file()),
            Self::HttpClose => {
                let page = Exchange { request: HTTP_REQUEST.to_vec(), answer: HTTP_ANSWER.to_vec() };
                let began = Instant::now();
                for _ in 0..count {
                    page.make(&mut connect(address)?)?;
                }
                Ok(u64::try_from(began.elapsed().as_nanos())?)
            }
            Self::Get(connections) => rounds(address, connections, count, Some(&Exchange::set()), &Exchange::get()),
            Self::Set(connections) => rounds(address, connections, count, None, &Exchange::set()),
            Self::Relay => relay(address, count),
            Self::File => {
                let from = connect(address)?;
                // The server has accepted the connection once data arrives.
                from.peek(&mut [0])?;
                let began = Instant::now();
                receive(from, count)?;
                Ok(u64::try_from(began.elapsed().as_nanos())?)
            }
        }
    }
}

/// Does `exchange` `count` times in total, on `connections` connections, after `first` once.
/// Returns the elapsed time of the exchanges in nanoseconds.
fn rounds(
    address: SocketAddr,
    connections: usize,
    count: u64,
    first: Option<&Exchange>,
    exchange: &Exchange,
) -> Result<u64> {
    let mut streams = (0..connections).map(|_| connect(address)).collect::<Result<Vec<_>>>()?;
    if let (Some(first), Some(stream)) = (first, streams.first_mut()) {
        first.make(stream)?;
    }
    // The server has accepted all connections once each has an answer.
    for stream in &mut streams {
        exchange.make(stream)?;
    }
    let began = Instant::now();
    for _ in 0..count / u64::try_from(connections)? {
        for stream in &mut streams {
            stream.write_all(&exchange.request)?;
        }
        for stream in &mut streams {
            exchange.expect(stream)?;
        }
    }
    Ok(u64::try_from(began.elapsed().as_nanos())?)
}

/// Receives `count` pieces until the end of the stream.
fn receive(mut from: TcpStream, count: u64) -> Result<()> {
    let mut buffer = vec![0; 4 * PIECE];
    let mut received = 0;
    loop {
        let len = from.read(&mut buffer)?;
        if len == 0 {
            break;
        }
        received += u64::try_from(len)?;
    }
    anyhow::ensure!(received == count * u64::try_from(PIECE)?, "{received} bytes received, expected {count} pieces");
    Ok(())
}

/// Sends `count` pieces on one connection and receives them on another. Returns the elapsed time in
/// nanoseconds.
fn relay(address: SocketAddr, count: u64) -> Result<u64> {
    let mut from = connect(address)?;
    let mut to = connect(address)?;
    let mut piece = [0x5a; PIECE];
    // The server has accepted both connections once a piece has arrived.
    from.write_all(&piece)?;
    to.read_exact(&mut piece)?;
    let began = Instant::now();
    let sender = thread::spawn(move || -> Result<()> {
        for _ in 0..count {
            from.write_all(&piece)?;
        }
        Ok(())
    });
    receive(to, count)?;
    let took = u64::try_from(began.elapsed().as_nanos())?;
    sender.join().ok().context("the sender failed")??;
    Ok(took)
}
