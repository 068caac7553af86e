//! [`HttpPort`]: the thread and the sockets of `metrics-port`, which CONFIG SET opens and closes.

use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::CancellationToken;

use super::places::PLACES_MAX;
use super::{Site, connection};
use crate::config::{Change, Directive, Refusal};
use crate::engine::Server;
use crate::engine::network::{Network, Peer, PeerError};
use crate::net::listener::{self, ListenError, Wanted};
use crate::net::ports::make_room_beside_clients;
use crate::net::tls::TlsSource;

/// How often connections are looked at that take too long.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long no connection is accepted when one could not be: the process has too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// The port. Nothing listens, and there is no thread, before it is opened.
pub struct HttpPort {
    site: Arc<Site>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    runtime: Option<Runtime>,
    open: Vec<Socket>,
    has_ended: bool,
}

struct Socket {
    wanted: Wanted,
    listener: Arc<TcpListener>,
    closed: CancellationToken,
}

/// Sockets for other addresses, open and not yet used: the step before a change is made.
struct Prepared {
    staying: Vec<Socket>,
    arriving: Vec<Socket>,
    leaving: Vec<Socket>,
    /// Sockets that had to be closed already, as they stood in the way of new ones.
    closed: Vec<Wanted>,
}

impl HttpPort {
    /// Listens as configured; nowhere where `metrics-port` is 0. Over TLS clients are shown what `tls` has. The
    /// threads of `tasks` run the console's commands.
    ///
    /// # Errors
    /// An address that cannot be used.
    pub fn open(server: &Arc<Server>, tls: Arc<TlsSource>, tasks: Handle) -> Result<Arc<Self>, ListenError> {
        let site = Arc::new(Site::new(server, tls, tasks));
        let port = Arc::new(Self { site, state: Mutex::default() });
        let bind = server.config.text(Directive::MetricsBind);
        let prepared = port.prepare(server, &bind, server.config.int(Directive::MetricsPort) as u16)?;
        port.make(server, prepared);
        Ok(port)
    }

    /// Ends the thread and all connections.
    pub fn stop(&self) {
        let mut state = self.state.lock();
        state.has_ended = true;
        state.open.clear();
        if let Some(runtime) = state.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }

    /// Opens the sockets for these addresses that are not open yet.
    fn prepare(&self, server: &Arc<Server>, bind: &str, port: u16) -> Result<Prepared, ListenError> {
        let wanted = if port == 0 { Vec::new() } else { listener::addresses(bind, port)? };
        let mut state = self.state.lock();
        if !wanted.is_empty() && state.runtime.is_none() && !state.has_ended {
            state.runtime = Some(start(&self.site)?);
        }
        let State { runtime, open, .. } = &mut *state;
        let Some(runtime) = runtime else {
            return Ok(Prepared { staying: vec![], arriving: vec![], leaving: vec![], closed: vec![] });
        };
        let _inside = runtime.enter();
        let is_wanted = |socket: &Socket| wanted.iter().any(|one| one.address == socket.wanted.address);
        let (staying, leaving): (Vec<_>, Vec<_>) = std::mem::take(open).into_iter().partition(is_wanted);
        let is_open = |one: &Wanted| staying.iter().any(|socket| socket.wanted.address == one.address);
        let new: Vec<Wanted> = wanted.iter().filter(|one| !is_open(one)).copied().collect();
        // A socket may be where a new one is to be, on all addresses of the machine instead of one.
        let stands_in_way = |socket: &Socket| !new.is_empty() && socket.wanted.address.port() == port;
        let (in_way, leaving): (Vec<_>, Vec<_>) = leaving.into_iter().partition(stands_in_way);
        in_way.iter().for_each(Socket::close);
        let closed = in_way.iter().map(|socket| socket.wanted).collect();
        let backlog = server.config.int(Directive::TcpBacklog) as i32;
        let mut prepared = Prepared { staying, arriving: Vec::new(), leaving, closed };
        for one in new {
            match listener::open(one, backlog) {
                Ok(opened) => prepared.arriving.extend(opened.map(|listener| Socket::new(one, listener))),
                Err(error) => {
                    drop(state);
                    self.undo(server, prepared);
                    return Err(error);
                }
            }
        }
        Ok(prepared)
    }

    /// Accepts at the new sockets, and closes those that are not wanted any more.
    fn make(&self, server: &Arc<Server>, prepared: Prepared) {
        let mut state = self.state.lock();
        for socket in &prepared.leaving {
            socket.close();
            tracing::info!("metrics-port: nothing listens at {} any more", socket.wanted.address);
        }
        if let Some(runtime) = &state.runtime {
            if !prepared.arriving.is_empty() {
                // A command of the console has a pair of sockets.
                make_room_beside_clients(&server.config, 3 * PLACES_MAX as u64);
            }
            for socket in &prepared.arriving {
                tell(server, &socket.listener);
                let (listener, closed) = (Arc::clone(&socket.listener), socket.closed.clone());
                runtime.spawn(accept(Arc::clone(&self.site), listener, closed));
            }
        }
        state.open = prepared.staying;
        state.open.extend(prepared.arriving);
    }

    /// Brings everything back to what it was before.
    fn undo(&self, server: &Arc<Server>, prepared: Prepared) {
        drop(prepared.arriving);
        let mut state = self.state.lock();
        let State { runtime, open, .. } = &mut *state;
        open.extend(prepared.staying);
        open.extend(prepared.leaving);
        let Some(runtime) = runtime else { return };
        let _inside = runtime.enter();
        for wanted in prepared.closed {
            match listener::open(wanted, server.config.int(Directive::TcpBacklog) as i32) {
                Ok(Some(listener)) => {
                    let socket = Socket::new(wanted, listener);
                    let (listener, closed) = (Arc::clone(&socket.listener), socket.closed.clone());
                    runtime.spawn(accept(Arc::clone(&self.site), listener, closed));
                    open.push(socket);
                }
                Ok(None) => {}
                // Another process took the address in this very moment.
                Err(error) => tracing::error!(%error, "lost a listening socket of metrics-port"),
            }
        }
    }
}

impl Drop for HttpPort {
    fn drop(&mut self) {
        // Waits for nothing: the last one to know the server may be a task.
        if let Some(runtime) = self.state.lock().runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Socket {
    fn new(wanted: Wanted, listener: TcpListener) -> Self {
        Self { wanted, listener: Arc::new(listener), closed: CancellationToken::new() }
    }

    /// Nobody can connect from here on, though the accept loop may still have to notice its end.
    fn close(&self) {
        self.closed.cancel();
        if let Err(error) = SockRef::from(&*self.listener).shutdown(Shutdown::Both) {
            tracing::debug!(%error, "a listening socket was closed already");
        }
    }
}

/// Logs what is to be found where, and for whom.
fn tell(server: &Server, listener: &TcpListener) {
    let Ok(address) = listener.local_addr() else { return };
    let scheme = if server.config.flag(Directive::MetricsTls) { "https" } else { "http" };
    let console = match server.config.word(Directive::Console) {
        "no" => "no console".to_owned(),
        _ => format!("the console at {scheme}://{address}/"),
    };
    let whom = match address.ip().is_loopback() {
        true => "this machine only",
        false => "whoever reaches that address",
    };
    tracing::info!(
        "metrics-port: figures at {scheme}://{address}/metrics, {console}, for {whom} (metrics-bind)"
    );
}

/// Starts the thread.
fn start(site: &Arc<Site>) -> Result<Runtime, ListenError> {
    let started = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        // One reads figures, a second one finds them read, and one notes them for the charts.
        .max_blocking_threads(3)
        .thread_name("kvarts-http")
        .enable_all()
        .build();
    let failed = |source| ListenError::Address { address: "metrics-port".into(), source };
    let runtime = started.map_err(failed)?;
    runtime.spawn(look(Arc::clone(site)));
    Ok(runtime)
}

/// Cuts connections that take too long, until the server ends.
async fn look(site: Arc<Site>) {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    loop {
        tick.tick().await;
        let Some(server) = site.server.upgrade() else { return };
        site.places.cut_slow(server.clock.now_ms(), &server.http);
        site.console.look(&server);
    }
}

/// Accepts connections until the socket is closed.
async fn accept(site: Arc<Site>, listener: Arc<TcpListener>, closed: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = closed.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Some(server) = site.server.upgrade() else { return };
        match accepted {
            Ok((stream, _)) => {
                // Without a place it is closed at once.
                if let Some(place) = site.places.take(server.clock.now_ms(), &server.http) {
                    tokio::spawn(connection::serve(Arc::clone(&site), stream, place));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a connection to metrics-port could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The network with this port: CONFIG SET opens and closes all ports together, or none.
pub struct WithHttp<N> {
    /// The other ports.
    pub ports: N,
    /// This one.
    pub http: Arc<HttpPort>,
}

impl<N: Network> Network for WithHttp<N> {
    fn relisten(&self, changes: &[Change]) -> Result<(), Refusal> {
        let change = |directive| changes.iter().find(|change| change.directive == directive);
        let (port, bind) = (change(Directive::MetricsPort), change(Directive::MetricsBind));
        let Some(server) = self.http.site.server.upgrade().filter(|_| port.is_some() || bind.is_some())
        else {
            return self.ports.relisten(changes);
        };
        let new_port = server.config.int_after(changes, Directive::MetricsPort) as u16;
        let new_bind = match bind {
            Some(change) => String::from_utf8_lossy(&change.text()).into_owned(),
            None => server.config.text(Directive::MetricsBind).to_string(),
        };
        let prepared = self.http.prepare(&server, &new_bind, new_port).map_err(|error| {
            tracing::warn!(%error, "metrics-port stays as it is");
            match port {
                Some(_) => Refusal {
                    directive: Directive::MetricsPort,
                    reason: "Unable to listen on this port. Check server logs.".into(),
                },
                None => Refusal {
                    directive: Directive::MetricsBind,
                    reason: "Failed to bind to specified addresses.".into(),
                },
            }
        })?;
        match self.ports.relisten(changes) {
            Ok(()) => self.http.make(&server, prepared),
            Err(refusal) => {
                self.http.undo(&server, prepared);
                return Err(refusal);
            }
        }
        Ok(())
    }

    fn connect(&self, host: &str, port: u16, step_limit: Duration) -> Result<Box<dyn Peer>, PeerError> {
        self.ports.connect(host, port, step_limit)
    }
}
