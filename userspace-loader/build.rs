// SPDX-License-Identifier: GPL-2.0

//! Generates the Rust types of the ioctl interface from its C header.

use std::{
    env,
    error::Error,
    path::PathBuf, //
};

/// Path of the header, relative to this package.
const HEADER: &str = "../kmod/uapi/kwasmi.h";

/// Commands of the interface. Their macros contain a cast, which bindgen evaluates only in
/// constants.
const COMMANDS: [&str; 29] = [
    "INFO",
    "LOAD",
    "START",
    "RUN",
    "KILL",
    "LIST_LIMITS",
    "MODULE",
    "POLICY",
    "DENY",
    "LIST_DENIED",
    "SET_MIN_VERSION",
    "LIST_MIN_VERSIONS",
    "DUMP",
    "RESULTS",
    "PUBLISH",
    "FIND",
    "LIST_SERVICES",
    "SERVICE",
    "WAIT",
    "RESULT",
    "LOG",
    "REMOVE",
    "COUNTERS",
    "FUNCTION",
    "CALL",
    "POOL",
    "FINISH",
    "RING",
    "RING_RUN",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={HEADER}");
    let mut input = format!("#include \"{HEADER}\"\n");
    for command in COMMANDS {
        input += &format!("const __u32 IOC_{command} = KWASMI_IOC_{command};\n");
    }
    let out = PathBuf::from(env::var("OUT_DIR")?).join("uapi.rs");
    bindgen::Builder::default()
        .header_contents("uapi.h", &input)
        .clang_arg("-I.")
        .clang_arg("-fparse-all-comments")
        .allowlist_item("(kwasmi_|KWASMI_|IOC_).*")
        .derive_default(true)
        .layout_tests(true)
        .generate_cstr(true)
        .formatter(bindgen::Formatter::None)
        .generate()?
        .write_to_file(out)?;
    Ok(())
}
