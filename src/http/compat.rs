//! `/compat.json`: what the profile refuses, or would refuse.

use bytes::Bytes;
use hyper::StatusCode;

use super::routes::{Answer, Asked, gone, of, text};
use crate::engine::profile::Form;

/// The report as JSON, at most a thousand findings long.
pub(super) fn report(asked: Asked) -> Answer {
    let answer = match asked.site.server.upgrade() {
        None => gone(),
        Some(server) => match &server.profile {
            None => text(StatusCode::NOT_FOUND, "the server runs without a profile\n"),
            Some(profile) => of(StatusCode::OK, "application/json", Bytes::from(profile.report(Form::Json))),
        },
    };
    Box::pin(std::future::ready(answer))
}
