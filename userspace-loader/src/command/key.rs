// SPDX-License-Identifier: GPL-2.0

//! `kwasmi key`.

use super::{
    json,
    policy,
    print,
    sign::certificate, //
};
use crate::{
    cli::{
        ReportArgs,
        signing::{
            KeyAddArgs,
            KeyNewArgs, //
        }, //
    },
    device::words,
    exit::Exit,
    failure::Failure,
    file::{
        self,
        Existing, //
    },
    keyring::{
        KernelKeyring,
        Keyring as _,
        add_words, //
    },
    signing::{
        certificate::Certificate,
        key::PrivateKey, //
    },
};
use rustix::io::Errno;

/// The permissions of a private key.
const KEY_MODE: u32 = 0o600;

/// The permissions of a certificate, less the caller's mask.
const CERTIFICATE_MODE: u32 = 0o666;

pub(super) fn new(args: &KeyNewArgs) -> Result<Exit, Failure> {
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    // Before it takes time, and before the first is written.
    if let Some(path) = [&args.key, &args.cert].into_iter().find(|path| !args.force && path.exists()) {
        return Err(file::failure(path, Errno::EXIST.into()));
    }
    let failed = |reason: String| Failure::new(Exit::Failed, "key", reason);
    let key = PrivateKey::generate(args.algorithm).map_err(failed)?;
    let certificate = Certificate::issue(&key, &args.name, args.days).map_err(failed)?;
    let (key, certificate) = (key.to_pem().map_err(failed)?, certificate.to_pem().map_err(failed)?);
    if args.force && args.key.is_file() {
        // One that others could read is not written into: the new one is a file of its own.
        std::fs::remove_file(&args.key).map_err(|error| file::failure(&args.key, error))?;
    }
    file::write(&args.key, key.as_bytes(), KEY_MODE, existing)?;
    file::write(&args.cert, certificate.as_bytes(), CERTIFICATE_MODE, existing)?;
    Ok(Exit::Guest(0))
}

/// What messages call the keyring.
const KEYRING: &str = "keyring .kwasmi";

/// The keyring of the kernel module that is loaded.
fn keyring() -> Result<KernelKeyring, Failure> {
    Ok(KernelKeyring(policy::in_force()?.keyring))
}

pub(super) fn list(args: ReportArgs) -> Result<Exit, Failure> {
    let keys = keyring()?.list().map_err(|errno| Failure::new(Exit::Failed, KEYRING, words(errno.into())))?;
    if args.json {
        print(&json(&keys)?)?;
    } else {
        print(&keys.iter().map(|key| format!("{key}\n")).collect::<String>())?;
    }
    Ok(Exit::Guest(0))
}

pub(super) fn add(args: &KeyAddArgs) -> Result<Exit, Failure> {
    // All are read before the first is added.
    let certificates: Vec<_> =
        args.certs.iter().map(|path| Ok((path, certificate(path)?))).collect::<Result<_, Failure>>()?;
    let keyring = keyring()?;
    for (path, certificate) in certificates {
        keyring.add(certificate.der()).map_err(|errno| file::wrong(path, add_words(errno)))?;
    }
    Ok(Exit::Guest(0))
}

pub(super) fn seal() -> Result<Exit, Failure> {
    keyring()?.seal().map_err(|errno| {
        let reason = match errno {
            Errno::EXIST => "it is sealed already".to_owned(),
            other => words(other.into()),
        };
        Failure::new(Exit::Failed, KEYRING, reason)
    })?;
    Ok(Exit::Guest(0))
}
