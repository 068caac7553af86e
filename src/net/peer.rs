//! A connection that the server opens itself, to another server (MIGRATE).

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::block_in_place;

use crate::engine::network::{Peer, PeerError};
use crate::worker::Numbers;

/// Longest line that another server may answer. Errors quote what they complain of, and no more than so much
/// of it.
const LINE_MAX: usize = 4096;

/// Bytes sent within one time limit. A long message may take several, as long as it gets on.
const STEP_BYTES: usize = 64 * 1024;

/// Bytes asked for in one read.
const READ_CHUNK: usize = 4096;

/// An open connection.
struct Connected {
    stream: TcpStream,
    step_limit: Duration,
    /// Bytes that came behind the last line.
    input: Vec<u8>,
    /// Told while this thread waits.
    workers: Arc<Numbers>,
}

/// Waits for another server: this thread's tasks go to another one meanwhile, so nobody takes it for stuck.
fn wait_beside<T>(workers: &Numbers, wait: impl FnOnce() -> T) -> T {
    workers.wait_beside();
    block_in_place(wait)
}

/// Connects to another server, trying its addresses in their order.
///
/// Waiting here stops the thread, and the runtime moves the thread's other tasks elsewhere. The waiting
/// command keeps its locks, as its keys must not change until it is known where they are. Each step ends by
/// its time limit.
///
/// # Errors
/// An unknown name, or nobody answers in time. A connection that is refused shows when it is used, as in
/// Redis.
pub(super) fn connect(
    host: &str,
    port: u16,
    step_limit: Duration,
    own_ports: &[u16],
    workers: Arc<Numbers>,
) -> Result<Box<dyn Peer>, PeerError> {
    let beside = Arc::clone(&workers);
    wait_beside(&beside, || {
        let until = Instant::now() + step_limit;
        let mut failed = PeerError::Connect;
        for address in (host, port).to_socket_addrs().map_err(|_| PeerError::Connect)? {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) if is_own(&stream, own_ports) => return Err(PeerError::Itself),
                Ok(stream) => {
                    // Without it the last piece of a request might wait for the reply to the first.
                    stream.set_nodelay(true).map_err(|_| PeerError::Connect)?;
                    let connected = Connected { stream, step_limit, input: Vec::new(), workers };
                    return Ok(Box::new(connected) as Box<dyn Peer>);
                }
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => failed = PeerError::Write,
                Err(_) => failed = PeerError::Connect,
            }
        }
        Err(failed)
    })
}

/// Whether the other end is a port of this server: a machine calls its own addresses from the same address.
fn is_own(stream: &TcpStream, own_ports: &[u16]) -> bool {
    match (stream.local_addr(), stream.peer_addr()) {
        (Ok(local), Ok(peer)) => local.ip() == peer.ip() && own_ports.contains(&peer.port()),
        _ => false,
    }
}

impl Connected {
    fn write_step(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let until = Instant::now() + self.step_limit;
        while !bytes.is_empty() {
            self.stream.set_write_timeout(Some(left_until(until)?))?;
            match self.stream.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read_line(&mut self) -> io::Result<Vec<u8>> {
        let until = Instant::now() + self.step_limit;
        let mut searched = 0;
        loop {
            if let Some(end) = self.input[searched..].iter().position(|&byte| byte == b'\n') {
                let rest = self.input.split_off(searched + end + 1);
                let mut line = std::mem::replace(&mut self.input, rest);
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            searched = self.input.len();
            if searched > LINE_MAX {
                return Err(ErrorKind::InvalidData.into());
            }
            self.stream.set_read_timeout(Some(left_until(until)?))?;
            let mut chunk = [0; READ_CHUNK];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.input.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Peer for Connected {
    fn send(&mut self, requests: &[u8]) -> Result<(), PeerError> {
        let workers = Arc::clone(&self.workers);
        let steps = requests.chunks(STEP_BYTES);
        let sent = wait_beside(&workers, || steps.into_iter().try_for_each(|step| self.write_step(step)));
        sent.map_err(|error| {
            tracing::debug!(%error, "could not send to another server");
            PeerError::Write
        })
    }

    fn line(&mut self) -> Result<Vec<u8>, PeerError> {
        let workers = Arc::clone(&self.workers);
        wait_beside(&workers, || self.read_line()).map_err(|error| {
            tracing::debug!(%error, "no reply from another server");
            PeerError::Read
        })
    }
}

/// Returns the time left; an error where none is left, as sockets take no limit of 0.
fn left_until(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}
