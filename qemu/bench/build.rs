// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! Compiles the eBPF programs.

use std::{
    env,
    error::Error,
    path::PathBuf,
    process::Command, //
};

const SOURCE: &str = "bpf/work.c";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={SOURCE}");
    let object = PathBuf::from(env::var("OUT_DIR")?).join("work.o");
    // Callbacks need type information (BTF), which -g generates. The include path has the
    // architecture's part of the kernel's headers.
    let status = Command::new("clang")
        .args(["--target=bpfel", "-mcpu=v3", "-O2", "-g", "-Wall", "-Werror", "-I/usr/include/x86_64-linux-gnu"])
        .args(["-c", SOURCE, "-o"])
        .arg(object)
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("clang: {status}").into()) }
}
