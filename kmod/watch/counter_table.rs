// SPDX-License-Identifier: GPL-2.0

//! Table of all counters.
//!
//! The kernel module and the `kwasmi` command compile this file. They check the numbers against
//! `kmod/uapi/kwasmi.h`. A test of the command checks the table in `docs/stats.md`.

/// Calls `$apply!` with the table. A row is
/// `NAME = NUMBER: HEADER'S NAME, name, UNIT, KIND, label, text`.
///
/// - The name is that of JSON and of fdinfo.
/// - UNIT is `Bytes`, `Nanoseconds` or `Count`.
/// - KIND is `Total` for a value that never decreases, `Histogram` for a number of events by size,
///   otherwise `Gauge`. The unit of a histogram is that of the sizes; the label of each number is the
///   upper bound of its sizes.
/// - The label tells what `index` of `struct kwasmi_counter` distinguishes; it is empty if there is
///   one counter of this number.
macro_rules! counter_table {
    ($apply:ident) => {
        $apply! {
            Runs = 1: KWASMI_COUNTER_RUNS, "runs", Count, Total, "",
                "entries into the guest by KWASMI_IOC_RUN and KWASMI_IOC_CALL";
            HostCalls = 2: KWASMI_COUNTER_HOST_CALLS, "host_calls", Count, Total, "",
                "calls of imported functions";
            FunctionCalls = 3: KWASMI_COUNTER_FUNCTION_CALLS, "function_calls", Count, Total, "function",
                "calls of one imported function";
            Fuel = 4: KWASMI_COUNTER_FUEL, "fuel_used", Count, Total, "",
                "fuel used; for machine code only that of host calls";
            CpuTime = 5: KWASMI_COUNTER_CPU_TIME, "cpu_time_ns", Nanoseconds, Total, "",
                "CPU time of the guest";
            Memory = 6: KWASMI_COUNTER_MEMORY, "memory_bytes", Bytes, Gauge, "",
                "size of the linear memories";
            MemoryPeak = 7: KWASMI_COUNTER_MEMORY_PEAK, "memory_peak_bytes", Bytes, Gauge, "",
                "largest size of the linear memories";
            Heap = 8: KWASMI_COUNTER_HEAP, "heap_bytes", Bytes, Gauge, "",
                "memory that the engine has allocated for the guest";
            HeapPeak = 9: KWASMI_COUNTER_HEAP_PEAK, "heap_peak_bytes", Bytes, Gauge, "",
                "most memory that the engine has allocated for the guest";
            Instances = 10: KWASMI_COUNTER_INSTANCES, "instances", Count, Gauge, "",
                "instances of the module in memory";
            Starts = 11: KWASMI_COUNTER_STARTS, "starts", Count, Total, "",
                "instances of the module that were started";
            Ends = 12: KWASMI_COUNTER_ENDS, "ends", Count, Total, "ended",
                "guests that have ended, by kind of ending";
            Traps = 13: KWASMI_COUNTER_TRAPS, "traps", Count, Total, "trap",
                "guests that have ended by a trap, by trap";
            Calls = 14: KWASMI_COUNTER_CALLS, "calls", Count, Total, "",
                "calls of exported functions that have got their turn";
            CallsQueued = 15: KWASMI_COUNTER_CALLS_QUEUED, "calls_queued", Count, Gauge, "",
                "calls of exported functions that wait for their turn";
            CallDuration = 16: KWASMI_COUNTER_CALL_DURATION, "call_duration_ns", Nanoseconds, Histogram, "le",
                "durations of calls whose functions have returned, waiting included";
            CallTime = 17: KWASMI_COUNTER_CALL_TIME, "call_time_ns", Nanoseconds, Total, "",
                "sum of the durations of these calls";
        }
    };
}

pub(crate) use counter_table;
