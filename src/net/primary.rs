//! The link to the primary that this server follows: connects, introduces itself, takes a copy and the
//! stream, and begins again when it ends.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::connection::add;
use super::shown_link::{Ends, ShownLink};
use super::tls::TlsSource;
use crate::config::Directive;
use crate::engine::Server;
use crate::engine::applier::{Applied, Applier, Fault};
use crate::engine::following::{FullCopy, LinkState, Primary};
use crate::replication::failover::Step;
use crate::replication::follower::{ACK_MS, Ended, Offsets, PrimaryLink, Todo};
use crate::replication::handshake::{CopyForm, Introduction, LINE_MAX, Refusal, request};
use crate::shared::stats::Counter;
use crate::worker;

/// The longest wait for the links of replicas that were cut.
const CUTS: Duration = Duration::from_secs(1);

/// Time between two acknowledgements.
const ACK_EACH: Duration = Duration::from_millis(ACK_MS);

/// Pause between two looks whether the data are loaded.
const LOADING_LOOK: Duration = Duration::from_millis(10);

/// Pause before what something slow was in the way of is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(1);

/// Bytes read at once.
const PIECE: usize = 256 << 10;

/// The version of Valkey whose snapshots can be read; a primary writes the copy accordingly.
const READS_FILES_OF: &str = "9.1.0";

/// Pieces of a copy that wait to be loaded.
const WAITING: usize = 16;

/// Why a link has ended.
#[derive(Debug, Error)]
enum LinkError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("the primary sends {0}")]
    Stream(#[from] Fault),
    #[error("the copy cannot be loaded: {0}")]
    Copy(String),
    #[error("nothing has come for {0} seconds")]
    Silent(u64),
    #[error("the primary answers with an endless line")]
    LongLine,
    #[error("no TLS to it: {0}")]
    Tls(String),
    #[error("it was to be closed")]
    Killed,
}

/// Keeps the link to whichever primary is to be followed, until the server ends.
pub async fn follow(server: Arc<Server>, tls: Arc<TlsSource>) {
    let mut wanted = server.following.watch();
    let mut ending = server.shutdown_signal();
    loop {
        let primary = wanted.borrow_and_update().clone();
        let turn = async {
            let Some(primary) = primary else { return std::future::pending().await };
            // What is loaded says where the stream goes on.
            while server.loading.is_active() {
                tokio::time::sleep(LOADING_LOOK).await;
            }
            link_and_wait(&server, &tls, &primary).await;
        };
        tokio::select! {
            biased;
            _ = ending.wait_for(|ending| *ending) => return,
            changed = wanted.changed() => if changed.is_err() { return },
            () = turn => {}
        }
    }
}

/// Keeps one link as long as it lasts, then waits before the next.
async fn link_and_wait(server: &Arc<Server>, tls: &Arc<TlsSource>, primary: &Arc<Primary>) {
    server.following.note(|link| link.state = LinkState::Connecting);
    let begun = Instant::now();
    let mut link = Link {
        server: Arc::clone(server),
        tls: Arc::clone(tls),
        input: Vec::new(),
        streams_since: None,
        ends: Ends::default(),
    };
    let Err(error) = link.run(primary).await;
    tell_timeout(&error, server.following.link().state);
    let now_ms = server.clock.now_ms();
    server.following.note(|link| {
        if link.state == LinkState::Connected {
            link.down_since_ms = now_ms;
        }
        link.state = LinkState::Connect;
    });
    tracing::warn!("Connection with primary {}:{} lost: {error}", primary.host, primary.port);
    let ended = Ended {
        lasted_ms: begun.elapsed().as_millis() as u64,
        streamed_ms: link.streams_since.map(|(since, _)| since.elapsed().as_millis() as u64),
        has_applied: link.streams_since.is_some_and(|(_, from)| server.following.offset() > from),
        is_faulty: matches!(error, LinkError::Stream(_)),
    };
    tokio::time::sleep(Duration::from_millis(ended.pause_ms())).await;
}

/// Logs what a link's end by silence means, in the words that tools look for.
fn tell_timeout(error: &LinkError, state: LinkState) {
    if !matches!(error, LinkError::Silent(_)) {
        return;
    }
    match state {
        LinkState::Connect | LinkState::Connecting | LinkState::Handshake => {
            tracing::warn!("Timeout connecting to the PRIMARY...");
        }
        LinkState::Sync => tracing::warn!("Timeout receiving bulk data from PRIMARY..."),
        LinkState::Connected => tracing::warn!("PRIMARY timeout: no data nor PING received..."),
    }
}

enum Never {}

/// Bytes to and from the primary.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Sends a message whole.
async fn send(stream: &mut Box<dyn Stream>, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

struct Link {
    server: Arc<Server>,
    tls: Arc<TlsSource>,
    /// What has come and is not dealt with.
    input: Vec<u8>,
    /// When the stream began, and at which offset.
    streams_since: Option<(Instant, u64)>,
    ends: Ends,
}

impl Link {
    async fn run(&mut self, primary: &Arc<Primary>) -> Result<Never, LinkError> {
        let patience = self.patience();
        let mut stream = timeout(patience, self.connect(primary))
            .await
            .map_err(|_| LinkError::Silent(patience.as_secs()))??;
        tracing::info!("PRIMARY <-> REPLICA sync started");
        self.server.following.note(|link| link.state = LinkState::Handshake);
        let (mut link, todo) = self.introduce(&mut stream).await?;
        match todo {
            Todo::BeginCopy(form) => self.take_copy(&mut stream, &mut link, &form, primary).await?,
            Todo::Continue(id) => {
                if self.server.goes_on(id.as_deref()) {
                    self.wait_for_cuts().await;
                }
                tracing::info!("Successful partial resynchronization with primary.");
            }
            Todo::Read | Todo::Send(_) | Todo::Load(..) | Todo::Apply(_) => {}
        }
        self.take_stream(&mut stream, &mut link, primary).await
    }

    /// Connects, with TLS where `tls-replication` asks for it.
    async fn connect(&mut self, primary: &Primary) -> Result<Box<dyn Stream>, LinkError> {
        let from = self.server.config.text(Directive::BindSourceAddr);
        let stream = match &*from {
            "" => TcpStream::connect((&*primary.host, primary.port)).await?,
            from => connect_from(from, primary).await?,
        };
        stream.set_nodelay(true)?;
        self.ends = Ends::of(&stream);
        if !self.server.config.flag(Directive::TlsReplication) {
            return Ok(Box::new(stream));
        }
        let (tls, failed) = (Arc::clone(&self.tls), |error: &dyn ToString| LinkError::Tls(error.to_string()));
        // Files are read, and perhaps keys made.
        let config = tokio::task::spawn_blocking(move || tls.client_config())
            .await
            .map_err(|error| failed(&error))?
            .map_err(|error| failed(&error))?;
        let name = ServerName::try_from(primary.host.clone()).map_err(|error| failed(&error))?;
        let connected = TlsConnector::from(config).connect(name, stream).await;
        Ok(Box::new(connected.map_err(|error| failed(&error))?))
    }

    /// Waits until the links of replicas that were cut have ended, so that this one is not called up before
    /// they are down.
    async fn wait_for_cuts(&self) {
        let began = Instant::now();
        while self.server.replication.replicas.count() > 0 && began.elapsed() < CUTS {
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.server.config.int(Directive::ReplTimeout).max(1) as u64)
    }

    /// Reads what has come, no longer than the primary may be silent. Returns the number of bytes.
    async fn read(&mut self, stream: &mut Box<dyn Stream>) -> Result<usize, LinkError> {
        let patience = self.patience();
        self.input.reserve(PIECE);
        let silent = |_| LinkError::Silent(patience.as_secs());
        let count = timeout(patience, stream.read_buf(&mut self.input)).await.map_err(silent)??;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        self.server.stats.add(worker::current(), Counter::NetReplInputBytes, count as u64);
        let now_ms = self.server.clock.now_ms();
        self.server.following.note(|link| link.heard_ms = now_ms);
        Ok(count)
    }

    /// The handshake.
    async fn introduce(&mut self, stream: &mut Box<dyn Stream>) -> Result<(PrimaryLink, Todo), LinkError> {
        let introduction = introduction(&self.server);
        match &introduction.has {
            Some((id, offset)) => {
                let next = offset + 1;
                tracing::info!("Trying a partial resynchronization (request {id}:{next}).");
            }
            None => tracing::info!("Partial resynchronization not possible (no cached primary)"),
        }
        let (mut link, first) = PrimaryLink::begin(introduction);
        send(stream, &first).await?;
        loop {
            let todo = link.next(&mut self.input).inspect_err(|_| {
                if link.has_asked() {
                    self.server.give_up_failover("Failover target rejected psync request");
                }
            })?;
            match todo {
                Todo::Send(bytes) => {
                    send(stream, &bytes).await?;
                    continue;
                }
                Todo::Continue(_) | Todo::BeginCopy(_) => {
                    self.server.failover_done();
                    return Ok((link, todo));
                }
                Todo::Read | Todo::Load(..) | Todo::Apply(_) => {}
            }
            if self.input.len() > LINE_MAX {
                return Err(LinkError::LongLine);
            }
            self.read(stream).await?;
        }
    }

    /// Loads a copy while it comes.
    async fn take_copy(
        &mut self,
        stream: &mut Box<dyn Stream>,
        link: &mut PrimaryLink,
        form: &CopyForm,
        primary: &Arc<Primary>,
    ) -> Result<(), LinkError> {
        let server = Arc::clone(&self.server);
        let following = &server.following;
        tracing::info!("Full resync from primary: {}:{}", form.id, form.offset);
        following.note(|link| link.state = LinkState::Sync);
        let copies = following.copies().ok_or_else(|| LinkError::Copy("there are no files".into()))?;
        let (sender, receiver) = mpsc::channel::<Bytes>(WAITING);
        let copy = FullCopy {
            source: Box::new(Pieces::new(receiver)),
            id: form.id.clone(),
            offset: form.offset,
            primary: Arc::clone(primary),
        };
        let mut loading = Loading(tokio::task::spawn_blocking(move || copies.load(copy)), None);
        let moved = self.move_copy(stream, link, form, &sender, &mut loading).await;
        drop(sender);
        // What is broken off is cleared away before the next copy comes.
        let loaded = loading.end().await;
        moved?;
        loaded?;
        link.begin_stream();
        tracing::info!("PRIMARY <-> REPLICA sync: Finished with success");
        Ok(())
    }

    /// Moves the bytes of a copy to the thread that loads them, to its end.
    async fn move_copy(
        &mut self,
        stream: &mut Box<dyn Stream>,
        link: &mut PrimaryLink,
        form: &CopyForm,
        sender: &mpsc::Sender<Bytes>,
        loading: &mut Loading,
    ) -> Result<(), LinkError> {
        let mut taken = 0;
        loop {
            let (bytes, is_end) = match link.next(&mut self.input)? {
                Todo::Load(bytes, is_end) => (bytes, is_end),
                _ => (Vec::new(), false),
            };
            taken += bytes.len() as u64;
            self.server.following.note(|link| link.copy_bytes = (form.bytes(), taken));
            if !bytes.is_empty() && sender.send(bytes.into()).await.is_err() {
                loading.end().await?;
                return Err(LinkError::Copy("it goes on behind its end".into()));
            }
            if is_end {
                return Ok(());
            }
            tokio::select! {
                biased;
                read = self.read(stream) => drop(read?),
                // A copy that cannot be loaded is not waited for; one that is loaded says so itself.
                loaded = loading.end(), if !loading.has_ended() => loaded?,
            }
        }
    }

    /// Applies the stream, and acknowledges it.
    async fn take_stream(
        &mut self,
        stream: &mut Box<dyn Stream>,
        link: &mut PrimaryLink,
        primary: &Arc<Primary>,
    ) -> Result<Never, LinkError> {
        let server = Arc::clone(&self.server);
        server.following.note(|link| (link.state, link.down_since_ms) = (LinkState::Connected, 0));
        let began = Instant::now();
        self.streams_since = Some((began, server.following.offset()));
        let shown = ShownLink::new(&server, std::mem::take(&mut self.ends));
        // The first bytes may have come with the answer to PSYNC.
        add(&shown.shared.input_bytes, self.input.len() as u64);
        let mut applier = Applier::new(&server, primary, Arc::clone(&shown.shared));
        loop {
            if shown.is_closing() {
                return Err(LinkError::Killed);
            }
            let bytes = match link.next(&mut self.input)? {
                Todo::Apply(bytes) => bytes,
                _ => Vec::new(),
            };
            let Applied { asked, waits } = applier.apply(&server, &bytes)?;
            // Before it is looked at for an acknowledgement: what is synced behind this is told by another.
            let synced = server.durability.synced();
            let now_ms = began.elapsed().as_millis() as u64;
            if let Some(has) = link.acknowledges(now_ms, asked, || server.applied_offsets()) {
                let ack = acknowledgement(has);
                timeout(self.patience(), send(stream, &ack))
                    .await
                    .map_err(|_| LinkError::Silent(self.patience().as_secs()))??;
                add(&shown.shared.output_bytes, ack.len() as u64);
            }
            if waits {
                tokio::time::sleep(TRY_AGAIN).await;
                continue;
            }
            let heard_ms = server.following.link().heard_ms;
            let read = tokio::select! {
                biased;
                () = shown.closing() => return Err(LinkError::Killed),
                () = shown.more_on_disk(synced), if link.awaits_disk() => continue,
                read = timeout(ACK_EACH, self.read(stream)) => read,
            };
            match read {
                Ok(read) => add(&shown.shared.input_bytes, read? as u64),
                Err(_) => {
                    let silent_ms = server.clock.now_ms().saturating_sub(heard_ms);
                    if silent_ms > self.patience().as_millis() as u64 {
                        return Err(LinkError::Silent(silent_ms / 1000));
                    }
                }
            }
            tokio::task::yield_now().await;
        }
    }
}

/// The thread that loads a copy, and how it has ended.
struct Loading(JoinHandle<Result<(), String>>, Option<Result<(), String>>);

impl Loading {
    fn has_ended(&self) -> bool {
        self.1.is_some()
    }

    /// Waits for its end.
    async fn end(&mut self) -> Result<(), LinkError> {
        let ended = match self.1.take() {
            Some(ended) => ended,
            None => (&mut self.0).await.unwrap_or_else(|error| Err(error.to_string())),
        };
        self.1 = Some(ended.clone());
        ended.map_err(LinkError::Copy)
    }
}

/// Connects from a local address, to the first of the primary's addresses that can be reached from it.
async fn connect_from(from: &str, primary: &Primary) -> io::Result<TcpStream> {
    let local =
        lookup_host((from, 0)).await?.next().ok_or_else(|| io::Error::other("no such local address"))?;
    let mut failed = io::Error::other("no address of its kind");
    for address in lookup_host((&*primary.host, primary.port)).await? {
        let socket = match (address, local) {
            (SocketAddr::V4(_), SocketAddr::V4(_)) => TcpSocket::new_v4()?,
            (SocketAddr::V6(_), SocketAddr::V6(_)) => TcpSocket::new_v6()?,
            _ => continue,
        };
        socket.bind(local)?;
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// What is acknowledged of the stream: what is applied, and of that what the append-only file has on disk.
fn acknowledgement((offset, on_disk): Offsets) -> Vec<u8> {
    let (offset, on_disk) = (offset.to_string(), on_disk.map(|on_disk| on_disk.to_string()));
    match &on_disk {
        None => request(&["REPLCONF", "ACK", &offset]),
        Some(on_disk) => request(&["REPLCONF", "ACK", &offset, "FACK", on_disk]),
    }
}

/// What this server tells its primary.
fn introduction(server: &Server) -> Introduction {
    let config = &server.config;
    let text = |directive| Some(config.text(directive).to_string()).filter(|text| !text.is_empty());
    let announced = config.int(Directive::ReplicaAnnouncePort);
    let port = u16::try_from(announced).ok().filter(|port| *port > 0);
    Introduction {
        user: text(Directive::Primaryuser),
        password: text(Directive::Primaryauth),
        port: port.unwrap_or_else(|| server.identity.ports.read().main),
        ip: text(Directive::ReplicaAnnounceIp),
        version: READS_FILES_OF.to_owned(),
        has: server.place_in_stream(),
        hands_over: server.failover_step() == Step::InProgress,
    }
}

/// The bytes of a copy for the thread that loads it.
struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Pieces {
    fn new(receiver: mpsc::Receiver<Bytes>) -> Self {
        Self { receiver, piece: Bytes::new() }
    }
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let count = self.piece.len().min(into.len());
        self.piece.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}
