//! [`Findings`]: what a profile would refuse, or has refused, each kind of request of each client once.

use std::collections::HashMap;

use parking_lot::Mutex;

/// Most findings that are kept apart, and most that are kept by rule and command alone. What comes beyond is counted.
const FINDINGS_MAX: usize = 1000;

/// Most findings of one rule that are kept apart, so that keys with names of many kinds leave room for other rules.
const OF_RULE_MAX: usize = 200;

/// What stands for the keys and the client of findings that are not kept apart.
const OTHERS: &str = "…";

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
    apart: Kept,
    /// Those for which there is no room apart, by rule and command.
    together: Kept,
    /// How many of each rule are kept apart.
    of_rule: HashMap<usize, usize, foldhash::fast::RandomState>,
    left_out: u64,
}

type Kept = HashMap<Place, Seen, foldhash::fast::RandomState>;

impl Findings {
    /// Notes one.
    pub fn note(&self, mut place: Place, now_ms: u64) {
        for words in [&mut place.pattern, &mut place.client, &mut place.library] {
            clip(words);
        }
        let mut table = self.0.lock();
        let Table { apart, together, of_rule, left_out } = &mut *table;
        if see(apart, &place, now_ms) {
            return;
        }
        let of_rule = of_rule.entry(place.rule).or_default();
        if *of_rule < OF_RULE_MAX && apart.len() < FINDINGS_MAX {
            *of_rule += 1;
            apart.insert(place, Seen { first_ms: now_ms, last_ms: now_ms, count: 1 });
            return;
        }
        let [pattern, client, library, address] = [OTHERS; 4].map(str::to_owned);
        let place = Place { pattern, client, library, address, ..place };
        if see(together, &place, now_ms) {
            return;
        }
        if together.len() < FINDINGS_MAX {
            together.insert(place, Seen { first_ms: now_ms, last_ms: now_ms, count: 1 });
        } else {
            *left_out += 1;
        }
    }

    /// All of them in the order of the rules, and how often something was found that is not among them.
    pub fn all(&self) -> (Vec<(Place, Seen)>, u64) {
        let table = self.0.lock();
        let kept = table.apart.iter().chain(&table.together);
        let mut all: Vec<_> = kept.map(|(place, seen)| (place.clone(), *seen)).collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        (all, table.left_out)
    }

    /// Forgets them.
    pub fn reset(&self) {
        *self.0.lock() = Table::default();
    }
}

/// Counts a finding that is kept already. Returns whether it is.
fn see(kept: &mut Kept, place: &Place, now_ms: u64) -> bool {
    let Some(seen) = kept.get_mut(place) else { return false };
    seen.last_ms = now_ms;
    seen.count += 1;
    true
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
        let place = |rule: usize, pattern: usize| {
            let (command, pattern) = ("get".to_owned(), pattern.to_string());
            Place { rule, command, pattern, client: "app".to_owned(), ..Place::default() }
        };
        for at_ms in 1..=3 {
            findings.note(place(0, 0), at_ms);
        }
        // Keys of very many kinds leave room for other rules, and are counted together.
        for pattern in 1..10 * OF_RULE_MAX {
            findings.note(place(0, pattern), 9);
        }
        findings.note(place(1, 0), 10);
        let (all, left_out) = findings.all();
        assert_eq!((all.len(), left_out), (OF_RULE_MAX + 2, 0));
        assert_eq!(all[0], (place(0, 0), Seen { first_ms: 1, last_ms: 3, count: 3 }));
        assert_eq!(all.last(), Some(&(place(1, 0), Seen { first_ms: 10, last_ms: 10, count: 1 })));
        let (others, seen) = &all[OF_RULE_MAX];
        assert_eq!((&*others.command, &*others.pattern, &*others.client), ("get", OTHERS, OTHERS));
        assert_eq!(seen.count, 9 * OF_RULE_MAX as u64);
        // Nothing makes the table grow without end.
        for rule in 2..3 * FINDINGS_MAX {
            findings.note(place(rule, 0), 11);
        }
        let (all, left_out) = findings.all();
        assert_eq!(all.len(), 2 * FINDINGS_MAX);
        assert_eq!(left_out, (3 * FINDINGS_MAX - 2 - 2 * FINDINGS_MAX + OF_RULE_MAX + 2) as u64);
        findings.reset();
        assert_eq!(findings.all(), (Vec::new(), 0));
    }
}
