// SPDX-License-Identifier: GPL-2.0

//! The terminal of the calling process.

use std::io::{
    self,
    IsTerminal as _, //
};

use rustix::termios::{
    OptionalActions,
    Termios, //
};

use crate::protocol::{
    Terminal,
    TerminalSize, //
};

/// Returns size and type of the terminal, if standard input and output are terminals.
#[must_use]
pub fn current() -> Option<Terminal> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return None;
    }
    let size = size().ok()?;
    let kind = std::env::var("TERM").unwrap_or_else(|_| "vt100".into());
    Some(Terminal { size, kind })
}

/// Returns the size of the terminal.
///
/// # Errors
/// Fails if standard output is not a terminal.
pub fn size() -> io::Result<TerminalSize> {
    let size = rustix::termios::tcgetwinsize(io::stdout())?;
    Ok(TerminalSize { rows: size.ws_row, columns: size.ws_col })
}

/// Raw mode of the terminal: typed characters go to the guest unchanged. Dropping this value
/// restores the previous mode.
#[derive(Debug)]
pub struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Switches the terminal to raw mode.
    ///
    /// # Errors
    /// Fails if standard input is not a terminal.
    pub fn new() -> io::Result<Self> {
        let before = rustix::termios::tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // The terminal may have been closed, so errors are ignored.
        rustix::termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.before).ok();
    }
}
