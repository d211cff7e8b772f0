// SPDX-License-Identifier: GPL-2.0

//! The timer of compiled guests: a thread.

use crate::host_operations::Ticks;
use std::{
    io,
    sync::{
        atomic::{
            AtomicU64,
            Ordering, //
        },
        mpsc::{
            self,
            RecvTimeoutError,
            Sender, //
        }, //
    },
    thread::{
        self,
        JoinHandle, //
    },
    time::Duration,
};

/// Time between two ticks: that of the kernel module.
const INTERVAL: Duration = Duration::from_millis(2);

/// A thread that sets the words of a compiled guest. It ends when this value is dropped.
pub(super) struct Ticker(Option<(Sender<()>, JoinHandle<()>)>);

impl Ticker {
    /// Starts to set the words of `ticks`.
    ///
    /// # Errors
    ///
    /// The error of `thread::Builder::spawn` if no thread can be started.
    ///
    /// # Safety
    ///
    /// The value must be dropped before the invariant of `ticks` ends.
    pub(super) unsafe fn start(ticks: Ticks) -> io::Result<Self> {
        let words = ticks.into_parts().map(|(word, value)| (word.expose_provenance(), value));
        let (sender, receiver) = mpsc::channel();
        let run = move || {
            while receiver.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                for (word, value) in words {
                    // SAFETY: By the invariant of `Ticks` it is the address of an aligned word that
                    // is accessed atomically, until this thread has ended.
                    let word = unsafe { AtomicU64::from_ptr(std::ptr::with_exposed_provenance_mut(word)) };
                    word.store(value, Ordering::Relaxed);
                }
            }
        };
        Ok(Self(Some((sender, thread::Builder::new().spawn(run)?))))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.0.take() {
            drop(sender);
            // The thread does not panic.
            let _ = thread.join();
        }
    }
}
