//! The table of pages, and answers in general.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use super::console::{api, guard, history, page};
use super::places::Place;
use super::{Site, compat, health, scrape};

/// What an answer sends.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The answer that a page's function is about to give.
pub(super) type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// A request, with what is known of whoever made it.
pub(super) struct Asked {
    pub site: Arc<Site>,
    pub place: Arc<Place>,
    /// Addresses of the client and of this end.
    pub ends: Ends,
    pub head: Parts,
    pub body: Incoming,
}

/// Addresses of a connection, and whether it is over TLS up to this server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub tls: bool,
}

/// A page.
pub(super) struct Route {
    /// Its path, which a request has to name exactly: nothing is decoded, and no file is looked for.
    path: &'static str,
    method: Method,
    /// What it answers. Of GET to HEAD, too; without a body, as the protocol has it.
    answer: fn(Asked) -> Answer,
}

const fn get(path: &'static str, answer: fn(Asked) -> Answer) -> Route {
    Route { path, method: Method::GET, answer }
}

const fn post(path: &'static str, answer: fn(Asked) -> Answer) -> Route {
    Route { path, method: Method::POST, answer }
}

/// All pages; those of the console with its files are [`page::FILES`]. A further one is a line here and its
/// function.
pub(super) const ROUTES: &[Route] = &[
    get("/metrics", scrape::metrics),
    get("/healthz", health::healthz),
    get("/readyz", health::readyz),
    get("/compat.json", compat::report),
    get("/api/session", api::session),
    post("/api/session", api::log_in),
    Route { path: "/api/session", method: Method::DELETE, answer: api::log_out },
    get("/api/figures", api::figures),
    get("/api/figures/history", history::history),
    get("/api/directives", api::directives),
    post("/api/command", api::command),
    post("/api/stream", api::stream),
];

/// Answers a request.
pub(super) async fn answer(
    site: &Arc<Site>,
    place: &Arc<Place>,
    ends: Ends,
    request: Request<Incoming>,
) -> Response<Body> {
    let has_body = !request.body().is_end_stream();
    let (head, body) = request.into_parts();
    let method = if head.method == Method::HEAD { Method::GET } else { head.method.clone() };
    if let Err(refused) = guard::named_host(&head.headers) {
        return api::refusal(&refused);
    }
    let file = page::file(head.uri.path());
    let routes = || ROUTES.iter().filter(|route| route.path == head.uri.path());
    if file.is_none() && routes().next().is_none() {
        return text(StatusCode::NOT_FOUND, "there is no such page\n");
    }
    let route = routes().find(|route| route.method == method);
    if route.is_none() && (file.is_none() || method != Method::GET) {
        let mut methods: Vec<&str> = routes().map(|route| route.method.as_str()).collect();
        if file.is_some() || methods.contains(&"GET") {
            methods.retain(|method| *method != "GET");
            methods.splice(0..0, ["GET", "HEAD"]);
        }
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "this page does not answer to this method\n");
        let allowed = HeaderValue::from_str(&methods.join(", "));
        refused.headers_mut().insert(ALLOW, allowed.unwrap_or(HeaderValue::from_static("GET")));
        return refused;
    }
    if has_body && method != Method::POST {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "a request has no body here\n");
    }
    let asked = Asked { site: Arc::clone(site), place: Arc::clone(place), ends, head, body };
    match (route, file) {
        (Some(route), _) => (route.answer)(asked).await,
        (None, Some(file)) => page::answer(&asked, file),
        (None, None) => text(StatusCode::NOT_FOUND, "there is no such page\n"),
    }
}

/// The answer while the server ends.
pub(super) fn gone() -> Response<Body> {
    text(StatusCode::SERVICE_UNAVAILABLE, "the server ends\n")
}

/// An answer in plain words.
pub(super) fn text(status: StatusCode, words: &'static str) -> Response<Body> {
    of(status, "text/plain; charset=utf-8", Bytes::from_static(words.as_bytes()))
}

/// An answer with its content and the content's type. It is true of this moment only, so nobody keeps it.
pub(super) fn of(status: StatusCode, content_type: &'static str, content: Bytes) -> Response<Body> {
    sends(status, content_type, Full::new(content).boxed_unsync())
}

/// [`of`] with content that is made as it is sent.
pub(super) fn sends(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
