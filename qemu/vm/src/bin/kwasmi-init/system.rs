// SPDX-License-Identifier: GPL-2.0

//! Sets up the system in the VM: file systems, host name, loopback device, processors, and the
//! module.

use std::{
    ffi::CString,
    fs::{
        self,
        File, //
    },
    io,
    path::Path,
    process::Command,
    thread, //
};

use anyhow::{
    Context as _,
    Result, //
};
use kwasmi_vm::protocol::{
    COMMAND_PATH,
    MODULE_PATH,
    SIGNER_PATH, //
};
use rustix::{
    mount::MountFlags,
    system::RebootCommand, //
};
use signal_hook::{
    consts::{
        SIGTERM,
        SIGUSR1,
        SIGUSR2, //
    },
    iterator::Signals, //
};

/// Type and mount point of each file system, and if it is required. Mount errors of the others are
/// ignored.
const MOUNTS: [(&str, &str, bool); 7] = [
    ("proc", "/proc", true),
    ("sysfs", "/sys", true),
    ("devtmpfs", "/dev", true),
    ("devpts", "/dev/pts", false),
    ("debugfs", "/sys/kernel/debug", false),
    ("securityfs", "/sys/kernel/security", false),
    ("cgroup2", "/sys/fs/cgroup", false),
];

/// Links in /dev that programs expect and the kernel does not create: target and path.
const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

/// Folder with a subfolder cpuN for each processor.
const PROCESSORS: &str = "/sys/devices/system/cpu";

/// Mounts the file systems.
pub(crate) fn mount() -> Result<()> {
    for (kind, target, needed) in MOUNTS {
        // Mount points in sysfs exist already. /dev/pts must be created.
        let mounted = fs::create_dir_all(target)
            .and_then(|()| Ok(rustix::mount::mount(kind, target, kind, MountFlags::empty(), None)?));
        if needed {
            mounted.with_context(|| format!("cannot mount {target}"))?;
        }
    }
    for (target, link) in LINKS {
        std::os::unix::fs::symlink(target, link).context(link)?;
    }
    Ok(())
}

/// Sets the host name, brings the loopback device up, and lets `poweroff`, `halt` and `reboot` end
/// the VM.
pub(crate) fn set_up() -> Result<()> {
    rustix::system::sethostname(b"kwasmi")?;
    Command::new("/bin/busybox").args(["ip", "link", "set", "lo", "up"]).status().context("cannot run busybox ip")?;
    let mut signals = Signals::new([SIGUSR1, SIGUSR2, SIGTERM])?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            power_off();
        }
    });
    Ok(())
}

/// Starts the processors that `maxcpus` on the kernel command line kept offline during the boot.
pub(crate) fn start_processors() -> Result<()> {
    for number in 0.. {
        let folder = Path::new(PROCESSORS).join(format!("cpu{number}"));
        if !folder.exists() {
            break;
        }
        // A processor that cannot be taken offline has no such file.
        let switch = folder.join("online");
        if fs::read(&switch).is_ok_and(|state| state.starts_with(b"0")) {
            fs::write(&switch, "1").with_context(|| format!("cannot start processor {number}"))?;
        }
    }
    Ok(())
}

/// Powers off the VM.
pub(crate) fn power_off() {
    rustix::fs::sync();
    if let Err(error) = rustix::system::reboot(RebootCommand::PowerOff) {
        eprintln!("kwasmi-init: cannot power off: {error}");
    }
}

/// Loads the module with its parameters, if the image has it, and makes it trust the signer of the
/// guests.
pub(crate) fn load_module(parameters: &str) -> Result<()> {
    let file = match File::open(MODULE_PATH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            anyhow::ensure!(parameters.is_empty(), "module parameters are set, but the image has no module");
            return Ok(());
        }
        opened => opened?,
    };
    let arguments = CString::new(parameters)?;
    rustix::system::finit_module(file, &arguments, 0).map_err(|error| {
        let hint = if parameters.is_empty() { String::new() } else { format!(" with parameters '{parameters}'") };
        anyhow::anyhow!("the kernel refused kwasmi.ko{hint}: {error}")
    })?;
    trust_signer()
}

/// Makes the module trust the signer of the guests, if the image has the guests and the command.
fn trust_signer() -> Result<()> {
    if !Path::new(SIGNER_PATH).exists() || !Path::new(COMMAND_PATH).exists() {
        return Ok(());
    }
    let output = Command::new(COMMAND_PATH).args(["key", "add", SIGNER_PATH]).output().context(COMMAND_PATH)?;
    let words = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "kwasmi key add {SIGNER_PATH} failed: {words}");
    Ok(())
}
