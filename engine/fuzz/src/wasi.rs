// SPDX-License-Identifier: GPL-2.0

//! Target `wasi`: calls any host functions with any arguments over any memory. The host checks its
//! calls, and the guest checks that it gets a valid `errno`. A guest whose calls are interrupted
//! must behave like one whose calls are not.

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
        FUNCTIONS, HostFunction, ValueType,
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

/// Size of the guest's memory, in bytes.
const MEMORY: u32 = 65_536;

/// Upper bound of the calls of one guest.
const CALLS_MAX: usize = 12;

/// Address of the operations of `kwasmi_batch_1`.
const OPS: usize = 64;

/// Upper bound of the initialised bytes of memory, operations excluded.
const CONTENTS_MAX: usize = 4096;

const LIMITS: InstanceLimits =
    InstanceLimits { memory: MEMORY as u64, table: 0, fds: FDS_MAX as u64, fuel: 10_000_000 };

/// Call of one of [`FUNCTIONS`].
struct Call {
    function: usize,
    args: Vec<u64>,
}

/// Description of a guest.
struct Script {
    /// Rights and inheriting rights of each descriptor.
    rights: Vec<(Rights, Rights)>,
    transfer_max: usize,
    interruptions: u32,
    calls: Vec<Call>,
    contents: Vec<u8>,
}

/// Runs the guest that `data` describes.
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
            "interruptions change the result"
        );
        for (ours, other) in undisturbed.3.values().zip(interrupted.3.values()) {
            assert!(ours == other, "interruptions change the memory: {}", ours.difference(other));
        }
    }
}

/// Returns a typical argument: a descriptor, an address, an address near the end of memory, a
/// length, a flag, or any number.
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

/// Returns an operation of `kwasmi_batch_1`.
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

    /// Runs the guest. Returns its end, the message of a trap, its effects, and its final memory.
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
        // `proc_exit`, `proc_raise` and the descriptor limit end a guest.
        let is_trap = end.ending == Ending::Trapped;
        let words = if is_trap { instance.words().to_string() } else { String::new() };
        let is_known = matches!(end.ending, Ending::Exited | Ending::Killed | Ending::Limited);
        // `proc_exit` traps for a status that no process can have.
        assert!(is_known || words.starts_with("proc_exit: "), "{end:?}: {}", instance.words());
        let effects = instance.host_mut().effects();
        let (store, exports) = instance.inspect();
        (end, words, effects, oracle::wasmi::left(store, exports))
    }

    /// Generates the guest, which makes the calls and exits with a hash of all results.
    fn module(&self) -> Vec<u8> {
        let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
        for (index, HostFunction { module, name, params, results, .. }) in (0..).zip(FUNCTIONS) {
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
            let HostFunction { params, results, .. } = &FUNCTIONS[call.function];
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
        let exit = FUNCTIONS.iter().position(|function| function.name == "proc_exit").expect("proc_exit in the list");
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
    u32::try_from(function).expect("a small index")
}

fn value_types(types: &[ValueType]) -> Vec<ValType> {
    types.iter().map(|ty| if *ty == ValueType::I64 { ValType::I64 } else { ValType::I32 }).collect()
}

/// Returns a constant of this type with the low bits of `value`.
fn constant(value: u64, ty: ValueType) -> Instruction<'static> {
    let value = value.cast_signed();
    if ty == ValueType::I64 {
        Instruction::I64Const(value)
    } else {
        // Keeps the lower half.
        Instruction::I32Const(((value << 32) >> 32).try_into().expect("32 bits"))
    }
}
