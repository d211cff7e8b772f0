// SPDX-License-Identifier: GPL-2.0

//! ASN.1 types of certificates ([RFC 5280](https://www.rfc-editor.org/rfc/rfc5280#section-4.1)) and
//! signatures ([RFC 5652](https://www.rfc-editor.org/rfc/rfc5652#section-5)), as far as the command
//! uses them.
//!
//! Values that are only compared, such as names, are kept encoded ([`Any`]).
//!
//! The types are not those of the crates x509-cert and cms, because both link flagset, whose licence
//! is Apache-2.0 alone.

#![expect(missing_docs, reason = "names of the specifications")]

use der::{
    Any, Choice, Sequence, ValueOrd,
    asn1::{
        BitString,
        GeneralizedTime,
        Int,
        ObjectIdentifier,
        OctetString,
        SetOfVec,
        UtcTime, //
    },
};
use spki::{
    AlgorithmIdentifierOwned,
    SubjectPublicKeyInfoOwned, //
};

/// `Certificate`: RFC 5280, 4.1. The signed part is kept encoded.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct EncodedCertificate {
    pub tbs_certificate: Any,
    pub signature_algorithm: AlgorithmIdentifierOwned,
    pub signature: BitString,
}

/// `TBSCertificate`: RFC 5280, 4.1.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct TbsCertificate {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", default = "u8::default")]
    pub version: u8,
    pub serial_number: Int,
    pub signature: AlgorithmIdentifierOwned,
    pub issuer: Any,
    pub validity: Validity,
    pub subject: Any,
    pub subject_public_key_info: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub issuer_unique_id: Option<BitString>,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", optional = "true")]
    pub subject_unique_id: Option<BitString>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    pub extensions: Option<Vec<Extension>>,
}

/// `Validity`: RFC 5280, 4.1.2.5.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Validity {
    pub not_before: Time,
    pub not_after: Time,
}

/// `Time`: RFC 5280, 4.1.2.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Choice)]
pub enum Time {
    #[asn1(type = "UTCTime")]
    Utc(UtcTime),
    #[asn1(type = "GeneralizedTime")]
    Generalized(GeneralizedTime),
}

/// `Extension`: RFC 5280, 4.1.2.9.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Extension {
    pub id: ObjectIdentifier,
    #[asn1(default = "bool::default")]
    pub critical: bool,
    pub value: OctetString,
}

/// `RDNSequence`: RFC 5280, 4.1.2.4.
pub type Name = Vec<SetOfVec<Attribute>>;

/// `AttributeTypeAndValue`: RFC 5280, 4.1.2.4.
#[derive(Clone, Debug, PartialEq, Eq, Sequence, ValueOrd)]
pub struct Attribute {
    pub id: ObjectIdentifier,
    pub value: Any,
}

/// `ContentInfo`: RFC 5652, 3.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct ContentInfo {
    pub content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    pub content: Any,
}

/// `SignedData`: RFC 5652, 5.1.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct SignedData {
    pub version: u8,
    pub digest_algorithms: SetOfVec<AlgorithmIdentifierOwned>,
    pub content: EncapsulatedContentInfo,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub certificates: Option<Vec<Any>>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub revocation_lists: Option<Vec<Any>>,
    pub signer_infos: SetOfVec<Any>,
}

/// `EncapsulatedContentInfo`: RFC 5652, 5.2.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct EncapsulatedContentInfo {
    pub content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub content: Option<Any>,
}

/// `SignerInfo`: RFC 5652, 5.3.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct SignerInfo {
    pub version: u8,
    pub signer: SignerIdentifier,
    pub digest_algorithm: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub signed_attributes: Option<Vec<Any>>,
    pub signature_algorithm: AlgorithmIdentifierOwned,
    pub signature: OctetString,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub unsigned_attributes: Option<Vec<Any>>,
}

/// `SignerIdentifier`: RFC 5652, 5.3.
#[derive(Clone, Debug, PartialEq, Eq, Choice)]
pub enum SignerIdentifier {
    Certificate(IssuerAndSerialNumber),
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    Key(OctetString),
}

/// `IssuerAndSerialNumber`: RFC 5652, 10.2.4.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct IssuerAndSerialNumber {
    pub issuer: Any,
    pub serial_number: Int,
}
