// SPDX-License-Identifier: GPL-2.0

//! A failure of the command: exit status, subject and reason, printed as one line.

use crate::exit::Exit;
use std::fmt::{
    self,
    Write as _, //
};

/// A failure of the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Exit status of the command.
    pub exit: Exit,
    /// Subject of the reason, mostly the name of a file.
    pub subject: String,
    /// Reason.
    pub reason: String,
}

impl Failure {
    /// Creates a failure.
    pub fn new(exit: Exit, subject: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { exit, subject: subject.into(), reason: reason.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", line(&self.subject), line(&self.reason))
    }
}

/// Returns `text` as one line. Line breaks become a space, and other control characters are
/// escaped: text that a guest controls (names of imports) can neither move the cursor nor imitate
/// another message.
#[must_use]
pub fn line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for (index, part) in text.split(['\n', '\r']).map(str::trim).filter(|part| !part.is_empty()).enumerate() {
        if index > 0 {
            line.push(' ');
        }
        for char in part.chars() {
            if char.is_control() {
                let _ = write!(line, "{}", char.escape_default());
            } else {
                line.push(char);
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line() {
        let failure = Failure::new(Exit::Refused, "a\nb.wasm", "not valid:\n  at offset 3\r\n\n\u{1b}[2J\tend\n");
        assert_eq!(failure.to_string(), "a b.wasm: not valid: at offset 3 \\u{1b}[2J\\tend");
    }

    #[test]
    fn other_text_is_unchanged() {
        assert_eq!(line("größer 1 'a' \"b\" \\"), "größer 1 'a' \"b\" \\");
        assert_eq!(line(""), "");
        assert_eq!(line("\n"), "");
    }
}
