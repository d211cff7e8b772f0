// SPDX-License-Identifier: GPL-2.0

//! What memory the machine has, and what of it kwasmi holds.

use crate::{
    effort,
    kernel::info, //
};
use kwasmi::uapi::kwasmi_info;
use std::{
    collections::BTreeMap,
    fmt,
    fs,
    thread,
    time::Duration, //
};

/// How long it may take until what was given up is there again: the kernel gives back some memory later.
const PATIENCE: Duration = Duration::from_secs(20);

/// Numbers of KiB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amounts {
    /// What programs could have, with what this process has, and what each processor keeps at hand.
    available: u64,
    /// Small objects of the kernel.
    slab: u64,
    /// What the kernel has mapped page by page, without two things that it keeps for itself, and kwasmi has none of: the
    /// stacks of tasks (a thread of the kernel stays for minutes after it was needed), and its notes about what there is for
    /// each processor (with memory cgroups 2 MiB for the next chunk, which it begins when counters of a few more processes are
    /// needed, mm/percpu-vm.c). What is within the chunks is below.
    vmalloc: u64,
    /// What there is for each processor.
    percpu: u64,
}

/// How much less or more there may be afterwards. Objects that are freed leave pages in caches that are partly empty.
const TOLERANCE: Amounts = Amounts { available: 4 << 10, slab: 2 << 10, vmalloc: 512, percpu: 64 };

/// The same for a kernel that keeps objects for a while after they were freed, to find who still uses them: KASAN sets aside
/// up to a 32nd of the memory, and kmemleak has a record of each block.
const TOLERANCE_INSTRUMENTED: Amounts = Amounts { available: 128 << 10, slab: 96 << 10, vmalloc: 2048, percpu: 64 };

/// What may be.
pub(super) fn tolerance() -> Amounts {
    if effort::is_instrumented() { TOLERANCE_INSTRUMENTED } else { TOLERANCE }
}

impl fmt::Display for Amounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { available, slab, vmalloc, percpu } = self;
        write!(f, "{available} KiB available, {slab} KiB slab, {vmalloc} KiB vmalloc, {percpu} KiB per processor")
    }
}

/// The number of KiB in a line of a file of /proc.
fn kibibytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).expect(name)
}

/// The KiB of free pages that each processor keeps at hand, for itself: they are not counted as free.
fn at_hand() -> u64 {
    let zones = fs::read_to_string("/proc/zoneinfo").expect("there");
    let counts = zones.lines().filter_map(|line| line.trim_start().strip_prefix("count:"));
    counts.map(|count| count.trim().parse::<u64>().expect("a number") * 4).sum()
}

impl Amounts {
    fn now(areas: &BTreeMap<String, u64>) -> Self {
        // What is only kept because nobody else wants it does not count.
        fs::write("/proc/sys/vm/drop_caches", "3").expect("root may");
        let all = fs::read_to_string("/proc/meminfo").expect("there");
        let own = fs::read_to_string("/proc/self/status").expect("there");
        let chunks: u64 = areas.iter().filter(|(caller, _)| caller.starts_with("pcpu_")).map(|(_, size)| size).sum();
        Self {
            available: kibibytes(&all, "MemAvailable") + kibibytes(&own, "RssAnon") + at_hand(),
            slab: kibibytes(&all, "Slab"),
            vmalloc: kibibytes(&all, "VmallocUsed").saturating_sub(kibibytes(&all, "KernelStack") + chunks),
            percpu: kibibytes(&all, "Percpu"),
        }
    }

    /// Whether nothing is lost, in comparison to `before`.
    fn is_like(&self, before: &Self) -> bool {
        let Self { available, slab, vmalloc, percpu } = tolerance();
        self.available + available >= before.available
            && self.slab <= before.slab + slab
            && self.vmalloc <= before.vmalloc + vmalloc
            && self.percpu <= before.percpu + percpu
    }
}

/// The KiB that the kernel has mapped page by page, by who asked for them.
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

/// All of it at one time.
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

    /// What there is after a while: for as long as it takes until it is like `before`, if that is given, within reason.
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

    /// Who has more than `before` of what is mapped page by page, in KiB.
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

    /// Fails if something is held, or lost in comparison to `before`.
    pub(super) fn assert_like(&self, before: &Self) {
        assert_eq!(self.held, [0; 5], "{self}");
        assert!(
            self.amounts.is_like(&before.amounts),
            "before: {before}; after: {self}; grown: {}",
            self.growth(before)
        );
    }
}
