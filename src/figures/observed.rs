//! Figures of what the server watches of its clients, its keys and itself: hot keys, large keys, prefixes,
//! health, slow requests, waits for locks.

use std::collections::{BTreeMap, HashSet};

use super::{Figure, Kind, Sample, Sight, Unit, counter, gauge, samples};
use crate::command::table::Entry;
use crate::engine::health::Status;
use crate::engine::key_report::{BigKey, KeyReport, Sums};
use crate::engine::trouble::{self, Refuses};
use crate::shared::lock_waits::Waited;
use crate::shared::slow_requests::Part;

/// Keys that Prometheus is told of. Each is a label, and labels are kept for long.
const KEYS_MAX: usize = 10;

/// How old what is told of large keys and prefixes may be: to find it is milliseconds of work.
const REPORT_MAX_MS: u64 = 5_000;

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
    samples(
        "kvarts_big_key_bytes",
        Kind::Gauge,
        Unit::Bytes,
        "Bytes of the keys that take most, by key, database and type; with key-sizes.",
        |at| big_keys(at, |report| &report.by_bytes, |key| key.bytes),
    ),
    samples(
        "kvarts_big_key_elements",
        Kind::Gauge,
        Unit::None,
        "Elements of the keys that have most, by key, database and type; with key-sizes.",
        |at| big_keys(at, |report| &report.by_elements, |key| key.elements),
    ),
    samples(
        "kvarts_prefix_keys",
        Kind::Gauge,
        Unit::None,
        "Keys that begin with a prefix (up to the first colon), of those whose keys take most bytes; with key-sizes.",
        |at| prefixes(at, |sums| sums.keys as f64),
    ),
    samples(
        "kvarts_prefix_bytes",
        Kind::Gauge,
        Unit::Bytes,
        "Bytes of the keys that begin with a prefix.",
        |at| prefixes(at, |sums| sums.bytes as f64),
    ),
    samples(
        "kvarts_prefix_accesses_per_second",
        Kind::Gauge,
        Unit::PerSecond,
        "Accesses of the keys that begin with a prefix, a mean of the last ten seconds.",
        |at| prefixes(at, |sums| sums.accesses),
    ),
    samples(
        "kvarts_prefix_expired_per_second",
        Kind::Gauge,
        Unit::PerSecond,
        "Keys that begin with a prefix and expire, a mean of the last ten seconds.",
        |at| prefixes(at, |sums| sums.expired),
    ),
    gauge(
        "healthy",
        Unit::None,
        "Whether the status in KVARTS HEALTH is ok or busy, as kvarts --health-check wants it: 1 where all parts of the server have been asked and answer, 0 while one does not, and for a moment at the start.",
        |at| {
            let now_ns = at.server.clock.monotonic_ns();
            matches!(at.server.health.findings().status(now_ns), Status::Ok | Status::Busy).into()
        },
    )
    .export("kvarts_healthy"),
    samples(
        "kvarts_refuses",
        Kind::Gauge,
        Unit::None,
        "Whether clients are refused at present, or kept waiting: writes, all commands, connections. Not by the role of a replica whose link is up.",
        refuses,
    ),
    samples(
        "kvarts_trouble",
        Kind::Gauge,
        Unit::None,
        "Whether there is trouble of a kind at present; the console tells each in words, with what to do.",
        troubles,
    ),
    samples(
        "kvarts_health_round_trip_seconds",
        Kind::Gauge,
        Unit::Seconds,
        "How long each part of the server took to answer when it was last timed, or has not answered.",
        round_trips,
    ),
    counter(
        "slow_requests",
        Unit::None,
        "Requests that took longer than slow-requests-slower-than; KVARTS SLOW tells of the latest.",
        |at| at.server.logs.slow_requests.count().into(),
    )
    .export("kvarts_slow_requests_total"),
    samples(
        "kvarts_slow_requests_seconds_total",
        Kind::Counter,
        Unit::Seconds,
        "What the time of slow requests was spent on: lock, pause, evict, run, disk, write.",
        slow_parts,
    ),
    samples(
        "kvarts_lock_wait_seconds",
        Kind::Histogram,
        Unit::Seconds,
        "Waits of a microsecond or more of each command for locks of slots and the gate of the keyspace.",
        lock_waits,
    ),
    samples(
        "kvarts_lock_wait_longest_seconds",
        Kind::Gauge,
        Unit::Seconds,
        "The longest wait of each command for a lock since the start.",
        longest_waits,
    ),
];

fn hot_keys(at: &Sight<'_>) -> Vec<Sample> {
    let last = at.server.hot_keys.windows.last();
    let sample = |hot: &crate::shared::hot_keys::HotKey| Sample {
        suffix: "",
        labels: vec![("key", label(&hot.key)), ("db", format!("db{}", hot.database))],
        value: hot.per_second as f64,
    };
    unlike(last.keys.iter().take(KEYS_MAX).map(sample))
}

fn big_keys(
    at: &Sight<'_>,
    of: impl Fn(&KeyReport) -> &Vec<BigKey>,
    measure: impl Fn(&BigKey) -> u64,
) -> Vec<Sample> {
    let Some(report) = at.server.key_report(REPORT_MAX_MS) else { return Vec::new() };
    unlike(of(&report).iter().take(KEYS_MAX).map(|big| Sample {
        suffix: "",
        labels: vec![
            ("key", label(&big.key)),
            ("db", format!("db{}", big.number)),
            ("type", big.type_name.to_owned()),
        ],
        value: measure(big) as f64,
    }))
}

fn prefixes(at: &Sight<'_>, measure: impl Fn(&Sums) -> f64) -> Vec<Sample> {
    let Some(report) = at.server.key_report(REPORT_MAX_MS) else { return Vec::new() };
    unlike(report.prefixes.iter().map(|one| Sample {
        suffix: "",
        labels: vec![("prefix", label(&one.prefix)), ("db", format!("db{}", one.number))],
        value: measure(&one.sums),
    }))
}

/// Samples without those whose labels are the same as before: of keys that begin alike and are cut.
fn unlike(samples: impl Iterator<Item = Sample>) -> Vec<Sample> {
    let mut seen = HashSet::new();
    samples.filter(|sample| seen.insert(sample.labels.clone())).collect()
}

fn refuses(at: &Sight<'_>) -> Vec<Sample> {
    let found = at.server.troubles(at.now_ms);
    let sample = |refuses: Refuses| Sample {
        suffix: "",
        labels: vec![("requests", refuses.word().to_owned())],
        value: f64::from(found.iter().any(|trouble| trouble.refuses == refuses)),
    };
    Refuses::ALL.into_iter().map(sample).collect()
}

fn troubles(at: &Sight<'_>) -> Vec<Sample> {
    let found = at.server.troubles(at.now_ms);
    let sample = |kind: trouble::Kind| Sample {
        suffix: "",
        labels: vec![("kind", kind.word().to_owned())],
        value: f64::from(found.iter().any(|trouble| trouble.kind == kind)),
    };
    trouble::Kind::ALL.into_iter().map(sample).collect()
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

fn slow_parts(at: &Sight<'_>) -> Vec<Sample> {
    let sample = |part: Part| Sample {
        suffix: "",
        labels: vec![("part", part.name().to_owned())],
        value: at.server.logs.slow_requests.sum_ns(part) as f64 / 1e9,
    };
    Part::ALL.into_iter().map(sample).collect()
}

/// The commands that have waited for locks.
fn waited<'a>(at: &'a Sight<'_>) -> impl Iterator<Item = (&'a Entry, Waited)> {
    let entries = at.server.commands.entries().iter();
    entries.filter_map(|entry| Some((entry, at.server.stats.lock_waits.of(entry.id)?)))
}

/// Waits of all commands for locks by how many microseconds they took at most, in steps that grow fourfold. The last
/// has those above as well.
pub fn waits_by_length(at: &Sight<'_>) -> Vec<(u64, u64)> {
    let mut waits_by_bound = BTreeMap::new();
    for (_, waited) in waited(at) {
        // Each step counts those below it as well.
        let mut below = 0;
        for (at_most_us, waits) in waited.steps {
            *waits_by_bound.entry(at_most_us).or_default() += waits - below;
            below = waits;
        }
        if let Some(mut last) = waits_by_bound.last_entry() {
            *last.get_mut() += waited.count - below;
        }
    }
    waits_by_bound.into_iter().collect()
}

fn lock_waits(at: &Sight<'_>) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (entry, waited) in waited(at) {
        let command = || ("cmd", entry.full_name.clone());
        let steps = waited.steps.iter().map(|(us, waits)| ((*us as f64 / 1e6).to_string(), *waits));
        for (at_most, waits) in steps.chain(std::iter::once(("+Inf".to_owned(), waited.count))) {
            let labels = vec![command(), ("le", at_most)];
            samples.push(Sample { suffix: "_bucket", labels, value: waits as f64 });
        }
        let total_s = waited.total_ns as f64 / 1e9;
        samples.push(Sample { suffix: "_sum", labels: vec![command()], value: total_s });
        samples.push(Sample { suffix: "_count", labels: vec![command()], value: waited.count as f64 });
    }
    samples
}

fn longest_waits(at: &Sight<'_>) -> Vec<Sample> {
    let sample = |(entry, waited): (&Entry, Waited)| Sample {
        suffix: "",
        labels: vec![("cmd", entry.full_name.clone())],
        value: waited.longest_ns as f64 / 1e9,
    };
    waited(at).map(sample).collect()
}

/// A key as a label: its beginning, as it is where that is UTF-8, apart from control characters. Of other bytes all
/// that is not ASCII is escaped.
fn label(key: &[u8]) -> String {
    let start = &key[..key.len().min(LABEL_MAX)];
    let text = match str::from_utf8(start) {
        Ok(text) => text,
        // A character that is cut is left out.
        Err(error) if error.error_len().is_none() && start.len() < key.len() => {
            str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return start.escape_ascii().to_string(),
    };
    let mut label = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            label.extend(letter.escape_default());
        } else {
            label.push(letter);
        }
    }
    label
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn labels_are_readable() {
        for (key, expected) in [
            ("session:42".as_bytes(), "session:42"),
            ("gr\u{fc}\u{df}e:\u{65e5}\u{672c}".as_bytes(), "gr\u{fc}\u{df}e:\u{65e5}\u{672c}"),
            (b"a\"b\\c", "a\"b\\c"),
            ("\n\r\t\x1b[0m\0\u{85}".as_bytes(), "\\n\\r\\t\\u{1b}[0m\\u{0}\\u{85}"),
            (b"id:\xff\xfe", "id:\\xff\\xfe"),
            (b"\xc3\xbc\xc3", "\\xc3\\xbc\\xc3"),
            (b"", ""),
        ] {
            assert_eq!(label(key), expected);
        }
        // One that is too long is cut between two characters.
        let long = "\u{65e5}".repeat(50);
        assert_eq!(label(long.as_bytes()), "\u{65e5}".repeat(33));
    }
}
