// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! Draws plots as SVG and as PNG.

use std::{
    path::Path,
    sync::Once, //
};

use anyhow::{
    Result,
    anyhow, //
};
use plotters::{
    coord::Shift,
    prelude::*,
    style::{
        FontStyle,
        register_font, //
    },
};

use crate::{
    case::CURVE_GROUP,
    result::{
        Measured,
        Measurements, //
    },
    table,
    variant::Variant,
};

/// Width of a plot, in pixels.
const WIDTH: u32 = 960;
/// Height of a bar with its margin, in pixels.
const ROW: usize = 18;

/// Returns the colour of a variant. Most are from the palette of Okabe and Ito for the
/// colour-blind.
const fn colour(variant: Variant) -> RGBColor {
    match variant {
        Variant::Kernel => RGBColor(213, 94, 0),
        Variant::KernelInterpreted => RGBColor(160, 70, 0),
        Variant::KernelBatch => RGBColor(204, 121, 167),
        Variant::KernelAndProcess => RGBColor(230, 159, 0),
        Variant::Bound => RGBColor(127, 127, 127),
        Variant::Engine => RGBColor(204, 121, 167),
        Variant::MachineCode => RGBColor(213, 94, 0),
        Variant::Uring => RGBColor(0, 114, 178),
        Variant::Bpf => RGBColor(240, 228, 66),
        Variant::Memcached => RGBColor(153, 102, 51),
        Variant::Wasmi => RGBColor(0, 158, 115),
        Variant::Wasmtime => RGBColor(86, 180, 233),
        Variant::Process => RGBColor(0, 0, 0),
        Variant::Syscall => RGBColor(128, 128, 128),
    }
}

/// Converts an error of a drawing backend.
fn failed<E: std::fmt::Debug>(error: E) -> anyhow::Error {
    anyhow!("cannot draw: {error:?}")
}

/// Registers the font of all text. It is part of this program, because a machine may have no font.
fn prepare_font() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Registration fails only for data that is not a font.
        let _ = register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular());
    });
}

/// Draws a bar for each case and variant: the speed relative to the native process.
fn draw_bars<B: DrawingBackend>(area: &DrawingArea<B, Shift>, title: &str, cases: &[&Measured]) -> Result<()>
where
    B::ErrorType: 'static,
{
    let mut rows = Vec::new();
    for case in cases {
        for entry in case.entries.iter().filter(|entry| entry.variant != Variant::Process) {
            if let Some(ratio) = case.ratio(entry.variant) {
                rows.push((format!("{} {}", case.name, entry.variant.name()), entry.variant, ratio));
            }
        }
    }
    let ratios = || rows.iter().map(|row| row.2);
    let low = ratios().fold(0.5, f64::min) / 1.5;
    let high = ratios().fold(2.0, f64::max) * 2.0;
    let end = f64::from(u32::try_from(rows.len())?);
    area.fill(&WHITE).map_err(failed)?;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(200)
        .build_cartesian_2d((low..high).log_scale(), end..0.0)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .y_labels(0)
        .x_label_formatter(&|value| table::ratio(*value))
        .x_desc("speed relative to a native process with plain system calls")
        .draw()
        .map_err(failed)?;
    for (index, (label, variant, ratio)) in (0_u32..).zip(&rows) {
        let top = f64::from(index);
        let bar = Rectangle::new([(1.0, top + 0.15), (*ratio, top + 0.85)], colour(*variant).filled());
        chart.draw_series([bar]).map_err(failed)?;
        let (x, y) = chart.backend_coord(&(ratio.max(1.0), top + 0.5));
        let style = ("sans-serif", 12).into_font();
        area.draw(&Text::new(table::ratio(*ratio), (x + 5, y - 6), style.clone())).map_err(failed)?;
        area.draw(&Text::new(label.clone(), (14, y - 6), style)).map_err(failed)?;
    }
    chart.draw_series(LineSeries::new([(1.0, 0.0), (1.0, end)], BLACK)).map_err(failed)?;
    area.present().map_err(failed)
}

/// Draws the break-even curve: relative speed over the fuel that a guest consumes per host call.
fn draw_curve<B: DrawingBackend>(area: &DrawingArea<B, Shift>, title: &str, cases: &[&Measured]) -> Result<()>
where
    B::ErrorType: 'static,
{
    let curve = |variant: Variant| -> Vec<(f64, f64)> {
        cases.iter().filter_map(|case| Some((case.fuel?, case.ratio(variant)?))).collect()
    };
    let curves: Vec<_> = [Variant::Kernel, Variant::KernelInterpreted, Variant::Engine]
        .into_iter()
        .map(|variant| (variant, curve(variant)))
        .filter(|(_, points)| !points.is_empty())
        .collect();
    let points = || curves.iter().flat_map(|(_, points)| points.iter());
    let (left, right) = points().fold((f64::MAX, 1.0), |(low, high), (x, _)| (x.min(low), x.max(high)));
    let (low, high) = points().fold((0.5, 2.0), |(low, high), (_, y)| (y.min(low), y.max(high)));
    area.fill(&WHITE).map_err(failed)?;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((left..right * 1.1).log_scale(), (low / 1.2..high * 1.2).log_scale())
        .map_err(failed)?;
    chart
        .configure_mesh()
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| table::ratio(*value))
        .x_desc("fuel per host call (about one per Wasm instruction)")
        .y_desc("speed relative to a native process")
        .draw()
        .map_err(failed)?;
    chart.draw_series(LineSeries::new([(left, 1.0), (right * 1.1, 1.0)], BLACK)).map_err(failed)?;
    for (variant, points) in curves {
        let colour = colour(variant);
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)).point_size(3))
            .map_err(failed)?
            .label(variant.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw().map_err(failed)?;
    area.present().map_err(failed)
}

fn draw<B: DrawingBackend>(backend: B, title: &str, group: &str, cases: &[&Measured]) -> Result<()>
where
    B::ErrorType: 'static,
{
    let area = backend.into_drawing_area();
    if group == CURVE_GROUP { draw_curve(&area, title, cases) } else { draw_bars(&area, title, cases) }
}

/// Draws the results of one place: DIR/GROUP-PLACE.svg and DIR/GROUP-PLACE.png for each group.
///
/// # Errors
/// Fails if a file cannot be written.
pub(crate) fn plot(measurements: &Measurements, dir: &Path) -> Result<()> {
    prepare_font();
    let mut groups: Vec<&str> = measurements.cases.iter().map(|case| case.group.as_str()).collect();
    groups.dedup();
    for group in groups {
        let cases: Vec<&Measured> = measurements.cases.iter().filter(|case| case.group == group).collect();
        if cases.iter().all(|case| case.entries.len() < 2) {
            continue;
        }
        let bars: usize = cases.iter().map(|case| case.entries.len().saturating_sub(1)).sum();
        let height = if group == CURVE_GROUP { 540 } else { 110 + bars * ROW };
        let size = (WIDTH, u32::try_from(height)?);
        let title = format!("{group}, {} ({})", measurements.place.name(), measurements.facts.accelerator);
        let stem = format!("{group}-{}", measurements.place.name());
        draw(SVGBackend::new(&dir.join(format!("{stem}.svg")), size), &title, group, &cases)?;
        draw(BitMapBackend::new(&dir.join(format!("{stem}.png")), size), &title, group, &cases)?;
    }
    Ok(())
}
