// SPDX-License-Identifier: GPL-2.0

//! Tests of the `kwasmi` binary that need no device.

use kwasmi::uapi::KWASMI_ABI;
use std::{
    fs,
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        Output,
        Stdio, //
    }, //
};
use tempfile::TempDir;

const GOOD: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
    (memory (export "memory") 1)
    (data "\07")
    (func (export "_start") (data.drop 0) (call 0 (i32.const 7))))"#;

fn kwasmi(args: &[&str]) -> Output {
    command(args).output().expect("the program can be run")
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kwasmi"));
    command.args(args).stdin(Stdio::null());
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("is text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("is text")
}

/// Creates a folder with one file. Returns the folder and the path of the file.
fn file(name: &str, contents: impl AsRef<[u8]>) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = write(folder.path(), name, contents);
    (folder, path)
}

fn write(folder: &Path, name: &str, contents: impl AsRef<[u8]>) -> String {
    let path: PathBuf = folder.join(name);
    fs::write(&path, contents).expect("a file");
    path.to_str().expect("is text").to_owned()
}

fn wasm(text: &str) -> Vec<u8> {
    kwasmi::source::assemble(text.as_bytes()).expect("valid text")
}

/// Checks that the command ended with `status`, and printed `line` on standard error only.
#[track_caller]
fn assert_fails(output: &Output, status: i32, line: &str) {
    assert_eq!(stderr(output), format!("kwasmi: {line}\n"));
    assert_eq!(output.status.code(), Some(status));
    assert_eq!(stdout(output), "");
}

#[test]
fn help_is_printed_on_standard_output() {
    for args in [["--help"].as_slice(), &["help"], &["help", "run"], &["run", "--help"], &["inspect", "-h"]] {
        let output = kwasmi(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(stdout(&output).contains("Usage: kwasmi"), "{args:?}");
        assert_eq!(stderr(&output), "");
    }
    assert!(stdout(&kwasmi(&["run", "--help"])).contains("Usage: kwasmi run [OPTIONS] FILE [ARG]..."));
}

#[test]
fn completions_are_scripts_of_the_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output = kwasmi(&["completions", shell]);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{shell}");
        for word in ["spawn", "inspect", "tcp-listen"] {
            assert!(stdout(&output).contains(word), "{shell}: {word}");
        }
    }
    let (_folder, path) = file("kwasmi.bash", kwasmi(&["completions", "bash"]).stdout);
    let checks = "source $0; COMP_WORDS=(kwasmi sp); COMP_CWORD=1; _kwasmi kwasmi sp kwasmi; echo ${COMPREPLY[@]}";
    let output = Command::new("bash").args(["-c", checks, &path]).output().expect("bash can be run");
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("spawn\n", ""));
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("is text");
    let output = kwasmi(&["man", path]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    for (page, words) in [("kwasmi", "spawn"), ("kwasmi-run", "tcp"), ("kwasmi-key-new", "algorithm")] {
        let text = fs::read_to_string(folder.path().join(format!("{page}.1"))).expect("a page");
        assert!(text.contains(&format!(".TH {page} 1")) && text.contains(words), "{page}: {text}");
    }
    assert_fails(&kwasmi(&["man", "/nonexistent"]), 125, "/nonexistent: No such file or directory");
}

#[test]
fn a_wrong_command_line_exits_with_125() {
    let wrong: [&[&str]; 6] =
        [&[], &["walk"], &["run"], &["run", "--fuel", "many", "x"], &["run", "--memory", "0", "x"], &["inspect"]];
    for args in wrong {
        let output = kwasmi(args);
        assert_eq!(output.status.code(), Some(125), "{args:?}");
        assert_eq!(stdout(&output), "", "{args:?}");
        assert_ne!(stderr(&output), "", "{args:?}");
    }
}

#[test]
fn command_line_errors_are_one_line() {
    let address = "expected an address and a port, such as 127.0.0.1:8080 or [::1]:8080";
    let size = "expected a size such as 64M: a number with an optional unit (B, K, M, G, T)";
    let duration = "expected a duration such as 1.5s or 500ms: a number with an optional unit (ns, us, ms, s, m, h)";
    let bare = |least: &str, meant: &str| {
        format!("a value below {least} needs a unit: did you mean {meant}? (1B means bytes)")
    };
    let count = "expected a whole number from 1 to 2^64 - 1";
    let value = |value: &str, option: &str, reason: &str| format!("invalid value '{value}' for '{option}': {reason}");
    let cases: [(&[&str], String); 19] = [
        (&["--memory", "1"], value("1", "--memory <SIZE>", &bare("64K", "1M"))),
        (&["--heap", "1"], value("1", "--heap <SIZE>", &bare("64K", "1M"))),
        (&["--stack", "1"], value("1", "--stack <SIZE>", &bare("4K", "1M"))),
        (&["--module-size", "1"], value("1", "--module-size <SIZE>", &bare("8 bytes", "1M"))),
        (&["--memory", "64MB"], value("64MB", "--memory <SIZE>", size)),
        (&["--timeout", "soon"], value("soon", "--timeout <DURATION>", duration)),
        (&["--cpu-time", "1.5ns"], value("1.5ns", "--cpu-time <DURATION>", "not a whole number of nanoseconds")),
        (&["--fuel", "many"], value("many", "--fuel <N>", count)),
        (&["--fuel", "-1"], value("-1", "--fuel <N>", count)),
        (
            &["--fd", "three"],
            value("three", "--fd <N>", "expected the number of an open descriptor, from 0 to 2147483647"),
        ),
        (&["--env", "A"], value("A", "--env <NAME=VALUE>", "expected NAME=VALUE")),
        (
            &["--tcp-listen", "localhost:80"],
            value(
                "localhost:80",
                "--tcp-listen <ADDRESS:PORT>",
                &format!("{address}; the name 'localhost' is not resolved"),
            ),
        ),
        (&["--tcp-listen", "80"], value("80", "--tcp-listen <ADDRESS:PORT>", address)),
        (
            &["--dir", "X::/a:ro:ro"],
            value("X::/a:ro:ro", "--dir <HOST[::GUEST][:ro|:rw]>", "more than one suffix :ro or :rw"),
        ),
        (
            &["--dir", "X::/a:rx"],
            value("X::/a:rx", "--dir <HOST[::GUEST][:ro|:rw]>", "unknown suffix ':rx': expected :ro or :rw"),
        ),
        (
            &["--fule", "5"],
            "unexpected argument '--fule' found (a similar argument exists: '--fuel'); see --help".to_owned(),
        ),
        (&["--fuel"], "a value is required for '--fuel <N>' but none was supplied".to_owned()),
        (
            &["--fuel", "1", "--fuel", "2"],
            "the argument '--fuel <N>' cannot be used multiple times; see --help".to_owned(),
        ),
        (&[], "the following required arguments were not provided: <FILE>...; see --help".to_owned()),
    ];
    for (args, line) in cases {
        let mut all = vec!["run"];
        all.extend_from_slice(args);
        if !args.is_empty() && args != ["--fuel"] {
            all.push("x.wasm");
        }
        assert_fails(&kwasmi(&all), 125, &line);
    }
    let days = "expected a whole number of days, from 1 to 1000000";
    let output = kwasmi(&["key", "new", "--days", "x", "--key", "k", "--cert", "c"]);
    assert_fails(&output, 125, &value("x", "--days <N>", days));
    assert_fails(&kwasmi(&["walk"]), 125, "unrecognized subcommand 'walk'; see --help");
}

#[test]
fn help_names_the_units() {
    let help = stdout(&kwasmi(&["run", "--help"]));
    for words in ["SIZE in bytes or with K, M, G or T", "DURATION in seconds or with ns", "in seconds without a unit"] {
        assert!(help.contains(words), "{words}: {help}");
    }
    // The heading of the limits is not above other options.
    let (others, limits) = help.split_once("\nLimits (").expect("there are");
    assert!(others.contains("--stats") && others.contains("<FILE>...") && !limits.contains("--json"), "{help}");
}

#[test]
fn text_is_recognized_by_its_contents() {
    let (folder, path) = file("text.wasm", GOOD);
    assert_eq!(kwasmi(&["inspect", &path]).status.code(), Some(0));
    let binary = write(folder.path(), "binary.wat", wasm(GOOD));
    assert_eq!(kwasmi(&["inspect", &binary]).status.code(), Some(0));
    let path = write(folder.path(), "wrong.wasm", "(modul)");
    assert_fails(
        &kwasmi(&["inspect", &path]),
        126,
        &format!(
            "{path}: read as text, since it does not begin as Wasm does: line 1, column 2: expected valid module field"
        ),
    );
    let path = write(folder.path(), "other.wat", "hello");
    assert_fails(&kwasmi(&["inspect", &path]), 126, &format!("{path}: line 1, column 1: expected `(`"));
}

#[test]
fn components_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let words = "this is a WebAssembly component; kwasmi runs core modules of WASI preview 1";
    let device = Path::new("/dev/kwasmi").exists();
    for name in ["x.wat", "x.wasm"] {
        let path = write(folder.path(), name, "\n(component (core module))");
        assert_fails(&kwasmi(&["inspect", &path]), 126, &format!("{path}: {words}"));
        if device {
            assert_fails(&kwasmi(&["run", &path]), 126, &format!("{path}: {words}"));
        }
        let path = write(folder.path(), name, b"\0asm\x0d\0\x01\0");
        assert_fails(&kwasmi(&["run", &path]), 126, &format!("{path}: {words}"));
        let output = kwasmi(&["inspect", &path]);
        assert_eq!(output.status.code(), Some(126));
        assert!(stdout(&output).ends_with(&format!("would be refused:\n  {words}\n")), "{}", stdout(&output));
    }
}

#[test]
fn files_of_other_kinds_are_refused() {
    let (folder, other) = file("other", "hello");
    let module = write(folder.path(), "x.wat", GOOD);
    let [key, cert, output] = ["key", "cert", "output"].map(|name| format!("{}/{name}", folder.path().display()));
    assert_eq!(kwasmi(&["key", "new", "--key", &key, "--cert", &cert]).status.code(), Some(0));
    let no_key = format!("{other}: not a private key in PEM: no line begins with -----BEGIN");
    assert_fails(&kwasmi(&["sign", "--key", &other, "--cert", &cert, "-o", &output, &module]), 125, &no_key);
    let no_signature = format!("{other}: not a signature: expected CMS in DER");
    assert_fails(&kwasmi(&["sign", "--signature", &other, "-o", &output, &module]), 125, &no_signature);
    let no_hash = "12ab: neither a SHA-256 (64 hexadecimal digits) nor a file";
    assert_fails(&kwasmi(&["deny", "12ab"]), 127, no_hash);
    let no_module = format!("{other}: not a WebAssembly module: it begins with 68 65 6c 6c, not with 00 61 73 6d");
    assert_fails(&kwasmi(&["verify", "--cert", &cert, &other]), 126, &no_module);
    let manifest = write(folder.path(), "manifest", b"\xff");
    let args = ["sign", "--key", &key, "--cert", &cert, "--manifest", &manifest, "-o", &output, &module];
    assert_fails(&kwasmi(&args), 125, &format!("{manifest}: not text: invalid UTF-8 at offset 0"));
}

#[test]
fn a_module_on_standard_input() {
    let folder = tempfile::tempdir().expect("a folder");
    for contents in [GOOD.as_bytes().to_vec(), wasm(GOOD)] {
        let path = write(folder.path(), "x", contents);
        let output = command(&["inspect", "-"]).stdin(fs::File::open(path).expect("is there")).output();
        let output = output.expect("the program can be run");
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
        assert!(stdout(&output).starts_with("standard input: "), "{}", stdout(&output));
    }
    assert_fails(&kwasmi(&["run", "-"]), 126, "standard input: not a WebAssembly module: the file is empty");
    let path = write(folder.path(), "x", wasm(GOOD));
    let sign = |output: &[&str]| {
        let mut command = command(&["sign", "--unsigned", "--name", "x", "-"]);
        let input = fs::File::open(&path).expect("is there");
        command.args(output).stdin(input).output().expect("the program can be run")
    };
    let output = sign(&[]);
    assert_fails(&output, 125, "standard input: --output is required");
    let output = sign(&["--output", "-"]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert!(output.stdout.starts_with(&wasm(GOOD)) && output.stdout.len() > wasm(GOOD).len());
}

#[test]
fn json_is_printed_without_a_run() {
    let (_folder, path) = file("x.wasm", "hello");
    let not_wasm = "not a WebAssembly module: it begins with 68 65 6c 6c, not with 00 61 73 6d";
    let cases = [
        (path.as_str(), "refused", 126, not_wasm),
        ("/nonexistent", "not-found", 127, "No such file or directory"),
        ("/", "refused", 126, "a directory, not a WebAssembly module"),
    ];
    for (path, ended, status, reason) in cases {
        for args in [["run", "-j", path].as_slice(), &["run", "--stats", "--json", path]] {
            let output = kwasmi(args);
            assert_eq!(output.status.code(), Some(status), "{path}");
            let text = stderr(&output);
            let (line, json) = text.split_once('\n').expect("two lines");
            assert_eq!(line, format!("kwasmi: {path}: {reason}"));
            let value: serde_json::Value = serde_json::from_str(json).expect("is JSON");
            assert_eq!(value["file"], path);
            assert_eq!(value["ended"], ended);
            assert_eq!(value["exit_status"], status);
            assert_eq!(value["reason"], reason);
            assert_eq!(value["sha256"], serde_json::Value::Null);
        }
        // Without --json, only the reason is printed.
        assert_fails(&kwasmi(&["run", "--stats", path]), status, &format!("{path}: {reason}"));
    }
}

#[test]
fn a_file_that_is_not_there() {
    for command in ["run", "inspect"] {
        let output = kwasmi(&[command, "/nonexistent/x.wasm"]);
        assert_fails(&output, 127, "/nonexistent/x.wasm: No such file or directory");
    }
}

#[test]
fn a_file_that_cannot_be_read() {
    for command in ["run", "inspect"] {
        assert_fails(&kwasmi(&[command, "/"]), 126, "/: a directory, not a WebAssembly module");
    }
}

#[test]
fn files_that_are_not_wasm_are_refused_before_the_device_is_opened() {
    let (_folder, path) = file("x.wasm", "#!/bin/sh\n");
    assert_fails(
        &kwasmi(&["run", &path]),
        126,
        &format!("{path}: not a WebAssembly module: it begins with 23 21 2f 62, not with 00 61 73 6d"),
    );
    let (_folder, path) = file("x.wasm", "");
    assert_fails(&kwasmi(&["run", &path]), 126, &format!("{path}: not a WebAssembly module: the file is empty"));
}

#[test]
fn a_missing_device_exits_with_127() {
    if Path::new("/dev/kwasmi").exists() {
        return;
    }
    let (_folder, path) = file("x.wat", GOOD);
    let line = "/dev/kwasmi: No such file or directory (is the kernel module loaded?)";
    assert_fails(&kwasmi(&["run", &path]), 127, line);
    assert_fails(&kwasmi(&["status"]), 127, line);
    assert_fails(&kwasmi(&["status", "-j"]), 127, line);

    let version = env!("CARGO_PKG_VERSION");
    let output = kwasmi(&["version"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stdout(&output), format!("kwasmi {version}, interface {KWASMI_ABI}\nkernel module: {line}\n"));
    let output = kwasmi(&["version", "--json"]);
    assert_eq!(stdout(&output), format!("{{\"version\":\"{version}\",\"abi\":{KWASMI_ABI},\"kernel\":null}}\n"));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_good_module_would_run() {
    let (folder, text) = file("good.wat", GOOD);
    let binary = write(folder.path(), "good.wasm", wasm(GOOD));
    for path in [&text, &binary] {
        let output = kwasmi(&["inspect", path]);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(stderr(&output), "");
        let report = stdout(&output);
        assert!(report.starts_with(&format!("{path}: ")), "{report}");
        assert!(report.contains("\n  wasi_snapshot_preview1.proc_exit: func(i32)\n"), "{report}");
        assert!(report.contains("\n  _start: func()\n"), "{report}");
        assert!(report.ends_with("\nwould be refused: no\n"), "{report}");
    }
}

#[test]
fn a_refusal_has_every_reason() {
    let (_folder, path) = file("bad.wat", r#"(module (import "env" "a" (func)) (import "env" "b\n" (func)))"#);
    let output = kwasmi(&["inspect", &path]);
    assert_eq!(output.status.code(), Some(126));
    assert_eq!(stderr(&output), "");
    assert!(
        stdout(&output).ends_with(
            "would be refused:\n  import env.a is not provided\n  import env.b\\n is not provided\n  \
             no function _start is exported: not a program\n"
        ),
        "{}",
        stdout(&output)
    );
}

#[test]
fn json_is_one_object_on_one_line() {
    let (_folder, path) = file("bad.wat", r#"(module (import "env" "b\n" (func)))"#);
    let output = kwasmi(&["inspect", "-j", &path]);
    assert_eq!(output.status.code(), Some(126));
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 1);
    let value: serde_json::Value = serde_json::from_str(&text).expect("is JSON");
    assert_eq!(value["imports"][0]["name"], "b\n");
    assert_eq!(value["imports"][0]["type"], "func()");
    assert_eq!(value["imports"][0]["provided"], false);
    assert_eq!(value["refused"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_module_truncated_at_any_byte_is_refused() {
    let good = wasm(GOOD);
    let folder = tempfile::tempdir().expect("a folder");
    for len in 0..good.len() {
        let path = write(folder.path(), "x.wasm", &good[..len]);
        let output = kwasmi(&["inspect", &path]);
        assert_eq!(output.status.code(), Some(126), "{len} bytes: {}", stdout(&output));
        assert!(stdout(&output).contains("would be refused:\n"), "{len} bytes");
    }
}

#[test]
fn zeros_and_garbage_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let zeros = folder.path().join("zeros");
    let file = fs::File::create(&zeros).expect("a file");
    file.set_len(64 << 20).expect("a sparse file");
    let zeros = zeros.to_str().expect("is text");
    let reason = "not a WebAssembly module: it begins with 00 00 00 00, not with 00 61 73 6d";
    assert_fails(&kwasmi(&["run", zeros]), 126, &format!("{zeros}: {reason}"));
    let output = kwasmi(&["inspect", zeros]);
    assert_eq!(output.status.code(), Some(126));
    assert!(stdout(&output).ends_with(&format!("would be refused:\n  {reason}\n")));

    let garbage: Vec<u8> = b"\0asm\x01\0\0\0".iter().copied().chain((1..=255).cycle().take(4096)).collect();
    let path = write(folder.path(), "garbage", garbage);
    let output = kwasmi(&["inspect", &path]);
    assert_eq!(output.status.code(), Some(126));
    assert!(stdout(&output).contains("not valid Wasm: "), "{}", stdout(&output));
    assert!(stdout(&output).contains(" at offset "), "{}", stdout(&output));
}

#[test]
fn errors_in_text_are_one_line_with_their_place() {
    let (_folder, path) = file("x.wat", "(module\n  (func (local.get $x)))");
    for command in ["run", "inspect"] {
        if command == "run" && !Path::new("/dev/kwasmi").exists() {
            continue;
        }
        let output = kwasmi(&[command, &path]);
        assert_fails(&output, 126, &format!("{path}: line 2, column 20: unknown local: failed to find name `$x`"));
    }
}

#[test]
fn a_full_output_is_a_failure() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("is there");
    let output = command(&["version"]).stdout(full).output().expect("the program can be run");
    assert_fails(&output, 125, "standard output: No space left on device");
}

#[test]
fn closed_streams_are_allowed() {
    let (_folder, path) = file("x.wat", GOOD);
    let script = "\"$0\" inspect \"$1\" <&- >&- 2>&-";
    let status = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_kwasmi"), &path])
        .status()
        .expect("there is a shell");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn sigpipe_ends_the_command_quietly() {
    let script = "trap '' PIPE; { sleep 0.2; \"$0\" help; echo $? >&2; } | true";
    let output =
        Command::new("sh").args(["-c", script, env!("CARGO_BIN_EXE_kwasmi")]).output().expect("there is a shell");
    // 128 + 13: SIGPIPE ended the command, although the shell ignores that signal.
    assert_eq!(stderr(&output), "141\n");
}

#[test]
fn mistakes_of_a_service_have_a_file_a_line_and_a_key() {
    let (folder, path) = file("web.toml", "program = \"/a.wasm\"\nrestart = \"soon\"\n");
    let reason = "line 2, key restart: expected \"no\", \"on-failure\" or \"always\"";
    assert_fails(&kwasmi(&["config", "check", &path]), 125, &format!("{path}: {reason}"));
    let path = write(folder.path(), "Web.toml", "program = \"/a.wasm\"\n");
    let reason = "the file's name: invalid name 'Web': expected 1 to 64 characters of a-z 0-9 . _ -";
    assert_fails(&kwasmi(&["config", "check", &path]), 125, &format!("{path}: {reason}"));
    let path = write(folder.path(), "web.toml", "program = \"/a.wasm\"\n");
    assert_eq!(kwasmi(&["config", "check", &path]).status.code(), Some(0));
    assert_fails(&kwasmi(&["config", "check", "/none/x.toml"]), 127, "/none/x.toml: No such file or directory");
}
