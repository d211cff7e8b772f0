// SPDX-License-Identifier: GPL-2.0

//! Text of eBPF instructions, as in `kernel/bpf/disasm.c`, except that jumps name the instruction
//! that they go to, and calls the helper or the function.

use crate::{
    disassembly,
    machine_code::{
        self,
        MachineCode, //
    },
};
use kwasmi_engine::{
    compiler::{
        self,
        CompilerOptions,
        Origin, //
    },
    ebpf::{
        Insn,
        PSEUDO_CALL,
        X,
        alu,
        class,
        jmp,
        mode, //
    },
};
use serde::Serialize;
use std::collections::BTreeMap;

/// An eBPF instruction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EbpfLine {
    /// Index in the function.
    pub index: usize,
    /// Text.
    pub text: String,
}

/// eBPF instructions that come from one operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Block {
    /// Offset of the operator in the module; none for the entry of the function and for code out of
    /// the way.
    pub offset: Option<usize>,
    /// Text of the operator.
    pub wasm: Option<String>,
    /// Instructions.
    pub ebpf: Vec<EbpfLine>,
}

/// Functions of a module, each with the origins of its instructions.
type Functions = Vec<(Vec<Insn>, Vec<Origin>)>;

/// The functions of a module, as the compiler of this command compiles them.
#[derive(Clone, Debug, Default)]
pub struct Bytecode {
    /// With masks and without: the kernel module's parameter `speculation_masks` decides which of
    /// them the kernel compiles.
    functions: Vec<Functions>,
    /// Text of operators by their offsets.
    operators: BTreeMap<usize, String>,
}

impl Bytecode {
    /// Compiles `wasm`. Returns `None` if the compiler refuses it.
    #[must_use]
    pub fn of(wasm: &[u8]) -> Option<Self> {
        let functions = [true, false].map(|has_masks| {
            let (compiled, origins) = compiler::compile_traced(wasm, CompilerOptions::new(has_masks)).ok()?;
            Some(compiled.functions.into_iter().map(|function| function.code).zip(origins).collect())
        });
        let functions = functions.into_iter().collect::<Option<_>>()?;
        let mut storage = String::new();
        let lines = wasmprinter::Config::new().offsets_and_lines(wasm, &mut storage).ok()?;
        // The printer closes a function with a bracket.
        let text = |text: &str| if text.trim() == ")" { "end".to_owned() } else { text.trim().to_owned() };
        let operators = lines.filter_map(|(offset, line)| Some((usize::try_from(offset?).ok()?, text(line))));
        let operators = operators.collect();
        Some(Self { functions, operators })
    }

    /// Returns the instructions of function `index` of those that the module defines, if there are
    /// `instructions`, as many as the kernel has compiled. `name` returns the name of such a
    /// function.
    pub fn blocks(&self, index: u32, instructions: u32, name: impl Fn(u32) -> String) -> Option<Vec<Block>> {
        let mut candidates = self.functions.iter().filter_map(|functions| functions.get(index as usize));
        let (code, origins) = candidates.find(|(code, _)| code.len() == instructions as usize)?;
        let ends = origins.iter().skip(1).map(|origin| origin.first as usize).chain([code.len()]);
        let blocks = origins.iter().zip(ends).map(|(origin, end)| {
            let wasm = origin.offset.and_then(|offset| self.operators.get(&offset).cloned());
            let lines = (origin.first as usize..end)
                .filter_map(|at| Some(EbpfLine { index: at, text: text(code, at, &name)? }));
            Block { offset: origin.offset, wasm, ebpf: lines.collect() }
        });
        Some(blocks.collect())
    }
}

/// Returns true if the kernel has compiled `wasm` to `code` with masks, by the numbers of
/// instructions.
#[must_use]
pub fn has_masks(wasm: &[u8], code: &MachineCode) -> bool {
    compiler::compile(wasm, CompilerOptions::new(true)).is_ok_and(|compiled| {
        let count = |function: &machine_code::Function| function.instructions as usize;
        compiled.functions.iter().map(|function| function.code.len()).eq(code.functions.iter().map(count))
    })
}

/// Returns the text of instruction `at`; none for the second half of a constant.
fn text(code: &[Insn], at: usize, name: impl Fn(u32) -> String) -> Option<String> {
    let insn = *code.get(at)?;
    let (dst, src, off) = (insn.dst().0, insn.src().0, insn.off);
    let has_register = insn.code & X != 0;
    let operation = insn.code & 0xf0;
    let size = ["u32", "u16", "u8", "u64"].get(usize::from(insn.code >> 3 & 3))?;
    let is_signed = insn.code & 0xe0 == mode::MEMSX;
    let size = if is_signed { size.replace('u', "s") } else { (*size).to_owned() };
    // As the jump goes from the next instruction.
    let target = |distance: i32| i64::try_from(at).ok()?.checked_add(1)?.checked_add(distance.into());
    Some(match insn.class() {
        class::ALU | class::ALU64 => {
            let letter = if insn.class() == class::ALU { 'w' } else { 'r' };
            let operand = if has_register { format!("{letter}{src}") } else { insn.imm.to_string() };
            let sign = if matches!(operation, alu::DIV | alu::MOD) && off == 1 { "s" } else { "" };
            match operation {
                alu::NEG => format!("{letter}{dst} = -{letter}{dst}"),
                alu::MOV if off != 0 => format!("{letter}{dst} = (s{off}){operand}"),
                alu::MOV => format!("{letter}{dst} = {operand}"),
                _ => {
                    let symbol = match operation {
                        alu::ADD => "+",
                        alu::SUB => "-",
                        alu::MUL => "*",
                        alu::DIV => "/",
                        alu::OR => "|",
                        alu::AND => "&",
                        alu::LSH => "<<",
                        alu::RSH => ">>",
                        alu::MOD => "%",
                        alu::XOR => "^",
                        alu::ARSH => "s>>",
                        _ => return Some(unknown(insn)),
                    };
                    format!("{letter}{dst} {sign}{symbol}= {operand}")
                }
            }
        }
        class::LDX => format!("r{dst} = *({size} *)(r{src} {off:+})"),
        class::STX => format!("*({size} *)(r{dst} {off:+}) = r{src}"),
        class::ST => format!("*({size} *)(r{dst} {off:+}) = {}", insn.imm),
        class::LD if insn.code == 0 => return None,
        class::LD => {
            let high = code.get(at.checked_add(1)?)?.imm.cast_unsigned();
            format!("r{dst} = {:#x} ll", u64::from(high) << 32 | u64::from(insn.imm.cast_unsigned()))
        }
        class::JMP | class::JMP32 => match operation {
            jmp::JA if insn.class() == class::JMP32 => format!("goto {}", target(insn.imm)?),
            jmp::JA => format!("goto {}", target(off.into())?),
            jmp::EXIT => "exit".to_owned(),
            jmp::CALL if insn.src() == PSEUDO_CALL => format!("call {}", name(insn.imm.cast_unsigned())),
            jmp::CALL => {
                let helper = usize::try_from(insn.imm).ok().and_then(disassembly::helper_name);
                format!("call {}", helper.unwrap_or_else(|| insn.imm.to_string()))
            }
            _ => {
                let symbol = match operation {
                    jmp::JEQ => "==",
                    jmp::JGT => ">",
                    jmp::JGE => ">=",
                    jmp::JSET => "&",
                    jmp::JNE => "!=",
                    jmp::JSGT => "s>",
                    jmp::JSGE => "s>=",
                    jmp::JLT => "<",
                    jmp::JLE => "<=",
                    jmp::JSLT => "s<",
                    jmp::JSLE => "s<=",
                    _ => return Some(unknown(insn)),
                };
                let letter = if insn.class() == class::JMP32 { 'w' } else { 'r' };
                let operand = if has_register { format!("{letter}{src}") } else { insn.imm.to_string() };
                format!("if {letter}{dst} {symbol} {operand} goto {}", target(off.into())?)
            }
        },
        _ => return Some(unknown(insn)),
    })
}

/// Returns the text of an instruction that the compiler does not emit.
fn unknown(insn: Insn) -> String {
    format!("({:02x})", insn.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_listed_by_operator() {
        let text = "(module (func (param i32) (result i32) (i32.div_s (local.get 0) (i32.const 3))) (func (drop (call 0 (i32.const 1)))))";
        let buffer = wast::parser::ParseBuffer::new(text).expect("lexes");
        let mut module = wast::parser::parse::<wast::Wat<'_>>(&buffer).expect("parses");
        let bytecode = Bytecode::of(&module.encode().expect("encodes")).expect("compiles");
        let count = u32::try_from(bytecode.functions[0][0].0.len()).expect("is small");
        assert_eq!(bytecode.blocks(0, count + 1, |_| String::new()), None);
        assert_eq!(bytecode.blocks(2, count, |_| String::new()), None);
        let blocks = bytecode.blocks(0, count, |_| String::new()).expect("as many");
        let operators: Vec<&str> = blocks.iter().filter_map(|block| block.wasm.as_deref()).collect();
        assert_eq!(operators, ["local.get 0", "i32.const 3", "i32.div_s", "end"]);
        let lines: Vec<&str> = blocks.iter().flat_map(|block| &block.ebpf).map(|line| line.text.as_str()).collect();
        assert_eq!(lines[..2], ["r0 = *(u64 *)(r6 +32)", "if r10 < r0 goto 5"], "{lines:?}");
        assert!(lines.contains(&"exit") && lines.contains(&"call Trap"), "{lines:?}");
        let count = u32::try_from(bytecode.functions[0][1].0.len()).expect("is small");
        let blocks = bytecode.blocks(1, count, |index| format!("function {index}")).expect("as many");
        assert!(blocks.iter().flat_map(|block| &block.ebpf).any(|line| line.text == "call function 0"));
    }

    #[test]
    fn a_constant_of_64_bits_is_one_line() {
        let code = [
            Insn::new(class::LD | 0x18, kwasmi_engine::ebpf::Reg(3), kwasmi_engine::ebpf::Reg(0), 0, -1),
            Insn::new(0, kwasmi_engine::ebpf::Reg(0), kwasmi_engine::ebpf::Reg(0), 0, 1),
        ];
        assert_eq!(text(&code, 0, |_| String::new()), Some("r3 = 0x1ffffffff ll".to_owned()));
        assert_eq!(text(&code, 1, |_| String::new()), None);
    }
}
