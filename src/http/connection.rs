//! One connection: a request, its answer, the end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Site;
use super::places::Place;
use super::routes::{self, Body, Ends};
use crate::config::Directive;
use crate::engine::Server;
use crate::net::stream::NetStream;
use crate::net::{TLS_HANDSHAKE, first_byte};

/// Most header lines of a request.
const HEADERS_MAX: usize = 64;

/// Most bytes of a request's line and headers.
const HEAD_MAX_BYTES: usize = 16 << 10;

/// Bytes of a refused request that are read and dropped, so that its client reads the answer before it is told
/// that the connection has ended.
const DRAIN_MAX_BYTES: usize = 256 << 10;

/// Serves a connection that has a place, until its answer is read, it is cut, or it ends.
pub(super) async fn serve(site: Arc<Site>, stream: TcpStream, place: Arc<Place>) {
    tokio::select! {
        biased;
        () = place.cut.cancelled() => {}
        () = serve_request(&site, stream, &place) => {}
    }
    if let Some(server) = site.server.upgrade() {
        site.places.leave(&place, &server.http);
    }
}

async fn serve_request(site: &Arc<Site>, stream: TcpStream, place: &Arc<Place>) {
    let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return };
    let Some(stream) = greeted(site, stream, peer).await else { return };
    let ends = Ends { peer, local, tls: matches!(stream, NetStream::Tls(_)) };
    let service = service_fn(|request| answer(site, place, ends, request));
    let connection = http1::Builder::new()
        .keep_alive(false)
        .header_read_timeout(None)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    match connection.without_shutdown().await {
        Ok(ended) => {
            if let Some(server) = site.server.upgrade() {
                place.has_answered(server.clock.now_ms());
            }
            finish(ended.io.into_inner()).await;
        }
        Err(error) if error.is_parse() => {
            // It was answered with an error of the protocol.
            if let Some(server) = site.server.upgrade() {
                server.http.refused.fetch_add(1, Relaxed);
            }
        }
        Err(error) => tracing::debug!(%error, "an HTTP client left before it had its answer"),
    }
}

/// The connection once its client has begun to speak: over TLS where it does so and may. `None` where it left, or
/// the handshake failed.
async fn greeted(site: &Site, stream: TcpStream, peer: SocketAddr) -> Option<NetStream> {
    let first = first_byte(&stream).await?;
    if first != TLS_HANDSHAKE || !site.server.upgrade()?.config.flag(Directive::MetricsTls) {
        return Some(NetStream::Tcp(stream));
    }
    match site.tls.greet(stream).await {
        Ok(stream) => Some(NetStream::Tls(Box::new(stream))),
        Err(error) => {
            let server = site.server.upgrade()?;
            server.http.handshakes_failed.fetch_add(1, Relaxed);
            error.tell(&server, peer);
            None
        }
    }
}

/// Ends a connection that was answered.
async fn finish(mut stream: NetStream) {
    let mut dropped = 0;
    let mut buffer = [0; 4096];
    if stream.shutdown().await.is_err() {
        return; // It is gone.
    }
    while dropped < DRAIN_MAX_BYTES {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => dropped += read,
        }
    }
}

async fn answer(
    site: &Arc<Site>,
    place: &Arc<Place>,
    ends: Ends,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let Some(server) = site.server.upgrade() else { return Ok(routes::gone()) };
    place.answers(server.clock.now_ms());
    let response = match ends.tls || !server.config.flag(Directive::MetricsTls) {
        true => routes::answer(site, place, ends, request).await,
        false => {
            routes::text(StatusCode::BAD_REQUEST, "this port speaks HTTPS only (metrics-tls): https://\n")
        }
    };
    count(&server, &response);
    Ok(response)
}

fn count(server: &Server, response: &Response<Body>) {
    server.http.requests.fetch_add(1, Relaxed);
    if response.status().is_client_error() {
        server.http.refused.fetch_add(1, Relaxed);
    }
}
