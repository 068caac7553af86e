//! `/compat.json`: what the profile refuses, or would refuse. It names clients and what they asked for, so a page from
//! elsewhere must not read it in a browser on this network, under a name that was made to point here.

use bytes::Bytes;
use hyper::StatusCode;

use super::console::guard;
use super::routes::{Answer, Asked, gone, of, text};
use crate::engine::profile::Form;

/// The report as JSON, at most a thousand findings long.
pub(super) fn report(asked: Asked) -> Answer {
    let answer = match asked.site.server.upgrade() {
        None => gone(),
        Some(server) if !guard::may_be_told_names(&server, &asked.head.headers, asked.ends.tls) => text(
            StatusCode::MISDIRECTED_REQUEST,
            "the server does not go by this name: the directive console-hosts lists the names it goes by\n",
        ),
        Some(server) => match &server.profile {
            None => text(StatusCode::NOT_FOUND, "the server runs without a profile\n"),
            Some(profile) => of(StatusCode::OK, "application/json", Bytes::from(profile.report(Form::Json))),
        },
    };
    Box::pin(std::future::ready(answer))
}
