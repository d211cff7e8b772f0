// SPDX-License-Identifier: GPL-2.0

//! Detached CMS signatures ([RFC 5652](https://www.rfc-editor.org/rfc/rfc5652#section-5)), in the
//! one form that `docs/signing.md` allows.

use super::{
    asn1::{
        ContentInfo,
        EncapsulatedContentInfo,
        SignedData,
        SignerIdentifier,
        SignerInfo, //
    },
    certificate::{
        Certificate,
        common_name, //
    },
    digest::Digest,
    key::PrivateKey,
};
use base16ct::HexDisplay;
use const_oid::db::{
    rfc5911::{ID_DATA, ID_SIGNED_DATA},
    rfc5912::RSA_ENCRYPTION,
};
use der::{
    Any, Decode as _, Encode as _, ErrorKind, Tag, Tagged as _,
    asn1::{
        OctetString,
        SetOfVec, //
    },
};
use spki::AlgorithmIdentifierOwned;
use std::fmt;

/// Minimum length of an RSA signature, in bytes: that of a key of 2,048 bits.
const RSA_BYTES_MIN: usize = 256;

/// A signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Identifier of the signer's certificate.
    pub signer: SignerIdentifier,
    /// Digest algorithm.
    pub digest: Digest,
    /// Set for an RSA signature; otherwise the signature is ECDSA.
    pub is_rsa: bool,
    /// Signature value.
    pub value: Vec<u8>,
}

/// DER tag of a SEQUENCE, the first byte of a signature.
const SEQUENCE: u8 = 0x30;

impl Signature {
    /// Reads a signature.
    ///
    /// # Errors
    ///
    /// A message if `bytes` are not a signature in the allowed form.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        if bytes.first().is_some_and(|tag| *tag != SEQUENCE) {
            return Err("not a signature: expected CMS in DER".to_owned());
        }
        let words = |error: der::Error| der_words(&error);
        let info = ContentInfo::from_der(bytes).map_err(words)?;
        if info.content_type != ID_SIGNED_DATA {
            return Err(format!("not signed data, but {}", info.content_type));
        }
        let data: SignedData = info.content.decode_as().map_err(words)?;
        if data.content.content_type != ID_DATA {
            return Err(format!("not a signature of plain data, but of {}", data.content.content_type));
        }
        if data.content.content.is_some() {
            return Err("the signature contains the content: expected a detached signature".to_owned());
        }
        if data.certificates.is_some() {
            return Err("the signature contains certificates (openssl cms: -nocerts)".to_owned());
        }
        if data.revocation_lists.is_some() {
            return Err("the signature contains revocation lists".to_owned());
        }
        let [digest] = data.digest_algorithms.as_slice() else {
            return Err(format!("{} digest algorithms: expected one", data.digest_algorithms.len()));
        };
        let digest = digest_of(digest)?;
        let [signer] = data.signer_infos.as_slice() else {
            return Err(format!("{} signers: expected one", data.signer_infos.len()));
        };
        let signer: SignerInfo = signer.decode_as().map_err(words)?;
        if signer.signed_attributes.is_some() {
            return Err("the signature contains signed attributes (openssl cms: -noattr)".to_owned());
        }
        if signer.unsigned_attributes.is_some() {
            return Err("the signature contains unsigned attributes".to_owned());
        }
        match (&signer.signer, data.version, signer.version) {
            (SignerIdentifier::Certificate(id), 1, 1) => {
                if id.issuer.tag() != Tag::Sequence || id.issuer.value().is_empty() {
                    return Err("the signer's issuer is not a name".to_owned());
                }
            }
            (SignerIdentifier::Key(id), 3, 3) => {
                if id.as_bytes().is_empty() {
                    return Err("the signer's key identifier is empty".to_owned());
                }
            }
            (_, data, signer) => {
                return Err(format!("version {data} with a signer of version {signer}: expected 1 or 3 for both"));
            }
        }
        if digest_of(&signer.digest_algorithm)? != digest {
            return Err("the signature has two different digest algorithms".to_owned());
        }
        let algorithm = &signer.signature_algorithm;
        let is_rsa = algorithm.oid == RSA_ENCRYPTION;
        if !is_rsa && algorithm.oid != digest.with_ecdsa() {
            return Err(format!("the signature algorithm {} is neither RSA nor ECDSA with {digest}", algorithm.oid));
        }
        if algorithm.parameters != is_rsa.then(Any::null) {
            return Err("the signature algorithm has wrong parameters".to_owned());
        }
        let value = signer.signature.into_bytes().into_vec();
        if is_rsa && value.len() < RSA_BYTES_MIN {
            return Err("an RSA key of less than 2048 bits".to_owned());
        }
        Ok(Self { signer: signer.signer, digest, is_rsa, value })
    }

    /// Signs `message` with `key`, which must be the key of `certificate`.
    ///
    /// # Errors
    ///
    /// A message if `key` is not the key of `certificate`, or if signing fails.
    pub fn make(message: &[u8], key: &PrivateKey, certificate: &Certificate) -> Result<Self, String> {
        if key.public() != *certificate.key()? {
            return Err("the private key does not belong to the certificate".to_owned());
        }
        let digest = key.digest();
        Ok(Self {
            signer: certificate.identifier(),
            digest,
            is_rsa: certificate.key()?.is_rsa(),
            value: key.sign(digest, message)?,
        })
    }

    /// Encodes the signature in DER, as the contents of the custom section.
    ///
    /// # Errors
    ///
    /// A message if the encoding fails.
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        self.encode_der().map_err(|error| error.to_string())
    }

    fn encode_der(&self) -> der::Result<Vec<u8>> {
        let version = match self.signer {
            SignerIdentifier::Certificate(_) => 1,
            SignerIdentifier::Key(_) => 3,
        };
        let digest_algorithm = AlgorithmIdentifierOwned { oid: self.digest.oid(), parameters: None };
        let signature_algorithm = if self.is_rsa {
            AlgorithmIdentifierOwned { oid: RSA_ENCRYPTION, parameters: Some(Any::null()) }
        } else {
            AlgorithmIdentifierOwned { oid: self.digest.with_ecdsa(), parameters: None }
        };
        let signer = SignerInfo {
            version,
            signer: self.signer.clone(),
            digest_algorithm: digest_algorithm.clone(),
            signed_attributes: None,
            signature_algorithm,
            signature: OctetString::new(self.value.clone())?,
            unsigned_attributes: None,
        };
        let data = SignedData {
            version,
            digest_algorithms: SetOfVec::try_from(vec![digest_algorithm])?,
            content: EncapsulatedContentInfo { content_type: ID_DATA, content: None },
            certificates: None,
            revocation_lists: None,
            signer_infos: SetOfVec::try_from(vec![Any::encode_from(&signer)?])?,
        };
        ContentInfo { content_type: ID_SIGNED_DATA, content: Any::encode_from(&data)? }.to_der()
    }

    /// Verifies the signature of `message` with the key of `certificate`.
    ///
    /// # Errors
    ///
    /// A message if the key is not accepted, is of another kind, or does not verify the signature.
    pub fn check(&self, message: &[u8], certificate: &Certificate) -> Result<(), String> {
        let key = certificate.key().map_err(|reason| format!("the signer's key is not accepted: {reason}"))?;
        if key.is_rsa() != self.is_rsa {
            return Err(format!("the signer's key is of another kind than the signature: {key}"));
        }
        if key.verifies(self.digest, message, &self.value) {
            Ok(())
        } else {
            Err(format!("the signature does not verify with the key of {certificate}"))
        }
    }

    /// Returns the names of signature and digest algorithm.
    #[must_use]
    pub fn algorithm(&self) -> String {
        format!("{} with {}", if self.is_rsa { "RSA" } else { "ECDSA" }, self.digest)
    }
}

/// Formats the identifier for messages.
impl fmt::Display for SignerIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(id) => {
                let issuer = common_name(&id.issuer);
                let issuer = issuer.as_deref().unwrap_or("a name without common name").escape_debug();
                write!(f, "{issuer}, serial number {:x}", HexDisplay(id.serial_number.as_bytes()))
            }
            Self::Key(id) => write!(f, "key identifier {:x}", HexDisplay(id.as_bytes())),
        }
    }
}

/// Returns the digest of an algorithm identifier. Absent parameters and NULL are equivalent: RFC
/// 5754, 2.
fn digest_of(algorithm: &AlgorithmIdentifierOwned) -> Result<Digest, String> {
    if algorithm.parameters.as_ref().is_some_and(|parameters| *parameters != Any::null()) {
        return Err("the digest algorithm has parameters".to_owned());
    }
    let known = Digest::ALL.into_iter().find(|digest| digest.oid() == algorithm.oid);
    known.ok_or_else(|| format!("the digest algorithm {} is not SHA-256, SHA-384 or SHA-512", algorithm.oid))
}

/// Returns the message for an error of the encoding.
pub(super) fn der_words(error: &der::Error) -> String {
    let what = match error.kind() {
        ErrorKind::IndefiniteLength => "indefinite length".to_owned(),
        ErrorKind::Overlength | ErrorKind::Length { .. } => {
            "a length that does not fit or is not in its shortest form".to_owned()
        }
        ErrorKind::TrailingData { .. } => "bytes after the end".to_owned(),
        ErrorKind::Incomplete { .. } => "unexpected end".to_owned(),
        ErrorKind::SetOrdering => "a set that is not in order".to_owned(),
        other => other.to_string(),
    };
    match error.position() {
        Some(position) => format!("{what} at offset {position}"),
        None => what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::key::Algorithm;
    use const_oid::db::rfc5912::{
        ECDSA_WITH_SHA_256,
        ECDSA_WITH_SHA_384,
        ID_SHA_256,
        ID_SHA_384, //
    };
    use der::asn1::ObjectIdentifier;
    use proptest::prelude::*;

    fn signature() -> Signature {
        let key = PrivateKey::generate(Algorithm::P256).expect("a key");
        let certificate = Certificate::issue(&key, "somebody", 1).expect("a certificate");
        Signature::make(b"message", &key, &certificate).expect("a signature")
    }

    fn data() -> SignedData {
        let info = ContentInfo::from_der(&signature().encode().expect("can be encoded")).expect("is CMS");
        info.content.decode_as().expect("signed data")
    }

    fn read(data: &SignedData) -> Result<Signature, String> {
        let content = Any::encode_from(data).expect("can be encoded");
        Signature::read(&ContentInfo { content_type: ID_SIGNED_DATA, content }.to_der().expect("can be encoded"))
    }

    fn data_with(change: impl FnOnce(&mut SignedData)) -> String {
        let mut data = data();
        change(&mut data);
        read(&data).expect_err("of another shape")
    }

    fn signer_with(change: impl FnOnce(&mut SignerInfo)) -> String {
        data_with(|data| {
            let mut signer: SignerInfo = data.signer_infos.as_slice()[0].decode_as().expect("a signer");
            change(&mut signer);
            data.signer_infos =
                SetOfVec::try_from(vec![Any::encode_from(&signer).expect("can be encoded")]).expect("one");
        })
    }

    fn algorithm(oid: ObjectIdentifier, parameters: Option<Any>) -> AlgorithmIdentifierOwned {
        AlgorithmIdentifierOwned { oid, parameters }
    }

    #[test]
    fn encoded_signatures_are_read() {
        let mut signature = signature();
        assert_eq!(Signature::read(&signature.encode().expect("can be encoded")), Ok(signature.clone()));
        signature.signer = SignerIdentifier::Key(OctetString::new([1, 2, 3]).expect("short"));
        assert_eq!(Signature::read(&signature.encode().expect("can be encoded")), Ok(signature.clone()));
        signature.is_rsa = true;
        signature.value = vec![1; 256];
        assert_eq!(Signature::read(&signature.encode().expect("can be encoded")), Ok(signature));
    }

    #[test]
    fn other_forms_are_refused() {
        assert_eq!(
            data_with(|data| data.content.content_type = ID_SIGNED_DATA),
            format!("not a signature of plain data, but of {}", ID_SIGNED_DATA)
        );
        assert!(
            data_with(|data| data.content.content = Some(Any::null()))
                .starts_with("the signature contains the content")
        );
        assert!(data_with(|data| data.certificates = Some(vec![])).starts_with("the signature contains certificates"));
        assert_eq!(data_with(|data| data.revocation_lists = Some(vec![])), "the signature contains revocation lists");
        assert_eq!(data_with(|data| data.digest_algorithms = SetOfVec::new()), "0 digest algorithms: expected one");
        let two = vec![algorithm(ID_SHA_256, None), algorithm(ID_SHA_384, None)];
        assert_eq!(
            data_with(|data| data.digest_algorithms = SetOfVec::try_from(two).expect("two")),
            "2 digest algorithms: expected one"
        );
        assert_eq!(data_with(|data| data.signer_infos = SetOfVec::new()), "0 signers: expected one");
        let versions = ": expected 1 or 3 for both";
        assert!(data_with(|data| data.version = 3).ends_with(versions));
        assert!(signer_with(|signer| signer.version = 3).ends_with(versions));
        let key = || SignerIdentifier::Key(OctetString::new([1]).expect("short"));
        assert!(signer_with(|signer| signer.signer = key()).ends_with(versions));
        assert!(
            signer_with(|signer| signer.signed_attributes = Some(vec![]))
                .starts_with("the signature contains signed attributes")
        );
        assert!(
            signer_with(|signer| signer.unsigned_attributes = Some(vec![]))
                .starts_with("the signature contains unsigned attributes")
        );
        assert_eq!(
            signer_with(|signer| signer.digest_algorithm = algorithm(ID_SHA_384, None)),
            "the signature has two different digest algorithms"
        );
        let odd = || Some(Any::new(Tag::Null, [0]).expect("short"));
        assert_eq!(
            signer_with(|signer| signer.digest_algorithm.parameters = odd()),
            "the digest algorithm has parameters"
        );
        assert_eq!(
            signer_with(|signer| signer.signature_algorithm = algorithm(ECDSA_WITH_SHA_384, None)),
            format!("the signature algorithm {} is neither RSA nor ECDSA with SHA-256", ECDSA_WITH_SHA_384)
        );
        for (oid, parameters) in
            [(ECDSA_WITH_SHA_256, Some(Any::null())), (RSA_ENCRYPTION, None), (RSA_ENCRYPTION, odd())]
        {
            assert_eq!(
                signer_with(|signer| signer.signature_algorithm = algorithm(oid, parameters)),
                "the signature algorithm has wrong parameters"
            );
        }
        assert_eq!(
            signer_with(|signer| signer.signature_algorithm = algorithm(RSA_ENCRYPTION, Some(Any::null()))),
            "an RSA key of less than 2048 bits"
        );
        let content = ContentInfo { content_type: ID_DATA, content: Any::null() }.to_der().expect("can be encoded");
        assert_eq!(Signature::read(&content), Err(format!("not signed data, but {}", ID_DATA)));
    }

    #[test]
    fn a_digest_may_have_null_for_parameters() {
        let mut data = data();
        data.digest_algorithms = SetOfVec::try_from(vec![algorithm(ID_SHA_256, Some(Any::null()))]).expect("one");
        assert!(read(&data).is_ok());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Signature::read(&bytes);
            let _ = Certificate::read(&bytes);
        }
    }
}
