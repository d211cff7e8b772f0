// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! Figures that are kept, to see whether something got slower: ratios only, for times are a machine's own.

use std::{
    collections::BTreeMap,
    fs,
    path::Path, //
};

use anyhow::{
    Context as _,
    Result, //
};
use serde::{
    Deserialize,
    Serialize, //
};

use crate::{
    case::{
        CASES,
        Setting, //
    },
    contestant::Contestant,
    result::{
        Measured,
        Measurements,
        Place,
        Run, //
    },
    table,
};

/// Ratios, by case and contestant.
type Ratios = BTreeMap<String, BTreeMap<Contestant, f64>>;

/// The file of figures.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Baseline {
    /// By which part a ratio may be less before that is a regression.
    tolerance: f64,
    /// Ratios, by place and accelerator.
    places: BTreeMap<String, Ratios>,
}

/// Contestants whose speed is the project's.
const OWN: [Contestant; 5] = [
    Contestant::Kernel,
    Contestant::KernelBatch,
    Contestant::KernelAndProcess,
    Contestant::Engine,
    Contestant::EngineRetpolines,
];

/// How much ratios differ from run to run on a machine that has other things to do.
const TOLERANCE: f64 = 0.25;

fn key(measurements: &Measurements) -> String {
    format!("{}, {}", measurements.place.name(), measurements.facts.accelerator)
}

/// Whether the ratios of `case` tell something in `place`: on the host, servers and their clients are mostly woken, and that takes
/// whatever it takes.
fn is_comparable(place: Place, case: &Measured) -> bool {
    let known = CASES.iter().find(|known| known.name == case.name);
    let is_server = known.is_some_and(|known| matches!(known.setting, Setting::Server(_)));
    !case.entries.is_empty() && (place != Place::Host || !is_server)
}

fn ratios(measurements: &Measurements) -> Ratios {
    let mut ratios = Ratios::new();
    for case in measurements.cases.iter().filter(|case| is_comparable(measurements.place, case)) {
        let own = OWN.into_iter().filter_map(|contestant| {
            // Three digits are more than the noise leaves.
            let ratio = table::ratio(case.ratio(contestant)?).parse().ok()?;
            Some((contestant, ratio))
        });
        ratios.insert(case.name.clone(), own.collect());
    }
    ratios
}

impl Baseline {
    /// Reads it; an empty one if there is no file.
    ///
    /// # Errors
    /// The file is no baseline.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self { tolerance: TOLERANCE, ..Self::default() });
        }
        serde_json::from_str(&fs::read_to_string(path)?).with_context(|| path.display().to_string())
    }

    /// Takes over what was measured.
    ///
    /// # Errors
    /// Those of writing a file.
    pub(crate) fn store(&mut self, run: &Run, path: &Path) -> Result<()> {
        for measurements in &run.places {
            self.places.entry(key(measurements)).or_default().append(&mut ratios(measurements));
        }
        Ok(fs::write(path, serde_json::to_string_pretty(self)? + "\n")?)
    }

    /// What is slower than it was, in words, and how many ratios there were to compare.
    pub(crate) fn regressions(&self, run: &Run) -> (Vec<String>, usize) {
        let mut slower = Vec::new();
        let mut compared = 0;
        for measurements in &run.places {
            let Some(stored) = self.places.get(&key(measurements)) else {
                continue;
            };
            for (case, now) in ratios(measurements) {
                for (contestant, now) in now {
                    let Some(before) = stored.get(&case).and_then(|ratios| ratios.get(&contestant)) else {
                        continue;
                    };
                    compared += 1;
                    if now < before * (1.0 - self.tolerance) {
                        let (place, name) = (measurements.place.name(), contestant.name());
                        let (now, before) = (table::ratio(now), table::ratio(*before));
                        slower.push(format!("{place}: {case} by {name}: {now} times a process, was {before}"));
                    }
                }
            }
        }
        (slower, compared)
    }
}
