//! Why a payload is refused.

use thiserror::Error;

use super::kind;

/// Which part of a payload is wrong; the text is the reply of RESTORE.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RestoreError {
    /// The version is unknown or the checksum wrong.
    #[error("ERR DUMP payload version or checksum are wrong")]
    Footer,
    /// The value is not well formed.
    #[error("ERR Bad data format")]
    Format,
    /// The value is not well formed in a way that has a name of its own.
    #[error("ERR Bad data format")]
    Named(&'static str),
}

impl RestoreError {
    /// What the log says of a payload with this byte as its type, in the words that tools look for.
    pub fn log_text(self, kind: u8) -> String {
        match self {
            RestoreError::Footer => "DUMP payload with a wrong version or checksum".to_owned(),
            RestoreError::Format => format!("{} integrity check failed", kind::encoding_name(kind)),
            RestoreError::Named(what) => what.to_owned(),
        }
    }
}

pub(super) type Read<T> = Result<T, RestoreError>;
