// SPDX-License-Identifier: GPL-2.0

//! `kwasmi policy`, `kwasmi deny` and `kwasmi least`.

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

/// For a device that refuses.
fn refused(refusal: &Refusal) -> Failure {
    let hint = if refusal.errno == Errno::PERM { " (are you root?)" } else { "" };
    Failure::new(Exit::Failed, kernel::PATH, format!("{refusal}{hint}"))
}

/// The device, of this command's kind.
fn device() -> Result<Kernel, Failure> {
    let device = open_device()?;
    run::info(&device)?;
    Ok(device)
}

/// What the kernel module accepts now.
pub(super) fn in_force() -> Result<Policy, Failure> {
    device()?.policy().map_err(|refusal| refused(&refusal))
}

pub(super) fn policy(args: ReportArgs) -> Result<Exit, Failure> {
    let policy = in_force()?;
    print(&if args.json { json(&policy)? } else { report::Accepts(&policy).to_string() })?;
    Ok(Exit::Guest(0))
}

/// For digits that are not as many as a hash has.
const NO_HASH: &str = "neither a SHA-256, which has 64 hexadecimal digits, nor a file";

/// The hash that an argument means: itself, or that of the module in the file.
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
    // All are read before the first is denied.
    let hashes: Vec<_> = args.modules.iter().map(|module| hash(module)).collect::<Result<_, _>>()?;
    let device = device()?;
    for hash in hashes {
        device.deny(&hash).map_err(|refusal| match refusal.errno {
            Errno::DQUOT => Failure::new(Exit::Failed, hash.to_string(), "no more can be denied"),
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
        Errno::INVAL => failed("there is a higher least version: it cannot be lowered"),
        Errno::DQUOT => failed("no more names can have a least version"),
        _ => refused(&refusal),
    })?;
    Ok(Exit::Guest(0))
}
