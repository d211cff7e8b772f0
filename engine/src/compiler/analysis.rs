// SPDX-License-Identifier: GPL-2.0

//! A first pass over a function's body: the lifetimes of locals, and the locals that loops use
//! most.

use super::{
    Error,
    WordMap,
    poll, //
};
use crate::simd::Operation;
use alloc::{
    collections::BTreeSet,
    vec::Vec, //
};
use wasmparser::{
    Operator,
    OperatorsReader, //
};

/// Most locals of a loop that are worth a register.
const HOT_MAX: usize = 8;

/// Entries of a loop that its surrounding loop learns of.
const SUMMARY_MAX: usize = 16;

/// An access in a loop counts as so many outside it.
const LOOP_WEIGHT: u32 = 8;

/// Position of the first operator; 0 is before it.
pub(super) const FIRST_POSITION: u32 = 1;

/// A local that a loop uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    /// Word of the local.
    pub(super) local: u32,
    /// Number of accesses, those in inner loops weighted.
    weight: u32,
    /// Set if the loop assigns it.
    pub(super) is_assigned: bool,
}

/// Facts about a loop.
#[derive(Clone, Debug, Default)]
pub(super) struct Loop {
    /// The locals that it uses most, the most used first.
    pub(super) hot: Vec<Use>,
    /// Set if it calls functions or helpers.
    pub(super) has_call: bool,
    /// Set if a call may move a memory.
    pub(super) moves_memory: bool,
    /// Set if it accesses memory.
    pub(super) has_memory: bool,
}

/// Lifetime of a local, in positions: the number of operators before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lifetime {
    /// First access.
    pub(super) first: u32,
    /// Position after which nothing reads the value.
    pub(super) last: u32,
    /// Set if a path may read it before it is set.
    pub(super) needs_zero: bool,
    is_accessed: bool,
    /// Depth and identifier of the construct of the first access.
    scope: (u32, u32),
    /// The loop at whose end `last` was extended most recently.
    extended_in: u32,
}

/// Result of the pass.
#[derive(Debug, Default)]
pub(super) struct Analysis {
    /// Loops in the order of their beginning.
    pub(super) loops: Vec<Loop>,
    /// Positions of the ends of blocks, loops and ifs, in the order of their beginning.
    pub(super) ends: Vec<u32>,
    /// Words of the locals, parameters included.
    pub(super) locals: Vec<Lifetime>,
    /// Locals that the function uses most.
    pub(super) hot: Vec<Use>,
    /// Numbers of the tries whose exception is rethrown, in any order: indices in
    /// [`Analysis::ends`].
    pub(super) rethrown: BTreeSet<u32>,
    /// Set if the function calls.
    pub(super) has_call: bool,
    /// Set if the function calls another one in tail position.
    pub(super) calls_tails: bool,
}

/// An open construct.
struct Construct {
    /// Index in [`Analysis::ends`].
    number: u32,
    /// Identifies the construct; an `else` begins another one.
    id: u32,
    /// Index in [`Analysis::loops`] and beginning in the log of uses.
    in_loop: Option<(usize, usize)>,
    /// Locals to keep alive until its end.
    extended: Vec<u32>,
}

/// Analyses a function with `params` words of parameters, and `locals`, parameters included.
/// `is_tail` says which functions need more than a jump or a plain call to be called in tail
/// position.
pub(super) fn analyse(
    mut reader: OperatorsReader<'_>,
    params: u32,
    locals: &WordMap,
    is_tail: impl Fn(u32) -> bool,
) -> Result<Analysis, Error> {
    let mut analysis = Analysis::default();
    let count = locals.count() as usize;
    analysis.locals.try_reserve_exact(count).map_err(|_| Error::Memory)?;
    analysis.locals.resize(count, Lifetime::default());
    for local in analysis.locals.iter_mut().take(params as usize) {
        local.is_accessed = true;
        local.scope = (0, u32::MAX);
    }
    let mut constructs: Vec<Construct> = Vec::new();
    // Indices of the open loops in `constructs`.
    let mut open: Vec<usize> = Vec::new();
    let mut log: Vec<Use> = Vec::new();
    let mut position: u32 = FIRST_POSITION;
    let mut id: u32 = 0;
    let mut polled = reader.original_position();
    while !reader.eof() {
        poll(&mut polled, reader.original_position());
        let operator = reader.read()?;
        match operator {
            Operator::Block { .. }
            | Operator::If { .. }
            | Operator::Loop { .. }
            | Operator::TryTable { .. }
            | Operator::Try { .. } => {
                let number = u32::try_from(analysis.ends.len()).unwrap_or(u32::MAX);
                analysis.ends.push(u32::MAX);
                let in_loop = matches!(operator, Operator::Loop { .. }).then(|| {
                    open.push(constructs.len());
                    analysis.loops.push(Loop::default());
                    (analysis.loops.len().saturating_sub(1), log.len())
                });
                id = id.saturating_add(1);
                constructs.push(Construct { number, id, in_loop, extended: Vec::new() });
            }
            Operator::Else | Operator::Catch { .. } | Operator::CatchAll => {
                id = id.saturating_add(1);
                if let Some(construct) = constructs.last_mut() {
                    construct.id = id;
                }
            }
            Operator::End | Operator::Delegate { .. } => {
                if let Some(construct) = constructs.pop() {
                    if construct.in_loop.is_some() {
                        open.pop();
                    }
                    analysis.close(&construct, position, &mut log);
                }
            }
            Operator::LocalGet { local_index }
            | Operator::LocalSet { local_index }
            | Operator::LocalTee { local_index } => {
                let is_assigned = !matches!(operator, Operator::LocalGet { .. });
                let (word, is_vector) = locals.locate(local_index).ok_or(Error::Internal("local"))?;
                for local in [word].into_iter().chain(is_vector.then(|| word.saturating_add(1))) {
                    log.push(Use { local, weight: 1, is_assigned });
                    analysis.access((local, is_assigned), position, &mut constructs, &open);
                }
            }
            Operator::ReturnCallIndirect { .. } => analysis.calls_tails = true,
            Operator::ReturnCall { function_index } => analysis.calls_tails |= is_tail(function_index),
            ref other => {
                if let Operator::Rethrow { relative_depth } = other {
                    let construct = constructs.iter().rev().nth(*relative_depth as usize);
                    analysis.rethrown.extend(construct.map(|construct| construct.number));
                }
                analysis.note(other, &constructs, &open);
            }
        }
        position = position.saturating_add(1);
    }
    analysis.hot = top(&mut log, 0);
    Ok(analysis)
}

impl Analysis {
    /// Notes calls and accesses to memory in all open loops.
    fn note(&mut self, operator: &Operator<'_>, constructs: &[Construct], open: &[usize]) {
        let kind = kind(operator);
        let has_call = matches!(kind, Kind::Helper | Kind::MemoryHelper | Kind::Call);
        self.has_call |= has_call;
        if matches!(kind, Kind::Plain) {
            return;
        }
        for (index, _) in open.iter().rev().filter_map(|construct| constructs.get(*construct)?.in_loop) {
            let Some(info) = self.loops.get_mut(index) else { continue };
            let before = (info.has_call, info.moves_memory, info.has_memory);
            info.has_call |= has_call;
            info.moves_memory |= matches!(kind, Kind::Call);
            info.has_memory |= matches!(kind, Kind::Memory | Kind::MemoryHelper);
            if before == (info.has_call, info.moves_memory, info.has_memory) {
                // Those around it know, too.
                break;
            }
        }
    }

    /// Notes an access to a local in the innermost of `constructs`, an assignment if `is_set`.
    fn access(&mut self, (local, is_set): (u32, bool), position: u32, constructs: &mut [Construct], open: &[usize]) {
        let Some(lifetime) = self.locals.get_mut(local as usize) else { return };
        if !lifetime.is_accessed {
            lifetime.is_accessed = true;
            lifetime.first = position;
            lifetime.needs_zero = !is_set;
            let depth = u32::try_from(constructs.len()).unwrap_or(u32::MAX);
            lifetime.scope = (depth, constructs.last().map_or(u32::MAX, |construct| construct.id));
        }
        lifetime.last = lifetime.last.max(position);
        let (depth, id) = lifetime.scope;
        // Outside the construct of its first access the local may not have been set.
        let is_inside = match depth.checked_sub(1) {
            None => true,
            Some(index) => constructs.get(index as usize).is_some_and(|construct| construct.id == id),
        };
        lifetime.needs_zero |= !is_inside;
        let from = if lifetime.needs_zero { 0 } else { depth as usize };
        // It stays alive until the end of the outermost loop inside its scope.
        let first = open.partition_point(|construct| *construct < from);
        if let Some(construct) = open.get(first).and_then(|construct| constructs.get_mut(*construct))
            && lifetime.extended_in != construct.id
        {
            lifetime.extended_in = construct.id;
            construct.extended.push(local);
        }
    }

    /// Notes the end of `construct` at `position`.
    fn close(&mut self, construct: &Construct, position: u32, log: &mut Vec<Use>) {
        if let Some(end) = self.ends.get_mut(construct.number as usize) {
            *end = position;
        }
        for local in &construct.extended {
            if let Some(lifetime) = self.locals.get_mut(*local as usize) {
                lifetime.last = lifetime.last.max(position);
            }
        }
        if let Some((index, start)) = construct.in_loop {
            let hot = top(log, start);
            if let Some(info) = self.loops.get_mut(index) {
                info.hot = hot;
            }
        }
    }
}

/// Sums up the uses from `start` on, leaves a weighted summary of them in the log, and returns the
/// most used.
fn top(log: &mut Vec<Use>, start: usize) -> Vec<Use> {
    let mut uses = log.split_off(start.min(log.len()));
    uses.sort_unstable_by_key(|entry| entry.local);
    uses.dedup_by(|next, first| {
        let is_same = next.local == first.local;
        if is_same {
            first.weight = first.weight.saturating_add(next.weight);
            first.is_assigned |= next.is_assigned;
        }
        is_same
    });
    uses.sort_by_key(|entry| (core::cmp::Reverse(entry.weight), entry.local));
    // The surrounding loop must know of every local that is assigned.
    let summary = uses.iter().enumerate().filter(|(rank, entry)| *rank < SUMMARY_MAX || entry.is_assigned);
    log.extend(summary.map(|(rank, entry)| Use {
        weight: if rank < SUMMARY_MAX { entry.weight.saturating_mul(LOOP_WEIGHT) } else { 1 },
        ..*entry
    }));
    uses.truncate(HOT_MAX);
    uses
}

/// Kind of an operator.
enum Kind {
    Plain,
    Memory,
    /// Calls a helper that leaves memories where they are.
    Helper,
    /// Accesses memory and calls such a helper.
    MemoryHelper,
    Call,
}

fn kind(operator: &Operator<'_>) -> Kind {
    use Operator as O;
    match operator {
        O::Call { .. } | O::CallIndirect { .. } | O::MemoryGrow { .. } => Kind::Call,
        O::I32Load { .. }
        | O::I64Load { .. }
        | O::F32Load { .. }
        | O::F64Load { .. }
        | O::I32Load8S { .. }
        | O::I32Load8U { .. }
        | O::I32Load16S { .. }
        | O::I32Load16U { .. }
        | O::I64Load8S { .. }
        | O::I64Load8U { .. }
        | O::I64Load16S { .. }
        | O::I64Load16U { .. }
        | O::I64Load32S { .. }
        | O::I64Load32U { .. }
        | O::I32Store { .. }
        | O::I64Store { .. }
        | O::F32Store { .. }
        | O::F64Store { .. }
        | O::I32Store8 { .. }
        | O::I32Store16 { .. }
        | O::I64Store8 { .. }
        | O::I64Store16 { .. }
        | O::I64Store32 { .. }
        | O::V128Load { .. }
        | O::V128Load8Splat { .. }
        | O::V128Load16Splat { .. }
        | O::V128Load32Splat { .. }
        | O::V128Load64Splat { .. }
        | O::V128Load32Zero { .. }
        | O::V128Load64Zero { .. }
        | O::V128Load8Lane { .. }
        | O::V128Load16Lane { .. }
        | O::V128Load32Lane { .. }
        | O::V128Load64Lane { .. }
        | O::V128Store { .. }
        | O::V128Store8Lane { .. }
        | O::V128Store16Lane { .. }
        | O::V128Store32Lane { .. }
        | O::V128Store64Lane { .. } => Kind::Memory,
        O::V128Load8x8S { .. }
        | O::V128Load8x8U { .. }
        | O::V128Load16x4S { .. }
        | O::V128Load16x4U { .. }
        | O::V128Load32x2S { .. }
        | O::V128Load32x2U { .. } => Kind::MemoryHelper,
        O::MemoryFill { .. }
        | O::MemoryCopy { .. }
        | O::MemoryInit { .. }
        | O::DataDrop { .. }
        | O::TableGet { .. }
        | O::TableSet { .. }
        | O::TableSize { .. }
        | O::TableGrow { .. }
        | O::TableFill { .. }
        | O::TableCopy { .. }
        | O::TableInit { .. }
        | O::ElemDrop { .. }
        | O::Throw { .. }
        | O::ThrowRef
        | O::Rethrow { .. } => Kind::Helper,
        other if super::operators::helper_of(other).is_some() || Operation::from_operator(other).is_some() => {
            Kind::Helper
        }
        _ => Kind::Plain,
    }
}
