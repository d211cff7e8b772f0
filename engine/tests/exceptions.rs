// SPDX-License-Identifier: GPL-2.0

//! Exceptions in compiled programs, in the simulator.
#![cfg(feature = "simulator")]
#![allow(missing_docs)]

mod simulation;

use kwasmi_engine::{
    compiled::{
        instance::{
            CompiledInstance,
            InstanceStop, //
        },
        program::Program,
        simulator::{
            Imports,
            SimulationEnd,
            Simulator, //
        },
    },
    compiler::{
        self,
        CompilerOptions, //
        Error,
    },
    vmctx::TrapReason,
};
use simulation::Guest;

/// The only import, if there is one, returns its argument plus 1.
struct Successor;

impl Imports for Successor {
    fn call(&mut self, index: u32, instance: &mut CompiledInstance) -> Result<(), SimulationEnd> {
        assert_eq!(index, 0, "the only import");
        instance.set_arg(0, instance.arg(0) + 1);
        Ok(())
    }
}

fn run(text: &str, args: [u64; 5]) -> SimulationEnd {
    simulation::run(text, args, &mut Successor).0
}

/// Function that returns the value of an exception with tag `$one`, and -1 for others.
const CAUGHT: &str = "(func $caught (param exnref) (result i32)
    (block $all
        (block $one (result i32)
            (try_table (catch $one $one) (catch_all $all) (throw_ref (local.get 0)))
            (unreachable))
        (return))
    (i32.const -1))";

/// Runs the body of a function with a parameter and an i32 as result, in a module with some tags
/// and functions.
fn body(text: &str, arg: u64) -> SimulationEnd {
    // A module has one form of exceptions only.
    let caught = if text.contains("call $caught") { CAUGHT } else { "" };
    let module = format!(
        r#"(module
            (type $pair (func (result i32 i64)))
            (type $void (func))
            (import "env" "successor" (func $successor (param i32) (result i32)))
            (memory 1)
            (table $functions 4 funcref)
            (table $kept 4 exnref)
            (elem (table $functions) (i32.const 0) func $throws $throws_two $returns)
            (tag $none)
            (tag $one (param i32))
            (tag $two (param i32 i64))
            (tag $vector (param v128 i32))
            (tag $nested (param exnref i32))
            (global $kept (mut exnref) (ref.null exn))
            (global $count (mut i32) (i32.const 0))
            (func $throws (throw $none))
            (func $throws_one (param i32) (throw $one (local.get 0)))
            (func $throws_two (throw $two (i32.const 5) (i64.const 0x700000000)))
            (func $returns)
            (func $deep (param i32) (result i32)
                (if (i32.eqz (local.get 0)) (then (throw $one (i32.const 77))))
                (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))
            {caught}
            (func (export "run") (param $x i32) (result i32) (local $i i32) (local $j i32) (local $e exnref) (local $v v128)
                {text}))"#
    );
    run(&module, [arg, 0, 0, 0, 0])
}

fn returns(text: &str, arg: u64, expected: u64) {
    assert_eq!(body(text, arg), SimulationEnd::Returned(expected), "{text} with {arg}");
}

#[test]
fn a_throw_is_caught_in_its_function() {
    returns(
        "(block $h (result i32) (try_table (result i32) (catch $one $h) (throw $one (i32.const 9)))
            (return (i32.const 1)))",
        0,
        9,
    );
    returns("(block $h (try_table (catch $none $h) (throw $none)) (return (i32.const 1))) (i32.const 4)", 0, 4);
    returns("(block $h (try_table (catch_all $h) (throw $one (i32.const 3))) (unreachable)) (i32.const 4)", 0, 4);
}

#[test]
fn the_clauses_are_tried_in_order() {
    let text = "block $all
            block $two (result i32 i64)
                block $one (result i32)
                    (try_table (catch $one $one) (catch $two $two) (catch_all $all)
                        (if (i32.eq (local.get $x) (i32.const 0)) (then (throw $none)))
                        (if (i32.eq (local.get $x) (i32.const 1)) (then (call $throws_one (i32.const 40))))
                        (if (i32.eq (local.get $x) (i32.const 2))
                            (then (call_indirect $functions (type $void) (i32.const 1))))
                        (call_indirect $functions (type $void) (i32.const 2))
                        (return (i32.const 99)))
                    unreachable
                end
                i32.const 2 i32.add return
            end
            i64.const 32 i64.shr_u i32.wrap_i64 i32.add return
        end
        i32.const 11";
    returns(text, 0, 11);
    returns(text, 1, 42);
    returns(text, 2, 12);
    returns(text, 3, 99);
}

#[test]
fn an_exception_passes_frames() {
    returns("(block $h (result i32) (try_table (result i32) (catch $one $h) (call $deep (i32.const 20))))", 0, 77);
    assert_eq!(body("(call $deep (i32.const 20))", 0), SimulationEnd::Uncaught(1));
    assert_eq!(body("(throw $two (i32.const 0) (i64.const 0))", 0), SimulationEnd::Uncaught(2));
    // A clause for another tag does not catch it.
    assert_eq!(
        body("(block $h (try_table (catch $none $h) (drop (call $deep (i32.const 3))))) (i32.const 0)", 0),
        SimulationEnd::Uncaught(1)
    );
}

#[test]
fn inner_tries_come_first() {
    let text = "(block $outer (block $inner
            (try_table (catch_all $outer)
                (try_table (catch $none $inner)
                    (if (local.get $x) (then (call $throws_two)) (else (call $throws))))))
            (return (i32.const 1)))
        (i32.const 2)";
    returns(text, 0, 1);
    returns(text, 1, 2);
}

/// Locals that change between the try and the call are seen by the handler, in registers or not.
#[test]
fn handlers_see_locals() {
    returns(
        "(local.set $i (i32.const 1))
        (local.set $j (i32.const 10))
        (block $h
            (try_table (catch_all $h)
                (local.set $i (i32.add (local.get $x) (i32.const 5)))
                (drop (call $successor (i32.const 1)))
                (local.set $j (i32.add (local.get $i) (local.get $j)))
                (call $throws)
                (local.set $j (i32.const 1000)))
            (return (i32.const 0)))
        (i32.add (i32.mul (local.get $i) (i32.const 100)) (local.get $j))",
        2,
        717,
    );
    // In a loop, whose registers calls preserve.
    returns(
        "(loop $next
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (block $h
                (try_table (catch_all $h)
                    (local.set $j (i32.add (local.get $j) (local.get $i)))
                    (if (i32.and (local.get $i) (i32.const 1)) (then (call $throws)))
                    (local.set $j (i32.add (local.get $j) (i32.const 1000))))
                (br_if $next (i32.lt_u (local.get $i) (local.get $x)))
                (return (local.get $j)))
            (local.set $j (i32.add (local.get $j) (i32.const 10)))
            (br_if $next (i32.lt_u (local.get $i) (local.get $x))))
        (local.get $j)",
        5,
        15 + 2000 + 30,
    );
    // A handler at the beginning of a loop.
    returns(
        "(loop $next (result i32)
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (if (result i32) (i32.lt_u (local.get $i) (local.get $x))
                (then (try_table (result i32) (catch_all $next)
                    (local.set $j (i32.add (local.get $j) (i32.const 3)))
                    (call $throws)
                    (i32.const 0)))
                (else (local.get $j))))",
        5,
        12,
    );
}

/// Operands below a try stay where they are.
#[test]
fn handlers_see_operands() {
    returns(
        "(i32.mul (local.get $x) (local.get $x))
        (i32.const 1000)
        (block $h (result i32)
            (try_table (result i32) (catch $one $h)
                (i32.const 3) (call $throws_one (i32.add (local.get $x) (i32.const 1)))))
        i32.add
        i32.add",
        4,
        16 + 1000 + 5,
    );
    // Parameters of the try.
    returns(
        "(block $h (result i32)
            (local.get $x) (i32.const 2)
            (try_table (param i32 i32) (result i32) (catch $one $h) i32.add call $throws_one (i32.const 0)))",
        4,
        6,
    );
}

#[test]
fn vectors_are_caught() {
    returns(
        "(block $h (result v128 i32)
            (try_table (catch $vector $h)
                (throw $vector (v128.const i32x4 1 2 3 4) (local.get $x)))
            (unreachable))
        local.set $i
        local.set $v
        (i32.add (local.get $i) (i32x4.extract_lane 3 (local.get $v)))",
        6,
        10,
    );
}

#[test]
fn references_are_thrown_again() {
    returns(
        "(block $h (result i32)
            (try_table (result i32) (catch $one $h)
                (block $r (result exnref)
                    (try_table (catch_all_ref $r) (call $throws_one (i32.const 31)))
                    (unreachable))
                (throw_ref)))",
        0,
        31,
    );
    // By way of a local, a global, a table, a parameter, a select and the values of another
    // exception.
    let catch = "(block $r (result i32 exnref)
            (try_table (catch_ref $one $r) (call $throws_one (i32.const 31)))
            (unreachable))
        local.set $e
        local.set $i";
    returns(&format!("{catch} (i32.add (local.get $i) (call $caught (local.get $e)))"), 0, 62);
    returns(&format!("{catch} (global.set $kept (local.get $e)) (call $caught (global.get $kept))"), 0, 31);
    returns(
        &format!(
            "{catch} (table.set $kept (i32.const 3) (local.get $e)) (local.set $e (ref.null exn))
            (call $caught (table.get $kept (i32.const 3)))"
        ),
        0,
        31,
    );
    returns(
        &format!(
            "{catch} (call $caught (select (result exnref) (local.get $e) (ref.null exn) (i32.const 1)))
            (ref.is_null (local.get $e)) i32.add"
        ),
        0,
        31,
    );
    returns(
        &format!(
            "{catch}
            (block $n (result exnref i32)
                (try_table (catch $nested $n) (throw $nested (local.get $e) (i32.const 4)))
                (unreachable))
            local.set $i
            call $caught
            (i32.add (local.get $i))"
        )
        .replace("(i32.add (local.get $i))", "local.get $i i32.add"),
        0,
        35,
    );
    assert_eq!(body(&format!("{catch} (throw_ref (local.get $e))"), 0), SimulationEnd::Uncaught(1));
}

#[test]
fn a_null_reference_traps() {
    let trap = SimulationEnd::Stopped(InstanceStop::Trap(TrapReason::NullException));
    assert_eq!(body("(throw_ref (ref.null exn))", 0), trap);
    assert_eq!(body("(throw_ref (local.get $e))", 0), trap);
    // A trap is no exception.
    assert_eq!(body("(block $h (try_table (catch_all $h) (throw_ref (global.get $kept)))) (i32.const 0)", 0), trap);
    assert_eq!(
        body("(block $h (try_table (catch_all $h) (unreachable))) (i32.const 0)", 0),
        SimulationEnd::Stopped(InstanceStop::Trap(TrapReason::Unreachable))
    );
    // Without tags, too.
    let text = r#"(module (func (export "run") (result i32) (local exnref)
        (block $h (try_table (catch_all $h) (throw_ref (local.get 0)))) (i32.const 1)))"#;
    assert_eq!(run(text, [0; 5]), trap);
}

#[test]
fn tail_calls_leave_the_try() {
    let text = |callee: &str| {
        format!(
            r#"(module
                (type $void (func (result i32)))
                (table funcref (elem $throws))
                (tag $none)
                (func $throws (result i32) (throw $none))
                (func $tail (param i32) (result i32)
                    (block $h
                        (try_table (catch_all $h)
                            (if (i32.eqz (local.get 0)) (then {callee}))
                            (return_call $tail (i32.sub (local.get 0) (i32.const 1)))))
                    (i32.const 1))
                (func (export "run") (param i32) (result i32)
                    (block $h (try_table (result i32) (catch_all $h) (call $tail (local.get 0))) (return))
                    (i32.const 2)))"#
        )
    };
    for callee in ["(return_call $throws)", "(return_call_indirect (type $void) (i32.const 0))"] {
        assert_eq!(run(&text(callee), [3, 0, 0, 0, 0]), SimulationEnd::Returned(2));
    }
    assert_eq!(run(&text("(return (call $throws))"), [3, 0, 0, 0, 0]), SimulationEnd::Returned(1));
}

#[test]
fn legacy_clauses() {
    let text = "try (result i32)
            (if (i32.eq (local.get $x) (i32.const 0)) (then (throw $none)))
            (if (i32.eq (local.get $x) (i32.const 1)) (then (call $throws_one (i32.const 40))))
            (if (i32.eq (local.get $x) (i32.const 2)) (then (call $throws_two)))
            (i32.const 99)
        catch $one
            i32.const 2 i32.add
        catch $none
            i32.const 7
        catch_all
            i32.const 11
        end
        i32.const 100
        i32.add";
    for (arg, expected) in [(0, 107), (1, 142), (2, 111), (3, 199)] {
        returns(text, arg, expected);
    }
    // No clause catches.
    assert_eq!(body("try call $throws catch $one drop end i32.const 0", 0), SimulationEnd::Uncaught(0));
    assert_eq!(body("try call $throws end i32.const 0", 0), SimulationEnd::Uncaught(0));
    // An exception of a clause is not for the same try.
    returns(
        "try (result i32)
            try (result i32) call $throws i32.const 0
            catch $none (call $throws_one (i32.const 4)) (i32.const 1)
            catch $one i32.const 2 i32.add
            end
        catch $one i32.const 10 i32.add
        end",
        0,
        14,
    );
    // Clauses that nothing goes to.
    returns("try (result i32) local.get $x catch $one catch_all i32.const 1 end", 5, 5);
    // Branches leave a try and its clauses.
    returns("block $out (result i32) try call $throws catch_all (br $out (i32.const 6)) end i32.const 0 end", 5, 6);
    // Parameters, and several results.
    returns(
        "(i32.const 3) (local.get $x)
        try (param i32) (result i32 i64)
            (i32.const 1) i32.add call $throws_one unreachable
        catch $two
        catch $one
            (i64.const 0x200000000)
        end
        (i64.const 32) i64.shr_u i32.wrap_i64 i32.mul i32.add",
        5,
        15,
    );
}

#[test]
fn legacy_rethrow() {
    returns(
        "i32.const 1000
        try (result i32)
            try (result i32)
                (call $throws_one (i32.const 5)) i32.const 0
            catch $one
                local.set $i
                try call $throws catch_all rethrow 1 end
                i32.const 0
            end
        catch $one
            local.get $i i32.mul
        end
        i32.add",
        0,
        1025,
    );
    // The result moves below the reference.
    returns(
        "i32.const 3
        try (result i32)
            (call $throws_one (i32.const 5)) i32.const 0
        catch $one
            local.get $x i32.eqz if rethrow 1 end
            i32.const 2 i32.add
        end
        i32.add",
        1,
        10,
    );
    assert_eq!(body("try call $throws_two catch_all rethrow 0 end i32.const 0", 0), SimulationEnd::Uncaught(2));
}

#[test]
fn legacy_delegate() {
    returns(
        "try $outer (result i32)
            try (result i32)
                try call $throws delegate $outer
                i32.const 0
            catch_all
                i32.const 1
            end
        catch_all
            i32.const 2
        end",
        0,
        2,
    );
    // To a block within a try, to its clause, and to the function.
    returns(
        "try (result i32)
            block $b (result i32)
                try (result i32)
                    try (result i32) call $throws i32.const 0 delegate $b
                catch_all
                    i32.const 1
                end
            end
        catch_all
            i32.const 2
        end",
        0,
        2,
    );
    returns(
        "try (result i32)
            try $c (result i32)
                call $throws i32.const 0
            catch_all
                try (result i32) call $throws i32.const 0 delegate $c
            end
        catch_all
            i32.const 2
        end",
        0,
        2,
    );
    assert_eq!(body("try try call $throws delegate 1 catch_all end i32.const 0", 0), SimulationEnd::Uncaught(0));
    returns("try (result i32) try (result i32) local.get $x delegate 0 catch_all i32.const 2 end", 5, 5);
    returns("i32.const 7 try (param i32) (result i32) local.get $x i32.add delegate 0", 5, 12);
}

/// wasmparser permits both forms in a module; no version of the specification does.
#[test]
fn both_forms_are_refused() {
    for text in [
        "(func try catch_all end (block $h (try_table (catch_all $h))))",
        "(func (block $h (try_table (catch_all $h)))) (func try catch_all end)",
        "(func try (throw_ref (ref.null exn)) catch_all end)",
    ] {
        match refusal(&format!("(module {text})")) {
            Error::Invalid(text, _) => assert_eq!(text, "legacy and standard exceptions in one module"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn unreachable_code() {
    returns(
        "(block $h (return (i32.const 3)) (try_table (catch_all $h) (call $throws) (try_table (catch_all $h))))
        (i32.const 1)",
        0,
        3,
    );
    returns(
        "(block $h (try_table (catch_all $h) (throw $none) ref.null exn throw_ref))
        (i32.const 1)",
        0,
        1,
    );
    returns("try (throw $none) try unreachable catch_all end try delegate 0 catch_all end (i32.const 1)", 0, 1);
    returns("try (result i32) (return (i32.const 4)) catch_all i32.const 1 rethrow 0 end", 0, 4);
    // A try that never ends normally, below operands.
    returns(
        "(i32.const 5)
        (block $h (try_table (catch_all $h) (loop $l (call $throws) (br $l))) (unreachable))
        (i32.const 6) i32.add",
        0,
        11,
    );
}

#[test]
fn a_start_function_throws() {
    let wasm = wat::parse_str(r#"(module (tag $a) (tag (export "b")) (func $s (throw 1)) (start $s))"#).expect("text");
    let compiled = compiler::compile(&wasm, CompilerOptions::default()).expect("a module that compiles");
    compiled.check().expect("code that the checker accepts");
    let program = Program::read(&wasm).expect("a module");
    let mut simulator = Simulator::new(&compiled, &program, 1 << 16).expect("an instance");
    let start = program.start.expect("a start function");
    assert_eq!(simulator.run(start, &mut Successor), SimulationEnd::Uncaught(1));
    assert_eq!(program.uncaught(0), "uncaught exception: tag 0");
    assert_eq!(program.uncaught(1), "uncaught exception: tag 1 (b)");
}

/// Calls `run` without stress, and returns the end and the number of exceptions in memory.
fn run_long(text: &str) -> (SimulationEnd, usize) {
    Guest::new(text, CompilerOptions::default()).run(None, &mut Successor)
}

#[test]
fn garbage_is_collected() {
    let text = |count: u32| {
        format!(
            r#"(module
                (tag $t (param i64))
                (func (export "run") (result i32) (local $i i32) (local $e exnref)
                    (loop $next
                        (block $again
                            (try_table (catch_all $again)
                                (block $h (result exnref)
                                    (try_table (catch_all_ref $h) (throw $t (i64.const 1)))
                                    (unreachable))
                                (local.tee $e)
                                (throw_ref)))
                        (br_if $next
                            (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {count}))))
                    (local.get $i)))"#
        )
    };
    let (end, live) = run_long(&text(100_000));
    assert_eq!(end, SimulationEnd::Returned(100_000));
    assert!(live <= 1024, "{live} exceptions are live");
}

/// A list of exceptions, each of which has the one before as its value, and a table of others.
#[test]
fn live_exceptions_are_kept() {
    let text = r#"(module
        (tag $link (param exnref i32))
        (table $kept 5000 exnref)
        (func $link (param $before exnref) (param $number i32) (result exnref)
            (block $h (result exnref)
                (try_table (catch_all_ref $h) (throw $link (local.get $before) (local.get $number)))
                (unreachable)))
        (func $unlink (param $link exnref) (result exnref i32)
            (block $h (result exnref i32) (try_table (catch $link $h) (throw_ref (local.get $link))) (unreachable)))
        (func (export "run") (result i32) (local $i i32) (local $sum i32) (local $list exnref)
            (loop $next
                (local.set $list (call $link (local.get $list) (local.get $i)))
                (table.set $kept (local.get $i) (call $link (ref.null exn) (local.get $i)))
                (drop (call $link (ref.null exn) (local.get $i)))
                (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 5000))))
            (loop $next
                (call $unlink (local.get $list))
                (local.set $sum (i32.add (local.get $sum)))
                (local.set $list)
                (local.set $i (i32.sub (local.get $i) (i32.const 1)))
                (call $unlink (table.get $kept (local.get $i)))
                (local.set $sum (i32.add (local.get $sum)))
                (drop)
                (br_if $next (i32.eqz (ref.is_null (local.get $list)))))
            (local.get $sum)))"#;
    let text = text.replace("(local.set $sum (i32.add (local.get $sum)))", "local.get $sum i32.add local.set $sum");
    let (end, live) = run_long(&text);
    assert_eq!(end, SimulationEnd::Returned(4999 * 5000));
    assert!((10_000..=40_000).contains(&live), "{live} exceptions are live");
}

/// An exception that is caught without a reference is freed at once.
#[test]
fn caught_exceptions_are_freed() {
    let module = r#"(module
        (tag $t (param i32))
        (func (export "run") (result i32) (local $i i32)
            (loop $next
                (block $h (result i32) (try_table (catch $t $h) (throw $t (local.get $i))) (unreachable))
                (drop)
                (block $h (try_table (catch_all $h) (throw $t (local.get $i))))
                (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 50))))
            (local.get $i)))"#;
    assert_eq!(run_long(module), (SimulationEnd::Returned(50), 0));
}

fn refusal(text: &str) -> Error {
    let wasm = wat::parse_str(text).expect("text");
    compiler::compile(&wasm, CompilerOptions::default()).expect_err("the module is refused")
}

#[test]
fn invalid_modules_are_refused() {
    let invalid = [
        // Delegate beyond the function.
        "(func try delegate 1)",
        "(func (throw 0))",
        "(func (try_table (catch 0 0)))",
        "(tag (param i32)) (func (throw 0))",
        "(tag (param i32)) (func (throw 0 (i64.const 0)))",
        "(tag (result i32))",
        "(type $t (func (result i32))) (tag (type $t))",
        "(tag (param i32)) (func (try_table (catch 0 0)))",
        "(tag) (func (try_table (catch_ref 0 0)))",
        "(func (try_table (catch_all_ref 0)))",
        "(func (result exnref) (try_table (catch_all 0)) (unreachable))",
        "(func (try_table (catch_all 1)))",
        "(func (throw_ref))",
        "(func (throw_ref (ref.null func)))",
        "(func try rethrow 0 catch_all end)",
        "(func block rethrow 0 end)",
        "(func try catch_all rethrow 1 end)",
        "(tag) (func try catch_all catch 0 end)",
        "(tag) (func try catch_all catch_all end)",
        "(tag) (func try catch 1 end)",
        "(tag) (func block catch 0 end)",
        "(func block catch_all end)",
        "(func block delegate 0)",
        "(global exnref (ref.null func))",
        "(func (result exnref) (i64.const 0x7ec5000000000000))",
    ];
    for text in invalid {
        let module = format!("(module {text})");
        let wasm = wat::parse_str(&module).expect(text);
        match compiler::compile(&wasm, CompilerOptions::default()) {
            Err(Error::Invalid(..)) => {}
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn tags_with_many_values() {
    let params = |count: usize| "i64 ".repeat(count);
    let text = |count: usize| {
        let values = "(i64.const 7) ".repeat(count);
        let dropped = "drop ".repeat(count);
        format!(
            r#"(module (tag $t (param {}))
                (func (export "run") (result i32)
                    (block $h (result {} exnref)
                        (try_table (catch_ref $t $h) {values} throw $t)
                        (unreachable))
                    {dropped} drop
                    (i32.const 3)))"#,
            params(count),
            params(count),
        )
    };
    assert_eq!(run(&text(900), [0; 5]), SimulationEnd::Returned(3));
    let text = format!("(module (tag (param {})) (func))", params(1000));
    assert!(compiler::compile(&wat::parse_str(text).expect("text"), CompilerOptions::default()).is_ok());
}

#[test]
fn imported_tags_are_refused() {
    let error = refusal(r#"(module (import "env" "tag" (tag)) (func (throw 0)))"#);
    assert!(matches!(error, Error::Unsupported(_)), "{error}");
}

/// Code of modules without tags is as it was.
#[test]
fn calls_without_tags_have_no_checks() {
    let module = |tag: &str| {
        let text = format!("(module {tag} (func $f) (func (call $f)))");
        let compiled =
            compiler::compile(&wat::parse_str(text).expect("text"), CompilerOptions::default()).expect("a module");
        compiled.functions[1].code.len()
    };
    // A load, a jump and a return.
    assert_eq!(module("(tag)"), module("") + 3);
}
