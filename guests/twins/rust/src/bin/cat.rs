// SPDX-License-Identifier: GPL-2.0

//! Copies standard input to standard output, unchanged.

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

fn cat() -> Result<(), &'static str> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut buffer = vec![0; BUFFER];
    loop {
        let len = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Err("cannot read"),
        };
        output.write_all(&buffer[..len]).map_err(|_| "cannot write")?;
    }
    output.flush().map_err(|_| "cannot write")
}

fn main() -> ExitCode {
    match cat() {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            // Standard error may be closed as well, so its error is ignored.
            let _ = writeln!(io::stderr(), "cat: {what}");
            ExitCode::FAILURE
        }
    }
}
