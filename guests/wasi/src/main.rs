// SPDX-License-Identifier: GPL-2.0

//! Calls every function of WASI preview 1, of `kwasmi_batch_1`, of `kwasmi_bytes_1` and of
//! `kwasmi_call_1` in cases. Prints a line `TOPIC: CASE: RESULT` for each, and `FAILED TOPIC: CASE:
//! got RESULT, expected RESULT` if the result is not that of the specification.
//!
//!     wasi.wasm all one 'two words' '' ünïcode
//!         All cases but those of sockets. The environment is A=1 EMPTY= 'SPACES= a b ', standard
//!         input is an empty pipe.
//!     wasi.wasm sockets
//!         The cases of sockets, with a listening socket to which a client connects.
//!     wasi.wasm server N
//!         Answers N connections by batches until they are closed.
//!     wasi.wasm exit STATUS | raise SIGNAL
//!
//! The preopens are `scratch`, where it works, and `read-only`; `guests/wasi/world.sh` makes their
//! contents. Results do not depend on where it runs: they contain no times, no inode numbers and no
//! order of directory entries.

mod abi;
mod batch;
mod bytes;
mod call;
mod case;
mod clocks;
mod descriptors;
mod directories;
mod errno;
mod escapes;
mod faults;
mod links;
mod metadata;
mod mounts;
mod names;
mod open;
mod poll;
mod process;
mod readdir;
mod renames;
mod rights;
mod scratch;
mod server;
mod sockets;
mod strings;
mod sys;
mod transfer;

use scratch::Dir;
use std::process::ExitCode;
use sys::Result;

/// Preopens that the cases use.
struct World {
    scratch: Dir,
    read_only: Dir,
}

/// Runs all topics. An error is one of their preparations.
fn all(world: &World) -> Result {
    strings::cases();
    clocks::cases();
    process::cases();
    descriptors::cases(world)?;
    open::cases(world)?;
    names::cases(world)?;
    directories::cases(world)?;
    links::cases(world)?;
    renames::cases(world)?;
    escapes::cases(world)?;
    mounts::cases(world)?;
    transfer::cases(world)?;
    metadata::cases(world)?;
    readdir::cases(world)?;
    rights::cases(world)?;
    poll::cases(world)?;
    batch::cases(world)?;
    bytes::cases();
    call::cases();
    faults::cases(world)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let mut words = args.iter().skip(1).map(String::as_str);
    let (mode, value) = (words.next(), words.next());
    let number = value.and_then(|value| value.parse().ok()).unwrap_or(0);
    match mode {
        Some("exit") => sys::raw::proc_exit(number),
        Some("raise") => {
            println!("proc_raise({number}) returned {}", sys::raw::proc_raise(number));
            return ExitCode::FAILURE;
        }
        _ => {}
    }
    let (Some(scratch), Some(read_only)) = (Dir::preopened(b"scratch"), Dir::preopened(b"read-only")) else {
        println!("FAILED: no directories");
        return ExitCode::FAILURE;
    };
    let world = World { scratch, read_only };
    let result = match mode {
        Some("all") => all(&world),
        Some("sockets") => sockets::cases(&world),
        Some("server") => server::serve(&world, usize::try_from(number).unwrap_or(0)),
        _ => {
            println!("FAILED: no such mode");
            return ExitCode::FAILURE;
        }
    };
    if let Err(errno) = result {
        println!("FAILED: a preparation failed: {errno}");
        return ExitCode::FAILURE;
    }
    if case::failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
