// SPDX-License-Identifier: GPL-2.0

//! Sorted table of keys and values, for small numbers of entries.

use kernel::prelude::*;

/// Map from keys to values, as a vector sorted by key.
pub(crate) struct Table<K, V> {
    entries: KVVec<(K, V)>,
}

impl<K: Ord, V> Table<K, V> {
    /// Creates an empty table.
    pub(crate) const fn new() -> Self {
        Self {
            entries: KVVec::new(),
        }
    }

    fn place(&self, key: &K) -> Result<usize, usize> {
        self.entries.binary_search_by(|(known, _)| known.cmp(key))
    }

    /// Returns the value of `key`.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let place = self.place(key).ok()?;
        self.entries.get(place).map(|(_, value)| value)
    }

    /// Returns the value of `key`, mutably.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = self.place(key).ok()?;
        self.entries.get_mut(place).map(|(_, value)| value)
    }

    /// Removes `key`.
    pub(crate) fn remove(&mut self, key: &K) {
        if let Ok(place) = self.place(key) {
            let _ = self.entries.remove(place);
        }
    }

    /// Sets the value of `key`.
    ///
    /// # Errors
    ///
    /// `EDQUOT` if `key` is new and the table has `max` entries; `ENOMEM`.
    pub(crate) fn set(&mut self, key: K, value: V, max: usize) -> Result {
        match self.place(&key) {
            Ok(place) => {
                if let Some((_, there)) = self.entries.get_mut(place) {
                    *there = value;
                }
                Ok(())
            }
            Err(_) if self.entries.len() >= max => Err(EDQUOT),
            Err(place) => {
                self.entries.reserve(1, GFP_KERNEL)?;
                self.entries
                    .insert_within_capacity(place, (key, value))
                    .map_err(|_| ENOMEM)
            }
        }
    }

    /// Returns the number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the entries, in ascending order of the keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.entries.iter()
    }
}
