// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! The variants, and the commands that start them.

use std::{
    ffi::OsString,
    path::{
        Path,
        PathBuf, //
    },
    process::Command, //
};

use serde::{
    Deserialize,
    Serialize, //
};

use crate::{
    TIME_FILE,
    bound,
    bpf, //
};

/// Variant: a way to run the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Variant {
    /// Native process that makes system calls: the reference of all ratios.
    Process,
    /// Native process that makes a system call where it would not need one, or another system call.
    Syscall,
    /// Native process that uses io_uring.
    Uring,
    /// eBPF program, started by a process.
    Bpf,
    /// The server memcached, with one thread.
    Memcached,
    /// Guest in the kernel, as machine code.
    Kernel,
    /// Guest in the kernel, interpreted.
    KernelInterpreted,
    /// Guest in the kernel, as machine code, that combines operations in one host call
    /// (`kwasmi_batch_1`).
    KernelBatch,
    /// Guest in the kernel, as machine code, whose partner is a native process.
    KernelAndProcess,
    /// Kernel module without Wasm that makes the same kernel calls as a guest (`qemu/bound`).
    Bound,
    /// Guest in a process, on the engine object of the kernel module.
    Engine,
    /// Guest in a process, as the machine code that the kernel's JIT made.
    MachineCode,
    /// Guest in a process, on wasmi with default features.
    Wasmi,
    /// Guest in a process, on wasmtime with default settings.
    Wasmtime,
}

impl Variant {
    /// All variants, in the order of tables.
    pub(crate) const ALL: [Self; 14] = [
        Self::Process,
        Self::Syscall,
        Self::Uring,
        Self::Bpf,
        Self::Memcached,
        Self::Kernel,
        Self::KernelInterpreted,
        Self::KernelBatch,
        Self::KernelAndProcess,
        Self::Bound,
        Self::Engine,
        Self::MachineCode,
        Self::Wasmi,
        Self::Wasmtime,
    ];

    /// Returns the name in tables and plots.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Syscall => "syscall",
            Self::Uring => "io_uring",
            Self::Bpf => "eBPF",
            Self::Memcached => "memcached",
            Self::Kernel => "kernel",
            Self::KernelInterpreted => "kernel interpreter",
            Self::KernelBatch => "kernel batch",
            Self::KernelAndProcess => "kernel+process",
            Self::Bound => "bound",
            Self::Engine => "engine",
            Self::MachineCode => "machine code",
            Self::Wasmi => "wasmi",
            Self::Wasmtime => "wasmtime",
        }
    }

    /// Returns the variant that runs the partner's work.
    pub(crate) const fn partner(self) -> Self {
        match self {
            Self::KernelAndProcess => Self::Process,
            other => other,
        }
    }
}

/// Set of variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Variants(u32);

impl Variants {
    /// Creates a set.
    pub(crate) const fn of(variants: &[Variant]) -> Self {
        Self(0).and(variants)
    }

    /// Returns the set with `variants` added.
    pub(crate) const fn and(self, variants: &[Variant]) -> Self {
        match variants {
            [first, rest @ ..] => Self(self.0 | 1 << *first as u32).and(rest),
            [] => self,
        }
    }

    /// Returns true if `variant` is in the set.
    pub(crate) const fn contains(self, variant: Variant) -> bool {
        self.0 & 1 << variant as u32 != 0
    }

    /// Iterates over the set, in the order of tables.
    pub(crate) fn iter(self) -> impl Iterator<Item = Variant> {
        Variant::ALL.into_iter().filter(move |variant| self.contains(*variant))
    }
}

/// Paths of the programs.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    /// `kwasmi-bench`.
    pub(crate) own: PathBuf,
    /// The `kwasmi` command, if the kernel module is loaded.
    pub(crate) kwasmi: Option<PathBuf>,
    /// `kwasmi-native`: the engine object in a process.
    pub(crate) engine: PathBuf,
    /// `kwasmi-runtimes`: runner on wasmi and wasmtime.
    pub(crate) runtimes: PathBuf,
    /// The guest `bench.wasm`.
    pub(crate) guest: PathBuf,
    /// The guest that uses batches, `bench-batch.wasm`.
    pub(crate) batch_guest: PathBuf,
    /// Native build of the guest.
    pub(crate) twin: PathBuf,
    /// Script that starts memcached, if it was fetched.
    pub(crate) memcached: Option<PathBuf>,
    /// Folder of the programs by other authors: `NAME.wasm`, and `native/NAME`.
    pub(crate) programs: Option<PathBuf>,
    /// Folder of machine code: `NAME.wasm.json`, the output of `kwasmi dump --json --raw`.
    pub(crate) machine_code: Option<PathBuf>,
}

impl Tools {
    /// Returns true if `variant` can run here.
    pub(crate) fn has(&self, variant: Variant) -> bool {
        match variant {
            Variant::Process | Variant::Syscall => self.twin.exists(),
            Variant::Uring => self.twin.exists() && io_uring::IoUring::new(8).is_ok(),
            // No eBPF program is loaded into the host's kernel.
            Variant::Bpf => self.kwasmi.is_some() && bpf::is_there(),
            Variant::Memcached => self.memcached.as_ref().is_some_and(|program| {
                Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
            }),
            Variant::Kernel | Variant::KernelInterpreted | Variant::KernelAndProcess => self.kwasmi.is_some(),
            Variant::KernelBatch => self.kwasmi.is_some() && self.batch_guest.exists(),
            Variant::Bound => bound::is_there(),
            Variant::Engine => self.engine.exists(),
            Variant::MachineCode => self.machine_code_of(&self.guest).is_some(),
            Variant::Wasmi | Variant::Wasmtime => self.runtimes.exists(),
        }
    }

    /// Returns true if `variant` can run `program` of the programs by other authors here.
    pub(crate) fn has_program(&self, variant: Variant, program: &str) -> bool {
        let Some(programs) = &self.programs else { return false };
        let module = programs.join(program).with_extension("wasm");
        let is_there = match variant {
            Variant::Process => programs.join("native").join(program).exists(),
            Variant::MachineCode => self.machine_code_of(&module).is_some(),
            _ => self.has(variant),
        };
        is_there && module.exists()
    }

    /// Returns the file with the machine code of `module`, if it was compiled.
    fn machine_code_of(&self, module: &Path) -> Option<PathBuf> {
        let mut name = module.file_name()?.to_owned();
        name.push(".json");
        let path = self.machine_code.as_ref()?.join(name);
        path.metadata().is_ok_and(|metadata| metadata.len() > 0).then_some(path)
    }

    /// Returns the path of the `kwasmi` command.
    fn kwasmi(&self) -> &Path {
        self.kwasmi.as_deref().unwrap_or(Path::new("kwasmi"))
    }

    /// Returns the command that starts `variant`. The guest gets `fds` descriptors from 3 on,
    /// and `folder`.
    fn begin(&self, variant: Variant, fds: usize, folder: Option<&Path>) -> Command {
        let (program, words, is_guest): (&Path, &[&str], bool) = match variant {
            Variant::Process | Variant::Syscall | Variant::Uring => (&self.twin, &[], false),
            Variant::Bpf => (&self.own, &["bpf"], false),
            Variant::Memcached => {
                let program = self.memcached.as_deref().unwrap_or(Path::new("memcached"));
                (program, &["--threads", "1", "--user", "root"], false)
            }
            Variant::Kernel | Variant::KernelBatch | Variant::KernelAndProcess => {
                (self.kwasmi(), &["run", "--engine", "compiler"], true)
            }
            Variant::KernelInterpreted => (self.kwasmi(), &["run", "--engine", "interpreter"], true),
            Variant::Bound => (&self.own, &["bound"], false),
            Variant::Engine | Variant::MachineCode => (&self.engine, &[], true),
            Variant::Wasmi => (&self.runtimes, &["wasmi"], true),
            Variant::Wasmtime => (&self.runtimes, &["wasmtime"], true),
        };
        let mut command = Command::new(program);
        command.args(words);
        if let Some(code) = self.machine_code_of(&self.guest).filter(|_| variant == Variant::MachineCode) {
            command.arg("--machine-code").arg(code);
        }
        if is_guest {
            for fd in 3..3 + fds {
                command.args(["--fd", &fd.to_string()]);
            }
            if let Some(folder) = folder {
                // The guest path equals the host path, because runtimes differ in the syntax for
                // another one.
                command.arg("--dir").arg(folder);
            }
            command.arg(if variant == Variant::KernelBatch { &self.batch_guest } else { &self.guest });
        }
        command
    }

    /// Returns the command by which `variant` does `work`. It reads numbers of operations from
    /// standard input.
    pub(crate) fn command(
        &self,
        variant: Variant,
        work: &str,
        args: &[OsString],
        fds: usize,
        folder: Option<&Path>,
    ) -> Command {
        let mut command = self.begin(variant, fds, folder);
        let work = match variant {
            Variant::Syscall => format!("{work}-syscall"),
            Variant::Uring => format!("{work}-uring"),
            // memcached takes no work as an argument.
            Variant::Memcached => return command,
            _ => work.to_owned(),
        };
        command.arg(work).args(args);
        command
    }

    /// Returns the command that repeatedly starts the command of `variant` for `work`. It reads
    /// numbers of starts from standard input.
    pub(crate) fn command_anew(&self, variant: Variant, work: &str) -> Command {
        let each = self.command(variant, work, &[], 0, None);
        let mut command = Command::new(&self.own);
        command.args(["anew", "--"]).arg(each.get_program()).args(each.get_args());
        command
    }

    /// Returns the command that repeatedly runs `program` of the programs by other authors with
    /// `args` in `folder`. It reads numbers of runs from standard input.
    pub(crate) fn command_whole(&self, variant: Variant, program: &str, args: &[&str], folder: &Path) -> Command {
        let programs = self.programs.as_deref().unwrap_or(Path::new(""));
        let module = programs.join(program).with_extension("wasm");
        let mut command = Command::new(&self.own);
        command.arg("whole").arg("--folder").arg(folder);
        let runner = match variant {
            Variant::Process => {
                command.arg("--").arg(programs.join("native").join(program)).args(args);
                return command;
            }
            Variant::Wasmtime => command.arg("--").arg(&self.runtimes).arg("wasmtime"),
            _ => command.arg("--").arg(&self.engine),
        };
        if let Some(code) = self.machine_code_of(&module).filter(|_| variant == Variant::MachineCode) {
            runner.arg("--machine-code").arg(code);
        }
        runner.args(["--time", TIME_FILE, "--dir", "."]).arg(module).args(args);
        command
    }

    /// Returns the command that keeps the guest of `variant` loaded in the kernel until it is
    /// killed.
    pub(crate) fn command_keep(&self, variant: Variant) -> Command {
        let engine = if variant == Variant::KernelInterpreted { "interpreter" } else { "compiler" };
        let mut command = Command::new(self.kwasmi());
        command.args(["load", "--engine", engine]).arg(&self.guest);
        command
    }

    /// Returns the command of the engine for `work` that also prints the consumed fuel to standard
    /// error.
    pub(crate) fn command_with_fuel(
        &self,
        work: &str,
        args: &[OsString],
        fds: usize,
        folder: Option<&Path>,
    ) -> Command {
        let plain = self.command(Variant::Engine, work, args, fds, folder);
        let mut command = Command::new(plain.get_program());
        command.arg("--stats").args(plain.get_args());
        command
    }
}
