// SPDX-License-Identifier: GPL-2.0

//! The command line of the commands for signatures: `key`, `sign`, `verify`, `deny` and
//! `min-version`.

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

/// A subcommand of `key`.
#[derive(Clone, Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a private key and a certificate for it; needs no kernel module
    New(KeyNewArgs),
    /// Show the keys whose signatures the kernel module accepts
    List(super::ReportArgs),
    /// Add the keys of certificates: the kernel module then accepts their signatures
    Add(KeyAddArgs),
    /// Seal the keyring: no key can be added until the kernel module is unloaded
    Seal,
}

/// Parses a number of days.
fn days(text: &str) -> Result<u32, String> {
    let days = text.parse().ok().filter(|days| (1..=DAYS_MAX).contains(days));
    days.ok_or_else(|| format!("expected a whole number of days, from 1 to {DAYS_MAX}"))
}

/// Upper bound of the validity of a certificate, in days.
const DAYS_MAX: u32 = 1_000_000;

/// Arguments of `key new`.
#[derive(Args, Clone, Debug)]
pub struct KeyNewArgs {
    /// Kind of key
    #[arg(long, value_enum, default_value = "p256")]
    pub algorithm: Algorithm,

    /// Common name in the certificate, which the kernel shows for the key
    #[arg(long, value_name = "NAME", default_value = "kwasmi signing key")]
    pub name: String,

    /// Days for which the certificate is valid; the kernel does not check dates, other programs do
    #[arg(long, value_name = "N", default_value = "3650", allow_negative_numbers = true, value_parser = days)]
    pub days: u32,

    /// File for the private key (PEM; only its owner can read it)
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,

    /// File for the certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub cert: PathBuf,

    /// Replace existing files
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `key add`.
#[derive(Args, Clone, Debug)]
pub struct KeyAddArgs {
    /// Files with certificates (PEM or DER)
    #[arg(value_name = "CERT", required = true)]
    pub certs: Vec<PathBuf>,
}

const SIGN_HELP: &str = "\
Without --manifest, a file keeps its manifest. Defaults for keys that a manifest does not have: the module's imports, the
capabilities that these need, the file's name, version 0.0.0.

To sign with another program:
  kwasmi sign --unsigned --name NAME -o MODULE FILE
  openssl cms -sign -binary -noattr -nocerts -nosmimecap -md sha256 -signer CERT -inkey KEY -outform DER -in MODULE \\
      -out SIGNATURE
  kwasmi sign --signature SIGNATURE MODULE";

/// Arguments of `sign`.
#[derive(Args, Clone, Debug)]
#[command(after_help = SIGN_HELP, group = ArgGroup::new("how").required(true).args(["key", "signature", "unsigned"]))]
pub struct SignArgs {
    /// Private key to sign with (PEM, not encrypted); requires --cert
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,

    /// Certificate of the signer (PEM or DER)
    #[arg(long, value_name = "FILE", conflicts_with = "unsigned")]
    pub cert: Option<PathBuf>,

    /// Signature to put into the file (CMS in DER, as openssl makes it); checked if --cert is given
    #[arg(long, value_name = "FILE", conflicts_with_all = ["manifest", "name", "version"])]
    pub signature: Option<PathBuf>,

    /// Write the bytes to be signed: the module with its manifest
    #[arg(long)]
    pub unsigned: bool,

    /// Manifest (TOML; default: that of the file, or one made from the module)
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,

    /// Name of the module (default: that of the manifest, or of the file)
    #[arg(long)]
    pub name: Option<String>,

    /// Version of the module (default: that of the manifest, or 0.0.0)
    #[arg(long)]
    pub version: Option<Version>,

    /// File for the signed module ("-": standard output; default: replace FILE atomically);
    /// required if FILE is text or "-"
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Module, in Wasm or its text format ("-": standard input)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Arguments of `verify`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
An expired certificate causes a warning, but is accepted: the kernel does not check dates.

Exit status:
  0    the module is accepted
  125  kwasmi itself failed
  126  the module is refused
  127  a file does not exist")]
pub struct VerifyArgs {
    /// Certificate of an accepted signer (PEM or DER), repeatable
    #[arg(long, value_name = "CERT", required = true)]
    pub cert: Vec<PathBuf>,

    /// Module ("-": standard input)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Arguments of `deny`.
#[derive(Args, Clone, Debug)]
pub struct DenyArgs {
    /// Show the denied modules
    #[arg(long, conflicts_with = "modules")]
    pub list: bool,

    /// Print JSON (with --list)
    #[arg(short, long, requires = "list")]
    pub json: bool,

    /// SHA-256 as `kwasmi inspect` prints it, or a module's file
    #[arg(value_name = "SHA256|FILE", required_unless_present = "list")]
    pub modules: Vec<String>,
}

/// Arguments of `min-version`.
#[derive(Args, Clone, Debug)]
pub struct MinVersionArgs {
    /// Show the minimum versions
    #[arg(long, conflicts_with = "name")]
    pub list: bool,

    /// Print JSON (with --list)
    #[arg(short, long, requires = "list")]
    pub json: bool,

    /// Name of the modules
    #[arg(required_unless_present = "list", requires = "version")]
    pub name: Option<String>,

    /// Minimum version of the modules with that name
    pub version: Option<Version>,
}
