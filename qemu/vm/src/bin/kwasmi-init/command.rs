// SPDX-License-Identifier: GPL-2.0

//! The command: how it starts and how it ends.

use std::{
    ffi::OsStr,
    io,
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStrExt as _,
            process::CommandExt as _, //
        },
    },
    process::{
        Command,
        Stdio, //
    },
    sync::Arc,
};

use kwasmi_vm::protocol::{
    Job,
    Terminal,
    TerminalSize, //
};
use rustix::{
    process::{
        Pid,
        WaitOptions, //
    },
    pty::OpenptFlags,
    termios::Winsize, //
};

/// A command that was started.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) id: Pid,
    /// To write to; none at the end of a terminal, which has one end only.
    pub(crate) stdin: Arc<OwnedFd>,
    /// To read from.
    pub(crate) stdout: Arc<OwnedFd>,
    /// To read from.
    pub(crate) stderr: Arc<OwnedFd>,
    /// The terminal's near end.
    pub(crate) terminal: Option<Arc<OwnedFd>>,
}

/// Starts the job's command as root in /root, in a session of its own, with pipes or a terminal.
pub(crate) fn start(job: &Job) -> io::Result<Running> {
    let mut argv = job.argv.iter().map(|argument| OsStr::from_bytes(argument));
    let mut command = Command::new(argv.next().ok_or(io::ErrorKind::InvalidInput)?);
    command
        .args(argv)
        .env_clear()
        .envs([("HOME", "/root"), ("USER", "root"), ("LOGNAME", "root"), ("SHELL", "/bin/sh")])
        .env("PATH", "/bin:/sbin:/usr/bin:/usr/sbin")
        .envs(job.environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/root");
    match &job.terminal {
        Some(terminal) => start_in_terminal(command, terminal),
        None => start_with_pipes(command),
    }
}

fn start_with_pipes(mut command: Command) -> io::Result<Running> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: The closure makes one system call and touches no memory that another thread might have locked.
    unsafe { command.pre_exec(|| Ok(rustix::process::setsid().map(drop)?)) };
    let mut child = command.spawn()?;
    let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
    Ok(Running {
        id: Pid::from_child(&child),
        stdin: Arc::new(child.stdin.take().ok_or_else(missing)?.into()),
        stdout: Arc::new(child.stdout.take().ok_or_else(missing)?.into()),
        stderr: Arc::new(child.stderr.take().ok_or_else(missing)?.into()),
        terminal: None,
    })
}

fn start_in_terminal(mut command: Command, terminal: &Terminal) -> io::Result<Running> {
    let near = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    rustix::pty::grantpt(&near)?;
    rustix::pty::unlockpt(&near)?;
    let name = rustix::pty::ptsname(&near, Vec::new())?;
    let far = std::fs::File::options().read(true).write(true).open(OsStr::from_bytes(name.to_bytes()))?;
    resize(&near, terminal.size)?;
    command.env("TERM", &terminal.kind);
    command.stdin(far.try_clone()?).stdout(far.try_clone()?).stderr(far);
    // SAFETY: The closure makes two system calls and touches no memory that another thread might have locked.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?)
        })
    };
    let child = command.spawn()?;
    // A stream that is always at its end, for standard error.
    let (stderr, _) = rustix::pipe::pipe()?;
    let near = Arc::new(near);
    Ok(Running {
        id: Pid::from_child(&child),
        stdin: Arc::clone(&near),
        stdout: Arc::clone(&near),
        stderr: Arc::new(stderr),
        terminal: Some(near),
    })
}

/// Tells a terminal its size.
pub(crate) fn resize(terminal: &OwnedFd, size: TerminalSize) -> io::Result<()> {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}

/// Waits for the command, and for all that are left behind without a parent; the status as a shell has it.
pub(crate) fn wait(id: Pid) -> io::Result<u8> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended == id => {
                let status = match status.terminating_signal() {
                    Some(signal) => signal + 128,
                    None => status.exit_status().unwrap_or(255),
                };
                return Ok(u8::try_from(status).unwrap_or(255));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
