// SPDX-License-Identifier: GPL-2.0

//! Turns a module into a program: adds a `_start` function that calls every exported function, and
//! an exported global that combines all results.

use arbitrary::Unstructured;
use std::collections::BTreeMap;
use wasm_encoder::{
    Encode,
    Function,
    HeapType,
    Ieee32,
    Ieee64,
    Instruction, //
};
use wasmparser::{
    CompositeInnerType,
    ExternalKind,
    FuncType,
    Parser,
    Payload,
    RefType,
    ValType, //
};

/// Section ids.
mod id {
    pub(super) const CUSTOM: u8 = 0;
    pub(super) const TYPE: u8 = 1;
    pub(super) const FUNCTION: u8 = 3;
    pub(super) const GLOBAL: u8 = 6;
    pub(super) const EXPORT: u8 = 7;
    pub(super) const CODE: u8 = 10;
}

/// Ids of all sections in the order that a module requires.
const ORDER: [u8; 13] = [id::TYPE, 2, id::FUNCTION, 4, 5, 13, id::GLOBAL, id::EXPORT, 8, 9, 12, id::CODE, 11];

/// Name of the global with the results.
const RESULTS: &str = "(results)";

/// Contents of a module without imports.
#[derive(Default)]
struct Shape<'a> {
    /// Contents of each section by id.
    sections: BTreeMap<u8, &'a [u8]>,
    types: Vec<FuncType>,
    /// Type index of each function.
    functions: Vec<u32>,
    globals: u32,
    /// Indices of the exported functions.
    exported: Vec<u32>,
}

impl<'a> Shape<'a> {
    fn parse(wasm: &'a [u8]) -> Option<Self> {
        let mut shape = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            let payload = payload.ok()?;
            if let Some((id, range)) = payload.as_section().filter(|(id, _)| *id != id::CUSTOM) {
                let range = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
                shape.sections.insert(id, wasm.get(range)?);
            }
            match payload {
                Payload::ImportSection(_) => return None,
                Payload::TypeSection(types) => {
                    for group in types {
                        for ty in group.ok()?.into_types() {
                            let CompositeInnerType::Func(ty) = ty.composite_type.inner else {
                                return None;
                            };
                            shape.types.push(ty);
                        }
                    }
                }
                Payload::FunctionSection(functions) => {
                    shape.functions = functions.into_iter().collect::<Result<_, _>>().ok()?
                }
                Payload::GlobalSection(globals) => shape.globals = globals.count(),
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export.ok()?;
                        if export.name == "_start" || export.name == RESULTS {
                            return None;
                        }
                        if export.kind == ExternalKind::Func {
                            shape.exported.push(export.index);
                        }
                    }
                }
                _ => {}
            }
        }
        Some(shape)
    }

    fn ty(&self, function: u32) -> Option<&FuncType> {
        let ty = self.functions.get(usize::try_from(function).ok()?)?;
        self.types.get(usize::try_from(*ty).ok()?)
    }

    /// Generates the body of `_start`.
    fn body(&self, input: &mut Unstructured<'_>) -> Option<Function> {
        let mut locals = vec![(1, wasm_encoder::ValType::I64)];
        let mut types = self.exported.iter().filter_map(|function| self.ty(*function));
        // Programs that do not use SIMD have no locals that do.
        if types.any(|ty| ty.results().contains(&ValType::V128)) {
            locals.push((1, wasm_encoder::ValType::V128));
        }
        let mut body = Function::new(locals);
        for function in &self.exported {
            let ty = self.ty(*function)?;
            for param in ty.params() {
                body.instruction(&constant(*param, input)?);
            }
            body.instruction(&Instruction::Call(*function));
            for result in ty.results().iter().rev() {
                for instruction in to_i64(*result) {
                    body.instruction(instruction);
                }
                for instruction in [
                    Instruction::LocalSet(0),
                    Instruction::GlobalGet(self.globals),
                    Instruction::I64Const(0x1000_0000_01b3),
                    Instruction::I64Mul,
                    Instruction::LocalGet(0),
                    Instruction::I64Xor,
                    Instruction::GlobalSet(self.globals),
                ] {
                    body.instruction(&instruction);
                }
            }
        }
        body.instruction(&Instruction::End);
        Some(body)
    }
}

/// Returns a constant of this type, taken from `input`.
fn constant(ty: ValType, input: &mut Unstructured<'_>) -> Option<Instruction<'static>> {
    Some(match ty {
        ValType::I32 => Instruction::I32Const(input.arbitrary().ok()?),
        ValType::I64 => Instruction::I64Const(input.arbitrary().ok()?),
        ValType::F32 => Instruction::F32Const(Ieee32::new(input.arbitrary().ok()?)),
        ValType::F64 => Instruction::F64Const(Ieee64::new(input.arbitrary().ok()?)),
        ValType::V128 => Instruction::V128Const(input.arbitrary().ok()?),
        ValType::FUNCREF => Instruction::RefNull(HeapType::FUNC),
        ValType::EXTERNREF => Instruction::RefNull(HeapType::EXTERN),
        ValType::Ref(RefType::EXNREF) => Instruction::RefNull(wasm_encoder::RefType::EXNREF.heap_type),
        _ => return None,
    })
}

/// Returns the instructions that convert a value to an `i64`.
fn to_i64(ty: ValType) -> &'static [Instruction<'static>] {
    match ty {
        ValType::I32 => &[Instruction::I64ExtendI32U],
        ValType::I64 => &[],
        ValType::F32 => &[Instruction::I32ReinterpretF32, Instruction::I64ExtendI32U],
        ValType::F64 => &[Instruction::I64ReinterpretF64],
        ValType::Ref(_) => &[Instruction::RefIsNull, Instruction::I64ExtendI32U],
        ValType::V128 => &[
            Instruction::LocalTee(1),
            Instruction::I64x2ExtractLane(0),
            Instruction::LocalGet(1),
            Instruction::I64x2ExtractLane(1),
            Instruction::I64Const(17),
            Instruction::I64Rotl,
            Instruction::I64Xor,
        ],
    }
}

/// Returns `wasm` as a program, or `None` if it has imports or types that the engine does not
/// support.
pub(crate) fn add(wasm: &[u8], input: &mut Unstructured<'_>) -> Option<Vec<u8>> {
    let shape = Shape::parse(wasm)?;
    let functions = u32::try_from(shape.functions.len()).ok()?;
    let mut exports = Vec::new();
    RESULTS.encode(&mut exports);
    exports.push(3);
    shape.globals.encode(&mut exports);
    "_start".encode(&mut exports);
    exports.push(0);
    functions.encode(&mut exports);
    let mut function = Vec::new();
    u32::try_from(shape.types.len()).ok()?.encode(&mut function);
    let mut code = Vec::new();
    shape.body(input)?.encode(&mut code);

    let mut module = wasm_encoder::Module::new().finish();
    for id in ORDER {
        let (more, bytes): (u32, &[u8]) = match id {
            // A function type without parameters and results.
            id::TYPE => (1, &[0x60, 0, 0]),
            id::FUNCTION => (1, &function),
            // A mutable i64 with the initial value 0.
            id::GLOBAL => (1, &[0x7e, 1, 0x42, 0, 0x0b]),
            id::EXPORT => (2, &exports),
            id::CODE => (1, &code),
            _ => (0, &[]),
        };
        let contents = match (shape.sections.get(&id), more) {
            (None, 0) => continue,
            (Some(contents), 0) => contents.to_vec(),
            (contents, _) => longer(contents.copied().unwrap_or(&[0]), more, bytes)?,
        };
        module.push(id);
        contents.encode(&mut module);
    }
    Some(module)
}

/// Returns the vector `contents` with `more` elements, encoded as `bytes`, appended.
fn longer(contents: &[u8], more: u32, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut reader = wasmparser::BinaryReader::new(contents, 0);
    let count = reader.read_var_u32().ok()?;
    let mut longer = Vec::new();
    count.checked_add(more)?.encode(&mut longer);
    longer.extend_from_slice(contents.get(usize::try_from(reader.original_position()).ok()?..)?);
    longer.extend_from_slice(bytes);
    Some(longer)
}
