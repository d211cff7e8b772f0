// SPDX-License-Identifier: GPL-2.0

//! Arguments and environment in the encoding of `struct kwasmi_start`: strings, each followed by a
//! NUL.

use crate::uapi::KWASMI_STRINGS_MAX;
use std::{
    ffi::{
        OsStr,
        OsString, //
    },
    os::unix::ffi::{
        OsStrExt as _,
        OsStringExt as _, //
    }, //
};

/// Joins `strings`, each followed by a NUL.
///
/// # Errors
///
/// A message if a string contains a NUL, or if the result is longer than `KWASMI_STRINGS_MAX`
/// bytes.
pub fn join<S: AsRef<OsStr>>(strings: impl IntoIterator<Item = S>) -> Result<Vec<u8>, String> {
    let mut joined = Vec::new();
    for string in strings {
        let bytes = string.as_ref().as_bytes();
        if bytes.contains(&0) {
            return Err(format!("{:?} contains a NUL byte", string.as_ref()));
        }
        joined.extend_from_slice(bytes);
        joined.push(0);
        if joined.len() > KWASMI_STRINGS_MAX as usize {
            return Err(format!("more than the maximum of {KWASMI_STRINGS_MAX} bytes"));
        }
    }
    Ok(joined)
}

/// A variable of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Name: not empty, without `=`.
    pub name: OsString,
    /// Value.
    pub value: OsString,
}

impl Variable {
    /// Parses `NAME=VALUE`.
    ///
    /// # Errors
    ///
    /// A message if `text` has no `=`, or nothing before it.
    pub fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_bytes();
        match bytes.iter().position(|byte| *byte == b'=') {
            None => Err("expected NAME=VALUE".to_owned()),
            Some(0) => Err("the variable's name is empty".to_owned()),
            Some(end) => Ok(Self {
                name: OsStr::from_bytes(&bytes[..end]).to_owned(),
                value: OsStr::from_bytes(&bytes[end + 1..]).to_owned(),
            }),
        }
    }

    fn joined(&self) -> OsString {
        let mut joined = self.name.as_bytes().to_vec();
        joined.push(b'=');
        joined.extend_from_slice(self.value.as_bytes());
        OsString::from_vec(joined)
    }
}

/// Converts `variables` to `NAME=VALUE` strings. If several have one name, the last value replaces
/// the first in its place.
#[must_use]
pub fn environment(variables: impl IntoIterator<Item = Variable>) -> Vec<OsString> {
    let mut set: Vec<Variable> = Vec::new();
    for variable in variables {
        match set.iter_mut().find(|other| other.name == variable.name) {
            Some(other) => other.value = variable.value,
            None => set.push(variable),
        }
    }
    set.iter().map(Variable::joined).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_joined_byte_for_byte() {
        let none: [&str; 0] = [];
        assert_eq!(join(none), Ok(vec![]));
        assert_eq!(join([""]), Ok(b"\0".to_vec()));
        assert_eq!(join(["a", "", "b c", ""]), Ok(b"a\0\0b c\0\0".to_vec()));
        assert_eq!(join([OsStr::from_bytes(b"\xff\n")]), Ok(b"\xff\n\0".to_vec()));
    }

    #[test]
    fn a_nul_is_refused() {
        assert_eq!(join(["a", "b\0c"]), Err("\"b\\0c\" contains a NUL byte".to_owned()));
    }

    #[test]
    fn too_many_bytes_are_refused() {
        let max = KWASMI_STRINGS_MAX as usize;
        let fits = "x".repeat(max - 1);
        assert_eq!(join([&fits]).map(|joined| joined.len()), Ok(max));
        assert_eq!(join([fits.as_str(), ""]), Err(format!("more than the maximum of {max} bytes")));
    }

    #[test]
    fn variables_have_a_name() {
        let parse = |text: &str| Variable::parse(OsStr::new(text));
        let variable = parse("A=b=c").expect("valid");
        assert_eq!((variable.name, variable.value), ("A".into(), "b=c".into()));
        assert_eq!(parse("A=").expect("valid").joined(), "A=");
        assert!(parse("").is_err());
        assert!(parse("A").is_err());
        assert!(parse("=b").is_err());
    }

    #[test]
    fn the_last_value_of_a_name_wins() {
        let variables = ["A=1", "B=2", "A=3", "C="].map(|text| Variable::parse(OsStr::new(text)).expect("valid"));
        assert_eq!(environment(variables), ["A=3", "B=2", "C="]);
    }
}
