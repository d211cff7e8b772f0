// SPDX-License-Identifier: GPL-2.0

//! Cases of a topic. Each prints a line with its result and, if that is wrong, another with the
//! expected one.

use crate::{
    abi::{
        FILE_TYPES,
        Filestat, //
    },
    errno::Errno,
    sys::Result, //
};
use std::sync::atomic::{
    AtomicU32,
    Ordering, //
};

static FAILED: AtomicU32 = AtomicU32::new(0);

/// Returns the number of failed cases.
pub(crate) fn failed() -> u32 {
    FAILED.load(Ordering::Relaxed)
}

/// Results of cases, as text that does not depend on where the program runs.
pub(crate) trait Shown {
    fn shown(&self) -> String;
}

impl Shown for () {
    fn shown(&self) -> String {
        "ok".to_owned()
    }
}

impl Shown for bool {
    fn shown(&self) -> String {
        if *self { "yes" } else { "no" }.to_owned()
    }
}

impl Shown for String {
    fn shown(&self) -> String {
        self.clone()
    }
}

impl Shown for &str {
    fn shown(&self) -> String {
        (*self).to_owned()
    }
}

impl Shown for Vec<u8> {
    fn shown(&self) -> String {
        self.escape_ascii().to_string()
    }
}

macro_rules! numbers {
    ($($type:ident)*) => {
        $(impl Shown for $type {
            fn shown(&self) -> String {
                self.to_string()
            }
        })*
    };
}

numbers!(i32 u16 u32 u64 usize);

impl Shown for Errno {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for Filestat {
    fn shown(&self) -> String {
        kind(self.filetype)
    }
}

impl<T: Shown> Shown for Result<T> {
    fn shown(&self) -> String {
        match self {
            Ok(value) => value.shown(),
            Err(errno) => errno.shown(),
        }
    }
}

/// Returns the name of a `filetype`.
pub(crate) fn kind(filetype: u8) -> String {
    match FILE_TYPES.get(usize::from(filetype)) {
        Some(name) => (*name).to_owned(),
        None => format!("filetype {filetype}"),
    }
}

/// Topic: the prefix of its cases.
pub(crate) struct Topic(pub(crate) &'static str);

impl Topic {
    /// Prints the result of a case, which must be `expected`.
    #[expect(clippy::needless_pass_by_value, reason = "the result is of no further use")]
    pub(crate) fn is(&self, name: &str, got: impl Shown, expected: &str) {
        let got = got.shown();
        println!("{}: {name}: {got}", self.0);
        if got != expected {
            println!("FAILED {}: {name}: got {got}, expected {expected}", self.0);
            FAILED.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Prints the result of a case that the specification leaves open. It must be the same on all
    /// hosts.
    #[expect(clippy::needless_pass_by_value, reason = "the result is of no further use")]
    pub(crate) fn told(&self, name: &str, got: impl Shown) {
        println!("{}: {name}: {}", self.0, got.shown());
    }
}
