// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! What is measured.

use crate::{
    client::Client,
    contestant::{
        Contestant,
        Contestants, //
    }, //
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
    /// A listening socket, and wrk, which asks for a page.
    Wrk,
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
    pub(crate) contestants: Contestants,
    /// How many system calls an operation is by a native process, where that is always the same; of `ping` and `pong` together.
    pub(crate) system_calls: Option<u32>,
}

/// Whoever needs nothing else.
const ALL: Contestants = Contestants::of(&[
    Contestant::Process,
    Contestant::Kernel,
    Contestant::Engine,
    Contestant::EngineRetpolines,
    Contestant::Wasmi,
    Contestant::Wasmtime,
]);

/// Those who need more. Each of them can do but some of the work.
const SYSCALL: &[Contestant] = &[Contestant::Syscall];
const URING: &[Contestant] = &[Contestant::Uring];
const BPF: &[Contestant] = &[Contestant::Bpf];
const BATCH: &[Contestant] = &[Contestant::KernelBatch];
const LIMIT: &[Contestant] = &[Contestant::Limit];
const MEMCACHED_AND_LIMIT: &[Contestant] = &[Contestant::Memcached, Contestant::Limit];
const PARTNER: &[Contestant] = &[Contestant::KernelAndProcess];

/// Those that tell what the break-even curve is about.
const CURVE: Contestants = Contestants::of(&[Contestant::Process, Contestant::Kernel, Contestant::Engine]);

/// Those who can be kept in the kernel, and whom they are compared with.
const KEPT: Contestants = Contestants::of(&[Contestant::Process, Contestant::Kernel]);

/// The group whose cases are one curve.
pub(crate) const CURVE_GROUP: &str = "break-even";

const fn calls(name: &'static str, work: &'static str, contestants: Contestants) -> Case {
    Case {
        group: "null",
        name,
        unit: "call",
        work,
        args: &[],
        setting: Setting::Nothing,
        contestants,
        system_calls: None,
    }
}

const fn server(
    group: &'static str,
    name: &'static str,
    unit: &'static str,
    work: &'static str,
    client: Client,
) -> Case {
    Case {
        group,
        name,
        unit,
        work,
        args: &[],
        setting: Setting::Server(client),
        contestants: ALL.and(URING).and(BATCH),
        system_calls: None,
    }
}

/// A server of a single connection: it reads and writes once for each request.
const fn of_one(server: Case) -> Case {
    Case { system_calls: Some(2), ..server }
}

/// `case`, of which others do their part, too.
const fn with(case: Case, others: &[Contestant]) -> Case {
    Case { contestants: case.contestants.and(others), ..case }
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
        system_calls: None,
    }
}

const fn compute(name: &'static str, unit: &'static str) -> Case {
    Case {
        group: "compute",
        name,
        unit,
        work: name,
        args: &[],
        setting: Setting::Nothing,
        contestants: ALL,
        system_calls: None,
    }
}

/// Everything that is measured, in the order of tables.
pub(crate) const CASES: &[Case] = &[
    calls("null", "null", ALL.and(BPF).and(LIMIT)),
    calls("null-engine", "null-engine", ALL),
    calls("null-switch", "null-switch", ALL),
    calls("clock", "clock", ALL.and(BPF).and(SYSCALL)),
    Case {
        group: "selfpipe",
        name: "selfpipe-1",
        unit: "write and read of 1 byte",
        work: "selfpipe",
        args: &["1"],
        setting: Setting::Pipe,
        contestants: ALL.and(URING).and(BATCH).and(LIMIT),
        system_calls: Some(2),
    },
    Case {
        group: "selfpipe",
        name: "selfpipe-4096",
        unit: "write and read of 4 KiB",
        work: "selfpipe",
        args: &["4096"],
        setting: Setting::Pipe,
        contestants: ALL.and(URING).and(BATCH).and(LIMIT),
        system_calls: Some(2),
    },
    Case {
        group: "pingpong",
        name: "pingpong",
        unit: "byte there and back between two parties",
        work: "ping",
        args: &[],
        setting: Setting::Partner("pong"),
        contestants: ALL.and(BATCH).and(PARTNER).and(LIMIT),
        system_calls: Some(4),
    },
    Case {
        group: "scan",
        name: "scan-64",
        unit: "read of 64 bytes, lines counted",
        work: "scan",
        args: &[],
        setting: Setting::Folder,
        contestants: ALL.and(URING).and(BATCH).and(LIMIT),
        system_calls: Some(1),
    },
    Case {
        group: "scan",
        name: "scan-files",
        unit: "file opened, read, closed",
        work: "files",
        args: &[],
        setting: Setting::Folder,
        contestants: ALL.and(URING),
        system_calls: Some(3),
    },
    Case {
        group: "policy",
        name: "policy",
        unit: "request read, decision written",
        work: "policy",
        args: &[],
        setting: Setting::Requests,
        contestants: ALL.and(BPF).and(BATCH).and(LIMIT),
        system_calls: Some(2),
    },
    Case {
        group: "policy",
        name: "decide",
        unit: "decision",
        work: "decide",
        args: &[],
        setting: Setting::Nothing,
        contestants: ALL.and(BPF),
        system_calls: None,
    },
    with(of_one(server("echo", "echo-1-64", "64 bytes there and back", "echo", Client::Echo(1, 64))), LIMIT),
    with(of_one(server("echo", "echo-1-4096", "4 KiB there and back", "echo", Client::Echo(1, 4096))), LIMIT),
    with(server("echo", "echo-16-64", "64 bytes, one of 16 connections", "echo", Client::Echo(16, 64)), LIMIT),
    with(server("echo", "echo-16-4096", "4 KiB, one of 16 connections", "echo", Client::Echo(16, 4096)), LIMIT),
    with(server("echo", "echo-256-64", "64 bytes, one of 256 connections", "echo", Client::Echo(256, 64)), LIMIT),
    with(server("echo", "echo-256-4096", "4 KiB, one of 256 connections", "echo", Client::Echo(256, 4096)), LIMIT),
    with(of_one(server("http", "http-1", "page, kept alive", "http", Client::Http(1))), LIMIT),
    with(server("http", "http-16", "page, one of 16 connections", "http", Client::Http(16)), LIMIT),
    Case {
        group: "http",
        name: "http-wrk",
        unit: "page, one of wrk's 16 connections",
        work: "http",
        args: &[],
        setting: Setting::Wrk,
        contestants: ALL.and(URING).and(BATCH).and(LIMIT),
        system_calls: None,
    },
    Case {
        contestants: ALL.and(BATCH).and(LIMIT),
        ..server("http", "http-file", "4 KiB of a file, kept alive", "http-file", Client::HttpFile(1))
    },
    Case {
        contestants: ALL.and(URING).and(LIMIT),
        ..server("http", "http-close", "page, a connection for each", "http-close", Client::HttpClose)
    },
    with(of_one(server("kv", "kv-get", "value read", "kv", Client::Get(1))), MEMCACHED_AND_LIMIT),
    with(of_one(server("kv", "kv-set", "value written", "kv", Client::Set(1))), MEMCACHED_AND_LIMIT),
    with(server("kv", "kv-get-16", "value read, one of 16 connections", "kv", Client::Get(16)), MEMCACHED_AND_LIMIT),
    Case {
        contestants: ALL.and(BATCH).and(LIMIT),
        ..server("relay", "relay", "16 KiB from socket to socket", "relay", Client::Relay)
    },
    Case {
        contestants: ALL.and(SYSCALL).and(BATCH).and(LIMIT),
        ..of_one(server("relay", "relay-file", "16 KiB from a file to a socket", "relay-file", Client::File))
    },
    Case {
        group: "start",
        name: "start",
        unit: "program started, and ended",
        work: "null",
        args: &[],
        setting: Setting::Anew,
        contestants: ALL,
        system_calls: None,
    },
    Case {
        group: "start",
        name: "start-kept",
        unit: "the same, kept by kwasmi load",
        work: "null",
        args: &[],
        setting: Setting::AnewKept,
        contestants: KEPT,
        system_calls: None,
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
