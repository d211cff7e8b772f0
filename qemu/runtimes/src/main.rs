// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! Runs a guest in a process on wasmi or wasmtime, for comparison with kwasmi.
//!
//!     kwasmi-runtimes wasmi|wasmtime [--fd N]... [--dir HOST[::GUEST]]... [--env NAME=VALUE]...
//!         [--compiled FILE [--only-compile]] [--time FILE] FILE.wasm [ARG]...
//!
//! In the guest, the descriptors get the numbers from 3 on, in the order of the options, followed
//! by the directories. The first argument of the guest is the file name of FILE.wasm. Both runtimes
//! use the WASI of wasi-common and their default settings; wasmtime has exceptions, too.

use anyhow::{
    Context as _,
    Result, //
};
use clap::{
    Parser,
    ValueEnum, //
};
use std::{
    os::fd::RawFd,
    path::{
        Path,
        PathBuf, //
    },
    process::ExitCode,
    time::Instant, //
};
use wasi_common::I32Exit;

/// Runtime of the guest.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Runtime {
    /// wasmi, unmodified: the interpreter that kwasmi is based on.
    Wasmi,
    /// wasmtime, a compiler.
    Wasmtime,
}

/// Runs a guest in userspace.
#[derive(Debug, Parser)]
struct Options {
    /// Runtime of the guest.
    runtime: Runtime,
    /// Passes this descriptor to the guest.
    #[arg(long, value_name = "N")]
    fd: Vec<RawFd>,
    /// Preopens the directory HOST for the guest, as GUEST (default: HOST).
    #[arg(long, value_name = "HOST[::GUEST]")]
    dir: Vec<String>,
    /// Sets an environment variable of the guest.
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Takes the machine code of wasmtime from this file. If it does not exist, it is created.
    #[arg(long, value_name = "FILE")]
    compiled: Option<PathBuf>,
    /// Creates the file of --compiled, and runs nothing.
    #[arg(long, requires = "compiled")]
    only_compile: bool,
    /// Writes the time that the guest ran, without its translation, to this file, in nanoseconds.
    #[arg(long, value_name = "FILE")]
    time: Option<PathBuf>,
    /// Program and its arguments.
    #[arg(value_name = "FILE", required = true, trailing_var_arg = true)]
    program: Vec<String>,
}

/// Defines the WASI context of a guest by one version of wasi-common: wasmi_wasi and wasmtime use
/// different ones.
macro_rules! define_wasi {
    ($module:ident, $wasi:ident) => {
        mod $module {
            use anyhow::{
                Context as _,
                Result, //
            };
            use cap_std::{
                ambient_authority,
                fs::Dir, //
            };
            use std::{
                ffi::OsStr,
                fs::File,
                net::TcpListener,
                os::{
                    fd::{
                        BorrowedFd,
                        OwnedFd, //
                    },
                    unix::fs::FileTypeExt as _, //
                },
                path::Path, //
            };
            use $wasi::{
                WasiCtx, WasiFile,
                file::FileAccessMode,
                sync::{
                    self,
                    WasiCtxBuilder,
                    net::Socket, //
                },
            };

            /// Converts a descriptor to a file of wasi-common. A socket must be a listening one.
            fn file(fd: OwnedFd) -> Result<Box<dyn WasiFile>> {
                let file = File::from(fd);
                if file.metadata()?.file_type().is_socket() {
                    let listener = TcpListener::from(OwnedFd::from(file));
                    return Ok(Socket::from(cap_std::net::TcpListener::from_std(listener)).into());
                }
                Ok(Box::new(sync::file::File::from_cap_std(cap_std::fs::File::from_std(file))))
            }

            /// Creates the WASI context of the guest.
            pub(crate) fn world(options: &super::Options) -> Result<WasiCtx> {
                let mut program = options.program.clone();
                if let Some(file) = program.first_mut()
                    && let Some(name) = Path::new(file).file_name().and_then(OsStr::to_str)
                {
                    *file = name.to_owned();
                }
                let mut builder = WasiCtxBuilder::new();
                builder.inherit_stdio().args(&program)?;
                for variable in &options.env {
                    let (name, value) = variable.split_once('=').with_context(|| format!("--env {variable}: no ="))?;
                    builder.env(name, value)?;
                }
                let world = builder.build();
                for fd in &options.fd {
                    // SAFETY: `borrow_raw` requires that the descriptor stays open. The starting
                    // process passed it by `--fd`, and this program closes only its duplicates.
                    let borrowed = unsafe { BorrowedFd::borrow_raw(*fd) };
                    let owned = borrowed.try_clone_to_owned().with_context(|| format!("descriptor {fd}"))?;
                    world.push_file(file(owned)?, FileAccessMode::READ | FileAccessMode::WRITE)?;
                }
                for dir in &options.dir {
                    let (host, guest) = dir.split_once("::").unwrap_or((dir, dir));
                    let opened = Dir::open_ambient_dir(host, ambient_authority()).with_context(|| host.to_owned())?;
                    world.push_preopened_dir(Box::new(sync::dir::Dir::from_cap_std(opened)), guest)?;
                }
                Ok(world)
            }
        }
    };
}

define_wasi!(wasi, wasi_common);
define_wasi!(wasi_36, wasi_common_36);

/// Calls `run` and writes its time to `file`, in nanoseconds.
fn timed(file: Option<&Path>, run: impl FnOnce() -> Result<()>) -> Result<()> {
    let began = Instant::now();
    let result = run();
    let elapsed = began.elapsed();
    if let Some(file) = file {
        std::fs::write(file, elapsed.as_nanos().to_string())?;
    }
    result
}

fn on_wasmi(wasm: &[u8], options: &Options) -> Result<()> {
    let world = wasi_36::world(options)?;
    let engine = wasmi::Engine::default();
    let module = wasmi::Module::new(&engine, wasm)?;
    let mut linker = wasmi::Linker::new(&engine);
    wasmi_wasi::add_to_linker(&mut linker, |world: &mut wasi_common_36::WasiCtx| world)?;
    let mut store = wasmi::Store::new(&engine, world);
    let instance = linker.instantiate_and_start(&mut store, &module)?;
    let start = instance.get_typed_func::<(), ()>(&store, "_start")?;
    timed(options.time.as_deref(), || Ok(start.call(&mut store, ())?))
}

/// Reads the machine code of `wasm` from `file`, or compiles it and writes it there.
fn compiled(engine: &wasmtime::Engine, wasm: &[u8], file: Option<&Path>) -> Result<wasmtime::Module> {
    let Some(file) = file else {
        return Ok(wasmtime::Module::new(engine, wasm)?);
    };
    if !file.exists() {
        // Under another name first, so that an interrupted run leaves no part of a file.
        let part = file.with_extension(std::process::id().to_string());
        std::fs::write(&part, engine.precompile_module(wasm)?).with_context(|| part.display().to_string())?;
        std::fs::rename(&part, file)?;
    }
    // SAFETY: `deserialize_file` requires machine code that wasmtime has written, in a file that
    // nobody changes. The lines above wrote it, in this or an earlier run, under its final name
    // only when it was complete; wasmtime itself refuses the file of another version.
    let module = unsafe { wasmtime::Module::deserialize_file(engine, file) };
    module.map_err(anyhow::Error::from).with_context(|| file.display().to_string())
}

fn on_wasmtime(wasm: &[u8], options: &Options) -> Result<()> {
    let world = wasi::world(options)?;
    let engine = wasmtime::Engine::new(wasmtime::Config::new().wasm_exceptions(true))?;
    let module = compiled(&engine, wasm, options.compiled.as_deref())?;
    if options.only_compile {
        return Ok(());
    }
    let mut linker = wasmtime::Linker::new(&engine);
    wasi_common::sync::add_to_linker(&mut linker, |world: &mut wasi_common::WasiCtx| world)?;
    let mut store = wasmtime::Store::new(&engine, world);
    let instance = linker.instantiate(&mut store, &module)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    timed(options.time.as_deref(), || Ok(start.call(&mut store, ())?))
}

/// Returns the exit status of the guest, if `error` is an exit.
fn status(error: &anyhow::Error) -> Option<i32> {
    let by_wasmi = || error.downcast_ref::<wasmi::Error>().and_then(wasmi::Error::i32_exit_status);
    let by_wasmtime = || error.downcast_ref::<wasmtime::Error>().and_then(|error| error.downcast_ref::<I32Exit>());
    let exit = error.downcast_ref::<I32Exit>().or_else(by_wasmtime).map(|exit| exit.0);
    exit.or_else(by_wasmi)
}

fn run() -> Result<()> {
    let options = Options::parse();
    let file = options.program.first().context("no program")?;
    let wasm = std::fs::read(file).with_context(|| file.clone())?;
    match options.runtime {
        Runtime::Wasmi => on_wasmi(&wasm, &options),
        Runtime::Wasmtime => on_wasmtime(&wasm, &options),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match status(&error).map(u8::try_from) {
            Some(Ok(status)) => ExitCode::from(status),
            _ => {
                eprintln!("kwasmi-runtimes: {error:#}");
                ExitCode::from(125)
            }
        },
    }
}
