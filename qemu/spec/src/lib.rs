// SPDX-License-Identifier: GPL-2.0

//! Runs the tests of the WebAssembly specification on an engine that runs only whole programs.
//!
//! A script ([`script`]) consists of modules and assertions about them. Each module becomes a
//! program ([`mod@program`]): its entry point calls exports of the module and compares their
//! results with the expected ones. An assertion of a trap becomes a separate program. A [`runner`]
//! runs the programs in the kernel or in a process, and [`mod@judge`] counts the results.

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

/// Names and texts of the scripts.
pub const SCRIPTS: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/scripts.rs"));
