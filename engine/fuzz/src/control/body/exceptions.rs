// SPDX-License-Identifier: GPL-2.0

//! Generator of instructions that throw and catch exceptions.

use super::{
    super::{
        ARITY,
        Exceptions,
        number, //
    },
    Body,
    DEPTH,
    Next, //
};
use wasm_encoder::{
    Catch,
    Instruction,
    ValType, //
};

/// Upper bound of the handlers of a `try`, and of the blocks around a `try_table` that its handlers
/// branch to.
const HANDLERS: usize = 3;

/// Exceptions that a handler catches, and the values that it passes to its label.
#[derive(Clone, Copy, Debug)]
struct Handler {
    /// Tag of the exceptions; `None` for all.
    tag: Option<usize>,
    /// Set if the last value is a reference to the exception.
    has_reference: bool,
}

impl Handler {
    /// Returns the clause of a handler that branches to `label`.
    fn clause(self, label: u32) -> Catch {
        match (self.tag.map(number), self.has_reference) {
            (Some(tag), false) => Catch::One { tag, label },
            (Some(tag), true) => Catch::OneRef { tag, label },
            (None, false) => Catch::All { label },
            (None, true) => Catch::AllRef { label },
        }
    }
}

impl Body<'_, '_> {
    fn handler(&mut self) -> Handler {
        let tag = (!self.source.chance(3)).then(|| self.source.below(self.program.tags.len()));
        Handler { tag, has_reference: self.source.chance(2) }
    }

    /// Returns the types of the values that a handler passes to its label.
    fn caught(&self, handler: Handler) -> Vec<ValType> {
        let mut types = handler.tag.map_or_else(Vec::new, |tag| self.program.tags[tag].clone());
        types.extend(handler.has_reference.then_some(ValType::EXNREF));
        types
    }

    /// Generates a block that catches exceptions.
    pub(super) fn catch(&mut self) {
        if self.frames.len() > DEPTH {
            return;
        }
        match self.program.exceptions {
            Exceptions::None => {}
            Exceptions::Current => self.try_table(),
            Exceptions::Legacy | Exceptions::Translated => self.legacy_try(),
        }
    }

    /// Pushes some values, and returns the types of those that are the parameters of a block.
    fn params(&mut self) -> Vec<ValType> {
        for _ in 0..self.source.below(3) {
            let ty = self.program.value_type(self.source);
            self.push(ty);
        }
        let params = self.source.below(self.operands().len().min(ARITY) + 1);
        self.stack[self.stack.len() - params..].to_vec()
    }

    /// Returns the result types of a block with these parameters.
    fn results(&mut self, params: &[ValType]) -> Vec<ValType> {
        if self.source.chance(3) { params.to_vec() } else { self.program.several(self.source) }
    }

    /// Generates a `try_table` within a block for each of its handlers. More handlers branch to
    /// frames around these blocks, if the types agree.
    fn try_table(&mut self) {
        let handlers: Vec<_> = (0..self.source.below(HANDLERS + 1)).map(|_| self.handler()).collect();
        let mut catches = Vec::new();
        for (index, handler) in handlers.iter().enumerate() {
            let label = self.caught(*handler);
            let block_type = self.block_type(&[], &label);
            self.emit(Instruction::Block(block_type));
            self.open(self.stack.len(), &label);
            catches.push(handler.clause(number(handlers.len() - 1 - index)));
        }
        for _ in 0..self.source.below(3) {
            let handler = self.handler();
            let types = self.caught(handler);
            // A handler that repeats a loop might repeat it forever.
            let fits = |depth: &usize| self.frame(*depth).label == types && self.frame(*depth).counter.is_none();
            if let Some(depth) = (0..self.frames.len()).find(fits) {
                let at = self.source.below(catches.len() + 1);
                catches.insert(at, handler.clause(self.label(depth)));
            }
        }

        let params = self.params();
        let results = self.results(&params);
        let block_type = self.block_type(&params, &results);
        self.emit(Instruction::TryTable(block_type, catches.into()));
        self.open(self.stack.len() - params.len(), &results).has_handlers = true;
        self.part(&results);
        self.close();

        for _ in handlers {
            let label = self.frame(0).label.clone();
            self.part(&label);
            self.close();
        }
    }

    /// Generates a `try`, or its translation: a block for the results, in it a block for each
    /// handler, the last one outermost, and in these a `try_table`. Each handler passes the
    /// exception, too, for `rethrow`.
    fn legacy_try(&mut self) {
        let is_translated = self.program.exceptions == Exceptions::Translated;
        let params = self.params();
        let results = self.results(&params);
        let block_type = self.block_type(&params, &results);
        let height = self.stack.len() - params.len();
        let mut tags: Vec<_> = (0..self.source.below(HANDLERS)).map(|_| self.handler().tag).collect();
        // A `catch_all` is the last handler.
        tags.sort_by_key(Option::is_none);
        tags.dedup_by_key(|tag| tag.is_none());
        let is_delegated = tags.is_empty() && self.source.chance(2);

        self.emit(if is_translated { Instruction::Block(block_type) } else { Instruction::Try(block_type) });
        self.open(height, &results).has_handlers = true;
        if is_translated {
            for tag in tags.iter().rev() {
                let label = self.caught(Handler { tag: *tag, has_reference: true });
                let block_type = self.block_type(&params, &label);
                self.emit(Instruction::Block(block_type));
            }
            let clause = |(index, tag): (usize, &Option<usize>)| {
                Handler { tag: *tag, has_reference: true }.clause(number(index))
            };
            let clauses: Vec<_> = tags.iter().enumerate().map(clause).collect();
            self.emit(Instruction::TryTable(block_type, clauses.into()));
            self.level += tags.len() + 1;
        }
        self.part(&results);
        if is_translated {
            self.emit(Instruction::End);
            self.level -= 1;
        }
        self.frames.last_mut().expect("the frame of the try").has_handlers = false;
        if is_delegated {
            self.delegate();
            return;
        }
        for tag in tags {
            let local = number(self.locals.len());
            if is_translated {
                self.emit(Instruction::Br(self.label(0)));
                self.emit(Instruction::End);
                self.level -= 1;
                self.locals.push(ValType::EXNREF);
                self.emit(Instruction::LocalSet(local));
            } else {
                // No instruction uses a local of this type.
                self.locals.push(ValType::EXTERNREF);
                self.emit(tag.map_or(Instruction::CatchAll, |tag| Instruction::Catch(number(tag))));
            }
            self.stack.truncate(height);
            self.stack.extend(self.caught(Handler { tag, has_reference: false }));
            self.frames.last_mut().expect("the frame of the try").caught = Some(local);
            self.part(&results);
        }
        self.close();
    }

    /// Ends a `try` by a `delegate` to the next frame that has handlers, or to one before it. That
    /// changes nothing, so the translation is the end of a block.
    fn delegate(&mut self) {
        let outer = self.frames.len() - 1;
        let next = (1..=outer).find(|depth| self.frame(*depth).has_handlers).unwrap_or(outer);
        let label = self.source.below(next);
        if self.program.exceptions == Exceptions::Translated {
            self.close();
            return;
        }
        self.emit(Instruction::Delegate(number(label)));
        self.level -= 1;
        self.frames.pop();
    }

    /// Generates a `throw`. Exceptions that leave the function are rare.
    pub(super) fn throw(&mut self) -> Next {
        if !self.frames.iter().any(|frame| frame.has_handlers) && !self.source.chance(8) {
            return Next::Reached;
        }
        let tag = self.source.below(self.program.tags.len());
        let params = self.program.tags[tag].clone();
        self.expect(&params);
        self.emit(Instruction::Throw(number(tag)));
        Next::Unreachable
    }

    /// Generates a `throw_ref`, or a `rethrow`. A reference is often null unless it is the top of
    /// the stack.
    pub(super) fn throw_again(&mut self) -> Next {
        if self.program.exceptions != Exceptions::Current {
            return self.rethrow();
        }
        if !self.operands().ends_with(&[ValType::EXNREF]) {
            if !self.source.chance(16) {
                return Next::Reached;
            }
            self.push(ValType::EXNREF);
        }
        self.emit(Instruction::ThrowRef);
        Next::Unreachable
    }

    fn rethrow(&mut self) -> Next {
        let depths: Vec<_> = (0..self.frames.len()).filter(|depth| self.frame(*depth).caught.is_some()).collect();
        if depths.is_empty() {
            return Next::Reached;
        }
        let depth = *self.source.pick(&depths);
        match self.frame(depth).caught {
            Some(local) if self.program.exceptions == Exceptions::Translated => {
                self.code.extend([Instruction::LocalGet(local), Instruction::ThrowRef]);
            }
            _ => self.emit(Instruction::Rethrow(self.label(depth))),
        }
        Next::Unreachable
    }
}
