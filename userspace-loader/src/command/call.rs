// SPDX-License-Identifier: GPL-2.0

//! `kwasmi call`: calls a function of a service.

use super::{
    complain,
    device,
    json,
    print,
    service::{
        find,
        refused, //
    }, //
};
use crate::{
    cli::service::CallArgs,
    device::words,
    exit::Exit,
    failure::{
        Failure,
        line, //
    },
    invoke::Invocation,
    kernel_device::KernelDevice,
    service::{
        calls::{
            Called,
            Function,
            Reactor as _, //
        },
        kernel::KernelService, //
    },
    uapi::KWASMI_CALL_BYTES_MAX, //
};
use rustix::io::Errno;
use serde::Serialize;
use serde_json::Value;
use std::{
    fs,
    io::{
        self,
        Read, //
    },
    num::NonZeroU64,
    path::Path,
    time::{
        Duration,
        Instant, //
    }, //
};

/// Reads the file with the input; "-" is standard input.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |reason: String| Failure::new(Exit::Failed, path.display().to_string(), reason);
    let open: io::Result<Box<dyn Read>> = if path == Path::new("-") {
        Ok(Box::new(io::stdin()))
    } else {
        fs::File::open(path).map(|file| Box::new(file) as _)
    };
    let mut bytes = Vec::new();
    let most = u64::from(KWASMI_CALL_BYTES_MAX);
    open.and_then(|file| file.take(most + 1).read_to_end(&mut bytes)).map_err(|error| failed(words(error)))?;
    if bytes.len() as u64 > most {
        return Err(failed(format!("input of more than {most} bytes")));
    }
    Ok(bytes)
}

/// Result of a call, as JSON.
#[derive(Serialize)]
struct Report {
    results: Vec<Value>,
}

impl Report {
    /// Returns the report of the results in `text`, one per line. Infinities and NaN, which JSON
    /// does not have as numbers, are strings.
    fn new(text: &str) -> Self {
        let value = |line: &str| serde_json::from_str(line).map_or_else(|_| Value::from(line), Value::Number);
        Self { results: text.lines().map(value).collect() }
    }
}

/// Returns the service and its function.
fn find_function(device: &KernelDevice, args: &CallArgs) -> Result<(KernelService, Function), Failure> {
    let name = &args.name;
    let failed = |reason: String| Failure::new(Exit::Failed, name.to_string(), reason);
    loop {
        let service = find(device, name)?;
        match service.function(&args.function) {
            // The program was replaced.
            Err(refusal) if refusal.errno == Errno::STALE => {}
            Err(refusal) if refusal.errno == Errno::SHUTDOWN => return Err(failed("the service has ended".to_owned())),
            Err(refusal) if refusal.errno == Errno::OPNOTSUPP && refusal.text.is_empty() => {
                return Err(failed("not a reactor: its functions cannot be called".to_owned()));
            }
            function => {
                return function.map(|function| (service, function)).map_err(|refusal| failed(refusal.to_string()));
            }
        }
    }
}

pub(super) fn call(args: &CallArgs) -> Result<Exit, Failure> {
    let name = &args.name;
    let failed = |exit, reason: String| Failure::new(exit, name.to_string(), reason);
    let device = device()?;
    let (mut service, mut function) = find_function(&device, args)?;
    let invocation = Invocation::new(std::slice::from_ref(&function.export), &args.function, &args.args)
        .map_err(|reason| failed(Exit::Failed, reason))?;
    let input = args.input.as_deref().map(read).transpose()?.unwrap_or_default();
    let output_size = if args.output.is_some() { KWASMI_CALL_BYTES_MAX } else { 0 };
    let begin = Instant::now();
    let mut rest = args.timeout;
    let called = loop {
        let called = service.call(&function, &invocation.args, &input, output_size, rest);
        if called != Err(Errno::STALE) {
            break called;
        }
        // The program was replaced, and the function has not run.
        let before = function.export;
        (service, function) = find_function(&device, args)?;
        if function.export != before {
            let reason = format!("the service was upgraded, and {} has another type now", line(&before.name));
            return Err(failed(Exit::Failed, reason));
        }
        let elapsed = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if let Some(timeout) = args.timeout {
            rest = NonZeroU64::new(timeout.get().saturating_sub(elapsed));
            if rest.is_none() {
                break Err(Errno::TIMEDOUT);
            }
        }
    };
    let timeout = || humantime::format_duration(Duration::from_nanos(args.timeout.map_or(0, NonZeroU64::get)));
    let called = called.map_err(|errno| match errno {
        Errno::SHUTDOWN => failed(Exit::Failed, "the service has ended".to_owned()),
        Errno::TIMEDOUT => failed(Exit::Limit, format!("the call has not begun within {}", timeout())),
        Errno::INPROGRESS => {
            failed(Exit::Limit, format!("the function has not returned within {}, and runs on", timeout()))
        }
        Errno::CONNRESET => failed(Exit::Killed, "the service was killed during the call".to_owned()),
        Errno::DQUOT => failed(Exit::Limit, "limit reached: total-running or user-running".to_owned()),
        _ => refused(name, errno),
    })?;
    match called {
        Called::Returned(results, output) => {
            if let Some(path) = &args.output {
                write(path, &output)?;
            }
            let text = invocation.print(&results);
            print(&if args.json { json(&Report::new(&text))? } else { text })?;
            Ok(Exit::Guest(0))
        }
        Called::Ended(result) => {
            let exit = result.ending.exit();
            let reason = result.reason().unwrap_or_else(|| format!("exited with {}", exit.status()));
            complain(&failed(exit, format!("the guest ended during the call: {}", line(&reason))));
            // A service that exits with 0 has not answered either.
            Ok(if exit == Exit::Guest(0) { Exit::Failed } else { exit })
        }
    }
}

/// Writes the output to a file; "-" is standard output.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if path == Path::new("-") {
        return super::print_bytes(bytes);
    }
    fs::write(path, bytes).map_err(|error| Failure::new(Exit::Failed, path.display().to_string(), words(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_json() {
        let text = |lines: &str| json(&Report::new(lines)).expect("is plain data");
        assert_eq!(text(""), "{\"results\":[]}\n");
        assert_eq!(text("-1\n9223372036854775807\n1.5\n"), "{\"results\":[-1,9223372036854775807,1.5]}\n");
        assert_eq!(text("inf\n-inf\nNaN\n"), "{\"results\":[\"inf\",\"-inf\",\"NaN\"]}\n");
    }
}
