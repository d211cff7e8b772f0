// SPDX-License-Identifier: GPL-2.0

//! The commands `kwasmi key new`, `list`, `add` and `seal`.

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

/// Permissions of a private key's file.
const KEY_MODE: u32 = 0o600;

/// Permissions of a certificate's file, before the umask.
const CERTIFICATE_MODE: u32 = 0o666;

pub(super) fn new(args: &KeyNewArgs) -> Result<Exit, Failure> {
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    // Check before generating a key, which takes time, and before writing the first file.
    if let Some(path) = [&args.key, &args.cert].into_iter().find(|path| !args.force && path.exists()) {
        return Err(file::failure(path, Errno::EXIST.into()));
    }
    let failed = |reason: String| Failure::new(Exit::Failed, "key", reason);
    let key = PrivateKey::generate(args.algorithm).map_err(failed)?;
    let certificate = Certificate::issue(&key, &args.name, args.days).map_err(failed)?;
    let (key, certificate) = (key.to_pem().map_err(failed)?, certificate.to_pem().map_err(failed)?);
    if args.force && args.key.is_file() {
        // Remove the old file, which others may have open or may read: the key is written into a
        // new one.
        std::fs::remove_file(&args.key).map_err(|error| file::failure(&args.key, error))?;
    }
    file::write(&args.key, key.as_bytes(), KEY_MODE, existing)?;
    file::write(&args.cert, certificate.as_bytes(), CERTIFICATE_MODE, existing)?;
    Ok(Exit::Guest(0))
}

/// Name of the keyring in messages.
const KEYRING: &str = "keyring .kwasmi";

/// Returns the keyring of the loaded kernel module.
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
    // Read all certificates before adding the first one.
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
            Errno::EXIST => "already sealed".to_owned(),
            other => words(other.into()),
        };
        Failure::new(Exit::Failed, KEYRING, reason)
    })?;
    Ok(Exit::Guest(0))
}
