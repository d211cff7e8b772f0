// SPDX-License-Identifier: GPL-2.0

//! Whether a manifest covers a module: every import is listed, and every capability that one needs is there.

use crate::{
    host::Host,
    module::{
        Module,
        Refusal, //
    },
    signing::manifest::{
        Capabilities,
        Capability,
        Manifest, //
    },
    wasi,
};
use alloc::{
    collections::BTreeSet,
    string::String, //
};
use core::fmt::Write as _;

/// How many bytes of text name what is not covered; beyond that it says only that there is more.
const TEXT_MAX: usize = 4096;

/// A capability for an import: any of these does.
fn needed(module: &str, name: &str) -> &'static [(Capability, &'static str)] {
    match (module, name) {
        // It accepts connections.
        (wasi::BATCH, "wait") => return &[(Capability::Sockets, "sockets")],
        (wasi::PREVIEW1, _) => {}
        _ => return &[],
    }
    match name {
        "fd_readdir" => &[(Capability::Files, "files")],
        "poll_oneoff" => &[(Capability::Clocks, "clocks"), (Capability::Sockets, "sockets")],
        "random_get" => &[(Capability::Random, "random")],
        name if name.starts_with("path_") => &[(Capability::Files, "files")],
        name if name.starts_with("sock_") => &[(Capability::Sockets, "sockets")],
        name if name.starts_with("clock_") => &[(Capability::Clocks, "clocks")],
        _ => &[],
    }
}

/// The capability that an import lacks.
fn lacking(module: &str, name: &str, has: Capabilities) -> Option<&'static str> {
    let needed = needed(module, name);
    let lacks = !needed.is_empty() && !needed.iter().any(|(capability, _)| has.has(*capability));
    needed.first().filter(|_| lacks).map(|(_, word)| *word)
}

impl<H: Host + 'static> Module<H> {
    /// Sees that `manifest` covers what the module imports.
    ///
    /// # Errors
    ///
    /// [`Refusal`], with what it does not cover.
    pub fn check_manifest(&self, manifest: &Manifest<'_>) -> Result<(), Refusal> {
        let mut listed = BTreeSet::new();
        manifest.each_import(|module, name| {
            listed.insert((module, name));
        });
        let mut text = String::new();
        for import in self.module.imports() {
            let (module, name) = (import.module(), import.name());
            let lacking = lacking(module, name, manifest.capabilities);
            let is_listed = listed.contains(&(module, name));
            if is_listed && lacking.is_none() {
                continue;
            }
            if text.len() > TEXT_MAX {
                text.push_str("; and more");
                break;
            }
            text.push_str(if text.is_empty() { "the manifest does not cover " } else { "; " });
            // Names are the guest's own: escaped, so that they cannot pretend to be another message.
            let written =
                write!(text, "{}.{}", module.escape_debug(), name.escape_debug()).and_then(|()| match lacking {
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

    #[test]
    fn functions_need_the_capability_that_they_use() {
        let has = |name, capability| lacking(wasi::PREVIEW1, name, Capabilities::from_bits(capability as u8)).is_none();
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
            assert!(lacking(wasi::PREVIEW1, name, Capabilities::default()).is_none(), "{name}");
        }
        assert!(
            wasi::FUNCTIONS.iter().all(|function| lacking(function.module, function.name, Capabilities::ALL).is_none())
        );
        assert!(lacking(wasi::BATCH, "submit", Capabilities::default()).is_none());
        assert_eq!(lacking(wasi::BATCH, "wait", Capabilities::default()), Some("sockets"));
        assert!(lacking("other", "path_open", Capabilities::default()).is_none());
    }
}
