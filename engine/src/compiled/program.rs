// SPDX-License-Identifier: GPL-2.0

//! The parts of a module besides its code: what an instance is made from.

use crate::{
    compiler::{
        Error,
        WordMap, //
    },
    simd::words,
};
use alloc::{
    format,
    string::String,
    vec::Vec, //
};
use wasmparser::{
    AbstractHeapType,
    ConstExpr,
    DataKind,
    ElementItems,
    ElementKind,
    ExternalKind,
    HeapType,
    Operator,
    Parser,
    Payload,
    TableInit,
    ValType, //
};

/// An operation of a constant expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConstOp {
    /// Pushes a value; a reference is that of compiled code.
    Push(u64),
    /// Pushes a word of the globals.
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
    /// Set if a table's elements are references to exceptions.
    pub has_exceptions: bool,
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
    /// Initial values of the globals' words.
    pub globals: Vec<Expression>,
    /// Words of the globals.
    pub words: WordMap,
    /// Data segments.
    pub data: Vec<(Mode, Vec<u8>)>,
    /// Element segments.
    pub elements: Vec<(Mode, Vec<Expression>)>,
    /// Exported functions: name and index.
    pub exports: Vec<(String, u32)>,
    /// Exported tags: name and index.
    pub tags: Vec<(String, u32)>,
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
                        has_exceptions: false,
                    });
                }
            }
            Payload::TableSection(tables) => {
                for table in tables.clone() {
                    let table = table?;
                    let init = match &table.init {
                        TableInit::RefNull => alloc::vec![ConstOp::Push(0)],
                        TableInit::Expr(expression) => self.word_of(expression)?,
                    };
                    let heap_type = table.ty.element_type.heap_type();
                    self.tables.push(Sized {
                        minimum: table.ty.initial,
                        maximum: table.ty.maximum,
                        init,
                        has_exceptions: matches!(
                            heap_type,
                            HeapType::Abstract { ty: AbstractHeapType::Exn | AbstractHeapType::NoExn, .. }
                        ),
                    });
                }
            }
            Payload::GlobalSection(globals) => {
                for global in globals.clone() {
                    let global = global?;
                    let [low, high] = self.words_of(&global.init_expr)?;
                    self.globals.push(low);
                    if global.ty.content_type == ValType::V128 {
                        self.globals.push(high);
                    }
                    self.words.add(global.ty.content_type, 1)?;
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports.clone() {
                    let export = export?;
                    match export.kind {
                        ExternalKind::Func => self.exports.push((export.name.into(), export.index)),
                        ExternalKind::Tag => self.tags.push((export.name.into(), export.index)),
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
                            Mode::Active(table_index.unwrap_or(0), self.word_of(offset_expr)?)
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
                            .map(|expression| self.word_of(&expression?))
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
                            Mode::Active(*memory_index, self.word_of(offset_expr)?)
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

    /// Returns the message about an exception with tag `tag` that no function catches.
    #[must_use]
    pub fn uncaught(&self, tag: u32) -> String {
        match self.tags.iter().find(|(_, index)| *index == tag) {
            Some((name, _)) => format!("uncaught exception: tag {tag} ({})", name.escape_debug()),
            None => format!("uncaught exception: tag {tag}"),
        }
    }

    /// Reads an expression of one word.
    fn word_of(&self, expression: &ConstExpr<'_>) -> Result<Expression, Error> {
        let [word, _] = self.words_of(expression)?;
        Ok(word)
    }

    /// Reads an expression: its value, or both words of a `v128`.
    fn words_of(&self, expression: &ConstExpr<'_>) -> Result<[Expression; 2], Error> {
        let [mut low, mut high] = [Expression::new(), Expression::new()];
        for operator in expression.get_operators_reader() {
            low.push(match operator? {
                Operator::I32Const { value } => ConstOp::Push(u64::from(value.cast_unsigned())),
                Operator::I64Const { value } => ConstOp::Push(value.cast_unsigned()),
                Operator::F32Const { value } => ConstOp::Push(u64::from(value.bits())),
                Operator::F64Const { value } => ConstOp::Push(value.bits()),
                Operator::V128Const { value } => {
                    let [low, word] = words(u128::from_le_bytes(*value.bytes()));
                    high.push(ConstOp::Push(word));
                    ConstOp::Push(low)
                }
                Operator::RefNull { .. } => ConstOp::Push(0),
                Operator::RefFunc { function_index } => reference(function_index),
                Operator::GlobalGet { global_index } => {
                    let (word, is_vector) = self.words.locate(global_index).ok_or(Error::Internal("global"))?;
                    if is_vector {
                        high.push(ConstOp::Global(word.saturating_add(1)));
                    }
                    ConstOp::Global(word)
                }
                Operator::I32Add => ConstOp::Add32,
                Operator::I32Sub => ConstOp::Sub32,
                Operator::I32Mul => ConstOp::Mul32,
                Operator::I64Add => ConstOp::Add64,
                Operator::I64Sub => ConstOp::Sub64,
                Operator::I64Mul => ConstOp::Mul64,
                Operator::End => break,
                _ => return Err(Error::Unsupported("a constant expression")),
            });
        }
        Ok([low, high])
    }
}

fn reference(function: u32) -> ConstOp {
    ConstOp::Push(u64::from(function).saturating_add(1))
}
