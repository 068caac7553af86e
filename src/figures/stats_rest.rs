//! The other figures of the section Stats: pub/sub, tracking, errors, reads and writes, refusals.

use super::{Figure, Kind, Unit, counter, gauge, zero};
use crate::shared::pubsub;
use crate::shared::stats::Counter;

pub(super) const FIGURES: &[Figure] = &[
    gauge("pubsub_channels", Unit::None, "Channels with subscribers.", |at| {
        at.server.pubsub.channel_count(pubsub::Kind::Channel).into()
    })
    .export("redis_pubsub_channels"),
    gauge("pubsub_patterns", Unit::None, "Patterns with subscribers.", |at| {
        at.server.pubsub.pattern_count().into()
    })
    .export("redis_pubsub_patterns"),
    gauge("pubsubshard_channels", Unit::None, "Shard channels with subscribers.", |at| {
        at.server.pubsub.channel_count(pubsub::Kind::Shard).into()
    })
    .export("redis_pubsubshard_channels"),
    zero("latest_fork_usec", Unit::Microseconds, "Time of the last fork; the process never forks.")
        .export("redis_latest_fork_seconds")
        .scaled(1e-6),
    zero("total_forks", Unit::None, "Forks; the process never forks."),
    zero("migrate_cached_sockets", Unit::None, "Connections kept for MIGRATE; each connects anew.")
        .export("redis_migrate_cached_sockets_total"),
    gauge(
        "slave_expires_tracked_keys",
        Unit::None,
        "Keys with an expiry that clients of a writable replica have written.",
        |at| at.server.following.own_volatile_keys().into(),
    )
    .export("redis_slave_expires_tracked_keys"),
    zero("active_defrag_hits", Unit::None, "Values moved to save memory; none is.")
        .export("redis_defrag_hits"),
    zero("active_defrag_misses", Unit::None, "Values looked at to be moved; none is.")
        .export("redis_defrag_misses"),
    zero("active_defrag_key_hits", Unit::None, "Keys moved to save memory; none is.")
        .export("redis_defrag_key_hits"),
    zero("active_defrag_key_misses", Unit::None, "Keys looked at to be moved; none is.")
        .export("redis_defrag_key_misses"),
    zero("total_active_defrag_time", Unit::Milliseconds, "Time that moving values took; none is moved."),
    zero(
        "current_active_defrag_time",
        Unit::Milliseconds,
        "Time that moving values has taken now; none is moved.",
    ),
    gauge("tracking_total_keys", Unit::None, "Keys of which clients keep copies.", |at| {
        at.server.effects.tracking.table_size().0.into()
    })
    .export("redis_tracking_total_keys"),
    gauge(
        "tracking_total_items",
        Unit::None,
        "Copies of keys that clients keep, those of several clients counted each.",
        |at| at.server.effects.tracking.table_size().1.into(),
    )
    .export("redis_tracking_total_items"),
    gauge(
        "tracking_total_prefixes",
        Unit::None,
        "Prefixes of keys that clients are told changes of.",
        |at| at.server.effects.tracking.prefix_count().into(),
    )
    .export("redis_tracking_total_prefixes"),
    counter("unexpected_error_replies", Unit::None, "Errors of commands that a primary sent.", |at| {
        at.sum(Counter::UnexpectedErrorReplies).into()
    })
    .export("redis_unexpected_error_replies"),
    counter("total_error_replies", Unit::None, "Errors that were answered.", |at| {
        at.sum(Counter::ErrorReplies).into()
    })
    .export("redis_total_error_replies"),
    zero(
        "dump_payload_sanitizations",
        Unit::None,
        "Payloads checked a second time; RESTORE checks each as it reads it.",
    )
    .export("redis_dump_payload_sanitizations")
    .exported_as(Kind::Counter),
    counter("total_reads_processed", Unit::None, "Reads from sockets that brought something.", |at| {
        at.sum(Counter::ReadsProcessed).into()
    })
    .export("redis_total_reads_processed"),
    counter("total_writes_processed", Unit::None, "Writes to sockets.", |at| {
        at.sum(Counter::WritesProcessed).into()
    })
    .export("redis_total_writes_processed"),
    zero("io_threaded_reads_processed", Unit::None, "Reads by threads for I/O alone; there are none.")
        .export("redis_io_threaded_reads_processed")
        .exported_as(Kind::Counter),
    zero("io_threaded_writes_processed", Unit::None, "Writes by threads for I/O alone; there are none.")
        .export("redis_io_threaded_writes_processed")
        .exported_as(Kind::Counter),
    counter("io_threaded_freed_objects", Unit::None, "As lazyfreed_objects.", |at| {
        at.server.keyspace.reaper.freed().into()
    }),
    zero(
        "io_threaded_accept_processed",
        Unit::None,
        "Connections accepted by threads for I/O alone; there are none.",
    ),
    zero(
        "io_threaded_poll_processed",
        Unit::None,
        "Looks at sockets by threads for I/O alone; there are none.",
    ),
    counter("io_threaded_total_prefetch_batches", Unit::None, "As total_prefetch_batches.", |at| {
        at.sum(Counter::PrefetchBatches).into()
    }),
    counter("io_threaded_total_prefetch_entries", Unit::None, "As total_prefetch_entries.", |at| {
        at.sum(Counter::PrefetchEntries).into()
    }),
    counter(
        "total_prefetch_batches",
        Unit::None,
        "Batches whose keys were fetched from memory ahead.",
        |at| at.sum(Counter::PrefetchBatches).into(),
    )
    .export("kvarts_prefetch_batches_total"),
    counter("total_prefetch_entries", Unit::None, "Keys that were fetched from memory ahead.", |at| {
        at.sum(Counter::PrefetchEntries).into()
    })
    .export("kvarts_prefetch_keys_total"),
    counter(
        "client_query_buffer_limit_disconnections",
        Unit::None,
        "Clients cut because their requests took too much memory.",
        |at| at.sum(Counter::QueryBufferDisconnections).into(),
    )
    .export("redis_client_query_buffer_limit_disconnections_total"),
    counter(
        "client_output_buffer_limit_disconnections",
        Unit::None,
        "Clients cut because they did not read their replies.",
        |at| at.sum(Counter::OutputBufferDisconnections).into(),
    )
    .export("redis_client_output_buffer_limit_disconnections_total"),
    zero("reply_buffer_shrinks", Unit::None, "Reply buffers made smaller; replies go into one that grows.")
        .export("redis_reply_buffer_shrinks_total")
        .exported_as(Kind::Counter),
    zero("reply_buffer_expands", Unit::None, "Reply buffers made larger; replies go into one that grows.")
        .export("redis_reply_buffer_expands_total")
        .exported_as(Kind::Counter),
    zero("eventloop_cycles", Unit::None, "Rounds of the one loop that Redis has; there is none.")
        .export("redis_eventloop_cycles_total")
        .exported_as(Kind::Counter),
    zero(
        "eventloop_duration_sum",
        Unit::Microseconds,
        "Time of the rounds of the one loop that Redis has; there is none.",
    )
    .export("redis_eventloop_duration_sum_usec_total")
    .exported_as(Kind::Counter),
    counter(
        "eventloop_duration_cmd_sum",
        Unit::Microseconds,
        "Time that commands took, on all workers.",
        |at| (at.server.stats.total_command_ns() / 1000).into(),
    )
    .export("redis_eventloop_duration_cmd_sum_usec_total"),
    zero(
        "instantaneous_eventloop_cycles_per_sec",
        Unit::PerSecond,
        "Rounds a second of the one loop that Redis has; there is none.",
    )
    .export("redis_instantaneous_eventloop_cycles_per_sec"),
    zero(
        "instantaneous_eventloop_duration_usec",
        Unit::Microseconds,
        "Time of a round of the one loop that Redis has; there is none.",
    )
    .export("redis_instantaneous_eventloop_duration_usec"),
    counter("acl_access_denied_auth", Unit::None, "Log-ins that failed.", |at| {
        at.sum(Counter::DeniedAuth).into()
    })
    .export("redis_acl_access_denied_auth_total"),
    counter(
        "acl_access_denied_cmd",
        Unit::None,
        "Commands refused because the user may not run them.",
        |at| at.sum(Counter::DeniedCommand).into(),
    )
    .export("redis_acl_access_denied_cmd_total"),
    counter("acl_access_denied_key", Unit::None, "Commands refused because of a key.", |at| {
        at.sum(Counter::DeniedKey).into()
    })
    .export("redis_acl_access_denied_key_total"),
    counter("acl_access_denied_channel", Unit::None, "Commands refused because of a channel.", |at| {
        at.sum(Counter::DeniedChannel).into()
    })
    .export("redis_acl_access_denied_channel_total"),
    counter("acl_access_denied_tls_cert", Unit::None, "Client certificates that name no user.", |at| {
        at.sum(Counter::DeniedCertificate).into()
    })
    .export("kvarts_acl_access_denied_tls_cert_total"),
    counter("acl_access_denied_db", Unit::None, "Commands refused because of a database.", |at| {
        at.sum(Counter::DeniedDatabase).into()
    })
    .export("kvarts_acl_access_denied_db_total"),
];
