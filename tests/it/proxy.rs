//! A proxy between a replica and its primary, which holds bytes back, delays them, or cuts the connections.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::harness::local;

/// Bytes that each socket of the proxy asks to keep at most.
const KEPT: usize = 256 << 10;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the replica, which connects, to the primary.
    Up,
    /// From the primary to the replica.
    Down,
}

/// A proxy before one server. Connections go on as long as it is there.
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The ways on which nothing passes, while connections stay open.
    held: Vec<Way>,
    /// How long each piece takes.
    delay: Duration,
    /// Bytes after which a connection is cut on the way down; `None` for never.
    cut_after: Option<usize>,
    streams: Vec<TcpStream>,
    is_over: bool,
}

impl Proxy {
    /// A proxy before the server at this port.
    pub fn before(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if of_thread.state.lock().is_over {
                    return;
                }
                // A server that is down refuses; so does the proxy.
                let Ok(server) = TcpStream::connect(local(target)) else { continue };
                // A primary keeps for a replica that is cut what the sockets of one link may hold, and these
                // are two more.
                for stream in [&client, &server] {
                    let socket = socket2::SockRef::from(stream);
                    socket.set_recv_buffer_size(KEPT).expect("a size");
                    socket.set_send_buffer_size(KEPT).expect("a size");
                }
                of_thread.join(client, server);
            }
        });
        Self { port, shared }
    }

    /// Lets nothing pass on these ways, until it is said again; new connections are as silent.
    pub fn hold(&self, ways: &[Way]) {
        self.shared.state.lock().held = ways.to_vec();
        self.shared.changed.notify_all();
    }

    /// Delays each piece.
    pub fn delay(&self, delay: Duration) {
        self.shared.state.lock().delay = delay;
    }

    /// Cuts each connection after so many bytes of the primary.
    pub fn cut_after(&self, bytes: Option<usize>) {
        self.shared.state.lock().cut_after = bytes;
    }

    /// Cuts all connections that there are. What was held is lost.
    pub fn cut(&self) {
        let streams = std::mem::take(&mut self.shared.state.lock().streams);
        for stream in streams {
            // It may have ended by itself.
            drop(stream.shutdown(Shutdown::Both));
        }
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state.lock().is_over = true;
        self.cut();
        // The thread that listens looks up.
        drop(TcpStream::connect(local(self.port)));
    }
}

impl Shared {
    fn join(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        let twice = |stream: &TcpStream| stream.try_clone().expect("a handle");
        self.state.lock().streams.extend([twice(&client), twice(&server)]);
        for (way, from, to) in
            [(Way::Up, twice(&client), twice(&server)), (Way::Down, twice(&server), twice(&client))]
        {
            let shared = Arc::clone(self);
            std::thread::spawn(move || shared.pump(way, from, to));
        }
    }

    fn pump(&self, way: Way, mut from: TcpStream, mut to: TcpStream) {
        let (mut piece, mut passed) = (vec![0; 64 << 10], 0);
        loop {
            let count = from.read(&mut piece).unwrap_or(0);
            let (delay, cut_after) = {
                let mut state = self.state.lock();
                while state.held.contains(&way) && !state.is_over {
                    self.changed.wait(&mut state);
                }
                (state.delay, state.cut_after.filter(|_| way == Way::Down))
            };
            std::thread::sleep(delay);
            let left = cut_after.map_or(count, |after| after.saturating_sub(passed).min(count));
            if count == 0 || to.write_all(&piece[..left]).is_err() || left < count {
                break;
            }
            passed += count;
        }
        for stream in [from, to] {
            // The other side may have closed before.
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}
