// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! Runs a guest as a user would without kwasmi: in a process, on one of two runtimes.
//!
//!     kwasmi-rivals wasmi|wasmtime [--fd N]... [--dir HOST]... FILE.wasm [ARG]...
//!
//! Descriptors become those from 3 on, directories those after them. Both runtimes have the same WASI, wasi-common's, and
//! the settings that they come with.

use std::{
    fs::File,
    net::TcpListener,
    os::{
        fd::{
            BorrowedFd,
            OwnedFd,
            RawFd, //
        },
        unix::fs::FileTypeExt as _, //
    },
    path::PathBuf,
    process::ExitCode, //
};

use anyhow::{
    Context as _,
    Result, //
};
use cap_std::{
    ambient_authority,
    fs::Dir, //
};
use clap::{
    Parser,
    ValueEnum, //
};
use wasi_common::{
    I32Exit, WasiCtx, WasiFile,
    file::FileAccessMode,
    sync::{
        self,
        WasiCtxBuilder,
        net::Socket, //
    },
};

/// What runs the guest.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Runtime {
    /// An interpreter: the one that kwasmi has, as it comes.
    Wasmi,
    /// A compiler.
    Wasmtime,
}

/// Runs a guest in userspace.
#[derive(Debug, Parser)]
struct Options {
    /// What runs it.
    runtime: Runtime,
    /// Hands this descriptor to the guest.
    #[arg(long, value_name = "N")]
    fd: Vec<RawFd>,
    /// Hands this directory to the guest.
    #[arg(long, value_name = "HOST")]
    dir: Vec<PathBuf>,
    /// The program, and its arguments.
    #[arg(value_name = "FILE", required = true, trailing_var_arg = true)]
    program: Vec<String>,
}

/// A descriptor, as wasi-common has it: it tells listening sockets from everything else.
fn file(fd: OwnedFd) -> Result<Box<dyn WasiFile>> {
    let file = File::from(fd);
    if file.metadata()?.file_type().is_socket() {
        let listener = TcpListener::from(OwnedFd::from(file));
        return Ok(Socket::from(cap_std::net::TcpListener::from_std(listener)).into());
    }
    Ok(Box::new(sync::file::File::from_cap_std(cap_std::fs::File::from_std(file))))
}

/// The world around the guest.
fn world(options: &Options) -> Result<WasiCtx> {
    let world = WasiCtxBuilder::new().inherit_stdio().args(&options.program)?.build();
    for fd in &options.fd {
        // SAFETY: Whoever started this says that it is open; nothing here closes it.
        let borrowed = unsafe { BorrowedFd::borrow_raw(*fd) };
        let owned = borrowed.try_clone_to_owned().with_context(|| format!("descriptor {fd}"))?;
        world.push_file(file(owned)?, FileAccessMode::READ | FileAccessMode::WRITE)?;
    }
    for dir in &options.dir {
        let opened = Dir::open_ambient_dir(dir, ambient_authority()).with_context(|| dir.display().to_string())?;
        world.push_preopened_dir(Box::new(sync::dir::Dir::from_cap_std(opened)), dir)?;
    }
    Ok(world)
}

fn on_wasmi(wasm: &[u8], world: WasiCtx) -> Result<()> {
    let engine = wasmi::Engine::default();
    let module = wasmi::Module::new(&engine, wasm)?;
    let mut linker = wasmi::Linker::new(&engine);
    wasmi_wasi::add_to_linker(&mut linker, |world: &mut WasiCtx| world)?;
    let mut store = wasmi::Store::new(&engine, world);
    let instance = linker.instantiate_and_start(&mut store, &module)?;
    Ok(instance.get_typed_func::<(), ()>(&store, "_start")?.call(&mut store, ())?)
}

fn on_wasmtime(wasm: &[u8], world: WasiCtx) -> Result<()> {
    let engine = wasmtime::Engine::default();
    let module = wasmtime::Module::new(&engine, wasm)?;
    let mut linker = wasmtime::Linker::new(&engine);
    sync::add_to_linker(&mut linker, |world: &mut WasiCtx| world)?;
    let mut store = wasmtime::Store::new(&engine, world);
    let instance = linker.instantiate(&mut store, &module)?;
    instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ())
}

/// The status that the guest ended with, if that is what `error` says.
fn status(error: &anyhow::Error) -> Option<i32> {
    let by_wasmi = || error.downcast_ref::<wasmi::Error>().and_then(wasmi::Error::i32_exit_status);
    error.downcast_ref::<I32Exit>().map(|exit| exit.0).or_else(by_wasmi)
}

fn run() -> Result<()> {
    let options = Options::parse();
    let file = options.program.first().context("no program")?;
    let wasm = std::fs::read(file).with_context(|| file.clone())?;
    let world = world(&options)?;
    match options.runtime {
        Runtime::Wasmi => on_wasmi(&wasm, world),
        Runtime::Wasmtime => on_wasmtime(&wasm, world),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match status(&error).map(u8::try_from) {
            Some(Ok(status)) => ExitCode::from(status),
            _ => {
                eprintln!("kwasmi-rivals: {error:#}");
                ExitCode::from(125)
            }
        },
    }
}
