// SPDX-License-Identifier: GPL-2.0

//! Test of random commands with random arguments on random descriptors, by several threads at the
//! same time. The calls may fail, but the kernel's log must stay clean, and nothing may be held
//! afterwards.
//!
//!     KWASMI_RACE=SEED:STEPS kwasmi-abi race      other random numbers than the default ones

use crate::{
    fuzz::Random,
    kernel::{
        address,
        device,
        ioctl,
        limit, //
    },
    kill::nanoseconds,
    ktap::Tests,
};
use kwasmi::uapi::{
    self,
    kwasmi_fd,
    kwasmi_limit, //
};
use std::{
    env,
    os::fd::{
        AsRawFd,
        FromRawFd,
        OwnedFd,
        RawFd, //
    },
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicBool,
            Ordering, //
        },
    },
    thread,
    time::Duration,
};

const THREADS: u64 = 3;

/// Time limits for loading and for running a program.
const LOADING: Duration = Duration::from_secs(60);
const RUNNING: Duration = Duration::from_millis(20);

/// Programs that end soon.
const PROGRAMS: [&str; 4] = [
    r#"(module (func (export "_start")))"#,
    r#"(module (memory (export "memory") 1)
        (func (export "_start") (local i32)
            (loop (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 300000))))))"#,
    r#"(module (memory (export "memory") 1)
        (func (export "_start") (local i32)
            (loop
                (drop (memory.grow (i32.const 5)))
                (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 30))))))"#,
    crate::run::CAT,
];

/// Addresses of two mappings, each with an inaccessible page after it. The firm one is always
/// accessible; the shaky one is repeatedly made inaccessible.
struct Maps {
    firm: usize,
    shaky: usize,
}

/// Size of a mapping's accessible part, in bytes.
const MAP: usize = 64 * 1024;

impl Maps {
    fn new() -> Self {
        let map = || {
            // SAFETY: The kernel chooses the address, so no existing mapping is replaced.
            let map = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    MAP + 4096,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                )
            };
            assert_ne!(map, libc::MAP_FAILED);
            // SAFETY: The last page belongs to the new mapping, and nothing refers to it.
            assert_eq!(unsafe { libc::mprotect(map.wrapping_byte_add(MAP), 4096, libc::PROT_NONE) }, 0);
            map.expose_provenance()
        };
        Self { firm: map(), shaky: map() }
    }

    /// Changes the protection of the shaky mapping.
    fn shake(&self, protection: i32) {
        let map = std::ptr::with_exposed_provenance_mut(self.shaky);
        // SAFETY: The mapping belongs to `self`, and this process has no references into it: only
        // the kernel accesses it.
        assert_eq!(unsafe { libc::mprotect(map, MAP, protection) }, 0);
    }
}

impl Drop for Maps {
    fn drop(&mut self) {
        for map in [self.firm, self.shaky] {
            // SAFETY: The mapping belongs to `self`, and nothing refers to it any more.
            unsafe { libc::munmap(std::ptr::with_exposed_provenance_mut(map), MAP + 4096) };
        }
    }
}

/// State that the threads share.
struct Field {
    maps: Maps,
    programs: Vec<Vec<u8>>,
    descriptors: Mutex<Vec<Arc<OwnedFd>>>,
    is_over: AtomicBool,
}

impl Field {
    fn pick(&self, random: &mut Random) -> Arc<OwnedFd> {
        let descriptors = self.descriptors.lock().expect("no panic");
        Arc::clone(&descriptors[random.below(descriptors.len())])
    }

    /// Keeps a new descriptor, in place of a random other one if there are many.
    fn keep(&self, random: &mut Random, fd: RawFd) {
        // SAFETY: The kernel has just created the descriptor for this process, and nothing else
        // owns it.
        let fd = Arc::new(unsafe { OwnedFd::from_raw_fd(fd) });
        let mut descriptors = self.descriptors.lock().expect("no panic");
        if descriptors.len() < 40 {
            descriptors.push(fd);
        } else {
            // The first descriptor is the device, which is never replaced.
            let place = 1 + random.below(descriptors.len() - 1);
            descriptors[place] = fd;
        }
    }

    /// Returns a random address.
    fn address(&self, random: &mut Random) -> u64 {
        let at = random.below(MAP) as u64;
        match random.below(10) {
            0 => 0,
            1 => u64::MAX - at % 16,
            2 => 0xffff_8880_0000_0000 + at,
            3 => self.maps.firm as u64 + MAP as u64 - at % 64,
            4..=6 => self.maps.shaky as u64 + at,
            _ => self.maps.firm as u64 + at,
        }
    }

    fn number(random: &mut Random) -> u64 {
        match random.below(6) {
            0 => 0,
            1 => 1,
            2 => random.below(100) as u64,
            3 => random.below(1 << 20) as u64,
            4 => 1 << random.below(64),
            _ => random.next(),
        }
    }

    /// Makes one random call, and keeps the descriptor if it returns one.
    fn step(&self, random: &mut Random) {
        let target = self.pick(random);
        let commands =
            [uapi::IOC_INFO, uapi::IOC_LOAD, uapi::IOC_START, uapi::IOC_RUN, uapi::IOC_KILL, uapi::IOC_LIST_LIMITS];
        let command = match random.below(16) {
            0 => u32::try_from(random.next() >> 32).unwrap_or(0),
            1..=4 => uapi::IOC_LOAD,
            5..=8 => uapi::IOC_START,
            9..=11 => uapi::IOC_RUN,
            _ => commands[random.below(commands.len())],
        };
        // Larger than each of the structures.
        let mut words = [0_u64; 64];
        // A guest gets a short time, loading the time that the slowest kernel may need.
        let time = if command == uapi::IOC_LOAD { LOADING } else { RUNNING };
        let limits = [limit(uapi::KWASMI_LIMIT_MEMORY, 4 << 20), limit(uapi::KWASMI_LIMIT_TIME, nanoseconds(time))];
        let program = &self.programs[random.below(self.programs.len())];
        // Half of the calls are valid, and half of these have one random word.
        if random.below(2) == 0 {
            self.make_sense(&mut words, command, program, &limits);
            if random.below(2) == 0 {
                let place = random.below(16);
                words[place] = if random.below(2) == 0 { self.address(random) } else { Self::number(random) };
            }
        } else {
            for word in &mut words[..16] {
                *word = if random.below(2) == 0 { self.address(random) } else { Self::number(random) };
            }
        }
        let argument = match random.below(12) {
            0 => usize::try_from(self.address(random)).unwrap_or(0),
            _ => words.as_mut_ptr().expose_provenance(),
        };
        // SAFETY: The kernel writes to `words`, which is larger than each structure, and to the
        // addresses in it: memory of `maps`, or addresses at which this process has no writable
        // memory.
        let answer = unsafe { ioctl(target.as_raw_fd(), u64::from(command), argument) };
        let makes = [uapi::IOC_LOAD, uapi::IOC_START].contains(&command);
        match answer {
            Ok(fd) if makes => self.keep(random, fd),
            _ => {}
        }
    }

    /// Fills in valid arguments for `command`.
    fn make_sense(&self, words: &mut [u64; 64], command: u32, program: &[u8], limits: &[kwasmi_limit]) {
        let log = self.maps.firm as u64;
        match command {
            uapi::IOC_LOAD => {
                let request = uapi::kwasmi_load {
                    wasm: address(program),
                    wasm_len: program.len() as u64,
                    limits: address(limits),
                    limits_len: 2,
                    log,
                    log_size: 4096,
                    ..Default::default()
                };
                words[0] = request.wasm;
                words[1] = request.wasm_len;
                words[2] = request.limits;
                words[3] = u64::from(request.limits_len);
                words[5] = request.log;
                words[6] = u64::from(request.log_size);
            }
            uapi::IOC_START => {
                // Words of the limits and the log, in the layout of `struct kwasmi_start`.
                words[6] = address(limits);
                words[5] = 2 << 32;
                words[9] = log;
                words[10] = 4096;
            }
            _ => {}
        }
        const { assert!(size_of::<kwasmi_fd>() == 40) };
    }
}

fn race(seed: u64, steps: u64) {
    println!("# seed {seed}, {steps} steps");
    let field = Field {
        maps: Maps::new(),
        programs: PROGRAMS.iter().map(|text| wat::parse_str(text).expect("valid text")).collect(),
        descriptors: Mutex::new(vec![Arc::new(device().into())]),
        is_over: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            while !field.is_over.load(Ordering::Relaxed) {
                field.maps.shake(libc::PROT_NONE);
                field.maps.shake(libc::PROT_READ | libc::PROT_WRITE);
            }
        });
        let runners: Vec<_> = (0..THREADS)
            .map(|number| {
                let field = &field;
                scope.spawn(move || {
                    let mut random = Random(seed.wrapping_mul(0x9e37_79b9).wrapping_add(number) | 1);
                    (0..steps / THREADS).for_each(|_| field.step(&mut random));
                })
            })
            .collect();
        for runner in runners {
            runner.join().expect("no panic");
        }
        field.is_over.store(true, Ordering::Relaxed);
    });
    let kinds = field.descriptors.lock().expect("no panic").len();
    println!("# {kinds} descriptors at the end");
    assert!(kinds > 10, "{kinds}: hardly a call made sense");
}

pub(crate) fn tests(tests: &mut Tests) {
    let told = env::var("KWASMI_RACE").ok();
    let told = told.as_deref().and_then(|text| text.split_once(':'));
    let told = told.and_then(|(seed, steps)| Some((seed.parse().ok()?, steps.parse().ok()?)));
    let (seed, steps) = told.unwrap_or((0x5eed, u64::from(crate::scale::iterations(30_000))));
    tests.add("random commands by three threads", move || race(seed, steps));
}
