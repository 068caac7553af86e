//! `/healthz` and `/readyz`: whether the process answers, and whether clients find the data here. Those who
//! start servers ask them, and send clients where both are well.

use hyper::StatusCode;

use super::routes::{Answer, Asked, gone, text};

/// The process answers. KVARTS HEALTH looks at its parts.
pub(super) fn healthz(_: Asked) -> Answer {
    Box::pin(std::future::ready(text(StatusCode::OK, "ok\n")))
}

/// The data are loaded, and a replica has those of its primary.
pub(super) fn readyz(asked: Asked) -> Answer {
    let answer = match asked.site.server.upgrade() {
        None => gone(),
        Some(server) if *server.shutdown_signal().borrow() => gone(),
        Some(server) if server.is_ready() => text(StatusCode::OK, "ready\n"),
        Some(server) if server.loading.is_active() => {
            text(StatusCode::SERVICE_UNAVAILABLE, "the data are being loaded\n")
        }
        Some(_) => text(StatusCode::SERVICE_UNAVAILABLE, "the data of the primary are not there yet\n"),
    };
    Box::pin(std::future::ready(answer))
}
