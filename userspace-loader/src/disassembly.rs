// SPDX-License-Identifier: GPL-2.0

//! Text of machine code for x86-64.

use crate::machine_code::{
    Function,
    MachineCode, //
};
use iced_x86::{
    Decoder,
    DecoderOptions,
    Formatter as _,
    Instruction,
    IntelFormatter,
    Mnemonic,
    OpKind, //
};
use kwasmi_engine::vmctx::Helper;
use serde::Serialize;

/// An instruction of machine code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Offset in the function, in bytes.
    pub offset: u64,
    /// Size in bytes.
    pub size: usize,
    /// Text, in Intel's syntax.
    pub text: String,
}

/// Returns the name of the helper with this number in the eBPF instructions.
#[must_use]
pub fn helper_name(number: usize) -> Option<String> {
    let helper = Helper::from_number(i32::try_from(number).ok()?)?;
    Some(format!("{helper:?}"))
}

/// Decodes the machine code of a function, one instruction after the other.
pub fn instructions(function: &Function) -> impl Iterator<Item = Instruction> {
    let mut decoder = Decoder::with_ip(64, &function.code, function.address, DecoderOptions::NONE);
    std::iter::from_fn(move || decoder.can_decode().then(|| decoder.decode()))
}

/// Returns the address that an instruction jumps to or calls, if the instruction names it.
#[must_use]
pub fn target(instruction: &Instruction) -> Option<u64> {
    (instruction.op0_kind() == OpKind::NearBranch64).then(|| instruction.near_branch64())
}

/// Returns the name of what is at `address` outside of `function`.
fn name(code: &MachineCode, address: u64) -> Option<String> {
    if let Some(function) = code.functions.iter().find(|function| function.address == address) {
        return Some(function.label());
    }
    helper_name(code.helpers.iter().position(|helper| *helper == address)?)
}

/// Returns the text of a function. Calls have the names of functions and helpers; a jump within the
/// function has the offset that it goes to.
#[must_use]
pub fn lines(code: &MachineCode, function: &Function) -> Vec<Line> {
    let mut formatter = IntelFormatter::new();
    let options = formatter.options_mut();
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    options.set_space_after_operand_separator(true);
    let line = |instruction: Instruction| {
        let mut text = String::new();
        match target(&instruction) {
            Some(target) => {
                formatter.format_mnemonic(&instruction, &mut text);
                text.push(' ');
                let is_call = instruction.mnemonic() == Mnemonic::Call;
                text += &if function.contains(target) && !is_call {
                    format!("{:#x}", target.wrapping_sub(function.address))
                } else {
                    name(code, target).unwrap_or_else(|| format!("{target:#x}"))
                };
            }
            None => formatter.format(&instruction, &mut text),
        }
        Line { offset: instruction.ip().wrapping_sub(function.address), size: instruction.len(), text }
    };
    instructions(function).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::hash::Sha256;

    #[test]
    fn calls_have_names_and_jumps_have_offsets() {
        let function = |index, name: Option<&str>, address, code: &[u8]| Function {
            index,
            name: name.map(str::to_owned),
            address,
            instructions: 1,
            code: code.to_vec(),
        };
        // mov rdi, rax; call the next function; call a helper; jmp to the start; ret
        let code = b"\x48\x89\xc7\xe8\xf8\x00\x00\x00\xe8\xf3\x0f\x00\x00\xeb\xf1\xc3";
        let first = function(0, None, 0xffff_ffff_c000_0000, code);
        let second = function(1, Some("second"), 0xffff_ffff_c000_0100, b"\xc3");
        let mut helpers = vec![0; 6];
        helpers[1] = 0xffff_ffff_c000_1000;
        let code = MachineCode { sha256: Sha256::default(), helpers, functions: vec![first, second] };
        let lines = lines(&code, &code.functions[0]);
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["mov rdi, rax", "call second", "call Checkpoint", "jmp 0x0", "ret"]);
        assert_eq!(lines.iter().map(|line| line.offset).collect::<Vec<_>>(), [0, 3, 8, 13, 15]);
    }
}
