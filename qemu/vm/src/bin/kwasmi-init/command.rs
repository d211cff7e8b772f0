// SPDX-License-Identifier: GPL-2.0

//! Starts the job's command and waits for its end.

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

/// Running command.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) id: Pid,
    /// Write end of standard input; the controlling side of the terminal, if there is one.
    pub(crate) stdin: Arc<OwnedFd>,
    /// Read end of standard output; the controlling side of the terminal, if there is one.
    pub(crate) stdout: Arc<OwnedFd>,
    /// Read end of standard error; an empty stream if there is a terminal.
    pub(crate) stderr: Arc<OwnedFd>,
    /// Controlling side of the terminal, if there is one.
    pub(crate) terminal: Option<Arc<OwnedFd>>,
}

/// Starts the job's command as root in /root, in a new session, with pipes or a terminal.
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
    // SAFETY: `pre_exec` requires a closure that is safe between fork and exec. This one makes one
    // system call, allocates no memory and takes no lock.
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
    // SAFETY: `pre_exec` requires a closure that is safe between fork and exec. This one makes two
    // system calls, allocates no memory and takes no lock.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?)
        })
    };
    let child = command.spawn()?;
    // Standard error is the read end of a pipe without a writer: an empty stream.
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

/// Sets the size of a terminal.
pub(crate) fn resize(terminal: &OwnedFd, size: TerminalSize) -> io::Result<()> {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}

/// Waits for the command, and reaps orphaned processes meanwhile. Returns the exit status as a
/// shell reports it: 128+n for signal n.
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
