//! The ports that the server listens on, and how they change while it runs: CONFIG SET port, tls-port,
//! read-only-port, bind.

use std::net::Shutdown;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::listener::{self, ListenError, Wanted};
use super::tls::TlsSource;
use super::{Listening, Speaks, open_files, peer};
use crate::config::{Access, Change, Config, Directive, Refusal};
use crate::engine::network::{Network, Peer, PeerError};
use crate::engine::{Ports, Server};
use crate::shared::client::Door;

/// Directives that say how TLS is spoken.
const TLS_DIRECTIVES: [Directive; 17] = [
    Directive::TlsPort,
    Directive::MetricsTls,
    Directive::TlsCertFile,
    Directive::TlsKeyFile,
    Directive::TlsKeyFilePass,
    Directive::TlsCaCertFile,
    Directive::TlsCaCertDir,
    Directive::TlsAuthClients,
    Directive::TlsProtocols,
    Directive::TlsCiphers,
    Directive::TlsCiphersuites,
    Directive::TlsPreferServerCiphers,
    Directive::TlsDhParamsFile,
    Directive::TlsSessionCaching,
    Directive::TlsSessionCacheSize,
    Directive::TlsSessionCacheTimeout,
    Directive::TlsAutoNames,
];

/// A port's purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entrance {
    Main,
    Tls,
    ReadOnly,
}

/// A listening socket and the end of its accept loop.
struct Socket {
    entrance: Entrance,
    wanted: Wanted,
    listener: Arc<TcpListener>,
    closed: CancellationToken,
}

/// An address that could not be listened on.
struct Failure {
    entrance: Entrance,
    error: ListenError,
}

/// All TCP sockets that listen.
pub struct ListeningPorts {
    // It keeps this in turn.
    server: Weak<Server>,
    tls: Arc<TlsSource>,
    runtime: Handle,
    open: Mutex<Vec<Socket>>,
}

impl ListeningPorts {
    /// Listens as configured.
    ///
    /// # Errors
    /// An address that cannot be used.
    pub fn open(listening: &Listening, runtime: Handle) -> Result<ListeningPorts, ListenError> {
        let config = &listening.server.config;
        let main = config.int(Directive::Port) as u16;
        let tls = config.int(Directive::TlsPort) as u16;
        let bind = config.text(Directive::Bind);
        let mut wanted = Vec::new();
        // As in redis.conf, port 0 listens nowhere when TLS has a port of its own; alone it means any free
        // port.
        if main != 0 || tls == 0 {
            wanted.extend(addresses(Entrance::Main, &bind, main).map_err(|failure| failure.error)?);
        }
        for (entrance, port) in [(Entrance::Tls, tls), (Entrance::ReadOnly, config.read_only_port())] {
            if port != 0 {
                wanted.extend(addresses(entrance, &bind, port).map_err(|failure| failure.error)?);
            }
        }
        let doors = ListeningPorts {
            server: Arc::downgrade(&listening.server),
            tls: Arc::clone(&listening.tls),
            runtime,
            open: Mutex::default(),
        };
        doors.rearrange(&listening.server, wanted).map_err(|failure| failure.error)?;
        Ok(doors)
    }

    /// Tries the TLS settings that changes would lead to, before they are made: settings that cannot work
    /// would fail every later TLS client.
    fn check_tls(&self, changes: &[Change]) -> Result<(), Refusal> {
        let concerned = changes.iter().find(|change| TLS_DIRECTIVES.contains(&change.directive));
        let Some(change) = concerned else { return Ok(()) };
        self.tls.check(changes).map_err(|error| {
            tracing::warn!(%error, "TLS cannot be spoken as configured");
            let reason = "Unable to update TLS configuration. Check server logs.".into();
            Refusal { directive: change.directive, reason }
        })
    }

    /// Listens at these addresses and no others. Sockets that stay are not touched; when a new one cannot be
    /// opened, all is as before.
    fn rearrange(&self, server: &Arc<Server>, wanted: Vec<(Entrance, Wanted)>) -> Result<(), Failure> {
        let _inside = self.runtime.enter();
        let backlog = server.config.int(Directive::TcpBacklog) as i32;
        let mut open = self.open.lock();
        let (mut staying, mut leaving) = (Vec::new(), std::mem::take(&mut *open));
        let mut arriving = Vec::new();
        for (entrance, wanted) in wanted {
            let is_it =
                |socket: &Socket| socket.entrance == entrance && socket.wanted.address == wanted.address;
            match leaving.iter().position(is_it) {
                Some(place) => staying.push(leaving.swap_remove(place)),
                None => arriving.push((entrance, wanted)),
            }
        }
        // A socket of ours may be where a new one is to be, on all addresses of the machine instead of one:
        // it goes first.
        let is_in_the_way = |socket: &Socket| {
            arriving.iter().any(|(_, wanted)| wanted.address.port() == socket.wanted.address.port())
        };
        let (in_the_way, leaving): (Vec<_>, Vec<_>) = leaving.into_iter().partition(is_in_the_way);
        in_the_way.iter().for_each(Socket::close);
        match self.open_all(server, backlog, arriving) {
            Ok(new) => {
                leaving.iter().for_each(Socket::close);
                staying.extend(new);
                *open = staying;
                *server.identity.ports.write() = ports_of(&open);
                Ok(())
            }
            Err(failure) => {
                staying.extend(leaving);
                for socket in in_the_way {
                    match self.open_all(server, backlog, vec![(socket.entrance, socket.wanted)]) {
                        Ok(again) => staying.extend(again),
                        Err(Failure { error, .. }) => {
                            // Another process took the address in this very moment.
                            tracing::error!(%error, "lost a listening socket");
                        }
                    }
                }
                *open = staying;
                *server.identity.ports.write() = ports_of(&open);
                Err(failure)
            }
        }
    }

    /// Opens sockets; none is left when one fails. With port 0 the system chooses one, the same for all
    /// addresses of an entrance.
    fn open_all(
        &self,
        server: &Arc<Server>,
        backlog: i32,
        wanted: Vec<(Entrance, Wanted)>,
    ) -> Result<Vec<Socket>, Failure> {
        let mut new: Vec<Socket> = Vec::with_capacity(wanted.len());
        for (entrance, mut wanted) in wanted {
            if wanted.address.port() == 0
                && let Some(first) = new.iter().find(|socket| socket.entrance == entrance)
            {
                wanted.address.set_port(first.wanted.address.port());
            }
            let opened = listener::open(wanted, backlog).map_err(|error| Failure { entrance, error })?;
            if let Some(listener) = opened {
                if let Ok(address) = listener.local_addr() {
                    wanted.address.set_port(address.port());
                }
                let (listener, closed) = (Arc::new(listener), CancellationToken::new());
                new.push(Socket { entrance, wanted, listener, closed });
            }
        }
        for socket in &new {
            let listening = Listening { server: Arc::clone(server), tls: Arc::clone(&self.tls) };
            let (door, speaks) = match socket.entrance {
                Entrance::Main => (Door::Main, Speaks::Both),
                Entrance::Tls => (Door::Main, Speaks::TlsOnly),
                Entrance::ReadOnly => (Door::ReadOnly, Speaks::Both),
            };
            let (listener, closed) = (Arc::clone(&socket.listener), socket.closed.clone());
            self.runtime.spawn(listening.accept_tcp(listener, closed, door, speaks));
        }
        Ok(new)
    }
}

impl Socket {
    /// Closes the socket: no client can connect from here on, though the accept loop may still have to notice
    /// its end.
    fn close(&self) {
        self.closed.cancel();
        if let Err(error) = SockRef::from(&*self.listener).shutdown(Shutdown::Both) {
            tracing::debug!(%error, "a listening socket was closed already");
        }
    }
}

/// Sees to it that `maxclients` clients can be connected, or lowers it to what the system allows and says so.
pub fn fit_maxclients(config: &Config) {
    let wanted = config.int(Directive::Maxclients).max(1) as u64;
    let possible = open_files::make_room_for(wanted);
    if possible < wanted {
        tracing::warn!(
            "You requested maxclients of {wanted}, which needs more open files than the system allows."
        );
        tracing::warn!(
            "maxclients has been reduced to {possible} to compensate for low ulimit. \
             If you need higher maxclients increase 'ulimit -n'."
        );
        // Nothing else is to follow from it, and so many are never refused.
        let _ = config.set(&[("maxclients", possible.to_string())], Access::Program, |_| Ok(()));
    }
}

/// Tries to have so many more files open than clients may be connected.
pub fn make_room_beside_clients(config: &Config, files: u64) {
    let wanted = (config.int(Directive::Maxclients).max(1) as u64).saturating_add(files);
    if open_files::make_room_for(wanted) < wanted {
        tracing::warn!(
            "with maxclients clients connected there are too few open files left for metrics-port (ulimit -n): \
             then figures, health checks by HTTP and the console may not be answered. Raise the limit, or lower maxclients"
        );
    }
}

impl Network for ListeningPorts {
    fn relisten(&self, changes: &[Change]) -> Result<(), Refusal> {
        let changed = |directive| changes.iter().any(|change| change.directive == directive);
        self.check_tls(changes)?;
        if changed(Directive::Maxclients)
            && let Some(server) = self.server.upgrade()
        {
            let wanted = server.config.int_after(changes, Directive::Maxclients).max(1) as u64;
            let possible = open_files::make_room_for(wanted);
            if possible < wanted {
                let reason = format!(
                    "The operating system is not able to handle the specified number of clients, try with {possible}"
                );
                return Err(Refusal { directive: Directive::Maxclients, reason });
            }
        }
        let own = [Directive::Bind, Directive::Port, Directive::TlsPort, Directive::ReadOnlyPort];
        let Some(server) = self.server.upgrade().filter(|_| own.into_iter().any(changed)) else {
            return Ok(());
        };
        let ports = ports_after(&server.config, changes, *server.identity.ports.read());
        let refused = |failure| refusal(changes, failure);
        let bind = bind_after(&server.config, changes);
        let mut wanted = Vec::new();
        for (entrance, port) in
            [(Entrance::Main, ports.main), (Entrance::Tls, ports.tls), (Entrance::ReadOnly, ports.read_only)]
        {
            if port != 0 {
                wanted.extend(addresses(entrance, &bind, port).map_err(refused)?);
            }
        }
        self.rearrange(&server, wanted).map_err(refused)
    }

    fn connect(&self, host: &str, port: u16, step_limit: Duration) -> Result<Box<dyn Peer>, PeerError> {
        let server = self.server.upgrade().ok_or(PeerError::Connect)?;
        let (ports, workers) = (*server.identity.ports.read(), Arc::clone(&server.health.workers));
        // 0 is none, and nobody can be connected to it.
        peer::connect(host, port, step_limit, &[ports.main, ports.tls, ports.read_only], workers)
    }
}

fn addresses(entrance: Entrance, bind: &str, port: u16) -> Result<Vec<(Entrance, Wanted)>, Failure> {
    let all = listener::addresses(bind, port).map_err(|error| Failure { entrance, error })?;
    Ok(all.into_iter().map(|wanted| (entrance, wanted)).collect())
}

/// Ports to be listened on after `changes`. A port that is not changed stays, also where the system chose it; with
/// an empty `bind` before there was none.
fn ports_after(config: &Config, changes: &[Change], present: Ports) -> Ports {
    let changed = |directive| changes.iter().any(|change| change.directive == directive);
    let unbound = changed(Directive::Bind) && config.text(Directive::Bind).trim().is_empty();
    let port = |directive, present| match changed(directive) || unbound {
        true => config.int_after(changes, directive) as u16,
        false => present,
    };
    let read_only = match changed(Directive::Port) || changed(Directive::ReadOnlyPort) || unbound {
        true => config.read_only_port_after(changes),
        false => present.read_only,
    };
    Ports { main: port(Directive::Port, present.main), tls: port(Directive::TlsPort, present.tls), read_only }
}

fn bind_after(config: &Config, changes: &[Change]) -> String {
    match changes.iter().find(|change| change.directive == Directive::Bind) {
        Some(change) => String::from_utf8_lossy(&change.text()).into_owned(),
        None => config.text(Directive::Bind).to_string(),
    }
}

/// The refusal of a CONFIG SET: of the directives that could have led to the failure, the one named first is
/// at fault.
fn refusal(changes: &[Change], Failure { entrance, error }: Failure) -> Refusal {
    tracing::warn!(%error, "the ports stay as they are");
    let concerned: &[Directive] = match entrance {
        Entrance::Main => &[Directive::Port, Directive::Bind],
        Entrance::Tls => &[Directive::TlsPort, Directive::Bind],
        Entrance::ReadOnly => &[Directive::ReadOnlyPort, Directive::Port, Directive::Bind],
    };
    let named = changes.iter().map(|change| change.directive).find(|named| concerned.contains(named));
    let directive = named.unwrap_or(concerned[0]);
    let reason = match directive {
        Directive::Bind => "Failed to bind to specified addresses.",
        _ => "Unable to listen on this port. Check server logs.",
    };
    Refusal { directive, reason: reason.into() }
}

fn ports_of(open: &[Socket]) -> Ports {
    let port = |entrance| {
        let socket = open.iter().find(|socket| socket.entrance == entrance);
        socket.map_or(0, |socket| socket.wanted.address.port())
    };
    Ports { main: port(Entrance::Main), tls: port(Entrance::Tls), read_only: port(Entrance::ReadOnly) }
}
