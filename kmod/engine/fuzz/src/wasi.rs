// SPDX-License-Identifier: GPL-2.0

//! Calls the functions of preview 1, whichever there are, with any arguments over any memory. The host looks at what it is
//! asked; the guest looks that it gets an `errno`; and a guest whose calls are interrupted does the same as one whose are not.

use crate::{
    host::{
        Effects,
        FDS_MAX,
        FuzzHost,
        MODULE_LIMITS, //
    },
    oracle::{
        self,
        Left, //
    },
};
use arbitrary::Unstructured;
use kwasmi_engine::{
    ffi::{
        Ending,
        InstanceLimits, //
    },
    host::End,
    instance::{
        Instance,
        Outcome, //
    },
    module::{
        Module,
        Options, //
    },
    wasi::{
        FUNCTIONS, Signature,
        abi::{
            Errno,
            Rights, //
        },
    },
};
use std::collections::BTreeMap;
use wasm_encoder::{
    BlockType,
    CodeSection,
    ConstExpr,
    DataSection,
    EntityType,
    ExportKind,
    ExportSection,
    Function,
    FunctionSection,
    ImportSection,
    Instruction,
    MemorySection,
    MemoryType,
    TypeSection,
    ValType, //
};

/// The size of the guest's memory in bytes.
const MEMORY: u32 = 65_536;

/// The most calls of one guest.
const CALLS_MAX: usize = 12;

/// Where operations of `kwasmi_batch_1` are.
const OPS: usize = 64;

/// The most bytes of memory that are not 0 at first, but for the operations.
const CONTENTS_MAX: usize = 4096;

const LIMITS: InstanceLimits =
    InstanceLimits { memory: MEMORY as u64, table: 0, fds: FDS_MAX as u64, fuel: 10_000_000 };

/// A call of one of [`FUNCTIONS`].
struct Call {
    function: usize,
    args: Vec<u64>,
}

/// What a guest does.
struct Script {
    /// Of each descriptor, its own and those that are inherited.
    rights: Vec<(Rights, Rights)>,
    transfer_max: usize,
    interruptions: u32,
    calls: Vec<Call>,
    contents: Vec<u8>,
}

/// Does what `data` says.
pub fn fuzz(data: &[u8]) {
    let Ok(script) = Script::read(&mut Unstructured::new(data)) else {
        return;
    };
    let wasm = script.module();
    let module = match Module::new(&wasm, Options { limits: MODULE_LIMITS, fault_injection: false }) {
        Ok(module) => module,
        Err(refusal) => panic!("{refusal}"),
    };
    let undisturbed = script.run(&module, 0);
    if script.interruptions != 0 {
        let interrupted = script.run(&module, script.interruptions);
        assert_eq!(
            (undisturbed.0, &undisturbed.1, &undisturbed.2),
            (interrupted.0, &interrupted.1, &interrupted.2),
            "interruptions are seen"
        );
        for (ours, other) in undisturbed.3.values().zip(interrupted.3.values()) {
            assert!(ours == other, "interruptions are seen: {}", ours.difference(other));
        }
    }
}

/// A number as arguments are: a descriptor, an address, an address at the end of memory, a length, a flag, or anything.
fn argument(input: &mut Unstructured<'_>) -> arbitrary::Result<u64> {
    Ok(match input.arbitrary::<u8>()? % 8 {
        0 | 1 => u64::from(input.arbitrary::<u8>()? % 8),
        2 => u64::from(input.arbitrary::<u16>()? % 4096),
        3 => OPS as u64 + 48 * u64::from(input.arbitrary::<u8>()? % 8),
        4 => u64::from(MEMORY) - u64::from(input.arbitrary::<u8>()?),
        5 => 1 << (input.arbitrary::<u8>()? % 64),
        6 => u64::from(input.arbitrary::<u32>()?),
        _ => input.arbitrary()?,
    })
}

/// An operation of `kwasmi_batch_1`.
fn op(input: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    let mut op = Vec::new();
    op.extend(argument(input)?.to_le_bytes());
    op.extend((if input.arbitrary()? { 0 } else { argument(input)? }).to_le_bytes());
    op.extend(&argument(input)?.to_le_bytes()[..4]);
    op.extend([input.arbitrary::<u8>()? % 10, input.arbitrary::<u8>()? % 8]);
    op.extend((if input.arbitrary()? { u16::MAX } else { 0 }).to_le_bytes());
    for _ in 0..4 {
        op.extend(&argument(input)?.to_le_bytes()[..4]);
    }
    op.extend(input.arbitrary::<u64>()?.to_le_bytes());
    Ok(op)
}

impl Script {
    fn read(input: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        let mut rights = Vec::new();
        for _ in 0..input.int_in_range(0..=6)? {
            let mut some = || Ok(Rights::from_raw(input.arbitrary::<u64>()? & Rights::ALL.bits()).unwrap_or_default());
            rights.push((some()?, some()?));
        }
        let transfer_max = usize::from(input.arbitrary::<u16>()?);
        let interruptions = input.arbitrary()?;
        let mut calls = Vec::new();
        for _ in 0..input.int_in_range(1..=CALLS_MAX)? {
            let function = input.choose_index(FUNCTIONS.len())?;
            let args = FUNCTIONS[function].params.iter().map(|_| argument(input)).collect::<Result<_, _>>()?;
            calls.push(Call { function, args });
        }
        let ops = (0..input.int_in_range(0..=6)?).map(|_| op(input)).collect::<arbitrary::Result<Vec<_>>>()?.concat();
        let mut contents = input.bytes(input.len().min(CONTENTS_MAX))?.to_vec();
        contents.resize(contents.len().max(OPS + ops.len()), 0);
        contents[OPS..][..ops.len()].copy_from_slice(&ops);
        Ok(Self { rights, transfer_max, interruptions, calls, contents })
    }

    /// Runs the guest; returns how it ended, with words for a trap, what of it was to be seen, and what is in its memory.
    fn run(&self, module: &Module<FuzzHost>, interruptions: u32) -> (End, String, Effects, BTreeMap<String, Left>) {
        let context = FuzzHost::context(&self.rights, interruptions, self.transfer_max);
        let mut instance = match Instance::new(module, context, LIMITS) {
            Ok(instance) => instance,
            Err(refusal) => panic!("{refusal}"),
        };
        let end = loop {
            if let Outcome::Ended(end) = instance.run(|_| {}) {
                break end;
            }
        };
        // By `proc_exit`, `proc_raise`, too many descriptors.
        let is_trap = end.ending == Ending::Trapped;
        let words = if is_trap { instance.words().to_string() } else { String::new() };
        let is_known = matches!(end.ending, Ending::Exited | Ending::Killed | Ending::Limited);
        // An exit status may be any number.
        assert!(is_known || words.starts_with("proc_exit: "), "{end:?}: {}", instance.words());
        let effects = instance.host_mut().effects();
        let (store, exports) = instance.inspect();
        (end, words, effects, oracle::wasmi::left(store, exports))
    }

    /// The guest: makes the calls, and exits with a number in which all results are.
    fn module(&self) -> Vec<u8> {
        let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
        for (index, Signature { module, name, params, results }) in (0..).zip(FUNCTIONS) {
            types.ty().function(value_types(params), value_types(results));
            imports.import(module, name, EntityType::Function(index));
        }
        let start = types.len();
        types.ty().function([], []);
        let mut functions = FunctionSection::new();
        functions.function(start);
        let mut memories = MemorySection::new();
        memories.memory(MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None });
        let mut exports = ExportSection::new();
        exports.export("memory", ExportKind::Memory, 0);
        exports.export("_start", ExportKind::Func, start);
        let mut code = CodeSection::new();
        code.function(&self.body());
        let mut data = DataSection::new();
        data.active(0, &ConstExpr::i32_const(0), self.contents.iter().copied());
        let mut module = wasm_encoder::Module::new();
        module.section(&types).section(&imports).section(&functions).section(&memories).section(&exports);
        module.section(&code).section(&data);
        module.finish()
    }

    fn body(&self) -> Function {
        const ERRNO: u32 = 0;
        const SUM: u32 = 1;
        let mut body = Function::new([(1, ValType::I32), (1, ValType::I64)]);
        for call in &self.calls {
            let Signature { params, results, .. } = &FUNCTIONS[call.function];
            for (arg, ty) in call.args.iter().zip(*params) {
                body.instruction(&constant(*arg, *ty));
            }
            body.instruction(&Instruction::Call(number(call.function)));
            if results.is_empty() {
                continue;
            }
            for instruction in [
                Instruction::LocalTee(ERRNO),
                Instruction::I32Const(i32::from((Errno::NotCapable as u16).cast_signed())),
                Instruction::I32GtU,
                Instruction::If(BlockType::Empty),
                Instruction::Unreachable,
                Instruction::End,
                Instruction::LocalGet(ERRNO),
                Instruction::I64ExtendI32U,
                Instruction::LocalGet(SUM),
                Instruction::I64Const(0x1000_0000_01b3),
                Instruction::I64Mul,
                Instruction::I64Xor,
                Instruction::LocalSet(SUM),
            ] {
                body.instruction(&instruction);
            }
        }
        let exit = FUNCTIONS.iter().position(|function| function.name == "proc_exit").expect("there is one");
        for instruction in [
            Instruction::LocalGet(SUM),
            Instruction::LocalGet(SUM),
            Instruction::I64Const(32),
            Instruction::I64ShrU,
            Instruction::I64Xor,
            Instruction::I32WrapI64,
            Instruction::Call(number(exit)),
            Instruction::End,
        ] {
            body.instruction(&instruction);
        }
        body
    }
}

fn number(function: usize) -> u32 {
    u32::try_from(function).expect("there are few")
}

fn value_types(types: &[wasmi::ValType]) -> Vec<ValType> {
    types.iter().map(|ty| if *ty == wasmi::ValType::I64 { ValType::I64 } else { ValType::I32 }).collect()
}

/// A constant of this type, with as many bits of `value` as it has.
fn constant(value: u64, ty: wasmi::ValType) -> Instruction<'static> {
    let value = value.cast_signed();
    if ty == wasmi::ValType::I64 {
        Instruction::I64Const(value)
    } else {
        // The lower half.
        Instruction::I32Const(((value << 32) >> 32).try_into().expect("32 bits"))
    }
}
