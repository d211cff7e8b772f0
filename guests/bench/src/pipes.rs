// SPDX-License-Identifier: GPL-2.0

//! Pipes: descriptor 3 is read, descriptor 4 written.

use crate::{
    argument,
    time, //
};
use std::{
    fs::File,
    io::{
        self,
        Read as _,
        Write as _, //
    },
    mem::ManuallyDrop,
    os::fd::{
        FromRawFd as _,
        RawFd, //
    },
    time::Duration, //
};

const INPUT: RawFd = 3;
const OUTPUT: RawFd = 4;

/// A descriptor that was handed over.
#[allow(unsafe_code, reason = "descriptors that were handed over have a number only")]
pub(crate) fn handed(fd: RawFd) -> ManuallyDrop<File> {
    // SAFETY: Nobody else in this program closes it, nor does this.
    ManuallyDrop::new(unsafe { File::from_raw_fd(fd) })
}

/// Writes `args[0]` bytes into a pipe and reads them from it.
pub(crate) fn own(count: u64, args: &[String]) -> io::Result<Duration> {
    let mut bytes = vec![0; argument(args, 0)?];
    let (mut input, mut output) = (handed(INPUT), handed(OUTPUT));
    time(count, || {
        output.write_all(&bytes)?;
        input.read_exact(&mut bytes)
    })
}

/// Writes a byte for the other party, and waits for one from it.
pub(crate) fn ping(count: u64, _args: &[String]) -> io::Result<Duration> {
    let mut byte = [0];
    let (mut input, mut output) = (handed(INPUT), handed(OUTPUT));
    time(count, || {
        output.write_all(&byte)?;
        input.read_exact(&mut byte)
    })
}

/// The other party.
pub(crate) fn pong(count: u64, _args: &[String]) -> io::Result<Duration> {
    let mut byte = [0];
    let (mut input, mut output) = (handed(INPUT), handed(OUTPUT));
    time(count, || {
        input.read_exact(&mut byte)?;
        output.write_all(&byte)
    })
}
