// SPDX-License-Identifier: GPL-2.0

//! Digest algorithms that signatures may use.

use const_oid::{
    ObjectIdentifier,
    db::rfc5912, //
};
use sha2::Digest as _;
use std::fmt;

/// A digest algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Digest {
    /// All digest algorithms.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// Returns the digest of `bytes`.
    #[must_use]
    pub fn of(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => sha2::Sha256::digest(bytes).to_vec(),
            Self::Sha384 => sha2::Sha384::digest(bytes).to_vec(),
            Self::Sha512 => sha2::Sha512::digest(bytes).to_vec(),
        }
    }

    /// Returns the object identifier of the digest.
    #[must_use]
    pub fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Sha256 => rfc5912::ID_SHA_256,
            Self::Sha384 => rfc5912::ID_SHA_384,
            Self::Sha512 => rfc5912::ID_SHA_512,
        }
    }

    /// Returns the object identifier of ECDSA with this digest.
    #[must_use]
    pub fn with_ecdsa(self) -> ObjectIdentifier {
        match self {
            Self::Sha256 => rfc5912::ECDSA_WITH_SHA_256,
            Self::Sha384 => rfc5912::ECDSA_WITH_SHA_384,
            Self::Sha512 => rfc5912::ECDSA_WITH_SHA_512,
        }
    }

    /// Returns the object identifier of RSA with this digest, as in certificates.
    #[must_use]
    pub fn with_rsa(self) -> ObjectIdentifier {
        match self {
            Self::Sha256 => rfc5912::SHA_256_WITH_RSA_ENCRYPTION,
            Self::Sha384 => rfc5912::SHA_384_WITH_RSA_ENCRYPTION,
            Self::Sha512 => rfc5912::SHA_512_WITH_RSA_ENCRYPTION,
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        })
    }
}
