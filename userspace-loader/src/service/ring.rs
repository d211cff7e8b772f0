// SPDX-License-Identifier: GPL-2.0

//! Ring buffer of log records in a file. One process writes it, and others read it.
//!
//! The file is a header of five 64-bit numbers (magic, `capacity`, `begin`, `end`, `dropped`) and
//! `capacity` bytes of records. All numbers are in native byte order. A position counts the bytes
//! of all records so far; the byte at position `n` is stored at offset `n % capacity` after the
//! header. The ring holds the records from position `begin` to position `end`. A record is its time
//! (64 bits), its stream and the length of its text (32 bits each), and the text, padded to a
//! multiple of 8 bytes.
//!
//! The writer advances `begin` before it overwrites old records, and `end` after it has written a
//! record. A reader copies a record and then reads `begin`. If `begin` is not beyond the start of
//! the record, the writer did not overwrite the record during the copy.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _, //
};

/// First number of the file: "kwasmilg".
const MAGIC: u64 = u64::from_ne_bytes(*b"kwasmilg");

/// Size of the file's header, in bytes.
const HEADER_LEN: usize = 40;
const HEADER: u64 = HEADER_LEN as u64;

/// Size of a record's header, in bytes.
const RECORD_LEN: usize = 16;
const RECORD: u64 = RECORD_LEN as u64;

/// Smallest capacity of a ring, in bytes.
pub const CAPACITY_MIN: u64 = 4096;

/// Largest capacity of a ring, in bytes.
pub const CAPACITY_MAX: u64 = 1 << 30;

/// Origin of a record's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The supervisor, whose one record says how the guest ended.
    Supervisor,
    /// The guest's standard output.
    Output,
    /// The guest's standard error.
    Error,
}

impl Stream {
    fn number(self) -> u32 {
        match self {
            Self::Supervisor => 0,
            Self::Output => 1,
            Self::Error => 2,
        }
    }

    fn from_number(number: u32) -> Option<Self> {
        [Self::Supervisor, Self::Output, Self::Error].into_iter().find(|stream| stream.number() == number)
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Time: CLOCK_REALTIME, in nanoseconds.
    pub time: u64,
    /// Origin of the text.
    pub stream: Stream,
    /// Text: a line with its line feed, or a part of a line.
    pub text: Vec<u8>,
}

/// Header of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    capacity: u64,
    /// Position of the first record.
    begin: u64,
    /// Position after the last record.
    end: u64,
    /// Number of records before `begin`, which were dropped.
    dropped: u64,
}

impl Header {
    fn read(file: &File) -> io::Result<Self> {
        let mut bytes = [0; HEADER_LEN];
        file.read_exact_at(&mut bytes, 0)?;
        let mut numbers = [0; 5];
        for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *number = u64::from_ne_bytes(*bytes);
        }
        let [magic, capacity, begin, end, dropped] = numbers;
        let is_valid = magic == MAGIC && (CAPACITY_MIN..=CAPACITY_MAX).contains(&capacity) && begin <= end;
        if !is_valid {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a log of kwasmi"));
        }
        Ok(Self { capacity, begin, end, dropped })
    }

    fn write(&self, file: &File) -> io::Result<()> {
        let numbers = [MAGIC, self.capacity, self.begin, self.end, self.dropped];
        file.write_all_at(numbers.map(u64::to_ne_bytes).as_flattened(), 0)
    }

    /// Splits `len` bytes at `position` into a part up to the end of the ring, and a part from the
    /// ring's start. Returns the first part's offset in the file, and its length.
    fn place(&self, position: u64, len: usize) -> (u64, usize) {
        let offset = position % self.capacity;
        let first = usize::try_from(self.capacity - offset).map_or(len, |rest| rest.min(len));
        (HEADER + offset, first)
    }

    fn read_at(&self, file: &File, position: u64, bytes: &mut [u8]) -> io::Result<()> {
        let (place, first) = self.place(position, bytes.len());
        let (first, rest) = bytes.split_at_mut(first);
        file.read_exact_at(first, place)?;
        file.read_exact_at(rest, HEADER)
    }

    fn write_at(&self, file: &File, position: u64, bytes: &[u8]) -> io::Result<()> {
        let (place, first) = self.place(position, bytes.len());
        let (first, rest) = bytes.split_at(first);
        file.write_all_at(first, place)?;
        file.write_all_at(rest, HEADER)
    }

    /// Reads the header of the record at `position`: time, stream, and length of the text.
    fn record(&self, file: &File, position: u64) -> io::Result<(u64, u32, u32)> {
        let mut bytes = [0; RECORD_LEN];
        self.read_at(file, position, &mut bytes)?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        Ok((
            u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            u32::from_ne_bytes([i, j, k, l]),
            u32::from_ne_bytes([m, n, o, p]),
        ))
    }
}

/// Returns the size of a record with a text of `len` bytes, in bytes.
fn size(len: u32) -> u64 {
    RECORD + u64::from(len).next_multiple_of(8)
}

/// Writer of a ring.
#[derive(Debug)]
pub struct Writer {
    file: File,
    header: Header,
}

impl Writer {
    /// Creates an empty ring in `file`, which must be empty. `capacity` is clamped to the range
    /// from [`CAPACITY_MIN`] to [`CAPACITY_MAX`], and rounded up to a multiple of 8.
    ///
    /// # Errors
    ///
    /// The errors of the file.
    pub fn new(file: File, capacity: u64) -> io::Result<Self> {
        let capacity = capacity.clamp(CAPACITY_MIN, CAPACITY_MAX).next_multiple_of(8);
        let header = Header { capacity, begin: 0, end: 0, dropped: 0 };
        file.set_len(HEADER + capacity)?;
        header.write(&file)?;
        Ok(Self { file, header })
    }

    /// Returns the length of the longest text of a record, in bytes: half of the ring.
    #[must_use]
    pub fn text_max(&self) -> usize {
        usize::try_from(self.header.capacity / 2).unwrap_or(usize::MAX)
    }

    /// Appends a record, and drops the oldest ones if there is no room. A text that is longer than
    /// [`Self::text_max`] is cut off.
    ///
    /// # Errors
    ///
    /// The errors of the file.
    pub fn append(&mut self, time: u64, stream: Stream, text: &[u8]) -> io::Result<()> {
        let text = text.get(..self.text_max()).unwrap_or(text);
        let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let mut dropped = false;
        while self.header.end - self.header.begin + size(len) > self.header.capacity {
            let (_, _, oldest) = self.header.record(&self.file, self.header.begin)?;
            // Another process with the rights of this one may have written to the file.
            self.header.begin = (self.header.begin + size(oldest)).min(self.header.end);
            self.header.dropped += 1;
            dropped = true;
        }
        if dropped {
            self.header.write(&self.file)?;
        }
        let mut bytes = Vec::with_capacity(RECORD_LEN + text.len());
        bytes.extend_from_slice(&time.to_ne_bytes());
        bytes.extend_from_slice(&stream.number().to_ne_bytes());
        bytes.extend_from_slice(&len.to_ne_bytes());
        bytes.extend_from_slice(text);
        self.header.write_at(&self.file, self.header.end, &bytes)?;
        self.header.end += size(len);
        self.header.write(&self.file)
    }
}

/// Reader of a ring. It reads each record once, in order.
#[derive(Debug)]
pub struct Reader {
    file: File,
    position: u64,
    /// Number of records before `position`.
    number: u64,
}

/// Result of [`Reader::read`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The next record.
    Record(Record),
    /// Number of records that were dropped before they were read.
    Dropped(u64),
    /// All records were read.
    End,
}

impl Reader {
    /// Creates a reader that begins with the oldest record.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self { file, position: 0, number: 0 }
    }

    /// Returns the position behind the last record that the ring has now.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the file is not a ring; the errors of the file.
    pub fn end(&self) -> io::Result<u64> {
        Ok(Header::read(&self.file)?.end)
    }

    /// Returns true if each record before `position` was read or dropped.
    #[must_use]
    pub fn is_at(&self, position: u64) -> bool {
        self.position >= position
    }

    /// Reads the next record.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the file is not a ring; the errors of the file.
    pub fn read(&mut self) -> io::Result<Found> {
        loop {
            let header = Header::read(&self.file)?;
            if self.position < header.begin {
                let missed = header.dropped.saturating_sub(self.number);
                (self.position, self.number) = (header.begin, header.dropped);
                return Ok(Found::Dropped(missed));
            }
            if self.position >= header.end {
                return Ok(Found::End);
            }
            let wrong = || io::Error::new(io::ErrorKind::InvalidData, "a record of the log is damaged");
            let text_position = self.position.checked_add(RECORD).ok_or_else(wrong)?;
            let (time, stream, len) = header.record(&self.file, self.position)?;
            let mut text = vec![0; usize::try_from(u64::from(len).min(header.capacity)).unwrap_or(0)];
            header.read_at(&self.file, text_position, &mut text)?;
            // The record may have been overwritten while it was read.
            if Header::read(&self.file)?.begin > self.position {
                continue;
            }
            let stream = Stream::from_number(stream).ok_or_else(wrong)?;
            self.position =
                self.position.checked_add(size(len)).filter(|next| *next <= header.end).ok_or_else(wrong)?;
            self.number = self.number.saturating_add(1);
            return Ok(Found::Record(Record { time, stream, text }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(capacity: u64) -> (Writer, Reader) {
        let file = tempfile::tempfile().expect("a file");
        let reader = Reader::new(file.try_clone().expect("a descriptor"));
        (Writer::new(file, capacity).expect("an empty ring"), reader)
    }

    fn record(reader: &mut Reader) -> Record {
        match reader.read().expect("a ring") {
            Found::Record(record) => record,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn records_are_read_in_order() {
        let (mut writer, mut reader) = ring(CAPACITY_MIN);
        assert_eq!(reader.read().expect("a ring"), Found::End);
        writer.append(5, Stream::Output, b"one\n").expect("room");
        writer.append(6, Stream::Error, b"").expect("room");
        assert_eq!(record(&mut reader), Record { time: 5, stream: Stream::Output, text: b"one\n".to_vec() });
        assert_eq!(record(&mut reader), Record { time: 6, stream: Stream::Error, text: vec![] });
        assert_eq!(reader.read().expect("a ring"), Found::End);
        writer.append(7, Stream::Supervisor, b"end").expect("room");
        assert_eq!(record(&mut reader).text, b"end");
    }

    #[test]
    fn old_records_are_dropped_and_counted() {
        let (mut writer, mut reader) = ring(CAPACITY_MIN);
        let (mut written, mut seen, mut dropped) = (0, 0, 0);
        // Lengths that are no multiple of 8, so that records wrap around at every place.
        for round in 0..300_u64 {
            for len in 0..(round % 40) {
                let text = vec![u8::try_from(round % 251).expect("small"); usize::try_from(len * 7).expect("small")];
                writer.append(round, Stream::Output, &text).expect("room");
                written += 1;
            }
            loop {
                match reader.read().expect("a ring") {
                    Found::Record(record) => {
                        assert!(record.text.iter().all(|byte| u64::from(*byte) == record.time % 251));
                        seen += 1;
                    }
                    Found::Dropped(count) => dropped += count,
                    Found::End => break,
                }
            }
        }
        assert_eq!(seen + dropped, written);
        assert!(dropped > 0 && seen > dropped);
    }

    #[test]
    fn a_long_text_is_cut_off() {
        let (mut writer, mut reader) = ring(0);
        writer.append(1, Stream::Output, &[b'x'; 10_000]).expect("room");
        assert_eq!(record(&mut reader).text, [b'x'; 2048]);
    }

    #[test]
    fn a_writer_survives_a_damaged_ring() {
        let (mut writer, mut reader) = ring(CAPACITY_MIN);
        for _ in 0..3 {
            for _ in 0..500 {
                writer.append(1, Stream::Output, b"text").expect("room");
            }
            writer.file.write_all_at(&[0xff; 4096], HEADER).expect("room");
        }
        writer.append(2, Stream::Output, b"behind").expect("room");
        // A reader of the damage ends, and one that begins behind it finds the record.
        while matches!(reader.read(), Ok(Found::Record(_) | Found::Dropped(_))) {}
        (reader.position, reader.number) = (writer.header.end - size(6), 0);
        assert_eq!(record(&mut reader).text, b"behind");
    }

    #[test]
    fn a_reader_survives_a_damaged_header() {
        let (writer, mut reader) = ring(CAPACITY_MIN);
        for (begin, end) in [(u64::MAX - 3, u64::MAX), (u64::MAX - 24, u64::MAX), (1, u64::MAX)] {
            writer.file.write_all_at(&[0xff; 4096], HEADER).expect("room");
            Header { begin, end, dropped: u64::MAX, ..writer.header }.write(&writer.file).expect("room");
            (reader.position, reader.number) = (0, 0);
            assert_eq!(reader.read().expect("a header"), Found::Dropped(u64::MAX));
            assert_eq!(reader.read().expect_err("damaged").to_string(), "a record of the log is damaged");
        }
    }

    #[test]
    fn a_reader_knows_where_the_ring_ended() {
        let (mut writer, mut reader) = ring(CAPACITY_MIN);
        writer.append(1, Stream::Output, b"one").expect("room");
        let end = reader.end().expect("a ring");
        writer.append(2, Stream::Output, b"two").expect("room");
        assert!(!reader.is_at(end));
        record(&mut reader);
        assert!(reader.is_at(end));
    }

    #[test]
    fn other_files_are_refused() {
        let file = tempfile::tempfile().expect("a file");
        assert!(Reader::new(file.try_clone().expect("a descriptor")).read().is_err());
        file.set_len(10_000).expect("room");
        let error = Reader::new(file).read().expect_err("is empty");
        assert_eq!(error.to_string(), "not a log of kwasmi");
    }

    #[test]
    fn a_reader_beside_a_writer_sees_whole_records() {
        let (mut writer, mut reader) = ring(CAPACITY_MIN);
        let count = 20_000;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for number in 0..count {
                    let text = vec![
                        b'a' + u8::try_from(number % 26).expect("small");
                        1 + usize::try_from(number % 300).expect("small")
                    ];
                    writer.append(number, Stream::Output, &text).expect("room");
                }
            });
            let (mut number, mut next) = (0, 0);
            while number < count {
                match reader.read().expect("a ring") {
                    Found::Record(record) => {
                        assert!(record.time >= next, "{record:?}");
                        assert_eq!(record.text.len() as u64, 1 + record.time % 300);
                        assert!(record.text.iter().all(|byte| u64::from(byte - b'a') == record.time % 26));
                        next = record.time + 1;
                        number += 1;
                    }
                    Found::Dropped(missed) => number += missed,
                    Found::End => std::thread::yield_now(),
                }
            }
            assert_eq!(number, count);
        });
    }
}
