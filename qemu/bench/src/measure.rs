// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0

//! Takes all samples of all cases in one place.

use std::time::Duration;

use anyhow::{
    Context as _,
    Result, //
};

use crate::{
    case::{
        Case,
        Setting, //
    },
    result::{
        Entry,
        Facts,
        Measured,
        Measurements,
        Place, //
    },
    sample::{
        Player,
        Sampler,
        as_float, //
    },
    statistics,
    variant::Variant,
};

/// Number and length of samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Number of samples of each variant.
    pub(crate) rounds: usize,
    /// Minimum time of a sample.
    pub(crate) sample: Duration,
}

impl Effort {
    /// Returns the default for `place`.
    pub(crate) fn new(place: Place, is_quick: bool) -> Self {
        match (place, is_quick) {
            // Instructions are counted, not timed, so there is hardly any noise.
            (Place::Icount, _) => Self { rounds: 2, sample: Duration::from_millis(20) },
            (_, true) => Self { rounds: 3, sample: Duration::from_millis(20) },
            (_, false) => Self { rounds: 7, sample: Duration::from_millis(100) },
        }
    }
}

/// Returns the number of operations that takes the time of a sample.
fn calibrate(player: &mut Player, case: &Case, effort: Effort) -> Result<u64> {
    let wanted = u64::try_from(effort.sample.as_nanos())?;
    let rounded = |count| match case.setting {
        Setting::Server(client) => client.rounded(count),
        _ => Ok(count),
    };
    let mut count = if case.setting == Setting::Program { 1 } else { rounded(16)? };
    // The first sample is discarded: the client of a server waits until the program has started,
    // which takes long for a guest.
    player.take(count)?;
    loop {
        let taken = player.take(count)?;
        let took = taken.nanoseconds.max(1);
        if took >= wanted {
            return Ok(taken.count);
        }
        // A fifth more than extrapolated, and at most 256 times the last count, because short
        // samples are inexact.
        let needed = u128::from(count) * u128::from(wanted) * 6 / 5 / u128::from(took);
        count = rounded(u64::try_from(needed)?.clamp(count + 1, count.saturating_mul(256)))?;
    }
}

fn measure_case(sampler: &Sampler, case: &Case, place: Place, effort: Effort) -> Result<Measured> {
    let mut players = Vec::new();
    for variant in case.variants.iter().filter(|variant| sampler.has_for(case, *variant)) {
        let name = || format!("{} by {}", case.name, variant.name());
        let mut player = sampler.prepare(case, variant).with_context(name)?;
        let count = calibrate(&mut player, case, effort).with_context(name)?;
        players.push((player, Entry { variant, count, samples: Vec::new(), median: 0.0, deviation: 0.0 }));
    }
    for round in 0..effort.rounds {
        // Another variant begins each round.
        let len = players.len().max(1);
        players.rotate_left(round % len);
        for (player, entry) in &mut players {
            let taken = player.take(entry.count)?;
            entry.samples.push(as_float(taken.nanoseconds) / as_float(taken.count));
        }
    }
    let mut entries: Vec<Entry> = players.into_iter().map(|(_, entry)| entry).collect();
    entries.sort_by_key(|entry| entry.variant);
    for entry in &mut entries {
        entry.median = statistics::median(&entry.samples);
        entry.deviation = statistics::deviation(&entry.samples);
    }
    let has_fuel = sampler.has(Variant::Engine)
        && matches!(case.setting, Setting::Nothing | Setting::Pipe | Setting::Requests | Setting::Folder);
    let fuel = if has_fuel && place != Place::Icount { Some(sampler.fuel(case)?) } else { None };
    Ok(Measured { group: case.group.to_owned(), name: case.name.to_owned(), unit: case.unit.to_owned(), fuel, entries })
}

/// Measures `cases` one after another, and reports the progress on standard error.
///
/// # Errors
/// Fails without results if a variant cannot be started or fails.
pub(crate) fn measure(sampler: &Sampler, cases: &[Case], place: Place, effort: Effort) -> Result<Measurements> {
    let facts = Facts::gather(place)?;
    if cases.iter().any(|case| case.variants.contains(Variant::Memcached)) && !sampler.has(Variant::Memcached) {
        eprintln!("kwasmi: {}: memcached skipped: not fetched, or does not run here", place.name());
    }
    let mut measured = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        if case.setting == Setting::Program && !sampler.has_for(case, Variant::Process) {
            continue;
        }
        eprintln!("kwasmi: {} {}/{}: {}", place.name(), index + 1, cases.len(), case.name);
        if case.setting == Setting::Wrk && !sampler.has_wrk() {
            eprintln!("kwasmi: {}: wrk skipped: not fetched, or does not run here", place.name());
            measured.push(Measured::nothing(case, "not measured: wrk is missing"));
            continue;
        }
        measured.push(measure_case(sampler, case, place, effort)?);
    }
    Ok(Measurements { place, facts, cases: measured })
}
