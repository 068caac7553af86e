//! Encodes replies in the version that the client speaks.

use super::Version;
use crate::primitives::short_copy::copy;
use crate::types::list::slice::{ListSlice, SHORT_MAX, TEXT_MAX};
use crate::types::packed::Pieces;
use crate::types::packed::entry::Piece;

/// Longest head in bytes: kind, twenty digits, line break.
const HEAD_MAX: usize = 23;

/// Longest string whose head is kept for the next string, and the length of such a head.
const SHORT_LEN_MAX: usize = 9999;
const SHORT_HEAD: usize = 8;
/// Bytes of room made for each string of a series.
const BULK_ROOM: usize = 24;
/// Most bytes of room made at once.
const BULKS_ROOM: usize = 2048;
/// Room for one text: a short prefix, the text, its head and line break.
const TEXT_ROOM: usize = SHORT_MAX + TEXT_MAX + SHORT_HEAD;

/// The end of the connection's write buffer, where a command writes its reply.
///
/// A method for a type of RESP3 alone writes for RESP2 what Redis writes instead.
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    version: Version,
}

impl<'a> Reply<'a> {
    /// A reply that is appended to `out`.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>, version: Version) -> Self {
        Self { out, version }
    }

    /// The version it is written in.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether the client speaks RESP3.
    #[inline]
    pub fn is_resp3(&self) -> bool {
        self.version == Version::Resp3
    }

    /// Changes the version, as HELLO does in the middle of its own reply.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// Bytes written so far, those before this reply included.
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// The bytes written behind `position`.
    pub fn written_since(&self, position: usize) -> &[u8] {
        &self.out[position..]
    }

    /// Removes everything behind `position`.
    pub fn truncate(&mut self, position: usize) {
        self.out.truncate(position);
    }

    /// Writes the status `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A simple string. `text` must not hold a line break.
    pub fn simple(&mut self, text: &str) {
        debug_assert!(!text.contains(['\r', '\n']));
        self.line(b'+', text.as_bytes());
    }

    /// An error line. Line breaks in it (from a client's own words) become spaces.
    pub fn error(&mut self, text: &str) {
        self.out.push(b'-');
        self.out.extend(text.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
        self.out.extend_from_slice(b"\r\n");
    }

    /// `:value`, a number.
    #[inline]
    pub fn int(&mut self, value: i64) {
        match value {
            0 => self.out.extend_from_slice(b":0\r\n"),
            1 => self.out.extend_from_slice(b":1\r\n"),
            _ => self.line(b':', itoa::Buffer::new().format(value).as_bytes()),
        }
    }

    /// `:value`, a number of things.
    #[inline]
    pub fn count(&mut self, value: usize) {
        self.int(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// `$len`, a byte string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + HEAD_MAX + 2);
        self.head(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Head of a byte string of `len` bytes, with room for all of it. The bytes and a line break have to
    /// follow.
    pub fn begin_bulk(&mut self, len: usize) {
        self.out.reserve(len + HEAD_MAX + 2);
        self.head(b'$', len);
    }

    /// A byte string that is kept in two pieces, prefix and rest.
    #[inline]
    pub fn bulk_joined(&mut self, prefix: &[u8], rest: &[u8]) {
        let len = prefix.len() + rest.len();
        self.out.reserve(len + HEAD_MAX + 2);
        self.head(b'$', len);
        if !prefix.is_empty() {
            self.out.extend_from_slice(prefix);
        }
        self.out.extend_from_slice(rest);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Begins a series of about `count` byte strings: faster than one [`bulk`](Self::bulk) after the other.
    #[inline]
    pub fn bulks(&mut self, count: usize) -> Bulks<'_> {
        let (at, room) = (self.out.len(), count.saturating_mul(BULK_ROOM).min(BULKS_ROOM));
        Bulks { out: self.out, at, room, len: 0, head: *b"$0\r\n\0\0\0\0", head_len: 4 }
    }

    /// A number as a byte string.
    #[inline]
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A byte string or the null.
    #[inline]
    pub fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// Null: `$-1`, in RESP3 `_`.
    #[inline]
    pub fn null(&mut self) {
        self.out.extend_from_slice(if self.is_resp3() { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// Null in place of an array: `*-1`, in RESP3 `_`.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(if self.is_resp3() { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// Head of an array of `len` replies.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.head(b'*', len);
    }

    /// Head of a map of `pairs`: in RESP2 an array of twice as many.
    pub fn map(&mut self, pairs: usize) {
        if self.is_resp3() { self.head(b'%', pairs) } else { self.head(b'*', pairs * 2) }
    }

    /// Head of a set: in RESP2 an array.
    pub fn set(&mut self, len: usize) {
        self.head(if self.is_resp3() { b'~' } else { b'*' }, len);
    }

    /// Head of a push message: in RESP2 an array.
    pub fn push(&mut self, len: usize) {
        self.head(if self.is_resp3() { b'>' } else { b'*' }, len);
    }

    /// A floating point number: in RESP2 its text as a byte string.
    pub fn double(&mut self, value: f64) {
        let text = crate::primitives::number::format_f64(value);
        if self.is_resp3() { self.line(b',', &text) } else { self.bulk(&text) }
    }

    /// A floating point number in a notation of its own: in RESP2 a byte string.
    pub fn double_text(&mut self, text: &str) {
        if self.is_resp3() { self.line(b',', text.as_bytes()) } else { self.bulk(text.as_bytes()) }
    }

    /// A truth value: in RESP2 1 or 0.
    pub fn boolean(&mut self, value: bool) {
        match (self.is_resp3(), value) {
            (true, true) => self.out.extend_from_slice(b"#t\r\n"),
            (true, false) => self.out.extend_from_slice(b"#f\r\n"),
            (false, value) => self.int(i64::from(value)),
        }
    }

    /// Text for people: in RESP2 a byte string. `format` has three letters (`txt`, `mkd`).
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        debug_assert_eq!(format.len(), 3);
        if !self.is_resp3() {
            return self.bulk(text);
        }
        self.line(b'=', itoa::Buffer::new().format(text.len() + 4).as_bytes());
        self.out.extend_from_slice(format.as_bytes());
        self.out.push(b':');
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A number beyond 64 bits, as its decimal text: in RESP2 a byte string.
    pub fn big_number(&mut self, digits: &str) {
        if self.is_resp3() { self.line(b'(', digits.as_bytes()) } else { self.bulk(digits.as_bytes()) }
    }

    /// Head of `pairs` attributes before a reply. RESP2 has none: the caller must write nothing then.
    pub fn attribute(&mut self, pairs: usize) {
        debug_assert!(self.is_resp3());
        self.head(b'|', pairs);
    }

    /// Appends bytes that are an encoded reply.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Begins an array whose length is known only later: [`Reply::end_array`] has to follow.
    pub fn begin_array(&mut self) -> Deferred {
        Deferred { position: self.out.len() }
    }

    /// Inserts the head of an array of `len` replies where it was begun.
    pub fn end_array(&mut self, begun: Deferred, len: usize) {
        self.insert_head(begun, b'*', len);
    }

    /// Inserts the head of a set of `len` replies where it was begun.
    pub fn end_set(&mut self, begun: Deferred, len: usize) {
        let kind = if self.is_resp3() { b'~' } else { b'*' };
        self.insert_head(begun, kind, len);
    }

    /// Inserts the head of a map of `pairs` where it was begun.
    pub fn end_map(&mut self, begun: Deferred, pairs: usize) {
        let (kind, len) = if self.is_resp3() { (b'%', pairs) } else { (b'*', pairs * 2) };
        self.insert_head(begun, kind, len);
    }

    fn insert_head(&mut self, begun: Deferred, kind: u8, len: usize) {
        let mut number = itoa::Buffer::new();
        let digits = number.format(len).as_bytes();
        let head = std::iter::once(kind).chain(digits.iter().copied()).chain(*b"\r\n");
        self.out.splice(begun.position..begun.position, head);
    }

    #[inline(always)] // A call would save and restore more registers than there is work.
    fn head(&mut self, kind: u8, len: usize) {
        // Nearly all lengths have one or two digits: a piece of a fixed size is stored without a function
        // call, and the rest cut off.
        if len < 100 {
            let (head, head_len) = short_head(kind, len as u8);
            let end = self.out.len() + head_len;
            self.out.extend_from_slice(&head);
            self.out.truncate(end);
            return;
        }
        self.long_head(kind, len);
    }

    #[inline(never)]
    fn long_head(&mut self, kind: u8, len: usize) {
        self.line(kind, itoa::Buffer::new().format(len).as_bytes());
    }

    #[inline]
    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.reserve(text.len() + 3);
        self.out.push(kind);
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }
}

/// A series of byte strings, written into room that is made for many of them.
#[derive(Debug)]
pub struct Bulks<'a> {
    /// The buffer; zeros follow the written bytes, up to its length.
    out: &'a mut Vec<u8>,
    /// Offset of the next string.
    at: usize,
    /// Bytes of room made at once.
    room: usize,
    /// Head of the last string, which is often that of the next, and the last string's length.
    head: [u8; SHORT_HEAD],
    head_len: usize,
    len: usize,
}

impl Bulks<'_> {
    /// Writes the elements of a list's slice.
    #[inline]
    pub fn extend(&mut self, slice: &mut ListSlice<'_>) {
        let prefix = slice.prefix;
        let short_prefix = Prefix::new(prefix);
        loop {
            if let Some(prefix) = &short_prefix {
                if self.out.len() - self.at < TEXT_ROOM {
                    self.make_room(TEXT_ROOM);
                }
                self.at += fill(&mut self.out[self.at..], prefix, slice);
                if self.out.len() - self.at < TEXT_ROOM {
                    continue;
                }
            }
            // An element that is not short is mostly followed by others.
            loop {
                let Some(piece) = slice.next() else { return };
                self.push_piece(prefix, piece);
                if matches!(piece, Piece::Bytes(rest) if rest.len() <= TEXT_MAX) {
                    break;
                }
            }
        }
    }

    #[inline(always)] // Where it is called in a loop it keeps its registers.
    fn push_piece(&mut self, prefix: &[u8], piece: Piece<'_>) {
        match piece {
            Piece::Bytes(rest) => self.push_joined(prefix, rest),
            Piece::Int(value) => self.push_joined(&[], itoa::Buffer::new().format(value).as_bytes()),
        }
    }

    /// Writes elements of a packed list.
    #[inline]
    pub fn extend_pieces(&mut self, pieces: Pieces<'_>) {
        pieces.for_each(|(prefix, piece)| self.push_piece(prefix, piece));
    }

    /// Writes a byte string.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        self.push_joined(&[], bytes);
    }

    /// Writes a byte string that is kept in two pieces.
    #[inline(always)] // The loop that calls it keeps its registers.
    fn push_joined(&mut self, prefix: &[u8], rest: &[u8]) {
        let len = prefix.len() + rest.len();
        if len != self.len {
            if len > SHORT_LEN_MAX {
                return self.push_long(prefix, rest);
            }
            self.set_head(len);
        }
        let needed = len + SHORT_HEAD + 2;
        if self.out.len() - self.at < needed {
            self.make_room(needed);
        }
        let (Some((room, _)), head_len) = (self.out[self.at..].split_at_mut_checked(needed), self.head_len)
        else {
            return;
        };
        room[..SHORT_HEAD].copy_from_slice(&self.head);
        let room = &mut room[head_len..];
        copy(&mut room[prefix.len()..len], rest);
        if !prefix.is_empty() {
            copy(&mut room[..prefix.len()], prefix);
        }
        room[len..len + 2].copy_from_slice(b"\r\n");
        self.at += head_len + len + 2;
    }

    #[inline]
    fn set_head(&mut self, len: usize) {
        self.len = len;
        if len < 100 {
            (self.head, self.head_len) = short_head(b'$', len as u8);
        } else {
            self.set_long_head(len);
        }
    }

    #[inline(never)]
    fn set_long_head(&mut self, len: usize) {
        let mut number = itoa::Buffer::new();
        let digits = number.format(len).as_bytes();
        self.head[1..=digits.len()].copy_from_slice(digits);
        self.head[digits.len() + 1..digits.len() + 3].copy_from_slice(b"\r\n");
        self.head_len = digits.len() + 3;
    }

    #[inline(never)]
    fn make_room(&mut self, needed: usize) {
        let len = self.at + needed.max(self.room);
        self.out.resize(len, 0);
        // Uses what the buffer has allocated before it grows.
        self.out.resize(self.out.capacity().min(len + self.room), 0);
    }

    #[inline(never)]
    fn push_long(&mut self, prefix: &[u8], rest: &[u8]) {
        self.out.truncate(self.at);
        // A byte string is the same in both versions.
        Reply::new(self.out, Version::Resp2).bulk_joined(prefix, rest);
        self.at = self.out.len();
    }
}

/// The prefix of a slice's texts, where it is short.
struct Prefix {
    chunk: [u8; SHORT_MAX],
    len: usize,
}

impl Prefix {
    #[inline]
    fn new(bytes: &[u8]) -> Option<Self> {
        let mut chunk = [0; SHORT_MAX];
        chunk.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self { chunk, len: bytes.len() })
    }
}

/// Writes the next texts and numbers of a slice, as long as they are short and there is room. Returns the
/// bytes written.
#[inline(always)]
fn fill(room: &mut [u8], prefix: &Prefix, slice: &mut ListSlice<'_>) -> usize {
    let mut at = 0;
    while let Some(room) = room.get_mut(at..at + TEXT_ROOM).and_then(|room| room.first_chunk_mut()) {
        at += if let Some((chunk, len)) = slice.next_short() {
            if prefix.len == 0 {
                short_bulk(room, chunk, len)
            } else {
                short_bulk_joined(room, prefix, chunk, len)
            }
        } else if let Some(text) = slice.next_text() {
            text_bulk(room, prefix, text)
        } else if let Some(number) = slice.next_small_number() {
            small_number(room, number)
        } else {
            break;
        }
    }
    at
}

impl Drop for Bulks<'_> {
    fn drop(&mut self) {
        self.out.truncate(self.at);
    }
}

/// Writes the first `len` bytes of `chunk` as a byte string. Returns the bytes written.
#[inline(always)]
fn short_bulk(room: &mut [u8; TEXT_ROOM], chunk: &[u8; SHORT_MAX], len: usize) -> usize {
    let head_len = short_head_into(room, len);
    room[head_len..head_len + SHORT_MAX].copy_from_slice(chunk);
    room[head_len + len..head_len + len + 2].copy_from_slice(b"\r\n");
    head_len + len + 2
}

/// [`short_bulk`] with a prefix before the text.
#[inline(always)]
fn short_bulk_joined(
    room: &mut [u8; TEXT_ROOM],
    prefix: &Prefix,
    chunk: &[u8; SHORT_MAX],
    len: usize,
) -> usize {
    let total = prefix.len + len;
    let head_len = short_head_into(room, total);
    room[head_len..head_len + SHORT_MAX].copy_from_slice(&prefix.chunk);
    let at = head_len + prefix.len;
    room[at..at + SHORT_MAX].copy_from_slice(chunk);
    room[at + len..at + len + 2].copy_from_slice(b"\r\n");
    head_len + total + 2
}

/// Writes a text of up to [`TEXT_MAX`] bytes behind a prefix. Returns the bytes written.
#[inline]
fn text_bulk(room: &mut [u8; TEXT_ROOM], prefix: &Prefix, text: &[u8]) -> usize {
    let total = prefix.len + text.len();
    let head_len = short_head_into(room, total);
    room[head_len..head_len + SHORT_MAX].copy_from_slice(&prefix.chunk);
    let at = head_len + prefix.len;
    copy(&mut room[at..at + text.len()], text);
    room[at + text.len()..at + text.len() + 2].copy_from_slice(b"\r\n");
    head_len + total + 2
}

/// Writes a number below 128 as a byte string. Returns the bytes written.
#[inline]
fn small_number(room: &mut [u8; TEXT_ROOM], number: u8) -> usize {
    let (tens, ones) = (b'0' + number / 10 % 10, b'0' + number % 10);
    let (piece, len) = match number {
        ..10 => ([b'$', b'1', b'\r', b'\n', ones, b'\r', b'\n', 0, 0], 7),
        10..100 => ([b'$', b'2', b'\r', b'\n', tens, ones, b'\r', b'\n', 0], 8),
        100.. => ([b'$', b'3', b'\r', b'\n', b'1', tens, ones, b'\r', b'\n'], 9),
    };
    room[..9].copy_from_slice(&piece);
    len
}

/// Writes the head of a byte string of less than a hundred bytes as one number. Returns the bytes written.
#[inline(always)]
fn short_head_into(room: &mut [u8; TEXT_ROOM], len: usize) -> usize {
    let (head, head_len) = if len < 10 {
        (u64::from_le_bytes(*b"$0\r\n\0\0\0\0") + ((len as u64) << 8), 4)
    } else {
        let (tens, ones) = (len as u64 / 10, len as u64 % 10);
        (u64::from_le_bytes(*b"$00\r\n\0\0\0") + (tens << 8) + (ones << 16), 5)
    };
    room[..8].copy_from_slice(&head.to_le_bytes());
    head_len
}

/// A head with a length of one or two digits, and the number of its bytes.
#[inline]
fn short_head(kind: u8, len: u8) -> ([u8; SHORT_HEAD], usize) {
    let (tens, ones) = (b'0' + len / 10, b'0' + len % 10);
    if len < 10 {
        ([kind, ones, b'\r', b'\n', 0, 0, 0, 0], 4)
    } else {
        ([kind, tens, ones, b'\r', b'\n', 0, 0, 0], 5)
    }
}

/// Mark of an array whose head is written later.
#[derive(Debug)]
#[must_use = "an array that was begun needs its head"]
pub struct Deferred {
    position: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::list::{End, List, ListLimits};
    use crate::types::packed::Packed;
    use proptest::prelude::*;

    fn both(write: impl Fn(&mut Reply<'_>)) -> (String, String) {
        let text = |version| {
            let mut out = Vec::new();
            write(&mut Reply::new(&mut out, version));
            String::from_utf8(out).unwrap()
        };
        (text(Version::Resp2), text(Version::Resp3))
    }

    fn same(write: impl Fn(&mut Reply<'_>)) -> String {
        let (two, three) = both(write);
        assert_eq!(two, three);
        two
    }

    #[test]
    fn types_of_both_versions() {
        assert_eq!(same(|r| r.ok()), "+OK\r\n");
        assert_eq!(same(|r| r.error("ERR a\r\nb")), "-ERR a  b\r\n");
        assert_eq!(same(|r| r.int(-12)), ":-12\r\n");
        assert_eq!(same(|r| r.bulk(b"a\r\nb")), "$4\r\na\r\nb\r\n");
        assert_eq!(same(|r| r.bulk_int(10)), "$2\r\n10\r\n");
        assert_eq!(same(|r| r.array(3)), "*3\r\n");
    }

    #[test]
    fn types_of_resp3_have_a_resp2_form() {
        let pair = |two: &str, three: &str| (two.to_owned(), three.to_owned());
        assert_eq!(both(|r| r.null()), pair("$-1\r\n", "_\r\n"));
        assert_eq!(both(|r| r.null_array()), pair("*-1\r\n", "_\r\n"));
        assert_eq!(both(|r| r.map(2)), pair("*4\r\n", "%2\r\n"));
        assert_eq!(both(|r| r.set(2)), pair("*2\r\n", "~2\r\n"));
        assert_eq!(both(|r| r.push(2)), pair("*2\r\n", ">2\r\n"));
        assert_eq!(both(|r| r.double(1.5)), pair("$3\r\n1.5\r\n", ",1.5\r\n"));
        assert_eq!(both(|r| r.boolean(true)), pair(":1\r\n", "#t\r\n"));
        assert_eq!(both(|r| r.verbatim("txt", b"hi")), pair("$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"));
        assert_eq!(both(|r| r.big_number("12")), pair("$2\r\n12\r\n", "(12\r\n"));
    }

    proptest! {
        #[test]
        fn byte_strings_in_a_row_are_byte_strings(
            strings in proptest::collection::vec(
                (0usize..40, prop_oneof![8 => 0usize..40, 2 => 90usize..110, 1 => 9900usize..10_100]),
                0..200,
            ),
        ) {
            let (mut one_by_one, mut in_a_row) = (b"+OK\r\n".to_vec(), b"+OK\r\n".to_vec());
            let mut reply = Reply::new(&mut one_by_one, Version::Resp2);
            let mut other = Reply::new(&mut in_a_row, Version::Resp2);
            let mut bulks = other.bulks(strings.len() / 2);
            for (prefix, rest) in strings {
                let (prefix, rest) = (vec![b'b'; prefix], vec![b'r'; rest]);
                reply.bulk(&[&prefix[..], &rest].concat());
                bulks.push_joined(&prefix, &rest);
            }
            drop(bulks);
            prop_assert_eq!(in_a_row, one_by_one);
        }
    }

    /// Elements at the borders of all forms, among them numbers.
    fn element() -> impl Strategy<Value = Vec<u8>> {
        let len = prop_oneof![
            8 => 0usize..20,
            2 => 60usize..70,
            1 => proptest::sample::select(vec![99, 100, 101, 127, 128, 999, 1000, 8191, 8192, 9999, 10_000]),
        ];
        prop_oneof![
            4 => (len, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
            2 => (-2i64..130).prop_map(|value| value.to_string().into_bytes()),
            1 => any::<i64>().prop_map(|value| value.to_string().into_bytes()),
        ]
    }

    proptest! {
        #[test]
        fn runs_and_pieces_are_byte_strings(
            prefix in proptest::sample::select(vec![0usize, 1, 5, 10, 15, 16, 17, 40]),
            elements in proptest::collection::vec(element(), 1..300),
            (first, count) in (any::<proptest::sample::Index>(), 0usize..310),
            node_len in proptest::sample::select(vec![-1, 3, 40]),
        ) {
            let limits = ListLimits { max_listpack_size: node_len };
            let elements: Vec<_> = elements.into_iter().map(|rest| [vec![b'p'; prefix], rest].concat()).collect();
            let mut list = List::new();
            elements.iter().for_each(|element| list.push(End::Tail, element, &limits));
            let first = first.index(elements.len());
            let (mut one_by_one, mut in_runs) = (b"+OK\r\n".to_vec(), b"+OK\r\n".to_vec());
            let mut reply = Reply::new(&mut one_by_one, Version::Resp2);
            elements.iter().skip(first).take(count).for_each(|element| reply.bulk(element));
            let mut other = Reply::new(&mut in_runs, Version::Resp2);
            let mut bulks = other.bulks(count);
            list.visit(first, count, |slice| bulks.extend(slice));
            drop(bulks);
            prop_assert_eq!(in_runs.escape_ascii().to_string(), one_by_one.escape_ascii().to_string());

            let mut packed = Packed::new();
            elements.iter().for_each(|element| packed.push(element));
            let mut in_pieces = b"+OK\r\n".to_vec();
            let from = packed.skip(packed.start(), first);
            Reply::new(&mut in_pieces, Version::Resp2).bulks(count).extend_pieces(packed.pieces(from, 1, count));
            prop_assert_eq!(in_pieces.escape_ascii().to_string(), one_by_one.escape_ascii().to_string());
        }
    }

    #[test]
    fn a_head_can_be_written_last() {
        let late = same(|r| {
            r.int(1);
            let begun = r.begin_array();
            r.int(2);
            r.int(3);
            r.end_array(begun, 2);
        });
        assert_eq!(late, ":1\r\n*2\r\n:2\r\n:3\r\n");
    }
}
