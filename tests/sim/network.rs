//! Connections between nodes: bytes in order, in pieces of any size, after any time, or never.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Bytes that a connection holds on their way; then its sender waits.
const WINDOW: usize = 900;

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that connected: a replica.
    Replica,
    /// The one that was called: a primary.
    Primary,
}

impl Side {
    pub fn other(self) -> Self {
        if self == Self::Replica { Self::Primary } else { Self::Replica }
    }
}

/// What goes to one end.
#[derive(Debug, Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    /// Whether nothing follows them.
    is_ended: bool,
    /// Whether the end that receives is never told of that: it was lost with the connection.
    is_silent: bool,
}

#[derive(Debug)]
pub struct Connection {
    pub replica: usize,
    pub primary: usize,
    to_replica: Pipe,
    to_primary: Pipe,
    /// The ends that have not closed.
    holders: Vec<Side>,
}

/// All connections.
#[derive(Debug, Default)]
pub struct Network {
    pub connections: BTreeMap<u64, Connection>,
    /// Pairs of nodes between which nothing passes.
    pub parted: BTreeSet<(usize, usize)>,
    last: u64,
}

impl Network {
    pub fn connect(&mut self, replica: usize, primary: usize) -> u64 {
        self.last += 1;
        let connection = Connection {
            replica,
            primary,
            to_replica: Pipe::default(),
            to_primary: Pipe::default(),
            holders: vec![Side::Replica, Side::Primary],
        };
        self.connections.insert(self.last, connection);
        self.last
    }

    pub fn are_parted(&self, one: usize, other: usize) -> bool {
        self.parted.contains(&(one.min(other), one.max(other)))
    }

    fn pipe(&mut self, id: u64, to: Side) -> Option<&mut Pipe> {
        let connection = self.connections.get_mut(&id)?;
        Some(if to == Side::Replica { &mut connection.to_replica } else { &mut connection.to_primary })
    }

    /// Sends as many bytes as there is room for. Returns their number.
    pub fn send(&mut self, id: u64, from: Side, bytes: &[u8]) -> usize {
        let Some(pipe) = self.pipe(id, from.other()) else { return bytes.len() };
        if pipe.is_ended {
            return bytes.len(); // They are lost.
        }
        let count = bytes.len().min(WINDOW.saturating_sub(pipe.bytes.len()));
        pipe.bytes.extend(&bytes[..count]);
        count
    }

    /// Takes at most so many bytes that have come; `None` where the connection has ended.
    pub fn receive(&mut self, id: u64, to: Side, max: usize) -> Option<Vec<u8>> {
        let connection = self.connections.get(&id)?;
        if self.are_parted(connection.replica, connection.primary) {
            return Some(Vec::new());
        }
        let pipe = self.pipe(id, to)?;
        let count = pipe.bytes.len().min(max);
        if count == 0 && pipe.is_ended && !pipe.is_silent {
            return None;
        }
        Some(pipe.bytes.drain(..count).collect())
    }

    /// One end closes, or its process ends: what it has sent still comes.
    pub fn close(&mut self, id: u64, from: Side) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.holders.retain(|holder| *holder != from);
        }
        for to in [Side::Replica, Side::Primary] {
            if let Some(pipe) = self.pipe(id, to) {
                if to == from {
                    pipe.bytes.clear();
                }
                pipe.is_ended = true;
            }
        }
    }

    /// The connection breaks: of what is on its way some bytes come. Either end may never hear of it.
    pub fn cut(&mut self, id: u64, rng: &mut fastrand::Rng) {
        for to in [Side::Replica, Side::Primary] {
            let is_silent = rng.u8(..4) == 0;
            if let Some(pipe) = self.pipe(id, to) {
                pipe.bytes.truncate(rng.usize(..=pipe.bytes.len()));
                (pipe.is_ended, pipe.is_silent) = (true, is_silent);
            }
        }
    }

    /// Connections that a node was called on and has not closed.
    pub fn called_on(&self, primary: usize) -> Vec<u64> {
        let is_held = |connection: &Connection| {
            connection.primary == primary && connection.holders.contains(&Side::Primary)
        };
        self.connections.iter().filter(|(_, connection)| is_held(connection)).map(|(id, _)| *id).collect()
    }

    /// Forgets connections that neither end holds.
    pub fn forget_closed(&mut self) {
        self.connections.retain(|_, connection| !connection.holders.is_empty());
    }
}
