// SPDX-License-Identifier: GPL-2.0

//! Manifests as written by an author in TOML. Missing keys are completed from the module.

use super::{
    manifest::{
        Imports,
        Manifest,
        Word,
        check_name,
        too_low, //
    },
    requirements::Requirements,
    version::Version,
};
use crate::{
    limits::{
        Limit,
        RequestedLimits, //
    },
    uapi::KWASMI_ABI,
};
use serde::Deserialize;
use std::{
    collections::{
        BTreeMap,
        BTreeSet, //
    },
    num::NonZeroU64,
};

/// Keys of a manifest that the author wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TomlManifest {
    /// Name of the module.
    pub name: Option<String>,
    /// Version of the module.
    pub version: Option<String>,
    /// Minimum version of the ioctl interface.
    pub abi: Option<u64>,
    /// Capabilities of the module.
    pub capabilities: Option<Vec<String>>,
    /// Limits by name: the maximum that a load or a run may request.
    #[serde(default)]
    pub limits: BTreeMap<String, Amount>,
    /// Names of the functions that the module may import, by import module.
    pub imports: Option<BTreeMap<String, Vec<String>>>,
}

/// Value of a limit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected a whole number, or a string such as \"64M\" or \"2s\"")]
pub enum Amount {
    /// A number without a unit: bytes, seconds or items.
    Number(u64),
    /// A number with a unit, or a number in quotes.
    Text(String),
}

impl TomlManifest {
    /// Parses TOML.
    ///
    /// # Errors
    ///
    /// A message with line and column.
    pub fn read(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| {
            let place = error.span().and_then(|span| text.get(..span.start)).map(|before| {
                let line = before.matches('\n').count().saturating_add(1);
                let column = before.chars().rev().take_while(|char| *char != '\n').count().saturating_add(1);
                format!("line {line}, column {column}: ")
            });
            format!("{}{}", place.unwrap_or_default(), error.message())
        })
    }

    /// Completes the manifest from what the module needs.
    ///
    /// # Errors
    ///
    /// A message if the name is missing, a value is invalid, or the manifest does not cover the
    /// needs of the module.
    pub fn complete(self, requirements: &Requirements) -> Result<Manifest, String> {
        let name = self.name.ok_or("the name is missing")?;
        check_name(&name)?;
        let version = match self.version {
            Some(text) => text.parse().map_err(|reason| format!("version '{}': {reason}", text.escape_debug()))?,
            None => Version::default(),
        };
        let capabilities = match self.capabilities {
            Some(names) => once(names.iter().map(|name| name.parse()), "capabilities")?,
            None => requirements.capabilities(),
        };
        let manifest = Manifest {
            name,
            version,
            abi: self.abi.unwrap_or(KWASMI_ABI.into()),
            capabilities,
            limits: limits(&self.limits)?,
            imports: match self.imports {
                Some(imports) => listed(&imports)?,
                None => requirements.imports.clone(),
            },
        };
        let missing = requirements.missing_from(&manifest);
        if missing.is_empty() { Ok(manifest) } else { Err(missing.join("; ")) }
    }
}

/// Collects `all` into a set, and rejects duplicates. `what` names the set in the error.
fn once<T: Ord>(all: impl Iterator<Item = Result<T, String>>, what: &str) -> Result<BTreeSet<T>, String> {
    let mut set = BTreeSet::new();
    for one in all {
        if !set.insert(one?) {
            return Err(format!("{what}: duplicate entry"));
        }
    }
    Ok(set)
}

fn listed(imports: &BTreeMap<String, Vec<String>>) -> Result<Imports, String> {
    let mut listed = Imports::new();
    for (module, names) in imports {
        let what = format!("imports of {}", module.escape_debug());
        let names = once(names.iter().map(|name| Ok(Word::from(name.as_str()))), &what)?;
        listed.insert(Word::from(module.as_str()), names);
    }
    Ok(listed)
}

fn limits(amounts: &BTreeMap<String, Amount>) -> Result<RequestedLimits, String> {
    let mut limits = BTreeMap::new();
    for (name, amount) in amounts {
        let limit = Limit::of_call(name).ok_or_else(|| format!("unknown limit '{}'", name.escape_debug()))?;
        let value: Result<NonZeroU64, String> = match amount {
            Amount::Number(number) => limit.parse(&number.to_string()),
            Amount::Text(text) => limit.parse(text),
        };
        let value = value.map_err(|reason| format!("limit {name}: {reason}"))?;
        if value.get() < limit.minimum() {
            return Err(too_low(limit));
        }
        limits.insert(Word::from(name.as_str()), (limit, value));
    }
    Ok(limits.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        signing::capability::Capability,
        source, //
    };

    const PREVIEW1: &str = "wasi_snapshot_preview1";

    const EXAMPLE: &str = r#"
        name = "hello"
        version = "1.2.3"
        abi = 5
        capabilities = ["clocks", "random"]

        [limits]
        memory = "64M"
        fuel = 1000000

        [imports]
        wasi_snapshot_preview1 = ["clock_time_get", "fd_write", "proc_exit", "random_get"]
    "#;

    fn requirements(name: &str) -> Requirements {
        let text = format!(r#"(module (import "{PREVIEW1}" "{name}" (func)))"#);
        Requirements::of(&source::assemble(text.as_bytes()).expect("valid text")).expect("can be read")
    }

    fn complete(text: &str) -> Result<Manifest, String> {
        TomlManifest::read(text)?.complete(&requirements("random_get"))
    }

    #[test]
    fn the_example_matches_the_document() {
        assert_eq!(complete(EXAMPLE), Ok(Manifest::example()));
        let document = include_str!("../../../docs/signing.md");
        let lines = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>().join("\n");
        assert!(lines(document).contains(lines(EXAMPLE).trim()), "not the document's");
    }

    #[test]
    fn all_but_the_name_has_a_default() {
        let manifest = complete(r#"name = "x""#).expect("complete");
        assert_eq!((manifest.version, manifest.abi), (Version([0, 0, 0]), u64::from(KWASMI_ABI)));
        assert_eq!(manifest.capabilities, [Capability::Random].into());
        assert_eq!(manifest.imports, requirements("random_get").imports);
        assert!(manifest.limits.is_empty());
        assert_eq!(complete(""), Err("the name is missing".to_owned()));
    }

    #[test]
    fn limits_accept_the_units_of_the_command_line() {
        let text = "name = \"x\"\n[limits]\ntime = \"1500ms\"\ncpu-time = 2\nmodule-size = \"1M\"\nfunctions = \"7\"";
        let limits: Vec<_> = complete(text)
            .expect("complete")
            .limits
            .iter()
            .map(|(limit, value)| format!("{limit} {}", limit.show(value.get())))
            .collect();
        assert_eq!(limits, ["time 1500ms", "cpu-time 2s", "functions 7", "module-size 1M"]);
    }

    #[test]
    fn errors_are_reported() {
        let cases = [
            ("name = \"x\"\ncolour = 1", "line 2, column 1: unknown field `colour`"),
            ("name = \"x\"\nname = \"y\"", "line 2, column 1: duplicate key"),
            ("name = 1", "line 1, column 8: invalid type: integer `1`, expected a string"),
            ("name", "line 1, column 5: "),
            ("name = \"x\"\nabi = -1", "line 2, column 7: invalid value: integer `-1`, expected u64"),
            ("name = \"X\"", "invalid name 'X'"),
            ("name = \"x\"\nversion = \"1.2\"", "version '1.2': expected three numbers"),
            ("name = \"x\"\ncapabilities = [\"random\", \"random\"]", "capabilities: duplicate entry"),
            ("name = \"x\"\ncapabilities = [\"all\"]", "unknown capability 'all'"),
            ("name = \"x\"\ncapabilities = []", "the manifest lacks the capability random, which"),
            ("name = \"x\"\n[imports]", "the manifest does not list the import wasi_snapshot_preview1.random_get"),
            ("name = \"x\"\n[imports]\na = [\"b\", \"b\"]", "imports of a: duplicate entry"),
            ("name = \"x\"\n[limits]\nspeed = 1", "unknown limit 'speed'"),
            ("name = \"x\"\n[limits]\ntotal-heap = 1", "unknown limit 'total-heap'"),
            ("name = \"x\"\n[limits]\nfuel = 0", "limit fuel: expected a whole number from 1 to"),
            ("name = \"x\"\n[limits]\nstack = \"2K\"", "limit stack: below the minimum of 4K"),
            ("name = \"x\"\n[limits]\nmemory = \"64X\"", "limit memory: expected a size such as 64M"),
            ("name = \"x\"\n[limits]\nmemory = 1.5", "line 3, column 10: expected a whole number, or a string"),
        ];
        for (text, reason) in cases {
            let is = complete(text).expect_err(text);
            assert!(is.starts_with(reason), "{text}: {is}");
        }
    }
}
