//! Databases, access, scripts, logs and the process.

use super::{
    BOOL, COUNT, DATABASES_MAX, Directive as D, I32_MAX, I64_MAX, Kind, SIZE, Spec, TEXT, memory, spec,
};
use crate::config::check;

/// Rows of the table: name, values, default, text and effect of each directive.
pub(super) const SPECS: &[Spec] = &[
    spec(
        D::Databases,
        "databases",
        Kind::Integer { min: 1, max: DATABASES_MAX },
        "16",
        "Number of databases. One takes memory from when something is first written to it.",
    )
    .active()
    .immutable(),
    spec(
        D::Hz,
        "hz",
        Kind::Clamped { min: 0, max: I32_MAX, low: 1, high: 500 },
        "10",
        "How often a second background work is looked after.",
    )
    .active(),
    spec(D::Requirepass, "requirepass", TEXT, "", "Password of the default user.").active().secret(),
    spec(D::Aclfile, "aclfile", TEXT, "", "File of ACL users.").active().immutable(),
    spec(
        D::AclPubsubDefault,
        "acl-pubsub-default",
        Kind::Enum(&["allchannels", "resetchannels"]),
        "resetchannels",
        "Whether a new user may use all channels or none.",
    )
    .active(),
    spec(D::AcllogMaxLen, "acllog-max-len", SIZE, "128", "Refused requests remembered by ACL LOG.").active(),
    spec(
        D::EnableDebugCommand,
        "enable-debug-command",
        Kind::Enum(&["no", "yes", "local"]),
        "no",
        "Who may use DEBUG.",
    )
    .active()
    .immutable(),
    spec(
        D::EnableModuleCommand,
        "enable-module-command",
        Kind::Enum(&["no", "yes", "local"]),
        "no",
        "Who may use MODULE.",
    )
    .active()
    .immutable(),
    spec(
        D::EnableProtectedConfigs,
        "enable-protected-configs",
        Kind::Enum(&["no", "yes", "local"]),
        "no",
        "Who may change protected directives.",
    )
    .active()
    .immutable(),
    spec(
        D::NotifyKeyspaceEvents,
        "notify-keyspace-events",
        Kind::KeyspaceEvents,
        "",
        "Classes of changes that are published on channels: K of keys, E of events; with S, T, I and V also which fields of a hash were changed, as Redis 8.8 does, and which members of a set were given or lost an expiry (sexpire, spersist) or have ended (sexpired).",
    )
    .active(),
    spec(
        D::TransactionRollback,
        "transaction-rollback",
        BOOL,
        "no",
        "Undo a transaction or script that fails half way.",
    )
    .active(),
    spec(
        D::BusyReplyThreshold,
        "busy-reply-threshold",
        SIZE,
        "5000",
        "Milliseconds after which a running script lets other clients be told so.",
    )
    .active()
    .alias("lua-time-limit"),
    spec(
        D::LuaMemoryLimit,
        "lua-memory-limit",
        memory(0, I64_MAX as u64),
        "0",
        "Bytes that the scripts of one thread may hold before they fail with \"not enough memory\". 0 stands for a quarter of `maxmemory`, or for 256 MB where that is 0.",
    )
    .active(),
    spec(
        D::ExtendedRedisCompatibility,
        "extended-redis-compatibility",
        BOOL,
        "no",
        "Name itself redis where a client may look.",
    ),
    spec(
        D::CommandlogExecutionSlowerThan,
        "commandlog-execution-slower-than",
        Kind::Integer { min: -1, max: I64_MAX },
        "10000",
        "Microseconds from which on a command is logged as slow; -1 logs none.",
    )
    .active()
    .alias("slowlog-log-slower-than"),
    spec(
        D::CommandlogSlowExecutionMaxLen,
        "commandlog-slow-execution-max-len",
        SIZE,
        "128",
        "Slow commands remembered.",
    )
    .active()
    .alias("slowlog-max-len"),
    spec(
        D::SlowRequestsSlowerThan,
        "slow-requests-slower-than",
        Kind::Integer { min: -1, max: I64_MAX },
        "10000",
        "Microseconds, from when a worker takes a request up until its reply is in the socket, from which on KVARTS SLOW keeps it with the parts of its time; -1 keeps none.",
    )
    .active(),
    spec(
        D::SlowRequestsMaxLen,
        "slow-requests-max-len",
        SIZE,
        "128",
        "Slow requests that KVARTS SLOW keeps.",
    )
    .active(),
    spec(
        D::SlowlogEntryMaxArgc,
        "slowlog-entry-max-argc",
        Kind::Integer { min: 1, max: I32_MAX },
        "32",
        "Arguments that an entry of COMMANDLOG keeps of a command; the last says how many are left out.",
    )
    .active(),
    spec(
        D::SlowlogEntryMaxStringLen,
        "slowlog-entry-max-string-len",
        Kind::Integer { min: 1, max: I32_MAX },
        "128",
        "Bytes that an entry of COMMANDLOG keeps of an argument.",
    )
    .active(),
    spec(
        D::SlowlogEntryNewerFields,
        "slowlog-entry-newer-fields",
        BOOL,
        "no",
        "Whether entries of `SLOWLOG GET` have, behind the six elements of Valkey and of Redis up to 8.8, what Redis 8.10 added: how many arguments the whole command had. The processor time that Redis 8.12 adds is not among them.",
    )
    .active(),
    spec(
        D::CommandlogRequestLargerThan,
        "commandlog-request-larger-than",
        Kind::Integer { min: -1, max: I64_MAX },
        "1048576",
        "Bytes from which on a request is logged as large; -1 logs none.",
    )
    .active(),
    spec(
        D::CommandlogLargeRequestMaxLen,
        "commandlog-large-request-max-len",
        SIZE,
        "128",
        "Large requests remembered.",
    )
    .active(),
    spec(
        D::CommandlogReplyLargerThan,
        "commandlog-reply-larger-than",
        Kind::Integer { min: -1, max: I64_MAX },
        "1048576",
        "Bytes from which on a reply is logged as large; -1 logs none.",
    )
    .active(),
    spec(
        D::CommandlogLargeReplyMaxLen,
        "commandlog-large-reply-max-len",
        SIZE,
        "128",
        "Large replies remembered.",
    )
    .active(),
    spec(
        D::LatencyMonitorThreshold,
        "latency-monitor-threshold",
        SIZE,
        "0",
        "Milliseconds from which on an event is sampled; 0 samples none.",
    )
    .active(),
    spec(D::LatencyTracking, "latency-tracking", BOOL, "yes", "Keep the latency of each command.").active(),
    spec(
        D::LatencyTrackingInfoPercentiles,
        "latency-tracking-info-percentiles",
        Kind::Percentiles,
        "50 99 99.9",
        "Percentiles that INFO latencystats shows.",
    )
    .active()
    .multi(),
    spec(
        D::KeySizes,
        "key-sizes",
        BOOL,
        "no",
        "Keep the sizes of big keys and of a sample of all keys, for KVARTS BIGKEYS and KVARTS PREFIXES: up to about 15 MB, as part of used_memory_overhead. Switched on while there are keys, these are walked through in the background first.",
    )
    .active(),
    spec(
        D::HotkeysTopK,
        "hotkeys-top-k",
        Kind::Integer { min: 0, max: 1000 },
        "0",
        "How many keys HOTKEYS GET shows of those that are used most; 0 counts none.",
    )
    .active(),
    spec(
        D::HotkeysSamplingPercentage,
        "hotkeys-sampling-percentage",
        Kind::Integer { min: 1, max: 100 },
        "1",
        "Least percentage of all accesses that are counted for HOTKEYS GET and KVARTS PREFIXES: each worker counts some 400 a second, and all of fewer.",
    )
    .active(),
    spec(
        D::HotkeysWindowSeconds,
        "hotkeys-window-seconds",
        Kind::Integer { min: 1, max: 300 },
        "1",
        "Seconds of the window whose accesses HOTKEYS GET shows.",
    )
    .active(),
    spec(
        D::Loglevel,
        "loglevel",
        Kind::Enum(&["debug", "verbose", "notice", "warning", "nothing"]),
        "notice",
        "Least weighty messages that are logged.",
    )
    .active(),
    spec(D::Logfile, "logfile", TEXT, "", "File to log to; empty is the standard output.")
        .active()
        .immutable(),
    spec(
        D::LogFormat,
        "log-format",
        Kind::Aliased(&[("legacy", 0), ("text", 0), ("logfmt", 1), ("json", 2)]),
        "legacy",
        "Form of a log line: legacy (or text), logfmt or json.",
    )
    .active(),
    spec(
        D::LogTimestampFormat,
        "log-timestamp-format",
        Kind::Enum(&["legacy", "iso8601", "milliseconds"]),
        "legacy",
        "Form of the time in a log line, which is UTC.",
    )
    .active(),
    spec(
        D::HideUserDataFromLog,
        "hide-user-data-from-log",
        BOOL,
        "yes",
        "Keep keys, values and arguments out of the log.",
    )
    .active(),
    spec(D::SyslogEnabled, "syslog-enabled", BOOL, "no", "Log to syslog as well.").active().immutable(),
    spec(D::SyslogIdent, "syslog-ident", TEXT, "kvarts", "Name in syslog.").active().immutable(),
    spec(
        D::SyslogFacility,
        "syslog-facility",
        Kind::Enum(&["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"]),
        "local0",
        "Facility in syslog.",
    )
    .active()
    .immutable(),
    spec(D::CrashLogEnabled, "crash-log-enabled", BOOL, "yes", "Log a report when the process crashes."),
    spec(
        D::CrashMemcheckEnabled,
        "crash-memcheck-enabled",
        BOOL,
        "yes",
        "Test the memory when the process crashes.",
    ),
    spec(
        D::ShutdownTimeout,
        "shutdown-timeout",
        COUNT,
        "10",
        "Seconds to wait for replicas before the server ends.",
    )
    .active(),
    spec(D::ShutdownOnSigint, "shutdown-on-sigint", Kind::ShutdownFlags, "default", "How to end on SIGINT.")
        .active()
        .multi(),
    spec(
        D::ShutdownOnSigterm,
        "shutdown-on-sigterm",
        Kind::ShutdownFlags,
        "default",
        "How to end on SIGTERM.",
    )
    .active()
    .multi(),
    spec(D::Daemonize, "daemonize", BOOL, "no", "Run in the background.").immutable(),
    spec(
        D::Supervised,
        "supervised",
        Kind::Enum(&["upstart", "systemd", "auto", "no"]),
        "no",
        "Tell a service manager when the server is ready.",
    )
    .immutable(),
    spec(D::Pidfile, "pidfile", TEXT, "", "File to write the process id to.").immutable(),
    spec(D::AlwaysShowLogo, "always-show-logo", BOOL, "no", "Print a logo at the start.").immutable(),
    spec(
        D::SetProcTitle,
        "set-proc-title",
        BOOL,
        "yes",
        "Show the state of the server in the process title.",
    )
    .immutable(),
    spec(
        D::ProcTitleTemplate,
        "proc-title-template",
        Kind::Text(Some(check::process_title)),
        "{title} {listen-addr} {server-mode}",
        "Form of the process title.",
    ),
    spec(
        D::LocaleCollate,
        "locale-collate",
        Kind::Text(Some(check::locale)),
        "",
        "Locale for comparing strings.",
    ),
    spec(D::IgnoreWarnings, "ignore-warnings", TEXT, "", "Warnings that do not stop the start."),
    spec(D::HashSeed, "hash-seed", TEXT, "", "Seed of the hash functions; empty is random.").immutable(),
    spec(D::ServerCpulist, "server-cpulist", TEXT, "", "Cores for the worker threads.")
        .immutable()
        .alias("server_cpulist"),
    spec(D::BioCpulist, "bio-cpulist", TEXT, "", "Cores for background threads.")
        .immutable()
        .alias("bio_cpulist"),
    spec(D::AofRewriteCpulist, "aof-rewrite-cpulist", TEXT, "", "Cores for rewriting the append-only file.")
        .immutable()
        .alias("aof_rewrite_cpulist"),
    spec(D::BgsaveCpulist, "bgsave-cpulist", TEXT, "", "Cores for writing snapshots.")
        .immutable()
        .alias("bgsave_cpulist"),
    spec(
        D::LuaEnableInsecureApi,
        "lua-enable-insecure-api",
        BOOL,
        "no",
        "Offer getfenv, setfenv and newproxy to scripts of EVAL.",
    )
    .alias("lua-enable-deprecated-api")
    .hidden()
    .protected()
    .active(),
    spec(D::UseExitOnPanic, "use-exit-on-panic", BOOL, "no", "End without a core file on a fatal error.")
        .hidden(),
    spec(D::EnableDebugAssert, "enable-debug-assert", BOOL, "no", "Check more than needed, for tests.")
        .hidden()
        .immutable(),
    spec(
        D::WatchdogPeriod,
        "watchdog-period",
        COUNT,
        "0",
        "Milliseconds without progress after which a report is logged; 0 never.",
    )
    .hidden(),
    spec(D::DebugContext, "debug-context", TEXT, "", "Words to add to reports, for tests.").hidden(),
];
