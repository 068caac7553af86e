//! Why a payload is refused.

use thiserror::Error;

/// Which part of a payload is wrong; the text is the reply of RESTORE.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RestoreError {
    /// Version or checksum.
    #[error("ERR DUMP payload version or checksum are wrong")]
    Footer,
    /// The value.
    #[error("ERR Bad data format")]
    Format,
}

pub(super) type Read<T> = Result<T, RestoreError>;
