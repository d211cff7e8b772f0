// SPDX-License-Identifier: GPL-2.0

//! Workload of small decisions: whether an address may reach a port.

mod rules;

pub(crate) use self::rules::{
    REQUEST,
    is_allowed,
    next, //
};

use crate::{
    pipes::borrow_descriptor,
    time,
    time_result, //
};
use std::{
    hint::black_box,
    io::{
        self,
        Read as _,
        Write as _, //
    },
    time::Duration, //
};

/// Decides about a request in memory.
pub(crate) fn decide(count: u64, _args: &[String]) -> io::Result<Duration> {
    let (mut request, mut state) = ([0; REQUEST], 1);
    time_result(count, || {
        next(&mut request, &mut state);
        is_allowed(black_box(&request))
    })
}

/// Reads a request from descriptor 3 and writes the answer of one byte to descriptor 4.
pub(crate) fn serve(count: u64, _args: &[String]) -> io::Result<Duration> {
    let (mut input, mut output) = (borrow_descriptor(3), borrow_descriptor(4));
    let (mut request, mut state) = ([0; REQUEST], 1);
    time(count, || {
        input.read_exact(&mut request)?;
        next(&mut request, &mut state);
        output.write_all(&[u8::from(is_allowed(&request))])
    })
}
