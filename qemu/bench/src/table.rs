// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! Formats results as Markdown tables.

use comfy_table::{
    CellAlignment,
    Table,
    presets, //
};

use crate::{
    case::{
        CASES,
        COMPUTE_GROUP,
        CURVE_GROUP,
        PROGRAMS_GROUP, //
    },
    result::{
        Measured,
        Measurements,
        Place, //
    },
    variant::Variant,
};

/// Formats a time with a suitable unit; in `icount` a number of instructions.
fn time(nanoseconds: f64, place: Place) -> String {
    let unit = if place == Place::Icount { ["", "k", "M"] } else { ["ns", "us", "ms"] };
    let (value, unit) = match nanoseconds {
        small if small < 1e4 => (small, unit[0]),
        middle if middle < 1e7 => (middle / 1e3, unit[1]),
        large => (large / 1e6, unit[2]),
    };
    let digits = if value < 100.0 { 1 } else { 0 };
    format!("{value:.digits$} {unit}").trim_end().to_owned()
}

/// Formats a ratio with three significant digits, and at most four decimals.
pub(crate) fn ratio(value: f64) -> String {
    let digits = match value {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        one if one >= 1.0 => 2,
        tenth if tenth >= 0.1 => 3,
        _ => 4,
    };
    format!("{value:.digits$}")
}

/// Formats the place and the facts about its machine.
fn heading(measurements: &Measurements) -> String {
    let facts = &measurements.facts;
    let what = match measurements.place {
        Place::Vm => "all variants in one VM",
        Place::Icount => "all variants in one VM, instructions instead of nanoseconds",
        Place::Host => "the host's processor, no VM, no kernel module",
    };
    let mitigations: Vec<String> = facts
        .mitigations
        .iter()
        .filter(|(_, state)| state.starts_with("Mitigation") || state.starts_with("Vulnerable"))
        .map(|(name, state)| format!("{name}: {state}"))
        .collect();
    format!(
        "{}: {what}. {} x{}, Linux {}, accelerator: {}. {}",
        measurements.place.name(),
        facts.processor,
        facts.processors,
        facts.kernel,
        facts.accelerator,
        if mitigations.is_empty() { "No mitigations.".to_owned() } else { format!("{}.", mitigations.join("; ")) }
    )
}

/// Formats the results of one place: for each variant the speed relative to the native process,
/// and the time.
pub(crate) fn table(measurements: &Measurements) -> String {
    let mut variants: Vec<Variant> =
        measurements.cases.iter().flat_map(|case| case.entries.iter().map(|entry| entry.variant)).collect();
    variants.sort_unstable();
    variants.dedup();
    variants.retain(|variant| *variant != Variant::Process);

    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    let mut header = vec!["case".to_owned(), "operation".to_owned(), "fuel".to_owned(), "process".to_owned()];
    header.extend(variants.iter().map(|variant| variant.name().to_owned()));
    table.set_header(header);
    for case in &measurements.cases {
        let fuel = case.fuel.map_or(String::new(), |fuel| format!("{fuel:.0}"));
        let process = case.entry(Variant::Process);
        let spread = |median: f64, deviation: f64| format!("±{:.0} %", 100.0 * deviation / median);
        let own = process.map_or(String::new(), |entry| {
            format!("{} {}", time(entry.median, measurements.place), spread(entry.median, entry.deviation))
        });
        let mut row = vec![case.name.clone(), case.unit.clone(), fuel, own];
        row.extend(variants.iter().map(|variant| {
            case.entry(*variant).zip(case.ratio(*variant)).map_or(String::new(), |(entry, times)| {
                let spread = spread(entry.median, entry.deviation);
                format!("{} ({} {spread})", ratio(times), time(entry.median, measurements.place))
            })
        }));
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{}\n\n{table}\n", heading(measurements))
}

/// Computation with floating-point numbers, which compiled code leaves to helpers.
const FLOATS: [&str; 2] = ["matmul-f32", "matmul-f64"];

/// Returns the geometric mean of `values`; none if there are none.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let logarithms: Vec<f64> = values.map(f64::ln).collect();
    let count = f64::from(u32::try_from(logarithms.len()).ok().filter(|count| *count > 0)?);
    Some((logarithms.iter().sum::<f64>() / count).exp())
}

/// Formats geometric means of the ratios of integer computation and of the programs by other
/// authors, over the cases that machine code and wasmtime both ran. Returns none if there is no
/// such case.
pub(crate) fn means(measurements: &Measurements) -> Option<String> {
    const SHOWN: [Variant; 3] = [Variant::Engine, Variant::MachineCode, Variant::Wasmtime];
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    let mut header = vec!["geometric mean".to_owned()];
    header.extend(SHOWN.iter().map(|variant| variant.name().to_owned()));
    header.push("machine code of wasmtime".to_owned());
    table.set_header(header);
    for group in [COMPUTE_GROUP, PROGRAMS_GROUP] {
        let is_compared = |case: &&Measured| {
            let ran = SHOWN.iter().all(|variant| case.ratio(*variant).is_some());
            case.group == group && ran && !FLOATS.contains(&case.name.as_str())
        };
        let cases: Vec<&Measured> = measurements.cases.iter().filter(is_compared).collect();
        let of = |variant: Variant| mean(cases.iter().filter_map(|case| case.ratio(variant)));
        let (Some(own), Some(other)) = (of(Variant::MachineCode), of(Variant::Wasmtime)) else { continue };
        let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        let mut row = vec![names.join(", ")];
        row.extend(SHOWN.into_iter().map(|variant| of(variant).map_or(String::new(), ratio)));
        row.push(ratio(own / other));
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    (table.row_count() > 0).then(|| format!("{}, means:\n\n{table}\n", measurements.place.name()))
}

/// Formats the cost of system calls in one place: for each case with a known number of system calls
/// of the native process, their time at the cost of an empty call, its share of the total, and the
/// speed-up of the process without it. Returns none if the empty call (`null`) was not measured.
pub(crate) fn system_calls(measurements: &Measurements) -> Option<String> {
    let process = |name: &str| {
        let case = measurements.cases.iter().find(|case| case.name == name)?;
        Some(case.entry(Variant::Process)?.median)
    };
    let each = process("null")?;
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header(["case", "process", "system calls", "their time", "share", "speed-up without"]);
    for (case, calls) in CASES.iter().filter_map(|case| Some((case, case.system_calls?))) {
        let Some(own) = process(case.name) else { continue };
        let saved = each * f64::from(calls);
        table.add_row([
            case.name.to_owned(),
            time(own, measurements.place),
            calls.to_string(),
            time(saved, measurements.place),
            format!("{:.0} %", 100.0 * saved / own),
            if own > saved { ratio(own / (own - saved)) } else { String::new() },
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    (table.row_count() > 0).then(|| format!("{}, cost of system calls:\n\n{table}\n", measurements.place.name()))
}

/// Returns the break-even: the fuel per host call at which the ratio of `variant` falls to 1,
/// interpolated between two cases of the curve.
pub(crate) fn break_even(measurements: &Measurements, variant: Variant) -> Option<f64> {
    let curve: Vec<(f64, f64)> = measurements
        .cases
        .iter()
        .filter(|case| case.group == CURVE_GROUP)
        .filter_map(|case| Some((case.fuel?, case.ratio(variant)?)))
        .collect();
    curve.windows(2).find_map(|pair| match pair {
        [(x0, y0), (x1, y1)] if *y0 >= 1.0 && *y1 < 1.0 => Some(x0 + (x1 - x0) * (y0 - 1.0) / (y0 - y1)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{
        Entry,
        Facts, //
    };

    fn measured(name: &str, median: f64) -> Measured {
        let entry = Entry { variant: Variant::Process, count: 1, samples: vec![median], median, deviation: 0.0 };
        let (group, unit) = (String::new(), String::new());
        Measured { group, name: name.to_owned(), unit, fuel: None, entries: vec![entry] }
    }

    #[test]
    fn the_cost_of_system_calls_is_computed() {
        let facts = Facts {
            processor: String::new(),
            processors: 1,
            kernel: String::new(),
            accelerator: String::new(),
            mitigations: Default::default(),
        };
        let mut measurements = Measurements { place: Place::Host, facts, cases: vec![measured("selfpipe-1", 500.0)] };
        assert_eq!(system_calls(&measurements), None, "the empty call was not measured");
        measurements.cases.push(measured("null", 100.0));
        measurements.cases.push(measured("scan-64", 100.0));
        measurements.cases.push(measured("fib", 100.0));
        let table = system_calls(&measurements).unwrap_or_default();
        let rows: Vec<Vec<&str>> = table.lines().skip(4).map(|line| line.split('|').map(str::trim).collect()).collect();
        assert_eq!(
            rows,
            [
                ["", "selfpipe-1", "500 ns", "2", "200 ns", "40 %", "1.67", ""].to_vec(),
                // The calls take all of the time, so there is no speed-up.
                ["", "scan-64", "100 ns", "1", "100 ns", "100 %", "", ""].to_vec(),
            ]
        );
    }

    #[test]
    fn times_and_ratios_are_formatted() {
        assert_eq!(time(767.04, Place::Vm), "767 ns");
        assert_eq!(time(12_345.0, Place::Vm), "12.3 us");
        assert_eq!(time(517.0, Place::Icount), "517");
        assert_eq!(ratio(0.0123), "0.0123");
        assert_eq!(ratio(2.345), "2.35");
    }
}
