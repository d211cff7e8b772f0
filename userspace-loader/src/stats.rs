// SPDX-License-Identifier: GPL-2.0

//! What a run took, for people and for programs.

use crate::{
    end::End,
    policy::Verdict,
    run::Run,
    signing::hash::Sha256, //
};
use serde::Serialize;
use std::fmt;

/// What a run took.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    file: String,
    sha256: Sha256,
    signature: Verdict,
    signer: Option<String>,
    shared: bool,
    ended: &'static str,
    exit_status: u8,
    reason: Option<String>,
    fuel_used: u64,
    memory_peak_bytes: u64,
    heap_peak_bytes: u64,
    engine_stack_peak_bytes: u64,
    time_ns: u128,
}

impl Stats {
    /// Of a run of `file`.
    #[must_use]
    pub fn new(file: &str, run: &Run) -> Self {
        let end: End = run.ended.end;
        Self {
            file: file.to_owned(),
            sha256: run.identity.sha256,
            signature: run.identity.verdict,
            signer: Some(run.identity.signer.clone()).filter(|signer| !signer.is_empty()),
            shared: run.identity.shared,
            ended: end.name(),
            exit_status: end.exit().status(),
            reason: run.ended.reason(),
            fuel_used: run.ended.fuel_used,
            memory_peak_bytes: run.ended.memory_peak,
            heap_peak_bytes: run.ended.heap_peak,
            engine_stack_peak_bytes: run.ended.stack_peak,
            time_ns: run.time.as_nanos(),
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "fuel {}, memory peak {} bytes, heap peak {} bytes, engine stack peak {} bytes, time {}.{:03} ms",
            self.fuel_used,
            self.memory_peak_bytes,
            self.heap_peak_bytes,
            self.engine_stack_peak_bytes,
            self.time_ns / 1_000_000,
            self.time_ns / 1_000 % 1_000,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        device::Identity,
        end::Ended, //
    };
    use std::time::Duration;

    fn stats() -> Stats {
        let ended = Ended {
            end: End::Exited(3),
            text: String::new(),
            fuel_used: 1,
            memory_peak: 2,
            heap_peak: 3,
            stack_peak: 4,
        };
        let time = Duration::from_micros(12_034);
        Stats::new("a.wasm", &Run { identity: Identity::default(), ended, time })
    }

    #[test]
    fn for_people() {
        assert_eq!(
            stats().to_string(),
            "fuel 1, memory peak 2 bytes, heap peak 3 bytes, engine stack peak 4 bytes, time 12.034 ms"
        );
    }

    #[test]
    fn for_programs() {
        assert_eq!(
            serde_json::to_string(&stats()).expect("is plain data"),
            "{\"file\":\"a.wasm\",\"sha256\":\"0000000000000000000000000000000000000000000000000000000000000000\",\
             \"signature\":\"unsigned\",\"signer\":null,\"shared\":false,\"ended\":\"exited\",\"exit_status\":3,\
             \"reason\":null,\"fuel_used\":1,\"memory_peak_bytes\":2,\"heap_peak_bytes\":3,\"engine_stack_peak_bytes\":4,\"time_ns\":12034000}"
        );
    }
}
