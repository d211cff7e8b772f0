// SPDX-License-Identifier: GPL-2.0

//! Instructions of an empty call, compared with those of `getppid(2)`, and of an empty guest, compared
//! with those of an empty process. The VM's clock counts instructions (`--icount`), so the figures
//! hardly vary.

use crate::{
    kernel::{
        call,
        module,
        run,
        start, //
    },
    ktap::Tests,
    reactor::{
        Served,
        request, //
    },
    shared_ring::Ring,
};
use kwasmi::uapi::{
    self,
    kwasmi_ring_entry, //
};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::Command,
    time::Instant, //
};

/// Number of calls of one measurement.
const CALLS: u32 = 20_000;

/// Number of calls that a ring makes in one ioctl.
const RING_CALLS: u32 = 1000;

/// Number of guests and processes of one measurement.
const STARTS: u32 = 300;

/// Static program for x86-64 Linux that exits with 0: a header of ELF, one of a segment that holds the
/// whole file at 0x400000, and three instructions.
const EMPTY: [u8; 129] = {
    let mut file = [0; 129];
    let parts: [(usize, &[u8]); 12] = [
        (0, b"\x7fELF\x02\x01\x01"),
        // Executable file for x86-64, version 1.
        (16, &[2, 0, 62, 0, 1]),
        // Entry; offset of the program header.
        (24, &[0x78, 0, 0x40]),
        (32, &[64]),
        // Sizes of the headers; number of program headers.
        (52, &[64, 0, 56, 0, 1]),
        // Loaded segment, readable and executable.
        (64, &[1, 0, 0, 0, 5]),
        (80, &[0, 0, 0x40]),
        (88, &[0, 0, 0x40]),
        // Sizes in the file and in memory.
        (96, &[129]),
        (104, &[129]),
        // Alignment.
        (112, &[0, 0x10]),
        // mov eax, 60; xor edi, edi; syscall
        (120, &[0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]),
    ];
    let mut part = 0;
    while part < parts.len() {
        let (at, bytes) = parts[part];
        let mut byte = 0;
        while byte < bytes.len() {
            file[at + byte] = bytes[byte];
            byte += 1;
        }
        part += 1;
    }
    file
};

/// Returns the nanoseconds of one `work`, which is repeated: the least of several measurements, as
/// timer interrupts take time as well.
fn cost(times: u32, mut work: impl FnMut()) -> f64 {
    let measure = |_| {
        let begin = Instant::now();
        for _ in 0..times {
            work();
        }
        begin.elapsed().as_secs_f64() * 1e9 / f64::from(times)
    };
    (0..5).map(measure).fold(f64::INFINITY, f64::min)
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("an empty call takes few times the instructions of getppid", || {
        let served = Served::new(&[]);
        let fd = &*served.instance;
        // The library's function may keep the answer.
        // SAFETY: The call has no requirements.
        let getppid = cost(CALLS, || assert!(unsafe { libc::syscall(libc::SYS_getppid) } > 0));
        let refused = cost(CALLS, || assert_eq!(call(fd, 0, &mut 0_u64), Err(libc::ENOTTY)));
        let mut request = request(fd, "nothing", &[], &mut []);
        let empty = cost(CALLS, || {
            assert_eq!(call(fd, uapi::IOC_CALL, &mut request), Ok(0));
            assert_eq!(request.returned, 1);
        });
        let nothing = kwasmi_ring_entry { function: request.function, ..kwasmi_ring_entry::default() };
        let ring = Ring::new(fd, RING_CALLS.next_power_of_two(), 0);
        let many = cost(CALLS / RING_CALLS, || {
            ring.push_many(&nothing, RING_CALLS);
            assert_eq!(ring.run(), Ok(()));
        }) / f64::from(RING_CALLS);
        println!("# call by a ring {many:.0}: {:.2}", many / getppid);
        println!("# getppid {getppid:.0}, refused ioctl {refused:.0}, empty call {empty:.0}: {:.2}", empty / getppid);
        assert!(empty < 10.0 * getppid, "{empty} for {getppid}");
        // Measured: 0.97. The producer's part depends on the compiler.
        assert!(many < 1.05 * getppid, "{many} for {getppid}");
        served.kill();
    });
    tests.add("a guest of a loaded module starts and ends in a fraction of the instructions of a process", || {
        fs::write("/tmp/empty", EMPTY).expect("can be written");
        fs::set_permissions("/tmp/empty", fs::Permissions::from_mode(0o755)).expect("ours");
        let process = cost(STARTS, || {
            assert!(Command::new("/tmp/empty").status().expect("starts").success());
        });
        let module = module(r#"(module (memory 1) (func (export "_start")))"#);
        let guest = cost(STARTS, || {
            assert_eq!(run(&start(&module)).expect("ends").status, uapi::KWASMI_EXITED);
        });
        println!("# process {process:.0}, guest {guest:.0}: {:.2}", process / guest);
        assert!(guest < process, "{guest} for {process}");
    });
}
