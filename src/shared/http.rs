//! [`HttpCounts`]: what happens at the port for figures (`metrics-port`).

use std::sync::atomic::AtomicU64;

/// Counts of connections and requests. The port's own thread writes them.
#[derive(Debug, Default)]
pub struct HttpCounts {
    /// Connections that are open.
    pub open: AtomicU64,
    /// Connections that were accepted.
    pub accepted: AtomicU64,
    /// Requests that were answered.
    pub requests: AtomicU64,
    /// Requests that were answered with an error.
    pub refused: AtomicU64,
    /// Idle connections that were closed to make room for new ones.
    pub displaced: AtomicU64,
    /// Connections that were closed at once, for want of room.
    pub rejected: AtomicU64,
    /// TLS handshakes that failed.
    pub handshakes_failed: AtomicU64,
    /// Connections that were closed because their client was too slow.
    pub timed_out: AtomicU64,
}
