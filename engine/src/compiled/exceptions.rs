// SPDX-License-Identifier: GPL-2.0

//! Exceptions of an instance that a guest can still catch or refer to.
//!
//! A reference is a handle. An exception that is caught before a reference to it was made is freed
//! at once. A conservative collection frees the others: a word that looks like a handle keeps the
//! exception alive, wherever the word is.

use super::stop::InstanceStop;
use alloc::vec::Vec;

/// Highest bits of a handle, which make it an unlikely number.
const MAGIC: u64 = 0x7ec5 << 48;

/// Number of live exceptions below which none are collected.
const THRESHOLD_MIN: usize = 1024;

/// Number of words or exceptions that are looked at between two calls of [`crate::poll`].
const POLL_PERIOD: usize = 4096;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Free,
    /// Only the exception word refers to the exception.
    Fresh,
    /// References to the exception may exist.
    Referenced,
    /// Found by the present collection.
    Marked,
}

#[derive(Debug, Default)]
struct Exception {
    state: State,
    /// Number of exceptions that had this place before, modulo 2^16.
    generation: u16,
    tag: u32,
    /// Index plus 1 of the next exception in the list of free places, or of exceptions that are
    /// marked but not scanned; 0: none.
    next: u32,
    values: Vec<u64>,
}

/// Exceptions, by their handles.
#[derive(Debug, Default)]
pub(super) struct Exceptions {
    places: Vec<Exception>,
    /// Index plus 1 of the first free place; 0: none.
    free: u32,
    live: usize,
    /// Number of live exceptions and of every eight of their values.
    weight: usize,
    /// Weight that makes a collection due, if it is more than [`THRESHOLD_MIN`].
    threshold: usize,
}

impl Exceptions {
    /// Makes an exception; returns its handle.
    ///
    /// # Errors
    ///
    /// [`InstanceStop::OutOfMemory`] if no memory is available.
    pub(super) fn add(&mut self, tag: u32, values: &[u64]) -> Result<u64, InstanceStop> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(values.len()).map_err(|_| InstanceStop::OutOfMemory)?;
        copy.extend_from_slice(values);
        let index = match self.free.checked_sub(1) {
            Some(index) => index,
            None => {
                let index = u32::try_from(self.places.len()).map_err(|_| InstanceStop::OutOfMemory)?;
                self.places.try_reserve(1).map_err(|_| InstanceStop::OutOfMemory)?;
                self.places.push(Exception::default());
                index
            }
        };
        let place = self.places.get_mut(index as usize).ok_or(InstanceStop::OutOfMemory)?;
        self.free = core::mem::take(&mut place.next);
        self.live = self.live.saturating_add(1);
        self.weight = self.weight.saturating_add(weight(&copy));
        *place = Exception { state: State::Fresh, generation: place.generation, tag, next: 0, values: copy };
        Ok(MAGIC | u64::from(place.generation) << 32 | u64::from(index))
    }

    /// Returns the index of the exception whose handle is `word`.
    fn index(&self, word: u64) -> Option<usize> {
        let index = usize::try_from(word & u64::from(u32::MAX)).ok()?;
        let place = self.places.get(index)?;
        let is_handle = word >> 32 == MAGIC >> 32 | u64::from(place.generation) && place.state != State::Free;
        is_handle.then_some(index)
    }

    /// Returns the tag of the exception with this handle; `None` if there is none.
    pub(super) fn tag(&self, handle: u64) -> Option<u32> {
        self.places.get(self.index(handle)?).map(|exception| exception.tag)
    }

    /// Catches the exception with this handle: calls `take` with each of its values and their
    /// indices. Frees it if it has no references, and none is made.
    pub(super) fn catch(&mut self, handle: u64, has_ref: bool, mut take: impl FnMut(usize, u64)) {
        let Some(index) = self.index(handle) else { return };
        let Some(exception) = self.places.get_mut(index) else { return };
        for (index, value) in exception.values.iter().enumerate() {
            take(index, *value);
        }
        if has_ref {
            exception.state = State::Referenced;
        } else if exception.state == State::Fresh {
            self.release(index);
        }
    }

    /// Frees the exception at `index`.
    fn release(&mut self, index: usize) {
        let (Some(place), Ok(number)) = (self.places.get_mut(index), u32::try_from(index)) else { return };
        let generation = place.generation.wrapping_add(1);
        self.weight = self.weight.saturating_sub(weight(&place.values));
        *place = Exception { generation, next: self.free, ..Exception::default() };
        self.free = number.saturating_add(1);
        self.live = self.live.saturating_sub(1);
    }

    /// Returns true if a collection is due.
    pub(super) fn is_collection_due(&self) -> bool {
        self.weight >= self.threshold.max(THRESHOLD_MIN)
    }

    /// Returns the number of exceptions that are not freed.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Frees the exceptions whose handles are neither among `words` nor among the values of others
    /// that are kept.
    pub(super) fn collect(&mut self, words: impl Iterator<Item = u64>) {
        let mut marked = 0;
        for (count, word) in words.enumerate() {
            poll(count);
            self.mark(word, &mut marked);
        }
        let mut count: usize = 0;
        while let Some(index) = marked.checked_sub(1) {
            let Some(exception) = self.places.get_mut(index as usize) else { break };
            marked = core::mem::take(&mut exception.next);
            let values = core::mem::take(&mut exception.values);
            for value in &values {
                self.mark(*value, &mut marked);
                poll(count);
                count = count.wrapping_add(1);
            }
            if let Some(exception) = self.places.get_mut(index as usize) {
                exception.values = values;
            }
        }
        for index in 0..self.places.len() {
            poll(index);
            let Some(exception) = self.places.get_mut(index) else { break };
            match exception.state {
                State::Marked => exception.state = State::Referenced,
                State::Fresh | State::Referenced => self.release(index),
                State::Free => {}
            }
        }
        // A collection looks at all places, the free ones too.
        self.threshold = self.weight.saturating_mul(2).max(self.places.len() / 4);
    }

    /// Marks the exception whose handle `word` is, if there is one, and puts it into the list that
    /// begins at `first`.
    fn mark(&mut self, word: u64, first: &mut u32) {
        let Some(index) = self.index(word) else { return };
        let (Some(exception), Ok(number)) = (self.places.get_mut(index), u32::try_from(index)) else { return };
        if exception.state != State::Marked {
            exception.state = State::Marked;
            exception.next = *first;
            *first = number.saturating_add(1);
        }
    }
}

/// Weight of an exception with these values.
fn weight(values: &[u64]) -> usize {
    (values.len() / 8).saturating_add(1)
}

/// Lets the host end a long operation, after `count` steps of it.
fn poll(count: usize) {
    if count % POLL_PERIOD == POLL_PERIOD.saturating_sub(1) {
        crate::poll();
    }
}
