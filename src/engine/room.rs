//! [`Room`]: how many heavy commands run at once, and which of those that wait is the next.
//!
//! Each heavy command takes a thread for itself, and a share of the processors from all others. So only a few more
//! of them run at once than there are processors. A request that turns out to be heavy before it has changed
//! anything asks for a [`Place`]; where there is none it is broken off, takes a [`Ticket`], and waits without a
//! thread and without locks until it is woken, in the order in which the requests came. It then takes its place
//! before its locks.
//!
//! What cannot be broken off (a script, a transaction, what turns out to be heavy as it goes) takes a place whether
//! there is one or not: it never waits for one while it holds locks, so that nobody waits for ever. It counts
//! nevertheless, so that fewer others begin. A transaction that is likely to be heavy asks before it takes its locks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::error::CommandError;
use crate::keyspace::access::NoRoom;
use crate::shared::client::SharedClient;

/// Heavy commands that run at once beside one for each processor: some of them wait for memory, or for a lock.
const BESIDE_PROCESSORS: usize = 2;

/// Places that are kept for those that ask, however many have been taken without asking: scripts that run without an
/// end leave others so much.
const KEPT: usize = 2;

/// With so many heavy commands no script and no transaction begins: threads are not to run out.
const CROWD: usize = 64;

/// The room of one server.
#[derive(Debug)]
pub struct Room {
    /// How many commands run or are entered as heavy: with none requests go the short way.
    pub(super) any: AtomicUsize,
    /// How many commands run, for those who only look.
    shown: AtomicUsize,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// Places for those that ask.
    max: usize,
    /// Commands that run, with and without having asked.
    running: usize,
    /// Those of them that have asked.
    asked: usize,
    /// Those that wait, by the numbers of their tickets.
    queue: BTreeMap<u64, Arc<SharedClient>>,
    /// Number of the next ticket.
    next: u64,
}

/// The place of a heavy command that runs, until this is dropped.
#[derive(Debug)]
pub struct Place<'r> {
    room: &'r Room,
    has_asked: bool,
}

/// The place in the order of those that wait for room. It stays the same while the request that has it waits for
/// something else, out of the queue.
#[derive(Debug)]
pub struct Ticket {
    state: Arc<Mutex<State>>,
    number: u64,
}

impl From<NoRoom> for CommandError {
    fn from(_: NoRoom) -> Self {
        CommandError::NoRoom
    }
}

impl Default for Room {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new(processors + BESIDE_PROCESSORS)
    }
}

impl State {
    /// How many of those that ask may begin now.
    fn free(&self) -> usize {
        self.max.saturating_sub(self.running).max(KEPT.saturating_sub(self.asked))
    }

    /// Wakes those at the head of the queue whose turn it is. One that was woken before, and has not come yet, is
    /// woken again.
    fn wake(&self) {
        self.queue.values().take(self.free()).for_each(|client| client.look());
    }
}

impl Room {
    fn new(max: usize) -> Self {
        let state = State { max, running: 0, asked: 0, queue: BTreeMap::new(), next: 0 };
        Self { any: AtomicUsize::new(0), shown: AtomicUsize::new(0), state: Arc::new(Mutex::new(state)) }
    }

    /// Takes a place, where there is one and it is nobody else's turn.
    pub fn ask(&self, ticket: Option<&Ticket>) -> Option<Place<'_>> {
        let mut state = self.state.lock();
        let free = state.free();
        let before = match ticket {
            Some(ticket) => state.queue.range(..ticket.number).take(free).count(),
            None => state.queue.len(),
        };
        if before >= free {
            return None;
        }
        if let Some(ticket) = ticket {
            state.queue.remove(&ticket.number);
        }
        state.asked += 1;
        Some(self.begin(&mut state, true))
    }

    /// Takes a place whether there is one or not.
    pub fn take(&self) -> Place<'_> {
        self.begin(&mut self.state.lock(), false)
    }

    fn begin(&self, state: &mut State, has_asked: bool) -> Place<'_> {
        state.running += 1;
        self.shown.store(state.running, Ordering::Relaxed);
        self.any.fetch_add(1, Ordering::Relaxed);
        Place { room: self, has_asked }
    }

    /// A ticket behind all others.
    pub fn ticket(&self) -> Ticket {
        let mut state = self.state.lock();
        state.next += 1;
        Ticket { state: Arc::clone(&self.state), number: state.next }
    }

    /// Whether one that asks without a ticket gets no place.
    pub(super) fn is_full(&self) -> bool {
        let state = self.state.lock();
        state.queue.len() >= state.free()
    }

    /// Whether so many heavy commands run that what is not broken off does not begin.
    pub(super) fn is_crowded(&self) -> bool {
        self.running() >= CROWD
    }

    /// How many heavy commands run.
    pub fn running(&self) -> usize {
        self.shown.load(Ordering::Relaxed)
    }

    /// How many requests wait for room.
    pub fn waiting(&self) -> usize {
        self.state.lock().queue.len()
    }
}

impl Ticket {
    /// Has its client wait in the queue, to be woken when its turn comes, which may be now.
    pub(super) fn line_up(&self, client: &Arc<SharedClient>) {
        let mut state = self.state.lock();
        state.queue.insert(self.number, Arc::clone(client));
        state.wake();
    }

    /// Lets others by while its client waits for something else.
    pub(super) fn step_aside(&self) {
        let mut state = self.state.lock();
        if state.queue.remove(&self.number).is_some() {
            state.wake();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.step_aside();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.room.state.lock();
        state.running -= 1;
        state.asked -= usize::from(self.has_asked);
        self.room.shown.store(state.running, Ordering::Relaxed);
        self.room.any.fetch_sub(1, Ordering::Relaxed);
        state.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_in_the_order_of_tickets() {
        let room = Room::new(2);
        let mut places: Vec<Place<'_>> = (0..2).map(|_| room.ask(None).expect("a place")).collect();
        assert!(room.is_full() && room.ask(None).is_none());
        let clients: Vec<_> = (1..=3).map(SharedClient::for_test).collect();
        let tickets: Vec<Ticket> = clients.iter().map(|_| room.ticket()).collect();
        tickets.iter().zip(&clients).rev().for_each(|(ticket, client)| ticket.line_up(client));
        assert!(clients.iter().all(|client| !client.take_look()), "nobody's turn");
        places.pop();
        let looks = || clients.iter().map(|client| client.take_look()).collect::<Vec<_>>();
        assert_eq!(looks(), [true, false, false]);
        assert!(room.ask(None).is_none() && room.ask(Some(&tickets[1])).is_none(), "it is another's turn");
        // The first waits for something else: the next one is woken, and its own number stays.
        tickets[0].step_aside();
        assert_eq!(looks(), [false, true, false]);
        tickets[0].line_up(&clients[0]);
        assert_eq!(looks(), [true, false, false]);
        places.push(room.ask(Some(&tickets[0])).expect("its turn"));
        assert_eq!((room.running(), room.waiting()), (2, 2));
        // One that leaves is waited for no longer.
        let mut tickets = tickets;
        tickets.remove(1);
        drop(places);
        assert_eq!(looks(), [false, false, true]);
        assert!(!room.is_full(), "one place is for whoever waits, the other for anybody");
        drop(tickets);
        assert_eq!((room.running(), room.waiting()), (0, 0));
    }

    #[test]
    fn those_who_do_not_ask_leave_some_places() {
        let room = Room::new(4);
        let taken: Vec<Place<'_>> = (0..9).map(|_| room.take()).collect();
        let asked: Vec<Place<'_>> = (0..KEPT).map(|_| room.ask(None).expect("a place")).collect();
        assert!(room.is_full());
        drop(taken);
        assert_eq!(room.running(), KEPT);
        assert!(!room.is_full());
        drop(asked);
    }
}
