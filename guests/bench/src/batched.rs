// SPDX-License-Identifier: GPL-2.0

//! Workloads with `kwasmi_batch_1`, which do several operations in one host call.

use crate::{
    Work, argument,
    http::Http,
    kv::Cache,
    policy::{
        self,
        REQUEST, //
    },
    serve::{
        BUFFER,
        Echo,
        Protocol,
        Unanswered,
        accept,
        send_file, //
    },
};
use kwasmi_batch::{
    Errno,
    Op,
    copy_from_cells,
    copy_to_cells,
    submit,
    wait, //
};
use std::{
    cell::Cell,
    fs::File,
    hint::black_box,
    io::{
        self,
        ErrorKind,
        Seek as _, //
    },
    net::TcpStream,
    os::fd::AsRawFd as _,
    time::{
        Duration,
        Instant, //
    },
};

/// Workloads by name.
pub(crate) const WORKS: [(&str, Work); 11] = [
    ("selfpipe", own),
    ("ping", ping),
    ("pong", pong),
    ("scan", scan),
    ("policy", serve_policy),
    ("echo", echo),
    ("http", http),
    ("http-file", http_file),
    ("kv", kv),
    ("relay", relay),
    ("relay-file", relay_file),
];

const INPUT: u32 = 3;
const OUTPUT: u32 = 4;

/// Number of independent operations in one host call.
const BATCH: usize = 32;

/// Upper bound of the connections served after one wait.
const READY: usize = 64;

fn failed(Errno(errno): Errno) -> io::Error {
    io::Error::other(format!("errno {errno}"))
}

/// Errors of a connection whose peer has closed it without waiting for answers: `connreset` and
/// `pipe` of preview 1.
const GONE: [Errno; 2] = [Errno(15), Errno(64)];

fn fd(file: &impl std::os::fd::AsRawFd) -> io::Result<u32> {
    u32::try_from(file.as_raw_fd()).map_err(|_| ErrorKind::InvalidInput.into())
}

/// Submits `ops`, and fails unless all are done. The caller may look at their results.
fn all(ops: &mut [Op<'_>]) -> io::Result<()> {
    let done = submit(ops).map_err(failed)?;
    match ops.get(done.wrapping_sub(1)).map(Op::result) {
        Some(Err(errno)) => Err(failed(errno)),
        _ if done == ops.len() => Ok(()),
        _ => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// Writes `args[0]` bytes into a pipe and reads them from it.
fn own(count: u64, args: &[String]) -> io::Result<Duration> {
    let mut bytes = vec![0; argument(args, 0)?];
    let cells = Cell::from_mut(bytes.as_mut_slice()).as_slice_of_cells();
    let mut ops = [Op::write_cells(OUTPUT, cells).all(), Op::read_cells(INPUT, cells).all()];
    crate::time(count, || all(&mut ops))
}

fn ping(count: u64, _args: &[String]) -> io::Result<Duration> {
    let mut byte = [0];
    let mut ops = [Op::write(OUTPUT, &[0]), Op::read(INPUT, &mut byte)];
    crate::time(count, || all(&mut ops))
}

fn pong(count: u64, _args: &[String]) -> io::Result<Duration> {
    let mut byte = [0];
    let mut ops = [Op::read(INPUT, &mut byte), Op::write(OUTPUT, &[0])];
    crate::time(count, || all(&mut ops))
}

/// Reads pieces of 64 bytes by batches, and counts the lines in them.
fn scan(count: u64, args: &[String]) -> io::Result<Duration> {
    let folder: String = argument(args, 0)?;
    let mut file = File::open(format!("{folder}/lines"))?;
    let mut bytes = [[0; 64]; BATCH];
    let handle = fd(&file)?;
    let (mut lines, mut left) = (0, count);
    let began = Instant::now();
    while left > 0 {
        let mut ops = bytes.each_mut().map(|bytes| Op::read(handle, bytes));
        let wanted = usize::try_from(left).unwrap_or(BATCH).min(BATCH);
        let done = submit(ops.get_mut(..wanted).unwrap_or_default()).map_err(failed)?;
        let lens = ops.map(|op| op.result().unwrap_or(0));
        // Only the last piece of the file is shorter.
        let whole = lens.iter().take(done).take_while(|len| **len == 64).count();
        lines += kwasmi_bytes::count(bytes.as_flattened().get(..64 * whole).unwrap_or_default(), b'\n');
        for (bytes, len) in bytes.iter().zip(lens).take(done).skip(whole) {
            let len = usize::try_from(len).unwrap_or(0);
            lines += kwasmi_bytes::count(bytes.get(..len).unwrap_or_default(), b'\n');
            if len == 0 {
                file.rewind()?;
            }
        }
        left = left.saturating_sub(done as u64);
    }
    black_box(lines);
    Ok(began.elapsed())
}

/// Reads requests from descriptor 3 and writes answers of one byte to descriptor 4, by batches.
fn serve_policy(count: u64, _args: &[String]) -> io::Result<Duration> {
    let (mut requests, mut state) = ([[0; REQUEST]; BATCH], 1);
    let mut left = count;
    let began = Instant::now();
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(BATCH).min(BATCH);
        let mut reads = requests.each_mut().map(|request| Op::read(INPUT, request).all());
        all(reads.get_mut(..wanted).unwrap_or_default())?;
        let answers = requests.each_mut().map(|request| {
            policy::next(request, &mut state);
            [u8::from(policy::is_allowed(request))]
        });
        let mut writes = answers.each_ref().map(|answer| Op::write(OUTPUT, answer));
        all(writes.get_mut(..wanted).unwrap_or_default())?;
        left = left.saturating_sub(wanted as u64);
    }
    Ok(began.elapsed())
}

/// Unanswered input and current output of a connection.
#[derive(Default)]
struct Talk {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Talk {
    /// Appends `len` bytes of `fresh` to the input, and returns the answer.
    fn answer(&mut self, fresh: &[Cell<u8>], len: usize, protocol: &mut impl Protocol) -> io::Result<&[u8]> {
        let kept = self.input.len();
        self.input.resize(kept + len, 0);
        copy_from_cells(self.input.get_mut(kept..).unwrap_or_default(), fresh);
        self.output.clear();
        let done = protocol.answer(&self.input, &mut self.output)?;
        self.input.drain(..done);
        Ok(&self.output)
    }
}

/// Returns pairs of input and output buffers for `count` connections.
fn buffers(count: usize) -> impl Iterator<Item = (&'static [Cell<u8>], &'static [Cell<u8>])> {
    let all: &'static mut [u8] = vec![0; 2 * count * BUFFER].leak();
    let mut chunks = Cell::from_mut(all).as_slice_of_cells().chunks(BUFFER);
    std::iter::from_fn(move || chunks.next().zip(chunks.next()))
}

/// Returns the number of bytes received; 0 if the peer has closed.
fn received(op: &Op<'_>) -> io::Result<usize> {
    match op.result() {
        Err(errno) if GONE.contains(&errno) => Ok(0),
        len => Ok(usize::try_from(len.map_err(failed)?).unwrap_or(0)),
    }
}

/// Serves a single connection: each call sends an answer and receives the next request.
fn serve_one(stream: &TcpStream, protocol: &mut impl Protocol) -> io::Result<()> {
    let (mut input, mut output) = (vec![0; BUFFER], Vec::new());
    let mut unanswered = Unanswered::default();
    let stream = fd(stream)?;
    loop {
        let mut ops = [Op::exchange(stream, &output, &mut input)];
        submit(&mut ops).map_err(failed)?;
        let [op] = ops;
        let len = received(&op)?;
        if len == 0 {
            return Ok(());
        }
        output.clear();
        unanswered.answer(input.get(..len).unwrap_or_default(), &mut output, protocol)?;
    }
}

/// Serves several connections: each call sends all answers and waits for the next requests.
fn serve_many(streams: &[TcpStream], protocol: &mut impl Protocol) -> io::Result<()> {
    let buffers: Vec<_> = buffers(streams.len()).collect();
    let mut ops = Vec::new();
    let mut talks = Vec::new();
    for (stream, (input, _)) in streams.iter().zip(&buffers) {
        ops.push(Op::exchange_cells(fd(stream)?, &[], input));
        talks.push(Talk::default());
    }
    let mut open = streams.len();
    let mut completed = [0; READY];
    while open > 0 {
        let count = wait(&mut ops, None, &mut completed).map_err(failed)?;
        for index in completed.iter().take(count) {
            let index = *index as usize;
            let parts = (ops.get_mut(index), talks.get_mut(index), streams.get(index), buffers.get(index));
            let (Some(op), Some(talk), Some(stream), Some((input, output))) = parts else { continue };
            let len = received(op)?;
            if len == 0 {
                *op = Op::nop();
                open -= 1;
                continue;
            }
            let answer = talk.answer(input, len, protocol)?;
            copy_to_cells(output, answer);
            let answer = output.get(..answer.len()).ok_or(ErrorKind::OutOfMemory)?;
            *op = Op::exchange_cells(fd(stream)?, answer, input);
        }
    }
    Ok(())
}

fn serve(args: &[String], protocol: &mut impl Protocol) -> io::Result<Duration> {
    let (began, streams) = accept(argument(args, 0)?)?;
    match streams.as_slice() {
        [stream] => serve_one(stream, protocol)?,
        streams => serve_many(streams, protocol)?,
    }
    Ok(began.elapsed())
}

fn echo(_count: u64, args: &[String]) -> io::Result<Duration> {
    serve(args, &mut Echo)
}

fn http(_count: u64, args: &[String]) -> io::Result<Duration> {
    serve(args, &mut Http::default())
}

fn http_file(_count: u64, args: &[String]) -> io::Result<Duration> {
    serve(args, &mut Http::with_file())
}

fn kv(_count: u64, args: &[String]) -> io::Result<Duration> {
    serve(args, &mut Cache::default())
}

/// Copies from the first connection to the second until the end.
fn relay(_count: u64, _args: &[String]) -> io::Result<Duration> {
    let (_, streams) = accept(2)?;
    let [from, to] = streams.as_slice() else { return Err(ErrorKind::NotFound.into()) };
    let began = Instant::now();
    all(&mut [Op::copy(fd(from)?, fd(to)?, u64::MAX)])?;
    Ok(began.elapsed())
}

/// Copies from a file to a connection.
fn relay_file(count: u64, _args: &[String]) -> io::Result<Duration> {
    send_file(count, |file, to, left| {
        let mut ops = [Op::copy(fd(file)?, fd(to)?, left)];
        all(&mut ops)?;
        let [op] = ops;
        op.result().map_err(failed)
    })
}
