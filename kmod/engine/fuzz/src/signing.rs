// SPDX-License-Identifier: GPL-2.0

//! Takes signed files apart as the kernel does, beside the command, which does so with code of its own: nothing panics, and
//! both see the same.

use kwasmi::signing::{
    cms,
    manifest,
    parts::Parts, //
};
use kwasmi_engine::signing::{
    cms::Signature,
    envelope::Envelope,
    manifest::Manifest, //
};

/// Takes `data` for a file, and for each of its parts.
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
    // Of what is no module the command says so; here that is for the validator.
    if let Ok(there) = Parts::split(data) {
        let here = here.expect("the command takes it apart");
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
    // Which limits there are, and what they can be, the kernel knows elsewhere.
    assert!(there.is_ok() || limits > 0, "{here:?}, {there:?}");
}

fn read_signature(bytes: &[u8]) {
    let here = Signature::read(bytes);
    // What a name has inside is not looked at here: the kernel compares it with that of a certificate. The command looks at
    // the numbers of ECDSA when it computes with them.
    if cms::Signature::read(bytes).is_ok_and(|there| there.algorithm().starts_with("RSA")) {
        here.expect("the command reads it");
    }
}
