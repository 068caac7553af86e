//! Listening, connections and their limits.

use super::{
    BOOL, COUNT, Directive as D, Kind, PER_CYCLE, PORT, SIGNED_MAX, Spec, TEXT, U32, U32_MAX, UNSET_PORT,
    memory, spec,
};
use crate::config::check;

/// Rows of the table: name, values, default, text and effect of each directive.
pub(super) const SPECS: &[Spec] = &[
    spec(
        D::Bind,
        "bind",
        Kind::Words,
        "* -::*",
        "Addresses to listen on; a leading - lets one that is missing pass.",
    )
    .active()
    .multi(),
    spec(D::Port, "port", PORT, "6379", "Port for TLS and plain clients; 0 listens on none.").active(),
    spec(
        D::ReadOnlyPort,
        "read-only-port",
        UNSET_PORT,
        "",
        "Port that serves reads only; unset means 6380 while port is 6379, else none.",
    )
    .active(),
    spec(D::Unixsocket, "unixsocket", TEXT, "", "Path of a Unix socket to listen on.").active().immutable(),
    spec(
        D::Unixsocketperm,
        "unixsocketperm",
        Kind::Octal { max: 0o777 },
        "0",
        "Mode of the Unix socket, in octal; 0 leaves it to the umask.",
    )
    .active()
    .immutable(),
    spec(D::Unixsocketgroup, "unixsocketgroup", TEXT, "", "Group that owns the Unix socket.").immutable(),
    spec(D::BindSourceAddr, "bind-source-addr", TEXT, "", "Local address of the link to a primary.").active(),
    spec(
        D::ProtectedMode,
        "protected-mode",
        BOOL,
        "yes",
        "Refuse clients from other hosts while the default user has no password.",
    )
    .active(),
    spec(
        D::Timeout,
        "timeout",
        COUNT,
        "0",
        "Seconds without a request after which a client is disconnected; 0 never.",
    )
    .active(),
    spec(
        D::TcpKeepalive,
        "tcp-keepalive",
        COUNT,
        "300",
        "Seconds between TCP keepalive probes; 0 sends none.",
    )
    .active(),
    spec(D::TcpBacklog, "tcp-backlog", COUNT, "511", "Length of the queue of connections not yet accepted.")
        .active()
        .immutable(),
    spec(D::Mptcp, "mptcp", BOOL, "no", "Accept Multipath TCP.").immutable(),
    spec(
        D::SocketMarkId,
        "socket-mark-id",
        U32,
        "0",
        "Mark put on the sockets for the host's routing; 0 puts none.",
    )
    .immutable(),
    spec(
        D::Maxclients,
        "maxclients",
        Kind::Integer { min: 1, max: U32_MAX },
        "10000",
        "Clients that may be connected at once.",
    )
    .active(),
    spec(
        D::MaxNewConnectionsPerCycle,
        "max-new-connections-per-cycle",
        PER_CYCLE,
        "10",
        "Plain connections accepted before other work gets its turn.",
    ),
    spec(
        D::MaxNewTlsConnectionsPerCycle,
        "max-new-tls-connections-per-cycle",
        PER_CYCLE,
        "1",
        "TLS connections accepted before other work gets its turn.",
    ),
    spec(
        D::ProtoMaxBulkLen,
        "proto-max-bulk-len",
        memory(1 << 20, SIGNED_MAX),
        "512mb",
        "Longest string one argument may be.",
    )
    .active(),
    spec(
        D::ClientQueryBufferLimit,
        "client-query-buffer-limit",
        memory(1 << 20, SIGNED_MAX),
        "1gb",
        "Bytes of unread requests a client may have queued.",
    )
    .active(),
    spec(
        D::ClientOutputBufferLimit,
        "client-output-buffer-limit",
        Kind::OutputBufferLimits,
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        "By class: hard limit, soft limit and seconds over it until a slow reader is disconnected.",
    )
    .active()
    .multi(),
    spec(
        D::MaxmemoryClients,
        "maxmemory-clients",
        Kind::MemoryOrPercent,
        "0",
        "Memory all clients together may use, in bytes or percent of maxmemory; 0 is no limit.",
    )
    .active(),
    spec(
        D::IoThreads,
        "io-threads",
        Kind::Integer { min: 1, max: 256 },
        "1",
        "Worker threads; 1 means one for each core.",
    )
    .active(),
    spec(
        D::PrefetchBatchMaxSize,
        "prefetch-batch-max-size",
        Kind::Integer { min: 0, max: 128 },
        "16",
        "Requests of one batch whose keys are fetched ahead of running them.",
    ),
    spec(
        D::MetricsPort,
        "metrics-port",
        PORT,
        "0",
        "Port that serves the console at /, and /metrics, /healthz and /readyz to anybody who reaches it, over HTTP or, with metrics-tls, HTTPS; 0 for none.",
    )
    .active(),
    spec(
        D::MetricsBind,
        "metrics-bind",
        Kind::Words,
        "127.0.0.1 -::1",
        "Addresses that metrics-port listens on; a leading - lets one that is missing pass.",
    )
    .active()
    .multi(),
    spec(
        D::MetricsTls,
        "metrics-tls",
        BOOL,
        "no",
        "Speak HTTPS at metrics-port, with the certificate and settings of TLS clients, and answer nothing over plain HTTP.",
    )
    .active(),
    spec(
        D::Console,
        "console",
        Kind::Enum(&["no", "read-only", "yes"]),
        "yes",
        "Serve the console at / of metrics-port: not, only to look, or to change things as well, as far as the user may.",
    )
    .active(),
    spec(
        D::ConsoleHosts,
        "console-hosts",
        Kind::Words,
        "",
        "Names that browsers may call the console by, and scrapers that are told names of keys, beside localhost, IP addresses and those of metrics-bind.",
    )
    .active()
    .multi(),
    spec(
        D::RdmaBind,
        "rdma-bind",
        Kind::Text(Some(check::no_rdma)),
        "",
        "Address for RDMA clients, which are not supported.",
    ),
    spec(D::RdmaPort, "rdma-port", Kind::NoRdmaPort, "0", "Port for RDMA clients, which are not supported."),
    spec(
        D::RdmaRxSize,
        "rdma-rx-size",
        Kind::Integer { min: 65536, max: 16_777_216 },
        "1048576",
        "Receive buffer of an RDMA connection in bytes.",
    )
    .immutable(),
    spec(
        D::RdmaCompletionVector,
        "rdma-completion-vector",
        Kind::Integer { min: -1, max: 1024 },
        "-1",
        "Completion vector of an RDMA connection.",
    )
    .immutable(),
    spec(D::IoThreadsAlwaysActive, "io-threads-always-active", BOOL, "no", "Keep every worker thread awake.")
        .hidden(),
    spec(
        D::MinIoThreadsAvoidCopyReply,
        "min-io-threads-avoid-copy-reply",
        COUNT,
        "7",
        "Worker threads from which on replies are written without a copy.",
    )
    .hidden(),
    spec(
        D::MinStringSizeAvoidCopyReply,
        "min-string-size-avoid-copy-reply",
        COUNT,
        "16384",
        "Bytes from which on a string is written without a copy.",
    )
    .hidden(),
    spec(
        D::MinStringSizeAvoidCopyReplyThreaded,
        "min-string-size-avoid-copy-reply-threaded",
        COUNT,
        "65536",
        "The same with several worker threads.",
    )
    .hidden(),
];
