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

/// The pattern of a key's name: its parts as they are, but for what tells one thing of a kind from the others
/// (numbers, ids, long texts), in whose place stands `*`. A number within a name (`user2fa`) is part of it.
pub fn pattern_of(key: &[u8]) -> String {
    const SEPARATORS: [char; 8] = [':', '/', '{', '}', '|', '@', '_', '.'];
    let shown = &key[..key.len().min(4 * WORDS_MAX)];
    let text: String = String::from_utf8_lossy(shown).replace(char::is_control, "?");
    let mut pattern = String::with_capacity(text.len());
    for piece in text.split_inclusive(SEPARATORS) {
        let part = piece.trim_end_matches(SEPARATORS);
        push_part(&mut pattern, part);
        pattern.push_str(&piece[part.len()..]);
    }
    clip(&mut pattern);
    pattern
}

/// Longest text between two separators that may be a name, in bytes, and longest with digits in it.
const NAME_MAX: usize = 24;
const NAME_WITH_DIGITS_MAX: usize = 16;

/// Whether a text is rather the number or id of something than a name.
fn is_id(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 {
        return text.len() > NAME_MAX && !text.contains('-');
    }
    let is_hex = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    let has_several_numbers =
        || text.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty()).count() > 1;
    text.len() >= 4 && text.bytes().all(is_hex)
        || !text.contains('-')
            && (digits * 2 > text.len()
                || text.len() > NAME_WITH_DIGITS_MAX
                || text.len() >= 6 && has_several_numbers())
}

/// Appends a part of a name: `*` for an id, and for numbers that no letter follows or that have many digits.
fn push_part(pattern: &mut String, part: &str) {
    let from = pattern.len();
    if is_id(part) || part.len() > 4 * NAME_MAX {
        pattern.push('*');
        return;
    }
    for (at, word) in part.split('-').enumerate() {
        if at > 0 {
            pattern.push('-');
        }
        if is_id(word) {
            pattern.push('*');
            continue;
        }
        let mut rest = word;
        while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
            let digits = rest[start..].bytes().take_while(u8::is_ascii_digit).count();
            let (before, number, after) =
                (&rest[..start], &rest[start..start + digits], &rest[start + digits..]);
            pattern.push_str(before);
            let is_of_name = digits <= 2 && after.starts_with(char::is_alphabetic);
            pattern.push_str(if is_of_name { number } else { "*" });
            rest = after;
        }
        pattern.push_str(rest);
    }
    while let Some(at) = pattern[from..].find("*-*").or_else(|| pattern[from..].find("**")) {
        let end = if pattern[from + at..].starts_with("**") { 1 } else { 2 };
        pattern.replace_range(from + at..from + at + end, "");
    }
}

/// Words that a request names, as they are.
pub fn words_of<'w>(words: impl Iterator<Item = &'w [u8]>) -> String {
    let shown = words.map(|word| {
        String::from_utf8_lossy(&word[..word.len().min(WORDS_MAX)]).replace(char::is_control, "?")
    });
    let mut shown = shown.collect::<Vec<_>>().join(" ");
    clip(&mut shown);
    shown
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
            ("a/b7/c", "a/b*/c"),
            ("anidofverymanylettersandnonumber", "*"),
            ("some-name-of-very-many-words-and-no-number", "some-name-of-very-many-words-and-no-number"),
            ("user2fa:ann", "user2fa:ann"),
            ("user2fa:1234567", "user2fa:*"),
            ("oauth2-token:99", "oauth*-token:*"),
            ("i18n:de", "i18n:de"),
            ("user17", "user*"),
            ("order-17-item-3", "order-*-item-*"),
            ("cart-3f2a8c1e-7d55-4c1b-9a2e-0123456789ab", "cart-*"),
            ("3f2a8c1e-7d55-4c1b-9a2e-0123456789ab", "*"),
            ("k9Xz3Qp:x", "*:x"),
            ("01HZX3K5V7Q9", "*"),
            ("2024-01-31:visits", "*:visits"),
            ("v1.2", "v*.*"),
            ("xyz12345def", "xyz*def"),
            ("7:name", "*:name"),
            ("\u{3b1}2\u{3b2}:x", "\u{3b1}2\u{3b2}:x"),
            ("session-*", "session-*"),
            ("a\nb", "a?b"),
            ("", ""),
            ("__keyevent@0__:expired", "__keyevent@*__:expired"),
            ("user_7.x", "user_*.x"),
        ] {
            assert_eq!(pattern_of(key.as_bytes()), pattern, "{key}");
        }
        assert!(pattern_of(&b"ab:".repeat(1000)).len() <= WORDS_MAX + 3);
        assert_eq!(pattern_of(&b"1a-".repeat(100_000)).len(), 1);
        assert_eq!(words_of([&b"a"[..], b"b\r", &b"c".repeat(500)].into_iter()).len(), WORDS_MAX + 3);
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
