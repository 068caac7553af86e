//! Figures of the section Persistence.

use super::{Figure, Kind, Sight, Unit, Value, constant, counter, gauge, text, zero};
use crate::engine::append_only::Figures;
use crate::shared::loading::Progress;

pub(super) const FIGURES: &[Figure] = &[
    gauge("loading", Unit::None, "Whether data are being loaded: commands are answered LOADING.", |at| {
        at.server.loading.is_active().into()
    })
    .export("redis_loading_dump_file"),
    gauge(
        "async_loading",
        Unit::None,
        "Whether a primary's data are being loaded beside those served.",
        |at| at.server.loading.is_beside().into(),
    )
    .export("redis_async_loading"),
    zero("current_cow_peak", Unit::Bytes, "Memory copied for a snapshot; snapshots copy none."),
    zero("current_cow_size", Unit::Bytes, "Memory copied for a snapshot; snapshots copy none."),
    zero("current_cow_size_age", Unit::Seconds, "Age of current_cow_size; snapshots copy none."),
    constant("current_fork_perc", Unit::Percent, "Progress of a child process; there is none.", |_| {
        Value::Fixed(0.0, 2)
    }),
    gauge("current_save_keys_processed", Unit::None, "Keys that the present snapshot has written.", |at| {
        at.saves().keys.0.into()
    })
    .export("kvarts_snapshot_keys_written"),
    gauge("current_save_keys_total", Unit::None, "Keys that the present snapshot has to write.", |at| {
        at.saves().keys.1.into()
    })
    .export("kvarts_snapshot_keys"),
    gauge("rdb_changes_since_last_save", Unit::None, "Changes of the data since the last snapshot.", |at| {
        at.saves().changes.into()
    })
    .export("redis_rdb_changes_since_last_save"),
    gauge(
        "rdb_bgsave_in_progress",
        Unit::None,
        "Whether a snapshot, or a copy for replicas, is being written.",
        |at| {
            let is_copying = at.server.replication.is_copying.load(std::sync::atomic::Ordering::Relaxed);
            (at.saves().in_progress || is_copying).into()
        },
    )
    .export("redis_rdb_bgsave_in_progress"),
    gauge("rdb_last_save_time", Unit::UnixSeconds, "When the last snapshot was written.", |at| {
        at.saves().last_save_s.into()
    })
    .export("redis_rdb_last_save_timestamp_seconds"),
    text("rdb_last_bgsave_status", "Whether the last snapshot in the background was written.", |at| {
        Value::status(at.saves().failed)
    })
    .export("redis_rdb_last_bgsave_status")
    .exported_as(Kind::Gauge),
    gauge(
        "rdb_last_bgsave_time_sec",
        Unit::Seconds,
        "Time that the last snapshot took; -1 without one.",
        |at| Value::seconds(at.saves().last_took_s),
    )
    .export("redis_rdb_last_bgsave_duration_sec"),
    gauge(
        "rdb_current_bgsave_time_sec",
        Unit::Seconds,
        "Time since the present snapshot began; -1 without one.",
        |at| Value::seconds(at.saves().current_s),
    )
    .export("redis_rdb_current_bgsave_duration_sec"),
    counter("rdb_saves", Unit::None, "Snapshots written.", |at| at.saves().saves.into())
        .export("redis_rdb_saves_total")
        .exported_as(Kind::Gauge),
    zero("rdb_last_cow_size", Unit::Bytes, "Memory copied for the last snapshot; snapshots copy none.")
        .export("redis_rdb_last_cow_size_bytes"),
    gauge(
        "rdb_last_load_keys_expired",
        Unit::None,
        "Keys left out of the last loading, as they had ended.",
        |at| at.server.loading.keys().1.into(),
    )
    .export("redis_rdb_last_load_expired_keys"),
    gauge("rdb_last_load_keys_loaded", Unit::None, "Keys of the last loading.", |at| {
        at.server.loading.keys().0.into()
    })
    .export("redis_rdb_last_load_loaded_keys"),
    gauge("aof_enabled", Unit::None, "Whether there is an append-only file.", |at| {
        at.append_only().enabled.into()
    })
    .export("redis_aof_enabled"),
    gauge("aof_rewrite_in_progress", Unit::None, "Whether the append-only file is being rewritten.", |at| {
        at.append_only().rewrites.into()
    })
    .export("redis_aof_rewrite_in_progress"),
    gauge(
        "aof_rewrite_scheduled",
        Unit::None,
        "Whether the append-only file is to be rewritten as soon as possible.",
        |at| at.append_only().scheduled.into(),
    )
    .export("redis_aof_rewrite_scheduled"),
    gauge(
        "aof_last_rewrite_time_sec",
        Unit::Seconds,
        "Time that the last rewrite of the append-only file took; -1 without one.",
        |at| Value::seconds(at.append_only().last_rewrite_s),
    )
    .export("redis_aof_last_rewrite_duration_sec"),
    gauge(
        "aof_current_rewrite_time_sec",
        Unit::Seconds,
        "Time since the present rewrite of the append-only file began; -1 without one.",
        |at| Value::seconds(at.append_only().current_rewrite_s),
    )
    .export("redis_aof_current_rewrite_duration_sec"),
    text("aof_last_bgrewrite_status", "Whether the last rewrite of the append-only file succeeded.", |at| {
        Value::status(at.append_only().rewrite_failed)
    })
    .export("redis_aof_last_bgrewrite_status")
    .exported_as(Kind::Gauge),
    counter("aof_rewrites", Unit::None, "Rewrites of the append-only file that were begun.", |at| {
        at.append_only().rewrite_count.into()
    })
    .export("kvarts_aof_rewrites_total"),
    gauge(
        "aof_rewrites_consecutive_failures",
        Unit::None,
        "Rewrites of the append-only file that have failed in a row.",
        |at| at.append_only().failures.into(),
    )
    .export("kvarts_aof_rewrites_consecutive_failures"),
    text("aof_last_write_status", "Whether the last write to the append-only file succeeded.", |at| {
        Value::status(at.append_only().write_failed)
    })
    .export("redis_aof_last_write_status")
    .exported_as(Kind::Gauge),
    zero("aof_last_cow_size", Unit::Bytes, "Memory copied for the last rewrite; rewrites copy none.")
        .export("redis_aof_last_cow_size_bytes"),
    zero("module_fork_in_progress", Unit::None, "Whether a module's child process runs; there are none.")
        .export("redis_module_fork_in_progress"),
    zero(
        "module_fork_last_cow_size",
        Unit::Bytes,
        "Memory copied for a module's child process; there are none.",
    )
    .export("redis_module_fork_last_cow_size"),
    zero(
        "slot_migration_fork_in_progress",
        Unit::None,
        "Whether a child process for a slot runs; there are none.",
    ),
    gauge("backup_in_progress", Unit::None, "Whether a backup is being made.", |at| {
        let backup = at.server.backups().map(|backups| backups.status()).unwrap_or_default();
        backup.phase.is_in_progress().into()
    })
    .export("kvarts_backup_in_progress"),
    gauge("aof_current_size", Unit::Bytes, "Size of the append-only file.", |at| {
        of_file(at, |figures| figures.current_bytes.into())
    })
    .export("redis_aof_current_size_bytes"),
    gauge("aof_base_size", Unit::Bytes, "Size of the append-only file after its last rewrite.", |at| {
        of_file(at, |figures| figures.base_bytes.into())
    })
    .export("redis_aof_base_size_bytes"),
    gauge(
        "aof_pending_rewrite",
        Unit::None,
        "Whether the append-only file is to be rewritten, as aof_rewrite_scheduled.",
        |at| of_file(at, |figures| figures.scheduled.into()),
    )
    .export("redis_aof_pending_rewrite"),
    gauge(
        "aof_buffer_length",
        Unit::Bytes,
        "Changes that are not written to the append-only file yet.",
        |at| of_file(at, |figures| figures.unwritten_bytes.into()),
    )
    .export("redis_aof_buffer_length"),
    gauge(
        "aof_pending_bio_fsync",
        Unit::None,
        "Whether a sync of the append-only file is under way.",
        |at| of_file(at, |figures| figures.syncs.into()),
    )
    .export("redis_aof_pending_bio_fsync"),
    counter(
        "aof_delayed_fsync",
        Unit::None,
        "How often writing went on although a sync had been under way for two seconds: the disk is too slow.",
        |at| of_file(at, |figures| figures.delayed_syncs.into()),
    )
    .export("redis_aof_delayed_fsync")
    .exported_as(Kind::Gauge),
    gauge("loading_start_time", Unit::UnixSeconds, "When the present loading began.", |at| {
        progress(at, |progress| (progress.started_ms / 1000).into())
    })
    .export("redis_loading_start_time"),
    gauge("loading_total_bytes", Unit::Bytes, "Bytes that are to be loaded.", |at| {
        progress(at, |progress| progress.total_bytes.into())
    })
    .export("kvarts_loading_bytes"),
    gauge("loading_rdb_used_mem", Unit::Bytes, "Memory that the writer of the snapshot used.", |at| {
        progress(at, |progress| progress.used_memory.into())
    }),
    gauge("loading_loaded_bytes", Unit::Bytes, "Bytes that have been loaded.", |at| {
        progress(at, |progress| progress.loaded_bytes.into())
    })
    .export("kvarts_loading_loaded_bytes"),
    gauge("loading_loaded_perc", Unit::Percent, "Bytes that have been loaded, in percent.", |at| {
        progress(at, |progress| Value::Fixed(progress.percent(), 2))
    }),
    gauge("loading_eta_seconds", Unit::Seconds, "Time to the end of the loading.", |at| {
        progress(at, |progress| progress.eta_s(at.now_ms).into())
    })
    .export("kvarts_loading_eta_seconds"),
];

fn of_file(at: &Sight<'_>, read: impl FnOnce(&Figures) -> Value) -> Value {
    at.append_only_if_on().map_or(Value::None, read)
}

fn progress(at: &Sight<'_>, read: impl FnOnce(&Progress) -> Value) -> Value {
    at.server.loading.progress().as_ref().map_or(Value::None, read)
}
