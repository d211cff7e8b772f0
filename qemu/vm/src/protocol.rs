// SPDX-License-Identifier: GPL-2.0

//! What the tool on the host and `init` in the VM say to each other.
//!
//! The job is a file of the initramfs. All else goes over virtio-serial ports, one for each stream, so that a full one
//! holds up no other. A port carries frames: a length (`u32`, little-endian, at most [`FRAME_MAX`]) and as many bytes.
//! A frame of length 0 ends a stream; the port itself stays open. A frame of the control port is one message.

use std::io::{
    self,
    Read,
    Write, //
};

use serde::{
    Deserialize,
    Serialize,
    de::DeserializeOwned, //
};

/// Where `init` finds its [`Job`], encoded by postcard.
pub const JOB_PATH: &str = "/etc/kwasmi-job";

/// Where the module is, if there is one to load.
pub const MODULE_PATH: &str = "/lib/kwasmi/kwasmi.ko";

/// The command that comes with the module.
pub const COMMAND_PATH: &str = "/bin/kwasmi";

/// The certificate of who signed the guests; the module is told to trust it.
pub const SIGNER_PATH: &str = "/guests/signer.pem";

/// The folder whose contents go back to the host.
pub const OUT_PATH: &str = "/out";

/// The last thing that `init` writes to the kernel log: all that came before has then been seen by the host.
pub const LOG_END: &str = "kwasmi-init: end of job";

/// The most bytes in a frame: with its length it is what the virtio console takes in one write.
pub const FRAME_MAX: usize = 32 * 1024 - 4;

/// The virtio-serial ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// [`ToGuest`] and [`ToHost`].
    Control,
    /// The command's standard input.
    Stdin,
    /// The command's standard output; all that a terminal shows, if the job has one.
    Stdout,
    /// The command's standard error.
    Stderr,
    /// A tar archive of [`OUT_PATH`].
    Out,
}

impl Port {
    /// Each of them, in the order in which QEMU numbers them.
    pub const ALL: [Self; 5] = [Self::Control, Self::Stdin, Self::Stdout, Self::Stderr, Self::Out];

    /// The name under which the guest finds it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => "kwasmi.control",
            Self::Stdin => "kwasmi.stdin",
            Self::Stdout => "kwasmi.stdout",
            Self::Stderr => "kwasmi.stderr",
            Self::Out => "kwasmi.out",
        }
    }
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// The terminal that a command is to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// Its size at the beginning.
    pub size: TerminalSize,
    /// The type: `TERM`.
    pub kind: String,
}

/// What `init` is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The command and its arguments: any bytes but NUL.
    pub argv: Vec<Vec<u8>>,
    /// Variables of its environment, besides those that it always has.
    pub environment: Vec<(String, String)>,
    /// Parameters of the module, as the kernel parses them.
    pub parameters: String,
    /// A terminal in place of pipes.
    pub terminal: Option<Terminal>,
    /// Whether to send [`OUT_PATH`] back.
    pub is_out_wanted: bool,
}

/// Messages from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToGuest {
    /// The answer to [`ToHost::Ready`].
    Proceed,
    /// Nobody reads standard output any more.
    StdoutClosed,
    /// Nobody reads standard error any more.
    StderrClosed,
    /// The terminal's size has changed.
    Resize(TerminalSize),
}

/// Messages from the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToHost {
    /// The system is up. `init` inserts the module only after [`ToGuest::Proceed`] has come: as long as the host has not sent
    /// that, the module is not in the kernel, whatever became of this message.
    Ready,
    /// The command ended with this status: 128+n if by signal n. The streams may still bring data.
    Ended(u8),
    /// `init` could not do its job, and why.
    Failed(String),
}

/// Writes one frame with one call of `write`, if that takes it whole.
///
/// # Errors
/// `InvalidInput` if `bytes` is longer than [`FRAME_MAX`]; those of the writer.
pub fn write_frame(writer: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length =
        u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= FRAME_MAX).ok_or(io::ErrorKind::InvalidInput)?;
    let mut frame = Vec::with_capacity(4 + bytes.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(bytes);
    writer.write_all(&frame)
}

/// Reads one frame into `buffer`. Its length is 0 at the end of the stream.
///
/// # Errors
/// `UnexpectedEof` if the port went away, `InvalidData` if the length is too large; those of the reader.
pub fn read_frame(reader: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<()> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_le_bytes(length))
        .ok()
        .filter(|&length| length <= FRAME_MAX)
        .ok_or(io::ErrorKind::InvalidData)?;
    buffer.resize(length, 0);
    reader.read_exact(buffer)
}

/// Writes one message.
///
/// # Errors
/// As [`write_frame`].
pub fn write_message(writer: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
    write_frame(writer, &bytes)
}

/// Reads one message.
///
/// # Errors
/// As [`read_frame`]; `InvalidData` if the frame is no such message.
pub fn read_message<T: DeserializeOwned>(reader: &mut impl Read) -> io::Result<T> {
    let mut frame = Vec::new();
    read_frame(reader, &mut frame)?;
    postcard::from_bytes(&frame).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The frames of a port as one stream of bytes.
#[derive(Debug)]
pub struct FrameReader<R> {
    port: R,
    frame: Vec<u8>,
    taken: usize,
    is_at_end: bool,
}

impl<R: Read> FrameReader<R> {
    /// Reads from `port`, whose stream is at its beginning.
    pub const fn new(port: R) -> Self {
        Self { port, frame: Vec::new(), taken: 0, is_at_end: false }
    }
}

impl<R: Read> Read for FrameReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.frame.len() && !self.is_at_end {
            read_frame(&mut self.port, &mut self.frame)?;
            self.taken = 0;
            self.is_at_end = self.frame.is_empty();
        }
        let mut rest = self.frame.get(self.taken..).unwrap_or_default();
        let count = rest.read(buffer)?;
        self.taken += count;
        Ok(count)
    }
}

/// A stream of bytes as frames.
#[derive(Debug)]
pub struct FrameWriter<W: Write> {
    port: W,
}

impl<W: Write> FrameWriter<W> {
    /// Writes to `port`.
    pub const fn new(port: W) -> Self {
        Self { port }
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// Those of the port.
    pub fn finish(mut self) -> io::Result<()> {
        write_frame(&mut self.port, &[])
    }
}

impl<W: Write> Write for FrameWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.get(..FRAME_MAX).unwrap_or(bytes);
        if !taken.is_empty() {
            write_frame(&mut self.port, taken)?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.port.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_survives_framing() {
        let sent: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
        let mut port = Vec::new();
        let mut writer = FrameWriter::new(&mut port);
        writer.write_all(&sent).unwrap();
        writer.finish().unwrap();
        let mut received = Vec::new();
        FrameReader::new(port.as_slice()).read_to_end(&mut received).unwrap();
        assert_eq!(sent, received);
    }

    #[test]
    fn a_lost_port_is_not_the_end() {
        let mut port = Vec::new();
        FrameWriter::new(&mut port).write_all(b"abc").unwrap();
        let error = FrameReader::new(port.as_slice()).read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_length_that_cannot_be_is_refused() {
        let error = read_frame(&mut [255_u8; 8].as_slice(), &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(write_frame(&mut Vec::new(), &[0; FRAME_MAX + 1]).is_err());
    }

    #[test]
    fn messages_survive() {
        let mut port = Vec::new();
        for message in [ToHost::Ready, ToHost::Ended(130), ToHost::Failed("why".into())] {
            write_message(&mut port, &message).unwrap();
            assert_eq!(read_message::<ToHost>(&mut port.as_slice()).unwrap(), message);
            port.clear();
        }
        for message in [ToGuest::Proceed, ToGuest::Resize(TerminalSize { rows: 24, columns: 80 })] {
            write_message(&mut port, &message).unwrap();
            assert_eq!(read_message::<ToGuest>(&mut port.as_slice()).unwrap(), message);
            port.clear();
        }
    }
}
