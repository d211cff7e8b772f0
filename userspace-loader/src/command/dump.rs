// SPDX-License-Identifier: GPL-2.0

//! `kwasmi dump`.

use super::{
    json,
    module_size_max,
    open_device,
    print, //
};
use crate::{
    cli::DumpArgs,
    device::{
        Engine,
        Refusal, //
    },
    disassembly::{
        self,
        Line, //
    },
    exit::Exit,
    failure::{
        Failure,
        line, //
    },
    kernel_device::KernelModule,
    limits::RequestedLimits,
    machine_code::{
        Function,
        MachineCode,
        Names, //
    },
    run,
    signing::hash::Sha256,
    source::{
        self,
        Source, //
    }, //
};
use rustix::io::Errno;
use serde::Serialize;
use std::fmt::Write as _;

/// A function in the output of `dump --json`.
#[derive(Serialize)]
struct Listing<'a> {
    #[serde(flatten)]
    function: &'a Function,
    machine_code: Vec<Line>,
}

/// Output of `dump --json`.
#[derive(Serialize)]
struct Listings<'a> {
    sha256: Sha256,
    functions: Vec<Listing<'a>>,
}

/// Executes `kwasmi dump`.
pub(super) fn dump(args: &DumpArgs) -> Result<Exit, Failure> {
    let name = source::name(&args.file);
    let source = Source::open(&args.file)?;
    source.check()?;
    let device = open_device()?;
    run::info(&device)?;
    let wasm = source.into_wasm(module_size_max(&device)?)?;
    let names = Names::of(&wasm);
    let wanted = match &args.function {
        Some(function) => {
            let unknown = || Failure::new(Exit::Failed, &name, format!("the module defines no function '{function}'"));
            Some(names.find(function).ok_or_else(unknown)?)
        }
        None => None,
    };
    let loaded = run::load(&device, &name, &wasm, &RequestedLimits::default(), Engine::Compiler)?;
    let code = read(&loaded.module, loaded.identity.sha256, &names).map_err(|refusal| {
        let reason = match refusal.errno {
            Errno::PERM => {
                "machine code is shown with CAP_SYS_ADMIN and CAP_SYSLOG, and only if the kernel is not locked \
                down for confidentiality"
                    .to_owned()
            }
            _ => refusal.to_string(),
        };
        Failure::new(Exit::Failed, &name, reason)
    })?;
    let functions: Vec<&Function> =
        code.functions.iter().filter(|function| wanted.is_none_or(|wanted| wanted == function.index)).collect();
    if functions.is_empty() {
        let function = args.function.as_deref().unwrap_or_default();
        return Err(Failure::new(Exit::Failed, &name, format!("the module defines no function '{function}'")));
    }
    match (args.json, args.raw) {
        (true, true) => {
            let functions = functions.into_iter().cloned().collect();
            print(&json(&MachineCode { functions, ..code.clone() })?)?;
        }
        (true, false) => {
            let listing = |function| Listing { function, machine_code: disassembly::lines(&code, function) };
            let functions = functions.into_iter().map(listing).collect();
            print(&json(&Listings { sha256: code.sha256, functions })?)?;
        }
        (false, is_raw) => functions.into_iter().try_for_each(|function| print(&text(&code, function, is_raw)))?,
    }
    Ok(Exit::Guest(0))
}

/// Reads the machine code of all functions.
fn read(module: &KernelModule, sha256: Sha256, names: &Names) -> Result<MachineCode, Refusal> {
    let mut code = MachineCode { sha256, helpers: Vec::new(), functions: Vec::new() };
    for index in 0.. {
        let Some((function, helpers)) = module.machine_code(index)? else {
            break;
        };
        code.helpers = helpers;
        code.functions.push(Function { name: names.defined(index).map(str::to_owned), ..function });
    }
    Ok(code)
}

/// Returns the text of a function.
fn text(code: &MachineCode, function: &Function, is_raw: bool) -> String {
    let mut text = format!(
        "{}: {} bytes at {:#x}, {} eBPF instructions\n",
        line(&function.label()),
        function.code.len(),
        function.address,
        function.instructions
    );
    if is_raw {
        for (row, bytes) in function.code.chunks(16).enumerate() {
            let _ = write!(text, "{:6x}:", row * 16);
            for byte in bytes {
                let _ = write!(text, " {byte:02x}");
            }
            text.push('\n');
        }
    } else {
        for line in disassembly::lines(code, function) {
            let _ = writeln!(text, "{:6x}:  {}", line.offset, line.text);
        }
    }
    text.push('\n');
    text
}
