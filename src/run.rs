//! Starting and ending a server with its sockets and threads.

mod beside;
mod compat;
mod hand_over;
pub mod health_check;
pub mod tls_export;

use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hand_over::HandOver;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, oneshot};

use crate::command::table::RenameError;
use crate::config::{Config, Directive};
use crate::engine::command::Commands;
use crate::engine::eviction::Keeper;
use crate::engine::health::Watch;
use crate::engine::profile::InForce;
use crate::engine::saving::EndError;
use crate::engine::sweeper::Sweeper;
use crate::engine::{Ports, Server};
use crate::http::{HttpPort, WithHttp};
use crate::net::Listening;
use crate::net::listener::{self, ListenError};
use crate::net::ports::{ListeningPorts, fit_maxclients};
use crate::net::tls::{TlsError, TlsSource};
use crate::persistence::aof::{AofError, AppendOnlyFile};
use crate::persistence::backup::Backup;
use crate::persistence::copies::CopyMaker;
use crate::persistence::files::{Disk, Files};
use crate::persistence::lock::FolderError;
use crate::persistence::rdb;
use crate::persistence::rdb::load::{LoadError, Purpose};
use crate::persistence::save::Saver;
use crate::persistence::spill::SpillFile;
use crate::profile::ProfileError;
use crate::replication::failover::Step;
use crate::shared::clock::Clock;
use crate::worker;

/// Why a server did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The system gave no threads.
    #[error("could not start threads: {0}")]
    Threads(#[from] std::io::Error),
    /// An address could not be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A line of `rename-command` cannot be followed.
    #[error("rename-command {name}: {error}")]
    Rename {
        /// The old name.
        name: String,
        /// Why not.
        error: RenameError,
    },
    /// `simulate` cannot be followed.
    #[error("simulate: {0}")]
    Simulate(String),
    /// `compat-report` or `compat-fail` cannot be followed.
    #[error("{0}")]
    Compat(String),
    /// The profile is of no use with these commands.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The users of the configuration or of `aclfile` could not be read.
    #[error("could not load users: {0}")]
    Users(String),
    /// The data could not be loaded.
    #[error("Fatal error loading the DB: {0}. Exiting.")]
    Load(#[from] LoadError),
    /// A certificate or key could not be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The append-only file could not be loaded or written.
    #[error(transparent)]
    AppendOnly(#[from] AofError),
    /// Another server writes its snapshots into the same file.
    #[error("{0}. Give each server a dir or dbfilename of its own, or no save points (save '')")]
    Snapshots(#[from] FolderError),
}

/// A running server. Ends it when dropped.
pub struct Handle {
    server: Arc<Server>,
    sweeper: Option<Sweeper>,
    keeper: Option<Keeper>,
    watch: Option<Watch>,
    saver: Arc<Saver>,
    copies: Arc<CopyMaker>,
    append_only: Arc<AppendOnlyFile>,
    backup: Arc<Backup>,
    spill: SpillFile,
    runtime: Option<tokio::runtime::Runtime>,
    tls: Arc<TlsSource>,
    /// Signals that [`wait`](Self::wait) acts on; `None` without them.
    signals: Mutex<Option<Signals>>,
    /// How the loading of data ends; `None` once that is known.
    loading: Mutex<Option<oneshot::Receiver<Result<(), StartError>>>>,
    /// The thread that loads data.
    loader: Option<JoinHandle<()>>,
    /// Whether a signal has asked for the end, and it is being prepared.
    prepares_end: AtomicBool,
    /// The port for figures; `None` before it was opened.
    http: Option<Arc<HttpPort>>,
    /// Path of the unix socket that this server made and removes at its end.
    socket_file: Option<String>,
}

/// Starts a server: when this returns, clients can connect, and the data are loaded.
///
/// # Errors
/// Addresses that cannot be listened on, certificates or data that cannot be read.
pub fn start(config: Config, clock: Clock) -> Result<Handle, StartError> {
    start_with_files(config, clock, Arc::new(Disk))
}

/// Does what [`start`] does, without waiting until the data are loaded: see [`Handle::wait_until_loaded`].
///
/// # Errors
/// Addresses that cannot be listened on, certificates that cannot be read.
pub fn start_loading(config: Config, clock: Clock) -> Result<Handle, StartError> {
    start_server(config, clock, false, Arc::new(Disk))
}

/// Does what [`start`] does, with files of another kind: tests have some of them fail.
///
/// # Errors
/// As there.
pub fn start_with_files(config: Config, clock: Clock, files: Arc<dyn Files>) -> Result<Handle, StartError> {
    let handle = start_server(config, clock, false, files)?;
    handle.wait_until_loaded()?;
    Ok(handle)
}

/// Does what [`start_loading`] does, for the one server of a program: takes over signals before the first
/// client can connect.
///
/// # Errors
/// As there.
pub fn start_with_signals(config: Config, clock: Clock) -> Result<Handle, StartError> {
    start_server(config, clock, true, Arc::new(Disk))
}

fn start_server(
    config: Config,
    clock: Clock,
    with_signals: bool,
    files: Arc<dyn Files>,
) -> Result<Handle, StartError> {
    let workers = worker_count(&config);
    let config = Arc::new(config);
    let mut commands = commands_of(&config)?;
    let profile = InForce::new(&config, &mut commands)?;
    let mut server = Server::new(commands, Arc::clone(&config), clock, workers);
    if let Some(profile) = &profile {
        tracing::info!(profile = profile.name, warns = profile.warns(), "behaves as a cloud service does");
    }
    server.set_profile(profile);
    compat::prepare(&server.config)?;
    if with_signals {
        server.ending.keep_connections();
    }
    let server = Arc::new(server);
    let busy = Arc::new(worker::Busy::new(workers));
    let runtime = worker_runtime(workers, &server, &busy)?;
    let signals = with_signals.then(|| {
        let _inside = runtime.enter();
        Signals::take()
    });
    server.simulate_configured().map_err(StartError::Simulate)?;
    let tls = Arc::new(TlsSource::new(config));
    server.load_configured_users().map_err(StartError::Users)?;
    let figures_over_tls =
        server.config.flag(Directive::MetricsTls) && server.config.int(Directive::MetricsPort) != 0;
    if server.config.flag(Directive::TlsOnly) || figures_over_tls {
        // So that no first client has to fail before there is an authority to be trusted.
        tls.server_config()?;
    }
    let saver = Saver::new(&server, Arc::clone(&files));
    saver.lock()?;
    server.set_saving(Arc::new(Arc::clone(&saver)));
    let hand_over = HandOver::new(Arc::clone(&server.health.workers));
    server.scripting.set_give_way(Arc::new(move |pause| hand_over.give_way(pause)));
    let copies = CopyMaker::new(&server, Arc::clone(&files));
    server.set_full_copies(Arc::new(Arc::clone(&copies)));
    let append_only = AppendOnlyFile::new(&server, Arc::clone(&files), busy);
    let backup = Backup::new(&server, Arc::clone(&files));
    server.set_backups(Arc::new(Arc::clone(&backup)));
    server.following.set_copies(Arc::new(rdb::take::CopyLoader::new(&server)));
    let spill = SpillFile::start(&server, Arc::clone(&files))?;
    let sweeper = Sweeper::start(Arc::clone(&server))?;
    let called = Arc::new(Notify::new());
    let watch = watch_health(&server, &runtime, Arc::clone(&called))?;
    let tasks = runtime.handle().clone();
    let keeper = Keeper::start(Arc::clone(&server), move |time| stir(&tasks, workers, time))?;
    // From here on an early return drops the handle, which ends what was started.
    let mut handle = Handle {
        server: Arc::clone(&server),
        sweeper: Some(sweeper),
        keeper: Some(keeper),
        watch: Some(watch),
        saver,
        copies,
        append_only: Arc::clone(&append_only),
        backup: Arc::clone(&backup),
        spill,
        runtime: Some(runtime),
        tls: Arc::clone(&tls),
        signals: Mutex::new(signals),
        loading: Mutex::new(None),
        loader: None,
        prepares_end: AtomicBool::new(false),
        http: None,
        socket_file: None,
    };
    let data = Data::of(&server);
    if data.is_some() {
        // Before the first client can connect.
        server.loading.begin(server.clock.now_ms());
    }
    if let Some(runtime) = &handle.runtime {
        let _inside = runtime.enter();
        let listening = Listening { server: Arc::clone(&server), tls: Arc::clone(&tls) };
        let (http, socket_file) = listen(runtime, listening)?;
        (handle.http, handle.socket_file) = (Some(http), socket_file);
        runtime.spawn(housekeeping(Arc::clone(&server), called));
        runtime.spawn(crate::net::syncing::sync_for_waiting(Arc::clone(&server)));
        runtime.spawn(look_after_certificates(Arc::clone(&server), Arc::clone(&tls)));
        runtime.spawn(look_after_replicas(Arc::clone(&server)));
        runtime.spawn(look_after_files(append_only, backup));
        server.follow_configured_primary();
        server.tell_oom_score_of_role();
        runtime.spawn(crate::net::primary::follow(Arc::clone(&server), tls));
    }
    // Tools wait for this line, which says nothing about the data.
    tracing::info!("Server initialized");
    if let Some(data) = data {
        handle.load(server, data, files)?;
    }
    Ok(handle)
}

/// All commands, by the names that `rename-command` gives them.
fn commands_of(config: &Config) -> Result<Commands, StartError> {
    let mut commands = Commands::new(&crate::commands::groups());
    for (old, new) in config.renames() {
        let name = || String::from_utf8_lossy(old).into_owned();
        commands.rename(old, new).map_err(|error| StartError::Rename { name: name(), error })?;
    }
    Ok(commands)
}

/// Where the data are at the start.
enum Data {
    /// In the append-only file.
    AppendOnly,
    /// In a snapshot.
    Snapshot(PathBuf),
}

impl Data {
    fn of(server: &Server) -> Option<Data> {
        if server.config.flag(Directive::Appendonly) {
            return Some(Data::AppendOnly);
        }
        rdb::existing_file(server).map(Data::Snapshot)
    }
}

impl Handle {
    /// The server behind the sockets.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The ports listened on.
    pub fn ports(&self) -> Ports {
        *self.server.identity.ports.read()
    }

    /// What connections can be made of: `tcp`, `unix`, `tls`. The main port speaks TLS as well; it counts as
    /// `tcp` unless `tls-only` says otherwise.
    pub fn connection_kinds(&self) -> Vec<&'static str> {
        let ports = self.ports();
        let tls_only = self.server.config.flag(Directive::TlsOnly);
        let kinds = [
            ("tcp", ports.main != 0 && !tls_only),
            ("unix", self.socket_file.is_some()),
            ("tls", ports.tls != 0 || ports.main != 0 && tls_only),
        ];
        kinds.into_iter().filter(|(_, is_there)| *is_there).map(|(kind, _)| kind).collect()
    }

    /// Moves the clock forward, and has everything follow that depends on it.
    pub fn advance_clock(&self, by_ms: u64) {
        self.server.clock.advance_ms(by_ms);
        self.server.clock_was_moved();
    }

    /// Asks the server to end.
    pub fn request_shutdown(&self) {
        self.server.request_shutdown();
    }

    /// Begins to load the data, on a thread of their own.
    fn load(&mut self, server: Arc<Server>, data: Data, files: Arc<dyn Files>) -> Result<(), StartError> {
        let (sender, receiver) = oneshot::channel();
        let append_only = Arc::clone(&self.append_only);
        let loader = std::thread::Builder::new().name("kvarts-loader".into()).spawn(move || {
            let loaded = match data {
                Data::AppendOnly => append_only.open(&server).map_err(StartError::from),
                Data::Snapshot(path) => {
                    let loaded = rdb::load_data(&server, &*files, &path, Purpose::Data);
                    loaded.map(|stream| server.resume_stream(stream)).map_err(StartError::from)
                }
            };
            if loaded.is_ok() {
                server.loading.end();
            }
            // Fails where the server has been dropped meanwhile, which needs no answer.
            let _ = sender.send(loaded);
        })?;
        self.loader = Some(loader);
        *self.loading.lock() = Some(receiver);
        Ok(())
    }

    /// Waits until the data are loaded. Returns false where the end was asked for before.
    ///
    /// # Errors
    /// Data that cannot be loaded: the server is of no use then.
    pub fn wait_until_loaded(&self) -> Result<bool, StartError> {
        let Some(mut loaded) = self.loading.lock().take() else { return Ok(true) };
        let Some(runtime) = &self.runtime else { return Ok(true) };
        let mut ending = self.server.shutdown_signal();
        let mut signals = self.signals.lock().take();
        let outcome = runtime.block_on(async {
            let followed = self.follow(&mut signals);
            tokio::pin!(followed);
            let loaded = tokio::select! {
                biased;
                _ = ending.wait_for(|ending| *ending) => return None,
                () = &mut followed => return None,
                loaded = &mut loaded => loaded,
            };
            // A signal whose end is being prepared just now is not forgotten.
            while self.prepares_end.load(Ordering::Acquire) {
                if tokio::time::timeout(Duration::from_millis(10), &mut followed).await.is_ok() {
                    return None;
                }
            }
            Some(loaded)
        });
        *self.signals.lock() = signals;
        match outcome {
            // The loader ends without a word only by a panic, which is in the log.
            Some(Ok(Err(StartError::Load(LoadError::Stopped { .. })))) => Ok(false),
            Some(loaded) => loaded.unwrap_or_else(|_| Err(LoadError::Panicked.into())).map(|()| true),
            None => {
                self.server.request_shutdown();
                Ok(false)
            }
        }
    }

    /// Waits until the end was asked for: by SHUTDOWN, by [`request_shutdown`](Self::request_shutdown), or by
    /// a signal if the server was started with [`start_with_signals`].
    pub fn wait(&self) {
        if let Some(runtime) = &self.runtime {
            let mut ending = self.server.shutdown_signal();
            let mut signals = self.signals.lock().take();
            runtime.block_on(async {
                tokio::select! {
                    _ = ending.wait_for(|ending| *ending) => {}
                    () = self.follow(&mut signals) => {}
                }
            });
        }
    }

    /// Does what signals ask for, until one asks for the end.
    async fn follow(&self, signals: &mut Option<Signals>) {
        let Some(signals) = signals else { return std::future::pending().await };
        loop {
            match signals.next().await {
                name @ ("SIGTERM" | "SIGINT") => {
                    tracing::info!("Received {name}, shutting down");
                    self.prepares_end.store(true, Ordering::Release);
                    let ends = tokio::select! {
                        ends = self.may_end(name) => ends,
                        () = self.insisted(signals) => self.end_at_once(),
                    };
                    if ends {
                        return;
                    }
                    self.prepares_end.store(false, Ordering::Release);
                }
                "SIGHUP" => self.reopen(),
                name => tracing::info!("Received {name}, which means nothing here"),
            }
        }
    }
}

impl Handle {
    /// Waits for a SIGINT while the end is prepared: whoever types it twice does not want to wait.
    async fn insisted(&self, signals: &mut Signals) {
        loop {
            match signals.next().await {
                "SIGINT" => return,
                "SIGHUP" => self.reopen(),
                name => tracing::info!("Received {name}, which means nothing while the end is prepared"),
            }
        }
    }

    /// Ends the process without what is still to be done, as kill -9 would, but for the file of a snapshot that
    /// is not whole.
    fn end_at_once(&self) -> ! {
        tracing::warn!("You insist... exiting now.");
        self.saver.remove_unfinished();
        std::process::exit(1)
    }

    /// Writes the last snapshot, where one is wanted at the end. Returns whether the server may end: not
    /// where it could not be written, unless the configuration says to end all the same.
    async fn may_end(&self, signal: &str) -> bool {
        const SAVE: i64 = 1;
        const NOSAVE: i64 = 2;
        const NOW: i64 = 4;
        const FORCE: i64 = 8;
        let directive =
            if signal == "SIGINT" { Directive::ShutdownOnSigint } else { Directive::ShutdownOnSigterm };
        let flags = self.server.config.int(directive);
        let asked = (flags & (SAVE | NOSAVE) != 0).then_some(flags & SAVE != 0);
        loop {
            let server = Arc::clone(&self.server);
            let prepared = tokio::task::spawn_blocking(move || {
                server.prepare_end(asked, flags & FORCE != 0, flags & NOW == 0)
            })
            .await;
            match prepared {
                // The signal is not sent again: the end comes when all data are in the file.
                Ok(Err(EndError::InitialAof)) => self.wait_for_first_base().await,
                // A panic was reported by the panic hook, and keeps no server from ending.
                prepared => return prepared.unwrap_or(Ok(())).is_ok(),
            }
        }
    }

    /// Waits until the append-only file that was switched on holds all data.
    async fn wait_for_first_base(&self) {
        while self.server.append_only().is_some_and(|append_only| append_only.figures().is_partial) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Lets the commands that run come to their end, and no others begin. One that does not end in time is
    /// left to end by force: what it has changed is not passed on, as half of it must not be repeated.
    fn end_commands(&self) {
        /// What a last command may take: less than the time that container runtimes give.
        const PATIENCE: Duration = Duration::from_secs(2);
        for client in self.server.clients.all() {
            client.close();
        }
        let deadline = Instant::now() + PATIENCE;
        let alone = self.server.keyspace.gate.exclusive_unless(|| Instant::now() > deadline);
        if alone.is_none() {
            tracing::warn!("a command runs on at the end of the server: what it has changed is not kept");
        }
        self.server.journal().close();
        drop(alone);
        // A script that goes on for ever holds its locks, which the threads of the server may wait for.
        self.server.scripting.slow.end_all();
    }

    /// Lets connections send the replies that wait for the disk, for a bounded time: their clients are not to be left
    /// in doubt about what is kept.
    fn await_last_replies(&self) {
        const PATIENCE: Duration = Duration::from_secs(2);
        const TO_SEND: Duration = Duration::from_millis(100);
        let wait_until = |deadline: Instant, is_over: &dyn Fn() -> bool| {
            while !is_over() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        if self.server.durability.waiting_clients() > 0 {
            wait_until(Instant::now() + PATIENCE, &|| self.server.durability.waiting_clients() == 0);
            wait_until(Instant::now() + TO_SEND, &|| self.server.clients.all().is_empty());
        }
    }

    /// Reads certificates and keys again. The log needs nothing: its file is opened for each line.
    fn reopen(&self) {
        tracing::info!("Received SIGHUP: certificates are read again");
        self.tls.reload();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.server.request_shutdown();
        if let Some(http) = &self.http {
            http.stop();
        }
        // What is being ended need not answer.
        self.watch = None;
        self.end_commands();
        self.saver.stop();
        self.copies.stop();
        self.sweeper = None;
        self.keeper = None;
        if let Some(loader) = self.loader.take() {
            // It looks between two pieces of the file whether the end was asked for. One that waits for a
            // file that does not come is left behind.
            let deadline = Instant::now() + Duration::from_secs(2);
            while !loader.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        for client in self.server.clients.all() {
            client.close();
        }
        self.await_last_replies();
        if let Some(runtime) = self.runtime.take() {
            // Connections write their last replies; one that hangs is cut.
            runtime.shutdown_timeout(Duration::from_secs(2));
        }
        self.spill.stop();
        self.backup.finish();
        self.append_only.finish();
        self.saver.finish();
        if let Some(path) = self.socket_file.take() {
            // The file would only tell clients of a server that is gone.
            drop(std::fs::remove_file(path));
        }
    }
}

/// One worker a core that this process may use, unless `io-threads` asks for more than one itself.
fn worker_count(config: &Config) -> usize {
    match config.int(Directive::IoThreads) {
        count @ 2.. => count as usize,
        _ => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    }
}

/// Opens all sockets. Returns the port for figures and the unix socket's file.
fn listen(
    runtime: &tokio::runtime::Runtime,
    listening: Listening,
) -> Result<(Arc<HttpPort>, Option<String>), StartError> {
    let config = Arc::clone(&listening.server.config);
    // Certificates that cannot work stop the start, and do not wait for the first client.
    listening.tls.check(&[])?;
    fit_maxclients(&config);
    let ports = ListeningPorts::open(&listening, runtime.handle().clone())?;
    let http = HttpPort::open(&listening.server, Arc::clone(&listening.tls), runtime.handle().clone())?;
    listening.server.set_network(Arc::new(WithHttp { ports, http: Arc::clone(&http) }));
    let mut socket_file = None;
    if let Some(socket) = listener::unix(&config)? {
        let path = config.text(Directive::Unixsocket).to_string();
        socket_file = Some(path.clone());
        runtime.spawn(listening.clone().accept_unix(socket, path));
    }
    Ok((http, socket_file))
}

/// Makes the threads that run commands.
fn worker_runtime(
    workers: usize,
    server: &Server,
    busy: &Arc<worker::Busy>,
) -> std::io::Result<tokio::runtime::Runtime> {
    let numbers = &server.health.workers;
    let (parked, unparked, stopped) = (Arc::clone(numbers), Arc::clone(numbers), Arc::clone(numbers));
    let (rests, goes_on) = (Arc::clone(busy), Arc::clone(busy));
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("kvarts-worker")
        // Scripts nest calls and tables; only what is used of it takes memory.
        .thread_stack_size(16 << 20)
        .on_thread_stop(move || {
            stopped.give_back();
        })
        // Only threads that run tasks park.
        .on_thread_park(move || {
            parked.take();
            parked.rest(true);
            crate::net::turn::end();
            crate::lua::tidy_machines();
            parked.note_given_back(crate::alloc::give_back_if_asked());
            rests.rests();
        })
        .on_thread_unpark(move || {
            unparked.rest(false);
            goes_on.goes_on();
        })
        .enable_all()
        .build()
}

/// Has the threads that run commands do something, each for so long: they then look what is asked of them.
fn stir(tasks: &tokio::runtime::Handle, workers: usize, time: Duration) {
    for _ in 0..2 * workers {
        tasks.spawn(async move {
            if !time.is_zero() {
                std::thread::sleep(time);
            }
        });
    }
}

/// Starts the watch over all parts of the server.
fn watch_health(
    server: &Arc<Server>,
    runtime: &tokio::runtime::Runtime,
    housekeeping: Arc<Notify>,
) -> std::io::Result<Watch> {
    let (tasks, asked) = (runtime.handle().clone(), Arc::downgrade(server));
    let ping = move || {
        let asked = std::sync::Weak::clone(&asked);
        tasks.spawn(async move {
            if let Some(server) = asked.upgrade() {
                server.answer(&server.health.tasks);
                server.health.workers.answer_woken(server.clock.monotonic_ns());
            }
        });
    };
    Watch::start(Arc::clone(server), ping, move || housekeeping.notify_one())
}

/// Does once a second what needs no thread of its own, and answers when it is called.
async fn housekeeping(server: Arc<Server>, called: Arc<Notify>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    server.health.housekeeping.set_rests(false);
    loop {
        tokio::select! {
            _ = tick.tick() => server.answer(&server.health.housekeeping),
            () = called.notified() => {
                server.answer(&server.health.housekeeping);
                continue;
            }
        }
        server.look_after_clients();
        server.settle_simulation();
        server.look_at_hot_keys();
        server.measure_rates();
        if let Some(saving) = server.saving() {
            saving.look();
        }
        server.memory_use();
    }
}

/// Has certificates and keys read again when their files change: every `tls-auto-reload-interval` seconds, or each
/// second.
async fn look_after_certificates(server: Arc<Server>, tls: Arc<TlsSource>) {
    loop {
        let interval_s = server.config.int(Directive::TlsAutoReloadInterval).max(1) as u64;
        tokio::time::sleep(Duration::from_secs(interval_s)).await;
        let tls = Arc::clone(&tls);
        // Its panics were reported by the panic hook.
        drop(tokio::task::spawn_blocking(move || tls.look()).await);
    }
}

/// Pings replicas and begins their copies when it is time.
async fn look_after_replicas(server: Arc<Server>) {
    let (mut tick, quick) = (tokio::time::interval(Duration::from_millis(100)), Duration::from_millis(2));
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = server.replication.look.notified() => {}
            () = tokio::time::sleep(quick), if server.failover_step() == Step::WaitsForSync => {}
        }
        if !server.replication.replicas.had_any() {
            continue;
        }
        let server = Arc::clone(&server);
        // It may wait for commands that run. Its panics were reported by the panic hook.
        drop(tokio::task::spawn_blocking(move || server.look_after_replicas()).await);
    }
}

/// Has the append-only file rewritten and sealed backups removed when it is time.
async fn look_after_files(append_only: Arc<AppendOnlyFile>, backup: Arc<Backup>) {
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    loop {
        tick.tick().await;
        append_only.look();
        backup.look();
    }
}

/// Signals that do not end the process by their default action any more. Tools that rotate logs send some of
/// them to servers of all kinds.
struct Signals([(&'static str, Option<Signal>); 7]);

impl Signals {
    /// Takes the signals over. Has to be called within the runtime.
    fn take() -> Self {
        let kinds = [
            ("SIGTERM", SignalKind::terminate()),
            ("SIGINT", SignalKind::interrupt()),
            ("SIGHUP", SignalKind::hangup()),
            ("SIGALRM", SignalKind::alarm()),
            ("SIGUSR1", SignalKind::user_defined1()),
            ("SIGUSR2", SignalKind::user_defined2()),
            // A write beyond the limit of a file's size is then an error as others are.
            ("SIGXFSZ", SignalKind::from_raw(libc::SIGXFSZ)),
        ];
        Self(kinds.map(|(name, kind)| {
            let taken = signal(kind);
            (name, taken.inspect_err(|error| tracing::warn!(%error, "cannot listen for {name}")).ok())
        }))
    }

    /// Waits for the next signal, and returns its name.
    async fn next(&mut self) -> &'static str {
        poll_fn(|cx| {
            for (name, signal) in &mut self.0 {
                if let Some(signal) = signal
                    && signal.poll_recv(cx).is_ready()
                {
                    return Poll::Ready(*name);
                }
            }
            Poll::Pending
        })
        .await
    }
}
