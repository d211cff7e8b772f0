// SPDX-License-Identifier: GPL-2.0

//! Private keys, which sign, and public keys, which verify.

use super::digest::Digest;
use clap::ValueEnum;
use const_oid::db::rfc5912;
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

/// Algorithm of a new key.
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

/// Accepted sizes of RSA keys, in bits: the sizes from 2,048 on that the kernel supports.
const RSA_BITS: [u32; 3] = [2048, 3072, 4096];

/// Beginning of the first line of a PEM block.
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
    /// Generates a key.
    ///
    /// # Errors
    ///
    /// A message if there are no random numbers.
    pub fn generate(algorithm: Algorithm) -> Result<Self, String> {
        let words = |error: &dyn fmt::Display| format!("cannot make a key: {error}");
        let rsa = |bits| rsa::PrivateKey::new(&mut SysRng, bits).map(|key| Self::Rsa(Box::new(key)));
        match algorithm {
            Algorithm::Rsa2048 => rsa(2048).map_err(|error| words(&error)),
            Algorithm::Rsa3072 => rsa(3072).map_err(|error| words(&error)),
            Algorithm::Rsa4096 => rsa(4096).map_err(|error| words(&error)),
            Algorithm::P256 => p256::ecdsa::SigningKey::try_generate().map(Self::P256).map_err(|error| words(&error)),
            Algorithm::P384 => p384::ecdsa::SigningKey::try_generate().map(Self::P384).map_err(|error| words(&error)),
        }
    }

    /// Reads a key in PEM: PKCS #8, or the traditional forms of OpenSSL (PKCS #1, SEC 1).
    ///
    /// # Errors
    ///
    /// A message if `text` is not a key in PEM, or if the key is encrypted or of an unsupported
    /// kind.
    pub fn from_pem(text: &[u8]) -> Result<Self, String> {
        if !text.windows(PEM_BEGIN.len()).any(|part| part == PEM_BEGIN) {
            return Err("not a private key in PEM: no line begins with -----BEGIN".to_owned());
        }
        let (label, der) = pem::decode_vec(text).map_err(|error| format!("not a private key in PEM: {error}"))?;
        let der = Zeroizing::new(der);
        let words = |error: &dyn fmt::Display| format!("unusable private key: {error}");
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
                Err("the private key is encrypted; openssl pkey -in KEY -out NEW decrypts it".to_owned())
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

    /// Encodes the key as PKCS #8 in PEM.
    ///
    /// # Errors
    ///
    /// A message if the encoding fails.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, String> {
        let pem = match self {
            Self::Rsa(key) => key.to_pkcs8_pem(LineEnding::LF),
            Self::P256(key) => key.to_pkcs8_pem(LineEnding::LF),
            Self::P384(key) => key.to_pkcs8_pem(LineEnding::LF),
        };
        pem.map_err(|error| error.to_string())
    }

    /// Returns the public key.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        match self {
            Self::Rsa(key) => PublicKey::Rsa(Box::new(key.to_public_key())),
            Self::P256(key) => PublicKey::P256(*key.verifying_key()),
            Self::P384(key) => PublicKey::P384(*key.verifying_key()),
        }
    }

    /// Returns the digest that the key signs with.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Rsa(_) | Self::P256(_) => Digest::Sha256,
            Self::P384(_) => Digest::Sha384,
        }
    }

    /// Signs `message`. Returns an RSA signature (PKCS #1 v1.5), or an `ECDSA-Sig-Value` in DER.
    ///
    /// # Errors
    ///
    /// A message if the computation fails.
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
    /// Reads the public key of a certificate.
    ///
    /// # Errors
    ///
    /// A message if the key is of an unsupported kind, size or encoding.
    pub fn read(info: &SubjectPublicKeyInfoOwned) -> Result<Self, String> {
        let wrong = |error: &dyn fmt::Display| format!("unusable public key: {error}");
        let der = info.to_der().map_err(|error| wrong(&error))?;
        let algorithm = &info.algorithm;
        if algorithm.oid == rfc5912::RSA_ENCRYPTION {
            let key = rsa::PublicKey::from_public_key_der(&der).map_err(|error| wrong(&error))?;
            let bits = key.n().bit_width();
            return if RSA_BITS.contains(&bits) {
                Ok(Self::Rsa(Box::new(key)))
            } else {
                Err(format!("unsupported RSA key of {bits} bits: expected 2048, 3072 or 4096"))
            };
        }
        if algorithm.oid != rfc5912::ID_EC_PUBLIC_KEY {
            return Err(format!("unsupported key algorithm {}: expected RSA, P-256 or P-384", algorithm.oid));
        }
        // The kernel accepts uncompressed points only; 4 is their first byte.
        if info.subject_public_key.as_bytes().and_then(<[u8]>::first) != Some(&4) {
            return Err("unsupported elliptic curve key: its point is compressed".to_owned());
        }
        let curve = algorithm.parameters.as_ref().and_then(|curve| curve.decode_as().ok());
        match curve {
            Some(rfc5912::SECP_256_R_1) => {
                p256::ecdsa::VerifyingKey::from_public_key_der(&der).map(Self::P256).map_err(|error| wrong(&error))
            }
            Some(rfc5912::SECP_384_R_1) => {
                p384::ecdsa::VerifyingKey::from_public_key_der(&der).map(Self::P384).map_err(|error| wrong(&error))
            }
            Some(other) => Err(format!("unsupported curve {other}: expected P-256 or P-384")),
            None => Err("unsupported elliptic curve key: its curve has no name".to_owned()),
        }
    }

    /// Encodes the key as in a certificate.
    ///
    /// # Errors
    ///
    /// A message if the encoding fails.
    pub fn info(&self) -> Result<SubjectPublicKeyInfoOwned, String> {
        match self {
            Self::Rsa(key) => SubjectPublicKeyInfoOwned::from_key(key.as_ref()),
            Self::P256(key) => SubjectPublicKeyInfoOwned::from_key(key),
            Self::P384(key) => SubjectPublicKeyInfoOwned::from_key(key),
        }
        .map_err(|error| error.to_string())
    }

    /// Returns true if the key is an RSA key.
    #[must_use]
    pub fn is_rsa(&self) -> bool {
        matches!(self, Self::Rsa(_))
    }

    /// Returns true if `signature` is a valid signature of `message` by this key.
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

/// Formats the kind of the key.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(key) => write!(f, "RSA {}", key.n().bit_width()),
            Self::P256(_) => f.write_str("P-256"),
            Self::P384(_) => f.write_str("P-384"),
        }
    }
}
