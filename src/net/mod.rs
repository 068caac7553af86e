//! Sockets: listening, accepting, TLS, and the life of a connection. Knows no command.

pub mod buffer_pool;
pub mod connection;
pub mod inside;
mod link;
pub mod listener;
mod open_files;
pub mod peer;
pub mod ports;
pub mod primary;
mod shown_link;
pub mod stream;
pub mod syncing;
pub mod tls;
pub mod turn;

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::config::Directive;
use crate::engine::Server;
use crate::engine::client::Client;
use crate::shared::client::Door;
use crate::shared::stats::Counter;
use crate::worker;
use connection::Connection;
use stream::NetStream;
use tls::{TlsSource, UserField};

/// The first byte of a TLS connection: a handshake record. No request begins with it.
pub const TLS_HANDSHAKE: u8 = 0x16;

/// How long a refused client may take until it has read why.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(10);

/// What a client from elsewhere is told in protected mode, before it is cut.
const PROTECTED: &str = "-DENIED Kvarts is in protected mode: protected-mode is on and the default user has no password, so \
    only clients on this machine are let in. To let others in, give the default user a password (the directive requirepass, or ACL \
    SETUSER), or, where only those can connect who may, switch the mode off: CONFIG SET protected-mode no, said on this machine, or \
    --protected-mode no at the start.\r\n";

/// A connected client and its server. Dropping it, at the end of the task or in a panic, removes the client
/// from all lists.
pub struct Session {
    /// Server that the client is connected to.
    pub server: Arc<Server>,
    /// State of the client that only its task touches.
    pub client: Client,
}

impl Session {
    /// Logs the client in as the user that its certificate names; the handshake has checked the certificate.
    fn log_in_by_certificate(&mut self, certificates: Option<&[rustls::pki_types::CertificateDer<'_>]>) {
        let Some(field) = UserField::of_word(self.server.config.word(Directive::TlsAuthClientsUser)) else {
            return;
        };
        if let Some(certificate) = certificates.and_then(<[_]>::first) {
            let names = field.names_in(certificate);
            self.server.log_in_by_certificate(&mut self.client, &names);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.server.forget_client(&mut self.client);
    }
}

/// What a listening socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// Plain and TLS, told apart by the first byte, as long as `tls-only` does not say otherwise.
    Both,
    /// TLS; a plain client gets a readable error.
    TlsOnly,
}

/// What the accept loops share.
#[derive(Clone)]
pub struct Listening {
    /// The server behind.
    pub server: Arc<Server>,
    /// Certificates, made when first needed.
    pub tls: Arc<TlsSource>,
}

impl Listening {
    /// Accepts TCP clients until the socket is closed or the server ends.
    pub async fn accept_tcp(
        self,
        listener: Arc<TcpListener>,
        closed: CancellationToken,
        door: Door,
        speaks: Speaks,
    ) {
        let mut shutdown = self.server.shutdown_signal();
        loop {
            let accepted = tokio::select! {
                biased;
                () = closed.cancelled() => return,
                _ = shutdown.wait_for(|ending| *ending) => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _))
                    if door == Door::ReadOnly && self.server.simulation.closes_read_only_port() =>
                {
                    self.server.simulation.note();
                    // Reset, as a port does that nobody listens on.
                    drop(SockRef::from(&stream).set_linger(Some(Duration::ZERO)));
                }
                Ok((stream, peer)) => self.start_tcp(stream, peer, door, speaks),
                Err(error) => accept_failed(&self.server, &error).await,
            }
        }
    }

    /// Accepts clients of the unix socket until the server ends.
    pub async fn accept_unix(self, listener: UnixListener, path: String) {
        let mut shutdown = self.server.shutdown_signal();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = shutdown.wait_for(|ending| *ending) => return,
            };
            match accepted {
                Ok((stream, _)) => self.start_unix(stream, &path),
                Err(error) => accept_failed(&self.server, &error).await,
            }
        }
    }

    fn start_tcp(&self, stream: TcpStream, peer: SocketAddr, door: Door, speaks: Speaks) {
        let server = Arc::clone(&self.server);
        if !admit(&server) {
            refuse(SockRef::from(&stream));
            return;
        }
        let keepalive_s = server.config.int(Directive::TcpKeepalive).max(0) as u64;
        if let Err(error) = listener::prepare(&stream, keepalive_s) {
            tracing::debug!(%peer, %error, "client left before it was served");
        }
        let local = stream.local_addr().ok();
        let client = server.new_client(peer.to_string(), local, stream.as_raw_fd(), door);
        let session = Session { server, client };
        let listening = self.clone();
        tokio::spawn(async move { listening.serve_tcp(stream, session, speaks).await });
    }

    fn start_unix(&self, stream: UnixStream, path: &str) {
        let server = Arc::clone(&self.server);
        if !admit(&server) {
            refuse(SockRef::from(&stream));
            return;
        }
        let mut client = server.new_client(format!("{path}:0"), None, stream.as_raw_fd(), Door::Main);
        client.unix = true;
        let connection = Connection::new(Session { server, client }, NetStream::Unix(stream));
        tokio::spawn(connection.serve());
    }

    async fn serve_tcp(&self, stream: TcpStream, mut session: Session, speaks: Speaks) {
        let shared = Arc::clone(&session.client.shared);
        let first = tokio::select! {
            first = first_byte(&stream) => first,
            () = closed(&shared) => None,
        };
        let stream = match first {
            None => return,
            Some(TLS_HANDSHAKE) => match self.tls.greet(stream).await {
                Ok(stream) => {
                    session.client.tls = true;
                    session.client.sni = stream.get_ref().1.server_name().map(str::to_owned);
                    session.log_in_by_certificate(stream.get_ref().1.peer_certificates());
                    NetStream::Tls(Box::new(stream))
                }
                Err(error) => return error.tell(&session.server, shared.id),
            },
            Some(_) if session.server.is_left_hanging(&session.client) => {
                let server = &session.server;
                if let Some(further) = server.logs.log_limits.handshake.take(server.clock.now_ms()) {
                    let address = &shared.address;
                    tracing::warn!(
                        address,
                        further,
                        "a client without TLS is answered nothing, as by the service of the profile"
                    );
                }
                leave_hanging(&stream, &session).await;
                return;
            }
            Some(_) if speaks == Speaks::TlsOnly || session.server.config.flag(Directive::TlsOnly) => {
                let mut stream = stream;
                let text =
                    b"-ERR this port speaks TLS only: connect with TLS (redis-cli --tls, rediss://)\r\n";
                drop(stream.write_all(text).await);
                return;
            }
            Some(_) => NetStream::Tcp(stream),
        };
        if session.server.is_protected_from(&session.client) {
            self.deny(session, stream).await;
        } else {
            // A task of its own, without the room and the states that greeting it took.
            tokio::spawn(Connection::new(session, stream).serve());
        }
    }

    /// Tells a client from elsewhere why it is not let in.
    async fn deny(&self, session: Session, mut stream: NetStream) {
        tracing::warn!(address = session.client.shared.address, "connection refused by protected-mode");
        session.server.stats.add(worker::current(), Counter::RejectedConnections, 1);
        let told = async {
            stream.write_all(PROTECTED.as_bytes()).await?;
            stream.flush().await
        };
        drop(tokio::time::timeout(REFUSAL_TIMEOUT, told).await);
        stream.say_goodbye().await;
    }
}

/// Waits for the first byte without taking it; `None` when the client leaves without sending one.
pub async fn first_byte(stream: &TcpStream) -> Option<u8> {
    let mut byte = [0];
    match stream.peek(&mut byte).await {
        Ok(1) => Some(byte[0]),
        _ => None,
    }
}

/// Answers nothing to a client, whatever it sends, until it leaves or is to be closed.
async fn leave_hanging(stream: &TcpStream, session: &Session) {
    let mut ending = session.server.shutdown_signal();
    let left = async {
        let mut dropped = [0; 1024];
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut dropped) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    tokio::select! {
        () = left => {}
        () = closed(&session.client.shared) => {}
        _ = ending.wait_for(|ending| *ending) => {}
    }
}

/// Waits until another task asks for the client to be closed.
async fn closed(shared: &crate::shared::client::SharedClient) {
    std::future::poll_fn(|cx| {
        shared.register(cx.waker());
        if shared.is_closing() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// Refuses a client that there is no place for, at once: while it waited it would hold an open file, of which
/// few are left.
fn refuse(socket: SockRef<'_>) {
    // A socket that was just accepted has room for a line, unless the client is gone.
    drop(socket.send(b"-ERR max number of clients reached\r\n"));
}

/// Waits after a failed accept. Mostly there are no more files, and trying again at once would only burn
/// time.
async fn accept_failed(server: &Server, error: &std::io::Error) {
    if let Some(further) = server.logs.log_limits.accept.take(server.clock.now_ms()) {
        tracing::warn!(%error, further, "could not accept a connection");
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// Takes a place for a new client, or counts that there was none.
fn admit(server: &Server) -> bool {
    server.stats.add(worker::current(), Counter::ConnectionsReceived, 1);
    let admitted = server.clients.take_place(server.config.int(Directive::Maxclients).max(1) as usize);
    if !admitted {
        server.stats.add(worker::current(), Counter::RejectedConnections, 1);
    }
    admitted
}
