// SPDX-License-Identifier: GPL-2.0

//! The commands `kwasmi completions` and `kwasmi man`, made from the definition of the command line.

use super::{
    print_bytes,
    words, //
};
use crate::{
    cli::{
        Cli,
        CompletionsArgs,
        ManArgs, //
    },
    exit::Exit,
    failure::Failure, //
};
use clap::CommandFactory as _;

pub(super) fn completions(args: CompletionsArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "kwasmi", &mut script);
    print_bytes(&script)?;
    Ok(Exit::Guest(0))
}

pub(super) fn man(args: &ManArgs) -> Result<Exit, Failure> {
    clap_mangen::generate_to(Cli::command(), &args.directory)
        .map_err(|error| Failure::new(Exit::Failed, args.directory.to_string_lossy(), words(error)))?;
    Ok(Exit::Guest(0))
}
