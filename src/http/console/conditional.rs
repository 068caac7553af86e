//! Commands that run only where something is still as its reader saw it, so that nobody overwrites unasked what
//! others have written meanwhile: WATCH, a look, and a transaction that fails where the key was changed since.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::conversation::{Commands, Replies, converse};

/// How often it is looked again where the key was changed between look and transaction, but not what matters of it.
const TRIES_MAX: usize = 5;

/// What has to be as it was.
pub(super) struct Condition {
    /// WATCH of the key, and the command that looks.
    pub look: Commands,
    /// What that answered.
    seen: Value,
}

impl Condition {
    /// Reads `{"key": …, "command": […], "reply": …}`.
    pub fn of(value: &Value) -> Result<Self, &'static str> {
        const SHAPE: &str = "if is {\"key\": …, \"command\": […], \"reply\": …}";
        let key = value.get("key").ok_or(SHAPE)?;
        let command = value.get("command").ok_or(SHAPE)?;
        let seen = value.get("reply").ok_or(SHAPE)?.clone();
        let look = Value::from(vec![Value::from(vec![Value::from("WATCH"), key.clone()]), command.clone()]);
        Ok(Self { look: Commands::of(Some(&look))?, seen })
    }

    /// Whether it is as it was. Doubles may be written in several ways.
    fn is_met(&self, now: &Value) -> bool {
        let double = |value: &Value| value.get("double")?.as_str()?.parse::<f64>().ok();
        *now == self.seen || double(now).is_some_and(|now| double(&self.seen) == Some(now))
    }
}

/// Runs commands as a transaction where the condition is met. Else there are no replies, and `found` is what the look
/// answers now.
pub(super) async fn converse_if(
    stream: &mut UnixStream,
    condition: &Condition,
    commands: &Commands,
    late: &CancellationToken,
) -> Replies {
    let named = |name: &str| vec![name.as_bytes().to_vec()];
    let mut words = vec![named("MULTI")];
    words.extend(commands.words.iter().cloned());
    words.push(named("EXEC"));
    let transaction = Commands { words, refused: BTreeMap::new() };
    for _ in 0..TRIES_MAX {
        let looked = converse(stream, &condition.look, None, late).await;
        let [watched, now] = <[Value; 2]>::try_from(looked.values()).unwrap_or_default();
        if looked.stopped.is_some() {
            return Replies { json: String::new(), ..looked };
        }
        if watched.get("error").is_some() {
            return Replies { json: watched.to_string(), ..looked };
        }
        if !condition.is_met(&now) {
            let stopped = Some("it is not as it was any more");
            return Replies { json: String::new(), stopped, found: Some(now.to_string()), ..looked };
        }
        let done = converse(stream, &transaction, None, late).await;
        let replies = done.values();
        match replies.last() {
            _ if done.stopped.is_some() => return Replies { json: String::new(), ..done },
            Some(Value::Null) => {}
            Some(Value::Array(replies)) => {
                let replies: Vec<String> = replies.iter().map(Value::to_string).collect();
                return Replies { json: replies.join(","), ..done };
            }
            // One of them was not queued, and says why; EXEC says that it was not.
            _ => {
                let error = replies.iter().find(|reply| reply.get("error").is_some());
                return Replies { json: error.map(Value::to_string).unwrap_or_default(), ..done };
            }
        }
    }
    Replies { stopped: Some("the key is changed all the time"), ..Replies::default() }
}
