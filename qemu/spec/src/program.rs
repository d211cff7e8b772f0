// SPDX-License-Identifier: GPL-2.0

//! Builds programs from modules: the program's `_start` calls exports of the modules and compares
//! the results.

use crate::{
    script::{
        Action,
        Step, //
    },
    spectest,
    value::{
        self,
        Masked,
        Pattern,
        Value, //
    }, //
};
use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    iter, //
};
use wasm_encoder::{
    CodeSection,
    ConstExpr,
    DataCountSection,
    DataSection,
    ElementSection,
    Encode as _,
    EntityType,
    ExportKind,
    ExportSection,
    Function,
    FunctionSection,
    GlobalSection,
    GlobalType,
    Ieee32,
    Ieee64,
    ImportSection,
    InstructionSink,
    MemorySection,
    Module,
    StartSection,
    TableSection,
    TagSection,
    TypeSection,
    ValType,
    reencode::{
        self,
        Reencode, //
    }, //
};
use wasmparser::{
    DataKind,
    ElementItems,
    ElementKind,
    Import,
    Operator,
    Parser,
    Payload,
    TypeRef, //
};

/// Exit status of a program in which a result differs from the expected one.
pub const MISMATCH: u32 = 1;

/// Index of `proc_exit`, the only imported function. It shifts the indices of all other functions
/// by one.
const EXIT: u32 = 0;

/// Name of a program's entry point.
const ENTRY: &str = "_start";

/// Reason why no program can be built from modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// An import has no definition.
    Unknown(String),
    /// A module cannot be parsed.
    Broken(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unknown(why) | Self::Broken(why)) = self;
        f.write_str(why)
    }
}

impl From<wasmparser::Error> for Unusable {
    fn from(error: wasmparser::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<reencode::Error> for Unusable {
    fn from(error: reencode::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Call in a program.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Step that the call executes.
    pub step: &'a Step,
    /// Set if the results are compared with the expected ones.
    pub is_compared: bool,
}

/// Module, and the modules that it imports from.
#[derive(Clone, Debug)]
pub struct Part {
    /// Binary of the module.
    pub wasm: Vec<u8>,
    /// Index of the earlier part for each module name that it imports from.
    pub links: HashMap<String, usize>,
}

/// Export of a part.
#[derive(Clone, Debug)]
struct Export {
    part: usize,
    name: String,
    kind: ExportKind,
    index: u32,
}

/// Active segment, copied by code when its part is instantiated.
#[derive(Clone, Debug)]
struct Segment {
    part: usize,
    /// Constant expression of the offset, without its `end`.
    offset: Vec<u8>,
    index: u32,
    len: u32,
    target: u32,
}

/// Sections of one module, or of several modules that are linked into one. Items that they import
/// from `spectest` are defined in the result.
///
/// A single module keeps its start function and active segments. Several modules are instantiated
/// one after another: calls copy their active segments and call their start functions.
#[derive(Clone, Debug, Default)]
pub struct Template {
    is_linked: bool,
    types: TypeSection,
    signatures: Vec<wasmparser::FuncType>,
    functions: FunctionSection,
    /// Type index of each function.
    function_types: Vec<u32>,
    tables: TableSection,
    memories: MemorySection,
    tags: TagSection,
    globals: GlobalSection,
    /// Constant expression of each global, without its `end`.
    values: Vec<Vec<u8>>,
    spectest: HashMap<String, u32>,
    exports: Vec<Export>,
    starts: Vec<(usize, u32)>,
    elements: ElementSection,
    element_segments: Vec<Segment>,
    data_count: Option<u32>,
    code: CodeSection,
    data: DataSection,
    data_segments: Vec<Segment>,
}

/// Maps the indices of a part to those of the program.
#[derive(Default)]
struct Mover {
    types: u32,
    elements: u32,
    data: u32,
    functions: Vec<u32>,
    tables: Vec<u32>,
    memories: Vec<u32>,
    tags: Vec<u32>,
    globals: Vec<u32>,
    /// Constant expressions of imported globals.
    values: Vec<Vec<u8>>,
}

/// Returns the mapped index; `u32::MAX`, which the engine refuses, if there is none.
fn at(indices: &[u32], index: u32) -> u32 {
    indices.get(index as usize).copied().unwrap_or(u32::MAX)
}

impl Reencode for Mover {
    type Error = Infallible;

    fn type_index(&mut self, ty: u32) -> Result<u32, reencode::Error> {
        Ok(ty + self.types)
    }

    fn element_index(&mut self, element: u32) -> Result<u32, reencode::Error> {
        Ok(element + self.elements)
    }

    fn data_index(&mut self, data: u32) -> Result<u32, reencode::Error> {
        Ok(data + self.data)
    }

    fn function_index(&mut self, function: u32) -> Result<u32, reencode::Error> {
        Ok(at(&self.functions, function))
    }

    fn table_index(&mut self, table: u32) -> Result<u32, reencode::Error> {
        Ok(at(&self.tables, table))
    }

    fn memory_index(&mut self, memory: u32) -> Result<u32, reencode::Error> {
        Ok(at(&self.memories, memory))
    }

    fn tag_index(&mut self, tag: u32) -> Result<u32, reencode::Error> {
        Ok(at(&self.tags, tag))
    }

    fn global_index(&mut self, global: u32) -> Result<u32, reencode::Error> {
        Ok(at(&self.globals, global))
    }

    /// Replaces `global.get` of an imported global by the value of the global.
    fn const_expr(&mut self, expression: wasmparser::ConstExpr<'_>) -> Result<ConstExpr, reencode::Error> {
        let mut bytes = Vec::new();
        let mut operators = expression.get_operators_reader();
        while !operators.is_end_then_eof() {
            let operator = operators.read()?;
            match &operator {
                Operator::GlobalGet { global_index } if (*global_index as usize) < self.values.len() => {
                    bytes.extend(self.values.get(*global_index as usize).into_iter().flatten());
                }
                _ => self.instruction(operator)?.encode(&mut bytes),
            }
        }
        Ok(ConstExpr::raw(bytes))
    }
}

impl Template {
    /// Parses modules and links them.
    ///
    /// # Errors
    ///
    /// [`Unusable::Unknown`] if an import has no definition; [`Unusable::Broken`] if a module
    /// cannot be parsed.
    pub fn new(parts: &[Part]) -> Result<Self, Unusable> {
        let mut template = Self { is_linked: parts.len() > 1, ..Self::default() };
        for (number, part) in parts.iter().enumerate() {
            template.add(number, part)?;
        }
        Ok(template)
    }

    fn add(&mut self, number: usize, part: &Part) -> Result<(), Unusable> {
        let mut mover = Mover {
            types: count(self.signatures.len()),
            elements: self.elements.len(),
            data: self.data.len(),
            ..Mover::default()
        };
        for payload in Parser::new(0).parse_all(&part.wasm) {
            match payload? {
                Payload::TypeSection(section) => {
                    for signature in section.clone().into_iter_err_on_gc_types() {
                        self.signatures.push(signature?);
                    }
                    mover.parse_type_section(&mut self.types, section)?;
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        self.import(&mut mover, part, &import?)?;
                    }
                }
                Payload::FunctionSection(section) => {
                    for ty in section {
                        let index = self.function(mover.type_index(ty?)?);
                        mover.functions.push(index);
                    }
                }
                Payload::TableSection(section) => {
                    let first = self.tables.len();
                    mover.tables.extend(first..first + section.count());
                    mover.parse_table_section(&mut self.tables, section)?;
                }
                Payload::MemorySection(section) => {
                    let first = self.memories.len();
                    mover.memories.extend(first..first + section.count());
                    mover.parse_memory_section(&mut self.memories, section)?;
                }
                Payload::TagSection(section) => {
                    let first = self.tags.len();
                    mover.tags.extend(first..first + section.count());
                    mover.parse_tag_section(&mut self.tags, section)?;
                }
                Payload::GlobalSection(section) => {
                    for global in section {
                        let global = global?;
                        let ty = mover.global_type(global.ty)?;
                        let value = mover.const_expr(global.init_expr)?;
                        let index = self.global(ty, &value);
                        mover.globals.push(index);
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        let (kind, index) =
                            (mover.export_kind(export.kind)?, mover.external_index(export.kind, export.index)?);
                        self.exports.push(Export { part: number, name: export.name.to_owned(), kind, index });
                    }
                }
                Payload::StartSection { func, .. } => self.starts.push((number, mover.function_index(func)?)),
                Payload::ElementSection(section) => {
                    for element in section {
                        self.element(&mut mover, number, element?)?;
                    }
                }
                Payload::DataCountSection { count, .. } => {
                    self.data_count = Some(self.data_count.unwrap_or_default() + count);
                }
                Payload::CodeSectionEntry(body) => mover.parse_function_body(&mut self.code, body)?,
                Payload::DataSection(section) => {
                    for data in section {
                        self.data(&mut mover, number, data?)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds a function of type `ty` and returns its index, which counts the imported function. The
    /// caller adds its code.
    fn function(&mut self, ty: u32) -> u32 {
        self.functions.function(ty);
        self.function_types.push(ty);
        count(self.function_types.len())
    }

    fn global(&mut self, ty: GlobalType, value: &ConstExpr) -> u32 {
        self.globals.global(ty, value);
        self.values.push(encoded(value));
        count(self.values.len()) - 1
    }

    fn element(&mut self, mover: &mut Mover, part: usize, element: wasmparser::Element<'_>) -> Result<(), Unusable> {
        match element.kind {
            ElementKind::Active { table_index, offset_expr } if self.is_linked => {
                let len = match &element.items {
                    ElementItems::Functions(items) => items.count(),
                    ElementItems::Expressions(_, items) => items.count(),
                };
                self.element_segments.push(Segment {
                    part,
                    offset: encoded(&mover.const_expr(offset_expr)?),
                    index: self.elements.len(),
                    len,
                    target: mover.table_index(table_index.unwrap_or(0))?,
                });
                self.elements.passive(mover.element_items(element.items)?);
            }
            _ => mover.parse_element(&mut self.elements, element)?,
        }
        Ok(())
    }

    fn data(&mut self, mover: &mut Mover, part: usize, data: wasmparser::Data<'_>) -> Result<(), Unusable> {
        match data.kind {
            DataKind::Active { memory_index, offset_expr } if self.is_linked => {
                self.data_segments.push(Segment {
                    part,
                    offset: encoded(&mover.const_expr(offset_expr)?),
                    index: self.data.len(),
                    len: count(data.data.len()),
                    target: mover.memory_index(memory_index)?,
                });
                self.data.passive(data.data.iter().copied());
            }
            _ => mover.parse_data(&mut self.data, data)?,
        }
        Ok(())
    }

    /// Resolves an import to an export of another part or to an item of `spectest`.
    fn import(&mut self, mover: &mut Mover, part: &Part, import: &Import<'_>) -> Result<(), Unusable> {
        let index = match part.links.get(import.module) {
            Some(from) => {
                let kind = match import.ty {
                    TypeRef::Func(_) | TypeRef::FuncExact(_) => ExportKind::Func,
                    TypeRef::Table(_) => ExportKind::Table,
                    TypeRef::Memory(_) => ExportKind::Memory,
                    TypeRef::Global(_) => ExportKind::Global,
                    TypeRef::Tag(_) => ExportKind::Tag,
                };
                self.export(*from, import.name, kind).map_err(Unusable::Unknown)?
            }
            None if import.module == spectest::MODULE => self
                .define(mover, import)?
                .ok_or_else(|| Unusable::Unknown(format!("spectest has no {:?} of this type", import.name)))?,
            None => return Err(Unusable::Unknown(format!("no module {:?}", import.module))),
        };
        match import.ty {
            TypeRef::Table(_) => mover.tables.push(index),
            TypeRef::Memory(_) => mover.memories.push(index),
            TypeRef::Tag(_) => mover.tags.push(index),
            TypeRef::Global(_) => {
                mover.globals.push(index);
                mover.values.push(self.values.get(index as usize).cloned().unwrap_or_default());
            }
            _ => mover.functions.push(index),
        }
        Ok(())
    }

    /// Returns the index of an item of `spectest`, which is defined at its first import; none if
    /// `spectest` has no such item of this type.
    fn define(&mut self, mover: &mut Mover, import: &Import<'_>) -> Result<Option<u32>, Unusable> {
        let known = self.spectest.get(import.name).copied();
        let index = match import.ty {
            TypeRef::Func(ty) => {
                let ty = mover.type_index(ty)?;
                let signature = self.signatures.get(ty as usize);
                let matches = signature.is_some_and(|signature| {
                    spectest::function(import.name) == Some(signature.params()) && signature.results().is_empty()
                });
                matches.then(|| {
                    known.unwrap_or_else(|| {
                        self.code.function(&body(None, |_| {}));
                        self.function(ty)
                    })
                })
            }
            TypeRef::Table(ty) => {
                let limits = (spectest::TABLE.minimum, spectest::TABLE.maximum);
                let matches = import.name == "table"
                    && mover.table_type(ty)?.element_type == spectest::TABLE.element_type
                    && !ty.table64
                    && spectest::is_within((ty.initial, ty.maximum), limits);
                matches.then(|| known.unwrap_or_else(|| self.tables.table(spectest::TABLE).len() - 1))
            }
            TypeRef::Memory(ty) => {
                let limits = (spectest::MEMORY.minimum, spectest::MEMORY.maximum);
                let matches = import.name == "memory"
                    && !ty.memory64
                    && !ty.shared
                    && spectest::is_within((ty.initial, ty.maximum), limits);
                matches.then(|| known.unwrap_or_else(|| self.memories.memory(spectest::MEMORY).len() - 1))
            }
            TypeRef::Global(ty) => match spectest::global(import.name) {
                Some((content, value)) if content == ty.content_type && !ty.mutable => {
                    let ty = GlobalType { val_type: mover.val_type(content)?, mutable: false, shared: false };
                    Some(known.unwrap_or_else(|| self.global(ty, &ConstExpr::extended([value]))))
                }
                _ => None,
            },
            TypeRef::Tag(_) | TypeRef::FuncExact(_) => None,
        };
        if let Some(index) = index {
            self.spectest.insert(import.name.to_owned(), index);
        }
        Ok(index)
    }

    fn export(&self, part: usize, name: &str, kind: ExportKind) -> Result<u32, String> {
        let found = self.exports.iter().find(|export| (export.part, &*export.name, export.kind) == (part, name, kind));
        found.map(|export| export.index).ok_or_else(|| format!("no {kind:?} {name:?} is exported"))
    }

    /// Builds a program that executes `calls` in order and exits with [`MISMATCH`] at the first
    /// result that differs from the expected one. Each call is a separate function.
    ///
    /// # Errors
    ///
    /// A message, if the module does not export the target of a call or the number of results
    /// differs.
    pub fn program(&self, calls: &[Call<'_>]) -> Result<Vec<u8>, String> {
        let (mut types, mut functions, mut code) = (self.types.clone(), self.functions.clone(), self.code.clone());
        let exit_type = count(self.signatures.len());
        let call_type = exit_type + 1;
        types.ty().function([ValType::I32], []);
        types.ty().function([], []);
        let mut imports = ImportSection::new();
        imports.import("wasi_snapshot_preview1", "proc_exit", EntityType::Function(exit_type));

        let first = count(self.function_types.len()) + 1;
        for call in calls {
            functions.function(call_type);
            code.function(&self.call(*call)?);
        }
        functions.function(call_type);
        let entry = first + count(calls.len());
        code.function(&body(None, |sink| {
            for function in first..entry {
                sink.call(function);
            }
        }));
        let mut exports = ExportSection::new();
        for Export { part, name, kind, index } in &self.exports {
            // A `_start` of the module must not be the program's entry point, and exports of
            // several parts may have the same name.
            if self.is_linked {
                exports.export(&format!("{part} {name}"), *kind, *index);
            } else {
                exports.export(if name == ENTRY { "its own _start" } else { name }, *kind, *index);
            }
        }
        exports.export(ENTRY, ExportKind::Func, entry);

        let mut module = Module::new();
        module.section(&types).section(&imports).section(&functions);
        if !self.tables.is_empty() {
            module.section(&self.tables);
        }
        if !self.memories.is_empty() {
            module.section(&self.memories);
        }
        if !self.tags.is_empty() {
            module.section(&self.tags);
        }
        if !self.globals.is_empty() {
            module.section(&self.globals);
        }
        module.section(&exports);
        if let ([(_, function_index)], false) = (self.starts.as_slice(), self.is_linked) {
            module.section(&StartSection { function_index: *function_index });
        }
        if !self.elements.is_empty() {
            module.section(&self.elements);
        }
        if self.is_linked {
            module.section(&DataCountSection { count: self.data.len() });
        } else if let Some(count) = self.data_count {
            module.section(&DataCountSection { count });
        }
        module.section(&code);
        if !self.data.is_empty() {
            module.section(&self.data);
        }
        Ok(module.finish())
    }

    /// Builds the function that executes a step.
    fn call(&self, Call { step, is_compared }: Call<'_>) -> Result<Function, String> {
        let (target, results) = match &step.action {
            Action::Instantiate => return Ok(self.instantiate(step.part)),
            Action::Invoke { name, .. } => {
                let function = self.export(step.part, name, ExportKind::Func)?;
                // `function_types` does not contain the imported function.
                let ty = self.function_types.get(function as usize - 1);
                let signature = ty.and_then(|ty| self.signatures.get(*ty as usize));
                (function, signature.ok_or_else(|| format!("{name:?} has no type"))?.results().len())
            }
            Action::Get { name } => (self.export(step.part, name, ExportKind::Global)?, 1),
        };
        let patterns = step.results().filter(|_| is_compared);
        if patterns.is_some_and(|patterns| patterns.len() != results) {
            return Err(format!("the target has {results} results"));
        }
        let has_vector = patterns.is_some_and(|all| all.iter().any(|pattern| matches!(pattern, Pattern::V128(_))));
        let locals = has_vector.then_some((1, ValType::V128));
        Ok(body(locals, |sink| {
            if let Action::Invoke { args, .. } = &step.action {
                args.iter().for_each(|arg| push(sink, *arg));
                sink.call(target);
            } else {
                sink.global_get(target);
            }
            match patterns {
                // The last result is on top of the stack.
                Some(patterns) => patterns.iter().rev().for_each(|pattern| {
                    differs(sink, pattern);
                    sink.if_(wasm_encoder::BlockType::Empty);
                    sink.i32_const(MISMATCH.cast_signed()).call(EXIT).end();
                }),
                None => iter::repeat_n((), results).for_each(|()| {
                    sink.drop();
                }),
            }
        }))
    }

    /// Builds the function that copies a part's active segments and calls its start function, if
    /// parts are linked.
    fn instantiate(&self, part: usize) -> Function {
        let mut function = Function::new([]);
        for segment in self.element_segments.iter().filter(|segment| segment.part == part) {
            function.raw(segment.offset.iter().copied());
            let mut sink = function.instructions();
            sink.i32_const(0).i32_const(segment.len.cast_signed());
            sink.table_init(segment.target, segment.index).elem_drop(segment.index);
        }
        for segment in self.data_segments.iter().filter(|segment| segment.part == part) {
            function.raw(segment.offset.iter().copied());
            let mut sink = function.instructions();
            sink.i32_const(0).i32_const(segment.len.cast_signed());
            sink.memory_init(segment.target, segment.index).data_drop(segment.index);
        }
        let mut sink = function.instructions();
        if self.is_linked {
            for (_, start) in self.starts.iter().filter(|start| start.0 == part) {
                sink.call(*start);
            }
        }
        sink.end();
        function
    }
}

/// Encodes a constant expression without its `end`.
fn encoded(expression: &ConstExpr) -> Vec<u8> {
    let mut bytes = Vec::new();
    expression.encode(&mut bytes);
    bytes.pop();
    bytes
}

/// Builds a function.
fn body(locals: Option<(u32, ValType)>, write: impl FnOnce(&mut InstructionSink<'_>)) -> Function {
    let mut function = Function::new(locals);
    let mut sink = function.instructions();
    write(&mut sink);
    sink.end();
    function
}

/// Pushes a constant.
fn push(sink: &mut InstructionSink<'_>, value: Value) {
    match value {
        Value::I32(value) => sink.i32_const(value),
        Value::I64(value) => sink.i64_const(value),
        Value::F32(bits) => sink.f32_const(Ieee32::new(bits)),
        Value::F64(bits) => sink.f64_const(Ieee64::new(bits)),
        Value::V128(bits) => sink.v128_const(bits.cast_signed()),
        Value::Null(ty) => sink.ref_null(ty),
    };
}

/// Local of a call with the `v128` that is compared.
const VECTOR: u32 = 0;

/// Replaces the value on top of the stack by 1 if it does not match `pattern`, else by 0.
fn differs(sink: &mut InstructionSink<'_>, pattern: &Pattern) {
    match *pattern {
        Pattern::I32(value) => sink.i32_const(value).i32_ne(),
        Pattern::I64(value) => sink.i64_const(value).i64_ne(),
        Pattern::F32(bits) => masked32(sink, (u32::MAX, bits)),
        Pattern::F64(bits) => masked64(sink, (u64::MAX, bits)),
        Pattern::CanonicalF32 => masked32(sink, value::CANONICAL_F32),
        Pattern::CanonicalF64 => masked64(sink, value::CANONICAL_F64),
        Pattern::ArithmeticF32 => masked32(sink, value::ARITHMETIC_F32),
        Pattern::ArithmeticF64 => masked64(sink, value::ARITHMETIC_F64),
        Pattern::V128(ref patterns) => {
            sink.local_set(VECTOR).i32_const(1);
            for Masked { mask, bits } in patterns {
                sink.local_get(VECTOR).v128_const(mask.cast_signed()).v128_and();
                sink.v128_const(bits.cast_signed()).v128_xor().v128_any_true().i32_and();
            }
            sink
        }
        Pattern::Null => sink.ref_is_null().i32_eqz(),
        Pattern::NotNull => sink.ref_is_null(),
    };
}

/// Compares the masked bits of an `f32` with `bits`.
fn masked32<'a, 'b>(sink: &'a mut InstructionSink<'b>, (mask, bits): (u32, u32)) -> &'a mut InstructionSink<'b> {
    sink.i32_reinterpret_f32().i32_const(mask.cast_signed()).i32_and().i32_const(bits.cast_signed()).i32_ne()
}

/// Compares the masked bits of an `f64` with `bits`.
fn masked64<'a, 'b>(sink: &'a mut InstructionSink<'b>, (mask, bits): (u64, u64)) -> &'a mut InstructionSink<'b> {
    sink.i64_reinterpret_f64().i64_const(mask.cast_signed()).i64_and().i64_const(bits.cast_signed()).i64_ne()
}

/// Converts a count. It fits into 32 bits because each counted item takes at least one byte of a
/// module.
fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
