// SPDX-License-Identifier: GPL-2.0

//! Links the engine object that `KWASMI_ENGINE_OBJECT` names.

use std::env;

fn main() {
    println!("cargo::rerun-if-env-changed=KWASMI_ENGINE_OBJECT");
    if let Ok(object) = env::var("KWASMI_ENGINE_OBJECT") {
        println!("cargo::rerun-if-changed={object}");
        // Kernel code is linked for addresses that fit into 32 bits with a sign: not for just any.
        println!("cargo::rustc-link-arg-bins={object}");
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
