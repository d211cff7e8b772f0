// SPDX-License-Identifier: GPL-2.0

//! Workload similar to CoreMark: a list, a matrix, a state machine, and a checksum over their
//! results.

use crate::time_result;
use std::{
    hint::black_box,
    io,
    time::Duration, //
};

/// CRC-16, bit by bit, as in CoreMark.
fn checksum(mut crc: u16, data: u16) -> u16 {
    for bit in 0..16 {
        let is_odd = (crc ^ (data >> bit)) & 1 == 1;
        crc >>= 1;
        if is_odd {
            crc ^= 0xa001;
        }
    }
    crc
}

/// Linked list in an array: each element has a value and the index of the next one.
struct List {
    elements: Vec<(u16, usize)>,
    first: usize,
}

/// Index that stands for no element.
const NONE: usize = usize::MAX;

impl List {
    fn new(len: usize, seed: u16) -> Self {
        let mut value = seed;
        let mut elements = Vec::new();
        for index in 1..=len {
            value = value.wrapping_mul(25173).wrapping_add(13849);
            elements.push((value, if index == len { NONE } else { index }));
        }
        Self { elements, first: 0 }
    }

    fn find(&self, wanted: u16) -> Option<usize> {
        let mut place = self.first;
        while let Some((value, next)) = self.elements.get(place) {
            if *value & 0xff == wanted & 0xff {
                return Some(place);
            }
            place = *next;
        }
        None
    }

    fn reverse(&mut self) {
        let (mut before, mut place) = (NONE, self.first);
        while let Some((_, next)) = self.elements.get_mut(place) {
            (before, place) = (place, std::mem::replace(next, before));
        }
        self.first = before;
    }

    fn sum(&self, mut crc: u16) -> u16 {
        let mut place = self.first;
        while let Some((value, next)) = self.elements.get(place) {
            crc = checksum(crc, *value);
            place = *next;
        }
        crc
    }
}

/// State of the scanner of numbers.
#[derive(Clone, Copy)]
enum State {
    Start,
    Integer,
    Fraction,
    Exponent,
    Invalid,
}

fn scan(text: &[u8], mut crc: u16) -> u16 {
    let mut state = State::Start;
    let mut seen = [0_u16; 5];
    for byte in text {
        state = match (state, byte) {
            (_, b',') => State::Start,
            (State::Start, b'0'..=b'9' | b'+' | b'-') | (State::Integer, b'0'..=b'9') => State::Integer,
            (State::Start | State::Integer, b'.') | (State::Fraction, b'0'..=b'9') => State::Fraction,
            (State::Integer | State::Fraction, b'e' | b'E') | (State::Exponent, b'0'..=b'9' | b'-') => State::Exponent,
            _ => State::Invalid,
        };
        if let Some(count) = seen.get_mut(state as usize) {
            *count += 1;
        }
    }
    for count in seen {
        crc = checksum(crc, count);
    }
    crc
}

const SIDE: usize = 10;

fn matrix(a: &[[i16; SIDE]; SIDE], b: &[[i16; SIDE]; SIDE], mut crc: u16) -> u16 {
    for row in a {
        for column in 0..SIDE {
            let mut sum = 0_i32;
            for (left, right) in row.iter().zip(b) {
                sum = sum.wrapping_add(i32::from(*left) * i32::from(right[column]));
            }
            crc = checksum(crc, sum as u16);
        }
    }
    crc
}

/// One round of all parts.
pub(crate) fn run(count: u64, _args: &[String]) -> io::Result<Duration> {
    let mut list = List::new(100, 7);
    let text = b"5012,1234,-874,+122,35.54400,.1234500,-110.700,+0.64400,5.500e+3,-.123e-2,-87e+832,+0.6e-12,T0.3e-1F,-T.T++Tq";
    let a = [[3_i16; SIDE]; SIDE];
    let b = [[-5_i16; SIDE]; SIDE];
    let mut crc = 0;
    time_result(count, || {
        for wanted in 0..8 {
            crc = checksum(crc, u16::from(list.find(crc.wrapping_add(wanted)).is_some()));
        }
        list.reverse();
        crc = list.sum(crc);
        crc = scan(black_box(text), crc);
        crc = matrix(black_box(&a), black_box(&b), crc);
        crc
    })
}
