//! Every error a command can answer. The texts are part of the protocol: clients match their first words.

use std::borrow::Cow;

use thiserror::Error;

/// An error reply, without the leading `-`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CommandError {
    #[error("ERR syntax error")]
    Syntax,
    #[error("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.")]
    PrimaryDown,
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    #[error("ERR value is not a valid float")]
    NotAFloat,
    #[error("ERR hash value is not an integer")]
    HashValueNotAnInteger,
    #[error("ERR hash value is not a float")]
    HashValueNotAFloat,
    #[error("ERR increment or decrement would overflow")]
    IncrementOverflow,
    #[error("ERR decrement would overflow")]
    DecrementOverflow,
    #[error("ERR increment would produce NaN or Infinity")]
    IncrementNotFinite,
    #[error("ERR value is NaN or Infinity")]
    ValueNotFinite,
    #[error("ERR value is out of range, must be positive")]
    MustBePositive,
    #[error("ERR value is out of range")]
    OutOfRange,
    #[error("ERR offset is out of range")]
    OffsetOutOfRange,
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    StringTooLong,
    #[error("OOM command not allowed when used memory > 'maxmemory'.")]
    OutOfMemory,
    #[error("ERR no such key")]
    NoSuchKey,
    #[error("ERR source and destination objects are the same")]
    SameObject,
    #[error("ERR invalid expire time in '{0}' command")]
    InvalidExpireTime(Cow<'static, str>),
    #[error("ERR wrong number of arguments for '{0}' command")]
    WrongArity(Cow<'static, str>),
    #[error("ERR unknown command '{name}', with args beginning with: {arguments}")]
    UnknownCommand {
        /// The name as sent, shortened.
        name: String,
        /// The first arguments as sent, each in quotes and followed by a space, shortened.
        arguments: String,
    },
    /// Not told to anybody: the request begins anew once there is room for it.
    #[error("BUSY too many commands run that take long")]
    NoRoom,
    /// Not told to anybody: the connection is closed, with nothing run.
    #[error("ERR the request is of another protocol")]
    OtherProtocol,
    #[error("ERR unknown subcommand '{0}'. Try {1} HELP.")]
    UnknownSubcommand(String, String),
    #[error("ERR DB index is out of range")]
    DatabaseOutOfRange,
    #[error("ERR invalid DB index")]
    InvalidDatabase,
    #[error("ERR invalid cursor")]
    InvalidCursor,
    #[error("NOAUTH Authentication required.")]
    NoAuth,
    #[error("WRONGPASS invalid username-password pair or user is disabled.")]
    WrongPass,
    #[error("READONLY You can't write against a read only replica.")]
    ReadOnlyReplica,
    #[error("READONLY This client only looks and changes nothing.")]
    OnlyLooks,
    #[error("NOREPLICAS Not enough good replicas to write.")]
    NoReplicas,
    #[error(
        "MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Valkey logs for details about the RDB error."
    )]
    SnapshotFailed,
    #[error("CROSSSLOT Keys in request don't hash to the same slot")]
    CrossSlot,
    #[error("MOVED {slot} {endpoint}")]
    Moved {
        /// The key's slot.
        slot: usize,
        /// `host:port` of the node that serves it.
        endpoint: String,
    },
    /// To a client that follows redirections: the primary, as `host:port`.
    #[error("REDIRECT {0}")]
    Redirect(String),
    #[error("NOPROTO unsupported protocol version")]
    NoProto,
    #[error("ERR This instance has cluster support disabled")]
    ClusterDisabled,
    #[error("ERR min value is greater than max value")]
    MinOverMax,
    /// A text that only one command uses.
    #[error("{0}")]
    Other(Cow<'static, str>),
}

impl CommandError {
    /// What is said while a script, or a function, has run for too long.
    pub const fn busy(is_function: bool) -> CommandError {
        Self::text(if is_function {
            "BUSY Valkey is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
        } else {
            "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
        })
    }

    /// What is said while data are being loaded.
    pub const fn loading(as_redis: bool) -> CommandError {
        Self::text(if as_redis {
            "LOADING Redis is loading the dataset in memory"
        } else {
            "LOADING Valkey is loading the dataset in memory"
        })
    }

    /// A fixed text with its prefix (`ERR ...`).
    pub const fn text(text: &'static str) -> CommandError {
        CommandError::Other(Cow::Borrowed(text))
    }

    /// A text made for this occasion.
    pub fn new(text: impl Into<String>) -> CommandError {
        CommandError::Other(Cow::Owned(text.into()))
    }

    /// The first word: what INFO errorstats counts and clients match. It ends at the end of a line as well,
    /// so that no text of a script breaks a line of INFO.
    pub fn code(&self) -> String {
        self.to_string().split([' ', '\r', '\n']).next().unwrap_or_default().to_owned()
    }
}

/// What a command's function answers: its reply is written, or this error is to be.
pub type CommandResult = Result<(), CommandError>;

/// What the system says of an error, without the number that Rust writes behind it.
pub fn system_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
