//! [`Findings`]: what a profile would refuse, or has refused, each kind of request of each client once.

use std::collections::HashMap;

use parking_lot::Mutex;

/// Most findings that are kept. What comes beyond is counted.
const FINDINGS_MAX: usize = 1000;

/// Most bytes that are kept of a name that a client gave, and of a pattern of keys.
const WORDS_MAX: usize = 96;

/// What makes two findings the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Index of the rule in the profile.
    pub rule: usize,
    /// Full name of the command; empty for a connection.
    pub command: String,
    /// Its keys or channels, with what is different in each of them left out.
    pub pattern: String,
    /// What the client calls itself (CLIENT SETNAME).
    pub client: String,
    /// Its library and that one's version (CLIENT SETINFO).
    pub library: String,
    /// The address that it came from, without the port.
    pub address: String,
}

/// When, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// For the first time, in milliseconds of Unix time.
    pub first_ms: u64,
    /// For the last time.
    pub last_ms: u64,
    /// How often.
    pub count: u64,
}

/// All findings since the start, or since they were reset.
#[derive(Debug, Default)]
pub struct Findings(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    seen: HashMap<Place, Seen, foldhash::fast::RandomState>,
    left_out: u64,
}

impl Findings {
    /// Notes one.
    pub fn note(&self, mut place: Place, now_ms: u64) {
        for words in [&mut place.pattern, &mut place.client, &mut place.library] {
            clip(words);
        }
        let mut table = self.0.lock();
        let Table { seen, left_out } = &mut *table;
        if let Some(seen) = seen.get_mut(&place) {
            seen.last_ms = now_ms;
            seen.count += 1;
        } else if seen.len() < FINDINGS_MAX {
            seen.insert(place, Seen { first_ms: now_ms, last_ms: now_ms, count: 1 });
        } else {
            *left_out += 1;
        }
    }

    /// All of them in the order of the rules, and how often something was found that is not among them.
    pub fn all(&self) -> (Vec<(Place, Seen)>, u64) {
        let table = self.0.lock();
        let mut all: Vec<_> = table.seen.iter().map(|(place, seen)| (place.clone(), *seen)).collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        (all, table.left_out)
    }

    /// Forgets them.
    pub fn reset(&self) {
        *self.0.lock() = Table::default();
    }
}

fn clip(words: &mut String) {
    if words.len() > WORDS_MAX {
        let end = (0..=WORDS_MAX).rev().find(|end| words.is_char_boundary(*end)).unwrap_or(0);
        words.truncate(end);
        words.push('…');
    }
}

/// The pattern of a key's name: its parts as they are, but for those that tell one thing of a kind from the
/// others (numbers, ids, long texts), in whose place stands `*`.
pub fn pattern_of(key: &[u8]) -> String {
    const SEPARATORS: [char; 8] = [':', '/', '{', '}', '|', '@', '_', '.'];
    let shown = &key[..key.len().min(4 * WORDS_MAX)];
    let text: String = String::from_utf8_lossy(shown).replace(char::is_control, "?");
    let mut pattern = String::with_capacity(text.len());
    for piece in text.split_inclusive(SEPARATORS) {
        let part = piece.trim_end_matches(SEPARATORS);
        let is_one_of_many = part.bytes().any(|byte| byte.is_ascii_digit()) || part.len() > 24;
        pattern.push_str(if is_one_of_many { "*" } else { part });
        pattern.push_str(&piece[part.len()..]);
    }
    clip(&mut pattern);
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_leave_out_what_differs() {
        for (key, pattern) in [
            ("user:17:name", "user:*:name"),
            ("spring:session:sessions:3f2a8c1e-7d55", "spring:session:sessions:*"),
            ("{lock}:a", "{lock}:a"),
            ("a/b7/c", "a/*/c"),
            ("an-id-of-very-many-letters-and-no-number", "*"),
            ("", ""),
            ("__keyevent@0__:expired", "__keyevent@*__:expired"),
            ("user_7.x", "user_*.x"),
        ] {
            assert_eq!(pattern_of(key.as_bytes()), pattern);
        }
        assert!(pattern_of(&b"ab:".repeat(1000)).len() <= WORDS_MAX + 3);
    }

    #[test]
    fn findings_are_counted_and_bounded() {
        let findings = Findings::default();
        let place = |command: usize| Place { command: command.to_string(), ..Place::default() };
        for at_ms in 1..=3 {
            findings.note(place(0), at_ms);
        }
        for command in 1..=FINDINGS_MAX {
            findings.note(place(command), 9);
        }
        let (all, left_out) = findings.all();
        assert_eq!((all.len(), left_out), (FINDINGS_MAX, 1));
        assert_eq!(all[0], (place(0), Seen { first_ms: 1, last_ms: 3, count: 3 }));
        findings.reset();
        assert_eq!(findings.all(), (Vec::new(), 0));
    }
}
