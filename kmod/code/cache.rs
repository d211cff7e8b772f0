// SPDX-License-Identifier: GPL-2.0

//! Code cache: loading a byte-identical module with the same code limits reuses the existing
//! translation.
//!
//! Code is kept while a module with it exists, and no longer, so nothing is evicted. A
//! process that wants later loads to be fast keeps a module fd open. As for pages of a file, the
//! memory is charged to the memory cgroup of the first user.

use super::{
    Code,
    CodeLimits, //
};
use crate::{
    ffi::NotCompiled,
    limits::CallLimits,
    policy::denied::Hash,
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
    /// Machine code if no reason not to compile is given or such code exists, else code for the
    /// interpreter.
    Auto(Option<NotCompiled>),
    Compiler,
    Interpreter(NotCompiled),
}

impl EngineChoice {
    /// Returns the reason not to compile, if there is one.
    pub(crate) fn not_compiled(self) -> Option<NotCompiled> {
        match self {
            Self::Auto(reason) => reason,
            Self::Compiler => None,
            Self::Interpreter(reason) => Some(reason),
        }
    }
}

/// Key of the cache: hash of the bytes, and the limits and choices that determine the translation.
type Key = (Hash, CodeLimits);

/// Entry of the cache.
///
/// # Invariants
///
/// `users` is the number of existing [`CachedCode`] values with this code, and is not 0. Each of
/// them holds a reference to the code as well, so removing an entry never drops the last reference
/// while the cache is locked.
struct Entry {
    code: Arc<Code>,
    users: usize,
}

kernel::sync::global_lock! {
    // SAFETY: `CodeCache::begin` initialises the lock before the device is registered; only loads
    // and their modules use it.
    unsafe(uninit) static CODE_CACHE: Mutex<Table<Key, Entry>> = Table::new();
}

/// Guard of the code cache. There is one, for the lifetime of the module.
pub(crate) struct CodeCache {
    _private: (),
}

impl CodeCache {
    /// Initialises the empty cache.
    ///
    /// # Safety
    ///
    /// Must be called once, before any [`CachedCode`] is created.
    pub(crate) unsafe fn begin() -> Self {
        // SAFETY: `init` must be called once, before the lock is used. `begin` is called once,
        // before any `CachedCode` is created, by this function's safety requirement.
        unsafe { CODE_CACHE.init() };
        Self { _private: () }
    }
}

impl Drop for CodeCache {
    fn drop(&mut self) {
        // No module exists, so the cache is empty. This frees its memory.
        *CODE_CACHE.lock() = Table::new();
    }
}

/// Reference to code that other modules may share.
pub(crate) struct CachedCode {
    key: Key,
    code: Arc<Code>,
    was_cached: bool,
}

impl CachedCode {
    /// Returns the code of the bytes with this hash, within `limits`: existing code, or the result
    /// of `load`, which gets the reason not to compile. Without a choice in `engine`, existing
    /// machine code is used even if new code would not be compiled.
    ///
    /// # Errors
    ///
    /// Errors of `load`.
    pub(crate) fn find_or_load(
        hash: &Hash,
        limits: &CallLimits,
        engine: EngineChoice,
        load: impl FnOnce(Option<NotCompiled>) -> Result<Arc<Code>>,
    ) -> Result<Self> {
        let not_compiled = engine.not_compiled();
        let key = (*hash, CodeLimits::new(limits, not_compiled.is_none()));
        let compiled = (!matches!(engine, EngineChoice::Interpreter(_)))
            .then(|| (*hash, CodeLimits::new(limits, true)));
        for key in [compiled, Some(key)].into_iter().flatten() {
            if let Some(code) = take(&key) {
                return Ok(Self {
                    key,
                    code,
                    was_cached: true,
                });
            }
        }
        let code = load(not_compiled)?;
        // Another task may have loaded the same bytes meanwhile: use its code, so that both share
        // one.
        let code = put(&key, &code).unwrap_or(code);
        Ok(Self {
            key,
            code,
            was_cached: false,
        })
    }

    /// Returns true if the load reused existing code.
    pub(crate) fn was_cached(&self) -> bool {
        self.was_cached
    }
}

/// Returns the code with this key, if there is any, and counts one more user.
fn take(key: &Key) -> Option<Arc<Code>> {
    CODE_CACHE.lock().get_mut(key)?.take()
}

/// Adds `code` to the cache with one user. If the cache holds code with this key already, returns
/// that code and counts one more user of it.
fn put(key: &Key, code: &Arc<Code>) -> Option<Arc<Code>> {
    let mut cache = CODE_CACHE.lock();
    if let Some(other) = cache.get_mut(key).and_then(Entry::take) {
        return Some(other);
    }
    // This replaces code in which the engine failed. Without memory for an entry, `code` is not
    // shared.
    let _ = cache.set(
        *key,
        Entry {
            code: code.clone(),
            users: 1,
        },
        usize::MAX,
    );
    None
}

impl Entry {
    /// Returns the code and counts one more user. Returns `None` if the engine failed in it.
    fn take(&mut self) -> Option<Arc<Code>> {
        if self.code.is_poisoned() {
            return None;
        }
        // INVARIANT: The caller creates a `CachedCode` with the code.
        self.users = self.users.saturating_add(1);
        Some(self.code.clone())
    }
}

impl Drop for CachedCode {
    fn drop(&mut self) {
        let mut cache = CODE_CACHE.lock();
        let entry = cache
            .get_mut(&self.key)
            .filter(|entry| Arc::ptr_eq(&entry.code, &self.code));
        if let Some(entry) = entry {
            // INVARIANT: This `CachedCode` was one of the users, and stops existing.
            entry.users = entry.users.saturating_sub(1);
            if entry.users == 0 {
                cache.remove(&self.key);
            }
        }
    }
}

impl Deref for CachedCode {
    type Target = Code;

    fn deref(&self) -> &Code {
        &self.code
    }
}
