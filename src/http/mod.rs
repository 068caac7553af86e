//! The port for figures, health and the console (`metrics-port`), which speaks HTTP: `/metrics`, `/healthz`,
//! `/readyz`, `/compat.json` under a profile, and at `/` the [`console`].
//!
//! It has a thread of its own, so nothing that happens here takes time of a worker. A connection serves one
//! request. Everything is bounded: the number of connections ([`places`]), how long each step of one may
//! take by the server's clock, the size of a request's head and of its body, where it may have one. What is closed
//! or refused is counted in [`HttpCounts`](crate::shared::http::HttpCounts).
//!
//! A page is a line in [`routes::ROUTES`] with its function; [`connection`] and [`ports`] know none.

mod compat;
mod connection;
mod console;
mod exposition;
mod health;
mod places;
mod ports;
mod routes;
mod scrape;

pub use ports::{HttpPort, WithHttp};

use std::sync::{Arc, Weak};

use console::Console;
use places::Places;
use scrape::Scrapes;
use tokio::runtime::Handle;

use crate::engine::Server;
use crate::net::tls::TlsSource;

/// What all connections share.
struct Site {
    // The server keeps the port in turn.
    server: Weak<Server>,
    places: Places,
    scrapes: Scrapes,
    console: Console,
    /// What is shown to clients over TLS (`metrics-tls`).
    tls: Arc<TlsSource>,
    /// The threads that run commands.
    tasks: Handle,
}

impl Site {
    fn new(server: &Arc<Server>, tls: Arc<TlsSource>, tasks: Handle) -> Self {
        Self {
            server: Arc::downgrade(server),
            places: Places::default(),
            scrapes: Scrapes::default(),
            console: Console::default(),
            tls,
            tasks,
        }
    }
}
