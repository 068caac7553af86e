//! [`PrimaryLink`]: a replica's side of the link to its primary: the handshake, a copy, the stream, and when to
//! acknowledge.

use super::handshake::{CopyForm, CopyReader, Handshake, Introduction, Next, Refusal};

/// Milliseconds between two acknowledgements.
pub const ACK_MS: u64 = 1000;

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
}

impl PrimaryLink {
    /// Begins, and returns what is to be sent first.
    pub fn begin(introduction: Introduction) -> (Self, Vec<u8>) {
        let (handshake, first) = Handshake::begin(introduction);
        (Self { at: At::Handshake(handshake), acknowledged_ms: None }, first)
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

    /// Whether to acknowledge what is applied now: the primary has asked for it, or it is time. The time is any
    /// that goes forwards.
    pub fn acknowledges(&mut self, now_ms: u64, is_asked: bool) -> bool {
        let is_due = self.acknowledged_ms.is_none_or(|at| now_ms.saturating_sub(at) >= ACK_MS);
        let is_due = matches!(self.at, At::Stream) && (is_asked || is_due);
        if is_due {
            self.acknowledged_ms = Some(now_ms);
        }
        is_due
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
}
