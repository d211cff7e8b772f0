// SPDX-License-Identifier: GPL-2.0

//! Copies the output of a guest from pipes to a ring of log records, line by line.

use super::ring::{
    Stream,
    Writer, //
};
use rustix::{
    event::{
        PollFd,
        PollFlags,
        Timespec,
        poll, //
    },
    io::{
        self,
        Errno, //
    },
    stdio, //
};
use std::{
    os::fd::{
        AsFd as _,
        OwnedFd, //
    },
    time::{
        Duration,
        Instant,
        SystemTime, //
    }, //
};

/// Longest line that becomes one record, in bytes.
const LINE_MAX: usize = 4096;

/// Time after which a part of a line becomes a record.
const PART_AFTER: Duration = Duration::from_millis(200);

/// Returns the real time, in nanoseconds since 1970.
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A pipe with output of the guest, and the unfinished line that was read from it.
struct Source {
    stream: Stream,
    pipe: OwnedFd,
    line: Vec<u8>,
    /// Time at which the first byte of `line` was read, unless it is empty.
    since: Option<Instant>,
}

impl Source {
    /// Reads from the pipe and appends whole lines to the log. Returns false at the end of the
    /// pipe.
    ///
    /// # Errors
    ///
    /// The errors of the pipe.
    fn read(&mut self, writer: &mut Writer, is_copied: bool) -> Result<bool, Errno> {
        let mut bytes = [0; 16 * 1024];
        let len = match io::read(&self.pipe, &mut bytes) {
            Ok(0) => return Ok(false),
            Ok(len) => len,
            Err(Errno::INTR | Errno::AGAIN) => return Ok(true),
            Err(errno) => return Err(errno),
        };
        let bytes = bytes.get(..len).unwrap_or_default();
        if is_copied {
            self.copy(bytes);
        }
        let most = LINE_MAX.min(writer.text_max());
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            while self.line.len() >= most {
                let rest = self.line.split_off(most);
                self.flush(writer);
                self.line = rest;
            }
            if self.line.ends_with(b"\n") {
                self.flush(writer);
            }
        }
        self.since = (!self.line.is_empty()).then(|| self.since.unwrap_or_else(Instant::now));
        Ok(true)
    }

    /// Writes `bytes` to the standard stream of this process, and waits if it has no room. If the
    /// stream has no reader, the bytes are lost.
    fn copy(&self, mut bytes: &[u8]) {
        let to = if self.stream == Stream::Error { stdio::stderr() } else { stdio::stdout() };
        while !bytes.is_empty() {
            match io::write(to, bytes) {
                Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                // The caller made the stream non-blocking.
                Err(Errno::AGAIN) => {
                    let _ = poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], None);
                }
                Err(_) => return,
            }
        }
    }

    /// Appends the part of a line that was read to the log. If the log cannot be written, for
    /// example without memory, the part is lost: the guest does not depend on the log.
    fn flush(&mut self, writer: &mut Writer) {
        if !self.line.is_empty() {
            let _ = writer.append(now(), self.stream, &self.line);
            self.line.clear();
        }
        self.since = None;
    }

    /// Returns the time in which the part of a line must become a record; `None` without a part.
    fn rest(&self) -> Option<Duration> {
        self.since.map(|since| PART_AFTER.saturating_sub(since.elapsed()))
    }
}

/// Copies the bytes of the pipes `output` and `error` to the log until both pipes are at their end.
/// If `is_copied` is set, also copies them to the standard streams of this process. Returns the
/// log's writer.
///
/// # Errors
///
/// The errors of the pipes.
pub fn copy(output: OwnedFd, error: OwnedFd, mut writer: Writer, is_copied: bool) -> Result<Writer, Errno> {
    let source = |stream, pipe| Source { stream, pipe, line: Vec::new(), since: None };
    let mut sources = vec![source(Stream::Output, output), source(Stream::Error, error)];
    while !sources.is_empty() {
        let timeout = sources.iter().filter_map(Source::rest).min();
        let timeout = timeout.and_then(|rest| Timespec::try_from(rest).ok());
        let mut polled: Vec<_> =
            sources.iter().map(|source| PollFd::from_borrowed_fd(source.pipe.as_fd(), PollFlags::IN)).collect();
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        }
        let is_ready: Vec<_> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
        drop(polled);
        let mut open = Vec::new();
        for (mut source, is_ready) in sources.into_iter().zip(is_ready) {
            if is_ready && !source.read(&mut writer, is_copied)? {
                source.flush(&mut writer);
                continue;
            }
            if source.rest().is_some_and(|rest| rest.is_zero()) {
                source.flush(&mut writer);
            }
            open.push(source);
        }
        sources = open;
    }
    Ok(writer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::ring::{
        CAPACITY_MIN,
        Found,
        Reader, //
    };
    use rustix::pipe::{
        PipeFlags,
        pipe_with, //
    };
    use std::{
        fs::File,
        io::Write as _, //
    };

    fn records(write: impl FnOnce(File, File)) -> Vec<(Stream, String)> {
        records_in(CAPACITY_MIN * 8, write)
    }

    fn records_in(capacity: u64, write: impl FnOnce(File, File)) -> Vec<(Stream, String)> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let ((output, to_output), (error, to_error)) = (pipe(), pipe());
        let file = tempfile::tempfile().expect("a file");
        let mut reader = Reader::new(file.try_clone().expect("a descriptor"));
        let writer = Writer::new(file, capacity).expect("a ring");
        let copier = std::thread::spawn(move || copy(output, error, writer, false));
        write(File::from(to_output), File::from(to_error));
        copier.join().expect("no panic").expect("no error");
        let mut records = Vec::new();
        while let Found::Record(record) = reader.read().expect("a ring") {
            records.push((record.stream, String::from_utf8(record.text).expect("text")));
        }
        records
    }

    #[test]
    fn lines_become_records() {
        let found = records(|mut output, error| {
            drop(error);
            output.write_all(b"one\ntw").expect("room");
            output.write_all(b"o\n\nthree").expect("room");
        });
        let text: Vec<_> = found.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(text, ["one\n", "two\n", "\n", "three"]);
        assert!(found.iter().all(|(stream, _)| *stream == Stream::Output));
    }

    #[test]
    fn both_streams_are_read_to_the_end() {
        let found = records(|output, mut error| {
            drop(output);
            error.write_all(b"e\n").expect("room");
        });
        assert_eq!(found, [(Stream::Error, "e\n".to_owned())]);
        assert_eq!(records(|_, _| ()), []);
    }

    #[test]
    fn long_lines_are_split() {
        let found = records(|mut output, _| output.write_all(&[b'x'; LINE_MAX + 5]).expect("room"));
        let lengths: Vec<_> = found.iter().map(|(_, text)| text.len()).collect();
        assert_eq!(lengths, [LINE_MAX, 5]);
        // A record takes at most half of the ring.
        let found = records_in(CAPACITY_MIN, |mut output, _| output.write_all(&[b'x'; 3000]).expect("room"));
        let lengths: Vec<_> = found.iter().map(|(_, text)| text.len()).collect();
        assert_eq!(lengths, [2048, 952]);
    }

    #[test]
    fn a_part_of_a_line_does_not_wait_for_the_other_stream() {
        let found = records(|mut output, mut error| {
            output.write_all(b"login: ").expect("room");
            for _ in 0..12 {
                std::thread::sleep(Duration::from_millis(50));
                error.write_all(b"e\n").expect("room");
            }
            output.write_all(b"me\n").expect("room");
        });
        let text: Vec<_> = found.iter().filter(|(stream, _)| *stream == Stream::Output).map(|(_, text)| text).collect();
        assert_eq!(text, ["login: ", "me\n"]);
    }

    #[test]
    fn a_part_of_a_line_becomes_a_record_after_a_while() {
        let found = records(|mut output, _| {
            output.write_all(b"login: ").expect("room");
            std::thread::sleep(std::time::Duration::from_millis(600));
            output.write_all(b"me\n").expect("room");
        });
        let text: Vec<_> = found.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(text, ["login: ", "me\n"]);
    }
}
