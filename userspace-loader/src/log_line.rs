// SPDX-License-Identifier: GPL-2.0

//! Output of `kwasmi logs -j`: a line of JSON for each line of the log (`docs/services.md`).

use crate::service::ring::{
    Record,
    Stream, //
};
use serde::Serialize;
use std::time::{
    Duration,
    SystemTime, //
};

/// Line of a log.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum LogLine<'a> {
    /// A record.
    Record {
        /// Time (UTC), in the format of RFC 3339.
        time: String,
        /// Origin of the text.
        stream: &'static str,
        /// The text.
        text: Text<'a>,
    },
    /// A gap.
    Dropped {
        /// Number of records that were dropped.
        dropped: u64,
    },
}

/// Text of a guest.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub enum Text<'a> {
    /// UTF-8.
    Utf8(&'a str),
    /// Other bytes.
    Bytes(&'a [u8]),
}

impl<'a> LogLine<'a> {
    /// Returns the line for `record`, without its line feed.
    #[must_use]
    pub fn new(record: &'a Record) -> Self {
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(record.time);
        let bytes = record.text.strip_suffix(b"\n").unwrap_or(&record.text);
        Self::Record {
            time: humantime::format_rfc3339_nanos(time).to_string(),
            stream: match record.stream {
                Stream::Output => "stdout",
                Stream::Error => "stderr",
                Stream::Supervisor => "kwasmi",
            },
            text: str::from_utf8(bytes).map_or(Text::Bytes(bytes), Text::Utf8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(stream: Stream, text: &[u8]) -> String {
        let record = Record { time: 1_500_000_001, stream, text: text.to_vec() };
        serde_json::to_string(&LogLine::new(&record)).expect("is plain data")
    }

    #[test]
    fn lines_are_json() {
        let time = r#""time":"1970-01-01T00:00:01.500000001Z""#;
        assert_eq!(json(Stream::Output, b"a\"b\n"), format!(r#"{{{time},"stream":"stdout","text":"a\"b"}}"#));
        assert_eq!(json(Stream::Error, b"\xff\n"), format!(r#"{{{time},"stream":"stderr","text":[255]}}"#));
        assert_eq!(json(Stream::Supervisor, b""), format!(r#"{{{time},"stream":"kwasmi","text":""}}"#));
        assert_eq!(serde_json::to_string(&LogLine::Dropped { dropped: 3 }).expect("is plain data"), r#"{"dropped":3}"#);
    }
}
