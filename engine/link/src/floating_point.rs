// SPDX-License-Identifier: GPL-2.0

//! The check that code uses no floating-point or vector state. This state belongs to the task's
//! userspace program, and the kernel does not save it while the engine runs.

use std::collections::BTreeMap;

use iced_x86::{
    CpuidFeature,
    Decoder,
    DecoderOptions,
    Formatter as _,
    Instruction,
    InstructionInfoFactory,
    IntelFormatter,
    Mnemonic,
    Register, //
};
use object::{
    build::elf::{
        Builder,
        Section,
        SectionData, //
    },
    elf, //
};
use rustc_demangle::demangle;

use crate::refusal::{
    Place,
    Refusal, //
};

/// Start of the names of the assembler's own labels.
const LABEL: &[u8] = b".L";

/// Checks all instructions of `object`.
///
/// # Errors
///
/// - [`Refusal::FloatingPoint`] if an instruction uses floating-point or vector state.
/// - [`Refusal::NotCode`] if bytes in a section of code are not an instruction.
pub(crate) fn check(object: &Builder<'_>) -> Result<(), Refusal> {
    for section in object.sections.iter().filter(|section| section.sh_flags & u64::from(elf::SHF_EXECINSTR) != 0) {
        if let SectionData::Data(code) = &section.data {
            check_section(code, &functions(object, section))?;
        }
    }
    Ok(())
}

/// Returns the demangled names of the functions of `section` by offset. Offset 0 has the section's
/// name, unless a function starts there.
fn functions(object: &Builder<'_>, section: &Section<'_>) -> BTreeMap<usize, String> {
    let mut functions = BTreeMap::from([(0, section.name.to_string())]);
    for symbol in object.symbols.iter().filter(|symbol| symbol.section == Some(section.id())) {
        let is_code = matches!(symbol.st_type(), elf::STT_FUNC | elf::STT_NOTYPE);
        if is_code && !symbol.name.is_empty() && !symbol.name.starts_with(LABEL) {
            let Ok(offset) = usize::try_from(symbol.st_value) else {
                continue;
            };
            // The alternate form omits the hashes of crates.
            functions.insert(offset, format!("{:#}", demangle(&symbol.name.to_string())));
        }
    }
    functions
}

/// Checks the instructions of a section. Decoding starts anew at each of `functions`.
fn check_section(code: &[u8], functions: &BTreeMap<usize, String>) -> Result<(), Refusal> {
    let mut information = InstructionInfoFactory::new();
    let mut functions = functions.range(..code.len()).peekable();
    while let Some((&start, function)) = functions.next() {
        let end = functions.peek().map_or(code.len(), |(next, _)| **next);
        let start_address = start as u64;
        for instruction in &mut Decoder::with_ip(64, &code[start..end], start_address, DecoderOptions::NONE) {
            let address = instruction.ip();
            let place = || Place { function: function.clone(), offset: address - start_address, address };
            if instruction.is_invalid() {
                return Err(Refusal::NotCode { place: place() });
            }
            if let Some(state) = state_of(&instruction, &mut information) {
                return Err(Refusal::FloatingPoint { place: place(), instruction: text(&instruction), state });
            }
        }
    }
    Ok(())
}

/// Returns the floating-point or vector state that an instruction uses: the name of a register, or
/// a description.
fn state_of(instruction: &Instruction, information: &mut InstructionInfoFactory) -> Option<String> {
    let operands = (0..instruction.op_count()).map(|operand| instruction.op_register(operand));
    let others = information.info(instruction).used_registers().iter().map(|used| used.register());
    if let Some(register) = operands.chain(others).find(|register| is_floating_point(*register)) {
        return Some(format!("the register {register:?}").to_lowercase());
    }
    if instruction.is_save_restore_instruction() {
        return Some("all registers of a unit".to_owned());
    }
    if matches!(instruction.mnemonic(), Mnemonic::Ldmxcsr | Mnemonic::Stmxcsr | Mnemonic::Vldmxcsr | Mnemonic::Vstmxcsr)
    {
        return Some("the register mxcsr".to_owned());
    }
    // `wait` belongs to no x87 feature in `iced_x86`: the 8086 has the instruction, too.
    let is_x87 = instruction.mnemonic() == Mnemonic::Wait || instruction.cpuid_features().iter().any(is_x87);
    is_x87.then(|| "the x87 unit".to_owned())
}

fn is_floating_point(register: Register) -> bool {
    register.is_vector_register() || register.is_mm() || register.is_st() || register.is_k() || register.is_tmm()
}

/// Returns whether the instructions of `feature` use x87 or MMX state. Some of them have no
/// operands.
fn is_x87(feature: &CpuidFeature) -> bool {
    matches!(
        feature,
        CpuidFeature::FPU
            | CpuidFeature::FPU287
            | CpuidFeature::FPU287XL_ONLY
            | CpuidFeature::FPU387
            | CpuidFeature::FPU387SL_ONLY
            | CpuidFeature::MMX
            | CpuidFeature::D3NOW
    )
}

fn text(instruction: &Instruction) -> String {
    let mut text = String::new();
    IntelFormatter::new().format(instruction, &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_object::TestObject;

    /// Checks an object with a function `second` that has `code`, after a function of 16 bytes.
    fn check_code(code: &[u8]) -> Result<(), String> {
        let mut test = TestObject::new();
        test.function("first", &[0x90; 16]);
        test.function("second", code);
        let bytes = test.write();
        check(&Builder::read(bytes.as_slice()).unwrap()).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn code_with_general_registers_is_accepted() {
        let accepted: [&[u8]; _] = [
            &[0xf3, 0x0f, 0x1e, 0xfa, 0xc3],                // endbr64; ret
            &[0x48, 0x01, 0xd8],                            // add rax, rbx
            &[0xe8, 0, 0, 0, 0],                            // call
            &[0xf0, 0x48, 0x0f, 0xb1, 0x0f],                // lock cmpxchg [rdi], rcx
            &[0xf3, 0x48, 0xa5],                            // rep movsq
            &[0xf3, 0x90],                                  // pause
            &[0x0f, 0xae, 0xf0],                            // mfence
            &[0x0f, 0x18, 0x07],                            // prefetchnta [rdi]
            &[0x0f, 0x0b],                                  // ud2
            &[0xc4, 0xe2, 0xf3, 0xf6, 0xc2],                // mulx rax, rcx, rdx
            &[0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0], // a nop of 10 bytes
        ];
        for code in accepted {
            check_code(code).unwrap();
        }
    }

    #[test]
    fn code_that_uses_floating_point_or_vector_state_is_refused() {
        let x87 = "the x87 unit";
        let refused: [(&[u8], &str, &str); _] = [
            (&[0xf2, 0x0f, 0x58, 0xc1], "addsd xmm0,xmm1", "the register xmm0"),
            (&[0x66, 0x48, 0x0f, 0x6e, 0xd8], "movq xmm3,rax", "the register xmm3"),
            (&[0xc5, 0xfc, 0x58, 0xc1], "vaddps ymm0,ymm0,ymm1", "the register ymm0"),
            (&[0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc1], "vaddps zmm0,zmm0,zmm1", "the register zmm0"),
            (&[0xc5, 0xf8, 0x77], "vzeroupper", "the register xmm0"),
            (&[0xc5, 0xf8, 0x92, 0xc8], "kmovw k1,eax", "the register k1"),
            (&[0x0f, 0xfe, 0xc1], "paddd mm0,mm1", "the register mm0"),
            (&[0xd8, 0xc1], "fadd st,st(1)", "the register st0"),
            (&[0xd9, 0xe8], "fld1", x87),
            (&[0xdb, 0xe3], "fninit", x87),
            (&[0xd9, 0x3f], "fnstcw [rdi]", x87),
            (&[0x9b], "fwait", x87),
            (&[0x0f, 0x77], "emms", x87),
            (&[0x0f, 0xae, 0x17], "ldmxcsr [rdi]", "the register mxcsr"),
            (&[0x0f, 0xae, 0x07], "fxsave [rdi]", "all registers of a unit"),
            (&[0x0f, 0xae, 0x27], "xsave [rdi]", "all registers of a unit"),
        ];
        for (code, instruction, state) in refused {
            let mut body = vec![0x90, 0x90];
            body.extend_from_slice(code);
            let expected =
                format!("second+0x2 (address 0x12): `{instruction}` uses {state}, which the kernel does not save");
            assert_eq!(check_code(&body), Err(expected));
        }
    }

    #[test]
    fn bytes_that_are_not_an_instruction_are_refused() {
        let rubbish: [&[u8]; _] = [&[0x90, 0x06], &[0x90, 0x0f], &[0x90, 0xe8, 0, 0]];
        for code in rubbish {
            let expected = "second+0x1 (address 0x11): the bytes are not an instruction";
            assert_eq!(check_code(code), Err(expected.to_owned()));
        }
    }

    #[test]
    fn a_section_without_functions_is_checked_too() {
        let mut test = TestObject::new();
        test.code(".init.text", &[0x90, 0xd9, 0xe8]);
        let bytes = test.write();
        let refusal = check(&Builder::read(bytes.as_slice()).unwrap()).unwrap_err();
        let expected = ".init.text+0x1 (address 0x1): `fld1` uses the x87 unit, which the kernel does not save";
        assert_eq!(refusal.to_string(), expected);
    }

    #[test]
    fn a_symbol_after_the_end_of_the_section_hides_nothing() {
        let functions = BTreeMap::from([(0, "first".to_owned()), (1, "second".to_owned()), (9, "third".to_owned())]);
        let refusal = check_section(&[0xc3, 0xd9, 0xe8], &functions).unwrap_err();
        assert!(refusal.to_string().starts_with("second+0x0 (address 0x1): `fld1`"), "{refusal}");
    }

    #[test]
    fn the_refusal_has_the_path_of_a_mangled_function() {
        let mut test = TestObject::new();
        test.function("_RNvC7mycrate3bar", &[0xd9, 0xe8]);
        let bytes = test.write();
        let refusal = check(&Builder::read(bytes.as_slice()).unwrap()).unwrap_err();
        assert!(refusal.to_string().starts_with("mycrate::bar+0x0 (address 0x0): `fld1`"), "{refusal}");
    }

    #[test]
    fn data_is_not_checked() {
        let mut test = TestObject::new();
        test.data("data", &[0x0f, 0x58, 0xc1, 0x06]);
        let bytes = test.write();
        check(&Builder::read(bytes.as_slice()).unwrap()).unwrap();
    }
}
