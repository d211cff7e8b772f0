// SPDX-License-Identifier: GPL-2.0

//! The commands for services: `kwasmi ps`, `logs`, `wait`, `stop`, `kill` and `rm`.

use super::{
    complain,
    device,
    json,
    print, //
};
use crate::{
    cli::service::{
        LogsArgs,
        NameArgs,
        PsArgs,
        RmArgs,
        WaitArgs, //
    },
    device::words,
    exit::Exit,
    failure::{
        Failure,
        line, //
    },
    kernel_device::{
        self,
        KernelDevice, //
    },
    log_line::LogLine,
    report::{
        ServiceEnd,
        ServiceRow,
        Services, //
    },
    service::{
        Name,
        State,
        kernel::{
            self,
            KernelService, //
        },
        ring::{
            Found,
            Reader,
            Record,
            Stream, //
        }, //
    }, //
};
use rustix::{
    fs,
    io::Errno, //
};
use std::{
    fs::File,
    io::{
        self,
        Write as _, //
    },
    num::NonZeroU64,
    thread,
    time::{
        Duration,
        Instant,
        SystemTime, //
    }, //
};

/// Longest time to wait for a service that was killed, in nanoseconds: a minute. A guest ends
/// within milliseconds, unless its task waits for a device or is not running it.
const STOP_TIME: NonZeroU64 = NonZeroU64::new(60_000_000_000).unwrap();

/// Interval at which `logs --follow` looks for new output.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

/// Number of intervals for which `logs` looks for the last records of a service that has ended.
const END_TRIES: u32 = 10;

/// Returns the failure of an ioctl for the service `name`.
pub(super) fn refused(name: &Name, errno: Errno) -> Failure {
    let reason = match errno {
        Errno::NOENT => return Failure::new(Exit::NotFound, name.to_string(), "no service has this name"),
        Errno::PERM => "not permitted: the service belongs to another user".to_owned(),
        _ => words(errno.into()),
    };
    Failure::new(Exit::Failed, name.to_string(), reason)
}

pub(super) fn find(device: &KernelDevice, name: &Name) -> Result<KernelService, Failure> {
    KernelService::find(device, name).map_err(|errno| refused(name, errno))
}

pub(super) fn ps(args: &PsArgs) -> Result<Exit, Failure> {
    let device = device()?;
    let services = if args.names.is_empty() {
        kernel::services(&device)
            .map_err(|errno| Failure::new(Exit::Failed, kernel_device::PATH, words(errno.into())))?
    } else {
        let describe = |name| find(&device, name)?.describe().map_err(|errno| refused(name, errno));
        args.names.iter().map(describe).collect::<Result<_, _>>()?
    };
    let rows: Vec<_> = services.iter().map(ServiceRow::new).collect();
    print(&if args.json { json(&rows)? } else { Services(&rows).to_string() })?;
    Ok(Exit::Guest(0))
}

/// Prints a record: the guest's standard output on standard output, the rest on standard error.
fn show(record: &Record, name: &Name, has_time: bool) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    if has_time {
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(record.time);
        bytes.extend_from_slice(format!("{} ", humantime::format_rfc3339_millis(time)).as_bytes());
    }
    match record.stream {
        Stream::Supervisor => {
            let text = String::from_utf8_lossy(&record.text);
            bytes.extend_from_slice(format!("kwasmi: {name}: {}\n", line(&text)).as_bytes());
        }
        Stream::Output | Stream::Error => bytes.extend_from_slice(&record.text),
    }
    if record.stream == Stream::Output {
        return super::print_bytes(&bytes);
    }
    // A closed standard error is not a failure.
    let _ = io::stderr().write_all(&bytes);
    Ok(())
}

/// Returns device and inode of a file.
fn file_id(file: &File) -> Result<(u64, u64), Errno> {
    fs::fstat(file).map(|stat| (stat.st_dev, stat.st_ino))
}

pub(super) fn logs(args: &LogsArgs) -> Result<Exit, Failure> {
    let name = &args.name;
    let device = device()?;
    let service = find(&device, name)?;
    let log = service.log().map_err(|errno| match errno {
        Errno::NOENT => {
            Failure::new(Exit::Failed, name.to_string(), "the service has no log, or its supervisor has ended")
        }
        _ => refused(name, errno),
    })?;
    let id = file_id(&log).map_err(|errno| refused(name, errno))?;
    let mut service = service;
    let mut reader = Reader::new(log);
    let unreadable = |error| Failure::new(Exit::Failed, format!("log of {name}"), words(error));
    let mut has_ended = false;
    let mut tries = END_TRIES;
    loop {
        // The state is read first: if it is `Removed`, the log is complete.
        let mut state = service.describe().map_err(|errno| refused(name, errno))?.state;
        if state == State::Removed
            && let Ok(next) = find(&device, name)
            && next.log().and_then(|log| file_id(&log)) == Ok(id)
        {
            // The program was replaced: the supervisor and its log are the same.
            service = next;
            state = service.describe().map_err(|errno| refused(name, errno))?.state;
        }
        // A guest may write faster than its log is printed.
        let end = reader.end().map_err(unreadable)?;
        while !reader.is_at(end) {
            match reader.read().map_err(unreadable)? {
                Found::Record(record) => {
                    if args.json {
                        print(&json(&LogLine::new(&record))?)?;
                    } else {
                        show(&record, name, args.timestamps)?;
                    }
                    // The last record of a service.
                    has_ended |= record.stream == Stream::Supervisor;
                }
                Found::Dropped(dropped) if args.json => print(&json(&LogLine::Dropped { dropped })?)?,
                Found::Dropped(count) => {
                    complain(&Failure::new(Exit::Failed, name.to_string(), format!("{count} lines were dropped")));
                }
                Found::End => break,
            }
        }
        // The supervisor writes the last records after the end of the guest, unless it was killed.
        if matches!(state, State::Ended(_) | State::Removed) {
            tries -= 1;
        } else if !args.follow {
            return Ok(Exit::Guest(0));
        }
        if has_ended || tries == 0 {
            return Ok(Exit::Guest(0));
        }
        thread::sleep(FOLLOW_INTERVAL);
    }
}

pub(super) fn wait(args: &WaitArgs) -> Result<Exit, Failure> {
    let name = &args.name;
    let device = device()?;
    let begin = Instant::now();
    let result = loop {
        let service = find(&device, name)?;
        let elapsed = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let rest = args.timeout.map(|timeout| timeout.get().saturating_sub(elapsed));
        // Even without time left, the service may have ended.
        match service.wait_for_end(rest.map(|rest| NonZeroU64::new(rest).unwrap_or(NonZeroU64::MIN))) {
            Ok(()) => break service.result().map_err(|errno| refused(name, errno))?,
            // The program was replaced.
            Err(Errno::STALE) => {}
            Err(Errno::TIMEDOUT) => {
                let timeout = Duration::from_nanos(args.timeout.map_or(0, NonZeroU64::get));
                let reason = format!("has not ended within {}", humantime::format_duration(timeout));
                return Err(Failure::new(Exit::Limit, name.to_string(), reason));
            }
            Err(errno) => return Err(refused(name, errno)),
        }
    };
    let exit = result.ending.exit();
    if args.json {
        print(&json(&ServiceEnd::new(name, &result))?)?;
    } else if let Some(reason) = result.reason() {
        complain(&Failure::new(exit, name.to_string(), reason));
    }
    Ok(exit)
}

/// Calls `f` with the service `name`, again if its program was replaced meanwhile.
fn with_service<T>(
    device: &KernelDevice,
    name: &Name,
    f: impl Fn(&KernelService) -> Result<T, Errno>,
) -> Result<T, Errno> {
    loop {
        match f(&KernelService::find(device, name)?) {
            Err(Errno::STALE) => {}
            result => return result,
        }
    }
}

/// Ends a service, waits for its end, and removes its name.
fn end(device: &KernelDevice, name: &Name) -> Result<(), Failure> {
    // A service that was killed gives its name to no other instance.
    let ended = with_service(device, name, |service| {
        service.kill()?;
        service.wait_for_end(Some(STOP_TIME))?;
        service.remove()
    });
    ended.map_err(|errno| match errno {
        Errno::TIMEDOUT => {
            let reason = "was killed, but has not ended within a minute: is its process stopped?";
            Failure::new(Exit::Limit, name.to_string(), reason)
        }
        _ => refused(name, errno),
    })
}

/// Calls `f` for each name, and prints its failures. Returns the exit status of the last failure,
/// or 0.
fn each(names: &[Name], mut f: impl FnMut(&KernelDevice, &Name) -> Result<(), Failure>) -> Result<Exit, Failure> {
    let device = device()?;
    let mut exit = Exit::Guest(0);
    for name in names {
        if let Err(failure) = f(&device, name) {
            complain(&failure);
            exit = failure.exit;
        }
    }
    Ok(exit)
}

pub(super) fn stop(args: &NameArgs) -> Result<Exit, Failure> {
    each(&args.names, end)
}

pub(super) fn kill(args: &NameArgs) -> Result<Exit, Failure> {
    each(&args.names, |device, name| {
        with_service(device, name, KernelService::kill).map_err(|errno| refused(name, errno))
    })
}

pub(super) fn rm(args: &RmArgs) -> Result<Exit, Failure> {
    each(&args.names, |device, name| {
        if args.force {
            return end(device, name);
        }
        with_service(device, name, KernelService::remove).map_err(|errno| match errno {
            Errno::BUSY => Failure::new(Exit::Failed, name.to_string(), "has not ended; kwasmi rm -f ends it"),
            _ => refused(name, errno),
        })
    })
}
