// SPDX-License-Identifier: GPL-2.0

//! Protocol between `kwasmi-vm` on the host and `init` in the VM.
//!
//! The job is a file in the initramfs. All other data goes over virtio-serial ports, one for each
//! stream, so that a full stream does not block another. A port carries frames: a length (`u32`,
//! little-endian, at most [`FRAME_MAX`]) and as many bytes. A frame of length 0 ends a stream; the
//! port itself stays open. Each frame of the control port is one message.
//!
//! postcard encodes the messages. The framing is written by hand, because a frame must fit into one
//! write to the virtio console.

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

/// Path of the [`Job`] in the VM, encoded by postcard.
pub const JOB_PATH: &str = "/etc/kwasmi-job";

/// Folder in the root file system of a disk where `init` shows the initramfs.
pub const INITRAMFS_PATH: &str = "/run/kwasmi-vm";

/// Path of the module in the VM, if there is one to load.
pub const MODULE_PATH: &str = "/lib/kwasmi/kwasmi.ko";

/// Path of the `kwasmi` command in the VM.
pub const COMMAND_PATH: &str = "/bin/kwasmi";

/// Path of the certificate of the key that signed the guests. `init` makes the module trust it.
pub const SIGNER_PATH: &str = "/guests/signer.pem";

/// Folder in the VM whose contents are sent to the host after the command.
pub const OUT_PATH: &str = "/out";

/// Last line that `init` writes to the kernel log. When the host reads it, it has received all
/// earlier messages.
pub const LOG_END: &str = "kwasmi-init: end of job";

/// Maximum number of bytes in a frame. A frame and its length fit into one write to the virtio
/// console.
pub const FRAME_MAX: usize = 32 * 1024 - 4;

/// Virtio-serial port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Messages: [`ToGuest`] and [`ToHost`].
    Control,
    /// Standard input of the command.
    Stdin,
    /// Standard output of the command; all output of the terminal, if the job has one.
    Stdout,
    /// Standard error of the command.
    Stderr,
    /// Tar archive of [`OUT_PATH`].
    Out,
}

impl Port {
    /// All ports, in the order of their numbers in QEMU.
    pub const ALL: [Self; 5] = [Self::Control, Self::Stdin, Self::Stdout, Self::Stderr, Self::Out];

    /// Returns the name of the port in the guest.
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

/// Size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Number of lines.
    pub rows: u16,
    /// Number of characters in a line.
    pub columns: u16,
}

/// Terminal of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// Initial size.
    pub size: TerminalSize,
    /// Terminal type: the value of `TERM`.
    pub kind: String,
}

/// Job for `init`: a command, its environment and the module's parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Command and its arguments: any bytes except NUL.
    pub argv: Vec<Vec<u8>>,
    /// Environment variables, in addition to the default ones.
    pub environment: Vec<(String, String)>,
    /// Parameters of the module, in the kernel's syntax.
    pub parameters: String,
    /// Terminal that replaces the pipes of the standard streams, if set.
    pub terminal: Option<Terminal>,
    /// Set if [`OUT_PATH`] must be sent to the host.
    pub is_out_wanted: bool,
    /// Set if the VM has a disk with a system that must be booted.
    pub has_disk: bool,
    /// Set if the system on the disk must be shut down after the command.
    pub is_shut_down: bool,
}

/// Messages from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToGuest {
    /// Answer to [`ToHost::Ready`]: insert the module and run the job.
    Proceed,
    /// The host no longer reads standard output.
    StdoutClosed,
    /// The host no longer reads standard error.
    StderrClosed,
    /// The terminal's size has changed.
    Resize(TerminalSize),
}

/// Messages from the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToHost {
    /// The system is up. `init` inserts the module only after it has received [`ToGuest::Proceed`],
    /// so until the host has sent that message the module is not in the kernel.
    Ready,
    /// The command ended with this exit status, 128+n for signal n. The streams may still carry
    /// data.
    Ended(u8),
    /// `init` could not run the job. Holds the reason.
    Failed(String),
}

/// Writes one frame, by a single call of `write` unless the writer accepts only a part.
///
/// # Errors
/// `InvalidInput` if `bytes` is longer than [`FRAME_MAX`]; any error of the writer.
pub fn write_frame(writer: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length =
        u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= FRAME_MAX).ok_or(io::ErrorKind::InvalidInput)?;
    let mut frame = Vec::with_capacity(4 + bytes.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(bytes);
    writer.write_all(&frame)
}

/// Reads one frame into `buffer`. The frame is empty at the end of the stream.
///
/// # Errors
/// `UnexpectedEof` if the port was closed; `InvalidData` if the length exceeds [`FRAME_MAX`]; any
/// error of the reader.
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
/// `InvalidInput` if the encoded message is longer than [`FRAME_MAX`]; `Other` if it cannot be
/// encoded; any error of the writer.
pub fn write_message(writer: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
    write_frame(writer, &bytes)
}

/// Reads one message.
///
/// # Errors
/// `UnexpectedEof` if the port was closed; `InvalidData` if the length exceeds [`FRAME_MAX`] or the
/// frame is not a `T`; any error of the reader.
pub fn read_message<T: DeserializeOwned>(reader: &mut impl Read) -> io::Result<T> {
    let mut frame = Vec::new();
    read_frame(reader, &mut frame)?;
    postcard::from_bytes(&frame).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reader that joins the frames of a port into one stream of bytes.
#[derive(Debug)]
pub struct FrameReader<R> {
    port: R,
    frame: Vec<u8>,
    taken: usize,
    is_at_end: bool,
}

impl<R: Read> FrameReader<R> {
    /// Creates a reader of `port`, whose stream must be at its beginning.
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

/// Writer that splits a stream of bytes into frames.
#[derive(Debug)]
pub struct FrameWriter<W: Write> {
    port: W,
}

impl<W: Write> FrameWriter<W> {
    /// Creates a writer to `port`.
    pub const fn new(port: W) -> Self {
        Self { port }
    }

    /// Ends the stream by an empty frame.
    ///
    /// # Errors
    /// Any error of the port.
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
    fn a_stream_is_unchanged_by_framing() {
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
    fn a_closed_port_is_an_error() {
        let mut port = Vec::new();
        FrameWriter::new(&mut port).write_all(b"abc").unwrap();
        let error = FrameReader::new(port.as_slice()).read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn an_oversized_frame_is_refused() {
        let error = read_frame(&mut [255_u8; 8].as_slice(), &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(write_frame(&mut Vec::new(), &[0; FRAME_MAX + 1]).is_err());
    }

    #[test]
    fn messages_are_decoded_as_sent() {
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
