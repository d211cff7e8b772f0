// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! The results, as they are stored in JSON files.

use std::collections::BTreeMap;

use serde::{
    Deserialize,
    Serialize, //
};

use crate::{
    case::Case,
    variant::Variant, //
};

/// Place where the variants run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// One VM. Ratios are meaningful even if the VM is emulated.
    Vm,
    /// One emulated VM whose clock counts instructions: one nanosecond is one instruction.
    Icount,
    /// The host's processor, without a VM and so without the kernel module.
    Host,
}

impl Place {
    /// Returns the name of the place in options and files.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Vm => "vm",
            Self::Icount => "icount",
            Self::Host => "host",
        }
    }
}

/// Facts about a machine that affect speed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Model name of the processor.
    pub(crate) processor: String,
    /// Number of processors.
    pub(crate) processors: usize,
    /// Kernel release, as printed by `uname -r`.
    pub(crate) kernel: String,
    /// Executor of instructions: none (the host's processor), KVM, or QEMU's emulation.
    pub(crate) accelerator: String,
    /// Mitigations by vulnerability, from `/sys/devices/system/cpu/vulnerabilities`.
    pub(crate) mitigations: BTreeMap<String, String>,
}

/// Result of one variant in one case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Variant.
    pub(crate) variant: Variant,
    /// Number of operations of a sample.
    pub(crate) count: u64,
    /// Nanoseconds per operation, for each sample.
    pub(crate) samples: Vec<f64>,
    /// Median of the samples.
    pub(crate) median: f64,
    /// Median absolute deviation of the samples.
    pub(crate) deviation: f64,
}

/// Results of one case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Group of the case.
    pub(crate) group: String,
    /// Name of the case.
    pub(crate) name: String,
    /// Description of one operation.
    pub(crate) unit: String,
    /// Fuel per operation, about one per Wasm instruction, if it was measured.
    pub(crate) fuel: Option<f64>,
    /// Results of the variants.
    pub(crate) entries: Vec<Entry>,
}

impl Measured {
    /// Returns a result without variants for `case`, with `why` as the description.
    pub(crate) fn nothing(case: &Case, why: &str) -> Self {
        let (group, name) = (case.group.to_owned(), case.name.to_owned());
        Self { group, name, unit: why.to_owned(), fuel: None, entries: Vec::new() }
    }

    /// Returns the result of `variant`, if it took part.
    pub(crate) fn entry(&self, variant: Variant) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.variant == variant)
    }

    /// Returns the speed of `variant` relative to the native process.
    pub(crate) fn ratio(&self, variant: Variant) -> Option<f64> {
        Some(self.entry(Variant::Process)?.median / self.entry(variant)?.median)
    }
}

/// Results of one place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measurements {
    /// Place.
    pub(crate) place: Place,
    /// Facts about the machine.
    pub(crate) facts: Facts,
    /// Results of the cases.
    pub(crate) cases: Vec<Measured>,
}

/// Results of a run of the bench.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Date of the run.
    pub(crate) date: String,
    /// Commit of the source.
    pub(crate) commit: String,
    /// Set if the run used `--quick`.
    pub(crate) is_quick: bool,
    /// Results of each place.
    pub(crate) places: Vec<Measurements>,
}
