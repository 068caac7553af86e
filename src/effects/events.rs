//! The directive `notify-keyspace-events`: letters to bits and back.

use crate::keyspace::access::EventClass;

/// Which events are published, and on which channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct EventMask(pub u32);

const KEYSPACE: u32 = 1 << 16;
const KEYEVENT: u32 = 1 << 17;

const CLASSES: [(char, EventClass); 12] = [
    ('g', EventClass::GENERIC),
    ('$', EventClass::STRING),
    ('l', EventClass::LIST),
    ('s', EventClass::SET),
    ('h', EventClass::HASH),
    ('z', EventClass::ZSET),
    ('x', EventClass::EXPIRED),
    ('e', EventClass::EVICTED),
    ('t', EventClass::STREAM),
    ('d', EventClass::MODULE),
    ('n', EventClass::NEW),
    ('m', EventClass::KEY_MISS),
];

/// The classes that `A` stands for: all but key misses and new keys (Redis's rule).
const ALL: u32 = {
    let mut bits = 0;
    let mut index = 0;
    while index < CLASSES.len() {
        if !matches!(CLASSES[index].0, 'm' | 'n') {
            bits |= CLASSES[index].1.0 as u32;
        }
        index += 1;
    }
    bits
};

impl EventMask {
    /// Reads the letters; `None` for an unknown one.
    pub fn parse(letters: &str) -> Option<EventMask> {
        let mut bits = 0;
        for letter in letters.chars() {
            bits |= match letter {
                'A' => ALL,
                'K' => KEYSPACE,
                'E' => KEYEVENT,
                _ => u32::from(CLASSES.iter().find(|(known, _)| *known == letter)?.1.0),
            };
        }
        Some(EventMask(bits))
    }

    /// The letters in the form and order that CONFIG GET shows.
    pub fn letters(self) -> String {
        let mut letters = String::new();
        let has = |class: EventClass| self.0 & u32::from(class.0) != 0;
        if self.0 & ALL == ALL {
            letters.push('A');
        } else {
            letters.extend(CLASSES[..10].iter().filter(|(_, class)| has(*class)).map(|(letter, _)| letter));
        }
        let rest = [
            (u32::from(EventClass::NEW.0), 'n'),
            (KEYSPACE, 'K'),
            (KEYEVENT, 'E'),
            (u32::from(EventClass::KEY_MISS.0), 'm'),
        ];
        letters.extend(rest.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, letter)| letter));
        letters
    }

    /// Whether an event of this class is published anywhere.
    #[inline]
    pub fn wants(self, class: EventClass) -> bool {
        self.0 & u32::from(class.0) != 0 && self.0 & (KEYSPACE | KEYEVENT) != 0
    }

    /// Whether `__keyspace@` channels are served.
    pub fn keyspace(self) -> bool {
        self.0 & KEYSPACE != 0
    }

    /// Whether `__keyevent@` channels are served.
    pub fn keyevent(self) -> bool {
        self.0 & KEYEVENT != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_shown_in_redis_order() {
        for (given, shown) in [
            ("", ""),
            ("KEA", "AKE"),
            ("Ex", "xE"),
            ("KEg$lshzxetd", "AKE"),
            ("Kl", "lK"),
            ("EmnxK", "xnKEm"),
            ("xgE", "gxE"),
        ] {
            assert_eq!(EventMask::parse(given).unwrap().letters(), shown, "{given}");
        }
        assert_eq!(EventMask::parse("KEq"), None);
        assert!(!EventMask::parse("A").unwrap().wants(EventClass::SET));
        assert!(EventMask::parse("Es").unwrap().wants(EventClass::SET));
        assert!(!EventMask::parse("EA").unwrap().wants(EventClass::KEY_MISS));
    }
}
