//! [`Intake`]: a primary's stream on its way through a replica: what is to run next, and what has run and is
//! relayed.

use super::Standing;
use crate::aof::{PartError, Requests, Step};
use crate::journal::Journal;
use crate::resp::decode::Decoder;

/// What is to be done with what has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing, before more comes.
    Nothing,
    /// Run so many requests, which stand in [`Intake::requests`], then say so by [`Intake::ran`].
    Run(usize),
    /// End the link: a line that is no request.
    NoRequest,
}

/// Bytes of a primary's stream that have come and are not relayed.
#[derive(Debug)]
pub struct Intake {
    buffer: Vec<u8>,
    /// Bytes at the buffer's front that were dealt with.
    done: usize,
    requests: Requests,
    /// Bytes of a transaction whose EXEC has not come, from its MULTI on.
    group: Vec<u8>,
}

impl Intake {
    /// An empty one at the place where the data are.
    pub fn new(standing: &Standing) -> Self {
        let requests = Requests::new(standing.offset());
        Self { buffer: Vec::new(), done: 0, requests, group: Vec::new() }
    }

    /// Takes what has come.
    pub fn take(&mut self, standing: &Standing, bytes: &[u8]) {
        self.buffer.drain(..self.done);
        self.done = 0;
        append(&mut self.buffer, bytes);
        standing.set_received(self.requests.offset() + self.buffer.len() as u64);
    }

    /// Looks for requests, whose arguments have `bulk_max` bytes at most.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn due(&mut self, bulk_max: u64) -> Result<Due, PartError> {
        self.requests.set_bulk_max(bulk_max);
        Ok(match self.requests.step(&self.buffer[self.done..])? {
            Step::More => Due::Nothing,
            Step::Run(count) => Due::Run(count),
            Step::Skip(_) => Due::NoRequest,
        })
    }

    /// The requests that are to run, with the bytes that they stand in.
    pub fn requests(&self) -> (&Decoder, &[u8]) {
        (self.requests.decoder(), &self.buffer[self.done..])
    }

    /// Bytes of memory that a request and a transaction take which are not whole. Those of the transaction count
    /// twice: its requests are kept to be run, and its bytes to be relayed.
    pub fn unfinished_bytes(&self) -> usize {
        self.buffer.len() - self.done + 2 * self.group.len()
    }

    /// Relays requests that have run, one behind the other: `for_links` says of each whether it changes no data.
    /// A reader of the stream is in `database` behind them.
    ///
    /// # Errors
    /// A transaction in the stream does not begin or end as one.
    pub fn ran(
        &mut self,
        standing: &Standing,
        journal: &Journal,
        for_links: &[bool],
        database: usize,
    ) -> Result<(), PartError> {
        let mut rest = for_links;
        while let Some(&first) = rest.first() {
            let by_itself = first && self.group.is_empty();
            let others = rest.iter().skip(1).take_while(|for_links| !**for_links).count();
            let piece = if by_itself { 1 } else { 1 + others };
            self.relay(standing, journal, piece, database, by_itself)?;
            rest = &rest[piece..];
        }
        Ok(())
    }

    /// Relays the first `count` requests up to the end of the last whole one, or of the last whole transaction.
    fn relay(
        &mut self,
        standing: &Standing,
        journal: &Journal,
        count: usize,
        database: usize,
        for_links: bool,
    ) -> Result<(), PartError> {
        let Self { buffer, done, requests, group } = self;
        let dropped = requests.consume(&buffer[*done..], count)?;
        let bytes = &buffer[*done..*done + dropped];
        *done += dropped;
        let open = (requests.offset() - requests.whole()) as usize;
        if open == 0 && group.is_empty() {
            journal.relay(bytes, database, for_links);
        } else {
            append(group, bytes);
            let whole = group.len() - open;
            if whole > 0 {
                journal.relay(&group[..whole], database, false);
                group.drain(..whole);
            }
        }
        standing.set_offset(requests.whole());
        Ok(())
    }
}

/// Appends bytes to a buffer that may become very long: it never has much more room than it needs.
fn append(buffer: &mut Vec<u8>, bytes: &[u8]) {
    if buffer.capacity() - buffer.len() < bytes.len() {
        buffer.reserve_exact(bytes.len().max(buffer.len() / 4));
    }
    buffer.extend_from_slice(bytes);
}
