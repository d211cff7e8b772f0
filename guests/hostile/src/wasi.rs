// SPDX-License-Identifier: GPL-2.0

//! Every function of preview 1 with every combination of evil arguments. Each program exits with 0 when it has made all
//! calls and every one came back with an errno that there is.

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

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Argument {
    /// A descriptor; not the standard input, which may have nothing to read.
    Fd,
    /// A pointer to anything.
    Pointer,
    /// How many elements, or bytes.
    Count,
    /// A number with a few values.
    Small,
    /// 64 bits.
    Wide,
}

use Argument::{
    Count,
    Fd,
    Pointer,
    Small,
    Wide, //
};

impl Argument {
    fn values(self) -> &'static [i64] {
        match self {
            Fd => &[1, 2, 3, 1000, 1024, 0x8000_0000, 0xffff_ffff],
            // VECTORS and its elements, unaligned ones, the end of memory, and where addresses wrap around.
            Pointer => &[0, 1, 1024, 1032, 1040, 65528, 65533, 65535, 65536, 0x8000_0000, 0xffff_fff8, 0xffff_ffff],
            Count => &[0, 1, 2, 7, 9, 1024, 1025, 65536, 0x2000_0000, 0x8000_0000, 0xffff_ffff],
            Small => &[0, 1, 2, 3, 4, 5, 255, 256, 0xffff, 0x8000_0000, 0xffff_ffff],
            Wide => &[0, 1, -1, i64::MAX, i64::MIN, 0xffff_ffff],
        }
    }

    fn ty(self) -> u8 {
        if self == Wide { I64 } else { I32 }
    }
}

const FUNCTIONS: [(&str, &[Argument]); 23] = [
    ("args_get", &[Pointer, Pointer]),
    ("args_sizes_get", &[Pointer, Pointer]),
    ("clock_res_get", &[Small, Pointer]),
    ("clock_time_get", &[Small, Wide, Pointer]),
    ("environ_get", &[Pointer, Pointer]),
    ("environ_sizes_get", &[Pointer, Pointer]),
    ("fd_close", &[Fd]),
    ("fd_fdstat_get", &[Fd, Pointer]),
    ("fd_fdstat_set_flags", &[Fd, Small]),
    ("fd_fdstat_set_rights", &[Fd, Wide, Wide]),
    ("fd_filestat_get", &[Fd, Pointer]),
    ("fd_pread", &[Fd, Pointer, Count, Wide, Pointer]),
    ("fd_prestat_dir_name", &[Fd, Pointer, Count]),
    ("fd_prestat_get", &[Fd, Pointer]),
    ("fd_pwrite", &[Fd, Pointer, Count, Wide, Pointer]),
    ("fd_read", &[Fd, Pointer, Count, Pointer]),
    ("fd_renumber", &[Fd, Fd]),
    ("fd_seek", &[Fd, Wide, Small, Pointer]),
    ("fd_tell", &[Fd, Pointer]),
    ("fd_write", &[Fd, Pointer, Count, Pointer]),
    ("poll_oneoff", &[Pointer, Pointer, Count, Pointer]),
    ("random_get", &[Pointer, Count]),
    ("sched_yield", &[]),
];

/// Where the values are, and below them vectors that an author of an exploit would write.
const VALUES: usize = 2048;
const VECTORS: [(u32, u32); 4] = [(0, 65536), (0xffff_fff0, 0x20), (1024, 64), (0, 0xffff_ffff)];

/// The highest errno.
const ERRNO_MAX: i32 = 76;

const CALL: u8 = 0x10;
const LOCAL_GET: u8 = 0x20;
const LOCAL_SET: u8 = 0x21;

/// A loop over all combinations of arguments: a counter for each, the first one outermost.
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
        // The counter and one more, compared to how many there are.
        vec![0x41, 1, 0x6a, 0x22],
        local,
        i32_const(count),
        vec![0x48, 0x0d, 0, 0x0b],
    ]
    .concat()
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
        // Loads the value that the counter says: `base + counter * 8`.
        call.extend([vec![LOCAL_GET], number(index), vec![0x41, 3, 0x74]].concat());
        call.extend(if *arg == Wide { [0x29, 3] } else { [0x28, 2] });
        call.extend(number(at));
    }
    // Traps if the errno is not one.
    call.extend([CALL, 2]);
    call.extend(i32_const(ERRNO_MAX));
    call.extend([0x4b, 0x04, 0x40, 0x00, 0x0b]);
    // Calls write to memory: what is read is put back each time.
    let restored = [i32_const(1024), i32_const(0), i32_const(i32::try_from(data.len()).unwrap_or(0))].concat();
    let restore = [restored, vec![0xfc, 8, 0, 0]].concat();
    // The standard error goes where the standard output goes: what is written by chance is not to be taken for kwasmi's.
    let renumber = if name == "fd_renumber" { vec![] } else { vec![0x41, 1, 0x41, 2, CALL, 0, 0x1a] };
    let code = [renumber, combinations(args, 0, &[restore, call].concat())].concat();

    let preview1 = b"wasi_snapshot_preview1";
    let imports =
        [import(preview1, b"fd_renumber", 1), import(preview1, b"proc_exit", 2), import(preview1, name.as_bytes(), 3)];
    let function_types =
        [PLAIN.to_vec(), function_type(&[I32, I32], &[I32]), function_type(&[I32], &[]), function_type(&types, &[I32])];
    let memory = [&sized(b"memory")[..], &[2, 0]].concat();
    Module::program(&[
        (Section::Type, list(&function_types)),
        (Section::Import, list(&imports)),
        (Section::Memory, vec![1, 0, 1]),
        (Section::Export, list(&[export(b"_start", 3), memory])),
        (Section::DataCount, number(1)),
        (Section::Code, list(&[body(&[(args.len(), I32)], &code)])),
        (Section::Data, list(&[[vec![1], sized(&data)].concat()])),
    ])
}

pub(crate) fn add(guests: &mut Guests) {
    for (name, args) in FUNCTIONS {
        guests.add_with(&format!("wasi-{name}"), "--fuel 1000000000", "exit 0", program(name, args));
    }
}
