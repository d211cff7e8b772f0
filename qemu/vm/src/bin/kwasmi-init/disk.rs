// SPDX-License-Identifier: GPL-2.0

//! Boots the system on the disk of the VM, and shuts it down.

use std::{
    convert::Infallible,
    fs,
    os::unix::{
        fs::symlink,
        process::CommandExt as _, //
    },
    path::Path,
    process::Command,
    thread,
    time::{
        Duration,
        Instant, //
    },
};

use anyhow::{
    Context as _,
    Result, //
};
use kwasmi_vm::protocol::INITRAMFS_PATH;
use rustix::mount::MountFlags;

/// The disk.
const DISK: &str = "/dev/nvme0n1";

/// Time limit for the driver to find the disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// Mount point of the disk in the initramfs.
const ROOT: &str = "/mnt";

/// First program of the system.
const INIT: &str = "/sbin/init";

/// Name of the service that runs the job.
const SERVICE: &str = "kwasmi-vm.service";

/// Unit of the service. It starts after all services that start at boot. Shutting down need not
/// wait for it.
const UNIT: &str = "\
[Unit]
Description=Job of kwasmi-vm
After=multi-user.target

[Service]
ExecStart=/run/kwasmi-vm/init
KillSignal=SIGKILL
";

/// Folder of units that do not outlive a boot.
const UNITS: &str = "run/systemd/system";

/// Mounts the disk, makes the unit that runs this program there, and executes the system's first
/// program. Returns only if that fails.
pub(crate) fn boot() -> Result<Infallible> {
    mount("devtmpfs", "/dev", "devtmpfs")?;
    await_disk()?;
    mount(DISK, ROOT, "ext4")?;
    rustix::mount::mount_move("/dev", format!("{ROOT}/dev")).context("cannot move /dev to the disk")?;
    mount("tmpfs", &format!("{ROOT}/run"), "tmpfs")?;
    let initramfs = format!("{ROOT}{INITRAMFS_PATH}");
    fs::create_dir(&initramfs).with_context(|| initramfs.clone())?;
    rustix::mount::mount_bind("/", &initramfs).context("cannot show the initramfs on the disk")?;
    let units = Path::new(ROOT).join(UNITS);
    let wants = units.join("multi-user.target.wants");
    fs::create_dir_all(&wants)?;
    fs::write(units.join(SERVICE), UNIT)?;
    symlink(Path::new("..").join(SERVICE), wants.join(SERVICE))?;
    rustix::process::chdir(ROOT)?;
    rustix::mount::mount_move(".", "/").context("cannot move the disk to the root")?;
    rustix::process::chroot(".")?;
    rustix::process::chdir("/")?;
    Err(Command::new(INIT).env_clear().exec()).context(INIT)
}

/// Mounts a file system whose files can be executed.
fn mount(source: &str, target: &str, kind: &str) -> Result<()> {
    let flags = if kind == "tmpfs" { MountFlags::NOSUID | MountFlags::NODEV } else { MountFlags::empty() };
    let options = (kind == "tmpfs").then_some(c"mode=0755");
    rustix::mount::mount(source, target, kind, flags, options).with_context(|| format!("cannot mount {target}"))
}

/// Waits until the driver has found the disk.
fn await_disk() -> Result<()> {
    let start = Instant::now();
    while !Path::new(DISK).exists() {
        anyhow::ensure!(start.elapsed() < PATIENCE, "{DISK} did not appear within {} s", PATIENCE.as_secs());
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Asks the system to shut down and power off.
pub(crate) fn shut_down() -> Result<()> {
    let asked = Command::new("systemctl").args(["--no-block", "poweroff"]).status().context("cannot run systemctl")?;
    anyhow::ensure!(asked.success(), "systemctl poweroff failed: {asked}");
    Ok(())
}
