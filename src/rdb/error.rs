//! Why a payload is refused.

use thiserror::Error;

/// Which part of a payload is wrong; the text is the reply of RESTORE.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RestoreError {
    /// The version is unknown or the checksum wrong.
    #[error("ERR DUMP payload version or checksum are wrong")]
    Footer,
    /// The value is not well formed.
    #[error("ERR Bad data format")]
    Format,
    /// The value holds something that this server has no place for.
    #[error("ERR Bad data format: {0}")]
    Lossy(&'static str),
}

pub(super) type Read<T> = Result<T, RestoreError>;
