// SPDX-License-Identifier: GPL-2.0

//! Keeps wasmi 2.0.0 from translating some `select`s wrongly.
//!
//! A `select` whose condition says whether a local is 0 (`i32.eqz`, `i32.eq`, `i32.ne`) is made one with the comparison there,
//! and then looks for the local in a register that it is not in: it selects by whatever is in there. So an `i32.popcnt`, which
//! is 0 for 0 only, comes between the two. It comes in front of some other `select`s as well, where it does no harm.

use crate::sections::{
    id,
    sections, //
};
use alloc::vec::Vec;
use wasmparser::{
    BinaryReader,
    FunctionBody,
    Operator, //
};

/// `i32.popcnt`.
const POPCNT: u8 = 0x69;

/// `select` without and with a type.
const SELECTS: [u8; 2] = [0x1b, 0x1c];

/// The most bytes of a number in a module.
const NUMBER_MAX: usize = 5;

/// A module with more instructions.
pub(crate) struct Rewritten {
    /// Its bytes.
    pub(crate) wasm: Vec<u8>,
    /// From where on it is how many bytes longer than the original, in order.
    longer: Vec<(usize, usize)>,
}

impl Rewritten {
    /// Where `offset` was in the original.
    pub(crate) fn original_offset(&self, offset: usize) -> usize {
        let edits = self.longer.partition_point(|(from, _)| *from <= offset);
        let longer = edits.checked_sub(1).and_then(|last| self.longer.get(last)).map_or(0, |(_, longer)| *longer);
        offset.saturating_sub(longer)
    }
}

/// Bytes that take the place of others, not fewer.
struct Edit {
    /// Where in the module.
    at: usize,
    /// How many bytes go.
    old: usize,
    /// What comes.
    new: [u8; NUMBER_MAX],
    new_len: usize,
}

impl Edit {
    fn popcnt(at: usize) -> Self {
        Self { at, old: 0, new: [POPCNT, 0, 0, 0, 0], new_len: 1 }
    }

    /// Another number where one of `old` bytes is.
    fn number(at: usize, old: usize, mut number: u32) -> Self {
        let mut new = [0; NUMBER_MAX];
        let mut new_len: usize = 0;
        for place in &mut new {
            new_len = new_len.saturating_add(1);
            *place = number.to_le_bytes()[0] & 0x7f;
            number >>= 7;
            if number == 0 && new_len >= old {
                break;
            }
            *place |= 0x80;
        }
        Self { at, old, new, new_len }
    }

    fn longer(&self) -> usize {
        self.new_len.saturating_sub(self.old)
    }
}

/// The module `wasm` with an instruction in front of each `select` that is in danger; `None` if there is none, or if it is so
/// broken that validation will say so.
pub(crate) fn rewrite(wasm: &[u8]) -> Option<Rewritten> {
    let code = sections(wasm).find(|section| section.id == id::CODE)?;
    let contents_at = code.end.checked_sub(code.contents.len())?;
    let mut reader = BinaryReader::new(code.contents, contents_at);
    let mut edits = Vec::new();
    let mut longer: usize = 0;
    for _ in 0..reader.read_var_u32().ok()? {
        let size_at = reader.original_position();
        let size = reader.read_var_u32().ok()?;
        let old = reader.original_position().checked_sub(size_at)?;
        let body_at = reader.original_position();
        let body = reader.read_bytes(usize::try_from(size).ok()?).ok()?;
        if !body.iter().any(|byte| SELECTS.contains(byte)) {
            continue;
        }
        let first = edits.len();
        selects(BinaryReader::new(body, body_at), |at| {
            if edits.len() == first {
                // Its number is not known yet.
                edits.push(Edit::number(size_at, old, size));
            }
            edits.push(Edit::popcnt(at));
        })
        .ok()?;
        let more = edits.len().saturating_sub(first).saturating_sub(1);
        if let Some(edit) = edits.get_mut(first) {
            *edit = Edit::number(size_at, old, size.checked_add(u32::try_from(more).ok()?)?);
            longer = longer.checked_add(more)?.checked_add(edit.longer())?;
        }
    }
    if edits.is_empty() {
        return None;
    }
    let size_at = code.start.checked_add(1)?;
    let size = u32::try_from(code.contents.len().checked_add(longer)?).ok()?;
    let size = Edit::number(size_at, contents_at.checked_sub(size_at)?, size);

    let mut out = Vec::with_capacity(wasm.len().checked_add(longer)?.checked_add(size.longer())?);
    let mut offsets = Vec::with_capacity(edits.len().checked_add(1)?);
    let mut done = 0;
    for edit in core::iter::once(&size).chain(&edits) {
        out.extend_from_slice(wasm.get(done..edit.at)?);
        out.extend_from_slice(edit.new.get(..edit.new_len)?);
        done = edit.at.checked_add(edit.old)?;
        offsets.push((out.len(), out.len().checked_sub(done)?));
    }
    out.extend_from_slice(wasm.get(done..)?);
    Some(Rewritten { wasm: out, longer: offsets })
}

/// Tells `found` where in the body of a function the `select`s are that are in danger.
fn selects(body: BinaryReader<'_>, mut found: impl FnMut(usize)) -> wasmparser::Result<()> {
    // Whether there was a comparison since control came here. What is in between may leave no trace, a constant for one.
    let mut is_compared = false;
    for operator in FunctionBody::new(body).get_operators_reader()?.into_iter_with_offsets() {
        let (operator, at) = operator?;
        match operator {
            Operator::I32Eqz | Operator::I32Eq | Operator::I32Ne => is_compared = true,
            Operator::Select | Operator::TypedSelect { .. } if is_compared => found(at),
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::Else
            | Operator::End
            | Operator::BrIf { .. }
            | Operator::Call { .. }
            | Operator::CallIndirect { .. } => is_compared = false,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wasm(text: &str) -> Vec<u8> {
        wat::parse_str(text).expect("valid text")
    }

    /// A module with a function of this body.
    fn module(body: &str) -> Vec<u8> {
        wasm(&alloc::format!("(module (func) (func (param i32) (result i32) {body}) (func nop) (memory 1))"))
    }

    const IN_DANGER: &str = "(select (i32.const 5) (i32.const 6) (i32.eqz (local.get 0)))";

    #[test]
    fn an_instruction_comes_in_front() {
        let original = module(IN_DANGER);
        let rewritten = rewrite(&original).expect("there is one");
        assert_eq!(rewritten.wasm, module("i32.const 5 i32.const 6 local.get 0 i32.eqz i32.popcnt select"));
        // As many that the sizes get longer.
        let original = [IN_DANGER; 50].join(" drop ");
        let wanted = ["i32.const 5 i32.const 6 local.get 0 i32.eqz i32.popcnt select"; 50].join(" drop ");
        assert_eq!(rewrite(&module(&original)).map(|rewritten| rewritten.wasm), Some(module(&wanted)));
    }

    #[test]
    fn what_is_not_in_danger_stays() {
        for body in [
            "(select (i32.const 5) (i32.const 6) (local.get 0))",
            "(select (i32.const 5) (i32.const 6) (i32.lt_s (local.get 0) (i32.const 27)))",
            "(drop (i32.eqz (local.get 0))) (block (result i32) (select (i32.const 5) (i32.const 6) (local.get 0)))",
            "(i32.eqz (local.get 0))",
        ] {
            assert!(rewrite(&module(body)).is_none(), "{body}");
        }
    }

    #[test]
    fn no_prefix_of_a_module_is_a_problem() {
        let original = module(IN_DANGER);
        for len in 0..original.len() {
            let _ = rewrite(&original[..len]);
        }
    }

    #[test]
    fn offsets_are_those_of_the_original() {
        let original = module(IN_DANGER);
        let rewritten = rewrite(&original).expect("there is one");
        let select = original.iter().position(|byte| *byte == SELECTS[0]).expect("there is one");
        for at in 0..rewritten.wasm.len() {
            let before = at.min(select);
            let after = at.saturating_sub(1).max(before);
            assert_eq!(rewritten.original_offset(at), if at <= select { before } else { after }, "{at}");
        }
    }

    #[test]
    fn numbers_keep_their_length() {
        for (number, old, new) in
            [(5, 1, [5].as_slice()), (128, 1, &[0x80, 1]), (5, 5, &[0x85, 0x80, 0x80, 0x80, 0]), (5, 2, &[0x85, 0])]
        {
            let edit = Edit::number(0, old, number);
            assert_eq!(&edit.new[..edit.new_len], new);
        }
    }
}
