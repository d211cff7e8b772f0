// SPDX-License-Identifier: GPL-2.0

//! The keyring `.kwasmi`, which holds the keys whose signatures the kernel module accepts. Its
//! serial number comes from `KWASMI_IOC_POLICY`; it is accessed by add_key(2) and keyctl(2).

use crate::device::words;
use rustix::io::Errno;
use serde::Serialize;
use std::{
    ffi::CStr,
    fmt,
    ptr, //
};

/// Type of keys that the kernel makes from certificates.
const ASYMMETRIC: &CStr = c"asymmetric";

/// Initial size of a buffer for `KEYCTL_READ` and `KEYCTL_DESCRIBE`, in bytes.
const ROOM: usize = 4096;

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Key {
    /// Serial number.
    pub serial: i32,
    /// Description by the kernel: the certificate's subject and the key identifier.
    pub description: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}  {}", self.serial, self.description.escape_debug())
    }
}

/// A keyring.
pub trait Keyring {
    /// Returns the keys.
    ///
    /// # Errors
    ///
    /// The errors of `KEYCTL_READ` and `KEYCTL_DESCRIBE`.
    fn list(&self) -> Result<Vec<Key>, Errno>;

    /// Adds the key in `certificate`, which is in DER.
    ///
    /// # Errors
    ///
    /// The errors of add_key(2).
    fn add(&self, certificate: &[u8]) -> Result<(), Errno>;

    /// Seals the keyring: no further key can be added.
    ///
    /// # Errors
    ///
    /// The errors of `KEYCTL_RESTRICT_KEYRING`; `EEXIST` if the keyring is sealed already.
    fn seal(&self) -> Result<(), Errno>;
}

/// A keyring of the kernel, by its serial number.
#[derive(Clone, Copy, Debug)]
pub struct KernelKeyring(pub i32);

/// Converts the result of a system call that returns a length or a number.
fn result(result: libc::c_long) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| {
        let error = std::io::Error::last_os_error();
        Errno::from_io_error(&error).unwrap_or(Errno::INVAL)
    })
}

/// Reads a property of `key` into `buffer`, and returns the whole length of the property in bytes.
/// `operation` is `KEYCTL_READ` or `KEYCTL_DESCRIBE`.
fn read(operation: u32, key: i32, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: Both operations write at most `buffer.len()` bytes to the address of `buffer`, which
    // is borrowed mutably for the call.
    result(unsafe { libc::syscall(libc::SYS_keyctl, operation, key, buffer.as_mut_ptr(), buffer.len()) })
}

/// Returns a whole property of `key`.
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
                // The key was removed since the keyring was read.
                Err(Errno::NOKEY) => {}
                Err(errno) => return Err(errno),
            }
        }
        keys.sort_by(|one, other| one.description.cmp(&other.description));
        Ok(keys)
    }

    fn add(&self, certificate: &[u8]) -> Result<(), Errno> {
        // With an empty description the kernel makes one from the certificate.
        let description = c"";
        // SAFETY: Type and description are NUL-terminated strings, and the payload is
        // `certificate.len()` readable bytes; all of them live until the call returns.
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
        // SAFETY: `KEYCTL_RESTRICT_KEYRING` with a null type reads no memory. It rejects all
        // further keys.
        result(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_RESTRICT_KEYRING, self.0, none, none) })?;
        Ok(())
    }
}

/// Returns the description in the result of `KEYCTL_DESCRIBE`: the part after type, owner, group
/// and permissions.
fn description(text: &[u8]) -> String {
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    let description = text.splitn(5, |byte| *byte == b';').nth(4).unwrap_or(text);
    String::from_utf8_lossy(description).into_owned()
}

/// Returns the reason why a certificate could not be added.
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
    fn a_missing_keyring_is_an_error() {
        // A seccomp filter or a kernel without keys may refuse keyctl(2) altogether.
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
