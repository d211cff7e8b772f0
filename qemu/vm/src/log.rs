// SPDX-License-Identifier: GPL-2.0

//! The kernel log: keeps its last megabytes and finds messages about kernel faults in it.

use crate::protocol::LOG_END;

/// Number of bytes to which the log is cut when it exceeds twice as many.
const KEPT_BYTES: usize = 4 << 20;

/// Maximum number of lines between the heading of an expected report and its call trace.
const EXPECTED_TRACE_LINES: u32 = 40;

/// Maximum number of lines between a task and its call trace in a list of all tasks. A line about a
/// workqueue may be between them.
const LISTED_TRACE_LINES: u32 = 8;

/// Texts that mark a kernel fault, or lost messages, anywhere in a message.
const FAULTS: [&str; 34] = [
    "Kernel panic",
    "kernel BUG at",
    "BUG: ",
    "BUG kmalloc-",
    "Oops: ",
    "unable to handle",
    "Unable to handle",
    "double fault",
    "stack guard page was hit",
    "soft lockup",
    "hard LOCKUP",
    "detected stall",
    "rcu: INFO: ",
    "blocked for more than",
    "------------[ cut here",
    "refcount_t: ",
    "list_add corruption",
    "list_del corruption",
    "Slab corruption",
    "Bad page ",
    "Bad rss-counter",
    "suspicious RCU usage",
    "possible recursive locking detected",
    "possible circular locking dependency",
    "possible irq lock inversion",
    "inconsistent lock state",
    "bad unlock balance",
    "bad contention detected",
    "held lock freed",
    "lock held when returning to user space",
    "trying to register non-static key",
    "new suspected memory leaks",
    "unwind stack type:",
    "printk messages dropped",
];

/// Texts that mark a kernel fault only at the beginning of a message.
const FAULT_HEADINGS: [&str; 6] =
    ["WARNING: ", "general protection fault", "KASAN: ", "KCSAN: ", "KFENCE: ", "UBSAN: "];

/// Headings of reports with a call trace that are not kernel faults: memory ran out, or an
/// allocation failure was injected.
const EXPECTED_TRACES: [&str; 3] =
    ["invoked oom-killer", "page allocation failure", "FAULT_INJECTION: forcing a failure."];

/// Messages that announce requested call traces of all tasks or processors (`/proc/sysrq-trigger`).
const ASKED: [&str; 2] = ["sysrq: Show State", "sysrq: Show backtrace of all active CPUs"];

/// Returns the message of a log line without the leading time stamp and caller: `[    0.123456][
/// T1] `.
#[must_use]
pub fn message(line: &str) -> &str {
    let mut rest = line;
    while let Some((inside, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_stamp = inside.chars().all(|c| c.is_ascii_digit() || matches!(c, ' ' | '.' | 'T' | 'C' | '-'));
        if !is_stamp || !inside.contains(|c: char| c.is_ascii_digit()) {
            break;
        }
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    rest
}

/// Detector of kernel faults in a log, fed line by line.
#[derive(Debug, Default)]
pub struct FaultFinder {
    expected_trace: u32,
    is_asked: bool,
}

impl FaultFinder {
    /// Returns true if `line` reports a kernel fault. Lines must be passed in order: earlier lines
    /// decide if a call trace is expected.
    pub fn is_fault(&mut self, line: &str) -> bool {
        let message = message(line);
        if EXPECTED_TRACES.iter().any(|text| message.contains(text)) {
            self.expected_trace = EXPECTED_TRACE_LINES;
            return false;
        }
        self.is_asked |= ASKED.contains(&message.trim_end());
        self.expected_trace = if self.is_asked && message.starts_with("NMI backtrace for cpu ") {
            EXPECTED_TRACE_LINES
        } else if self.is_asked && message.starts_with("task:") && message.contains(" state:") {
            LISTED_TRACE_LINES
        } else {
            self.expected_trace.saturating_sub(1)
        };
        FAULTS.iter().any(|text| message.contains(text))
            || FAULT_HEADINGS.iter().any(|text| message.starts_with(text))
            || self.expected_trace == 0 && message.trim_end() == "Call Trace:"
    }
}

/// Kernel log of a running VM.
#[derive(Debug, Default)]
pub struct KernelLog {
    text: Vec<u8>,
    line_start: usize,
    finder: FaultFinder,
    faults: Vec<String>,
    is_ended: bool,
}

impl KernelLog {
    /// Appends received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                // The serial console ends lines with "\r\n".
                b'\r' => {}
                b'\n' => {
                    let line = self.text.get(self.line_start..).map(String::from_utf8_lossy).unwrap_or_default();
                    self.is_ended |= message(&line) == LOG_END;
                    if self.finder.is_fault(&line) {
                        self.faults.push(line.into_owned());
                    }
                    self.text.push(byte);
                    self.line_start = self.text.len();
                }
                _ => self.text.push(byte),
            }
        }
        if self.text.len() > 2 * KEPT_BYTES {
            let old = self.text.len() - KEPT_BYTES;
            self.text.drain(..old);
            self.line_start = self.line_start.saturating_sub(old);
        }
    }

    /// Returns true if `init` has written [`LOG_END`].
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Returns the lines that report kernel faults.
    #[must_use]
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Returns the kept part of the log.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Returns the last `lines` lines.
    #[must_use]
    pub fn end(&self, lines: usize) -> &[u8] {
        let text = self.text.trim_ascii_end();
        let start = text.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').nth(lines.saturating_sub(1));
        text.get(start.map_or(0, |(index, _)| index + 1)..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let mut log = KernelLog::default();
        log.push(text.as_bytes());
        log.faults().to_vec()
    }

    #[test]
    fn time_stamps_are_stripped() {
        assert_eq!(message("[    0.123456] text"), "text");
        assert_eq!(message("[    0.123456][    T1] text"), "text");
        assert_eq!(message("[  123.123456] [C0] [x] text"), "[x] text");
        assert_eq!(message("[drm] text"), "[drm] text");
    }

    #[test]
    fn a_normal_boot_log_has_no_faults() {
        let log = "[    0.000000] ACPI BIOS Warning (bug): Incorrect checksum in table\r\n\
            [    0.000000] Spectre V2 : WARNING: Unprivileged eBPF is enabled\r\n\
            [    0.1] kmemleak: Kernel memory leak detector initialized (mem pool available: 15788)\n\
            [    3.1] traps: sh[12] general protection fault ip:1 sp:2 error:0\n";
        assert_eq!(faults(log), Vec::<String>::new());
    }

    #[test]
    fn each_kind_of_fault_is_found() {
        for line in [
            "[    9.1] BUG: kernel NULL pointer dereference, address: 0000000000000000",
            "[    9.1][   T77] watchdog: BUG: soft lockup - CPU#0 stuck for 26s!",
            "[    9.1] WARNING: CPU: 0 PID: 1 at kernel/x.c:1 f+0x1/0x2",
            "[    9.1] WARNING: possible circular locking dependency detected",
            "[    9.1] BUG: KASAN: slab-use-after-free in f+0x1/0x2",
            "[    9.1] rcu: INFO: rcu_preempt self-detected stall on CPU",
            "[    9.1] Kernel panic - not syncing: sysrq triggered crash",
            "[    9.1] kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
            "[    9.1] Oops: Oops: 0002 [#1] SMP NOPTI",
            "[    9.1] INFO: task sh:12 blocked for more than 120 seconds.",
            "[    9.1] Call Trace:",
            "[    9.1] WARNING: kernel stack frame pointer at 0000000012345678 in sh:77 has bad value 000000009abcdef0",
            "[    9.1] WARNING: can't access registers at asm_sysvec_apic_timer_interrupt+0x1a/0x20",
            "** 22 printk messages dropped **",
            "[    9.1] unwind stack type:0 next_sp:0000000000000000 mask:0x2 graph_idx:0",
        ] {
            assert_eq!(faults(&format!("[ 9.0] x\n{line}\r\n")), [line]);
        }
    }

    #[test]
    fn an_out_of_memory_report_is_not_a_fault() {
        let log = "[ 9.1] cat invoked oom-killer: gfp_mask=0xcc0, order=0\n[ 9.1] CPU: 0 PID: 7\n[ 9.1] Call Trace:\n";
        assert_eq!(faults(log), Vec::<String>::new());
    }

    #[test]
    fn requested_call_traces_are_not_faults() {
        let task = "[ 9.1] task:sh              state:S stack:14096 pid:77    tgid:77    ppid:1      flags:0x0\n";
        let work = "[ 9.1] Workqueue: events_unbound f\n";
        let trace = "[ 9.1] Call Trace:\n[ 9.1]  <TASK>\n[ 9.1]  schedule+0x1/0x2\n[ 9.1]  </TASK>\n";
        let cpu = "[ 9.1] NMI backtrace for cpu 1\n[ 9.1] CPU: 1 UID: 0 PID: 77 Comm: sh\n[ 9.1] RIP: 0010:f+0x1/0x2\n";
        let all = "[ 9.0] sysrq: Show State\n";
        assert_eq!(faults(&format!("{all}{task}{work}{trace}{task}{trace}")), Vec::<String>::new());
        let active = "[ 9.0] sysrq: Show backtrace of all active CPUs\n";
        assert_eq!(faults(&format!("{active}{cpu}{trace}")), Vec::<String>::new());

        // Without a request, and after the requested trace of a task, a call trace is a fault.
        let found = ["[ 9.1] Call Trace:"];
        assert_eq!(faults(&format!("{task}{trace}")), found);
        assert_eq!(faults(&format!("{cpu}{trace}")), found);
        let others = "[ 9.1] x\n".repeat(10);
        assert_eq!(faults(&format!("{all}{task}{trace}{others}{trace}")), found);
        // Other faults are still reported.
        assert_eq!(faults(&format!("{active}{cpu}[ 9.1] BUG: x\n{trace}")), ["[ 9.1] BUG: x"]);
    }

    #[test]
    fn the_end_consists_of_whole_lines() {
        let mut log = KernelLog::default();
        log.push(b"one\r\ntwo\r\nthr");
        assert_eq!(log.end(2), b"two\nthr");
        assert_eq!(log.end(9), b"one\ntwo\nthr");
        log.push(b"ee\n");
        assert_eq!(log.end(1), b"three");
        log.push(format!("[    1.0][    T1] {LOG_END}\n").as_bytes());
        assert!(log.is_ended());
    }

    #[test]
    fn the_size_of_the_log_is_bounded() {
        let mut log = KernelLog::default();
        for _ in 0..3 {
            log.push(&[b'x'; KEPT_BYTES]);
        }
        log.push(b"\nWARNING: here\n");
        assert!(log.text().len() <= 2 * KEPT_BYTES);
        assert_eq!(log.faults(), ["WARNING: here"]);
    }
}
