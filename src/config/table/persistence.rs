//! Snapshots and the append-only file.

use super::{BOOL, COUNT, Directive as D, I32_MAX, I32_MIN, Kind, SIGNED_MAX, Spec, memory, spec};
use crate::config::check;

/// Rows of the table: name, values, default, text and effect of each directive.
pub(super) const SPECS: &[Spec] = &[
    spec(
        D::Save,
        "save",
        Kind::SavePoints,
        "3600 1 300 100 60 10000",
        "Pairs of seconds and changes after which a snapshot is written; empty writes none.",
    ).active()
    .multi(),
    spec(D::Dir, "dir", Kind::Directory, "", "Folder for every file the server writes.")
        .active()
        .protected()
        .waits_for_data(),
    spec(
        D::Dbfilename,
        "dbfilename",
        Kind::Text(Some(check::database_file)),
        "dump.rdb",
        "Name of the snapshot file.",
    ).active()
    .protected(),
    spec(D::Rdbcompression, "rdbcompression", BOOL, "yes", "Compress strings of 64 bytes and more in snapshots.").active(),
    spec(D::Rdbchecksum, "rdbchecksum", BOOL, "yes", "End snapshots with a checksum.").active().immutable(),
    spec(
        D::RdbDelSyncFiles,
        "rdb-del-sync-files",
        BOOL,
        "no",
        "Remove snapshot files that only replication needed.",
    ),
    spec(
        D::RdbSaveIncrementalFsync,
        "rdb-save-incremental-fsync",
        BOOL,
        "yes",
        "Flush a snapshot to disk bit by bit while it is written.",
    ).active(),
    spec(
        D::RdbVersionCheck,
        "rdb-version-check",
        Kind::Enum(&["strict", "relaxed"]),
        "strict",
        "Whether snapshots of unknown versions are refused.",
    )
    .active(),
    spec(
        D::RdbVersion,
        "rdb-version",
        Kind::Enum(&["auto", "11", "80"]),
        "auto",
        "Version of snapshots that are written: 11 is read by all, 80 by Valkey from 9.0 on; auto is 11 unless hash fields have expiries.",
    ).active(),
    spec(
        D::StopWritesOnBgsaveError,
        "stop-writes-on-bgsave-error",
        BOOL,
        "yes",
        "Refuse writes after a snapshot failed.",
    ).active(),
    spec(D::Appendonly, "appendonly", BOOL, "no", "Log every write to the append-only file.")
        .active()
        .waits_for_data(),
    spec(
        D::Appendfilename,
        "appendfilename",
        Kind::Text(Some(check::append_file)),
        "appendonly.aof",
        "Base name of the append-only files.",
    ).active()
    .immutable(),
    spec(
        D::Appenddirname,
        "appenddirname",
        Kind::Text(Some(check::append_folder)),
        "appendonlydir",
        "Folder of the append-only files, inside dir.",
    ).active()
    .immutable(),
    spec(
        D::Appendfsync,
        "appendfsync",
        Kind::Enum(&["everysec", "always", "no"]),
        "everysec",
        "When the append-only file is flushed to disk.",
    ).active(),
    spec(
        D::NoAppendfsyncOnRewrite,
        "no-appendfsync-on-rewrite",
        BOOL,
        "no",
        "Do not flush the append-only file while it is rewritten.",
    ).active(),
    spec(
        D::AutoAofRewritePercentage,
        "auto-aof-rewrite-percentage",
        COUNT,
        "100",
        "Growth in percent after which the append-only file is rewritten.",
    ).active(),
    spec(
        D::AutoAofRewriteMinSize,
        "auto-aof-rewrite-min-size",
        memory(0, SIGNED_MAX),
        "64mb",
        "Size below which the append-only file is not rewritten.",
    ).active(),
    spec(
        D::AofLoadTruncated,
        "aof-load-truncated",
        BOOL,
        "yes",
        "Start although the append-only file ends in the middle of an entry.",
    ).active(),
    spec(
        D::AofUseRdbPreamble,
        "aof-use-rdb-preamble",
        BOOL,
        "yes",
        "Begin a rewritten append-only file with a snapshot.",
    ).active(),
    spec(
        D::AofTimestampEnabled,
        "aof-timestamp-enabled",
        BOOL,
        "no",
        "Note the time in the append-only file.",
    ).active(),
    spec(
        D::AofRewriteIncrementalFsync,
        "aof-rewrite-incremental-fsync",
        BOOL,
        "yes",
        "Flush a rewritten append-only file bit by bit while it is written.",
    ).active(),
    spec(
        D::AofDisableAutoGc,
        "aof-disable-auto-gc",
        BOOL,
        "no",
        "Keep append-only files that are no longer needed.",
    ).active()
    .hidden(),
    spec(
        D::Backupdirname,
        "backupdirname",
        Kind::Text(Some(check::backup_folder)),
        "backupdir",
        "Folder of BACKUP's files, inside dir.",
    ).active(),
    spec(
        D::BackupSealedTtl,
        "backup-sealed-ttl",
        COUNT,
        "0",
        "Seconds after which a sealed backup is removed; 0 keeps it.",
    ).active(),
    spec(
        D::RdbKeySaveDelay,
        "rdb-key-save-delay",
        Kind::Integer { min: I32_MIN, max: I32_MAX },
        "0",
        "Microseconds to wait after each key that is saved, for tests.",
    ).active()
    .hidden(),
    spec(
        D::KeyLoadDelay,
        "key-load-delay",
        Kind::Integer { min: I32_MIN, max: I32_MAX },
        "0",
        "Microseconds to wait after each key that is loaded, for tests.",
    )
    .active()
    .hidden(),
    spec(
        D::LoadingProcessEventsIntervalBytes,
        "loading-process-events-interval-bytes",
        Kind::Integer { min: 1024, max: I32_MAX },
        "2097152",
        "Bytes loaded between two looks at waiting clients.",
    )
    .hidden(),
];
