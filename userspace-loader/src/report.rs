// SPDX-License-Identifier: GPL-2.0

//! Output of the commands, as text.

use crate::{
    device::Info,
    failure::line,
    inspect::{
        Inspection,
        Signed, //
    },
    limits::LimitInfo,
    policy::Policy,
    run_result::RunResult,
    service::{
        Name,
        Service,
        State,
        process::Usage, //
    },
    signing::{
        hash::Sha256,
        manifest::Manifest,
        version::Version, //
    },
    stats::GuestEnd,
    table::Table,
    uapi::{
        KWASMI_FEATURE_COMPILER,
        KWASMI_FEATURE_FAULT_INJECTION,
        KWASMI_FEATURE_WASI_PREVIEW1, //
    }, //
};
use serde::Serialize;
use std::{
    collections::BTreeSet,
    fmt,
    time::Duration, //
};

/// Names of the bits of [`Info::features`].
const FEATURES: [(u64, &str); 3] = [
    (KWASMI_FEATURE_WASI_PREVIEW1 as u64, "wasi-preview1"),
    (KWASMI_FEATURE_FAULT_INJECTION as u64, "fault-injection"),
    (KWASMI_FEATURE_COMPILER as u64, "compiler"),
];

/// Returns the names of the bits in `features`; bits without a name are left out.
#[must_use]
pub fn features(features: u64) -> Vec<&'static str> {
    FEATURES.iter().filter(|(bit, _)| features & bit != 0).map(|(_, name)| *name).collect()
}

/// Output of `inspect`: file name and contents of a module. Names from the module are escaped.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a>(pub &'a str, pub &'a Inspection);

impl fmt::Display for Contents<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, module) = self;
        writeln!(f, "{name}: {} bytes", module.bytes)?;
        writeln!(f, "SHA-256: {}", module.sha256)?;
        match &module.signature {
            Some(Signed::By { signer, algorithm }) => writeln!(f, "signature: {algorithm}, by {signer}")?,
            Some(Signed::Malformed(reason)) => writeln!(f, "signature: not accepted: {reason}")?,
            None => writeln!(f, "signature: none")?,
        }
        match &module.manifest {
            Some(manifest) => Declared(manifest).fmt(f)?,
            None => writeln!(f, "manifest: none")?,
        }
        writeln!(f, "imports: {}", module.imports.len())?;
        for import in &module.imports {
            let provided = if import.provided { "" } else { "  NOT PROVIDED" };
            let (module, name) = (import.module.escape_debug(), import.name.escape_debug());
            writeln!(f, "  {module}.{name}: {}{provided}", import.ty)?;
        }
        writeln!(f, "exports: {}", module.exports.len())?;
        for export in &module.exports {
            writeln!(f, "  {}: {}", export.name.escape_debug(), export.ty)?;
        }
        writeln!(f, "memories: {}", module.memories.len())?;
        for memory in &module.memories {
            writeln!(f, "  {memory}")?;
        }
        writeln!(f, "tables: {}", module.tables.len())?;
        for table in &module.tables {
            writeln!(f, "  {table}")?;
        }
        writeln!(f, "functions: {}, {} bytes of code", module.functions, module.code_bytes)?;
        writeln!(f, "types: {}", module.types)?;
        writeln!(f, "globals: {}", module.globals)?;
        writeln!(f, "element segments: {}", module.element_segments)?;
        writeln!(f, "data segments: {}", module.data_segments)?;
        match module.start {
            Some(index) => writeln!(f, "start function: {index}")?,
            None => writeln!(f, "start function: none")?,
        }
        writeln!(f, "custom sections: {}", module.custom_sections.len())?;
        for section in &module.custom_sections {
            writeln!(f, "  {}: {} bytes", section.name.escape_debug(), section.bytes)?;
        }
        match &module.interpreted_because {
            _ if !module.refused.is_empty() => {}
            Some(reason) => writeln!(f, "engine: interpreter: {reason}")?,
            None => writeln!(f, "engine: machine code")?,
        }
        if module.refused.is_empty() {
            writeln!(f, "would be refused: no")
        } else {
            writeln!(f, "would be refused:")?;
            module.refused.iter().try_for_each(|reason| writeln!(f, "  {reason}"))
        }
    }
}

/// Contents of a manifest, with the number of imports only: the module's imports are printed
/// separately.
#[derive(Clone, Copy, Debug)]
struct Declared<'a>(&'a Manifest);

impl fmt::Display for Declared<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(manifest) = self;
        writeln!(f, "manifest: {} {}, interface {}", manifest.name, manifest.version, manifest.abi)?;
        let capabilities: Vec<_> = manifest.capabilities.iter().map(|capability| capability.name()).collect();
        writeln!(
            f,
            "  capabilities: {}",
            if capabilities.is_empty() { "none".to_owned() } else { capabilities.join(", ") }
        )?;
        for (limit, value) in &manifest.limits {
            writeln!(f, "  limit: {limit} {}", limit.show(value.get()))?;
        }
        writeln!(f, "  imports: {}", manifest.imports.values().map(BTreeSet::len).sum::<usize>())
    }
}

/// Output of `status`.
#[derive(Clone, Copy, Debug)]
pub struct Status<'a>(pub &'a Info);

impl fmt::Display for Status<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(info) = self;
        writeln!(f, "modules: {}", info.modules)?;
        writeln!(f, "instances: {}", info.instances)?;
        writeln!(f, "heap: {} bytes in {} blocks", info.heap_bytes, info.heap_blocks)?;
        let is_on = info.features & u64::from(KWASMI_FEATURE_COMPILER) != 0;
        let compiler = if is_on { "on" } else { "off by the parameter of the kernel module" };
        let (compiled, bytes) = (info.compiled, info.machine_code_bytes);
        writeln!(f, "compiler: {compiler}, {compiled} programs compiled to {bytes} bytes of machine code")?;
        writeln!(f, "modules with unsafe compiled code: {}", info.unsafe_modules)?;
        writeln!(f, "reclaimed: {} bytes", info.reclaimed_bytes)?;
        let (used, peak) = (info.reserve_used_bytes, info.reserve_peak_bytes);
        writeln!(f, "reserve: {} bytes, {used} in use, peak {peak} bytes", info.reserve_bytes)?;
        let (stack, peak) = (info.engine_stack_bytes, info.engine_stack_peak_bytes);
        writeln!(f, "engine stack: {stack} bytes, peak {peak} bytes")
    }
}

/// Output of `policy`.
#[derive(Clone, Copy, Debug)]
pub struct Accepts<'a>(pub &'a Policy);

impl fmt::Display for Accepts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(policy) = self;
        let yes = |is| if is { "yes" } else { "no" };
        writeln!(f, "verify: {}", policy.verify.word())?;
        writeln!(f, "locked down: {}", yes(policy.locked_down))?;
        writeln!(f, "kernel keys: {}", yes(policy.kernel_keys))?;
        writeln!(f, "keyring: {:#010x}", policy.keyring)?;
        writeln!(f, "denied: {}", policy.denied)?;
        writeln!(f, "minimum versions: {}", policy.min_versions)
    }
}

/// Output of `limits`: one line for each limit.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a>(pub &'a [LimitInfo]);

impl fmt::Display for Limits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<18}{:>13}{:>13}  meaning", "limit", "default", "ceiling")?;
        for LimitInfo { limit, default, ceiling } in self.0 {
            let (default, ceiling) = (limit.show(*default), limit.show(*ceiling));
            writeln!(f, "{:<18}{default:>13}{ceiling:>13}  {}", limit.name(), limit.about())?;
        }
        Ok(())
    }
}

/// A service in the output of `ps`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceRow {
    name: String,
    state: State,
    pid: Option<i32>,
    uid: u32,
    instances: u32,
    memory_bytes: Option<u64>,
    cpu_time_ns: Option<u64>,
    age_ns: u64,
    sha256: Sha256,
    module: Option<String>,
    version: Option<Version>,
}

impl ServiceRow {
    /// Returns the row of `service`, with the usage of its process now.
    #[must_use]
    pub fn new(service: &Service) -> Self {
        let usage = service.pid.and_then(Usage::of);
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let now = Duration::try_from(now).map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
        Self {
            name: service.name.clone(),
            state: service.state,
            pid: service.pid,
            uid: service.uid,
            instances: service.instances,
            memory_bytes: usage.map(|usage| usage.memory),
            cpu_time_ns: usage.map(|usage| u64::try_from(usage.cpu.as_nanos()).unwrap_or(u64::MAX)),
            age_ns: now.saturating_sub(service.since),
            sha256: service.sha256,
            module: service.module.as_ref().map(|(name, _)| name.clone()),
            version: service.module.as_ref().map(|(_, version)| *version),
        }
    }
}

/// Output of `wait -j`: how the guest of a service ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceEnd<'a> {
    name: &'a Name,
    #[serde(flatten)]
    end: GuestEnd,
}

impl<'a> ServiceEnd<'a> {
    /// Returns the end of the service `name` with the result `result`.
    #[must_use]
    pub fn new(name: &'a Name, result: &RunResult) -> Self {
        Self { name, end: GuestEnd::new(result, result.ending.exit().status()) }
    }
}

/// Returns the largest unit of a duration, such as `5m`.
fn age(nanoseconds: u64) -> String {
    let duration = Duration::from_secs(nanoseconds / 1_000_000_000);
    let text = humantime::format_duration(duration).to_string();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Output of `ps`: a table.
#[derive(Clone, Copy, Debug)]
pub struct Services<'a>(pub &'a [ServiceRow]);

impl fmt::Display for Services<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let heading = ["NAME", "STATE", "INSTANCES", "PID", "UID", "MEMORY", "CPU", "AGE", "MODULE"].map(str::to_owned);
        let rows = self.0.iter().map(|row| {
            let module = row.module.as_ref().zip(row.version).map(|(name, version)| format!("{name} {version}"));
            [
                line(&row.name),
                row.state.to_string(),
                row.instances.to_string(),
                or_none(row.pid.map(|pid| pid.to_string())),
                row.uid.to_string(),
                or_none(row.memory_bytes.map(|bytes| format!("{}K", bytes / 1024))),
                or_none(
                    row.cpu_time_ns.map(|time| format!("{}.{:02}s", time / 1_000_000_000, time / 10_000_000 % 100)),
                ),
                age(row.age_ns),
                module.map_or_else(|| row.sha256.to_string().chars().take(12).collect(), |module| line(&module)),
            ]
        });
        Table(std::iter::once(heading).chain(rows).map(Vec::from).collect()).fmt(f)
    }
}

/// Returns the kernel module's line in the output of `version`.
#[must_use]
pub fn version(info: &Info) -> String {
    let names = features(info.features);
    let features = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    format!("kernel module {}, interface {}, features: {features}", info.version.escape_debug(), info.abi)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::{
        CustomSection,
        Imported, //
    };

    #[test]
    fn names_are_escaped() {
        let module = Inspection {
            imports: vec![Imported {
                module: "a\u{1b}".to_owned(),
                name: "b\nc".to_owned(),
                ty: "func()".to_owned(),
                provided: false,
            }],
            custom_sections: vec![CustomSection { name: "\r".to_owned(), bytes: 2048 }],
            refused: vec!["because".to_owned()],
            ..Inspection::default()
        };
        let text = Contents("x.wasm", &module).to_string();
        assert!(text.contains("\n  a\\u{1b}.b\\nc: func()  NOT PROVIDED\n"), "{text}");
        assert!(text.contains("\n  \\r: 2048 bytes\n"), "{text}");
        assert!(text.contains("\nsignature: none\nmanifest: none\n"), "{text}");
        assert!(text.ends_with("would be refused:\n  because\n"), "{text}");
    }

    #[test]
    fn signatures_and_manifests_are_printed() {
        let by = Signed::By { signer: "a, serial number 01".to_owned(), algorithm: "RSA with SHA-256".to_owned() };
        let module = Inspection { signature: Some(by), manifest: Some(Manifest::example()), ..Inspection::default() };
        let text = Contents("x.wasm", &module).to_string();
        let expected = "\nsignature: RSA with SHA-256, by a, serial number 01\nmanifest: hello 1.2.3, interface 5\n  \
            capabilities: clocks, random\n  limit: fuel 1000000\n  limit: memory 64M\n  imports: 4\n";
        assert!(text.contains(expected), "{text}");
        let module = Inspection { signature: Some(Signed::Malformed("because".to_owned())), ..Inspection::default() };
        assert!(Contents("x.wasm", &module).to_string().contains("\nsignature: not accepted: because\n"));
    }

    #[test]
    fn versions_and_counters() {
        let info = Info {
            abi: 1,
            version: "0.1.0".to_owned(),
            features: 3,
            modules: 7,
            engine_stack_bytes: 65_536,
            ..Info::default()
        };
        assert_eq!(version(&info), "kernel module 0.1.0, interface 1, features: wasi-preview1, fault-injection");
        assert_eq!(version(&Info::default()), "kernel module , interface 0, features: none");
        let text = Status(&info).to_string();
        assert!(text.starts_with("modules: 7\n"), "{text}");
        let line =
            "\ncompiler: off by the parameter of the kernel module, 0 programs compiled to 0 bytes of machine code\n";
        assert!(text.contains(line), "{text}");
        let info = Info { features: KWASMI_FEATURE_COMPILER.into(), compiled: 2, machine_code_bytes: 5, ..info };
        let on = Status(&info).to_string();
        assert!(on.contains("\ncompiler: on, 2 programs compiled to 5 bytes of machine code\n"), "{on}");
        assert!(text.ends_with("engine stack: 65536 bytes, peak 0 bytes\n"), "{text}");
    }

    #[test]
    fn policies() {
        use crate::policy::Mode;
        let policy = Policy {
            verify: Mode(crate::uapi::KWASMI_VERIFY_ENFORCE),
            locked_down: false,
            kernel_keys: true,
            keyring: 0x1234_5678,
            denied: 2,
            min_versions: 1,
        };
        assert_eq!(
            Accepts(&policy).to_string(),
            "verify: enforce\nlocked down: no\nkernel keys: yes\nkeyring: 0x12345678\ndenied: 2\nminimum versions: 1\n"
        );
        assert_eq!(
            serde_json::to_string(&policy).expect("JSON"),
            r#"{"verify":"enforce","locked_down":false,"kernel_keys":true,"keyring":305419896,"denied":2,"min_versions":1}"#
        );
    }

    #[test]
    fn the_end_of_a_service_is_json() {
        let run = crate::uapi::kwasmi_run {
            status: crate::uapi::KWASMI_TRAPPED,
            code: crate::uapi::KWASMI_TRAP_UNREACHABLE,
            fuel_used: 1,
            memory_peak: 2,
            heap_peak: 3,
            stack_peak: 4,
            ..crate::uapi::kwasmi_run::default()
        };
        let name = "web".parse().expect("valid");
        let end = ServiceEnd::new(&name, &RunResult::from_raw(&run, String::new())).clone();
        assert_eq!(
            serde_json::to_string(&end).expect("JSON"),
            "{\"name\":\"web\",\"ended\":\"trapped\",\"exit_status\":134,\"reason\":\"trap: unreachable\",\
             \"fuel_used\":1,\"memory_peak_bytes\":2,\"heap_peak_bytes\":3,\"engine_stack_peak_bytes\":4}"
        );
    }

    #[test]
    fn services_are_a_table() {
        let mut service = Service {
            name: "web".to_owned(),
            state: State::Running,
            pid: None,
            uid: 0,
            instances: 3,
            since: u64::MAX,
            sha256: Sha256([0xab; 32]),
            module: None,
        };
        let first = ServiceRow::new(&service);
        service.name = "worker-1".to_owned();
        service.state = State::Ended(crate::run_result::Ending::Exited(3));
        service.module = Some(("worker".to_owned(), Version([1, 2, 3])));
        let second = ServiceRow {
            memory_bytes: Some(2 << 20),
            cpu_time_ns: Some(1_234_567_890),
            age_ns: 61_000_000_000,
            pid: Some(7),
            ..ServiceRow::new(&service)
        };
        assert_eq!(
            Services(&[first, second.clone()]).to_string(),
            "NAME      STATE     INSTANCES  PID  UID  MEMORY  CPU    AGE  MODULE\n\
             web       running   3          -    0    -       -      0s   abababababab\n\
             worker-1  exited 3  3          7    0    2048K   1.23s  1m   worker 1.2.3\n"
        );
        let json = serde_json::to_string(&second).expect("JSON");
        assert!(
            json.starts_with(
                r#"{"name":"worker-1","state":"exited 3","pid":7,"uid":0,"instances":3,"memory_bytes":2097152,"#
            ),
            "{json}"
        );
        assert!(json.ends_with(r#""module":"worker","version":"1.2.3"}"#), "{json}");
    }

    #[test]
    fn limits_are_a_table() {
        let limit = crate::limits::Limit(crate::uapi::KWASMI_LIMIT_FUEL);
        let text = Limits(&[LimitInfo { limit, default: u64::MAX, ceiling: 5 }]).to_string();
        assert!(
            text.ends_with("fuel                  unlimited            5  about one unit per instruction\n"),
            "{text}"
        );
    }
}
