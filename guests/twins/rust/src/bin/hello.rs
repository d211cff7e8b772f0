// SPDX-License-Identifier: GPL-2.0

//! Prints a greeting and its arguments, one per line. With an argument, prints also its
//! environment, sorted.

use std::{
    env,
    io::{
        self,
        Write, //
    },
    process::ExitCode, //
};

fn hello() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "Hello from Rust!")?;
    let args: Vec<_> = env::args_os().skip(1).collect();
    for arg in &args {
        out.write_all(b"argument ")?;
        out.write_all(arg.as_encoded_bytes())?;
        out.write_all(b"\n")?;
    }
    if !args.is_empty() {
        let mut variables: Vec<_> = env::vars_os().collect();
        variables.sort();
        for (name, value) in &variables {
            out.write_all(b"variable ")?;
            out.write_all(name.as_encoded_bytes())?;
            out.write_all(b"=")?;
            out.write_all(value.as_encoded_bytes())?;
            out.write_all(b"\n")?;
        }
    }
    out.flush()
}

fn main() -> ExitCode {
    match hello() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => {
            // Standard error may be closed as well, so its error is ignored.
            let _ = writeln!(io::stderr(), "hello: cannot write");
            ExitCode::FAILURE
        }
    }
}
