// SPDX-License-Identifier: GPL-2.0

//! The commands `kwasmi policy`, `kwasmi deny` and `kwasmi least`.

use super::{
    json,
    open_device,
    print, //
};
use crate::{
    cli::{
        ReportArgs,
        signing::{
            DenyArgs,
            LeastArgs, //
        }, //
    },
    device::{
        Device as _,
        Refusal, //
    },
    exit::Exit,
    failure::Failure,
    kernel::{
        self,
        Kernel, //
    },
    policy::{
        Least,
        Policy, //
    },
    report, run,
    signing::{
        hash::Sha256,
        manifest,
        parts::Parts, //
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
    Failure::new(Exit::Failed, kernel::PATH, format!("{refusal}{hint}"))
}

/// Opens the device, and checks that its ioctl interface has the version of this command.
fn device() -> Result<Kernel, Failure> {
    let device = open_device()?;
    run::info(&device)?;
    Ok(device)
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
    let parts = Parts::split(&wasm).map_err(|reason| Failure::new(Exit::Refused, module, reason))?;
    Ok(parts.sha256())
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

pub(super) fn least(args: &LeastArgs) -> Result<Exit, Failure> {
    let (Some(name), Some(version)) = (&args.name, args.version) else {
        let leasts = device()?.leasts().map_err(|refusal| refused(&refusal))?;
        let lines =
            || leasts.iter().map(|least| format!("{} {}\n", least.name.escape_debug(), least.version)).collect();
        print(&if args.json { json(&leasts)? } else { lines() })?;
        return Ok(Exit::Guest(0));
    };
    manifest::check_name(name).map_err(|reason| Failure::new(Exit::Failed, "least", reason))?;
    let failed = |reason: &str| Failure::new(Exit::Failed, name.as_str(), reason);
    device()?.set_least(&Least { name: name.clone(), version }).map_err(|refusal| match refusal.errno {
        Errno::INVAL => failed("the least version cannot be lowered"),
        Errno::DQUOT => failed("no more names can have a least version"),
        _ => refused(&refusal),
    })?;
    Ok(Exit::Guest(0))
}
