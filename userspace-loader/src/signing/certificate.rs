// SPDX-License-Identifier: GPL-2.0

//! X.509 certificates, read as the kernel reads them (`crypto/asymmetric_keys/x509_cert_parser.c`),
//! and issued for new keys.

use super::{
    asn1::{
        self,
        Attribute,
        Extension,
        IssuerAndSerialNumber,
        Name,
        SignerIdentifier,
        TbsCertificate,
        Time,
        Validity, //
    },
    cms,
    digest::Digest,
    key::{
        PrivateKey,
        PublicKey, //
    },
};
use base16ct::HexDisplay;
use const_oid::db::{
    rfc4519,
    rfc5280, //
};
use der::{
    Any, Decode as _, Encode as _,
    asn1::{
        BitString,
        GeneralizedTime,
        Int,
        OctetString,
        SetOfVec,
        UtcTime,
        Utf8StringRef, //
    },
    pem::{
        self,
        LineEnding, //
    },
};
use sha2::Digest as _;
use spki::AlgorithmIdentifierOwned;
use std::{
    fmt,
    time::{
        Duration,
        SystemTime, //
    },
};

/// PEM label of a certificate.
const PEM_LABEL: &str = "CERTIFICATE";

/// Upper bound of the length of a common name, in characters: RFC 5280, appendix A.1.
const NAME_MAX: usize = 64;

/// Length of an issued key identifier, in bytes: RFC 7093, 2, method 1.
const KEY_ID_BYTES: usize = 20;

/// Length of an issued serial number, in bytes; RFC 5280, 4.1.2.2 allows 20.
const SERIAL_BYTES: usize = 16;

/// A certificate.
#[derive(Clone, Debug)]
pub struct Certificate {
    der: Vec<u8>,
    tbs: TbsCertificate,
    key_id: Option<Vec<u8>>,
    key: Result<PublicKey, String>,
}

impl Certificate {
    /// Reads a certificate in PEM or DER.
    ///
    /// # Errors
    ///
    /// A message if `file` is not a certificate, or if the certificate is self-issued and its
    /// signature does not verify. An unsupported key is an error of [`Self::key`].
    pub fn read(file: &[u8]) -> Result<Self, String> {
        if !file.starts_with(b"-----") {
            return Self::from_der(file);
        }
        match pem::decode_vec(file) {
            Ok((PEM_LABEL, der)) => Self::from_der(&der),
            Ok((label, _)) => Err(format!("not a certificate, but a {}", label.escape_debug())),
            Err(error) => Err(format!("not a certificate in PEM: {error}")),
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, String> {
        let words = |error: der::Error| format!("not a certificate: {}", cms::der_words(&error));
        let whole = asn1::EncodedCertificate::from_der(der).map_err(words)?;
        let tbs: TbsCertificate = whole.tbs_certificate.decode_as().map_err(words)?;
        let mut key_id = None;
        for extension in tbs.extensions.iter().flatten() {
            if extension.id == rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER {
                key_id = Some(OctetString::from_der(extension.value.as_bytes()).map_err(words)?.as_bytes().to_vec());
            }
        }
        let key = PublicKey::read(&tbs.subject_public_key_info);
        let certificate = Self { der: der.to_vec(), tbs, key_id, key };
        certificate.check_own_signature(&whole)?;
        Ok(certificate)
    }

    /// Verifies the signature of a self-issued certificate with its own key, as the kernel does
    /// when a key is added.
    fn check_own_signature(&self, whole: &asn1::EncodedCertificate) -> Result<(), String> {
        if whole.signature_algorithm.oid != self.tbs.signature.oid {
            return Err("the certificate has two different signature algorithms".to_owned());
        }
        // A key or algorithm that is not allowed for modules is checked by the kernel only.
        let Ok(key) = &self.key else {
            return Ok(());
        };
        let named = |digest: &Digest| {
            let of_key = if key.is_rsa() { digest.with_rsa() } else { digest.with_ecdsa() };
            whole.signature_algorithm.oid == of_key
        };
        let Some(digest) = Digest::ALL.into_iter().find(named).filter(|_| self.tbs.issuer == self.tbs.subject) else {
            return Ok(());
        };
        let signed = whole.tbs_certificate.to_der().map_err(|error| error.to_string())?;
        let signature = whole.signature.as_bytes().unwrap_or_default();
        if key.verifies(digest, &signed, signature) {
            Ok(())
        } else {
            Err("the self-issued certificate is not signed with its own key".to_owned())
        }
    }

    /// Issues a self-signed certificate for `key`, valid from now on for `days`.
    ///
    /// # Errors
    ///
    /// A message if `name` is not a valid common name, if the end of validity cannot be encoded, or
    /// if there are no random numbers.
    pub fn issue(key: &PrivateKey, name: &str, days: u32) -> Result<Self, String> {
        if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
            return Err(format!(
                "invalid name '{}': expected 1 to {NAME_MAX} printable characters",
                name.escape_debug()
            ));
        }
        let words = |error: der::Error| format!("cannot make a certificate: {error}");
        let digest = key.digest();
        let algorithm = if key.public().is_rsa() {
            AlgorithmIdentifierOwned { oid: digest.with_rsa(), parameters: Some(Any::null()) }
        } else {
            AlgorithmIdentifierOwned { oid: digest.with_ecdsa(), parameters: None }
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let end = now.saturating_add(Duration::from_secs(u64::from(days).saturating_mul(24 * 60 * 60)));
        let attribute = Attribute {
            id: rfc4519::COMMON_NAME,
            value: Any::encode_from(&Utf8StringRef::new(name).map_err(words)?).map_err(words)?,
        };
        let name: Name = vec![SetOfVec::try_from(vec![attribute]).map_err(words)?];
        let name = Any::encode_from(&name).map_err(words)?;
        let info = key.public().info()?;
        let tbs = TbsCertificate {
            version: 2,
            serial_number: serial_number()?,
            signature: algorithm.clone(),
            issuer: name.clone(),
            validity: Validity { not_before: time(now).map_err(words)?, not_after: time(end).map_err(words)? },
            subject: name,
            extensions: Some(extensions(info.subject_public_key.raw_bytes()).map_err(words)?),
            subject_public_key_info: info,
            issuer_unique_id: None,
            subject_unique_id: None,
        };
        let tbs = Any::encode_from(&tbs).map_err(words)?;
        let signature = key.sign(digest, &tbs.to_der().map_err(words)?)?;
        let whole = asn1::EncodedCertificate {
            tbs_certificate: tbs,
            signature_algorithm: algorithm,
            signature: BitString::from_bytes(&signature).map_err(words)?,
        };
        Self::from_der(&whole.to_der().map_err(words)?)
    }

    /// Returns the certificate in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Returns the certificate in PEM.
    ///
    /// # Errors
    ///
    /// A message if the encoding fails.
    pub fn to_pem(&self) -> Result<String, String> {
        pem::encode_string(PEM_LABEL, LineEnding::LF, &self.der).map_err(|error| error.to_string())
    }

    /// Returns the certificate's public key.
    ///
    /// # Errors
    ///
    /// A message if the key is of a kind or size that is not accepted.
    pub fn key(&self) -> Result<&PublicKey, String> {
        self.key.as_ref().map_err(Clone::clone)
    }

    /// Returns the identifier of the certificate in signatures: issuer and serial number.
    #[must_use]
    pub fn identifier(&self) -> SignerIdentifier {
        SignerIdentifier::Certificate(IssuerAndSerialNumber {
            issuer: self.tbs.issuer.clone(),
            serial_number: self.tbs.serial_number.clone(),
        })
    }

    /// Returns true if `signer` identifies this certificate.
    #[must_use]
    pub fn is(&self, signer: &SignerIdentifier) -> bool {
        match signer {
            SignerIdentifier::Certificate(_) => self.identifier() == *signer,
            SignerIdentifier::Key(id) => self.key_id.as_deref() == Some(id.as_bytes()),
        }
    }

    /// Returns the time since the certificate expired; `None` if it is still valid.
    #[must_use]
    pub fn expired_for(&self, now: SystemTime) -> Option<Duration> {
        let end = match self.tbs.validity.not_after {
            Time::Utc(time) => time.to_system_time(),
            Time::Generalized(time) => time.to_system_time(),
        };
        now.duration_since(end).ok().filter(|since| !since.is_zero())
    }
}

/// Formats the key's description as the kernel does: the subject's common name, and the key
/// identifier or serial number.
impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.key_id.as_deref().unwrap_or_else(|| self.tbs.serial_number.as_bytes());
        write!(f, "{}: {:x}", common_name(&self.tbs.subject).unwrap_or_default().escape_debug(), HexDisplay(id))
    }
}

/// Returns the last common name in `name`.
#[must_use]
pub fn common_name(name: &Any) -> Option<String> {
    let name: Name = name.decode_as().ok()?;
    let attribute =
        name.iter().flat_map(SetOfVec::iter).filter(|attribute| attribute.id == rfc4519::COMMON_NAME).last()?;
    Some(String::from_utf8_lossy(attribute.value.value()).into_owned())
}

/// Returns a random positive serial number.
fn serial_number() -> Result<Int, String> {
    let mut bytes = [0; SERIAL_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| format!("cannot get random numbers: {error}"))?;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    Int::new(&bytes).map_err(|error| error.to_string())
}

/// Encodes whole seconds; from 2050 on, which [`UtcTime`] rejects, with a year of four digits: RFC
/// 5280, 4.1.2.5.
fn time(since_1970: Duration) -> der::Result<Time> {
    let whole = Duration::from_secs(since_1970.as_secs());
    let utc = UtcTime::from_unix_duration(whole).map(Time::Utc);
    utc.or_else(|_| GeneralizedTime::from_unix_duration(whole).map(Time::Generalized))
}

/// Returns the extensions of a key that signs code but no certificates, as in the kernel's
/// `certs/default_x509.genkey`.
fn extensions(key: &[u8]) -> der::Result<Vec<Extension>> {
    let hash = sha2::Sha256::digest(key);
    let id = hash.get(..KEY_ID_BYTES).unwrap_or_default();
    let extension =
        |id, critical, value: Vec<u8>| der::Result::Ok(Extension { id, critical, value: OctetString::new(value)? });
    Ok(vec![
        // BasicConstraints: an empty SEQUENCE, not a certificate authority.
        extension(rfc5280::ID_CE_BASIC_CONSTRAINTS, true, Vec::<Any>::new().to_der()?)?,
        // KeyUsage: bit 0, digitalSignature.
        extension(rfc5280::ID_CE_KEY_USAGE, true, BitString::new(7, [0x80])?.to_der()?)?,
        extension(rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER, false, OctetString::new(id)?.to_der()?)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_from_2050_on_have_four_digits_of_the_year() {
        let year_2050 = Duration::from_secs(2_524_608_000);
        assert!(matches!(time(year_2050 - Duration::from_nanos(1)), Ok(Time::Utc(_))));
        assert!(matches!(time(year_2050), Ok(Time::Generalized(_))));
        assert!(time(Duration::MAX).is_err());
    }
}
