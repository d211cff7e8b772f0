// SPDX-License-Identifier: GPL-2.0

//! The command line of `kwasmi config`.

use clap::{
    Args,
    Subcommand, //
};
use std::path::PathBuf;

/// A subcommand of `config`.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the mistakes in files that describe services, each with its file, line and key; needs
    /// no kernel module
    Check(ConfigCheckArgs),
}

/// Arguments of `config check`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Exit status:
  0    the files have no mistake
  125  a file has a mistake
  127  a file does not exist")]
pub struct ConfigCheckArgs {
    /// Files NAME.toml (default: those in /etc/kwasmi)
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}
