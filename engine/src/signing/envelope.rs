// SPDX-License-Identifier: GPL-2.0

//! Splits a file into the signed part, the manifest in it, and the signature.
//!
//! The reader of sections is written by hand, because the kernel module compiles this file and links
//! no crates.

use super::Malformed;

/// Name of the custom section that holds the manifest.
pub const MANIFEST: &str = "kwasmi.manifest";

/// Name of the custom section that holds the signature.
pub const SIGNATURE: &str = "kwasmi.signature";

/// Upper bound of the size of a manifest, in bytes.
pub const MANIFEST_MAX: usize = 64 * 1024;

/// Upper bound of the size of a signature, in bytes.
pub const SIGNATURE_MAX: usize = 8 * 1024;

/// Size of a module's preamble, in bytes.
const HEADER: usize = 8;

/// Section id of a custom section.
const CUSTOM: u8 = 0;

/// Section id of the tags of exceptions.
const TAG: u8 = 13;

/// Parts of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Signed bytes: everything before the signature.
    pub signed: &'a [u8],
    /// Contents of the manifest, if there is one.
    pub manifest: Option<&'a [u8]>,
    /// Contents of the signature, if there is one.
    pub signature: Option<&'a [u8]>,
}

impl<'a> Envelope<'a> {
    /// Splits `file` into its parts. A file that is not a module is returned as it is, for
    /// validation to report.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the manifest or the signature is too large, duplicate or misplaced.
    pub fn open(file: &'a [u8]) -> Result<Self, Malformed> {
        let mut this = Self { signed: file, manifest: None, signature: None };
        let mut rest = Sections { file, at: HEADER };
        for section in rest.by_ref() {
            let wrong = |what| Malformed { what, offset: section.start };
            if this.signature.is_some() {
                return Err(wrong("a section after the signature"));
            }
            match section.custom() {
                Some((MANIFEST, contents)) => {
                    if this.manifest.is_some() {
                        return Err(wrong("a second manifest"));
                    }
                    if contents.len() > MANIFEST_MAX {
                        return Err(wrong("a manifest of more than 65536 bytes"));
                    }
                    this.manifest = Some(contents);
                }
                Some((SIGNATURE, contents)) => {
                    if contents.len() > SIGNATURE_MAX {
                        return Err(wrong("a signature of more than 8192 bytes"));
                    }
                    this.signature = Some(contents);
                    this.signed = file.get(..section.start).unwrap_or(file);
                }
                _ if this.manifest.is_some() => return Err(wrong("a section after the manifest")),
                _ => {}
            }
        }
        if (this.manifest.is_some() || this.signature.is_some()) && rest.at != file.len() {
            return Err(Malformed { what: "bytes after the last section", offset: rest.at });
        }
        Ok(this)
    }

    /// Returns true if the module, which is not validated yet, has a section of tags: it uses
    /// exceptions.
    #[must_use]
    pub fn has_tags(&self) -> bool {
        Sections { file: self.signed, at: HEADER }.any(|section| section.id == TAG)
    }
}

/// Section of a module.
struct Section<'a> {
    id: u8,
    start: usize,
    contents: &'a [u8],
}

impl<'a> Section<'a> {
    /// Returns the name and the contents of a custom section.
    fn custom(&self) -> Option<(&'a str, &'a [u8])> {
        if self.id != CUSTOM {
            return None;
        }
        let (len, used) = leb128(self.contents)?;
        let end = used.checked_add(len)?;
        let name = core::str::from_utf8(self.contents.get(used..end)?).ok()?;
        Some((name, self.contents.get(end..)?))
    }
}

/// Iterator over the sections of a module, up to the first that is malformed.
struct Sections<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Sections<'a> {
    type Item = Section<'a>;

    fn next(&mut self) -> Option<Section<'a>> {
        let start = self.at;
        let (id, rest) = self.file.get(start..)?.split_first()?;
        let (len, used) = leb128(rest)?;
        let begin = start.checked_add(1)?.checked_add(used)?;
        let end = begin.checked_add(len)?;
        let contents = self.file.get(begin..end)?;
        self.at = end;
        Some(Section { id: *id, start, contents })
    }
}

/// Decodes the unsigned 32-bit LEB128 number at the start of `bytes`. Returns its value and its
/// length in bytes.
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_u64;
    for (byte, (used, shift)) in bytes.iter().zip([(1, 0), (2, 7), (3, 14), (4, 21), (5, 28)]) {
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((usize::try_from(u32::try_from(value).ok()?).ok()?, used));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{
        vec,
        vec::Vec, //
    };

    const HEAD: &[u8] = b"\0asm\x01\0\0\0";

    fn section(id: u8, contents: &[u8]) -> Vec<u8> {
        assert!(contents.len() < 1 << 21);
        let mut bytes = vec![id];
        bytes.extend((0..3).map(|index| {
            let part = u8::try_from(contents.len() >> (7 * index) & 0x7f).expect("seven bits");
            if index < 2 { part | 0x80 } else { part }
        }));
        bytes.extend(contents);
        bytes
    }

    fn custom(name: &str, contents: &[u8]) -> Vec<u8> {
        section(0, &[&[u8::try_from(name.len()).expect("short")], name.as_bytes(), contents].concat())
    }

    #[test]
    fn parts_are_found() {
        let other = [HEAD, &section(1, &[0]), &custom("name", b"x")].concat();
        let open = |file| Envelope::open(file).expect("well-formed");
        assert_eq!(open(&other), Envelope { signed: &other, manifest: None, signature: None });
        let with_manifest = [other.clone(), custom(MANIFEST, b"manifest")].concat();
        assert_eq!(open(&with_manifest).manifest, Some(b"manifest".as_slice()));
        assert_eq!(open(&with_manifest).signed, with_manifest);
        let signed = [with_manifest.clone(), custom(SIGNATURE, b"signature")].concat();
        let envelope = Envelope { signed: &with_manifest, manifest: Some(b"manifest"), signature: Some(b"signature") };
        assert_eq!(open(&signed), envelope);
        let bare = [other.clone(), custom(SIGNATURE, b"")].concat();
        assert_eq!(open(&bare), Envelope { signed: &other, manifest: None, signature: Some(b"") });
    }

    #[test]
    fn tags_are_found_in_the_module() {
        let has_tags = |parts: &[&[u8]]| {
            let file = [HEAD, &parts.concat()].concat();
            Envelope::open(&file).expect("well-formed").has_tags()
        };
        let (types, tags, name) = (section(1, &[0]), section(13, &[0]), custom("name", &[13]));
        assert!(has_tags(&[&types, &tags, &name]));
        assert!(!has_tags(&[&types, &name]));
        assert!(!has_tags(&[&types, &tags[..3]]));
    }

    #[test]
    fn misplaced_and_duplicate_parts_are_refused() {
        let (manifest, signature, other) = (custom(MANIFEST, b"m"), custom(SIGNATURE, b"s"), custom("name", b"x"));
        let large = custom(MANIFEST, &[0; MANIFEST_MAX + 1]);
        let megabytes = custom(SIGNATURE, &[0; 1 << 20]);
        let cases: [(&[&[u8]], &str, usize); 9] = [
            (&[&manifest, &manifest], "a second manifest", manifest.len()),
            (&[&signature, &signature], "a section after the signature", signature.len()),
            (&[&signature, &manifest], "a section after the signature", signature.len()),
            (&[&signature, &other], "a section after the signature", signature.len()),
            (&[&manifest, &other], "a section after the manifest", manifest.len()),
            (&[&manifest, &other, &signature], "a section after the manifest", manifest.len()),
            (&[&signature, &[0]], "bytes after the last section", signature.len()),
            (&[&large], "a manifest of more than 65536 bytes", 0),
            (&[&megabytes], "a signature of more than 8192 bytes", 0),
        ];
        for (parts, what, offset) in cases {
            let file = [HEAD, &parts.concat()].concat();
            let malformed = Malformed { what, offset: HEADER + offset };
            assert_eq!(Envelope::open(&file), Err(malformed));
        }
    }

    #[test]
    fn a_file_that_is_not_a_module_has_no_parts() {
        for file in
            [&b""[..], b"\0asm", b"\0asm\x01\0\0\0\x01", b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\xff\x01", &[0xff; 64]]
        {
            assert_eq!(Envelope::open(file), Ok(Envelope { signed: file, manifest: None, signature: None }));
        }
        // No truncation of a signed file yields the same parts.
        let signed = [HEAD, &custom(MANIFEST, b"m"), &custom(SIGNATURE, b"s")].concat();
        let whole = Envelope::open(&signed);
        for len in 0..signed.len() {
            assert_ne!(Envelope::open(&signed[..len]), whole, "{len}");
        }
    }
}
