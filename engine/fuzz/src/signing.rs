// SPDX-License-Identifier: GPL-2.0

//! Target `signing`: parses signed files with the engine's code, which the kernel uses, and with
//! the command's, and compares the results.

use kwasmi::signing::{
    cms,
    envelope,
    manifest, //
};
use kwasmi_engine::signing::{
    cms::Signature,
    envelope::Envelope,
    manifest::Manifest, //
};

/// Parses `data` as a file, as a manifest and as a signature.
pub fn fuzz(data: &[u8]) {
    if let Some(envelope) = file(data) {
        envelope.manifest.into_iter().for_each(read_manifest);
        envelope.signature.into_iter().for_each(read_signature);
    }
    read_manifest(data);
    read_signature(data);
}

fn file(data: &[u8]) -> Option<Envelope<'_>> {
    let here = Envelope::open(data);
    // The command refuses a file that is not a module; the engine leaves that to validation.
    if let Ok(there) = envelope::Envelope::split(data) {
        let here = here.expect("the command splits this file");
        assert_eq!((here.signed, here.manifest, here.signature), (there.signed, there.manifest, there.signature));
    }
    here.ok()
}

fn read_manifest(bytes: &[u8]) {
    let (here, there) = (Manifest::read(bytes), manifest::Manifest::read(bytes));
    let Ok(here) = here else {
        assert!(there.is_err(), "{here:?}, {there:?}");
        return;
    };
    let mut imports = 0;
    here.each_import(|_, _| imports += 1);
    let mut limits = 0;
    here.each_limit(|_, _| limits += 1);
    assert!(imports + limits < bytes.len());
    // The engine's parser accepts any limit name; the kernel checks names and values elsewhere.
    assert!(there.is_ok() || limits > 0, "{here:?}, {there:?}");
}

fn read_signature(bytes: &[u8]) {
    let here = Signature::read(bytes);
    // The engine's parser does not parse names, because the kernel compares them with those of a
    // certificate. The command checks the numbers of an ECDSA signature only when it verifies it.
    if cms::Signature::read(bytes).is_ok_and(|there| there.algorithm().starts_with("RSA")) {
        here.expect("the command reads this signature");
    }
}
