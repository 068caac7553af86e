//! The page: files that are part of the program. It asks nobody else for anything, and says so to the browser,
//! which then refuses whatever somebody might smuggle into it.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY,
    X_FRAME_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::{api, guard};
use crate::http::routes::{self, Asked, Body};

/// What the page may do: load its own files and talk to its own server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// A file of the page.
pub(in crate::http) struct File {
    path: &'static str,
    content_type: &'static str,
    content: &'static str,
}

macro_rules! file {
    ($path:literal, $name:literal, $content_type:expr) => {
        File { path: $path, content_type: $content_type, content: include_str!(concat!("files/", $name)) }
    };
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// All files.
pub(in crate::http) const FILES: &[File] = &[
    file!("/", "index.html", "text/html; charset=utf-8"),
    file!("/console/style.css", "style.css", STYLE),
    file!("/console/views.css", "views.css", STYLE),
    file!("/console/app.js", "app.js", SCRIPT),
    file!("/console/api.js", "api.js", SCRIPT),
    file!("/console/dom.js", "dom.js", SCRIPT),
    file!("/console/format.js", "format.js", SCRIPT),
    file!("/console/figures.js", "figures.js", SCRIPT),
    file!("/console/errors.js", "errors.js", SCRIPT),
    file!("/console/trouble.js", "trouble.js", SCRIPT),
    file!("/console/holders.js", "holders.js", SCRIPT),
    file!("/console/chart.js", "chart.js", SCRIPT),
    file!("/console/treemap.js", "treemap.js", SCRIPT),
    file!("/console/value.js", "value.js", SCRIPT),
    file!("/console/views/overview.js", "views/overview.js", SCRIPT),
    file!("/console/views/slow.js", "views/slow.js", SCRIPT),
    file!("/console/views/hot.js", "views/hot.js", SCRIPT),
    file!("/console/views/clients.js", "views/clients.js", SCRIPT),
    file!("/console/views/keys.js", "views/keys.js", SCRIPT),
    file!("/console/views/line.js", "views/line.js", SCRIPT),
    file!("/console/views/live.js", "views/live.js", SCRIPT),
    file!("/console/views/slots.js", "views/slots.js", SCRIPT),
    file!("/console/views/state.js", "views/state.js", SCRIPT),
    file!("/console/views/config.js", "views/config.js", SCRIPT),
];

/// The file at a path.
pub(in crate::http) fn file(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

/// Answers with a file, or that the browser has it.
pub(in crate::http) fn answer(asked: &Asked, file: &'static File) -> Response<Body> {
    let Some(server) = asked.site.server.upgrade() else { return routes::gone() };
    let headers = &asked.head.headers;
    if let Err(refused) = guard::may_be_called(&server, headers) {
        return api::refusal(&refused);
    }
    let hash = twox_hash::XxHash3_64::oneshot(file.content.as_bytes());
    let tag = format!("\"{hash:016x}\"");
    let has_it = headers.get(IF_NONE_MATCH).is_some_and(|tags| tags.as_bytes() == tag.as_bytes());
    let mut response = if has_it {
        routes::sends(
            StatusCode::NOT_MODIFIED,
            file.content_type,
            http_body_util::Empty::new().boxed_unsync(),
        )
    } else {
        routes::of(StatusCode::OK, file.content_type, Bytes::from_static(file.content.as_bytes()))
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    for (name, value) in [
        // It is asked for each time, and sent when it is another one.
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
