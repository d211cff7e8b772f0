// SPDX-License-Identifier: GPL-2.0

//! The first process of the VM: sets up the system, loads the module, runs one command, and reports
//! its exit status to the host.
//!
//! In a VM with a disk, the first process mounts the disk and executes its `init`, which starts this
//! program again as a service. The service runs the command.

mod command;
mod disk;
mod ports;
mod relay;
mod system;

use std::{
    convert::Infallible,
    fs,
    io::{
        self,
        Write as _, //
    },
    process,
    sync::Arc,
    thread, //
};

use anyhow::{
    Context as _,
    Result, //
};
use kwasmi_vm::protocol::{
    FrameWriter,
    INITRAMFS_PATH,
    JOB_PATH,
    Job,
    LOG_END,
    OUT_PATH,
    Port,
    ToGuest,
    ToHost,
    read_message,
    write_message, //
};

use crate::{
    command::Running,
    ports::{
        PortFile,
        Ports, //
    },
    relay::Signals, //
};

fn main() {
    // In the system of a disk, this program is a service.
    let is_first = process::id() == 1;
    let job = read_job(is_first);
    let result = match &job {
        Ok(job) if is_first && job.has_disk => disk::boot().map(drop),
        _ if is_first => system::mount(),
        _ => Ok(()),
    };
    let result = result.and_then(|()| Ok((job?, Ports::open()?)));
    let (control, result) = match result {
        Ok((job, ports)) => (ports.control(), run(job, ports)),
        Err(error) => (None, Err(error)),
    };
    if let Err(error) = &result {
        let told = control.map(|mut port| write_message(&mut port, &ToHost::Failed(format!("{error:#}"))));
        if !matches!(told, Some(Ok(()))) {
            eprintln!("kwasmi-init: {error:#}");
            system::power_off();
        }
    }
    // The host kills the VM.
    loop {
        thread::park();
    }
}

/// Reads the job from the initramfs. `is_first` is set if this is the first process, whose root file
/// system is the initramfs.
fn read_job(is_first: bool) -> Result<Job> {
    let path = if is_first { JOB_PATH.to_owned() } else { format!("{INITRAMFS_PATH}{JOB_PATH}") };
    postcard::from_bytes(&fs::read(&path).context(path)?).context("cannot decode the job")
}

fn run(mut job: Job, mut ports: Ports) -> Result<()> {
    let mut control = ports.take(Port::Control)?;
    if !job.has_disk {
        system::set_up()?;
    }
    system::start_processors()?;
    write_message(&mut control, &ToHost::Ready)?;
    wait_to_proceed(&mut control, &mut job)?;
    system::load_module(&job.parameters)?;

    let signals = Arc::new(Signals::new()?);
    let stderr = ports.take(Port::Stderr)?;
    let status = match command::start(&job) {
        Ok(Running { id, stdin, stdout, stderr: stderr_pipe, terminal }) => {
            relay::follow_control(control.try_clone()?, terminal, Arc::clone(&signals));
            relay::inward(ports.take(Port::Stdin)?, stdin);
            let relays = [
                relay::outward(stdout, ports.take(Port::Stdout)?, Arc::clone(&signals), Port::Stdout),
                relay::outward(stderr_pipe, stderr, Arc::clone(&signals), Port::Stderr),
            ];
            let status = command::wait(id)?;
            signals.raise_ended()?;
            for relay in relays {
                relay.join().map_err(|_| anyhow::anyhow!("a thread that carries the command's output failed"))??;
            }
            status
        }
        Err(error) => {
            FrameWriter::new(ports.take(Port::Stdout)?).finish()?;
            let mut stderr = FrameWriter::new(stderr);
            let name = job.argv.first().map(|name| String::from_utf8_lossy(name)).unwrap_or_default();
            writeln!(stderr, "kwasmi: {name}: {error}")?;
            stderr.finish()?;
            if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
        }
    };
    if job.is_out_wanted {
        send_out(ports.take(Port::Out)?).context("cannot send /out")?;
    }
    // The kernel holds back a record without a newline from the console.
    fs::write("/dev/kmsg", format!("{LOG_END}\n"))?;
    write_message(&mut control, &ToHost::Ended(status))?;
    if job.is_shut_down {
        disk::shut_down()?;
    }
    Ok(())
}

/// Waits until the host permits the insertion of the module.
fn wait_to_proceed(control: &mut PortFile, job: &mut Job) -> io::Result<()> {
    loop {
        match read_message(control)? {
            ToGuest::Proceed => return Ok(()),
            ToGuest::Resize(size) => {
                if let Some(terminal) = &mut job.terminal {
                    terminal.size = size;
                }
            }
            // The host cannot send these yet: it attaches the streams after `Proceed`.
            ToGuest::StdoutClosed | ToGuest::StderrClosed => {}
        }
    }
}

/// Sends the contents of [`OUT_PATH`] as a tar archive.
fn send_out(port: PortFile) -> io::Result<()> {
    let mut archive = tar::Builder::new(FrameWriter::new(port));
    archive.follow_symlinks(false);
    // A link in the system of a disk.
    archive.append_dir_all("", fs::canonicalize(OUT_PATH)?)?;
    archive.into_inner()?.finish()
}

/// Result of a thread that ends only by an error.
type Never = io::Result<Infallible>;
