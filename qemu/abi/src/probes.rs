// SPDX-License-Identifier: GPL-2.0

//! Tests of kprobes and tracers. Functions of the engine cannot be probed, because an abort leaves
//! the return addresses on its stack behind. Probes on functions around the engine do no harm.

use crate::{
    kernel::{
        module,
        run,
        start, //
    },
    ktap::Tests,
    signals::{
        self,
        LOOP,
        SLEEP, //
    },
};
use kwasmi::uapi;
use std::{
    fs::{
        self,
        File, //
    },
    io::Write as _,
    os::fd::AsRawFd as _,
    path::Path,
    thread,
    time::Duration,
};

const TRACING: &str = "/sys/kernel/tracing";

/// File in which the kernel lists the functions that cannot be probed.
const FORBIDDEN: &str = "/sys/kernel/debug/kprobes/blacklist";

/// Program whose host call panics in the engine (an abort).
const PANIC: &str = r#"(module (import "kwasmi_test" "panic" (func $panic)) (func (export "_start") (call $panic)))"#;

/// Routines that switch between stacks.
const STACK_SWITCHES: [&str; 3] = ["kwasmi_stack_enter", "kwasmi_stack_leave", "kwasmi_stack_abort"];

/// Number of times that each guest is run while there are probes.
const ROUNDS: usize = 30;

/// Address and name of a function of kwasmi.
type Function = (u64, String);

/// Returns the functions of the engine (stack switches included), and the others.
fn functions() -> (Vec<Function>, Vec<Function>) {
    let text = fs::read_to_string("/proc/kallsyms").expect("root may");
    let functions = text.lines().filter_map(|line| {
        let (address, rest) = line.split_once(' ')?;
        let (kind, rest) = rest.split_once(' ')?;
        let name = rest.strip_suffix("\t[kwasmi]")?;
        let address = u64::from_str_radix(address, 16).ok()?;
        kind.eq_ignore_ascii_case("t").then(|| (address, name.to_owned()))
    });
    let functions = functions.filter(|(_, name)| !name.starts_with("__pfx_"));
    functions.partition(|(_, name)| name.starts_with("kwe.") || STACK_SWITCHES.contains(&name.as_str()))
}

/// Mounted tracefs. Its settings are restored when this is dropped.
struct Tracing;

impl Tracing {
    fn mount() -> Self {
        // SAFETY: All texts are NUL-terminated strings, and tracefs takes no data.
        let mounted = unsafe {
            libc::mount(c"tracefs".as_ptr(), c"/sys/kernel/tracing".as_ptr(), c"tracefs".as_ptr(), 0, std::ptr::null())
        };
        assert!(mounted == 0 || Path::new(TRACING).join("kprobe_events").exists(), "no tracefs");
        Self
    }

    /// Appends `line` to a file by one write, as the kernel requires.
    fn add(&self, file: &str, line: &str) -> std::io::Result<()> {
        File::options().append(true).open(format!("{TRACING}/{file}"))?.write_all(line.as_bytes())
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(format!("{TRACING}/{file}")).expect("root may")
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        let _ = self.add("events/kwasmi_test/enable", "0");
        let _ = self.add("current_tracer", "nop");
        let _ = File::create(format!("{TRACING}/set_ftrace_filter"));
        // Opening this file with O_TRUNC deletes all probes.
        let _ = File::create(format!("{TRACING}/kprobe_events"));
    }
}

/// Checks that the kernel's list contains each function of the engine.
fn all_is_forbidden() {
    let list = fs::read_to_string(FORBIDDEN).expect("root may");
    let mut ranges: Vec<(u64, u64)> = list
        .lines()
        .filter_map(|line| {
            let (begin, end) = line.split_whitespace().next()?.split_once('-')?;
            let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
            Some((number(begin)?, number(end)?))
        })
        .collect();
    ranges.sort_unstable();
    let (engine, _) = functions();
    assert!(engine.len() > 1000, "{} functions", engine.len());
    for name in STACK_SWITCHES {
        assert!(engine.iter().any(|(_, other)| other == name), "{name} is not there");
    }
    for (address, name) in &engine {
        assert!(ranges.iter().any(|(begin, end)| (begin..end).contains(&address)), "{name} can be probed");
    }
    println!("# {} functions", engine.len());
}

/// Checks that the kernel refuses kprobes and kretprobes on functions of the engine.
fn none_is_made() {
    let tracing = Tracing::mount();
    let (engine, _) = functions();
    let names = engine.iter().map(|(_, name)| name.as_str());
    for name in names.clone().step_by(engine.len() / 20).chain(STACK_SWITCHES) {
        for kind in ['p', 'r'] {
            let refused = tracing.add("kprobe_events", &format!("{kind}:kwasmi_test/probe kwasmi:{name}\n"));
            let errno = refused.err().and_then(|error| error.raw_os_error());
            assert_eq!(errno, Some(libc::EINVAL), "{kind} {name}");
        }
    }
}

/// Runs guests that abort, that end, and that are killed while they compute and while they are in a
/// host call.
fn run_guests() {
    for _ in 0..ROUNDS {
        let end = run(&start(&module(PANIC))).expect("it runs");
        assert_eq!(end.status, uapi::KWASMI_ENGINE_FAULT);
        assert_eq!(run(&start(&module(signals::LOOP_ONCE))).expect("it runs").status, uapi::KWASMI_EXITED);
        for program in [LOOP, SLEEP] {
            let instance = start(&module(program));
            thread::scope(|scope| {
                let runner = scope.spawn(|| run(&instance));
                thread::sleep(Duration::from_millis(20));
                signals::kill(instance.as_raw_fd());
                assert_eq!(runner.join().expect("no panic").expect("it runs").status, uapi::KWASMI_KILLED);
            });
        }
    }
}

/// Runs guests while there are kretprobes on the callers of the engine, and on functions that it
/// calls.
fn probes_around_it() {
    let tracing = Tracing::mount();
    let (_, host) = functions();
    let own = host.iter().map(|(_, name)| name.as_str()).filter(|name| {
        *name == "kwasmi_host_entry" || name.contains("8instance") || name.contains("4host") || name.contains("6engine")
    });
    // With ftrace, the kernel accepts such probes only on functions that ftrace can trace, and
    // those of kwasmi are not.
    let is_possible = !Path::new(TRACING).join("available_filter_functions").exists();
    let mut count = 0;
    for (index, name) in own.enumerate().filter(|_| is_possible) {
        let probe = tracing.add("kprobe_events", &format!("r:kwasmi_test/own_{index} kwasmi:{name}\n"));
        count += usize::from(probe.is_ok());
    }
    for name in ["__x64_sys_ioctl", "schedule_hrtimeout_range", "kvfree", "__kvmalloc_node_noprof"] {
        // Some kernels lack some of these functions.
        let probe = tracing.add("kprobe_events", &format!("r:kwasmi_test/{name} {name}\n"));
        assert!(probe.is_ok() || name != "__x64_sys_ioctl");
    }
    println!("# {count} of kwasmi's own functions");
    assert_eq!(count > 10, is_possible);
    tracing.add("events/kwasmi_test/enable", "1").expect("they are there");
    run_guests();
    tracing.add("events/kwasmi_test/enable", "0").expect("they are there");
    let profile = tracing.read("kprobe_profile");
    let hits: u64 = profile.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum();
    println!("# {hits} hits");
    assert!(hits > ROUNDS as u64);
    if is_possible {
        assert!(
            profile.lines().any(|line| line.trim_start().starts_with("own_") && !line.contains(" 0 ")),
            "{profile}"
        );
    }
}

/// Runs guests under the function graph tracer, which traces callers of the engine and functions
/// that it calls.
fn graph_around_it() {
    let tracing = Tracing::mount();
    tracing.add("set_ftrace_filter", "__x64_sys_ioctl").expect("it is there");
    tracing.add("set_ftrace_filter", "*hrtimer*").expect("they are there");
    tracing.add("set_ftrace_filter", "*kvfree*").expect("they are there");
    tracing.add("current_tracer", "function_graph").expect("it is there");
    run_guests();
    tracing.add("current_tracer", "nop").expect("it is there");
}

pub(crate) fn tests(tests: &mut Tests) {
    tests.add("the kernel lists every function of the engine as not probeable", all_is_forbidden);
    tests.add("probes on functions of the engine are EINVAL", none_is_made);
    tests.add("guests abort and are killed beside kretprobes", probes_around_it);
    let tracing = Tracing::mount();
    if tracing.read("available_tracers").contains("function_graph") {
        tests.add("guests abort and are killed beside the function graph tracer", graph_around_it);
    } else {
        tests.skip("guests abort and are killed beside the function graph tracer", "the kernel does not have it");
    }
}
