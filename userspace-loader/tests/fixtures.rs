// SPDX-License-Identifier: GPL-2.0

//! The fixtures in `guests/fixtures`: each is valid text, and an inspection refuses only those that
//! are listed here.

use kwasmi::{
    inspect::Inspection,
    source, //
};
use std::{
    collections::BTreeMap,
    fs,
    path::Path, //
};

/// Names of the refused fixtures, and the reasons.
const REFUSED: [(&str, &[&str]); 3] = [
    ("import-type", &["import wasi_snapshot_preview1.fd_close has the type func(i64) -> i32, not func(i32) -> i32"]),
    (
        "missing-imports",
        &["import env.first_missing is not provided", "import wasi_snapshot_preview1.second_missing is not provided"],
    ),
    ("panic", &["import kwasmi_test.panic is not provided"]),
];

#[test]
fn only_the_listed_fixtures_are_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/fixtures");
    let mut expected: BTreeMap<&str, &[&str]> = REFUSED.into_iter().collect();
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a file").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        let wasm = source::assemble(&fs::read(&path).expect("can be read")).expect(name);
        let refused = Inspection::new(&wasm).refused;
        assert_eq!(refused, expected.remove(name).unwrap_or_default(), "{name}");
        count += 1;
    }
    assert!(expected.is_empty(), "not there: {expected:?}");
    assert!(count > REFUSED.len());
}
