// SPDX-License-Identifier: GPL-2.0

//! Envelope of a file: the module, its manifest, and the signature of both.

use super::hash::Sha256;
use wasm_encoder::{
    CustomSection,
    Section as _,
    SectionId, //
};
use wasmparser::{
    BinaryReader,
    CustomSectionReader, //
};

/// Name of the custom section with the manifest.
pub const MANIFEST: &str = "kwasmi.manifest";

/// Name of the custom section with the signature.
pub const SIGNATURE: &str = "kwasmi.signature";

/// Upper bound of the size of a manifest, in bytes.
pub const MANIFEST_MAX: usize = 64 << 10;

/// Upper bound of the size of a signature, in bytes.
pub const SIGNATURE_MAX: usize = 8 << 10;

/// Size of the module's header (magic and version), in bytes.
const HEADER: usize = 8;

/// Envelope: the parts of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Module: the bytes before the manifest.
    pub module: &'a [u8],
    /// Signed bytes: those before the signature, or the whole file if there is none.
    pub signed: &'a [u8],
    /// The manifest.
    pub manifest: Option<&'a [u8]>,
    /// The signature.
    pub signature: Option<&'a [u8]>,
    /// Set if the file consists of whole sections. Otherwise it is not a module, and no section can
    /// be appended.
    pub is_whole: bool,
}

impl<'a> Envelope<'a> {
    /// Splits `file` into its parts. The contents of the sections are not checked.
    ///
    /// # Errors
    ///
    /// A message if the manifest or the signature is too large, appears twice, or is not in its
    /// place.
    pub fn split(file: &'a [u8]) -> Result<Self, String> {
        let mut envelope = Self { module: file, signed: file, manifest: None, signature: None, is_whole: false };
        let mut end = HEADER;
        for section in Sections::of(file) {
            end = section.end;
            let wrong = |what: &str| Err(format!("{what} at offset {}", section.start));
            if envelope.signature.is_some() {
                return match section.name() {
                    Some(SIGNATURE) => wrong("a second signature"),
                    _ => wrong("a section after the signature"),
                };
            }
            match section.named() {
                Some((MANIFEST, _)) if envelope.manifest.is_some() => return wrong("a second manifest"),
                Some((MANIFEST, contents)) => {
                    if contents.len() > MANIFEST_MAX {
                        return wrong("a manifest of more than 65536 bytes");
                    }
                    envelope.manifest = Some(contents);
                    envelope.module = section.before(file);
                }
                Some((SIGNATURE, contents)) => {
                    if contents.len() > SIGNATURE_MAX {
                        return wrong("a signature of more than 8192 bytes");
                    }
                    envelope.signature = Some(contents);
                    envelope.signed = section.before(file);
                    if envelope.manifest.is_none() {
                        envelope.module = envelope.signed;
                    }
                }
                _ if envelope.manifest.is_some() => return wrong("a section after the manifest"),
                _ => {}
            }
        }
        envelope.is_whole = end == file.len();
        if !envelope.is_whole && (envelope.manifest.is_some() || envelope.signature.is_some()) {
            return Err(format!("bytes after the last section at offset {end}"));
        }
        Ok(envelope)
    }

    /// Returns the SHA-256 of the signed bytes, which identifies the module.
    #[must_use]
    pub fn sha256(&self) -> Sha256 {
        Sha256::of(self.signed)
    }
}

/// Returns the SHA-256 that identifies the module in `file`, also if the file is malformed.
#[must_use]
pub fn sha256(file: &[u8]) -> Sha256 {
    Envelope::split(file).map_or_else(|_| Sha256::of(file), |envelope| envelope.sha256())
}

/// Appends a custom section to `bytes`.
#[must_use]
pub fn with_section(bytes: &[u8], name: &str, contents: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    CustomSection { name: name.into(), data: contents.into() }.append_to(&mut file);
    file
}

/// Returns the contents and the offset in the file of the first section with `id`.
#[must_use]
pub fn section(file: &[u8], id: u8) -> Option<(&[u8], usize)> {
    let section = Sections::of(file).find(|section| section.id == id)?;
    Some((section.contents, section.end.saturating_sub(section.contents.len())))
}

/// A section of a file.
struct Section<'a> {
    id: u8,
    start: usize,
    end: usize,
    contents: &'a [u8],
}

impl<'a> Section<'a> {
    /// Returns name and contents of a custom section; `None` for other sections.
    fn named(&self) -> Option<(&'a str, &'a [u8])> {
        if self.id != u8::from(SectionId::Custom) {
            return None;
        }
        let section = CustomSectionReader::new(BinaryReader::new(self.contents, 0)).ok()?;
        Some((section.name(), section.data()))
    }

    fn name(&self) -> Option<&'a str> {
        self.named().map(|(name, _)| name)
    }

    /// Returns the part of `file` before this section.
    fn before<'b>(&self, file: &'b [u8]) -> &'b [u8] {
        file.get(..self.start).unwrap_or(file)
    }
}

/// Iterator over the sections of a file. It ends at the first malformed section.
struct Sections<'a>(BinaryReader<'a>);

impl<'a> Sections<'a> {
    fn of(file: &'a [u8]) -> Self {
        Self(BinaryReader::new(file.get(HEADER..).unwrap_or_default(), HEADER as u64))
    }

    fn offset(&self) -> Option<usize> {
        usize::try_from(self.0.original_position()).ok()
    }
}

impl<'a> Iterator for Sections<'a> {
    type Item = Section<'a>;

    fn next(&mut self) -> Option<Section<'a>> {
        let start = self.offset()?;
        let id = self.0.read_u8().ok()?;
        let len = self.0.read_var_u32().ok()?;
        let contents = self.0.read_bytes(usize::try_from(len).ok()?).ok()?;
        Some(Section { id, start, end: self.offset()?, contents })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MODULE: &[u8] = b"\0asm\x01\0\0\0\x01\x01\0\0\x05\x04name";

    fn signed() -> Vec<u8> {
        with_section(&with_section(MODULE, MANIFEST, b"m"), SIGNATURE, b"s")
    }

    #[test]
    fn a_module_alone() {
        let envelope = Envelope::split(MODULE).expect("well-formed");
        assert_eq!(
            envelope,
            Envelope { module: MODULE, signed: MODULE, manifest: None, signature: None, is_whole: true }
        );
        assert_eq!(envelope.sha256(), Sha256::of(MODULE));
    }

    #[test]
    fn manifest_and_signature_come_last() {
        let file = signed();
        let envelope = Envelope::split(&file).expect("well-formed");
        assert_eq!(envelope.module, MODULE);
        assert_eq!(envelope.signed, with_section(MODULE, MANIFEST, b"m"));
        assert_eq!((envelope.manifest, envelope.signature), (Some(b"m".as_slice()), Some(b"s".as_slice())));
        assert_eq!(envelope.sha256(), Sha256::of(envelope.signed));
        let file = with_section(MODULE, SIGNATURE, b"s");
        let envelope = Envelope::split(&file).expect("well-formed");
        assert_eq!((envelope.module, envelope.signed, envelope.manifest), (MODULE, MODULE, None));
    }

    #[test]
    fn other_orders_of_sections_are_refused() {
        let with = |sections: &[(&str, &[u8])]| {
            sections.iter().fold(MODULE.to_vec(), |file, (name, contents)| with_section(&file, name, contents))
        };
        let cases = [
            (with(&[(MANIFEST, b""), (MANIFEST, b"")]), "a second manifest at offset 36"),
            (with(&[(SIGNATURE, b""), (SIGNATURE, b"")]), "a second signature at offset 37"),
            (with(&[(SIGNATURE, b""), (MANIFEST, b"")]), "a section after the signature at offset 37"),
            (with(&[(SIGNATURE, b""), ("x", b"")]), "a section after the signature at offset 37"),
            (with(&[(MANIFEST, b""), ("x", b"")]), "a section after the manifest at offset 36"),
            (with(&[(MANIFEST, &[0; MANIFEST_MAX + 1])]), "a manifest of more than 65536 bytes at offset 18"),
            (with(&[(SIGNATURE, &[0; SIGNATURE_MAX + 1])]), "a signature of more than 8192 bytes at offset 18"),
            (with(&[(SIGNATURE, &[0; 3 << 20])]), "a signature of more than 8192 bytes at offset 18"),
            ([signed(), vec![0]].concat(), "bytes after the last section at offset 57"),
        ];
        for (file, reason) in cases {
            assert_eq!(Envelope::split(&file), Err(reason.to_owned()));
        }
        let largest = with(&[(MANIFEST, &[0; MANIFEST_MAX]), (SIGNATURE, &[0; SIGNATURE_MAX])]);
        assert!(Envelope::split(&largest).is_ok());
    }

    #[test]
    fn a_file_that_is_not_a_module_has_no_parts() {
        for file in [b"".as_slice(), b"\0asm", b"#!/bin/sh\n", b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\xff\x01"] {
            let envelope = Envelope { module: file, signed: file, manifest: None, signature: None, is_whole: false };
            assert_eq!(Envelope::split(file), Ok(envelope));
        }
    }

    #[test]
    fn sections_are_found() {
        let file = signed();
        assert_eq!(section(&file, 1), Some((b"\0".as_slice(), 10)));
        assert_eq!(section(&file, 2), None);
    }

    proptest! {
        #[test]
        fn appended_sections_are_split_again(
            manifest in proptest::collection::vec(any::<u8>(), 0..300),
            signature in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let signed = with_section(MODULE, MANIFEST, &manifest);
            let file = with_section(&signed, SIGNATURE, &signature);
            let envelope = Envelope::split(&file).expect("well-formed");
            prop_assert_eq!(envelope.module, MODULE);
            prop_assert_eq!(envelope.signed, signed.as_slice());
            prop_assert_eq!(envelope.manifest, Some(manifest.as_slice()));
            prop_assert_eq!(envelope.signature, Some(signature.as_slice()));
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(tail in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Envelope::split(&[MODULE, &tail].concat());
            let _ = Envelope::split(&tail);
        }
    }
}
