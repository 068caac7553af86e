//! Figures of the sections Commandstats, Errorstats and Latencystats, and the histograms that Prometheus is
//! given.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{Figure, Kind, Part, Row, Sample, Sight, Unit, Value, family, part};
use crate::command::table::Entry;
use crate::config::Directive;
use crate::shared::stats::CommandTotals;

/// What became of the requests of each command.
pub(super) const CALLS: &[Figure] =
    &[family("cmdstat_", "A command or subcommand that was called, by its name.", CALL, calls)];

const CALL: &[Part] = &[
    part("calls", Kind::Counter, Unit::None, "How often the command was run.")
        .export("redis_commands_total", 1.0),
    part("usec", Kind::Counter, Unit::Microseconds, "Time that all calls of the command took.")
        .export("redis_commands_duration_seconds_total", 1e-6),
    part(
        "usec_per_call",
        Kind::Gauge,
        Unit::Microseconds,
        "Time that a call of the command took on average.",
    ),
    part("rejected_calls", Kind::Counter, Unit::None, "How often the command was refused before it ran.")
        .export("redis_commands_rejected_calls_total", 1.0),
    part("failed_calls", Kind::Counter, Unit::None, "How often the command answered an error.")
        .export("redis_commands_failed_calls_total", 1.0),
];

/// Errors by their code.
pub(super) const ERRORS: &[Figure] =
    &[family("errorstat_", "An error that was answered, by its code.", ERROR, errors)];

const ERROR: &[Part] = &[part("count", Kind::Counter, Unit::None, "How often the error was answered.")
    .export("redis_errors_total", 1.0)];

/// How long commands take.
pub(super) const PERCENTILES: &[Figure] = &[family(
    "latency_percentiles_usec_",
    "A command or subcommand, by its name; only with latency-tracking.",
    PERCENTILE,
    percentiles,
)];

const PERCENTILE: &[Part] = &[part(
    "p",
    Kind::Gauge,
    Unit::Microseconds,
    "Time that so many percent of its calls took at most; which, says latency-tracking-info-percentiles.",
)];

/// All entries that were called, with their counts.
fn called<'a>(at: &'a Sight<'_>) -> impl Iterator<Item = (&'a Entry, CommandTotals)> {
    let all = at.server.commands.entries().iter().map(|entry| (entry, at.server.stats.command(entry.id)));
    all.filter(|(_, totals)| totals.calls + totals.rejected + totals.failed > 0)
}

fn calls(at: &Sight<'_>) -> Vec<Row> {
    let row = |(entry, totals): (&Entry, CommandTotals)| {
        let per_call =
            if totals.calls == 0 { 0.0 } else { totals.total_ns as f64 / totals.calls as f64 / 1000.0 };
        let parts = vec![
            ("calls", totals.calls.into()),
            ("usec", (totals.total_ns / 1000).into()),
            ("usec_per_call", Value::Fixed(per_call, 2)),
            ("rejected_calls", totals.rejected.into()),
            ("failed_calls", totals.failed.into()),
        ];
        Row::new(entry.full_name.clone(), "cmd", parts)
    };
    called(at).map(row).collect()
}

fn errors(at: &Sight<'_>) -> Vec<Row> {
    let errors = at.server.stats.errors().into_iter();
    errors.map(|(code, count)| Row::new(code, "err", vec![("count", count.into())])).collect()
}

/// The percentiles that are shown, each as it was written.
fn wanted(at: &Sight<'_>) -> Vec<(String, f64)> {
    if !at.server.config.flag(Directive::LatencyTracking) {
        return Vec::new();
    }
    let words = at.server.config.words(Directive::LatencyTrackingInfoPercentiles);
    words.iter().filter_map(|word| Some((word.clone(), word.parse().ok()?))).collect()
}

/// Microseconds of an entry at these percentiles; `None` where no latency was kept.
fn microseconds(at: &Sight<'_>, entry: &Entry, wanted: &[(String, f64)]) -> Option<Vec<f64>> {
    let percentiles: Vec<f64> = wanted.iter().map(|(_, percentile)| *percentile).collect();
    let latencies_ns = at.server.stats.latency_ns(entry.id, &percentiles)?;
    Some(latencies_ns.into_iter().map(|latency_ns| latency_ns as f64 / 1000.0).collect())
}

fn percentiles(at: &Sight<'_>) -> Vec<Row> {
    let wanted = wanted(at);
    if !at.server.config.flag(Directive::LatencyTracking) {
        return Vec::new();
    }
    let row = |entry: &Entry| {
        let latencies_us = microseconds(at, entry, &wanted)?;
        let parts = wanted.iter().zip(latencies_us);
        let parts =
            parts.map(|((word, _), us)| (Cow::Owned(format!("p{word}")), Value::Fixed(us, 3))).collect();
        Some(Row { parts, ..Row::new(entry.full_name.clone(), "cmd", Vec::new()) })
    };
    at.server.commands.entries().iter().filter_map(row).collect()
}

/// The same for Prometheus, with the sum and the count of calls.
pub(super) fn summaries(at: &Sight<'_>) -> Vec<Sample> {
    let wanted = wanted(at);
    let mut samples = Vec::new();
    for (entry, totals) in called(at).filter(|_| !wanted.is_empty()) {
        let Some(latencies_us) = microseconds(at, entry, &wanted) else { continue };
        let command = || vec![("cmd", entry.full_name.clone())];
        for ((word, _), us) in wanted.iter().zip(latencies_us) {
            let labels = vec![("cmd", entry.full_name.clone()), ("quantile", word.clone())];
            samples.push(Sample { suffix: "", labels, value: Value::Fixed(us, 3).number().unwrap_or(us) });
        }
        let sum_us = totals.total_ns / 1000;
        samples.push(Sample { suffix: "_sum", labels: command(), value: sum_us as f64 });
        samples.push(Sample { suffix: "_count", labels: command(), value: totals.calls as f64 });
    }
    samples
}

/// Calls of all commands by how many microseconds they took at most, in steps that double.
pub fn calls_by_latency(at: &Sight<'_>) -> Vec<(u64, u64)> {
    let mut calls_by_bound = BTreeMap::new();
    for steps in called(at).filter_map(|(entry, _)| at.server.stats.latency_steps(entry.id)) {
        // Each step counts those below it as well.
        let mut below = 0;
        for (at_most_us, calls) in steps {
            *calls_by_bound.entry(at_most_us).or_default() += calls - below;
            below = calls;
        }
    }
    calls_by_bound.into_iter().collect()
}

/// Calls by how many microseconds they took at most, in steps that double.
pub(super) fn histograms(at: &Sight<'_>) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (entry, totals) in called(at) {
        let Some(steps) = at.server.stats.latency_steps(entry.id) else { continue };
        let Some((_, calls)) = steps.last().copied() else { continue };
        let command = || ("cmd", entry.full_name.clone());
        let steps = steps.into_iter().map(|(at_most_us, calls)| (at_most_us.to_string(), calls));
        for (at_most_us, calls) in steps.chain(std::iter::once(("+Inf".to_owned(), calls))) {
            let labels = vec![command(), ("le", at_most_us)];
            samples.push(Sample { suffix: "_bucket", labels, value: calls as f64 });
        }
        let sum_us = totals.total_ns / 1000;
        samples.push(Sample { suffix: "_sum", labels: vec![command()], value: sum_us as f64 });
        samples.push(Sample { suffix: "_count", labels: vec![command()], value: calls as f64 });
    }
    samples
}
