// SPDX-License-Identifier: GPL-2.0

//! The instruction format of eBPF, as the kernel's JIT compilers take it.
//!
//! Source: `include/uapi/linux/bpf.h`, `Documentation/bpf/standardization/instruction-set.rst`.

pub mod encode;

/// One instruction: `struct bpf_insn`. A 64-bit immediate takes two.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Insn {
    /// Operation code: class, source and operation.
    pub code: u8,
    /// Destination register in the low half, source register in the high half.
    pub regs: u8,
    /// Offset of a memory access in bytes, or of a jump in instructions from the next one.
    pub off: i16,
    /// Immediate operand, sign-extended to 64 bits.
    pub imm: i32,
}

impl Insn {
    /// An instruction of its fields.
    #[must_use]
    pub const fn new(code: u8, dst: Reg, src: Reg, off: i16, imm: i32) -> Self {
        Self { code, regs: dst.0 | src.0 << 4, off, imm }
    }

    /// Number of the destination register, 0 to 15.
    #[must_use]
    pub const fn dst(self) -> Reg {
        Reg(self.regs & 15)
    }

    /// Number of the source register, 0 to 15.
    #[must_use]
    pub const fn src(self) -> Reg {
        Reg(self.regs >> 4)
    }

    /// Instruction class: the low three bits of the operation code.
    #[must_use]
    pub const fn class(self) -> u8 {
        self.code & 7
    }
}

/// A register, R0 to R10.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reg(pub u8);

/// Result of a call.
pub const R0: Reg = Reg(0);
/// First argument of a call.
pub const R1: Reg = Reg(1);
/// Second argument of a call.
pub const R2: Reg = Reg(2);
/// Third argument of a call.
pub const R3: Reg = Reg(3);
/// Fourth argument of a call.
pub const R4: Reg = Reg(4);
/// Fifth argument of a call.
pub const R5: Reg = Reg(5);
/// Callee-saved; here always the context.
pub const R6: Reg = Reg(6);
/// Callee-saved.
pub const R7: Reg = Reg(7);
/// Callee-saved.
pub const R8: Reg = Reg(8);
/// Callee-saved.
pub const R9: Reg = Reg(9);
/// Frame pointer: the frame lies below it. Read-only.
pub const R10: Reg = Reg(10);

/// Instruction classes.
pub mod class {
    /// 64-bit immediate load.
    pub const LD: u8 = 0;
    /// Load from memory.
    pub const LDX: u8 = 1;
    /// Store of an immediate.
    pub const ST: u8 = 2;
    /// Store of a register.
    pub const STX: u8 = 3;
    /// 32-bit arithmetic; the result is zero-extended.
    pub const ALU: u8 = 4;
    /// 64-bit jumps.
    pub const JMP: u8 = 5;
    /// 32-bit jumps.
    pub const JMP32: u8 = 6;
    /// 64-bit arithmetic.
    pub const ALU64: u8 = 7;
}

/// Operations of the classes ALU and ALU64.
pub mod alu {
    /// `dst += src`.
    pub const ADD: u8 = 0x00;
    /// `dst -= src`.
    pub const SUB: u8 = 0x10;
    /// `dst *= src`.
    pub const MUL: u8 = 0x20;
    /// `dst /= src`, unsigned; signed if the offset is 1.
    pub const DIV: u8 = 0x30;
    /// `dst |= src`.
    pub const OR: u8 = 0x40;
    /// `dst &= src`.
    pub const AND: u8 = 0x50;
    /// `dst <<= src`.
    pub const LSH: u8 = 0x60;
    /// `dst >>= src`, logical.
    pub const RSH: u8 = 0x70;
    /// `dst = -dst`.
    pub const NEG: u8 = 0x80;
    /// `dst %= src`, unsigned; signed if the offset is 1.
    pub const MOD: u8 = 0x90;
    /// `dst ^= src`.
    pub const XOR: u8 = 0xa0;
    /// `dst = src`; with an offset of 8, 16 or 32 in the register form, sign-extended from as many
    /// bits.
    pub const MOV: u8 = 0xb0;
    /// `dst >>= src`, arithmetic.
    pub const ARSH: u8 = 0xc0;
}

/// Operations of the classes JMP and JMP32.
pub mod jmp {
    /// Always; in class JMP32 the distance is the immediate.
    pub const JA: u8 = 0x00;
    /// `dst == src`.
    pub const JEQ: u8 = 0x10;
    /// `dst > src`, unsigned.
    pub const JGT: u8 = 0x20;
    /// `dst >= src`, unsigned.
    pub const JGE: u8 = 0x30;
    /// `dst & src != 0`.
    pub const JSET: u8 = 0x40;
    /// `dst != src`.
    pub const JNE: u8 = 0x50;
    /// `dst > src`, signed.
    pub const JSGT: u8 = 0x60;
    /// `dst >= src`, signed.
    pub const JSGE: u8 = 0x70;
    /// Call; source register 0: of a helper, [`PSEUDO_CALL`]: of a function.
    pub const CALL: u8 = 0x80;
    /// Return.
    pub const EXIT: u8 = 0x90;
    /// `dst < src`, unsigned.
    pub const JLT: u8 = 0xa0;
    /// `dst <= src`, unsigned.
    pub const JLE: u8 = 0xb0;
    /// `dst < src`, signed.
    pub const JSLT: u8 = 0xc0;
    /// `dst <= src`, signed.
    pub const JSLE: u8 = 0xd0;
}

/// Bit of the operation code: the second operand is the source register, not the immediate.
pub const X: u8 = 0x08;

/// Widths of a memory access, in the operation code.
pub mod width {
    /// 4 bytes.
    pub const W: u8 = 0x00;
    /// 2 bytes.
    pub const H: u8 = 0x08;
    /// 1 byte.
    pub const B: u8 = 0x10;
    /// 8 bytes.
    pub const DW: u8 = 0x18;
}

/// Modes of a memory access, in the operation code.
pub mod mode {
    /// Immediate of 64 bits (class LD).
    pub const IMM: u8 = 0x00;
    /// Memory; loads are zero-extended.
    pub const MEM: u8 = 0x60;
    /// Memory; loads are sign-extended to 64 bits.
    pub const MEMSX: u8 = 0x80;
}

/// Source register of a call of a function of the module: the immediate is its index.
pub const PSEUDO_CALL: Reg = Reg(1);
