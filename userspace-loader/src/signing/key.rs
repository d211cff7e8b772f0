// SPDX-License-Identifier: GPL-2.0

//! Keys: the private ones that sign, and the public ones that check.

use super::{
    asn1::oid,
    digest::Digest, //
};
use clap::ValueEnum;
use der::{
    Encode as _,
    pem::{
        self,
        LineEnding, //
    },
    zeroize::Zeroizing,
};
use getrandom::SysRng;
use p256::{
    elliptic_curve::Generate as _,
    pkcs8::{
        DecodePrivateKey as _,
        EncodePrivateKey as _, //
    },
};
use rsa::{
    pkcs1::DecodeRsaPrivateKey as _,
    signature::hazmat::{
        PrehashSigner as _,
        PrehashVerifier as _, //
    },
    traits::PublicKeyParts as _,
};
use spki::{
    DecodePublicKey as _,
    SubjectPublicKeyInfoOwned, //
};
use std::fmt;

/// What a key is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Algorithm {
    /// RSA with 2,048 bits.
    #[value(name = "rsa-2048")]
    Rsa2048,
    /// RSA with 3,072 bits.
    #[value(name = "rsa-3072")]
    Rsa3072,
    /// RSA with 4,096 bits.
    #[value(name = "rsa-4096")]
    Rsa4096,
    /// ECDSA with P-256.
    P256,
    /// ECDSA with P-384.
    P384,
}

/// The sizes of RSA keys that count, in bits: those that the kernel can compute with, from 2,048 on.
const RSA_BITS: [u32; 3] = [2048, 3072, 4096];

/// A file in PEM has a line that begins with this.
const PEM_BEGIN: &[u8] = b"-----BEGIN ";

/// A private key.
#[derive(Clone, Debug)]
pub enum PrivateKey {
    /// RSA.
    Rsa(Box<rsa::PrivateKey>),
    /// ECDSA with P-256.
    P256(p256::ecdsa::SigningKey),
    /// ECDSA with P-384.
    P384(p384::ecdsa::SigningKey),
}

impl PrivateKey {
    /// Makes a key.
    ///
    /// # Errors
    ///
    /// In words, if there are no random numbers.
    pub fn generate(algorithm: Algorithm) -> Result<Self, String> {
        let words = |error: &dyn fmt::Display| format!("no key can be made: {error}");
        let rsa = |bits| rsa::PrivateKey::new(&mut SysRng, bits).map(|key| Self::Rsa(Box::new(key)));
        match algorithm {
            Algorithm::Rsa2048 => rsa(2048).map_err(|error| words(&error)),
            Algorithm::Rsa3072 => rsa(3072).map_err(|error| words(&error)),
            Algorithm::Rsa4096 => rsa(4096).map_err(|error| words(&error)),
            Algorithm::P256 => p256::ecdsa::SigningKey::try_generate().map(Self::P256).map_err(|error| words(&error)),
            Algorithm::P384 => p384::ecdsa::SigningKey::try_generate().map(Self::P384).map_err(|error| words(&error)),
        }
    }

    /// Reads a PEM file: PKCS #8, or what OpenSSL wrote before that.
    ///
    /// # Errors
    ///
    /// In words: no key, one of another kind, or an encrypted one.
    pub fn from_pem(text: &[u8]) -> Result<Self, String> {
        if !text.windows(PEM_BEGIN.len()).any(|part| part == PEM_BEGIN) {
            return Err("not a private key in PEM: no line begins with -----BEGIN".to_owned());
        }
        let (label, der) = pem::decode_vec(text).map_err(|error| format!("not a private key in PEM: {error}"))?;
        let der = Zeroizing::new(der);
        let words = |error: &dyn fmt::Display| format!("not a private key that can be used: {error}");
        match label {
            "PRIVATE KEY" => Self::from_pkcs8(&der),
            "RSA PRIVATE KEY" => match rsa::PrivateKey::from_pkcs1_der(&der) {
                Ok(key) => Ok(Self::Rsa(Box::new(key))),
                Err(error) => Err(words(&error)),
            },
            "EC PRIVATE KEY" => {
                let p256 = p256::SecretKey::from_sec1_der(&der).map(|key| Self::P256(key.into()));
                p256.or_else(|_| p384::SecretKey::from_sec1_der(&der).map(|key| Self::P384(key.into())))
                    .map_err(|error| words(&error))
            }
            "ENCRYPTED PRIVATE KEY" => {
                Err("the private key is encrypted; openssl pkey -in KEY writes it without a passphrase".to_owned())
            }
            other => Err(format!("not a private key, but a {}", other.escape_debug())),
        }
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, String> {
        let rsa = || rsa::PrivateKey::from_pkcs8_der(der).map(|key| Self::Rsa(Box::new(key)));
        p256::SecretKey::from_pkcs8_der(der)
            .map(|key| Self::P256(key.into()))
            .or_else(|_| p384::SecretKey::from_pkcs8_der(der).map(|key| Self::P384(key.into())))
            .or_else(|_| rsa())
            .map_err(|error| format!("not a private key for RSA, P-256 or P-384: {error}"))
    }

    /// It as PKCS #8, in PEM.
    ///
    /// # Errors
    ///
    /// In words.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, String> {
        let pem = match self {
            Self::Rsa(key) => key.to_pkcs8_pem(LineEnding::LF),
            Self::P256(key) => key.to_pkcs8_pem(LineEnding::LF),
            Self::P384(key) => key.to_pkcs8_pem(LineEnding::LF),
        };
        pem.map_err(|error| error.to_string())
    }

    /// The public key to it.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        match self {
            Self::Rsa(key) => PublicKey::Rsa(Box::new(key.to_public_key())),
            Self::P256(key) => PublicKey::P256(*key.verifying_key()),
            Self::P384(key) => PublicKey::P384(*key.verifying_key()),
        }
    }

    /// The digest that goes with it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Rsa(_) | Self::P256(_) => Digest::Sha256,
            Self::P384(_) => Digest::Sha384,
        }
    }

    /// Signs `message`: PKCS #1 v1.5, or an `ECDSA-Sig-Value`.
    ///
    /// # Errors
    ///
    /// In words.
    pub fn sign(&self, digest: Digest, message: &[u8]) -> Result<Vec<u8>, String> {
        let hash = digest.of(message);
        let words = |error: &dyn fmt::Display| format!("cannot sign: {error}");
        match self {
            Self::Rsa(key) => match digest {
                Digest::Sha256 => key.pkcs1v15_sign_prehash::<sha2::Sha256>(&hash),
                Digest::Sha384 => key.pkcs1v15_sign_prehash::<sha2::Sha384>(&hash),
                Digest::Sha512 => key.pkcs1v15_sign_prehash::<sha2::Sha512>(&hash),
            }
            .map_err(|error| words(&error)),
            Self::P256(key) => {
                let signature: p256::ecdsa::DerSignature = key.sign_prehash(&hash).map_err(|error| words(&error))?;
                Ok(signature.as_bytes().to_vec())
            }
            Self::P384(key) => {
                let signature: p384::ecdsa::DerSignature = key.sign_prehash(&hash).map_err(|error| words(&error))?;
                Ok(signature.as_bytes().to_vec())
            }
        }
    }
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA.
    Rsa(Box<rsa::PublicKey>),
    /// ECDSA with P-256.
    P256(p256::ecdsa::VerifyingKey),
    /// ECDSA with P-384.
    P384(p384::ecdsa::VerifyingKey),
}

impl PublicKey {
    /// Reads that of a certificate.
    ///
    /// # Errors
    ///
    /// In words: one of another kind, or a weak one.
    pub fn read(info: &SubjectPublicKeyInfoOwned) -> Result<Self, String> {
        let wrong = |error: &dyn fmt::Display| format!("the public key cannot be used: {error}");
        let der = info.to_der().map_err(|error| wrong(&error))?;
        let algorithm = &info.algorithm;
        if algorithm.oid == oid::RSA_ENCRYPTION {
            let key = rsa::PublicKey::from_public_key_der(&der).map_err(|error| wrong(&error))?;
            let bits = key.n().bit_width();
            return if RSA_BITS.contains(&bits) {
                Ok(Self::Rsa(Box::new(key)))
            } else {
                Err(format!("an RSA key of {bits} bits; 2048, 3072 and 4096 can be used"))
            };
        }
        if algorithm.oid != oid::EC_PUBLIC_KEY {
            return Err(format!("a key of the kind {}; RSA, P-256 and P-384 can be used", algorithm.oid));
        }
        // The kernel takes points of both coordinates only.
        if info.subject_public_key.as_bytes().and_then(<[u8]>::first) != Some(&4) {
            return Err("an elliptic curve key whose point is compressed".to_owned());
        }
        let curve = algorithm.parameters.as_ref().and_then(|curve| curve.decode_as().ok());
        match curve {
            Some(oid::P256) => {
                p256::ecdsa::VerifyingKey::from_public_key_der(&der).map(Self::P256).map_err(|error| wrong(&error))
            }
            Some(oid::P384) => {
                p384::ecdsa::VerifyingKey::from_public_key_der(&der).map(Self::P384).map_err(|error| wrong(&error))
            }
            Some(other) => Err(format!("a key of the curve {other}; RSA, P-256 and P-384 can be used")),
            None => Err("an elliptic curve key without a name of its curve".to_owned()),
        }
    }

    /// It, as certificates have it.
    ///
    /// # Errors
    ///
    /// In words.
    pub fn info(&self) -> Result<SubjectPublicKeyInfoOwned, String> {
        match self {
            Self::Rsa(key) => SubjectPublicKeyInfoOwned::from_key(key.as_ref()),
            Self::P256(key) => SubjectPublicKeyInfoOwned::from_key(key),
            Self::P384(key) => SubjectPublicKeyInfoOwned::from_key(key),
        }
        .map_err(|error| error.to_string())
    }

    /// Whether it is one for RSA.
    #[must_use]
    pub fn is_rsa(&self) -> bool {
        matches!(self, Self::Rsa(_))
    }

    /// Whether `signature` is one of `message` by this key.
    #[must_use]
    pub fn verifies(&self, digest: Digest, message: &[u8], signature: &[u8]) -> bool {
        let hash = digest.of(message);
        match self {
            Self::Rsa(key) => match digest {
                Digest::Sha256 => key.pkcs1v15_verify_prehash::<sha2::Sha256>(&hash, signature).is_ok(),
                Digest::Sha384 => key.pkcs1v15_verify_prehash::<sha2::Sha384>(&hash, signature).is_ok(),
                Digest::Sha512 => key.pkcs1v15_verify_prehash::<sha2::Sha512>(&hash, signature).is_ok(),
            },
            Self::P256(key) => p256::ecdsa::DerSignature::from_bytes(signature)
                .is_ok_and(|signature| key.verify_prehash(&hash, &signature).is_ok()),
            Self::P384(key) => p384::ecdsa::DerSignature::from_bytes(signature)
                .is_ok_and(|signature| key.verify_prehash(&hash, &signature).is_ok()),
        }
    }
}

/// What kind of key it is.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(key) => write!(f, "RSA {}", key.n().bit_width()),
            Self::P256(_) => f.write_str("P-256"),
            Self::P384(_) => f.write_str("P-384"),
        }
    }
}
