// SPDX-License-Identifier: GPL-2.0

//! The parts of a module besides its code: what an instance is made from.

use crate::compiler::{
    Error,
    is_simd, //
};
use alloc::{
    string::String,
    vec::Vec, //
};
use wasmparser::{
    ConstExpr,
    DataKind,
    ElementItems,
    ElementKind,
    ExternalKind,
    Operator,
    Parser,
    Payload,
    TableInit, //
};

/// An operation of a constant expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConstOp {
    /// Pushes a value; a reference is that of compiled code.
    Push(u64),
    /// Pushes the value of a global.
    Global(u32),
    /// Adds two i32.
    Add32,
    /// Subtracts two i32.
    Sub32,
    /// Multiplies two i32.
    Mul32,
    /// Adds two i64.
    Add64,
    /// Subtracts two i64.
    Sub64,
    /// Multiplies two i64.
    Mul64,
}

/// A constant expression.
pub type Expression = Vec<ConstOp>;

/// Use of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Copied when the instance is made: index of the memory or table, and offset.
    Active(u32, Expression),
    /// Copied by an instruction.
    Passive,
    /// Only declares functions.
    Declared,
}

/// A memory or table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sized {
    /// Pages or elements at the beginning.
    pub minimum: u64,
    /// Most pages or elements.
    pub maximum: Option<u64>,
    /// Value of a table's elements.
    pub init: Expression,
}

/// An import of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Name of the module.
    pub module: String,
    /// Name of the function.
    pub name: String,
}

/// Parts of a module.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Imported functions.
    pub imports: Vec<Import>,
    /// Memories, in pages.
    pub memories: Vec<Sized>,
    /// Tables, in elements.
    pub tables: Vec<Sized>,
    /// Initial values of the globals.
    pub globals: Vec<Expression>,
    /// Data segments.
    pub data: Vec<(Mode, Vec<u8>)>,
    /// Element segments.
    pub elements: Vec<(Mode, Vec<Expression>)>,
    /// Exported functions: name and index.
    pub exports: Vec<(String, u32)>,
    /// Index of the memory that is exported as `memory`.
    pub memory: Option<u32>,
    /// Index of the start function.
    pub start: Option<u32>,
}

impl Program {
    /// Reads the parts of a valid module.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for a constant expression that compiled instances do not know.
    pub fn read(wasm: &[u8]) -> Result<Self, Error> {
        let mut program = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            program.add(&payload?)?;
        }
        Ok(program)
    }

    fn add(&mut self, payload: &Payload<'_>) -> Result<(), Error> {
        match payload {
            Payload::ImportSection(imports) => {
                for import in imports.clone() {
                    let import = import?;
                    self.imports.push(Import { module: import.module.into(), name: import.name.into() });
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories.clone() {
                    let memory = memory?;
                    self.memories.push(Sized {
                        minimum: memory.initial,
                        maximum: memory.maximum,
                        init: Expression::new(),
                    });
                }
            }
            Payload::TableSection(tables) => {
                for table in tables.clone() {
                    let table = table?;
                    let init = match &table.init {
                        TableInit::RefNull => alloc::vec![ConstOp::Push(0)],
                        TableInit::Expr(expression) => read(expression)?,
                    };
                    self.tables.push(Sized { minimum: table.ty.initial, maximum: table.ty.maximum, init });
                }
            }
            Payload::GlobalSection(globals) => {
                for global in globals.clone() {
                    self.globals.push(read(&global?.init_expr)?);
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports.clone() {
                    let export = export?;
                    match export.kind {
                        ExternalKind::Func => self.exports.push((export.name.into(), export.index)),
                        ExternalKind::Memory if export.name == "memory" => self.memory = Some(export.index),
                        _ => {}
                    }
                }
            }
            Payload::StartSection { func, .. } => self.start = Some(*func),
            Payload::ElementSection(elements) => {
                for element in elements.clone() {
                    let element = element?;
                    let mode = match &element.kind {
                        ElementKind::Active { table_index, offset_expr } => {
                            Mode::Active(table_index.unwrap_or(0), read(offset_expr)?)
                        }
                        ElementKind::Passive => Mode::Passive,
                        ElementKind::Declared => Mode::Declared,
                    };
                    let items = match element.items {
                        ElementItems::Functions(functions) => functions
                            .into_iter()
                            .map(|function| Ok(alloc::vec![reference(function?)]))
                            .collect::<Result<Vec<_>, Error>>()?,
                        ElementItems::Expressions(_, expressions) => expressions
                            .into_iter()
                            .map(|expression| read(&expression?))
                            .collect::<Result<Vec<_>, Error>>()?,
                    };
                    self.elements.push((mode, items));
                }
            }
            Payload::DataSection(data) => {
                for data in data.clone() {
                    let data = data?;
                    let mode = match &data.kind {
                        DataKind::Active { memory_index, offset_expr } => {
                            Mode::Active(*memory_index, read(offset_expr)?)
                        }
                        DataKind::Passive => Mode::Passive,
                    };
                    let mut bytes = Vec::new();
                    bytes.try_reserve_exact(data.data.len()).map_err(|_| Error::Memory)?;
                    bytes.extend_from_slice(data.data);
                    self.data.push((mode, bytes));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Index of the exported function `name`.
    #[must_use]
    pub fn export(&self, name: &str) -> Option<u32> {
        self.exports.iter().find(|(other, _)| other == name).map(|(_, index)| *index)
    }
}

fn reference(function: u32) -> ConstOp {
    ConstOp::Push(u64::from(function).saturating_add(1))
}

fn read(expression: &ConstExpr<'_>) -> Result<Expression, Error> {
    let mut operations = Expression::new();
    for operator in expression.get_operators_reader() {
        operations.push(match operator? {
            Operator::I32Const { value } => ConstOp::Push(u64::from(value.cast_unsigned())),
            Operator::I64Const { value } => ConstOp::Push(value.cast_unsigned()),
            Operator::F32Const { value } => ConstOp::Push(u64::from(value.bits())),
            Operator::F64Const { value } => ConstOp::Push(value.bits()),
            Operator::RefNull { .. } => ConstOp::Push(0),
            Operator::RefFunc { function_index } => reference(function_index),
            Operator::GlobalGet { global_index } => ConstOp::Global(global_index),
            Operator::I32Add => ConstOp::Add32,
            Operator::I32Sub => ConstOp::Sub32,
            Operator::I32Mul => ConstOp::Mul32,
            Operator::I64Add => ConstOp::Add64,
            Operator::I64Sub => ConstOp::Sub64,
            Operator::I64Mul => ConstOp::Mul64,
            Operator::End => break,
            other if is_simd(&other) => return Err(Error::Simd),
            _ => return Err(Error::Unsupported("a constant expression")),
        });
    }
    Ok(operations)
}
