//! Lua's patterns: matching with a stack of its own.
//!
//! What a pattern means is Lua 5.1's to say, oddities included: a zero byte ends it, and what is wrong in it
//! is an error only when matching comes there. A match may take time that is exponential in the pattern's
//! length and go back as often as the subject is long, so each step is counted ([`Meter`]) and what may still
//! be tried lies on a heap whose size is bounded, not on the thread's stack.

use std::borrow::Cow;

use super::call::Failure;
use super::meter::Meter;

/// The most captures of a pattern.
const CAPTURES_MAX: usize = 32;

/// Choices that one match may leave open: 32 bytes each.
const CHOICES_MAX: usize = 1 << 20;

/// Bytes that mean something in a pattern: one without any is looked for as it is.
const SPECIALS: &[u8] = b"^$*+?.([%-";

/// A part of the subject that a pair of parentheses took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Capture {
    /// The parenthesis is still open.
    Open(usize),
    /// `()`: only the place, counted from 0.
    Place(usize),
    /// From here, so many bytes.
    Text(usize, usize),
}

/// A pattern, up to its first zero byte.
#[derive(Clone, Copy)]
pub(super) struct Pattern<'p> {
    bytes: &'p [u8],
    /// It matches only where the search begins.
    anchored: bool,
}

impl<'p> Pattern<'p> {
    /// A pattern as `find`, `match` and `gsub` read it: a leading `^` is an anchor.
    pub(super) fn new(text: &'p [u8]) -> Self {
        let bytes = until_zero(text);
        match bytes.strip_prefix(b"^") {
            Some(bytes) => Self { bytes, anchored: true },
            None => Self { bytes, anchored: false },
        }
    }

    /// A pattern as `gmatch` reads it: there is no anchor.
    pub(super) fn unanchored(text: &'p [u8]) -> Self {
        Self { bytes: until_zero(text), anchored: false }
    }

    /// It matches only where the search begins.
    pub(super) fn is_anchored(&self) -> bool {
        self.anchored
    }
}

fn until_zero(text: &[u8]) -> &[u8] {
    &text[..memchr::memchr(0, text).unwrap_or(text.len())]
}

/// Whether a text is to be looked for byte by byte.
pub(super) fn is_plain(text: &[u8]) -> bool {
    !until_zero(text).iter().any(|byte| SPECIALS.contains(byte))
}

/// What is tried when matching gets stuck.
enum Choice {
    /// `x*` and `x+`: one repetition less. The subject's place without any, how many there are, where the
    /// pattern goes on.
    Fewer { from: usize, count: usize, behind: usize },
    /// `x-`: one repetition more. The subject's place, the item's place in the pattern and its end.
    More { at: usize, item: usize, end: usize },
    /// `x?`: without it.
    Without { at: usize, behind: usize },
    /// A capture that was opened is none.
    Unopen,
    /// A capture that was closed is open again.
    Unclose(usize),
}

/// One pattern over one subject.
pub(super) struct Matcher<'s, 'm, 'l> {
    subject: &'s [u8],
    pattern: &'s [u8],
    meter: &'m mut Meter<'l>,
    captures: [Capture; CAPTURES_MAX],
    count: usize,
    choices: Vec<Choice>,
}

impl<'s, 'm, 'l> Matcher<'s, 'm, 'l> {
    pub(super) fn new(subject: &'s [u8], pattern: Pattern<'s>, meter: &'m mut Meter<'l>) -> Self {
        Self {
            subject,
            pattern: pattern.bytes,
            meter,
            captures: [Capture::Place(0); CAPTURES_MAX],
            count: 0,
            choices: Vec::new(),
        }
    }

    /// The captures of the last match.
    pub(super) fn captures(&self) -> &[Capture] {
        &self.captures[..self.count]
    }

    /// The first match at `from` or behind it, or at `from` only: where it begins and ends.
    pub(super) fn search(&mut self, from: usize, anchored: bool) -> Result<Option<(usize, usize)>, Failure> {
        for start in from..=self.subject.len() {
            if let Some(end) = self.match_at(start)? {
                return Ok(Some((start, end)));
            }
            if anchored {
                break;
            }
        }
        Ok(None)
    }

    /// Where a match that begins at `start` ends.
    pub(super) fn match_at(&mut self, start: usize) -> Result<Option<usize>, Failure> {
        self.count = 0;
        self.choices.clear();
        let (mut at, mut place) = (start, 0);
        loop {
            self.meter.step(1)?;
            let gone_on = match self.peek(place) {
                0 => return Ok(Some(at)),
                b'(' => self.open(at, place)?,
                b')' => self.close(at, place)?,
                b'$' if self.peek(place + 1) == 0 => (at == self.subject.len()).then_some((at, place + 1)),
                b'%' if self.peek(place + 1) == b'b' => self.balanced(at, place + 2)?,
                b'%' if self.peek(place + 1) == b'f' => self.frontier(at, place + 2)?,
                b'%' if self.peek(place + 1).is_ascii_digit() => self.again(at, place)?,
                _ => self.item(at, place)?,
            };
            match gone_on {
                Some(next) => (at, place) = next,
                None => match self.go_back()? {
                    Some(next) => (at, place) = next,
                    None => return Ok(None),
                },
            }
        }
    }

    /// The pattern's byte, 0 at its end.
    fn peek(&self, place: usize) -> u8 {
        self.pattern.get(place).copied().unwrap_or(0)
    }

    fn choose_later(&mut self, choice: Choice) -> Result<(), Failure> {
        if self.choices.len() >= CHOICES_MAX {
            return Err(Failure::message("pattern too complex"));
        }
        self.choices.push(choice);
        Ok(())
    }

    /// Takes up what was left open last.
    fn go_back(&mut self) -> Result<Option<(usize, usize)>, Failure> {
        while let Some(choice) = self.choices.pop() {
            self.meter.step(1)?;
            match choice {
                Choice::Fewer { from, mut count, behind } => {
                    let literal = self.literal(behind);
                    while count > 0 && self.is_in_vain(from + count, literal) {
                        self.meter.step(1)?;
                        count -= 1;
                    }
                    if count > 0 {
                        self.choices.push(Choice::Fewer { from, count: count - 1, behind });
                    }
                    return Ok(Some((from + count, behind)));
                }
                Choice::More { mut at, item, end } => {
                    let literal = self.literal(end + 1);
                    while self.fits(at, item, end)? {
                        at += 1;
                        if self.is_in_vain(at, literal) {
                            self.meter.step(1)?;
                            continue;
                        }
                        self.choices.push(Choice::More { at, item, end });
                        return Ok(Some((at, end + 1)));
                    }
                }
                Choice::Without { at, behind } => return Ok(Some((at, behind))),
                Choice::Unopen => self.count -= 1,
                Choice::Unclose(index) => {
                    let (Capture::Open(from) | Capture::Place(from) | Capture::Text(from, _)) =
                        self.captures[index];
                    self.captures[index] = Capture::Open(from);
                }
            }
        }
        Ok(None)
    }

    /// The byte that has to follow, where the pattern goes on with a byte that stands for itself, once.
    fn literal(&self, place: usize) -> Option<u8> {
        let (byte, behind) = (self.peek(place), self.peek(place + 1));
        let is_literal = byte != 0 && byte != b')' && !SPECIALS.contains(&byte);
        (is_literal && !b"*+?-".contains(&behind)).then_some(byte)
    }

    /// Whether going on at this place of the subject would get stuck at once, as another byte has to be
    /// there.
    fn is_in_vain(&self, at: usize, literal: Option<u8>) -> bool {
        literal.is_some_and(|byte| self.subject.get(at) != Some(&byte))
    }

    fn open(&mut self, at: usize, place: usize) -> Result<Option<(usize, usize)>, Failure> {
        if self.count >= CAPTURES_MAX {
            return Err(Failure::message("too many captures"));
        }
        let is_place = self.peek(place + 1) == b')';
        self.captures[self.count] = if is_place { Capture::Place(at) } else { Capture::Open(at) };
        self.count += 1;
        self.choose_later(Choice::Unopen)?;
        Ok(Some((at, place + if is_place { 2 } else { 1 })))
    }

    fn close(&mut self, at: usize, place: usize) -> Result<Option<(usize, usize)>, Failure> {
        let open =
            self.captures[..self.count].iter().rposition(|capture| matches!(capture, Capture::Open(_)));
        let Some(index) = open else { return Err(Failure::message("invalid pattern capture")) };
        if let Capture::Open(from) = self.captures[index] {
            self.captures[index] = Capture::Text(from, at - from);
        }
        self.choose_later(Choice::Unclose(index))?;
        Ok(Some((at, place + 1)))
    }

    /// `%bxy`, whose two bytes stand at `place`.
    fn balanced(&mut self, at: usize, place: usize) -> Result<Option<(usize, usize)>, Failure> {
        let (opens, closes) = (self.peek(place), self.peek(place + 1));
        if opens == 0 || closes == 0 {
            return Err(Failure::message("unbalanced pattern"));
        }
        if self.subject.get(at) != Some(&opens) {
            return Ok(None);
        }
        let mut depth = 1usize;
        for (offset, byte) in self.subject[at + 1..].iter().enumerate() {
            self.meter.step(1)?;
            if *byte == closes {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some((at + offset + 2, place + 2)));
                }
            } else if *byte == opens {
                depth += 1;
            }
        }
        Ok(None)
    }

    /// `%f[set]`, whose bracket stands at `place`.
    fn frontier(&mut self, at: usize, place: usize) -> Result<Option<(usize, usize)>, Failure> {
        if self.peek(place) != b'[' {
            return Err(Failure::message("missing '[' after '%f' in pattern"));
        }
        let end = self.item_end(place)?;
        let before = if at == 0 { 0 } else { self.subject[at - 1] };
        let byte = self.subject.get(at).copied().unwrap_or(0);
        let fits = !self.in_set(before, place, end - 1)? && self.in_set(byte, place, end - 1)?;
        Ok(fits.then_some((at, end)))
    }

    /// `%1`: what a capture took, once more.
    fn again(&mut self, at: usize, place: usize) -> Result<Option<(usize, usize)>, Failure> {
        let index = usize::from(self.peek(place + 1)).wrapping_sub(usize::from(b'1'));
        let (from, len) = match self.captures().get(index) {
            Some(Capture::Text(from, len)) => (*from, *len),
            // A place has a length that nothing has.
            Some(Capture::Place(_)) => return Ok(None),
            Some(Capture::Open(_)) | None => return Err(Failure::message("invalid capture index")),
        };
        self.meter.step(len)?;
        let fits = self.subject[at..].starts_with(&self.subject[from..from + len]);
        Ok(fits.then_some((at + len, place + 2)))
    }

    /// One byte or class, and how often.
    fn item(&mut self, at: usize, place: usize) -> Result<Option<(usize, usize)>, Failure> {
        let end = self.item_end(place)?;
        match self.peek(end) {
            b'?' => {
                if self.fits(at, place, end)? {
                    self.choose_later(Choice::Without { at, behind: end + 1 })?;
                    return Ok(Some((at + 1, end + 1)));
                }
                Ok(Some((at, end + 1)))
            }
            b'*' => self.most(at, place, end),
            b'+' if self.fits(at, place, end)? => self.most(at + 1, place, end),
            b'+' => Ok(None),
            b'-' => {
                self.choose_later(Choice::More { at, item: place, end })?;
                Ok(Some((at, end + 1)))
            }
            _ => Ok(self.fits(at, place, end)?.then_some((at + 1, end))),
        }
    }

    /// As many repetitions as there are.
    fn most(&mut self, at: usize, place: usize, end: usize) -> Result<Option<(usize, usize)>, Failure> {
        let mut count = 0;
        while self.fits(at + count, place, end)? {
            count += 1;
            self.meter.step(1)?;
        }
        if count > 0 {
            self.choose_later(Choice::Fewer { from: at, count: count - 1, behind: end + 1 })?;
        }
        Ok(Some((at + count, end + 1)))
    }

    /// Where the byte or class that begins at `place` ends.
    fn item_end(&mut self, place: usize) -> Result<usize, Failure> {
        let mut at = place + 1;
        match self.peek(place) {
            b'%' if self.peek(at) == 0 => Err(Failure::message("malformed pattern (ends with '%')")),
            b'%' => Ok(at + 1),
            b'[' => {
                if self.peek(at) == b'^' {
                    at += 1;
                }
                // A bracket that stands first is one of the set.
                loop {
                    self.meter.step(1)?;
                    let byte = self.peek(at);
                    if byte == 0 {
                        return Err(Failure::message("malformed pattern (missing ']')"));
                    }
                    at += 1;
                    if byte == b'%' && self.peek(at) != 0 {
                        at += 1;
                    }
                    if self.peek(at) == b']' {
                        return Ok(at + 1);
                    }
                }
            }
            _ => Ok(at),
        }
    }

    /// Whether the subject's byte is one of the item that stands at `place`.
    fn fits(&mut self, at: usize, place: usize, end: usize) -> Result<bool, Failure> {
        let Some(&byte) = self.subject.get(at) else { return Ok(false) };
        match self.pattern[place] {
            b'.' => Ok(true),
            b'%' => Ok(in_class(byte, self.peek(place + 1))),
            b'[' => self.in_set(byte, place, end - 1),
            wanted => Ok(byte == wanted),
        }
    }

    /// Whether a byte is of the set between the bracket at `place` and that at `close`.
    fn in_set(&mut self, byte: u8, place: usize, close: usize) -> Result<bool, Failure> {
        let mut at = place + 1;
        let wanted = self.peek(at) != b'^';
        if !wanted {
            at += 1;
        }
        while at < close {
            self.meter.step(1)?;
            let first = self.peek(at);
            if first == b'%' {
                if in_class(byte, self.peek(at + 1)) {
                    return Ok(wanted);
                }
                at += 2;
            } else if self.peek(at + 1) == b'-' && at + 2 < close {
                if (first..=self.peek(at + 2)).contains(&byte) {
                    return Ok(wanted);
                }
                at += 3;
            } else {
                if first == byte {
                    return Ok(wanted);
                }
                at += 1;
            }
        }
        Ok(!wanted)
    }
}

/// Whether a byte is of the class that a letter behind `%` names; what is no letter of a class stands for
/// itself.
fn in_class(byte: u8, class: u8) -> bool {
    let is_in = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => matches!(byte, b' ' | b'\t'..=b'\r'),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return byte == class,
    };
    is_in != class.is_ascii_uppercase()
}

/// A text within another, from `from` on.
pub(super) fn find_plain(
    subject: &[u8],
    wanted: &[u8],
    from: usize,
    meter: &mut Meter<'_>,
) -> Result<Option<usize>, Failure> {
    // Searched in parts, so that a script that looks through much can be ended.
    const PART: usize = 1 << 20;
    // To prepare a finder takes longer than to look through so few bytes.
    const SHORT: usize = 64;
    if !wanted.is_empty() && subject.len().saturating_sub(from) <= SHORT {
        let mut windows = subject.get(from..).unwrap_or_default().windows(wanted.len());
        return Ok(windows.position(|window| window == wanted).map(|at| from + at));
    }
    let finder = memchr::memmem::Finder::new(wanted);
    let mut start = from;
    loop {
        let end = (start + PART + wanted.len()).min(subject.len());
        meter.step(end - start)?;
        if let Some(found) = finder.find(&subject[start..end]) {
            return Ok(Some(start + found));
        }
        if end == subject.len() {
            return Ok(None);
        }
        start += PART;
    }
}

/// The text of an error that names a value's type.
pub(super) fn invalid_replacement(type_name: &str) -> Failure {
    Failure::Message(Cow::Owned(format!("invalid replacement value (a {type_name})").into_bytes()))
}
