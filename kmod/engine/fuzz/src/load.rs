// SPDX-License-Identifier: GPL-2.0

//! Loads modules as the kernel does: what is accepted is valid, what is valid is not called invalid, and nothing panics.

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

/// What a mutated guest may take.
const LIMITS: InstanceLimits = InstanceLimits { memory: 4 << 20, table: 10_000, fds: 10, fuel: 20_000 };

/// With what a valid module is refused that is no program.
const NOT_A_PROGRAM: [&str; 4] =
    ["no function _start", "function _start", "missing imports", "a constant expression has"];

/// Loads `data`; if it is not even the beginning of a module, also a module that is made from it: of any proposals, and with
/// bodies that may be not valid.
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
    let is_valid = features::is_valid(wasm, features::ENGINE);
    let refusal = match Module::<FuzzHost>::new(wasm, Options { limits: MODULE_LIMITS, fault_injection: false }) {
        Ok(module) => {
            assert!(is_valid, "it is loaded, but not valid");
            return run(&module);
        }
        Err(refusal) => refusal,
    };
    let text = refusal.to_string();
    assert!(!text.is_empty(), "refused without a word");
    if refusal.limit().is_some() {
        return;
    }
    if NOT_A_PROGRAM.iter().any(|start| text.starts_with(start)) {
        // The type of a start function is the last thing that is looked at; a long expression is not looked at further.
        assert!(is_valid || has_start(wasm) || text.starts_with("a constant"), "not valid, but: {text}");
    } else if is_valid {
        // An export of its own takes the place of a start section. Each version of the validator has its own limits.
        let is_known = has_start(wasm) && text.contains("duplicate export name") || text.contains("exceed");
        assert!(is_known, "valid, but: {text}");
    }
}

fn has_start(wasm: &[u8]) -> bool {
    Parser::new(0).parse_all(wasm).map_while(Result::ok).any(|payload| matches!(payload, Payload::StartSection { .. }))
}

/// Runs what is left of a guest.
fn run(module: &Module<FuzzHost>) {
    let rights = [Rights::ALL; 4].map(|rights| (rights, rights));
    if let Ok(mut instance) = Instance::new(module, FuzzHost::context(&rights, 0, 4096), LIMITS) {
        while instance.run(|_| {}) == Outcome::Interrupted {}
    }
}
