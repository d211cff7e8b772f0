// SPDX-License-Identifier: GPL-2.0

//! The patches of wasmi's crates (`engine/patches`): their form, and the programs that they name.
//!
//! With the feature `runtime` (the default) wasmi is patched, and each program gives its result.
//! Without the feature the engine needs no wasmi, so that `cargo test` without the option of
//! `scripts/wasmi` tests wasmi without patches: each program goes wrong as its patch says.

use std::{
    fmt,
    fs,
    path::Path, //
};
use wasmi::{
    Config,
    Engine,
    Error,
    Linker,
    Module,
    ResumableCall,
    Store,
    Val,
    errors::HostError, //
};

/// A patch file.
struct Patch {
    /// Folder and file name.
    name: String,
    /// The subject, without `[PATCH]`.
    subject: String,
    /// The message below the subject.
    body: String,
}

impl Patch {
    /// Reads a file in the format of `git format-patch`.
    fn read(path: &Path) -> Self {
        let name = path.strip_prefix(folder()).expect("is in the folder").display().to_string();
        let text = fs::read_to_string(path).expect("is text");
        let (message, _) = text.split_once("\n---\n").expect("`---` ends the message");
        let (header, body) = message.split_once("\n\n").unwrap_or((message, ""));
        let subject = header.split_once("\nSubject: [PATCH] ").map_or("", |(_, subject)| subject);
        Self { name, subject: subject.to_owned(), body: body.trim().to_owned() }
    }

    /// Returns the rest of the line of the body that begins with `word`.
    fn line(&self, word: &str) -> Option<&str> {
        self.body.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(": "))
    }

    /// Returns the program, in text form: the indented lines after `Program:`.
    fn program(&self) -> Option<String> {
        let (_, rest) = self.body.split_once("\nProgram:\n\n")?;
        Some(rest.lines().take_while(|line| line.starts_with("    ")).collect::<Vec<_>>().join("\n"))
    }
}

/// Returns the folder with a folder of patches for each crate.
fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/patches"))
}

/// Reads the patches of all crates, those of a crate in their order.
fn patches() -> Vec<Patch> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder()).expect("exists") {
        let path = entry.expect("is readable").path();
        if path.is_dir() {
            paths.extend(fs::read_dir(path).expect("exists").map(|entry| entry.expect("is readable").path()));
        }
    }
    paths.sort();
    paths.iter().map(|path| Patch::read(path)).collect()
}

/// The error of `host.later`.
#[derive(Debug)]
struct Later;

impl fmt::Display for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("later")
    }
}

impl HostError for Later {}

/// Calls the function `f` of a program; returns its result.
///
/// The program may import `host.nop`, which does nothing, and `host.later`, which returns an error;
/// then the call is resumed with 7.
fn result(program: &str) -> i32 {
    let wasm = wat::parse_str(program).expect("is Wasm");
    let engine = Engine::new(&Config::default());
    let module = Module::new(&engine, &wasm[..]).expect("is valid");
    let mut linker = <Linker<()>>::new(&engine);
    linker.func_wrap("host", "nop", || {}).expect("is new");
    linker.func_wrap("host", "later", || -> Result<i32, Error> { Err(Error::host(Later)) }).expect("is new");
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate_and_start(&mut store, &module).expect("is instantiated");
    let f = instance.get_func(&store, "f").expect("is exported");
    let mut results = [Val::I32(0)];
    let mut call = f.call_resumable(&mut store, &[], &mut results).expect("does not trap");
    while let ResumableCall::HostTrap(waiting) = call {
        call = waiting.resume(&mut store, &[Val::I32(7)], &mut results).expect("does not trap");
    }
    results[0].i32().expect("is an i32")
}

#[test]
fn patches_are_numbered_and_have_a_subject_and_a_reason() {
    let mut last = ("", 0);
    let patches = patches();
    for Patch { name, subject, body } in &patches {
        let (folder, file) = name.split_once('/').expect("is in the folder of a crate");
        let number = if folder == last.0 { last.1 + 1 } else { 1 };
        last = (folder, number);
        assert!(file.starts_with(&format!("{number:04}-")) && file.ends_with(".patch"), "{name}");
        assert!((1..72).contains(&subject.len()) && !subject.contains('\n'), "{name}: {subject:?}");
        assert!(!body.is_empty() && !body.starts_with("Program:"), "{name} has no reason");
    }
    assert!(!patches.is_empty());
}

#[test]
fn patches_with_a_program_have_its_results() {
    let mut count = 0;
    for patch in patches() {
        let parts = [patch.program().is_some(), patch.line("Result").is_some(), patch.line(WITHOUT).is_some()];
        assert!(parts == [true; 3] || parts == [false; 3], "{}: {parts:?}", patch.name);
        count += usize::from(parts[0]);
    }
    assert_ne!(count, 0);
}

/// Begins the line with the outcome without the patch: a result, `panic` or `crash`.
const WITHOUT: &str = "Without this change";

#[cfg(feature = "runtime")]
#[test]
fn programs_give_their_results_with_the_patches() {
    for patch in patches() {
        if let Some(program) = patch.program() {
            assert_eq!(Some(&*result(&program).to_string()), patch.line("Result"), "{}", patch.name);
        }
    }
}

/// Runs each program in a process, since it may crash.
#[cfg(not(feature = "runtime"))]
#[test]
fn programs_go_wrong_without_the_patches() {
    use std::{
        env,
        os::unix::process::ExitStatusExt as _,
        process::Command, //
    };

    const PROGRAM: &str = "KWASMI_PATCH_PROGRAM";
    if let Ok(program) = env::var(PROGRAM) {
        println!("\nresult: {}", result(&program));
        return;
    }
    for patch in patches() {
        let Some(program) = patch.program() else { continue };
        let output = Command::new(env::current_exe().expect("has a path"))
            .args(["--exact", "programs_go_wrong_without_the_patches", "--nocapture"])
            .env(PROGRAM, program)
            .output()
            .expect("starts");
        let text = String::from_utf8_lossy(&output.stdout);
        let outcome = match (text.lines().find_map(|line| line.strip_prefix("result: ")), output.status.signal()) {
            (Some(result), _) => result,
            (None, Some(11)) => "crash",
            // A panic that leaves a handler aborts the process (SIGABRT).
            (None, None | Some(6)) => "panic",
            (None, Some(signal)) => panic!("{}: signal {signal}", patch.name),
        };
        assert_eq!(Some(outcome), patch.line(WITHOUT), "{}", patch.name);
    }
}
