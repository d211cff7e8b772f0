// SPDX-License-Identifier: GPL-2.0

//! Compares documents and the kernel module's parameters with the tables that they repeat.

use kwasmi::{
    boot::config::{
        KEYS,
        ServiceConfig, //
    },
    host_functions,
    signing::capability::CAPABILITIES, //
};
use std::{
    collections::BTreeMap,
    fs,
    path::Path, //
};

#[path = "../../engine/src/limit_table.rs"]
mod limit_table;

/// Row of the table of limits.
struct Limit {
    name: &'static str,
    unit: &'static str,
    parameter: &'static str,
    default: u64,
    minimum: u64,
    ceiling: u64,
}

macro_rules! limits {
    ($(
        $limit:ident = $number:literal: $id:ident, $name:literal, $unit:ident, $parameter:ident,
            $default:expr, $minimum:expr, $ceiling:expr, $text:literal;
    )*) => {
        const LIMITS: &[Limit] = &[$(
            Limit {
                name: $name,
                unit: stringify!($unit),
                parameter: stringify!($parameter),
                default: $default,
                minimum: $minimum,
                ceiling: $ceiling,
            },
        )*];
    };
}

limit_table::limit_table!(limits);

/// Reads a file of the repository.
fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the rows of all tables in a document: the cells by the text of the first one.
fn rows(text: &str) -> BTreeMap<&str, Vec<&str>> {
    let cells = |line: &'static str| line.split('|').map(str::trim).collect::<Vec<_>>();
    let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
    let lines = text.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    lines.map(cells).filter_map(|cells| Some((*cells.first()?, cells))).collect()
}

/// Returns `value` as the documents write it.
fn shown(value: u64, unit: &str) -> String {
    if value == u64::MAX {
        return "unlimited".to_owned();
    }
    let bytes = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let binary = bytes.into_iter().find(|(_, size)| unit == "Bytes" && value.is_multiple_of(*size));
    if let Some((name, size)) = binary {
        return format!("{} {name}", value / size);
    }
    let digits = value.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group)).collect();
    groups.join(",")
}

#[test]
fn the_security_document_lists_each_limit() {
    let text = read("docs/security.md");
    let rows = rows(&text);
    for limit in LIMITS {
        let row = rows.get(limit.name).unwrap_or_else(|| panic!("docs/security.md does not list {}", limit.name));
        let default = if limit.minimum == 0 { String::new() } else { shown(limit.default, limit.unit) };
        let ceiling = match limit.ceiling {
            0 => "half of the machine's memory".to_owned(),
            ceiling => shown(ceiling, limit.unit),
        };
        assert_eq!((row[1], row[2]), (default.as_str(), ceiling.as_str()), "{} in docs/security.md", limit.name);
    }
}

#[test]
fn parameters_of_the_kernel_module_have_the_ceilings_of_the_table() {
    let text: String = read("kmod/kwasmi_main.rs").split_whitespace().collect();
    for limit in LIMITS {
        let parameter = format!("{}:u64{{default:{},", limit.parameter, limit.ceiling);
        assert!(text.contains(&parameter), "kmod/kwasmi_main.rs does not have {parameter}");
    }
}

#[test]
fn the_signing_document_lists_each_capability_with_its_functions() {
    let text = read("docs/signing.md");
    let rows = rows(&text);
    for capability in CAPABILITIES {
        let name = format!("`{capability}`");
        let row = rows.get(name.as_str()).unwrap_or_else(|| panic!("docs/signing.md does not list {name}"));
        for function in host_functions::FUNCTIONS.iter().filter(|function| function.module.starts_with("wasi_")) {
            let group = function.name.split_once('_').map_or(String::new(), |(group, _)| format!("`{group}_*`"));
            let is_listed = row[1].contains(&format!("`{}`", function.name)) || row[1].contains(&group);
            let is_first = function.capabilities.first() == Some(capability);
            assert_eq!(is_listed, is_first, "{} with {name} in docs/signing.md", function.name);
        }
    }
}

#[test]
fn the_documents_list_each_function() {
    for function in host_functions::FUNCTIONS {
        let document = match function.module {
            "wasi_snapshot_preview1" | "wasi_unstable" => "docs/wasi.md",
            "kwasmi_batch_1" => "docs/batch.md",
            "kwasmi_bytes_1" => "docs/bytes.md",
            "kwasmi_call_1" => "docs/calls.md",
            module => panic!("no document is known for {module}"),
        };
        let text = read(document);
        // A group of functions is listed as "args_*".
        let group = function.name.split_once('_').map(|(group, _)| format!("{group}_*"));
        let is_listed = |word: &str| word == function.name || Some(word) == group.as_deref();
        let mut words = text.split(|char: char| !char.is_alphanumeric() && !['_', '*'].contains(&char));
        assert!(words.any(is_listed), "{document} does not list {}", function.name);
    }
}

#[test]
fn each_limit_of_a_call_has_an_option_with_its_unit() {
    use clap::CommandFactory as _;
    let command = kwasmi::cli::Cli::command();
    let run = command.find_subcommand("run").expect("the command has run");
    for limit in LIMITS.iter().filter(|limit| limit.minimum > 0) {
        let long = if limit.name == "time" { "timeout" } else { limit.name };
        let option = run.get_arguments().find(|arg| arg.get_long() == Some(long));
        let option = option.unwrap_or_else(|| panic!("kwasmi run has no --{long}"));
        let unit = match limit.unit {
            "Bytes" => "SIZE",
            "Nanoseconds" => "DURATION",
            _ => "N",
        };
        let names: Vec<_> = option.get_value_names().unwrap_or_default().iter().map(|name| name.as_str()).collect();
        assert_eq!(names, [unit], "--{long}");
    }
}

#[test]
fn the_install_document_lists_each_key_of_a_service() {
    let text = read("docs/install.md");
    let rows = rows(&text);
    for key in KEYS {
        assert!(rows.contains_key(format!("`{key}`").as_str()), "docs/install.md does not list {key}");
    }
    // The lines between the command that prints the file and the next command.
    let lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with("# cat /etc/kwasmi/")).skip(1);
    let example: Vec<_> = lines.take_while(|line| !line.starts_with('#')).collect();
    let config = ServiceConfig::parse(&example.join("\n")).expect("the example is valid");
    assert_eq!(config.program, "/srv/meminfo.wasm");
}
