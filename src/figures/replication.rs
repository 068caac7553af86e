//! Figures of the section Replication.

use super::sight::Standing;
use super::{Figure, Kind, Part, Row, Sight, Unit, Value, constant, counter, family, gauge, part, text};
use crate::config::Directive;
use crate::engine::following::{LinkFacts, LinkState, Primary};

pub(super) const FIGURES: &[Figure] = &[
    text("role", "`master` or `slave`; the read-only port presents itself as a replica.", |at| {
        role(at).into()
    }),
    text("master_host", "Address of the primary.", |at| match at.standing() {
        Standing::Follows(primary, _) => primary.host.clone().into(),
        Standing::ReadOnlyPort(endpoint) => endpoint.ip.clone().into(),
        Standing::Primary => Value::None,
    }),
    gauge("master_port", Unit::None, "Port of the primary.", |at| match at.standing() {
        Standing::Follows(primary, _) => primary.port.into(),
        Standing::ReadOnlyPort(endpoint) => endpoint.port.into(),
        Standing::Primary => Value::None,
    }),
    text("master_link_status", "Whether the link to the primary is up.", |at| {
        as_replica(at, Value::Word("up", 1), |_, link| {
            if is_up(link) { Value::Word("up", 1) } else { Value::Word("down", 0) }
        })
    }),
    gauge(
        "master_last_io_seconds_ago",
        Unit::Seconds,
        "Time since the primary was heard of; -1 while the link is down.",
        |at| {
            as_replica(at, Value::Unsigned(0), |at, link| {
                if is_up(link) { ago_s(at, link.heard_ms) } else { Value::Signed(-1) }
            })
        },
    ),
    gauge("master_sync_in_progress", Unit::None, "Whether a full copy of the primary's data comes.", |at| {
        as_replica(at, Value::Unsigned(0), |_, link| (link.state == LinkState::Sync).into())
    }),
    gauge(
        "slave_read_repl_offset",
        Unit::Bytes,
        "Offset of the stream up to which it has come from the primary.",
        |at| match at.standing() {
            Standing::Follows(..) => at.server.following.received().into(),
            Standing::ReadOnlyPort(_) => at.offset().into(),
            Standing::Primary => Value::None,
        },
    ),
    gauge("slave_repl_offset", Unit::Bytes, "Offset of the stream up to which it has been applied.", |at| {
        match at.standing() {
            Standing::Primary => Value::None,
            _ => at.offset().into(),
        }
    }),
    gauge(
        "replicas_repl_buffer_size",
        Unit::Bytes,
        "Stream kept beside a copy that comes; always 0.",
        beside_copy,
    ),
    gauge(
        "replicas_repl_buffer_peak",
        Unit::Bytes,
        "Largest size of replicas_repl_buffer_size; always 0.",
        beside_copy,
    ),
    gauge(
        "master_sync_total_bytes",
        Unit::Bytes,
        "Bytes of the copy of the primary that comes; 0 where the primary does not tell.",
        |at| of_copy(at, |link| link.copy_bytes.0.unwrap_or(0).into()),
    )
    .export("redis_master_sync_total_bytes"),
    gauge("master_sync_read_bytes", Unit::Bytes, "Bytes of the copy of the primary that have come.", |at| {
        of_copy(at, |link| link.copy_bytes.1.into())
    })
    .export("redis_master_sync_read_bytes"),
    gauge(
        "master_sync_left_bytes",
        Unit::Bytes,
        "Bytes of the copy of the primary that are to come; negative where that is not known.",
        |at| {
            of_copy(at, |link| match link.copy_bytes {
                (Some(total), read) => Value::Signed(total.saturating_sub(read) as i64),
                (None, read) => Value::Signed(-(read as i64)),
            })
        },
    )
    .export("redis_master_sync_left_bytes"),
    gauge("master_sync_perc", Unit::Percent, "Percent of the copy of the primary that have come.", |at| {
        of_copy(at, |link| match link.copy_bytes {
            (Some(total), read) if total > 0 => Value::Fixed(read as f64 / total as f64 * 100.0, 2),
            _ => Value::Fixed(0.0, 2),
        })
    }),
    gauge(
        "master_sync_last_io_seconds_ago",
        Unit::Seconds,
        "Time since the last bytes of the copy of the primary came.",
        |at| of_copy(at, |link| ago_s(at, link.heard_ms)),
    ),
    gauge(
        "master_link_down_since_seconds",
        Unit::Seconds,
        "Time since the link to the primary went down; -1 where it never was up.",
        |at| match at.standing().link() {
            Some((_, link)) if !is_up(link) => ago_s(at, link.down_since_ms),
            _ => Value::None,
        },
    )
    .export("redis_master_link_down_since_seconds"),
    gauge("slave_priority", Unit::None, "Value of the directive replica-priority.", |at| {
        match at.standing() {
            Standing::Primary => Value::None,
            _ => at.int(Directive::ReplicaPriority).into(),
        }
    })
    .export("redis_slave_priority"),
    gauge("slave_read_only", Unit::None, "Whether clients of this replica may only read.", |at| {
        as_replica(at, Value::Unsigned(1), |at, _| at.server.config.flag(Directive::ReplicaReadOnly).into())
    }),
    gauge("replica_announced", Unit::None, "Value of the directive replica-announced.", |at| {
        as_replica(at, Value::Unsigned(1), |at, _| at.server.config.flag(Directive::ReplicaAnnounced).into())
    }),
    gauge(
        "connected_slaves",
        Unit::None,
        "Replicas; where none has ever followed, the read-only port counts as one.",
        |at| match at.standing() {
            Standing::ReadOnlyPort(_) => Value::Unsigned(0),
            _ => (at.server.own_replicas() + at.replicas().len()).into(),
        },
    )
    .export("redis_connected_slaves"),
    gauge(
        "min_slaves_good_slaves",
        Unit::None,
        "Replicas that min-replicas-to-write counts; only where that is set.",
        |at| match at.standing() {
            Standing::ReadOnlyPort(_) => Value::None,
            _ if at.server.settings.min_replicas() == 0 => Value::None,
            _ => at.server.good_replicas().into(),
        },
    )
    .export("redis_connected_slaves_good"),
    family("slave", "A replica, numbered from 0.", REPLICA, replicas),
    constant("replicas_waiting_psync", Unit::None, "Replicas that wait beside a copy; none has to.", |at| {
        match at.standing() {
            Standing::ReadOnlyPort(_) => Value::None,
            _ => Value::Unsigned(0),
        }
    }),
    text("master_failover_state", "How far a FAILOVER has come.", |at| {
        at.server.failover_step().word().into()
    }),
    text("master_replid", "Id of the history of the data.", |at| {
        at.server.replication.history.read().id().to_owned().into()
    }),
    text("master_replid2", "Id of the history before; zeros without one.", |at| {
        let history = at.server.replication.history.read();
        history.second().map_or_else(|| "0".repeat(40), |(id, _)| id.to_owned()).into()
    }),
    counter("master_repl_offset", Unit::Bytes, "Offset of the stream of changes.", |at| at.offset().into())
        .export("redis_master_repl_offset")
        .exported_as(Kind::Gauge),
    gauge(
        "second_repl_offset",
        Unit::Bytes,
        "Offset up to which the history before is valid; -1 without one.",
        |at| {
            let history = at.server.replication.history.read();
            history.second().map_or(Value::Signed(-1), |(_, offset)| offset.into())
        },
    )
    .export("redis_second_repl_offset"),
    gauge(
        "repl_backlog_active",
        Unit::None,
        "Whether the stream is kept for replicas that come back.",
        |at| at.server.replication.history.read().is_kept().into(),
    )
    .export("redis_repl_backlog_is_active"),
    gauge(
        "repl_backlog_size",
        Unit::Bytes,
        "Bytes of the stream that are kept for replicas that come back (directive repl-backlog-size).",
        |at| at.int(Directive::ReplBacklogSize).into(),
    )
    .export("redis_replication_backlog_bytes"),
    gauge(
        "repl_backlog_first_byte_offset",
        Unit::Bytes,
        "Offset of the first byte of the stream that is kept.",
        |at| kept(at).0.into(),
    )
    .export("redis_repl_backlog_first_byte_offset"),
    gauge("repl_backlog_histlen", Unit::Bytes, "Bytes of the stream that are kept at present.", |at| {
        kept(at).1.into()
    })
    .export("redis_repl_backlog_history_bytes"),
    gauge(
        "repl_spill_size",
        Unit::Bytes,
        "Limit of what of the stream lies in a file (directive repl-spill-size).",
        |at| at.server.config.unsigned(Directive::ReplSpillSize).into(),
    )
    .export("kvarts_replication_spill_max_bytes"),
    gauge(
        "repl_spill_file_bytes",
        Unit::Bytes,
        "Bytes of the stream that lie in a file, as replicas are that far behind.",
        |at| at.server.journal().spill_bytes().into(),
    )
    .export("kvarts_replication_spill_bytes"),
];

const REPLICA: &[Part] = &[
    part("ip", Kind::Text, Unit::None, "Address of the replica."),
    part("port", Kind::Gauge, Unit::None, "Port of the replica."),
    part("state", Kind::Text, Unit::None, "`online` once it has a copy, else what it waits for."),
    part("offset", Kind::Gauge, Unit::Bytes, "Offset of the stream that the replica has acknowledged.")
        .export("redis_connected_slave_offset_bytes", 1.0),
    part(
        "lag",
        Kind::Gauge,
        Unit::Seconds,
        "Time since the replica's last acknowledgement, or since its copy was sent; 0 before that.",
    )
    .export("redis_connected_slave_lag_seconds", 1.0),
    part("type", Kind::Text, Unit::None, "`replica`; missing for the read-only port."),
];

pub(super) fn role(at: &Sight<'_>) -> &'static str {
    if matches!(at.standing(), Standing::Primary) { "master" } else { "slave" }
}

fn is_up(link: &LinkFacts) -> bool {
    link.state == LinkState::Connected
}

/// What a replica has, with its link; of the read-only port `own`, of a primary none.
fn as_replica(at: &Sight<'_>, own: Value, read: impl FnOnce(&Sight<'_>, &LinkFacts) -> Value) -> Value {
    match at.standing() {
        Standing::Follows(_, link) => read(at, link),
        Standing::ReadOnlyPort(_) => own,
        Standing::Primary => Value::None,
    }
}

fn of_copy(at: &Sight<'_>, read: impl FnOnce(&LinkFacts) -> Value) -> Value {
    at.standing().link_that_is(LinkState::Sync).map_or(Value::None, read)
}

fn beside_copy(at: &Sight<'_>) -> Value {
    at.standing().link().map_or(Value::None, |_| Value::Unsigned(0))
}

/// Seconds since a time; -1 where there was none.
fn ago_s(at: &Sight<'_>, at_ms: u64) -> Value {
    let ago_s = || (at.now_ms.saturating_sub(at_ms) / 1000) as i64;
    Value::Signed(if at_ms == 0 { -1 } else { ago_s() })
}

/// Offset of the first byte of the stream that is kept, and how many are kept.
fn kept(at: &Sight<'_>) -> (u64, u64) {
    let history = at.server.replication.history.read();
    if !history.is_kept() {
        return (0, 0);
    }
    let (first, end) = history.kept(at.server.journal().first(), at.server.journal().end());
    (first + 1, end.saturating_sub(first))
}

/// All replicas. Where none has ever followed, the read-only port is shown as one.
fn replicas(at: &Sight<'_>) -> Vec<Row> {
    if matches!(at.standing(), Standing::ReadOnlyPort(_)) {
        return Vec::new();
    }
    let mut rows = Vec::new();
    if at.server.own_replicas() > 0 {
        let endpoint = at.endpoint();
        let offset = at.offset();
        rows.push(replica(0, &endpoint.ip, endpoint.read_only_port, "online", offset, 0));
    }
    for (number, one) in at.replicas().iter().enumerate() {
        let (state, lag_s) = one.shown(at.now_ms);
        let (ip, port) = (one.shown_ip(), one.announced.port);
        let mut row = replica(number, ip, port, state, one.acknowledged(), lag_s);
        row.parts.push(("type".into(), "replica".into()));
        rows.push(row);
    }
    rows
}

fn replica(number: usize, ip: &str, port: u16, state: &'static str, offset: u64, lag_s: u64) -> Row {
    let parts = vec![
        ("ip", ip.to_owned().into()),
        ("port", port.into()),
        ("state", state.into()),
        ("offset", offset.into()),
        ("lag", lag_s.into()),
    ];
    let labels = vec![
        ("slave_ip", ip.to_owned()),
        ("slave_port", port.to_string()),
        ("slave_state", state.to_owned()),
    ];
    Row { labels, ..Row::new(number.to_string(), "", parts) }
}

/// Labels of what Prometheus is told about the primary that is followed.
pub(super) fn primary_labels(primary: &Primary) -> Vec<(&'static str, String)> {
    vec![("master_host", primary.host.clone()), ("master_port", primary.port.to_string())]
}
