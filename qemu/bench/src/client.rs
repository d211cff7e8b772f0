// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! The other side of servers. Every connection has one request under way: a request on each, then an answer from each, and so
//! on.

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

/// Bytes of a piece that is relayed.
const PIECE: usize = 16 * 1024;

/// Bytes of a value in the cache.
const VALUE: [u8; 64] = [b'v'; 64];

const HTTP_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: kwasmi-bench\r\nAccept: */*\r\n\r\n";

const FILE_REQUEST: &[u8] = b"GET /file HTTP/1.1\r\nHost: localhost\r\nUser-Agent: kwasmi-bench\r\nAccept: */*\r\n\r\n";

/// Bytes of a file that come as an answer.
const FILE_LEN: usize = 4096;

const HTTP_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nHello, world!\n";

/// What is asked of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// Messages of so many bytes, on so many connections.
    Echo(usize, usize),
    /// A page, on so many connections.
    Http(usize),
    /// What is in a file, on so many connections.
    HttpFile(usize),
    /// A page, on a connection of its own.
    HttpClose,
    /// A value, on so many connections.
    Get(usize),
    /// To keep a value.
    Set(usize),
    /// To pass pieces on from one connection to another.
    Relay,
    /// For pieces of a file, which the server finds next to the socket.
    File,
}

/// Text of so many bytes, in lines: what is in the file that servers find next to the socket.
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

/// A request, and the answer to it.
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
        stream.read_exact(&mut answer).context("no answer")?;
        anyhow::ensure!(answer == self.answer, "another answer: {:?}", String::from_utf8_lossy(&answer));
        Ok(())
    }
}

impl Client {
    /// How many connections it makes; 0: one for each request.
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

    /// How many times a server does it, in the end: whole rounds of all connections.
    pub(crate) fn rounded(self, count: u64) -> Result<u64> {
        let each = u64::try_from(self.connections().max(1))?;
        Ok(if self == Self::Relay { count } else { count.div_ceil(each) * each })
    }

    /// Asks the server at `address` for it `count` times; how many nanoseconds that took.
    ///
    /// # Errors
    /// The server does not do it.
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
                // It is taken once something comes.
                from.peek(&mut [0])?;
                let began = Instant::now();
                receive(from, count)?;
                Ok(u64::try_from(began.elapsed().as_nanos())?)
            }
        }
    }
}

/// Makes `exchange` `count` times over, on `connections`; before that `first`, once.
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
    // All are taken once each has been answered.
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

/// Receives `count` pieces.
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
    anyhow::ensure!(received == count * u64::try_from(PIECE)?, "{received} bytes came through");
    Ok(())
}

/// Sends `count` pieces on one connection and receives them on another.
fn relay(address: SocketAddr, count: u64) -> Result<u64> {
    let mut from = connect(address)?;
    let mut to = connect(address)?;
    let mut piece = [0x5a; PIECE];
    // Both are taken once a piece has come through.
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
