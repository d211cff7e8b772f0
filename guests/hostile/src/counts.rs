// SPDX-License-Identifier: GPL-2.0

//! Large numbers of functions, types, globals, segments, imports, exports and locals.

use crate::{
    Guests,
    wasm::{
        I32,
        I64,
        Module,
        PLAIN,
        Section,
        body,
        export,
        function_type,
        i32_const,
        import,
        list,
        number,
        sized,
        vector, //
    },
};

/// Makes a program with `count` functions, all with this body.
fn functions(count: usize, body: &[u8]) -> Module {
    Module::program(&[(Section::Function, vector(count, &[0])), (Section::Code, vector(count, body))])
}

fn many_functions(guests: &mut Guests) {
    let empty = body(&[], &[]);
    guests.add("functions-500000", "exit 0", functions(500_000, &empty));
    guests.add("functions-1000001", "limit functions", functions(1_000_001, &empty));
    guests.add_with("functions-100001", "--functions 100000", "limit functions", functions(100_001, &empty));
    guests.add("functions-100000", "exit 0", functions(100_000, &empty));
    // Locals are encoded as a count: a few bytes stand for 50,000 locals.
    let locals = |count| body(&[(count, I64)], &[]);
    guests.add_with("locals-50000", "--locals 50000", "refused not valid Wasm", functions(1, &locals(50_000)));
    guests.add("locals-30000", "limit locals", functions(1, &locals(30_000)));
    guests.add_with("locals-30000-asked-for", "--locals 30000", "exit 0", functions(1, &locals(30_000)));
    guests.add_with("locals-30000-in-1000", "--locals 50000", "exit 0", functions(1_000, &locals(30_000)));
    guests.add_with(
        "locals-30000-in-100000",
        "--timeout 1s --locals 50000",
        "limit time",
        functions(100_000, &locals(30_000)),
    );
    let groups = [(1, I32), (1, I64)].repeat(15_000);
    guests.add_with("locals-groups", "--locals 50000", "exit 0", functions(20, &body(&groups, &[])));
    let nothing = body(&vec![(0, I64); 30_000], &[]);
    guests.add("locals-empty-groups", "exit 0", functions(20, &nothing));
    // Each call takes 240,000 bytes of the value stack.
    let deep = body(&[(30_000, I64)], &[0x10, 0]);
    guests.add_with("recursion-30000-locals", "--locals 50000", "limit stack", functions(1, &deep));
}

fn many_types(guests: &mut Guests) {
    let count = 50_000;
    let plain = |count| Module::program(&[(Section::Type, vector(count, PLAIN))]);
    guests.add("types-200000", "exit 0", plain(200_000));
    // Each type takes three bytes in the module, and some 190 in the engine.
    guests.add_with("types-1000000", "--code 32M", "limit code", plain(1_000_000));
    // Different types, so that each must be looked up among the others.
    let kinds = [0x7f, 0x7e, 0x7d, 0x7c];
    let different = |index: usize| {
        let params: Vec<u8> = (0..10).map(|digit| kinds[index >> (2 * digit) & 3]).collect();
        function_type(&params, &[])
    };
    let types: Vec<_> = std::iter::once(PLAIN.to_vec()).chain((0..count).map(different)).collect();
    guests.add("types-different", "exit 0", Module::program(&[(Section::Type, list(&types))]));
    let wide = |index: usize| {
        let mut params = vec![I64; 1000];
        for (digit, param) in params.iter_mut().rev().take(10).enumerate() {
            *param = kinds[index >> (2 * digit) & 3];
        }
        function_type(&params, &[I64; 1000])
    };
    let types: Vec<_> = std::iter::once(PLAIN.to_vec()).chain((0..1000).map(wide)).collect();
    guests.add("types-wide", "limit arity", Module::program(&[(Section::Type, list(&types))]));
    let widest = function_type(&[I64; 1001], &[]);
    let types = list(&[PLAIN.to_vec(), widest]);
    guests.add("types-1001-params", "refused not valid Wasm", Module::program(&[(Section::Type, types)]));
    let widest = function_type(&[], &[I64; 1001]);
    let types = list(&[PLAIN.to_vec(), widest]);
    guests.add("types-1001-results", "refused not valid Wasm", Module::program(&[(Section::Type, types)]));
}

fn many_names(guests: &mut Guests) {
    let exports: Vec<_> =
        (0..100_000).map(|index| export(format!("{index:x}").as_bytes(), 0)).chain([export(b"_start", 0)]).collect();
    guests.add("exports-100000", "exit 0", Module::program(&[(Section::Export, list(&exports))]));
    let prefix = "a".repeat(10_000);
    let exports: Vec<_> =
        (0..200).map(|index| export(format!("{prefix}{index}").as_bytes(), 0)).chain([export(b"_start", 0)]).collect();
    guests.add("exports-alike", "exit 0", Module::program(&[(Section::Export, list(&exports))]));
    let imports = vector(100_000, &import(b"e", b"f", 0));
    guests.add("imports-100000", "refused missing imports", Module::program(&[(Section::Import, imports)]));
    // Each character takes six bytes when it is escaped.
    let imports = vector(20, &import(&[7; 50_000], &[7; 50_000], 0));
    guests.add("imports-escaped", "refused missing imports", Module::program(&[(Section::Import, imports)]));
    let yields = vector(50_000, &import(b"wasi_snapshot_preview1", b"sched_yield", 1));
    let yields = Module::program(&[
        (Section::Type, list(&[PLAIN.to_vec(), function_type(&[], &[I32])])),
        (Section::Import, yields),
        (Section::Export, list(&[export(b"_start", 50_000)])),
    ]);
    guests.add("imports-yield-50000", "exit 0", yields);
}

fn many_globals_and_segments(guests: &mut Guests) {
    let globals = |count| Module::program(&[(Section::Global, vector(count, &[I32, 1, 0x41, 0, 0x0b]))]);
    guests.add("globals-10000", "exit 0", globals(10_000));
    guests.add("globals-10001", "limit globals", globals(10_001));
    guests.add("globals-400000", "limit globals", globals(400_000));

    let memory = |pages| (Section::Memory, [vec![1, 0], number(pages)].concat());
    let data = |count, item: &[u8]| Module::program(&[memory(1), (Section::Data, vector(count, item))]);
    let active = [&[0, 0x41, 0, 0x0b][..], &sized(b"x")].concat();
    guests.add("data-10000", "exit 0", data(10_000, &active));
    guests.add("data-100000", "exit 0", data(100_000, &active));
    guests.add("data-100000-passive", "exit 0", data(100_000, &[1, 0]));
    guests.add("data-100001", "limit data-segments", data(100_001, &[1, 0]));
    let large = vec![0; 2 << 20];
    guests.add("data-2m-passive", "exit 0", data(1, &[&[1][..], &sized(&large)].concat()));
    guests.add("data-2m-out-of-bounds", "refused cannot be instantiated", {
        data(1, &[&[0, 0x41, 0, 0x0b][..], &sized(&large)].concat())
    });
    // 16 active segments of 64 KiB at one address.
    let page = [&[0, 0x41, 0, 0x0b][..], &sized(&[7; 65536])].concat();
    guests.add("data-overlapping", "exit 0", data(16, &page));

    let table = |elements| (Section::Table, [vec![1, 0x70, 0], number(elements)].concat());
    let elements = |count, item: &[u8]| Module::program(&[table(1), (Section::Element, vector(count, item))]);
    let active = [&[0, 0x41, 0, 0x0b][..], &vector(1, &[0])].concat();
    guests.add("elements-10000", "exit 0", elements(10_000, &active));
    guests.add("elements-10001", "limit element-segments", elements(10_001, &active));
    guests.add("elements-100001", "limit element-segments", elements(100_001, &[1, 0, 0]));
    // One byte for each element, and three for each expression.
    let items = [vec![1, 0], vector(1_000_000, &[0])].concat();
    guests.add("elements-1000000-items", "exit 0", elements(1, &items));
    let expressions = [vec![5, 0x70], vector(300_000, &[0xd2, 0, 0x0b])].concat();
    guests.add("elements-300000-expressions", "exit 0", elements(1, &expressions));
    let items = [&[0, 0x41, 0, 0x0b][..], &vector(900_000, &[0])].concat();
    let filled = vec![table(900_000), (Section::Element, list(&[items]))];
    guests.add("elements-900000-active", "exit 0", Module::program(&filled));

    let tables = |count, size: usize| {
        Module::program(&[(Section::Table, vector(count, &[vec![0x70, 0], number(size)].concat()))])
    };
    guests.add("tables-100", "exit 0", tables(100, 1000));
    guests.add("tables-101", "refused not valid Wasm", tables(101, 0));
    guests.add("tables-100-of-100000", "limit table", tables(100, 100_000));
    // An expression of half a million constants that are never used.
    let constants = [&[1, I32, 0][..], &i32_const(0).repeat(500_000), &[0x0b]].concat();
    guests.add("global-of-constants", ENDS, Module::program(&[(Section::Global, constants)]));
}

/// End of guests with a constant expression that is too long.
const ENDS: &str = "refused a constant expression has more than 64 instructions";

/// Constant expressions of sums. An engine that evaluates or frees them by recursion needs stack in
/// proportion to their length: for 2,000 numbers more than 64 KiB, for 600,000 more than any stack.
fn long_expressions(guests: &mut Guests) {
    // Nested on the left, ((1 + 1) + 1) + 1, and on the right, 1 + (1 + (1 + 1)).
    let left = |count| [i32_const(0), [0x41, 1, 0x6a].repeat(count), vec![0x0b]].concat();
    let right = |count| [[0x41, 1].repeat(count), vec![0x6a; count - 1], vec![0x0b]].concat();
    let global = |sum: Vec<u8>| vec![(Section::Global, [vec![1, I32, 0], sum].concat())];
    for (name, sum) in [
        ("global-sum-2000", left(2_000)),
        ("global-sum-right-2000", right(2_000)),
        ("global-sum-600000", left(600_000)),
        ("global-sum-right-300000", right(300_000)),
    ] {
        guests.add(name, ENDS, Module::program(&global(sum)));
    }
    // Offsets of segments.
    let data = [vec![1, 0], left(2_000), vec![0]].concat();
    let data = vec![(Section::Memory, vec![1, 0, 1]), (Section::Data, data)];
    guests.add("data-offset-sum", ENDS, Module::program(&data));
    let element = [vec![1, 0], left(2_000), vec![0]].concat();
    let element = vec![(Section::Table, vec![1, 0x70, 0, 1]), (Section::Element, element)];
    guests.add("element-offset-sum", ENDS, Module::program(&element));
    // An expression that is dropped early, because the module is invalid after it.
    let broken = Module::program(&global(left(600_000))).raw(&[0x7f, 1, 0]);
    guests.add("global-sum-broken", ENDS, broken);
}

pub(crate) fn add(guests: &mut Guests) {
    many_functions(guests);
    many_types(guests);
    many_names(guests);
    many_globals_and_segments(guests);
    long_expressions(guests);
}
