// SPDX-License-Identifier: GPL-2.0

//! The capabilities of a manifest: the only list of them, in the order of a manifest. The engine,
//! the kernel module and the `kwasmi` command compile this file.

/// Calls `$apply!` with name, bit, name in a manifest and description of each capability.
macro_rules! capabilities {
    ($apply:ident) => {
        $apply! {
            Files = 0, "files", "Files and directories other than the standard streams.";
            Clocks = 1, "clocks", "Clocks.";
            Random = 2, "random", "Random numbers.";
            Sockets = 3, "sockets", "Sockets other than the standard streams.";
            Services = 4, "services", "Services.";
        }
    };
}

pub(crate) use capabilities;
