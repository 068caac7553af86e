//! The bytes of an append-only file: the manifest that names its parts, and the requests within a part.
//!
//! Pure machines: bytes in, answers out. What opens, writes and replaces the files is in `persistence`.

pub mod manifest;
pub mod requests;

pub use manifest::{Manifest, ManifestError, Part, PartKind};
pub use requests::{LIMITS, PartError, Requests, Step, WrongRequest};
