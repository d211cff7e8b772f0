// SPDX-License-Identifier: GPL-2.0

//! Tests of call rings: `KWASMI_IOC_RING` and `KWASMI_IOC_RING_RUN`. Those of calls that do not
//! return are in [`ring_ends`](crate::ring_ends).

use crate::{
    counters,
    fuzz::Random,
    kernel::{
        assert_nothing_held,
        call as ioctl,
        module,
        start, //
    },
    ktap::Tests,
    pool::{
        LONG,
        until, //
    },
    reactor::{
        Served,
        call,
        call_for,
        start_reactor, //
    },
    scale,
    shared_ring::{
        ACCESS,
        Ring,
        create,
        map,
        number, //
    },
    signals::LOOP_ONCE,
    task::Child,
};
use kwasmi::{
    invoke::ExportedFunction,
    service::{
        call_ring::{
            CallRing,
            Finished,
            Ran,
            RingCall, //
        },
        calls::{
            Function,
            Reactor, //
        },
    },
    uapi::{
        self,
        kwasmi_ring,
        kwasmi_ring_entry,
        kwasmi_ring_header,
        kwasmi_ring_run, //
    },
};
use std::{
    mem::offset_of,
    os::fd::{
        AsFd,
        BorrowedFd,
        OwnedFd, //
    },
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering, //
        },
    },
    thread,
};

/// Reactor whose functions neither end nor take long, whatever they are called with. `echo` copies
/// the input to the output.
const HARMLESS: &str = r#"(module
    (import "kwasmi_call_1" "input" (func $input (param i32 i32 i32 i32) (result i32)))
    (import "kwasmi_call_1" "output" (func $output (param i32 i32) (result i32)))
    (memory (export "memory") 2)
    (global $sum (mut i64) (i64.const 0))
    (func (export "nothing"))
    (func (export "add") (param i64) (result i64)
        (global.set $sum (i64.add (global.get $sum) (local.get 0)))
        (global.get $sum))
    (func (export "types") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
        (local.get 3) (local.get 2) (local.get 1) (local.get 0))
    (func (export "echo") (param $len i32) (result i32)
        (drop (call $input (i32.const 65536) (local.get $len) (i32.const 0) (i32.const 40)))
        (call $output (i32.const 65536) (i32.load (i32.const 40)))))"#;

/// Instance for the library of the command.
struct Instance<'a>(&'a OwnedFd);

impl AsFd for Instance<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Reactor for Instance<'_> {}

fn order(tests: &mut Tests) {
    tests.add("a ring runs its calls in order, and more than it has entries, one after another", || {
        let served = Served::new(&[]);
        let add = number(&served.instance, "add");
        let ring = Ring::new(&served.instance, 4, 0);
        assert!(ring.run_once(0).is_ok_and(|run| run.ended == 0), "an empty ring");
        let mut sum = 0;
        for round in 0..10_u64 {
            let first = ring.head();
            for arg in 0..4 {
                ring.push_call(add, &[round + arg]);
            }
            assert_eq!(ring.run(), Ok(()));
            for (call, arg) in (0..4).zip(0..) {
                sum += round + arg;
                assert_eq!(ring.result(first.wrapping_add(call)), Ok(sum));
            }
        }
        // As many as fit, so that one ioctl makes several batches.
        let large = Ring::new(&served.instance, uapi::KWASMI_RING_ENTRIES_MAX, 0);
        for _ in 0..uapi::KWASMI_RING_ENTRIES_MAX {
            large.push_call(add, &[1]);
        }
        assert_eq!(large.run(), Ok(()));
        for call in 0..uapi::KWASMI_RING_ENTRIES_MAX {
            sum += 1;
            assert_eq!(large.result(call), Ok(sum));
        }
        let calls = u64::from(uapi::KWASMI_RING_ENTRIES_MAX) + 40;
        assert_eq!(counters::value(&served.instance, uapi::KWASMI_COUNTER_CALLS), calls);
        served.kill();
    });
    tests.add("the library makes calls with a ring, with arguments, results, input and output", || {
        let served = Served::new(&[]);
        let reactor = Instance(&served.instance);
        let mut ring = CallRing::new(&reactor, 8, 8192).expect("a ring");
        let types = reactor.function("types").expect("exported");
        let echo = reactor.function("echo").expect("exported");
        let none = Function { number: 77, export: ExportedFunction { ..types.export.clone() } };
        let args = [u64::MAX, 1 << 40, 0xdead_0000_3fc0_0000, f64::NAN.to_bits()];
        let request = |user_data| RingCall { user_data, ..RingCall::default() };
        ring.push(&types, &args, &request(1)).expect("room");
        assert!(ring.write_data(100, b"some input") && !ring.write_data(8190, b"abc"));
        // `echo` needs a second page of memory.
        ring.push(&reactor.function("grow").expect("exported"), &[1], &request(2)).expect("room");
        ring.push(&echo, &[4], &RingCall { input: 100..110, output: 4000..4096, user_data: 3 }).expect("room");
        ring.push(&echo, &[4096], &RingCall { input: 104..110, output: 0..100, user_data: 4 }).expect("room");
        ring.push(&none, &[], &request(5)).expect("room");
        ring.push(&echo, &[4096], &RingCall { input: 100..110, output: 0..9, user_data: 6 }).expect("room");
        ring.push(&echo, &[4096], &request(7)).expect("room");
        ring.push(&echo, &[4096], &RingCall { input: 8000..8193, output: 0..9, user_data: 8 }).expect("room");
        assert_eq!(ring.push(&types, &args, &request(9)), Err(rustix::io::Errno::AGAIN));
        while !ring.is_idle() {
            assert_eq!(ring.run(None), Ok(Ran::Paused));
        }
        let mut expect = |user_data, results: Result<&[u64], i32>, output_len| {
            let results = results.map(<[u64]>::to_vec).map_err(rustix::io::Errno::from_raw_os_error);
            assert_eq!(ring.pop(), Some(Finished { user_data, results, output_len }));
        };
        expect(1, Ok(&[args[3], 0x3fc0_0000, 1 << 40, 0xffff_ffff]), 0);
        expect(2, Ok(&[1]), 0);
        // The length of the whole input, of which four bytes were read; all ten are written.
        expect(3, Ok(&[0, 10]), 10);
        expect(4, Ok(&[0, 6]), 6);
        expect(5, Err(libc::EINVAL), 0);
        expect(6, Ok(&[42, 10]), 0);
        expect(7, Ok(&[0, 0]), 0);
        expect(8, Err(libc::EFAULT), 0);
        assert_eq!(ring.pop(), None);
        let mut output = [0; 6];
        assert!(ring.read_data(0, &mut output) && !ring.read_data(8190, &mut output));
        assert_eq!(output, *b" input");
        assert!(ring.read_data(4000, &mut output));
        assert_eq!(output[..4], *b"some");
        served.kill();
    });
    tests.add("a ring of another nice value, umask or file size limit runs its calls in the serving thread", || {
        let served = Served::new(&[]);
        let add = number(&served.instance, "add");
        let ring = Ring::new(&served.instance, 8, 0);
        let child = Child::start(|| {
            // SAFETY: The call has no requirements.
            assert_eq!(unsafe { libc::nice(5) }, 5);
            for arg in [1, 2, 3] {
                ring.push_call(add, &[arg]);
            }
            ring.push_call(77, &[]);
            ring.push_call(add, &[]);
            ring.push_call(add, &[4]);
            assert_eq!(ring.run(), Ok(()));
            0
        });
        assert_eq!(child.wait(), 0);
        // The parent sees the results: it has the same mapping.
        let results: Vec<_> = (0..6).map(|call| ring.result(call)).collect();
        assert_eq!(results, [Ok(1), Ok(3), Ok(6), Err(libc::EINVAL), Err(libc::EINVAL), Ok(10)]);
        assert_eq!(counters::value(&served.instance, uapi::KWASMI_COUNTER_CALLS), 6);
        served.kill();
    });
    tests.add("threads add calls while another one runs them", || {
        const CALLS: u64 = 2000;
        let served = Served::new(&[]);
        let add = number(&served.instance, "add");
        let ring = Arc::new(Ring::new(&served.instance, 64, 0));
        let is_over = Arc::new(AtomicBool::new(false));
        let runner = {
            let (ring, is_over) = (ring.clone(), is_over.clone());
            thread::spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    assert_eq!(ring.run_once(LONG).map(|run| run.ended), Ok(0));
                    thread::yield_now();
                }
            })
        };
        let (mut taken, mut sum) = (0_u32, 0);
        for added in 0..CALLS {
            while ring.tail().load(Ordering::Relaxed).wrapping_sub(taken) >= 64 {
                while taken != ring.head() {
                    sum += 1;
                    assert_eq!(ring.result(taken), Ok(sum));
                    taken = taken.wrapping_add(1);
                }
                thread::yield_now();
            }
            ring.push_call(add, &[1]);
            if added % 100 == 0 {
                assert!(call(&served.instance, "add", &[0]).is_ok(), "other callers get their turn");
            }
        }
        until(|| ring.head() == ring.tail().load(Ordering::Relaxed));
        is_over.store(true, Ordering::SeqCst);
        runner.join().expect("no panic");
        assert_eq!(call(&served.instance, "add", &[0]), Ok(vec![CALLS]));
        served.kill();
    });
    tests.add("other callers get their turn before a ring has run all its calls", || {
        let served = Served::new(&[]);
        let compute = number(&served.instance, "compute");
        let ring = Arc::new(Ring::new(&served.instance, 512, 0));
        for _ in 0..512 {
            ring.push_call(compute, &[50_000]);
        }
        let running = ring.clone();
        let runner = thread::spawn(move || running.run());
        until(|| ring.head() > 0);
        assert!(call_for(&served.instance, "add", &[0], LONG).is_ok());
        let finished = ring.head();
        assert!(finished < 512, "{finished}");
        assert_eq!(runner.join().expect("no panic"), Ok(()));
        // Long calls, each of which the guest interrupts for checkpoints.
        let first = ring.head();
        for _ in 0..16 {
            ring.push_call(compute, &[10_000_000]);
        }
        let running = ring.clone();
        // The guest is killed before it has run all of them.
        let runner = thread::spawn(move || while running.run_once(LONG).is_ok_and(|run| run.ended == 0) {});
        until(|| ring.head() != first);
        assert!(call_for(&served.instance, "add", &[0], LONG).is_ok());
        let finished = ring.head().wrapping_sub(first);
        assert!(finished < 16, "{finished}");
        served.kill();
        runner.join().expect("no panic");
    });
}

fn refusals(tests: &mut Tests) {
    tests.add("RING refuses invalid sizes, and what is no reactor", || {
        let served = Served::new(&[]);
        for (entries, data_size) in [
            (0, 0),
            (3, 0),
            (2 * uapi::KWASMI_RING_ENTRIES_MAX, 0),
            (u32::MAX, 0),
            (1, uapi::KWASMI_RING_DATA_MAX + 1),
            (1, u32::MAX),
        ] {
            assert_eq!(create(&served.instance, entries, data_size).err(), Some(libc::EINVAL), "{entries} {data_size}");
        }
        let mut reserved = kwasmi_ring { entries: 1, reserved: 1, ..kwasmi_ring::default() };
        assert_eq!(ioctl(&*served.instance, uapi::IOC_RING, &mut reserved), Err(libc::EINVAL));
        let program = start(&module(LOOP_ONCE));
        assert_eq!(create(&program, 1, 0).err(), Some(libc::EOPNOTSUPP));
        let (ring, answer) = create(&served.instance, 1, 5000).expect("a ring");
        assert_eq!((answer.data_offset, answer.map_size), (8192, 16384));
        let mut run = kwasmi_ring_run { flags: 1, ..kwasmi_ring_run::default() };
        assert_eq!(ioctl(&ring, uapi::IOC_RING_RUN, &mut run), Err(libc::EINVAL));
        assert_eq!(ioctl(&ring, uapi::IOC_CALL, &mut run), Err(libc::ENOTTY));
        served.kill();
    });
    tests.add("rings count against RLIMIT_MEMLOCK of a user without CAP_IPC_LOCK", || {
        let served = Served::new(&[]);
        let nobody = |max: u64, work: &dyn Fn()| {
            let child = Child::start(|| {
                let limit = libc::rlimit { rlim_cur: max, rlim_max: max };
                // SAFETY: `limit` is readable.
                assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) }, 0);
                // SAFETY: The call has no memory requirements.
                assert_eq!(unsafe { libc::setresuid(65534, 65534, 65534) }, 0);
                work();
                0
            });
            assert_eq!(child.wait(), 0);
        };
        let instance = &served.instance;
        // A ring of one entry has two pages.
        for _ in 0..3 {
            nobody(4 * 4096, &|| {
                let (first, second) = (create(instance, 1, 0), create(instance, 1, 0));
                assert!(first.is_ok() && second.is_ok());
                assert_eq!(create(instance, 1, 0).err(), Some(libc::ENOMEM));
                drop(first);
                // The kernel releases the file after the system call.
                until(|| create(instance, 1, 0).is_ok());
                assert_eq!(create(instance, 1, uapi::KWASMI_RING_DATA_MAX).err(), Some(libc::ENOMEM));
            });
        }
        nobody(0, &|| assert_eq!(create(instance, 1, 0).err(), Some(libc::ENOMEM)));
        served.kill();
    });
    tests.add("only the whole ring can be mapped, shared and not executable, and the mapping stays", || {
        let served = Served::new(&[]);
        let (ring, answer) = create(&served.instance, 64, 4096).expect("a ring");
        let size = usize::try_from(answer.map_size).expect("fits");
        for (len, protection, flags, offset) in [
            (size, ACCESS, libc::MAP_PRIVATE, 0),
            (size - 4096, ACCESS, libc::MAP_SHARED, 0),
            (size + 4096, ACCESS, libc::MAP_SHARED, 0),
            (size, ACCESS, libc::MAP_SHARED, 4096),
            (4096, ACCESS, libc::MAP_SHARED, i64::from(answer.data_offset)),
        ] {
            assert_eq!(map(&ring, len, protection, flags, offset), Err(libc::EINVAL), "{len} {flags} {offset}");
        }
        assert_eq!(map(&ring, size, ACCESS | libc::PROT_EXEC, libc::MAP_SHARED, 0), Err(libc::EPERM));
        assert_eq!(map(&served.instance, 4096, ACCESS, libc::MAP_SHARED, 0), Err(libc::ENODEV));
        let mapped = Ring::new(&served.instance, 1, 4096);
        let address = std::ptr::with_exposed_provenance_mut::<libc::c_void>(mapped.address);
        // SAFETY: No reference to the mapping exists.
        assert_eq!(unsafe { libc::mprotect(address, mapped.size, libc::PROT_READ | libc::PROT_EXEC) }, -1);
        // SAFETY: No reference to the mapping exists, which the kernel may move.
        let grown = unsafe { libc::mremap(address, mapped.size, 2 * mapped.size, libc::MREMAP_MAYMOVE) };
        assert_eq!(grown, libc::MAP_FAILED);
        let address = map(&ring, size, ACCESS, libc::MAP_SHARED, 0).expect("can be mapped");
        drop(ring);
        served.kill();
        let kept = Ring { fd: mapped.fd.try_clone().expect("a descriptor"), address, size, entries: 64 };
        kept.wide(size - 8).store(7, Ordering::Relaxed);
        assert_eq!(kept.wide(size - 8).load(Ordering::Relaxed), 7);
        drop((kept, mapped));
        assert_nothing_held();
    });
    tests.add("a call with invalid fields fails alone, and the others run", || {
        let served = Served::new(&[]);
        let add = number(&served.instance, "add");
        let ring = Ring::new(&served.instance, 16, 4096);
        let valid = kwasmi_ring_entry { function: add, args_len: 1, values: [1; 10], ..kwasmi_ring_entry::default() };
        let calls = [
            (valid, Ok(1)),
            (kwasmi_ring_entry { function: 77, ..valid }, Err(libc::EINVAL)),
            (kwasmi_ring_entry { function: u32::MAX, ..valid }, Err(libc::EINVAL)),
            (kwasmi_ring_entry { args_len: 0, ..valid }, Err(libc::EINVAL)),
            (kwasmi_ring_entry { args_len: 10, ..valid }, Err(libc::EINVAL)),
            (kwasmi_ring_entry { args_len: 11, ..valid }, Err(libc::E2BIG)),
            (kwasmi_ring_entry { args_len: u32::MAX, ..valid }, Err(libc::E2BIG)),
            (kwasmi_ring_entry { input_len: 4097, ..valid }, Err(libc::EFAULT)),
            (kwasmi_ring_entry { input: 1, input_len: u32::MAX, ..valid }, Err(libc::EFAULT)),
            (kwasmi_ring_entry { input: 4096, input_len: 1, ..valid }, Err(libc::EFAULT)),
            (kwasmi_ring_entry { output: 4095, output_size: 2, ..valid }, Err(libc::EFAULT)),
            (kwasmi_ring_entry { output: u32::MAX, output_size: u32::MAX, ..valid }, Err(libc::EFAULT)),
            (kwasmi_ring_entry { input: 9999, output: 4095, output_size: 1, ..valid }, Ok(2)),
        ];
        for (call, _) in &calls {
            ring.push(call);
        }
        assert_eq!(ring.run(), Ok(()));
        for ((call, expected), index) in calls.iter().zip(0..) {
            assert_eq!(ring.result(index), *expected, "{call:?}");
        }
        served.kill();
    });
    tests.add("a corrupt header runs nothing, and the kernel does not read head", || {
        let served = Served::new(&[]);
        let add = number(&served.instance, "add");
        let ring = Ring::new(&served.instance, 4, 0);
        for tail in [5, 100, u32::MAX, 1 << 31] {
            ring.tail().store(tail, Ordering::Relaxed);
            assert_eq!(ring.run_once(LONG).err(), Some(libc::EINVAL), "{tail}");
        }
        ring.tail().store(0, Ordering::Relaxed);
        ring.word(offset_of!(kwasmi_ring_header, head)).store(3, Ordering::Relaxed);
        ring.push_call(add, &[5]);
        assert!(ring.run_once(LONG).is_ok());
        assert_eq!((ring.head(), ring.result(0)), (1, Ok(5)));
        served.kill();
    });
    tests.add("threads that overwrite a ring with anything get no more than wrong results", || {
        let served = Served::of(start_reactor(HARMLESS, &[]));
        let ring = Arc::new(Ring::new(&served.instance, 32, 4096));
        let is_over = Arc::new(AtomicBool::new(false));
        let names = ["add", "echo", "nothing", "types"].map(|name| number(&served.instance, name));
        let writers = [1, 2].map(|seed| {
            let (ring, is_over) = (ring.clone(), is_over.clone());
            thread::spawn(move || {
                let mut random = Random(seed);
                while !is_over.load(Ordering::SeqCst) {
                    let offset = match random.below(8) {
                        0 => offset_of!(kwasmi_ring_header, tail),
                        1 => 4 * random.below(ring.size / 4),
                        _ => uapi::KWASMI_RING_ENTRIES_OFFSET as usize + 4 * random.below(32 * 32),
                    };
                    let value = match random.below(4) {
                        0 => u32::try_from(random.next() >> 32).unwrap_or(0),
                        1 => names[random.below(4)],
                        2 => ring.head().wrapping_add(u32::from(random.byte()) % 33),
                        _ => u32::from(random.byte()) % 12,
                    };
                    ring.word(offset).store(value, Ordering::Relaxed);
                }
            })
        });
        let mut ran = 0;
        for round in 0..scale::iterations(20_000) {
            if round % 2 == 0 {
                ring.tail().store(ring.head().wrapping_add(8), Ordering::Release);
            }
            match ring.run_once(LONG) {
                Ok(run) => {
                    assert_eq!(run.ended, 0, "none of the functions ends the guest");
                    ran += 1;
                }
                Err(error) => assert_eq!(error, libc::EINVAL),
            }
        }
        is_over.store(true, Ordering::SeqCst);
        for writer in writers {
            writer.join().expect("no panic");
        }
        assert!(ran > 0);
        assert!(call(&served.instance, "add", &[0]).is_ok());
        served.kill();
        drop(ring);
        assert_nothing_held();
    });
}

pub(crate) fn tests(tests: &mut Tests) {
    order(tests);
    refusals(tests);
}
