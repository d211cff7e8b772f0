// SPDX-License-Identifier: GPL-2.0

//! Random programs with exceptions in the simulator, compared with a model of their source.
//!
//! `KWASMI_PROGRAMS` is the number of programs, `KWASMI_SEED` the first seed.
#![cfg(feature = "simulator")]
#![allow(missing_docs)]

mod simulation;

use kwasmi_engine::{
    compiled::simulator::{
        SimulationEnd,
        Stress, //
    },
    compiler::CompilerOptions,
};
use simulation::{
    Guest,
    NoImports, //
};
use std::fmt::Write as _;

/// Number of values of each tag.
const TAGS: [usize; 3] = [0, 1, 2];

/// Number of variables of a function; the first two are its parameters.
const VARIABLES: usize = 7;

/// Upper bound of the statements that a program executes.
const STEPS_MAX: usize = 3000;

/// Xorshift generator.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 20) % bound as u64).expect("a small number")
    }
}

#[derive(Debug)]
enum Expression {
    Constant(i32),
    Variable(usize),
    Operation(&'static str, fn(i32, i32) -> i32, Box<(Expression, Expression)>),
    /// Call of an earlier function.
    Call(usize, Box<(Expression, Expression)>),
    /// The value after the statements, or the value of an exception with tag 1 that they throw.
    Try(Vec<Statement>, Box<Expression>),
}

#[derive(Debug)]
enum Statement {
    Assign(usize, Expression),
    /// Adds to the trace, a hash of values.
    Note(Expression),
    If(Expression, Vec<Statement>, Vec<Statement>),
    /// A number of rounds.
    Loop(i32, Vec<Statement>),
    Throw(usize, Vec<Expression>),
    Try {
        body: Vec<Statement>,
        clauses: Vec<Clause>,
    },
    Return(Expression),
}

/// A clause of a try.
#[derive(Debug)]
struct Clause {
    /// The tag; none for all.
    tag: Option<usize>,
    handler: Vec<Statement>,
    /// At the end the exception is thrown again if this is odd.
    again: Option<Expression>,
}

/// Makes a function.
struct Generator {
    random: Random,
    /// Number of functions that can be called.
    functions: usize,
}

impl Generator {
    fn expression(&mut self, depth: usize) -> Expression {
        match self.random.below(if depth == 0 { 4 } else { 10 }) {
            0 => Expression::Constant(i32::try_from(self.random.below(7)).expect("a small number") - 3),
            1..=3 => Expression::Variable(self.random.below(VARIABLES)),
            4..=6 => {
                let (name, function): (_, fn(i32, i32) -> i32) = match self.random.below(4) {
                    0 => ("add", i32::wrapping_add),
                    1 => ("sub", i32::wrapping_sub),
                    2 => ("mul", i32::wrapping_mul),
                    _ => ("xor", |a, b| a ^ b),
                };
                Expression::Operation(
                    name,
                    function,
                    Box::new((self.expression(depth - 1), self.expression(depth - 1))),
                )
            }
            7 | 8 if self.functions > 0 => {
                let callee = self.random.below(self.functions);
                Expression::Call(callee, Box::new((self.expression(depth - 1), self.expression(depth - 1))))
            }
            _ => Expression::Try(self.statements(depth - 1), Box::new(self.expression(depth - 1))),
        }
    }

    fn statements(&mut self, depth: usize) -> Vec<Statement> {
        let count = self.random.below(4) + usize::from(depth > 2);
        (0..count).map(|_| self.statement(depth)).collect()
    }

    fn statement(&mut self, depth: usize) -> Statement {
        let choice = self.random.below(if depth == 0 { 8 } else { 16 });
        let inner = depth.saturating_sub(1);
        match choice {
            0..=4 => Statement::Assign(self.random.below(VARIABLES), self.expression(inner.min(2))),
            5 | 6 => Statement::Note(self.expression(inner.min(2))),
            7 if self.random.below(6) == 0 => Statement::Return(self.expression(inner.min(2))),
            7 | 8 if self.random.below(2) == 0 => {
                let tag = self.random.below(TAGS.len());
                Statement::Throw(tag, (0..TAGS[tag]).map(|_| self.expression(inner.min(2))).collect())
            }
            9 | 10 => Statement::If(self.expression(1), self.statements(inner), self.statements(inner)),
            11 => {
                let rounds = i32::try_from(self.random.below(3)).expect("a small number") + 1;
                Statement::Loop(rounds, self.statements(inner))
            }
            _ => {
                let body = self.statements(inner);
                let mut clauses = Vec::new();
                for _ in 0..self.random.below(4) {
                    let tag = self.random.below(TAGS.len() + 1);
                    let tag = (tag < TAGS.len()).then_some(tag);
                    let again = (self.random.below(3) == 0).then(|| self.expression(1));
                    clauses.push(Clause { tag, handler: self.statements(inner), again });
                    if tag.is_none() {
                        break;
                    }
                }
                Statement::Try { body, clauses }
            }
        }
    }
}

/// An exception: tag and values.
#[derive(Clone)]
struct Thrown(usize, Vec<i32>);

/// Reason why statements do not go on.
enum Leave {
    Throw(Thrown),
    Return(i32),
    /// The program takes too long.
    TooLong,
}

/// Executes the source.
struct Model<'a> {
    functions: &'a [Vec<Statement>],
    trace: i32,
    steps: usize,
}

impl Model<'_> {
    fn call(&mut self, function: usize, args: [i32; 2]) -> Result<i32, Leave> {
        let mut variables = [0; VARIABLES];
        variables[..2].copy_from_slice(&args);
        let body: &[Statement] = &self.functions[function];
        match self.execute(body, &mut variables) {
            Ok(()) => Ok(variables[0] ^ variables[VARIABLES - 1]),
            Err(Leave::Return(value)) => Ok(value),
            Err(other) => Err(other),
        }
    }

    fn value(&mut self, expression: &Expression, variables: &mut [i32; VARIABLES]) -> Result<i32, Leave> {
        Ok(match expression {
            Expression::Constant(value) => *value,
            Expression::Variable(variable) => variables[*variable],
            Expression::Operation(_, function, operands) => {
                let one = self.value(&operands.0, variables)?;
                function(one, self.value(&operands.1, variables)?)
            }
            Expression::Call(function, operands) => {
                let one = self.value(&operands.0, variables)?;
                let two = self.value(&operands.1, variables)?;
                self.call(*function, [one, two])?
            }
            Expression::Try(statements, value) => {
                match self.execute(statements, variables).and_then(|()| self.value(value, variables)) {
                    Err(Leave::Throw(Thrown(1, values))) => values[0],
                    other => other?,
                }
            }
        })
    }

    fn execute(&mut self, statements: &[Statement], variables: &mut [i32; VARIABLES]) -> Result<(), Leave> {
        for statement in statements {
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return Err(Leave::TooLong);
            }
            match statement {
                Statement::Assign(variable, value) => variables[*variable] = self.value(value, variables)?,
                Statement::Note(value) => {
                    let value = self.value(value, variables)?;
                    self.trace = self.trace.wrapping_mul(31).wrapping_add(value);
                }
                Statement::If(condition, yes, no) => {
                    let is_true = self.value(condition, variables)? != 0;
                    self.execute(if is_true { yes } else { no }, variables)?;
                }
                Statement::Loop(rounds, body) => {
                    for _ in 0..*rounds {
                        self.execute(body, variables)?;
                    }
                }
                Statement::Throw(tag, values) => {
                    let values = values.iter().map(|value| self.value(value, variables)).collect::<Result<_, _>>()?;
                    return Err(Leave::Throw(Thrown(*tag, values)));
                }
                Statement::Try { body, clauses } => {
                    let thrown = match self.execute(body, variables) {
                        Err(Leave::Throw(thrown)) => thrown,
                        other => {
                            other?;
                            continue;
                        }
                    };
                    let Some(clause) = clauses.iter().find(|clause| clause.tag.is_none_or(|tag| tag == thrown.0))
                    else {
                        return Err(Leave::Throw(thrown));
                    };
                    if clause.tag.is_some() {
                        for (variable, value) in thrown.1.iter().enumerate() {
                            variables[variable + 2] = *value;
                        }
                    }
                    self.execute(&clause.handler, variables)?;
                    if let Some(again) = &clause.again
                        && self.value(again, variables)? & 1 != 0
                    {
                        return Err(Leave::Throw(thrown));
                    }
                }
                Statement::Return(value) => return Err(Leave::Return(self.value(value, variables)?)),
            }
        }
        Ok(())
    }
}

/// Writes the source as text.
struct Writer {
    text: String,
    /// Number of labels and of further locals so far.
    labels: usize,
    /// Set for the legacy form.
    is_legacy: bool,
    random: Random,
}

impl Writer {
    fn put(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn label(&mut self) -> usize {
        self.labels += 1;
        self.labels
    }

    fn function(&mut self, number: usize, body: &[Statement]) {
        write!(self.text, "(func $f{number} (param i32 i32) (result i32) (local").expect("a string");
        self.put(&" i32".repeat(VARIABLES - 2));
        self.put(")");
        // Further locals have names; the text comes later.
        let start = self.text.len();
        let first = self.labels;
        self.statements(body);
        let locals: String = (first + 1..=self.labels)
            .map(|label| format!("(local $n{label} i32) (local $e{label} exnref)\n"))
            .collect();
        self.text.insert_str(start, &locals);
        self.put(&format!("local.get 0 local.get {} i32.xor)", VARIABLES - 1));
    }

    fn expression(&mut self, expression: &Expression) {
        match expression {
            Expression::Constant(value) => self.put(&format!("i32.const {value}")),
            Expression::Variable(variable) => self.put(&format!("local.get {variable}")),
            Expression::Operation(name, _, operands) => {
                self.expression(&operands.0);
                self.expression(&operands.1);
                self.put(&format!("i32.{name}"));
            }
            Expression::Call(function, operands) => {
                self.expression(&operands.0);
                self.expression(&operands.1);
                if self.random.below(3) == 0 {
                    self.put(&format!("i32.const {function} call_indirect (param i32 i32) (result i32)"));
                } else {
                    self.put(&format!("call $f{function}"));
                }
            }
            Expression::Try(statements, value) => {
                let is_legacy = self.is_legacy;
                let label = self.label();
                self.put(&if is_legacy {
                    String::from("try (result i32)")
                } else {
                    format!("block $l{label} (result i32) try_table (result i32) (catch $t1 $l{label})")
                });
                self.statements(statements);
                self.expression(value);
                self.put(if is_legacy { "catch $t1 end" } else { "end end" });
            }
        }
    }

    fn statements(&mut self, statements: &[Statement]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Assign(variable, value) => {
                self.expression(value);
                self.put(&format!("local.set {variable}"));
            }
            Statement::Note(value) => {
                self.expression(value);
                self.put("global.get $trace i32.const 31 i32.mul i32.add global.set $trace");
            }
            Statement::If(condition, yes, no) => {
                self.expression(condition);
                self.put("if");
                self.statements(yes);
                self.put("else");
                self.statements(no);
                self.put("end");
            }
            Statement::Loop(rounds, body) => {
                let label = self.label();
                self.put(&format!("i32.const {rounds} local.set $n{label} loop $l{label}"));
                self.statements(body);
                self.put(&format!("local.get $n{label} i32.const 1 i32.sub local.tee $n{label} br_if $l{label} end"));
            }
            Statement::Throw(tag, values) => {
                values.iter().for_each(|value| self.expression(value));
                self.put(&format!("throw $t{tag}"));
            }
            Statement::Try { body, clauses } if self.is_legacy => self.legacy(body, clauses),
            Statement::Try { body, clauses } => self.table(body, clauses),
            Statement::Return(value) => {
                self.expression(value);
                self.put("return");
            }
        }
    }

    fn take_values(&mut self, tag: Option<usize>) {
        for value in (0..tag.map_or(0, |tag| TAGS[tag])).rev() {
            self.put(&format!("local.set {}", value + 2));
        }
    }

    fn legacy(&mut self, body: &[Statement], clauses: &[Clause]) {
        let label = self.label();
        self.put(&format!("try $l{label}"));
        self.statements(body);
        if clauses.is_empty() && self.random.below(2) == 0 {
            // To the block around it, which catches nothing.
            self.put("delegate 0");
            return;
        }
        for clause in clauses {
            self.put(&clause.tag.map_or(String::from("catch_all"), |tag| format!("catch $t{tag}")));
            self.take_values(clause.tag);
            self.statements(&clause.handler);
            if let Some(again) = &clause.again {
                self.expression(again);
                self.put(&format!("i32.const 1 i32.and if rethrow $l{label} end"));
            }
        }
        self.put("end");
    }

    fn table(&mut self, body: &[Statement], clauses: &[Clause]) {
        let label = self.label();
        self.put(&format!("block $l{label}"));
        // The first clause is the innermost block.
        for (number, clause) in clauses.iter().enumerate().rev() {
            let values = " i32".repeat(clause.tag.map_or(0, |tag| TAGS[tag]));
            let reference = if clause.again.is_some() { " exnref" } else { "" };
            self.put(&format!("block $l{label}c{number} (result{values}{reference})"));
        }
        self.put("try_table");
        for (number, clause) in clauses.iter().enumerate() {
            let reference = if clause.again.is_some() { "_ref" } else { "" };
            let tag = clause.tag.map_or(format!("catch_all{reference}"), |tag| format!("catch{reference} $t{tag}"));
            self.put(&format!("({tag} $l{label}c{number})"));
        }
        self.statements(body);
        self.put(&format!("end br $l{label}"));
        for clause in clauses {
            self.put("end");
            if clause.again.is_some() {
                self.put(&format!("local.set $e{label}"));
            }
            self.take_values(clause.tag);
            self.statements(&clause.handler);
            if let Some(again) = &clause.again {
                self.expression(again);
                self.put(&format!("i32.const 1 i32.and if local.get $e{label} throw_ref end"));
            }
            self.put(&format!("br $l{label}"));
        }
        self.put("end");
    }
}

/// Most instructions of one operator.
const OPERATOR_MAX: u64 = 60;

fn run(text: &str, period: u64, reach: u16, straight: u32) -> SimulationEnd {
    let guest = Guest::new(text, CompilerOptions { reach, straight, ..CompilerOptions::default() });
    let mut stress = Stress::new([0; 5], period);
    stress.straight = u64::from(straight).saturating_add(OPERATOR_MAX);
    guest.run(Some(stress), &mut NoImports).0
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn random_programs_end_as_their_source() {
    let (first, count) = (number("KWASMI_SEED", 1), number("KWASMI_PROGRAMS", 60));
    let mut ends = [0; 3];
    for seed in first..first + count {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        random.below(2);
        let mut functions: Vec<Vec<Statement>> = Vec::new();
        let mut generator = Generator { random, functions: 0 };
        for function in 0..4 {
            generator.functions = function;
            functions.push(generator.statements(4));
        }
        let mut model = Model { functions: &functions, trace: 0, steps: 0 };
        let expected = match model.call(3, [5, -2]) {
            Ok(value) => SimulationEnd::Returned(u64::from((value ^ model.trace).cast_unsigned())),
            Err(Leave::Throw(Thrown(tag, _))) => SimulationEnd::Uncaught(u32::try_from(tag).expect("a tag")),
            Err(Leave::Return(_) | Leave::TooLong) => {
                ends[2] += 1;
                continue;
            }
        };
        ends[usize::from(matches!(expected, SimulationEnd::Uncaught(_)))] += 1;
        for is_legacy in [false, true] {
            let random = Random(seed | 1);
            let mut writer = Writer { text: String::new(), labels: 0, is_legacy, random };
            writer.put(
                "(module (tag $t0) (tag $t1 (param i32)) (tag $t2 (param i32 i32)) (global $trace (mut i32) (i32.const 0))
                (table funcref (elem $f0 $f1 $f2 $f3))",
            );
            for (function, body) in functions.iter().enumerate() {
                writer.function(function, body);
            }
            writer.put(
                "(func (export \"run\") (result i32)
                    (i32.xor (call $f3 (i32.const 5) (i32.const -2)) (global.get $trace))))",
            );
            for (period, reach, straight) in [(u64::MAX, u16::MAX, u32::MAX), (97, u16::MAX, 7), (41, 20, u32::MAX)] {
                let end = run(&writer.text, period, reach, straight);
                assert_eq!(end, expected, "seed {seed}, legacy {is_legacy}, period {period}: {}", writer.text);
            }
        }
    }
    println!("{} return, {} throw, {} take too long", ends[0], ends[1], ends[2]);
    assert!(ends[0] > 0 && ends[1] > 0 || count < 20, "{ends:?}");
}
