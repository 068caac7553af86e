//! The cluster and what it tells its clients.

use super::{
    BOOL, COUNT, DATABASES_MAX, Directive as D, I32_MAX, I64_MAX, I64_MIN, Kind, PORT, SIZE, Spec, TEXT,
    U64_MAX, memory, spec,
};
use crate::config::check;

/// Rows of the table: name, values, default, text and effect of each directive.
pub(super) const SPECS: &[Spec] = &[
    spec(D::ClusterEnabled, "cluster-enabled", BOOL, "no", "Run as a cluster node.").active().immutable(),
    spec(
        D::ClusterConfigFile,
        "cluster-config-file",
        Kind::Text(Some(check::cluster_file)),
        "nodes.conf",
        "File in which a node keeps what it knows of the cluster.",
    )
    .immutable(),
    spec(
        D::ClusterConfigSaveBehavior,
        "cluster-config-save-behavior",
        Kind::Enum(&["sync", "best-effort"]),
        "sync",
        "What follows when that file cannot be written.",
    ),
    spec(
        D::ClusterDatabases,
        "cluster-databases",
        Kind::Integer { min: 1, max: DATABASES_MAX },
        "1",
        "Databases in cluster mode.",
    )
    .active()
    .immutable(),
    spec(
        D::ClusterNodeTimeout,
        "cluster-node-timeout",
        SIZE,
        "15000",
        "Milliseconds of silence after which a node counts as failed.",
    ),
    spec(D::ClusterPort, "cluster-port", PORT, "0", "Port of the cluster bus; 0 is port plus 10000.")
        .immutable(),
    spec(
        D::ClusterAnnounceIp,
        "cluster-announce-ip",
        Kind::Text(Some(check::announced_address)),
        "",
        "Address to tell clients instead of the one they came to.",
    )
    .active(),
    spec(
        D::ClusterAnnouncePort,
        "cluster-announce-port",
        PORT,
        "0",
        "Port to tell clients instead of the one listened on.",
    )
    .active(),
    spec(D::ClusterAnnounceTlsPort, "cluster-announce-tls-port", PORT, "0", "The same for TLS clients.")
        .active(),
    spec(D::ClusterAnnounceBusPort, "cluster-announce-bus-port", PORT, "0", "Bus port to tell other nodes.")
        .active(),
    spec(
        D::ClusterAnnounceClientIpv4,
        "cluster-announce-client-ipv4",
        Kind::Text(Some(check::ipv4)),
        "",
        "IPv4 address to tell clients only.",
    )
    .active(),
    spec(
        D::ClusterAnnounceClientIpv6,
        "cluster-announce-client-ipv6",
        Kind::Text(Some(check::ipv6)),
        "",
        "IPv6 address to tell clients only.",
    )
    .active(),
    spec(
        D::ClusterAnnounceClientPort,
        "cluster-announce-client-port",
        PORT,
        "0",
        "Port to tell clients only.",
    )
    .active(),
    spec(
        D::ClusterAnnounceClientTlsPort,
        "cluster-announce-client-tls-port",
        PORT,
        "0",
        "TLS port to tell clients only.",
    )
    .active(),
    spec(
        D::ClusterAnnounceHostname,
        "cluster-announce-hostname",
        Kind::Text(Some(check::host_name)),
        "",
        "Host name to tell clients, but for those that call a name of `tls-auto-names`.",
    )
    .active(),
    spec(
        D::ClusterAnnounceHumanNodename,
        "cluster-announce-human-nodename",
        Kind::Text(Some(check::node_name)),
        "",
        "Name of the node in logs.",
    )
    .active(),
    spec(
        D::ClusterPreferredEndpointType,
        "cluster-preferred-endpoint-type",
        Kind::Enum(&["ip", "hostname", "unknown-endpoint"]),
        "ip",
        "What redirects and slot maps name a node by.",
    )
    .active(),
    spec(
        D::ClusterRequireFullCoverage,
        "cluster-require-full-coverage",
        BOOL,
        "yes",
        "Refuse requests while a slot has no node.",
    ),
    spec(
        D::ClusterAllowReadsWhenDown,
        "cluster-allow-reads-when-down",
        BOOL,
        "no",
        "Answer reads while the cluster is down.",
    ),
    spec(
        D::ClusterAllowPubsubshardWhenDown,
        "cluster-allow-pubsubshard-when-down",
        BOOL,
        "yes",
        "Serve sharded channels while the cluster is down.",
    ),
    spec(
        D::ClusterAllowReplicaMigration,
        "cluster-allow-replica-migration",
        BOOL,
        "yes",
        "Let replicas move to primaries that have none.",
    ),
    spec(
        D::ClusterMigrationBarrier,
        "cluster-migration-barrier",
        COUNT,
        "1",
        "Replicas a primary keeps when others move away.",
    ),
    spec(
        D::ClusterReplicaValidityFactor,
        "cluster-replica-validity-factor",
        COUNT,
        "10",
        "How old the data of a replica may be, in node timeouts, for it to be promoted; 0 is any age.",
    )
    .alias("cluster-slave-validity-factor"),
    spec(
        D::ClusterReplicaNoFailover,
        "cluster-replica-no-failover",
        BOOL,
        "no",
        "Never promote this replica by itself.",
    )
    .alias("cluster-slave-no-failover"),
    spec(
        D::ClusterManualFailoverTimeout,
        "cluster-manual-failover-timeout",
        Kind::Integer { min: 1, max: I32_MAX },
        "5000",
        "Milliseconds a failover asked for may take.",
    ),
    spec(
        D::ClusterLinkSendbufLimit,
        "cluster-link-sendbuf-limit",
        memory(0, U64_MAX),
        "0",
        "Bytes that may wait on a bus link; 0 is no limit.",
    ),
    spec(
        D::ClusterBlacklistTtl,
        "cluster-blacklist-ttl",
        Kind::Integer { min: I64_MIN, max: I64_MAX },
        "60",
        "Seconds a forgotten node is kept out.",
    ),
    spec(
        D::ClusterSlotStatsEnabled,
        "cluster-slot-stats-enabled",
        BOOL,
        "no",
        "Count what each slot is used for.",
    )
    .active(),
    spec(
        D::ClusterSlotMigrationLogMaxLen,
        "cluster-slot-migration-log-max-len",
        SIZE,
        "1000",
        "Slot moves remembered.",
    ),
    spec(
        D::SlotMigrationMaxFailoverReplBytes,
        "slot-migration-max-failover-repl-bytes",
        Kind::SignedMemory { min: -1 },
        "0",
        "Bytes a slot move may lag behind when it is finished; -1 is any number.",
    ),
    spec(
        D::ClusterPingInterval,
        "cluster-ping-interval",
        SIZE,
        "0",
        "Milliseconds between pings on the bus.",
    )
    .hidden(),
    spec(
        D::ClusterMessageGossipPerc,
        "cluster-message-gossip-perc",
        Kind::Integer { min: 1, max: 100 },
        "10",
        "Share in percent of the nodes that one bus message tells of.",
    )
    .hidden(),
    spec(
        D::AvailabilityZone,
        "availability-zone",
        TEXT,
        "",
        "Where the server stands, for clients that prefer what is near.",
    )
    .active(),
];
