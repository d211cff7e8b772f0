// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! The variant eBPF: loads the programs of `bpf/work.c` and runs them by `BPF_PROG_TEST_RUN`.

use std::{
    fs,
    os::fd::{
        AsFd as _,
        AsRawFd as _, //
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
    Ebpf, EbpfLoader, TestRun as _, TestRunOptions,
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

/// Object file of `bpf/work.c`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/work.o"));

/// Maximum number of operations of one run of a program.
const RUN: u64 = 65536;

/// Maximum number of requests of one run: the capacity of both rings.
const REQUESTS: u64 = 4096;

/// Number of the first [`REQUESTS`] requests that the rules of `guests/bench` allow.
const ALLOWED: u64 = 1086;

/// Size of each ring, in bytes.
const RING: usize = 128 * 1024;

/// Initial state of a job's generator of requests.
const SEED: u64 = 1;

/// The smallest packet that the kernel accepts. No program reads it.
const PACKET: [u8; 14] = [0; 14];

/// Record of the ring of requests: header and request.
#[repr(C)]
struct Record {
    len: u32,
    reserved: u32,
    request: [u8; 16],
}

/// Ring of requests, which the process fills and the program empties.
struct Requests {
    /// Mapping of the producer's page, which begins with the number of bytes that were ever put in,
    /// and of the ring itself, twice in a row.
    pages: MmapRaw,
    page: usize,
    produced: u64,
}

impl Requests {
    fn new(map: &MapData) -> Result<Self> {
        let page = rustix::param::page_size();
        // Skip the first page, which is the consumer's: the position up to which the kernel has
        // read.
        let pages =
            MmapOptions::new().offset(page as u64).len(page + 2 * RING).map_raw(map.fd().as_fd().as_raw_fd())?;
        Ok(Self { pages, page, produced: 0 })
    }

    /// Puts `count` requests into the ring. The ring must be empty.
    fn fill(&mut self, count: u64) -> Result<()> {
        for _ in 0..count {
            // The other variants read their requests from /dev/zero.
            let record = Record { len: 16, reserved: 0, request: [0; 16] };
            let offset = self.page + usize::try_from(self.produced)? % RING;
            // SAFETY: `add` requires that the result is within the mapping. `offset` is less than
            // `page + RING`, and the mapping has `page + 2 * RING` bytes.
            let place = unsafe { self.pages.as_mut_ptr().add(offset) };
            // SAFETY: `write` requires a valid, aligned pointer without concurrent access. `place`
            // points to `size_of::<Record>()` bytes of the mapping: the second copy of the ring
            // follows the first. It is aligned to 8 bytes, because page and records are multiples
            // of 8. The kernel does not read the record before `produced` is stored.
            unsafe { place.cast::<Record>().write(record) };
            self.produced += size_of::<Record>() as u64;
        }
        // SAFETY: `from_ptr` requires a valid, aligned `u64` that is only accessed atomically. The
        // page-aligned mapping begins with it, and `self` is its only user in this process.
        let produced = unsafe { AtomicU64::from_ptr(self.pages.as_mut_ptr().cast()) };
        produced.store(self.produced, Ordering::Release);
        Ok(())
    }
}

/// Loaded program.
pub(crate) struct Program {
    object: Ebpf,
    /// Name of the program in `object`.
    name: String,
    /// Map with the job: the fields of `struct job`.
    job: Array<MapData, [u64; 3]>,
    /// Rings of requests and answers, if the program uses them.
    rings: Option<(Requests, RingBuf<MapData>)>,
}

impl Program {
    /// Loads the program for `work` and checks its decisions.
    ///
    /// # Errors
    /// Fails if the kernel has no eBPF or no JIT for it, if no program does `work`, if the kernel
    /// refuses the program, or if its decisions are wrong.
    pub(crate) fn load(work: &str) -> Result<Self> {
        let jit = fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").context("the kernel has no eBPF")?;
        anyhow::ensure!(jit.trim() != "0", "the eBPF JIT is disabled");
        let mut object = EbpfLoader::new().allow_unsupported_maps().load(OBJECT)?;
        let program = object.program_mut(work).with_context(|| format!("{work}: no eBPF program does this work"))?;
        let program: &mut SchedClassifier = program.try_into()?;
        program.load()?;
        let mut map = |name| object.take_map(name).with_context(|| format!("no map '{name}'"));
        let job = Array::try_from(map("job")?)?;
        let rings = match (work, map("requests")?) {
            ("policy", Map::Unsupported(requests)) => {
                Some((Requests::new(&requests)?, RingBuf::try_from(map("answers")?)?))
            }
            _ => None,
        };
        let mut program = Self { object, name: work.to_owned(), job, rings };
        program.check(work)?;
        Ok(program)
    }

    /// Checks that the program's decisions are those of `guests/bench`.
    fn check(&mut self, work: &str) -> Result<()> {
        self.job.set(0, [0, SEED, 0], 0)?;
        self.once(REQUESTS)?;
        let [_, _, allowed] = self.job.get(&0, 0)?;
        let wanted = if matches!(work, "decide" | "policy") { ALLOWED } else { 0 };
        anyhow::ensure!(allowed == wanted, "{allowed} of {REQUESTS} requests allowed, expected {wanted}");
        Ok(())
    }

    /// Runs the program once.
    fn start(&self) -> Result<()> {
        let program = self.object.program(&self.name).with_context(|| format!("no program '{}'", self.name))?;
        let program: &SchedClassifier = program.try_into()?;
        program.test_run(TestRunOptions { data_in: Some(&PACKET), ..TestRunOptions::new() })?;
        Ok(())
    }

    /// Does the work `count` times, by one run of the program.
    fn once(&mut self, count: u64) -> Result<()> {
        let [_, state, allowed] = self.job.get(&0, 0)?;
        self.job.set(0, [count, state, allowed], 0)?;
        if let Some((requests, _)) = &mut self.rings {
            requests.fill(count)?;
        }
        self.start()?;
        let [done, state, mut allowed] = self.job.get(&0, 0)?;
        anyhow::ensure!(done == count, "{done} operations done, {count} requested");
        if let Some((_, answers)) = &mut self.rings {
            let mut left = count;
            while let Some(answer) = answers.next() {
                allowed += u64::from(answer.first().copied().unwrap_or(0));
                left = left.wrapping_sub(1);
            }
            anyhow::ensure!(left == 0, "{left} of {count} answers are missing");
            self.job.set(0, [0, state, allowed], 0)?;
        }
        Ok(())
    }

    /// Does the work `count` times and returns the elapsed time.
    ///
    /// # Errors
    /// Fails if the kernel cannot run the program, or if it did fewer operations or gave fewer
    /// answers than requested.
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

/// Returns true if the running kernel accepts the program with the highest demands; if not, prints
/// the reason to standard error.
pub(crate) fn is_there() -> bool {
    let loaded = Program::load("policy");
    if let Err(error) = &loaded {
        eprintln!("kwasmi: eBPF skipped: {error:#}");
    }
    loaded.is_ok()
}
