// SPDX-License-Identifier: GPL-2.0

//! Machine code of a module's functions, as the kernel's JIT made it.

use crate::signing::hash::Sha256;
use serde::{
    Deserialize,
    Serialize, //
};
use std::collections::BTreeMap;
use wasmparser::{
    ExternalKind,
    KnownCustom,
    Name,
    Parser,
    Payload,
    TypeRef, //
};

/// Machine code of a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineCode {
    /// SHA-256 of the module without its signature.
    pub sha256: Sha256,
    /// Addresses of the kernel functions that compiled code may call, by their numbers in the eBPF
    /// instructions; 0 for a number without a function.
    pub helpers: Vec<u64>,
    /// Functions, in the order of the module.
    pub functions: Vec<Function>,
}

/// A function that the module defines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Index among the functions that the module defines.
    pub index: u32,
    /// Name in the name section, or of an export.
    pub name: Option<String>,
    /// Address in the kernel.
    pub address: u64,
    /// Number of eBPF instructions.
    pub instructions: u32,
    /// Machine code, in JSON as hexadecimal digits.
    #[serde(
        serialize_with = "serdect::slice::serialize_hex_lower_or_bin",
        deserialize_with = "serdect::slice::deserialize_hex_or_bin_vec"
    )]
    pub code: Vec<u8>,
}

impl Function {
    /// Returns the name, or the index if there is none.
    #[must_use]
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("function {}", self.index))
    }

    /// Returns true if `address` is in the machine code.
    #[must_use]
    pub fn contains(&self, address: u64) -> bool {
        address.checked_sub(self.address).is_some_and(|offset| offset < self.code.len() as u64)
    }
}

/// Functions of a module: their number and names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Number of imported functions.
    pub imported: u32,
    /// Names in the name section, by the index among all functions.
    named: BTreeMap<u32, String>,
    /// Names of exports.
    exported: BTreeMap<u32, String>,
}

impl Names {
    /// Reads the names of `wasm`, as far as it can be parsed.
    #[must_use]
    pub fn of(wasm: &[u8]) -> Self {
        let mut names = Self::default();
        for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
            match payload {
                Payload::ImportSection(imports) => {
                    let imports = imports.into_imports().map_while(Result::ok);
                    let count = imports.filter(|import| matches!(import.ty, TypeRef::Func(_))).count();
                    names.imported = u32::try_from(count).unwrap_or(u32::MAX);
                }
                Payload::ExportSection(exports) => {
                    let exports = exports.into_iter().map_while(Result::ok);
                    let functions = exports.filter(|export| export.kind == ExternalKind::Func);
                    names.exported.extend(functions.map(|export| (export.index, export.name.to_owned())));
                }
                Payload::CustomSection(section) => {
                    if let KnownCustom::Name(sections) = section.as_known() {
                        for section in sections.map_while(Result::ok) {
                            if let Name::Function(functions) = section {
                                let functions = functions.into_iter().map_while(Result::ok);
                                names.named.extend(functions.map(|name| (name.index, name.name.to_owned())));
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        names
    }

    /// Returns the name of the function with this index among those that the module defines.
    #[must_use]
    pub fn defined(&self, index: u32) -> Option<&str> {
        let index = index.checked_add(self.imported)?;
        self.named.get(&index).or_else(|| self.exported.get(&index)).map(String::as_str)
    }

    /// Returns the index among the functions that the module defines of `function`, which is an
    /// index among all functions or a name.
    #[must_use]
    pub fn find(&self, function: &str) -> Option<u32> {
        let named = |names: &BTreeMap<u32, String>| {
            names.iter().find(|(index, name)| *name == function && **index >= self.imported).map(|(index, _)| *index)
        };
        let index = named(&self.exported).or_else(|| named(&self.named)).or_else(|| function.parse().ok())?;
        index.checked_sub(self.imported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let text = r#"(module (import "a" "b" (func $imported)) (import "a" "m" (memory 1))
            (func $first) (func (export "second")) (func $third (export "_start")))"#;
        Names::of(
            &wast::parser::parse::<wast::Wat>(&wast::parser::ParseBuffer::new(text).expect("lexes"))
                .expect("parses")
                .encode()
                .expect("encodes"),
        )
    }

    #[test]
    fn functions_are_found_by_name_and_index() {
        let names = names();
        assert_eq!(names.imported, 1);
        let found = ["first", "second", "third", "_start", "1", "2", "3"].map(|function| names.find(function));
        assert_eq!(found, [Some(0), Some(1), Some(2), Some(2), Some(0), Some(1), Some(2)]);
        assert_eq!(["imported", "0", "nothing", "-1", ""].map(|function| names.find(function)), [None; 5]);
        assert_eq!(
            [0, 1, 2, 3].map(|index| names.defined(index)),
            [Some("first"), Some("second"), Some("third"), None]
        );
    }

    #[test]
    fn machine_code_survives_json() {
        let function =
            Function { index: 1, name: Some("f".to_owned()), address: u64::MAX, instructions: 2, code: vec![0, 0xff] };
        let code = MachineCode { sha256: Sha256::of(b""), helpers: vec![0, 1], functions: vec![function] };
        let text = serde_json::to_string(&code).expect("has no maps with other keys");
        assert!(text.contains(r#""code":"00ff""#), "{text}");
        assert_eq!(serde_json::from_str::<MachineCode>(&text).expect("parses"), code);
        for wrong in ["0", "0g", "é"] {
            assert!(serde_json::from_str::<MachineCode>(&text.replace("00ff", wrong)).is_err(), "{wrong}");
        }
    }
}
