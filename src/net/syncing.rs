//! The task that syncs the append-only file for clients whose replies wait for it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::engine::Server;
use crate::shared::durability::Durability;

/// Syncs the append-only file each time that changes wait for it, on a worker and where that is quick. Requests
/// that have come are run before, and those of clients that come back are waited for: their changes come under the
/// same sync.
pub async fn sync_for_waiting(server: Arc<Server>) {
    let seat = Seat(&server.durability);
    loop {
        poll_fn(|cx| seat.0.poll_wanted_sync(cx)).await;
        let began_ns = server.clock.monotonic_ns();
        loop {
            run_others().await;
            // Sockets are looked at before a task goes on that yields.
            tokio::task::yield_now().await;
            run_others().await;
            let waited = Duration::from_nanos(server.clock.monotonic_ns() - began_ns);
            if seat.0.is_crowd_back() || waited >= seat.0.crowd_wait() {
                break;
            }
        }
        if let Some(append_only) = server.append_only() {
            append_only.sync_if_quick();
        }
    }
}

/// Lets the tasks run that are ready on this worker.
async fn run_others() {
    let mut has_waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The task's place at the server, free when the task ends.
struct Seat<'a>(&'a Durability);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.forget_sync_task();
    }
}
