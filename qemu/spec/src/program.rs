// SPDX-License-Identifier: GPL-2.0

//! Makes programs of modules: their own `_start` calls what they export and looks at the results.

use crate::{
    script::{
        Action,
        Step, //
    },
    spectest,
    value::{
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

/// What a program ends with if a result is not what it is to be.
pub const MISMATCH: u32 = 1;

/// The one function that is imported, so that all others move up by one.
const EXIT: u32 = 0;

/// The entry of a program.
const ENTRY: &str = "_start";

/// Why no program can be made of modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// One imports what is nowhere.
    Unknown(String),
    /// One is not understood.
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

/// A call in a program.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// What is called.
    pub step: &'a Step,
    /// Whether its results are looked at.
    pub is_compared: bool,
}

/// A module, and where what it imports comes from.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its bytes.
    pub wasm: Vec<u8>,
    /// The part, before this one, that each module is that it imports from.
    pub links: HashMap<String, usize>,
}

/// Something that is exported.
#[derive(Clone, Debug)]
struct Export {
    part: usize,
    name: String,
    kind: ExportKind,
    index: u32,
}

/// A segment that is put in place when its part is instantiated.
#[derive(Clone, Debug)]
struct Segment {
    part: usize,
    /// The constant expression of where it goes, without its end.
    offset: Vec<u8>,
    index: u32,
    len: u32,
    target: u32,
}

/// Modules, taken apart and linked into one, with what they import from `spectest` as their own.
///
/// One alone stays as it is. Several are instantiated one by one: what would happen then is left for calls to do.
#[derive(Clone, Debug, Default)]
pub struct Template {
    is_linked: bool,
    types: TypeSection,
    signatures: Vec<wasmparser::FuncType>,
    functions: FunctionSection,
    /// The type of each function.
    function_types: Vec<u32>,
    tables: TableSection,
    memories: MemorySection,
    globals: GlobalSection,
    /// The constant expression of each global, without its end.
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

/// Gives the indices of a part's own the places that they have in the program.
#[derive(Default)]
struct Mover {
    types: u32,
    elements: u32,
    data: u32,
    functions: Vec<u32>,
    tables: Vec<u32>,
    memories: Vec<u32>,
    globals: Vec<u32>,
    /// The constant expressions of globals that are imported.
    values: Vec<Vec<u8>>,
}

/// What is at `index`; an index without anything stays what it is, for the engine to find out.
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

    fn global_index(&mut self, global: u32) -> Result<u32, reencode::Error> {
        Ok(at(&self.globals, global))
    }

    /// Only globals that are imported are constants: the value goes in place of one.
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
    /// Takes modules apart and links them.
    ///
    /// # Errors
    ///
    /// [`Unusable`].
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
                Payload::TagSection(_) => return Err(Unusable::Broken("tags".to_owned())),
                _ => {}
            }
        }
        Ok(())
    }

    /// A further function, whose code comes in its turn; its index, which the imported function precedes.
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

    /// Finds what is imported.
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
                .ok_or_else(|| Unusable::Unknown(format!("spectest has no such {:?}", import.name)))?,
            None => return Err(Unusable::Unknown(format!("no module {:?}", import.module))),
        };
        match import.ty {
            TypeRef::Table(_) => mover.tables.push(index),
            TypeRef::Memory(_) => mover.memories.push(index),
            TypeRef::Global(_) => {
                mover.globals.push(index);
                mover.values.push(self.values.get(index as usize).cloned().unwrap_or_default());
            }
            _ => mover.functions.push(index),
        }
        Ok(())
    }

    /// The index of an item of `spectest`, which is made when it is first wanted; none if there is no such item.
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
                        self.code.function(&body(|_| {}));
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

    /// A program that takes these steps in turn, and ends with [`MISMATCH`] as soon as one comes back with something else
    /// than it should. Each is a function of its own.
    ///
    /// # Errors
    ///
    /// In words, if a call does not go with the module.
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
        code.function(&body(|sink| {
            for function in first..entry {
                sink.call(function);
            }
        }));
        let mut exports = ExportSection::new();
        for Export { part, name, kind, index } in &self.exports {
            // Its own entry would be taken for the program's, and names of several parts for one another.
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

    /// A function that takes a step.
    fn call(&self, Call { step, is_compared }: Call<'_>) -> Result<Function, String> {
        let (target, results) = match &step.action {
            Action::Instantiate => return Ok(self.instantiate(step.part)),
            Action::Invoke { name, .. } => {
                let function = self.export(step.part, name, ExportKind::Func)?;
                // Without the function that is imported.
                let ty = self.function_types.get(function as usize - 1);
                let signature = ty.and_then(|ty| self.signatures.get(*ty as usize));
                (function, signature.ok_or_else(|| format!("{name:?} has no type"))?.results().len())
            }
            Action::Get { name } => (self.export(step.part, name, ExportKind::Global)?, 1),
        };
        let patterns = step.results().filter(|_| is_compared);
        if patterns.is_some_and(|patterns| patterns.len() != results) {
            return Err(format!("there are {results} results"));
        }
        Ok(body(|sink| {
            if let Action::Invoke { args, .. } = &step.action {
                args.iter().for_each(|arg| push(sink, *arg));
                sink.call(target);
            } else {
                sink.global_get(target);
            }
            match patterns {
                // The last result is on top.
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

    /// A function that does what is left of instantiating a part.
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

/// The bytes of a constant expression, without its end.
fn encoded(expression: &ConstExpr) -> Vec<u8> {
    let mut bytes = Vec::new();
    expression.encode(&mut bytes);
    bytes.pop();
    bytes
}

/// A function without locals.
fn body(write: impl FnOnce(&mut InstructionSink<'_>)) -> Function {
    let mut function = Function::new([]);
    let mut sink = function.instructions();
    write(&mut sink);
    sink.end();
    function
}

fn push(sink: &mut InstructionSink<'_>, value: Value) {
    match value {
        Value::I32(value) => sink.i32_const(value),
        Value::I64(value) => sink.i64_const(value),
        Value::F32(bits) => sink.f32_const(Ieee32::new(bits)),
        Value::F64(bits) => sink.f64_const(Ieee64::new(bits)),
        Value::Null(ty) => sink.ref_null(ty),
    };
}

/// Puts whether the value on top of the stack does not match in its place.
fn differs(sink: &mut InstructionSink<'_>, pattern: &Pattern) {
    match *pattern {
        Pattern::I32(value) => sink.i32_const(value).i32_ne(),
        Pattern::I64(value) => sink.i64_const(value).i64_ne(),
        Pattern::F32(bits) => masked32(sink, u32::MAX, bits),
        Pattern::F64(bits) => masked64(sink, u64::MAX, bits),
        // The sign may be any.
        Pattern::CanonicalF32 => masked32(sink, u32::MAX >> 1, 0x7fc0_0000),
        Pattern::CanonicalF64 => masked64(sink, u64::MAX >> 1, 0x7ff8_0000_0000_0000),
        // So may the payload, but for its highest bit.
        Pattern::ArithmeticF32 => masked32(sink, 0x7fc0_0000, 0x7fc0_0000),
        Pattern::ArithmeticF64 => masked64(sink, 0x7ff8_0000_0000_0000, 0x7ff8_0000_0000_0000),
        Pattern::Null => sink.ref_is_null().i32_eqz(),
        Pattern::NotNull => sink.ref_is_null(),
    };
}

fn masked32<'a, 'b>(sink: &'a mut InstructionSink<'b>, mask: u32, bits: u32) -> &'a mut InstructionSink<'b> {
    sink.i32_reinterpret_f32().i32_const(mask.cast_signed()).i32_and().i32_const(bits.cast_signed()).i32_ne()
}

fn masked64<'a, 'b>(sink: &'a mut InstructionSink<'b>, mask: u64, bits: u64) -> &'a mut InstructionSink<'b> {
    sink.i64_reinterpret_f64().i64_const(mask.cast_signed()).i64_and().i64_const(bits.cast_signed()).i64_ne()
}

/// How many there are: fewer than four thousand million, as each takes a byte of a module.
fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
