// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! Who does the work.

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

/// What runs a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contestant {
    /// A native process that makes system calls: what the others are compared with.
    Process,
    /// The same, with a system call where a process would not need one.
    Syscall,
    /// A native process that uses io_uring.
    Uring,
    /// A program of eBPF, started by a process.
    Bpf,
    /// memcached, with one thread.
    Memcached,
    /// A guest in the kernel.
    Kernel,
    /// A guest in the kernel that does in one host call what goes together (`kwasmi_batch_1`).
    KernelBatch,
    /// A guest in the kernel whose partner is a process.
    KernelAndProcess,
    /// The kernel calls that a guest makes, made by a kernel module without Wasm.
    Limit,
    /// The engine object of the kernel module, in a process.
    Engine,
    /// The same, patched as on a processor where the kernel uses retpolines.
    EngineRetpolines,
    /// The guest in a process, on wasmi as it comes.
    Wasmi,
    /// The guest in a process, on wasmtime as it comes.
    Wasmtime,
}

impl Contestant {
    /// All of them, in the order of tables.
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

    /// Its name in tables, files and plots.
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

    /// Who is at the other end, where there are two.
    pub(crate) const fn partner(self) -> Self {
        match self {
            Self::KernelAndProcess => Self::Process,
            other => other,
        }
    }
}

/// Some of the contestants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contestants(u32);

impl Contestants {
    /// These.
    pub(crate) const fn of(contestants: &[Contestant]) -> Self {
        Self(0).and(contestants)
    }

    /// Those, and these.
    pub(crate) const fn and(self, contestants: &[Contestant]) -> Self {
        match contestants {
            [first, rest @ ..] => Self(self.0 | 1 << *first as u32).and(rest),
            [] => self,
        }
    }

    /// Whether `contestant` is one of them.
    pub(crate) const fn contains(self, contestant: Contestant) -> bool {
        self.0 & 1 << contestant as u32 != 0
    }

    /// They, in the order of tables.
    pub(crate) fn iter(self) -> impl Iterator<Item = Contestant> {
        Contestant::ALL.into_iter().filter(move |contestant| self.contains(*contestant))
    }
}

/// The programs.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    /// This program.
    pub(crate) own: PathBuf,
    /// The `kwasmi` command, where there is a kernel module.
    pub(crate) kwasmi: Option<PathBuf>,
    /// `kwasmi-native`.
    pub(crate) engine: PathBuf,
    /// `kwasmi-rivals`.
    pub(crate) rivals: PathBuf,
    /// The guest.
    pub(crate) guest: PathBuf,
    /// The guest that works in batches.
    pub(crate) batch_guest: PathBuf,
    /// Its native twin.
    pub(crate) twin: PathBuf,
    /// What starts memcached, where it could be fetched.
    pub(crate) memcached: Option<PathBuf>,
}

impl Tools {
    /// Whether `contestant` can take part here.
    pub(crate) fn has(&self, contestant: Contestant) -> bool {
        match contestant {
            Contestant::Process | Contestant::Syscall => self.twin.exists(),
            Contestant::Uring => self.twin.exists() && io_uring::IoUring::new(8).is_ok(),
            // In the VM only: the host's kernel is somebody else's.
            Contestant::Bpf => self.kwasmi.is_some() && bpf::is_there(),
            Contestant::Memcached => self.memcached.as_ref().is_some_and(|program| {
                Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
            }),
            Contestant::Kernel | Contestant::KernelAndProcess => self.kwasmi.is_some(),
            Contestant::KernelBatch => self.kwasmi.is_some() && self.batch_guest.exists(),
            Contestant::Limit => limit::is_there(),
            Contestant::Engine => self.engine.exists(),
            // Beside the other, but for a VM.
            Contestant::EngineRetpolines => self.retpolines().exists(),
            Contestant::Wasmi | Contestant::Wasmtime => self.rivals.exists(),
        }
    }

    /// `kwasmi-native-retpolines`.
    fn retpolines(&self) -> PathBuf {
        self.engine.with_file_name("kwasmi-native-retpolines")
    }

    /// The command by which `contestant` begins; `fds` descriptors from 3 on are the guest's, and so is `folder`.
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
                // Runtimes differ in how they write that a directory has another name inside: it has the same one.
                command.arg("--dir").arg(folder);
            }
            command.arg(if contestant == Contestant::KernelBatch { &self.batch_guest } else { &self.guest });
        }
        command
    }

    /// The command by which `contestant` does `work`, as often as its standard input says.
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
            // It knows only what it does.
            Contestant::Memcached => return command,
            _ => work.to_owned(),
        };
        command.arg(work).args(args);
        command
    }

    /// The command that begins, as often as its standard input says, what `contestant` begins `work` by.
    pub(crate) fn command_anew(&self, contestant: Contestant, work: &str) -> Command {
        let each = self.command(contestant, work, &[], 0, None);
        let mut command = Command::new(&self.own);
        command.args(["anew", "--"]).arg(each.get_program()).args(each.get_args());
        command
    }

    /// The command that keeps the guest in the kernel until it is ended.
    pub(crate) fn command_keep(&self) -> Command {
        let mut command = Command::new(self.kwasmi.as_deref().unwrap_or(Path::new("kwasmi")));
        command.arg("load").arg(&self.guest);
        command
    }

    /// The command that also tells the fuel of `work`, on standard error.
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
