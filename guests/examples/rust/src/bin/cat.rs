// SPDX-License-Identifier: GPL-2.0

//! Copies standard input to standard output, unchanged.

use std::{
    fs::File,
    io::{
        self,
        Read,
        Write, //
    },
    mem::ManuallyDrop,
    os::fd::FromRawFd,
    process::ExitCode, //
};

/// Bytes that are moved at a time.
const BUFFER: usize = 64 * 1024;

/// The standard stream with this number, as it is: the library's would look for line ends in what is written.
fn stream(fd: i32) -> ManuallyDrop<File> {
    // SAFETY: Standard streams are not closed by this program.
    ManuallyDrop::new(unsafe { File::from_raw_fd(fd) })
}

fn cat() -> Result<(), &'static str> {
    let (mut input, mut output) = (stream(0), stream(1));
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
    Ok(())
}

fn main() -> ExitCode {
    match cat() {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            // Standard error may be gone as well.
            let _ = writeln!(io::stderr(), "cat: {what}");
            ExitCode::FAILURE
        }
    }
}
