// SPDX-License-Identifier: GPL-2.0

//! Command line: the options of `kwasmi run` that this program supports.

use clap::{
    Parser,
    builder::{
        OsStringValueParser,
        TypedValueParser as _, //
    }, //
};
use kwasmi::{
    guest_fds::Directory,
    strings::Variable, //
};
use std::{
    ffi::OsString,
    net::SocketAddr,
    os::fd::RawFd,
    path::PathBuf, //
};

/// Runs a Wasm program on the engine object of kwasmi.ko, in an ordinary process.
#[derive(Debug, Parser)]
#[command(name = "kwasmi-native", override_usage = "kwasmi-native [OPTIONS] FILE [ARG]...")]
pub(crate) struct Options {
    /// Print the guest's time, fuel, memory and stack use on standard error at the end
    #[arg(long)]
    pub(crate) stats: bool,

    /// Set an environment variable of the guest; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    #[arg(value_parser = OsStringValueParser::new().try_map(|text| Variable::parse(&text)))]
    pub(crate) env: Vec<Variable>,

    /// Give the guest a directory under the name GUEST (default: HOST); with :ro it is read-only
    #[arg(long, value_name = "HOST[::GUEST][:ro]")]
    #[arg(value_parser = OsStringValueParser::new().try_map(|text| Directory::parse(&text)))]
    pub(crate) dir: Vec<Directory>,

    /// Listen on this address and give the socket to the guest
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) tcp_listen: Vec<SocketAddr>,

    /// Run the machine code in this file: the output of kwasmi dump --json --raw FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) machine_code: Option<PathBuf>,

    /// Write the time that the guest ran, without loading, to this file, in nanoseconds
    #[arg(long, value_name = "FILE")]
    pub(crate) time: Option<PathBuf>,

    /// Write the CPU time of the process until the module was loaded to this file, in nanoseconds
    #[arg(long, value_name = "FILE")]
    pub(crate) load_time: Option<PathBuf>,

    /// Give this file descriptor to the guest
    #[arg(long, value_name = "N")]
    pub(crate) fd: Vec<RawFd>,

    /// Wasm file of the program, followed by its arguments
    #[arg(value_name = "FILE", required = true, trailing_var_arg = true)]
    pub(crate) program: Vec<OsString>,
}
