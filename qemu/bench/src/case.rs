// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! The cases: the operations that are measured, and the variants of each.

use crate::{
    client::Client,
    variant::{
        Variant,
        Variants, //
    }, //
};

/// Environment in which the work runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// Only the standard streams.
    Nothing,
    /// Both ends of one pipe.
    Pipe,
    /// An endless source of requests and a sink for answers.
    Requests,
    /// A folder with files. Its path is the first argument of the work.
    Folder,
    /// Two pipes, with a partner at their other ends that does this work.
    Partner(&'static str),
    /// A listening socket, and a client that makes these requests.
    Server(Client),
    /// A listening socket, and wrk, which requests a page.
    Wrk,
    /// Only the standard streams; each operation is a start of the program, which exits at once.
    Anew,
    /// A folder with files, in which a program by other authors, whose name is the work, runs as a
    /// whole.
    Program,
    /// Like [`Setting::Anew`], while `kwasmi load` keeps the program in the kernel.
    AnewKept,
}

/// Operation to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// Group of the case. Names on the command line are groups or cases.
    pub(crate) group: &'static str,
    /// Name of the case.
    pub(crate) name: &'static str,
    /// Description of one operation.
    pub(crate) unit: &'static str,
    /// Name of the work in `guests/bench`.
    pub(crate) work: &'static str,
    /// Arguments of the work.
    pub(crate) args: &'static [&'static str],
    /// Environment of the work.
    pub(crate) setting: Setting,
    /// Variants that do the work, where available.
    pub(crate) variants: Variants,
    /// Number of system calls that a native process makes for an operation, if it is constant; for
    /// `pingpong` the sum of both programs.
    pub(crate) system_calls: Option<u32>,
}

/// Variants that run `guests/bench` unchanged.
const ALL: Variants = Variants::of(&[
    Variant::Process,
    Variant::Kernel,
    Variant::KernelInterpreted,
    Variant::Engine,
    Variant::MachineCode,
    Variant::Wasmi,
    Variant::Wasmtime,
]);

/// Variants that run programs by other authors.
const PROGRAMS: Variants = Variants::of(&[Variant::Process, Variant::Engine, Variant::MachineCode, Variant::Wasmtime]);

// Variants that can do only some of the work.
const SYSCALL: &[Variant] = &[Variant::Syscall];
const URING: &[Variant] = &[Variant::Uring];
const BPF: &[Variant] = &[Variant::Bpf];
const BATCH: &[Variant] = &[Variant::KernelBatch];
const BOUND: &[Variant] = &[Variant::Bound];
const MEMCACHED_AND_BOUND: &[Variant] = &[Variant::Memcached, Variant::Bound];
const PARTNER: &[Variant] = &[Variant::KernelAndProcess];

/// Variants of the break-even curve.
const CURVE: Variants = Variants::of(&[Variant::Process, Variant::Kernel, Variant::KernelInterpreted, Variant::Engine]);

/// Variants of `start-kept`: the guest that `kwasmi load` keeps in the kernel, and the native
/// process.
const KEPT: Variants = Variants::of(&[Variant::Process, Variant::Kernel, Variant::KernelInterpreted]);

/// Group whose cases are the points of the break-even curve.
pub(crate) const CURVE_GROUP: &str = "break-even";

/// Group of computation without host calls.
pub(crate) const COMPUTE_GROUP: &str = "compute";

/// Group of programs by other authors.
pub(crate) const PROGRAMS_GROUP: &str = "programs";

const fn calls(name: &'static str, work: &'static str, variants: Variants) -> Case {
    Case { group: "null", name, unit: "call", work, args: &[], setting: Setting::Nothing, variants, system_calls: None }
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
        variants: ALL.and(URING).and(BATCH),
        system_calls: None,
    }
}

/// Sets the number of system calls of a server with one connection: it reads and writes once for
/// each request.
const fn of_one(server: Case) -> Case {
    Case { system_calls: Some(2), ..server }
}

/// Adds variants to a case.
const fn with(case: Case, others: &[Variant]) -> Case {
    Case { variants: case.variants.and(others), ..case }
}

const fn curve(name: &'static str, args: &'static [&'static str]) -> Case {
    Case {
        group: CURVE_GROUP,
        name,
        unit: "call and loop",
        work: "spin",
        args,
        setting: Setting::Nothing,
        variants: CURVE,
        system_calls: None,
    }
}

const fn compute(name: &'static str, unit: &'static str) -> Case {
    Case {
        group: COMPUTE_GROUP,
        name,
        unit,
        work: name,
        args: &[],
        setting: Setting::Nothing,
        variants: ALL,
        system_calls: None,
    }
}

const fn program(name: &'static str, unit: &'static str, work: &'static str, args: &'static [&'static str]) -> Case {
    Case {
        group: PROGRAMS_GROUP,
        name,
        unit,
        work,
        args,
        setting: Setting::Program,
        variants: PROGRAMS,
        system_calls: None,
    }
}

/// All cases, in the order of tables.
pub(crate) const CASES: &[Case] = &[
    calls("null", "null", ALL.and(BPF).and(BOUND)),
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
        variants: ALL.and(URING).and(BATCH).and(BOUND),
        system_calls: Some(2),
    },
    Case {
        group: "selfpipe",
        name: "selfpipe-4096",
        unit: "write and read of 4 KiB",
        work: "selfpipe",
        args: &["4096"],
        setting: Setting::Pipe,
        variants: ALL.and(URING).and(BATCH).and(BOUND),
        system_calls: Some(2),
    },
    Case {
        group: "pingpong",
        name: "pingpong",
        unit: "1-byte round trip between two programs",
        work: "ping",
        args: &[],
        setting: Setting::Partner("pong"),
        variants: ALL.and(BATCH).and(PARTNER).and(BOUND),
        system_calls: Some(4),
    },
    Case {
        group: "scan",
        name: "scan-64",
        unit: "read of 64 bytes, lines counted",
        work: "scan",
        args: &[],
        setting: Setting::Folder,
        variants: ALL.and(URING).and(BATCH).and(BOUND),
        system_calls: Some(1),
    },
    Case {
        group: "scan",
        name: "scan-files",
        unit: "file opened, read, closed",
        work: "files",
        args: &[],
        setting: Setting::Folder,
        variants: ALL.and(URING),
        system_calls: Some(3),
    },
    Case {
        group: "policy",
        name: "policy",
        unit: "request read, decision written",
        work: "policy",
        args: &[],
        setting: Setting::Requests,
        variants: ALL.and(BPF).and(BATCH).and(BOUND),
        system_calls: Some(2),
    },
    Case {
        group: "policy",
        name: "decide",
        unit: "decision",
        work: "decide",
        args: &[],
        setting: Setting::Nothing,
        variants: ALL.and(BPF),
        system_calls: None,
    },
    with(of_one(server("echo", "echo-1-64", "64-byte round trip", "echo", Client::Echo(1, 64))), BOUND),
    with(of_one(server("echo", "echo-1-4096", "4 KiB round trip", "echo", Client::Echo(1, 4096))), BOUND),
    with(server("echo", "echo-16-64", "64 bytes, one of 16 connections", "echo", Client::Echo(16, 64)), BOUND),
    with(server("echo", "echo-16-4096", "4 KiB, one of 16 connections", "echo", Client::Echo(16, 4096)), BOUND),
    with(server("echo", "echo-256-64", "64 bytes, one of 256 connections", "echo", Client::Echo(256, 64)), BOUND),
    with(server("echo", "echo-256-4096", "4 KiB, one of 256 connections", "echo", Client::Echo(256, 4096)), BOUND),
    with(of_one(server("http", "http-1", "page, persistent connection", "http", Client::Http(1))), BOUND),
    with(server("http", "http-16", "page, one of 16 connections", "http", Client::Http(16)), BOUND),
    Case {
        group: "http",
        name: "http-wrk",
        unit: "page, one of wrk's 16 connections",
        work: "http",
        args: &[],
        setting: Setting::Wrk,
        variants: ALL.and(URING).and(BATCH).and(BOUND),
        system_calls: None,
    },
    Case {
        variants: ALL.and(BATCH).and(BOUND),
        ..server("http", "http-file", "4 KiB of a file, persistent connection", "http-file", Client::HttpFile(1))
    },
    Case {
        variants: ALL.and(URING).and(BOUND),
        ..server("http", "http-close", "page, new connection", "http-close", Client::HttpClose)
    },
    with(of_one(server("kv", "kv-get", "value read", "kv", Client::Get(1))), MEMCACHED_AND_BOUND),
    with(of_one(server("kv", "kv-set", "value written", "kv", Client::Set(1))), MEMCACHED_AND_BOUND),
    with(server("kv", "kv-get-16", "value read, one of 16 connections", "kv", Client::Get(16)), MEMCACHED_AND_BOUND),
    Case {
        variants: ALL.and(BATCH).and(BOUND),
        ..server("relay", "relay", "16 KiB from socket to socket", "relay", Client::Relay)
    },
    Case {
        variants: ALL.and(SYSCALL).and(BATCH).and(BOUND),
        ..of_one(server("relay", "relay-file", "16 KiB from a file to a socket", "relay-file", Client::File))
    },
    Case {
        group: "start",
        name: "start",
        unit: "program start and exit",
        work: "null",
        args: &[],
        setting: Setting::Anew,
        variants: ALL,
        system_calls: None,
    },
    Case {
        group: "start",
        name: "start-kept",
        unit: "program start and exit, kept loaded",
        work: "null",
        args: &[],
        setting: Setting::AnewKept,
        variants: KEPT,
        system_calls: None,
    },
    compute("fib", "fib(16)"),
    compute("sieve", "primes below 8192"),
    compute("matmul-i32", "product of 24x24 matrices"),
    compute("matmul-f32", "product of 24x24 matrices"),
    compute("matmul-f64", "product of 24x24 matrices"),
    compute("sha256", "1 KiB"),
    compute("coremark", "iteration"),
    program("lua", "script: calls, tables, strings", "lua", &["work.lua"]),
    program("sqlite", "script: inserts, index, queries", "sqlite3", &["-init", "work.sql", ":memory:", ".quit"]),
    program("quickjs", "script: primes, strings, large numbers", "qjs", &["work.js"]),
    program("zstd", "2 MiB compressed at level 9", "zstd", &["-q", "-9", "-c", "text"]),
    program("bzip2", "2 MiB compressed", "bzip2", &["-c", "text"]),
    curve("spin-0", &["0"]),
    curve("spin-1", &["1"]),
    curve("spin-2", &["2"]),
    curve("spin-4", &["4"]),
    curve("spin-8", &["8"]),
    curve("spin-16", &["16"]),
    curve("spin-32", &["32"]),
    curve("spin-64", &["64"]),
];
