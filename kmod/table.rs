// SPDX-License-Identifier: GPL-2.0

//! Small sorted tables, for what every load looks up.

use kernel::prelude::*;

/// Values by key, in ascending order of the keys.
pub(crate) struct Table<K, V> {
    entries: KVVec<(K, V)>,
}

impl<K: Ord, V> Table<K, V> {
    /// One without entries.
    pub(crate) const fn new() -> Self {
        Self { entries: KVVec::new() }
    }

    fn place(&self, key: &K) -> Result<usize, usize> {
        self.entries.binary_search_by(|(known, _)| known.cmp(key))
    }

    /// The value of `key`.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let place = self.place(key).ok()?;
        self.entries.get(place).map(|(_, value)| value)
    }

    /// The value of `key`, to be changed.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = self.place(key).ok()?;
        self.entries.get_mut(place).map(|(_, value)| value)
    }

    /// Takes `key` out.
    pub(crate) fn remove(&mut self, key: &K) {
        if let Ok(place) = self.place(key) {
            let _ = self.entries.remove(place);
        }
    }

    /// Gives `key` this value.
    ///
    /// # Errors
    ///
    /// `EDQUOT` if there are `max` entries; `ENOMEM`.
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
                self.entries.insert_within_capacity(place, (key, value)).map_err(|_| ENOMEM)
            }
        }
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entries.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.entries.iter()
    }
}
