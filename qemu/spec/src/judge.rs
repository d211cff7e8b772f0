// SPDX-License-Identifier: GPL-2.0

//! Runs the assertions of a script and counts passes and failures.

use crate::{
    known,
    program::{
        Call,
        MISMATCH,
        Part,
        Template,
        Unusable, //
    },
    runner::{
        Outcome,
        Runner,
        Trap, //
    },
    script::{
        Expected,
        Reason,
        Script,
        Step,
        Test, //
    }, //
};
use std::collections::{
    BTreeMap,
    HashMap, //
};

/// Beginnings of the engine's messages for an invalid module: in general, for a start function of
/// another type, and for a module with exceptions, which the interpreter cannot tell from valid
/// ones.
const INVALID: [&str; 3] = ["not valid Wasm", "the start function", "exceptions need compiled code"];

/// Beginnings of the engine's messages for a valid module that is not a program.
const NOT_A_PROGRAM: [&str; 2] = ["no function _start is exported", "missing imports"];

/// Beginning of the engine's message for a failed instantiation. The trap follows.
const UNINSTANTIABLE: &str = "cannot be instantiated: ";

/// Maximum number of failures of one module that are reported separately.
const FAILURES_MAX: usize = 20;

/// Results of a script.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Number of assertions that hold, and of modules that were instantiated as required.
    pub passed: usize,
    /// Failures: line and message.
    pub failed: Vec<(usize, String)>,
    /// Known differences: line and reason.
    pub known: Vec<(usize, &'static str)>,
    /// Number of skipped assertions, by reason.
    pub skipped: BTreeMap<Reason, usize>,
    /// Number of programs that were run.
    pub programs: usize,
}

impl Tally {
    /// Returns the number of assertions that were tried.
    #[must_use]
    pub fn tried(&self) -> usize {
        self.passed + self.failed.len() + self.known.len()
    }
}

/// Runs a script and returns its results.
pub fn judge(script: &Script, runner: &mut dyn Runner) -> Tally {
    let mut judge = Judge { name: &script.name, runner, tally: Tally::default() };
    for (_, reason) in &script.skipped {
        *judge.tally.skipped.entry(*reason).or_default() += 1;
    }
    judge.tally.failed.extend(script.problems.iter().cloned());
    for (line, test) in &script.tests {
        judge.test(*line, test);
    }
    judge.tally.failed.sort();
    judge.tally
}

struct Judge<'a> {
    name: &'a str,
    runner: &'a mut dyn Runner,
    tally: Tally,
}

impl Judge<'_> {
    fn run(&mut self, wasm: &[u8]) -> Outcome {
        self.tally.programs += 1;
        self.runner.run(wasm)
    }

    fn count(&mut self, line: usize, result: Result<(), String>) {
        match (result, known::difference(self.name, line)) {
            (Ok(()), None) => self.tally.passed += 1,
            (Ok(()), Some(why)) => self.tally.failed.push((line, format!("known difference no longer occurs: {why}"))),
            (Err(why), None) => self.tally.failed.push((line, why)),
            (Err(_), Some(why)) => self.tally.known.push((line, why)),
        }
    }

    fn test(&mut self, line: usize, test: &Test) {
        let result = match test {
            Test::Invalid { wasm } => match self.run(wasm) {
                Outcome::Refused(why) if INVALID.iter().any(|start| why.starts_with(start)) => Ok(()),
                Outcome::Refused(why) if is_no_program(&why) => self.refused_as_program(wasm),
                // The engine stops at a limit before it finds the error.
                Outcome::Limited(_) => Ok(()),
                outcome => Err(format!("invalid module: {outcome}, expected refusal")),
            },
            Test::Valid { wasm } => match self.run(wasm) {
                Outcome::Refused(why) if is_no_program(&why) => Ok(()),
                outcome @ (Outcome::Refused(_) | Outcome::Other(_)) => Err(format!("valid module: {outcome}")),
                _ => Ok(()),
            },
            Test::Unlinkable { wasm } => match self.run(wasm) {
                Outcome::Refused(why) if why.starts_with("missing imports") => Ok(()),
                outcome => Err(format!("missing import: {outcome}, expected refusal")),
            },
            Test::Uninstantiable { template, message } => self.uninstantiable(template, message),
            Test::Instances { template, steps } => return self.instances(template, steps),
        };
        self.count(line, result);
    }

    /// Turns an invalid module into a program and expects the engine to refuse it. The engine
    /// checks the type of a start function only after it has found that a module is a program.
    fn refused_as_program(&mut self, wasm: &[u8]) -> Result<(), String> {
        let part = Part { wasm: wasm.to_vec(), links: HashMap::new() };
        let program = match Template::new(&[part]) {
            Ok(template) => template.program(&[])?,
            // The engine refuses a module for a missing import before it finds the error.
            Err(Unusable::Unknown(_)) => return Ok(()),
            Err(why) => return Err(why.to_string()),
        };
        match self.run(&program) {
            Outcome::Refused(why) if !is_no_program(&why) => Ok(()),
            outcome => Err(format!("invalid module: {outcome}, expected refusal")),
        }
    }

    /// Expects a trap at instantiation: a start function traps when it runs, and an active segment
    /// that is out of bounds traps when it is copied.
    fn uninstantiable(&mut self, template: &Template, message: &str) -> Result<(), String> {
        let outcome = self.run(&template.program(&[])?);
        let trap = match &outcome {
            Outcome::Trapped(trap) => Some(*trap),
            Outcome::Refused(why) => why.strip_prefix(UNINSTANTIABLE).and_then(Trap::from_words),
            _ => None,
        };
        if trap.is_some() && trap == Trap::from_words(message) {
            Ok(())
        } else {
            Err(format!("{outcome}, expected trap: {message}"))
        }
    }

    fn instances(&mut self, template: &Template, steps: &[Step]) {
        if known::is_limited(self.name)
            && let Some(Ok(Outcome::Limited(_))) = self.prefix(template, &[], 0)
        {
            *self.tally.skipped.entry(Reason::Limit).or_default() += steps.len();
            return;
        }
        let left_out = self.returning(template, steps);
        for (index, step) in steps.iter().enumerate().filter(|(_, step)| !step.returns()) {
            // The program runs all earlier steps that return, then the step that ends it.
            let before = steps.iter().zip(&left_out).take(index);
            let before = before.filter(|(step, left_out)| step.returns() && !**left_out).map(|(step, _)| step);
            let calls: Vec<_> = before.chain([step]).map(|step| Call { step, is_compared: false }).collect();
            let result = match template.program(&calls) {
                Ok(program) => ends(step, &self.run(&program)),
                Err(why) => Err(why),
            };
            self.count(step.line, result.map_err(|why| format!("{}: {why}", step.action)));
        }
    }

    /// Runs all steps that return in one program and compares their results. Finds the steps that
    /// fail, and repeats the program without these steps; a step with a wrong result stays in the
    /// program, but its results are no longer compared. Returns for each step true if it is left
    /// out.
    fn returning(&mut self, template: &Template, steps: &[Step]) -> Vec<bool> {
        let mut left_out = vec![false; steps.len()];
        let mut compared = vec![true; steps.len()];
        let mut failed = 0;
        loop {
            let chosen: Vec<usize> = (0..steps.len())
                .filter(|index| steps.get(*index).is_some_and(Step::returns) && left_out.get(*index) == Some(&false))
                .collect();
            let calls: Vec<_> = chosen
                .iter()
                .filter_map(|index| Some(Call { step: steps.get(*index)?, is_compared: *compared.get(*index)? }))
                .collect();
            let Some((at, why)) = self.first_failure(template, &calls) else {
                for call in calls.iter().filter(|call| call.is_compared) {
                    self.count(call.step.line, Ok(()));
                }
                return left_out;
            };
            let Some((index, step)) = at.and_then(|at| chosen.get(at)).and_then(|at| Some((*at, steps.get(*at)?)))
            else {
                for call in calls.iter().filter(|call| call.is_compared) {
                    self.count(call.step.line, Err(format!("the module does not run: {}", words(&why))));
                }
                return left_out;
            };
            failed += 1;
            let wanted = step.results().map_or_else(String::new, |results| format!(", expected {results:x?}"));
            self.count(step.line, Err(format!("{}: {}{wanted}", step.action, words(&why))));
            let flags = if why == Ok(Outcome::Exited(MISMATCH)) { &mut compared } else { &mut left_out };
            if let Some(flag) = flags.get_mut(index) {
                *flag = !*flag;
            }
            if failed == FAILURES_MAX {
                for call in calls.iter().filter(|call| call.is_compared && call.step.line != step.line) {
                    self.count(call.step.line, Err("not tried: too many failures in this module".to_owned()));
                }
                return left_out;
            }
        }
    }

    /// Returns the index of the first call that fails, and its outcome; no index if the module
    /// itself fails; none if all calls pass.
    fn first_failure(
        &mut self,
        template: &Template,
        calls: &[Call<'_>],
    ) -> Option<(Option<usize>, Result<Outcome, String>)> {
        let mut outcome = self.prefix(template, calls, calls.len())?;
        // Bisection: a program of the first `fine` calls passes, one of the first `bad` calls
        // fails.
        let (mut fine, mut bad) = (0, calls.len());
        if let Some(outcome) = self.prefix(template, calls, 0) {
            return Some((None, outcome));
        }
        while bad - fine > 1 {
            let middle = fine.midpoint(bad);
            match self.prefix(template, calls, middle) {
                None => fine = middle,
                Some(worse) => (bad, outcome) = (middle, worse),
            }
        }
        Some((bad.checked_sub(1), outcome))
    }

    /// Runs a program of the first `len` calls. Returns its outcome, or none if it passes.
    fn prefix(&mut self, template: &Template, calls: &[Call<'_>], len: usize) -> Option<Result<Outcome, String>> {
        match template.program(calls.get(..len)?) {
            Ok(program) => match self.run(&program) {
                Outcome::Exited(0) => None,
                outcome => Some(Ok(outcome)),
            },
            Err(why) => Some(Err(why)),
        }
    }
}

fn is_no_program(why: &str) -> bool {
    NOT_A_PROGRAM.iter().any(|start| why.starts_with(start))
}

fn words(outcome: &Result<Outcome, String>) -> String {
    match outcome {
        Ok(outcome) => outcome.to_string(),
        Err(why) => why.clone(),
    }
}

/// Checks that a program ended as its last step expects.
fn ends(step: &Step, outcome: &Outcome) -> Result<(), String> {
    match (&step.expected, outcome) {
        (Expected::Exhaustion, Outcome::Exhausted) => Ok(()),
        (Expected::Exception, Outcome::Trapped(Trap::Exception)) => Ok(()),
        (Expected::Trap(message), Outcome::Trapped(trap)) if Trap::from_words(message) == Some(*trap) => Ok(()),
        (Expected::Exception, outcome) => Err(format!("{outcome}, expected an exception")),
        (Expected::Trap(message), outcome) => Err(format!("{outcome}, expected trap: {message}")),
        (_, outcome) => Err(outcome.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features;

    /// Runner that validates each program and computes its outcome by a function.
    struct Fake(fn(&[u8]) -> Outcome);

    impl Runner for Fake {
        fn run(&mut self, wasm: &[u8]) -> Outcome {
            assert!(features::is_valid(wasm, features::INTERPRETER));
            (self.0)(wasm)
        }
    }

    const SCRIPT: &str = r#"
        (module $a
            (memory (export "memory") 1)
            (data (i32.const 0) "\07")
            (func (export "_start") (result i32) (i32.load8_u (i32.const 0)))
            (func (export "trap") (unreachable)))
        (register "a" $a)
        (module
            (import "a" "memory" (memory 1))
            (import "spectest" "global_i32" (global $g i32))
            (global $copy (export "copy") (mut i32) (global.get $g))
            (func (export "pair") (result i32 f32) (global.get $copy) (f32.const nan)))
        (assert_return (invoke "pair") (i32.const 666) (f32.const nan:canonical))
        (assert_return (get "copy") (i32.const 666))
        (assert_return (invoke $a "_start") (i32.const 7))
        (assert_trap (invoke $a "trap") "unreachable")
        (assert_return (invoke $a "_start") (ref.extern 1))"#;

    fn judged(outcome: fn(&[u8]) -> Outcome) -> Tally {
        judge(&Script::new("a", SCRIPT, features::INTERPRETER).expect("a script"), &mut Fake(outcome))
    }

    #[test]
    fn linked_modules_become_one_program() {
        let tally = judged(|_| Outcome::Exited(0));
        assert_eq!((tally.passed, tally.programs), (5, 2));
        assert_eq!(tally.skipped, BTreeMap::from([(Reason::HostReference, 1)]));
        assert_eq!(tally.failed, [(16, "\"trap\" with []: returned, expected trap: unreachable".to_owned())]);
    }

    #[test]
    fn a_mismatch_is_attributed_to_its_assertion() {
        // Report a mismatch for each program that calls `(get "copy")`: `global.get 1`,
        // `i32.const`.
        let tally = judged(|wasm| {
            let calls_get = wasm.windows(3).filter(|bytes| *bytes == [0x23, 1, 0x41]).count() > 0;
            if calls_get { Outcome::Exited(MISMATCH) } else { Outcome::Exited(0) }
        });
        assert_eq!(tally.failed.iter().map(|failed| failed.0).collect::<Vec<_>>(), [14, 16]);
        assert_eq!(tally.passed, 4);
    }

    #[test]
    fn a_refused_module_fails_all_its_assertions() {
        let tally = judged(|_| Outcome::Refused("no".to_owned()));
        assert_eq!((tally.passed, tally.failed.len()), (0, 6));
    }
}
