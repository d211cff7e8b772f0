// SPDX-License-Identifier: GPL-2.0

//! Loads and stores out of bounds: each instruction at the edge of memory, and at the largest
//! address with the largest offset.

use crate::{
    Guests,
    wasm::{
        Module,
        Section,
        body,
        i32_const,
        list, //
    },
};

/// Instruction that accesses memory.
struct Access {
    name: &'static str,
    opcode: u8,
    /// Size of the access, in bytes.
    width: i32,
    /// Code of the value that a store stores; empty for a load.
    value: &'static [u8],
}

const I32: &[u8] = &[0x41, 0];
const I64: &[u8] = &[0x42, 0];
const F32: &[u8] = &[0x43, 0, 0, 0, 0];
const F64: &[u8] = &[0x44, 0, 0, 0, 0, 0, 0, 0, 0];

const fn load(name: &'static str, opcode: u8, width: i32) -> Access {
    Access { name, opcode, width, value: &[] }
}

const fn store(name: &'static str, opcode: u8, width: i32, value: &'static [u8]) -> Access {
    Access { name, opcode, width, value }
}

const ACCESSES: [Access; 23] = [
    load("i32.load", 0x28, 4),
    load("i64.load", 0x29, 8),
    load("f32.load", 0x2a, 4),
    load("f64.load", 0x2b, 8),
    load("i32.load8_s", 0x2c, 1),
    load("i32.load8_u", 0x2d, 1),
    load("i32.load16_s", 0x2e, 2),
    load("i32.load16_u", 0x2f, 2),
    load("i64.load8_s", 0x30, 1),
    load("i64.load8_u", 0x31, 1),
    load("i64.load16_s", 0x32, 2),
    load("i64.load16_u", 0x33, 2),
    load("i64.load32_s", 0x34, 4),
    load("i64.load32_u", 0x35, 4),
    store("i32.store", 0x36, 4, I32),
    store("i64.store", 0x37, 8, I64),
    store("f32.store", 0x38, 4, F32),
    store("f64.store", 0x39, 8, F64),
    store("i32.store8", 0x3a, 1, I32),
    store("i32.store16", 0x3b, 2, I32),
    store("i64.store8", 0x3c, 1, I64),
    store("i64.store16", 0x3d, 2, I64),
    store("i64.store32", 0x3e, 4, I64),
];

const PAGE: i32 = 65536;
/// Offset 2^32 - 1 in LEB128.
const LARGEST: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0x0f];

/// Encodes an access at `address`. Constant and variable addresses are different instructions in
/// the engine.
fn access(access: &Access, address: &[u8], offset: &[u8]) -> Vec<u8> {
    let mut code = [address, access.value, &[access.opcode, 0], offset].concat();
    if access.value.is_empty() {
        code.push(0x1a);
    }
    code
}

fn program(code: &[u8]) -> Module {
    let memory = [0, 1];
    Module::program(&[(Section::Memory, list(&[memory])), (Section::Code, list(&[body(&[(1, 0x7f)], code)]))])
}

pub(crate) fn add(guests: &mut Guests) {
    const ENDS: &str = "trap out of bounds memory access";
    for each in &ACCESSES {
        let set = |address: i32| [i32_const(address), vec![0x21, 0]].concat();
        let variable: &[u8] = &[0x20, 0];
        let last = PAGE - each.width;
        // The last bytes of memory are in bounds, by a constant, a variable and an offset; one byte
        // further is out of bounds.
        let inside = [
            access(each, &i32_const(last), &[0]),
            set(last),
            access(each, variable, &[0]),
            set(0),
            access(each, variable, &crate::wasm::number(usize::try_from(last).unwrap_or(0))),
        ]
        .concat();
        let name = each.name.replace('.', "-");
        let edge = [inside.clone(), set(last + 1), access(each, variable, &[0])].concat();
        guests.add(&format!("edge-{name}"), ENDS, program(&edge));
        let edge = [inside, access(each, &i32_const(last + 1), &[0])].concat();
        guests.add(&format!("edge-constant-{name}"), ENDS, program(&edge));
        let largest = [set(-1), access(each, variable, LARGEST)].concat();
        guests.add(&format!("largest-{name}"), ENDS, program(&largest));
        // Address and offset add up to 2^32 + 8, which would be in bounds with wrap-around.
        let wrapping = [set(16), access(each, variable, &[0xf8, 0xff, 0xff, 0xff, 0x0f])].concat();
        guests.add(&format!("wrapping-{name}"), ENDS, program(&wrapping));
    }
}
