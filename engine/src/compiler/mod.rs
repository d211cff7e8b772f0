// SPDX-License-Identifier: GPL-2.0

//! The compiler: translates validated WebAssembly, function by function, to eBPF instructions.
//!
//! The compiler makes one pass over each function after [`analysis`]: operands are deferred
//! (constants and locals are used where they are), values live in registers until something else
//! needs them, and the first branch to a label decides where values are there. A mistake made here
//! gives a wrong result; that it never gives unsafe code is what the checker proves.

mod analysis;
mod assembler;
mod branches;
mod calls;
mod checkpoints;
mod compares;
mod constructs;
mod exceptions;
mod function;
mod lanes;
mod memory;
mod operators;
mod registers;
mod simd;
mod tails;
pub(crate) mod value_words;

use crate::{
    checker::{
        Checker,
        Violation, //
    },
    features,
    vmctx::{
        ARGS_FREE,
        ARGS_MAX,
        FRAME_MAX,
        Function,
        GLOBALS_MAX,
        MEMORIES_MAX,
        PAGE,
        PAGES_MAX,
        Shape, //
    },
};
use alloc::{
    collections::BTreeMap,
    string::String,
    vec::Vec, //
};
use checkpoints::STRAIGHT_MAX;
use core::fmt;
pub use value_words::WordMap;
use wasmparser::{
    BinaryReaderError,
    BlockType,
    FuncValidator,
    FuncValidatorAllocations,
    FunctionBody,
    Operator,
    Parser,
    Payload,
    TypeRef,
    ValType,
    ValidPayload,
    Validator,
    ValidatorResources, //
};

/// Reasons not to compile a module; it can still be interpreted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The module is not valid: message and offset.
    Invalid(String, usize),
    /// The module uses a feature that the compiler does not know.
    Unsupported(&'static str),
    /// Something in it is larger than compiled code can have.
    TooLarge(&'static str),
    /// Machine code and the memory to compile it exceed the limit `code`.
    CodeLimit,
    /// Machine code and the memory to compile it exceed the limit `total-heap`.
    TotalHeapLimit,
    /// No memory.
    Memory,
    /// A mistake of the compiler.
    Internal(&'static str),
    /// The checker refuses function `0` of those that the module defines.
    Unsafe(usize, Violation),
}

impl From<BinaryReaderError> for Error {
    fn from(error: BinaryReaderError) -> Self {
        Self::Invalid(error.message().into(), error.offset())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(message, offset) => write!(f, "not valid Wasm: {message} at offset {offset}"),
            Self::Unsupported(what) => write!(f, "the compiler does not support {what}"),
            Self::TooLarge(what) => write!(f, "too large for compiled code: {what}"),
            Self::CodeLimit | Self::TotalHeapLimit => {
                let limit = if *self == Self::CodeLimit { "code" } else { "total-heap" };
                write!(f, "machine code and the memory to compile it exceed the limit {limit}")
            }
            Self::Memory => f.write_str("no memory for the compiler"),
            Self::Internal(what) => write!(f, "mistake of the compiler: {what}"),
            Self::Unsafe(function, violation) => write!(f, "the checker refuses function {function}: {violation}"),
        }
    }
}

/// A function type, as far as the compiler needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Type {
    /// Parameters.
    pub params: Vec<ValType>,
    /// Results.
    pub results: Vec<ValType>,
}

impl Type {
    /// Number of words of the parameters.
    #[must_use]
    pub fn param_words(&self) -> usize {
        value_words::sizes(&self.params)
    }

    /// Number of words of the results.
    #[must_use]
    pub fn result_words(&self) -> usize {
        value_words::sizes(&self.results)
    }
}

/// Declarations of a module.
#[derive(Clone, Debug, Default)]
pub struct Declarations {
    /// Types.
    pub types: Vec<Type>,
    /// Canonical number of each type: equal types have the same.
    pub type_ids: Vec<u32>,
    /// First of the types that are equal to each.
    first_types: BTreeMap<Type, u32>,
    /// Type of each function, imported ones first.
    pub functions: Vec<u32>,
    /// Number of imported functions.
    pub imported: u32,
    /// Minimum size of each memory in bytes.
    pub memories: Vec<u64>,
    /// Set if indices are masked, see [`crate::vmctx::index_mask`].
    pub has_masks: bool,
    /// Words of the globals.
    pub globals: WordMap,
    /// Number of tables.
    pub tables: u32,
    /// Type of each tag.
    pub tags: Vec<u32>,
    /// Highest number of words of a tag's values.
    tag_words_max: usize,
    /// Functions that call others in tail position, ascending: the bodies of these are behind those
    /// that the module defines.
    pub tail_callers: Vec<u32>,
}

impl Declarations {
    /// Type of function `index`.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if there is no such function.
    pub(crate) fn function_type(&self, index: u32) -> Result<&Type, Error> {
        let ty = self.functions.get(index as usize).ok_or(Error::Internal("function index"))?;
        self.types.get(*ty as usize).ok_or(Error::Internal("type index"))
    }

    /// Returns the number of words of the values of an exception with tag `index`.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if there is no such tag.
    pub(crate) fn tag_words(&self, index: u32) -> Result<usize, Error> {
        let ty = self.tags.get(index as usize).ok_or(Error::Internal("tag index"))?;
        self.types.get(*ty as usize).map(Type::param_words).ok_or(Error::Internal("type index"))
    }

    /// Returns true if functions may throw exceptions: without tags there are none.
    pub(crate) fn has_exceptions(&self) -> bool {
        !self.tags.is_empty()
    }

    /// The function that a tail call of function `index` calls: a body, which has an index behind
    /// those of the module, or the function itself.
    #[must_use]
    pub fn tail_entry(&self, index: u32) -> Option<u32> {
        self.functions.get(index as usize)?;
        match self.tail_callers.binary_search(&index) {
            Ok(body) => u32::try_from(self.functions.len().checked_add(body)?).ok(),
            Err(_) => Some(index),
        }
    }

    /// Declarations that the checker needs.
    #[must_use]
    pub fn shape(&self) -> Shape {
        let all = self.functions.len().saturating_add(self.tail_callers.len());
        Shape {
            functions: u32::try_from(all).unwrap_or(u32::MAX).saturating_sub(self.imported),
            globals: self.globals.count(),
            memories: self.memories.clone(),
            has_masks: self.has_masks,
        }
    }

    fn add_tail_caller(&mut self, index: u32) -> Result<(), Error> {
        // The last word of the arguments is taken.
        let is_wide = |ty: &Type| ty.param_words().max(ty.result_words()) >= ARGS_MAX as usize;
        if self.types.iter().any(is_wide) {
            return Err(Error::TooLarge("parameters or results of a function, with tail calls"));
        }
        self.tail_callers.try_reserve(1).map_err(|_| Error::Memory)?;
        self.tail_callers.push(index);
        Ok(())
    }

    fn add_tag(&mut self, ty: u32) -> Result<(), Error> {
        if self.tags.is_empty() {
            // The last words of the arguments are taken.
            let is_wide = |ty: &Type| ty.param_words().max(ty.result_words()) > ARGS_FREE as usize;
            if self.types.iter().any(is_wide) {
                return Err(Error::TooLarge("parameters or results of a function, with exceptions"));
            }
        }
        self.tags.try_reserve(1).map_err(|_| Error::Memory)?;
        self.tags.push(ty);
        let index = u32::try_from(self.tags.len().saturating_sub(1)).unwrap_or(u32::MAX);
        // A reference to the exception follows its values.
        let words = self.tag_words(index)?;
        if words >= ARGS_FREE as usize {
            return Err(Error::TooLarge("values of an exception"));
        }
        self.tag_words_max = self.tag_words_max.max(words);
        Ok(())
    }

    fn add_type(&mut self, ty: Type) -> Result<(), Error> {
        if ty.param_words().max(ty.result_words()) > ARGS_MAX as usize {
            return Err(Error::TooLarge("parameters or results of a function"));
        }
        let number = u32::try_from(self.types.len()).unwrap_or(u32::MAX);
        self.type_ids.push(*self.first_types.entry(ty.clone()).or_insert(number));
        self.types.push(ty);
        Ok(())
    }
}

/// A compiled module.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// Declarations of the module.
    pub declarations: Declarations,
    /// Functions that the module defines, then the bodies of [`Declarations::tail_callers`].
    pub functions: Vec<Function>,
}

impl Compiled {
    /// Has the checker look at every function.
    ///
    /// # Errors
    ///
    /// [`Error::Unsafe`] with the first function that the checker refuses.
    pub fn check(&self) -> Result<(), Error> {
        let shape = self.declarations.shape();
        let mut checker = Checker::default();
        for (index, function) in self.functions.iter().enumerate() {
            checker.check(function, &shape).map_err(|violation| Error::Unsafe(index, violation))?;
        }
        Ok(())
    }
}

/// Upper bound of the instructions of a function: nothing can end the kernel's JIT within a
/// function.
const FUNCTION_MAX: usize = 1 << 19;

/// Number of instructions that conditional jumps reach over.
const REACH: u16 = i16::MAX.unsigned_abs();

/// Origin of instructions: they come from one operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Index of the first instruction; the next origin has the first that belongs to another
    /// operator.
    pub first: u32,
    /// Offset of the operator in the module; `None` for the entry of the function and for code out
    /// of the way.
    pub offset: Option<usize>,
}

/// Options of the compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompilerOptions {
    /// Set if accesses are protected against speculative execution, see
    /// [`crate::vmctx::index_mask`].
    pub has_masks: bool,
    /// Number of instructions that conditional jumps reach over, where that is possible: tests thus
    /// see what large functions are compiled to.
    pub reach: u16,
    /// Most instructions that a path executes after a checkpoint or call, besides those of one
    /// operator, before the next checkpoint or call. A larger number than [`STRAIGHT_MAX`] counts
    /// as that.
    pub straight: u32,
}

impl CompilerOptions {
    /// Options of a compiler whose code the kernel runs.
    #[must_use]
    pub fn new(has_masks: bool) -> Self {
        Self { has_masks, reach: REACH, straight: STRAIGHT_MAX }
    }
}

impl Default for CompilerOptions {
    fn default() -> Self {
        Self::new(true)
    }
}

/// Validates and compiles `wasm`.
///
/// # Errors
///
/// [`Error::Invalid`] if the module is not valid; [`Error::Unsupported`] or [`Error::TooLarge`] if
/// the compiler cannot compile it; [`Error::Memory`] if no memory is available; [`Error::Internal`]
/// after a mistake of the compiler.
pub fn compile(wasm: &[u8], options: CompilerOptions) -> Result<Compiled, Error> {
    let (compiled, _) = compile_and_record(wasm, options, false)?;
    Ok(compiled)
}

/// Like [`compile`], and returns the origins of each function's instructions.
///
/// # Errors
///
/// The errors of [`compile`].
pub fn compile_traced(wasm: &[u8], options: CompilerOptions) -> Result<(Compiled, Vec<Vec<Origin>>), Error> {
    compile_and_record(wasm, options, true)
}

/// Implements [`compile`] and [`compile_traced`]. Origins are recorded if `is_traced`.
fn compile_and_record(
    wasm: &[u8],
    options: CompilerOptions,
    is_traced: bool,
) -> Result<(Compiled, Vec<Vec<Origin>>), Error> {
    let mut validator = Validator::new_with_features(features::COMPILER);
    let mut allocations = Some(FuncValidatorAllocations::default());
    let mut compiled = Compiled::default();
    compiled.declarations.has_masks = options.has_masks;
    let mut forms = ExceptionForms::default();
    let mut bodies = Vec::new();
    let mut assembler = assembler::Assembler::recording(is_traced);
    let (mut origins, mut body_origins) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        let valid = validator.payload(&payload)?;
        declare(&mut compiled.declarations, &payload)?;
        if let ValidPayload::Func(function, body) = valid {
            let mut function = function.into_validator(allocations.take().unwrap_or_default());
            let vectors = validate(&compiled.declarations, &mut forms, &mut function, &body)?;
            let index = function.index();
            allocations = Some(function.into_allocations());
            let translated = function::compile(&compiled.declarations, index, &body, &vectors, options, assembler)?;
            assembler = translated.assembler;
            let mut compiled_function = translated.function;
            if compiled_function.frame > FRAME_MAX {
                return Err(Error::TooLarge("frame of a function"));
            }
            if compiled_function.code.len() > FUNCTION_MAX {
                return Err(Error::TooLarge("a function"));
            }
            if translated.calls_tails {
                compiled.declarations.add_tail_caller(index)?;
                bodies.try_reserve(1).map_err(|_| Error::Memory)?;
                bodies.push(compiled_function);
                body_origins.extend(assembler.take_origins());
                (compiled_function, assembler) = tails::caller(&compiled.declarations, index, assembler)?;
            }
            compiled.functions.try_reserve(1).map_err(|_| Error::Memory)?;
            compiled.functions.push(compiled_function);
            origins.extend(assembler.take_origins());
        }
    }
    compiled.functions.try_reserve(bodies.len()).map_err(|_| Error::Memory)?;
    compiled.functions.append(&mut bodies);
    origins.append(&mut body_origins);
    Ok((compiled, origins))
}

/// Number of bytes of operators between two calls of [`crate::poll`].
const BYTES_PER_POLL: usize = 1024;

/// Lets the host end a long operation if the reader, which is at offset `at`, is so many bytes
/// behind `polled`, the offset of the call before.
fn poll(polled: &mut usize, at: usize) {
    if at.saturating_sub(*polled) >= BYTES_PER_POLL {
        *polled = at;
        crate::poll();
    }
}

/// Upper bound of the targets of a `br_table` and of the clauses of a `try_table`. Nothing can end
/// the validation of one operator. A patch gives wasmi the same bound for `br_table`.
const TARGETS_MAX: usize = 65_520;

/// Upper bound of the values that all targets or clauses of an operator take together.
const VALUES_MAX: usize = 32 * TARGETS_MAX;

/// Checks that an operator is not too long to be validated.
///
/// # Errors
///
/// [`Error::TooLarge`] if it has too many targets or clauses, or they take too many values.
fn check_length(
    declarations: &Declarations,
    function: &FuncValidator<ValidatorResources>,
    operator: &Operator<'_>,
) -> Result<(), Error> {
    let (what, targets, values) = match operator {
        Operator::BrTable { targets } => {
            // Every target takes as many values as the default one.
            let frame = usize::try_from(targets.default()).ok().and_then(|depth| function.get_control_frame(depth));
            let ty = frame.and_then(|frame| match frame.block_type {
                BlockType::FuncType(ty) => declarations.types.get(ty as usize),
                _ => None,
            });
            let values = ty.map_or(1, |ty| ty.params.len().max(ty.results.len()));
            ("a br_table", targets.len() as usize, values)
        }
        // A clause takes a byte or more and at most the values of a tag.
        Operator::TryTable { try_table } => ("a try_table", try_table.catches.len(), declarations.tag_words_max),
        _ => return Ok(()),
    };
    if targets > TARGETS_MAX || targets.saturating_mul(values) > VALUES_MAX {
        return Err(Error::TooLarge(what));
    }
    Ok(())
}

/// Forms of exceptions that the functions of a module use.
#[derive(Clone, Copy, Debug, Default)]
struct ExceptionForms {
    has_legacy: bool,
    has_standard: bool,
}

impl ExceptionForms {
    /// Adds the form that `operator`, at `offset`, belongs to.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the module uses both forms: no version of the specification has both.
    fn add(&mut self, operator: &Operator<'_>, offset: usize) -> Result<(), Error> {
        match operator {
            Operator::Try { .. }
            | Operator::Catch { .. }
            | Operator::CatchAll
            | Operator::Delegate { .. }
            | Operator::Rethrow { .. } => self.has_legacy = true,
            Operator::TryTable { .. } | Operator::ThrowRef => self.has_standard = true,
            _ => return Ok(()),
        }
        if self.has_legacy && self.has_standard {
            let text = "legacy and standard exceptions in one module";
            return Err(Error::Invalid(text.into(), offset));
        }
        Ok(())
    }
}

/// Validates a function's body. Returns the positions of the operators that drop or select a
/// `v128`, ascending.
fn validate(
    declarations: &Declarations,
    forms: &mut ExceptionForms,
    function: &mut FuncValidator<ValidatorResources>,
    body: &FunctionBody<'_>,
) -> Result<Vec<u32>, Error> {
    let mut reader = body.get_binary_reader();
    function.read_locals(&mut reader)?;
    reader.set_features(features::COMPILER);
    let mut vectors = Vec::new();
    let mut position = analysis::FIRST_POSITION;
    let mut polled = reader.original_position();
    while !reader.eof() {
        let offset = reader.original_position();
        poll(&mut polled, offset);
        let operator = reader.read_operator()?;
        let operand = match operator {
            Operator::Drop => function.get_operand_type(0),
            Operator::Select | Operator::TypedSelect { .. } => function.get_operand_type(1),
            _ => None,
        };
        if operand == Some(Some(ValType::V128)) {
            vectors.try_reserve(1).map_err(|_| Error::Memory)?;
            vectors.push(position);
        }
        check_length(declarations, function, &operator)?;
        forms.add(&operator, offset)?;
        function.op(offset, &operator)?;
        position = position.saturating_add(1);
    }
    function.finish(reader.original_position())?;
    Ok(vectors)
}

fn declare(declarations: &mut Declarations, payload: &Payload<'_>) -> Result<(), Error> {
    match payload {
        Payload::TypeSection(types) => {
            for ty in types.clone().into_iter_err_on_gc_types() {
                let ty = ty?;
                declarations.add_type(Type { params: ty.params().to_vec(), results: ty.results().to_vec() })?;
            }
        }
        Payload::ImportSection(imports) => {
            for import in imports.clone() {
                match import?.ty {
                    TypeRef::Func(ty) => {
                        declarations.functions.push(ty);
                        declarations.imported = declarations.imported.saturating_add(1);
                    }
                    _ => return Err(Error::Unsupported("imports other than functions")),
                }
            }
        }
        Payload::FunctionSection(functions) => {
            for ty in functions.clone() {
                declarations.functions.push(ty?);
            }
        }
        Payload::MemorySection(memories) => {
            for memory in memories.clone() {
                let pages = memory?.initial;
                if pages > PAGES_MAX {
                    return Err(Error::TooLarge("a memory of 4 GiB"));
                }
                declarations.memories.push(pages.saturating_mul(PAGE));
            }
            if declarations.memories.len() > MEMORIES_MAX as usize {
                return Err(Error::TooLarge("memories"));
            }
        }
        Payload::GlobalSection(globals) => {
            for global in globals.clone() {
                declarations.globals.add(global?.ty.content_type, 1)?;
            }
            if declarations.globals.count() > GLOBALS_MAX {
                return Err(Error::TooLarge("globals"));
            }
        }
        Payload::TableSection(tables) => declarations.tables = tables.count(),
        Payload::TagSection(tags) => {
            for tag in tags.clone() {
                declarations.add_tag(tag?.func_type_idx)?;
            }
        }
        _ => {}
    }
    Ok(())
}
