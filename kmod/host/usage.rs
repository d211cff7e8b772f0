// SPDX-License-Identifier: GPL-2.0

//! Counters of an instance that the engine changes, readable while the guest runs.

use crate::{
    engine::Account,
    ffi::{
        AccountCounters,
        GuestCounters, //
    },
    watch::{
        Counter,
        CounterId,
        Sink,
        FUNCTIONS, //
    },
};
use core::{
    ptr::NonNull,
    sync::atomic::{
        AtomicU64,
        Ordering, //
    }, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::SpinLock, //
};

/// Upper bounds of the times that the histogram of calls distinguishes, in nanoseconds.
const DURATIONS: [&str; 26] = [
    "1024",
    "2048",
    "4096",
    "8192",
    "16384",
    "32768",
    "65536",
    "131072",
    "262144",
    "524288",
    "1048576",
    "2097152",
    "4194304",
    "8388608",
    "16777216",
    "33554432",
    "67108864",
    "134217728",
    "268435456",
    "536870912",
    "1073741824",
    "2147483648",
    "4294967296",
    "8589934592",
    "17179869184",
    "+Inf",
];

/// Returns the index in [`DURATIONS`] of a time in nanoseconds.
fn duration_index(time: u64) -> usize {
    let doublings = u64::BITS - (time.saturating_sub(1) >> 10).leading_zeros();
    (doublings as usize).min(DURATIONS.len() - 1)
}

/// Counters of an instance. They stay after its end.
#[pin_data]
pub(crate) struct Usage {
    guest: GuestCounters,
    /// Number of calls that have returned, by [`duration_index`] of their time.
    durations: [AtomicU64; DURATIONS.len()],
    /// Sum of the times, in nanoseconds.
    call_time: AtomicU64,
    #[pin]
    heap: SpinLock<Heap>,
}

/// Heap account of the instance.
///
/// # Invariants
///
/// `open` points to the counters of an account that is not closed.
#[derive(Default)]
struct Heap {
    open: Option<NonNull<AccountCounters>>,
    /// Peak of the account, once it is closed.
    peak: usize,
}

// SAFETY: The counters are atomic integers, which any task may read.
unsafe impl Send for Heap {}

impl Heap {
    /// Returns the bytes in use, and their peak.
    fn used_and_peak(&self) -> (usize, usize) {
        let Some(open) = &self.open else {
            return (0, self.peak);
        };
        // SAFETY: The counters of an account are valid until it is closed, and the account is open
        // by the type invariant. `self` is borrowed, so the account is not closed meanwhile.
        let counters = unsafe { open.as_ref() };
        let used = counters.used.load(Ordering::Relaxed);
        // The engine may not have raised the peak yet.
        let peak = counters.peak.load(Ordering::Relaxed).max(used);
        (used, peak)
    }
}

impl Usage {
    /// Returns the counters of an instance that does not exist yet.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            guest: GuestCounters::new(),
            durations: [const { AtomicU64::new(0) }; DURATIONS.len()],
            call_time: AtomicU64::new(0),
            heap <- new_spinlock!(Heap::default(), "kwasmi::Usage::heap"),
        })
    }

    /// Returns the counters that the engine changes.
    pub(crate) fn guest(&self) -> &GuestCounters {
        &self.guest
    }

    /// Counts `calls` that have returned after `time` nanoseconds in all.
    pub(crate) fn count_calls(&self, calls: u32, time: u64) {
        let mean = time / u64::from(calls).max(1);
        if let Some(count) = self.durations.get(duration_index(mean)) {
            count.fetch_add(calls.into(), Ordering::Relaxed);
        }
        self.call_time.fetch_add(time, Ordering::Relaxed);
    }

    /// Passes the counters of the calls that have returned to `sink`.
    ///
    /// # Errors
    ///
    /// The errors of `sink`.
    pub(crate) fn list_calls(&self, sink: Sink<'_>) -> Result {
        for (index, (label, count)) in DURATIONS.iter().zip(&self.durations).enumerate() {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                sink(Counter::labelled(
                    CounterId::CallDuration,
                    index,
                    count,
                    ("", label),
                ))?;
            }
        }
        sink(Counter::new(
            CounterId::CallTime,
            self.call_time.load(Ordering::Relaxed),
        ))
    }

    /// Returns the fuel that the guest has used.
    pub(crate) fn fuel(&self) -> u64 {
        self.guest.fuel.load(Ordering::Relaxed)
    }

    /// Returns the largest size of the linear memories, in bytes.
    pub(crate) fn memory_peak(&self) -> u64 {
        self.guest.memory.load(Ordering::Relaxed)
    }

    /// Makes the counters of `account` those of the heap.
    ///
    /// # Safety
    ///
    /// [`Usage::close_heap`] must be called before `account` is closed.
    pub(crate) unsafe fn open_heap(&self, account: &Account) {
        // INVARIANT: The account is open, and `close_heap` is called before it is closed, by this
        // function's safety requirement.
        self.heap.lock().open = Some(account.counters());
    }

    /// Keeps the last values of the counters of the account.
    pub(crate) fn close_heap(&self) {
        let mut heap = self.heap.lock();
        let (_, peak) = heap.used_and_peak();
        *heap = Heap { open: None, peak };
    }

    /// Passes the counters to `sink`.
    ///
    /// # Errors
    ///
    /// The errors of `sink`.
    pub(super) fn list(&self, (runs, cpu_time): (u64, u64), sink: Sink<'_>) -> Result {
        let heap = self.heap.lock();
        let is_open = heap.open.is_some();
        let (used, peak) = heap.used_and_peak();
        drop(heap);
        // The sum is that of the values that are listed.
        let calls = self
            .guest
            .calls
            .each_ref()
            .map(|counter| counter.load(Ordering::Relaxed));
        let memory_peak = self.memory_peak();
        // Memories never shrink before the end.
        let memory = if is_open { memory_peak } else { 0 };
        sink(Counter::new(CounterId::Runs, runs))?;
        sink(Counter::new(CounterId::HostCalls, calls.iter().sum()))?;
        for (index, (label, value)) in FUNCTIONS.iter().zip(calls).enumerate() {
            if value > 0 {
                sink(Counter::labelled(
                    CounterId::FunctionCalls,
                    index,
                    value,
                    *label,
                ))?;
            }
        }
        sink(Counter::new(CounterId::Fuel, self.fuel()))?;
        sink(Counter::new(CounterId::CpuTime, cpu_time))?;
        sink(Counter::new(CounterId::Memory, memory))?;
        sink(Counter::new(CounterId::MemoryPeak, memory_peak))?;
        sink(Counter::new(CounterId::Heap, used as u64))?;
        sink(Counter::new(CounterId::HeapPeak, peak as u64))
    }
}
