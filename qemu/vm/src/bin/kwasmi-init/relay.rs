// SPDX-License-Identifier: GPL-2.0

//! Threads that carry data between the ports and the command's pipes, or its terminal.

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

/// What relays outward listen to besides their pipe. Each stays raised.
#[derive(Debug)]
pub(crate) struct Signals {
    ended: OwnedFd,
    stdout_closed: OwnedFd,
    stderr_closed: OwnedFd,
}

impl Signals {
    /// None is raised.
    pub(crate) fn new() -> io::Result<Self> {
        let make = || rustix::event::eventfd(0, EventfdFlags::CLOEXEC);
        Ok(Self { ended: make()?, stdout_closed: make()?, stderr_closed: make()? })
    }

    /// The command has ended.
    pub(crate) fn raise_ended(&self) -> io::Result<()> {
        Self::raise(&self.ended)
    }

    fn raise(event: &OwnedFd) -> io::Result<()> {
        Ok(rustix::io::write(event, &1_u64.to_ne_bytes()).map(drop)?)
    }
}

/// Does what the host's messages say.
pub(crate) fn follow_control(mut port: PortFile, terminal: Option<Arc<OwnedFd>>, signals: Arc<Signals>) {
    thread::spawn(move || -> Never {
        loop {
            match read_message(&mut port)? {
                // `init` has read it before the command was started.
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

/// Carries standard input to the command, until its end or until the command does not read any more.
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

/// Carries one of the command's outputs to the host: until its end, until nobody there reads it any more, or, when the
/// command has ended, until what was left in the pipe then is sent: those whom the command left behind may have it
/// open for ever.
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
                // A terminal that nobody has open any more reports an I/O error.
                Ok(0) | Err(Errno::IO) => break,
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            writer.write_all(buffer.get(..count).unwrap_or_default())?;
            left = left.map(|left| left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX)));
        }
        // The command gets SIGPIPE if it writes on.
        drop(pipe);
        writer.finish()
    })
}
