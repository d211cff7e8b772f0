// SPDX-License-Identifier: GPL-2.0

//! Compiles operators without control flow.

use super::{
    Error,
    assembler::{
        Condition,
        RegImm, //
    },
    compares::Compare,
    function::Compiler,
    memory::Load,
    registers::{
        Holder,
        Operand,
        Value, //
    },
};
use crate::{
    ebpf::{
        Reg,
        alu,
        jmp,
        width, //
    },
    vmctx::{
        Helper,
        MemoryField,
        Numeric,
        TrapReason,
        memory_offset, //
    },
};
use wasmparser::Operator;

/// A helper that computes an operator: number of operands, and whether they are swapped.
pub(super) struct Computation {
    helper: Helper,
    operands: usize,
    is_swapped: bool,
    /// Set if the result is negated.
    is_negated: bool,
    /// The operation, if the helper may trap.
    numeric: Option<Numeric>,
}

/// The helper that computes `operator`, if that is how it is compiled.
pub(super) fn helper_of(operator: &Operator<'_>) -> Option<Computation> {
    use Helper as H;
    use Operator as O;
    let plain =
        |helper, operands| Computation { helper, operands, is_swapped: false, is_negated: false, numeric: None };
    let swapped = |helper| Computation { is_swapped: true, ..plain(helper, 2) };
    let negated = |helper| Computation { is_negated: true, ..plain(helper, 2) };
    let trapping = |numeric| Computation { numeric: Some(numeric), ..plain(H::TrappingNumeric, 1) };
    Some(match operator {
        O::I32Clz => plain(H::I32Clz, 1),
        O::I32Ctz => plain(H::I32Ctz, 1),
        O::I32Popcnt => plain(H::I32Popcnt, 1),
        O::I64Clz => plain(H::I64Clz, 1),
        O::I64Ctz => plain(H::I64Ctz, 1),
        O::I64Popcnt => plain(H::I64Popcnt, 1),
        O::F32Add => plain(H::F32Add, 2),
        O::F32Sub => plain(H::F32Sub, 2),
        O::F32Mul => plain(H::F32Mul, 2),
        O::F32Div => plain(H::F32Div, 2),
        O::F32Min => plain(H::F32Min, 2),
        O::F32Max => plain(H::F32Max, 2),
        O::F32Ceil => plain(H::F32Ceil, 1),
        O::F32Floor => plain(H::F32Floor, 1),
        O::F32Trunc => plain(H::F32Trunc, 1),
        O::F32Nearest => plain(H::F32Nearest, 1),
        O::F32Sqrt => plain(H::F32Sqrt, 1),
        O::F32Eq => plain(H::F32Eq, 2),
        O::F32Ne => negated(H::F32Eq),
        O::F32Lt => plain(H::F32Lt, 2),
        O::F32Gt => swapped(H::F32Lt),
        O::F32Le => plain(H::F32Le, 2),
        O::F32Ge => swapped(H::F32Le),
        O::F64Add => plain(H::F64Add, 2),
        O::F64Sub => plain(H::F64Sub, 2),
        O::F64Mul => plain(H::F64Mul, 2),
        O::F64Div => plain(H::F64Div, 2),
        O::F64Min => plain(H::F64Min, 2),
        O::F64Max => plain(H::F64Max, 2),
        O::F64Ceil => plain(H::F64Ceil, 1),
        O::F64Floor => plain(H::F64Floor, 1),
        O::F64Trunc => plain(H::F64Trunc, 1),
        O::F64Nearest => plain(H::F64Nearest, 1),
        O::F64Sqrt => plain(H::F64Sqrt, 1),
        O::F64Eq => plain(H::F64Eq, 2),
        O::F64Ne => negated(H::F64Eq),
        O::F64Lt => plain(H::F64Lt, 2),
        O::F64Gt => swapped(H::F64Lt),
        O::F64Le => plain(H::F64Le, 2),
        O::F64Ge => swapped(H::F64Le),
        O::F32ConvertI32S => plain(H::F32ConvertI32S, 1),
        O::F32ConvertI32U => plain(H::F32ConvertI32U, 1),
        O::F32ConvertI64S => plain(H::F32ConvertI64S, 1),
        O::F32ConvertI64U => plain(H::F32ConvertI64U, 1),
        O::F64ConvertI32S => plain(H::F64ConvertI32S, 1),
        O::F64ConvertI32U => plain(H::F64ConvertI32U, 1),
        O::F64ConvertI64S => plain(H::F64ConvertI64S, 1),
        O::F64ConvertI64U => plain(H::F64ConvertI64U, 1),
        O::F32DemoteF64 => plain(H::F32Demote, 1),
        O::F64PromoteF32 => plain(H::F64Promote, 1),
        O::I32TruncSatF32S => plain(H::I32TruncSatF32S, 1),
        O::I32TruncSatF32U => plain(H::I32TruncSatF32U, 1),
        O::I32TruncSatF64S => plain(H::I32TruncSatF64S, 1),
        O::I32TruncSatF64U => plain(H::I32TruncSatF64U, 1),
        O::I64TruncSatF32S => plain(H::I64TruncSatF32S, 1),
        O::I64TruncSatF32U => plain(H::I64TruncSatF32U, 1),
        O::I64TruncSatF64S => plain(H::I64TruncSatF64S, 1),
        O::I64TruncSatF64U => plain(H::I64TruncSatF64U, 1),
        O::I32TruncF32S => trapping(Numeric::I32TruncF32S),
        O::I32TruncF32U => trapping(Numeric::I32TruncF32U),
        O::I32TruncF64S => trapping(Numeric::I32TruncF64S),
        O::I32TruncF64U => trapping(Numeric::I32TruncF64U),
        O::I64TruncF32S => trapping(Numeric::I64TruncF32S),
        O::I64TruncF32U => trapping(Numeric::I64TruncF32U),
        O::I64TruncF64S => trapping(Numeric::I64TruncF64S),
        O::I64TruncF64U => trapping(Numeric::I64TruncF64U),
        _ => return None,
    })
}

/// Operation and width of an operator with two operands.
fn binary_of(operator: &Operator<'_>) -> Option<(u8, bool, bool)> {
    use Operator as O;
    Some(match operator {
        O::I32Add => (alu::ADD, false, true),
        O::I32Sub => (alu::SUB, false, false),
        O::I32Mul => (alu::MUL, false, true),
        O::I32And => (alu::AND, false, true),
        O::I32Or => (alu::OR, false, true),
        O::I32Xor => (alu::XOR, false, true),
        O::I32Shl => (alu::LSH, false, false),
        O::I32ShrS => (alu::ARSH, false, false),
        O::I32ShrU => (alu::RSH, false, false),
        O::I64Add => (alu::ADD, true, true),
        O::I64Sub => (alu::SUB, true, false),
        O::I64Mul => (alu::MUL, true, true),
        O::I64And => (alu::AND, true, true),
        O::I64Or => (alu::OR, true, true),
        O::I64Xor => (alu::XOR, true, true),
        O::I64Shl => (alu::LSH, true, false),
        O::I64ShrS => (alu::ARSH, true, false),
        O::I64ShrU => (alu::RSH, true, false),
        _ => return None,
    })
}

/// Condition and width of a compare.
fn compare_of(operator: &Operator<'_>) -> Option<(u8, bool)> {
    use Operator as O;
    Some(match operator {
        O::I32Eq => (jmp::JEQ, false),
        O::I32Ne => (jmp::JNE, false),
        O::I32LtS => (jmp::JSLT, false),
        O::I32LtU => (jmp::JLT, false),
        O::I32GtS => (jmp::JSGT, false),
        O::I32GtU => (jmp::JGT, false),
        O::I32LeS => (jmp::JSLE, false),
        O::I32LeU => (jmp::JLE, false),
        O::I32GeS => (jmp::JSGE, false),
        O::I32GeU => (jmp::JGE, false),
        O::I64Eq => (jmp::JEQ, true),
        O::I64Ne => (jmp::JNE, true),
        O::I64LtS => (jmp::JSLT, true),
        O::I64LtU => (jmp::JLT, true),
        O::I64GtS => (jmp::JSGT, true),
        O::I64GtU => (jmp::JGT, true),
        O::I64LeS => (jmp::JSLE, true),
        O::I64LeU => (jmp::JLE, true),
        O::I64GeS => (jmp::JSGE, true),
        O::I64GeU => (jmp::JGE, true),
        _ => return None,
    })
}

fn load_of(operator: &Operator<'_>) -> Option<(wasmparser::MemArg, Load)> {
    use Operator as O;
    let load = |width, is_signed, is_narrowed| Load { width, is_signed, is_narrowed };
    Some(match operator {
        O::I32Load { memarg } | O::F32Load { memarg } | O::I64Load32U { memarg } => {
            (*memarg, load(width::W, false, false))
        }
        O::I64Load { memarg } | O::F64Load { memarg } => (*memarg, load(width::DW, false, false)),
        O::I32Load8S { memarg } => (*memarg, load(width::B, true, true)),
        O::I32Load8U { memarg } | O::I64Load8U { memarg } => (*memarg, load(width::B, false, false)),
        O::I32Load16S { memarg } => (*memarg, load(width::H, true, true)),
        O::I32Load16U { memarg } | O::I64Load16U { memarg } => (*memarg, load(width::H, false, false)),
        O::I64Load8S { memarg } => (*memarg, load(width::B, true, false)),
        O::I64Load16S { memarg } => (*memarg, load(width::H, true, false)),
        O::I64Load32S { memarg } => (*memarg, load(width::W, true, false)),
        _ => return None,
    })
}

fn store_of(operator: &Operator<'_>) -> Option<(wasmparser::MemArg, u8)> {
    use Operator as O;
    Some(match operator {
        O::I32Store { memarg } | O::F32Store { memarg } | O::I64Store32 { memarg } => (*memarg, width::W),
        O::I64Store { memarg } | O::F64Store { memarg } => (*memarg, width::DW),
        O::I32Store8 { memarg } | O::I64Store8 { memarg } => (*memarg, width::B),
        O::I32Store16 { memarg } | O::I64Store16 { memarg } => (*memarg, width::H),
        _ => return None,
    })
}

impl<'a> Compiler<'a> {
    /// Compiles an operator without control flow.
    pub(super) fn plain(&mut self, operator: &Operator<'a>) -> Result<(), Error> {
        use Operator as O;
        if let Some((op, is_wide, is_commutative)) = binary_of(operator) {
            return self.binary(op, is_wide, is_commutative);
        }
        if let Some((condition, is_wide)) = compare_of(operator) {
            let rhs = self.frame.pop()?;
            let lhs = self.frame.pop()?;
            return self.compared(Compare { condition: Condition(condition), is_wide, lhs, rhs });
        }
        if let Some((memarg, load)) = load_of(operator) {
            return self.load(memarg, load);
        }
        if let Some((memarg, width)) = store_of(operator) {
            return self.store(memarg, width);
        }
        if let Some(computation) = helper_of(operator) {
            return self.compute(&computation);
        }
        match *operator {
            O::LocalGet { local_index } => match self.local(local_index)? {
                (word, None) => self.frame.push(Value::Local(word)),
                (low, Some(high)) => self.push_vector(low, high),
            },
            O::LocalSet { local_index } => match self.local(local_index)? {
                (word, None) => self.frame.assign(word, false),
                (low, Some(high)) => self.assign_vector(low, high, false),
            },
            O::LocalTee { local_index } => match self.local(local_index)? {
                (word, None) => self.frame.assign(word, true),
                (low, Some(high)) => self.assign_vector(low, high, true),
            },
            O::GlobalGet { global_index } => self.global(global_index, false),
            O::GlobalSet { global_index } => self.global(global_index, true),
            O::I32Const { value } => self.frame.push(Value::Const(u64::from(value.cast_unsigned()))),
            O::I64Const { value } => self.frame.push(Value::Const(value.cast_unsigned())),
            O::F32Const { value } => self.frame.push(Value::Const(u64::from(value.bits()))),
            O::F64Const { value } => self.frame.push(Value::Const(value.bits())),
            O::Drop => {
                self.frame.pop()?;
                if self.is_vector() {
                    self.frame.pop()?;
                }
                self.frame.unlock();
                Ok(())
            }
            O::I32Eqz => {
                if let Some(compare) = self.compare.take() {
                    return self.compared(compare.inverse());
                }
                self.is_zero(false)
            }
            O::I64Eqz => self.is_zero(true),
            O::RefIsNull => self.is_zero(true),
            O::Select | O::TypedSelect { .. } if self.is_vector() => self.select_vector(),
            O::Select | O::TypedSelect { .. } => self.select(),
            O::I32DivS => self.divide(false, true, false),
            O::I32DivU => self.divide(false, false, false),
            O::I32RemS => self.divide(false, true, true),
            O::I32RemU => self.divide(false, false, true),
            O::I64DivS => self.divide(true, true, false),
            O::I64DivU => self.divide(true, false, false),
            O::I64RemS => self.divide(true, true, true),
            O::I64RemU => self.divide(true, false, true),
            O::I32Rotl => self.rotate(false, true),
            O::I32Rotr => self.rotate(false, false),
            O::I64Rotl => self.rotate(true, true),
            O::I64Rotr => self.rotate(true, false),
            O::I32WrapI64 => self.extend(0, false),
            O::I64ExtendI32S | O::I64Extend32S => self.extend(32, true),
            O::I32Extend8S => self.extend(8, false),
            O::I32Extend16S => self.extend(16, false),
            O::I64Extend8S => self.extend(8, true),
            O::I64Extend16S => self.extend(16, true),
            O::I64ExtendI32U
            | O::I32ReinterpretF32
            | O::I64ReinterpretF64
            | O::F32ReinterpretI32
            | O::F64ReinterpretI64 => Ok(()),
            O::F32Abs => self.with_imm(&[(alu::AND, 0x7fff_ffff)], false),
            O::F32Neg => self.with_imm(&[(alu::XOR, i32::MIN)], false),
            O::F64Abs => self.with_imm(&[(alu::LSH, 1), (alu::RSH, 1)], true),
            O::F64Neg => {
                self.frame.push(Value::Const(1 << 63))?;
                self.binary(alu::XOR, true, true)
            }
            O::F32Copysign => self.copysign(false),
            O::F64Copysign => self.copysign(true),
            O::Call { function_index } => self.call(function_index),
            O::CallIndirect { type_index, table_index } => self.call_indirect(type_index, table_index),
            O::MemorySize { mem } => {
                let dst = self.destination(&[])?;
                self.frame.asm.load(width::DW, dst, crate::ebpf::R6, memory_offset(mem, MemoryField::Size))?;
                self.frame.asm.alu(alu::RSH, true, dst, RegImm::Imm(16))?;
                self.finish_result(dst)
            }
            O::MemoryGrow { mem } => self.call_helper(Helper::MemoryGrow, &[mem.into()], 1, true),
            O::MemoryFill { mem } => self.call_bulk(Helper::MemoryFill, &[mem.into()], 3),
            O::MemoryCopy { dst_mem, src_mem } => {
                self.call_bulk(Helper::MemoryCopy, &[dst_mem.into(), src_mem.into()], 3)
            }
            O::MemoryInit { data_index, mem } => {
                self.call_bulk(Helper::MemoryInit, &[mem.into(), data_index.into()], 3)
            }
            O::DataDrop { data_index } => self.call_helper(Helper::DataDrop, &[data_index.into()], 0, false),
            O::TableGet { table } => self.call_helper(Helper::TableGet, &[table.into()], 1, true),
            O::TableSet { table } => self.call_helper(Helper::TableSet, &[table.into()], 2, false),
            O::TableSize { table } => self.call_helper(Helper::TableSize, &[table.into()], 0, true),
            O::TableGrow { table } => {
                // The helper takes the number first.
                let count = self.frame.pop()?;
                let value = self.frame.pop()?;
                self.repush(count)?;
                self.repush(value)?;
                self.call_helper(Helper::TableGrow, &[table.into()], 2, true)
            }
            O::TableFill { table } => self.call_bulk(Helper::TableFill, &[table.into()], 3),
            O::TableCopy { dst_table, src_table } => {
                self.call_bulk(Helper::TableCopy, &[dst_table.into(), src_table.into()], 3)
            }
            O::TableInit { elem_index, table } => {
                self.call_bulk(Helper::TableInit, &[table.into(), elem_index.into()], 3)
            }
            O::ElemDrop { elem_index } => self.call_helper(Helper::ElemDrop, &[elem_index.into()], 0, false),
            O::RefNull { .. } => self.frame.push(Value::Const(0)),
            O::RefFunc { function_index } => self.frame.push(Value::Const(u64::from(function_index).saturating_add(1))),
            _ => self.simd(operator),
        }
    }

    /// Pushes a popped operand again, at another depth.
    pub(super) fn repush(&mut self, operand: Operand) -> Result<(), Error> {
        match operand.value {
            Value::Slot => {
                let reg = self.frame.source(operand)?;
                self.frame.push(Value::Reg(reg))
            }
            value => self.frame.push(value),
        }
    }

    /// A register for a result.
    pub(super) fn destination(&mut self, busy: &[Option<Reg>]) -> Result<Reg, Error> {
        match self.frame.hint(self.next_local(), busy) {
            Some(reg) => {
                self.frame.hold(reg, Holder::Temporary)?;
                self.frame.lock(reg);
                Ok(reg)
            }
            None => self.frame.alloc(),
        }
    }

    /// Pushes a result, of which no fact is known, and ends the operation.
    pub(super) fn finish_result(&mut self, dst: Reg) -> Result<(), Error> {
        self.frame.now.cell_mut(dst)?.bytes = 0;
        self.frame.push(Value::Reg(dst))?;
        self.frame.unlock();
        Ok(())
    }

    fn compute(&mut self, computation: &Computation) -> Result<(), Error> {
        if computation.is_swapped {
            let rhs = self.frame.pop()?;
            let lhs = self.frame.pop()?;
            self.repush(rhs)?;
            self.repush(lhs)?;
            self.frame.unlock();
        }
        let constants = computation.numeric.map(|numeric| u64::from(numeric as u8));
        self.call_helper(computation.helper, constants.as_slice(), computation.operands, true)?;
        if computation.is_negated {
            return self.with_imm(&[(alu::XOR, 1)], false);
        }
        Ok(())
    }

    fn binary(&mut self, op: u8, is_wide: bool, is_commutative: bool) -> Result<(), Error> {
        let rhs = self.frame.pop()?;
        let lhs = self.frame.pop()?;
        let dst = self.combine((op, is_wide, is_commutative), lhs, rhs, self.next_local())?;
        self.finish_result(dst)
    }

    /// A register with the result of an operation of two popped operands; `hinted` is the local
    /// that it is assigned to.
    pub(super) fn combine(
        &mut self,
        (op, is_wide, is_commutative): (u8, bool, bool),
        mut lhs: Operand,
        mut rhs: Operand,
        hinted: Option<u32>,
    ) -> Result<Reg, Error> {
        let is_local = |operand: &Operand| matches!(operand.value, Value::Local(local) if Some(local) == hinted);
        if is_commutative
            && (matches!(lhs.value, Value::Const(_))
                || matches!((lhs.value, rhs.value), (Value::Local(_), Value::Reg(_))) && !is_local(&lhs)
                || is_local(&rhs) && !is_local(&lhs))
            && !matches!(rhs.value, Value::Const(_))
        {
            core::mem::swap(&mut lhs, &mut rhs);
        }
        let mut source = self.frame.source_or_imm(rhs, is_wide)?;
        if let (RegImm::Imm(imm), alu::LSH | alu::RSH | alu::ARSH) = (source, op) {
            source = RegImm::Imm(imm & if is_wide { 63 } else { 31 });
        }
        let busy = match source {
            RegImm::Reg(reg) => Some(reg),
            RegImm::Imm(_) => None,
        };
        let hint = self.frame.hint(hinted, &[busy]);
        let mut dst = self.frame.own(lhs, hint)?;
        if Some(dst) == busy && lhs.value != rhs.value {
            return Err(Error::Internal("operands share a register"));
        }
        if Some(dst) == busy && self.frame.now.cell(dst).holder != Holder::Temporary {
            let copy = self.frame.alloc()?;
            self.frame.asm.mov(copy, dst)?;
            dst = copy;
        }
        self.frame.asm.alu(op, is_wide, dst, source)?;
        Ok(dst)
    }

    /// Applies operations with immediates to the top operand.
    fn with_imm(&mut self, operations: &[(u8, i32)], is_wide: bool) -> Result<(), Error> {
        let operand = self.frame.pop()?;
        let hint = self.frame.hint(self.next_local(), &[]);
        let dst = self.frame.own(operand, hint)?;
        for (op, imm) in operations {
            self.frame.asm.alu(*op, is_wide, dst, RegImm::Imm(*imm))?;
        }
        self.finish_result(dst)
    }

    fn copysign(&mut self, is_wide: bool) -> Result<(), Error> {
        let sign = self.frame.pop()?;
        let operand = self.frame.pop()?;
        if matches!(sign.value, Value::Local(_)) && sign.value == operand.value {
            let dst = self.frame.own(operand, None)?;
            return self.finish_result(dst);
        }
        let sign = self.frame.own(sign, None)?;
        let dst = self.frame.own(operand, None)?;
        let asm = &mut self.frame.asm;
        if is_wide {
            asm.alu(alu::RSH, true, sign, RegImm::Imm(63))?;
            asm.alu(alu::LSH, true, sign, RegImm::Imm(63))?;
            asm.alu(alu::LSH, true, dst, RegImm::Imm(1))?;
            asm.alu(alu::RSH, true, dst, RegImm::Imm(1))?;
        } else {
            asm.alu(alu::AND, false, sign, RegImm::Imm(i32::MIN))?;
            asm.alu(alu::AND, false, dst, RegImm::Imm(i32::MAX))?;
        }
        asm.alu(alu::OR, is_wide, dst, RegImm::Reg(sign))?;
        self.finish_result(dst)
    }

    /// Sign-extends from `bits`; 0 bits: clears what is above 32.
    fn extend(&mut self, bits: i16, is_wide: bool) -> Result<(), Error> {
        let operand = self.frame.pop()?;
        let reg = self.frame.source(operand)?;
        let dst = match operand.value {
            Value::Local(_) => self.destination(&[Some(reg)])?,
            _ => reg,
        };
        self.frame.asm.alu_with(alu::MOV, is_wide, dst, RegImm::Reg(reg), bits)?;
        self.finish_result(dst)
    }

    fn rotate(&mut self, is_wide: bool, is_left: bool) -> Result<(), Error> {
        let count = self.frame.pop()?;
        let operand = self.frame.pop()?;
        let (width, mask): (i32, u64) = if is_wide { (64, 63) } else { (32, 31) };
        let (first, second) = if is_left { (alu::LSH, alu::RSH) } else { (alu::RSH, alu::LSH) };
        if let Value::Const(count) = count.value {
            let count = i32::try_from(count & mask).unwrap_or(0);
            let dst = self.frame.own(operand, None)?;
            if count != 0 {
                let other = self.frame.alloc()?;
                let rest = width.wrapping_sub(count);
                self.frame.asm.mov(other, dst)?;
                self.frame.asm.alu(first, is_wide, dst, RegImm::Imm(count))?;
                self.frame.asm.alu(second, is_wide, other, RegImm::Imm(rest))?;
                self.frame.asm.alu(alu::OR, is_wide, dst, RegImm::Reg(other))?;
            }
            return self.finish_result(dst);
        }
        let count = self.frame.source(count)?;
        let reg = self.frame.source(operand)?;
        let dst = self.frame.alloc()?;
        let other = self.frame.alloc()?;
        let asm = &mut self.frame.asm;
        asm.mov(dst, reg)?;
        asm.alu(first, is_wide, dst, RegImm::Reg(count))?;
        asm.mov(other, count)?;
        asm.neg(is_wide, other)?;
        // Shift by the rest of the count: other = reg shifted.
        let shifted = self.frame.alloc()?;
        let asm = &mut self.frame.asm;
        asm.mov(shifted, reg)?;
        asm.alu(second, is_wide, shifted, RegImm::Reg(other))?;
        asm.alu(alu::OR, is_wide, dst, RegImm::Reg(shifted))?;
        self.finish_result(dst)
    }

    fn divide(&mut self, is_wide: bool, is_signed: bool, is_remainder: bool) -> Result<(), Error> {
        let op = if is_remainder { alu::MOD } else { alu::DIV };
        let rhs = self.frame.pop()?;
        let lhs = self.frame.pop()?;
        let off = i16::from(is_signed);
        let divisor = self.frame.source_or_imm(rhs, is_wide)?;
        let zero = self.trap(TrapReason::DivideByZero);
        let reg = match divisor {
            RegImm::Imm(imm) if imm != 0 && !(is_signed && imm == -1) => {
                let dst = self.frame.own(lhs, None)?;
                self.frame.asm.alu_with(op, is_wide, dst, divisor, off)?;
                return self.finish_result(dst);
            }
            RegImm::Imm(imm) => {
                let reg = self.frame.alloc()?;
                self.frame.asm.alu(alu::MOV, is_wide, reg, RegImm::Imm(imm))?;
                reg
            }
            RegImm::Reg(reg) => reg,
        };
        let mut dst = self.frame.own(lhs, None)?;
        if dst == reg {
            let copy = self.frame.alloc()?;
            self.frame.asm.mov(copy, dst)?;
            dst = copy;
        }
        self.frame.now.cell_mut(dst)?.bytes = 0;
        self.frame.asm.jump_if(Condition(jmp::JEQ), is_wide, reg, RegImm::Imm(0), zero)?;
        if !is_signed {
            self.frame.asm.alu_with(op, is_wide, dst, RegImm::Reg(reg), off)?;
            return self.finish_result(dst);
        }
        let (negative, done) = (self.frame.asm.label(), self.frame.asm.label());
        self.frame.asm.jump_if(Condition(jmp::JEQ), is_wide, reg, RegImm::Imm(-1), negative)?;
        self.frame.asm.alu_with(op, is_wide, dst, RegImm::Reg(reg), off)?;
        self.frame.asm.jump(done)?;
        self.frame.asm.bind(negative)?;
        self.frame.claim();
        if is_remainder {
            self.frame.asm.constant(dst, 0)?;
        } else {
            let overflow = self.trap(TrapReason::IntegerOverflow);
            if is_wide {
                let least = self.frame.alloc()?;
                self.frame.asm.constant(least, 1 << 63)?;
                self.frame.asm.jump_if(Condition(jmp::JEQ), true, dst, RegImm::Reg(least), overflow)?;
            } else {
                self.frame.asm.jump_if(Condition(jmp::JEQ), false, dst, RegImm::Imm(i32::MIN), overflow)?;
            }
            self.frame.asm.neg(is_wide, dst)?;
        }
        self.frame.asm.bind(done)?;
        self.frame.claim();
        self.finish_result(dst)
    }
}
