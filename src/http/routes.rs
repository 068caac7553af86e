//! The table of pages, and answers in general.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use super::{Site, compat, health, scrape};

/// What an answer sends.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The answer that a page's function is about to give.
pub(super) type Answer<'a> = Pin<Box<dyn Future<Output = Response<Body>> + Send + 'a>>;

/// A page.
pub(super) struct Route {
    /// Its path, which a request has to name exactly: nothing is decoded, and no file is looked for.
    path: &'static str,
    /// What it answers, to GET and HEAD.
    answer: for<'a> fn(&'a Arc<Site>, &'a Parts) -> Answer<'a>,
}

/// All pages. A further one is a line here and its function.
pub(super) const ROUTES: &[Route] = &[
    Route { path: "/metrics", answer: scrape::metrics },
    Route { path: "/healthz", answer: health::healthz },
    Route { path: "/readyz", answer: health::readyz },
    Route { path: "/compat.json", answer: compat::report },
];

/// Answers a request.
pub(super) async fn answer(site: &Arc<Site>, request: Request<Incoming>) -> Response<Body> {
    let has_body = !request.body().is_end_stream();
    let (parts, _) = request.into_parts();
    let Some(route) = ROUTES.iter().find(|route| route.path == parts.uri.path()) else {
        return text(StatusCode::NOT_FOUND, "there is no such page\n");
    };
    if parts.method != Method::GET && parts.method != Method::HEAD {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "this page is only read\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    if has_body {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "a request has no body here\n");
    }
    (route.answer)(site, &parts).await
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
    let mut response = Response::new(Full::new(content).boxed_unsync());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
