// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! The machine that this runs on, as far as it matters for speed.

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
    /// Those of this machine.
    ///
    /// # Errors
    /// procfs or sysfs is not there.
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
