// SPDX-License-Identifier: GPL-2.0

//! Makes hostile guests, programs that attack the kernel that runs them, and a list of their ends.
//!
//!     kwasmi-hostile TEXTS FOLDER
//!
//! Assembles every TEXTS/NAME.wat as FOLDER/NAME.wasm, and generates guests that are too large for
//! a text or that the text format cannot express. FOLDER/expected has a line for each guest: name,
//! options of `kwasmi run`, exit status, words on standard error. The fields are separated by tabs;
//! `-` stands for none.
//!
//! A text has its options and its end in comments at the beginning:
//!
//!     ;; options: --fuel 1000
//!     ;; ends: limit fuel                         124, "limit reached: fuel "
//!     ;; ends: trap out of bounds memory access   134, "out of bounds memory access"
//!     ;; ends: refused not valid Wasm             126, "not valid Wasm"
//!     ;; ends: exit 3                             3, nothing on standard error

mod bounds;
mod broken;
mod code;
mod counts;
mod wasi;
mod wasm;

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs,
    path::Path,
    process::ExitCode, //
};
use wast::{
    Wat,
    parser::{
        self,
        ParseBuffer, //
    }, //
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Hostile guest.
#[derive(Clone, Debug)]
struct Guest {
    /// Options of `kwasmi run`.
    options: String,
    /// End, in the format of a text's `ends`.
    ends: String,
    /// Module in binary format.
    wasm: Vec<u8>,
}

/// Guests by name.
#[derive(Debug, Default)]
struct Guests(BTreeMap<String, Guest>);

impl Guests {
    /// Adds a guest without options.
    fn add(&mut self, name: &str, ends: &str, wasm: wasm::Module) {
        self.add_with(name, "", ends, wasm);
    }

    /// Adds a guest with options.
    fn add_with(&mut self, name: &str, options: &str, ends: &str, wasm: wasm::Module) {
        let guest = Guest { options: options.to_owned(), ends: ends.to_owned(), wasm: wasm.finish() };
        assert!(self.0.insert(name.to_owned(), guest).is_none(), "{name} exists twice");
    }
}

/// Returns the exit status and the words on standard error of an end.
fn status_and_words(ends: &str) -> Result<(u8, String)> {
    let (kind, rest) = ends.split_once(' ').ok_or_else(|| format!("'{ends}': not an end"))?;
    Ok(match kind {
        "exit" => (rest.parse()?, "-".to_owned()),
        "limit" => (124, format!("limit reached: {rest} ")),
        "refused" => (126, rest.to_owned()),
        "trap" => (134, rest.to_owned()),
        _ => return Err(format!("'{ends}': not an end").into()),
    })
}

/// Returns the text after `key` in the comments at the beginning of `text`.
fn comment<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let comments = text.lines().map_while(|line| line.strip_prefix(";; "));
    comments.filter_map(|line| line.strip_prefix(key)).next()
}

fn assemble(text: &str) -> Result<Guest> {
    let buffer = ParseBuffer::new(text)?;
    let wasm = parser::parse::<Wat<'_>>(&buffer)?.encode()?;
    let ends = comment(text, "ends: ").ok_or("no comment ';; ends:'")?.to_owned();
    Ok(Guest { options: comment(text, "options: ").unwrap_or_default().to_owned(), ends, wasm })
}

fn texts(folder: &Path, guests: &mut Guests) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else {
            continue;
        };
        let guest = assemble(&fs::read_to_string(&path)?).map_err(|error| format!("{}: {error}", path.display()))?;
        if guests.0.insert(name.to_owned(), guest).is_some() {
            return Err(format!("{name} exists twice").into());
        }
    }
    Ok(())
}

fn write(folder: &Path, guests: &Guests) -> Result<()> {
    let mut table = String::new();
    for (name, guest) in &guests.0 {
        fs::write(folder.join(name).with_extension("wasm"), &guest.wasm)?;
        let options = if guest.options.is_empty() { "-" } else { &guest.options };
        let (status, words) = status_and_words(&guest.ends)?;
        table.push_str(&format!("{name}\t{options}\t{status}\t{words}\n"));
    }
    Ok(fs::write(folder.join("expected"), table)?)
}

fn make(folder: &Path, out: &Path) -> Result<()> {
    let mut guests = Guests::default();
    texts(folder, &mut guests)?;
    bounds::add(&mut guests);
    broken::add(&mut guests);
    code::add(&mut guests);
    counts::add(&mut guests);
    wasi::add(&mut guests);
    write(out, &guests)
}

fn main() -> ExitCode {
    let args: Vec<_> = env::args_os().skip(1).collect();
    let [texts, out] = args.as_slice() else {
        eprintln!("usage: kwasmi-hostile TEXTS FOLDER");
        return ExitCode::from(125);
    };
    match make(texts.as_ref(), out.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kwasmi-hostile: {error}");
            ExitCode::from(125)
        }
    }
}
