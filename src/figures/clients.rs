//! Figures of the section Clients.

use super::{Figure, Unit, Value, gauge, text, zero};
use crate::config::Directive;
use crate::shared::pause::{InForce, Scope};

pub(super) const FIGURES: &[Figure] = &[
    gauge("connected_clients", Unit::None, "Clients that are connected, without replicas.", |at| {
        at.clients().connected.into()
    })
    .export("redis_connected_clients"),
    zero("cluster_connections", Unit::None, "Connections of the cluster bus, which does not exist.")
        .export("redis_cluster_connections"),
    gauge("maxclients", Unit::None, "Most clients that may be connected (directive maxclients).", |at| {
        at.int(Directive::Maxclients).into()
    })
    .export("redis_max_clients"),
    gauge(
        "client_recent_max_input_buffer",
        Unit::Bytes,
        "Size of the largest buffer of requests of all clients.",
        |at| at.clients().query_buffer_max.into(),
    )
    .export("redis_client_recent_max_input_buffer_bytes"),
    gauge(
        "client_recent_max_output_buffer",
        Unit::Bytes,
        "Size of the largest buffer of replies of all clients.",
        |at| at.clients().reply_buffer_max.into(),
    )
    .export("redis_client_recent_max_output_buffer_bytes"),
    gauge(
        "blocked_clients",
        Unit::None,
        "Clients that wait: for keys (BLPOP and its like), for replicas or files (WAIT, WAITAOF), for the end of a pause.",
        |at| at.clients().blocked.into(),
    )
    .export("redis_blocked_clients"),
    gauge("tracking_clients", Unit::None, "Clients that are told of changes of keys they keep copies of.", |at| {
        at.server.effects.tracking.client_count().into()
    })
    .export("redis_tracking_clients"),
    gauge("pubsub_clients", Unit::None, "Clients with at least one subscription.", |at| {
        at.clients().subscribed.into()
    })
    .export("redis_pubsub_clients"),
    gauge("watching_clients", Unit::None, "Clients that WATCH keys.", |at| at.clients().watching.into())
        .export("redis_watching_clients"),
    gauge("clients_in_timeout_table", Unit::None, "Clients that wait for keys with a time limit.", |at| {
        at.clients().with_timeout.into()
    })
    .export("redis_clients_in_timeout_table"),
    gauge("total_watched_keys", Unit::None, "Keys that clients WATCH.", |at| {
        at.server.effects.watches.key_count().into()
    })
    .export("redis_total_watched_keys"),
    gauge("total_blocking_keys", Unit::None, "Keys that clients wait for.", |at| {
        at.server.effects.waiting.key_counts().0.into()
    })
    .export("redis_total_blocking_keys"),
    gauge(
        "total_blocking_keys_on_nokey",
        Unit::None,
        "Keys whose deletion ends a wait too (XREADGROUP of a group).",
        |at| at.server.effects.waiting.key_counts().1.into(),
    )
    .export("redis_total_blocking_keys_on_nokey"),
    text("paused_reason", "Why clients are paused: `none`, CLIENT PAUSE, the end, a failover.", |at| {
        at.pause().map_or("none", |pause| pause.purpose.word()).into()
    }),
    text("paused_actions", "What is paused: `none`, `write` or `all`.", |at| match at.pause() {
        None => "none".into(),
        Some(InForce { scope: Scope::All, .. }) => "all".into(),
        Some(_) => "write".into(),
    }),
    gauge("paused_timeout_milliseconds", Unit::Milliseconds, "What is left of the pause.", |at| {
        Value::Unsigned(at.pause().map_or(0, |pause| pause.end_ms.saturating_sub(at.now_ms)))
    })
    .export("kvarts_paused_remaining_seconds")
    .scaled(1e-3),
];
