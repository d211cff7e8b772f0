// SPDX-License-Identifier: GPL-2.0

//! Counts lines, words and bytes of standard input, as wc(1) does in the C locale.

use std::{
    io::{
        self,
        Read,
        Write, //
    },
    process::ExitCode, //
};

/// Size of a read, in bytes.
const BUFFER: usize = 64 * 1024;

/// Counts so far.
#[derive(Default)]
struct Counts {
    lines: u64,
    words: u64,
    bytes: u64,
    in_word: bool,
}

impl Counts {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.lines += u64::from(*byte == b'\n');
            // The characters of C's isspace().
            let is_space = matches!(byte, b' ' | b'\t'..=b'\r');
            self.words += u64::from(!is_space && !self.in_word);
            self.in_word = !is_space;
        }
        self.bytes += bytes.len() as u64;
    }
}

fn wc() -> Result<(), &'static str> {
    let mut input = io::stdin().lock();
    let mut buffer = vec![0; BUFFER];
    let mut counts = Counts::default();
    loop {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => counts.add(&buffer[..len]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err("cannot read"),
        }
    }
    let mut output = io::stdout().lock();
    writeln!(output, "{:7} {:7} {:7}", counts.lines, counts.words, counts.bytes)
        .and_then(|()| output.flush())
        .map_err(|_| "cannot write")
}

fn main() -> ExitCode {
    match wc() {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            // Standard error may be closed as well, so its error is ignored.
            let _ = writeln!(io::stderr(), "wc: {what}");
            ExitCode::FAILURE
        }
    }
}
