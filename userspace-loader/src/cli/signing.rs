// SPDX-License-Identifier: GPL-2.0

//! The command line of what has to do with signatures: keys, modules, what the kernel accepts.

use crate::signing::{
    key::Algorithm,
    version::Version, //
};
use clap::{
    ArgGroup,
    Args,
    Subcommand, //
};
use std::path::PathBuf;

/// What to do with keys.
#[derive(Clone, Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a private key and a certificate for it; needs no kernel module
    New(KeyNewArgs),
    /// Print the keys whose signatures the kernel module accepts
    List(super::ReportArgs),
    /// Have the kernel module accept signatures by the keys of these certificates
    Add(KeyAddArgs),
    /// Let no key be added any more, until the kernel module is unloaded
    Seal,
}

/// A number of days.
fn days(text: &str) -> Result<u32, String> {
    let days = text.parse().ok().filter(|days| (1..=DAYS_MAX).contains(days));
    days.ok_or_else(|| format!("a whole number of days is wanted, from 1 to {DAYS_MAX}"))
}

/// The most days that a certificate can be valid.
const DAYS_MAX: u32 = 1_000_000;

/// Arguments of `key new`.
#[derive(Args, Clone, Debug)]
pub struct KeyNewArgs {
    /// The kind of key
    #[arg(long, value_enum, default_value = "p256")]
    pub algorithm: Algorithm,

    /// The common name in the certificate, by which the kernel shows the key
    #[arg(long, value_name = "NAME", default_value = "kwasmi signing key")]
    pub name: String,

    /// How many days the certificate is valid. The kernel does not look at it; others do
    #[arg(long, value_name = "N", default_value = "3650", allow_negative_numbers = true, value_parser = days)]
    pub days: u32,

    /// Where to put the private key (PEM, with permissions for its owner only)
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,

    /// Where to put the certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub cert: PathBuf,

    /// Replace files that are there
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `key add`.
#[derive(Args, Clone, Debug)]
pub struct KeyAddArgs {
    /// Certificates: PEM or DER
    #[arg(value_name = "CERT", required = true)]
    pub certs: Vec<PathBuf>,
}

const SIGN_HELP: &str = "\
Without --manifest a file keeps the manifest that it has. What a manifest does not say is found in the module: its
imports, and the capabilities that they need; its name is the file's, and its version 0.0.0.

With another program's signature:
  kwasmi sign --unsigned --name NAME -o MODULE FILE
  openssl cms -sign -binary -noattr -nocerts -nosmimecap -md sha256 -signer CERT -inkey KEY -outform DER -in MODULE \\
      -out SIGNATURE
  kwasmi sign --signature SIGNATURE MODULE";

/// Arguments of `sign`.
#[derive(Args, Clone, Debug)]
#[command(after_help = SIGN_HELP, group = ArgGroup::new("how").required(true).args(["key", "signature", "unsigned"]))]
pub struct SignArgs {
    /// Sign with this private key (PEM, not encrypted)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,

    /// The certificate of the signer (PEM or DER)
    #[arg(long, value_name = "FILE", conflicts_with = "unsigned")]
    pub cert: Option<PathBuf>,

    /// Put this signature into the file (CMS in DER, as openssl makes it); with --cert it is checked
    #[arg(long, value_name = "FILE", conflicts_with_all = ["manifest", "name", "version"])]
    pub signature: Option<PathBuf>,

    /// Write what a signature is to be made over: the module with its manifest
    #[arg(long)]
    pub unsigned: bool,

    /// The manifest (TOML)
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,

    /// The module's name, in place of the manifest's
    #[arg(long)]
    pub name: Option<String>,

    /// The module's version, in place of the manifest's
    #[arg(long)]
    pub version: Option<Version>,

    /// Where to put the module; FILE is replaced otherwise, at once or not at all. Needed if FILE is text or "-"; "-" is
    /// standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// The module: Wasm, or its text format; "-" is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Arguments of `verify`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
A certificate that has expired is told, and accepted: the kernel does not look at dates.

Exit status:
  0    the module is accepted
  125  kwasmi itself failed
  126  the module is refused
  127  there is no such file")]
pub struct VerifyArgs {
    /// The certificate of one who may sign (PEM or DER); may be repeated
    #[arg(long, value_name = "CERT", required = true)]
    pub cert: Vec<PathBuf>,

    /// The module; "-" is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Arguments of `deny`.
#[derive(Args, Clone, Debug)]
pub struct DenyArgs {
    /// Print those that are denied
    #[arg(long, conflicts_with = "modules")]
    pub list: bool,

    /// With --list: print JSON
    #[arg(short, long, requires = "list")]
    pub json: bool,

    /// A SHA-256 as `kwasmi inspect` prints it, or a module's file
    #[arg(value_name = "SHA256|FILE", required_unless_present = "list")]
    pub modules: Vec<String>,
}

/// Arguments of `least`.
#[derive(Args, Clone, Debug)]
pub struct LeastArgs {
    /// Print the least versions that there are
    #[arg(long, conflicts_with = "name")]
    pub list: bool,

    /// With --list: print JSON
    #[arg(short, long, requires = "list")]
    pub json: bool,

    /// The name of a module
    #[arg(required_unless_present = "list", requires = "version")]
    pub name: Option<String>,

    /// The least version of it
    pub version: Option<Version>,
}
