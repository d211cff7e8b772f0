// SPDX-License-Identifier: GPL-2.0

//! Checks that a manifest covers a module: it lists every import, and has the capability that each
//! import needs.

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

/// Length in bytes after which the message about uncovered imports is cut short.
const TEXT_MAX: usize = 4096;

/// Returns the capabilities of which an import needs at least one; none if it needs no capability.
fn needed(module: &str, name: &str) -> &'static [(Capability, &'static str)] {
    match (module, name) {
        // `wait` can accept connections.
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

/// Returns the name of the capability that an import needs and `has` lacks.
fn lacking(module: &str, name: &str, has: Capabilities) -> Option<&'static str> {
    let needed = needed(module, name);
    let lacks = !needed.is_empty() && !needed.iter().any(|(capability, _)| has.has(*capability));
    needed.first().filter(|_| lacks).map(|(_, word)| *word)
}

impl<H: Host + 'static> Module<H> {
    /// Checks that `manifest` covers the imports of the module.
    ///
    /// # Errors
    ///
    /// [`Refusal`] that names the imports that are not listed or lack a capability.
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
            // The guest chooses these names. Escaping them prevents a name from imitating another
            // message.
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
    fn imports_need_the_capability_of_their_function() {
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
