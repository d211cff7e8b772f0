// SPDX-License-Identifier: GPL-2.0

//! Result of a guest's run, as it is kept for other processes.

use crate::{
    allocation,
    uapi::{
        kwasmi_run,
        KWASMI_KILLED, //
    },
};
use kernel::prelude::*;

/// Result of a guest's run.
pub(crate) struct Outcome {
    /// Answer of `KWASMI_IOC_RUN`; the fields of the log buffer are 0.
    pub(crate) answer: kwasmi_run,
    /// Text for the log buffer of `KWASMI_IOC_RESULT`.
    pub(crate) text: KVVec<u8>,
}

impl Outcome {
    /// Returns the outcome with `answer` and a copy of `text`. If no memory is available, the text
    /// is left out.
    pub(crate) fn new(answer: kwasmi_run, text: &[u8]) -> Self {
        Self {
            answer,
            text: allocation::copy(text).unwrap_or_default(),
        }
    }

    /// Returns the outcome of a guest whose instance was freed before it ended.
    pub(crate) fn killed() -> Self {
        let answer = kwasmi_run {
            status: KWASMI_KILLED,
            ..kwasmi_run::default()
        };
        Self::new(answer, &[])
    }
}
