//! The task that syncs the append-only file for clients whose replies wait for it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use crate::engine::Server;
use crate::shared::durability::Durability;

/// Syncs the append-only file each time that changes wait for it, on a worker and where that is quick. Requests
/// that have come are run before, and those of clients that come back are waited for: their changes come under the
/// same sync.
pub async fn sync_for_waiting(server: Arc<Server>) {
    let seat = Seat(&server.durability);
    loop {
        poll_fn(|cx| seat.0.poll_wanted_sync(cx)).await;
        let now_ns = || server.clock.monotonic_ns();
        let mut patience = Patience::new(now_ns(), seat.0.waiting_clients());
        loop {
            run_others().await;
            // Sockets are looked at before a task goes on that yields.
            tokio::task::yield_now().await;
            run_others().await;
            let wait_ns = seat.0.crowd_wait().as_nanos() as u64;
            if seat.0.is_crowd_back() || patience.ends(now_ns(), seat.0.waiting_clients(), wait_ns) {
                break;
            }
        }
        if let Some(append_only) = server.append_only() {
            append_only.sync_if_quick();
        }
    }
}

/// How long clients that come back are waited for: at first [`Durability::crowd_wait`], and then as long as one comes
/// after the other, but for [`LONGEST`] of that at most. Clients that come at times of their own are so not waited for
/// in vain.
struct Patience {
    began_ns: u64,
    /// How many clients were there when that was last looked at, and since when.
    there: usize,
    since_ns: u64,
}

/// The longest wait for clients, in times of [`Durability::crowd_wait`].
const LONGEST: u64 = 4;

impl Patience {
    fn new(now_ns: u64, there: usize) -> Self {
        Self { began_ns: now_ns, there, since_ns: now_ns }
    }

    /// Whether they are waited for no longer, where so many are there now. `wait_ns` is how long they are waited for
    /// at first.
    fn ends(&mut self, now_ns: u64, there: usize, wait_ns: u64) -> bool {
        if there != self.there {
            (self.there, self.since_ns) = (there, now_ns);
        }
        let (waited_ns, still_ns) = (now_ns - self.began_ns, now_ns - self.since_ns);
        waited_ns >= wait_ns && (still_ns >= wait_ns / 2 || waited_ns >= wait_ns * LONGEST)
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

#[cfg(test)]
mod tests {
    use super::Patience;

    #[test]
    fn clients_are_waited_for_as_long_as_they_come() {
        let mut patience = Patience::new(1000, 1);
        assert!(!patience.ends(1099, 1, 100));
        assert!(patience.ends(1100, 1, 100), "nobody came");
        let mut patience = Patience::new(1000, 1);
        for step in 1..10 {
            assert!(!patience.ends(1000 + step * 40, 1 + step as usize, 100), "one comes after the other");
        }
        assert!(patience.ends(1400, 12, 100), "for no longer than that");
        let mut patience = Patience::new(1000, 1);
        assert!(!patience.ends(1090, 2, 100));
        assert!(!patience.ends(1130, 2, 100));
        assert!(patience.ends(1140, 2, 100), "no more have come");
    }

    #[test]
    fn nobody_is_waited_for_where_syncs_take_no_time() {
        assert!(Patience::new(5, 0).ends(5, 3, 0));
    }
}
