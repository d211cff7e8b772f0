// SPDX-License-Identifier: GPL-2.0

//! The keyring `.kwasmi`: the keys whose signatures the kernel module accepts.
//!
//! It is one as any other: add_key(2), keyctl(2). The kernel module tells its serial number.

use crate::device::words;
use rustix::io::Errno;
use serde::Serialize;
use std::{
    ffi::CStr,
    fmt,
    ptr, //
};

/// The type of keys that are made of certificates.
const ASYMMETRIC: &CStr = c"asymmetric";

/// The most keys that are looked for at first, and bytes of a key's description.
const ROOM: usize = 4096;

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Key {
    /// Its serial number.
    pub serial: i32,
    /// What the kernel calls it: the certificate's subject, and its key identifier.
    pub description: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}  {}", self.serial, self.description.escape_debug())
    }
}

/// A keyring.
pub trait Keyring {
    /// Tells which keys there are.
    ///
    /// # Errors
    ///
    /// Those of `KEYCTL_READ` and `KEYCTL_DESCRIBE`.
    fn list(&self) -> Result<Vec<Key>, Errno>;

    /// Adds the key in a certificate, in DER.
    ///
    /// # Errors
    ///
    /// Those of add_key(2).
    fn add(&self, certificate: &[u8]) -> Result<(), Errno>;

    /// Lets no key be added any more.
    ///
    /// # Errors
    ///
    /// Those of `KEYCTL_RESTRICT_KEYRING`.
    fn seal(&self) -> Result<(), Errno>;
}

/// The kernel's keyring with this serial number.
#[derive(Clone, Copy, Debug)]
pub struct KernelKeyring(pub i32);

/// The result of a call that returns a length or a number.
fn result(result: libc::c_long) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| {
        let error = std::io::Error::last_os_error();
        Errno::from_io_error(&error).unwrap_or(Errno::INVAL)
    })
}

/// Has the kernel write into `buffer` what `operation` reads of a key. Returns how long all of it is.
///
/// `operation` is `KEYCTL_READ` or `KEYCTL_DESCRIBE`.
fn read(operation: u32, key: i32, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: Both operations write to the address given, and no more bytes than are said to be there.
    result(unsafe { libc::syscall(libc::SYS_keyctl, operation, key, buffer.as_mut_ptr(), buffer.len()) })
}

/// All that `operation` reads of a key.
fn read_all(operation: u32, key: i32) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; ROOM];
    loop {
        let len = read(operation, key, &mut buffer)?;
        if len <= buffer.len() {
            buffer.truncate(len);
            return Ok(buffer);
        }
        buffer.resize(len, 0);
    }
}

impl Keyring for KernelKeyring {
    fn list(&self) -> Result<Vec<Key>, Errno> {
        let serials = read_all(libc::KEYCTL_READ, self.0)?;
        let mut keys = Vec::new();
        for serial in serials.as_chunks().0 {
            let serial = i32::from_ne_bytes(*serial);
            match read_all(libc::KEYCTL_DESCRIBE, serial) {
                Ok(text) => keys.push(Key { serial, description: description(&text) }),
                // It is gone by now.
                Err(Errno::NOKEY) => {}
                Err(errno) => return Err(errno),
            }
        }
        keys.sort_by(|one, other| one.description.cmp(&other.description));
        Ok(keys)
    }

    fn add(&self, certificate: &[u8]) -> Result<(), Errno> {
        // An empty description: the kernel finds a better one in the certificate.
        let description = c"";
        // SAFETY: Type and description are texts with a NUL at their ends; the payload is borrowed, and as long as it says.
        result(unsafe {
            libc::syscall(
                libc::SYS_add_key,
                ASYMMETRIC.as_ptr(),
                description.as_ptr(),
                certificate.as_ptr(),
                certificate.len(),
                self.0,
            )
        })?;
        Ok(())
    }

    fn seal(&self) -> Result<(), Errno> {
        let none: *const libc::c_char = ptr::null();
        // SAFETY: Without a type nothing is read: every key is refused from then on.
        result(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_RESTRICT_KEYRING, self.0, none, none) })?;
        Ok(())
    }
}

/// What follows type, owner, group and permissions in what `KEYCTL_DESCRIBE` tells.
fn description(text: &[u8]) -> String {
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    let description = text.splitn(5, |byte| *byte == b';').nth(4).unwrap_or(text);
    String::from_utf8_lossy(description).into_owned()
}

/// Why a certificate is not added, in words.
#[must_use]
pub fn add_words(errno: Errno) -> String {
    match errno {
        Errno::PERM => "the keyring is sealed".to_owned(),
        Errno::ACCESS => "no permission (are you root?)".to_owned(),
        Errno::KEYREJECTED => "the kernel refuses the certificate".to_owned(),
        Errno::BADMSG | Errno::NOPKG => "the kernel cannot use the certificate".to_owned(),
        other => words(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_may_have_anything_in_them() {
        assert_eq!(description(b"asymmetric;0;0;1f0b0000;a; b: 12\0"), "a; b: 12");
        assert_eq!(description(b"asymmetric;0;0;1f0b0000;\0"), "");
        assert_eq!(description(b"other"), "other");
    }

    #[test]
    fn keys_are_a_line_each() {
        let key = Key { serial: 0x12ab, description: "a\nb: 00".to_owned() };
        assert_eq!(key.to_string(), "0x000012ab  a\\nb: 00");
    }

    #[test]
    fn a_keyring_that_there_is_not() {
        // Where keyctl(2) is not allowed at all that is what it says.
        let is_refused = |result: Result<(), Errno>| {
            let errno = result.expect_err("is not there");
            assert!([Errno::NOKEY, Errno::NOSYS, Errno::PERM, Errno::INVAL].contains(&errno), "{errno}");
        };
        let keyring = KernelKeyring(i32::MAX);
        is_refused(keyring.list().map(drop));
        is_refused(keyring.add(b""));
        is_refused(keyring.seal());
    }
}
