// SPDX-License-Identifier: GPL-2.0

//! The command `kwasmi config check`, and the generator of systemd.

use super::{
    complain,
    words, //
};
use crate::{
    boot::{
        CONFIG_DIRECTORY,
        config::{
            self,
            Mistake,
            ServiceConfig, //
        },
        generator, //
    },
    cli::boot::ConfigCheckArgs,
    exit::Exit,
    failure::Failure, //
};
use std::{
    ffi::{
        OsStr,
        OsString, //
    },
    fs::File,
    io::Write as _,
    path::Path, //
};

/// Name under which systemd starts this program as a generator.
const GENERATOR: &str = "kwasmi-generator";

/// Device that a generator writes messages to: the journal does not run yet.
const KERNEL_LOG: &str = "/dev/kmsg";

pub(super) fn check(args: &ConfigCheckArgs) -> Result<Exit, Failure> {
    let directory = Path::new(CONFIG_DIRECTORY);
    let files = if args.files.is_empty() {
        generator::files(directory).map_err(|error| Failure::new(Exit::Failed, CONFIG_DIRECTORY, words(error)))?
    } else {
        args.files.clone()
    };
    let mut exit = Exit::Guest(0);
    for path in &files {
        let named = config::service_name(path).err();
        let read = ServiceConfig::read(path).err().unwrap_or_default();
        let ending = if path.exists() { Exit::Failed } else { Exit::NotFound };
        for mistake in named.iter().chain(&read) {
            complain(&Failure::new(ending, path.to_string_lossy(), mistake.to_string()));
            exit = ending;
        }
    }
    Ok(exit)
}

/// Returns true if systemd has started this program as a generator.
pub(super) fn is_generator(args: &[OsString]) -> bool {
    args.first().map(Path::new).and_then(Path::file_name) == Some(OsStr::new(GENERATOR))
}

/// Writes the units to the directory that systemd names in the first argument.
pub(super) fn generate(args: &[OsString]) -> Exit {
    let Some(to) = args.get(1).map(Path::new) else {
        return report(&Failure::new(
            Exit::Failed,
            GENERATOR,
            "expected the directory for units, see systemd.generator(7)",
        ));
    };
    let note = |path: &Path, mistake: &Mistake| {
        report(&Failure::new(Exit::Failed, path.to_string_lossy(), mistake.to_string()));
    };
    match generator::generate(Path::new(CONFIG_DIRECTORY), to, note) {
        Ok(()) => Exit::Guest(0),
        Err(error) => report(&Failure::new(Exit::Failed, to.to_string_lossy(), words(error))),
    }
}

/// Writes a failure to the kernel log, or to standard error if there is none, as in a container.
/// Returns the exit status.
fn report(failure: &Failure) -> Exit {
    // The number is the level of an error.
    let line = format!("<3>{GENERATOR}: {failure}\n");
    if File::options().write(true).open(KERNEL_LOG).and_then(|mut log| log.write_all(line.as_bytes())).is_err() {
        complain(failure);
    }
    failure.exit
}
