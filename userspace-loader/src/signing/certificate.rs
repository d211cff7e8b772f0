// SPDX-License-Identifier: GPL-2.0

//! X.509 certificates: who a key belongs to. What is read of one is what the kernel reads
//! (`crypto/asymmetric_keys/x509_cert_parser.c`).

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
        Validity,
        oid, //
    },
    cms,
    digest::Digest,
    key::{
        PrivateKey,
        PublicKey, //
    },
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

/// What a certificate is called in PEM.
const PEM_LABEL: &str = "CERTIFICATE";

/// The most characters of a common name: RFC 5280, appendix A.1.
const NAME_MAX: usize = 64;

/// The bytes of a key identifier that is made here: RFC 7093, 2, method 1.
const KEY_ID_BYTES: usize = 20;

/// The bytes of a serial number that is made here; RFC 5280 allows 20.
const SERIAL_BYTES: usize = 16;

/// From this time on, in seconds since 1970, validity is written with four digits for the year: RFC 5280, 4.1.2.5.
const YEAR_2050: u64 = 2_524_608_000;

/// A certificate.
#[derive(Clone, Debug)]
pub struct Certificate {
    der: Vec<u8>,
    tbs: TbsCertificate,
    key_id: Option<Vec<u8>>,
    key: Result<PublicKey, String>,
}

impl Certificate {
    /// Reads a file: PEM, or DER.
    ///
    /// # Errors
    ///
    /// In words: no certificate, or one that the kernel would not take either. Whether its key can count is for [`Self::key`].
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
        let whole = asn1::Certificate::from_der(der).map_err(words)?;
        let tbs: TbsCertificate = whole.tbs_certificate.decode_as().map_err(words)?;
        let mut key_id = None;
        for extension in tbs.extensions.iter().flatten() {
            if extension.id == oid::SUBJECT_KEY_IDENTIFIER {
                key_id = Some(OctetString::from_der(extension.value.as_bytes()).map_err(words)?.as_bytes().to_vec());
            }
        }
        let key = PublicKey::read(&tbs.subject_public_key_info);
        let certificate = Self { der: der.to_vec(), tbs, key_id, key };
        certificate.check_own_signature(&whole)?;
        Ok(certificate)
    }

    /// Where it says that it is signed with its own key: sees that it is. The kernel does so when a key is added.
    fn check_own_signature(&self, whole: &asn1::Certificate) -> Result<(), String> {
        if whole.signature_algorithm.oid != self.tbs.signature.oid {
            return Err("a certificate with two signature algorithms".to_owned());
        }
        // Where it is signed in a way that no module may be, it is left to the kernel.
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
            Err("a certificate that is not signed with its own key, as it says".to_owned())
        }
    }

    /// Makes one for `key`, signed with it, that is valid from now on for `days`.
    ///
    /// # Errors
    ///
    /// In words: a name that cannot be, more days than there are.
    pub fn issue(key: &PrivateKey, name: &str, days: u32) -> Result<Self, String> {
        if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
            return Err(format!("'{}' is no name: 1 to {NAME_MAX} characters are wanted", name.escape_debug()));
        }
        let words = |error: der::Error| format!("no certificate can be made: {error}");
        let digest = key.digest();
        let algorithm = if key.public().is_rsa() {
            AlgorithmIdentifierOwned { oid: digest.with_rsa(), parameters: Some(Any::null()) }
        } else {
            AlgorithmIdentifierOwned { oid: digest.with_ecdsa(), parameters: None }
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let end = now.saturating_add(Duration::from_secs(u64::from(days).saturating_mul(24 * 60 * 60)));
        let attribute = Attribute {
            id: oid::COMMON_NAME,
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
        let whole = asn1::Certificate {
            tbs_certificate: tbs,
            signature_algorithm: algorithm,
            signature: BitString::from_bytes(&signature).map_err(words)?,
        };
        Self::from_der(&whole.to_der().map_err(words)?)
    }

    /// It, in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// It, in PEM.
    ///
    /// # Errors
    ///
    /// In words.
    pub fn to_pem(&self) -> Result<String, String> {
        pem::encode_string(PEM_LABEL, LineEnding::LF, &self.der).map_err(|error| error.to_string())
    }

    /// The key in it.
    ///
    /// # Errors
    ///
    /// In words, if no signature by it can count.
    pub fn key(&self) -> Result<&PublicKey, String> {
        self.key.as_ref().map_err(Clone::clone)
    }

    /// How a signature names it: by issuer and serial number.
    #[must_use]
    pub fn identifier(&self) -> SignerIdentifier {
        SignerIdentifier::Certificate(IssuerAndSerialNumber {
            issuer: self.tbs.issuer.clone(),
            serial_number: self.tbs.serial_number.clone(),
        })
    }

    /// Whether a signature means it by `signer`.
    #[must_use]
    pub fn is(&self, signer: &SignerIdentifier) -> bool {
        match signer {
            SignerIdentifier::Certificate(_) => self.identifier() == *signer,
            SignerIdentifier::Key(id) => self.key_id.as_deref() == Some(id.as_bytes()),
        }
    }

    /// How long ago it has expired, if it has.
    #[must_use]
    pub fn expired_for(&self, now: SystemTime) -> Option<Duration> {
        let end = match self.tbs.validity.not_after {
            Time::Utc(time) => time.to_system_time(),
            Time::Generalized(time) => time.to_system_time(),
        };
        now.duration_since(end).ok().filter(|since| !since.is_zero())
    }
}

/// As the kernel describes the key: the subject's common name, and the key identifier or serial number.
impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.key_id.as_deref().unwrap_or_else(|| self.tbs.serial_number.as_bytes());
        write!(f, "{}: {}", common_name(&self.tbs.subject).unwrap_or_default().escape_debug(), hex(id))
    }
}

/// The common name in `name`.
#[must_use]
pub fn common_name(name: &Any) -> Option<String> {
    let name: Name = name.decode_as().ok()?;
    let attribute = name.iter().flat_map(SetOfVec::iter).filter(|attribute| attribute.id == oid::COMMON_NAME).last()?;
    Some(String::from_utf8_lossy(attribute.value.value()).into_owned())
}

/// `bytes` in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A random one, that is positive.
fn serial_number() -> Result<Int, String> {
    let mut bytes = [0; SERIAL_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random numbers: {error}"))?;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    Int::new(&bytes).map_err(|error| error.to_string())
}

fn time(since_1970: Duration) -> der::Result<Time> {
    let whole = Duration::from_secs(since_1970.as_secs());
    Ok(if whole.as_secs() < YEAR_2050 {
        Time::Utc(UtcTime::from_unix_duration(whole)?)
    } else {
        Time::Generalized(GeneralizedTime::from_unix_duration(whole)?)
    })
}

/// Those of a key that signs code and no certificates, as for the kernel's own modules (`certs/default_x509.genkey`).
fn extensions(key: &[u8]) -> der::Result<Vec<Extension>> {
    let hash = sha2::Sha256::digest(key);
    let id = hash.get(..KEY_ID_BYTES).unwrap_or_default();
    let extension =
        |id, critical, value: Vec<u8>| der::Result::Ok(Extension { id, critical, value: OctetString::new(value)? });
    Ok(vec![
        // An empty SEQUENCE: no authority.
        extension(oid::BASIC_CONSTRAINTS, true, Vec::<Any>::new().to_der()?)?,
        // The first bit: digitalSignature.
        extension(oid::KEY_USAGE, true, BitString::new(7, [0x80])?.to_der()?)?,
        extension(oid::SUBJECT_KEY_IDENTIFIER, false, OctetString::new(id)?.to_der()?)?,
    ])
}
