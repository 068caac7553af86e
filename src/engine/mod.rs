//! The server: everything that its clients share, and the way of a request from bytes to reply.

mod account;
pub mod append_only;
pub mod applier;
pub mod backup;
pub mod batch;
mod blockers;
pub(crate) mod busy;
pub mod client;
pub(crate) mod client_text;
pub mod command;
pub(crate) mod context;
mod delays;
pub mod ending;
pub(crate) mod endpoints;
pub(crate) mod eviction;
mod execute;
pub mod failover;
pub mod field_sets;
pub mod following;
mod giving_back;
pub mod health;
pub(crate) mod heavy;
pub mod holders;
pub mod hot_keys;
pub(crate) mod judge;
pub mod key_report;
pub(crate) mod link;
pub(crate) mod memory;
pub(crate) mod monitor;
pub(crate) mod network;
pub(crate) mod observe;
mod oom_score;
mod overtaken;
pub(crate) mod own_keys;
mod past;
pub mod profile;
pub mod reading_again;
pub(crate) mod replication;
pub(crate) mod replies;
mod request;
pub(crate) mod rights;
mod role;
pub mod room;
pub mod saving;
pub(crate) mod serve_waiting;
mod simulate;
mod streak;
pub(crate) mod sweeper;
pub(crate) mod transaction;
pub mod trouble;
mod upkeep;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::acl::Acl;
use crate::cluster::ClusterState;

use crate::config::{Config, Directive};
use crate::effects::Effects;
use crate::journal::Journal;
use crate::keyspace::Keyspace;
use crate::keyspace::evict::Evictor;
use crate::keyspace::reaper::FreeReason;
use crate::keyspace::snapshot::Snapshot;
use crate::logging::LogSwitch;
use crate::logging::limit::LogLimit;
use crate::lua::Scripting;
use crate::shared::clients::Clients;
use crate::shared::clock::Clock;
use crate::shared::commandlog::{CommandLogs, LogKind};
use crate::shared::durability::Durability;
use crate::shared::http::HttpCounts;
use crate::shared::latency::LatencyMonitor;
use crate::shared::loading::Loading;
use crate::shared::pause::Pause;
use crate::shared::pubsub::PubSub;
use crate::shared::settings::Settings;
use crate::shared::simulation::Simulation;
use crate::shared::slow_requests::SlowRequests;
use crate::shared::stats::{Counter, Rates, Stats};
use busy::HeldUp;
use command::Commands;
use health::Health;
use heavy::HeavyCommands;
use hot_keys::HotKeys;
use key_report::KeyReports;
use monitor::Monitors;
use observe::Observation;

/// A server without its sockets.
pub struct Server {
    /// The configuration.
    pub config: Arc<Config>,
    /// What the hot path needs of the configuration, ready to use.
    pub settings: Settings,
    /// Command table: finds the entry and the function of a request.
    pub commands: Commands,
    /// All databases: slots with their locks, records, times of expiry.
    pub keyspace: Keyspace,
    /// Listeners to changes of keys: keyspace events, WATCH, waiting clients, client-side caches.
    pub effects: Effects,
    /// Subscriptions to channels and patterns; [`Effects`] publishes through the same object.
    pub pubsub: Arc<PubSub>,
    /// Connected clients by their ids, and the limit of their number.
    pub clients: Clients,
    /// Users and what they may do.
    pub acl: Acl,
    /// Scripts and functions.
    pub scripting: Scripting,
    /// Signs of life of workers and threads, and what the watch over them found.
    pub health: Health,
    /// The largest keys and prefixes, as they were last looked for.
    pub key_reports: KeyReports,
    /// The keys that clients use most.
    pub hot_keys: HotKeys,
    /// Commands that take long.
    pub heavy: HeavyCommands,
    /// Clients whose requests wait for these, or for scripts, without a thread each.
    pub held_up: HeldUp,
    /// The pause that CLIENT PAUSE began: which commands wait, and until when.
    pub pause: Pause,
    /// How far the loading of data has come.
    pub loading: Loading,
    /// The only source of time: monotonic nanoseconds and Unix time. Tests move a manual one.
    pub clock: Arc<Clock>,
    /// Counters of each worker; INFO adds them up (hits and misses, calls, errors, bytes).
    pub stats: Stats,
    /// The slot table and this node's name.
    pub cluster: ClusterState,
    /// Faults that are rehearsed.
    pub simulation: Simulation,
    /// What keys were before they changed, while reads that are late are rehearsed.
    pub past: past::Past,
    /// The profile of a cloud service that the server behaves by; `None` without one.
    pub profile: Option<Box<profile::InForce>>,
    /// What the server is called and since when it runs.
    pub identity: Identity,
    /// Logs of commands: COMMANDLOG, LATENCY, MONITOR.
    pub logs: Logs,
    /// What happens at the port for figures.
    pub http: HttpCounts,
    /// State of the threads that expire, evict and measure in the background.
    pub upkeep: Upkeep,
    /// Changes counted outside batches: those of active expiry and eviction.
    pub changes: AtomicU64,
    /// Whether RESTORE takes payloads with a wrong checksum (DEBUG SET-SKIP-CHECKSUM-VALIDATION).
    pub skips_checksums: AtomicBool,
    /// How far changes are on disk, and who waits for that.
    pub durability: Durability,
    /// The primary that this server follows.
    pub following: following::Following,
    /// Who follows this server, and in which history.
    pub replication: replication::Replication,
    /// Who waits for replicas before the end.
    pub ending: ending::Ending,
    /// The system's score of the process.
    pub oom_score: oom_score::OomScore,
    /// The append-only file for commands, served by `persistence`; unset in a server without files.
    append_only: std::sync::OnceLock<Arc<dyn append_only::AppendOnly>>,
    backups: std::sync::OnceLock<Arc<dyn backup::Backups>>,
    /// Handle by which CONFIG SET changes level and form of the program's log; unset in tests, which have
    /// none.
    log: std::sync::OnceLock<LogSwitch>,
    /// Access to sockets for commands (ports, MIGRATE), served by `net`; unset in a server without sockets.
    /// Whether the last snapshot in the background failed.
    pub snapshot_failed: AtomicBool,
    /// Snapshot files for commands, written by `persistence`; unset in a server without files.
    saving: std::sync::OnceLock<Arc<dyn saving::Saving>>,
    network: std::sync::OnceLock<Arc<dyn network::Network>>,
    shutdown: tokio::sync::watch::Sender<bool>,
}

/// What a server is called, since when it runs, and where.
pub struct Identity {
    /// 40 hex digits, new at each start.
    pub run_id: String,
    /// When it started, in milliseconds of Unix time.
    pub started_ms: u64,
    /// Threads that run commands.
    pub workers: usize,
    /// Bytes that were in use when the server had been made (`used_memory_startup`).
    pub memory_startup: u64,
    /// Where the listeners really listen (the configured ports may have been 0).
    pub ports: parking_lot::RwLock<Ports>,
}

/// What is logged and shown of commands that ran.
#[derive(Default)]
pub struct Logs {
    /// Thresholds (time, request bytes, reply bytes) from which on a command goes to COMMANDLOG or LATENCY.
    pub observation: Observation,
    /// COMMANDLOG and SLOWLOG.
    pub commandlogs: CommandLogs,
    /// Requests that took long, with the parts of their time.
    pub slow_requests: SlowRequests,
    /// The clients in MONITOR.
    pub monitors: Monitors,
    /// Events that took longer than `latency-monitor-threshold`, as LATENCY shows them.
    pub latency: LatencyMonitor,
    /// How often lines are logged that clients can cause again and again.
    pub log_limits: LogLimits,
}

/// What the threads work with that expire, evict and measure in the background.
pub struct Upkeep {
    /// Whether active expiry is on (DEBUG SET-ACTIVE-EXPIRE).
    pub active_expiry: AtomicBool,
    /// When what the last sweep has left where it was is due, as somebody held its slot or all of them, in
    /// milliseconds of Unix time; `u64::MAX` where it has left nothing.
    pub expiry_held_up_ms: AtomicU64,
    /// Lines about payloads that RESTORE refuses.
    pub bad_payloads: LogLimit,
    /// Microseconds that the append-only file's writer waits before it writes (DEBUG AOF-FLUSH-SLEEP).
    pub aof_flush_sleep_us: AtomicU64,
    /// Taken for a whole sweep of expired keys, so that the sweeper's thread and DEBUG or a test never sweep
    /// at once.
    pub sweeping: parking_lot::Mutex<crate::keyspace::turns::Trying>,
    /// Pool of good candidates, kept from one eviction to the next.
    pub evictor: parking_lot::Mutex<Evictor>,
    /// Bytes of clients that are being closed, as of the last look at clients over `maxmemory-clients`.
    pub leaving_bytes: AtomicU64,
    /// When clients were last looked at for the sake of keys, in nanoseconds of the monotonic clock.
    pub clients_looked_ns: AtomicU64,
    /// Held while clients over `maxmemory-clients` are looked for.
    pub evicting_clients: parking_lot::Mutex<()>,
    /// Whether memory was over its limit and nothing could be evicted, when that was last tried.
    pub found_nothing_to_evict: AtomicBool,
    /// Commands that were refused for want of memory.
    pub memory_refusals: eviction::MemoryRefusals,
    /// How long the memory has been over its limit.
    pub time_over: eviction::TimeOver,
    /// Wakes the thread that evicts in the background.
    pub keeper: eviction::KeeperCall,
    /// Highest memory use seen, in bytes.
    pub memory_peak: AtomicU64,
    /// Commands and bytes per second for INFO, renewed once a second by [`Server::measure_rates`].
    pub rates: parking_lot::RwLock<Rates>,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self {
            active_expiry: AtomicBool::new(true),
            expiry_held_up_ms: AtomicU64::new(u64::MAX),
            bad_payloads: LogLimit::default(),
            aof_flush_sleep_us: AtomicU64::new(0),
            sweeping: parking_lot::Mutex::default(),
            evictor: parking_lot::Mutex::default(),
            leaving_bytes: AtomicU64::new(0),
            clients_looked_ns: AtomicU64::new(0),
            evicting_clients: parking_lot::Mutex::default(),
            found_nothing_to_evict: AtomicBool::new(false),
            memory_refusals: eviction::MemoryRefusals::default(),
            time_over: eviction::TimeOver::default(),
            keeper: eviction::KeeperCall::default(),
            memory_peak: AtomicU64::new(0),
            rates: parking_lot::RwLock::default(),
        }
    }
}

/// Limits of log lines, each for one kind.
#[derive(Debug, Default)]
pub struct LogLimits {
    /// A client that speaks HTTP.
    pub other_protocol: LogLimit,
    /// A connection that could not be accepted.
    pub accept: LogLimit,
    /// A TLS handshake that failed for a reason of our own.
    pub handshake: LogLimit,
}

/// Ports listened on; 0 for none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// Plain, and TLS too unless `tls_only`.
    pub main: u16,
    /// TLS only.
    pub tls: u16,
    /// The read-only port.
    pub read_only: u16,
}

impl Server {
    /// Makes a server without sockets and threads. `workers` is the number of threads that will run commands.
    pub fn new(commands: Commands, config: Arc<Config>, clock: Clock, workers: usize) -> Server {
        let clock = Arc::new(clock);
        let pubsub = Arc::new(PubSub::new());
        let cluster_enabled = config.flag(Directive::ClusterEnabled);
        let databases =
            config.int(if cluster_enabled { Directive::ClusterDatabases } else { Directive::Databases });
        let stats = Stats::new(workers, commands.entries().len());
        let acl = Acl::new(commands.entries().len(), &config.bytes(Directive::Requirepass));
        let mut server = Server {
            settings: Settings::new(&config),
            effects: Effects::new(Arc::clone(&pubsub), Arc::clone(&clock)),
            keyspace: Keyspace::new(databases.max(1) as usize, workers, fastrand::u64(..)),
            commands,
            pubsub,
            clients: Clients::new(),
            acl,
            scripting: Scripting::new(),
            health: Health::new(workers),
            key_reports: KeyReports::default(),
            hot_keys: HotKeys::new(workers),
            heavy: HeavyCommands::default(),
            held_up: HeldUp::default(),
            pause: Pause::new(),
            loading: Loading::default(),
            stats,
            cluster: ClusterState::new(cluster_enabled),
            simulation: Simulation::default(),
            past: past::Past::default(),
            profile: None,
            identity: Identity {
                run_id: crate::random::hex(40),
                started_ms: clock.now_ms(),
                workers,
                memory_startup: 0,
                ports: parking_lot::RwLock::default(),
            },
            logs: Logs::default(),
            http: HttpCounts::default(),
            upkeep: Upkeep::default(),
            changes: AtomicU64::new(0),
            skips_checksums: AtomicBool::new(false),
            clock,
            durability: Durability::default(),
            following: following::Following::default(),
            replication: replication::Replication::default(),
            ending: ending::Ending::default(),
            oom_score: oom_score::OomScore::default(),
            append_only: std::sync::OnceLock::new(),
            backups: std::sync::OnceLock::new(),
            log: std::sync::OnceLock::new(),
            snapshot_failed: AtomicBool::new(false),
            saving: std::sync::OnceLock::new(),
            network: std::sync::OnceLock::new(),
            shutdown: tokio::sync::watch::channel(false).0,
            config,
        };
        if server.config.flag(Directive::KeySizes) {
            server.keyspace.sizes.switch_on();
        }
        server.apply_settings();
        let share = memory::share_for_waiting();
        server.clients.unread_max.store(share, Ordering::Relaxed);
        server.following.unfinished_max.store(share / 2, Ordering::Relaxed);
        server.identity.memory_startup = server.used_memory();
        server
    }

    /// Copies directives to where they are read: settings, limits, thresholds. Called at start and after
    /// CONFIG SET.
    pub fn apply_settings(&self) {
        self.settings.load(&self.config);
        self.load_following();
        self.resize_backlog();
        self.end_waits_without_file();
        for (loss, directive) in [
            (FreeReason::Evicted, Directive::LazyfreeLazyEviction),
            (FreeReason::Expired, Directive::LazyfreeLazyExpire),
            (FreeReason::Overwritten, Directive::LazyfreeLazyServerDel),
            (FreeReason::Deleted, Directive::LazyfreeLazyUserDel),
        ] {
            self.keyspace.reaper.set_lazy(loss, self.config.flag(directive));
        }
        if let Some(switch) = self.log.get() {
            switch.load(&self.config);
        }
        self.effects.set_events(self.config.keyspace_events());
        self.pubsub.set_limit(self.settings.pubsub_limit());
        self.effects.tracking.set_limits(
            self.config.int(Directive::TrackingTableMaxKeys).max(0) as usize,
            self.settings.monitor_limit(),
            self.settings.pubsub_limit(),
            self.clock.now_ms(),
        );
        self.logs.observation.load(&self.config);
        self.apply_slow_requests();
        self.keyspace.sizes.want(self.config.flag(Directive::KeySizes));
        self.apply_hot_keys();
        self.logs.latency.set_threshold_ms(self.config.int(Directive::LatencyMonitorThreshold).max(0) as u64);
        for (kind, directive) in [
            (LogKind::Slow, Directive::CommandlogSlowExecutionMaxLen),
            (LogKind::LargeRequest, Directive::CommandlogLargeRequestMaxLen),
            (LogKind::LargeReply, Directive::CommandlogLargeReplyMaxLen),
        ] {
            self.logs.commandlogs.set_max_len(kind, self.config.int(directive).max(0) as usize);
        }
        self.stats.set_tracks_latency(self.config.flag(Directive::LatencyTracking));
    }

    /// Gives CONFIG SET the handle of the program's log. A second call has no effect.
    pub fn set_log_switch(&self, switch: LogSwitch) {
        // The program has one log, and sets it once.
        let _ = self.log.set(switch);
    }

    /// Begins a snapshot of the data; `None` where one is running, or the data are being read again. Waits until
    /// nobody else is in the keyspace or `give_up` says so, and calls `at_begin` at the instant of the snapshot.
    pub fn begin_snapshot(
        &self,
        give_up: &dyn Fn() -> bool,
        at_begin: impl FnOnce(),
    ) -> Option<Snapshot<'_>> {
        // What is applied and not relayed would be in the data, and behind the position too.
        let _stream = self.following.hold_stream_unless(give_up)?;
        let exclusive = self.be_alone_unless(give_up)?;
        if self.loading.is_partial() {
            return None;
        }
        let snapshot = Snapshot::begin(&self.keyspace, &exclusive)?;
        at_begin();
        Some(snapshot)
    }

    /// The stream of changes.
    pub fn journal(&self) -> &Journal {
        &self.effects.journal
    }

    /// Asks all connections, listeners and the program to end.
    pub fn request_shutdown(&self) {
        self.shutdown.send_replace(true);
    }

    /// Returns a receiver that becomes true when the server is asked to end.
    pub fn shutdown_signal(&self) -> tokio::sync::watch::Receiver<bool> {
        self.shutdown.subscribe()
    }

    /// Renews the rates of INFO; called once a second.
    pub fn measure_rates(&self) {
        let totals = [
            Counter::CommandsProcessed,
            Counter::NetInputBytes,
            Counter::NetOutputBytes,
            Counter::NetReplInputBytes,
            Counter::NetReplOutputBytes,
        ]
        .map(|counter| self.stats.sum(counter));
        self.upkeep.rates.write().measure(self.clock.monotonic_ns(), totals);
    }

    /// Adds changes of keys that were made outside batches.
    pub fn count_changes(&self, by: u64) {
        if by > 0 {
            self.changes.fetch_add(by, Ordering::Relaxed);
        }
    }
}
