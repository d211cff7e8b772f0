// SPDX-License-Identifier: GPL-2.0

//! The caller's terminal.

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

/// The terminal that standard input and output are, if they are one.
#[must_use]
pub fn current() -> Option<Terminal> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return None;
    }
    let size = size().ok()?;
    let kind = std::env::var("TERM").unwrap_or_else(|_| "vt100".into());
    Some(Terminal { size, kind })
}

/// Its size.
///
/// # Errors
/// Standard output is not a terminal.
pub fn size() -> io::Result<TerminalSize> {
    let size = rustix::termios::tcgetwinsize(io::stdout())?;
    Ok(TerminalSize { rows: size.ws_row, columns: size.ws_col })
}

/// The terminal in raw mode: what is typed goes to the guest as it is. Dropped, it is again as it was.
#[derive(Debug)]
pub struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Switches it on.
    ///
    /// # Errors
    /// Standard input is not a terminal.
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
        // A terminal that has gone needs no mode.
        rustix::termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.before).ok();
    }
}
