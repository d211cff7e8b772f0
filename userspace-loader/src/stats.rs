// SPDX-License-Identifier: GPL-2.0

//! Statistics of a run, as text and as JSON (`docs/stats.md`).

use crate::{
    failure::{
        Failure,
        line, //
    },
    policy::Verdict,
    run::Run,
    run_result::RunResult,
    signing::hash::Sha256, //
};
use serde::Serialize;
use std::fmt;

/// Statistics of a run, or of a failure before it. `docs/stats.md` describes the fields.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    file: String,
    sha256: Option<Sha256>,
    signature: Option<Verdict>,
    signer: Option<String>,
    shared: Option<bool>,
    compiled: Option<bool>,
    interpreted_because: Option<String>,
    #[serde(flatten)]
    end: GuestEnd,
    time_ns: u128,
}

/// How a guest ended, and the resources that it used. `docs/stats.md` describes the fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GuestEnd {
    ended: &'static str,
    exit_status: u8,
    reason: Option<String>,
    fuel_used: u64,
    memory_peak_bytes: u64,
    heap_peak_bytes: u64,
    engine_stack_peak_bytes: u64,
}

impl GuestEnd {
    /// Returns the end with the result `result`. `exit_status` is that of the command.
    #[must_use]
    pub fn new(result: &RunResult, exit_status: u8) -> Self {
        Self {
            ended: result.ending.name(),
            exit_status,
            reason: result.reason(),
            fuel_used: result.fuel_used,
            memory_peak_bytes: result.memory_peak,
            heap_peak_bytes: result.heap_peak,
            engine_stack_peak_bytes: result.stack_peak,
        }
    }
}

impl Stats {
    /// Returns the statistics of a run of `file`.
    #[must_use]
    pub fn new(file: &str, run: &Run) -> Self {
        Self {
            file: file.to_owned(),
            sha256: Some(run.identity.sha256),
            signature: Some(run.identity.verdict),
            signer: Some(run.identity.signer.clone()).filter(|signer| !signer.is_empty()),
            shared: Some(run.identity.shared),
            compiled: Some(run.identity.compiled),
            interpreted_because: Some(run.identity.engine_reason.clone()).filter(|reason| !reason.is_empty()),
            end: GuestEnd::new(&run.result, run.exit_status()),
            time_ns: run.time.as_nanos(),
        }
    }

    /// Returns the statistics of `file`, which did not run.
    #[must_use]
    pub fn of_failure(file: &str, failure: &Failure) -> Self {
        Self {
            file: file.to_owned(),
            sha256: None,
            signature: None,
            signer: None,
            shared: None,
            compiled: None,
            interpreted_because: None,
            end: GuestEnd {
                ended: failure.exit.name(),
                exit_status: failure.exit.status(),
                reason: Some(if failure.subject == file { line(&failure.reason) } else { failure.to_string() }),
                fuel_used: 0,
                memory_peak_bytes: 0,
                heap_peak_bytes: 0,
                engine_stack_peak_bytes: 0,
            },
            time_ns: 0,
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.compiled, &self.interpreted_because) {
            (None, _) => {}
            (Some(true), _) => f.write_str("compiled, ")?,
            (Some(false), None) => f.write_str("interpreted, ")?,
            (Some(false), Some(reason)) => write!(f, "interpreted ({}), ", line(reason))?,
        }
        write!(
            f,
            "fuel {}, memory peak {} bytes, heap peak {} bytes, engine stack peak {} bytes, time {}.{:03} ms",
            self.end.fuel_used,
            self.end.memory_peak_bytes,
            self.end.heap_peak_bytes,
            self.end.engine_stack_peak_bytes,
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
        exit::Exit,
        run_result::Ending, //
    };
    use std::time::Duration;

    fn stats() -> Stats {
        let result = RunResult {
            ending: Ending::Exited(3),
            text: String::new(),
            fuel_used: 1,
            memory_peak: 2,
            heap_peak: 3,
            stack_peak: 4,
        };
        let time = Duration::from_micros(12_034);
        Stats::new("a.wasm", &Run { identity: Identity::default(), result, results: vec![], time, signal: None })
    }

    #[test]
    fn text_output() {
        assert_eq!(
            stats().to_string(),
            "interpreted, fuel 1, memory peak 2 bytes, heap peak 3 bytes, engine stack peak 4 bytes, time 12.034 ms"
        );
    }

    #[test]
    fn json_output() {
        assert_eq!(
            serde_json::to_string(&stats()).expect("is plain data"),
            "{\"file\":\"a.wasm\",\"sha256\":\"0000000000000000000000000000000000000000000000000000000000000000\",\
             \"signature\":\"unsigned\",\"signer\":null,\"shared\":false,\"compiled\":false,\"interpreted_because\":null,\
             \"ended\":\"exited\",\"exit_status\":3,\
             \"reason\":null,\"fuel_used\":1,\"memory_peak_bytes\":2,\"heap_peak_bytes\":3,\"engine_stack_peak_bytes\":4,\"time_ns\":12034000}"
        );
    }
    #[test]
    fn json_output_without_a_run() {
        let failure = Failure::new(Exit::Refused, "a.wasm", "no\nmodule");
        assert_eq!(
            serde_json::to_string(&Stats::of_failure("a.wasm", &failure)).expect("is plain data"),
            "{\"file\":\"a.wasm\",\"sha256\":null,\"signature\":null,\"signer\":null,\"shared\":null,\"compiled\":null,\"interpreted_because\":null,\
             \"ended\":\"refused\",\"exit_status\":126,\"reason\":\"no module\",\"fuel_used\":0,\
             \"memory_peak_bytes\":0,\"heap_peak_bytes\":0,\"engine_stack_peak_bytes\":0,\"time_ns\":0}"
        );
    }

    #[test]
    fn the_document_has_every_field() {
        let document = include_str!("../../docs/stats.md");
        let rows = document.lines().skip_while(|line| !line.starts_with("| `file`"));
        let fields: Vec<_> =
            rows.map_while(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect();
        let value = serde_json::to_string(&stats()).expect("is plain data");
        let named: Vec<_> =
            value.split(['{', ',']).filter_map(|part| Some(part.split_once("\":")?.0[1..].to_owned())).collect();
        assert_eq!(fields, named);
        for exit in [Exit::Limit, Exit::Failed, Exit::Refused, Exit::NotFound, Exit::Killed] {
            assert!(document.contains(&format!("`{}`", exit.name())), "{exit:?}");
        }
    }
}
