// SPDX-License-Identifier: GPL-2.0

//! Services that start at boot: a file `/etc/kwasmi/NAME.toml` describes each of them, and the
//! generator converts the files into units of systemd.

pub mod config;
pub mod generator;
pub mod notify;
pub mod unit;

/// Directory with the files that describe services.
pub const CONFIG_DIRECTORY: &str = "/etc/kwasmi";

/// Path of this command in a unit: that of the Debian package.
pub const COMMAND: &str = "/usr/bin/kwasmi";
