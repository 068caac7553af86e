//! Clients from inside the process: the console's requests take the way of a socket's, with its checks, limits
//! and logs, over a pair of sockets that nobody else reaches. CLIENT LIST shows such a client under the address
//! of the browser, and CLIENT KILL ends it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream as Pair;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::runtime::Handle;

use super::Session;
use super::connection::Connection;
use super::stream::NetStream;
use crate::acl::log::Place;
use crate::acl::user::User;
use crate::engine::Server;
use crate::engine::client::Client;
use crate::resp::Version;
use crate::shared::client::Door;

/// Whom a client from inside acts for.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The address it is known by.
    pub address: SocketAddr,
    /// The address that was dialled.
    pub local: SocketAddr,
}

/// What a client from inside begins with.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Whom it acts for.
    pub visitor: Visitor,
    /// The user that it is; `None` for the one that new clients are.
    pub user: Option<Arc<User>>,
    /// The database that is selected; it has to be there.
    pub database: usize,
    /// Whether it may change nothing.
    pub views_only: bool,
}

impl Visitor {
    /// Whether it is on this machine.
    pub fn is_local(&self) -> bool {
        self.address.ip().to_canonical().is_loopback()
    }

    /// A client that is shown to others. It has a place beside those that `maxclients` counts: whoever looks
    /// why nobody is let in has to be let in.
    fn client(&self, server: &Arc<Server>, fd: i32) -> Client {
        server.clients.take_place(usize::MAX);
        let client = server.new_client(self.address.to_string(), Some(self.local), fd, Door::Main);
        "console".clone_into(&mut client.shared.names.lock().name);
        client
    }
}

/// Connects a client, which the threads of `tasks` serve. It speaks RESP3 and ends with the stream that is
/// returned.
///
/// # Errors
/// There are too many open files.
pub fn connect(server: Arc<Server>, tasks: &Handle, visit: Visit) -> io::Result<Pair> {
    let (inner, outer) = Pair::pair()?;
    inner.set_nonblocking(true)?;
    outer.set_nonblocking(true)?;
    tasks.spawn(async move {
        let stream = match UnixStream::from_std(inner) {
            Ok(stream) => stream,
            Err(error) => return tracing::debug!(%error, "a client from inside could not be served"),
        };
        let client = visit.visitor.client(&server, stream.as_raw_fd());
        let mut session = Session { server, client };
        let Session { server, client } = &mut session;
        client.views_only = visit.views_only;
        client.is_inside = true;
        client.shared.is_inside.store(true, Ordering::Relaxed);
        client.set_version(Version::Resp3);
        client.select(visit.database);
        if let Some(user) = visit.user {
            server.log_in(client, user);
        }
        Connection::new(session, NetStream::Unix(stream)).serve().await;
    });
    Ok(outer)
}

/// Logs a visitor in as AUTH does: a wrong password is counted and logged, and answered late where there were
/// many. Returns the user; `None` for a wrong name or password, and while the server ends.
pub async fn log_in(
    server: Arc<Server>,
    tasks: &Handle,
    visitor: Visitor,
    name: Vec<u8>,
    password: Vec<u8>,
) -> Option<Arc<User>> {
    let asked = tasks.spawn(async move {
        let client = visitor.client(&server, -1);
        let mut session = Session { server, client };
        let Session { server, client } = &mut session;
        let (wait_ms, result) = server.authenticate(client, &name, &password, b"console", Place::TopLevel);
        let user = result.is_ok().then(|| Arc::clone(&client.rights.user));
        drop(session);
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        user
    });
    asked.await.ok().flatten()
}
