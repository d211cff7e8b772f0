// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! The baseline: stored ratios that reveal regressions. Times are not stored, because they depend
//! on the machine.

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
    result::{
        Measured,
        Measurements,
        Place,
        Run, //
    },
    table,
    variant::Variant,
};

/// Ratios by case and variant.
type Ratios = BTreeMap<String, BTreeMap<Variant, f64>>;

/// Contents of the baseline file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Baseline {
    /// Fraction by which a ratio may fall before it counts as a regression.
    tolerance: f64,
    /// Ratios by place and accelerator.
    places: BTreeMap<String, Ratios>,
}

/// Variants that run kwasmi's code.
const OWN: [Variant; 6] = [
    Variant::Kernel,
    Variant::KernelInterpreted,
    Variant::KernelBatch,
    Variant::KernelAndProcess,
    Variant::Engine,
    Variant::MachineCode,
];

/// Default tolerance: the variation of ratios between runs on a busy machine.
const TOLERANCE: f64 = 0.25;

/// Returns the key of a place in the baseline file.
fn key(measurements: &Measurements) -> String {
    format!("{}, {}", measurements.place.name(), measurements.facts.accelerator)
}

/// Returns true if the ratios of `case` are meaningful in `place`. On the host the time of servers
/// is dominated by wake-ups, which vary.
fn is_comparable(place: Place, case: &Measured) -> bool {
    let known = CASES.iter().find(|known| known.name == case.name);
    let is_server = known.is_some_and(|known| matches!(known.setting, Setting::Server(_)));
    !case.entries.is_empty() && (place != Place::Host || !is_server)
}

fn ratios(measurements: &Measurements) -> Ratios {
    let mut ratios = Ratios::new();
    for case in measurements.cases.iter().filter(|case| is_comparable(measurements.place, case)) {
        let own = OWN.into_iter().filter_map(|variant| {
            // Round to three significant digits, which is below the noise.
            let ratio = table::ratio(case.ratio(variant)?).parse().ok()?;
            Some((variant, ratio))
        });
        ratios.insert(case.name.clone(), own.collect());
    }
    ratios
}

impl Baseline {
    /// Reads the baseline file; returns an empty baseline if there is no file.
    ///
    /// # Errors
    /// Fails if the file cannot be read or parsed.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self { tolerance: TOLERANCE, ..Self::default() });
        }
        serde_json::from_str(&fs::read_to_string(path)?).with_context(|| path.display().to_string())
    }

    /// Stores the ratios of `run` in the baseline file.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub(crate) fn store(&mut self, run: &Run, path: &Path) -> Result<()> {
        for measurements in &run.places {
            self.places.entry(key(measurements)).or_default().append(&mut ratios(measurements));
        }
        Ok(fs::write(path, serde_json::to_string_pretty(self)? + "\n")?)
    }

    /// Returns a message for each regression, and the number of compared ratios.
    pub(crate) fn regressions(&self, run: &Run) -> (Vec<String>, usize) {
        let mut slower = Vec::new();
        let mut compared = 0;
        for measurements in &run.places {
            let Some(stored) = self.places.get(&key(measurements)) else {
                continue;
            };
            for (case, now) in ratios(measurements) {
                for (variant, now) in now {
                    let Some(before) = stored.get(&case).and_then(|ratios| ratios.get(&variant)) else {
                        continue;
                    };
                    compared += 1;
                    if now < before * (1.0 - self.tolerance) {
                        let (place, name) = (measurements.place.name(), variant.name());
                        let (now, before) = (table::ratio(now), table::ratio(*before));
                        slower.push(format!("{place}: {case}, {name}: {now} of the native speed, baseline {before}"));
                    }
                }
            }
        }
        (slower, compared)
    }
}
