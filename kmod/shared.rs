// SPDX-License-Identifier: GPL-2.0

//! Code that several modules share: whoever loads bytes that somebody has loaded, and still has a descriptor of, gets the same
//! code, and nothing is translated again.
//!
//! It is kept for as long as somebody has it, and no longer: who wants a second start to be a fast one keeps a descriptor open.
//! So whoever keeps code pays for it, and there is nothing to be evicted. As with pages of a file, it is charged to the memory
//! cgroup of who came first.

use crate::{
    code::{
        Code,
        CodeLimits, //
    },
    limits::Chosen,
    policy::Hash,
    table::Table, //
};
use core::ops::Deref;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// What makes two loads the same: the bytes, and the limits that code depends on.
type Key = (Hash, CodeLimits);

/// # Invariants
///
/// `users` counts the [`Shared`] with this code that are not dropped yet, and is not 0. Each of them holds the code, too, so
/// code never goes together with its entry, while the table is locked.
struct Entry {
    code: Arc<Code>,
    users: usize,
}

kernel::sync::global_lock! {
    // SAFETY: `Codes::begin` initialises it before anything looks at it.
    unsafe(uninit) static CODES: Mutex<Table<Key, Entry>> = Table::new();
}

/// All code, until this is dropped. There is one.
pub(crate) struct Codes {
    _private: (),
}

impl Codes {
    /// There is none.
    ///
    /// # Safety
    ///
    /// Called once, before anything else here.
    pub(crate) unsafe fn begin() -> Self {
        // SAFETY: The caller guarantees it.
        unsafe { CODES.init() };
        Self { _private: () }
    }
}

impl Drop for Codes {
    fn drop(&mut self) {
        // It is empty by now, but may have memory.
        *CODES.lock() = Table::new();
    }
}

/// Code, together with others that have the same.
pub(crate) struct Shared {
    key: Key,
    code: Arc<Code>,
    was_there: bool,
}

impl Shared {
    /// Code of the bytes with this hash, loaded within `limits`: what is there, or else what `load` comes to.
    ///
    /// # Errors
    ///
    /// Those of `load`.
    pub(crate) fn of(hash: &Hash, limits: &Chosen, load: impl FnOnce() -> Result<Arc<Code>>) -> Result<Self> {
        let key = (*hash, CodeLimits::from(limits));
        if let Some(code) = take(&key) {
            return Ok(Self { key, code, was_there: true });
        }
        let code = load()?;
        // Somebody else may have been faster: then there are not two.
        let code = put(&key, &code).unwrap_or(code);
        Ok(Self { key, code, was_there: false })
    }

    /// Whether there was nothing to translate.
    pub(crate) fn was_there(&self) -> bool {
        self.was_there
    }
}

/// The code that is there, for one user more.
fn take(key: &Key) -> Option<Arc<Code>> {
    CODES.lock().get_mut(key)?.take()
}

/// Makes `code` known, for one user; or, if there is other code by now, that one for one user more.
fn put(key: &Key, code: &Arc<Code>) -> Option<Arc<Code>> {
    let mut codes = CODES.lock();
    if let Some(other) = codes.get_mut(key).and_then(Entry::take) {
        return Some(other);
    }
    // Of code in which the engine failed, nobody is to get more. Without memory for an entry, it is its loader's alone.
    let _ = codes.set(*key, Entry { code: code.clone(), users: 1 }, usize::MAX);
    None
}

impl Entry {
    /// The code, for one user more; nothing if it cannot be used any more.
    fn take(&mut self) -> Option<Arc<Code>> {
        if self.code.is_poisoned() {
            return None;
        }
        // INVARIANT: The caller makes a `Shared` of it.
        self.users = self.users.saturating_add(1);
        Some(self.code.clone())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut codes = CODES.lock();
        let entry = codes.get_mut(&self.key).filter(|entry| Arc::ptr_eq(&entry.code, &self.code));
        if let Some(entry) = entry {
            // INVARIANT: This is one of them, and is not any more.
            entry.users = entry.users.saturating_sub(1);
            if entry.users == 0 {
                codes.remove(&self.key);
            }
        }
    }
}

impl Deref for Shared {
    type Target = Code;

    fn deref(&self) -> &Code {
        &self.code
    }
}
