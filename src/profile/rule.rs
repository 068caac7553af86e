//! One rule of a profile: which requests it is about, and what the service answers them.

use serde::Deserialize;

use super::Basis;

/// A rule as its file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name in reports.
    pub name: String,
    /// Full names of the commands that it is about (`get`, `config|get`; a container's name stands for all its
    /// subcommands too); none for all commands.
    #[serde(default)]
    pub commands: Vec<String>,
    /// Commands that it is not about, where it is about all.
    #[serde(default)]
    pub except: Vec<String>,
    /// Which requests for them.
    #[serde(default)]
    pub when: When,
    /// The number that `when` speaks of.
    pub limit: Option<u64>,
    /// Index of the argument that `when` speaks of; the command's name is 0.
    pub argument: Option<usize>,
    /// Patterns of the channels that `when` speaks of.
    #[serde(default)]
    pub channels: Vec<String>,
    /// The version that `when` speaks of.
    pub version: Option<String>,
    /// What the service answers.
    pub answer: Answer,
    /// What whoever wrote the request is to do instead, in a sentence.
    pub fix: String,
    /// What it rests on.
    pub basis: Basis,
    /// What the words of its answer rest on, where that is something else.
    #[serde(rename = "answer-basis")]
    pub answer_basis: Option<Basis>,
    /// Name of its source.
    pub source: String,
}

/// Which requests for its commands a rule is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Every request.
    #[default]
    Always,
    /// Those in a transaction.
    InTransaction,
    /// Those of a client that watches keys.
    Watching,
    /// Those that name no key.
    WithoutKeys,
    /// Those that name another database than 0.
    OtherDatabase,
    /// Those with more than `limit` arguments, the name included.
    ArgumentsOver,
    /// Those with a key of more than `limit` bytes.
    KeyBytesOver,
    /// Those with a channel of more than `limit` bytes.
    ChannelBytesOver,
    /// Those whose argument `argument` has more than `limit` bytes.
    ArgumentBytesOver,
    /// Those after which the client would watch more than `limit` keys.
    WatchedKeysOver,
    /// Those after which the client would watch keys of several slots, and the end of a transaction with keys of
    /// another slot than the watched ones.
    WatchedSlots,
    /// Those with keys of several slots: of one request, or of a transaction.
    SeveralSlots,
    /// Those that reach for keys which no argument names, and which may be of other slots; told of where a profile only
    /// warns, as the command refuses them itself in a cluster.
    ReachesFurther,
    /// Those that are queued in a transaction and have keys of another slot than what it has queued.
    QueuedSlots,
    /// Those of a script that reach for a key of another slot than the script's others.
    ScriptSlots,
    /// Those of a script with a channel of another slot than the script's keys.
    ScriptChannelSlot,
    /// Those with a channel, or pattern of channels, that begins as one of `channels` does.
    ChannelsLike,
    /// Those for commands that are newer than `version` of Valkey, or that only Redis has.
    NewerThan,
    /// No request: connections without TLS.
    PlainConnection,
}

impl When {
    /// Whether a rule of this kind is about all commands where it names none.
    fn may_be_for_all(self) -> bool {
        !matches!(
            self,
            When::Always | When::InTransaction | When::Watching | When::WithoutKeys | When::ArgumentBytesOver
        )
    }

    fn needs_limit(self) -> bool {
        matches!(
            self,
            When::ArgumentsOver
                | When::KeyBytesOver
                | When::ChannelBytesOver
                | When::ArgumentBytesOver
                | When::WatchedKeysOver
        )
    }
}

/// What the service answers a request that a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Answer {
    /// As if there were no such command.
    Unknown,
    /// OK, and it does nothing.
    Ok,
    /// What it always does; only the report tells of it.
    Note,
    /// Nothing at all.
    Hang,
    /// This error, with its code.
    Error(String),
}

impl TryFrom<String> for Answer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let code = text.split(' ').next().unwrap_or_default();
        let is_code = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_uppercase());
        match text.as_str() {
            "unknown" => Ok(Self::Unknown),
            "ok" => Ok(Self::Ok),
            "note" => Ok(Self::Note),
            "hang" => Ok(Self::Hang),
            _ if is_code && !text.contains(['\r', '\n']) => Ok(Self::Error(text)),
            _ => Err(format!(
                "an answer is unknown, ok, note, hang or an error with its code, and not '{text}'"
            )),
        }
    }
}

impl Rule {
    /// Looks whether the rule has what it needs.
    ///
    /// # Errors
    /// What it lacks, or has too much.
    pub(super) fn check(&self) -> Result<(), String> {
        let when = self.when;
        let wrong = if self.commands.is_empty() && !when.may_be_for_all() {
            "it refuses every command"
        } else if !self.commands.is_empty() && !self.except.is_empty() {
            "it cannot both name commands and leave some out"
        } else if when.needs_limit() != self.limit.is_some() {
            if when.needs_limit() { "it needs a limit" } else { "nothing goes by its limit" }
        } else if (when == When::ArgumentBytesOver) != self.argument.is_some() {
            if when == When::ArgumentBytesOver {
                "it needs an argument"
            } else {
                "nothing goes by its argument"
            }
        } else if (when == When::ChannelsLike) == self.channels.is_empty() {
            if self.channels.is_empty() { "it needs channels" } else { "nothing goes by its channels" }
        } else if (when == When::NewerThan) != self.version.is_some() {
            if when == When::NewerThan { "it needs a version" } else { "nothing goes by its version" }
        } else if (when == When::PlainConnection) != (self.answer == Answer::Hang) {
            "a connection without TLS is answered by hang, and nothing else is"
        } else if self.answer == Answer::Ok && when != When::Always {
            "only every request of a command can be answered ok"
        } else if self.fix.is_empty() || !self.fix.ends_with('.') {
            "its fix is no sentence"
        } else {
            return Ok(());
        };
        Err(wrong.to_owned())
    }
}
