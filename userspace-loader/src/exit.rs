// SPDX-License-Identifier: GPL-2.0

//! Exit statuses of the command, and their mapping from errors of the kernel.

use rustix::io::Errno;

/// End of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The guest exited with this status.
    Guest(u8),
    /// A limit was reached: fuel, time, memory, and so on. The status is that of timeout(1).
    Limit,
    /// kwasmi itself failed, or the engine.
    Failed,
    /// The module was refused.
    Refused,
    /// The file or the device does not exist.
    NotFound,
    /// The guest trapped. The status is that of a shell for an abort (SIGABRT).
    Trapped,
    /// The guest was killed. The status is that of a shell for SIGKILL.
    Killed,
    /// The guest wrote to a pipe or stream socket without a reader. The caller must end by SIGPIPE;
    /// the status is that of a shell for SIGPIPE.
    BrokenPipe,
}

impl Exit {
    /// Returns the exit status.
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

    /// Returns the end of a command that could not do its work, with the exit status `status`.
    #[must_use]
    pub fn of_status(status: u8) -> Self {
        [Self::Limit, Self::Refused, Self::NotFound, Self::Trapped, Self::Killed]
            .into_iter()
            .find(|exit| exit.status() == status)
            .unwrap_or(Self::Failed)
    }

    /// Returns the word for JSON output if there was no run.
    /// [`Ending::name`](crate::run_result::Ending::name) has the words for a run.
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

    /// Returns the end for a file or device that cannot be opened.
    #[must_use]
    pub fn of_open(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::NODEV | Errno::NXIO => Self::NotFound,
            _ => Self::Failed,
        }
    }

    /// Returns the end for an error of `KWASMI_IOC_LOAD`.
    #[must_use]
    pub fn of_load(errno: Errno) -> Self {
        match errno {
            Errno::NOEXEC | Errno::KEYREJECTED | Errno::NOKEY => Self::Refused,
            Errno::DQUOT => Self::Limit,
            Errno::INTR => Self::Killed,
            _ => Self::Failed,
        }
    }

    /// Returns the end for an error of `KWASMI_IOC_START` or `KWASMI_IOC_RUN`, where `E2BIG` is
    /// about arguments, environment and descriptors, not about the module.
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
