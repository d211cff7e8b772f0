// SPDX-License-Identifier: GPL-2.0

//! Shows the elapsed time of a load on standard error, if that is a terminal, the module has at
//! least 1 MiB, and the load takes more than a second.

use crate::failure::line;
use indicatif::{
    ProgressBar,
    ProgressStyle, //
};
use std::{
    io::{
        self,
        IsTerminal as _, //
    },
    sync::mpsc::{
        self,
        RecvTimeoutError,
        Sender, //
    },
    thread::{
        self,
        JoinHandle, //
    },
    time::Duration, //
};

/// Time after which a load shows its progress.
const DELAY: Duration = Duration::from_secs(1);

/// Time between two frames of the display.
const FRAME: Duration = Duration::from_millis(100);

/// Minimum size in bytes of a module whose load shows progress.
const SIZE_MIN: usize = 1 << 20;

/// Display of the progress of a load. Dropping it removes the display.
#[derive(Debug)]
pub(crate) struct Progress(Option<(Sender<()>, JoinHandle<()>)>);

impl Progress {
    /// Shows the progress of the load of `size` bytes, called `name`, once the load has taken a
    /// second.
    pub(crate) fn of_load(name: &str, size: usize) -> Self {
        if size < SIZE_MIN || !io::stderr().is_terminal() {
            return Self(None);
        }
        let (sender, receiver) = mpsc::channel::<()>();
        let text = format!("loading {}, {} MiB", line(name), size >> 20);
        let thread = thread::Builder::new().spawn(move || {
            if receiver.recv_timeout(DELAY) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let bar = ProgressBar::new_spinner().with_message(text).with_elapsed(DELAY);
            if let Ok(style) = ProgressStyle::with_template("kwasmi: {msg}: {elapsed} {spinner}") {
                bar.set_style(style);
            }
            while receiver.recv_timeout(FRAME) == Err(RecvTimeoutError::Timeout) {
                bar.tick();
            }
            bar.finish_and_clear();
        });
        // Without a thread there is no display.
        Self(thread.ok().map(|thread| (sender, thread)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.0.take() {
            drop(sender);
            // The thread does not panic.
            let _ = thread.join();
        }
    }
}
