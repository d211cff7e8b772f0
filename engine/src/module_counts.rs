// SPDX-License-Identifier: GPL-2.0

//! Counts the contents of a module before it is translated. Translation takes memory, time and
//! stack in proportion to these counts.

use crate::{
    ffi::{
        Limit,
        ModuleLimits, //
    },
    refusal::Refusal,
    sections::{
        Section,
        id,
        polled,
        sections, //
    },
};
use wasmparser::{
    BinaryReader,
    ConstExpr,
    DataKind,
    DataSectionReader,
    ElementItems,
    ElementKind,
    ElementSectionReader,
    GlobalSectionReader,
    TableInit,
    TableSectionReader,
    TypeSectionReader, //
};

/// Upper bound of the instructions in a constant expression, because wasmi evaluates and frees it
/// by recursion.
const CONST_INSTRUCTIONS_MAX: usize = 64;

/// Largest number of locals that wasmparser accepts, its `MAX_WASM_FUNCTION_LOCALS`.
const LOCALS_VALID_MAX: u64 = 50_000;

/// Counts that a module declares, unless the value is impossible. Validation checks them later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ModuleCounts {
    functions: u64,
    function_size: u64,
    locals: u64,
    arity: u64,
    globals: u64,
    data_segments: u64,
    element_segments: u64,
    const_instructions: usize,
}

impl ModuleCounts {
    /// Counts the contents of `wasm`, as far as they can be parsed.
    pub(crate) fn count(wasm: &[u8]) -> Self {
        let mut counts = Self::default();
        for section in sections(wasm) {
            let count = count(section.contents);
            match section.id {
                id::FUNCTION => counts.functions = counts.functions.max(count),
                id::GLOBAL => counts.globals = counts.globals.max(count),
                id::ELEMENT => counts.element_segments = counts.element_segments.max(count),
                id::DATA => counts.data_segments = counts.data_segments.max(count),
                _ => {}
            }
            // An unreadable section is left to validation, which reports it.
            let _ = counts.count_section(&section);
        }
        counts
    }

    fn count_section(&mut self, section: &Section<'_>) -> wasmparser::Result<()> {
        let reader = BinaryReader::new(section.contents, 0);
        match section.id {
            id::TYPE => {
                for ty in polled(TypeSectionReader::new(reader)?.into_iter_err_on_gc_types()) {
                    let ty = ty?;
                    self.arity = self.arity.max(ty.params().len().max(ty.results().len()) as u64);
                }
                Ok(())
            }
            id::CODE => self.functions_in(reader),
            id::TABLE => {
                for table in polled(TableSectionReader::new(reader)?) {
                    if let TableInit::Expr(expression) = table?.init {
                        self.expression(&expression);
                    }
                }
                Ok(())
            }
            id::GLOBAL => {
                for global in polled(GlobalSectionReader::new(reader)?) {
                    self.expression(&global?.init_expr);
                }
                Ok(())
            }
            id::ELEMENT => {
                for element in polled(ElementSectionReader::new(reader)?) {
                    let element = element?;
                    if let ElementKind::Active { offset_expr, .. } = &element.kind {
                        self.expression(offset_expr);
                    }
                    if let ElementItems::Expressions(_, expressions) = element.items {
                        for expression in polled(expressions) {
                            self.expression(&expression?);
                        }
                    }
                }
                Ok(())
            }
            id::DATA => {
                for data in polled(DataSectionReader::new(reader)?) {
                    if let DataKind::Active { offset_expr, .. } = data?.kind {
                        self.expression(&offset_expr);
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn functions_in(&mut self, mut reader: BinaryReader<'_>) -> wasmparser::Result<()> {
        let functions = reader.read_var_u32()?;
        for _ in polled(0..functions) {
            let size = reader.read_var_u32()?;
            let body = reader.read_bytes(usize::try_from(size).unwrap_or(usize::MAX))?;
            self.function_size = self.function_size.max(u64::from(size));
            self.locals = self.locals.max(locals(body).unwrap_or(0));
        }
        Ok(())
    }

    fn expression(&mut self, expression: &ConstExpr<'_>) {
        let instructions = expression.get_operators_reader().into_iter().take_while(Result::is_ok);
        // Counting stops above the limit.
        let instructions = instructions.take(CONST_INSTRUCTIONS_MAX.saturating_add(2)).count();
        // The last instruction is `end`, which does not count.
        self.const_instructions = self.const_instructions.max(instructions.saturating_sub(1));
    }

    /// Checks the counts against `limits`.
    ///
    /// # Errors
    ///
    /// [`Refusal`] that names the first limit that is exceeded, or a constant expression that is
    /// too long.
    pub(crate) fn check(&self, limits: &ModuleLimits) -> Result<(), Refusal> {
        if self.const_instructions > CONST_INSTRUCTIONS_MAX {
            let text = alloc::format!("a constant expression has more than {CONST_INSTRUCTIONS_MAX} instructions");
            return Err(Refusal::from(text));
        }
        let all = [
            (Limit::Functions, self.functions, limits.functions),
            (Limit::FunctionSize, self.function_size, limits.function_size),
            (Limit::Locals, self.locals, limits.locals),
            (Limit::Arity, self.arity, limits.arity),
            (Limit::Globals, self.globals, limits.globals),
            (Limit::DataSegments, self.data_segments, limits.data_segments),
            (Limit::ElementSegments, self.element_segments, limits.element_segments),
        ];
        match all.into_iter().find(|(_, count, max)| count > max) {
            Some((limit, count, _)) => Err(Refusal::limited(limit, alloc::format!("the module has {count}"))),
            None => Ok(()),
        }
    }
}

/// Returns the length that a vector declares, or 0 if it exceeds the number of its bytes.
fn count(contents: &[u8]) -> u64 {
    let count = BinaryReader::new(contents, 0).read_var_u32().map_or(0, u64::from);
    if count > contents.len() as u64 { 0 } else { count }
}

/// Returns the number of locals that the body of a function declares.
fn locals(body: &[u8]) -> wasmparser::Result<u64> {
    let mut reader = BinaryReader::new(body, 0);
    let groups = reader.read_var_u32()?;
    let mut locals: u64 = 0;
    for _ in 0..groups {
        locals = locals.saturating_add(u64::from(reader.read_var_u32()?));
        reader.read::<wasmparser::ValType>()?;
    }
    // Validation refuses functions with more locals.
    Ok(if locals > LOCALS_VALID_MAX { 0 } else { locals })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    const MODULE: &str = r#"(module
        (func) (func (drop (i32.const 1))) (func (param i32 i32) (local i32 i32) (local i64))
        (global i32 (i32.const 0)) (global i64 (i64.add (i64.const 1) (i64.const 2)))
        (table 1 funcref) (elem func 0) (memory 1)
        (data (i32.const 0) "a") (data "b") (data "c") (data "d"))"#;

    #[test]
    fn the_contents_of_a_module_are_counted() {
        let wasm = wat::parse_str(MODULE).expect("valid text");
        let expected = ModuleCounts {
            functions: 3,
            function_size: 6,
            locals: 3,
            arity: 2,
            globals: 2,
            data_segments: 4,
            element_segments: 1,
            const_instructions: 3,
        };
        assert_eq!(ModuleCounts::count(&wasm), expected);
        for len in 0..wasm.len() {
            let _ = ModuleCounts::count(&wasm[..len]);
        }
    }

    #[test]
    fn the_exceeded_limit_is_named() {
        let counts = ModuleCounts::count(&wat::parse_str(MODULE).expect("valid text"));
        let limits = ModuleLimits {
            functions: 3,
            function_size: 6,
            locals: 3,
            arity: 2,
            globals: 2,
            data_segments: 4,
            element_segments: 1,
            stack: 4096,
        };
        assert!(counts.check(&limits).is_ok());
        for (limits, limit) in [
            (ModuleLimits { functions: 2, ..limits }, Limit::Functions),
            (ModuleLimits { function_size: 5, ..limits }, Limit::FunctionSize),
            (ModuleLimits { locals: 2, ..limits }, Limit::Locals),
            (ModuleLimits { arity: 1, ..limits }, Limit::Arity),
            (ModuleLimits { globals: 1, ..limits }, Limit::Globals),
            (ModuleLimits { data_segments: 3, ..limits }, Limit::DataSegments),
            (ModuleLimits { element_segments: 0, ..limits }, Limit::ElementSegments),
        ] {
            assert_eq!(counts.check(&limits).expect_err("too much").limit(), Some(limit));
        }
    }

    /// wasmi evaluates constant expressions by recursion, on the engine stack.
    #[test]
    fn long_constant_expressions_are_refused_in_every_section() {
        let sum = |len: usize| {
            let mut text = "i32.const 0".to_string();
            (0..len / 2).for_each(|_| text += " i32.const 1 i32.add");
            text
        };
        for len in [CONST_INSTRUCTIONS_MAX - 2, CONST_INSTRUCTIONS_MAX + 2, 100_000] {
            let sum = sum(len);
            for text in [
                alloc::format!("(module (global i32 {sum}))"),
                alloc::format!("(module (memory 1) (data (offset {sum}) \"\"))"),
                alloc::format!("(module (table 1 funcref) (elem (offset {sum}) func))"),
            ] {
                let wasm = wat::parse_str(&text).expect("valid text");
                let counts = ModuleCounts::count(&wasm);
                let limits = ModuleLimits {
                    functions: 1,
                    function_size: 1,
                    locals: 1,
                    arity: 1,
                    globals: 1,
                    data_segments: 1,
                    element_segments: 1,
                    stack: 4096,
                };
                assert_eq!(counts.check(&limits).is_ok(), len < CONST_INSTRUCTIONS_MAX, "{len}");
            }
        }
    }
}
