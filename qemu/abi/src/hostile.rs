// SPDX-License-Identifier: GPL-2.0

//! Tests of hostile guests (`guests/hostile`): each ends as its line in the list says, alone and
//! with all others at the same time, and leaves nothing behind.
//!
//! They have a separate suite, which puts the guests into /host/hostile.

use crate::{
    kernel,
    ktap::Tests,
    scale, //
};
use kwasmi::uapi;
use std::{
    collections::BTreeMap,
    fs::{
        self,
        File, //
    },
    io::{
        PipeReader,
        PipeWriter,
        pipe, //
    },
    os::unix::{
        fs::symlink,
        process::ExitStatusExt, //
    },
    path::Path,
    process::{
        Child,
        Command,
        ExitStatus,
        Stdio, //
    },
    sync::OnceLock,
    thread,
    time::{
        Duration,
        Instant, //
    },
};

const GUESTS: &str = "/host/hostile";

/// Working directory of the guests, with their preopen `evil` and the files that take their
/// standard error.
const PLACE: &str = "/tmp/hostile";

/// Time after which a guest that hangs is killed, so that the other tests run.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Guests that are also run without limits and killed.
const KILLED: [&str; 15] = [
    "loop-plain",
    "loop-dispatch",
    "loop-random",
    "start-loop",
    "tail-calls",
    "memory-fill",
    "memory-copy",
    "table-fill",
    "table-copy",
    "sleep-forever",
    "sleep-4096",
    "poll-loop",
    "read-forever",
    "write-flood",
    "fills-in-a-row",
];

/// Line of the list of guests.
#[derive(Clone, Debug)]
struct Guest {
    name: String,
    options: Vec<String>,
    status: i32,
    /// Text that the only line on standard error contains; `None` if nothing may be printed.
    words: Option<String>,
}

/// Exit status of a guest, and the time that it took.
struct End {
    status: ExitStatus,
    time: Duration,
}

/// End of each guest when all ran at the same time.
static AT_ONCE: OnceLock<BTreeMap<String, End>> = OnceLock::new();

impl Guest {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        let mut next = || fields.next();
        let (name, options, status, words) = (next()?, next()?, next()?, next()?);
        Some(Self {
            name: name.to_owned(),
            options: options.split_whitespace().filter(|option| *option != "-").map(str::to_owned).collect(),
            status: status.parse().ok()?,
            words: (words != "-").then(|| words.to_owned()),
        })
    }

    /// Returns true if the guest runs compiled or not at all.
    fn needs_compiler(&self) -> bool {
        self.options.windows(2).any(|words| words == ["--engine", "compiler"])
    }

    /// Panics unless the guest ended as the list says.
    fn judge(&self, end: &End) {
        let path = errors(&self.name);
        let said = fs::read(&path).expect("there");
        fs::remove_file(&path).expect("there");
        let shown = said[said.len().saturating_sub(1000)..].escape_ascii();
        assert_eq!(end.status.code(), Some(self.status), "after {:?}, {}: {shown}", end.time, end.status);
        let Some(words) = &self.words else {
            assert!(said.is_empty(), "{shown}");
            return;
        };
        let text = String::from_utf8(said.clone()).unwrap_or_else(|_| panic!("not UTF-8: {shown}"));
        let line = text.strip_suffix('\n').unwrap_or_else(|| panic!("no line: {shown}"));
        // The line has no control characters, whatever names the module uses.
        assert!(!line.contains(char::is_control), "more than a line of characters: {shown}");
        assert!(line.contains(words), "expected: {words}; got: {shown}");
    }
}

fn errors(name: &str) -> String {
    format!("{PLACE}/{name}.err")
}

/// Pipe that nothing is written to, for guests that read forever.
struct Silence {
    input: PipeReader,
    _output: PipeWriter,
}

impl Silence {
    fn new() -> Self {
        let (input, output) = pipe().expect("a pipe");
        Self { input, _output: output }
    }

    fn input(&self, name: &str) -> Stdio {
        if name == "read-forever" {
            self.input.try_clone().expect("a descriptor").into()
        } else {
            File::open("/dev/zero").expect("there").into()
        }
    }
}

/// Starts a guest with these options.
fn start(name: &str, options: &[String], silence: &Silence) -> Child {
    let mut command = Command::new("kwasmi");
    command.arg("run").args(options).arg(format!("{GUESTS}/{name}.wasm")).args(["one", "two"]).current_dir(PLACE);
    let errors = File::create(errors(name)).expect("can be made");
    command.stdin(silence.input(name)).stdout(Stdio::null()).stderr(errors);
    command.spawn().expect("the command is there")
}

/// Waits until all guests have ended.
fn wait(mut running: BTreeMap<String, Child>, pause: Duration) -> BTreeMap<String, End> {
    let begin = Instant::now();
    let timeout = scale::timeout(TIMEOUT);
    let mut ended = BTreeMap::new();
    while !running.is_empty() {
        thread::sleep(pause);
        running.retain(|name, child| {
            if begin.elapsed() > timeout {
                child.kill().expect("it is there");
            }
            let status = child.try_wait().expect("our child");
            if let Some(status) = status {
                ended.insert(name.clone(), End { status, time: begin.elapsed() });
            }
            status.is_none()
        });
    }
    ended
}

fn alone(guest: &Guest) {
    let child = start(&guest.name, &guest.options, &Silence::new());
    let ended = wait(BTreeMap::from([(guest.name.clone(), child)]), Duration::from_millis(3));
    guest.judge(&ended[&guest.name]);
}

fn killed(name: &str) {
    let mut child = start(name, &[], &Silence::new());
    thread::sleep(Duration::from_millis(500));
    child.kill().expect("it runs");
    assert_eq!(child.wait().expect("our child").signal(), Some(libc::SIGKILL));
    fs::remove_file(errors(name)).expect("there");
}

fn at_once(guests: &[Guest]) {
    let silence = Silence::new();
    let running = guests.iter().map(|guest| (guest.name.clone(), start(&guest.name, &guest.options, &silence)));
    let ended = wait(running.collect(), Duration::from_millis(100));
    let mut times: Vec<_> = ended.iter().map(|(name, end)| (end.time, name)).collect();
    times.sort_unstable();
    for (time, name) in times.iter().rev().take(10) {
        println!("# {name}: {:.1} s", time.as_secs_f64());
    }
    assert!(AT_ONCE.set(ended).is_ok());
}

fn innocent() {
    let output = Command::new("kwasmi").args(["run", "/guests/hello-c.wasm"]).output().expect("the command is there");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), b"Hello from C!\n".as_slice()));
}

/// Makes the guests' directory, with files and links in it.
fn make_place() {
    let place = Path::new(PLACE);
    fs::create_dir_all(place.join("evil/a/b")).expect("can be made");
    fs::create_dir_all(place.join("evil/b")).expect("can be made");
    fs::write(place.join("evil/a/file"), "text\n").expect("can be written");
    for (to, link) in [("../..", "evil/a/out"), ("/etc", "evil/absolute"), ("loop", "evil/loop")] {
        symlink(to, place.join(link)).expect("can be made");
    }
}

pub(crate) fn tests(tests: &mut Tests) {
    let list = fs::read_to_string(format!("{GUESTS}/expected")).expect("the list is there");
    let mut guests: Vec<_> = list.lines().map(|line| Guest::parse(line).expect("a line of the list")).collect();
    assert!(guests.len() > 400);
    make_place();
    if kernel::info().features & u64::from(uapi::KWASMI_FEATURE_COMPILER) == 0 {
        for guest in guests.extract_if(.., |guest| guest.needs_compiler()) {
            tests.skip(guest.name, "the module's parameter compiler is off");
        }
    }
    // All guests run at the same time below, so an instrumented kernel runs few of them alone.
    let percent = usize::try_from(scale::iterations(100)).expect("a percentage").min(100);
    for guest in guests.iter().step_by(100 / percent).cloned() {
        tests.add(guest.name.clone(), move || alone(&guest));
    }
    tests.add("an ordinary guest still runs", innocent);
    for name in KILLED {
        tests.add(format!("SIGKILL: {name}"), || killed(name));
    }
    let all = guests.clone();
    tests.add("all guests run at the same time", move || at_once(&all));
    for guest in guests {
        tests.add(format!("{}, run with all others", guest.name), move || {
            guest.judge(AT_ONCE.get().and_then(|ended| ended.get(&guest.name)).expect("it ran"));
        });
    }
    tests.add("an ordinary guest runs after all others", innocent);
}
