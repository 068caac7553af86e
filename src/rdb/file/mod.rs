//! RDB files: a header, then entries each behind an opcode or a value's type, then a checksum.

mod write;

pub use write::{FileVersion, FileWriter, WriteError, WriteOptions};

/// What an entry that is no value begins with.
pub(super) mod opcode {
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
    /// The number of the database of what follows.
    pub const DATABASE: u8 = 254;
    /// The end; the checksum follows.
    pub const END: u8 = 255;
}
