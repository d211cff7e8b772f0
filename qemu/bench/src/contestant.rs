// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! The contestants, and the commands that start them.

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
    bpf,
    limit, //
};

/// Contestant: a way to run the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contestant {
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
    /// Guest in the kernel.
    Kernel,
    /// Guest in the kernel that combines operations in one host call (`kwasmi_batch_1`).
    KernelBatch,
    /// Guest in the kernel whose partner is a native process.
    KernelAndProcess,
    /// Kernel module without Wasm that makes the same kernel calls as a guest (`qemu/limit`).
    Limit,
    /// Guest in a process, on the engine object of the kernel module.
    Engine,
    /// Guest in a process, on the engine object as the kernel patches it for retpolines.
    EngineRetpolines,
    /// Guest in a process, on wasmi with default features.
    Wasmi,
    /// Guest in a process, on wasmtime with default settings.
    Wasmtime,
}

impl Contestant {
    /// All contestants, in the order of tables.
    pub(crate) const ALL: [Self; 13] = [
        Self::Process,
        Self::Syscall,
        Self::Uring,
        Self::Bpf,
        Self::Memcached,
        Self::Kernel,
        Self::KernelBatch,
        Self::KernelAndProcess,
        Self::Limit,
        Self::Engine,
        Self::EngineRetpolines,
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
            Self::KernelBatch => "kernel batch",
            Self::KernelAndProcess => "kernel+process",
            Self::Limit => "limit",
            Self::Engine => "engine",
            Self::EngineRetpolines => "retpolines",
            Self::Wasmi => "wasmi",
            Self::Wasmtime => "wasmtime",
        }
    }

    /// Returns the contestant that runs the partner's work.
    pub(crate) const fn partner(self) -> Self {
        match self {
            Self::KernelAndProcess => Self::Process,
            other => other,
        }
    }
}

/// Set of contestants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contestants(u32);

impl Contestants {
    /// Creates a set.
    pub(crate) const fn of(contestants: &[Contestant]) -> Self {
        Self(0).and(contestants)
    }

    /// Returns the set with `contestants` added.
    pub(crate) const fn and(self, contestants: &[Contestant]) -> Self {
        match contestants {
            [first, rest @ ..] => Self(self.0 | 1 << *first as u32).and(rest),
            [] => self,
        }
    }

    /// Returns true if `contestant` is in the set.
    pub(crate) const fn contains(self, contestant: Contestant) -> bool {
        self.0 & 1 << contestant as u32 != 0
    }

    /// Iterates over the set, in the order of tables.
    pub(crate) fn iter(self) -> impl Iterator<Item = Contestant> {
        Contestant::ALL.into_iter().filter(move |contestant| self.contains(*contestant))
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
    /// `kwasmi-rivals`: runner on wasmi and wasmtime.
    pub(crate) rivals: PathBuf,
    /// The guest `bench.wasm`.
    pub(crate) guest: PathBuf,
    /// The guest that uses batches, `bench-batch.wasm`.
    pub(crate) batch_guest: PathBuf,
    /// Native build of the guest.
    pub(crate) twin: PathBuf,
    /// Script that starts memcached, if it was fetched.
    pub(crate) memcached: Option<PathBuf>,
}

impl Tools {
    /// Returns true if `contestant` can run here.
    pub(crate) fn has(&self, contestant: Contestant) -> bool {
        match contestant {
            Contestant::Process | Contestant::Syscall => self.twin.exists(),
            Contestant::Uring => self.twin.exists() && io_uring::IoUring::new(8).is_ok(),
            // No eBPF program is loaded into the host's kernel.
            Contestant::Bpf => self.kwasmi.is_some() && bpf::is_there(),
            Contestant::Memcached => self.memcached.as_ref().is_some_and(|program| {
                Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
            }),
            Contestant::Kernel | Contestant::KernelAndProcess => self.kwasmi.is_some(),
            Contestant::KernelBatch => self.kwasmi.is_some() && self.batch_guest.exists(),
            Contestant::Limit => limit::is_there(),
            Contestant::Engine => self.engine.exists(),
            // The VM does not have this program.
            Contestant::EngineRetpolines => self.retpolines().exists(),
            Contestant::Wasmi | Contestant::Wasmtime => self.rivals.exists(),
        }
    }

    /// Returns the path of `kwasmi-native-retpolines`, beside `kwasmi-native`.
    fn retpolines(&self) -> PathBuf {
        self.engine.with_file_name("kwasmi-native-retpolines")
    }

    /// Returns the command that starts `contestant`. The guest gets `fds` descriptors from 3 on,
    /// and `folder`.
    fn begin(&self, contestant: Contestant, fds: usize, folder: Option<&Path>) -> Command {
        let retpolines = self.retpolines();
        let (program, words, is_guest): (&Path, &[&str], bool) = match contestant {
            Contestant::Process | Contestant::Syscall | Contestant::Uring => (&self.twin, &[], false),
            Contestant::Bpf => (&self.own, &["bpf"], false),
            Contestant::Memcached => {
                let program = self.memcached.as_deref().unwrap_or(Path::new("memcached"));
                (program, &["--threads", "1", "--user", "root"], false)
            }
            Contestant::Kernel | Contestant::KernelBatch | Contestant::KernelAndProcess => {
                (self.kwasmi.as_deref().unwrap_or(Path::new("kwasmi")), &["run"], true)
            }
            Contestant::Limit => (&self.own, &["limit"], false),
            Contestant::Engine => (&self.engine, &[], true),
            Contestant::EngineRetpolines => (&retpolines, &[], true),
            Contestant::Wasmi => (&self.rivals, &["wasmi"], true),
            Contestant::Wasmtime => (&self.rivals, &["wasmtime"], true),
        };
        let mut command = Command::new(program);
        command.args(words);
        if is_guest {
            for fd in 3..3 + fds {
                command.args(["--fd", &fd.to_string()]);
            }
            if let Some(folder) = folder {
                // The guest path equals the host path, because runtimes differ in the syntax for
                // another one.
                command.arg("--dir").arg(folder);
            }
            command.arg(if contestant == Contestant::KernelBatch { &self.batch_guest } else { &self.guest });
        }
        command
    }

    /// Returns the command by which `contestant` does `work`. It reads numbers of operations from
    /// standard input.
    pub(crate) fn command(
        &self,
        contestant: Contestant,
        work: &str,
        args: &[OsString],
        fds: usize,
        folder: Option<&Path>,
    ) -> Command {
        let mut command = self.begin(contestant, fds, folder);
        let work = match contestant {
            Contestant::Syscall => format!("{work}-syscall"),
            Contestant::Uring => format!("{work}-uring"),
            // memcached takes no work as an argument.
            Contestant::Memcached => return command,
            _ => work.to_owned(),
        };
        command.arg(work).args(args);
        command
    }

    /// Returns the command that repeatedly starts the command of `contestant` for `work`. It reads
    /// numbers of starts from standard input.
    pub(crate) fn command_anew(&self, contestant: Contestant, work: &str) -> Command {
        let each = self.command(contestant, work, &[], 0, None);
        let mut command = Command::new(&self.own);
        command.args(["anew", "--"]).arg(each.get_program()).args(each.get_args());
        command
    }

    /// Returns the command that keeps the guest loaded in the kernel until it is killed.
    pub(crate) fn command_keep(&self) -> Command {
        let mut command = Command::new(self.kwasmi.as_deref().unwrap_or(Path::new("kwasmi")));
        command.arg("load").arg(&self.guest);
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
        let plain = self.command(Contestant::Engine, work, args, fds, folder);
        let mut command = Command::new(plain.get_program());
        command.arg("--stats").args(plain.get_args());
        command
    }
}
