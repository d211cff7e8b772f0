// SPDX-License-Identifier: GPL-2.0

//! Workloads on pipes: descriptor 3 is read, descriptor 4 written.

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

/// Returns a file for an inherited descriptor.
#[allow(unsafe_code, reason = "inherited descriptors only have a number")]
pub(crate) fn borrow_descriptor(fd: RawFd) -> ManuallyDrop<File> {
    // SAFETY: The descriptor is open when the program starts. Nothing in it closes the descriptor,
    // and `ManuallyDrop` does not either.
    ManuallyDrop::new(unsafe { File::from_raw_fd(fd) })
}

/// Writes `args[0]` bytes into a pipe and reads them from it.
pub(crate) fn own(count: u64, args: &[String]) -> io::Result<Duration> {
    let mut bytes = vec![0; argument(args, 0)?];
    let (mut input, mut output) = (borrow_descriptor(INPUT), borrow_descriptor(OUTPUT));
    time(count, || {
        output.write_all(&bytes)?;
        input.read_exact(&mut bytes)
    })
}

/// Writes a byte to the other process, and waits for one from it.
pub(crate) fn ping(count: u64, _args: &[String]) -> io::Result<Duration> {
    let mut byte = [0];
    let (mut input, mut output) = (borrow_descriptor(INPUT), borrow_descriptor(OUTPUT));
    time(count, || {
        output.write_all(&byte)?;
        input.read_exact(&mut byte)
    })
}

/// The other process of [`ping`].
pub(crate) fn pong(count: u64, _args: &[String]) -> io::Result<Duration> {
    let mut byte = [0];
    let (mut input, mut output) = (borrow_descriptor(INPUT), borrow_descriptor(OUTPUT));
    time(count, || {
        input.read_exact(&mut byte)?;
        output.write_all(&byte)
    })
}
