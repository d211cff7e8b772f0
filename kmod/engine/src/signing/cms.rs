// SPDX-License-Identifier: GPL-2.0

//! Detached CMS signatures ([RFC 5652](https://www.rfc-editor.org/rfc/rfc5652#section-5)) in the one shape that is accepted:
//! one signer, no attributes, no certificates.
//!
//! The kernel's own parser takes much more. What this lets through it reads the same way.

use super::{
    der::{
        tag,
        Reader, //
    },
    Malformed, //
};

/// Object identifiers.
mod oid {
    /// 1.2.840.113549.1.7.1
    pub(super) const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
    /// 1.2.840.113549.1.7.2
    pub(super) const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
    /// 1.2.840.113549.1.1.1
    pub(super) const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    /// 2.16.840.1.101.3.4.2.1
    pub(super) const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
    /// 2.16.840.1.101.3.4.2.2
    pub(super) const SHA384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
    /// 2.16.840.1.101.3.4.2.3
    pub(super) const SHA512: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];
    /// 1.2.840.10045.4.3.2
    pub(super) const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    /// 1.2.840.10045.4.3.3
    pub(super) const ECDSA_WITH_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
    /// 1.2.840.10045.4.3.4
    pub(super) const ECDSA_WITH_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04];
}

/// The fewest bytes of an RSA signature, which has as many as its key: 2,048 bits.
const RSA_BYTES_MIN: usize = 256;

/// Who signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer<'a> {
    /// Whose certificate has these contents of `issuer` and of `serialNumber`.
    Certificate {
        /// The name of who issued it.
        issuer: &'a [u8],
        /// Its number.
        serial: &'a [u8],
    },
    /// Whose certificate has this subject key identifier.
    Key(&'a [u8]),
}

/// What kind of key signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RSA.
    Rsa,
    /// ECDSA.
    Ecdsa,
}

/// A signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    /// Who signed.
    pub signer: Signer<'a>,
    /// With what kind of key.
    pub kind: Kind,
}

impl<'a> Signature<'a> {
    /// Reads a signature.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for everything else.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut content_info = reader.value(tag::SEQUENCE, "not a CMS message")?;
        reader.end("bytes after the end")?;
        object(&mut content_info, oid::SIGNED_DATA, "not signed data")?;
        let mut content = content_info.value(tag::CONTEXT_0_CONSTRUCTED, "no signed data")?;
        content_info.end("more than signed data")?;
        let mut signed_data = content.value(tag::SEQUENCE, "no signed data")?;
        content.end("more than signed data")?;
        Self::signed_data(&mut signed_data)
    }

    fn signed_data(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let by_key = by_key(reader)?;
        let mut algorithms = reader.value(tag::SET, "no set of digest algorithms")?;
        let digest = digest(&mut algorithms)?;
        algorithms.end("more than one digest algorithm")?;
        let mut content = reader.value(tag::SEQUENCE, "no content type")?;
        object(&mut content, oid::DATA, "not a signature of plain data")?;
        content.end("the content is in the message: it must be detached")?;
        if reader.is_next(tag::CONTEXT_0_CONSTRUCTED) {
            return Err(reader.wrong("certificates are in the message (openssl cms: -nocerts)"));
        }
        if reader.is_next(tag::CONTEXT_1_CONSTRUCTED) {
            return Err(reader.wrong("revocation lists are in the message"));
        }
        let mut signers = reader.value(tag::SET, "no set of signers")?;
        reader.end("more than signers")?;
        let mut signer = signers.value(tag::SEQUENCE, "no signer")?;
        signers.end("more than one signer")?;
        Self::signer(&mut signer, by_key, digest)
    }

    fn signer(reader: &mut Reader<'a>, by_key: bool, algorithm: Digest) -> Result<Self, Malformed> {
        let begin = *reader;
        if self::by_key(reader)? != by_key {
            return Err(begin.wrong("another version than that of the message"));
        }
        let signer = if by_key {
            let id = reader.value(tag::CONTEXT_0, "no subject key identifier")?;
            Signer::Key(not_empty(id)?)
        } else {
            let mut id = reader.value(tag::SEQUENCE, "no issuer and serial number")?;
            let issuer = id.value(tag::SEQUENCE, "no issuer")?;
            let serial = id.value(tag::INTEGER, "no serial number")?;
            id.end("more than issuer and serial number")?;
            Signer::Certificate { issuer: not_empty(issuer)?, serial: not_empty(serial)? }
        };
        let begin = *reader;
        if digest(reader)? != algorithm {
            return Err(begin.wrong("another digest algorithm than that of the message"));
        }
        if reader.is_next(tag::CONTEXT_0_CONSTRUCTED) {
            return Err(reader.wrong("signed attributes (openssl cms: -noattr)"));
        }
        let kind = key_kind(reader, algorithm)?;
        let begin = *reader;
        let value = reader.value(tag::OCTET_STRING, "no signature value")?;
        reader.end("more than a signature, such as unsigned attributes")?;
        if kind == Kind::Rsa && value.bytes().len() < RSA_BYTES_MIN {
            return Err(begin.wrong("an RSA key of less than 2048 bits"));
        }
        Ok(Self { signer, kind })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digest {
    Sha256,
    Sha384,
    Sha512,
}

fn not_empty(reader: Reader<'_>) -> Result<&[u8], Malformed> {
    match reader.bytes() {
        [] => Err(reader.wrong("an empty name of the signer")),
        bytes => Ok(bytes),
    }
}

/// Reads the version: whether the signer is named by a key identifier.
fn by_key(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    let begin = *reader;
    match reader.value(tag::INTEGER, "no version")?.bytes() {
        [1] => Ok(false),
        [3] => Ok(true),
        _ => Err(begin.wrong("not version 1 or 3")),
    }
}

fn object(reader: &mut Reader<'_>, wanted: &[u8], what: &'static str) -> Result<(), Malformed> {
    let begin = *reader;
    if reader.value(tag::OBJECT_IDENTIFIER, what)?.bytes() == wanted {
        Ok(())
    } else {
        Err(begin.wrong(what))
    }
}

/// Reads an algorithm: its identifier, and whether it has a NULL for parameters.
fn algorithm<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], bool), Malformed> {
    let mut algorithm = reader.value(tag::SEQUENCE, "no algorithm")?;
    let id = algorithm.value(tag::OBJECT_IDENTIFIER, "no algorithm")?.bytes();
    let has_null = algorithm.is_next(tag::NULL);
    if has_null {
        algorithm.value(tag::NULL, "no algorithm")?.end("a NULL that is not empty")?;
    }
    algorithm.end("an algorithm with parameters")?;
    Ok((id, has_null))
}

fn digest(reader: &mut Reader<'_>) -> Result<Digest, Malformed> {
    let begin = *reader;
    // With and without NULL mean the same, see RFC 5754, section 2.
    match algorithm(reader)?.0 {
        oid::SHA256 => Ok(Digest::Sha256),
        oid::SHA384 => Ok(Digest::Sha384),
        oid::SHA512 => Ok(Digest::Sha512),
        _ => Err(begin.wrong("not SHA-256, SHA-384 or SHA-512")),
    }
}

fn key_kind(reader: &mut Reader<'_>, digest: Digest) -> Result<Kind, Malformed> {
    let begin = *reader;
    let (id, has_null) = algorithm(reader)?;
    let ecdsa = match digest {
        Digest::Sha256 => oid::ECDSA_WITH_SHA256,
        Digest::Sha384 => oid::ECDSA_WITH_SHA384,
        Digest::Sha512 => oid::ECDSA_WITH_SHA512,
    };
    if id == oid::RSA_ENCRYPTION && has_null {
        Ok(Kind::Rsa)
    } else if id == ecdsa && !has_null {
        Ok(Kind::Ecdsa)
    } else {
        Err(begin.wrong("not RSA, or ECDSA with the same digest"))
    }
}
