// SPDX-License-Identifier: GPL-2.0

//! The tests of the WebAssembly specification, for an engine that runs whole programs only.
//!
//! A script of theirs ([`script`]) is modules and what is asserted of them. Each module is made a program ([`mod@program`]):
//! an entry that calls what the module exports, and compares results with what they are to be. What must trap is a
//! program of its own. A [`runner`] runs them, in the kernel or in a process, and [`mod@judge`] counts.

#![forbid(unsafe_code)]

pub mod command;
pub mod device;
pub mod features;
pub mod judge;
pub mod known;
pub mod program;
pub mod runner;
pub mod script;
pub mod spectest;
pub mod value;

/// The scripts: names and texts.
pub const SCRIPTS: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/scripts.rs"));
