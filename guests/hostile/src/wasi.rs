// SPDX-License-Identifier: GPL-2.0

//! Guests that call a function of preview 1 with hostile arguments: with all combinations, or with
//! random ones if there are too many. Each exits with 0 if all calls return a valid errno.
//!
//! `proc_raise` is left out, because it ends the guest.

use crate::{
    Guests,
    wasm::{
        I32,
        I64,
        Module,
        PLAIN,
        Section,
        body,
        export,
        function_type,
        i32_const,
        import,
        list,
        number,
        sized, //
    },
};

/// Kind of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Argument {
    /// Descriptor, except standard input, on which a read may wait.
    Fd,
    /// Pointer to anything.
    Pointer,
    /// Number of elements or bytes.
    Count,
    /// Pointer, mostly to a path.
    Path,
    /// Length of a path.
    PathLen,
    /// Number with few valid values.
    Small,
    /// 64-bit number.
    Wide,
}

use Argument::{
    Count,
    Fd,
    Path,
    PathLen,
    Pointer,
    Small,
    Wide, //
};

impl Argument {
    fn values(self) -> &'static [i64] {
        match self {
            Fd => &[1, 2, 3, 1000, 1024, 0x8000_0000, 0xffff_ffff],
            // VECTORS and its elements, unaligned addresses, the end of memory, and addresses that
            // wrap around.
            Pointer => &[0, 1, 1024, 1032, 1040, 65528, 65533, 65535, 65536, 0x8000_0000, 0xffff_fff8, 0xffff_ffff],
            // Addresses within PATHS, of zeros, of the vectors, and out of memory.
            Path => &[4096, 4097, 4098, 4101, 4107, 4117, 4128, 4135, 4143, 1024, 8192, 65535, 65536, 0xffff_ffff],
            PathLen => &[0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 255, 256, 4095, 4096, 57343, 0x8000_0000, 0xffff_ffff],
            Count => &[0, 1, 2, 7, 9, 1024, 1025, 65536, 0x2000_0000, 0x8000_0000, 0xffff_ffff],
            Small => &[0, 1, 2, 3, 4, 5, 255, 256, 0xffff, 0x8000_0000, 0xffff_ffff],
            Wide => &[0, 1, -1, i64::MAX, i64::MIN, 0xffff_ffff],
        }
    }

    fn ty(self) -> u8 {
        if self == Wide { I64 } else { I32 }
    }
}

const FUNCTIONS: [(&str, &[Argument]); 44] = [
    ("args_get", &[Pointer, Pointer]),
    ("args_sizes_get", &[Pointer, Pointer]),
    ("clock_res_get", &[Small, Pointer]),
    ("clock_time_get", &[Small, Wide, Pointer]),
    ("environ_get", &[Pointer, Pointer]),
    ("environ_sizes_get", &[Pointer, Pointer]),
    ("fd_advise", &[Fd, Wide, Wide, Small]),
    ("fd_allocate", &[Fd, Wide, Wide]),
    ("fd_close", &[Fd]),
    ("fd_datasync", &[Fd]),
    ("fd_fdstat_get", &[Fd, Pointer]),
    ("fd_fdstat_set_flags", &[Fd, Small]),
    ("fd_fdstat_set_rights", &[Fd, Wide, Wide]),
    ("fd_filestat_get", &[Fd, Pointer]),
    ("fd_filestat_set_size", &[Fd, Wide]),
    ("fd_filestat_set_times", &[Fd, Wide, Wide, Small]),
    ("fd_pread", &[Fd, Pointer, Count, Wide, Pointer]),
    ("fd_prestat_dir_name", &[Fd, Pointer, Count]),
    ("fd_prestat_get", &[Fd, Pointer]),
    ("fd_pwrite", &[Fd, Pointer, Count, Wide, Pointer]),
    ("fd_read", &[Fd, Pointer, Count, Pointer]),
    ("fd_readdir", &[Fd, Pointer, Count, Wide, Pointer]),
    ("fd_renumber", &[Fd, Fd]),
    ("fd_seek", &[Fd, Wide, Small, Pointer]),
    ("fd_sync", &[Fd]),
    ("fd_tell", &[Fd, Pointer]),
    ("fd_write", &[Fd, Pointer, Count, Pointer]),
    ("path_create_directory", &[Fd, Path, PathLen]),
    ("path_filestat_get", &[Fd, Small, Path, PathLen, Pointer]),
    ("path_filestat_set_times", &[Fd, Small, Path, PathLen, Wide, Wide, Small]),
    ("path_link", &[Fd, Small, Path, PathLen, Fd, Path, PathLen]),
    ("path_open", &[Fd, Small, Path, PathLen, Small, Wide, Wide, Small, Pointer]),
    ("path_readlink", &[Fd, Path, PathLen, Pointer, Count, Pointer]),
    ("path_remove_directory", &[Fd, Path, PathLen]),
    ("path_rename", &[Fd, Path, PathLen, Fd, Path, PathLen]),
    ("path_symlink", &[Path, PathLen, Fd, Path, PathLen]),
    ("path_unlink_file", &[Fd, Path, PathLen]),
    ("poll_oneoff", &[Pointer, Pointer, Count, Pointer]),
    ("random_get", &[Pointer, Count]),
    ("sched_yield", &[]),
    ("sock_accept", &[Fd, Small, Pointer]),
    ("sock_recv", &[Fd, Pointer, Count, Small, Pointer, Pointer]),
    ("sock_send", &[Fd, Pointer, Count, Small, Pointer]),
    ("sock_shutdown", &[Fd, Small]),
];

/// End of the area of the values, and the vectors in it, at address 1024.
const VALUES: usize = 2048;
const VECTORS: [(u32, u32); 4] = [(0, 65536), (0xffff_fff0, 0x20), (1024, 64), (0, 0xffff_ffff)];

/// Address of the paths, and the paths one after another.
const PATHS_AT: usize = 4096;
const PATHS: &[u8] = b"a/../b/./c\0a/out/etc\0absolute/x\0loop/y\0\xff/../..\0\xc3\xa4//...";

/// Upper bound of the random calls of one guest.
const CALLS_MAX: usize = 50_000;

/// Largest errno of preview 1.
const ERRNO_MAX: i32 = 76;

const CALL: u8 = 0x10;
const LOCAL_GET: u8 = 0x20;
const LOCAL_SET: u8 = 0x21;

/// Encodes nested loops over all combinations of arguments, with a counter for each; the first is
/// the outermost.
fn combinations(args: &[Argument], index: usize, innermost: &[u8]) -> Vec<u8> {
    let Some((arg, rest)) = args.split_first() else {
        return innermost.to_vec();
    };
    let local = number(index);
    let count = i32::try_from(arg.values().len()).unwrap_or(0);
    [
        vec![0x41, 0, LOCAL_SET],
        local.clone(),
        vec![0x03, 0x40],
        combinations(rest, index + 1, innermost),
        vec![LOCAL_GET],
        local.clone(),
        // Increments the counter and compares it with the number of values.
        vec![0x41, 1, 0x6a, 0x22],
        local,
        i32_const(count),
        vec![0x48, 0x0d, 0, 0x0b],
    ]
    .concat()
}

/// Encodes a loop over `CALLS_MAX` random combinations, with a local for each argument, the loop's
/// counter, and the seed.
fn random(args: &[Argument], innermost: &[u8]) -> Vec<u8> {
    let (turn, seed) = (number(args.len()), number(args.len() + 1));
    let mut code = vec![0x03, 0x40];
    for (index, arg) in args.iter().enumerate() {
        let count = i32::try_from(arg.values().len()).unwrap_or(1);
        // Generator of Numerical Recipes, whose upper bits are the better ones.
        code.extend([vec![LOCAL_GET], seed.clone(), i32_const(1_664_525), vec![0x6c]].concat());
        code.extend([i32_const(1_013_904_223), vec![0x6a, 0x22], seed.clone()].concat());
        code.extend([vec![0x41, 16, 0x76], i32_const(count), vec![0x70, LOCAL_SET], number(index)].concat());
    }
    code.extend(innermost);
    code.extend([vec![LOCAL_GET], turn.clone(), vec![0x41, 1, 0x6a, 0x22], turn].concat());
    code.extend([i32_const(i32::try_from(CALLS_MAX).unwrap_or(0)), vec![0x48, 0x0d, 0, 0x0b]].concat());
    code
}

fn program(name: &str, args: &[Argument]) -> Module {
    let types: Vec<u8> = args.iter().map(|arg| arg.ty()).collect();
    let mut data = Vec::new();
    for (start, len) in VECTORS {
        data.extend(start.to_le_bytes());
        data.extend(len.to_le_bytes());
    }
    data.resize(VALUES - 1024, 0);

    let mut call = Vec::new();
    for (index, arg) in args.iter().enumerate() {
        let at = 1024 + data.len();
        for value in arg.values() {
            data.extend(value.to_le_bytes());
        }
        // Loads the value for the counter: `base + counter * 8`.
        call.extend([vec![LOCAL_GET], number(index), vec![0x41, 3, 0x74]].concat());
        call.extend(if *arg == Wide { [0x29, 3] } else { [0x28, 2] });
        call.extend(number(at));
    }
    assert!(1024 + data.len() <= PATHS_AT, "no room for the values of {name}");
    data.resize(PATHS_AT - 1024, 0);
    data.extend(PATHS);
    // Traps if the errno is not valid.
    call.extend([CALL, 3]);
    call.extend(i32_const(ERRNO_MAX));
    call.extend([0x4b, 0x04, 0x40, 0x00, 0x0b]);
    if matches!(name, "path_open" | "sock_accept") {
        // The opened descriptor has the lowest free number, 4.
        call.extend([0x41, 4, CALL, 2, 0x1a]);
    }
    // Calls write to memory, so the data is restored each time.
    let restored = [i32_const(1024), i32_const(0), i32_const(i32::try_from(data.len()).unwrap_or(0))].concat();
    let restore = [restored, vec![0xfc, 8, 0, 0]].concat();
    // Standard error becomes standard output, so that random output is not mistaken for kwasmi's
    // message.
    let renumber = if name == "fd_renumber" { vec![] } else { vec![0x41, 1, 0x41, 2, CALL, 0, 0x1a] };
    let all = args.iter().try_fold(1_usize, |all, arg| all.checked_mul(arg.values().len()));
    let innermost = [restore, call].concat();
    let calls = if all.is_some_and(|all| all <= 2 * CALLS_MAX) {
        combinations(args, 0, &innermost)
    } else {
        random(args, &innermost)
    };
    let code = [renumber, calls].concat();

    let preview1 = b"wasi_snapshot_preview1";
    let imports = [
        import(preview1, b"fd_renumber", 1),
        import(preview1, b"proc_exit", 2),
        import(preview1, b"fd_close", 4),
        import(preview1, name.as_bytes(), 3),
    ];
    let function_types = [
        PLAIN.to_vec(),
        function_type(&[I32, I32], &[I32]),
        function_type(&[I32], &[]),
        function_type(&types, &[I32]),
        function_type(&[I32], &[I32]),
    ];
    let memory = [&sized(b"memory")[..], &[2, 0]].concat();
    Module::program(&[
        (Section::Type, list(&function_types)),
        (Section::Import, list(&imports)),
        (Section::Memory, vec![1, 0, 1]),
        (Section::Export, list(&[export(b"_start", 4), memory])),
        (Section::DataCount, number(1)),
        (Section::Code, list(&[body(&[(args.len() + 2, I32)], &code)])),
        (Section::Data, list(&[[vec![1], sized(&data)].concat()])),
    ])
}

pub(crate) fn add(guests: &mut Guests) {
    for (name, args) in FUNCTIONS {
        guests.add_with(&format!("wasi-{name}"), "--fuel 1000000000 --dir evil::d", "exit 0", program(name, args));
    }
}
