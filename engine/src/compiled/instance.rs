// SPDX-License-Identifier: GPL-2.0

//! One instance of a compiled module.

mod storage;

pub use super::stop::InstanceStop;
use super::{
    exceptions::Exceptions,
    linear_memory::LinearMemory,
    numeric,
    program::{
        ConstOp,
        Mode,
        Program, //
    },
    simd, //
};
#[cfg(feature = "object")]
use crate::wasi::PARAMS_MAX;
use crate::{
    compiler::Declarations,
    vmctx::{
        ARGS,
        EXCEPTION,
        GLOBALS,
        Helper,
        LIMITS,
        LIMITS_MAX,
        MemoryField,
        PAGE,
        TrapReason,
        index_mask,
        memory_offset, //
    },
};
use alloc::vec::Vec;
use core::array;
use storage::range_mut;

/// Most pages of a memory by the WebAssembly specification, 4 GiB. A guest that asks for more than
/// a limit ends at the limit even if compiled code cannot have so many.
const SPEC_PAGES_MAX: u64 = 65536;

/// Number of words before the context that compiled code cannot name.
pub(crate) const PRIVATE: usize = 16;

/// Index of the first word of the arguments in [`CompiledInstance::context`].
#[cfg(feature = "object")]
const FIRST_ARG: usize = PRIVATE.saturating_add(ARGS.unsigned_abs() as usize / 8);

/// A word before the context.
#[cfg(feature = "object")]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Private {
    /// Stack pointer of the guest.
    GuestStack,
    /// Argument of a request, 0 to 4.
    Argument(usize),
    /// Address of the function that was looked up last.
    Target,
    /// Address of the [`Guest`](super::guest::Guest) while it runs, 0 if there are no quick forms
    /// of helpers for its host.
    Guest,
}

#[cfg(feature = "object")]
impl Private {
    /// Word of an argument.
    pub(crate) fn argument(index: usize) -> Self {
        Self::Argument(index)
    }

    /// Distance from the context in words.
    #[inline(always)]
    pub(crate) fn distance(self) -> usize {
        match self {
            Self::GuestStack => 2,
            Self::Argument(index) => index.saturating_add(4),
            Self::Target => 9,
            Self::Guest => 10,
        }
    }
}

/// Returns a private word of an instance as an address.
///
/// # Safety
///
/// `context` must be the context of a [`CompiledInstance`] that no other code changes during the
/// call.
#[cfg(feature = "object")]
#[inline(always)]
pub(crate) unsafe fn private_word(context: *const u64, word: Private) -> usize {
    // SAFETY: There are [`PRIVATE`] words before the context, by this function's safety
    // requirement.
    let word = unsafe { context.wrapping_sub(word.distance()).read() };
    usize::try_from(word).unwrap_or(0)
}

/// Limits of growth, and the addresses of memories.
pub trait Surroundings {
    /// Address of the first byte of memory `index`, whose bytes are `bytes`.
    fn base(&self, index: usize, bytes: &[u8]) -> u64;

    /// Set if memories may grow to `bytes` in all.
    fn may_have_memory(&self, bytes: u64) -> bool;

    /// Set if tables may grow to `elements` in all.
    fn may_have_elements(&self, elements: u64) -> bool;
}

/// A memory or table, and its declared maximum.
#[derive(Debug)]
struct Growing<T> {
    items: T,
    maximum: u64,
    /// Set for a table of references to exceptions.
    has_exceptions: bool,
}

/// An instance, with memories of type `M`.
#[derive(Debug)]
pub struct CompiledInstance<M = Vec<u8>> {
    /// The context of the contract, in words.
    context: Vec<u64>,
    memories: Vec<Growing<M>>,
    tables: Vec<Growing<Vec<u64>>>,
    /// Segments that were not dropped yet.
    data: Vec<bool>,
    elements: Vec<bool>,
    /// Function that [`Helper::Resolve`] has looked up.
    resolved: u32,
    exceptions: Exceptions,
}

impl<M: LinearMemory> CompiledInstance<M> {
    /// Makes an instance: memories, tables and globals have their initial values, active segments
    /// are copied.
    ///
    /// # Errors
    ///
    /// [`InstanceStop`] if a limit does not allow it, there is no memory, or a segment does not
    /// fit.
    pub fn new(program: &Program, surroundings: &impl Surroundings) -> Result<Self, InstanceStop> {
        let words =
            PRIVATE.saturating_add(usize::from(GLOBALS.unsigned_abs() / 8)).saturating_add(program.globals.len());
        let mut instance = Self {
            context: filled(words, 0)?,
            memories: Vec::new(),
            tables: Vec::new(),
            data: filled(program.data.len(), true)?,
            elements: filled(program.elements.len(), true)?,
            resolved: 0,
            exceptions: Exceptions::default(),
        };
        for (index, expression) in program.globals.iter().enumerate() {
            let value = instance.evaluate(expression);
            if let Some(global) = instance.global_mut(index) {
                *global = value;
            }
        }
        let mut bytes: u64 = 0;
        for memory in &program.memories {
            let size = memory.minimum.saturating_mul(PAGE);
            bytes = bytes.saturating_add(size);
            if !surroundings.may_have_memory(bytes) {
                return Err(InstanceStop::MemoryLimit);
            }
            let size = usize::try_from(size).map_err(|_| InstanceStop::OutOfMemory)?;
            let items = M::new(instance.memories.len(), size)?;
            let maximum = memory.maximum.unwrap_or(SPEC_PAGES_MAX).min(SPEC_PAGES_MAX);
            instance.memories.push(Growing { items, maximum, has_exceptions: false });
        }
        let mut elements: u64 = 0;
        for table in &program.tables {
            elements = elements.saturating_add(table.minimum);
            if !surroundings.may_have_elements(elements) {
                return Err(InstanceStop::TableLimit);
            }
            let value = instance.evaluate(&table.init);
            let items = filled(usize::try_from(table.minimum).map_err(|_| InstanceStop::OutOfMemory)?, value)?;
            let maximum = table.maximum.unwrap_or(u64::from(u32::MAX)).min(u64::from(u32::MAX));
            instance.tables.push(Growing { items, maximum, has_exceptions: table.has_exceptions });
        }
        instance.refresh(surroundings);
        for (index, (mode, items)) in program.elements.iter().enumerate() {
            if let Mode::Active(table, offset) = mode {
                let offset = instance.evaluate(offset);
                instance.table_init(program, *table, index, [offset, 0, items.len() as u64])?;
            }
            if *mode != Mode::Passive {
                instance.drop_element(index);
            }
        }
        for (index, (mode, bytes)) in program.data.iter().enumerate() {
            if let Mode::Active(memory, offset) = mode {
                let offset = instance.evaluate(offset);
                instance.memory_init(program, *memory, index, [offset, 0, bytes.len() as u64])?;
                instance.drop_data(index);
            }
        }
        Ok(instance)
    }

    /// Value of a constant expression.
    fn evaluate(&self, expression: &[ConstOp]) -> u64 {
        let mut stack: Vec<u64> = Vec::new();
        let low = |value: u64| value & u64::from(u32::MAX);
        for operation in expression {
            let mut pop = || stack.pop().unwrap_or(0);
            let value = match operation {
                ConstOp::Push(value) => *value,
                ConstOp::Global(index) => self.global(*index as usize),
                ConstOp::Add32 => {
                    let rhs = pop();
                    low(pop().wrapping_add(rhs))
                }
                ConstOp::Sub32 => {
                    let rhs = pop();
                    low(pop().wrapping_sub(rhs))
                }
                ConstOp::Mul32 => {
                    let rhs = pop();
                    low(pop().wrapping_mul(rhs))
                }
                ConstOp::Add64 => {
                    let rhs = pop();
                    pop().wrapping_add(rhs)
                }
                ConstOp::Sub64 => {
                    let rhs = pop();
                    pop().wrapping_sub(rhs)
                }
                ConstOp::Mul64 => {
                    let rhs = pop();
                    pop().wrapping_mul(rhs)
                }
            };
            stack.push(value);
        }
        stack.pop().unwrap_or(0)
    }

    /// Writes addresses and sizes of the memories into the context.
    pub fn refresh(&mut self, surroundings: &impl Surroundings) {
        for index in 0..self.memories.len() {
            let Some(memory) = self.memories.get(index) else { break };
            let size = memory.items.len() as u64;
            let base = surroundings.base(index, &memory.items);
            let number = u32::try_from(index).unwrap_or(0);
            self.set(memory_offset(number, MemoryField::Base), base);
            self.set(memory_offset(number, MemoryField::Size), size);
            self.set(memory_offset(number, MemoryField::Mask), index_mask(size));
            if index == 0 {
                for (bytes, word) in (1..=u64::from(LIMITS_MAX)).zip(0..) {
                    // Code that uses it is of a module whose memory is never smaller.
                    let offset = LIMITS.saturating_add(word_offset(word));
                    self.set(offset, size.saturating_sub(bytes));
                }
            }
        }
    }

    /// The context, in words.
    pub fn context(&mut self) -> &mut [u64] {
        self.context.get_mut(PRIVATE..).unwrap_or_default()
    }

    /// Sets the word at `offset`.
    pub fn set(&mut self, offset: i16, value: u64) {
        if let Some(word) = self.context().get_mut(usize::from(offset.unsigned_abs()) / 8) {
            *word = value;
        }
    }

    fn word(&self, offset: i16, index: usize) -> Option<&u64> {
        let first = PRIVATE.saturating_add(usize::from(offset.unsigned_abs()) / 8);
        self.context.get(first.saturating_add(index))
    }

    /// A word that a timer of the host may set at any time.
    #[cfg(feature = "object")]
    fn shared_word(&mut self, offset: i16) -> Option<&core::sync::atomic::AtomicU64> {
        let word = self.context().get_mut(usize::from(offset.unsigned_abs()) / 8)?;
        let word = core::ptr::from_mut(word);
        // SAFETY: The word is aligned, lives as long as `self`, and is accessed atomically by the
        // host.
        Some(unsafe { core::sync::atomic::AtomicU64::from_ptr(word) })
    }

    /// Returns true if a checkpoint is requested.
    #[cfg(feature = "object")]
    #[inline(always)]
    pub(crate) fn is_checkpoint_requested(&mut self) -> bool {
        use core::sync::atomic::Ordering;
        self.shared_word(crate::vmctx::INTERRUPT).is_some_and(|word| word.load(Ordering::Relaxed) != 0)
    }

    /// Sets the words by which checkpoints are requested; returns the present stack limit.
    #[cfg(feature = "object")]
    pub(crate) fn clear_requests(&mut self, limit: u64) -> u64 {
        use core::sync::atomic::Ordering;
        if let Some(word) = self.shared_word(crate::vmctx::INTERRUPT) {
            word.store(0, Ordering::Relaxed);
        }
        self.shared_word(crate::vmctx::STACK_LIMIT).map_or(limit, |word| word.swap(limit, Ordering::Relaxed))
    }

    /// Addresses of the words by which checkpoints are requested.
    #[cfg(feature = "object")]
    pub(crate) fn request_words(&mut self) -> [*mut u64; 2] {
        let context = self.context_pointer();
        [crate::vmctx::INTERRUPT, crate::vmctx::STACK_LIMIT]
            .map(|offset| context.wrapping_byte_add(usize::from(offset.unsigned_abs())))
    }

    /// Address of the context.
    #[cfg(feature = "object")]
    pub(crate) fn context_pointer(&mut self) -> *mut u64 {
        self.context.as_mut_ptr().wrapping_add(PRIVATE)
    }

    /// Address of the context.
    #[cfg(feature = "object")]
    pub(crate) fn context_address(&mut self) -> u64 {
        self.context_pointer().expose_provenance() as u64
    }

    /// A private word.
    #[cfg(feature = "object")]
    pub(crate) fn private(&self, word: Private) -> u64 {
        self.context.get(PRIVATE.saturating_sub(word.distance())).copied().unwrap_or(0)
    }

    /// Sets a private word.
    #[cfg(feature = "object")]
    pub(crate) fn set_private(&mut self, word: Private, value: u64) {
        if let Some(place) = self.context.get_mut(PRIVATE.saturating_sub(word.distance())) {
            *place = value;
        }
    }

    /// Word `index` of the arguments.
    #[must_use]
    pub fn arg(&self, index: usize) -> u64 {
        self.word(ARGS, index).copied().unwrap_or(0)
    }

    /// Sets word `index` of the arguments.
    pub fn set_arg(&mut self, index: usize, value: u64) {
        let first = usize::from(ARGS.unsigned_abs()) / 8;
        if let Some(word) = self.context().get_mut(first.saturating_add(index)) {
            *word = value;
        }
    }

    fn global(&self, index: usize) -> u64 {
        self.word(GLOBALS, index).copied().unwrap_or(0)
    }

    fn global_mut(&mut self, index: usize) -> Option<&mut u64> {
        let first = usize::from(GLOBALS.unsigned_abs()) / 8;
        self.context().get_mut(first.saturating_add(index))
    }

    /// Returns the bytes of memory `memory`, none if there is no such memory, and the first
    /// [`PARAMS_MAX`] words of the arguments.
    #[cfg(feature = "object")]
    #[inline(always)]
    pub(crate) fn memory_and_args(&mut self, memory: Option<u32>) -> (&mut [u8], &mut [u64]) {
        let memory = memory.and_then(|index| self.memories.get_mut(index as usize));
        let args = self.context.get_mut(FIRST_ARG..FIRST_ARG.saturating_add(PARAMS_MAX));
        (memory.map_or(&mut [], |memory| &mut memory.items), args.unwrap_or_default())
    }

    /// Function that [`Helper::Resolve`] has looked up last, by its index among all functions.
    #[must_use]
    pub fn resolved(&self) -> u32 {
        self.resolved
    }

    /// Does what `helper` does, but for those that call functions, end the guest or pause it.
    ///
    /// # Errors
    ///
    /// [`InstanceStop`]: the guest ends.
    pub fn help(
        &mut self,
        program: &Program,
        declarations: &Declarations,
        surroundings: &impl Surroundings,
        helper: Helper,
        args: [u64; 5],
    ) -> Result<u64, InstanceStop> {
        let [a, b, c, d, _] = args;
        if let Some(value) = numeric::compute(helper, [a, b]) {
            return Ok(value);
        }
        // The first argument is the context.
        let index = |word: u64| usize::try_from(word).unwrap_or(usize::MAX);
        let number = |word: u64| u32::try_from(word).unwrap_or(u32::MAX);
        let triple = self.bulk_args().unwrap_or_default();
        match helper {
            Helper::TrappingNumeric => return Ok(numeric::convert(b, c)?),
            Helper::Simd => {
                let [low, high] = simd::compute(b, array::from_fn(|index| self.arg(index)));
                self.set_arg(1, high);
                return Ok(low);
            }
            Helper::Resolve => return self.resolve(declarations, index(b), index(c), number(d)),
            Helper::ResolveTail => return self.resolve_tail(declarations, number(b)),
            Helper::MemoryGrow => return self.grow_memory(surroundings, index(b), c),
            Helper::MemoryFill => self.memory_fill(index(b), triple)?,
            Helper::MemoryCopy => self.memory_copy(index(b), index(c), triple)?,
            Helper::MemoryInit => self.memory_init(program, number(b), index(c), triple)?,
            Helper::DataDrop => self.drop_data(index(b)),
            Helper::TableGet => return Ok(self.table_get(index(b), index(c))?),
            Helper::TableSet => self.table_set(index(b), index(c), d)?,
            Helper::TableSize => return Ok(self.table_size(index(b))),
            Helper::TableGrow => return self.grow_table(surroundings, index(b), c, d),
            Helper::TableFill => {
                let [start, value, len] = triple;
                let table = self.tables.get_mut(index(b)).ok_or(TrapReason::TableBounds)?;
                range_mut(&mut table.items, start, len).ok_or(TrapReason::TableBounds)?.fill(value);
            }
            Helper::TableCopy => self.table_copy(index(b), index(c), triple)?,
            Helper::TableInit => self.table_init(program, number(b), index(c), triple)?,
            Helper::ElemDrop => self.drop_element(index(b)),
            Helper::Throw => self.throw(declarations, number(b))?,
            Helper::ThrowRef => self.throw_ref(b)?,
            Helper::CatchTag => return self.catch_tag(number(b), c != 0),
            Helper::CatchAll => self.catch(b != 0)?,
            _ => return Err(InstanceStop::Trap(TrapReason::Unreachable)),
        }
        Ok(0)
    }

    /// Returns the arguments of a bulk operation, which are in the context.
    #[inline(always)]
    pub(crate) fn bulk_args(&self) -> Option<[u64; 3]> {
        let first = PRIVATE.saturating_add(usize::from(ARGS.unsigned_abs()) / 8);
        self.context.get(first..)?.first_chunk().copied()
    }

    /// Looks up element `element` of table `table` as a function of type `id`, for
    /// [`CompiledInstance::resolved`].
    ///
    /// # Errors
    ///
    /// The trap if there is no such function.
    pub(crate) fn resolve(
        &mut self,
        declarations: &Declarations,
        table: usize,
        element: usize,
        id: u32,
    ) -> Result<u64, InstanceStop> {
        let elements = self.tables.get(table).map_or(&[][..], |table| &table.items);
        let reference = elements.get(element).copied().ok_or(TrapReason::TableBounds)?;
        let function = reference.checked_sub(1).ok_or(TrapReason::NullElement)?;
        let function = u32::try_from(function).map_err(|_| TrapReason::NullElement)?;
        let ty = declarations.functions.get(function as usize).copied().ok_or(TrapReason::NullElement)?;
        if declarations.type_ids.get(ty as usize) != Some(&id) {
            return Err(TrapReason::BadSignature.into());
        }
        self.resolved = function;
        Ok(0)
    }

    /// Looks up what a tail call of function `function` minus 1 calls, or of
    /// [`CompiledInstance::resolved`] if `function` is 0.
    ///
    /// # Errors
    ///
    /// [`TrapReason::NullElement`] if there is no such function.
    pub(crate) fn resolve_tail(&mut self, declarations: &Declarations, function: u32) -> Result<u64, InstanceStop> {
        let function = function.checked_sub(1).unwrap_or(self.resolved);
        self.resolved = declarations.tail_entry(function).ok_or(TrapReason::NullElement)?;
        Ok(0)
    }

    /// Throws a new exception with tag `tag`, whose values are in the context.
    fn throw(&mut self, declarations: &Declarations, tag: u32) -> Result<(), InstanceStop> {
        let words = declarations.tag_words(tag).map_err(|_| TrapReason::Unreachable)?;
        let first = PRIVATE.saturating_add(usize::from(ARGS.unsigned_abs()) / 8);
        let values = self.context.get(first..first.saturating_add(words)).ok_or(TrapReason::Unreachable)?;
        let handle = self.exceptions.add(tag, values)?;
        self.set(EXCEPTION, handle);
        Ok(())
    }

    /// Throws the exception with this handle.
    fn throw_ref(&mut self, handle: u64) -> Result<(), InstanceStop> {
        if self.exceptions.tag(handle).is_none() {
            return Err(TrapReason::NullException.into());
        }
        self.set(EXCEPTION, handle);
        Ok(())
    }

    /// Catches the exception that is being thrown, if it has tag `tag`; returns 1 if it has.
    fn catch_tag(&mut self, tag: u32, has_ref: bool) -> Result<u64, InstanceStop> {
        let handle = self.word(EXCEPTION, 0).copied().unwrap_or(0);
        if self.exceptions.tag(handle) != Some(tag) {
            return Ok(0);
        }
        let mut exceptions = core::mem::take(&mut self.exceptions);
        let mut words: usize = 0;
        exceptions.catch(handle, has_ref, |index, value| {
            self.set_arg(index, value);
            words = index.saturating_add(1);
        });
        self.exceptions = exceptions;
        self.set(EXCEPTION, 0);
        if has_ref {
            self.set_arg(words, handle);
        }
        Ok(1)
    }

    /// Catches the exception that is being thrown.
    fn catch(&mut self, has_ref: bool) -> Result<(), InstanceStop> {
        let handle = self.word(EXCEPTION, 0).copied().unwrap_or(0);
        if self.exceptions.tag(handle).is_none() {
            return Err(TrapReason::Unreachable.into());
        }
        self.exceptions.catch(handle, has_ref, |_, _| {});
        self.set(EXCEPTION, 0);
        if has_ref {
            self.set_arg(0, handle);
        }
        Ok(())
    }

    /// Returns the tag of the exception that the outermost function left uncaught, if it did.
    #[must_use]
    pub fn uncaught(&self) -> Option<u32> {
        // In a module without tags the word is an argument.
        self.exceptions.tag(self.word(EXCEPTION, 0).copied()?)
    }

    /// Returns true if [`CompiledInstance::collect`] should be called before [`Helper::Throw`] is
    /// done.
    #[must_use]
    pub fn is_collection_due(&self) -> bool {
        self.exceptions.is_collection_due()
    }

    /// Returns the number of exceptions in memory.
    #[must_use]
    pub fn exceptions(&self) -> usize {
        self.exceptions.live()
    }

    /// Frees the exceptions that nothing refers to: neither the context, nor a table, nor one of
    /// `words`, which must be those of the stack and of the registers of the guest.
    pub fn collect(&mut self, words: impl Iterator<Item = u64>) {
        let tables = self.tables.iter().filter(|table| table.has_exceptions);
        let elements = tables.flat_map(|table| table.items.iter().copied());
        self.exceptions.collect(self.context.iter().copied().chain(elements).chain(words));
    }
}

fn word_offset(word: i16) -> i16 {
    word.saturating_mul(8)
}

fn filled<T: Clone>(len: usize, value: T) -> Result<Vec<T>, InstanceStop> {
    let mut items = Vec::new();
    items.try_reserve_exact(len).map_err(|_| InstanceStop::OutOfMemory)?;
    items.resize(len, value);
    Ok(items)
}
