// SPDX-License-Identifier: GPL-2.0

//! QEMU as a child process, with a socket for each virtio-serial port and a pipe for the kernel
//! log.

use std::{
    ffi::OsString,
    fs::File,
    io::Read as _,
    net::Shutdown,
    os::{
        fd::{
            AsRawFd as _,
            OwnedFd, //
        },
        unix::{
            ffi::{
                OsStrExt as _,
                OsStringExt as _, //
            },
            net::UnixStream,
            process::CommandExt as _, //
        },
    },
    path::{
        Path,
        PathBuf, //
    },
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
    protocol::Port,
    tsc, //
};

/// Arguments of every kernel.
///
/// - An oops panics, which ends the VM.
/// - All messages reach the console, whatever log level the command sets: the host waits for
///   messages of `init` in the log.
/// - The log buffer holds stack traces of all tasks, which come faster than the console prints
///   them.
/// - The other arguments save boot time: the TSC need not be calibrated against a timer that the VM
///   does not have, and the self-tests of the crypto code take almost a second in emulation.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 ignore_loglevel printk.devkmsg=on log_buf_len=2M oops=panic panic=-1 \
    tsc=reliable no_timer_check cryptomgr.notests";

/// Size of the pipe of the kernel log, in bytes: the default maximum for unprivileged users, and
/// more than the log of a boot. QEMU discards characters that its output does not accept at once. A
/// socket does not suffice: QEMU writes the characters one by one, and a socket holds a few hundred
/// such writes.
const LOG_PIPE_SIZE: usize = 1 << 20;

/// QEMU machine without the devices that no VM uses, because probing for them takes boot time.
const MACHINE: &str = "q35,hpet=off,smm=off,vmport=off,sata=off,smbus=off,usb=off";

/// Way in which instructions of the VM are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// On the processor, by KVM.
    Kvm,
    /// In emulation, with a host thread for each emulated processor.
    Emulation,
    /// In emulation of one processor, with a clock that advances by one nanosecond per instruction.
    Counted,
}

impl Accelerator {
    /// Returns the options for QEMU. In emulation, copies with `rep movsb` take a hundred times as
    /// long as others; without the features erms and fsrm the kernel does not use it.
    const fn options(self) -> &'static [&'static str] {
        match self {
            Self::Kvm => &["-accel", "kvm", "-cpu", "host"],
            Self::Emulation => &["-accel", "tcg,thread=multi", "-cpu", "max,-erms,-fsrm"],
            // With sleep=off the clock jumps to the next timer when the processor is idle.
            Self::Counted => &["-accel", "tcg", "-cpu", "max,-erms,-fsrm", "-icount", "shift=0,sleep=off"],
        }
    }

    /// Returns the kernel arguments that the accelerator needs.
    ///
    /// `spectre_v2=off`: an emulated processor does not speculate, but its CPUID makes the kernel
    /// use retpolines, with which a computing guest takes two to three times the instructions.
    ///
    /// `maxcpus=1`: to patch its code, the kernel temporarily writes a breakpoint. In emulation
    /// with a host thread for each processor, a processor has executed such a breakpoint after
    /// another processor had removed it, and the kernel panicked with `Oops: int3`. A boot patches
    /// much code, so it runs on one processor. `init` starts the others before it inserts the
    /// module.
    ///
    /// Measurements on two host processors that were also busy with other work, medians of 6 boots
    /// each:
    ///
    /// - two processors from the start: a boot took 7.5 s, and 3.8 s of processor time;
    /// - second processor started by `init`: 7.3 s and 3.3 s;
    /// - one host thread for both processors (`thread=single`): 7.7 s and 3.2 s.
    ///
    /// None of these boots failed. Neither did 1,600 switches of a static key of the scheduler and
    /// 6 switches of the function tracer with two threads: the failure is too rare to be measured
    /// this way.
    ///
    /// `thread=single` would also prevent the failure after the boot. The suite `abi` takes 352 s
    /// with it and 325 s without. But then no two processors run at the same time, and tests of
    /// races would find nothing.
    ///
    /// `rcu_cpu_stall_timeout` and `watchdog_thresh`: a busy host may not run the thread of an
    /// emulated processor for seconds. The detectors of RCU stalls and soft lockups wait 120 s,
    /// instead of 21 s and 20 s.
    ///
    /// [`Qemu::start`] adds `tsc_early_khz`, see [`tsc`].
    const fn kernel_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Kvm => &[],
            Self::Emulation => {
                &["spectre_v2=off", "maxcpus=1", "rcupdate.rcu_cpu_stall_timeout=120", "watchdog_thresh=60"]
            }
            Self::Counted => &["spectre_v2=off"],
        }
    }
}

/// Running QEMU process. Dropping this value kills it. The kernel kills it if this process dies.
#[derive(Debug)]
pub struct Qemu {
    child: Child,
    stderr: Option<JoinHandle<String>>,
    log: OwnedFd,
    sockets: Vec<UnixStream>,
}

/// Disk of a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// File with the contents of the disk.
    pub file: PathBuf,
    /// Set if the file gets the changes that the VM makes. Otherwise QEMU discards them.
    pub is_kept: bool,
}

impl Disk {
    /// Returns QEMU's option for the file.
    fn option(&self) -> OsString {
        let mut option = OsString::from("if=none,id=disk,format=raw,cache=unsafe,file=");
        // QEMU separates options by commas. Two commas are one in a value.
        let file = self.file.as_os_str().as_bytes();
        let file = file.split(|byte| *byte == b',').collect::<Vec<_>>().join(b",,".as_slice());
        option.push(OsString::from_vec(file));
        if !self.is_kept {
            option.push(",snapshot=on");
        }
        option
    }
}

/// Hardware and boot files of a VM.
#[derive(Clone, Copy, Debug)]
pub struct Hardware<'a> {
    /// Accelerator that executes the instructions.
    pub accelerator: Accelerator,
    /// Number of processors.
    pub cpus: u32,
    /// Memory of the VM, in MiB.
    pub memory: u32,
    /// File of the kernel.
    pub kernel: &'a Path,
    /// File of the initramfs.
    pub initramfs: &'a Path,
    /// Disk with the root file system, if there is one.
    pub disk: Option<&'a Disk>,
    /// Kernel arguments, appended to all others.
    pub kernel_arguments: &'a [&'a str],
}

impl Qemu {
    /// Starts QEMU. The calling thread must live as long as the VM: the kernel kills QEMU when that
    /// thread exits (`PR_SET_PDEATHSIG`).
    ///
    /// # Errors
    /// Fails if sockets or the pipe cannot be created, or the program cannot be started.
    pub fn start(hardware: &Hardware<'_>) -> Result<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "qemu-system-x86_64"]);
        command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-machine", MACHINE]);
        command.args(hardware.accelerator.options());
        command.args(["-smp", &hardware.cpus.to_string(), "-m", &hardware.memory.to_string()]);
        command.arg("-kernel").arg(hardware.kernel).arg("-initrd").arg(hardware.initramfs);
        let tsc = tsc::khz().filter(|_| hardware.accelerator == Accelerator::Emulation);
        let tsc = tsc.map(|khz| format!("tsc_early_khz={khz}"));
        let own = [KERNEL_ARGUMENTS].into_iter().chain(hardware.accelerator.kernel_arguments().iter().copied());
        let arguments = own.chain(tsc.as_deref()).chain(hardware.kernel_arguments.iter().copied());
        command.arg("-append").arg(arguments.collect::<Vec<_>>().join(" "));
        let mut sockets = Vec::new();
        let mut inherited = Vec::new();
        let guard = process::nobody_starts();
        let mut add_socket = |id: &str| -> Result<String> {
            let (near, far) = UnixStream::pair()?;
            // QEMU inherits this descriptor under the same number. The guard prevents other
            // programs from inheriting it.
            rustix::io::fcntl_setfd(&far, FdFlags::empty())?;
            let option = format!("socket,id={id},fd={}", far.as_raw_fd());
            sockets.push(near);
            inherited.push(far);
            Ok(option)
        };
        let (log, log_end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        // A smaller pipe suffices as long as this process is scheduled often enough.
        rustix::pipe::fcntl_setpipe_size(&log, LOG_PIPE_SIZE).ok();
        rustix::io::fcntl_setfd(&log_end, FdFlags::empty())?;
        command.args(["-add-fd", &format!("fd={},set=1", log_end.as_raw_fd())]);
        // Without append=on QEMU truncates the file, which fails for a pipe.
        command.args(["-chardev", "file,id=log,path=/dev/fdset/1,append=on", "-serial", "chardev:log"]);
        if let Some(disk) = hardware.disk {
            // Debian's kernel has the driver of NVMe built in.
            command.arg("-drive").arg(disk.option());
            command.args(["-device", "nvme,drive=disk,serial=kwasmi"]);
        }
        command.args(["-device", "virtio-serial-pci"]);
        for (index, port) in Port::ALL.into_iter().enumerate() {
            let name = port.name();
            command.arg("-chardev").arg(add_socket(name)?);
            let number = index + 1;
            command.args(["-device", &format!("virtserialport,nr={number},chardev={name},name={name}")]);
        }
        // QEMU gets a process group outside the terminal's foreground group, so that Ctrl-C signals
        // only this process.
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

    /// Returns the read end of the kernel log's pipe.
    ///
    /// # Errors
    /// Fails if the descriptor cannot be duplicated.
    pub fn log(&self) -> Result<File> {
        Ok(self.log.try_clone()?.into())
    }

    /// Returns the host's end of a port.
    ///
    /// # Errors
    /// Fails if the descriptor cannot be duplicated.
    pub fn port(&self, port: Port) -> Result<UnixStream> {
        let index = Port::ALL.iter().position(|other| *other == port).unwrap_or_default();
        Ok(self.sockets.get(index).with_context(|| format!("QEMU has no socket number {index}"))?.try_clone()?)
    }

    /// Kills QEMU unless it exits within `patience`. Returns its exit status, if it exited before
    /// it was killed, and its standard error.
    ///
    /// # Errors
    /// Any error of killing QEMU or waiting for it.
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
            // Threads that read from the socket see its end. The error of a closed connection is
            // ignored.
            socket.shutdown(Shutdown::Both).ok();
        }
        let said = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        Ok((ended, said))
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            // QEMU may have exited in between, so errors are ignored.
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_the_name_of_a_disk_are_doubled() {
        let disk = Disk { file: "/a,b".into(), is_kept: true };
        assert_eq!(disk.option(), "if=none,id=disk,format=raw,cache=unsafe,file=/a,,b");
        let disk = Disk { file: "/a".into(), is_kept: false };
        assert_eq!(disk.option(), "if=none,id=disk,format=raw,cache=unsafe,file=/a,snapshot=on");
    }
}
