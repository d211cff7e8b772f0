// SPDX-License-Identifier: GPL-2.0

//! QEMU as a child process, with a socket for each port and a pipe for the kernel log.

use std::{
    fs::File,
    io::Read as _,
    net::Shutdown,
    os::{
        fd::{
            AsRawFd as _,
            OwnedFd, //
        },
        unix::{
            net::UnixStream,
            process::CommandExt as _, //
        },
    },
    path::Path,
    process::{
        Child,
        Command,
        ExitStatus,
        Stdio, //
    },
    thread::{
        self,
        JoinHandle, //
    },
    time::{
        Duration,
        Instant, //
    },
};

use anyhow::{
    Context as _,
    Result, //
};
use rustix::{
    io::FdFlags,
    pipe::PipeFlags, //
};

use crate::{
    process,
    protocol::Port, //
};

/// What every kernel is told. An oops must end it, or it goes unseen; `init`'s marks in the log must come through, whatever
/// a command does to the log level, and so must traces of all tasks at once, which come faster than the console takes them. The
/// rest saves time: the clock need not be calibrated against a timer that the
/// VM does not have, and the self-tests of the crypto code take almost a second in emulation.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 ignore_loglevel printk.devkmsg=on log_buf_len=2M oops=panic panic=-1 \
    tsc=reliable no_timer_check cryptomgr.notests";

/// Bytes that the pipe of the kernel log holds: as many as any user may ask for, and more than the log of a boot. QEMU throws
/// characters away when its output is not taken at once. It writes them one by one, and a socket holds a few hundred such.
const LOG_PIPE_SIZE: usize = 1 << 20;

/// What is not needed takes time to look for.
const MACHINE: &str = "q35,hpet=off,smm=off,vmport=off,sata=off,smbus=off,usb=off";

/// How guest instructions are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// By the processor.
    Kvm,
    /// By emulation.
    Emulation,
    /// By emulation on one processor, with a clock that an instruction moves by a nanosecond.
    Counted,
}

impl Accelerator {
    /// The options of QEMU. Copies with `rep movsb` take a hundred times as long as others in emulation: without erms
    /// and fsrm the kernel does not choose it.
    const fn options(self) -> &'static [&'static str] {
        match self {
            Self::Kvm => &["-accel", "kvm", "-cpu", "host"],
            Self::Emulation => &["-accel", "tcg,thread=multi", "-cpu", "max,-erms,-fsrm"],
            // While nothing runs, the clock jumps to the next timer.
            Self::Counted => &["-accel", "tcg", "-cpu", "max,-erms,-fsrm", "-icount", "shift=0,sleep=off"],
        }
    }

    /// What the kernel is told. An emulated processor does not speculate, but says of itself what makes the kernel use retpolines:
    /// where they are in use, a guest that computes takes two to three times the instructions there.
    ///
    /// To patch its code, the kernel puts a breakpoint there for a moment. In emulation with a host thread for each processor
    /// one processor has run into such a breakpoint after another had taken it away again: the kernel died with `Oops: int3`.
    /// A boot patches much code, so it goes on with one processor, and `init` starts the others before it inserts the module.
    ///
    /// Measured on two host processors with other work on both, medians of 6 boots each. With two processors from the
    /// beginning a boot took 7.5 s, and 3.8 s of processor time; with the second one started by `init` 7.3 s and 3.3 s; with one
    /// host thread for both (`thread=single`) 7.7 s and 3.2 s. None of these boots failed. Nor did two threads fail in 1,600
    /// switches of a static key of the scheduler and 6 of the function tracer: the rate is too low to be measured so.
    ///
    /// `thread=single` would prevent the failure after the boot, too. The suite `abi` takes 352 s with it and 325 s without.
    /// But then no two processors run at the same time, and the tests of races would find nothing.
    const fn kernel_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Kvm => &[],
            Self::Emulation => &["spectre_v2=off", "maxcpus=1"],
            Self::Counted => &["spectre_v2=off"],
        }
    }
}

/// QEMU, running. It is ended when this is dropped, and by the kernel should this process die.
#[derive(Debug)]
pub struct Qemu {
    child: Child,
    stderr: Option<JoinHandle<String>>,
    log: OwnedFd,
    sockets: Vec<UnixStream>,
}

/// What runs in a VM.
#[derive(Clone, Copy, Debug)]
pub struct Hardware<'a> {
    /// How instructions are run.
    pub accelerator: Accelerator,
    /// Processors.
    pub cpus: u32,
    /// MiB of memory.
    pub memory: u32,
    /// The kernel's file.
    pub kernel: &'a Path,
    /// The initramfs's file.
    pub initramfs: &'a Path,
    /// What the kernel is told after all else.
    pub kernel_arguments: &'a [&'a str],
}

impl Qemu {
    /// Starts it. Must be called by the thread that lives longest: the kernel ends QEMU together with that.
    ///
    /// # Errors
    /// Those of making sockets and starting a program.
    pub fn start(hardware: &Hardware<'_>) -> Result<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "qemu-system-x86_64"]);
        command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-machine", MACHINE]);
        command.args(hardware.accelerator.options());
        command.args(["-smp", &hardware.cpus.to_string(), "-m", &hardware.memory.to_string()]);
        command.arg("-kernel").arg(hardware.kernel).arg("-initrd").arg(hardware.initramfs);
        let arguments = [&[KERNEL_ARGUMENTS], hardware.accelerator.kernel_arguments(), hardware.kernel_arguments];
        command.arg("-append").arg(arguments.concat().join(" "));
        let mut sockets = Vec::new();
        let mut inherited = Vec::new();
        let guard = process::nobody_starts();
        let mut add_socket = |id: &str| -> Result<String> {
            let (near, far) = UnixStream::pair()?;
            // QEMU inherits it, under the number that it has here, and no other program does.
            rustix::io::fcntl_setfd(&far, FdFlags::empty())?;
            let option = format!("socket,id={id},fd={}", far.as_raw_fd());
            sockets.push(near);
            inherited.push(far);
            Ok(option)
        };
        let (log, log_end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        // A smaller pipe does as well while this process gets its turns.
        rustix::pipe::fcntl_setpipe_size(&log, LOG_PIPE_SIZE).ok();
        rustix::io::fcntl_setfd(&log_end, FdFlags::empty())?;
        command.args(["-add-fd", &format!("fd={},set=1", log_end.as_raw_fd())]);
        // Without append=on QEMU truncates the file, and no pipe can be truncated.
        command.args(["-chardev", "file,id=log,path=/dev/fdset/1,append=on", "-serial", "chardev:log"]);
        command.args(["-device", "virtio-serial-pci"]);
        for (index, port) in Port::ALL.into_iter().enumerate() {
            let name = port.name();
            command.arg("-chardev").arg(add_socket(name)?);
            let number = index + 1;
            command.args(["-device", &format!("virtserialport,nr={number},chardev={name},name={name}")]);
        }
        // Apart from the terminal's foreground group, so that Ctrl-C reaches this process alone.
        command.process_group(0);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start setpriv, which starts qemu-system-x86_64")?;
        drop((inherited, log_end));
        drop(guard);
        let stderr = child.stderr.take().map(|mut pipe| {
            thread::spawn(move || {
                let mut text = Vec::new();
                let read = pipe.read_to_end(&mut text);
                match read {
                    Ok(_) => String::from_utf8_lossy(&text).into_owned(),
                    Err(error) => error.to_string(),
                }
            })
        });
        Ok(Self { child, stderr, log, sockets })
    }

    /// The kernel log, as it comes.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn log(&self) -> Result<File> {
        Ok(self.log.try_clone()?.into())
    }

    /// The host's end of a port.
    ///
    /// # Errors
    /// As above.
    pub fn port(&self, port: Port) -> Result<UnixStream> {
        let index = Port::ALL.iter().position(|other| *other == port).unwrap_or_default();
        Ok(self.sockets.get(index).with_context(|| format!("QEMU has no socket number {index}"))?.try_clone()?)
    }

    /// Ends it, unless it does so itself within `patience`. Tells how it ended, if it did, and what it had to say.
    ///
    /// # Errors
    /// Those of waiting for a process.
    pub fn end(&mut self, patience: Duration) -> Result<(Option<ExitStatus>, String)> {
        let start = Instant::now();
        let mut ended = self.child.try_wait()?;
        while ended.is_none() && start.elapsed() < patience {
            thread::sleep(Duration::from_millis(5));
            ended = self.child.try_wait()?;
        }
        if ended.is_none() {
            self.child.kill()?;
            self.child.wait()?;
        }
        for socket in &self.sockets {
            // The threads that read from it then find its end. One that is not connected any more is as good.
            socket.shutdown(Shutdown::Both).ok();
        }
        let said = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        Ok((ended, said))
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            // It ends between the question and this, at the worst.
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}
