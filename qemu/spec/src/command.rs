// SPDX-License-Identifier: GPL-2.0

//! Runs programs by a command with the exit statuses and messages of `kwasmi-native`.

use crate::runner::{
    Outcome,
    Runner,
    Trap, //
};
use std::{
    fs,
    io,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{
        Command,
        Stdio, //
    }, //
};
use tempfile::TempDir;

/// Runner that passes the path of a program to a command.
#[derive(Debug)]
pub struct ByCommand {
    command: PathBuf,
    folder: TempDir,
}

impl ByCommand {
    /// Creates a runner with a temporary folder for programs.
    ///
    /// # Errors
    ///
    /// Fails if the folder cannot be created.
    pub fn new(command: PathBuf) -> io::Result<Self> {
        Ok(Self { command, folder: tempfile::tempdir()? })
    }

    fn try_run(&self, wasm: &[u8]) -> io::Result<Outcome> {
        let path = self.folder.path().join("program.wasm");
        fs::write(&path, wasm)?;
        let output = Command::new(&self.command).arg(&path).stdin(Stdio::null()).output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        // Strip the command's name and the program's path from the message.
        let words = text.trim_end().rsplit_once("program.wasm: ").map_or(&*text, |(_, words)| words);
        let Some(status) = output.status.code() else {
            return Ok(Outcome::Other(format!("signal {}", output.status.signal().unwrap_or_default())));
        };
        Ok(ending(status.cast_unsigned(), words))
    }
}

/// Translates an exit status and the message on standard error to an outcome.
fn ending(status: u32, words: &str) -> Outcome {
    match (status, words) {
        (124, _) if words.starts_with("limit reached: stack") => Outcome::Exhausted,
        (134, _) => match Trap::from_words(words.trim_start_matches("trap: ")) {
            Some(trap) => Outcome::Trapped(trap),
            None => Outcome::Other(words.to_owned()),
        },
        (124, _) if words.starts_with("limit reached: ") => Outcome::Limited(words.to_owned()),
        (126, _) => Outcome::Refused(words.to_owned()),
        (status, "") => Outcome::Exited(status),
        (status, words) => Outcome::Other(format!("{status}: {words}")),
    }
}

impl Runner for ByCommand {
    fn run(&mut self, wasm: &[u8]) -> Outcome {
        self.try_run(wasm).unwrap_or_else(|error| Outcome::Other(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_statuses_and_messages_map_to_outcomes() {
        assert_eq!(ending(0, ""), Outcome::Exited(0));
        assert_eq!(ending(1, ""), Outcome::Exited(1));
        assert_eq!(ending(134, "trap: integer overflow"), Outcome::Trapped(Trap::IntegerOverflow));
        assert_eq!(ending(124, "limit reached: stack (call stack exhausted)"), Outcome::Exhausted);
        assert_eq!(ending(126, "not valid Wasm"), Outcome::Refused("not valid Wasm".to_owned()));
        assert!(matches!(ending(125, "engine fault: none"), Outcome::Other(_)));
        assert!(matches!(ending(124, "limit reached: fuel"), Outcome::Limited(_)));
        assert!(matches!(ending(124, "out of memory"), Outcome::Other(_)));
    }
}
