//! Commands of one request, sent to the server one behind the other, and their replies.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{ReadHalf, WriteHalf};
use tokio_util::sync::CancellationToken;

use super::cut::Cutter;
use super::reply::{self, Finder, quote};

/// Bytes of all replies to a request.
pub(super) const REPLIES_MAX_BYTES: usize = 4 << 20;

/// Bytes of all replies of which long strings are shortened, before they are.
const LONG_REPLIES_MAX_BYTES: usize = 256 << 20;

/// Commands of a request.
pub(super) const COMMANDS_MAX: usize = 5_000;

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Commands as they are sent.
pub(super) struct Commands {
    pub words: Vec<Vec<Vec<u8>>>,
    /// Errors of those that are not sent, by their place.
    pub refused: BTreeMap<usize, String>,
}

/// Replies as JSON, and why they are not all there.
#[derive(Default)]
pub(super) struct Replies {
    pub json: String,
    pub count: usize,
    pub stopped: Option<&'static str>,
    pub took_us: u64,
    /// What was found in the place of what was to be there, as JSON; nothing ran then.
    pub found: Option<String>,
}

impl Commands {
    /// Reads the commands of a request: an array of arrays of words. A word is a string, a number or, for any
    /// bytes, `{"base64": …}`.
    pub fn of(value: Option<&Value>) -> Result<Self, &'static str> {
        let commands = value.and_then(Value::as_array).ok_or("commands is an array of commands")?;
        if commands.is_empty() || commands.len() > COMMANDS_MAX {
            return Err("a request has 1 to 5000 commands");
        }
        let words = commands.iter().map(|command| {
            let command = command.as_array().filter(|command| !command.is_empty());
            command.ok_or("a command is an array of words")?.iter().map(word).collect()
        });
        Ok(Self { words: words.collect::<Result<_, _>>()?, refused: BTreeMap::new() })
    }

    /// Those that are sent, as RESP.
    pub fn encoded(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let sent = self.words.iter().enumerate().filter(|(place, _)| !self.refused.contains_key(place));
        for (_, words) in sent {
            bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
            for word in words {
                bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
                bytes.extend_from_slice(word);
                bytes.extend_from_slice(b"\r\n");
            }
        }
        bytes
    }
}

fn word(value: &Value) -> Result<Vec<u8>, &'static str> {
    use base64::Engine;
    match value {
        Value::String(text) => Ok(text.as_bytes().to_vec()),
        Value::Number(number) => Ok(number.to_string().into_bytes()),
        Value::Object(object) => {
            let text = object.get("base64").and_then(Value::as_str);
            let text = text.ok_or("a word is a string, a number or {\"base64\": …}")?;
            let decoded = base64::engine::general_purpose::STANDARD.decode(text);
            decoded.map_err(|_| "what is called base64 is none")
        }
        _ => Err("a word is a string, a number or {\"base64\": …}"),
    }
}

/// Sends the commands, and gathers replies until all are there, they are too large, the other side ends, or
/// `late` says so. Strings of more than `cut_bytes` are shortened.
pub(super) async fn converse(
    stream: &mut UnixStream,
    commands: &Commands,
    cut_bytes: Option<usize>,
    late: &CancellationToken,
) -> Replies {
    let began = Instant::now();
    let mut replies = Replies::default();
    let (mut receiver, sender) = stream.split();
    replies.stopped = tokio::select! {
        biased;
        stopped = receive(&mut receiver, commands, cut_bytes, &mut replies) => stopped,
        () = send(sender, commands.encoded()) => None,
        () = late.cancelled() => Some("the commands took longer than ten seconds: given up"),
    };
    replies.took_us = began.elapsed().as_micros() as u64;
    replies
}

/// Sends, and then leaves it to the replies when this ends.
async fn send(mut sender: WriteHalf<'_>, bytes: Vec<u8>) {
    // Where the other side has ended, that is read, too.
    drop(sender.write_all(&bytes).await);
    std::future::pending().await
}

async fn receive(
    receiver: &mut ReadHalf<'_>,
    commands: &Commands,
    cut_bytes: Option<usize>,
    replies: &mut Replies,
) -> Option<&'static str> {
    let (mut finder, mut cutter) = (Finder::default(), cut_bytes.map(Cutter::new));
    let (mut buffer, mut chunk): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::with_capacity(CHUNK_BYTES));
    let (mut received, mut kept) = (0, 0);
    let wanted = commands.words.len();
    replies.take_refusals(&commands.refused);
    while replies.count < wanted {
        chunk.clear();
        match receiver.read_buf(&mut chunk).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Some("the server closed the connection"),
        }
        let before = buffer.len();
        match &mut cutter {
            Some(cutter) => cutter.take(&chunk, &mut buffer),
            None => buffer.extend_from_slice(&chunk),
        }
        received += chunk.len();
        kept += buffer.len() - before;
        if kept > REPLIES_MAX_BYTES {
            return Some("the replies are larger than 4 MB");
        }
        if received > LONG_REPLIES_MAX_BYTES {
            return Some("the replies are larger than 256 MB");
        }
        let mut taken = 0;
        while replies.count < wanted {
            match finder.find(&buffer[taken..]) {
                Ok(Some(size)) => {
                    replies.take(&buffer[taken..taken + size]);
                    replies.take_refusals(&commands.refused);
                    taken += size;
                }
                Ok(None) => break,
                Err(_) => return Some("a reply could not be read"),
            }
        }
        buffer.drain(..taken);
    }
    None
}

impl Replies {
    /// Them, read again.
    pub fn values(&self) -> Vec<Value> {
        serde_json::from_str(&format!("[{}]", self.json)).unwrap_or_default()
    }

    /// Takes one; a push message answers no command.
    fn take(&mut self, bytes: &[u8]) {
        if reply::is_push(bytes) {
            return;
        }
        reply::write(bytes, self.next());
    }

    /// Takes the errors of those that come next and were not sent.
    fn take_refusals(&mut self, refused: &BTreeMap<usize, String>) {
        while let Some(text) = refused.get(&self.count) {
            let json = self.next();
            json.push_str("{\"error\":");
            quote(text, json);
            json.push('}');
        }
    }

    /// Where the next reply is written.
    fn next(&mut self) -> &mut String {
        if self.count > 0 {
            self.json.push(',');
        }
        self.count += 1;
        &mut self.json
    }
}
