// SPDX-License-Identifier: GPL-2.0

//! Refusals: why a module cannot be loaded or instantiated.

use crate::ffi::Limit;
use alloc::string::String;
use core::fmt::{
    self,
    Display, //
};

/// Kind of a [`Refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The module is not valid, or not a program that can run here.
    Invalid,
    /// The module exceeds a limit.
    Limit(Limit),
    /// The module exports no function of the name.
    NoFunction,
    /// The number of arguments is not that of the parameters.
    Argument,
    /// The type of the function is not supported.
    Unsupported,
    /// The function has too many parameters or results.
    TooBig,
}

/// Reason for refusing to load or to instantiate a module, as text for its author.
#[derive(Debug)]
pub struct Refusal {
    text: String,
    reason: Reason,
}

impl Refusal {
    /// Returns the refusal of a module that exceeds `limit`, with `text` as details.
    #[must_use]
    pub fn limited(limit: Limit, text: String) -> Self {
        Self::because(Reason::Limit(limit), text)
    }

    /// Returns the limit that the module exceeds, if a limit is the reason.
    #[must_use]
    pub fn limit(&self) -> Option<Limit> {
        match self.reason {
            Reason::Limit(limit) => Some(limit),
            _ => None,
        }
    }

    /// Returns the refusal for `reason`, with `text` as details.
    #[must_use]
    pub fn because(reason: Reason, text: String) -> Self {
        Self { text, reason }
    }

    /// Returns the kind of the refusal.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<String> for Refusal {
    fn from(text: String) -> Self {
        Self::because(Reason::Invalid, text)
    }
}
