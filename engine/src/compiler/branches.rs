// SPDX-License-Identifier: GPL-2.0

//! Compiles branches, and decides where values are at labels.
//!
//! The first branch to a label decides the state there: which locals are in registers. Every
//! further branch brings its own state to that one ([`Plan`]).

use super::{
    Error,
    assembler::{
        Condition,
        Label,
        RegImm, //
    },
    compares::Compare,
    constructs::{
        Control,
        ControlKind, //
    },
    function::Compiler,
    registers::{
        Cell,
        Holder,
        Operand,
        Snapshot,
        Value, //
    },
};
use crate::{
    ebpf::{
        R0,
        R6,
        R7,
        Reg,
        jmp,
        width, //
    },
    vmctx::{
        MemoryField,
        memory_offset, //
    },
};
use alloc::vec::Vec;
use wasmparser::BrTable;

/// Code that brings registers and frame slots from one state to another.
#[derive(Clone, Debug, Default)]
struct Plan {
    /// Locals to store from registers.
    stores: Vec<(u32, Reg)>,
    /// Moves among registers: to, from, and the local that is moved.
    moves: Vec<(Reg, Reg, u32)>,
    /// Locals to load.
    loads: Vec<(Reg, u32)>,
    /// Registers whose values must be checked against the size of memory 0, and the bytes behind
    /// them.
    checks: Vec<(Reg, u32)>,
    /// Indices to mask anew.
    masks: Vec<Reg>,
    /// Set if R7 must be loaded with the base of memory 0.
    loads_base: bool,
}

impl Plan {
    fn is_empty(&self) -> bool {
        self.stores.is_empty()
            && self.moves.is_empty()
            && self.loads.is_empty()
            && self.checks.is_empty()
            && self.masks.is_empty()
            && !self.loads_base
    }
}

impl Compiler<'_> {
    /// Decides the state at the label of construct `target`, unless an earlier branch did: the
    /// present state, without what no operator after the label uses.
    pub(super) fn decide(&mut self, target: usize) -> Result<(), Error> {
        let control = self.controls.get_mut(target).ok_or(Error::Internal("branch"))?;
        if control.state.is_some() {
            return Ok(());
        }
        let mut state = self.frame.now;
        for number in 0..=9 {
            let reg = Reg(number);
            let keeps = match state.cell(reg).holder {
                Holder::Local { local, .. } => self
                    .frame
                    .analysis
                    .locals
                    .get(local as usize)
                    .is_some_and(|lifetime| lifetime.last > control.position),
                _ => false,
            };
            if !keeps || control.results == 1 && reg == R0 {
                *state.cell_mut(reg)? = Cell::default();
            }
        }
        control.state = Some(state);
        Ok(())
    }

    /// Branches to construct `target` unconditionally; the values that the branch carries are on
    /// the operand stack.
    pub(super) fn branch(&mut self, target: usize) -> Result<(), Error> {
        let (arity, is_loop) = self
            .controls
            .get(target)
            .map(|control| (control.arity(), control.kind == ControlKind::Loop))
            .ok_or(Error::Internal("branch"))?;
        self.place(arity, is_loop)?;
        self.reposition(target, arity, is_loop)?;
        self.decide(target)?;
        self.transfer(target)?;
        let label = self.controls.get(target).map(|control| control.label).ok_or(Error::Internal("branch"))?;
        self.frame.asm.jump(label)?;
        self.note_path(target);
        Ok(())
    }

    /// Moves the values of a branch to where labels of this kind expect them.
    fn place(&mut self, arity: usize, is_loop: bool) -> Result<(), Error> {
        if is_loop { self.frame.spill_all(arity) } else { self.frame.place_results(arity) }
    }

    /// Returns true if the values of a branch that lie in frame slots must move down to the height
    /// of the label.
    fn must_reposition(&self, target: usize, arity: usize, is_loop: bool) -> bool {
        let in_slots = arity > 1 || is_loop && arity > 0;
        let height = self.controls.get(target).map_or(0, |control| control.height);
        in_slots && self.frame.stack.len() != height.saturating_add(arity)
    }

    /// Moves the values of a branch that lie in frame slots to the slots of the label.
    fn reposition(&mut self, target: usize, arity: usize, is_loop: bool) -> Result<(), Error> {
        if !self.must_reposition(target, arity, is_loop) {
            return Ok(());
        }
        let height = self.controls.get(target).map_or(0, |control| control.height);
        let from = self.frame.stack.len().checked_sub(arity).ok_or(Error::Internal("branch values"))?;
        // R7 is loaded again where it is needed.
        self.frame.now.has_base = false;
        for index in 0..arity {
            let slot = |depth: usize| u32::try_from(depth).unwrap_or(u32::MAX);
            let source = self.frame.operand_slot(slot(from.saturating_add(index)));
            let target = self.frame.operand_slot(slot(height.saturating_add(index)));
            self.frame.asm.load_slot(R7, source)?;
            self.frame.asm.store_slot(target, RegImm::Reg(R7))?;
        }
        Ok(())
    }

    /// Brings registers and frame slots from the present state to that of the label of construct
    /// `target`.
    pub(super) fn transfer(&mut self, target: usize) -> Result<(), Error> {
        let plan = self.plan(target)?;
        self.execute(target, &plan)
    }

    /// Returns what brings the present state to that of the label of construct `target`. If the
    /// label is not that of a loop, what its state says beyond the present state is given up
    /// instead.
    fn plan(&mut self, target: usize) -> Result<Plan, Error> {
        let control = self.controls.get_mut(target).ok_or(Error::Internal("branch"))?;
        let is_loop = control.kind == ControlKind::Loop;
        let position = control.position;
        let state = control.state.as_mut().ok_or(Error::Internal("state of a label"))?;
        let mut plan = Plan::default();
        let now = &self.frame.now;
        for number in 0..=9 {
            let reg = Reg(number);
            if let Holder::Local { local, is_dirty: true } = now.cell(reg).holder {
                let is_clean = match state.reg_of(local).map(|there| state.cell(there).holder) {
                    Some(Holder::Local { is_dirty, .. }) => !is_dirty,
                    _ => {
                        self.frame.analysis.locals.get(local as usize).is_some_and(|lifetime| lifetime.last > position)
                    }
                };
                if is_clean {
                    plan.stores.push((local, reg));
                }
            }
        }
        for number in 0..=9 {
            let reg = Reg(number);
            let Holder::Local { local, .. } = state.cell(reg).holder else { continue };
            let source = now.reg_of(local);
            match source {
                Some(source) if source == reg => {}
                Some(source) => plan.moves.push((reg, source, local)),
                None => plan.loads.push((reg, local)),
            }
            let known = source.map_or(0, |source| now.cell(source).bytes);
            if let Ok(cell) = state.cell_mut(reg)
                && known < cell.bytes
            {
                if is_loop {
                    plan.checks.push((reg, cell.bytes));
                } else {
                    cell.bytes = known;
                }
            }
            let is_masked = source.is_some_and(|source| now.cell(source).is_masked());
            if let Ok(cell) = state.cell_mut(reg)
                && cell.is_masked()
                && !is_masked
            {
                if is_loop {
                    plan.masks.push(reg);
                } else {
                    cell.has_mask = false;
                }
            }
        }
        if state.has_base && !now.has_base {
            if is_loop {
                plan.loads_base = true;
            } else {
                state.has_base = false;
            }
        }
        Ok(plan)
    }

    /// Emits the code of `plan`.
    fn execute(&mut self, target: usize, plan: &Plan) -> Result<(), Error> {
        for (local, reg) in &plan.stores {
            self.frame.asm.store_slot(*local, RegImm::Reg(*reg))?;
        }
        let mut moves = plan.moves.clone();
        let mut loads = plan.loads.clone();
        while !moves.is_empty() {
            let free = moves.iter().position(|(to, ..)| !moves.iter().any(|(_, from, _)| from == to));
            let (to, from, local) = moves.swap_remove(free.unwrap_or(0));
            if free.is_some() {
                self.frame.asm.mov(to, from)?;
            } else {
                // The moves form a cycle. One local goes by way of its frame slot.
                self.frame.asm.store_slot(local, RegImm::Reg(from))?;
                loads.push((to, local));
            }
        }
        for (reg, local) in &loads {
            self.frame.asm.load_slot(*reg, *local)?;
        }
        if plan.loads_base {
            self.frame.asm.load(width::DW, R7, R6, memory_offset(0, MemoryField::Base))?;
        }
        if !plan.checks.is_empty() || !plan.masks.is_empty() {
            let state = self.controls.get(target).and_then(|control| control.state).unwrap_or_default();
            let scratch = (0..6).map(Reg).find(|reg| state.cell(*reg).holder == Holder::Free);
            let scratch = scratch.ok_or(Error::Internal("no scratch register"))?;
            for (reg, bytes) in &plan.checks {
                // It cannot fail: the local is as it was, and a memory never shrinks.
                self.check(*reg, 0, u64::from(*bytes), scratch)?;
            }
            for reg in &plan.masks {
                self.mask(*reg, 0, scratch)?;
            }
        }
        Ok(())
    }

    /// Returns the condition that an operator pops: the compare before it, or that the operand is
    /// not 0.
    pub(super) fn condition(&mut self) -> Result<Compare, Error> {
        if let Some(compare) = self.compare.take() {
            return Ok(compare);
        }
        let lhs = self.frame.pop()?;
        let rhs = Operand { value: Value::Const(0), depth: 0 };
        Ok(Compare { condition: Condition(jmp::JNE), is_wide: false, lhs, rhs })
    }

    /// Jumps to `label`, which may be far, if `compare` holds.
    pub(super) fn jump_if(&mut self, compare: &Compare, label: Label) -> Result<(), Error> {
        let (mut lhs, mut rhs, mut condition) = (compare.lhs, compare.rhs, compare.condition);
        if matches!(lhs.value, Value::Const(_)) {
            core::mem::swap(&mut lhs, &mut rhs);
            condition = condition.swapped();
        }
        let reg = self.frame.source(lhs)?;
        let source = self.frame.source_or_imm(rhs, compare.is_wide)?;
        self.fork(condition, compare.is_wide, reg, source, label)
    }

    /// Compiles `br_if`.
    pub(super) fn branch_if(&mut self, relative_depth: u32) -> Result<(), Error> {
        let target = self.target(relative_depth)?;
        let mut compare = self.condition()?;
        let (arity, is_loop) = self
            .controls
            .get(target)
            .map(|control| (control.arity(), control.kind == ControlKind::Loop))
            .ok_or(Error::Internal("branch"))?;
        if arity > 0 {
            // The values of the branch need R0, and may take every register: the condition goes
            // into one that is kept.
            let flag = self.flag(&compare)?;
            self.frame.push(Value::Reg(flag))?;
            self.frame.unlock();
            let depth = self.frame.stack.len();
            self.frame.spill(depth)?;
            let operand = self.frame.pop()?;
            self.place(arity, is_loop)?;
            compare = Compare {
                condition: Condition(jmp::JNE),
                is_wide: false,
                lhs: operand,
                rhs: Operand { value: Value::Const(0), depth: 0 },
            };
        }
        // Sources are brought into registers first, so that the state is that of both paths.
        if matches!(compare.lhs.value, Value::Const(_)) {
            core::mem::swap(&mut compare.lhs, &mut compare.rhs);
            compare.condition = compare.condition.swapped();
        }
        let reg = self.frame.source(compare.lhs)?;
        let source = self.frame.source_or_imm(compare.rhs, compare.is_wide)?;
        self.decide(target)?;
        let moves_down = self.must_reposition(target, arity, is_loop);
        let plan = self.plan(target)?;
        let label = self.controls.get(target).map(|control| control.label).ok_or(Error::Internal("branch"))?;
        if plan.is_empty() && !moves_down {
            self.fork(compare.condition, compare.is_wide, reg, source, label)?;
            self.note_path(target);
            self.frame.unlock();
            return Ok(());
        }
        let skip = self.frame.asm.label();
        self.frame.asm.jump_if(compare.condition.inverse(), compare.is_wide, reg, source, skip)?;
        self.frame.unlock();
        let state = self.frame.now;
        if moves_down {
            self.reposition(target, arity, is_loop)?;
            self.transfer(target)?;
        } else {
            self.execute(target, &plan)?;
        }
        self.frame.asm.jump(label)?;
        self.note_path(target);
        self.frame.now = state;
        self.frame.asm.bind(skip)?;
        self.frame.claim();
        Ok(())
    }

    /// Compiles `br_table`.
    pub(super) fn branch_table(&mut self, targets: &BrTable<'_>) -> Result<(), Error> {
        let index = self.frame.pop()?;
        let default = self.target(targets.default())?;
        let arity = self.controls.get(default).map(Control::arity).ok_or(Error::Internal("branch"))?;
        // Runs of equal targets, each with the first index that it is for.
        let mut runs: Vec<(u32, usize)> = Vec::new();
        let mut next: u32 = 0;
        for depth in targets.targets() {
            let target = self.target(depth?)?;
            if runs.last().is_none_or(|(_, last)| *last != target) {
                runs.push((next, target));
            }
            next = next.saturating_add(1);
        }
        if runs.last().is_none_or(|(_, last)| *last != default) {
            runs.push((next, default));
        }
        // Each target moves the values from their slots to where it expects them.
        self.frame.spill_all(arity)?;
        let reg = self.frame.source(index)?;
        // A jump to each target, by way of what the target needs.
        let mut labels: Vec<(usize, Label)> = Vec::new();
        let mut label_of: Vec<Option<Label>> = alloc::vec![None; self.controls.len()];
        for (_, target) in &runs {
            let place = label_of.get_mut(*target).ok_or(Error::Internal("br_table"))?;
            if place.is_none() {
                let label = self.frame.asm.label();
                *place = Some(label);
                labels.push((*target, label));
            }
        }
        let label_of = |target: usize| label_of.get(target).copied().flatten();
        // A path executes a fork for each halving of the table and a jump, not all forks.
        let forks = runs.len().checked_next_power_of_two().map_or(usize::BITS, usize::ilog2);
        let length = self.path_length().saturating_add(forks.saturating_mul(2).saturating_add(1));
        let mut work: Vec<(usize, usize, Option<Label>)> = alloc::vec![(0, runs.len(), None)];
        while let Some((from, to, label)) = work.pop() {
            if let Some(label) = label {
                self.frame.asm.bind(label)?;
                self.frame.claim();
            }
            let mut to = to;
            while to.saturating_sub(from) > 1 {
                let middle = from.saturating_add(to.saturating_sub(from) / 2);
                let first = runs.get(middle).map(|(first, _)| *first).ok_or(Error::Internal("br_table"))?;
                let right = self.frame.asm.label();
                let source = RegImm::Imm(first.cast_signed());
                self.fork(Condition(jmp::JGE), false, reg, source, right)?;
                work.push((middle, to, Some(right)));
                to = middle;
            }
            let target = runs.get(from).map(|(_, target)| *target).ok_or(Error::Internal("br_table"))?;
            self.frame.asm.jump(label_of(target).ok_or(Error::Internal("br_table"))?)?;
        }
        self.frame.unlock();
        let state = self.frame.now;
        for (target, label) in &labels {
            self.frame.now = state;
            self.frame.asm.bind(*label)?;
            self.frame.claim();
            self.set_path_length(length);
            let control = self.controls.get(*target).ok_or(Error::Internal("branch"))?;
            let (arity, is_loop) = (control.arity(), control.kind == ControlKind::Loop);
            if arity == 1 && !is_loop {
                // The value is in its slot, so that each target can have it where it expects it.
                let top = self.frame.stack.last().copied().ok_or(Error::Internal("br_table"))?;
                let slot = self.frame.operand_slot(top.depth);
                self.frame.now = self.without_r0(&state)?;
                self.frame.asm.load_slot(R0, slot)?;
            } else {
                self.reposition(*target, arity, is_loop)?;
            }
            self.decide(*target)?;
            self.transfer(*target)?;
            let end = self.controls.get(*target).map(|control| control.label).ok_or(Error::Internal("branch"))?;
            self.frame.asm.jump(end)?;
            self.note_path(*target);
        }
        self.frame.now = state;
        self.diverge()
    }

    /// Returns `state` without the local in R0, which is stored if it is used later.
    fn without_r0(&mut self, state: &Snapshot) -> Result<Snapshot, Error> {
        let mut without = *state;
        if let Holder::Local { local, is_dirty: true } = state.cell(R0).holder
            && self
                .frame
                .analysis
                .locals
                .get(local as usize)
                .is_some_and(|lifetime| lifetime.last > self.frame.position)
        {
            self.frame.asm.store_slot(local, RegImm::Reg(R0))?;
        }
        *without.cell_mut(R0)? = Cell::default();
        Ok(without)
    }
}
