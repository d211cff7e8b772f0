// SPDX-License-Identifier: GPL-2.0

//! Capabilities of a manifest: the kinds of resources that a module may use.

use crate::host_functions;
use serde::{
    Serialize,
    Serializer, //
};
use std::{
    fmt,
    str::FromStr, //
};

#[path = "../../../engine/src/signing/capabilities.rs"]
mod capabilities;

macro_rules! define_capabilities {
    ($($capability:ident = $bit:literal, $name:literal, $text:literal;)*) => {
        /// A capability. The order is that of a manifest: by the encoded bytes, shorter names
        /// first.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Capability {
            $(
                #[doc = $text]
                $capability,
            )*
        }

        /// All capabilities, in order.
        pub const CAPABILITIES: &[Capability] = &[$(Capability::$capability),*];

        impl Capability {
            /// Returns the name in manifests.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$capability => $name,)*
                }
            }
        }
    };
}

capabilities::capabilities!(define_capabilities);

impl Capability {
    /// Returns the capabilities of which an import needs one; none if it needs no capability. The
    /// first one is the default for a manifest.
    #[must_use]
    pub fn any_for(module: &str, name: &str) -> &'static [Self] {
        host_functions::find(module, name).map_or(&[], |function| function.capabilities)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Capability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl FromStr for Capability {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = CAPABILITIES.iter().copied().find(|capability| capability.name() == name);
        known.ok_or_else(|| format!("unknown capability '{}'", name.escape_debug()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_in_the_order_of_their_encoding() {
        assert!(CAPABILITIES.is_sorted_by_key(|capability| (capability.name().len(), capability.name())));
        assert!(CAPABILITIES.is_sorted());
        assert!(CAPABILITIES.iter().all(|capability| capability.name().parse() == Ok(*capability)));
        assert!("everything".parse::<Capability>().is_err());
    }

    #[test]
    fn provided_functions_need_their_capabilities() {
        let mut with: Vec<_> = Vec::new();
        // Functions of the same name need the same capabilities.
        let newest = host_functions::FUNCTIONS.iter().filter(|function| function.module != "wasi_unstable");
        for function in newest {
            if let Some(first) = Capability::any_for(function.module, function.name).first() {
                with.push(format!("{} {first}", function.name));
            }
        }
        with.sort_unstable();
        assert_eq!(
            with,
            [
                "clock_res_get clocks",
                "clock_time_get clocks",
                "fd_readdir files",
                "path_create_directory files",
                "path_filestat_get files",
                "path_filestat_set_times files",
                "path_link files",
                "path_open files",
                "path_readlink files",
                "path_remove_directory files",
                "path_rename files",
                "path_symlink files",
                "path_unlink_file files",
                "poll_oneoff clocks",
                "random_get random",
                "sock_accept sockets",
                "sock_recv sockets",
                "sock_send sockets",
                "sock_shutdown sockets",
                "wait sockets",
            ]
        );
        assert!(Capability::any_for("env", "path_open").is_empty());
    }
}
