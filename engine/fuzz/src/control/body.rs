// SPDX-License-Identifier: GPL-2.0

//! Generator of function bodies. It tracks the types on the stack, so that the result is valid.

mod exceptions;
mod values;

use super::{
    ARITY,
    Exceptions,
    Program,
    Signature,
    Source,
    number, //
};
use wasm_encoder::{
    BlockType,
    Catch,
    Function,
    Instruction,
    ValType, //
};

/// Upper bound of the nesting of blocks.
const DEPTH: usize = 6;

/// Upper bound of the iterations of a loop each time it is entered.
const ROUNDS: i32 = 3;

/// Number of locals that make the frame of a compiled function large.
const MANY: usize = 150;

/// Frame of a block, a loop, an if, a try, or the function.
struct Frame {
    /// Number of blocks that contain the frame's block in the code, the function included.
    level: usize,
    /// Height of the stack below the frame's parameters.
    height: usize,
    /// Operand types of a branch to the frame.
    label: Vec<ValType>,
    /// Local that counts the iterations of a loop.
    counter: Option<u32>,
    /// Set within instructions whose exceptions the frame may catch.
    has_handlers: bool,
    /// Within a `catch` of [`Exceptions::Legacy`]: the local of [`Exceptions::Translated`] that
    /// holds the exception.
    caught: Option<u32>,
}

/// Reachability of the next instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Reached,
    Unreachable,
}

/// Function under construction.
pub(super) struct Body<'a, 'b> {
    source: &'a mut Source<'b>,
    program: &'a mut Program,
    code: Vec<Instruction<'static>>,
    locals: Vec<ValType>,
    /// Number of locals that can be set to any value. The locals after them are an address, an
    /// `f32`, an `f64`, and with SIMD a `v128`.
    ordinary: usize,
    /// Local that was used last.
    last: usize,
    results: Vec<ValType>,
    stack: Vec<ValType>,
    /// Frames, starting with the function.
    frames: Vec<Frame>,
    /// Number of blocks that contain the next instruction, the function included.
    level: usize,
    /// Number of steps that are left.
    left: usize,
}

impl<'a, 'b> Body<'a, 'b> {
    /// Generates a function of this signature with about `size` steps.
    pub(super) fn make(
        source: &'a mut Source<'b>,
        program: &'a mut Program,
        signature: &Signature,
        size: usize,
    ) -> Function {
        let mut locals = [signature.params.as_slice(), &program.value_types].concat();
        if source.chance(32) {
            locals.extend([ValType::I64; MANY]);
        }
        let ordinary = locals.len();
        locals.extend([ValType::I32, ValType::F32, ValType::F64]);
        locals.extend(program.uses_simd().then_some(ValType::V128));
        let mut body = Self {
            source,
            program,
            code: Vec::new(),
            locals,
            ordinary,
            last: 0,
            results: signature.results.clone(),
            stack: Vec::new(),
            frames: Vec::new(),
            level: 0,
            left: size,
        };
        body.open(0, &signature.results);
        while body.left > 0 {
            if body.sequence() == Next::Unreachable {
                break;
            }
        }
        body.finish(&signature.results);
        let mut function = Function::new_with_locals_types(body.locals.split_off(signature.params.len()));
        for instruction in &body.code {
            function.instruction(instruction);
        }
        function.instruction(&Instruction::End);
        function
    }

    /// Generates a function that calls another one with constant arguments. It may catch all
    /// exceptions of the call, and return constants then.
    pub(super) fn call(
        source: &mut Source<'_>,
        program: &mut Program,
        function: u32,
        signature: &Signature,
    ) -> Function {
        let catches = program.exceptions != Exceptions::None && !source.chance(8);
        let mut body = Function::new([]);
        if catches {
            let ty = program.ty(&Signature { params: Vec::new(), results: signature.results.clone() });
            let ty = BlockType::FunctionType(ty);
            if program.exceptions == Exceptions::Legacy {
                body.instruction(&Instruction::Try(ty));
            } else {
                body.instruction(&Instruction::Block(BlockType::Empty));
                body.instruction(&Instruction::TryTable(ty, vec![Catch::All { label: 0 }].into()));
            }
        }
        for param in &signature.params {
            body.instruction(&values::constant(source, *param));
        }
        body.instruction(&Instruction::Call(function));
        if catches {
            let instructions: &[Instruction<'static>] = match program.exceptions {
                Exceptions::Legacy => &[Instruction::CatchAll],
                _ => &[Instruction::End, Instruction::Return, Instruction::End],
            };
            for instruction in instructions {
                body.instruction(instruction);
            }
            for result in &signature.results {
                body.instruction(&values::constant(source, *result));
            }
            if program.exceptions == Exceptions::Legacy {
                body.instruction(&Instruction::End);
            }
        }
        body.instruction(&Instruction::End);
        body
    }

    fn emit(&mut self, instruction: Instruction<'static>) {
        self.code.push(instruction);
    }

    /// Starts a frame whose block has just been opened, with its parameters on top of `height`
    /// operands, and the operand types of its label.
    fn open(&mut self, height: usize, label: &[ValType]) -> &mut Frame {
        self.frames.push(Frame {
            level: self.level,
            height,
            label: label.to_vec(),
            counter: None,
            has_handlers: false,
            caught: None,
        });
        self.level += 1;
        self.frames.last_mut().expect("a frame")
    }

    /// Ends the innermost frame with its block.
    fn close(&mut self) {
        self.emit(Instruction::End);
        self.level -= 1;
        self.frames.pop();
    }

    /// Returns the label index of the frame at `depth`.
    fn label(&self, depth: usize) -> u32 {
        number(self.level - 1 - self.frame(depth).level)
    }

    /// Returns the operands of the innermost frame.
    fn operands(&self) -> &[ValType] {
        &self.stack[self.frames.last().map_or(0, |frame| frame.height)..]
    }

    /// Generates some steps. If the end is unreachable, drops the operands of the frame.
    fn sequence(&mut self) -> Next {
        for _ in 0..=self.source.below(8) {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            if self.step() == Next::Unreachable {
                self.stack.truncate(self.stack.len() - self.operands().len());
                self.unreachable();
                return Next::Unreachable;
            }
        }
        Next::Reached
    }

    fn step(&mut self) -> Next {
        match self.source.below(if self.program.exceptions == Exceptions::None { 25 } else { 31 }) {
            0..=4 => {
                let ty = self.program.value_type(self.source);
                self.push(ty);
            }
            5..=8 => self.set_local(),
            9 => self.tee_local(),
            10 => self.operate(),
            11 => self.drop(),
            12 => self.select(),
            13 => self.store(),
            14 => self.set_global(),
            15..=18 => self.block(),
            19 | 20 => self.branch_if(),
            21 | 22 => self.call_any(),
            25..=27 => self.catch(),
            28 | 29 => return self.throw(),
            30 => return self.throw_again(),
            // At the outermost level, most attempts to leave the function are skipped, so that its
            // end is reached more often.
            _ if self.frames.len() == 1 && !self.source.chance(8) => {}
            23 => return self.branch_table(),
            _ => return self.leave(),
        }
        Next::Reached
    }

    /// Generates unreachable instructions, for which any operands are valid.
    fn unreachable(&mut self) {
        for _ in 0..self.source.below(4) {
            let local = number(self.source.below(self.locals.len()));
            let instructions: &[Instruction<'static>] = match self.source.below(9) {
                0 => &[Instruction::Drop],
                1 => &[Instruction::I32Add, Instruction::Drop],
                2 => &[Instruction::LocalSet(local)],
                3 => &[Instruction::LocalTee(local), Instruction::Drop],
                4 => &[Instruction::LocalGet(local), Instruction::Drop],
                5 => &[Instruction::Block(BlockType::Empty), Instruction::End],
                6 => &[Instruction::Loop(BlockType::Empty), Instruction::Br(0), Instruction::End],
                7 => {
                    &[Instruction::If(BlockType::Empty), Instruction::Else, Instruction::Unreachable, Instruction::End]
                }
                _ => &[Instruction::Br(0)],
            };
            self.code.extend_from_slice(instructions);
        }
    }

    /// Makes `types` the only operands of the innermost frame.
    fn finish(&mut self, types: &[ValType]) {
        while self.operands().len() > types.len() || !types.starts_with(self.operands()) {
            self.drop();
        }
        for ty in &types[self.operands().len()..] {
            self.push(*ty);
        }
    }

    /// Puts values of `types` on top of the stack, or uses those that are there.
    fn expect(&mut self, types: &[ValType]) {
        if !self.operands().ends_with(types) || self.source.chance(3) {
            for ty in types {
                self.push(*ty);
            }
        }
    }

    fn block(&mut self) {
        if self.frames.len() > DEPTH {
            return;
        }
        if self.source.chance(2) {
            let ty = self.program.value_type(self.source);
            self.push(ty);
        }
        let params = self.source.below(self.operands().len().min(ARITY) + 1);
        let params = self.stack[self.stack.len() - params..].to_vec();
        // Only an if with equal parameters and results can omit its else.
        let results = if self.source.chance(3) { self.program.several(self.source) } else { params.clone() };
        let block_type = self.block_type(&params, &results);
        let height = self.stack.len() - params.len();
        let (mut label, mut counter) = (&results, None);
        let mut has_else = false;
        match self.source.below(6) {
            0 | 1 => self.emit(Instruction::Block(block_type)),
            2 => {
                label = &params;
                counter = Some(number(self.locals.len()));
                self.locals.push(ValType::I32);
                self.emit(Instruction::Loop(block_type));
            }
            _ => {
                self.condition();
                self.stack.pop();
                self.emit(Instruction::If(block_type));
                has_else = params != results || self.source.chance(3);
            }
        }
        self.open(height, label).counter = counter;
        self.part(&results);
        if has_else {
            self.emit(Instruction::Else);
            self.stack.truncate(height);
            self.stack.extend_from_slice(&params);
            self.part(&results);
        }
        self.close();
        if let Some(counter) = counter {
            self.emit(Instruction::I32Const(0));
            self.emit(Instruction::LocalSet(counter));
        }
    }

    /// Returns the type of a block with these parameters and results.
    fn block_type(&mut self, params: &[ValType], results: &[ValType]) -> BlockType {
        match (params, results) {
            ([], []) => BlockType::Empty,
            ([], [result]) => BlockType::Result(*result),
            _ => {
                let signature = Signature { params: params.to_vec(), results: results.to_vec() };
                BlockType::FunctionType(self.program.ty(&signature))
            }
        }
    }

    /// Generates the contents of a block or of one branch of an if.
    fn part(&mut self, results: &[ValType]) {
        match self.sequence() {
            Next::Reached => self.finish(results),
            Next::Unreachable => {
                // In unreachable code the first results may be implicit.
                let there = if self.source.chance(2) { results.len() } else { self.source.below(results.len() + 1) };
                for ty in &results[there..] {
                    self.push(*ty);
                }
                self.stack.truncate(self.stack.len() - self.operands().len());
                self.stack.extend_from_slice(results);
            }
        }
    }

    /// Returns the frame at `depth`. The innermost has depth 0.
    fn frame(&self, depth: usize) -> &Frame {
        &self.frames[self.frames.len() - 1 - depth]
    }

    /// Pushes a condition: true while the loop of this counter may be repeated.
    fn once_more(&mut self, counter: u32) {
        self.code.extend([
            Instruction::LocalGet(counter),
            Instruction::I32Const(1),
            Instruction::I32Add,
            Instruction::LocalTee(counter),
            Instruction::I32Const(ROUNDS),
            Instruction::I32LeU,
        ]);
    }

    fn branch_if(&mut self) {
        let depth = self.source.below(self.frames.len());
        let Frame { label, counter, .. } = self.frame(depth);
        let (label, counter) = (label.clone(), *counter);
        self.expect(&label);
        match counter {
            Some(counter) if self.source.chance(2) => self.once_more(counter),
            Some(counter) => {
                self.condition();
                self.stack.pop();
                self.once_more(counter);
                self.emit(Instruction::I32And);
            }
            None => {
                self.condition();
                self.stack.pop();
            }
        }
        self.emit(Instruction::BrIf(self.label(depth)));
    }

    fn branch_table(&mut self) -> Next {
        let depth = self.source.below(self.frames.len());
        let label = self.frame(depth).label.clone();
        let alike: Vec<_> = (0..self.frames.len()).filter(|depth| self.frame(*depth).label == label).collect();
        // The first target is not a loop. It is taken when a loop must not be repeated.
        let Some(first) = alike.iter().find(|depth| self.frame(**depth).counter.is_none()) else {
            return Next::Reached;
        };
        let default = *self.source.pick(&alike);
        let mut targets = vec![*first];
        for _ in 0..self.source.below(4) {
            targets.push(*self.source.pick(&alike));
        }
        self.expect(&label);
        self.condition();
        self.stack.pop();
        if self.source.chance(2) {
            self.emit(Instruction::I32Const(3));
            self.emit(Instruction::I32And);
        }
        if let Some(counter) = targets.iter().chain([&default]).find_map(|depth| self.frame(*depth).counter) {
            self.once_more(counter);
            self.emit(Instruction::I32Mul);
        }
        let targets = targets.into_iter().map(|depth| self.label(depth)).collect();
        self.emit(Instruction::BrTable(targets, self.label(default)));
        Next::Unreachable
    }

    /// Generates an instruction that leaves the frame.
    fn leave(&mut self) -> Next {
        match self.source.below(8) {
            0 => {
                let results = self.results.clone();
                self.expect(&results);
                self.emit(Instruction::Return);
            }
            1 => {
                let alike = |ty: &Signature| ty.results == self.results;
                let Some(function) = self.program.functions.iter().position(alike) else {
                    return Next::Reached;
                };
                let params = self.program.functions[function].params.clone();
                self.expect(&params);
                if function < super::IN_TABLE
                    && self.program.functions.len() >= super::IN_TABLE
                    && self.source.chance(2)
                {
                    let type_index = self.program.ty(&Signature { params, results: self.results.clone() });
                    self.emit(Instruction::I32Const(i32::try_from(function).expect("a small index")));
                    self.emit(Instruction::ReturnCallIndirect { type_index, table_index: 0 });
                } else {
                    self.emit(Instruction::ReturnCall(number(function)));
                }
            }
            2 if self.source.chance(8) => self.emit(Instruction::Unreachable),
            _ => {
                let depth = self.source.below(self.frames.len());
                let Frame { label, counter: None, .. } = self.frame(depth) else {
                    return Next::Reached;
                };
                let label = label.clone();
                self.expect(&label);
                self.emit(Instruction::Br(self.label(depth)));
            }
        }
        Next::Unreachable
    }

    fn call_any(&mut self) {
        if self.program.functions.is_empty() {
            return;
        }
        let function = self.source.below(self.program.functions.len());
        let Signature { params, results } = self.program.functions[function].clone();
        self.expect(&params);
        if function < super::IN_TABLE && self.program.functions.len() >= super::IN_TABLE && self.source.chance(2) {
            let type_index = self.program.ty(&Signature { params: params.clone(), results: results.clone() });
            self.emit(Instruction::I32Const(i32::try_from(function).expect("a small index")));
            if self.source.chance(2) {
                // The index is not constant, so the translator cannot resolve the call.
                let counter = number(self.locals.len());
                self.locals.push(ValType::I32);
                self.code.extend([Instruction::LocalGet(counter), Instruction::I32Or]);
            }
            self.emit(Instruction::CallIndirect { type_index, table_index: 0 });
        } else {
            self.emit(Instruction::Call(number(function)));
        }
        self.stack.truncate(self.stack.len() - params.len());
        self.stack.extend(results);
    }
}
