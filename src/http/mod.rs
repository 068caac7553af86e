//! The port for figures and health (`metrics-port`), which speaks HTTP: `/metrics`, `/healthz`, `/readyz`, and
//! `/compat.json` under a profile.
//!
//! It has a thread of its own, so nothing that happens here takes time of a worker. A connection serves one
//! request. Everything is bounded: the number of connections ([`places`]), how long each step of one may
//! take by the server's clock, the size of a request's head; a request with a body is refused. What is closed
//! or refused is counted in [`HttpCounts`](crate::shared::http::HttpCounts).
//!
//! A page is a line in [`routes::ROUTES`] with its function; [`connection`] and [`ports`] know none.

mod compat;
mod connection;
mod exposition;
mod health;
mod places;
mod ports;
mod routes;
mod scrape;

pub use ports::{HttpPort, WithHttp};

use std::sync::{Arc, Weak};

use places::Places;
use scrape::Scrapes;

use crate::engine::Server;

/// What all connections share.
struct Site {
    // The server keeps the port in turn.
    server: Weak<Server>,
    places: Places,
    scrapes: Scrapes,
}

impl Site {
    fn new(server: &Arc<Server>) -> Self {
        Self { server: Arc::downgrade(server), places: Places::default(), scrapes: Scrapes::default() }
    }
}
