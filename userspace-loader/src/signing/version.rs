// SPDX-License-Identifier: GPL-2.0

//! Versions of modules: major, minor, patch.

use serde::{
    Serialize,
    Serializer, //
};
use std::{
    fmt,
    str::FromStr, //
};

/// Major, minor and patch. A later version is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub [u32; 3]);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected three numbers below 2^32, such as 1.2.3".to_owned();
        let number = |text: &str| {
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
            if is_plain { text.parse().ok() } else { None }
        };
        let mut version = [0; 3];
        let mut parts = text.split('.');
        for place in &mut version {
            *place = parts.next().and_then(number).ok_or_else(expected)?;
        }
        if parts.next().is_some() { Err(expected()) } else { Ok(Self(version)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!("1.2.3".parse(), Ok(Version([1, 2, 3])));
        assert_eq!("0.0.4294967295".parse(), Ok(Version([0, 0, u32::MAX])));
        assert_eq!(Version([1, 20, 3]).to_string(), "1.20.3");
        assert!(Version([1, 2, 3]) < Version([1, 10, 0]));
    }

    #[test]
    fn not_versions() {
        for text in ["", "1", "1.2", "1.2.3.4", "1.2.", "1..3", "+1.2.3", "1.2.x", "01.2.3", "1.2.4294967296", " 1.2.3"]
        {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }
}
