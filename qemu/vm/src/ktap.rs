// SPDX-License-Identifier: GPL-2.0

//! Parses test results in KTAP (`Documentation/dev-tools/ktap.rst`). The parser is strict: missing
//! plans, missing results and kernel faults count as failures.
//!
//! It is written by hand, because the crates for TAP do not know KTAP's version line of subtests, its
//! directives, and the kernel log between the results.

use std::collections::BTreeSet;

use crate::log::{
    FaultFinder,
    message, //
};

/// Outcome of a test case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The case passed, or failed as expected (`XFAIL`).
    Passed,
    /// The case failed, timed out (`TIMEOUT`), or could not be run (`ERROR`).
    Failed,
    /// The case was not run (`SKIP`), or is marked as not working yet (`TODO`).
    Skipped,
}

/// Result of a test case without subtests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Name of the case, preceded by the names of the tests around it: `outer/inner/case`.
    pub name: String,
    /// Outcome of the case.
    pub outcome: Outcome,
    /// Directive with its reason, or the text after `#`; empty if the result line has none.
    pub note: String,
    /// Diagnostic lines before the result line.
    pub diagnostics: Vec<String>,
}

/// Contents of a KTAP stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Test cases, in the order of their result lines.
    pub cases: Vec<Case>,
    /// Defects of the stream itself. Each counts as a failed case.
    pub problems: Vec<String>,
}

impl Report {
    /// Returns the number of cases with this outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.cases.iter().filter(|case| case.outcome == outcome).count()
    }

    /// Returns the number of failed cases plus the number of problems.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.count(Outcome::Failed) + self.problems.len()
    }
}

/// Results of one level of nesting.
#[derive(Debug)]
struct Level {
    indent: usize,
    plan: Option<u64>,
    is_skipped: bool,
    results: u64,
    numbers: BTreeSet<u64>,
    cases: Vec<Case>,
    /// Cases of subtests whose parent test has no result line yet.
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

/// Kind and contents of a line.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Version,
    Plan { count: u64, is_skipped: bool },
    Result { passed: bool, number: Option<u64>, name: &'a str, directive: &'a str, reason: &'a str },
    Diagnostic(&'a str),
    BailOut(&'a str),
    Other,
}

/// Parser of a stream, fed line by line.
#[derive(Debug, Default)]
pub struct Reader {
    levels: Vec<Level>,
    report: Report,
    finder: FaultFinder,
    has_bailed_out: bool,
    is_versioned: bool,
}

impl Reader {
    /// Parses the next line. A line end and the time stamp of the kernel log are optional.
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
                        self.report.problems.push("second plan line".into());
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

    /// Ends the stream and returns its report.
    #[must_use]
    pub fn finish(mut self) -> Report {
        while self.close() {}
        if !self.is_versioned {
            self.report.problems.push("no KTAP version line".into());
        }
        self.report
    }

    fn version(&mut self, indent: usize) {
        self.is_versioned |= indent == 0;
        let is_opened = self.levels.last().is_some_and(|level| level.indent == indent && level.is_fresh());
        if is_opened {
            return;
        }
        // The line starts another stream after a complete one, or subtests.
        while self.levels.last().is_some_and(|level| level.indent >= indent) && self.close() {}
        self.levels.push(Level::new(indent));
    }

    fn diagnostic(&mut self, indent: usize, text: &str) {
        // Older KUnit starts subtests with this line instead of a version line.
        if text.starts_with("Subtest:") && self.levels.last().is_some_and(|level| level.indent < indent) {
            self.levels.push(Level::new(indent));
        }
        if let Some(level) = self.levels.last_mut() {
            level.diagnostics.push(text.to_owned());
        }
    }

    /// Closes the levels that are indented deeper than `indent`. Returns false, and closes none, if
    /// no level has exactly this indentation.
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
            self.report.problems.push(format!("{name}: duplicate result number {number}"));
        } else if number != expected {
            self.report.problems.push(format!("{name}: result number {number}, expected {expected}"));
        }
        if !std::mem::take(&mut level.has_pending) {
            level.cases.push(Case { name, outcome, note, diagnostics });
            return;
        }
        let mut subtests = std::mem::take(&mut level.pending);
        let has_failed = subtests.iter().any(|case| case.outcome == Outcome::Failed);
        if has_failed && outcome == Outcome::Passed {
            self.report.problems.push(format!("{name}: reported as passed, but a subtest failed"));
        }
        // A test that failed although no subtest did becomes a case.
        if outcome == Outcome::Failed && !has_failed {
            level.cases.push(Case { name: name.clone(), outcome, note, diagnostics });
        }
        for case in &mut subtests {
            case.name = format!("{name}/{}", case.name);
        }
        level.cases.append(&mut subtests);
    }

    /// Closes the innermost level. Returns false if no level is open.
    fn close(&mut self) -> bool {
        let Some(mut level) = self.levels.pop() else {
            return false;
        };
        let place = if level.indent == 0 { "" } else { "subtests: " };
        if level.has_pending {
            self.report.problems.push(format!("{place}the parent test of the subtests has no result"));
            level.cases.append(&mut level.pending);
        }
        if !self.has_bailed_out {
            match level.plan {
                None => self.report.problems.push(format!("{place}no plan line")),
                Some(0) if !level.is_skipped && level.results == 0 => {
                    self.report.problems.push(format!("{place}empty plan without a SKIP reason"));
                }
                Some(plan) if plan != level.results => {
                    self.report.problems.push(format!("{place}{plan} results planned, {} reported", level.results));
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

/// Parses a whole stream.
#[must_use]
pub fn read(text: &str) -> Report {
    let mut reader = Reader::default();
    text.lines().for_each(|line| reader.line(line));
    reader.finish()
}

/// Parses a line without its indentation.
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
    // A number ends at a space or `#`: "2nd try" is a name.
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

/// Returns the number that `text` begins with, if any, and the text after its digits.
fn split_number(text: &str) -> (Option<u64>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (digits.parse().ok(), rest)
}
