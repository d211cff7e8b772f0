// SPDX-License-Identifier: GPL-2.0

//! Units of systemd for services.

use super::{
    COMMAND,
    config::{
        Mistake,
        ServiceConfig, //
    },
};
use crate::{
    guest_fds::Directory,
    limits::Unit,
    service::Name,
    uapi, //
};
use clap::ValueEnum as _;
use std::{
    ffi::OsStr,
    fmt::Write as _,
    net::SocketAddr,
    path::Path,
    time::Duration, //
};

/// Settings of the section `[Service]` at the end of each unit.
///
/// - `kwasmi spawn` reports the start of the guest, so `systemctl start` fails if the module is
///   refused. systemd does not restart the service then, because the module would be refused again.
/// - Exit status 137 is that of `kwasmi stop` and `kwasmi kill`.
/// - The guest runs in the kernel and has no system calls of its own. The restrictions apply to the
///   supervisor. Settings that change the file system view, such as `ProtectHome=`, are left out,
///   because `dirs` names paths of the host.
const COMMON: &str = "\
Type=notify
SuccessExitStatus=137
RestartPreventExitStatus=126
NoNewPrivileges=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
";

/// Returns the name of a service's unit.
#[must_use]
pub fn unit_name(name: &Name) -> String {
    format!("kwasmi-{name}.service")
}

/// Doubles the character that starts a specifier of systemd.
fn without_specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

/// Quotes a word of a command line in a unit. The command line begins with `:`, so `$` has no
/// meaning.
fn quote(word: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "_-./:=,@+".contains(char);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    let mut quoted = String::from("\"");
    for char in word.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            '%' => quoted.push_str("%%"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            char if char.is_ascii_control() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(char));
            }
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

/// Returns the words of the command line that runs the service.
fn command_line(name: &Name, config: &ServiceConfig) -> Vec<String> {
    let mut words: Vec<String> = [COMMAND, "spawn", "--foreground"].map(str::to_owned).into();
    let mut option = |name: &str, value: &dyn std::fmt::Display| words.push(format!("--{name}={value}"));
    for dir in &config.dirs {
        option("dir", dir);
    }
    for address in &config.tcp_listen {
        option("tcp-listen", address);
    }
    for (name, value) in &config.env {
        option("env", &format_args!("{name}={value}"));
    }
    if let Some(path) = &config.stdin {
        option("stdin", path);
    }
    if let Some(size) = config.log_size {
        option("log-size", &size);
    }
    if let Some(instances) = config.instances {
        option("instances", &instances);
    }
    if let Some(number) = config.max_restarts {
        option("max-restarts", &number);
    }
    if let Some(engine) = config.engine.and_then(|engine| engine.to_possible_value()) {
        option("engine", &engine.get_name());
    }
    for (limit, value) in &config.limits {
        // The option for the limit "time" has another name.
        let name = if limit.0 == uapi::KWASMI_LIMIT_TIME { "timeout" } else { limit.name() };
        let unit = match limit.unit() {
            Unit::Bytes => "B",
            Unit::Nanoseconds => "ns",
            Unit::Count => "",
        };
        option(name, &format_args!("{value}{unit}"));
    }
    words.extend(["--".to_owned(), name.to_string(), config.program.clone()]);
    words.extend_from_slice(&config.args);
    words
}

/// Returns the paths of the host that the service needs mounted, quoted. Those with control
/// characters are left out: systemd has no way to write them here.
fn needed_paths(config: &ServiceConfig) -> String {
    let dirs =
        config.dirs.iter().filter_map(|dir| Directory::parse(OsStr::new(dir)).ok()?.host.to_str().map(str::to_owned));
    let paths = [config.program.clone()].into_iter().chain(config.stdin.clone()).chain(dirs);
    let words = paths.filter(|path| !path.chars().any(char::is_control)).map(|path| quote(&path));
    words.collect::<Vec<_>>().join(" ")
}

/// Returns true if the address exists only once the network is configured.
fn needs_network(address: &SocketAddr) -> bool {
    !address.ip().is_loopback() && !address.ip().is_unspecified()
}

/// Returns the unit of the service that the file at `source` describes.
#[must_use]
pub fn service_unit(name: &Name, source: &Path, config: &ServiceConfig) -> String {
    let mut text = head(source);
    let about = config.description.clone().unwrap_or_else(|| format!("kwasmi service {name}"));
    let mut line = |line: std::fmt::Arguments<'_>| {
        let _ = writeln!(text, "{line}");
    };
    line(format_args!("Description={}", without_specifiers(&about)));
    line(format_args!("Documentation=man:kwasmi-spawn(1)"));
    line(format_args!("Wants=kwasmi.service\nAfter=kwasmi.service network.target"));
    if config.tcp_listen.iter().any(needs_network) {
        line(format_args!("Wants=network-online.target\nAfter=network-online.target"));
    }
    line(format_args!("RequiresMountsFor={}", needed_paths(config)));
    let words: Vec<_> = command_line(name, config).iter().map(|word| quote(word)).collect();
    line(format_args!("\n[Service]\nExecStart=:{}", words.join(" ")));
    line(format_args!("Restart={}", config.restart.word()));
    if let Some(delay) = config.restart_delay {
        // systemd counts in microseconds.
        line(format_args!("RestartSec={}us", Duration::from_nanos(delay.get()).as_micros().max(1)));
    }
    if let Some(user) = &config.user {
        line(format_args!("User={user}\nSupplementaryGroups=kwasmi"));
        // LOAD and the name of a service need CAP_SYS_ADMIN.
        let has_low_port = config.tcp_listen.iter().any(|address| address.port() < 1024);
        let low_port = if has_low_port { " CAP_NET_BIND_SERVICE" } else { "" };
        line(format_args!("AmbientCapabilities=CAP_SYS_ADMIN{low_port}"));
        line(format_args!("CapabilityBoundingSet=CAP_SYS_ADMIN{low_port}"));
    }
    // The supervisor makes the socket for kwasmi upgrade there.
    text + COMMON + &format!("RuntimeDirectory=kwasmi/{name}\n")
}

/// Returns the unit of a service whose file has mistakes. Its start fails and prints them, so that
/// `systemctl --failed` shows the service.
#[must_use]
pub fn failing_unit(name: &Name, source: &Path, mistakes: &[Mistake]) -> String {
    let mut text = head(source);
    let count = mistakes.len();
    let noun = if count == 1 { "mistake" } else { "mistakes" };
    let _ = writeln!(text, "Description=kwasmi service {name}: {count} {noun} in its configuration");
    let _ = writeln!(text, "Documentation=man:kwasmi-config-check(1)\n\n[Service]\nType=oneshot");
    let _ = writeln!(text, "ExecStart=:{COMMAND} config check {}", quote(&source.to_string_lossy()));
    text
}

/// Returns the beginning of a unit.
fn head(source: &Path) -> String {
    let source = source.to_string_lossy();
    format!("# Made by kwasmi-generator from {source}\n[Unit]\nSourcePath={}\n", without_specifiers(&source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::{
            Cli,
            Command, //
        },
        limits::Limit,
    };
    use clap::Parser as _;
    use std::num::NonZeroU64;

    fn name() -> Name {
        "web".parse().expect("valid")
    }

    fn unit(text: &str) -> String {
        let config = ServiceConfig::parse(text).expect("valid");
        service_unit(&name(), Path::new("/etc/kwasmi/web.toml"), &config)
    }

    #[test]
    fn words_are_quoted() {
        let cases = [
            ("--dir=/proc::/proc:ro", "--dir=/proc::/proc:ro"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("100%", "\"100%%\""),
            ("$HOME ${A}", "\"$HOME ${A}\""),
            ("a\"b\\c'", "\"a\\\"b\\\\c'\""),
            ("1\n2\t\u{1}\u{7f}", "\"1\\n2\\t\\x01\\x7f\""),
            (";", "\";\""),
            ("größe", "\"größe\""),
        ];
        for (word, quoted) in cases {
            assert_eq!(quote(word), quoted);
        }
    }

    #[test]
    fn the_unit_has_what_the_file_says() {
        let text = unit(
            "program = \"/srv/my web.wasm\"\nargs = [\"50%\"]\ndescription = \"100% web\"\nrestart = \"always\"\n\
             restart-delay = \"1.5s\"\ndirs = [\"/srv/www::/\"]\ntcp-listen = [\"0.0.0.0:80\"]",
        );
        let expected = [
            "# Made by kwasmi-generator from /etc/kwasmi/web.toml",
            "Description=100%% web",
            "SourcePath=/etc/kwasmi/web.toml",
            "RequiresMountsFor=\"/srv/my web.wasm\" /srv/www",
            "ExecStart=:/usr/bin/kwasmi spawn --foreground --dir=/srv/www::/ --tcp-listen=0.0.0.0:80 -- web \
             \"/srv/my web.wasm\" \"50%%\"",
            "Restart=always",
            "RestartSec=1500000us",
            "Type=notify",
        ];
        for line in expected {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        for word in ["User=", "network-online", "Ambient"] {
            assert!(!text.contains(word), "{text}");
        }
    }

    #[test]
    fn a_user_gets_the_capabilities_that_a_start_needs() {
        let text = unit("program = \"/a\"\nuser = \"www-data\"");
        assert!(text.contains("\nUser=www-data\nSupplementaryGroups=kwasmi\nAmbientCapabilities=CAP_SYS_ADMIN\n"));
        let text = unit("program = \"/a\"\nuser = \"www-data\"\ntcp-listen = [\"192.0.2.1:80\"]");
        assert!(text.contains("\nCapabilityBoundingSet=CAP_SYS_ADMIN CAP_NET_BIND_SERVICE\n"));
        assert!(text.contains("\nWants=network-online.target\n"));
    }

    /// The command accepts the words, and finds in them what the file says.
    #[test]
    fn the_command_line_is_accepted() {
        let text = r#"
            program = "/srv/web.wasm"
            args = ["--fuel", "-x", ""]
            dirs = ["/proc::/proc:ro"]
            tcp-listen = ["127.0.0.1:80"]
            stdin = "/dev/zero"
            log-size = "1M"
            instances = 4
            max-restarts = 0
            engine = "interpreter"
            [env]
            A = "-b =c"
        "#;
        let mut config = ServiceConfig::parse(text).expect("valid");
        let limits = (1..=17).map(Limit);
        config.limits = limits.map(|limit| (limit, NonZeroU64::new(1 << 20).expect("not 0"))).collect();
        let args = match Cli::try_parse_from(command_line(&name(), &config)).expect("accepted").command {
            Command::Spawn(args) => *args,
            other => panic!("{other:?}"),
        };
        assert!(args.foreground);
        assert_eq!(args.name.to_string(), "web");
        assert_eq!(args.program, ["/srv/web.wasm", "--fuel", "-x", ""]);
        assert_eq!(args.guest.dir.len(), 1);
        assert_eq!(args.guest.tcp_listen, config.tcp_listen);
        assert_eq!(args.guest.env[0].value, "-b =c");
        assert_eq!(args.guest.engine.engine, crate::device::Engine::Interpreter);
        assert_eq!(args.log_size.get(), 1 << 20);
        assert_eq!((args.instances, args.max_restarts), (config.instances, 0));
        let mut requested = args.limits.requested();
        requested.sort_by_key(|(limit, _)| limit.0);
        assert_eq!(requested, config.limits);
    }

    #[test]
    fn a_mistake_makes_a_unit_that_fails() {
        let mistakes = ServiceConfig::parse("").expect_err("no program");
        let text = failing_unit(&name(), Path::new("/etc/kwasmi/web.toml"), &mistakes);
        assert!(text.contains("\nDescription=kwasmi service web: 1 mistake in its configuration\n"), "{text}");
        assert!(text.contains("\nExecStart=:/usr/bin/kwasmi config check /etc/kwasmi/web.toml\n"), "{text}");
    }
}
