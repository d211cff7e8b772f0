// SPDX-License-Identifier: GPL-2.0

//! Requirements of a module: the functions that it imports, and the capabilities that these
//! require.

use super::{
    capability::Capability,
    envelope,
    manifest::{
        Imports,
        Manifest,
        Word, //
    }, //
};
use std::collections::BTreeSet;
use wasmparser::{
    BinaryReader,
    ImportSectionReader,
    TypeRef, //
};

/// Id of the import section.
const IMPORTS: u8 = 2;

/// Requirements of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// Imported functions, by import module.
    pub imports: Imports,
}

impl Requirements {
    /// Reads the imports of `module`; no other section is read.
    ///
    /// # Errors
    ///
    /// A message if the import section is not valid.
    pub fn of(module: &[u8]) -> Result<Self, String> {
        let mut requirements = Self::default();
        let Some((contents, offset)) = envelope::section(module, IMPORTS) else {
            return Ok(requirements);
        };
        let words = |error: wasmparser::BinaryReaderError| {
            format!("not valid Wasm: {} at offset {}", error.message(), error.offset())
        };
        let reader = ImportSectionReader::new(BinaryReader::new(contents, offset as u64)).map_err(words)?;
        for import in reader.into_imports() {
            let import = import.map_err(words)?;
            if matches!(import.ty, TypeRef::Func(_) | TypeRef::FuncExact(_)) {
                let names = requirements.imports.entry(Word::from(import.module)).or_default();
                names.insert(Word::from(import.name));
            }
        }
        Ok(requirements)
    }

    /// Returns the imported functions, as module and name.
    pub fn functions(&self) -> impl Iterator<Item = (&Word, &Word)> {
        self.imports.iter().flat_map(|(module, names)| names.iter().map(move |name| (module, name)))
    }

    /// Returns a smallest set of capabilities that covers the imports.
    #[must_use]
    pub fn capabilities(&self) -> BTreeSet<Capability> {
        let needed: Vec<_> =
            self.functions().map(|(module, name)| Capability::any_for(module.as_str(), name.as_str())).collect();
        // First the imports that a single capability covers.
        let mut capabilities: BTreeSet<_> =
            needed.iter().filter_map(|any| if let [one] = any { Some(*one) } else { None }).collect();
        for any in needed {
            if !any.iter().any(|capability| capabilities.contains(capability)) {
                capabilities.extend(any.first());
            }
        }
        capabilities
    }

    /// Returns a message for each import or capability that `manifest` lacks; none if it covers the
    /// module.
    #[must_use]
    pub fn missing_from(&self, manifest: &Manifest) -> Vec<String> {
        let mut missing = Vec::new();
        for (module, name) in self.functions() {
            if !manifest.imports.get(module).is_some_and(|names| names.contains(name)) {
                missing.push(format!("the manifest does not list the import {module}.{name}"));
            }
            let any = Capability::any_for(module.as_str(), name.as_str());
            if let Some(first) = any.first()
                && !any.iter().any(|capability| manifest.capabilities.contains(capability))
            {
                missing.push(format!("the manifest lacks the capability {first}, which {module}.{name} needs"));
            }
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source;

    const PREVIEW1: &str = "wasi_snapshot_preview1";

    fn requirements(imports: &[(&str, &str)]) -> Requirements {
        let imports = imports.iter().map(|(module, name)| format!(r#"(import "{module}" "{name}" (func))"#));
        let text = format!(r#"(module {} (import "env" "memory" (memory 1)))"#, imports.collect::<String>());
        Requirements::of(&source::assemble(text.as_bytes()).expect("valid text")).expect("can be read")
    }

    fn capabilities(names: &[&str]) -> Vec<&'static str> {
        let imports: Vec<_> = names.iter().map(|name| (PREVIEW1, *name)).collect();
        requirements(&imports).capabilities().into_iter().map(Capability::name).collect()
    }

    #[test]
    fn each_imported_function_is_listed_once() {
        let requirements = requirements(&[("env", "b"), ("env", "a"), ("x", "b"), ("env", "a")]);
        let functions: Vec<_> = requirements.functions().map(|(module, name)| format!("{module}.{name}")).collect();
        assert_eq!(functions, ["x.b", "env.a", "env.b"]);
        assert!(Requirements::of(b"\0asm\x01\0\0\0").expect("no imports").imports.is_empty());
        assert!(Requirements::of(b"\0asm\x01\0\0\0\x02\x01\x05").is_err());
    }

    #[test]
    fn the_fewest_capabilities() {
        assert_eq!(capabilities(&["fd_write", "proc_exit", "environ_get"]), [""; 0]);
        assert_eq!(capabilities(&["path_open", "fd_readdir", "random_get"]), ["files", "random"]);
        assert_eq!(capabilities(&["poll_oneoff"]), ["clocks"]);
        assert_eq!(capabilities(&["poll_oneoff", "sock_recv"]), ["sockets"]);
        assert_eq!(capabilities(&["poll_oneoff", "sock_recv", "clock_time_get"]), ["clocks", "sockets"]);
    }

    #[test]
    fn a_manifest_must_cover_the_module() {
        let requirements = requirements(&[(PREVIEW1, "poll_oneoff"), (PREVIEW1, "fd_write"), ("env", "f")]);
        let mut manifest = Manifest::example();
        manifest.imports = Imports::from([(Word::from(PREVIEW1), [Word::from("poll_oneoff")].into())]);
        manifest.capabilities = [Capability::Files].into();
        assert_eq!(
            requirements.missing_from(&manifest),
            [
                "the manifest does not list the import env.f",
                "the manifest does not list the import wasi_snapshot_preview1.fd_write",
                "the manifest lacks the capability clocks, which wasi_snapshot_preview1.poll_oneoff needs",
            ]
        );
        manifest.imports.clone_from(&requirements.imports);
        for capability in [Capability::Clocks, Capability::Sockets] {
            manifest.capabilities = [capability].into();
            assert_eq!(requirements.missing_from(&manifest), [""; 0]);
        }
    }
}
