// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! What is measured.

use crate::{
    client::Client,
    contestant::Contestant, //
};

/// What the work finds when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// The standard streams.
    Nothing,
    /// Both ends of one pipe.
    Pipe,
    /// Something to read from without end, and something to write to.
    Requests,
    /// A folder with files, whose path is its first argument.
    Folder,
    /// Two pipes, and a partner at the other ends that does this.
    Partner(&'static str),
    /// A listening socket, and a client that asks for this.
    Server(Client),
    /// Nothing, and it is over at once: it is begun each time.
    Anew,
    /// The same, while somebody keeps the program in the kernel.
    AnewKept,
}

/// One thing to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// What it belongs to: what is typed to have it measured.
    pub(crate) group: &'static str,
    /// Its own name.
    pub(crate) name: &'static str,
    /// What is counted, in words.
    pub(crate) unit: &'static str,
    /// The work, as `guests/bench` calls it.
    pub(crate) work: &'static str,
    /// Its arguments.
    pub(crate) args: &'static [&'static str],
    /// What it finds.
    pub(crate) setting: Setting,
    /// Who does it, where they can.
    pub(crate) contestants: &'static [Contestant],
}

/// Whoever needs nothing else.
const ALL: &[Contestant] =
    &[Contestant::Process, Contestant::Kernel, Contestant::Engine, Contestant::Wasmi, Contestant::Wasmtime];

/// As above, and in batches.
const ALL_AND_BATCH: &[Contestant] = &[
    Contestant::Process,
    Contestant::Kernel,
    Contestant::KernelBatch,
    Contestant::Engine,
    Contestant::Wasmi,
    Contestant::Wasmtime,
];

/// As above, and the limit.
const ALL_AND_BATCH_AND_LIMIT: &[Contestant] = &[
    Contestant::Process,
    Contestant::Kernel,
    Contestant::KernelBatch,
    Contestant::Limit,
    Contestant::Engine,
    Contestant::Wasmi,
    Contestant::Wasmtime,
];

/// All, and io_uring.
const ALL_AND_URING: &[Contestant] = &[
    Contestant::Process,
    Contestant::Uring,
    Contestant::Kernel,
    Contestant::Engine,
    Contestant::Wasmi,
    Contestant::Wasmtime,
];

/// As above, in batches, and the limit.
const ALL_AND_URING_AND_BATCH_AND_LIMIT: &[Contestant] = &[
    Contestant::Process,
    Contestant::Uring,
    Contestant::Kernel,
    Contestant::KernelBatch,
    Contestant::Limit,
    Contestant::Engine,
    Contestant::Wasmi,
    Contestant::Wasmtime,
];

/// All, and system calls where a process would not need them.
const ALL_AND_SYSCALL: &[Contestant] = &[
    Contestant::Process,
    Contestant::Syscall,
    Contestant::Kernel,
    Contestant::Engine,
    Contestant::Wasmi,
    Contestant::Wasmtime,
];

/// Those that tell what the break-even curve is about.
const CURVE: &[Contestant] = &[Contestant::Process, Contestant::Kernel, Contestant::Engine];

/// Those that can have a partner.
const PARTNERS: &[Contestant] = &[
    Contestant::Process,
    Contestant::Kernel,
    Contestant::KernelBatch,
    Contestant::KernelAndProcess,
    Contestant::Limit,
    Contestant::Engine,
    Contestant::Wasmi,
    Contestant::Wasmtime,
];

/// The group whose cases are one curve.
pub(crate) const CURVE_GROUP: &str = "break-even";

const fn calls(name: &'static str, work: &'static str, contestants: &'static [Contestant]) -> Case {
    Case { group: "null", name, unit: "call", work, args: &[], setting: Setting::Nothing, contestants }
}

const fn server(
    group: &'static str,
    name: &'static str,
    unit: &'static str,
    work: &'static str,
    client: Client,
) -> Case {
    Case { group, name, unit, work, args: &[], setting: Setting::Server(client), contestants: ALL_AND_BATCH }
}

const fn with_limit(case: Case) -> Case {
    Case { contestants: ALL_AND_BATCH_AND_LIMIT, ..case }
}

const fn curve(name: &'static str, args: &'static [&'static str]) -> Case {
    Case {
        group: CURVE_GROUP,
        name,
        unit: "call and loop",
        work: "spin",
        args,
        setting: Setting::Nothing,
        contestants: CURVE,
    }
}

const fn compute(name: &'static str, unit: &'static str) -> Case {
    Case { group: "compute", name, unit, work: name, args: &[], setting: Setting::Nothing, contestants: ALL }
}

/// Everything that is measured, in the order of tables.
pub(crate) const CASES: &[Case] = &[
    calls("null", "null", ALL),
    calls("null-engine", "null-engine", ALL),
    calls("clock", "clock", ALL_AND_SYSCALL),
    Case {
        group: "selfpipe",
        name: "selfpipe-1",
        unit: "write and read of 1 byte",
        work: "selfpipe",
        args: &["1"],
        setting: Setting::Pipe,
        contestants: ALL_AND_URING_AND_BATCH_AND_LIMIT,
    },
    Case {
        group: "selfpipe",
        name: "selfpipe-4096",
        unit: "write and read of 4 KiB",
        work: "selfpipe",
        args: &["4096"],
        setting: Setting::Pipe,
        contestants: ALL_AND_URING_AND_BATCH_AND_LIMIT,
    },
    Case {
        group: "pingpong",
        name: "pingpong",
        unit: "byte there and back between two parties",
        work: "ping",
        args: &[],
        setting: Setting::Partner("pong"),
        contestants: PARTNERS,
    },
    Case {
        group: "scan",
        name: "scan-64",
        unit: "read of 64 bytes, lines counted",
        work: "scan",
        args: &[],
        setting: Setting::Folder,
        contestants: ALL_AND_URING_AND_BATCH_AND_LIMIT,
    },
    Case {
        group: "scan",
        name: "scan-files",
        unit: "file opened, read, closed",
        work: "files",
        args: &[],
        setting: Setting::Folder,
        contestants: ALL_AND_URING,
    },
    Case {
        group: "policy",
        name: "policy",
        unit: "request read, decision written",
        work: "policy",
        args: &[],
        setting: Setting::Requests,
        contestants: ALL_AND_BATCH_AND_LIMIT,
    },
    Case {
        group: "policy",
        name: "decide",
        unit: "decision",
        work: "decide",
        args: &[],
        setting: Setting::Nothing,
        contestants: ALL,
    },
    with_limit(server("echo", "echo-1-64", "64 bytes there and back", "echo", Client::Echo(1, 64))),
    with_limit(server("echo", "echo-1-4096", "4 KiB there and back", "echo", Client::Echo(1, 4096))),
    with_limit(server("echo", "echo-16-64", "64 bytes, one of 16 connections", "echo", Client::Echo(16, 64))),
    with_limit(server("echo", "echo-16-4096", "4 KiB, one of 16 connections", "echo", Client::Echo(16, 4096))),
    with_limit(server("echo", "echo-256-64", "64 bytes, one of 256 connections", "echo", Client::Echo(256, 64))),
    with_limit(server("echo", "echo-256-4096", "4 KiB, one of 256 connections", "echo", Client::Echo(256, 4096))),
    server("http", "http-1", "page, kept alive", "http", Client::Http(1)),
    server("http", "http-16", "page, one of 16 connections", "http", Client::Http(16)),
    Case {
        contestants: ALL,
        ..server("http", "http-close", "page, a connection for each", "http-close", Client::HttpClose)
    },
    server("kv", "kv-get", "value read", "kv", Client::Get(1)),
    server("kv", "kv-set", "value written", "kv", Client::Set(1)),
    server("kv", "kv-get-16", "value read, one of 16 connections", "kv", Client::Get(16)),
    with_limit(server("relay", "relay", "16 KiB from socket to socket", "relay", Client::Relay)),
    Case {
        group: "start",
        name: "start",
        unit: "program started, and ended",
        work: "null",
        args: &[],
        setting: Setting::Anew,
        contestants: ALL,
    },
    Case {
        group: "start",
        name: "start-kept",
        unit: "the same, kept by kwasmi load",
        work: "null",
        args: &[],
        setting: Setting::AnewKept,
        contestants: &[Contestant::Process, Contestant::Kernel],
    },
    compute("fib", "fib(16)"),
    compute("sieve", "primes below 8192"),
    compute("matmul-i32", "product of two 24x24"),
    compute("matmul-f32", "product of two 24x24"),
    compute("matmul-f64", "product of two 24x24"),
    compute("sha256", "1 KiB"),
    compute("coremark", "round"),
    curve("spin-0", &["0"]),
    curve("spin-1", &["1"]),
    curve("spin-2", &["2"]),
    curve("spin-4", &["4"]),
    curve("spin-8", &["8"]),
    curve("spin-16", &["16"]),
    curve("spin-32", &["32"]),
    curve("spin-64", &["64"]),
];
