//! RDB files: a header, then items, each behind an opcode or a value's type, then a checksum.
//!
//! ```text
//! "REDIS" 4 digits or "VALKEY" 3 digits | items | 255 | checksum 8, from version 5 on
//! ```
//!
//! Writer and reader are machines without files: records in, bytes out; bytes in, items out.

mod error;
pub mod read;
mod skim;
#[cfg(test)]
mod tests;
mod write;

use super::checksum;

pub use error::{Fault, FileError, Header};
pub use write::{FileVersion, FileWriter, WriteError, WriteOptions};

/// Ends a file that has no end yet: what a file of this version has behind its last item.
pub fn ended(bytes: &mut Vec<u8>, header: Header) {
    bytes.push(opcode::END);
    if header.version >= CHECKED_FROM {
        bytes.extend_from_slice(&checksum(bytes).to_le_bytes());
    }
}

/// Version from which on files end with a checksum.
const CHECKED_FROM: u16 = 5;

/// Name of the `aux` field before a stream that holds what is known of its producers (XADD IDMP). No type of
/// RDB 11 or of Valkey's versions has a place for it, and readers pass over fields that they do not know.
pub(super) const PRODUCERS: &[u8] = b"kvarts-producers";

/// Name of the `aux` field before a set that says when its members end (SEXPIRE), which no type has a place for.
pub(super) const MEMBER_ENDS: &[u8] = b"kvarts-member-ends";

/// Name of the `aux` field before a key that is never evicted (BLESS).
pub(super) const BLESSED: &[u8] = b"kvarts-no-evict";

/// Bytes of the header.
pub(crate) const HEADER: usize = 9;

/// What an item that is no value begins with. Smaller bytes are types of values.
pub(super) mod opcode {
    pub(in crate::rdb) use crate::rdb::functions::FUNCTION;

    /// Behind a snapshot comes what changed while it was written: Valkey 9.2, between servers only.
    pub const UPDATE: u8 = 242;
    /// Valkey: slots that were being taken over. Redis: what modules keep of the key; before its value.
    pub const SLOT_IMPORT_OR_KEY_META: u8 = 243;
    /// A slot, the number of its keys, and of those with an expiry.
    pub const SLOT_INFO: u8 = 244;
    /// Functions as the candidates for Redis 7.0 wrote them.
    pub const FUNCTION_PRE_GA: u8 = 246;
    /// What a module keeps beside its keys.
    pub const MODULE_AUX: u8 = 247;
    /// Seconds since the key's last use; before its value.
    pub const IDLE: u8 = 248;
    /// The key's LFU counter; before its value.
    pub const FREQUENCY: u8 = 249;
    /// A field of the header: name and text.
    pub const AUX: u8 = 250;
    /// How many keys, and keys with expiry, the database has.
    pub const SIZES: u8 = 251;
    /// When the key ends, in milliseconds of Unix time; before its value.
    pub const EXPIRY_MS: u8 = 252;
    /// When the key ends, in seconds of Unix time; before its value.
    pub const EXPIRY_S: u8 = 253;
    /// The number of the database of what follows.
    pub const DATABASE: u8 = 254;
    /// The end; the checksum follows.
    pub const END: u8 = 255;
}
