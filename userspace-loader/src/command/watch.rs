// SPDX-License-Identifier: GPL-2.0

//! The commands that show counters of services: `kwasmi stats` and `top`.

use super::{
    device,
    device_info,
    json,
    print,
    service::{
        find,
        refused, //
    }, //
};
use crate::{
    cli::service::{
        StatsArgs,
        TopArgs, //
    },
    device::words,
    exit::Exit,
    failure::Failure,
    kernel_device::{
        self,
        KernelDevice, //
    },
    prometheus::Metrics,
    service::{
        Name,
        kernel, //
    },
    terminal::{
        self,
        End,
        Screen, //
    },
    watch::{
        Details,
        Summary,
        Top,
        Watched, //
    },
};
use rustix::io::Errno;
use std::{
    io,
    thread,
    time::{
        Duration,
        Instant, //
    }, //
};

/// Longest time between the first two readings of `top`.
const FIRST_INTERVAL: Duration = Duration::from_millis(500);

/// Returns the service `name` with its counters.
fn read(device: &KernelDevice, name: &Name) -> Result<Watched, Failure> {
    let service = find(device, name)?;
    let read = || Ok(Watched::new(service.describe()?, service.counters()?));
    read().map_err(|errno: Errno| refused(name, errno))
}

/// Returns the named services, or all, with their counters.
fn read_all(device: &KernelDevice, names: &[Name]) -> Result<Vec<Watched>, Failure> {
    if !names.is_empty() {
        return names.iter().map(|name| read(device, name)).collect();
    }
    let services = kernel::services(device)
        .map_err(|errno| Failure::new(Exit::Failed, kernel_device::PATH, words(errno.into())))?;
    let mut all = Vec::new();
    for service in services {
        let name: Name = service.name.parse().map_err(|reason| Failure::new(Exit::Failed, service.name, reason))?;
        match read(device, &name) {
            Ok(watched) => all.push(watched),
            // It has lost its name since it was listed.
            Err(failure) if failure.exit == Exit::NotFound => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(all)
}

pub(super) fn stats(args: &StatsArgs) -> Result<Exit, Failure> {
    let device = device()?;
    let services = read_all(&device, &args.names)?;
    let text = if args.prometheus {
        Metrics { info: &device_info(&device)?, services: &services }.to_string()
    } else if args.json {
        json(&services)?
    } else if args.names.is_empty() {
        Summary(&services).to_string()
    } else {
        services.iter().map(|service| Details(service).to_string()).collect()
    };
    print(&text)?;
    Ok(Exit::Guest(0))
}

pub(super) fn top(args: &TopArgs) -> Result<Exit, Failure> {
    let failed = |error: io::Error| Failure::new(Exit::Failed, "terminal", words(error));
    let device = device()?;
    let interval = Duration::from_nanos(args.interval.get());
    let mut before = (Instant::now(), read_all(&device, &args.names)?);
    let screen = Screen::open().map_err(failed)?;
    let mut pause = interval.min(FIRST_INTERVAL);
    let mut rest = args.iterations;
    let mut end = None;
    while rest != Some(0) {
        match &screen {
            Some(screen) => end = screen.wait(pause).map_err(failed)?,
            None => thread::sleep(pause),
        }
        if end.is_some() {
            break;
        }
        let now = (Instant::now(), read_all(&device, &args.names)?);
        let table = Top { before: &before.1, now: &now.1, elapsed: now.0 - before.0 }.table().to_string();
        let info = device_info(&device)?;
        let (instances, modules, heap) = (info.instances, info.modules, info.heap_bytes / 1024);
        let page = format!("{instances} instances, {modules} modules, {heap}K engine memory\n\n{table}");
        match &screen {
            Some(screen) => screen.show(&page, 2).map_err(failed)?,
            None => print(&format!("{page}\n"))?,
        }
        before = now;
        pause = interval;
        rest = rest.map(|rest| rest - 1);
    }
    // The terminal is restored before the process ends.
    drop(screen);
    if let Some(End::Signal(signal)) = end {
        terminal::end_by(signal);
    }
    Ok(Exit::Guest(0))
}
