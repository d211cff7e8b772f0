// SPDX-License-Identifier: GPL-2.0

//! Generator of instructions that create and use values.
//!
//! The bits of a NaN from arithmetic differ between engines, so every such NaN is replaced by the
//! same one.

use super::{
    super::{
        EXN,
        IN_TABLE,
        MEMORIES,
        Program,
        Source,
        TYPES,
        number, //
    },
    Body,
};
use wasm_encoder::{
    HeapType,
    Ieee32,
    Ieee64,
    Instruction,
    MemArg,
    MemArgTarget,
    ValType, //
};

/// Upper bound of the nesting of expressions.
const DEPTH: usize = 3;

/// Mask for addresses.
const ADDRESS: i32 = 0x7ff8;

/// Offsets of memory accesses: with up to 16 bits, and with more.
const OFFSETS: [u64; 6] = [0, 0, 4, 4000, 65_535, 100_000];

const INTEGERS: [i32; 12] = [0, 0, 1, 1, 2, 3, -1, 7, 70, 1000, i32::MIN, i32::MAX];

const FLOATS: [f32; 8] = [0.0, 1.0, -1.0, 0.5, -3.25, 1e10, f32::NAN, f32::INFINITY];

/// Returns a constant of this type.
pub(super) fn constant(source: &mut Source<'_>, ty: ValType) -> Instruction<'static> {
    let integer = *source.pick(&INTEGERS);
    let float = *source.pick(&FLOATS);
    match ty {
        ValType::I32 if source.chance(8) => Instruction::I32Const(i32::from_le_bytes(source.bytes())),
        ValType::I32 => Instruction::I32Const(integer),
        ValType::I64 if source.chance(8) => Instruction::I64Const(i64::from_le_bytes(source.bytes())),
        ValType::I64 => Instruction::I64Const(integer.into()),
        ValType::F32 => Instruction::F32Const(float.into()),
        ValType::F64 => Instruction::F64Const(f64::from(float).into()),
        ValType::V128 if source.chance(2) => Instruction::V128Const(i128::from_le_bytes(source.bytes())),
        ValType::V128 => Instruction::V128Const(integer.into()),
        ValType::EXNREF => Instruction::RefNull(EXN),
        _ => Instruction::RefNull(HeapType::FUNC),
    }
}

fn binary(source: &mut Source<'_>, ty: ValType) -> Option<Instruction<'static>> {
    use Instruction as I;
    let instructions: &[I<'static>] = match ty {
        ValType::I32 => &[
            I::I32Add,
            I::I32Add,
            I::I32Sub,
            I::I32Mul,
            I::I32And,
            I::I32Or,
            I::I32Xor,
            I::I32Shl,
            I::I32ShrU,
            I::I32Rotl,
        ],
        ValType::I64 => &[
            I::I64Add,
            I::I64Add,
            I::I64Sub,
            I::I64Mul,
            I::I64And,
            I::I64Or,
            I::I64Xor,
            I::I64Shl,
            I::I64ShrS,
            I::I64Rotr,
        ],
        ValType::F32 => &[I::F32Add, I::F32Sub, I::F32Mul, I::F32Min, I::F32Copysign],
        ValType::F64 => &[I::F64Add, I::F64Sub, I::F64Mul, I::F64Max, I::F64Copysign],
        ValType::V128 => &[
            I::I8x16Add,
            I::I16x8Mul,
            I::I32x4Sub,
            I::I64x2Add,
            I::I8x16Swizzle,
            I::I8x16Shuffle([0, 31, 2, 29, 4, 27, 6, 25, 8, 23, 10, 21, 12, 19, 14, 17]),
            I::I16x8SubSatS,
            I::I32x4DotI16x8S,
            I::V128And,
            I::V128Xor,
            I::F32x4Eq,
            I::F64x2PMax,
        ],
        _ => return None,
    };
    Some(source.pick(instructions).clone())
}

fn comparison(source: &mut Source<'_>, ty: ValType) -> Option<Instruction<'static>> {
    use Instruction as I;
    let instructions: &[I<'static>] = match ty {
        ValType::I32 => &[I::I32Eq, I::I32Ne, I::I32LtS, I::I32LtU, I::I32GtS, I::I32GeU, I::I32LeS],
        ValType::I64 => &[I::I64Eq, I::I64Ne, I::I64LtS, I::I64LtU, I::I64GtU, I::I64GeS, I::I64LeU],
        ValType::F32 => &[I::F32Eq, I::F32Ne, I::F32Lt, I::F32Ge],
        ValType::F64 => &[I::F64Eq, I::F64Ne, I::F64Gt, I::F64Le],
        _ => return None,
    };
    Some(source.pick(instructions).clone())
}

/// Returns an instruction with a result of type `to`, and the type of its operand.
fn unary(source: &mut Source<'_>, program: &Program, to: ValType) -> Option<(ValType, Instruction<'static>)> {
    use Instruction as I;
    use ValType as T;
    let instructions: &[(T, I<'static>)] = match to {
        T::I32 => &[
            (T::I32, I::I32Eqz),
            (T::I32, I::I32Clz),
            (T::I32, I::I32Extend8S),
            (T::I64, I::I64Eqz),
            (T::I64, I::I32WrapI64),
            (T::F32, I::I32ReinterpretF32),
            (T::F32, I::I32TruncSatF32S),
            (T::F64, I::I32TruncSatF64U),
            (T::FUNCREF, I::RefIsNull),
            (T::EXNREF, I::RefIsNull),
            (T::V128, I::I32x4ExtractLane(1)),
            (T::V128, I::I8x16ExtractLaneS(15)),
            (T::V128, I::V128AnyTrue),
            (T::V128, I::I8x16Bitmask),
        ],
        T::I64 => &[
            (T::I64, I::I64Popcnt),
            (T::I64, I::I64Extend32S),
            (T::I32, I::I64ExtendI32S),
            (T::I32, I::I64ExtendI32U),
            (T::I32, I::I64ExtendI32U),
            (T::F64, I::I64ReinterpretF64),
            (T::F64, I::I64TruncSatF64S),
            (T::V128, I::I64x2ExtractLane(1)),
        ],
        T::F32 => &[
            (T::F32, I::F32Abs),
            (T::F32, I::F32Neg),
            (T::F32, I::F32Sqrt),
            (T::I32, I::F32ConvertI32S),
            (T::I32, I::F32ReinterpretI32),
            (T::F64, I::F32DemoteF64),
            (T::V128, I::F32x4ExtractLane(3)),
        ],
        T::F64 => &[
            (T::F64, I::F64Abs),
            (T::F64, I::F64Neg),
            (T::F64, I::F64Floor),
            (T::I32, I::F64ConvertI32U),
            (T::I64, I::F64ReinterpretI64),
            (T::F32, I::F64PromoteF32),
            (T::V128, I::F64x2ExtractLane(0)),
        ],
        T::V128 => &[
            (T::V128, I::V128Not),
            (T::V128, I::I8x16Popcnt),
            (T::V128, I::I64x2ExtendLowI32x4U),
            (T::V128, I::F32x4Neg),
            (T::V128, I::I32x4TruncSatF64x2SZero),
            (T::I32, I::I8x16Splat),
            (T::I32, I::I32x4Splat),
            (T::I64, I::I64x2Splat),
            (T::F32, I::F32x4Splat),
            (T::F64, I::F64x2Splat),
        ],
        _ => return None,
    };
    let instructions: Vec<_> = instructions.iter().filter(|(from, _)| program.value_types.contains(from)).collect();
    Some((*source.pick(&instructions)).clone())
}

/// Returns an instruction with operands of type `v128` and `i32`, and a result of type `v128`.
fn vector(source: &mut Source<'_>) -> Instruction<'static> {
    use Instruction as I;
    let instructions = [
        I::I8x16Shl,
        I::I16x8ShrS,
        I::I32x4ShrU,
        I::I64x2Shl,
        I::I8x16ReplaceLane(5),
        I::I16x8ReplaceLane(7),
        I::I32x4ReplaceLane(2),
    ];
    source.pick(&instructions).clone()
}

/// Returns true if the specification leaves the bits of a NaN result of the instruction open.
fn chooses_nan(instruction: &Instruction<'_>) -> bool {
    use Instruction as I;
    matches!(
        instruction,
        I::F32Add
            | I::F32Sub
            | I::F32Mul
            | I::F32Min
            | I::F32Sqrt
            | I::F32DemoteF64
            | I::F64Add
            | I::F64Sub
            | I::F64Mul
            | I::F64Max
            | I::F64Floor
            | I::F64PromoteF32
    )
}

impl Body<'_, '_> {
    /// Pushes a value of this type.
    pub(super) fn push(&mut self, ty: ValType) {
        self.value(ty, 0);
        self.stack.push(ty);
    }

    /// Generates a value of this type without adding it to `stack`.
    fn value(&mut self, ty: ValType, depth: usize) {
        let choices = if depth < DEPTH { 14 } else { 8 };
        match self.source.below(choices) {
            6 => {
                let constant = constant(self.source, ty);
                self.emit(constant);
            }
            7 => self.fetch(ty),
            8 | 9 => match binary(self.source, ty) {
                Some(instruction) => {
                    self.value(ty, depth + 1);
                    self.value(ty, depth + 1);
                    self.arithmetic(instruction, ty);
                }
                None => self.get_local(ty),
            },
            10 => match unary(self.source, self.program, ty) {
                Some((from, instruction)) => {
                    self.value(from, depth + 1);
                    self.arithmetic(instruction, ty);
                }
                None => self.get_local(ty),
            },
            11 if ty == ValType::I32 => {
                let from = *self.source.pick(&TYPES[..4]);
                let instruction = comparison(self.source, from).expect("a comparison for every numeric type");
                self.value(from, depth + 1);
                self.value(from, depth + 1);
                self.emit(instruction);
            }
            11 if ty == ValType::V128 => {
                self.value(ValType::V128, depth + 1);
                self.value(ValType::I32, depth + 1);
                let instruction = vector(self.source);
                self.emit(instruction);
            }
            11 | 12 => {
                self.value(ty, depth + 1);
                let local = self.settable(ty);
                self.emit(Instruction::LocalTee(local));
            }
            13 => {
                self.value(ty, depth + 1);
                self.value(ty, depth + 1);
                self.value(ValType::I32, depth + 1);
                self.emit(Instruction::TypedSelect(ty));
            }
            _ => self.get_local(ty),
        }
    }

    /// Returns the local that was used last with a probability of one half, if it is one of
    /// `locals`. Otherwise returns any of `locals`.
    fn one_of(&mut self, locals: &[usize]) -> u32 {
        if !locals.contains(&self.last) || self.source.chance(2) {
            self.last = *self.source.pick(locals);
        }
        number(self.last)
    }

    fn get_local(&mut self, ty: ValType) {
        // The scratch locals for NaNs may hold NaNs that differ between engines.
        let of_type = (0..self.locals.len()).filter(|local| self.locals[*local] == ty);
        let of_type: Vec<_> = of_type.filter(|local| !(1..=2).contains(&local.wrapping_sub(self.ordinary))).collect();
        let local = self.one_of(&of_type);
        self.emit(Instruction::LocalGet(local));
    }

    /// Returns a local of this type that can be set.
    fn settable(&mut self, ty: ValType) -> u32 {
        let of_type: Vec<_> = (0..self.ordinary).filter(|local| self.locals[*local] == ty).collect();
        self.one_of(&of_type)
    }

    /// Emits an instruction with a result of this type, and replaces a NaN result.
    fn arithmetic(&mut self, instruction: Instruction<'static>, ty: ValType) {
        let chooses_nan = chooses_nan(&instruction);
        self.emit(instruction);
        if !chooses_nan {
            return;
        }
        let (scratch, nan, equal) = match ty {
            ValType::F32 => {
                (number(self.ordinary + 1), Instruction::F32Const(Ieee32::from(f32::NAN)), Instruction::F32Eq)
            }
            _ => (number(self.ordinary + 2), Instruction::F64Const(Ieee64::from(f64::NAN)), Instruction::F64Eq),
        };
        self.code.extend([
            Instruction::LocalTee(scratch),
            nan,
            Instruction::LocalGet(scratch),
            Instruction::LocalGet(scratch),
            equal,
            Instruction::Select,
        ]);
    }

    /// Pushes a value from a global, a memory, the table or the functions.
    fn fetch(&mut self, ty: ValType) {
        if ty == ValType::EXNREF || self.source.chance(2) {
            let global =
                self.program.value_types.iter().position(|other| *other == ty).expect("one global of each type");
            self.emit(Instruction::GlobalGet(number(global)));
            return;
        }
        if ty == ValType::FUNCREF {
            let functions = self.program.functions.len().min(IN_TABLE);
            if functions == IN_TABLE && self.source.chance(2) {
                let function = number(self.source.below(functions));
                self.emit(Instruction::RefFunc(function));
            } else {
                let index = *self.source.pick(&[0, 1, 2]);
                self.emit(Instruction::I32Const(index));
                self.emit(Instruction::TableGet(0));
            }
            return;
        }
        self.address();
        let memory = self.memory();
        let load = match ty {
            ValType::I32 if self.source.chance(2) => Instruction::I32Load16S(memory),
            ValType::I32 => Instruction::I32Load(memory),
            ValType::I64 if self.source.chance(2) => Instruction::I64Load8U(memory),
            ValType::I64 => Instruction::I64Load(memory),
            ValType::F32 => Instruction::F32Load(memory),
            ValType::V128 => match self.source.below(6) {
                0 => Instruction::V128Load8x8S(memory),
                1 => Instruction::V128Load16Splat(memory),
                2 => Instruction::V128Load64Zero(memory),
                _ => Instruction::V128Load(memory),
            },
            _ => Instruction::F64Load(memory),
        };
        self.emit(load);
    }

    fn memory(&mut self) -> MemArg {
        let memory = if self.source.chance(4) { MEMORIES - 1 } else { 0 };
        let target = MemArgTarget::Memory(memory);
        MemArg { offset: *self.source.pick(&OFFSETS), align: 0, target, ordering: None }
    }

    /// Pushes an address within bounds.
    fn address(&mut self) {
        let local = number(self.ordinary);
        if self.source.chance(2) {
            self.emit(Instruction::LocalGet(local));
            return;
        }
        // The value comes from a local, because a load would need an address itself.
        self.get_local(ValType::I32);
        self.emit(Instruction::I32Const(ADDRESS));
        self.emit(Instruction::I32And);
        if self.source.chance(2) {
            self.emit(Instruction::LocalTee(local));
        }
    }

    /// Pushes a condition for a branch, which is often 0.
    pub(super) fn condition(&mut self) {
        self.push(ValType::I32);
        match self.source.below(6) {
            0 => self.emit(Instruction::I32Eqz),
            1 | 2 => self.code.extend([Instruction::I32Const(1), Instruction::I32And]),
            _ => {}
        }
    }

    pub(super) fn set_local(&mut self) {
        let top = self.operands().last().copied().filter(|_| self.source.chance(4));
        let ty = top.unwrap_or_else(|| self.program.value_type(self.source));
        if top.is_some() {
            self.stack.pop();
        } else {
            self.value(ty, 1);
        }
        let local = self.settable(ty);
        self.emit(Instruction::LocalSet(local));
    }

    pub(super) fn tee_local(&mut self) {
        if let Some(ty) = self.operands().last().copied() {
            let local = self.settable(ty);
            self.emit(Instruction::LocalTee(local));
        }
    }

    /// Applies an operator to the top of the stack.
    pub(super) fn operate(&mut self) {
        let Some(top) = self.operands().last().copied() else {
            return;
        };
        if !self.operands().ends_with(&[top, top]) {
            let to = self.program.number_type(self.source);
            if let Some((from, instruction)) = unary(self.source, self.program, to)
                && from == top
            {
                self.arithmetic(instruction, to);
                self.stack.pop();
                self.stack.push(to);
            }
        } else if self.source.chance(2) {
            if let Some(instruction) = binary(self.source, top) {
                self.arithmetic(instruction, top);
                self.stack.pop();
            }
        } else if let Some(instruction) = comparison(self.source, top) {
            self.emit(instruction);
            self.stack.truncate(self.stack.len() - 2);
            self.stack.push(ValType::I32);
        }
    }

    /// Pops the top of the stack. Usually adds it to the global `USED`, so that a wrong value is
    /// detected.
    pub(super) fn drop(&mut self) {
        let Some(ty) = self.operands().last().copied() else {
            return;
        };
        self.stack.pop();
        if self.source.chance(8) {
            self.emit(Instruction::Drop);
            return;
        }
        let instructions: &[Instruction<'static>] = match ty {
            ValType::I32 => &[Instruction::I64ExtendI32U],
            ValType::I64 => &[],
            ValType::F32 => &[Instruction::I32ReinterpretF32, Instruction::I64ExtendI32S],
            ValType::F64 => &[Instruction::I64ReinterpretF64],
            ValType::V128 => {
                let scratch = number(self.ordinary + 3);
                self.code.extend([
                    Instruction::LocalTee(scratch),
                    Instruction::I64x2ExtractLane(0),
                    Instruction::LocalGet(scratch),
                ]);
                &[Instruction::I64x2ExtractLane(1), Instruction::I64Sub]
            }
            _ => &[Instruction::RefIsNull, Instruction::I64ExtendI32U],
        };
        self.code.extend_from_slice(instructions);
        self.code.extend([
            Instruction::GlobalGet(self.program.used()),
            Instruction::I64Const(5),
            Instruction::I64Rotl,
            Instruction::I64Add,
            Instruction::GlobalSet(self.program.used()),
        ]);
    }

    pub(super) fn select(&mut self) {
        if let [.., left, right] = *self.operands()
            && left == right
        {
            self.condition();
            self.stack.truncate(self.stack.len() - 2);
            self.emit(Instruction::TypedSelect(left));
        }
    }

    pub(super) fn store(&mut self) {
        self.address();
        let ty = self.program.number_type(self.source);
        if ty == ValType::I32 && self.source.chance(3) {
            self.emit(Instruction::LocalGet(number(self.ordinary)));
        } else {
            self.value(ty, 1);
        }
        let memory = self.memory();
        let store = match ty {
            ValType::I32 if self.source.chance(2) => Instruction::I32Store8(memory),
            ValType::I32 => Instruction::I32Store(memory),
            ValType::I64 if self.source.chance(2) => Instruction::I64Store32(memory),
            ValType::I64 => Instruction::I64Store(memory),
            ValType::F32 => Instruction::F32Store(memory),
            ValType::V128 if self.source.chance(3) => Instruction::V128Store8Lane { memarg: memory, lane: 9 },
            ValType::V128 => Instruction::V128Store(memory),
            _ => Instruction::F64Store(memory),
        };
        self.emit(store);
    }

    pub(super) fn set_global(&mut self) {
        let global = self.source.below(self.program.value_types.len());
        self.value(self.program.value_types[global], 1);
        self.emit(Instruction::GlobalSet(number(global)));
    }
}
