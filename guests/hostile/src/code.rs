// SPDX-License-Identifier: GPL-2.0

//! Functions that are hard to validate or to translate. They are not called, except where a comment
//! says so.

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
        list,
        number,
        vector, //
    },
};

/// Approximate maximum of a function's code, in bytes.
const SIZE: usize = 120_000;

/// Upper bound of the targets of a `br_table`.
const TARGETS_MAX: usize = 65_520;

/// Options of guests that take seconds to validate or to translate on any processor.
const SLOW: &str = "--timeout 1s --arity 1000";

const UNREACHABLE: u8 = 0x00;
const BLOCK: u8 = 0x02;
const LOOP: u8 = 0x03;
const IF: u8 = 0x04;
const ELSE: u8 = 0x05;
const END: u8 = 0x0b;
const BR: u8 = 0x0c;
const BR_IF: u8 = 0x0d;
const BR_TABLE: u8 = 0x0e;
const RETURN: u8 = 0x0f;
const CALL: u8 = 0x10;
const DROP: u8 = 0x1a;
const LOCAL_GET: u8 = 0x20;
const LOCAL_SET: u8 = 0x21;
const LOCAL_TEE: u8 = 0x22;
const EMPTY: u8 = 0x40;

/// Makes a program with `count` functions with this code, which are never called.
fn copies(count: usize, types: &[Vec<u8>], locals: &[(usize, u8)], code: &[u8]) -> Module {
    let types = [&[PLAIN.to_vec()], types].concat();
    let bodies = [number(count + 1), body(&[], &[]), body(locals, code).repeat(count)].concat();
    Module::program(&[
        (Section::Type, list(&types)),
        (Section::Function, vector(count + 1, &[0])),
        (Section::Code, bodies),
    ])
}

/// Repeats `item` until the function is full.
fn full(item: &[u8]) -> Vec<u8> {
    item.repeat(SIZE / item.len())
}

/// Returns `count` copies of `open`, then `middle`, then `count` copies of `close`.
fn nested(count: usize, open: &[u8], middle: &[u8], close: &[u8]) -> Vec<u8> {
    [open.repeat(count), middle.to_vec(), close.repeat(count)].concat()
}

fn large(guests: &mut Guests) {
    let constants = full(&[i32_const(0x0765_4321), vec![DROP]].concat());
    guests.add("code-constants", "exit 0", copies(16, &[], &[], &constants));
    let too_large = [i32_const(0), vec![DROP]].concat().repeat(5_600_000);
    guests.add("code-too-large", "limit function-size", Module::code(&[], &[], &too_large));
    // Dead code is validated, but not translated.
    let dead = [vec![UNREACHABLE], full(&[0x6a])].concat();
    guests.add("code-dead", "exit 0", copies(16, &[], &[], &[dead, vec![DROP]].concat()));
    let additions = [full(&[0x41, 0]), vec![0x6a; SIZE / 2 - 1], vec![DROP]].concat();
    guests.add("code-additions", "exit 0", copies(1, &[], &[], &additions));
    let deep = [full(&[0x41, 0]), vec![UNREACHABLE]].concat();
    guests.add("code-deep-stack", "exit 0", copies(1, &[], &[], &deep));
}

fn nesting(guests: &mut Guests) {
    let depth = SIZE / 3;
    let block = nested(depth, &[BLOCK, EMPTY], &[], &[END]);
    guests.add("nested-blocks", "exit 0", copies(4, &[], &[], &block));
    let loops = nested(depth, &[LOOP, EMPTY], &[], &[END]);
    guests.add("nested-loops", "exit 0", copies(4, &[], &[], &loops));
    let ifs = nested(SIZE / 5, &[LOCAL_GET, 0, IF, EMPTY], &[], &[END]);
    guests.add("nested-ifs", "exit 0", copies(4, &[], &[(1, I32)], &ifs));
    let elses = nested(SIZE / 7, &[LOCAL_GET, 0, IF, EMPTY], &[], &[ELSE, LOCAL_GET, 0, DROP, END]);
    guests.add("nested-elses", "exit 0", copies(4, &[], &[(1, I32)], &elses));
    let results = [nested(depth, &[BLOCK, I64], &[0x42, 0], &[END]), vec![DROP]].concat();
    guests.add("nested-results", "exit 0", copies(4, &[], &[], &results));
    // Each block has a branch out of all blocks.
    let mut out = Vec::new();
    let mut depth = 0;
    while out.len() + depth + 8 < SIZE {
        out.extend([BLOCK, EMPTY, LOCAL_GET, 0, BR_IF]);
        out.extend(number(depth));
        depth += 1;
    }
    out.extend(vec![END; depth]);
    guests.add("nested-branches-out", "exit 0", copies(4, &[], &[(1, I32)], &out));
    let run = nested(SIZE / 3, &[BLOCK, EMPTY], &[BR, 0], &[END]);
    guests.add("nested-blocks-run", "exit 0", Module::code(&[], &[], &run));
    // Loops with 1,000 parameters each.
    let types = [function_type(&[I64; 1000], &[I64; 1000])];
    let values = [0x42, 0].repeat(1000);
    let wide = |open: u8| {
        let nest = nested((SIZE - 3000) / 3, &[open, 1], &[], &[END]);
        [values.clone(), nest, vec![DROP; 1000]].concat()
    };
    guests.add_with("nested-blocks-of-1000", SLOW, "limit time", copies(4, &types, &[], &wide(BLOCK)));
    guests.add_with("nested-loops-of-1000", SLOW, "limit time", copies(4, &types, &[], &wide(LOOP)));
    let ifs = nested((SIZE - 3000) / 5, &[0x41, 0, IF, 1], &[], &[END]);
    let ifs = [values.clone(), ifs, vec![DROP; 1000]].concat();
    guests.add_with("nested-ifs-of-1000", SLOW, "limit time", copies(4, &types, &[], &ifs));
    let row = [values.clone(), [BLOCK, 1, END].repeat(SIZE / 3 - 2000), vec![DROP; 1000]].concat();
    guests.add_with("blocks-of-1000", SLOW, "limit time", copies(4, &types, &[], &row));
    let dead = [vec![UNREACHABLE], nested((SIZE - 3000) / 3, &[BLOCK, 1], &[], &[END]), vec![DROP; 1000]].concat();
    guests.add_with("nested-dead-of-1000", SLOW, "limit time", copies(4, &types, &[], &dead));
}

fn branches(guests: &mut Guests) {
    // Many branches to one target, which must all be patched when it is known.
    let chain = [vec![BLOCK, EMPTY], full(&[LOCAL_GET, 0, BR_IF, 0]), vec![END]].concat();
    guests.add("branches-to-one-end", "exit 0", copies(4, &[], &[(1, I32)], &chain));
    let back = [vec![LOOP, EMPTY], full(&[LOCAL_GET, 0, BR_IF, 0]), vec![END]].concat();
    guests.add("branches-to-one-loop", "exit 0", copies(4, &[], &[(1, I32)], &back));
    let returns = full(&[LOCAL_GET, 0, BR_IF, 0]);
    guests.add("branches-to-return", "exit 0", copies(4, &[], &[(1, I32)], &returns));

    let table = |targets: usize| [vec![LOCAL_GET, 0, BR_TABLE], vector(targets, &[0]), vec![0]].concat();
    let beyond = [vec![BLOCK, EMPTY], table(TARGETS_MAX + 1), vec![END]].concat();
    guests.add("table-of-too-many", "refused more than 65520 targets", copies(1, &[], &[(1, I32)], &beyond));
    let one = [vec![BLOCK, EMPTY], table(TARGETS_MAX), vec![END]].concat();
    guests.add("table-of-branches", "exit 0", copies(1, &[], &[(1, I32)], &one));
    guests.add("table-of-branches-16", "exit 0", copies(16, &[], &[(1, I32)], &one));
    let small = [vec![BLOCK, EMPTY], table(1), vec![END]].concat();
    guests.add("tables-of-branches-many", "exit 0", copies(4, &[], &[(1, I32)], &full(&small)));
    // Targets at every depth.
    let depth = 10_000;
    let targets: Vec<_> = (0..SIZE / 4).map(|index| number(index % depth)).collect();
    let deep = [[BLOCK, EMPTY].repeat(depth), vec![LOCAL_GET, 0, BR_TABLE], list(&targets), vec![0], vec![END; depth]]
        .concat();
    guests.add("table-of-depths", "exit 0", copies(8, &[], &[(1, I32)], &deep));

    // Each target takes one byte, and each branch carries 1,000 values.
    let types = [function_type(&[], &[I64; 1000])];
    let values = [0x42, 0].repeat(1000);
    let end = [vec![END], vec![DROP; 1000]].concat();
    let wide = [vec![BLOCK, 1], values.clone(), table(TARGETS_MAX), end.clone()].concat();
    guests.add_with(
        "table-of-1000-values",
        "--arity 1000",
        "refused 2096640 values",
        copies(4, &types, &[(1, I32)], &wide),
    );
    let mixed = |count: usize| {
        let targets = [0, 1].repeat(count);
        let table = [vec![LOCAL_GET, 0, BR_TABLE], number(targets.len()), targets, vec![0]].concat();
        [vec![BLOCK, 1, BLOCK, 1], values.clone(), table, vec![END], end.clone()].concat()
    };
    let wide = mixed(1000);
    guests.add_with("table-of-1000-values-mixed", "--arity 1000", "exit 0", copies(4, &types, &[(1, I32)], &wide));
    let conditional = [LOCAL_GET, 0, BR_IF, 0].repeat(SIZE / 4 - 2000);
    let wide = [vec![0x41, 7, BLOCK, 1], values.clone(), conditional, end, vec![DROP]].concat();
    guests.add_with(
        "branches-of-1000-values",
        "--engine interpreter --code 64M --arity 1000",
        "limit code",
        copies(1, &types, &[(1, I32)], &wide),
    );
}

/// Functions with 1,000 parameters and 1,000 results that call one another.
fn wide_calls(guests: &mut Guests) {
    let wide = function_type(&[I64; 1000], &[I64; 1000]);
    let types = list(&[PLAIN.to_vec(), wide]);
    let params: Vec<_> = (0..1000).flat_map(|index| [vec![LOCAL_GET], number(index)].concat()).collect();
    let program = |wide: &[u8], start: &[u8]| {
        Module::program(&[
            (Section::Type, types.clone()),
            (Section::Function, list(&[[0], [1]])),
            (Section::Code, list(&[body(&[], start), body(&[], wide)])),
        ])
    };
    let values = [0x42, 1].repeat(1000);
    let calls = [CALL, 1].repeat(SIZE / 2 - 4000);
    let chain = [params.clone(), calls].concat();
    guests.add_with("calls-of-1000", SLOW, "limit time", program(&chain, &[]));
    let start = [values.clone(), vec![CALL, 1], vec![DROP; 1000]].concat();
    let again = [params.clone(), vec![CALL, 1]].concat();
    guests.add_with("recursion-of-1000", "--arity 1000", "limit stack", program(&again, &start));
    let tail = [params.clone(), vec![0x12, 1]].concat();
    guests.add_with("tail-calls-of-1000", "--fuel 3000000 --arity 1000", "limit fuel", program(&tail, &start));
    let one = [vec![0x41, 0, IF, EMPTY], params.clone(), vec![RETURN, END]].concat();
    let returns = [full(&one), params].concat();
    guests.add_with("returns-of-1000", "--arity 1000", "exit 0", program(&returns, &[]));
}

/// Locals that are set while their old values are on the operand stack and must be kept.
fn locals(guests: &mut Guests) {
    let gets = [LOCAL_GET, 0].repeat(SIZE / 4);
    let one = [gets.clone(), vec![0x42, 0, LOCAL_SET, 0], vec![DROP; SIZE / 4]].concat();
    guests.add("locals-kept", "exit 0", copies(8, &[], &[(1, I64)], &one));
    let again = [full(&[LOCAL_GET, 0, 0x42, 0, LOCAL_SET, 0]), vec![UNREACHABLE]].concat();
    guests.add("locals-kept-again", "exit 0", copies(8, &[], &[(1, I64)], &again));
    let tee = [vec![0x42, 0], full(&[LOCAL_TEE, 0, LOCAL_GET, 0]), vec![UNREACHABLE]].concat();
    guests.add("locals-tee", "exit 0", copies(8, &[], &[(1, I64)], &tee));
    // Blocks within a function that has thousands of locals on its stack.
    let each: Vec<_> = (0..20_000).flat_map(|index| [vec![LOCAL_GET], number(index)].concat()).collect();
    let blocks = [BLOCK, EMPTY, END].repeat(15_000);
    let all = [each.clone(), blocks, vec![UNREACHABLE]].concat();
    guests.add_with("locals-and-blocks", "--locals 50000", "exit 0", copies(8, &[], &[(20_000, I64)], &all));
    let sets: Vec<_> = (0..8_000).flat_map(|index| [vec![0x42, 0, LOCAL_SET], number(index)].concat()).collect();
    let all = [each, sets, vec![UNREACHABLE]].concat();
    guests.add_with("locals-all-set", "--locals 50000", "exit 0", copies(8, &[], &[(20_000, I64)], &all));
    let blocks = full(&[LOCAL_GET, 0, BLOCK, EMPTY, END]);
    let blocks = [blocks, vec![UNREACHABLE]].concat();
    guests.add_with("locals-get-and-block", "--locals 50000", "exit 0", copies(8, &[], &[(5_000, I64)], &blocks));
    let nest = nested(SIZE / 6, &[LOCAL_GET, 0, BLOCK, EMPTY], &[], &[END, DROP]);
    guests.add_with("locals-get-in-blocks", "--locals 50000", "exit 0", copies(8, &[], &[(10_000, I64)], &nest));
}

/// Sequences of expensive instructions without a branch, which are charged before they run.
fn runs(guests: &mut Guests) {
    // 40 functions, each of which calls the one before it twice: 2^40 calls without a loop.
    let count: usize = 40;
    let bodies: Vec<_> = (0..count)
        .map(|index| match index.checked_sub(1) {
            Some(before) => body(&[], &[vec![CALL], number(before), vec![CALL], number(before)].concat()),
            None => body(&[], &[]),
        })
        .collect();
    let doubling = Module::program(&[
        (Section::Function, vector(count, &[0])),
        (Section::Export, list(&[export(b"_start", count - 1)])),
        (Section::Code, list(&bodies)),
    ]);
    guests.add_with("calls-doubling", "--timeout 500ms", "limit time", doubling);
    // Thousands of fills of a whole memory without a loop.
    let fill = [i32_const(0), i32_const(1), i32_const(0x0100_0000), vec![0xfc, 11, 0]].concat();
    let fills = Module::program(&[
        (Section::Memory, [vec![1, 0], number(256)].concat()),
        (Section::Export, list(&[export(b"_start", 0), [&[6][..], b"memory", &[2, 0]].concat()])),
        (Section::Code, list(&[body(&[], &full(&fill))])),
    ]);
    guests.add_with("fills-in-a-row", "--timeout 500ms", "limit time", fills);
    // A call that sets 30,000 locals to zero costs little more fuel than one without locals.
    let called = [LOOP, EMPTY, CALL, 1, BR, 0, END];
    let calls = Module::program(&[
        (Section::Function, list(&[[0], [0]])),
        (Section::Code, list(&[body(&[], &called), body(&[(30_000, I64)], &[])])),
    ]);
    guests.add_with("calls-of-30000-locals", "--timeout 500ms --locals 50000", "limit time", calls);
    let grow = [i32_const(1), vec![0x40, 0, DROP]].concat();
    let grows = Module::program(&[(Section::Memory, vec![1, 0, 0]), (Section::Code, list(&[body(&[], &full(&grow))]))]);
    guests.add_with("grows-in-a-row", "--memory 16M", "limit memory", grows);
}

/// Functions of megabytes. A load of them takes seconds, and can be ended at any time.
fn megabytes(guests: &mut Guests) {
    const MEGABYTES: usize = 1_100_000;
    let full = |item: &[u8]| item.repeat(MEGABYTES / item.len());
    let dropped = full(&[i32_const(0x0765_4321), vec![DROP]].concat());
    guests.add("megabytes-of-constants", "exit 0", copies(1, &[], &[], &dropped));
    let deep = [full(&[0x41, 0]), vec![UNREACHABLE]].concat();
    guests.add("megabytes-of-operands", "refused more registers", copies(1, &[], &[], &deep));
    let blocks = nested(MEGABYTES / 3, &[BLOCK, EMPTY], &[], &[END]);
    guests.add("megabytes-of-blocks", "exit 0", copies(1, &[], &[], &blocks));
    let loops = nested(MEGABYTES / 3, &[LOOP, EMPTY], &[], &[END]);
    guests.add("megabytes-of-loops", "exit 0", copies(1, &[], &[], &loops));
    let branches = [vec![BLOCK, EMPTY], full(&[LOCAL_GET, 0, BR_IF, 0]), vec![END]].concat();
    guests.add("megabytes-of-branches", "exit 0", copies(1, &[], &[(1, I32)], &branches));
    let table = [vec![BLOCK, EMPTY, LOCAL_GET, 0, BR_TABLE], vector(TARGETS_MAX, &[0]), vec![0, END]].concat();
    guests.add("megabytes-of-tables", "exit 0", copies(1, &[], &[(1, I32)], &full(&table)));
    guests.add_with("megabytes-in-no-time", "--timeout 1ms", "limit time", copies(1, &[], &[], &dropped));
}

pub(crate) fn add(guests: &mut Guests) {
    large(guests);
    megabytes(guests);
    nesting(guests);
    branches(guests);
    wide_calls(guests);
    locals(guests);
    runs(guests);
}
