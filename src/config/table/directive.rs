//! The directives by name: one variant for each, in the order of the table.

/// A directive of the configuration. Its discriminant is its place in [`TABLE`](super::TABLE).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Directive {
    /// `bind`
    Bind,
    /// `port`
    Port,
    /// `read-only-port`
    ReadOnlyPort,
    /// `unixsocket`
    Unixsocket,
    /// `unixsocketperm`
    Unixsocketperm,
    /// `unixsocketgroup`
    Unixsocketgroup,
    /// `bind-source-addr`
    BindSourceAddr,
    /// `protected-mode`
    ProtectedMode,
    /// `timeout`
    Timeout,
    /// `tcp-keepalive`
    TcpKeepalive,
    /// `tcp-backlog`
    TcpBacklog,
    /// `mptcp`
    Mptcp,
    /// `socket-mark-id`
    SocketMarkId,
    /// `maxclients`
    Maxclients,
    /// `max-new-connections-per-cycle`
    MaxNewConnectionsPerCycle,
    /// `max-new-tls-connections-per-cycle`
    MaxNewTlsConnectionsPerCycle,
    /// `proto-max-bulk-len`
    ProtoMaxBulkLen,
    /// `client-query-buffer-limit`
    ClientQueryBufferLimit,
    /// `client-output-buffer-limit`
    ClientOutputBufferLimit,
    /// `maxmemory-clients`
    MaxmemoryClients,
    /// `io-threads`
    IoThreads,
    /// `prefetch-batch-max-size`
    PrefetchBatchMaxSize,
    /// `rdma-bind`
    RdmaBind,
    /// `rdma-port`
    RdmaPort,
    /// `rdma-rx-size`
    RdmaRxSize,
    /// `rdma-completion-vector`
    RdmaCompletionVector,
    /// `io-threads-always-active`
    IoThreadsAlwaysActive,
    /// `min-io-threads-avoid-copy-reply`
    MinIoThreadsAvoidCopyReply,
    /// `min-string-size-avoid-copy-reply`
    MinStringSizeAvoidCopyReply,
    /// `min-string-size-avoid-copy-reply-threaded`
    MinStringSizeAvoidCopyReplyThreaded,
    /// `tls-port`
    TlsPort,
    /// `tls-only`
    TlsOnly,
    /// `tls-auto-names`
    TlsAutoNames,
    /// `tls-cert-file`
    TlsCertFile,
    /// `tls-key-file`
    TlsKeyFile,
    /// `tls-key-file-pass`
    TlsKeyFilePass,
    /// `tls-client-cert-file`
    TlsClientCertFile,
    /// `tls-client-key-file`
    TlsClientKeyFile,
    /// `tls-client-key-file-pass`
    TlsClientKeyFilePass,
    /// `tls-dh-params-file`
    TlsDhParamsFile,
    /// `tls-ca-cert-file`
    TlsCaCertFile,
    /// `tls-ca-cert-dir`
    TlsCaCertDir,
    /// `tls-auth-clients`
    TlsAuthClients,
    /// `tls-auth-clients-user`
    TlsAuthClientsUser,
    /// `tls-protocols`
    TlsProtocols,
    /// `tls-ciphers`
    TlsCiphers,
    /// `tls-ciphersuites`
    TlsCiphersuites,
    /// `tls-prefer-server-ciphers`
    TlsPreferServerCiphers,
    /// `tls-session-caching`
    TlsSessionCaching,
    /// `tls-session-cache-size`
    TlsSessionCacheSize,
    /// `tls-session-cache-timeout`
    TlsSessionCacheTimeout,
    /// `tls-auto-reload-interval`
    TlsAutoReloadInterval,
    /// `tls-replication`
    TlsReplication,
    /// `tls-cluster`
    TlsCluster,
    /// `maxmemory`
    Maxmemory,
    /// `maxmemory-policy`
    MaxmemoryPolicy,
    /// `maxmemory-samples`
    MaxmemorySamples,
    /// `maxmemory-eviction-tenacity`
    MaxmemoryEvictionTenacity,
    /// `lfu-log-factor`
    LfuLogFactor,
    /// `lfu-decay-time`
    LfuDecayTime,
    /// `active-expire-effort`
    ActiveExpireEffort,
    /// `lazyfree-lazy-eviction`
    LazyfreeLazyEviction,
    /// `lazyfree-lazy-expire`
    LazyfreeLazyExpire,
    /// `lazyfree-lazy-server-del`
    LazyfreeLazyServerDel,
    /// `lazyfree-lazy-user-del`
    LazyfreeLazyUserDel,
    /// `lazyfree-lazy-user-flush`
    LazyfreeLazyUserFlush,
    /// `activerehashing`
    Activerehashing,
    /// `activedefrag`
    Activedefrag,
    /// `active-defrag-ignore-bytes`
    ActiveDefragIgnoreBytes,
    /// `active-defrag-threshold-lower`
    ActiveDefragThresholdLower,
    /// `active-defrag-threshold-upper`
    ActiveDefragThresholdUpper,
    /// `active-defrag-cycle-min`
    ActiveDefragCycleMin,
    /// `active-defrag-cycle-max`
    ActiveDefragCycleMax,
    /// `active-defrag-cycle-us`
    ActiveDefragCycleUs,
    /// `active-defrag-max-scan-fields`
    ActiveDefragMaxScanFields,
    /// `jemalloc-bg-thread`
    JemallocBgThread,
    /// `disable-thp`
    DisableThp,
    /// `oom-score-adj`
    OomScoreAdj,
    /// `oom-score-adj-values`
    OomScoreAdjValues,
    /// `tracking-table-max-keys`
    TrackingTableMaxKeys,
    /// `hash-max-listpack-entries`
    HashMaxListpackEntries,
    /// `hash-max-listpack-value`
    HashMaxListpackValue,
    /// `list-max-listpack-size`
    ListMaxListpackSize,
    /// `list-compress-depth`
    ListCompressDepth,
    /// `set-max-intset-entries`
    SetMaxIntsetEntries,
    /// `set-max-listpack-entries`
    SetMaxListpackEntries,
    /// `set-max-listpack-value`
    SetMaxListpackValue,
    /// `zset-max-listpack-entries`
    ZsetMaxListpackEntries,
    /// `zset-max-listpack-value`
    ZsetMaxListpackValue,
    /// `hll-sparse-max-bytes`
    HllSparseMaxBytes,
    /// `stream-node-max-bytes`
    StreamNodeMaxBytes,
    /// `stream-node-max-entries`
    StreamNodeMaxEntries,
    /// `save`
    Save,
    /// `dir`
    Dir,
    /// `dbfilename`
    Dbfilename,
    /// `rdbcompression`
    Rdbcompression,
    /// `rdbchecksum`
    Rdbchecksum,
    /// `rdb-del-sync-files`
    RdbDelSyncFiles,
    /// `rdb-save-incremental-fsync`
    RdbSaveIncrementalFsync,
    /// `rdb-version-check`
    RdbVersionCheck,
    /// `stop-writes-on-bgsave-error`
    StopWritesOnBgsaveError,
    /// `appendonly`
    Appendonly,
    /// `appendfilename`
    Appendfilename,
    /// `appenddirname`
    Appenddirname,
    /// `appendfsync`
    Appendfsync,
    /// `no-appendfsync-on-rewrite`
    NoAppendfsyncOnRewrite,
    /// `auto-aof-rewrite-percentage`
    AutoAofRewritePercentage,
    /// `auto-aof-rewrite-min-size`
    AutoAofRewriteMinSize,
    /// `aof-load-truncated`
    AofLoadTruncated,
    /// `aof-use-rdb-preamble`
    AofUseRdbPreamble,
    /// `aof-timestamp-enabled`
    AofTimestampEnabled,
    /// `aof-rewrite-incremental-fsync`
    AofRewriteIncrementalFsync,
    /// `aof-disable-auto-gc`
    AofDisableAutoGc,
    /// `rdb-key-save-delay`
    RdbKeySaveDelay,
    /// `key-load-delay`
    KeyLoadDelay,
    /// `loading-process-events-interval-bytes`
    LoadingProcessEventsIntervalBytes,
    /// `replicaof`
    Replicaof,
    /// `primaryauth`
    Primaryauth,
    /// `primaryuser`
    Primaryuser,
    /// `replica-serve-stale-data`
    ReplicaServeStaleData,
    /// `replica-read-only`
    ReplicaReadOnly,
    /// `replica-priority`
    ReplicaPriority,
    /// `replica-announced`
    ReplicaAnnounced,
    /// `replica-announce-ip`
    ReplicaAnnounceIp,
    /// `replica-announce-port`
    ReplicaAnnouncePort,
    /// `replica-ignore-maxmemory`
    ReplicaIgnoreMaxmemory,
    /// `replica-lazy-flush`
    ReplicaLazyFlush,
    /// `replica-ignore-disk-write-errors`
    ReplicaIgnoreDiskWriteErrors,
    /// `min-replicas-to-write`
    MinReplicasToWrite,
    /// `min-replicas-max-lag`
    MinReplicasMaxLag,
    /// `repl-timeout`
    ReplTimeout,
    /// `repl-ping-replica-period`
    ReplPingReplicaPeriod,
    /// `repl-backlog-size`
    ReplBacklogSize,
    /// `repl-backlog-ttl`
    ReplBacklogTtl,
    /// `repl-diskless-sync`
    ReplDisklessSync,
    /// `repl-diskless-sync-delay`
    ReplDisklessSyncDelay,
    /// `repl-diskless-sync-max-replicas`
    ReplDisklessSyncMaxReplicas,
    /// `repl-diskless-load`
    ReplDisklessLoad,
    /// `repl-disable-tcp-nodelay`
    ReplDisableTcpNodelay,
    /// `repl-mptcp`
    ReplMptcp,
    /// `dual-channel-replication-enabled`
    DualChannelReplicationEnabled,
    /// `propagation-error-behavior`
    PropagationErrorBehavior,
    /// `import-mode`
    ImportMode,
    /// `cluster-enabled`
    ClusterEnabled,
    /// `cluster-config-file`
    ClusterConfigFile,
    /// `cluster-config-save-behavior`
    ClusterConfigSaveBehavior,
    /// `cluster-databases`
    ClusterDatabases,
    /// `cluster-node-timeout`
    ClusterNodeTimeout,
    /// `cluster-port`
    ClusterPort,
    /// `cluster-announce-ip`
    ClusterAnnounceIp,
    /// `cluster-announce-port`
    ClusterAnnouncePort,
    /// `cluster-announce-tls-port`
    ClusterAnnounceTlsPort,
    /// `cluster-announce-bus-port`
    ClusterAnnounceBusPort,
    /// `cluster-announce-client-ipv4`
    ClusterAnnounceClientIpv4,
    /// `cluster-announce-client-ipv6`
    ClusterAnnounceClientIpv6,
    /// `cluster-announce-client-port`
    ClusterAnnounceClientPort,
    /// `cluster-announce-client-tls-port`
    ClusterAnnounceClientTlsPort,
    /// `cluster-announce-hostname`
    ClusterAnnounceHostname,
    /// `cluster-announce-human-nodename`
    ClusterAnnounceHumanNodename,
    /// `cluster-preferred-endpoint-type`
    ClusterPreferredEndpointType,
    /// `cluster-require-full-coverage`
    ClusterRequireFullCoverage,
    /// `cluster-allow-reads-when-down`
    ClusterAllowReadsWhenDown,
    /// `cluster-allow-pubsubshard-when-down`
    ClusterAllowPubsubshardWhenDown,
    /// `cluster-allow-replica-migration`
    ClusterAllowReplicaMigration,
    /// `cluster-migration-barrier`
    ClusterMigrationBarrier,
    /// `cluster-replica-validity-factor`
    ClusterReplicaValidityFactor,
    /// `cluster-replica-no-failover`
    ClusterReplicaNoFailover,
    /// `cluster-manual-failover-timeout`
    ClusterManualFailoverTimeout,
    /// `cluster-link-sendbuf-limit`
    ClusterLinkSendbufLimit,
    /// `cluster-blacklist-ttl`
    ClusterBlacklistTtl,
    /// `cluster-slot-stats-enabled`
    ClusterSlotStatsEnabled,
    /// `cluster-slot-migration-log-max-len`
    ClusterSlotMigrationLogMaxLen,
    /// `slot-migration-max-failover-repl-bytes`
    SlotMigrationMaxFailoverReplBytes,
    /// `cluster-ping-interval`
    ClusterPingInterval,
    /// `cluster-message-gossip-perc`
    ClusterMessageGossipPerc,
    /// `availability-zone`
    AvailabilityZone,
    /// `databases`
    Databases,
    /// `hz`
    Hz,
    /// `requirepass`
    Requirepass,
    /// `aclfile`
    Aclfile,
    /// `acl-pubsub-default`
    AclPubsubDefault,
    /// `acllog-max-len`
    AcllogMaxLen,
    /// `enable-debug-command`
    EnableDebugCommand,
    /// `enable-module-command`
    EnableModuleCommand,
    /// `enable-protected-configs`
    EnableProtectedConfigs,
    /// `notify-keyspace-events`
    NotifyKeyspaceEvents,
    /// `transaction-rollback`
    TransactionRollback,
    /// `busy-reply-threshold`
    BusyReplyThreshold,
    /// `lua-memory-limit`
    LuaMemoryLimit,
    /// `extended-redis-compatibility`
    ExtendedRedisCompatibility,
    /// `commandlog-execution-slower-than`
    CommandlogExecutionSlowerThan,
    /// `commandlog-slow-execution-max-len`
    CommandlogSlowExecutionMaxLen,
    /// `commandlog-request-larger-than`
    CommandlogRequestLargerThan,
    /// `commandlog-large-request-max-len`
    CommandlogLargeRequestMaxLen,
    /// `commandlog-reply-larger-than`
    CommandlogReplyLargerThan,
    /// `commandlog-large-reply-max-len`
    CommandlogLargeReplyMaxLen,
    /// `latency-monitor-threshold`
    LatencyMonitorThreshold,
    /// `latency-tracking`
    LatencyTracking,
    /// `latency-tracking-info-percentiles`
    LatencyTrackingInfoPercentiles,
    /// `loglevel`
    Loglevel,
    /// `logfile`
    Logfile,
    /// `log-format`
    LogFormat,
    /// `log-timestamp-format`
    LogTimestampFormat,
    /// `hide-user-data-from-log`
    HideUserDataFromLog,
    /// `syslog-enabled`
    SyslogEnabled,
    /// `syslog-ident`
    SyslogIdent,
    /// `syslog-facility`
    SyslogFacility,
    /// `crash-log-enabled`
    CrashLogEnabled,
    /// `crash-memcheck-enabled`
    CrashMemcheckEnabled,
    /// `shutdown-timeout`
    ShutdownTimeout,
    /// `shutdown-on-sigint`
    ShutdownOnSigint,
    /// `shutdown-on-sigterm`
    ShutdownOnSigterm,
    /// `daemonize`
    Daemonize,
    /// `supervised`
    Supervised,
    /// `pidfile`
    Pidfile,
    /// `always-show-logo`
    AlwaysShowLogo,
    /// `set-proc-title`
    SetProcTitle,
    /// `proc-title-template`
    ProcTitleTemplate,
    /// `locale-collate`
    LocaleCollate,
    /// `ignore-warnings`
    IgnoreWarnings,
    /// `hash-seed`
    HashSeed,
    /// `server-cpulist`
    ServerCpulist,
    /// `bio-cpulist`
    BioCpulist,
    /// `aof-rewrite-cpulist`
    AofRewriteCpulist,
    /// `bgsave-cpulist`
    BgsaveCpulist,
    /// `lua-enable-deprecated-api`
    LuaEnableDeprecatedApi,
    /// `lua-enable-insecure-api`
    LuaEnableInsecureApi,
    /// `use-exit-on-panic`
    UseExitOnPanic,
    /// `enable-debug-assert`
    EnableDebugAssert,
    /// `watchdog-period`
    WatchdogPeriod,
    /// `debug-context`
    DebugContext,
}

impl Directive {
    /// Number of directives.
    pub const COUNT: usize = 231;

    /// Place of the directive in the table.
    pub const fn index(self) -> usize {
        self as usize
    }
}
