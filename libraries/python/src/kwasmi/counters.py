# SPDX-License-Identifier: GPL-2.0
"""Counters of modules, instances and services."""

NAMES = {
    1: "runs",
    2: "host_calls",
    3: "function_calls",
    4: "fuel_used",
    5: "cpu_time_ns",
    6: "memory_bytes",
    7: "memory_peak_bytes",
    8: "heap_bytes",
    9: "heap_peak_bytes",
    10: "instances",
    11: "starts",
    12: "ends",
    13: "traps",
    14: "calls",
    15: "calls_queued",
    16: "call_duration_ns",
    17: "call_time_ns",
}
"""Names of docs/stats.md by the numbers KWASMI_COUNTER_*."""

LABELLED = frozenset({3, 12, 13, 16})
"""Numbers of the counters with labels."""
