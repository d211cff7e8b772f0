// SPDX-License-Identifier: GPL-2.0

//! Workloads that only compute.

use crate::time_result;
use sha2::{
    Digest as _,
    Sha256, //
};
use std::{
    array,
    hint::black_box,
    io,
    ops::{
        Add,
        Mul, //
    },
    time::Duration, //
};

fn fibonacci(n: u32) -> u32 {
    if n < 2 { n } else { fibonacci(n - 1).wrapping_add(fibonacci(n - 2)) }
}

/// Computes fib(16) by recursion.
pub(crate) fn fib(count: u64, _args: &[String]) -> io::Result<Duration> {
    time_result(count, || fibonacci(black_box(16)))
}

/// Computes the primes below 8192.
pub(crate) fn sieve(count: u64, _args: &[String]) -> io::Result<Duration> {
    let mut composite = vec![false; 8192];
    time_result(count, || {
        composite.fill(false);
        let mut primes = 0_u32;
        for number in 2..composite.len() {
            if composite.get(number) == Some(&false) {
                primes += 1;
                composite.iter_mut().skip(number * number).step_by(number).for_each(|place| *place = true);
            }
        }
        primes
    })
}

const SIDE: usize = 24;

type Matrix<T> = [[T; SIDE]; SIDE];

fn product<T: Copy + Default + Add<Output = T> + Mul<Output = T>>(a: &Matrix<T>, b: &Matrix<T>) -> Matrix<T> {
    let mut product = [[T::default(); SIDE]; SIDE];
    for (row, a_row) in product.iter_mut().zip(a) {
        for (index, place) in row.iter_mut().enumerate() {
            for (left, b_row) in a_row.iter().zip(b) {
                *place = *place + *left * b_row[index];
            }
        }
    }
    product
}

fn matmul<T>(count: u64, number: impl Fn(u8) -> T) -> io::Result<Duration>
where
    T: Copy + Default + Add<Output = T> + Mul<Output = T>,
{
    let matrix = |seed: u8| -> Matrix<T> {
        let mut next = seed;
        array::from_fn(|_| {
            array::from_fn(|_| {
                next = next.wrapping_mul(5).wrapping_add(1);
                number(next % 16)
            })
        })
    };
    let (a, b) = (matrix(1), matrix(2));
    time_result(count, || product(black_box(&a), black_box(&b)))
}

/// Multiplies two matrices of 32-bit integers.
pub(crate) fn matmul_i32(count: u64, _args: &[String]) -> io::Result<Duration> {
    matmul(count, i32::from)
}

/// Multiplies two matrices of 32-bit floats.
pub(crate) fn matmul_f32(count: u64, _args: &[String]) -> io::Result<Duration> {
    matmul(count, f32::from)
}

/// Multiplies two matrices of 64-bit floats.
pub(crate) fn matmul_f64(count: u64, _args: &[String]) -> io::Result<Duration> {
    matmul(count, f64::from)
}

/// Computes the SHA-256 of 1 KiB.
pub(crate) fn sha256(count: u64, _args: &[String]) -> io::Result<Duration> {
    let bytes = [0x5a_u8; 1024];
    time_result(count, || Sha256::digest(black_box(&bytes)))
}
