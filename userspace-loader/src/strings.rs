// SPDX-License-Identifier: GPL-2.0

//! Arguments and environment as the kernel takes them: strings, each with a NUL after it.

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

/// Joins `strings`.
///
/// # Errors
///
/// In words, if a string has a NUL in it, or if they are more than the kernel takes.
pub fn join<S: AsRef<OsStr>>(strings: impl IntoIterator<Item = S>) -> Result<Vec<u8>, String> {
    let mut joined = Vec::new();
    for string in strings {
        let bytes = string.as_ref().as_bytes();
        if bytes.contains(&0) {
            return Err(format!("{:?} has a NUL byte in it", string.as_ref()));
        }
        joined.extend_from_slice(bytes);
        joined.push(0);
        if joined.len() > KWASMI_STRINGS_MAX as usize {
            return Err(format!("more than {KWASMI_STRINGS_MAX} bytes"));
        }
    }
    Ok(joined)
}

/// A variable of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name: not empty, without `=`.
    pub name: OsString,
    /// Its value.
    pub value: OsString,
}

impl Variable {
    /// From `NAME=VALUE`.
    ///
    /// # Errors
    ///
    /// In words, if there is no `=` or nothing before it.
    pub fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_bytes();
        match bytes.iter().position(|byte| *byte == b'=') {
            None => Err("NAME=VALUE is wanted".to_owned()),
            Some(0) => Err("a variable's name cannot be empty".to_owned()),
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

/// `variables` as `NAME=VALUE`; of several with one name the last counts, in the place of the first.
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
        assert_eq!(join(["a", "b\0c"]), Err("\"b\\0c\" has a NUL byte in it".to_owned()));
    }

    #[test]
    fn too_much_is_refused() {
        let max = KWASMI_STRINGS_MAX as usize;
        let fits = "x".repeat(max - 1);
        assert_eq!(join([&fits]).map(|joined| joined.len()), Ok(max));
        assert_eq!(join([fits.as_str(), ""]), Err(format!("more than {max} bytes")));
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
    fn the_last_of_a_name_counts() {
        let variables = ["A=1", "B=2", "A=3", "C="].map(|text| Variable::parse(OsStr::new(text)).expect("valid"));
        assert_eq!(environment(variables), ["A=3", "B=2", "C="]);
    }
}
