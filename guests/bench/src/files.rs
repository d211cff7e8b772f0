// SPDX-License-Identifier: GPL-2.0

//! Workloads on files in the folder `args[0]`, which the benchmark has made.

use crate::{
    argument,
    time, //
};
use std::{
    fs::File,
    hint::black_box,
    io::{
        self,
        Read as _,
        Seek as _, //
    },
    time::Duration, //
};

/// Number of small files.
const SMALL_FILES: usize = 64;

/// Reads 64 bytes and counts the lines in them. Starts again at the end of the file.
pub(crate) fn scan(count: u64, args: &[String]) -> io::Result<Duration> {
    let folder: String = argument(args, 0)?;
    let mut file = File::open(format!("{folder}/lines"))?;
    let mut bytes = [0; 64];
    let mut lines = 0;
    let took = time(count, || {
        let len = file.read(&mut bytes)?;
        if len == 0 {
            return file.rewind();
        }
        lines += memchr::memchr_iter(b'\n', bytes.get(..len).unwrap_or_default()).count();
        Ok(())
    });
    black_box(lines);
    took
}

/// Opens, reads and closes one small file after another.
pub(crate) fn small(count: u64, args: &[String]) -> io::Result<Duration> {
    let folder: String = argument(args, 0)?;
    let mut names = Vec::new();
    for index in 0..SMALL_FILES {
        names.push(format!("{folder}/small-{index}"));
    }
    let mut names = names.iter().cycle();
    let mut bytes = [0; 256];
    time(count, || {
        let name = names.next().ok_or(io::ErrorKind::NotFound)?;
        let len = File::open(name)?.read(&mut bytes)?;
        black_box(len);
        Ok(())
    })
}
