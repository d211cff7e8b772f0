// SPDX-License-Identifier: GPL-2.0

//! SIMD operations by the functions of wasmi, so that both engines give the same bits.

use crate::simd::{
    Operation,
    for_each_operation,
    words, //
};
use core::array;
use wasmi_core::{
    V128,
    simd::{
        self,
        ImmLaneIdx32, //
    },
};

/// Highest number of words that the operands of an operation have.
pub(crate) const OPERANDS: usize = 6;

/// The `v128` with these words.
fn vector(low: u64, high: u64) -> V128 {
    V128::from(u128::from(low) | u128::from(high) << 64)
}

fn result(value: V128) -> [u64; 2] {
    words(value.as_u128())
}

/// `i8x16.shuffle`; each byte of `lanes` is the number of a lane of `a` and `b`.
fn shuffle(a: V128, b: V128, lanes: V128) -> V128 {
    let numbers = lanes.as_u128().to_le_bytes();
    let Ok(first) = ImmLaneIdx32::try_from(0) else { return a };
    let lanes = array::from_fn(|index| {
        let number = numbers.get(index).copied().unwrap_or(0);
        ImmLaneIdx32::try_from(number).unwrap_or(first)
    });
    simd::i8x16_shuffle(a, b, lanes)
}

#[expect(clippy::cast_possible_truncation, reason = "a count has 32 bits")]
fn count(word: u64) -> u32 {
    word as u32
}

macro_rules! call {
    ($function:ident: unary, $a:ident, $b:ident, $c:ident) => {
        result(simd::$function(vector($a[0], $a[1])))
    };
    ($function:ident: binary, $a:ident, $b:ident, $c:ident) => {
        result(simd::$function(vector($a[0], $a[1]), vector($b[0], $b[1])))
    };
    ($function:ident: ternary, $a:ident, $b:ident, $c:ident) => {
        result(simd::$function(vector($a[0], $a[1]), vector($b[0], $b[1]), vector($c[0], $c[1])))
    };
    ($function:ident: shift, $a:ident, $b:ident, $c:ident) => {
        result(simd::$function(vector($a[0], $a[1]), count($b[0])))
    };
    ($function:ident: test, $a:ident, $b:ident, $c:ident) => {
        [u64::from(simd::$function(vector($a[0], $a[1]))), 0]
    };
    ($function:ident: mask, $a:ident, $b:ident, $c:ident) => {
        [u64::from(simd::$function(vector($a[0], $a[1]))), 0]
    };
}

macro_rules! define_compute {
    ($($name:ident = $function:ident: $shape:ident;)*) => {
        /// Computes operation `number`. A result of 32 bits is the first word, and the second is 0.
        /// An unknown number gives 0.
        #[must_use]
        pub(crate) fn compute(number: u64, operands: [u64; OPERANDS]) -> [u64; 2] {
            let [a, b, c] = {
                let [a, b, c, d, e, f] = operands;
                [[a, b], [c, d], [e, f]]
            };
            // The checker proves nothing about arguments of helpers, so `number` may be any value.
            let Some(operation) = Operation::from_number(number) else { return [0; 2] };
            match operation {
                Operation::I8x16Shuffle => {
                    result(shuffle(vector(a[0], a[1]), vector(b[0], b[1]), vector(c[0], c[1])))
                }
                $(Operation::$name => call!($function: $shape, a, b, c),)*
            }
        }
    };
}
for_each_operation!(define_compute);
