// SPDX-License-Identifier: GPL-2.0

//! Full-screen output on a terminal (console_codes(4)).

use rustix::{
    event::{
        PollFd,
        PollFlags,
        Timespec,
        poll, //
    },
    io::Errno,
    termios::{
        LocalModes,
        OptionalActions,
        Termios,
        isatty,
        tcgetattr,
        tcgetwinsize,
        tcsetattr, //
    }, //
};
use signal_hook::{
    SigId,
    flag,
    low_level, //
};
use std::{
    ffi::c_int,
    io::{
        self,
        Write as _, //
    },
    sync::{
        Arc,
        atomic::{
            AtomicUsize,
            Ordering, //
        }, //
    },
    time::Duration, //
};

/// Switches to the alternate screen, and hides the cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";

/// Shows the cursor, and switches back.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Moves the cursor to the top left corner.
const HOME: &str = "\x1b[H";

/// Clears the rest of the line.
const CLEAR_LINE: &str = "\x1b[K";

/// Clears the rest of the screen.
const CLEAR_SCREEN: &str = "\x1b[J";

/// Begins and ends a line in reverse video.
const REVERSE: (&str, &str) = ("\x1b[7m", "\x1b[0m");

/// Signals that end the command after it has restored the terminal.
const SIGNALS: [c_int; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

/// Ctrl-C, which is a character while the terminal sends no signals.
const CTRL_C: u8 = 3;

/// End of a full-screen output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The user pressed `q` or Ctrl-C, or closed the terminal.
    Key,
    /// This signal arrived.
    Signal(c_int),
}

/// Terminal in full-screen mode. Dropping it restores the terminal.
#[derive(Debug)]
pub struct Screen {
    before: Termios,
    /// Signal that has arrived, or 0.
    signal: Arc<AtomicUsize>,
    handlers: Vec<SigId>,
}

impl Screen {
    /// Returns the terminal in full-screen mode; `None` if standard input or output is not a
    /// terminal.
    ///
    /// # Errors
    ///
    /// The errors of sigaction(2), tcgetattr(3) and tcsetattr(3).
    pub fn open() -> io::Result<Option<Self>> {
        let input = io::stdin();
        if !isatty(&input) || !isatty(io::stdout()) {
            return Ok(None);
        }
        let before = tcgetattr(&input)?;
        let mut screen = Self { before, signal: Arc::default(), handlers: Vec::new() };
        for signal in SIGNALS {
            let value = usize::try_from(signal).unwrap_or(0);
            screen.handlers.push(flag::register_usize(signal, screen.signal.clone(), value)?);
        }
        let mut modes = screen.before.clone();
        modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(&input, OptionalActions::Now, &modes)?;
        write(ENTER)?;
        Ok(Some(screen))
    }

    /// Shows `text` instead of what is on the screen, its line `heading` in reverse video. Cuts off
    /// what does not fit.
    ///
    /// # Errors
    ///
    /// The errors of write(2).
    pub fn show(&self, text: &str, heading: usize) -> io::Result<()> {
        // A terminal that does not know its size says that it has no rows.
        let size = tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_row > 0 && size.ws_col > 0);
        let size = size.map_or((24, 80), |size| (size.ws_row.into(), size.ws_col.into()));
        write(&page(text, heading, size))
    }

    /// Waits for `duration`, or until the user or a signal ends the output.
    ///
    /// # Errors
    ///
    /// The errors of poll(2) and read(2).
    pub fn wait(&self, duration: Duration) -> io::Result<Option<End>> {
        let input = io::stdin();
        let until = std::time::Instant::now() + duration;
        loop {
            if let Some(signal) = c_int::try_from(self.signal.load(Ordering::Relaxed)).ok().filter(|signal| *signal > 0)
            {
                return Ok(Some(End::Signal(signal)));
            }
            let rest = until.saturating_duration_since(std::time::Instant::now());
            if rest.is_zero() {
                return Ok(None);
            }
            let timeout = Timespec::try_from(rest).ok();
            match poll(&mut [PollFd::new(&input, PollFlags::IN)], timeout.as_ref()) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => {
                    let mut keys = [0; 64];
                    match rustix::io::read(&input, &mut keys) {
                        Ok(0) => return Ok(Some(End::Key)),
                        Ok(len) if keys.iter().take(len).any(|key| matches!(*key, b'q' | b'Q' | CTRL_C)) => {
                            return Ok(Some(End::Key));
                        }
                        Ok(_) | Err(Errno::INTR) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = write(LEAVE);
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
        for handler in self.handlers.drain(..) {
            low_level::unregister(handler);
        }
    }
}

/// Ends the process as `signal` does by default.
pub fn end_by(signal: c_int) {
    // It fails for an unknown signal only.
    let _ = low_level::emulate_default_handler(signal);
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Returns what a terminal with this number of rows and columns needs to show `text`.
fn page(text: &str, heading: usize, (rows, columns): (usize, usize)) -> String {
    let lines = text.lines().take(rows).enumerate().map(|(index, line)| {
        let cut: String = line.chars().take(columns).collect();
        if index == heading { format!("{}{cut}{}", REVERSE.0, REVERSE.1) } else { cut }
    });
    let lines: Vec<_> = lines.map(|line| line + CLEAR_LINE).collect();
    format!("{HOME}{}{CLEAR_SCREEN}", lines.join("\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_fit_the_terminal() {
        assert_eq!(page("ab\ncde\nf\n", 1, (2, 2)), "\x1b[Hab\x1b[K\r\n\x1b[7mcd\x1b[0m\x1b[K\x1b[J");
        assert_eq!(page("", 0, (24, 80)), "\x1b[H\x1b[J");
    }
}
