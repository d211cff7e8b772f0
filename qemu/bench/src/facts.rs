// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! Collects the facts about the machine that affect speed.

use std::{
    collections::BTreeMap,
    fs, //
};

use anyhow::{
    Context as _,
    Result, //
};

use crate::result::{
    Facts,
    Place, //
};

const VULNERABILITIES: &str = "/sys/devices/system/cpu/vulnerabilities";

impl Facts {
    /// Collects the facts about this machine.
    ///
    /// # Errors
    /// Fails if `/proc/cpuinfo` or the folder of vulnerabilities in sysfs cannot be read.
    pub(crate) fn gather(place: Place) -> Result<Self> {
        let info = fs::read_to_string("/proc/cpuinfo")?;
        let models: Vec<&str> = info.lines().filter_map(|line| line.strip_prefix("model name")).collect();
        let processor = models.first().map_or("", |model| model.trim_start_matches([' ', '\t', ':'])).to_owned();
        let accelerator = match place {
            Place::Host => "none",
            Place::Icount => "emulation, clock counts instructions",
            Place::Vm if processor.contains("TCG") => "emulation",
            Place::Vm => "KVM",
        };
        let mut mitigations = BTreeMap::new();
        for entry in fs::read_dir(VULNERABILITIES).context(VULNERABILITIES)? {
            let entry = entry?;
            let text = fs::read_to_string(entry.path())?;
            mitigations.insert(entry.file_name().to_string_lossy().into_owned(), text.trim_end().to_owned());
        }
        Ok(Self {
            processor,
            processors: models.len(),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            accelerator: accelerator.to_owned(),
            mitigations,
        })
    }
}
