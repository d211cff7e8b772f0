// SPDX-License-Identifier: GPL-2.0

//! Target `control`: runs programs with much control flow in this engine, in wasmi and in wasmtime.
//!
//! Blocks, loops and ifs have parameters and several results. Branches of all kinds leave values on
//! the stack besides their operands. Locals that lie on the stack are set on one path and not on
//! another. wasm-smith seldom generates such programs.
//!
//! [`Exceptions`] adds exceptions, which wasmi does not have.

mod body;
mod source;

use crate::{
    driver,
    run, //
};
use arbitrary::Unstructured;
use body::Body;
use source::Source;
use wasm_encoder::{
    CodeSection,
    ConstExpr,
    ElementSection,
    Elements,
    ExportKind,
    ExportSection,
    FunctionSection,
    GlobalSection,
    GlobalType,
    HeapType,
    MemorySection,
    MemoryType,
    Module,
    RefType,
    TableSection,
    TableType,
    TagKind,
    TagSection,
    TagType,
    TypeSection,
    ValType, //
};

/// Types of values that all programs use. The first four are numbers.
const TYPES: [ValType; 5] = [ValType::I32, ValType::I64, ValType::F64, ValType::F32, ValType::FUNCREF];

/// Heap type of exceptions.
const EXN: HeapType = RefType::EXNREF.heap_type;

/// Size of each memory in pages. Addresses are below it unless they are meant to be out of bounds.
const PAGES: u64 = 3;

/// Number of memories of a program.
const MEMORIES: u32 = 2;

/// Number of functions in the table. They call no function through the table, so there is no
/// recursion.
const IN_TABLE: usize = 2;

/// Upper bound of the number of parameters and of results.
const ARITY: usize = 4;

/// Parameter and result types of a function or a block.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Signature {
    params: Vec<ValType>,
    results: Vec<ValType>,
}

/// State of the program that its functions are generated from.
struct Program {
    types: Vec<Signature>,
    /// Signatures of the functions that can already be called, in order.
    functions: Vec<Signature>,
    /// Types of values. There is a global of each type.
    value_types: Vec<ValType>,
    exceptions: Exceptions,
    /// Parameters of the tags.
    tags: Vec<Vec<ValType>>,
}

impl Program {
    /// Returns true if the program uses SIMD.
    fn uses_simd(&self) -> bool {
        self.value_types.contains(&ValType::V128)
    }

    /// Returns the index of the global that accumulates all values that are otherwise unused.
    fn used(&self) -> u32 {
        number(self.value_types.len())
    }

    /// Returns a type of numbers.
    fn number_type(&self, source: &mut Source<'_>) -> ValType {
        if self.uses_simd() && source.chance(4) { ValType::V128 } else { *source.pick(&TYPES[..4]) }
    }

    /// Returns a type of values.
    fn value_type(&self, source: &mut Source<'_>) -> ValType {
        match source.below(16) {
            // Few instructions use references.
            0 if self.exceptions == Exceptions::Current && source.chance(2) => ValType::EXNREF,
            0 => ValType::FUNCREF,
            1..=5 if self.uses_simd() => ValType::V128,
            _ => *source.pick(&[&TYPES[..4], &TYPES[..2]].concat()),
        }
    }

    /// Returns the types of parameters or results.
    fn several(&self, source: &mut Source<'_>) -> Vec<ValType> {
        // Several values of one type need stack slots; values of different types stay in registers.
        let count = source.below(ARITY + 1);
        let one = source.chance(3).then(|| self.value_type(source));
        (0..count).map(|_| one.unwrap_or_else(|| self.value_type(source))).collect()
    }

    /// Returns the index of a type, which is added if necessary.
    fn ty(&mut self, signature: &Signature) -> u32 {
        let index = self.types.iter().position(|ty| ty == signature).unwrap_or_else(|| {
            self.types.push(signature.clone());
            self.types.len() - 1
        });
        number(index)
    }
}

/// Converts a small index.
fn number(index: usize) -> u32 {
    u32::try_from(index).expect("a small index")
}

/// Runs a program that is generated from `data`.
pub fn fuzz(data: &[u8]) {
    let wasm = generate(data, Exceptions::None);
    run::keep(&wasm);
    run::by_all(&wasm);
}

/// Exception handling in a generated program.
#[cfg_attr(not(feature = "targets"), allow(dead_code))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceptions {
    /// The program does not use exceptions.
    None,
    /// `try_table`, `throw_ref` and references to exceptions.
    Current,
    /// `try`, `catch`, `catch_all`, `delegate` and `rethrow`, which toolchains still emit.
    Legacy,
    /// The program of [`Exceptions::Legacy`] from the same data, written with `try_table` and
    /// `throw_ref`.
    Translated,
}

/// Generates a program from `data`.
pub(crate) fn generate(data: &[u8], exceptions: Exceptions) -> Vec<u8> {
    let wasm = program(&mut Source::new(data), exceptions);
    driver::add(&wasm, &mut Unstructured::new(&[])).expect("a module without imports")
}

/// Generates a module that exports functions without parameters.
fn program(source: &mut Source<'_>, exceptions: Exceptions) -> Vec<u8> {
    let mut value_types = TYPES.to_vec();
    value_types.extend(source.chance(2).then_some(ValType::V128));
    value_types.extend((exceptions == Exceptions::Current).then_some(ValType::EXNREF));
    let mut program = Program { types: Vec::new(), functions: Vec::new(), value_types, exceptions, tags: Vec::new() };
    if exceptions != Exceptions::None {
        program.tags = (0..=source.below(3)).map(|_| program.several(source)).collect();
    }
    let mut tags = TagSection::new();
    for params in program.tags.clone() {
        let func_type_idx = program.ty(&Signature { params, results: Vec::new() });
        tags.tag(TagType { kind: TagKind::Exception, func_type_idx });
    }
    let mut functions = FunctionSection::new();
    let mut code = CodeSection::new();
    let mut exports = ExportSection::new();
    // Small programs run fast and are easy to read.
    let size = 4 << source.below(6);
    for _ in 0..=source.below(IN_TABLE + 3) {
        let signature = Signature { params: program.several(source), results: program.several(source) };
        let index = program.ty(&signature);
        functions.function(index);
        code.function(&Body::make(source, &mut program, &signature, size));
        program.functions.push(signature);
    }
    for function in 0..program.functions.len() {
        let signature = program.functions[function].clone();
        for call in 0..3 {
            let index = program.ty(&Signature { params: Vec::new(), results: signature.results.clone() });
            exports.export(&format!("{function}.{call}"), ExportKind::Func, functions.len());
            functions.function(index);
            code.function(&Body::call(source, &mut program, number(function), &signature));
        }
    }

    let mut types = TypeSection::new();
    for ty in &program.types {
        types.ty().function(ty.params.iter().copied(), ty.results.iter().copied());
    }
    let mut globals = GlobalSection::new();
    for (index, ty) in program.value_types.iter().chain(&[ValType::I64]).enumerate() {
        let zero = match *ty {
            ValType::I32 => ConstExpr::i32_const(0),
            ValType::I64 => ConstExpr::i64_const(0),
            ValType::F32 => ConstExpr::f32_const(0.0.into()),
            ValType::F64 => ConstExpr::f64_const(0.0.into()),
            ValType::V128 => ConstExpr::v128_const(0),
            ValType::EXNREF => ConstExpr::ref_null(EXN),
            _ => ConstExpr::ref_null(HeapType::FUNC),
        };
        globals.global(GlobalType { val_type: *ty, mutable: true, shared: false }, &zero);
        exports.export(&format!("global {index}"), ExportKind::Global, number(index));
    }
    let mut memories = MemorySection::new();
    for index in 0..MEMORIES {
        memories.memory(MemoryType {
            minimum: PAGES,
            maximum: Some(PAGES),
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        exports.export(&format!("memory {index}"), ExportKind::Memory, index);
    }
    let in_table: Vec<_> = (0..number(program.functions.len().min(IN_TABLE))).collect();
    let mut tables = TableSection::new();
    let len = IN_TABLE as u64 + 1;
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        minimum: len,
        maximum: Some(len),
        table64: false,
        shared: false,
    });
    exports.export("table", ExportKind::Table, 0);
    let mut elements = ElementSection::new();
    elements.active(None, &ConstExpr::i32_const(0), Elements::Functions(in_table.into()));

    for index in 0..tags.len() {
        exports.export(&format!("tag {index}"), ExportKind::Tag, index);
    }

    let mut module = Module::new();
    module.section(&types).section(&functions).section(&tables).section(&memories);
    if !tags.is_empty() {
        module.section(&tags);
    }
    module.section(&globals).section(&exports).section(&elements).section(&code);
    module.finish()
}
