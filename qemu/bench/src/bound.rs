// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! The variant bound: the work of guests, done in the kernel by a module without Wasm
//! (`qemu/bound`).

use std::{
    fs::File,
    os::fd::{
        AsRawFd as _,
        RawFd, //
    },
    path::Path,
    time::Duration,
};

use anyhow::{
    Context as _,
    Result, //
};
use rustix::ioctl::{
    Updater,
    opcode, //
};

use self::abi::{
    Job,
    Work, //
};

#[path = "../../bound/abi.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the module, which uses the rest")]
mod abi;

const DEVICE: &str = "/dev/kwasmi-bound";

const STDIN: RawFd = 0;

/// Descriptors that a program inherits besides the standard streams.
const HANDED: [RawFd; 2] = [3, 4];

/// Size of a server's buffer in bytes, as in the guest.
const BUFFER: u32 = 16 * 1024;
/// Size of the buffer of a copy in bytes, as in kwasmi.
const COPY_BUFFER: u32 = 64 * 1024;

/// Returns true if the module is loaded.
pub(crate) fn is_there() -> bool {
    Path::new(DEVICE).exists()
}

/// Loads the module into the running kernel.
///
/// # Errors
/// Fails if the file does not exist or the kernel refuses it.
pub(crate) fn load(module: &Path) -> Result<()> {
    let file = File::open(module).with_context(|| module.display().to_string())?;
    rustix::system::finit_module(file, c"", 0).with_context(|| module.display().to_string())
}

/// Does `work` `count` times and returns the elapsed time.
///
/// # Errors
/// Fails if the module does not know `work`, if an argument is missing or invalid, or if the ioctl
/// fails.
pub(crate) fn run(work: &str, count: u64, args: &[String]) -> Result<Duration> {
    let arg = || args.first().context("an argument is missing");
    let mut job = Job { count, fds: HANDED, ..Job::default() };
    let mut lines = None;
    let work = match work {
        "selfpipe" => {
            job.len = arg()?.parse()?;
            Work::Selfpipe
        }
        "ping" => Work::Ping,
        "pong" => Work::Pong,
        "scan" => {
            let file = lines.insert(File::open(Path::new(arg()?).join("lines"))?);
            job.fds = [file.as_raw_fd(), -1];
            Work::Scan
        }
        "policy" => Work::Policy,
        "null" => {
            job.fds = [STDIN, -1];
            Work::Null
        }
        "echo" | "http" | "http-file" | "kv" | "relay" => {
            job.connections = arg()?.parse()?;
            let (work, len) = match work {
                "echo" => (Work::Echo, BUFFER),
                "http" => (Work::Http, BUFFER),
                "http-file" => (Work::HttpFile, BUFFER),
                "kv" => (Work::Kv, BUFFER),
                _ => (Work::Relay, COPY_BUFFER),
            };
            if work != Work::HttpFile {
                job.fds = [HANDED[0], -1];
            }
            job.len = len;
            work
        }
        "http-close" => {
            (job.fds, job.connections, job.len) = ([HANDED[0], -1], 1, BUFFER);
            Work::HttpClose
        }
        "relay-file" => {
            (job.connections, job.len) = (1, BUFFER);
            Work::RelayFile
        }
        _ => anyhow::bail!("{work}: not implemented by the module kwasmi_bound"),
    };
    job.work = work as u32;
    let device = File::open(DEVICE).context(DEVICE)?;
    // SAFETY: `Updater::new` requires an opcode whose argument is a `Job`: `abi.rs`, which the
    // module shares, defines it so.
    let call = unsafe { Updater::<{ opcode::read_write::<Job>(abi::GROUP, abi::NUMBER) }, Job>::new(&mut job) };
    // SAFETY: `ioctl` requires that the device implements the opcode: the device is that of the
    // module, whose ioctl reads and writes only the `Job`.
    unsafe { rustix::ioctl::ioctl(&device, call) }.with_context(|| format!("{work:?}"))?;
    Ok(Duration::from_nanos(job.nanoseconds))
}
