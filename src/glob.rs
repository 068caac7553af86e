//! Glob patterns as Redis reads them, over bytes: `*`, `?`, `[abc]`, `[^a]`, `[a-z]` and `\x`.

/// Stars, beyond a closing one, that a pattern may pass before it is held to match nothing.
const MAX_STARS: usize = 1000;

/// Whether the pattern matches the whole text. `nocase` ignores the case of ASCII letters, except of an
/// escaped letter in brackets, which Redis compares as it stands. The time is bounded by the product of the
/// lengths.
///
/// Corners kept from Redis: an empty text matches only an empty pattern, not `*`; a bracket that is not
/// closed ends with the pattern; ranges may be written backwards and compare bytes as signed.
pub fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let mut pattern_at = 0;
    let mut text_at = 0;
    // Where to go on when what follows the last star fails: after the star, and one byte further in the text.
    // Going back to an earlier star would leave it only a later part of the text, which the last star has
    // already tried.
    let mut retry: Option<(usize, usize)> = None;
    let mut stars = 0;
    loop {
        let Some(&byte) = text.get(text_at) else {
            let rest = pattern.get(pattern_at..).unwrap_or_default();
            return rest.iter().all(|&byte| byte == b'*');
        };
        if pattern.get(pattern_at) == Some(&b'*') {
            while pattern.get(pattern_at) == Some(&b'*') {
                pattern_at += 1;
            }
            if pattern_at == pattern.len() {
                return true;
            }
            stars += 1;
            if stars > MAX_STARS {
                return false;
            }
            retry = Some((pattern_at, text_at));
            continue;
        }
        if let Some(next) = step(pattern, pattern_at, byte, nocase) {
            pattern_at = next;
            text_at += 1;
        } else if let Some((after_star, from)) = retry {
            pattern_at = after_star;
            text_at = from + 1;
            retry = Some((after_star, text_at));
            if text_at == text.len() {
                return false;
            }
        } else {
            return false;
        }
    }
}

/// Matches one byte against the part of the pattern at `at`, which is no star. Returns where the next part
/// begins.
fn step(pattern: &[u8], at: usize, byte: u8, nocase: bool) -> Option<usize> {
    match pattern.get(at)? {
        b'?' => Some(at + 1),
        b'[' => bracket(pattern, at + 1, byte, nocase),
        b'\\' if at + 1 < pattern.len() => same(*pattern.get(at + 1)?, byte, nocase).then_some(at + 2),
        &literal => same(literal, byte, nocase).then_some(at + 1),
    }
}

/// Matches one byte against the brackets whose content begins at `at`.
fn bracket(pattern: &[u8], mut at: usize, byte: u8, nocase: bool) -> Option<usize> {
    let negated = pattern.get(at) == Some(&b'^');
    if negated {
        at += 1;
    }
    let mut found = false;
    loop {
        let rest = pattern.get(at..).unwrap_or_default();
        match rest {
            [] => break,
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [first, b'-', last, ..] => {
                found |= in_range(*first, *last, byte, nocase);
                at += 3;
            }
            [literal, ..] => {
                found |= same(*literal, byte, nocase);
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

/// Whether the byte lies between the two ends. They are put in order before case is ignored, as Redis does
/// it.
fn in_range(first: u8, last: u8, byte: u8, nocase: bool) -> bool {
    let signed = |byte: u8| i8::from_ne_bytes([byte]);
    let (mut low, mut high, mut byte) = (first, last, byte);
    if signed(low) > signed(high) {
        std::mem::swap(&mut low, &mut high);
    }
    if nocase {
        low = low.to_ascii_lowercase();
        high = high.to_ascii_lowercase();
        byte = byte.to_ascii_lowercase();
    }
    signed(low) <= signed(byte) && signed(byte) <= signed(high)
}

fn same(a: u8, b: u8, nocase: bool) -> bool {
    if nocase { a.eq_ignore_ascii_case(&b) } else { a == b }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, by recursion over every way a star can match.
    fn naive(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', rest @ ..] => {
                naive(rest, text, nocase) || (!text.is_empty() && naive(pattern, &text[1..], nocase))
            }
            _ => match text {
                [] => false,
                [byte, rest @ ..] => {
                    step(pattern, 0, *byte, nocase).is_some_and(|next| naive(&pattern[next..], rest, nocase))
                }
            },
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[*?ab\\[\\]^\\\\A-]{0,10}", text in "[abA-]{1,10}", nocase: bool) {
            prop_assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes(), nocase),
                naive(pattern.as_bytes(), text.as_bytes(), nocase)
            );
        }

        #[test]
        fn never_panics(pattern: Vec<u8>, text: Vec<u8>, nocase: bool) {
            let matched = matches(&pattern, &text, nocase);
            prop_assert!(!matched || !pattern.is_empty() || text.is_empty());
        }
    }

    #[test]
    fn brackets() {
        for (pattern, text, expected) in [
            ("h[ae]llo", "hello", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            ("h[\\]]llo", "h]llo", true),
            ("[", "a", false),
            ("[^", "a", true),
            ("[a", "a", true),
            ("[a-", "-", true),
            ("a\\", "a\\", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes(), false), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn an_empty_text_matches_only_an_empty_pattern() {
        assert!(matches(b"", b"", false));
        assert!(!matches(b"*", b"", false));
        assert!(!matches(b"", b"a", false));
    }

    #[test]
    fn case_is_ignored_when_asked() {
        assert!(matches(b"MAX*Y", b"maxmemory", true));
        assert!(!matches(b"MAX*Y", b"maxmemory", false));
        assert!(matches(b"[A-C]", b"b", true));
        assert!(!matches(b"[\\B]", b"b", true));
    }

    #[test]
    fn many_stars_are_answered_at_once() {
        let pattern = b"a*".repeat(999);
        let text = vec![b'a'; 20_000];
        assert!(matches(&pattern, &text, false));
        let mut failing = pattern.clone();
        failing.push(b'b');
        assert!(!matches(&failing, &text, false));
        assert!(!matches(&b"a*".repeat(1002), &text, false));
    }
}
