// SPDX-License-Identifier: GPL-2.0

//! `kwasmi dump`.

use super::{
    json,
    module_size_max,
    open_device,
    print, //
};
use crate::{
    bytecode::{
        Block,
        Bytecode, //
    },
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
use std::fmt::{
    self,
    Write as _, //
};

/// A function in the output of `dump --json`.
#[derive(Serialize)]
struct Listing<'a> {
    #[serde(flatten)]
    function: &'a Function,
    /// Wasm and eBPF; none if the command compiles the module otherwise than the kernel did.
    blocks: Option<Vec<Block>>,
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
    if args.raw && args.json {
        let functions = functions.into_iter().cloned().collect();
        print(&json(&MachineCode { functions, ..code.clone() })?)?;
    } else if args.raw {
        functions.into_iter().try_for_each(|function| print(&raw_text(function)))?;
    } else {
        let bytecode = Bytecode::of(&wasm);
        let listings = functions.into_iter().map(|function| Listing::new(&code, function, bytecode.as_ref()));
        if args.json {
            print(&json(&Listings { sha256: code.sha256, functions: listings.collect() })?)?;
        } else {
            for listing in listings {
                print(&listing.to_string())?;
            }
        }
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

/// Returns the first line of the text of a function.
fn heading(function: &Function) -> String {
    let Function { address, instructions, ref code, .. } = *function;
    format!("{}: {} bytes at {address:#x}, {instructions} eBPF instructions\n", line(&function.label()), code.len())
}

/// Returns the bytes of a function as text.
fn raw_text(function: &Function) -> String {
    let mut text = heading(function);
    for (row, bytes) in function.code.chunks(16).enumerate() {
        let _ = write!(text, "{:6x}:", row * 16);
        for byte in bytes {
            let _ = write!(text, " {byte:02x}");
        }
        text.push('\n');
    }
    text + "\n"
}

impl<'a> Listing<'a> {
    fn new(code: &MachineCode, function: &'a Function, bytecode: Option<&Bytecode>) -> Self {
        let name = |index: u32| {
            let function = code.functions.get(index as usize);
            function.map_or_else(|| format!("function {index}"), Function::label)
        };
        let blocks = bytecode.and_then(|bytecode| bytecode.blocks(function.index, function.instructions, name));
        Self { function, blocks, machine_code: disassembly::lines(code, function) }
    }
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&heading(self.function))?;
        match &self.blocks {
            Some(blocks) => {
                f.write_str("  Wasm and eBPF:\n")?;
                for block in blocks.iter().filter(|block| block.wasm.is_some() || !block.ebpf.is_empty()) {
                    match (block.offset, &block.wasm) {
                        (Some(offset), Some(wasm)) => writeln!(f, "    {} ; at {offset:#x}", line(wasm))?,
                        _ => writeln!(f, "    ; entry, or code out of the way")?,
                    }
                    for line in &block.ebpf {
                        writeln!(f, "      {:6}:  {}", line.index, crate::failure::line(&line.text))?;
                    }
                }
            }
            None => f.write_str("  (no eBPF: this command and kwasmi.ko have different compilers)\n")?,
        }
        f.write_str("  Machine code:\n")?;
        for line in &self.machine_code {
            writeln!(f, "      {:6x}:  {}", line.offset, crate::failure::line(&line.text))?;
        }
        f.write_str("\n")
    }
}
