// SPDX-License-Identifier: GPL-2.0

//! The exit statuses of the command, and which one a kernel error becomes.

use rustix::io::Errno;

/// How the command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// As the guest did, when it ran to an end.
    Guest(u8),
    /// A limit was reached: fuel, time, memory, ... As timeout(1) says it.
    Limit,
    /// kwasmi itself failed, the engine included.
    Failed,
    /// The module was refused.
    Refused,
    /// There is no such file or device.
    NotFound,
    /// The guest trapped. As a shell shows an abort.
    Trapped,
    /// The guest was killed. As a shell shows it.
    Killed,
    /// Nobody reads what the guest writes. Whoever gets this is to end by SIGPIPE; the number is what a shell shows then.
    BrokenPipe,
}

impl Exit {
    /// The number.
    #[must_use]
    pub fn status(self) -> u8 {
        match self {
            Self::Guest(status) => status,
            Self::Limit => 124,
            Self::Failed => 125,
            Self::Refused => 126,
            Self::NotFound => 127,
            Self::Trapped => 134,
            Self::Killed => 137,
            Self::BrokenPipe => 141,
        }
    }

    /// A word for programs, for an end without a run: as [`End::name`](crate::end::End::name) is for one with a run.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Guest(_) => "exited",
            Self::Limit => "limited",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::NotFound => "not-found",
            Self::Trapped => "trapped",
            Self::Killed => "killed",
            Self::BrokenPipe => "broken-pipe",
        }
    }

    /// For a file or device that cannot be opened.
    #[must_use]
    pub fn of_open(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::NODEV | Errno::NXIO => Self::NotFound,
            _ => Self::Failed,
        }
    }

    /// For a module that is not loaded.
    #[must_use]
    pub fn of_load(errno: Errno) -> Self {
        match errno {
            Errno::NOEXEC | Errno::KEYREJECTED | Errno::NOKEY => Self::Refused,
            Errno::DQUOT => Self::Limit,
            Errno::INTR => Self::Killed,
            _ => Self::Failed,
        }
    }

    /// For a module that is not instantiated, or an instance that is not run. `E2BIG` is about arguments here.
    #[must_use]
    pub fn of_start(errno: Errno) -> Self {
        match errno {
            Errno::NOEXEC | Errno::KEYREJECTED | Errno::ACCESS => Self::Refused,
            Errno::DQUOT => Self::Limit,
            Errno::INTR => Self::Killed,
            _ => Self::Failed,
        }
    }
}
