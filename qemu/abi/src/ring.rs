// SPDX-License-Identifier: GPL-2.0

//! Tests of call rings: `KWASMI_IOC_RING` and `KWASMI_IOC_RING_RUN`.

use crate::{
    counters,
    fuzz::Random,
    kernel::{
        Answer,
        assert_nothing_held,
        call as ioctl,
        grant,
        owned,
        start, //
    },
    ktap::Tests,
    pool::{
        LONG,
        member,
        pool,
        try_member,
        until, //
    },
    reactor::{
        REACTOR,
        Served,
        call,
        call_for,
        function,
        interrupt,
        start_reactor,
        wait_for_sleep,
        with_id, //
    },
    scale,
    services::{
        find,
        publish_named,
        replace, //
    },
    signals::{
        self,
        LOOP_ONCE, //
    },
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
    io::{
        Write as _,
        pipe, //
    },
    mem::offset_of,
    os::fd::{
        AsFd,
        AsRawFd as _,
        BorrowedFd,
        OwnedFd, //
    },
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            AtomicI32,
            AtomicU32,
            AtomicU64,
            Ordering, //
        },
    },
    thread,
    time::Duration,
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

/// Creates a ring. Returns its descriptor and the answer, or the error number.
fn create(fd: &OwnedFd, entries: u32, data_size: u32) -> Result<(OwnedFd, kwasmi_ring), i32> {
    let mut request = kwasmi_ring { entries, data_size, ..kwasmi_ring::default() };
    let ring = owned(ioctl(fd, uapi::IOC_RING, &mut request))?;
    Ok((ring, request))
}

/// Maps a descriptor. Returns the address, or the error number.
fn map(fd: &OwnedFd, len: usize, protection: i32, flags: i32, offset: i64) -> Result<usize, i32> {
    // SAFETY: The kernel chooses the address, so no existing mapping is replaced.
    let address = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, fd.as_raw_fd(), offset) };
    if address == libc::MAP_FAILED {
        return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0));
    }
    Ok(address.expose_provenance())
}

const ACCESS: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// Fields of `struct kwasmi_ring_entry`.
#[repr(C)]
struct Fields {
    function: AtomicU32,
    args_len: AtomicU32,
    input: AtomicU32,
    input_len: AtomicU32,
    output: AtomicU32,
    output_size: AtomicU32,
    output_len: AtomicU32,
    results_len: AtomicU32,
    error: AtomicI32,
    reserved: AtomicU32,
    user_data: AtomicU64,
    values: [AtomicU64; 10],
}

const _: () = assert!(size_of::<Fields>() == size_of::<kwasmi_ring_entry>());

/// A ring and its mapping, without any check.
pub(crate) struct Ring {
    fd: OwnedFd,
    address: usize,
    size: usize,
    entries: u32,
}

impl Ring {
    pub(crate) fn new(fd: &OwnedFd, entries: u32, data_size: u32) -> Self {
        let (ring, answer) = create(fd, entries, data_size).expect("a ring");
        let size = usize::try_from(answer.map_size).expect("fits");
        let address = map(&ring, size, ACCESS, libc::MAP_SHARED, 0).expect("can be mapped");
        Self { fd: ring, address, size, entries }
    }

    /// Returns the number at an offset of the mapping.
    fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset + 4 <= self.size);
        // SAFETY: The address is mapped and aligned. The kernel and all threads access it as an
        // atomic.
        unsafe { &*std::ptr::with_exposed_provenance::<AtomicU32>(self.address + offset) }
    }

    /// Returns the number of 64 bits at an offset of the mapping.
    fn wide(&self, offset: usize) -> &AtomicU64 {
        assert!(offset + 8 <= self.size);
        // SAFETY: The address is mapped and aligned. The kernel and all threads access it as an
        // atomic.
        unsafe { &*std::ptr::with_exposed_provenance::<AtomicU64>(self.address + offset) }
    }

    fn head(&self) -> u32 {
        self.word(offset_of!(kwasmi_ring_header, head)).load(Ordering::Acquire)
    }

    fn tail(&self) -> &AtomicU32 {
        self.word(offset_of!(kwasmi_ring_header, tail))
    }

    fn entry(&self, number: u32) -> usize {
        uapi::KWASMI_RING_ENTRIES_OFFSET as usize + (number % self.entries) as usize * size_of::<kwasmi_ring_entry>()
    }

    /// Returns the entry of a call.
    fn fields(&self, number: u32) -> &Fields {
        let entry = self.entry(number);
        assert!(entry + size_of::<Fields>() <= self.size);
        // SAFETY: The address is mapped and aligned. The kernel and all threads access the fields as
        // atomics.
        unsafe { &*std::ptr::with_exposed_provenance::<Fields>(self.address + entry) }
    }

    /// Fills in the entry of call `number`.
    fn fill(&self, number: u32, call: &kwasmi_ring_entry) {
        let fields = self.fields(number);
        fields.function.store(call.function, Ordering::Relaxed);
        fields.args_len.store(call.args_len, Ordering::Relaxed);
        fields.input.store(call.input, Ordering::Relaxed);
        fields.input_len.store(call.input_len, Ordering::Relaxed);
        fields.output.store(call.output, Ordering::Relaxed);
        fields.output_size.store(call.output_size, Ordering::Relaxed);
        for (place, value) in fields.values.iter().zip(&call.values).take(call.args_len as usize) {
            place.store(*value, Ordering::Relaxed);
        }
    }

    /// Adds a call.
    fn push(&self, call: &kwasmi_ring_entry) {
        let number = self.tail().load(Ordering::Relaxed);
        self.fill(number, call);
        self.tail().store(number.wrapping_add(1), Ordering::Release);
    }

    /// Adds `count` calls.
    pub(crate) fn push_many(&self, call: &kwasmi_ring_entry, count: u32) {
        let first = self.tail().load(Ordering::Relaxed);
        for index in 0..count {
            self.fill(first.wrapping_add(index), call);
        }
        self.tail().store(first.wrapping_add(count), Ordering::Release);
    }

    /// Adds a call of `function` with `args`.
    fn push_call(&self, function: u32, args: &[u64]) {
        let mut call =
            kwasmi_ring_entry { function, args_len: u32::try_from(args.len()).expect("few"), ..Default::default() };
        call.values[..args.len()].copy_from_slice(args);
        self.push(&call);
    }

    /// Returns the error of a finished call, and its first result.
    fn result(&self, number: u32) -> Result<u64, i32> {
        let fields = self.fields(number);
        let error = fields.error.load(Ordering::Relaxed);
        let value = fields.values[0].load(Ordering::Relaxed);
        if error == 0 { Ok(value) } else { Err(-error) }
    }

    /// Runs calls until `KWASMI_IOC_RING_RUN` returns.
    fn run_once(&self, timeout: u64) -> Result<kwasmi_ring_run, i32> {
        let mut request = kwasmi_ring_run { timeout, ..kwasmi_ring_run::default() };
        ioctl(&self.fd, uapi::IOC_RING_RUN, &mut request).map(|_| request)
    }

    /// Runs all calls. No guest may end.
    pub(crate) fn run(&self) -> Result<(), i32> {
        while self.head() != self.tail().load(Ordering::Relaxed) {
            assert_eq!(self.run_once(LONG)?.ended, 0);
        }
        Ok(())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: No reference to the mapping exists.
        unsafe { libc::munmap(std::ptr::with_exposed_provenance_mut(self.address), self.size) };
    }
}

fn number(fd: &OwnedFd, name: &str) -> u32 {
    function(fd, name.as_bytes()).expect("exported").function
}

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
        let program = start(&crate::kernel::module(LOOP_ONCE));
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
        // SAFETY: As above.
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

fn ends(tests: &mut Tests) {
    tests.add("a guest that ends during a call of a ring ends the ioctl, and later calls do not run", || {
        let served = Served::new(&[]);
        let (add, trap) = (number(&served.instance, "add"), number(&served.instance, "trap"));
        let ring = Ring::new(&served.instance, 8, 0);
        ring.push_call(add, &[3]);
        ring.push_call(trap, &[]);
        ring.push_call(add, &[4]);
        let mut text = [0_u8; 128];
        let mut request = kwasmi_ring_run {
            timeout: LONG,
            log: text.as_mut_ptr().expose_provenance() as u64,
            log_size: 128,
            ..kwasmi_ring_run::default()
        };
        assert_eq!(ioctl(&ring.fd, uapi::IOC_RING_RUN, &mut request), Ok(0));
        assert_eq!(
            (request.ended, request.status, request.code),
            (1, uapi::KWASMI_TRAPPED, uapi::KWASMI_TRAP_UNREACHABLE)
        );
        let text = String::from_utf8_lossy(&text[..request.log_len as usize]);
        assert!(text.contains("unreachable"), "{text}");
        assert_eq!((ring.head(), ring.result(0), ring.result(1)), (2, Ok(3), Err(libc::ECONNRESET)));
        assert_eq!(ring.run_once(LONG).err(), Some(libc::ESHUTDOWN));
        assert_eq!(ring.head(), 2);
        assert_eq!(served.end().status, uapi::KWASMI_TRAPPED);
    });
    tests.add("a ring of a pool continues on another instance after a trap", || {
        let pool = pool();
        let members = [member(&pool), member(&pool), member(&pool)];
        let (nothing, trap) = (number(&pool, "nothing"), number(&pool, "trap"));
        let ring = Ring::new(&pool, 8, 0);
        for function in [nothing, trap, nothing, trap, nothing] {
            ring.push_call(function, &[]);
        }
        let mut ended = 0;
        while ring.head() != 5 {
            ended += ring.run_once(LONG).expect("instances are left").ended;
        }
        assert_eq!(ended, 2);
        let errors: Vec<_> = (0..5).map(|call| ring.result(call).err().unwrap_or(0)).collect();
        assert_eq!(errors, [0, libc::ECONNRESET, 0, libc::ECONNRESET, 0]);
        for served in &members {
            signals::kill(served.instance.as_raw_fd());
        }
        for served in members {
            let _ = served.end();
        }
    });
    tests.add("a signal neither ends nor repeats a call of a ring", || {
        signals::handle(0);
        let (input, mut feed) = pipe().expect("a pipe");
        let served = Served::new(&[grant(input.as_raw_fd(), 0)]);
        let (add, wait) = (number(&served.instance, "add"), number(&served.instance, "wait"));
        let ring = Arc::new(Ring::new(&served.instance, 8, 0));
        ring.push_call(add, &[1]);
        ring.push_call(wait, &[]);
        ring.push_call(add, &[1]);
        let running = ring.clone();
        let (id, runner) = with_id(move || running.run());
        wait_for_sleep(&id);
        for _ in 0..3 {
            interrupt(&id);
            thread::sleep(Duration::from_millis(20));
        }
        feed.write_all(&[7]).expect("room");
        assert_eq!(runner.join().expect("no panic"), Ok(()));
        assert_eq!([0, 1, 2].map(|call| ring.result(call)), [Ok(1), Ok(8), Ok(9)]);
        // Signals during computation.
        let compute = number(&served.instance, "compute");
        let running = ring.clone();
        let (id, runner) = with_id(move || {
            for _ in 0..5 {
                for _ in 0..8 {
                    running.push_call(compute, &[50_000]);
                }
                loop {
                    match running.run() {
                        Err(libc::EINTR) => {}
                        ran => break ran?,
                    }
                }
            }
            Ok::<_, i32>(())
        });
        while !runner.is_finished() {
            if id.load(Ordering::SeqCst) != 0 {
                interrupt(&id);
            }
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(runner.join().expect("no panic"), Ok(()));
        assert_eq!(call(&served.instance, "add", &[0]), Ok(vec![49]));
        served.kill();
    });
    tests.add("a call that is not waited for keeps the ring busy until it returns", || {
        let (input, mut feed) = pipe().expect("a pipe");
        let served = Served::new(&[grant(input.as_raw_fd(), 0)]);
        let (add, wait) = (number(&served.instance, "add"), number(&served.instance, "wait"));
        let ring = Arc::new(Ring::new(&served.instance, 8, 0));
        ring.push_call(wait, &[]);
        ring.push_call(add, &[1]);
        assert_eq!(ring.run_once(30_000_000).err(), Some(libc::EINPROGRESS));
        assert_eq!((ring.head(), ring.result(0)), (1, Err(libc::EINPROGRESS)));
        assert_eq!(ring.run_once(30_000_000).err(), Some(libc::EBUSY));
        // Another ring waits for its turn.
        let other = Ring::new(&served.instance, 1, 0);
        other.push_call(add, &[10]);
        assert_eq!(other.run_once(30_000_000).err(), Some(libc::ETIMEDOUT));
        assert_eq!(other.head(), 0);
        feed.write_all(&[100]).expect("room");
        assert_eq!(other.run(), Ok(()));
        assert_eq!(other.result(0), Ok(110));
        until(|| ring.run_once(LONG).err() != Some(libc::EBUSY));
        assert_eq!((ring.head(), ring.result(1)), (2, Ok(111)));
        // While a thread runs the calls, no other one can.
        ring.push_call(wait, &[]);
        let running = ring.clone();
        let (id, runner) = with_id(move || running.run());
        wait_for_sleep(&id);
        assert_eq!(ring.run_once(LONG).err(), Some(libc::EBUSY));
        feed.write_all(&[1]).expect("room");
        assert_eq!(runner.join().expect("no panic"), Ok(()));
        served.kill();
    });
    tests.add("a guest that ends in a call that nobody waits for leaves the ring usable", || {
        let (input, _feed) = pipe().expect("a pipe");
        let pool = pool();
        let busy = Served::of(try_member(&pool, &[grant(input.as_raw_fd(), 0)]).expect("starts"));
        let (add, wait) = (number(&pool, "add"), number(&pool, "wait"));
        let ring = Ring::new(&pool, 8, 0);
        ring.push_call(wait, &[]);
        ring.push_call(add, &[5]);
        assert_eq!(ring.run_once(30_000_000).err(), Some(libc::EINPROGRESS));
        assert_eq!(ring.run_once(30_000_000).err(), Some(libc::EBUSY));
        busy.kill();
        let other = member(&pool);
        assert_eq!((ring.run(), ring.result(1)), (Ok(()), Ok(5)));
        other.kill();
    });
    tests.add("a ring of calls that cannot run ends at its timeout", || {
        let served = Served::new(&[]);
        let ring = Ring::new(&served.instance, 64, 0);
        let child = Child::start(|| {
            // SAFETY: The call has no requirements.
            assert_eq!(unsafe { libc::nice(5) }, 5);
            let is_over = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    while !is_over.load(Ordering::SeqCst) {
                        ring.tail().store(ring.head().wrapping_add(64), Ordering::Release);
                    }
                });
                for index in 0..64 {
                    let refused = kwasmi_ring_entry { args_len: 11, ..kwasmi_ring_entry::default() };
                    ring.fill(index, &refused);
                }
                until(|| ring.run_once(50_000_000).err() == Some(libc::ETIMEDOUT));
                is_over.store(true, Ordering::SeqCst);
            });
            0
        });
        assert_eq!(child.wait(), 0);
        served.kill();
    });
    tests.add("a ring of an upgraded service refuses its calls", || {
        let former = start_reactor(REACTOR, &[]);
        publish_named(&former, "ring");
        let former = Served::of(former);
        let service = find("ring").expect("is there");
        let add = number(&service, "add");
        let ring = Ring::new(&service, 4, 0);
        ring.push_call(add, &[1]);
        assert_eq!(ring.run(), Ok(()));
        let next = Served::new(&[]);
        assert_eq!(replace(&next.instance, "ring"), Ok(0));
        ring.push_call(add, &[1]);
        assert_eq!(ring.run().err(), Some(libc::ESTALE));
        assert_eq!(create(&service, 1, 0).err(), Some(libc::ESTALE));
        assert_eq!(ring.head(), 1);
        assert_eq!(former.end().status, uapi::KWASMI_EXITED);
        let ring = Ring::new(&find("ring").expect("is there"), 4, 0);
        ring.push_call(add, &[1]);
        assert_eq!((ring.run(), ring.result(0)), (Ok(()), Ok(1)));
        next.kill();
        assert_eq!(create(&service, 1, 0).err(), Some(libc::ESTALE));
        ring.push_call(add, &[1]);
        assert_eq!(ring.run().err(), Some(libc::ESHUTDOWN));
    });
    tests.add("a process that is killed while it runs a ring leaves the reactor usable and nothing behind", || {
        let served = Served::new(&[]);
        let compute = number(&served.instance, "compute");
        let mut random = Random(5);
        for _ in 0..scale::iterations(60) {
            let child = Child::start(|| {
                let ring = Ring::new(&served.instance, 64, 4096);
                loop {
                    while ring.tail().load(Ordering::Relaxed).wrapping_sub(ring.head()) < 64 {
                        ring.push_call(compute, &[2000]);
                    }
                    if ring.run_once(LONG).is_err() {
                        return 1;
                    }
                }
            });
            thread::sleep(Duration::from_micros(random.below(20_000) as u64));
            // The drop kills the child.
            drop(child);
            assert!(call_for(&served.instance, "add", &[0], LONG).is_ok());
        }
        served.kill();
        assert_nothing_held();
    });
    tests.add("a closed instance ends the calls of its rings, and rings keep nothing of it", || {
        let (input, _feed) = pipe().expect("a pipe");
        let instance = start_reactor(REACTOR, &[grant(input.as_raw_fd(), 0)]);
        publish_named(&instance, "ring");
        let service = find("ring").expect("is there");
        let served = Served::of(instance);
        let wait = number(&service, "wait");
        let ring = Arc::new(Ring::new(&service, 4, 0));
        ring.push_call(wait, &[]);
        let running = ring.clone();
        let (id, runner) = with_id(move || -> Result<_, i32> { running.run_once(LONG) });
        wait_for_sleep(&id);
        served.kill();
        let ran: Result<kwasmi_ring_run, i32> = runner.join().expect("no panic");
        assert!(ran.is_ok_and(|run| (run.ended, run.status) == (1, uapi::KWASMI_KILLED)));
        assert_eq!((ring.head(), ring.result(0)), (1, Err(libc::ECONNRESET)));
        assert_nothing_held();
        let answer: Answer = ring.run_once(LONG).map(|_| 0);
        assert_eq!(answer, Err(libc::ESHUTDOWN));
        // A ring that was created on the instance itself.
        let served = Served::new(&[]);
        let ring = Ring::new(&served.instance, 4, 0);
        ring.push_call(number(&served.instance, "nothing"), &[]);
        served.kill();
        assert_nothing_held();
        assert_eq!(ring.run_once(LONG).err(), Some(libc::ESHUTDOWN));
    });
}

pub(crate) fn tests(tests: &mut Tests) {
    order(tests);
    refusals(tests);
    ends(tests);
}
