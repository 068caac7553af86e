//! [`PrimaryLink`]: a replica's side of the link to its primary: the handshake, a copy, the stream, and when to
//! acknowledge.

use super::handshake::{CopyForm, CopyReader, Handshake, Introduction, Next, Refusal};

/// Milliseconds between two acknowledgements.
pub const ACK_MS: u64 = 1000;

/// Milliseconds before a link is tried again that did not come as far as the stream, or not on in it.
const AGAIN_MS: u64 = 1000;

/// Milliseconds that are at least between the beginnings of two links, where the first of them worked.
const APART_MS: u64 = 200;

/// Milliseconds for which a stream must have come, for its link to have worked though nothing was applied.
const WORKED_MS: u64 = 100;

/// How far a replica has come: the offset up to which the stream is applied, and, where an append-only file is
/// kept, the one up to which that is on disk.
pub type Offsets = (u64, Option<u64>);

/// How a link went that has ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ended {
    /// Milliseconds since it was begun.
    pub lasted_ms: u64,
    /// Milliseconds for which the stream came; `None` where a copy or the stream itself was not got.
    pub streamed_ms: Option<u64>,
    /// Whether anything of the stream was applied.
    pub has_applied: bool,
    /// Whether it was ended for what stood in the stream, so that a copy is asked for next.
    pub is_faulty: bool,
}

impl Ended {
    /// Milliseconds before the next link is begun. One that worked is followed by the next at once, a handful of
    /// times a second; one that did not, after a second: what ended it may be there still.
    pub fn pause_ms(&self) -> u64 {
        match self.streamed_ms {
            // The primary may have cut it for having lasted.
            Some(AGAIN_MS..) => 0,
            Some(ms) if !self.is_faulty && (self.has_applied || ms >= WORKED_MS) => {
                APART_MS.saturating_sub(self.lasted_ms)
            }
            Some(_) | None => AGAIN_MS,
        }
    }
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub enum Todo {
    /// Wait for more bytes.
    Read,
    /// Send this.
    Send(Vec<u8>),
    /// The stream goes on, perhaps under a new id.
    Continue(Option<String>),
    /// A copy begins.
    BeginCopy(CopyForm),
    /// Load these bytes of the copy, which may end with them. When it has taken the data's place, the stream
    /// [begins](PrimaryLink::begin_stream).
    Load(Vec<u8>, bool),
    /// Apply these bytes of the stream.
    Apply(Vec<u8>),
}

#[derive(Debug)]
enum At {
    Handshake(Handshake),
    Copy(CopyReader),
    /// The copy is whole, and not in the data's place.
    Loading,
    Stream,
}

/// The link to a primary. Bytes come in, and what is to be done goes out; the sockets are the caller's.
#[derive(Debug)]
pub struct PrimaryLink {
    at: At,
    acknowledged_ms: Option<u64>,
    /// Offset that the primary was told last to be on disk, and the one that it is to hear of.
    told_on_disk: u64,
    wanted_on_disk: u64,
}

impl PrimaryLink {
    /// Begins, and returns what is to be sent first.
    pub fn begin(introduction: Introduction) -> (Self, Vec<u8>) {
        let (handshake, first) = Handshake::begin(introduction);
        let at = At::Handshake(handshake);
        (Self { at, acknowledged_ms: None, told_on_disk: 0, wanted_on_disk: 0 }, first)
    }

    /// Takes what has come from the front of `input`, and says what it is for. To be called again until there
    /// is nothing to do but to read.
    ///
    /// # Errors
    /// The link is to be closed, and tried again later.
    pub fn next(&mut self, input: &mut Vec<u8>) -> Result<Todo, Refusal> {
        match &mut self.at {
            At::Handshake(handshake) => {
                let (todo, len) = answer(handshake, input)?;
                input.drain(..len);
                match &todo {
                    Todo::Continue(_) => self.at = At::Stream,
                    Todo::BeginCopy(form) => self.at = At::Copy(CopyReader::new(form.end)),
                    _ => {}
                }
                Ok(todo)
            }
            At::Copy(reader) => {
                let (bytes, is_end) = reader.take(input);
                if is_end {
                    self.at = At::Loading;
                }
                Ok(if bytes.is_empty() && !is_end { Todo::Read } else { Todo::Load(bytes, is_end) })
            }
            At::Stream if !input.is_empty() => Ok(Todo::Apply(std::mem::take(input))),
            At::Loading | At::Stream => Ok(Todo::Read),
        }
    }

    /// The copy has taken the data's place.
    pub fn begin_stream(&mut self) {
        self.at = At::Stream;
    }

    /// Whether the primary was asked for its stream.
    pub fn has_asked(&self) -> bool {
        !matches!(&self.at, At::Handshake(handshake) if !handshake.has_asked())
    }

    /// What to acknowledge now of what the replica `has`, if anything: the primary has asked for it, or it is
    /// time, or more is on disk of what these two were about. A disk that is quick is not told of sync by sync
    /// otherwise. The time is any that goes forwards.
    pub fn acknowledges(
        &mut self,
        now_ms: u64,
        is_asked: bool,
        has: impl FnOnce() -> Offsets,
    ) -> Option<Offsets> {
        let is_time = self.acknowledged_ms.is_none_or(|at| now_ms.saturating_sub(at) >= ACK_MS);
        let is_due = is_asked || is_time;
        if !matches!(self.at, At::Stream) || !(is_due || self.awaits_disk()) {
            return None;
        }
        let (applied, on_disk) = has();
        if is_due {
            self.wanted_on_disk = on_disk.map_or(0, |_| applied);
        } else if on_disk.unwrap_or(0) <= self.told_on_disk {
            return None;
        }
        self.told_on_disk = on_disk.unwrap_or(0);
        self.acknowledged_ms = Some(now_ms);
        Some((applied, on_disk))
    }

    /// Whether the primary is to hear of it when more is on disk.
    pub fn awaits_disk(&self) -> bool {
        self.told_on_disk < self.wanted_on_disk
    }
}

/// Takes the whole lines of `input` up to one that wants something done. Returns that, and the number of bytes
/// of these lines: a primary may send any number of empty ones.
fn answer(handshake: &mut Handshake, input: &[u8]) -> Result<(Todo, usize), Refusal> {
    let mut done = 0;
    while let Some(len) = memchr::memchr(b'\n', &input[done..]) {
        let next = handshake.line(&input[done..done + len])?;
        done += len + 1;
        match next {
            Next::Read => {}
            Next::Send(bytes) => return Ok((Todo::Send(bytes), done)),
            Next::Continue(id) => return Ok((Todo::Continue(id), done)),
            Next::Copy(form) => return Ok((Todo::BeginCopy(form), done)),
        }
    }
    Ok((Todo::Read, done))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_empty_lines_is_read() {
        let introduction = Introduction { port: 1, ..Introduction::default() };
        let (mut link, _) = PrimaryLink::begin(introduction);
        for begin in ["", "+PONG\r\n"] {
            let mut input = begin.as_bytes().to_vec();
            input.resize(begin.len() + 5_000_000, b'\n');
            while let Todo::Send(_) = link.next(&mut input).expect("it is no error") {}
            assert!(input.is_empty());
        }
    }

    /// A link whose stream has begun.
    fn streaming() -> PrimaryLink {
        let (mut link, _) = PrimaryLink::begin(Introduction { port: 1, ..Introduction::default() });
        link.begin_stream();
        link
    }

    /// What was asked for when it was not on disk is told once it is, and no sync beyond that.
    #[test]
    fn what_is_on_disk_only_later_is_told_then() {
        let mut link = streaming();
        assert_eq!(link.acknowledges(0, false, || (100, Some(100))), Some((100, Some(100))));
        assert!(!link.awaits_disk());
        assert_eq!(link.acknowledges(1, false, || panic!("nobody asked")), None);
        assert_eq!(link.acknowledges(2, true, || (128, Some(64))), Some((128, Some(64))));
        assert!(link.awaits_disk());
        assert_eq!(link.acknowledges(3, false, || (128, Some(64))), None);
        // Some of it, and more that came meanwhile.
        assert_eq!(link.acknowledges(4, false, || (200, Some(100))), Some((200, Some(100))));
        assert!(link.awaits_disk());
        assert_eq!(link.acknowledges(5, false, || (200, Some(150))), Some((200, Some(150))));
        assert!(!link.awaits_disk());
        assert_eq!(link.acknowledges(6, false, || panic!("all that was asked for is told")), None);
        // When it is time, it is the same.
        assert_eq!(link.acknowledges(1005, false, || (300, Some(150))), Some((300, Some(150))));
        assert_eq!(link.acknowledges(1006, false, || (400, Some(300))), Some((400, Some(300))));
        assert_eq!(link.acknowledges(1007, false, || panic!("told")), None);
        // Without a file there is no disk to be waited for.
        assert_eq!(link.acknowledges(1008, true, || (500, None)), Some((500, None)));
        assert!(!link.awaits_disk());
    }

    /// A link that worked is tried again at once, but never more than five times a second.
    #[test]
    fn links_that_worked_are_tried_again_at_once() {
        let ended = |lasted_ms, streamed_ms, has_applied| Ended {
            lasted_ms,
            streamed_ms,
            has_applied,
            is_faulty: false,
        };
        for (link, pause_ms) in [
            (ended(5000, None, false), 1000),
            (ended(3, None, false), 1000),
            (ended(3, Some(1), false), 1000),
            (ended(3, Some(1), true), 197),
            (ended(150, Some(100), false), 50),
            (ended(500, Some(1), true), 0),
            (ended(2000, Some(1000), false), 0),
        ] {
            assert_eq!(link.pause_ms(), pause_ms, "{link:?}");
        }
        let faulty = |streamed_ms| Ended { is_faulty: true, ..ended(2000, Some(streamed_ms), true) };
        assert_eq!((faulty(999).pause_ms(), faulty(1000).pause_ms()), (1000, 0));
    }
}
