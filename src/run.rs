//! Starting and ending a server with its sockets and threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use thiserror::Error;

use crate::config::{Config, Directive};
use crate::net::Listening;
use crate::net::doors::Doors;
use crate::net::listener::{self, ListenError};
use crate::net::tls::{TlsError, TlsSource};
use crate::server::clock::Clock;
use crate::server::eviction::Keeper;
use crate::server::expiry::Sweeper;
use crate::server::{Ports, Server};
use crate::worker;

/// Why a server did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// No threads.
    #[error("could not start threads: {0}")]
    Threads(#[from] std::io::Error),
    /// No sockets.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// No users.
    #[error("could not load users: {0}")]
    Users(String),
    /// No certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A running server. Ends it when dropped.
pub struct Handle {
    server: Arc<Server>,
    sweeper: Option<Sweeper>,
    keeper: Option<Keeper>,
    runtime: Option<tokio::runtime::Runtime>,
    /// The unix socket's file, once it is ours.
    socket_file: Option<String>,
}

/// Starts a server: when this returns, clients can connect.
///
/// # Errors
/// Addresses that cannot be listened on, certificates that cannot be read.
pub fn start(config: Config, clock: Clock) -> Result<Handle, StartError> {
    let workers = worker_count(&config);
    let started = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("kvarts-worker")
        // Scripts nest calls and tables; only what is used of it takes memory.
        .thread_stack_size(16 << 20)
        .on_thread_start(move || worker::set_current(started.fetch_add(1, Ordering::Relaxed)))
        .on_thread_park(|| {
            crate::net::round::end();
            crate::alloc::give_back_if_asked();
        })
        .enable_all()
        .build()?;
    let config = Arc::new(config);
    let tls = Arc::new(TlsSource::new(Arc::clone(&config)));
    let server = Arc::new(Server::new(config, clock, workers));
    server.load_configured_users().map_err(StartError::Users)?;
    server.scripting.set_give_way(Arc::new(give_way));
    let sweeper = Sweeper::start(Arc::clone(&server))?;
    let tasks = runtime.handle().clone();
    let keeper = Keeper::start(Arc::clone(&server), move || {
        for _ in 0..2 * workers {
            tasks.spawn(std::future::ready(()));
        }
    })?;
    // From here on an early return drops the handle, which ends what was started.
    let mut handle = Handle {
        server: Arc::clone(&server),
        sweeper: Some(sweeper),
        keeper: Some(keeper),
        runtime: Some(runtime),
        socket_file: None,
    };
    if let Some(runtime) = &handle.runtime {
        let _inside = runtime.enter();
        handle.socket_file = listen(runtime, Listening { server: Arc::clone(&server), tls })?;
        runtime.spawn(housekeeping(server));
    }
    Ok(handle)
}

impl Handle {
    /// The server behind the sockets.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The ports listened on.
    pub fn ports(&self) -> Ports {
        *self.server.ports.read()
    }

    /// Moves a manual clock and lets happen what is due then.
    pub fn advance_clock(&self, by_ms: u64) {
        self.server.clock.advance_ms(by_ms);
        if self.server.active_expiry.load(Ordering::Relaxed) {
            self.server.expire_due();
        }
        self.server.look_after_clients();
        for client in self.server.clients.all() {
            if client.waiter.lock().is_some() {
                client.look(); // Its time may be over.
            }
        }
    }

    /// Asks the server to end.
    pub fn request_shutdown(&self) {
        self.server.request_shutdown();
    }

    /// Waits until the end was asked for: by SHUTDOWN, by [`request_shutdown`](Self::request_shutdown), or by a signal.
    pub fn wait(&self) {
        if let Some(runtime) = &self.runtime {
            let mut ending = self.server.shutdown_signal();
            runtime.block_on(async move {
                let mut terminate = signal(tokio::signal::unix::SignalKind::terminate());
                let mut interrupt = signal(tokio::signal::unix::SignalKind::interrupt());
                tokio::select! {
                    _ = ending.wait_for(|ending| *ending) => {}
                    () = received(&mut terminate) => tracing::info!("received SIGTERM, shutting down"),
                    () = received(&mut interrupt) => tracing::info!("received SIGINT, shutting down"),
                }
            });
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.server.request_shutdown();
        self.sweeper = None;
        self.keeper = None;
        for client in self.server.clients.all() {
            client.close();
        }
        if let Some(runtime) = self.runtime.take() {
            // Connections write their last replies; one that hangs is cut.
            runtime.shutdown_timeout(Duration::from_secs(2));
        }
        if let Some(path) = self.socket_file.take() {
            // The file would only tell clients of a server that is gone.
            drop(std::fs::remove_file(path));
        }
    }
}

/// Has another thread take over the tasks that this one would run. The new thread needs a moment to come up, and if it is not there
/// when the sleep is over, this thread has its tasks back: so it is called more than once.
fn give_way() {
    // Wakes a sleeping worker, which then listens to the sockets.
    tokio::spawn(async {});
    tokio::task::block_in_place(|| std::thread::sleep(Duration::from_millis(1)));
}

/// One worker a core that this process may use, unless `io-threads` asks for more than one itself.
fn worker_count(config: &Config) -> usize {
    match config.int(Directive::IoThreads) {
        count @ 2.. => count as usize,
        _ => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    }
}

/// Opens all sockets. Answers the unix socket's file.
fn listen(runtime: &tokio::runtime::Runtime, listening: Listening) -> Result<Option<String>, StartError> {
    let config = Arc::clone(&listening.server.config);
    if !config.text(Directive::TlsCertFile).is_empty() {
        // A certificate that cannot be read is told at start, not to the first client.
        listening.tls.server_config()?;
    }
    let doors = Doors::open(&listening, runtime.handle().clone())?;
    listening.server.set_outside(Arc::new(doors));
    let mut socket_file = None;
    if let Some(socket) = listener::unix(&config)? {
        let path = config.text(Directive::Unixsocket).to_string();
        socket_file = Some(path.clone());
        runtime.spawn(listening.clone().accept_unix(socket, path));
    }
    Ok(socket_file)
}

/// What is done once a second, besides what has a thread of its own.
async fn housekeeping(server: Arc<Server>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        server.look_after_clients();
        server.measure_rates();
        server.memory_use();
    }
}

fn signal(kind: tokio::signal::unix::SignalKind) -> Option<tokio::signal::unix::Signal> {
    tokio::signal::unix::signal(kind)
        .inspect_err(|error| tracing::warn!(%error, "cannot listen for signals"))
        .ok()
}

async fn received(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
