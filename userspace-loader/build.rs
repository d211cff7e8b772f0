// SPDX-License-Identifier: GPL-2.0

//! Makes the Rust of the ioctl ABI from its C header, the one source of truth.

use std::{
    env,
    error::Error,
    path::PathBuf, //
};

/// The header, from this package's folder.
const HEADER: &str = "../kmod/uapi/kwasmi.h";

/// The commands' numbers are made by macros with a cast in them, which bindgen evaluates only as constants.
const COMMANDS: [&str; 12] =
    ["INFO", "LOAD", "START", "RUN", "KILL", "LIMITS", "MODULE", "POLICY", "DENY", "DENIED", "LEAST", "LEASTS"];

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
