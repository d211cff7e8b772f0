// SPDX-License-Identifier: GPL-2.0

//! Checks that a manifest covers a module: it lists every import, and has the capability that each
//! import needs.

use crate::{
    interface::Interface,
    refusal::Refusal,
    signing::manifest::{
        Capabilities,
        Manifest, //
    },
    wasi,
};
use alloc::{
    collections::BTreeSet,
    string::String, //
};
use core::fmt::Write as _;

/// Length in bytes after which the message about uncovered imports is cut short.
const TEXT_MAX: usize = 4096;

/// Returns the name of the capability that an import needs and `has` does not have.
fn missing_capability(module: &str, name: &str, has: Capabilities) -> Option<&'static str> {
    let function = wasi::FUNCTIONS.iter().find(|function| function.module == module && function.name == name)?;
    let lacks = !function.capabilities.iter().any(|capability| has.has(*capability));
    function.capabilities.first().filter(|_| lacks).map(|capability| capability.name())
}

impl Interface<'_> {
    /// Checks that `manifest` covers the imports of the module.
    ///
    /// # Errors
    ///
    /// [`Refusal`] that names the imports that are not listed or lack a capability.
    pub(crate) fn check_manifest(&self, manifest: &Manifest<'_>) -> Result<(), Refusal> {
        let mut listed = BTreeSet::new();
        manifest.each_import(|module, name| {
            listed.insert((module, name));
        });
        let mut text = String::new();
        for import in self.imports() {
            let (module, name) = (import.module, import.name);
            let missing = missing_capability(module, name, manifest.capabilities);
            let is_listed = listed.contains(&(module, name));
            if is_listed && missing.is_none() {
                continue;
            }
            if text.len() > TEXT_MAX {
                text.push_str("; and more");
                break;
            }
            text.push_str(if text.is_empty() { "the manifest does not cover " } else { "; " });
            // The guest chooses these names. Escaping them prevents a name from imitating another
            // message.
            let written =
                write!(text, "{}.{}", module.escape_debug(), name.escape_debug()).and_then(|()| match missing {
                    Some(capability) if is_listed => write!(text, ", which needs the capability {capability}"),
                    _ => Ok(()),
                });
            if written.is_err() {
                break;
            }
        }
        if text.is_empty() { Ok(()) } else { Err(Refusal::from(text)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::manifest::Capability;

    const PREVIEW1: &str = "wasi_snapshot_preview1";
    const BATCH: &str = "kwasmi_batch_1";

    #[test]
    fn imports_need_the_capability_of_their_function() {
        let has =
            |name, capability| missing_capability(PREVIEW1, name, Capabilities::from_bits(capability as u8)).is_none();
        for (name, capability) in [
            ("path_open", Capability::Files),
            ("fd_readdir", Capability::Files),
            ("sock_accept", Capability::Sockets),
            ("clock_time_get", Capability::Clocks),
            ("poll_oneoff", Capability::Clocks),
            ("poll_oneoff", Capability::Sockets),
            ("random_get", Capability::Random),
        ] {
            assert!(has(name, capability), "{name}");
            assert!(!has(name, Capability::Services), "{name}");
        }
        for name in ["fd_write", "fd_read", "args_get", "proc_exit", "sched_yield", "fd_prestat_get"] {
            assert!(missing_capability(PREVIEW1, name, Capabilities::default()).is_none(), "{name}");
        }
        assert!(
            wasi::FUNCTIONS.iter().all(|function| missing_capability(
                function.module,
                function.name,
                Capabilities::ALL
            )
            .is_none())
        );
        assert!(missing_capability(BATCH, "submit", Capabilities::default()).is_none());
        assert_eq!(missing_capability(BATCH, "wait", Capabilities::default()), Some("sockets"));
        assert!(missing_capability("other", "path_open", Capabilities::default()).is_none());
    }
}
