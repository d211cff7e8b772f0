// SPDX-License-Identifier: GPL-2.0

//! Parser of detached CMS signatures ([RFC 5652](https://www.rfc-editor.org/rfc/rfc5652#section-5))
//! in the only accepted form: one signer, no attributes, no certificates.
//!
//! The kernel's parser accepts a superset of this form, and reads every accepted signature the same
//! way.
//!
//! This parser is written by hand, because the kernel module compiles this file and links no crates.

use super::{
    Malformed,
    der::{
        DerReader,
        tag, //
    }, //
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

/// Minimum length of an RSA signature in bytes. The signature is as long as the key, 2,048 bits.
const RSA_BYTES_MIN: usize = 256;

/// Identity of the signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer<'a> {
    /// Signer identified by the contents of `issuer` and `serialNumber` of its certificate.
    Certificate {
        /// Distinguished name of the issuer.
        issuer: &'a [u8],
        /// Serial number of the certificate.
        serial: &'a [u8],
    },
    /// Signer identified by the subject key identifier of its certificate.
    Key(&'a [u8]),
}

/// Algorithm of the signer's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// RSA.
    Rsa,
    /// ECDSA.
    Ecdsa,
}

/// Parsed signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    /// Identity of the signer.
    pub signer: Signer<'a>,
    /// Algorithm of the signer's key.
    pub key_algorithm: KeyAlgorithm,
    /// Length of the RSA signature, or of the longer number of an ECDSA signature, in bytes. It is
    /// about the length of the key.
    pub width: usize,
}

impl<'a> Signature<'a> {
    /// Parses a signature.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if `bytes` is not a signature in the accepted form.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = DerReader::new(bytes);
        let mut content_info = reader.value(tag::SEQUENCE, "not a CMS message")?;
        reader.end("bytes after the end")?;
        object(&mut content_info, oid::SIGNED_DATA, "not signed data")?;
        let mut content = content_info.value(tag::CONTEXT_0_CONSTRUCTED, "no signed data")?;
        content_info.end("more than signed data")?;
        let mut signed_data = content.value(tag::SEQUENCE, "no signed data")?;
        content.end("more than signed data")?;
        Self::signed_data(&mut signed_data)
    }

    fn signed_data(reader: &mut DerReader<'a>) -> Result<Self, Malformed> {
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

    fn signer(reader: &mut DerReader<'a>, by_key: bool, algorithm: Digest) -> Result<Self, Malformed> {
        let begin = *reader;
        if self::by_key(reader)? != by_key {
            return Err(begin.wrong("the signer version differs from that of the message"));
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
            return Err(begin.wrong("the digest algorithm differs from that of the message"));
        }
        if reader.is_next(tag::CONTEXT_0_CONSTRUCTED) {
            return Err(reader.wrong("signed attributes (openssl cms: -noattr)"));
        }
        let key_algorithm = key_algorithm(reader, algorithm)?;
        let begin = *reader;
        let value = reader.value(tag::OCTET_STRING, "no signature value")?;
        reader.end("more than a signature, such as unsigned attributes")?;
        if key_algorithm == KeyAlgorithm::Rsa && value.bytes().len() < RSA_BYTES_MIN {
            return Err(begin.wrong("an RSA key of less than 2048 bits"));
        }
        let width = match key_algorithm {
            KeyAlgorithm::Rsa => value.bytes().len(),
            KeyAlgorithm::Ecdsa => ecdsa_value(value)?,
        };
        Ok(Self { signer, key_algorithm, width })
    }

    /// Returns false if the length of the signature proves that its key is too weak. The key itself
    /// is not examined. An RSA signature is as long as its key. The two numbers of an ECDSA
    /// signature are random numbers below the order of the curve. A key on P-192 yields at most 24
    /// bytes; on P-256, P-384 and P-521 both numbers are that short with a probability of 2^-128.
    /// On P-521 both numbers have at most 48 bytes with a probability of 2^-274.
    #[must_use]
    pub fn may_be_strong(&self) -> bool {
        match self.key_algorithm {
            KeyAlgorithm::Rsa => self.width >= RSA_BYTES_MIN,
            KeyAlgorithm::Ecdsa => (25..=48).contains(&self.width),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digest {
    Sha256,
    Sha384,
    Sha512,
}

/// Checks that `value` is an `ECDSA-Sig-Value`, a pair of numbers, see [RFC
/// 3279](https://www.rfc-editor.org/rfc/rfc3279#section-2.2.3). Returns the length of the longer
/// number in bytes.
fn ecdsa_value(mut value: DerReader<'_>) -> Result<usize, Malformed> {
    let mut pair = value.value(tag::SEQUENCE, "not a pair of numbers")?;
    value.end("more than a pair of numbers")?;
    let mut width = 0;
    for _ in 0..2 {
        let begin = pair;
        let bytes = match pair.value(tag::INTEGER, "not a pair of numbers")?.bytes() {
            [0x80..=0xff, ..] | [] => return Err(begin.wrong("a number that is not positive")),
            [0, ..=0x7f, ..] => return Err(begin.wrong("a number that is not in its shortest form")),
            [0, bytes @ ..] | bytes => bytes,
        };
        width = width.max(bytes.len());
    }
    pair.end("more than a pair of numbers")?;
    Ok(width)
}

fn not_empty(reader: DerReader<'_>) -> Result<&[u8], Malformed> {
    match reader.bytes() {
        [] => Err(reader.wrong("an empty signer identifier")),
        bytes => Ok(bytes),
    }
}

/// Reads a version. Returns true if it means that a key identifier names the signer.
fn by_key(reader: &mut DerReader<'_>) -> Result<bool, Malformed> {
    let begin = *reader;
    match reader.value(tag::INTEGER, "no version")?.bytes() {
        [1] => Ok(false),
        [3] => Ok(true),
        _ => Err(begin.wrong("not version 1 or 3")),
    }
}

fn object(reader: &mut DerReader<'_>, wanted: &[u8], what: &'static str) -> Result<(), Malformed> {
    let begin = *reader;
    if reader.value(tag::OBJECT_IDENTIFIER, what)?.bytes() == wanted { Ok(()) } else { Err(begin.wrong(what)) }
}

/// Reads an algorithm. Returns its identifier, and true if its parameters are NULL.
fn algorithm<'a>(reader: &mut DerReader<'a>) -> Result<(&'a [u8], bool), Malformed> {
    let mut algorithm = reader.value(tag::SEQUENCE, "no algorithm")?;
    let id = algorithm.value(tag::OBJECT_IDENTIFIER, "no algorithm")?.bytes();
    let has_null = algorithm.is_next(tag::NULL);
    if has_null {
        algorithm.value(tag::NULL, "no algorithm")?.end("a NULL that is not empty")?;
    }
    algorithm.end("an algorithm with parameters")?;
    Ok((id, has_null))
}

fn digest(reader: &mut DerReader<'_>) -> Result<Digest, Malformed> {
    let begin = *reader;
    // NULL and absent parameters mean the same, see RFC 5754, section 2.
    match algorithm(reader)?.0 {
        oid::SHA256 => Ok(Digest::Sha256),
        oid::SHA384 => Ok(Digest::Sha384),
        oid::SHA512 => Ok(Digest::Sha512),
        _ => Err(begin.wrong("not SHA-256, SHA-384 or SHA-512")),
    }
}

fn key_algorithm(reader: &mut DerReader<'_>, digest: Digest) -> Result<KeyAlgorithm, Malformed> {
    let begin = *reader;
    let (id, has_null) = algorithm(reader)?;
    let ecdsa = match digest {
        Digest::Sha256 => oid::ECDSA_WITH_SHA256,
        Digest::Sha384 => oid::ECDSA_WITH_SHA384,
        Digest::Sha512 => oid::ECDSA_WITH_SHA512,
    };
    if id == oid::RSA_ENCRYPTION && has_null {
        Ok(KeyAlgorithm::Rsa)
    } else if id == ecdsa && !has_null {
        Ok(KeyAlgorithm::Ecdsa)
    } else {
        Err(begin.wrong("not RSA, or ECDSA with the same digest"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn value(tag: u8, contents: &[u8]) -> Vec<u8> {
        let len = contents.len();
        let low = |len: usize| u8::try_from(len & 0xff).expect("a byte");
        let head = match len {
            0..=0x7f => [tag, low(len)].to_vec(),
            0x80..=0xff => [tag, 0x81, low(len)].to_vec(),
            _ => [tag, 0x82, low(len >> 8), low(len)].to_vec(),
        };
        [head, contents.to_vec()].concat()
    }

    fn sequence(parts: &[&[u8]]) -> Vec<u8> {
        value(tag::SEQUENCE, &parts.concat())
    }

    fn object(id: &[u8]) -> Vec<u8> {
        value(tag::OBJECT_IDENTIFIER, id)
    }

    const NULL: &[u8] = &[tag::NULL, 0];

    fn pair(first: &[u8], second: &[u8]) -> Vec<u8> {
        sequence(&[&value(tag::INTEGER, first), &value(tag::INTEGER, second)])
    }

    /// Parts of a CMS message, so that a test can change one.
    #[derive(Clone)]
    struct Message {
        version: Vec<u8>,
        digests: Vec<u8>,
        content: Vec<u8>,
        lists: Vec<u8>,
        signer_version: Vec<u8>,
        id: Vec<u8>,
        digest: Vec<u8>,
        attributes: Vec<u8>,
        algorithm: Vec<u8>,
        signature: Vec<u8>,
        after: Vec<u8>,
        more_signers: Vec<u8>,
    }

    impl Message {
        fn rsa() -> Self {
            let sha256 = sequence(&[&object(oid::SHA256), NULL]);
            let issuer = sequence(&[&value(tag::SET, b"name")]);
            Self {
                version: value(tag::INTEGER, &[1]),
                digests: value(tag::SET, &sha256),
                content: sequence(&[&object(oid::DATA)]),
                lists: Vec::new(),
                signer_version: value(tag::INTEGER, &[1]),
                id: sequence(&[&issuer, &value(tag::INTEGER, &[7])]),
                digest: sha256,
                attributes: Vec::new(),
                algorithm: sequence(&[&object(oid::RSA_ENCRYPTION), NULL]),
                signature: value(tag::OCTET_STRING, &[0; RSA_BYTES_MIN]),
                after: Vec::new(),
                more_signers: Vec::new(),
            }
        }

        fn ecdsa() -> Self {
            let sha384 = sequence(&[&object(oid::SHA384)]);
            Self {
                version: value(tag::INTEGER, &[3]),
                digests: value(tag::SET, &sha384),
                signer_version: value(tag::INTEGER, &[3]),
                id: value(tag::CONTEXT_0, b"key"),
                digest: sha384,
                algorithm: sequence(&[&object(oid::ECDSA_WITH_SHA384)]),
                signature: value(tag::OCTET_STRING, &pair(&[1, 2], &[0, 0x80])),
                ..Self::rsa()
            }
        }

        fn encode(&self) -> Vec<u8> {
            let signer = sequence(&[
                &self.signer_version,
                &self.id,
                &self.digest,
                &self.attributes,
                &self.algorithm,
                &self.signature,
                &self.after,
            ]);
            let signers = value(tag::SET, &[signer, self.more_signers.clone()].concat());
            let signed = sequence(&[&self.version, &self.digests, &self.content, &self.lists, &signers]);
            sequence(&[&object(oid::SIGNED_DATA), &value(tag::CONTEXT_0_CONSTRUCTED, &signed)])
        }
    }

    #[test]
    fn signatures_are_read() {
        let (bytes, issuer) = (Message::rsa().encode(), value(tag::SET, b"name"));
        let signature = Signature::read(&bytes).expect("accepted");
        assert_eq!(signature.key_algorithm, KeyAlgorithm::Rsa);
        assert_eq!(signature.signer, Signer::Certificate { issuer: &issuer, serial: &[7] });
        let bytes = Message::ecdsa().encode();
        let signature = Signature::read(&bytes).expect("accepted");
        assert_eq!(signature, Signature { signer: Signer::Key(b"key"), key_algorithm: KeyAlgorithm::Ecdsa, width: 2 });
    }

    #[test]
    fn signatures_by_weak_keys_are_detected() {
        let rsa = Message::rsa().encode();
        assert!(Signature::read(&rsa).expect("accepted").may_be_strong());
        let of = |r: &[u8], s: &[u8]| {
            let signature = value(tag::OCTET_STRING, &pair(r, s));
            let bytes = Message { signature, ..Message::ecdsa() }.encode();
            let signature = Signature::read(&bytes).expect("accepted");
            (signature.width, signature.may_be_strong())
        };
        let long = |len: usize| [&[0, 0xff][..], &vec![0xff; len - 1]].concat();
        for (r, s, told) in [
            (long(24), long(24), (24, false)),
            (long(25), vec![1], (25, true)),
            (vec![1], long(25), (25, true)),
            (vec![0x7f; 32], long(32), (32, true)),
            (long(48), long(48), (48, true)),
            (long(48), vec![1; 49], (49, false)),
            (vec![1; 66], vec![1; 20], (66, false)),
        ] {
            assert_eq!(of(&r, &s), told);
        }
    }

    #[test]
    fn other_forms_of_cms_messages_are_refused() {
        type Change = fn(&mut Message);
        let cases: [(&str, Change); 19] = [
            ("not version 1 or 3", |m| m.version = value(tag::INTEGER, &[4])),
            ("the signer version differs from that of the message", |m| m.signer_version = value(tag::INTEGER, &[3])),
            ("more than one digest algorithm", |m| {
                m.digests = value(tag::SET, &[m.digest.clone(), m.digest.clone()].concat())
            }),
            ("not SHA-256, SHA-384 or SHA-512", |m| {
                m.digests = value(tag::SET, &sequence(&[&object(&[0x2b, 0x0e, 0x03, 0x02, 0x1a]), NULL]));
            }),
            ("the digest algorithm differs from that of the message", |m| m.digest = sequence(&[&object(oid::SHA512)])),
            ("the content is in the message: it must be detached", |m| {
                m.content = sequence(&[
                    &object(oid::DATA),
                    &value(tag::CONTEXT_0_CONSTRUCTED, &value(tag::OCTET_STRING, b"x")),
                ]);
            }),
            ("not a signature of plain data", |m| m.content = sequence(&[&object(oid::SIGNED_DATA)])),
            ("certificates are in the message (openssl cms: -nocerts)", |m| {
                m.lists = value(tag::CONTEXT_0_CONSTRUCTED, b"")
            }),
            ("revocation lists are in the message", |m| m.lists = value(tag::CONTEXT_1_CONSTRUCTED, b"")),
            ("no set of signers", |m| m.lists = NULL.to_vec()),
            ("no issuer and serial number", |m| m.id = value(tag::CONTEXT_0, b"key")),
            ("an empty signer identifier", |m| m.id = sequence(&[&sequence(&[]), &value(tag::INTEGER, &[7])])),
            ("signed attributes (openssl cms: -noattr)", |m| m.attributes = value(tag::CONTEXT_0_CONSTRUCTED, b"")),
            ("not RSA, or ECDSA with the same digest", |m| m.algorithm = sequence(&[&object(oid::RSA_ENCRYPTION)])),
            ("not RSA, or ECDSA with the same digest", |m| m.algorithm = sequence(&[&object(oid::ECDSA_WITH_SHA384)])),
            ("an algorithm with parameters", |m| m.algorithm = sequence(&[&object(oid::RSA_ENCRYPTION), NULL, NULL])),
            ("an RSA key of less than 2048 bits", |m| m.signature = value(tag::OCTET_STRING, &[0; 128])),
            ("more than a signature, such as unsigned attributes", |m| {
                m.after = value(tag::CONTEXT_1_CONSTRUCTED, b"")
            }),
            ("more than one signer", |m| m.more_signers = sequence(&[])),
        ];
        for (what, change) in cases {
            let mut message = Message::rsa();
            change(&mut message);
            assert_eq!(Signature::read(&message.encode()).expect_err(what).what, what);
        }
    }

    #[test]
    fn ecdsa_numbers_must_be_canonical() {
        let three = sequence(&[&value(tag::INTEGER, &[1]), &value(tag::INTEGER, &[1]), &value(tag::INTEGER, &[1])]);
        let cases = [
            (pair(&[0x80], &[1]), "a number that is not positive"),
            (pair(&[1], &[]), "a number that is not positive"),
            (pair(&[0, 1], &[1]), "a number that is not in its shortest form"),
            (three, "more than a pair of numbers"),
            ([pair(&[1], &[1]), NULL.to_vec()].concat(), "more than a pair of numbers"),
            (value(tag::INTEGER, &[1]), "not a pair of numbers"),
        ];
        for (bytes, what) in cases {
            let message = Message { signature: value(tag::OCTET_STRING, &bytes), ..Message::ecdsa() };
            assert_eq!(Signature::read(&message.encode()).expect_err(what).what, what);
        }
    }

    #[test]
    fn only_der_is_accepted() {
        for bytes in [Message::rsa().encode(), Message::ecdsa().encode()] {
            for len in 0..bytes.len() {
                assert!(Signature::read(&bytes[..len]).is_err(), "{len}");
            }
            let with = |more: &[u8]| [bytes.as_slice(), more].concat();
            assert_eq!(Signature::read(&with(&[0])).expect_err("longer").what, "bytes after the end");
            // Messages with an indefinite length, and with a length that is not in its shortest
            // form.
            let contents = &bytes[if bytes[1] == 0x82 { 4 } else { 3 }..];
            let indefinite = [&[tag::SEQUENCE, 0x80], contents, &[0, 0]].concat();
            assert_eq!(Signature::read(&indefinite).expect_err("indefinite").what, "an indefinite length");
            let len = u8::try_from(contents.len() & 0xff).expect("a byte");
            let high = u8::try_from(contents.len() >> 8).expect("a byte");
            let long = [&[tag::SEQUENCE, 0x83, 0, high, len], contents].concat();
            assert_eq!(Signature::read(&long).expect_err("long").what, "a length that is too large");
            if high == 0 {
                let long = [&[tag::SEQUENCE, 0x82, 0, len], contents].concat();
                assert_eq!(Signature::read(&long).expect_err("long").what, "a length that is not in its shortest form");
            }
        }
    }
}
