// SPDX-License-Identifier: GPL-2.0

//! Tests of the suite runner: which suites run at the same time, and what is printed.

use std::{
    fs,
    io::Write as _,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicUsize,
            Ordering, //
        },
    },
    thread,
    time::Duration,
};

use kwasmi_vm::{
    log::KernelLog,
    machine::{
        Ending,
        FailedBoot,
        Finished,
        Streams, //
    },
    suites::{
        self,
        RunInVm, //
    },
};

/// Replacement for a VM: a suite passes after a delay, unless its name is `fails`. The suite
/// `again` has one failed boot.
#[derive(Default)]
struct Fake {
    running: AtomicUsize,
    /// Suites in order of their start, each with the number of suites that ran then, itself
    /// included.
    beside: Mutex<Vec<(String, usize)>>,
}

impl RunInVm for Fake {
    fn run(&self, options: &[String], argv: &[&str], mut streams: Streams) -> anyhow::Result<Finished> {
        let name = argv.last().and_then(|path| Path::new(path).file_stem()).unwrap().to_str().unwrap();
        assert!(!options.iter().any(|option| option == "--alone"));
        let count = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.beside.lock().unwrap().push((name.to_owned(), count));
        let time = if name == "first" { 600 } else { 200 };
        thread::sleep(Duration::from_millis(time));
        let result = if name == "fails" { "not ok" } else { "ok" };
        write!(streams.stdout, "KTAP version 1\n1..1\n{result} 1 case of {name}\n").unwrap();
        self.running.fetch_sub(1, Ordering::SeqCst);
        let mut failed_boots = Vec::new();
        if name == "again" {
            failed_boots.push(FailedBoot { notice: "boot 1 failed".into(), log: log_of("[ 0.1] Oops: int3\n") });
        }
        Ok(Finished { ending: Ending::Command(0), log: log_of("[ 0.2] all is well\n"), failed_boots })
    }
}

fn log_of(text: &str) -> KernelLog {
    let mut log = KernelLog::default();
    log.push(text.as_bytes());
    log
}

fn make(top: &Path, suites: &[(&str, &str)]) {
    for folder in ["qemu/checks", "qemu/suites"] {
        fs::create_dir_all(top.join(folder)).unwrap();
    }
    fs::write(top.join("qemu/suites/ktap.sh"), "").unwrap();
    for (path, text) in suites {
        fs::write(top.join(path), text).unwrap();
    }
}

/// Runs all suites. Returns the printed lines without times, if all passed, and [`Fake::beside`].
fn run(top: &Path, jobs: usize) -> (Vec<String>, bool, Vec<(String, usize)>) {
    let fake = Arc::new(Fake::default());
    let vm: Arc<dyn RunInVm> = Arc::<Fake>::clone(&fake);
    let mut printed = Vec::new();
    let suites = suites::find(top, &[]).unwrap();
    let passed = suites::run_all(&suites, &vm, jobs, &top.join("kept"), &mut printed).unwrap();
    let text = String::from_utf8(printed).unwrap();
    let lines = text.lines().map(|line| line.split(" (").next().unwrap().to_owned()).collect();
    let beside = fake.beside.lock().unwrap().clone();
    (lines, passed, beside)
}

#[test]
fn results_are_printed_in_order() {
    let top = tempfile::tempdir().unwrap();
    make(top.path(), &[("qemu/suites/first.sh", ""), ("qemu/suites/second.sh", ""), ("qemu/suites/third.sh", "")]);
    let (lines, passed, beside) = run(top.path(), 2);
    let wanted = ["first: 1 passed, 0 failed", "second: 1 passed, 0 failed", "third: 1 passed, 0 failed"];
    assert_eq!(lines[..3], wanted);
    assert_eq!(lines[3..], ["3 passed, 0 failed"]);
    assert!(passed);
    assert!(beside.iter().all(|(_, count)| *count <= 2) && beside.iter().any(|(_, count)| *count == 2), "{beside:?}");
}

#[test]
fn one_job_runs_one_suite_at_a_time() {
    let top = tempfile::tempdir().unwrap();
    make(top.path(), &[("qemu/suites/first.sh", ""), ("qemu/suites/second.sh", "")]);
    let (_, passed, beside) = run(top.path(), 1);
    assert!(passed);
    assert_eq!(beside, [("first".to_owned(), 1), ("second".to_owned(), 1)]);
}

#[test]
fn alone_suites_run_alone_and_last() {
    let top = tempfile::tempdir().unwrap();
    let alone = "# options: --cpus 4 --alone\n";
    make(
        top.path(),
        &[
            ("qemu/suites/alone.sh", alone),
            ("qemu/suites/also.sh", alone),
            ("qemu/suites/first.sh", ""),
            ("qemu/suites/second.sh", ""),
        ],
    );
    let (lines, _, beside) = run(top.path(), 2);
    let names: Vec<_> = lines.iter().filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
    assert_eq!(names, ["first", "second", "alone", "also"]);
    assert_eq!(beside[2..], [("alone".to_owned(), 1), ("also".to_owned(), 1)]);
}

#[test]
fn suites_on_demand_run_only_if_they_are_named() {
    let top = tempfile::tempdir().unwrap();
    let on_demand = "#!/bin/sh\n# on demand\n";
    make(
        top.path(),
        &[("qemu/checks/large.sh", on_demand), ("qemu/suites/large.sh", on_demand), ("qemu/suites/small.sh", "")],
    );
    let names = |wanted: &[&str]| -> Vec<String> {
        let wanted: Vec<_> = wanted.iter().map(|name| (*name).to_owned()).collect();
        suites::find(top.path(), &wanted).unwrap().into_iter().map(|suite| suite.name).collect()
    };
    assert_eq!(names(&[]), ["small"]);
    assert_eq!(names(&["large"]), ["large", "large"]);
    assert_eq!(names(&["small", "large"]), ["large", "large", "small"]);
}

#[test]
fn failures_are_printed_and_all_output_is_kept() {
    let top = tempfile::tempdir().unwrap();
    let check = "printf 'KTAP version 1\\n1..1\\n# why\\nnot ok 1 a check\\n'; echo more >&2";
    make(top.path(), &[("qemu/checks/check.sh", check), ("qemu/suites/fails.sh", ""), ("qemu/suites/first.sh", "")]);
    let (lines, passed, _) = run(top.path(), 2);
    assert!(!passed);
    assert_eq!(lines.first().map(String::as_str), Some("  FAILED: check: a check"));
    assert!(lines.contains(&"    why".to_owned()) && lines.contains(&"    more".to_owned()), "{lines:?}");
    assert!(lines.contains(&"  FAILED: fails: case of fails".to_owned()), "{lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("1 passed, 2 failed"));
    assert_eq!(fs::read_to_string(top.path().join("kept/check.stderr")).unwrap(), "more\n");
}

#[test]
fn a_failed_boot_is_logged_and_not_a_failure() {
    let top = tempfile::tempdir().unwrap();
    make(top.path(), &[("qemu/suites/again.sh", "")]);
    let (lines, passed, _) = run(top.path(), 1);
    assert_eq!(lines, ["again: 1 passed, 0 failed", "1 passed, 0 failed"]);
    assert!(passed);
    let log = fs::read_to_string(top.path().join("kept/again.log")).unwrap();
    assert_eq!(log, "[ 0.1] Oops: int3\n\nkwasmi: boot 1 failed\n[ 0.2] all is well\n");
}
