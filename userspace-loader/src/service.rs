// SPDX-License-Identifier: GPL-2.0

//! Services: instances with a name, `struct kwasmi_service`.

#[expect(unsafe_code, reason = "calls ioctl(2) and mmap(2), and accesses memory that the kernel shares")]
pub mod call_ring;
#[expect(unsafe_code, reason = "calls ioctl(2)")]
pub mod calls;
pub mod control;
#[expect(unsafe_code, reason = "calls close(2)")]
pub mod inherited;
#[expect(unsafe_code, reason = "calls ioctl(2)")]
pub mod kernel;
pub mod output;
#[expect(unsafe_code, reason = "calls ioctl(2)")]
pub mod pool;
pub mod process;
pub mod ring;

use crate::{
    run_result::Ending,
    signing::{
        hash::Sha256,
        manifest,
        version::Version, //
    },
    uapi, //
};
use serde::{
    Serialize,
    Serializer, //
};
use std::{
    fmt,
    str::FromStr, //
};

/// Name of a service: 1 to 64 characters of `a-z 0-9 . _ -`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Name(String);

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        manifest::check_name(text).map(|()| Self(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// State of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The guest has not run.
    Ready,
    /// The guest has begun to run.
    Running,
    /// The guest has ended.
    Ended(Ending),
    /// The service has lost its name.
    Removed,
    /// A state that this command does not know: the kernel module is newer.
    Unknown(u32),
}

impl State {
    /// Converts `state`, `status` and `code` of `struct kwasmi_service`.
    #[must_use]
    pub fn from_raw(state: u32, status: u32, code: u32) -> Self {
        match state {
            uapi::KWASMI_SERVICE_READY => Self::Ready,
            uapi::KWASMI_SERVICE_RUNNING => Self::Running,
            uapi::KWASMI_SERVICE_ENDED => Self::Ended(Ending::from_raw(status, code, 0)),
            uapi::KWASMI_SERVICE_REMOVED => Self::Removed,
            _ => Self::Unknown(state),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::Running => f.write_str("running"),
            Self::Ended(Ending::Exited(code)) => write!(f, "exited {code}"),
            Self::Ended(ending) => f.write_str(ending.name()),
            Self::Removed => f.write_str("removed"),
            Self::Unknown(number) => write!(f, "unknown {number}"),
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A service: `struct kwasmi_service`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Name of the service.
    pub name: String,
    /// State of its guest.
    pub state: State,
    /// Process ID of the supervisor; `None` if the instance is freed, or the supervisor is not in
    /// the caller's PID namespace.
    pub pid: Option<i32>,
    /// Effective user of the supervisor when the service got its name.
    pub uid: u32,
    /// Number of its instances in memory.
    pub instances: u32,
    /// Time at which the service got its name: CLOCK_BOOTTIME, in nanoseconds.
    pub since: u64,
    /// SHA-256 of the module without its signature.
    pub sha256: Sha256,
    /// Name and version of the module, if it has a manifest.
    pub module: Option<(String, Version)>,
}
