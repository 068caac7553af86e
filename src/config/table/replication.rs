//! Primaries and replicas.

use super::{BOOL, COUNT, Directive as D, I32_MAX, Kind, PORT, SIGNED_MAX, SIZE, Spec, TEXT, memory, spec};

/// Rows of the table: name, values, default, text and effect of each directive.
pub(super) const SPECS: &[Spec] = &[
    spec(D::Replicaof, "replicaof", Kind::ReplicaOf, "", "Host and port of the primary to follow.")
        .active()
        .immutable()
        .multi()
        .alias("slaveof"),
    spec(D::Primaryauth, "primaryauth", TEXT, "", "Password to show to the primary.")
        .active()
        .secret()
        .alias("masterauth"),
    spec(D::Primaryuser, "primaryuser", TEXT, "", "User to log in as at the primary.")
        .active()
        .secret()
        .alias("masteruser"),
    spec(
        D::ReplicaServeStaleData,
        "replica-serve-stale-data",
        BOOL,
        "yes",
        "Answer reads while the primary is away.",
    )
    .active()
    .alias("slave-serve-stale-data"),
    spec(D::ReplicaReadOnly, "replica-read-only", BOOL, "yes", "Refuse writes on a replica.")
        .active()
        .alias("slave-read-only"),
    spec(
        D::ReplicaPriority,
        "replica-priority",
        COUNT,
        "100",
        "Rank among the replicas to be promoted, lowest first; 0 never.",
    )
    .active()
    .alias("slave-priority"),
    spec(D::ReplicaAnnounced, "replica-announced", BOOL, "yes", "Let monitors list this replica.").active(),
    spec(
        D::ReplicaAnnounceIp,
        "replica-announce-ip",
        TEXT,
        "",
        "Address to tell the primary instead of the one seen.",
    )
    .active()
    .alias("slave-announce-ip"),
    spec(
        D::ReplicaAnnouncePort,
        "replica-announce-port",
        PORT,
        "0",
        "Port to tell the primary instead of the one listened on.",
    )
    .active()
    .alias("slave-announce-port"),
    spec(
        D::ReplicaIgnoreMaxmemory,
        "replica-ignore-maxmemory",
        BOOL,
        "yes",
        "Leave eviction to the primary.",
    )
    .active()
    .alias("slave-ignore-maxmemory"),
    spec(
        D::ReplicaLazyFlush,
        "replica-lazy-flush",
        BOOL,
        "yes",
        "Free the old data in the background before a full copy.",
    )
    .alias("slave-lazy-flush"),
    spec(
        D::ReplicaIgnoreDiskWriteErrors,
        "replica-ignore-disk-write-errors",
        BOOL,
        "no",
        "Let a replica go on when it cannot write to disk.",
    ),
    spec(
        D::MinReplicasToWrite,
        "min-replicas-to-write",
        COUNT,
        "0",
        "Replicas without which writes are refused. Until one has followed, the read-only port counts as one.",
    )
    .active()
    .alias("min-slaves-to-write"),
    spec(
        D::MinReplicasMaxLag,
        "min-replicas-max-lag",
        COUNT,
        "10",
        "Seconds of silence after which a replica does not count; 0 asks for no replica.",
    )
    .active()
    .alias("min-slaves-max-lag"),
    spec(
        D::ReplTimeout,
        "repl-timeout",
        Kind::Integer { min: 1, max: I32_MAX },
        "60",
        "Seconds of silence after which a replication link is given up.",
    )
    .active(),
    spec(
        D::ReplPingReplicaPeriod,
        "repl-ping-replica-period",
        Kind::Integer { min: 1, max: I32_MAX },
        "10",
        "Seconds between pings to replicas.",
    )
    .active()
    .alias("repl-ping-slave-period"),
    spec(
        D::ReplBacklogSize,
        "repl-backlog-size",
        memory(1, SIGNED_MAX),
        "10mb",
        "Bytes of recent writes kept for replicas that come back.",
    )
    .active(),
    spec(
        D::ReplBacklogTtl,
        "repl-backlog-ttl",
        SIZE,
        "3600",
        "Seconds without replicas after which that backlog is freed; 0 never.",
    )
    .active(),
    spec(
        D::ReplSpillSize,
        "repl-spill-size",
        memory(0, SIGNED_MAX),
        "1gb",
        "Bytes of writes kept in a file in dir for replicas that are too far behind for memory; 0 keeps none.",
    )
    .active(),
    spec(D::ReplDisklessSync, "repl-diskless-sync", BOOL, "yes", "Send the full copy without a file.")
        .active(),
    spec(
        D::ReplDisklessSyncDelay,
        "repl-diskless-sync-delay",
        COUNT,
        "5",
        "Seconds to wait for more replicas before a full copy.",
    )
    .active(),
    spec(
        D::ReplDisklessSyncMaxReplicas,
        "repl-diskless-sync-max-replicas",
        COUNT,
        "0",
        "Replicas to wait for at most; 0 waits the whole delay.",
    )
    .active(),
    spec(
        D::ReplDisklessLoad,
        "repl-diskless-load",
        Kind::Enum(&["disabled", "on-empty-db", "swapdb", "flush-before-load"]),
        "disabled",
        "When a replica loads the full copy without a file.",
    )
    .waits_for_data(),
    spec(
        D::ReplDisableTcpNodelay,
        "repl-disable-tcp-nodelay",
        BOOL,
        "no",
        "Gather small packets on replication links.",
    ),
    spec(D::ReplMptcp, "repl-mptcp", BOOL, "no", "Use Multipath TCP on replication links.").immutable(),
    spec(
        D::DualChannelReplicationEnabled,
        "dual-channel-replication-enabled",
        BOOL,
        "no",
        "Send the full copy and new writes on two connections.",
    ),
    spec(
        D::PropagationErrorBehavior,
        "propagation-error-behavior",
        Kind::Enum(&["ignore", "panic", "panic-on-replicas"]),
        "ignore",
        "What follows when a replicated command fails.",
    ),
    spec(D::ImportMode, "import-mode", BOOL, "no", "Keep expired keys while another server fills this one.")
        .active(),
];
