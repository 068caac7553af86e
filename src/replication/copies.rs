//! [`Copy`]: the bytes of a full copy on their way from the thread that makes them to the links of all
//! replicas that share it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::Replica;

/// Bytes that may wait for the slowest of the replicas; then whoever makes the copy waits.
const WINDOW: usize = 4 << 20;

/// How a copy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyEnd {
    /// It is whole.
    Whole,
    /// It will never be.
    Failed,
}

/// What a link finds that asks for more of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyRead {
    /// The next bytes.
    Bytes(Bytes),
    /// They are not there yet; the link is woken.
    NotYet,
    /// There are no more.
    End(CopyEnd),
}

/// A full copy that is being made and sent.
#[derive(Debug)]
pub struct Copy {
    /// Whether its end is marked: a replica that reads on would miss the mark, so nothing may follow until it
    /// has acknowledged the copy.
    pub is_marked: bool,
    state: Mutex<State>,
    /// Told when there is room for more.
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Bytes>,
    /// Number of the first of them, and their bytes.
    first: u64,
    bytes: usize,
    readers: Vec<Place>,
    end: Option<CopyEnd>,
}

#[derive(Debug)]
struct Place {
    replica: Arc<Replica>,
    /// Number of the chunk that it reads next.
    next: u64,
    sleeps: bool,
}

impl Copy {
    /// A copy for these replicas. Each of them takes all its bytes, or [leaves](Self::leave).
    pub fn new(replicas: &[Arc<Replica>], is_marked: bool) -> Self {
        let place = |replica: &Arc<Replica>| Place { replica: Arc::clone(replica), next: 0, sleeps: false };
        let readers = replicas.iter().map(place).collect();
        Self { is_marked, state: Mutex::new(State { readers, ..State::default() }), room: Condvar::new() }
    }

    /// Adds bytes. Waits while too many wait to be taken. Returns false where nobody takes any: then there is
    /// nothing more to make.
    pub fn push(&self, bytes: Bytes) -> bool {
        let mut state = self.state.lock();
        while state.bytes >= WINDOW && !state.readers.is_empty() && state.end.is_none() {
            self.room.wait(&mut state);
        }
        if state.readers.is_empty() || state.end.is_some() {
            return false;
        }
        state.bytes += bytes.len();
        state.chunks.push_back(bytes);
        state.wake_sleepers();
        true
    }

    /// Ends it, unless it has ended. One that is given up wakes whoever makes it.
    pub fn finish(&self, end: CopyEnd) {
        let mut state = self.state.lock();
        state.end.get_or_insert(end);
        state.wake_sleepers();
        self.room.notify_all();
    }

    /// Whether anybody still takes it.
    pub fn is_wanted(&self) -> bool {
        let state = self.state.lock();
        !state.readers.is_empty() && state.end.is_none()
    }

    /// The next bytes for a replica.
    pub fn read(&self, replica: &Arc<Replica>) -> CopyRead {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(place) = state.readers.iter_mut().find(|place| Arc::ptr_eq(&place.replica, replica)) else {
            return CopyRead::End(CopyEnd::Failed);
        };
        if state.end == Some(CopyEnd::Failed) {
            return CopyRead::End(CopyEnd::Failed);
        }
        let Some(bytes) = state.chunks.get((place.next - state.first) as usize).cloned() else {
            place.sleeps = state.end.is_none();
            return state.end.map_or(CopyRead::NotYet, CopyRead::End);
        };
        place.next += 1;
        if state.forget_read() {
            self.room.notify_all();
        }
        CopyRead::Bytes(bytes)
    }

    /// A replica takes no more of it.
    pub fn leave(&self, replica: &Arc<Replica>) {
        let mut state = self.state.lock();
        state.readers.retain(|place| !Arc::ptr_eq(&place.replica, replica));
        state.forget_read();
        self.room.notify_all();
    }
}

impl State {
    /// Drops what everybody has taken; returns whether there was any.
    fn forget_read(&mut self) -> bool {
        let needed = self.readers.iter().map(|place| place.next).min().unwrap_or(u64::MAX);
        let before = self.first;
        while self.first < needed
            && let Some(chunk) = self.chunks.pop_front()
        {
            self.first += 1;
            self.bytes -= chunk.len();
        }
        self.first > before
    }

    fn wake_sleepers(&mut self) {
        for place in &mut self.readers {
            if std::mem::take(&mut place.sleeps) {
                place.replica.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replication::{Announced, Stage};

    fn replica(client: u64) -> Arc<Replica> {
        Arc::new(Replica::new(client, String::new(), Announced::default(), Stage::Copies, 0, || {}))
    }

    fn chunk(number: usize) -> Bytes {
        Bytes::from(vec![number as u8; 512 << 10])
    }

    fn take_all(copy: &Copy, replica: &Arc<Replica>) -> Vec<u8> {
        let mut firsts = Vec::new();
        loop {
            match copy.read(replica) {
                CopyRead::Bytes(bytes) => firsts.push(bytes[0]),
                CopyRead::NotYet => std::thread::yield_now(),
                CopyRead::End(end) => {
                    assert_eq!(end, CopyEnd::Whole);
                    return firsts;
                }
            }
        }
    }

    /// All who share a copy get all of it, and no more of it is held than a few chunks.
    #[test]
    fn all_who_share_a_copy_get_all_of_it() {
        let replicas = [replica(1), replica(2), replica(3)];
        let copy = Copy::new(&replicas, true);
        std::thread::scope(|scope| {
            let takers = replicas.each_ref().map(|replica| scope.spawn(|| take_all(&copy, replica)));
            for number in 0..100 {
                assert!(copy.push(chunk(number)));
                assert!(copy.state.lock().bytes <= WINDOW + (512 << 10));
            }
            copy.finish(CopyEnd::Whole);
            for taker in takers {
                assert_eq!(taker.join().expect("no panic"), (0..100).collect::<Vec<u8>>());
            }
        });
        assert_eq!(copy.state.lock().bytes, 0);
    }

    /// One that takes nothing holds a copy up until it is gone; with nobody left there is no more to make.
    #[test]
    fn who_leaves_holds_nothing_up() {
        let (one, other) = (replica(1), replica(2));
        let copy = Copy::new(&[Arc::clone(&one), Arc::clone(&other)], false);
        std::thread::scope(|scope| {
            let maker = scope.spawn(|| (0..20).all(|number| copy.push(chunk(number))));
            copy.leave(&other);
            for _ in 0..12 {
                while copy.read(&one) == CopyRead::NotYet {
                    std::thread::yield_now();
                }
            }
            assert!(maker.join().expect("no panic"));
        });
        copy.leave(&one);
        assert!(!copy.is_wanted());
        assert!(!copy.push(chunk(0)));
        assert_eq!(copy.read(&one), CopyRead::End(CopyEnd::Failed));
    }
}
