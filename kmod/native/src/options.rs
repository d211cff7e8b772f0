// SPDX-License-Identifier: GPL-2.0

//! The command line: that of `kwasmi run`, as far as there is something behind it here.

use clap::{
    Parser,
    builder::{
        OsStringValueParser,
        TypedValueParser as _, //
    }, //
};
use kwasmi::{
    handed::Directory,
    strings::Variable, //
};
use std::{
    ffi::OsString,
    net::SocketAddr,
    os::fd::RawFd, //
};

/// Runs a Wasm program on the engine object of kwasmi.ko, in an ordinary process.
#[derive(Debug, Parser)]
#[command(name = "kwasmi-native", override_usage = "kwasmi-native [OPTIONS] FILE [ARG]...")]
pub(crate) struct Options {
    /// At the end, print on standard error what the guest took: time, fuel, memory, stack
    #[arg(long)]
    pub(crate) stats: bool,

    /// Set a variable of the guest's environment; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    #[arg(value_parser = OsStringValueParser::new().try_map(|text| Variable::parse(&text)))]
    pub(crate) env: Vec<Variable>,

    /// Hand a directory to the guest, which finds it as GUEST (else as HOST); with :ro nothing in it can change
    #[arg(long, value_name = "HOST[::GUEST][:ro]")]
    #[arg(value_parser = OsStringValueParser::new().try_map(|text| Directory::parse(&text)))]
    pub(crate) dir: Vec<Directory>,

    /// Listen on this address and hand the socket to the guest
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) tcp_listen: Vec<SocketAddr>,

    /// Hand this descriptor of the caller to the guest
    #[arg(long, value_name = "N")]
    pub(crate) fd: Vec<RawFd>,

    /// The program: Wasm; what follows are its arguments
    #[arg(value_name = "FILE", required = true, trailing_var_arg = true)]
    pub(crate) program: Vec<OsString>,
}
