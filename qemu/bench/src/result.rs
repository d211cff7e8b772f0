// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! What was measured, and where: the JSON files.

use std::collections::BTreeMap;

use serde::{
    Deserialize,
    Serialize, //
};

use crate::{
    case::Case,
    contestant::Contestant, //
};

/// Where the contestants ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// All in one VM: ratios hold, also where the VM is emulated.
    Vm,
    /// All in one VM whose clock counts instructions: one nanosecond is one instruction.
    Icount,
    /// All on the host's processor, without a VM and so without the kernel module.
    Host,
}

impl Place {
    /// Its name in files.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Vm => "vm",
            Self::Icount => "icount",
            Self::Host => "host",
        }
    }
}

/// A machine, as far as it matters for speed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// The model that the processor says it is.
    pub(crate) processor: String,
    /// How many there are.
    pub(crate) processors: usize,
    /// `uname -r`.
    pub(crate) kernel: String,
    /// What runs instructions: the processor, KVM, or QEMU's emulation.
    pub(crate) accelerator: String,
    /// What the kernel does against defects of the processor, by defect.
    pub(crate) mitigations: BTreeMap<String, String>,
}

/// One contestant in one case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Who.
    pub(crate) contestant: Contestant,
    /// Operations of a sample.
    pub(crate) count: u64,
    /// Nanoseconds an operation, sample by sample.
    pub(crate) samples: Vec<f64>,
    /// Their median.
    pub(crate) median: f64,
    /// The median of how far each is from that.
    pub(crate) deviation: f64,
}

/// One case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// What it belongs to.
    pub(crate) group: String,
    /// Its name.
    pub(crate) name: String,
    /// What an operation is.
    pub(crate) unit: String,
    /// Fuel of an operation, about the instructions of Wasm; where that was measured.
    pub(crate) fuel: Option<f64>,
    /// Who took part.
    pub(crate) entries: Vec<Entry>,
}

impl Measured {
    /// Nobody could take part in `case`; `why` takes the place of what an operation is.
    pub(crate) fn nothing(case: &Case, why: &str) -> Self {
        let (group, name) = (case.group.to_owned(), case.name.to_owned());
        Self { group, name, unit: why.to_owned(), fuel: None, entries: Vec::new() }
    }

    /// The one of `contestant`.
    pub(crate) fn entry(&self, contestant: Contestant) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.contestant == contestant)
    }

    /// How many times as fast as the native process `contestant` is.
    pub(crate) fn ratio(&self, contestant: Contestant) -> Option<f64> {
        Some(self.entry(Contestant::Process)?.median / self.entry(contestant)?.median)
    }
}

/// What was measured in one place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measurements {
    /// Where.
    pub(crate) place: Place,
    /// On what.
    pub(crate) facts: Facts,
    /// What.
    pub(crate) cases: Vec<Measured>,
}

/// All of a run of the bench.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// When.
    pub(crate) date: String,
    /// Of which source.
    pub(crate) commit: String,
    /// Whether it was cut short.
    pub(crate) is_quick: bool,
    /// Place by place.
    pub(crate) places: Vec<Measurements>,
}
