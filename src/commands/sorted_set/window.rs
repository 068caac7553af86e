//! The range of members that a command means: by rank, by score or by name, forwards or backwards, and a part
//! of those (LIMIT).

use std::ops::Range;

use crate::command::args;
use crate::error::CommandError;
use crate::primitives::number::parse_f64;
use crate::types::zset::{LexBound, ScoreBound, ZSet};

/// What a range's ends are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Ranks, from the end if negative.
    Rank,
    /// Scores.
    Score,
    /// Names, for sets whose members all have one score.
    Lex,
}

/// What a command's name already fixes of its range; the rest are options.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// `None`: BYSCORE and BYLEX are options.
    pub axis: Option<Axis>,
    /// `None`: REV is an option.
    pub reverse: Option<bool>,
    /// Whether WITHSCORES is an option.
    pub shows_scores: bool,
}

/// A range, read from arguments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window<'a> {
    ends: Ends<'a>,
    /// Whether the highest member comes first.
    pub reverse: bool,
    /// Members to skip; a negative number leaves none.
    offset: i64,
    /// Most members to take; all if negative.
    count: i64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends<'a> {
    Rank(i64, i64),
    Score(ScoreBound, ScoreBound),
    Lex(LexBound<'a>, LexBound<'a>),
}

impl<'a> Window<'a> {
    /// Reads a range without options.
    ///
    /// # Errors
    /// Ends that the axis does not have.
    pub fn of(axis: Axis, min: &'a [u8], max: &'a [u8]) -> Result<Self, CommandError> {
        Ok(Self { ends: Ends::parse(axis, min, max)?, reverse: false, offset: 0, count: -1 })
    }

    /// Reads a range and its options from all words behind the key. Returns the range, and whether scores are
    /// wanted.
    ///
    /// Checks in Redis's order: options, which of them go together, ends.
    ///
    /// # Errors
    /// Unknown words, options that do not go together, ends that the axis does not have.
    pub fn parse(words: &[&'a [u8]], form: Form) -> Result<(Self, bool), CommandError> {
        let [start, stop, options @ ..] = words else { return Err(CommandError::Syntax) };
        let (mut axis, mut reverse, mut with_scores) = (form.axis, form.reverse, false);
        let (mut offset, mut count) = (0, -1);
        let mut left = options;
        while let Some((word, rest)) = left.split_first() {
            left = rest;
            if form.shows_scores && args::is(word, "WITHSCORES") {
                with_scores = true;
            } else if reverse.is_none() && args::is(word, "REV") {
                reverse = Some(true);
            } else if axis.is_none() && args::is(word, "BYSCORE") {
                axis = Some(Axis::Score);
            } else if axis.is_none() && args::is(word, "BYLEX") {
                axis = Some(Axis::Lex);
            } else if let (true, [first, second, rest @ ..]) = (args::is(word, "LIMIT"), rest) {
                (offset, count) = (args::int(first)?, args::int(second)?);
                left = rest;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        let (axis, reverse) = (axis.unwrap_or(Axis::Rank), reverse.unwrap_or(false));
        if count != -1 && axis == Axis::Rank {
            return Err(CommandError::text(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && axis == Axis::Lex {
            return Err(CommandError::text(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        // Backwards, the higher end is given first, but for ranks.
        let (min, max) = if reverse && axis != Axis::Rank { (stop, start) } else { (start, stop) };
        let ends = Ends::parse(axis, min, max)?;
        Ok((Self { ends, reverse, offset, count }, with_scores))
    }

    /// Ranks of the members meant, counted from the lowest whatever the direction.
    pub fn ranks(&self, zset: &ZSet) -> Range<usize> {
        match self.ends {
            Ends::Rank(start, stop) => ranks_between(start, stop, self.reverse, zset.len()),
            Ends::Score(min, max) => self.part(zset.score_range(min, max)),
            Ends::Lex(min, max) => self.part(lex_range(zset, min, max)),
        }
    }

    /// The part of a range that LIMIT leaves.
    fn part(&self, all: Range<usize>) -> Range<usize> {
        let Ok(offset) = usize::try_from(self.offset) else { return 0..0 };
        let passed = offset.min(all.len());
        let taken = usize::try_from(self.count).unwrap_or(usize::MAX).min(all.len() - passed);
        if self.reverse {
            let end = all.end - passed;
            end - taken..end
        } else {
            let start = all.start + passed;
            start..start + taken
        }
    }
}

impl<'a> Ends<'a> {
    fn parse(axis: Axis, min: &'a [u8], max: &'a [u8]) -> Result<Self, CommandError> {
        match axis {
            Axis::Rank => Ok(Ends::Rank(args::int(min)?, args::int(max)?)),
            Axis::Score => match (score_bound(min), score_bound(max)) {
                (Some(min), Some(max)) => Ok(Ends::Score(min, max)),
                _ => Err(CommandError::text("ERR min or max is not a float")),
            },
            Axis::Lex => match (lex_bound(min), lex_bound(max)) {
                (Some(min), Some(max)) => Ok(Ends::Lex(min, max)),
                _ => Err(CommandError::text("ERR min or max not valid string range item")),
            },
        }
    }
}

/// Ranks from `start` to `stop`, both included and both from the end if negative; clipped to the set's
/// length.
fn ranks_between(start: i64, stop: i64, reverse: bool, len: usize) -> Range<usize> {
    let signed_len = i64::try_from(len).unwrap_or(i64::MAX);
    let place = |index: i64| if index < 0 { index.saturating_add(signed_len) } else { index };
    let Ok(stop) = usize::try_from(place(stop)) else { return 0..0 };
    let start = usize::try_from(place(start)).unwrap_or(0);
    let end = stop.saturating_add(1).min(len);
    if start >= end {
        return 0..0;
    }
    if reverse { len - end..len - start } else { start..end }
}

/// Ranks of the members from `min` to `max`. Redis defines this for sets of one score, where it is a
/// bisection. In other sets names are compared all the same: that finds what is meant when names and scores
/// rise together, and nothing when the first and the last name are outside of the range.
fn lex_range(zset: &ZSet, min: LexBound<'_>, max: LexBound<'_>) -> Range<usize> {
    let (Some((first, low)), Some((last, high))) = (zset.get(0), zset.get(zset.len().saturating_sub(1)))
    else {
        return 0..0;
    };
    if low == high {
        return zset.lex_range(min, max);
    }
    let ends_before_min = match min {
        LexBound::Lowest => false,
        LexBound::Highest => true,
        LexBound::Inclusive(name) => *last < *name,
        LexBound::Exclusive(name) => *last <= *name,
    };
    let starts_behind_max = match max {
        LexBound::Lowest => true,
        LexBound::Highest => false,
        LexBound::Inclusive(name) => *first > *name,
        LexBound::Exclusive(name) => *first >= *name,
    };
    if ends_before_min || starts_behind_max {
        return 0..0;
    }
    let before = |is_before: &dyn Fn(&[u8]) -> bool| {
        let (mut low, mut high) = (0, zset.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if zset.get(middle).is_some_and(|(member, _)| is_before(&member)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    };
    let start = match min {
        LexBound::Lowest => 0,
        LexBound::Highest => zset.len(),
        LexBound::Inclusive(name) => before(&|member| member < name),
        LexBound::Exclusive(name) => before(&|member| member <= name),
    };
    let end = match max {
        LexBound::Lowest => 0,
        LexBound::Highest => zset.len(),
        LexBound::Inclusive(name) => before(&|member| member <= name),
        LexBound::Exclusive(name) => before(&|member| member < name),
    };
    start..end.max(start)
}

/// Reads a score; `(` before it excludes it.
pub(super) fn score_bound(text: &[u8]) -> Option<ScoreBound> {
    match text {
        [b'(', number @ ..] => bound_number(number).map(ScoreBound::Exclusive),
        number => bound_number(number).map(ScoreBound::Inclusive),
    }
}

/// Reads the end of a range, less strictly than a score: no digits mean zero, and a number too large is
/// infinite (Redis's rule).
fn bound_number(text: &[u8]) -> Option<f64> {
    if text.is_empty() {
        return Some(0.0);
    }
    if let Some(value) = parse_f64(text) {
        return Some(value);
    }
    // A number that `parse_f64` refuses only for its size has a digit, and no letter but that of the
    // exponent.
    let is_number = text.iter().any(u8::is_ascii_digit)
        && text.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    if is_number { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

/// Reads `-`, `+`, or a name behind `[` or `(`.
fn lex_bound(text: &[u8]) -> Option<LexBound<'_>> {
    match text {
        b"-" => Some(LexBound::Lowest),
        b"+" => Some(LexBound::Highest),
        [b'[', name @ ..] => Some(LexBound::Inclusive(name)),
        [b'(', name @ ..] => Some(LexBound::Exclusive(name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::zset::ZSetLimits;
    use proptest::prelude::*;

    const RANGE: Form = Form { axis: None, reverse: None, shows_scores: true };

    fn parse(text: &'static str, form: Form) -> Result<(Window<'static>, bool), CommandError> {
        Window::parse(&text.split_ascii_whitespace().map(str::as_bytes).collect::<Vec<_>>(), form)
    }

    fn zset_of(members: &[(&str, f64)]) -> ZSet {
        let mut zset = ZSet::new();
        members.iter().for_each(|(member, score)| {
            assert!(zset.set(member.as_bytes(), *score, &ZSetLimits::default()).is_none())
        });
        zset
    }

    fn found(zset: &ZSet, text: &'static str) -> String {
        let (window, _) = parse(text, RANGE).unwrap();
        let mut names: Vec<String> = zset
            .iter_ranks(window.ranks(zset))
            .map(|(member, _)| String::from_utf8(member.to_vec()).unwrap())
            .collect();
        if window.reverse {
            names.reverse();
        }
        names.join(" ")
    }

    #[test]
    fn ends_of_scores() {
        for (text, bound) in [
            ("1.5", Some(ScoreBound::Inclusive(1.5))),
            ("(1.5", Some(ScoreBound::Exclusive(1.5))),
            ("+.5", Some(ScoreBound::Inclusive(0.5))),
            ("(+2", Some(ScoreBound::Exclusive(2.0))),
            ("", Some(ScoreBound::Inclusive(0.0))),
            ("(", Some(ScoreBound::Exclusive(0.0))),
            ("-inf", Some(ScoreBound::Inclusive(f64::NEG_INFINITY))),
            ("(+Infinity", Some(ScoreBound::Exclusive(f64::INFINITY))),
            ("1e400", Some(ScoreBound::Inclusive(f64::INFINITY))),
            ("-1e400", Some(ScoreBound::Inclusive(f64::NEG_INFINITY))),
            ("1e-400", Some(ScoreBound::Inclusive(0.0))),
            ("nan", None),
            ("-nan", None),
            (".", None),
            ("+", None),
            ("-", None),
            ("e", None),
            ("1e", None),
            ("1_0", None),
            ("3d", None),
            ("((2", None),
            ("0x1", None),
            (" 1", None),
        ] {
            assert_eq!(score_bound(text.as_bytes()), bound, "{text:?}");
        }
    }

    #[test]
    fn ends_of_names() {
        assert_eq!(lex_bound(b"-"), Some(LexBound::Lowest));
        assert_eq!(lex_bound(b"+"), Some(LexBound::Highest));
        assert_eq!(lex_bound(b"["), Some(LexBound::Inclusive(b"")));
        assert_eq!(lex_bound(b"((a"), Some(LexBound::Exclusive(b"(a")));
        for wrong in ["", "a", "-x", "+x"] {
            assert_eq!(lex_bound(wrong.as_bytes()), None, "{wrong:?}");
        }
    }

    #[test]
    fn options_are_checked_in_redis_order() {
        let error = |text, form| parse(text, form).unwrap_err().to_string();
        let by_score = Form { axis: Some(Axis::Score), reverse: Some(false), shows_scores: true };
        let storing = Form { shows_scores: false, ..RANGE };
        assert!(parse("0 -1 withScores rev", RANGE).unwrap().1);
        for text in ["0", "0 1 foo", "0 1 rev rev", "0 1 byscore bylex", "0 1 byscore limit 1", "x y limit"] {
            assert_eq!(error(text, RANGE), "ERR syntax error", "{text}");
        }
        assert_eq!(error("0 1 byscore", by_score), "ERR syntax error");
        assert_eq!(error("0 1 rev", by_score), "ERR syntax error");
        assert_eq!(error("0 1 withscores", storing), "ERR syntax error");
        assert!(error("x y limit 1 1", RANGE).starts_with("ERR syntax error, LIMIT is only supported"));
        assert!(parse("0 1 limit 5 -1", RANGE).is_ok(), "a LIMIT for all is not seen");
        assert!(
            error("x y bylex withscores", RANGE).starts_with("ERR syntax error, WITHSCORES not supported")
        );
        assert_eq!(error("x 1 limit 0 y", by_score), "ERR value is not an integer or out of range");
        assert_eq!(error("x 1", RANGE), "ERR value is not an integer or out of range");
        assert_eq!(error("(x 1", by_score), "ERR min or max is not a float");
        assert_eq!(error("a + bylex", RANGE), "ERR min or max not valid string range item");
    }

    #[test]
    fn windows_find_members() {
        let zset = zset_of(&[("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 4.0)]);
        for (text, members) in [
            ("0 -1", "a b c d"),
            ("-2 100", "c d"),
            ("-100 0", "a"),
            ("3 1", ""),
            ("-1 -100", ""),
            ("0 1 rev", "d c"),
            ("-1 -1 rev", "a"),
            ("-9223372036854775808 9223372036854775807", "a b c d"),
            ("(1 3 byscore", "b c"),
            ("3 (1 byscore rev", "c b"),
            ("1 3 byscore rev", ""),
            ("-inf +inf byscore limit 1 2", "b c"),
            ("+inf -inf byscore rev limit 1 2", "c b"),
            ("+inf -inf byscore rev limit 1 -7", "c b a"),
            ("-inf +inf byscore limit -1 2", ""),
            ("-inf +inf byscore limit 0 0", ""),
            ("-inf +inf byscore limit 9223372036854775807 9223372036854775807", ""),
            ("- + bylex", "a b c d"),
            ("+ - bylex rev limit 0 1", "d"),
            ("[b (d bylex", "b c"),
            ("(d [b bylex rev", "c b"),
            ("+ - bylex", ""),
            ("[e + bylex", ""),
        ] {
            assert_eq!(found(&zset, text), members, "{text}");
        }
        assert_eq!(found(&ZSet::new(), "- + bylex"), "");
        let falling = zset_of(&[("d", 1.0), ("c", 2.0), ("a", 3.0)]);
        for text in ["[b + bylex", "- [b bylex", "+ [b bylex rev", "[a (c bylex"] {
            assert_eq!(found(&falling, text), "", "{text}");
        }
        assert_eq!(found(&zset_of(&[("x", 5.0), ("y", 5.0), ("z", 5.0)]), "(x + bylex"), "y z");
    }

    proptest! {
        #[test]
        fn ranks_agree_with_slices(start in -12i64..12, stop in -12i64..12, len in 0usize..8, reverse: bool) {
            let mut all: Vec<usize> = (0..len).collect();
            if reverse {
                all.reverse();
            }
            let place = |index: i64| if index < 0 { index + len as i64 } else { index };
            let wanted = |at: usize| (place(start)..=place(stop)).contains(&(at as i64));
            let mut expected: Vec<usize> =
                all.into_iter().enumerate().filter(|(at, _)| wanted(*at)).map(|(_, rank)| rank).collect();
            expected.sort_unstable();
            prop_assert_eq!(ranks_between(start, stop, reverse, len).collect::<Vec<_>>(), expected);
        }

        #[test]
        fn any_bytes_are_survived(words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 2..6)) {
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let zset = zset_of(&[("a", 1.0), ("b", f64::INFINITY)]);
            for axis in [Axis::Rank, Axis::Score, Axis::Lex] {
                if let Ok((window, _)) = Window::parse(&words, Form { axis: Some(axis), ..RANGE }) {
                    prop_assert!(window.ranks(&zset).end <= 2);
                }
            }
        }
    }
}
