//! What commands may ask of the network. The engine knows no sockets: `net` implements [`Network`], and
//! run.rs hands it over.

use std::time::Duration;

use thiserror::Error;

use super::Server;
use crate::config::{Change, Refusal};

/// The sockets, as commands reach them.
pub trait Network: Send + Sync {
    /// Does what changes of the configuration ask of sockets: listens on the ports and addresses that there
    /// are to be, speaks TLS as told, makes room for as many clients. All of it, or everything stays as it
    /// is. Connections stay in either case.
    ///
    /// # Errors
    /// With the directive at fault and the text for the client.
    fn relisten(&self, changes: &[Change]) -> Result<(), Refusal>;

    /// Connects to another server. The time limit holds for this and for each step of the exchange. The
    /// calling thread waits, and other threads do its other work meanwhile.
    ///
    /// # Errors
    /// Nobody answers there.
    fn connect(&self, host: &str, port: u16, step_limit: Duration) -> Result<Box<dyn Peer>, PeerError>;
}

/// A connection to another server, as a client of it. Every step waits, for a bounded time.
pub trait Peer {
    /// Sends requests.
    ///
    /// # Errors
    /// It is gone, or does not take them in time.
    fn send(&mut self, requests: &[u8]) -> Result<(), PeerError>;

    /// Waits for the next line of its replies, without the line end.
    ///
    /// # Errors
    /// It is gone, does not answer in time, or answers what no such server does.
    fn line(&mut self) -> Result<Vec<u8>, PeerError>;
}

/// At which step an exchange with another server failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PeerError {
    /// No connection came about in time.
    #[error("IOERR error or timeout connecting to the client")]
    Connect,
    /// The address is one of this server's own. It would wait for itself.
    #[error("ERR the target instance is this server itself")]
    Itself,
    /// Requests could not be sent.
    #[error("IOERR error or timeout writing to target instance")]
    Write,
    /// No reply came.
    #[error("IOERR error or timeout reading to target instance")]
    Read,
}

/// The network of a server without sockets, as benches and fuzz targets have one.
pub(super) struct NoNetwork;

impl Network for NoNetwork {
    fn relisten(&self, _: &[Change]) -> Result<(), Refusal> {
        Ok(())
    }

    fn connect(&self, _: &str, _: u16, _: Duration) -> Result<Box<dyn Peer>, PeerError> {
        Err(PeerError::Connect)
    }
}

impl Server {
    /// Says how sockets are reached; called once, at the start.
    pub fn set_network(&self, network: std::sync::Arc<dyn Network>) {
        // Whoever is there first stays.
        let _ = self.network.set(network);
    }

    /// The sockets' side.
    pub fn network(&self) -> &dyn Network {
        self.network.get().map_or(&NoNetwork, |outside| &**outside)
    }
}
