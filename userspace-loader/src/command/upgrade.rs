// SPDX-License-Identifier: GPL-2.0

//! `kwasmi upgrade`: asks the supervisor of a service to replace the program.

use super::{
    complain,
    device,
    interpreted,
    module_size_max,
    print_note,
    service::{
        find,
        refused, //
    },
    supervisor::is_reactor, //
};
use crate::{
    cli::service::UpgradeArgs,
    device::words,
    exit::Exit,
    failure::Failure,
    run::{
        self,
        Loaded, //
    },
    service::{
        State,
        control::{
            self,
            Answer,
            Upgrade, //
        }, //
    },
    source::{
        self,
        Source, //
    }, //
};
use std::{
    io::ErrorKind,
    num::NonZeroU64,
    os::fd::AsFd as _,
    time::Duration, //
};

pub(super) fn upgrade(args: &UpgradeArgs) -> Result<Exit, Failure> {
    let name = &args.name;
    let failed = |exit, reason: String| Failure::new(exit, name.to_string(), reason);
    let source = Source::open(&args.file)?;
    source.check()?;
    let device = device()?;
    let wasm = source.into_wasm(module_size_max(&device)?)?;
    // Whatever is in the folder of the sockets.
    let service = find(&device, name)?.describe().map_err(|errno| refused(name, errno))?;
    if matches!(service.state, State::Ended(_)) {
        return Err(failed(Exit::Failed, "the service has ended; kwasmi spawn starts it again".to_owned()));
    }
    let program = source::name(&args.file);
    let Loaded { module, identity } =
        run::load(&device, &program, &wasm, &args.limits.requested(), args.engine.engine)?;
    if let Some(note) = interpreted(&program, &identity) {
        print_note(&note);
    }
    let request = Upgrade {
        program,
        file_name: args.file.file_name().unwrap_or(args.file.as_os_str()).to_string_lossy().into_owned(),
        is_reactor: is_reactor(&wasm),
        health_timeout: duration(args.health_timeout),
        settle: duration(args.settle),
        drain: args.drain.map(duration),
    };
    let answer = control::upgrade(name, &request, module.as_fd()).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => failed(
            Exit::Failed,
            "the supervisor has no socket in /run/kwasmi; stop the service and spawn it again when /run is writable"
                .to_owned(),
        ),
        ErrorKind::PermissionDenied => {
            failed(Exit::Failed, "not permitted: run as root or as the user of the supervisor".to_owned())
        }
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
            failed(Exit::Failed, "the supervisor ended during the upgrade".to_owned())
        }
        ErrorKind::InvalidData | ErrorKind::Other => failed(
            Exit::Failed,
            "unexpected answer of the supervisor, which may have another version: spawn it again".to_owned(),
        ),
        _ => failed(Exit::Failed, format!("socket of the supervisor: {}", words(error))),
    })?;
    match answer {
        Answer::Done { notes } => {
            for note in notes {
                complain(&failed(Exit::Guest(0), note));
            }
            Ok(Exit::Guest(0))
        }
        Answer::Refused { status, reason } => Err(failed(Exit::of_status(status), reason)),
    }
}

fn duration(nanoseconds: NonZeroU64) -> Duration {
    Duration::from_nanos(nanoseconds.get())
}
