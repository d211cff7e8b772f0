// SPDX-License-Identifier: GPL-2.0

//! Target `load`: loads modules and compares the verdict with that of another validator. An
//! accepted module must be valid, and a valid module must not be refused as invalid.

use crate::{
    features,
    host::{
        FuzzHost,
        MODULE_LIMITS, //
    },
};
use arbitrary::{
    Arbitrary,
    Unstructured, //
};
use kwasmi_engine::{
    ffi::InstanceLimits,
    instance::{
        Instance,
        Outcome, //
    },
    module::{
        Module,
        Options, //
    },
    wasi::abi::Rights,
};
use wasmparser::{
    Parser,
    Payload, //
};

/// Limits of a mutated guest.
const LIMITS: InstanceLimits = InstanceLimits { memory: 4 << 20, table: 10_000, fds: 10, fuel: 20_000 };

/// Messages that refuse valid modules which kwasmi cannot run.
const NOT_A_PROGRAM: [&str; 4] =
    ["no function _start", "function _start", "missing imports", "a constant expression has"];

/// Loads `data`. If it does not start like a module, also loads a module that is generated from it,
/// with any proposals and possibly invalid function bodies.
pub fn fuzz(data: &[u8]) {
    load(data);
    if !data.starts_with(b"\0asm")
        && let Some(wasm) = generate(data)
    {
        load(&wasm);
    }
}

fn generate(data: &[u8]) -> Option<Vec<u8>> {
    let mut input = Unstructured::new(data);
    let mut config = wasm_smith::Config::arbitrary(&mut input).ok()?;
    config.allow_invalid_funcs = input.arbitrary().ok()?;
    config.max_instructions = 200;
    Some(wasm_smith::Module::new(config, &mut input).ok()?.to_bytes())
}

fn load(wasm: &[u8]) {
    let is_valid = features::is_valid(wasm, features::INTERPRETER);
    let refusal = match Module::<FuzzHost>::new(wasm, Options { limits: MODULE_LIMITS, fault_injection: false }) {
        Ok(module) => {
            assert!(is_valid, "an invalid module was loaded");
            return run(&module);
        }
        Err(refusal) => refusal,
    };
    let text = refusal.to_string();
    assert!(!text.is_empty(), "refused without a message");
    if refusal.limit().is_some() {
        return;
    }
    if NOT_A_PROGRAM.iter().any(|start| text.starts_with(start)) {
        // The type of a start function is validated last, and validation stops at a long constant
        // expression.
        assert!(is_valid || has_start(wasm) || text.starts_with("a constant"), "invalid module, but: {text}");
    } else if is_valid {
        // An export replaces the start section and may collide with another. Versions of the
        // validator differ in their limits.
        let is_known = has_start(wasm) && text.contains("duplicate export name") || text.contains("exceed");
        assert!(is_known, "valid module refused: {text}");
    }
}

fn has_start(wasm: &[u8]) -> bool {
    Parser::new(0).parse_all(wasm).map_while(Result::ok).any(|payload| matches!(payload, Payload::StartSection { .. }))
}

/// Runs a guest.
fn run(module: &Module<FuzzHost>) {
    let rights = [Rights::ALL; 4].map(|rights| (rights, rights));
    if let Ok(mut instance) = Instance::new(module, FuzzHost::context(&rights, 0, 4096), LIMITS) {
        while instance.run(|_| {}) == Outcome::Interrupted {}
    }
}
