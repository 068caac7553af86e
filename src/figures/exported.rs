//! Figures that only Prometheus is given: what redis_exporter makes of other commands than INFO, and the
//! server's own.

use std::sync::atomic::Ordering::Relaxed;

use super::replication::{primary_labels, role};
use super::sight::Standing;
use super::{Figure, Kind, Sample, Sight, Unit, Value, commands, counter, gauge, samples, server};
use crate::config::Directive;
use crate::engine::following::LinkState;
use crate::shared::client::OutputLimit;
use crate::shared::commandlog::LogKind;

pub(super) const FIGURES: &[Figure] = &[
    gauge("up", Unit::None, "The server answers: always 1.", |_| Value::Unsigned(1)).export("redis_up"),
    samples("redis_instance_info", Kind::Gauge, Unit::None, "What the server is, as labels.", instance),
    gauge("start_time", Unit::UnixSeconds, "When the server started.", |at| {
        (at.server.identity.started_ms / 1000).into()
    })
    .export("redis_start_time_seconds"),
    samples(
        "redis_commands_latencies_usec",
        Kind::Histogram,
        Unit::Microseconds,
        "Calls of each command by how long they took at most.",
        commands::histograms,
    ),
    samples(
        "redis_latency_percentiles_usec",
        Kind::Summary,
        Unit::Microseconds,
        "Time that so many percent of a command's calls took at most.",
        commands::summaries,
    ),
    gauge("slowlog_length", Unit::None, "Entries of the slow log.", |at| {
        at.server.logs.commandlogs.len(LogKind::Slow).into()
    })
    .export("redis_slowlog_length"),
    gauge("slowlog_last_id", Unit::None, "Number of the latest entry of the slow log.", |at| {
        last_slow(at).0.into()
    })
    .export("redis_slowlog_last_id"),
    gauge("last_slow_execution", Unit::Seconds, "Time that the latest command of the slow log took.", |at| {
        Value::Fixed(last_slow(at).1 as f64 / 1e6, 6)
    })
    .export("redis_last_slow_execution_duration_seconds"),
    samples(
        "redis_latency_spike_last",
        Kind::Gauge,
        Unit::UnixSeconds,
        "When an event last took longer than latency-monitor-threshold.",
        |at| spikes(at, |sample| sample.at_s as f64),
    ),
    samples(
        "redis_latency_spike_duration_seconds",
        Kind::Gauge,
        Unit::Seconds,
        "Time that an event took when it last took longer than latency-monitor-threshold.",
        |at| spikes(at, |sample| sample.ms as f64 / 1e3),
    ),
    samples("redis_slave_info", Kind::Gauge, Unit::None, "The primary that this replica follows.", follows),
    samples(
        "redis_master_link_up",
        Kind::Gauge,
        Unit::None,
        "Whether the link to the primary is up.",
        |at| of_link(at, |link| f64::from(u8::from(link.state == LinkState::Connected))),
    ),
    samples(
        "redis_master_last_io_seconds_ago",
        Kind::Gauge,
        Unit::Seconds,
        "Time since the primary was heard of; -1 while the link is down.",
        |at| {
            of_link(at, |link| match link.state {
                LinkState::Connected => (at.now_ms.saturating_sub(link.heard_ms) / 1000) as f64,
                _ => -1.0,
            })
        },
    ),
    samples(
        "redis_master_sync_in_progress",
        Kind::Gauge,
        Unit::None,
        "Whether a full copy of the primary's data comes.",
        |at| of_link(at, |link| f64::from(u8::from(link.state == LinkState::Sync))),
    ),
    samples(
        "redis_slave_repl_offset",
        Kind::Gauge,
        Unit::Bytes,
        "Offset of the primary's stream up to which it has been applied.",
        |at| of_link(at, |_| at.offset() as f64),
    ),
    gauge("config_maxclients", Unit::None, "Value of the directive maxclients.", |at| {
        at.int(Directive::Maxclients).into()
    })
    .export("redis_config_maxclients"),
    gauge("config_maxmemory", Unit::Bytes, "Value of the directive maxmemory.", |at| {
        at.server.config.unsigned(Directive::Maxmemory).into()
    })
    .export("redis_config_maxmemory"),
    gauge("config_io_threads", Unit::None, "Value of the directive io-threads.", |at| {
        at.int(Directive::IoThreads).into()
    })
    .export("redis_config_io_threads"),
    gauge("config_repl_backlog_size", Unit::Bytes, "Value of the directive repl-backlog-size.", |at| {
        at.int(Directive::ReplBacklogSize).into()
    })
    .export("redis_config_repl_backlog_size"),
    samples(
        "redis_config_client_output_buffer_limit_bytes",
        Kind::Gauge,
        Unit::Bytes,
        "Bytes of unread replies at which a client of a class is cut: at once, or after a time.",
        |at| {
            output_limits(at, &["hard", "soft"], |limit, word| match word {
                "hard" => limit.hard_bytes as f64,
                _ => limit.soft_bytes as f64,
            })
        },
    ),
    samples(
        "redis_config_client_output_buffer_limit_overcome_seconds",
        Kind::Gauge,
        Unit::Seconds,
        "Seconds for which a client of a class may have more than the soft limit unread.",
        |at| output_limits(at, &["soft"], |limit, _| limit.soft_seconds as f64),
    ),
    samples("kvarts_slots_with_keys", Kind::Gauge, Unit::None, "Slots that have keys, by database.", |at| {
        by_database(at, |counts| counts.slots)
    }),
    samples(
        "kvarts_slot_keys_max",
        Kind::Gauge,
        Unit::None,
        "Keys of the slot with most of them: too many share a hash tag, where it has over a tenth of 10,000 keys or more.",
        |at| by_database(at, |counts| counts.slot_keys_max),
    ),
    counter("journal_bytes", Unit::Bytes, "Bytes of the stream of changes since the start.", |at| {
        at.server.journal().end().into()
    })
    .export("kvarts_journal_bytes_total"),
];

/// What the port of this page itself is busy with.
pub(super) const HTTP: &[Figure] = &[
    gauge("http_connections", Unit::None, "Connections to metrics-port.", |at| {
        at.server.http.open.load(Relaxed).into()
    })
    .export("kvarts_http_connections"),
    counter("http_connections_total", Unit::None, "Connections to metrics-port that were accepted.", |at| {
        at.server.http.accepted.load(Relaxed).into()
    })
    .export("kvarts_http_connections_total"),
    counter("http_requests_total", Unit::None, "Requests to metrics-port that were answered.", |at| {
        at.server.http.requests.load(Relaxed).into()
    })
    .export("kvarts_http_requests_total"),
    counter(
        "http_refused_total",
        Unit::None,
        "Requests to metrics-port that were answered with an error.",
        |at| at.server.http.refused.load(Relaxed).into(),
    )
    .export("kvarts_http_requests_refused_total"),
    counter(
        "http_displaced_total",
        Unit::None,
        "Idle connections to metrics-port closed to make room for new ones.",
        |at| at.server.http.displaced.load(Relaxed).into(),
    )
    .export("kvarts_http_connections_displaced_total"),
    counter(
        "http_rejected_total",
        Unit::None,
        "Connections to metrics-port closed at once for want of room.",
        |at| at.server.http.rejected.load(Relaxed).into(),
    )
    .export("kvarts_http_connections_rejected_total"),
    counter(
        "http_handshakes_failed_total",
        Unit::None,
        "TLS handshakes at metrics-port that failed: a scraper that does not trust the certificate, or shows none.",
        |at| at.server.http.handshakes_failed.load(Relaxed).into(),
    )
    .export("kvarts_http_tls_handshakes_failed_total"),
    counter(
        "http_timed_out_total",
        Unit::None,
        "Connections to metrics-port closed because the client was too slow.",
        |at| at.server.http.timed_out.load(Relaxed).into(),
    )
    .export("kvarts_http_connections_timed_out_total"),
];

fn instance(at: &Sight<'_>) -> Vec<Sample> {
    let server = at.server;
    let labels = vec![
        ("role", role(at).to_owned()),
        ("redis_version", crate::REDIS_VERSION.to_owned()),
        ("redis_build_id", "0000000000000000".to_owned()),
        ("redis_mode", if server.cluster.is_enabled() { "cluster" } else { "standalone" }.to_owned()),
        ("os", format!("{} {}", server::os_name(), std::env::consts::ARCH)),
        ("maxmemory_policy", server.config.word(Directive::MaxmemoryPolicy).to_owned()),
        ("tcp_port", at.port().to_string()),
        ("run_id", server.identity.run_id.clone()),
        ("process_id", std::process::id().to_string()),
        ("master_replid", server.replication.history.read().id().to_owned()),
        ("kvarts_version", crate::VERSION.to_owned()),
    ];
    vec![Sample { suffix: "", labels, value: 1.0 }]
}

/// Number of the slow log's latest entry, and how many microseconds it took.
fn last_slow(at: &Sight<'_>) -> (u64, u64) {
    let latest = at.server.logs.commandlogs.latest(LogKind::Slow, 1);
    latest.first().map_or((0, 0), |entry| (entry.id, entry.value))
}

fn spikes(at: &Sight<'_>, read: impl Fn(&crate::shared::latency::Sample) -> f64) -> Vec<Sample> {
    let events = at.server.logs.latency.events();
    let latest = events.iter().filter_map(|event| Some((event.name, event.samples.back()?)));
    let sample = |(name, latest): (&'static str, &crate::shared::latency::Sample)| Sample {
        suffix: "",
        labels: vec![("event_name", name.to_owned())],
        value: read(latest),
    };
    latest.map(sample).collect()
}

fn follows(at: &Sight<'_>) -> Vec<Sample> {
    let Some((primary, _)) = at.standing().link() else { return Vec::new() };
    let mut labels = primary_labels(primary);
    let read_only = at.server.config.flag(Directive::ReplicaReadOnly);
    labels.push(("read_only", u8::from(read_only).to_string()));
    vec![Sample { suffix: "", labels, value: 1.0 }]
}

fn of_link(at: &Sight<'_>, read: impl FnOnce(&crate::engine::following::LinkFacts) -> f64) -> Vec<Sample> {
    match at.standing() {
        Standing::Follows(primary, link) => {
            vec![Sample { suffix: "", labels: primary_labels(primary), value: read(link) }]
        }
        _ => Vec::new(),
    }
}

fn output_limits(
    at: &Sight<'_>,
    words: &[&'static str],
    read: impl Fn(&OutputLimit, &str) -> f64,
) -> Vec<Sample> {
    let settings = &at.server.settings;
    let classes = [
        ("normal", settings.normal_limit()),
        ("slave", settings.replica_limit()),
        ("pubsub", settings.pubsub_limit()),
    ];
    let of_class = |(class, limit): (&'static str, OutputLimit)| {
        let sample = |word: &&'static str| Sample {
            suffix: "",
            labels: vec![("class", class.to_owned()), ("limit", (*word).to_owned())],
            value: read(&limit, word),
        };
        words.iter().map(sample).collect::<Vec<_>>()
    };
    classes.into_iter().flat_map(of_class).collect()
}

fn by_database(at: &Sight<'_>, read: impl Fn(&super::sight::DatabaseCounts) -> usize) -> Vec<Sample> {
    let with_keys = at.databases().unwrap_or_default().iter().filter(|counts| counts.keys > 0);
    let sample = |counts: &super::sight::DatabaseCounts| Sample {
        suffix: "",
        labels: vec![("db", format!("db{}", counts.number))],
        value: read(counts) as f64,
    };
    with_keys.map(sample).collect()
}
