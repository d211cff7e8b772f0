// SPDX-License-Identifier: GPL-2.0

//! Keeps the output of a service in log files of bounded size: appends the lines of standard input
//! to a file. Before the file would exceed SIZE bytes, NAME becomes NAME.1, NAME.1 becomes NAME.2,
//! and so on; KEEP old files remain. Each line is written at once, by a host call of its own.
//!
//!     rustc --edition 2024 --target wasm32-wasip1 -O examples/rotate.rs
//!     service | kwasmi run --dir /var/log/service::/log rotate.wasm /log/out 1048576 4

use std::{
    env,
    error::Error,
    fs::{
        self,
        File, //
    },
    io::{
        self,
        BufRead as _,
        ErrorKind,
        Write as _, //
    },
};

/// Renames the files, the oldest first, and returns a new one.
fn rotate(name: &str, keep: u32) -> io::Result<File> {
    for age in (0..keep).rev() {
        let from = if age == 0 { name.to_owned() } else { format!("{name}.{age}") };
        fs::rename(from, format!("{name}.{}", age + 1))
            .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    }
    File::create(name)
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().collect();
    let [_, name, size, keep] = args.as_slice() else { return Err("usage: rotate NAME SIZE KEEP".into()) };
    let (size, keep) = (size.parse()?, keep.parse()?);

    let mut log = File::options().append(true).create(true).open(name)?;
    let mut len = log.metadata()?.len();
    let (mut input, mut line) = (io::stdin().lock(), Vec::new());
    while input.read_until(b'\n', &mut line)? > 0 {
        if len > 0 && len + line.len() as u64 > size {
            (log, len) = (rotate(name, keep)?, 0);
        }
        log.write_all(&line)?;
        len += line.len() as u64;
        line.clear();
    }
    Ok(())
}
