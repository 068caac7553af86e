//! [`ShownLink`]: the link to the primary among the clients, as CLIENT LIST and CLIENT KILL find it.

use std::future::poll_fn;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use tokio::net::TcpStream;

use crate::engine::Server;
use crate::engine::client::Client;
use crate::shared::client::SharedClient;

/// Where a link goes, as CLIENT LIST shows it.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    address: String,
    local_address: String,
    fd: i32,
}

impl Ends {
    pub(super) fn of(stream: &TcpStream) -> Self {
        let text = |address: std::io::Result<std::net::SocketAddr>| {
            address.map(|address| address.to_string()).unwrap_or_default()
        };
        Self {
            address: text(stream.peer_addr()),
            local_address: text(stream.local_addr()),
            fd: stream.as_raw_fd(),
        }
    }
}

/// The link to the primary while its stream is taken: a client with the flag `M` among the others, until this
/// is dropped. It takes no place of `maxclients`.
pub(super) struct ShownLink {
    server: Arc<Server>,
    /// The client that runs the stream.
    pub(super) shared: Arc<SharedClient>,
}

impl ShownLink {
    pub(super) fn new(server: &Arc<Server>, ends: Ends) -> Self {
        let Ends { address, local_address, fd } = ends;
        let shared =
            Client::shared_that_repeats(server, server.clients.next_id(), address, local_address, fd);
        shared.primary.store(true, Ordering::Relaxed);
        let shared = Arc::new(shared);
        server.clients.add(Arc::clone(&shared));
        Self { server: Arc::clone(server), shared }
    }

    /// Whether CLIENT KILL has asked for its end.
    pub(super) fn is_closing(&self) -> bool {
        self.shared.is_closing()
    }

    /// Waits until CLIENT KILL asks for its end.
    pub(super) async fn closing(&self) {
        poll_fn(|cx| {
            self.shared.register(cx.waker());
            if self.shared.is_closing() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Waits until more of the journal is on disk than what is before `position`.
    pub(super) async fn more_on_disk(&self, position: u64) {
        let durability = &self.server.durability;
        durability.call_when_synced(position + 1, &self.shared);
        poll_fn(|cx| {
            self.shared.register(cx.waker());
            if durability.is_synced(position + 1) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Drop for ShownLink {
    fn drop(&mut self) {
        self.shared.set_gone();
        self.server.clients.remove_without_place(self.shared.id);
    }
}
