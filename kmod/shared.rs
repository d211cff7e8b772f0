// SPDX-License-Identifier: GPL-2.0

//! Shared code: loading a byte-identical module with the same code limits reuses the existing
//! translation.
//!
//! Code is kept while a module with it exists, and no longer, so there is no cache to evict. A
//! process that wants later loads to be fast keeps a module fd open. As for pages of a file, the
//! memory is charged to the memory cgroup of the first user.

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

/// Engine that a load asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum EngineChoice {
    /// Machine code if `compile` is set or such code exists, else code for the interpreter.
    Auto {
        compile: bool,
    },
    Compiler,
    Interpreter,
}

/// Key of the table: hash of the bytes, and the limits and choices that determine the translation.
type Key = (Hash, CodeLimits);

/// Entry of the table.
///
/// # Invariants
///
/// `users` is the number of existing [`Shared`] values with this code, and is not 0. Each of them
/// holds a reference to the code as well, so removing an entry never drops the last reference while
/// the table is locked.
struct Entry {
    code: Arc<Code>,
    users: usize,
}

kernel::sync::global_lock! {
    // SAFETY: `Codes::begin` initialises the lock before the device is registered; only loads and
    // their modules use it.
    unsafe(uninit) static CODES: Mutex<Table<Key, Entry>> = Table::new();
}

/// Guard of the table of shared code. There is one, for the lifetime of the module.
pub(crate) struct Codes {
    _private: (),
}

impl Codes {
    /// Initialises the empty table.
    ///
    /// # Safety
    ///
    /// Must be called once, before any [`Shared`] is created.
    pub(crate) unsafe fn begin() -> Self {
        // SAFETY: `init` must be called once, before the lock is used. `begin` is called once,
        // before any `Shared` is created, by this function's safety requirement.
        unsafe { CODES.init() };
        Self { _private: () }
    }
}

impl Drop for Codes {
    fn drop(&mut self) {
        // No module exists, so the table is empty. This frees its memory.
        *CODES.lock() = Table::new();
    }
}

/// Reference to code that other modules may share.
pub(crate) struct Shared {
    key: Key,
    code: Arc<Code>,
    was_there: bool,
}

impl Shared {
    /// Returns the code of the bytes with this hash, within `limits`: existing code, or the result
    /// of `load`, which is told whether to compile. Without a choice in `engine`, existing machine
    /// code is used even if new code would not be compiled.
    ///
    /// # Errors
    ///
    /// Errors of `load`.
    pub(crate) fn of(
        hash: &Hash,
        limits: &Chosen,
        engine: EngineChoice,
        load: impl FnOnce(bool) -> Result<Arc<Code>>,
    ) -> Result<Self> {
        let compile = matches!(engine, EngineChoice::Compiler | EngineChoice::Auto { compile: true });
        let key = (*hash, CodeLimits::new(limits, compile));
        let compiled = (engine != EngineChoice::Interpreter).then(|| (*hash, CodeLimits::new(limits, true)));
        for key in [compiled, Some(key)].into_iter().flatten() {
            if let Some(code) = take(&key) {
                return Ok(Self { key, code, was_there: true });
            }
        }
        let code = load(compile)?;
        // Another task may have loaded the same bytes meanwhile: use its code, so that both share
        // one.
        let code = put(&key, &code).unwrap_or(code);
        Ok(Self { key, code, was_there: false })
    }

    /// Returns true if the load reused existing code.
    pub(crate) fn was_there(&self) -> bool {
        self.was_there
    }
}

/// Returns the code with this key, if there is any, and counts one more user.
fn take(key: &Key) -> Option<Arc<Code>> {
    CODES.lock().get_mut(key)?.take()
}

/// Adds `code` to the table with one user. If the table holds code with this key already, returns
/// that code and counts one more user of it.
fn put(key: &Key, code: &Arc<Code>) -> Option<Arc<Code>> {
    let mut codes = CODES.lock();
    if let Some(other) = codes.get_mut(key).and_then(Entry::take) {
        return Some(other);
    }
    // This replaces code in which the engine failed. Without memory for an entry, `code` is not
    // shared.
    let _ = codes.set(*key, Entry { code: code.clone(), users: 1 }, usize::MAX);
    None
}

impl Entry {
    /// Returns the code and counts one more user. Returns `None` if the engine failed in it.
    fn take(&mut self) -> Option<Arc<Code>> {
        if self.code.is_poisoned() {
            return None;
        }
        // INVARIANT: The caller creates a `Shared` with the code.
        self.users = self.users.saturating_add(1);
        Some(self.code.clone())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut codes = CODES.lock();
        let entry = codes.get_mut(&self.key).filter(|entry| Arc::ptr_eq(&entry.code, &self.code));
        if let Some(entry) = entry {
            // INVARIANT: This `Shared` was one of the users, and stops existing.
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
