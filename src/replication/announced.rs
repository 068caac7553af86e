//! [`Announced`]: what a replica says of itself before it asks for data (REPLCONF).

/// What a replica said of itself. All of it may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// The port that it listens on; 0 where it did not say.
    pub port: u16,
    /// The address that it wants to be known by; empty for the one it comes from.
    pub ip: String,
    /// `capa eof`: it takes copies whose length is not known ahead.
    pub takes_marked_copies: bool,
    /// `capa psync2`: it takes another id with the answer that it may go on.
    pub takes_new_ids: bool,
    /// `capa rdb-channel-repl`, which Redis 8 says: it reads files of version 12.
    pub is_redis_8: bool,
    /// `version`, as one number: 0x090102 for 9.1.2. Valkey says it from 8.0 on, Redis never.
    pub version: u32,
    /// `rdb-only`: it wants a copy and nothing behind it.
    pub rdb_only: bool,
    /// `rdb-filter-only functions`: its copy is to hold libraries of functions and no keys.
    pub functions_only: bool,
    /// It asked with SYNC: it is sent no answer before the copy, and acknowledges nothing.
    pub is_old: bool,
}

impl Announced {
    /// Reads a version such as `9.1.2`; `None` for anything else.
    pub fn version_of(text: &str) -> Option<u32> {
        let mut parts = text.split('.').map(|part| part.parse::<u8>().ok());
        let version = [parts.next()??, parts.next()??, parts.next()??];
        if parts.next().is_some() {
            return None;
        }
        Some(version.iter().fold(0, |number, part| number << 8 | u32::from(*part)))
    }

    /// Whether it knows expiries of fields of hashes, in copies and in the stream.
    pub fn knows_field_ends(&self) -> bool {
        self.reads_valkey_80() || self.is_redis_8
    }

    /// Whether it reads files in which fields of hashes end (`VALKEY080`).
    pub fn reads_valkey_80(&self) -> bool {
        self.version >= 0x09_00_00
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_three_numbers() {
        assert_eq!(Announced::version_of("9.1.2"), Some(0x09_01_02));
        assert_eq!(Announced::version_of("8.0.255"), Some(0x08_00_ff));
        for wrong in ["", "9", "9.1", "9.1.2.3", "9.1.x", "9.1.256", "-1.0.0"] {
            assert_eq!(Announced::version_of(wrong), None, "{wrong}");
        }
    }
}
