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
                let Some(end) = memchr::memchr(b'\n', input) else { return Ok(Todo::Read) };
                let line: Vec<u8> = input.drain(..=end).collect();
                match handshake.line(&line[..end])? {
                    // There may be more lines.
                    Next::Read => self.next(input),
                    Next::Send(bytes) => Ok(Todo::Send(bytes)),
                    Next::Continue(id) => {
                        self.at = At::Stream;
                        Ok(Todo::Continue(id))
                    }
                    Next::Copy(form) => {
                        self.at = At::Copy(CopyReader::new(form.end));
                        Ok(Todo::BeginCopy(form))
                    }
                }
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
