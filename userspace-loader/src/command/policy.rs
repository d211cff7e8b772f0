// SPDX-License-Identifier: GPL-2.0

//! The commands `kwasmi policy`, `kwasmi deny` and `kwasmi min-version`.

use super::{
    device,
    json,
    print, //
};
use crate::{
    cli::{
        ReportArgs,
        signing::{
            DenyArgs,
            MinVersionArgs, //
        }, //
    },
    device::{
        Device as _,
        Refusal, //
    },
    exit::Exit,
    failure::Failure,
    kernel_device,
    policy::{
        MinVersion,
        Policy, //
    },
    report,
    signing::{
        envelope::Envelope, //
        hash::Sha256,
        manifest,
    },
    source::{
        FILE_BYTES_MAX,
        Source, //
    },
};
use rustix::io::Errno;
use std::path::Path;

/// Returns the failure for an ioctl of the device.
fn refused(refusal: &Refusal) -> Failure {
    let hint = if refusal.errno == Errno::PERM { " (are you root?)" } else { "" };
    Failure::new(Exit::Failed, kernel_device::PATH, format!("{refusal}{hint}"))
}

/// Returns the verification policy in force.
pub(super) fn in_force() -> Result<Policy, Failure> {
    device()?.policy().map_err(|refusal| refused(&refusal))
}

pub(super) fn policy(args: ReportArgs) -> Result<Exit, Failure> {
    let policy = in_force()?;
    print(&if args.json { json(&policy)? } else { report::Accepts(&policy).to_string() })?;
    Ok(Exit::Guest(0))
}

/// Message for hexadecimal digits that are neither a hash nor a file.
const NO_HASH: &str = "neither a SHA-256 (64 hexadecimal digits) nor a file";

/// Returns the hash of an argument: the argument itself, or the hash of the module in that file.
fn hash(module: &str) -> Result<Sha256, Failure> {
    if let Ok(hash) = module.parse() {
        return Ok(hash);
    }
    let source = Source::open(Path::new(module)).map_err(|failure| {
        let is_hash = failure.exit == Exit::NotFound && module.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hash { Failure { reason: NO_HASH.to_owned(), ..failure } } else { failure }
    })?;
    source.check()?;
    let wasm = source.into_wasm(FILE_BYTES_MAX)?;
    let envelope = Envelope::split(&wasm).map_err(|reason| Failure::new(Exit::Refused, module, reason))?;
    Ok(envelope.sha256())
}

pub(super) fn deny(args: &DenyArgs) -> Result<Exit, Failure> {
    if args.list {
        let denied = device()?.denied().map_err(|refusal| refused(&refusal))?;
        let lines = || denied.iter().map(|hash| format!("{hash}\n")).collect();
        print(&if args.json { json(&denied)? } else { lines() })?;
        return Ok(Exit::Guest(0));
    }
    // Read all files before denying the first module.
    let hashes: Vec<_> = args.modules.iter().map(|module| hash(module)).collect::<Result<_, _>>()?;
    let device = device()?;
    for hash in hashes {
        device.deny(&hash).map_err(|refusal| match refusal.errno {
            Errno::DQUOT => Failure::new(Exit::Failed, hash.to_string(), "no more modules can be denied"),
            _ => refused(&refusal),
        })?;
    }
    Ok(Exit::Guest(0))
}

pub(super) fn min_version(args: &MinVersionArgs) -> Result<Exit, Failure> {
    let (Some(name), Some(version)) = (&args.name, args.version) else {
        let min_versions = device()?.min_versions().map_err(|refusal| refused(&refusal))?;
        let lines =
            || min_versions.iter().map(|entry| format!("{} {}\n", entry.name.escape_debug(), entry.version)).collect();
        print(&if args.json { json(&min_versions)? } else { lines() })?;
        return Ok(Exit::Guest(0));
    };
    manifest::check_name(name).map_err(|reason| Failure::new(Exit::Failed, "min-version", reason))?;
    let failed = |reason: &str| Failure::new(Exit::Failed, name.as_str(), reason);
    device()?.set_min_version(&MinVersion { name: name.clone(), version }).map_err(|refusal| match refusal.errno {
        Errno::INVAL => failed("the minimum version cannot be lowered"),
        Errno::DQUOT => failed("no more names can have a minimum version"),
        _ => refused(&refusal),
    })?;
    Ok(Exit::Guest(0))
}
