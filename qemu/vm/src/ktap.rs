// SPDX-License-Identifier: GPL-2.0

//! Reads test results in KTAP (`Documentation/dev-tools/ktap.rst`), strictly: what was not run to its end did not pass.

use std::collections::BTreeSet;

use crate::log::{
    FaultFinder,
    message, //
};

/// How a test case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed, or failed as was expected (`XFAIL`).
    Passed,
    /// It failed, timed out, or could not be run.
    Failed,
    /// It was not run (`SKIP`), or failed and is known to (`TODO`).
    Skipped,
}

/// A test case that has no subtests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its name, after those of the tests that it is in: `outer/inner/case`.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The directive and its reason, if there is one.
    pub note: String,
    /// The diagnostic lines before its result.
    pub diagnostics: Vec<String>,
}

/// What a stream of KTAP tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The test cases, in the order of their results.
    pub cases: Vec<Case>,
    /// What is wrong with the stream itself. Each counts as a case that failed.
    pub problems: Vec<String>,
}

impl Report {
    /// How many cases ended so.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.cases.iter().filter(|case| case.outcome == outcome).count()
    }

    /// How many failed, problems included.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.count(Outcome::Failed) + self.problems.len()
    }
}

/// The results of one level of nesting.
#[derive(Debug)]
struct Level {
    indent: usize,
    plan: Option<u64>,
    is_skipped: bool,
    results: u64,
    numbers: BTreeSet<u64>,
    cases: Vec<Case>,
    /// Cases of subtests whose own result has not come yet.
    pending: Vec<Case>,
    has_pending: bool,
    diagnostics: Vec<String>,
}

impl Level {
    const fn new(indent: usize) -> Self {
        Self {
            indent,
            plan: None,
            is_skipped: false,
            results: 0,
            numbers: BTreeSet::new(),
            cases: Vec::new(),
            pending: Vec::new(),
            has_pending: false,
            diagnostics: Vec::new(),
        }
    }

    const fn is_fresh(&self) -> bool {
        self.plan.is_none() && self.results == 0 && !self.has_pending
    }
}

/// A line that means something.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Version,
    Plan { count: u64, is_skipped: bool },
    Result { passed: bool, number: Option<u64>, name: &'a str, directive: &'a str, reason: &'a str },
    Diagnostic(&'a str),
    BailOut(&'a str),
    Other,
}

/// Reads a stream line by line.
#[derive(Debug, Default)]
pub struct Reader {
    levels: Vec<Level>,
    report: Report,
    finder: FaultFinder,
    has_bailed_out: bool,
    is_versioned: bool,
}

impl Reader {
    /// Takes the next line, with or without its end, with or without the kernel log's time in front of it.
    pub fn line(&mut self, line: &str) {
        let text = message(line.trim_end_matches(['\r', '\n']));
        let indent = text.len() - text.trim_start_matches(' ').len();
        let parsed = parse(text.get(indent..).unwrap_or_default());
        match parsed {
            Line::Version => self.version(indent),
            Line::Diagnostic(text) => self.diagnostic(indent, text),
            Line::BailOut(reason) => {
                self.has_bailed_out = true;
                self.report.problems.push(format!("the tests bailed out: {reason}"));
            }
            Line::Plan { count, is_skipped } => {
                if self.settle(indent)
                    && let Some(level) = self.levels.last_mut()
                {
                    if level.plan.replace(count).is_some() {
                        self.report.problems.push("there is a second plan".into());
                    }
                    level.is_skipped = is_skipped;
                }
            }
            Line::Result { passed, number, name, directive, reason } => {
                if self.settle(indent) {
                    let outcome = match (directive, passed) {
                        ("SKIP" | "TODO", _) => Outcome::Skipped,
                        ("TIMEOUT" | "ERROR", _) => Outcome::Failed,
                        ("XFAIL", _) | (_, true) => Outcome::Passed,
                        (_, false) => Outcome::Failed,
                    };
                    let note = format!("{directive} {reason}").trim().to_owned();
                    self.result(number, name, outcome, note);
                }
            }
            Line::Other => {
                if self.finder.is_fault(line) {
                    self.report.problems.push(format!("kernel: {}", text.trim()));
                }
            }
        }
    }

    /// The end of the stream.
    #[must_use]
    pub fn finish(mut self) -> Report {
        while self.close() {}
        if !self.is_versioned {
            self.report.problems.push("there is no KTAP version line".into());
        }
        self.report
    }

    fn version(&mut self, indent: usize) {
        self.is_versioned |= indent == 0;
        let is_opened = self.levels.last().is_some_and(|level| level.indent == indent && level.is_fresh());
        if is_opened {
            return;
        }
        // Another stream after one that has ended, or subtests.
        while self.levels.last().is_some_and(|level| level.indent >= indent) && self.close() {}
        self.levels.push(Level::new(indent));
    }

    fn diagnostic(&mut self, indent: usize, text: &str) {
        // Older KUnit announces subtests so, and then gives no version.
        if text.starts_with("Subtest:") && self.levels.last().is_some_and(|level| level.indent < indent) {
            self.levels.push(Level::new(indent));
        }
        if let Some(level) = self.levels.last_mut() {
            level.diagnostics.push(text.to_owned());
        }
    }

    /// Ends the levels below `indent`. Whether there is one of just that indentation.
    fn settle(&mut self, indent: usize) -> bool {
        if !self.levels.iter().any(|level| level.indent == indent) {
            return false;
        }
        while self.levels.last().is_some_and(|level| level.indent > indent) && self.close() {}
        true
    }

    fn result(&mut self, number: Option<u64>, name: &str, outcome: Outcome, note: String) {
        let Some(level) = self.levels.last_mut() else {
            return;
        };
        level.results += 1;
        let expected = level.results;
        let name = if name.is_empty() { format!("test {expected}") } else { name.to_owned() };
        let diagnostics = std::mem::take(&mut level.diagnostics);
        let number = number.unwrap_or(expected);
        if !level.numbers.insert(number) {
            self.report.problems.push(format!("{name}: result number {number} is there twice"));
        } else if number != expected {
            self.report.problems.push(format!("{name}: result number {number} comes where {expected} was expected"));
        }
        if !std::mem::take(&mut level.has_pending) {
            level.cases.push(Case { name, outcome, note, diagnostics });
            return;
        }
        let mut subtests = std::mem::take(&mut level.pending);
        let has_failed = subtests.iter().any(|case| case.outcome == Outcome::Failed);
        if has_failed && outcome == Outcome::Passed {
            self.report.problems.push(format!("{name}: passed, although a subtest failed"));
        }
        // What failed beside its subtests, or without any, is a case of its own.
        if outcome == Outcome::Failed && !has_failed {
            level.cases.push(Case { name: name.clone(), outcome, note, diagnostics });
        }
        for case in &mut subtests {
            case.name = format!("{name}/{}", case.name);
        }
        level.cases.append(&mut subtests);
    }

    /// Ends the innermost level. Whether there was one.
    fn close(&mut self) -> bool {
        let Some(mut level) = self.levels.pop() else {
            return false;
        };
        let place = if level.indent == 0 { "" } else { "subtests: " };
        if level.has_pending {
            self.report.problems.push(format!("{place}the test that holds subtests has no result"));
            level.cases.append(&mut level.pending);
        }
        if !self.has_bailed_out {
            match level.plan {
                None => self.report.problems.push(format!("{place}there is no plan")),
                Some(0) if !level.is_skipped && level.results == 0 => {
                    self.report.problems.push(format!("{place}the plan is empty and gives no reason"));
                }
                Some(plan) if plan != level.results => {
                    self.report.problems.push(format!("{place}{plan} results were planned, {} came", level.results));
                }
                Some(_) => {}
            }
        }
        match self.levels.last_mut() {
            Some(outer) => {
                outer.pending.append(&mut level.cases);
                outer.has_pending = true;
            }
            None => self.report.cases.append(&mut level.cases),
        }
        true
    }
}

/// Reads a whole stream.
#[must_use]
pub fn read(text: &str) -> Report {
    let mut reader = Reader::default();
    text.lines().for_each(|line| reader.line(line));
    reader.finish()
}

fn parse(text: &str) -> Line<'_> {
    let text = text.trim_end();
    if text.starts_with("KTAP version ") || text.starts_with("TAP version ") {
        return Line::Version;
    }
    if let Some(reason) = text.strip_prefix("Bail out!") {
        return Line::BailOut(reason.trim());
    }
    if let Some(text) = text.strip_prefix('#') {
        return Line::Diagnostic(text.trim());
    }
    if let Some((count, rest)) = text.strip_prefix("1..").map(split_number)
        && let Some(count) = count
        && (rest.is_empty() || rest.starts_with([' ', '#']))
    {
        let is_skipped = rest.trim_start().trim_start_matches('#').trim_start().starts_with("SKIP");
        return Line::Plan { count, is_skipped };
    }
    let (passed, rest) = match (text.strip_prefix("ok"), text.strip_prefix("not ok")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Line::Other,
    };
    if !rest.is_empty() && !rest.starts_with(' ') {
        return Line::Other;
    }
    let (number, rest) = split_number(rest.trim_start());
    // A number ends at a space; "2nd try" is a name.
    let (number, rest) = match rest.chars().next() {
        None | Some(' ' | '#') => (number, rest),
        Some(_) => (None, rest),
    };
    let rest = rest.trim_start();
    let rest = rest.strip_prefix("- ").unwrap_or(rest);
    let (name, note) = rest.split_once('#').unwrap_or((rest, ""));
    let note = note.trim();
    let (directive, reason) = note.split_once(' ').unwrap_or((note, ""));
    let known = ["SKIP", "TODO", "XFAIL", "TIMEOUT", "ERROR"];
    let directive = known.into_iter().find(|known| known.eq_ignore_ascii_case(directive));
    Line::Result {
        passed,
        number,
        name: name.trim(),
        directive: directive.unwrap_or_default(),
        reason: if directive.is_some() { reason.trim() } else { note },
    }
}

/// The digits at the beginning, as a number if they are one, and what follows.
fn split_number(text: &str) -> (Option<u64>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (digits.parse().ok(), rest)
}
