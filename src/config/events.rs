//! The classes of changes that `notify-keyspace-events` chooses from.

use std::fmt;

/// A set of event classes and of the channels they are published on. The bits are those of the directive's
/// number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyspaceEvents(u32);

/// The letters in the order they are shown, with their bits; `A` stands for the first ten together.
const LETTERS: &[(u8, KeyspaceEvents)] = &[
    (b'g', KeyspaceEvents::GENERIC),
    (b'$', KeyspaceEvents::STRING),
    (b'l', KeyspaceEvents::LIST),
    (b's', KeyspaceEvents::SET),
    (b'h', KeyspaceEvents::HASH),
    (b'z', KeyspaceEvents::ZSET),
    (b'x', KeyspaceEvents::EXPIRED),
    (b'e', KeyspaceEvents::EVICTED),
    (b't', KeyspaceEvents::STREAM),
    (b'd', KeyspaceEvents::MODULE),
    (b'n', KeyspaceEvents::NEW),
    (b'o', KeyspaceEvents::OVERWRITTEN),
    (b'c', KeyspaceEvents::TYPE_CHANGED),
    (b'K', KeyspaceEvents::KEYSPACE),
    (b'E', KeyspaceEvents::KEYEVENT),
    (b'm', KeyspaceEvents::MISS),
    (b'S', KeyspaceEvents::SUBKEYSPACE),
    (b'T', KeyspaceEvents::SUBKEYEVENT),
    (b'I', KeyspaceEvents::SUBKEYSPACE_ITEM),
    (b'V', KeyspaceEvents::SUBKEYSPACE_EVENT),
];

/// Classes that are no part of `A`, and yet are not shown beside it.
const BESIDE_ALL: KeyspaceEvents =
    KeyspaceEvents::NEW.and(KeyspaceEvents::OVERWRITTEN).and(KeyspaceEvents::TYPE_CHANGED);

impl KeyspaceEvents {
    /// `K`: publish on `__keyspace@<db>__:<key>`.
    pub const KEYSPACE: Self = Self(1);
    /// `E`: publish on `__keyevent@<db>__:<event>`.
    pub const KEYEVENT: Self = Self(1 << 1);
    /// `g`: commands for keys of any type, such as DEL and EXPIRE.
    pub const GENERIC: Self = Self(1 << 2);
    /// `$`: string commands.
    pub const STRING: Self = Self(1 << 3);
    /// `l`: list commands.
    pub const LIST: Self = Self(1 << 4);
    /// `s`: set commands.
    pub const SET: Self = Self(1 << 5);
    /// `h`: hash commands.
    pub const HASH: Self = Self(1 << 6);
    /// `z`: sorted set commands.
    pub const ZSET: Self = Self(1 << 7);
    /// `x`: keys that expired.
    pub const EXPIRED: Self = Self(1 << 8);
    /// `e`: keys that were evicted.
    pub const EVICTED: Self = Self(1 << 9);
    /// `t`: stream commands.
    pub const STREAM: Self = Self(1 << 10);
    /// `m`: keys that were asked for and are not there. Not part of `A`.
    pub const MISS: Self = Self(1 << 11);
    /// `d`: keys of module types.
    pub const MODULE: Self = Self(1 << 13);
    /// `n`: keys that are new. Not part of `A`.
    pub const NEW: Self = Self(1 << 14);
    /// `o`: keys whose value was replaced by another one. Not part of `A`.
    pub const OVERWRITTEN: Self = Self(1 << 15);
    /// `c`: keys whose value was replaced by one of another type. Not part of `A`.
    pub const TYPE_CHANGED: Self = Self(1 << 16);
    /// `S`: publish fields on `__subkeyspace@<db>__:<key>`.
    pub const SUBKEYSPACE: Self = Self(1 << 17);
    /// `T`: publish fields on `__subkeyevent@<db>__:<event>`.
    pub const SUBKEYEVENT: Self = Self(1 << 18);
    /// `I`: publish on `__subkeyspaceitem@<db>__:<key>\n<field>`.
    pub const SUBKEYSPACE_ITEM: Self = Self(1 << 19);
    /// `V`: publish fields on `__subkeyspaceevent@<db>__:<event>|<key>`.
    pub const SUBKEYSPACE_EVENT: Self = Self(1 << 20);
    /// `STIV`: all channels that tell of fields.
    pub const SUBKEYS: Self = Self(0b1111 << 17);
    /// `A`: every class but `m`, `n`, `o` and `c`.
    pub const ALL: Self = Self(0b10_0111_1111_1100);

    /// Reads the letters in any order; `None` when one is unknown.
    pub fn parse(letters: &[u8]) -> Option<Self> {
        let mut events = Self::default();
        for letter in letters {
            let bits = match letter {
                b'A' => Self::ALL,
                _ => LETTERS.iter().find(|(known, _)| known == letter)?.1,
            };
            events.0 |= bits.0;
        }
        Some(events)
    }

    /// The bits, as the directive's number holds them.
    pub const fn bits(self) -> i64 {
        self.0 as i64
    }

    /// The set with these bits.
    pub fn from_bits(bits: i64) -> Self {
        Self(u32::try_from(bits).unwrap_or_default())
    }

    /// Whether all of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether nothing is published, since no class or no channel is chosen.
    pub const fn is_silent(self) -> bool {
        let channels = Self::KEYSPACE.0 | Self::KEYEVENT.0 | Self::SUBKEYS.0;
        self.0 & channels == 0 || self.0 & !channels == 0
    }
}

impl KeyspaceEvents {
    /// The letters that a file holds: all that are set, so that reading them gives the same set.
    pub fn letters(self) -> String {
        self.letters_beside(Self::ALL)
    }

    /// The letters; with `A`, those of `covered` are left out.
    fn letters_beside(self, covered: Self) -> String {
        let all = self.contains(Self::ALL);
        let is_shown = |bits: Self| self.contains(bits) && !(all && covered.contains(bits));
        let letters =
            LETTERS.iter().filter(|(_, bits)| is_shown(*bits)).map(|(letter, _)| char::from(*letter));
        all.then_some('A').into_iter().chain(letters).collect()
    }
}

impl fmt::Display for KeyspaceEvents {
    /// The letters as `CONFIG GET` shows them. Beside `A`, Redis and Valkey leave `n`, `o` and `c` out, and
    /// so does this.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.letters_beside(Self::ALL.and(BESIDE_ALL)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_shown_in_a_fixed_order() {
        for (letters, shown) in [
            ("KEA", "AKE"),
            ("KExe", "xeKE"),
            ("g$lshzxe", "g$lshzxe"),
            ("g$lshzxetd", "A"),
            ("Kg$lshzxetdmn", "AKm"),
            ("n", "n"),
            ("Kxn", "xnK"),
            ("AmnKE", "AKEm"),
            ("E$ocn", "$nocE"),
            ("oc", "oc"),
            ("mnocEK$", "$nocKEm"),
            ("KEg$lshzxetdmnocA", "AKEm"),
            ("VITShKEm", "hKEmSTIV"),
            ("ASTIVoc", "ASTIV"),
            ("", ""),
        ] {
            assert_eq!(
                KeyspaceEvents::parse(letters.as_bytes()).map(|set| set.to_string()).as_deref(),
                Some(shown)
            );
        }
        assert_eq!(KeyspaceEvents::parse(b"q"), None);
    }

    #[test]
    fn a_set_without_channel_or_class_is_silent() {
        let silent = |letters: &[u8]| KeyspaceEvents::parse(letters).map(KeyspaceEvents::is_silent);
        assert_eq!(silent(b"A"), Some(true));
        assert_eq!(silent(b"KE"), Some(true));
        assert_eq!(silent(b"Kx"), Some(false));
        assert_eq!(silent(b"STIV"), Some(true));
        assert_eq!(silent(b"hI"), Some(false));
    }

    #[test]
    fn what_a_file_holds_gives_the_same_set() {
        for (letters, written) in [("KEAoc", "AocKE"), ("nA", "An"), ("KEA", "AKE"), ("oKx", "xoK"), ("", "")]
        {
            let events = KeyspaceEvents::parse(letters.as_bytes()).expect("known letters");
            assert_eq!(events.letters(), written);
            assert_eq!(KeyspaceEvents::parse(written.as_bytes()), Some(events));
        }
    }

    #[test]
    fn bits_go_there_and_back() {
        let events = KeyspaceEvents::parse(b"KEAmnocSTIV");
        assert_eq!(events.map(|events| KeyspaceEvents::from_bits(events.bits())), events);
    }
}
