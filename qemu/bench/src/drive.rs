// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! `kwasmi-bench drive`: runs the measurements in VMs and on the host, prints and draws the
//! results, and compares them with the baseline. It runs in the build root.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        Stdio, //
    },
};

use anyhow::{
    Context as _,
    Result, //
};
use clap::Args;

use crate::{
    compare::Baseline,
    plot,
    result::{
        Measurements,
        Place,
        Run, //
    },
    table,
    variant::Variant,
};

/// Parameters of the kernel module in the VM.
const MODULE_PARAMETERS: &[&str] = &[];

/// Memory of the VM, in MiB.
const MEMORY: &str = "2048";

/// Time limit of a VM, in seconds.
const TIMEOUT: &str = "3600";

/// Programs of Debian that are fetched. Each has a folder `target/NAME` with a start script `NAME`,
/// and `measure` has an option `--NAME`.
const FETCHED: [&str; 2] = ["memcached", "wrk"];

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Cases or groups to measure. Default: all.
    names: Vec<String>,
    /// Takes fewer and shorter samples.
    #[arg(long)]
    quick: bool,
    /// Places to measure in. Default: all.
    #[arg(long, value_delimiter = ',', default_values_t = [Place::Vm, Place::Icount, Place::Host])]
    place: Vec<Place>,
    /// Compares the ratios with the baseline. Exits with 1 if one is worse.
    #[arg(long)]
    compare: bool,
    /// Stores the ratios in the baseline.
    #[arg(long)]
    store: bool,
    /// Prints and draws the results of the last run.
    #[arg(long)]
    again: bool,
    /// Name of the kernel.
    #[arg(long, env = "KWASMI_KERNEL_NAME", hide = true)]
    kernel_name: String,
    /// Date of the run.
    #[arg(long, env = "KWASMI_BENCH_DATE", default_value = "", hide = true)]
    date: String,
    /// Commit of the source.
    #[arg(long, env = "KWASMI_BENCH_COMMIT", default_value = "", hide = true)]
    commit: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Top folder of the checkout.
struct Top(PathBuf);

impl Top {
    fn program(&self, name: &str) -> PathBuf {
        self.0.join("target/x86_64-unknown-linux-gnu/release").join(name)
    }

    fn runtimes(&self) -> PathBuf {
        self.0.join("target/runtimes/x86_64-unknown-linux-gnu/release/kwasmi-runtimes")
    }

    fn programs(&self) -> PathBuf {
        self.0.join("target/programs")
    }

    fn bound(&self, kernel: &str) -> PathBuf {
        self.0.join("target/kmod").join(kernel).join("kwasmi_bound.ko")
    }

    /// Returns the programs of [`FETCHED`] that were fetched, each with its folder.
    fn fetched(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        FETCHED.into_iter().map(|name| (name, self.0.join("target").join(name))).filter(|(_, folder)| folder.exists())
    }
}

/// Runs `kwasmi-bench measure` in a VM.
fn in_vm(options: &Options, top: &Top, place: Place, out: &Path) -> Result<()> {
    let mut vm = Command::new(top.program("kwasmi-vm"));
    vm.args(["run", "--memory", MEMORY, "--timeout", TIMEOUT]).arg("--out").arg(out);
    for parameter in MODULE_PARAMETERS {
        vm.args(["--param", parameter]);
    }
    if place == Place::Icount {
        vm.arg("--icount");
    }
    for program in [env::current_exe()?, top.runtimes(), top.bound(&options.kernel_name)] {
        let name = program.file_name().context("a program has no file name")?.to_owned();
        vm.arg("--add").arg(program).arg(name);
    }
    for (name, folder) in top.fetched() {
        vm.arg("--add").arg(folder).arg(name);
    }
    vm.args([
        "--",
        "/host/kwasmi-bench",
        "measure",
        "--runtimes",
        "/host/kwasmi-runtimes",
        "--engine",
        "/bin/kwasmi-native",
    ]);
    vm.args(["--bound", "/host/kwasmi_bound.ko"]);
    vm.args(["--guests", "/guests", "--kwasmi", "/bin/kwasmi", "--output", "/out"]);
    for (name, _) in top.fetched() {
        vm.arg(format!("--{name}")).arg(format!("/host/{name}/{name}"));
    }
    measured(vm, options, place)
}

/// Has the kernel in a VM compile the modules that are measured as machine code, and stores the
/// machine code in `out`: `NAME.wasm.json` for each, empty if the kernel interprets the module.
fn dump(top: &Top, out: &Path) -> Result<()> {
    const SCRIPT: &str = r#"
        for module in /guests/bench.wasm /host/programs/*.wasm; do
            case ${module##*/} in bench.wasm | lua.wasm | sqlite3.wasm | qjs.wasm | zstd.wasm | bzip2.wasm)
                kwasmi dump --json --raw "$module" >"/out/${module##*/}.json" ;;
            esac
        done
        test -s /out/bench.wasm.json"#;
    let mut vm = Command::new(top.program("kwasmi-vm"));
    vm.args(["run", "--memory", MEMORY, "--timeout", TIMEOUT, "--param", "compiler=1", "--param", "verify=off"]);
    vm.arg("--out").arg(out).arg("--add").arg(top.programs()).args(["programs", "--", "sh", "-c", SCRIPT]);
    let status = vm.stdin(Stdio::null()).status()?;
    anyhow::ensure!(status.success(), "machine code: {status}");
    Ok(())
}

/// Runs `kwasmi-bench measure` on the host.
fn on_host(options: &Options, top: &Top, out: &Path) -> Result<()> {
    let machine_code = out.join("machine-code");
    dump(top, &machine_code)?;
    let mut own = Command::new(env::current_exe()?);
    own.arg("measure").arg("--runtimes").arg(top.runtimes());
    own.arg("--engine").arg(top.0.join("target/native").join(&options.kernel_name).join("kwasmi-native"));
    own.arg("--guests").arg(top.0.join("target/guests")).arg("--output").arg(out);
    own.arg("--programs").arg(top.programs()).arg("--machine-code").arg(machine_code);
    for (name, folder) in top.fetched() {
        own.arg(format!("--{name}")).arg(folder.join(name));
    }
    measured(own, options, Place::Host)
}

fn measured(mut command: Command, options: &Options, place: Place) -> Result<()> {
    command.args(["--place", place.name()]).args(options.quick.then_some("--quick")).args(&options.names);
    let status = command.status()?;
    anyhow::ensure!(status.success(), "{}: {status}", place.name());
    Ok(())
}

/// Writes DIR/all.json, and DIR/GROUP.json for each group.
fn write(run: &Run, dir: &Path) -> Result<()> {
    let mut groups: BTreeMap<String, Run> = BTreeMap::new();
    for measurements in &run.places {
        for case in &measurements.cases {
            let of_group =
                groups.entry(case.group.clone()).or_insert_with(|| Run { places: Vec::new(), ..run.clone() });
            match of_group.places.iter_mut().find(|other| other.place == measurements.place) {
                Some(same) => same.cases.push(case.clone()),
                None => of_group.places.push(Measurements { cases: vec![case.clone()], ..measurements.clone() }),
            }
        }
    }
    for (group, run) in groups {
        fs::write(dir.join(format!("{group}.json")), serde_json::to_string_pretty(&run)?)?;
    }
    Ok(fs::write(dir.join("all.json"), serde_json::to_string_pretty(run)?)?)
}

/// Returns the tables of `measurements`, as Markdown: what was measured, and what system calls are
/// worth.
fn tables(measurements: &Measurements) -> String {
    let system_calls = table::system_calls(measurements).map_or(String::new(), |table| format!("\n{table}"));
    let means = table::means(measurements).map_or(String::new(), |table| format!("\n{table}"));
    format!("{}{means}{system_calls}", table::table(measurements))
}

fn print(run: &Run) {
    for measurements in &run.places {
        println!("{}", tables(measurements));
        for variant in [Variant::Kernel, Variant::KernelInterpreted, Variant::Engine] {
            if let Some(fuel) = table::break_even(measurements, variant) {
                println!("Break-even of {}: {fuel:.0} fuel per empty host call.\n", variant.name());
            }
        }
    }
    println!("Each cell: speed relative to the native process (median time, median absolute deviation).");
}

/// Runs the measurements, or reads those of the last run, and prints, draws, compares and stores
/// the results. Returns false if the comparison found a regression.
///
/// # Errors
/// Fails if a measurement fails, if a file cannot be read or written, or if the baseline has no
/// ratio to compare with.
pub(crate) fn drive(options: &Options) -> Result<bool> {
    let top = Top(env::current_dir()?);
    let dir = top.0.join("target/bench");
    fs::create_dir_all(&dir)?;
    let run = if options.again {
        serde_json::from_str(&fs::read_to_string(dir.join("all.json"))?)?
    } else {
        let mut places = Vec::new();
        for place in options.place.iter().copied() {
            let out = dir.join("places");
            match place {
                Place::Vm | Place::Icount => in_vm(options, &top, place, &out)?,
                Place::Host => on_host(options, &top, &out)?,
            }
            let text = fs::read_to_string(out.join(format!("{}.json", place.name())))?;
            places.push(serde_json::from_str(&text)?);
        }
        Run { date: options.date.clone(), commit: options.commit.clone(), is_quick: options.quick, places }
    };
    write(&run, &dir)?;
    for measurements in &run.places {
        plot::plot(measurements, &dir)?;
    }
    print(&run);
    println!("\nFiles in target/bench: all.json; for each group GROUP.json, GROUP-PLACE.svg and GROUP-PLACE.png.");

    let path = top.0.join("qemu/bench/baseline.json");
    let mut baseline = Baseline::read(&path)?;
    let (slower, compared) = if options.compare { baseline.regressions(&run) } else { (Vec::new(), 0) };
    if options.compare {
        slower.iter().for_each(|words| println!("SLOWER {words}"));
        println!("{compared} ratios compared, {} regressions", slower.len());
        anyhow::ensure!(compared > 0, "the baseline has no ratio to compare with");
    }
    if options.store {
        baseline.store(&run, &path)?;
        // A table of some of the cases would replace one of all.
        if options.names.is_empty() {
            for measurements in &run.places {
                let path = top.0.join("qemu/bench/results").join(format!("{}.md", measurements.place.name()));
                fs::write(path, tables(measurements))?;
            }
        }
    }
    Ok(slower.is_empty())
}
