//! `/metrics`: the figures for Prometheus. They are read at most ten times a second, however often they are
//! asked for, and on a thread that neither runs commands nor serves connections.

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::ACCEPT;
use tokio::sync::Mutex;

use super::console::guard;
use super::exposition::{Format, write};
use super::routes::{self, Answer, Asked, gone, text};
use crate::engine::Server;
use crate::figures::sight::DatabaseCounts;
use crate::figures::{Metric, Sample, Sight, collect};

/// How long figures that were read are given to all who ask, in milliseconds.
const KEPT_MS: u64 = 100;

/// The figures that were read last. Who asks while they are being read waits, and is given the same.
#[derive(Default)]
pub(super) struct Scrapes(Mutex<Option<Scrape>>);

/// Figures that were read, and the texts made of them.
struct Scrape {
    at_ms: u64,
    metrics: Arc<Vec<Metric>>,
    /// By format, and by whether they name keys.
    texts: [[Option<Bytes>; 2]; 2],
}

/// Answers with the figures, in the format that the request prefers.
pub(super) fn metrics(asked: Asked) -> Answer {
    Box::pin(async move {
        let Asked { site, head, ends, .. } = asked;
        let accepted = head.headers.get(ACCEPT).and_then(|accepted| accepted.to_str().ok());
        let format = Format::preferred(accepted.unwrap_or_default());
        let Some(server) = site.server.upgrade() else { return gone() };
        let is_told_names = guard::may_be_told_names(&server, &head.headers, ends.tls);
        match site.scrapes.text(&server, format, is_told_names).await {
            Some(page) => routes::of(StatusCode::OK, format.content_type(), page),
            // A panic, which was reported by the panic hook.
            None => text(StatusCode::INTERNAL_SERVER_ERROR, "the figures could not be read\n"),
        }
    })
}

impl Scrapes {
    async fn text(&self, server: &Arc<Server>, format: Format, with_names: bool) -> Option<Bytes> {
        self.look(server, move |scrape| {
            let text = &mut scrape.texts[format as usize][usize::from(with_names)];
            let names_keys = |metric: &&Metric| metric.samples.iter().any(Sample::names_keys);
            let shown = scrape.metrics.iter().filter(|metric| with_names || !names_keys(metric));
            text.get_or_insert_with(|| write(shown, format).into()).clone()
        })
        .await
    }

    /// The figures of this moment, and when they were read.
    pub async fn figures(&self, server: &Arc<Server>) -> Option<(u64, Arc<Vec<Metric>>)> {
        self.look(server, |scrape| (scrape.at_ms, Arc::clone(&scrape.metrics))).await
    }

    async fn look<T: Send + 'static>(
        &self,
        server: &Arc<Server>,
        make: impl FnOnce(&mut Scrape) -> T + Send + 'static,
    ) -> Option<T> {
        let mut kept = self.0.lock().await;
        let now_ms = server.clock.now_ms();
        let fresh = kept.take().filter(|scrape| now_ms.abs_diff(scrape.at_ms) < KEPT_MS);
        let server = Arc::clone(server);
        let made = tokio::task::spawn_blocking(move || {
            let mut scrape = fresh.unwrap_or_else(|| Scrape {
                at_ms: now_ms,
                metrics: Arc::new(read(&server)),
                texts: <_>::default(),
            });
            let made = make(&mut scrape);
            (scrape, made)
        });
        let (scrape, made) = made.await.ok()?;
        *kept = Some(scrape);
        Some(made)
    }
}

fn read(server: &Server) -> Vec<Metric> {
    look_at(server, |sight| collect(sight, &|_| true))
}

/// Looks at the server as nobody's client.
pub(super) fn look_at<T>(server: &Server, look: impl FnOnce(&Sight<'_>) -> T) -> T {
    let now_ms = server.clock.now_ms();
    look(&Sight::new(server, None, now_ms, &|| Some(count_databases(server, now_ms))))
}

/// Counts the databases as they are at this moment, without passing the gate before the keyspace: who is alone behind
/// it, as a script that takes long, keeps no figure from the page.
fn count_databases(server: &Server, now_ms: u64) -> Vec<DatabaseCounts> {
    let keyspace = &server.keyspace;
    let of = |number: usize| {
        let database = keyspace.physical_if_used(keyspace.gate.shown(number))?;
        Some(DatabaseCounts::of(number, database, now_ms))
    };
    (0..keyspace.database_count()).filter_map(of).collect()
}
