// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! The work of guests, done by eBPF where it can do it. The programs are in `bpf/work.c`.

use std::{
    fs, io,
    os::fd::{
        AsFd as _,
        AsRawFd as _,
        OwnedFd, //
    },
    sync::atomic::{
        AtomicU64,
        Ordering, //
    },
    time::{
        Duration,
        Instant, //
    },
};

use anyhow::{
    Context as _,
    Result, //
};
use aya::{
    EbpfLoader,
    maps::{
        Array,
        Map,
        MapData,
        RingBuf, //
    },
    programs::SchedClassifier,
};
use memmap2::{
    MmapOptions,
    MmapRaw, //
};

/// What clang made of `bpf/work.c`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/work.o"));

/// Operations of one run of a program.
const RUN: u64 = 65536;

/// Requests of one run: as many as both rings have room for.
const REQUESTS: u64 = 4096;

/// How many of the first [`REQUESTS`] requests are allowed by the rules of `guests/bench`.
const ALLOWED: u64 = 1086;

/// Bytes of either ring.
const RING: usize = 128 * 1024;

/// What a job's state is in the beginning.
const SEED: u64 = 1;

/// The part of `union bpf_attr` for `BPF_PROG_TEST_RUN`.
#[derive(Default)]
#[repr(C)]
struct TestRun {
    program: u32,
    result: u32,
    input_len: u32,
    output_len: u32,
    input: u64,
    output: u64,
    repeat: u32,
    duration: u32,
}

/// `BPF_PROG_TEST_RUN` of `enum bpf_cmd`.
const BPF_PROG_TEST_RUN: libc::c_long = 10;

/// A record of the ring of requests: a header, and the request.
#[repr(C)]
struct Record {
    len: u32,
    reserved: u32,
    request: [u8; 16],
}

/// The ring that a process fills and a program empties.
struct Requests {
    /// How many bytes were ever put in, then the ring itself, twice in a row.
    pages: MmapRaw,
    page: usize,
    produced: u64,
}

impl Requests {
    fn new(map: &MapData) -> Result<Self> {
        let page = rustix::param::page_size();
        // The first page is the kernel's: how far it has read.
        let pages =
            MmapOptions::new().offset(page as u64).len(page + 2 * RING).map_raw(map.fd().as_fd().as_raw_fd())?;
        Ok(Self { pages, page, produced: 0 })
    }

    /// Puts `count` requests in. All that were put in before are gone.
    fn fill(&mut self, count: u64) -> Result<()> {
        for _ in 0..count {
            // What /dev/zero gives to the others.
            let record = Record { len: 16, reserved: 0, request: [0; 16] };
            let offset = self.page + usize::try_from(self.produced)? % RING;
            // SAFETY: Less than `RING` is in the ring, so the record is within the second of the two.
            let place = unsafe { self.pages.as_mut_ptr().add(offset) };
            // SAFETY: The place is aligned to 8 bytes, and the kernel does not read there before it is told.
            unsafe { place.cast::<Record>().write(record) };
            self.produced += size_of::<Record>() as u64;
        }
        // SAFETY: The mapping begins with this number, and is aligned to a page.
        let produced = unsafe { AtomicU64::from_ptr(self.pages.as_mut_ptr().cast()) };
        produced.store(self.produced, Ordering::Release);
        Ok(())
    }
}

/// A program, loaded.
pub(crate) struct Program {
    fd: OwnedFd,
    /// Rounds, state of requests, allowed ones: `struct job`.
    job: Array<MapData, [u64; 3]>,
    /// Where requests come from and answers go to, if the program wants them.
    rings: Option<(Requests, RingBuf<MapData>)>,
}

impl Program {
    /// Loads what does `work`.
    ///
    /// # Errors
    /// The kernel does not take it, or no program does such work.
    pub(crate) fn load(work: &str) -> Result<Self> {
        let jit = fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").context("no eBPF")?;
        anyhow::ensure!(jit.trim() != "0", "eBPF would be interpreted");
        let mut object = EbpfLoader::new().allow_unsupported_maps().load(OBJECT)?;
        let program = object.program_mut(work).with_context(|| format!("{work}: nobody does it by eBPF"))?;
        let program: &mut SchedClassifier = program.try_into()?;
        program.load()?;
        let fd = program.fd()?.as_fd().try_clone_to_owned()?;
        let mut map = |name| object.take_map(name).with_context(|| format!("no map '{name}'"));
        let job = Array::try_from(map("job")?)?;
        let rings = match (work, map("requests")?) {
            ("policy", Map::Unsupported(requests)) => {
                Some((Requests::new(&requests)?, RingBuf::try_from(map("answers")?)?))
            }
            _ => None,
        };
        let mut program = Self { fd, job, rings };
        program.check(work)?;
        Ok(program)
    }

    /// Decisions are those of `guests/bench`.
    fn check(&mut self, work: &str) -> Result<()> {
        self.job.set(0, [0, SEED, 0], 0)?;
        self.once(REQUESTS)?;
        let [_, _, allowed] = self.job.get(&0, 0)?;
        let wanted = if matches!(work, "decide" | "policy") { ALLOWED } else { 0 };
        anyhow::ensure!(allowed == wanted, "{allowed} requests of {REQUESTS} are allowed, not {wanted}");
        Ok(())
    }

    /// Has the kernel run the program.
    fn start(&self) -> Result<()> {
        // The least that is taken for a packet; no program looks at it.
        let packet = [0_u8; 14];
        let mut run = TestRun {
            program: u32::try_from(self.fd.as_raw_fd())?,
            input_len: u32::try_from(packet.len())?,
            input: packet.as_ptr().addr() as u64,
            ..TestRun::default()
        };
        // SAFETY: The kernel reads and writes `run`, whose size it is told, and reads `packet`.
        let status = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_TEST_RUN, &raw mut run, size_of::<TestRun>()) };
        anyhow::ensure!(status == 0, "cannot run a program: {}", io::Error::last_os_error());
        Ok(())
    }

    /// Does the work `count` times, in one run.
    fn once(&mut self, count: u64) -> Result<()> {
        let [_, state, allowed] = self.job.get(&0, 0)?;
        self.job.set(0, [count, state, allowed], 0)?;
        if let Some((requests, _)) = &mut self.rings {
            requests.fill(count)?;
        }
        self.start()?;
        let [done, state, mut allowed] = self.job.get(&0, 0)?;
        anyhow::ensure!(done == count, "done {done} times, not {count}");
        if let Some((_, answers)) = &mut self.rings {
            let mut left = count;
            while let Some(answer) = answers.next() {
                allowed += u64::from(answer.first().copied().unwrap_or(0));
                left = left.wrapping_sub(1);
            }
            anyhow::ensure!(left == 0, "{count} requests, but {left} of the answers are not there");
            self.job.set(0, [0, state, allowed], 0)?;
        }
        Ok(())
    }

    /// Does the work `count` times; how long that took.
    ///
    /// # Errors
    /// The kernel does not do it.
    pub(crate) fn run(&mut self, count: u64) -> Result<Duration> {
        let most = if self.rings.is_some() { REQUESTS } else { RUN };
        let mut left = count;
        let began = Instant::now();
        while left > 0 {
            let now = left.min(most);
            self.once(now)?;
            left -= now;
        }
        Ok(began.elapsed())
    }
}

/// Whether this machine's kernel takes the program that asks most of it; if not, says why on standard error.
pub(crate) fn is_there() -> bool {
    let loaded = Program::load("policy");
    if let Err(error) = &loaded {
        eprintln!("kwasmi: eBPF takes no part: {error:#}");
    }
    loaded.is_ok()
}
