// SPDX-License-Identifier: GPL-2.0

//! Measurement of the machine's memory, and of what kwasmi holds.

use crate::{
    kernel::info,
    scale, //
};
use kwasmi::uapi::kwasmi_info;
use std::{
    collections::BTreeMap,
    fmt,
    fs,
    thread,
    time::Duration, //
};

/// Upper bound of the wait for freed memory: the kernel frees some of it later.
const PATIENCE: Duration = Duration::from_secs(20);

/// Amounts of memory, in KiB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amounts {
    /// Available memory, with that of this process, the free pages on the lists of each processor,
    /// and the stacks and structures of tasks.
    available: u64,
    /// Memory of the kernel's slab allocator, without the structures of tasks: the kernel keeps
    /// idle worker threads for minutes.
    slab: u64,
    /// Memory of vmalloc without two parts that kwasmi does not use: stacks of tasks, which kernel
    /// threads keep for minutes, and chunks of the per-CPU allocator (with memory cgroups 2 MiB for
    /// the next chunk, which it allocates when a few more processes need counters, mm/percpu-vm.c).
    /// Allocations within the chunks are in `percpu`.
    vmalloc: u64,
    /// Memory of the per-CPU allocator.
    percpu: u64,
}

/// Tolerance of a comparison, in KiB. Freed objects leave partly empty pages in caches.
const TOLERANCE: Amounts = Amounts { available: 4 << 10, slab: 4 << 10, vmalloc: 512, percpu: 64 };

/// Tolerance on an instrumented kernel, in KiB. KASAN keeps freed memory in quarantine, up to a
/// 32nd of all memory, and kmemleak has a record of each block.
const TOLERANCE_INSTRUMENTED: Amounts = Amounts { available: 128 << 10, slab: 96 << 10, vmalloc: 2048, percpu: 64 };

/// Returns the tolerance for this kernel.
pub(super) fn tolerance() -> Amounts {
    if scale::is_instrumented() { TOLERANCE_INSTRUMENTED } else { TOLERANCE }
}

impl fmt::Display for Amounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { available, slab, vmalloc, percpu } = self;
        write!(f, "{available} KiB available, {slab} KiB slab, {vmalloc} KiB vmalloc, {percpu} KiB per processor")
    }
}

/// Returns the number of KiB in the line `name` of a file of /proc.
fn kibibytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).expect(name)
}

/// Returns the free pages on the lists of each processor, in KiB. The kernel does not count them as
/// free.
fn at_hand() -> u64 {
    let zones = fs::read_to_string("/proc/zoneinfo").expect("there");
    let counts = zones.lines().filter_map(|line| line.trim_start().strip_prefix("count:"));
    counts.map(|count| count.trim().parse::<u64>().expect("a number") * 4).sum()
}

/// Returns the memory of the slab caches for tasks, in KiB.
fn task_structures() -> u64 {
    let caches = fs::read_to_string("/proc/slabinfo").expect("there");
    let bytes = caches.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        // The columns are: name, active objects, objects, bytes of an object.
        let mut numbers = words.skip(1).map_while(|word| word.parse::<u64>().ok());
        let is_of_tasks = ["task_struct", "signal_cache", "sighand_cache"].contains(&name);
        is_of_tasks.then(|| Some(numbers.next()? * numbers.next()?)).flatten()
    });
    bytes.sum::<u64>() >> 10
}

impl Amounts {
    fn now(areas: &BTreeMap<String, u64>) -> Self {
        // Drops the page cache and the caches of inodes and names, which only use free memory.
        fs::write("/proc/sys/vm/drop_caches", "3").expect("root may");
        let all = fs::read_to_string("/proc/meminfo").expect("there");
        let own = fs::read_to_string("/proc/self/status").expect("there");
        let chunks: u64 = areas.iter().filter(|(caller, _)| caller.starts_with("pcpu_")).map(|(_, size)| size).sum();
        Self {
            available: kibibytes(&all, "MemAvailable")
                + kibibytes(&own, "RssAnon")
                + kibibytes(&all, "KernelStack")
                + task_structures()
                + at_hand(),
            slab: kibibytes(&all, "Slab").saturating_sub(task_structures()),
            vmalloc: kibibytes(&all, "VmallocUsed").saturating_sub(kibibytes(&all, "KernelStack") + chunks),
            percpu: kibibytes(&all, "Percpu"),
        }
    }

    /// Returns true if no memory is lost in comparison to `before`, within the tolerance.
    fn is_like(&self, before: &Self) -> bool {
        let Self { available, slab, vmalloc, percpu } = tolerance();
        self.available + available >= before.available
            && self.slab <= before.slab + slab
            && self.vmalloc <= before.vmalloc + vmalloc
            && self.percpu <= before.percpu + percpu
    }
}

/// Returns the vmalloc memory by caller, in KiB.
fn areas() -> BTreeMap<String, u64> {
    let mut areas = BTreeMap::new();
    for line in fs::read_to_string("/proc/vmallocinfo").expect("there").lines() {
        let mut words = line.split_whitespace().skip(2);
        let caller = words.next().unwrap_or("?").to_owned();
        let pages = words.find_map(|word| word.strip_prefix("pages=")?.parse::<u64>().ok());
        *areas.entry(caller).or_default() += pages.unwrap_or(0) * 4;
    }
    areas
}

/// Measurement at one time.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    amounts: Amounts,
    areas: BTreeMap<String, u64>,
    held: [u64; 5],
    reclaimed: u64,
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { amounts, held: [modules, instances, bytes, blocks, reserve], reclaimed, areas: _ } = self;
        write!(f, "{amounts}; {modules} modules, {instances} instances, {bytes} bytes in {blocks} blocks, ")?;
        write!(f, "{reserve} bytes of the reserve, {reclaimed} bytes reclaimed so far")
    }
}

impl Memory {
    fn now() -> Self {
        let kwasmi_info { modules, instances, heap_bytes, heap_blocks, reserve_used_bytes, reclaimed_bytes, .. } =
            info();
        let areas = areas();
        Self {
            amounts: Amounts::now(&areas),
            areas,
            held: [modules, instances, heap_bytes, heap_blocks, reserve_used_bytes],
            reclaimed: reclaimed_bytes,
        }
    }

    /// Measures after at least 2 s. If `before` is given, repeats that until the amounts are like
    /// it, for at most [`PATIENCE`].
    pub(super) fn settled(before: Option<&Self>) -> Self {
        let mut waited = Duration::from_secs(2);
        thread::sleep(waited);
        loop {
            let now = Self::now();
            let is_settled = before.is_none_or(|before| now.held == [0; 5] && now.amounts.is_like(&before.amounts));
            if is_settled || waited >= PATIENCE {
                return now;
            }
            thread::sleep(Duration::from_secs(1));
            waited += Duration::from_secs(1);
        }
    }

    /// Lists the callers that have more vmalloc memory than in `before`, in KiB.
    pub(super) fn growth(&self, before: &Self) -> String {
        let mut growth = String::new();
        for (caller, now) in &self.areas {
            let then = before.areas.get(caller).copied().unwrap_or(0);
            if *now > then {
                growth.push_str(&format!("{caller}: {then} to {now}; "));
            }
        }
        growth
    }

    /// Panics if kwasmi holds anything, or memory is lost in comparison to `before`.
    pub(super) fn assert_like(&self, before: &Self) {
        assert_eq!(self.held, [0; 5], "{self}");
        assert!(
            self.amounts.is_like(&before.amounts),
            "before: {before}; after: {self}; grown: {}",
            self.growth(before)
        );
    }
}
