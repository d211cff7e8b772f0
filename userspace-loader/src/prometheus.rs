// SPDX-License-Identifier: GPL-2.0

//! The text format of Prometheus, version 0.0.4:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use crate::{
    counters::{
        COUNTERS,
        Kind,
        Row,
        Unit, //
    },
    device::Info,
    uapi,
    watch::Watched, //
};
use std::fmt::{
    self,
    Write as _, //
};

/// Metrics of the kernel module and of the services.
#[derive(Clone, Copy, Debug)]
pub struct Metrics<'a> {
    /// Resources of the kernel module.
    pub info: &'a Info,
    /// Services.
    pub services: &'a [Watched],
}

/// Value of a label, with the characters escaped that the format reserves.
struct Label<'a>(&'a str);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| match char {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            char => f.write_char(char),
        })
    }
}

/// Writes the description and the type of the metric `name`. `text` has no characters to escape.
fn describe(f: &mut fmt::Formatter<'_>, name: &str, kind: Kind, text: &str) -> fmt::Result {
    let kind = match kind {
        Kind::Total => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    writeln!(f, "# HELP {name} {text}\n# TYPE {name} {kind}")
}

/// Returns the name of the metric for a counter of a service: base units, and `_total` if it never
/// decreases.
fn metric(row: &Row) -> String {
    let name = row.name.strip_suffix("_ns").map_or_else(|| row.name.to_owned(), |name| format!("{name}_seconds"));
    let suffix = if row.kind == Kind::Total { "_total" } else { "" };
    format!("kwasmi_service_{name}{suffix}")
}

/// Returns a value in base units.
fn value(unit: Unit, value: u64) -> String {
    match unit {
        Unit::Nanoseconds => format!("{}.{:09}", value / 1_000_000_000, value % 1_000_000_000),
        Unit::Bytes | Unit::Count => value.to_string(),
    }
}

/// Writes the histogram of the durations of calls: for each bound the number of calls that took at
/// most as long, the sum of the durations, and the number of calls.
fn histogram(f: &mut fmt::Formatter<'_>, row: &Row, name: &str, services: &[Watched]) -> fmt::Result {
    let mut has_description = false;
    for service in services {
        let mut count = 0;
        let of = format!("{{service=\"{}\"", Label(&service.name));
        for counter in service.counters.of(row.number) {
            if !has_description {
                describe(f, name, row.kind, row.about)?;
                has_description = true;
            }
            count += counter.value;
            if let Ok(bound) = counter.label.parse() {
                writeln!(f, "{name}_bucket{of},le=\"{}\"}} {count}", value(row.unit, bound))?;
            }
        }
        if count > 0 {
            let sum = value(Unit::Nanoseconds, service.counters.get(uapi::KWASMI_COUNTER_CALL_TIME));
            writeln!(f, "{name}_bucket{of},le=\"+Inf\"}} {count}\n{name}_sum{of}}} {sum}\n{name}_count{of}}} {count}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Metrics<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { info, services } = self;
        let device: [(&str, Kind, u64, &str); 13] = [
            ("modules", Kind::Gauge, info.modules, "Modules in memory."),
            ("instances", Kind::Gauge, info.instances, "Instances in memory."),
            (
                "heap_bytes",
                Kind::Gauge,
                info.heap_bytes,
                "Memory that the engine has allocated, linear memories included.",
            ),
            ("heap_blocks", Kind::Gauge, info.heap_blocks, "Number of blocks that make up kwasmi_heap_bytes."),
            (
                "reclaimed_bytes_total",
                Kind::Total,
                info.reclaimed_bytes,
                "Memory freed after the engine failed or leaked it.",
            ),
            ("compiled_programs", Kind::Gauge, info.compiled, "Compiled programs in memory."),
            ("machine_code_bytes", Kind::Gauge, info.machine_code_bytes, "Machine code in memory."),
            ("unsafe_modules_total", Kind::Total, info.unsafe_modules.into(), "Modules that failed the safety check."),
            ("reserve_bytes", Kind::Gauge, info.reserve_bytes, "Size of the reserve."),
            ("reserve_used_bytes", Kind::Gauge, info.reserve_used_bytes, "Used part of the reserve."),
            ("reserve_peak_bytes", Kind::Gauge, info.reserve_peak_bytes, "Largest used part of the reserve."),
            ("engine_stack_bytes", Kind::Gauge, info.engine_stack_bytes, "Size of an engine stack."),
            ("engine_stack_peak_bytes", Kind::Gauge, info.engine_stack_peak_bytes, "Deepest use of an engine stack."),
        ];
        for (name, kind, value, text) in device {
            let name = format!("kwasmi_{name}");
            describe(f, &name, kind, text)?;
            writeln!(f, "{name} {value}")?;
        }
        if services.is_empty() {
            return Ok(());
        }
        describe(f, "kwasmi_service_info", Kind::Gauge, "Services, with the value 1.")?;
        for service in *services {
            let (module, version) = service
                .module
                .as_ref()
                .map_or(("", String::new()), |(name, version)| (name.as_str(), version.to_string()));
            writeln!(
                f,
                "kwasmi_service_info{{service=\"{}\",state=\"{}\",sha256=\"{}\",module=\"{}\",version=\"{version}\"}} 1",
                Label(&service.name),
                Label(&service.state.to_string()),
                service.sha256,
                Label(module),
            )?;
        }
        // The sum is part of the histogram.
        for row in COUNTERS.iter().filter(|row| row.number != uapi::KWASMI_COUNTER_CALL_TIME) {
            let name = metric(row);
            if row.kind == Kind::Histogram {
                histogram(f, row, &name, services)?;
                continue;
            }
            let mut has_description = false;
            for service in *services {
                for counter in service.counters.of(row.number) {
                    if !has_description {
                        describe(f, &name, row.kind, row.about)?;
                        has_description = true;
                    }
                    write!(f, "{name}{{service=\"{}\"", Label(&service.name))?;
                    if !row.label.is_empty() {
                        write!(f, ",{}=\"{}\"", row.label, Label(&counter.label))?;
                    }
                    writeln!(f, "}} {}", value(row.unit, counter.value))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        counters::{
            Counters,
            Value, //
        },
        watch::tests::example, //
    };

    #[test]
    fn services_are_metrics() {
        let text = Metrics { info: &Info { modules: 2, ..Info::default() }, services: &[example()] }.to_string();
        let begin = "# HELP kwasmi_modules Modules in memory.\n# TYPE kwasmi_modules gauge\nkwasmi_modules 2\n";
        assert!(text.starts_with(begin), "{text}");
        let end = "\
# HELP kwasmi_service_info Services, with the value 1.
# TYPE kwasmi_service_info gauge
kwasmi_service_info{service=\"web\",state=\"running\",sha256=\"abababababababababababababababababababababababababababababababab\",module=\"m\\\"\\\\\",version=\"1.2.3\"} 1
# HELP kwasmi_service_runs_total entries into the guest by KWASMI_IOC_RUN and KWASMI_IOC_CALL
# TYPE kwasmi_service_runs_total counter
kwasmi_service_runs_total{service=\"web\"} 1
# HELP kwasmi_service_function_calls_total calls of one imported function
# TYPE kwasmi_service_function_calls_total counter
kwasmi_service_function_calls_total{service=\"web\",function=\"wasi_snapshot_preview1.fd_write\"} 7
kwasmi_service_function_calls_total{service=\"web\",function=\"wasi_snapshot_preview1.fd_read\"} 2
# HELP kwasmi_service_cpu_time_seconds_total CPU time of the guest
# TYPE kwasmi_service_cpu_time_seconds_total counter
kwasmi_service_cpu_time_seconds_total{service=\"web\"} 1.500000001
";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn durations_are_a_histogram() {
        let calls =
            |label: &str, value| Value { counter: uapi::KWASMI_COUNTER_CALL_DURATION, label: label.to_owned(), value };
        let sum = Value { counter: uapi::KWASMI_COUNTER_CALL_TIME, label: String::new(), value: 40_000_000_000 };
        let counters = Counters(vec![calls("4096", 5), calls("1048576", 2), calls("+Inf", 1), sum]);
        let services = [Watched { counters, ..example() }];
        let text = Metrics { info: &Info::default(), services: &services }.to_string();
        let end = "\
# HELP kwasmi_service_call_duration_seconds durations of calls whose functions have returned, waiting included
# TYPE kwasmi_service_call_duration_seconds histogram
kwasmi_service_call_duration_seconds_bucket{service=\"web\",le=\"0.000004096\"} 5
kwasmi_service_call_duration_seconds_bucket{service=\"web\",le=\"0.001048576\"} 7
kwasmi_service_call_duration_seconds_bucket{service=\"web\",le=\"+Inf\"} 8
kwasmi_service_call_duration_seconds_sum{service=\"web\"} 40.000000000
kwasmi_service_call_duration_seconds_count{service=\"web\"} 8
";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn names_and_descriptions_fit_the_format() {
        let is_name = |name: &str| {
            name.starts_with(|char: char| char.is_ascii_alphabetic())
                && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
        };
        for row in COUNTERS {
            assert!(is_name(&metric(row)) && (row.label.is_empty() || is_name(row.label)), "{row:?}");
            assert!(!row.about.contains(['\\', '\n']), "{row:?}");
            assert_eq!(row.unit == Unit::Nanoseconds, row.name.ends_with("_ns"), "{row:?}");
        }
    }
}
