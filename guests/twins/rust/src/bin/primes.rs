// SPDX-License-Identifier: GPL-2.0

//! Prints the primes up to its argument, one per line, by the sieve of Eratosthenes.

use std::{
    env,
    io::{
        self,
        BufWriter,
        Write, //
    },
    process::ExitCode, //
};

/// Largest argument: each number needs a byte of memory.
const MAX: usize = 100_000_000;

/// Parses decimal digits, at most [`MAX`].
fn parse(text: &[u8]) -> Option<usize> {
    let number = text.iter().try_fold(0_usize, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| usize::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })?;
    (!text.is_empty() && number <= MAX).then_some(number)
}

fn primes(max: usize) -> io::Result<()> {
    let mut output = BufWriter::new(io::stdout().lock());
    let mut is_composite = vec![false; max + 1];
    for number in 2..=max {
        if is_composite[number] {
            continue;
        }
        writeln!(output, "{number}")?;
        // A square beyond the address space is also above `max`.
        let first = number.checked_mul(number).unwrap_or(usize::MAX);
        for multiple in (first..=max).step_by(number) {
            is_composite[multiple] = true;
        }
    }
    output.flush()
}

fn main() -> ExitCode {
    let args: Vec<_> = env::args_os().skip(1).collect();
    let max = match args.as_slice() {
        [max] => parse(max.as_encoded_bytes()),
        _ => None,
    };
    // Standard error may be closed, so its error is ignored.
    let Some(max) = max else {
        let _ = writeln!(io::stderr(), "usage: primes N, N at most {MAX}");
        return ExitCode::from(2);
    };
    match primes(max) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => {
            let _ = writeln!(io::stderr(), "primes: cannot write");
            ExitCode::FAILURE
        }
    }
}
