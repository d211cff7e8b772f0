// SPDX-License-Identifier: GPL-2.0

//! Verification of a file against trusted certificates: the kernel module's checks with
//! `verify=enforce`, in the same order.

use super::{
    certificate::Certificate,
    cms::Signature,
    envelope::Envelope,
    manifest::Manifest,
    requirements::Requirements, //
};
use crate::inspect::{
    Inspection,
    check_interface, //
};

/// An accepted file.
#[derive(Clone, Debug)]
pub struct Accepted<'a> {
    /// Envelope of the file.
    pub envelope: Envelope<'a>,
    /// Certificate of the signer.
    pub signer: &'a Certificate,
    /// Manifest of the module.
    pub manifest: Manifest,
}

/// Checks `file`. `trusted` are the certificates of the accepted signers.
///
/// # Errors
///
/// A message with the first reason to refuse the file.
pub fn check<'a>(file: &'a [u8], trusted: &'a [Certificate]) -> Result<Accepted<'a>, String> {
    let envelope = Envelope::split(file)?;
    let signature = envelope.signature.ok_or("it is not signed")?;
    let signer = signer(envelope.signed, signature, trusted)?;
    let manifest = envelope.manifest.ok_or("it is signed, but has no manifest")?;
    let manifest = Manifest::read(manifest).map_err(|reason| format!("the manifest is not accepted: {reason}"))?;
    check_interface(&manifest)?;
    if let Some(reason) = Inspection::of_code(envelope.module).refused.into_iter().next() {
        return Err(reason);
    }
    match Requirements::of(envelope.module)?.missing_from(&manifest).into_iter().next() {
        Some(reason) => Err(reason),
        None => Ok(Accepted { envelope, signer, manifest }),
    }
}

/// Returns the certificate in `trusted` whose key made `signature` of `signed`.
///
/// # Errors
///
/// A message if the signature is malformed, its signer is not trusted, or it does not verify.
pub fn signer<'a>(signed: &[u8], signature: &[u8], trusted: &'a [Certificate]) -> Result<&'a Certificate, String> {
    let signature = Signature::read(signature).map_err(|reason| format!("the signature is not accepted: {reason}"))?;
    let mut reason = format!("signed by a key that is not trusted: {}", signature.signer);
    for certificate in trusted.iter().filter(|certificate| certificate.is(&signature.signer)) {
        match signature.check(signed, certificate) {
            Ok(()) => return Ok(certificate),
            Err(other) => reason = other,
        }
    }
    Err(reason)
}
