// SPDX-License-Identifier: GPL-2.0

//! Threads that relay data between the ports and the command's pipes or terminal.

use std::{
    io::{
        self,
        Read as _,
        Write as _, //
    },
    os::fd::OwnedFd,
    sync::Arc,
    thread::{
        self,
        JoinHandle, //
    },
};

use kwasmi_vm::protocol::{
    FRAME_MAX,
    FrameReader,
    FrameWriter,
    Port,
    ToGuest,
    read_message, //
};
use rustix::{
    event::{
        EventfdFlags,
        PollFd,
        PollFlags, //
    },
    io::Errno, //
};

use crate::{
    Never,
    command,
    ports::PortFile, //
};

/// Events that end the relays of the command's output. A raised event stays raised.
#[derive(Debug)]
pub(crate) struct Signals {
    ended: OwnedFd,
    stdout_closed: OwnedFd,
    stderr_closed: OwnedFd,
}

impl Signals {
    /// Creates the events, none of them raised.
    pub(crate) fn new() -> io::Result<Self> {
        let make = || rustix::event::eventfd(0, EventfdFlags::CLOEXEC);
        Ok(Self { ended: make()?, stdout_closed: make()?, stderr_closed: make()? })
    }

    /// Raises the event that the command has ended.
    pub(crate) fn raise_ended(&self) -> io::Result<()> {
        Self::raise(&self.ended)
    }

    fn raise(event: &OwnedFd) -> io::Result<()> {
        Ok(rustix::io::write(event, &1_u64.to_ne_bytes()).map(drop)?)
    }
}

/// Starts a thread that executes the host's messages.
pub(crate) fn follow_control(mut port: PortFile, terminal: Option<Arc<OwnedFd>>, signals: Arc<Signals>) {
    thread::spawn(move || -> Never {
        loop {
            match read_message(&mut port)? {
                // `init` has read `Proceed` before it started the command.
                ToGuest::Proceed => {}
                ToGuest::StdoutClosed => Signals::raise(&signals.stdout_closed)?,
                ToGuest::StderrClosed => Signals::raise(&signals.stderr_closed)?,
                ToGuest::Resize(size) => {
                    if let Some(terminal) = &terminal {
                        command::resize(terminal, size)?;
                    }
                }
            }
        }
    });
}

/// Starts a thread that relays standard input to the command until its end, or until the command
/// closes it.
pub(crate) fn inward(port: PortFile, pipe: Arc<OwnedFd>) {
    thread::spawn(move || -> io::Result<()> {
        let mut reader = FrameReader::new(port);
        let mut buffer = vec![0; FRAME_MAX];
        loop {
            let count = reader.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            let mut rest = buffer.get(..count).unwrap_or_default();
            while !rest.is_empty() {
                let written = rustix::io::write(&pipe, rest)?;
                rest = rest.get(written..).unwrap_or_default();
            }
        }
    });
}

/// Starts a thread that relays one of the command's outputs to the host. It stops at the end of the
/// output, or when the host no longer reads it, or when the command has ended and the bytes that
/// were in the pipe at that time are sent: processes that the command left behind may keep the pipe
/// open forever.
pub(crate) fn outward(
    pipe: Arc<OwnedFd>,
    port: PortFile,
    signals: Arc<Signals>,
    name: Port,
) -> JoinHandle<io::Result<()>> {
    thread::spawn(move || {
        let mut writer = FrameWriter::new(port);
        let mut buffer = vec![0; FRAME_MAX];
        let mut left = None;
        loop {
            let closed = if name == Port::Stdout { &signals.stdout_closed } else { &signals.stderr_closed };
            let mut events = [
                PollFd::new(&*pipe, PollFlags::IN),
                PollFd::new(closed, PollFlags::IN),
                PollFd::new(&signals.ended, PollFlags::IN),
            ];
            match rustix::event::poll(&mut events, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let [is_ready, is_closed, is_ended] = events.each_ref().map(|event| !event.revents().is_empty());
            if is_ended && left.is_none() {
                left = Some(rustix::io::ioctl_fionread(&pipe).unwrap_or(0));
            }
            if is_closed || !is_ready || left == Some(0) {
                break;
            }
            let count = match rustix::io::read(&pipe, &mut buffer) {
                // A terminal that no process has open reports EIO.
                Ok(0) | Err(Errno::IO) => break,
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            writer.write_all(buffer.get(..count).unwrap_or_default())?;
            left = left.map(|left| left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX)));
        }
        // From here on the command gets SIGPIPE if it writes.
        drop(pipe);
        writer.finish()
    })
}
