//! The first figures of the section Stats: traffic, and what became of keys.

use super::{Figure, Kind, Sight, Unit, Value, constant, counter, gauge, zero};
use crate::keyspace::sweep;
use crate::shared::stats::Counter;

/// Connections, commands, bytes.
pub(super) const TRAFFIC: &[Figure] = &[
    counter("total_connections_received", Unit::None, "Connections that were accepted.", |at| {
        at.sum(Counter::ConnectionsReceived).into()
    })
    .export("redis_connections_received_total"),
    counter("total_commands_processed", Unit::None, "Commands that were run.", |at| {
        at.sum(Counter::CommandsProcessed).into()
    })
    .export("redis_commands_processed_total"),
    gauge("instantaneous_ops_per_sec", Unit::PerSecond, "Commands a second, within the last second.", |at| {
        Value::Fixed(at.rates().commands_per_s, 0)
    })
    .export("redis_instantaneous_ops_per_sec"),
    counter("total_net_input_bytes", Unit::Bytes, "Bytes read from clients.", |at| {
        at.sum(Counter::NetInputBytes).into()
    })
    .export("redis_net_input_bytes_total"),
    counter("total_net_output_bytes", Unit::Bytes, "Bytes written to clients.", |at| {
        at.sum(Counter::NetOutputBytes).into()
    })
    .export("redis_net_output_bytes_total"),
    counter("total_net_repl_input_bytes", Unit::Bytes, "Bytes read from the primary.", |at| {
        at.sum(Counter::NetReplInputBytes).into()
    })
    .export("redis_net_repl_input_bytes_total"),
    counter(
        "total_net_repl_output_bytes",
        Unit::Bytes,
        "Bytes sent to replicas: copies and the stream.",
        |at| at.sum(Counter::NetReplOutputBytes).into(),
    )
    .export("redis_net_repl_output_bytes_total"),
    zero("total_net_cluster_slot_import_bytes", Unit::Bytes, "Bytes of slots that came in; none migrates."),
    zero("total_net_cluster_slot_export_bytes", Unit::Bytes, "Bytes of slots that went out; none migrates."),
    gauge(
        "instantaneous_input_kbps",
        Unit::KibibytesPerSecond,
        "Read from clients within the last second.",
        |at| kibibytes(at.rates().input_bytes_per_s),
    )
    .export("redis_instantaneous_input_kbps"),
    gauge(
        "instantaneous_output_kbps",
        Unit::KibibytesPerSecond,
        "Written to clients within the last second.",
        |at| kibibytes(at.rates().output_bytes_per_s),
    )
    .export("redis_instantaneous_output_kbps"),
    gauge(
        "instantaneous_input_repl_kbps",
        Unit::KibibytesPerSecond,
        "Read from the primary within the last second.",
        |at| kibibytes(at.rates().repl_input_bytes_per_s),
    ),
    gauge(
        "instantaneous_output_repl_kbps",
        Unit::KibibytesPerSecond,
        "Sent to replicas within the last second.",
        |at| kibibytes(at.rates().repl_output_bytes_per_s),
    ),
    counter("rejected_connections", Unit::None, "Connections refused because of maxclients.", |at| {
        at.sum(Counter::RejectedConnections).into()
    })
    .export("redis_rejected_connections_total"),
    counter("sync_full", Unit::None, "Full copies that replicas were given.", |at| {
        load(&at.server.replication.replicas.full_copies)
    })
    .export("redis_replica_resyncs_full")
    .exported_as(Kind::Gauge),
    counter(
        "sync_partial_ok",
        Unit::None,
        "Replicas that went on with the stream where they had stopped.",
        |at| load(&at.server.replication.replicas.continued),
    )
    .export("redis_replica_partial_resync_accepted")
    .exported_as(Kind::Gauge),
    counter("sync_partial_err", Unit::None, "Replicas that could not go on and needed a full copy.", |at| {
        load(&at.server.replication.replicas.not_continued)
    })
    .export("redis_replica_partial_resync_denied")
    .exported_as(Kind::Gauge),
];

/// Expiry, eviction, hits.
pub(super) const KEYS: &[Figure] = &[
    counter("expired_keys", Unit::None, "Keys removed because their time was over.", |at| {
        at.sum(Counter::ExpiredKeys).into()
    })
    .export("redis_expired_keys_total"),
    counter("expired_fields", Unit::None, "Fields of hashes removed because their time was over.", |at| {
        at.sum(Counter::ExpiredFields).into()
    })
    .export("kvarts_expired_fields_total"),
    counter(
        "expired_set_members",
        Unit::None,
        "Members of sets removed because their time was over.",
        |at| at.sum(Counter::ExpiredMembers).into(),
    )
    .export("kvarts_expired_set_members_total"),
    constant(
        "expired_stale_perc",
        Unit::Percent,
        "Share of ended keys still there; none is sampled, the lag is told.",
        |_| Value::Fixed(0.0, 2),
    )
    .export("redis_expired_stale_percentage"),
    constant(
        "expired_keys_with_volatile_items_stale_perc",
        Unit::Percent,
        "Share of ended fields of hashes still there; none is sampled, the lag is told.",
        |_| Value::Fixed(0.0, 2),
    ),
    zero("expired_time_cap_reached_count", Unit::None, "Times that expiry was cut short; it never is.")
        .export("redis_expired_time_cap_reached_total")
        .exported_as(Kind::Counter),
    counter(
        "expire_cycle_cpu_milliseconds",
        Unit::Milliseconds,
        "Time that removing ended keys took, without waits for locks that others had.",
        |at| (at.sum(Counter::ExpireCycleNs) / 1_000_000).into(),
    )
    .export("redis_expire_cycle_cpu_time_ms_total"),
    gauge(
        "expire_lag_milliseconds",
        Unit::Milliseconds,
        "Largest delay of the last 15 to 30 seconds with which a key, field or member was removed that had ended, or for which something holds up the removal now; 0 where there was none.",
        |at| lag_ms(at, at.server.stats.expiry_lags.lately_ms(at.server.clock.now_ms())).into(),
    )
    .export("kvarts_expire_lag_seconds")
    .scaled(1e-3),
    gauge(
        "expire_lag_max_milliseconds",
        Unit::Milliseconds,
        "Largest delay since the start with which a key, field or member was removed that had ended, or for which something holds up the removal now.",
        |at| lag_ms(at, at.server.stats.expiry_lags.longest_ms()).into(),
    )
    .export("kvarts_expire_lag_max_seconds")
    .scaled(1e-3),
    gauge(
        "expire_next_in_milliseconds",
        Unit::Milliseconds,
        "Time until the next key ends; -1 where none will.",
        |at| match sweep::next_due_ms(&at.server.keyspace) {
            u64::MAX => Value::Signed(-1),
            next_ms => Value::Signed(next_ms.saturating_sub(at.now_ms) as i64),
        },
    ),
    counter("evicted_keys", Unit::None, "Keys removed because of maxmemory.", |at| {
        at.sum(Counter::EvictedKeys).into()
    })
    .export("redis_evicted_keys_total"),
    gauge("blessed_keys", Unit::None, "Keys that are never evicted (BLESS).", |at| {
        at.server.keyspace.all_made().map(|database| database.blessed.len()).sum::<usize>().into()
    })
    .export("redis_blessed_keys"),
    counter("evicted_clients", Unit::None, "Clients cut because of maxmemory-clients.", |at| {
        at.sum(Counter::EvictedClients).into()
    })
    .export("redis_evicted_clients_total"),
    counter("evicted_scripts", Unit::None, "Scripts forgotten because too many were loaded by EVAL.", |at| {
        at.server.scripting.scripts.evicted().into()
    })
    .export("redis_evicted_scripts_total"),
    counter(
        "scripts_ran_alone",
        Unit::None,
        "Scripts that ran again, alone, as they reached for keys they had not declared.",
        |at| load(&at.server.scripting.ran_alone),
    )
    .export("kvarts_scripts_ran_alone_total"),
    counter(
        "total_eviction_exceeded_time",
        Unit::Milliseconds,
        "Time for which memory was over maxmemory.",
        |at| over_ms(at).0.into(),
    )
    .export("redis_eviction_exceeded_time_ms_total"),
    gauge(
        "current_eviction_exceeded_time",
        Unit::Milliseconds,
        "Time for which memory has been over maxmemory now.",
        |at| over_ms(at).1.into(),
    )
    .export("redis_current_eviction_exceeded_time_ms"),
    counter("keyspace_hits", Unit::None, "Reads that found their key.", |at| {
        at.sum(Counter::KeyspaceHits).into()
    })
    .export("redis_keyspace_hits_total"),
    counter("keyspace_misses", Unit::None, "Reads that found no key.", |at| {
        at.sum(Counter::KeyspaceMisses).into()
    })
    .export("redis_keyspace_misses_total"),
];

fn kibibytes(bytes: f64) -> Value {
    Value::Fixed(bytes / 1024.0, 2)
}

fn load(count: &std::sync::atomic::AtomicU64) -> Value {
    count.load(std::sync::atomic::Ordering::Relaxed).into()
}

/// A delay of expiry, or that which something causes now where it is longer, in milliseconds.
fn lag_ms(at: &Sight<'_>, noted_ms: u64) -> u64 {
    noted_ms.max(at.server.expiry_held_up_ms())
}

/// Milliseconds over the limit, in all and at present.
fn over_ms(at: &Sight<'_>) -> (u64, u64) {
    at.server.upkeep.time_over.ms(at.server.clock.monotonic_ns())
}
