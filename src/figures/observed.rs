//! Figures of what the server watches of its clients and of itself: hot keys, health.

use super::{Figure, Kind, Sample, Sight, Unit, gauge, samples};
use crate::engine::health::Status;

/// Keys that Prometheus is told of. Each is a label, and labels are kept for long.
const KEYS_MAX: usize = 10;

/// Bytes of a key that a label shows.
const LABEL_MAX: usize = 100;

/// Figures of the section Hotkeys.
pub(super) const HOT_KEYS: &[Figure] = &[
    gauge(
        "hotkeys_last_window_samples",
        Unit::None,
        "Accesses that were counted in the last window of hotkeys-window-seconds.",
        |at| at.server.hot_keys.windows.last().samples.into(),
    )
    .export("kvarts_hot_keys_window_samples"),
    gauge(
        "hotkeys_last_window_duration_ms",
        Unit::Milliseconds,
        "How long the last window was; 0 where there is none.",
        |at| at.server.hot_keys.windows.last().duration_ms.into(),
    )
    .export("kvarts_hot_keys_window_seconds")
    .scaled(1e-3),
];

/// What only Prometheus is given of them.
pub(super) const EXPORTED: &[Figure] = &[
    samples(
        "kvarts_hot_key_accesses_per_second",
        Kind::Gauge,
        Unit::PerSecond,
        "Accesses of the hottest keys of the last window, by key and database.",
        hot_keys,
    ),
    gauge("healthy", Unit::None, "Whether KVARTS HEALTH finds that all parts of the server answer.", |at| {
        let now_ns = at.server.clock.monotonic_ns();
        matches!(at.server.health.findings().status(now_ns), Status::Ok | Status::Busy).into()
    })
    .export("kvarts_healthy"),
    samples(
        "kvarts_health_round_trip_seconds",
        Kind::Gauge,
        Unit::Seconds,
        "How long each part of the server took to answer the last time, or has not answered.",
        round_trips,
    ),
];

fn hot_keys(at: &Sight<'_>) -> Vec<Sample> {
    let last = at.server.hot_keys.windows.last();
    let sample = |hot: &crate::shared::hot_keys::HotKey| Sample {
        suffix: "",
        labels: vec![("key", label(&hot.key)), ("db", format!("db{}", hot.database))],
        value: hot.per_second as f64,
    };
    last.keys.iter().take(KEYS_MAX).map(sample).collect()
}

fn round_trips(at: &Sight<'_>) -> Vec<Sample> {
    let findings = at.server.health.findings();
    let parts = findings.parts.into_iter().map(|part| Sample {
        suffix: "",
        labels: vec![("part", part.name)],
        value: part.round_trip_ns.max(part.waits_ns) as f64 / 1e9,
    });
    parts.collect()
}

/// A key as a label: its beginning, without what cannot be shown.
fn label(key: &[u8]) -> String {
    key[..key.len().min(LABEL_MAX)].escape_ascii().to_string()
}
