// SPDX-License-Identifier: GPL-2.0

//! The first process of the VM: sets up the system, loads the module, runs one command, and reports
//! its exit status to the host.

mod command;
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
    sync::Arc,
    thread, //
};

use anyhow::{
    Context as _,
    Result, //
};
use kwasmi_vm::protocol::{
    FrameWriter,
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
    let result = system::mount().and_then(|()| Ports::open());
    let (control, result) = match result {
        Ok(ports) => (ports.control(), run(ports)),
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

fn run(mut ports: Ports) -> Result<()> {
    let mut control = ports.take(Port::Control)?;
    let mut job: Job = postcard::from_bytes(&fs::read(JOB_PATH).context(JOB_PATH)?).context("cannot decode the job")?;
    system::set_up()?;
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
    archive.append_dir_all("", OUT_PATH)?;
    archive.into_inner()?.finish()
}

/// Result of a thread that ends only by an error.
type Never = io::Result<Infallible>;
