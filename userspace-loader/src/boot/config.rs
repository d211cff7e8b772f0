// SPDX-License-Identifier: GPL-2.0

//! Files that describe services, in TOML.
//!
//! The file is walked as a tree with positions and not deserialized into a structure: each mistake
//! has its line and its key, and a file can have several.

use crate::{
    cli::service::{
        instances,
        log_size, //
    },
    device::{
        self,
        Engine, //
    },
    duration,
    guest_fds::{
        self,
        Directory, //
    },
    limits::Limit,
    service::Name, //
};
use std::{
    ffi::OsStr,
    fmt,
    fs::File,
    io::Read as _,
    net::SocketAddr,
    num::{
        NonZeroU32,
        NonZeroU64, //
    },
    ops::Range,
    path::Path, //
};
use toml::{
    Spanned,
    de::{
        DeTable,
        DeValue, //
    }, //
};

/// Maximum size of a file, in bytes. systemd accepts lines of up to 1 MiB, so a command line made
/// of all words of the file, quoted, fits.
const FILE_BYTES_MAX: u64 = 1 << 17;

/// Keys of a file. `docs/install.md` describes them.
pub const KEYS: [&str; 16] = [
    "program",
    "args",
    "env",
    "dirs",
    "tcp-listen",
    "stdin",
    "limits",
    "engine",
    "log-size",
    "instances",
    "max-restarts",
    "user",
    "restart",
    "restart-delay",
    "enabled",
    "description",
];

/// Condition under which systemd starts a service again after its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Never.
    No,
    /// After an exit status that is not 0, a trap, a limit or a signal.
    #[default]
    OnFailure,
    /// After any end.
    Always,
}

impl Restart {
    const ALL: [Self; 3] = [Self::No, Self::OnFailure, Self::Always];

    /// Returns the value of the key `restart`, which is also that of `Restart=` in a unit.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure => "on-failure",
            Self::Always => "always",
        }
    }
}

/// Service that a file describes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceConfig {
    /// Absolute path of the program.
    pub program: String,
    /// Arguments of the guest, after the program's name.
    pub args: Vec<String>,
    /// Description of the unit.
    pub description: Option<String>,
    /// Set if the service does not start at boot.
    pub is_disabled: bool,
    /// Environment of the guest: names and values.
    pub env: Vec<(String, String)>,
    /// Directories, in the syntax of `--dir`. The host's paths are absolute.
    pub dirs: Vec<String>,
    /// Addresses of listening sockets.
    pub tcp_listen: Vec<SocketAddr>,
    /// Absolute path of the file for standard input.
    pub stdin: Option<String>,
    /// Size of the log's ring buffer, in bytes.
    pub log_size: Option<NonZeroU64>,
    /// Number of instances.
    pub instances: Option<NonZeroU32>,
    /// Value of `--max-restarts`.
    pub max_restarts: Option<u32>,
    /// Engine.
    pub engine: Option<Engine>,
    /// User that the supervisor runs as; root by default.
    pub user: Option<String>,
    /// Condition for a restart.
    pub restart: Restart,
    /// Time from an end to the next start, in nanoseconds.
    pub restart_delay: Option<NonZeroU64>,
    /// Limits.
    pub limits: Vec<(Limit, NonZeroU64)>,
}

/// Mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line, from 1. A missing key has none.
    pub line: Option<usize>,
    /// Key, with those of the tables around it: `limits.memory`.
    pub key: Option<String>,
    /// Reason.
    pub reason: String,
}

impl Mistake {
    /// Creates a mistake of a whole file.
    pub fn of_file(reason: impl Into<String>) -> Self {
        Self { line: None, key: None, reason: reason.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, &self.key) {
            (Some(line), Some(key)) => write!(f, "line {line}, key {key}: {}", self.reason),
            (Some(line), None) => write!(f, "line {line}: {}", self.reason),
            (None, Some(key)) => write!(f, "key {key}: {}", self.reason),
            (None, None) => f.write_str(&self.reason),
        }
    }
}

/// Returns the name of the service that the file at `path` describes.
///
/// # Errors
///
/// A mistake if the name of the file is not the name of a service with the suffix `.toml`.
pub fn service_name(path: &Path) -> Result<Name, Mistake> {
    let name = path.file_name().and_then(OsStr::to_str).and_then(|name| name.strip_suffix(".toml"));
    let name = name.ok_or_else(|| Mistake::of_file("the file's name is not NAME.toml"))?;
    name.parse().map_err(|reason| Mistake::of_file(format!("the file's name: {reason}")))
}

impl ServiceConfig {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// All mistakes, in the order of their lines. If the file cannot be read, one mistake without a
    /// line.
    pub fn read(path: &Path) -> Result<Self, Vec<Mistake>> {
        let text = text_of(path).map_err(|mistake| vec![mistake])?;
        Self::parse(&text)
    }

    /// Parses TOML.
    ///
    /// # Errors
    ///
    /// All mistakes, in the order of their lines.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reader = Reader { text, mistakes: Vec::new() };
        if !errors.is_empty() {
            for error in errors {
                let line = error.span().map(|span| reader.line(&span));
                let key = line.and_then(|line| key_in_line(text.lines().nth(line.saturating_sub(1))?));
                let reason = error.message().to_owned();
                reader.mistakes.push(Mistake { line, key, reason });
            }
            return Err(reader.mistakes);
        }
        let config = reader.service(table.get_ref());
        reader.mistakes.sort_by_key(|mistake| mistake.line);
        if reader.mistakes.is_empty() { Ok(config) } else { Err(reader.mistakes) }
    }
}

/// Reads the text of a file. Does not open what is not a regular file: the generator must not wait
/// for a pipe.
fn text_of(path: &Path) -> Result<String, Mistake> {
    let of_error = |error: std::io::Error| Mistake::of_file(device::words(error));
    if !path.metadata().map_err(of_error)?.is_file() {
        return Err(Mistake::of_file("not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(of_error)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Mistake::of_file(format!("more than the maximum of {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        Mistake { line: Some(line_after(before)), key: None, reason: "not UTF-8".to_owned() }
    })
}

/// Returns the number of the line that follows `before`, from 1.
fn line_after(before: &[u8]) -> usize {
    before.iter().filter(|byte| **byte == b'\n').count().saturating_add(1)
}

/// Returns the key of a line `KEY = ...`.
fn key_in_line(line: &str) -> Option<String> {
    let (key, _) = line.split_once('=')?;
    let key = key.trim().trim_matches(['"', '\'']);
    let is_key = |char: char| char.is_ascii_alphanumeric() || "._-".contains(char);
    (!key.is_empty() && key.chars().all(is_key)).then(|| key.to_owned())
}

/// Value with its position.
type Value<'a> = Spanned<DeValue<'a>>;

/// Reader of a file: collects its mistakes.
struct Reader<'a> {
    text: &'a str,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    /// Returns the line of a position.
    fn line(&self, span: &Range<usize>) -> usize {
        line_after(self.text.as_bytes().get(..span.start).unwrap_or_default())
    }

    fn mistake(&mut self, span: &Range<usize>, key: &str, reason: impl Into<String>) {
        let line = Some(self.line(span));
        self.mistakes.push(Mistake { line, key: Some(key.escape_debug().to_string()), reason: reason.into() });
    }

    /// Returns the value, or notes the mistake.
    fn note<T>(&mut self, span: &Range<usize>, key: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|reason| self.mistake(span, key, reason)).ok()
    }

    fn wrong_type(&mut self, key: &str, value: &Value<'_>, expected: &str) {
        self.mistake(&value.span(), key, format!("expected {expected}, got {}", value.get_ref().type_str()));
    }

    fn string(&mut self, key: &str, value: &Value<'_>) -> Option<String> {
        match value.get_ref().as_str() {
            Some(text) if text.contains('\0') => self.mistake(&value.span(), key, "contains a NUL byte"),
            Some(text) => return Some(text.to_owned()),
            None => self.wrong_type(key, value, "a string"),
        }
        None
    }

    /// Converts a string, with `f`.
    fn parsed<T>(&mut self, key: &str, value: &Value<'_>, f: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.string(key, value)?;
        self.note(&value.span(), key, f(&text))
    }

    /// Converts each string of a list, with `f`.
    fn list<T>(&mut self, key: &str, value: &Value<'_>, f: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let Some(values) = value.get_ref().as_array() else {
            self.wrong_type(key, value, "a list of strings");
            return Vec::new();
        };
        values.iter().filter_map(|value| self.parsed(key, value, &f)).collect()
    }

    fn truth(&mut self, key: &str, value: &Value<'_>) -> Option<bool> {
        let truth = value.get_ref().as_bool();
        if truth.is_none() {
            self.wrong_type(key, value, "true or false");
        }
        truth
    }

    /// Converts a number, or a string with a number and a unit, with `f`.
    fn amount<T>(&mut self, key: &str, value: &Value<'_>, f: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => number.to_string(),
                Err(_) => number.as_str().to_owned(),
            },
            _ => {
                self.wrong_type(key, value, "a whole number, or a string such as \"64M\" or \"2s\"");
                return None;
            }
        };
        self.note(&value.span(), key, f(&text))
    }

    /// Calls `f` for each entry of a table, with the whole key, the last part of the key, and the
    /// value.
    fn table(&mut self, key: &str, value: &Value<'_>, mut f: impl FnMut(&mut Self, &str, &str, &Value<'_>)) {
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(key, value, "a table");
            return;
        };
        for (name, value) in table {
            f(self, &format!("{key}.{}", name.get_ref()), name.get_ref(), value);
        }
    }

    fn service(&mut self, table: &DeTable<'_>) -> ServiceConfig {
        let mut config = ServiceConfig::default();
        for (name, value) in table {
            let key: &str = name.get_ref();
            match key {
                "program" => config.program = self.parsed(key, value, absolute).unwrap_or_default(),
                "args" => config.args = self.list(key, value, |text| Ok(text.to_owned())),
                "description" => config.description = self.parsed(key, value, description),
                "enabled" => config.is_disabled = self.truth(key, value) == Some(false),
                "env" => self.table(key, value, |reader, key, name, value| {
                    let name = reader.note(&value.span(), key, variable_name(name));
                    config.env.extend(name.zip(reader.string(key, value)));
                }),
                "dirs" => config.dirs = self.list(key, value, directory),
                "tcp-listen" => config.tcp_listen = self.list(key, value, guest_fds::parse_address),
                "stdin" => config.stdin = self.parsed(key, value, absolute),
                "log-size" => config.log_size = self.amount(key, value, log_size),
                "instances" => config.instances = self.amount(key, value, instances),
                "max-restarts" => config.max_restarts = self.amount(key, value, number),
                "engine" => config.engine = self.parsed(key, value, engine),
                "user" => config.user = self.parsed(key, value, user),
                "restart" => config.restart = self.parsed(key, value, restart).unwrap_or_default(),
                "restart-delay" => config.restart_delay = self.amount(key, value, duration::parse),
                "limits" => self.table(key, value, |reader, key, name, value| {
                    let limit = Limit::of_call(name).ok_or_else(|| "unknown limit".to_owned());
                    let Some(limit) = reader.note(&value.span(), key, limit) else { return };
                    let value = reader.amount(key, value, |text| limit_value(limit, text));
                    config.limits.extend(value.map(|value| (limit, value)));
                }),
                _ => {
                    self.mistake(&name.span(), key, format!("unknown key; the keys are {}", KEYS.join(", ")));
                }
            }
        }
        if !table.contains_key("program") {
            let key = Some("program".to_owned());
            self.mistakes.push(Mistake { line: None, key, reason: "the key is missing".to_owned() });
        }
        if let (Some(value), false) = (table.get("max-restarts"), table.contains_key("instances")) {
            self.mistake(&value.span(), "max-restarts", "without the key instances no instance is replaced");
        }
        config
    }
}

fn absolute(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err("expected an absolute path".to_owned()) }
}

fn description(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) || text.ends_with('\\') {
        return Err("expected one line of text that does not end with a backslash".to_owned());
    }
    Ok(text.to_owned())
}

fn variable_name(name: &str) -> Result<String, String> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err("the variable's name is empty, or contains = or a NUL byte".to_owned());
    }
    Ok(name.to_owned())
}

fn directory(text: &str) -> Result<String, String> {
    let directory = Directory::parse(OsStr::new(text))?;
    if directory.host.is_absolute() { Ok(text.to_owned()) } else { Err("expected an absolute path".to_owned()) }
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("expected a number from 0 to {}", u32::MAX))
}

fn engine(text: &str) -> Result<Engine, String> {
    <Engine as clap::ValueEnum>::from_str(text, false)
        .map_err(|_| "expected \"auto\", \"compiler\" or \"interpreter\"".to_owned())
}

fn restart(text: &str) -> Result<Restart, String> {
    let found = Restart::ALL.into_iter().find(|restart| restart.word() == text);
    found.ok_or_else(|| "expected \"no\", \"on-failure\" or \"always\"".to_owned())
}

/// Accepts the names of users that useradd(8) accepts, and user IDs.
fn user(text: &str) -> Result<String, String> {
    let is_valid = |char: char| char.is_ascii_alphanumeric() || "_.-".contains(char);
    if text.is_empty() || text.starts_with(['-', '.']) || !text.chars().all(is_valid) {
        return Err("expected the name of a user".to_owned());
    }
    Ok(text.to_owned())
}

fn limit_value(limit: Limit, text: &str) -> Result<NonZeroU64, String> {
    let value = limit.parse(text)?;
    if value.get() < limit.minimum() {
        return Err(format!("below the minimum of {}", limit.show(limit.minimum())));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        ServiceConfig::parse(text).expect_err(text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_the_program_is_needed() {
        let config = ServiceConfig::parse("program = \"/srv/a.wasm\"").expect("valid");
        assert_eq!(config, ServiceConfig { program: "/srv/a.wasm".to_owned(), ..ServiceConfig::default() });
        assert_eq!(mistakes(""), ["key program: the key is missing"]);
    }

    #[test]
    fn all_keys_are_read() {
        let text = r#"
            program = "/srv/web.wasm"
            args = ["-v", "a b"]
            description = "Web server"
            enabled = false
            dirs = ["/srv/www::/www:ro"]
            tcp-listen = ["[::1]:80"]
            stdin = "/etc/hosts"
            log-size = "1M"
            instances = 4
            max-restarts = 0
            engine = "compiler"
            user = "www-data"
            restart = "always"
            restart-delay = 2
            [env]
            A = "1"
            "odd name" = ""
            [limits]
            memory = "64M"
            fuel = 0x10
            time = "1h"
        "#;
        let config = ServiceConfig::parse(text).expect("valid");
        assert_eq!(config.args, ["-v", "a b"]);
        assert_eq!(config.description.as_deref(), Some("Web server"));
        assert!(config.is_disabled);
        assert_eq!(config.dirs, ["/srv/www::/www:ro"]);
        assert_eq!(config.tcp_listen, ["[::1]:80".parse().expect("an address")]);
        assert_eq!(config.stdin.as_deref(), Some("/etc/hosts"));
        assert_eq!(config.log_size.map(NonZeroU64::get), Some(1 << 20));
        assert_eq!(config.instances.map(NonZeroU32::get), Some(4));
        assert_eq!(config.max_restarts, Some(0));
        assert_eq!(config.engine, Some(Engine::Compiler));
        assert_eq!(config.user.as_deref(), Some("www-data"));
        assert_eq!(config.restart, Restart::Always);
        assert_eq!(config.restart_delay.map(NonZeroU64::get), Some(2_000_000_000));
        assert_eq!(config.env, [("A", "1"), ("odd name", "")].map(|(name, value)| (name.into(), value.into())));
        let limits: Vec<_> = config.limits.iter().map(|(limit, value)| format!("{limit} {value}")).collect();
        assert_eq!(limits, ["fuel 16", "memory 67108864", "time 3600000000000"]);
        for key in KEYS {
            assert!(text.contains(key), "{key}");
        }
    }

    #[test]
    fn a_mistake_has_its_line_and_its_key() {
        let cases = [
            ("colour = 1", "line 2, key colour: unknown key; the keys are program, args, "),
            ("program = \"/b\"", "line 2, key program: duplicate key"),
            ("args = \"-v\"", "line 2, key args: expected a list of strings, got string"),
            ("args = [\n  \"a\",\n  1,\n]", "line 4, key args: expected a string, got integer"),
            ("args = [\"a\\u0000\"]", "line 2, key args: contains a NUL byte"),
            ("enabled = \"no\"", "line 2, key enabled: expected true or false, got string"),
            ("restart = \"sometimes\"", "line 2, key restart: expected \"no\", \"on-failure\" or \"always\""),
            ("restart-delay = \"soon\"", "line 2, key restart-delay: expected a duration such as 1.5s"),
            ("dirs = [\"srv\"]", "line 2, key dirs: expected an absolute path"),
            ("dirs = [\"/srv::/a:rx\"]", "line 2, key dirs: unknown suffix ':rx'"),
            ("tcp-listen = [\"localhost:80\"]", "line 2, key tcp-listen: expected an address and a port"),
            ("stdin = \"x\"", "line 2, key stdin: expected an absolute path"),
            ("max-restarts = 1", "line 2, key max-restarts: without the key instances no instance is replaced"),
            ("instances = 0", "line 2, key instances: expected a number from 1 to 4096"),
            ("instances = 1\nmax-restarts = -1", "line 3, key max-restarts: expected a number from 0 to 4294967295"),
            ("log-size = 5", "line 2, key log-size: expected a size from 4K to 1G"),
            ("engine = \"fast\"", "line 2, key engine: expected \"auto\", \"compiler\""),
            ("user = \"a b\"", "line 2, key user: expected the name of a user"),
            ("description = \"a\\nb\"", "line 2, key description: expected one line of text"),
            ("env = 1", "line 2, key env: expected a table, got integer"),
            ("[env]\nA = 1", "line 3, key env.A: expected a string, got integer"),
            ("[env]\n\"A=\" = \"\"", "line 3, key env.A=: the variable's name is empty, or contains ="),
            ("[limits]\nspeed = 1", "line 3, key limits.speed: unknown limit"),
            ("[limits]\nmemory = \"64X\"", "line 3, key limits.memory: expected a size such as 64M"),
            ("[limits]\nstack = \"1K\"", "line 3, key limits.stack: below the minimum of 4K"),
            ("[limits]\nfuel = -1", "line 3, key limits.fuel: expected a whole number from 1 to"),
            ("[limits]\nfuel = 1.5", "line 3, key limits.fuel: expected a whole number, or a string"),
            ("restart = always", "line 2, key restart: "),
            ("restart", "line 2: "),
        ];
        for (line, expected) in cases {
            let found = mistakes(&format!("program = \"/a\"\n{line}"));
            assert!(found.first().is_some_and(|found| found.starts_with(expected)), "{line}: {found:?}");
        }
        let found = mistakes("program = \"a.wasm\"");
        assert_eq!(found, ["line 1, key program: expected an absolute path"]);
    }

    #[test]
    fn a_file_can_have_several_mistakes() {
        let found = mistakes("restart = 1\n# a comment\nbad = 2\n[limits]\nfuel = 0");
        let lines: Vec<_> = found.iter().map(|text| text.split(':').next().unwrap_or_default()).collect();
        assert_eq!(lines, ["key program", "line 1, key restart", "line 3, key bad", "line 5, key limits.fuel"]);
    }

    #[test]
    fn files_are_named_after_services() {
        let name = |path: &str| service_name(Path::new(path)).map(|name| name.to_string()).map_err(|m| m.to_string());
        assert_eq!(name("/etc/kwasmi/web-1.toml"), Ok("web-1".to_owned()));
        assert_eq!(name("web"), Err("the file's name is not NAME.toml".to_owned()));
        assert!(name("Web.toml").expect_err("invalid").starts_with("the file's name: invalid name 'Web'"));
    }

    #[test]
    fn unreadable_files_are_mistakes() {
        let folder = tempfile::tempdir().expect("a folder");
        let read = |name: &str| ServiceConfig::read(&folder.path().join(name)).expect_err(name)[0].to_string();
        assert_eq!(read("none.toml"), "No such file or directory");
        assert_eq!(read("."), "not a regular file");
        std::fs::write(folder.path().join("latin.toml"), b"program = \"/a\"\nargs = [\"\xff\"]").expect("a file");
        assert_eq!(read("latin.toml"), "line 2: not UTF-8");
        std::fs::write(folder.path().join("big.toml"), vec![b'#'; (1 << 17) + 1]).expect("a file");
        assert_eq!(read("big.toml"), "more than the maximum of 131072 bytes");
    }
}
