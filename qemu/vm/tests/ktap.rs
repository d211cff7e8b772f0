// SPDX-License-Identifier: GPL-2.0

//! Tests of the KTAP parser on recorded logs (`tests/data`).

use std::fs;

use kwasmi_vm::ktap::{
    self,
    Outcome,
    Report, //
};

fn read(name: &str) -> Report {
    let path = format!("{}/tests/data/{name}.ktap", env!("CARGO_MANIFEST_DIR"));
    ktap::read(&String::from_utf8_lossy(&fs::read(path).unwrap()))
}

/// Returns the numbers of passed, failed and skipped cases.
fn counts(report: &Report) -> [usize; 3] {
    [Outcome::Passed, Outcome::Failed, Outcome::Skipped].map(|outcome| report.count(outcome))
}

fn names(report: &Report) -> Vec<&str> {
    report.cases.iter().map(|case| case.name.as_str()).collect()
}

#[track_caller]
fn assert_report(name: &str, wanted: [usize; 3], problems: &[&str]) {
    let report = read(name);
    assert_eq!(counts(&report), wanted, "{report:#?}");
    assert_eq!(report.problems, problems);
    assert_eq!(report.failed(), wanted[1] + problems.len());
}

#[test]
fn all_pass() {
    assert_report("pass", [3, 0, 0], &[]);
    assert_eq!(names(&read("pass")), ["first", "second", "test 3"]);
}

#[test]
fn one_fails() {
    assert_report("fail", [2, 1, 0], &[]);
    let report = read("fail");
    assert_eq!(report.cases[1].diagnostics, ["wanted 1, got 2"]);
}

#[test]
fn skips_and_expected_failures() {
    assert_report("skip", [2, 0, 2], &[]);
    assert_eq!(read("skip").cases[0].note, "SKIP no device");
    assert_report("skip-all", [0, 0, 0], &[]);
    assert_report("todo", [1, 0, 2], &[]);
}

#[test]
fn nested_names_are_joined() {
    assert_report("nested", [4, 1, 1], &[]);
    assert_eq!(
        names(&read("nested")),
        [
            "outer/middle/inner one",
            "outer/middle/inner two",
            "outer/alone",
            "second/only",
            "kunit/case one",
            "kunit/case two",
        ]
    );
}

#[test]
fn a_passed_test_with_a_failed_subtest_is_a_problem() {
    assert_report("nested-mismatch", [2, 2, 0], &["says that it passed: reported as passed, but a subtest failed"]);
}

#[test]
fn kernel_log_time_stamps_are_ignored() {
    assert_report("console", [2, 0, 0], &[]);
}

#[test]
fn missing_and_wrong_plans_are_problems() {
    assert_report("no-plan", [2, 0, 0], &["no plan line"]);
    assert_report("late-plan", [2, 0, 0], &[]);
    assert_report("plan-mismatch", [2, 0, 0], &["4 results planned, 2 reported"]);
    assert_report("empty-plan", [0, 0, 0], &["empty plan without a SKIP reason"]);
    assert_report("two-plans", [3, 0, 0], &["second plan line"]);
    assert_eq!(names(&read("two-plans"))[2], "2nd name");
}

#[test]
fn a_bail_out_is_a_problem() {
    assert_report("bail-out", [1, 0, 0], &["the tests bailed out: the device is gone"]);
}

#[test]
fn kernel_faults_are_problems() {
    assert_report(
        "crash",
        [2, 0, 0],
        &[
            "kernel: BUG: kernel NULL pointer dereference, address: 0000000000000008",
            "kernel: Oops: Oops: 0000 [#1] SMP NOPTI",
            "kernel: Call Trace:",
            "kernel: Kernel panic - not syncing: Fatal exception",
            "4 results planned, 2 reported",
        ],
    );
}

#[test]
fn a_truncated_stream_is_a_problem() {
    assert_report(
        "truncated",
        [2, 0, 0],
        &[
            "subtests: 2 results planned, 1 reported",
            "the parent test of the subtests has no result",
            "3 results planned, 1 reported",
        ],
    );
    assert_report("empty", [0, 0, 0], &["no KTAP version line"]);
}

#[test]
fn a_time_out_is_a_failure() {
    assert_report("time-out", [1, 1, 0], &[]);
}

#[test]
fn wrong_result_numbers_are_problems() {
    assert_report("duplicate-number", [3, 0, 0], &["first again: duplicate result number 1"]);
    assert_report(
        "out-of-order",
        [3, 0, 0],
        &["third: result number 3, expected 2", "second: result number 2, expected 3"],
    );
}

#[test]
fn several_streams_are_added_up() {
    assert_report("two-streams", [2, 1, 0], &[]);
}

#[test]
fn other_text_is_a_problem() {
    assert_report("not-ktap", [0, 0, 0], &["no KTAP version line"]);
}

/// A passing stream that is truncated at any byte before the number of its last line fails.
#[test]
fn a_stream_truncated_anywhere_fails() {
    let text = "KTAP version 1\n1..2\n  KTAP version 1\n  1..1\n  ok 1 inner\nok 1 outer\nok 2";
    assert_eq!(ktap::read(text).failed(), 0);
    for end in 0..text.len() - " 2".len() {
        assert!(ktap::read(&text[..end]).failed() > 0, "{end}");
    }
}
