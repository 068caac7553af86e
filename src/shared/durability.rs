//! [`Durability`]: how far the journal is in a file and on disk, which replies and clients wait for that or
//! for replicas, and whether writes are refused because the file cannot be written.
//!
//! The writer of the append-only file publishes here; connections, WAIT and WAITAOF read. Positions are those
//! of the journal.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use super::client::SharedClient;
use super::waiter::{AckWait, Waiter};
use crate::error::{CommandError, system_text};

/// What the writer of the append-only file has achieved, for all who wait for it.
#[derive(Debug)]
pub struct Durability {
    /// Position up to which replies may be sent; `u64::MAX` where no reply waits.
    released: AtomicU64,
    /// Whether replies wait for what is not synced (`appendfsync always`).
    is_strict: AtomicBool,
    /// One more than the position up to which changes are on disk; 0 where no file holds all data.
    behind_synced: AtomicU64,
    /// Whether `error` is set.
    refuses: AtomicBool,
    /// What kept the file from being written, in the system's words.
    error: Mutex<Option<String>>,
    waiting: Mutex<Waiting>,
    /// How many clients' replies were kept when it was published last how far changes are on disk.
    crowd: AtomicUsize,
    /// How long they are waited for before the next sync, in microseconds.
    crowd_wait_us: AtomicU64,
    /// The task that syncs on a worker when it is asked to, and whether it is asked.
    sync_task: Mutex<Option<Waker>>,
    wants_sync: AtomicBool,
    /// Clients in WAIT and WAITAOF that wait for replicas.
    replica_waiters: Mutex<BTreeMap<ReplicaKey, Arc<Waiter>>>,
    /// Whether there are any.
    has_replica_waiters: AtomicBool,
}

/// Those that wait, each with the position that it waits for.
#[derive(Debug, Default)]
struct Waiting {
    /// Clients whose replies are kept, by their ids.
    clients: HashMap<u64, (u64, Arc<SharedClient>)>,
    /// Clients in WAITAOF that wait for the file, by what they wait for and the numbers of their waits.
    waiters: BTreeMap<(u64, u64), Arc<Waiter>>,
    /// The link to the primary that this server follows, which tells it what is on disk.
    link: Option<(u64, Arc<SharedClient>)>,
}

/// What a wait for replicas is found by: whether their disks are waited for, how many of them, the offset,
/// and the number of the wait.
type ReplicaKey = (bool, usize, u64, u64);

impl Default for Durability {
    fn default() -> Self {
        Self {
            released: AtomicU64::new(u64::MAX),
            is_strict: AtomicBool::new(false),
            behind_synced: AtomicU64::new(0),
            refuses: AtomicBool::new(false),
            error: Mutex::default(),
            waiting: Mutex::default(),
            crowd: AtomicUsize::new(0),
            crowd_wait_us: AtomicU64::new(0),
            sync_task: Mutex::default(),
            wants_sync: AtomicBool::new(false),
            replica_waiters: Mutex::default(),
            has_replica_waiters: AtomicBool::new(false),
        }
    }
}

impl Durability {
    /// Whether replies to what was changed up to `position` may be sent; one load.
    #[inline]
    pub fn is_released(&self, position: u64) -> bool {
        position <= self.released.load(Ordering::Acquire)
    }

    /// Whether replies wait for what is not synced, so that they show nothing that may be lost.
    #[inline]
    pub fn is_strict(&self) -> bool {
        self.is_strict.load(Ordering::Relaxed)
    }

    /// Lets replies wait for what is not synced from now on, where `is_strict` says so. It is asked while
    /// nothing is published.
    pub fn hold(&self, is_strict: impl FnOnce() -> bool) {
        let _waiting = self.waiting.lock();
        if is_strict() {
            self.released.store(self.synced(), Ordering::SeqCst);
            self.is_strict.store(true, Ordering::Relaxed);
        }
    }

    /// Whether what was changed up to `position` is on disk, and all that was there before.
    pub fn is_synced(&self, position: u64) -> bool {
        position < self.behind_synced.load(Ordering::Acquire)
    }

    /// Has the client called ([`SharedClient::look`]) once `position` is released. The caller looks behind
    /// this whether it is so already.
    pub fn call_when_released(&self, position: u64, client: &Arc<SharedClient>) {
        self.waiting.lock().clients.insert(client.id, (position, Arc::clone(client)));
    }

    /// Has the link to the primary called once what is before `position` is on disk; there is one such link. The
    /// caller looks behind this whether it is so already.
    pub fn call_when_synced(&self, position: u64, link: &Arc<SharedClient>) {
        self.waiting.lock().link = Some((position, Arc::clone(link)));
    }

    /// Asks the task that syncs on a worker to do so. Returns false where there is no such task.
    pub fn ask_for_sync(&self) -> bool {
        let task = self.sync_task.lock();
        let Some(task) = &*task else { return false };
        if !self.wants_sync.swap(true, Ordering::AcqRel) {
            task.wake_by_ref();
        }
        true
    }

    /// Ready when a sync is asked for, once for each time. There is one task that asks.
    pub fn poll_wanted_sync(&self, cx: &Context<'_>) -> Poll<()> {
        *self.sync_task.lock() = Some(cx.waker().clone());
        if self.wants_sync.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Forgets the task that syncs: it has ended.
    pub fn forget_sync_task(&self) {
        *self.sync_task.lock() = None;
    }

    /// Number of clients whose replies are kept.
    pub fn waiting_clients(&self) -> usize {
        self.waiting.lock().clients.len()
    }

    /// Whether as many replies are kept as were when clients were answered last: those that send their next request
    /// at once have come back. A sync that does not wait for them serves the others alone, and they have to wait for
    /// its end and for the next one: each sync would serve one half of the clients in turn.
    pub fn is_crowd_back(&self) -> bool {
        self.waiting_clients() >= self.crowd.load(Ordering::Relaxed)
    }

    /// How long a sync waits for clients that [come back](Self::is_crowd_back), at most.
    pub fn crowd_wait(&self) -> Duration {
        Duration::from_micros(self.crowd_wait_us.load(Ordering::Relaxed))
    }

    /// Notes what a sync takes on average, in microseconds. Half of that is waited for clients.
    pub fn note_sync_time(&self, mean_us: u64) {
        self.crowd_wait_us.store(mean_us / 2, Ordering::Relaxed);
    }

    /// Enters a wait for acknowledgements, of the file, of replicas or of both. The caller looks behind this
    /// whether they are there already.
    pub fn add_waiter(&self, waiter: &Arc<Waiter>) {
        let Some(acks) = &waiter.wait.acks else { return };
        if acks.local {
            self.waiting.lock().waiters.insert((acks.position, waiter.number), Arc::clone(waiter));
        }
        if acks.replicas > 0 {
            let mut waiters = self.replica_waiters.lock();
            waiters.insert(replica_key(acks, waiter), Arc::clone(waiter));
            self.has_replica_waiters.store(true, Ordering::SeqCst);
        }
    }

    /// Whether anybody waits for replicas.
    pub fn has_replica_waiters(&self) -> bool {
        self.has_replica_waiters.load(Ordering::SeqCst)
    }

    /// Takes the waits for replicas that are over. `offsets` are those that replicas have acknowledged, the
    /// largest first, and `on_disk` those on their disks.
    pub fn take_acknowledged(&self, offsets: &[u64], on_disk: &[u64]) -> Vec<Arc<Waiter>> {
        let mut waiters = self.replica_waiters.lock();
        let mut over = Vec::new();
        for (of_disks, offsets) in [(false, offsets), (true, on_disk)] {
            for (index, offset) in offsets.iter().enumerate() {
                let range = (of_disks, index + 1, 0, 0)..=(of_disks, index + 1, *offset, u64::MAX);
                let keys: Vec<ReplicaKey> = waiters.range(range).map(|(key, _)| *key).collect();
                over.extend(keys.iter().filter_map(|key| waiters.remove(key)));
            }
        }
        self.has_replica_waiters.store(!waiters.is_empty(), Ordering::SeqCst);
        over
    }

    /// Publishes how far changes are on disk (`None` where no file holds all data), how far replies may be
    /// sent, and whether they wait for that. `released` is asked behind a lock that [`hold`](Self::hold) takes
    /// too. Calls the clients whose replies waited for it, and returns the waits of WAITAOF that are over.
    ///
    /// Replies are sent in the order of their requests: clients that are answered first come back first, so that each
    /// waits equally long. In any other order a client that was answered late misses the next sync as well.
    pub fn publish(&self, released: impl FnOnce() -> (u64, bool), synced: Option<u64>) -> Vec<Arc<Waiter>> {
        let mut waiting = self.waiting.lock();
        let (released, is_strict) = released();
        self.released.store(released, Ordering::SeqCst);
        self.is_strict.store(is_strict, Ordering::Relaxed);
        let behind = synced.map_or(0, |synced| synced.saturating_add(1));
        self.behind_synced.store(behind, Ordering::SeqCst);
        self.crowd.store(waiting.clients.len(), Ordering::Relaxed);
        let mut clients: Vec<(u64, Arc<SharedClient>)> = waiting
            .clients
            .extract_if(|_, (position, _)| *position <= released)
            .map(|(_, entry)| entry)
            .collect();
        let later = waiting.waiters.split_off(&(behind, 0));
        let waiters = std::mem::replace(&mut waiting.waiters, later);
        let link = waiting.link.take_if(|(position, _)| *position < behind);
        // A worker that is woken enters its next clients.
        drop(waiting);
        clients.sort_unstable_by_key(|(position, _)| *position);
        if !clients.is_empty() {
            // Of the tasks that a worker wakes, it runs the last one first, and the others in their order. Where the
            // writer's thread wakes them all run in their order, and the first of them comes late.
            clients.rotate_left(1);
        }
        clients.iter().chain(&link).for_each(|(_, client)| client.look());
        waiters.into_values().collect()
    }

    /// Takes all waits of WAITAOF for the file.
    pub fn take_local_waiters(&self) -> Vec<Arc<Waiter>> {
        std::mem::take(&mut self.waiting.lock().waiters).into_values().collect()
    }

    /// Forgets a wait that has ended otherwise.
    pub fn remove_waiter(&self, waiter: &Waiter) {
        let Some(acks) = &waiter.wait.acks else { return };
        if acks.local {
            self.waiting.lock().waiters.remove(&(acks.position, waiter.number));
        }
        if acks.replicas > 0 {
            let mut waiters = self.replica_waiters.lock();
            waiters.remove(&replica_key(acks, waiter));
            self.has_replica_waiters.store(!waiters.is_empty(), Ordering::SeqCst);
        }
    }

    /// Position up to which changes are on disk.
    pub fn synced(&self) -> u64 {
        self.behind_synced.load(Ordering::Acquire).saturating_sub(1)
    }

    /// Refuses writes from here on, or no longer (`None`).
    pub fn set_error(&self, error: Option<&std::io::Error>) {
        let mut text = self.error.lock();
        *text = error.map(system_text);
        self.refuses.store(text.is_some(), Ordering::Release);
    }

    /// Whether writes are refused; one load.
    #[inline]
    pub fn refuses_writes(&self) -> bool {
        self.refuses.load(Ordering::Relaxed)
    }

    /// What a client is told whose write is refused.
    #[cold]
    pub fn refusal(&self) -> Option<CommandError> {
        let error = self.error.lock();
        error
            .as_ref()
            .map(|error| CommandError::new(format!("MISCONF Errors writing to the AOF file: {error}")))
    }
}

fn replica_key(acks: &AckWait, waiter: &Waiter) -> ReplicaKey {
    (acks.of_disks, acks.replicas, acks.offset, waiter.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker that has synced is to answer in the order of the requests, whatever order it runs woken tasks in.
    #[test]
    fn a_worker_answers_in_the_order_of_requests() {
        let durability = Arc::new(Durability::default());
        let answered = Arc::new(Mutex::new(Vec::new()));
        let polls = Arc::new(AtomicUsize::new(0));
        let worker = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
        let worker = worker.expect("a worker");
        let tasks: Vec<_> = [(1, 40), (2, 10), (3, 50), (4, 20), (5, 30)]
            .map(|(id, position)| {
                let (shared, answered, polls) =
                    (SharedClient::for_test(id), Arc::clone(&answered), Arc::clone(&polls));
                durability.call_when_released(position, &shared);
                worker.spawn(std::future::poll_fn(move |cx| {
                    shared.register(cx.waker());
                    polls.fetch_add(1, Ordering::SeqCst);
                    if !shared.take_look() {
                        return Poll::Pending;
                    }
                    answered.lock().push(position);
                    Poll::Ready(())
                }))
            })
            .into();
        let publisher = Arc::clone(&durability);
        worker.block_on(async {
            let sync = async move {
                while polls.load(Ordering::SeqCst) < 5 {
                    tokio::task::yield_now().await;
                }
                drop(publisher.publish(|| (50, true), Some(50)));
            };
            tokio::spawn(sync).await.expect("the sync");
            for task in tasks {
                task.await.expect("a client's task");
            }
        });
        assert_eq!(*answered.lock(), [10, 20, 30, 40, 50]);
    }

    /// Each sync is to serve all clients, and not one half of them in turn: the clients that are answered are expected
    /// beside those that came meanwhile, and no more once some have not come.
    #[test]
    fn those_that_were_answered_are_expected_again() {
        let durability = Durability::default();
        let waits = |id, position| durability.call_when_released(position, &SharedClient::for_test(id));
        let synced_to = |position| drop(durability.publish(|| (position, true), Some(position)));
        assert!(durability.is_crowd_back(), "nobody was answered");
        (1..=3).for_each(|id| waits(id, 10));
        waits(4, 20);
        synced_to(10);
        assert!(!durability.is_crowd_back() && durability.waiting_clients() == 1);
        (1..=2).for_each(|id| waits(id, 30));
        assert!(!durability.is_crowd_back(), "one is missing");
        waits(3, 30);
        assert!(durability.is_crowd_back());
        synced_to(30);
        waits(1, 40);
        synced_to(40);
        waits(1, 50);
        assert!(durability.is_crowd_back(), "the others have not come the last time");
        durability.note_sync_time(300);
        assert_eq!(durability.crowd_wait(), Duration::from_micros(150));
    }
}
