//! Decodes requests: arrays of bulk strings, and inline commands.
//!
//! The decoder keeps offsets into the caller's buffer, copies nothing, and remembers its state in a request
//! that has not arrived whole: each byte is looked at once, however small the pieces are.

use thiserror::Error;

/// Most requests of a batch. More would not help the prefetch and make one client's turn longer.
pub const BATCH_MAX: usize = 32;

/// Longest inline request, and longest line with a length, in bytes (Redis's figure).
const INLINE_MAX: usize = 64 * 1024;

/// Limits before authentication: number of arguments, and bytes of one (Redis's figures).
const UNAUTHENTICATED_ARGUMENTS_MAX: i64 = 10;
const UNAUTHENTICATED_BULK_MAX: i64 = 16384;

/// Most arguments of a request that is decoded in one go. If it arrives in pieces, it is decoded again from
/// its start with each piece.
const WHOLE_ARGUMENTS_MAX: usize = 64;

/// Bit in the start of an argument that stands in the decoder's own buffer (an unquoted inline argument).
const IN_SCRATCH: usize = 1 << 63;

/// What a client may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one argument (`proto-max-bulk-len`).
    pub bulk_max: i64,
    /// Whether the client has authenticated. Until then the limits are small.
    pub authenticated: bool,
}

/// A violation of the protocol. The connection is closed after the error reply; the texts are Redis's.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ProtocolError {
    #[error("Protocol error: invalid multibulk length")]
    InvalidMultibulkLength,
    #[error("Protocol error: too big mbulk count string")]
    MultibulkLineTooBig,
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedMultibulkLength,
    #[error("Protocol error: expected '$', got '{}'", display_byte(*.0))]
    ExpectedDollar(u8),
    #[error("Protocol error: invalid bulk length")]
    InvalidBulkLength,
    #[error("Protocol error: too big bulk count string")]
    BulkLineTooBig,
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulkLength,
    #[error("Protocol error: too big inline request")]
    InlineTooBig,
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    #[error("Protocol error: invalid CRLF in request")]
    InvalidLineEnd,
}

/// A byte for an error line. A line break would end the line early and start a reply of the client's
/// choosing.
fn display_byte(byte: u8) -> char {
    if byte == b'\r' || byte == b'\n' { ' ' } else { char::from(byte) }
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    len: usize,
}

/// A whole request: the range of its arguments in `spans`, and the offset where it ends in the buffer.
#[derive(Clone, Copy, Debug)]
struct Complete {
    first: usize,
    count: usize,
    end: usize,
}

/// State inside a request that has not arrived whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a request.
    Start,
    /// In an array: arguments still to come.
    Arguments { left: usize },
    /// In an argument of known length.
    Bulk { left: usize, len: usize },
}

/// Reads a line `?123\r\n` of kind `?` with at most three digits at the start of `bytes`. Returns the number
/// and the length of the line.
#[inline]
fn short_line(kind: u8, bytes: &[u8]) -> Option<(usize, usize)> {
    let &[first, a, b, c] = bytes.first_chunk()?;
    let digit = |byte: u8| usize::from(byte.wrapping_sub(b'0'));
    let mut value = digit(a);
    if first != kind || value > 9 {
        return None;
    }
    if b == b'\r' {
        return (c == b'\n').then_some((value, 4));
    }
    if value == 0 || digit(b) > 9 {
        return None;
    }
    value = value * 10 + digit(b);
    if c == b'\r' {
        return (bytes.get(4) == Some(&b'\n')).then_some((value, 5));
    }
    if digit(c) > 9 || !bytes[4..].starts_with(b"\r\n") {
        return None;
    }
    Some((value * 10 + digit(c), 6))
}

/// The decoder of one connection: finds whole requests in its read buffer.
#[derive(Debug)]
pub struct Decoder {
    spans: Vec<Span>,
    complete: Vec<Complete>,
    scratch: Vec<u8>,
    state: State,
    /// Offset of the next byte to look at.
    position: usize,
    /// Index in `spans` of the unfinished request's first argument.
    first: usize,
    error: Option<ProtocolError>,
}

impl Decoder {
    /// A decoder at the start of a connection.
    pub fn new() -> Self {
        Self {
            spans: Vec::new(),
            complete: Vec::new(),
            scratch: Vec::new(),
            state: State::Start,
            position: 0,
            first: 0,
            error: None,
        }
    }

    /// Decodes on in `buffer`, which starts where [`consume`](Self::consume) left off and may have grown at
    /// its end, until the batch is full or bytes are missing. Returns the number of whole requests.
    ///
    /// # Errors
    /// A request breaks the protocol. Told only when all requests before it were consumed.
    pub fn decode(&mut self, buffer: &[u8], limits: Limits) -> Result<usize, ProtocolError> {
        // One by one until AUTH has run: what follows it has the limits of the new user.
        let most = if limits.authenticated { BATCH_MAX } else { 1 };
        while self.error.is_none() && self.complete.len() < most {
            if self.state == State::Start && self.whole(buffer, limits) {
                continue;
            }
            match self.step(buffer, limits) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => self.error = Some(error),
            }
        }
        match self.error {
            Some(error) if self.complete.is_empty() => Err(error),
            _ => Ok(self.complete.len()),
        }
    }

    /// Appends the arguments of whole request `index` to `arguments`, as slices of `buffer`.
    #[inline]
    pub fn arguments<'a>(&'a self, buffer: &'a [u8], index: usize, arguments: &mut Vec<&'a [u8]>) {
        let request = self.complete[index];
        for span in &self.spans[request.first..request.first + request.count] {
            let bytes = if span.start & IN_SCRATCH == 0 {
                &buffer[span.start..span.start + span.len]
            } else {
                let start = span.start & !IN_SCRATCH;
                &self.scratch[start..start + span.len]
            };
            arguments.push(bytes);
        }
    }

    /// Number of arguments of whole request `index`.
    pub fn argument_count(&self, index: usize) -> usize {
        self.complete[index].count
    }

    /// Bytes of whole request `index` in the buffer.
    pub fn request_bytes(&self, index: usize) -> usize {
        let start = if index == 0 { 0 } else { self.complete[index - 1].end };
        self.complete[index].end - start
    }

    /// Forgets the first `count` whole requests. Returns the number of bytes that the caller has to drop from
    /// the buffer's front.
    pub fn consume(&mut self, count: usize) -> usize {
        let Some(last) = count.checked_sub(1).map(|last| self.complete[last]) else {
            // No request was consumed, but empty lines before an unfinished one may be dropped.
            return if self.complete.is_empty() && self.state == State::Start {
                self.drop_bytes(self.position)
            } else {
                0
            };
        };
        let spans = last.first + last.count;
        self.spans.drain(..spans);
        self.complete.drain(..count);
        for request in &mut self.complete {
            request.first -= spans;
            request.end -= last.end;
        }
        self.first -= spans;
        self.drop_bytes(last.end)
    }

    fn drop_bytes(&mut self, bytes: usize) -> usize {
        for span in &mut self.spans {
            if span.start & IN_SCRATCH == 0 {
                span.start -= bytes;
            }
        }
        self.position -= bytes;
        if self.spans.is_empty() {
            self.scratch.clear();
            // Frees the room that a request with very many arguments needed.
            self.spans.shrink_to(1024);
            self.scratch.shrink_to(INLINE_MAX);
        }
        bytes
    }

    /// Bytes that the arriving argument still needs, for reserving room; 0 when unknown.
    pub fn missing_bytes(&self, buffer_len: usize) -> usize {
        match self.state {
            State::Bulk { len, .. } => (self.position + len + 2).saturating_sub(buffer_len),
            _ => 0,
        }
    }

    /// Decodes a request that has arrived whole and has short numbers, as nearly all do, in one go. Returns
    /// whether it did.
    #[inline]
    fn whole(&mut self, buffer: &[u8], limits: Limits) -> bool {
        let Some((count, line)) = short_line(b'*', &buffer[self.position..]) else { return false };
        let too_many = !limits.authenticated && count as i64 > UNAUTHENTICATED_ARGUMENTS_MAX;
        if count == 0 || count > WHOLE_ARGUMENTS_MAX || too_many {
            return false;
        }
        let mut position = self.position + line;
        for _ in 0..count {
            let argument = buffer.get(position..).and_then(|rest| short_line(b'$', rest));
            let Some((len, line)) = argument else { break };
            let start = position + line;
            position = start + len + 2;
            if buffer.get(start + len..position) != Some(b"\r\n") || len as i64 > limits.bulk_max {
                break;
            }
            self.spans.push(Span { start, len });
        }
        if self.spans.len() - self.first < count {
            self.spans.truncate(self.first);
            return false;
        }
        self.position = position;
        self.finish();
        true
    }

    /// Decodes one request, or up to the end of the bytes. Returns whether to go on.
    fn step(&mut self, buffer: &[u8], limits: Limits) -> Result<bool, ProtocolError> {
        if self.state == State::Start {
            match buffer.get(self.position) {
                None => return Ok(false),
                Some(b'*') => {
                    let Some(count) = self.length_line(
                        buffer,
                        ProtocolError::MultibulkLineTooBig,
                        ProtocolError::InvalidMultibulkLength,
                    )?
                    else {
                        return Ok(false);
                    };
                    if count > i64::from(i32::MAX) {
                        return Err(ProtocolError::InvalidMultibulkLength);
                    }
                    if !limits.authenticated && count > UNAUTHENTICATED_ARGUMENTS_MAX {
                        return Err(ProtocolError::UnauthenticatedMultibulkLength);
                    }
                    if count <= 0 {
                        return Ok(true);
                    }
                    self.state = State::Arguments { left: count as usize };
                }
                Some(_) => return self.inline(buffer),
            }
        }
        loop {
            match self.state {
                State::Arguments { left: 0 } => {
                    self.finish();
                    return Ok(true);
                }
                State::Arguments { left } => {
                    match buffer.get(self.position) {
                        None => return Ok(false),
                        Some(b'$') => {}
                        Some(&other) => return Err(ProtocolError::ExpectedDollar(other)),
                    }
                    let Some(len) = self.length_line(
                        buffer,
                        ProtocolError::BulkLineTooBig,
                        ProtocolError::InvalidBulkLength,
                    )?
                    else {
                        return Ok(false);
                    };
                    if len < 0 || len > limits.bulk_max {
                        return Err(ProtocolError::InvalidBulkLength);
                    }
                    if !limits.authenticated && len > UNAUTHENTICATED_BULK_MAX {
                        return Err(ProtocolError::UnauthenticatedBulkLength);
                    }
                    self.state = State::Bulk { left, len: len as usize };
                }
                State::Bulk { left, len } => {
                    if buffer.len() < self.position + len + 2 {
                        return Ok(false);
                    }
                    if buffer[self.position + len..][..2] != *b"\r\n" {
                        return Err(ProtocolError::InvalidLineEnd);
                    }
                    self.spans.push(Span { start: self.position, len });
                    self.position += len + 2;
                    self.state = State::Arguments { left: left - 1 };
                }
                State::Start => unreachable!("left above"),
            }
        }
    }

    fn finish(&mut self) {
        self.complete.push(Complete {
            first: self.first,
            count: self.spans.len() - self.first,
            end: self.position,
        });
        self.first = self.spans.len();
        self.state = State::Start;
    }

    /// Reads the number of a line `?123\r\n` at the position, which moves behind it. `None` when the line is
    /// not whole.
    #[inline]
    fn length_line(
        &mut self,
        buffer: &[u8],
        too_long: ProtocolError,
        invalid: ProtocolError,
    ) -> Result<Option<i64>, ProtocolError> {
        let line = &buffer[self.position + 1..];
        // Nearly every length has one to three digits: reading them here is faster than a search for the
        // line's end.
        let (mut value, mut index) = (0i64, 0);
        while index < 6 && index < line.len() && line[index].is_ascii_digit() {
            value = value * 10 + i64::from(line[index] - b'0');
            index += 1;
        }
        if index > 0 && line[index..].starts_with(b"\r\n") && (line[0] != b'0' || index == 1) {
            self.position += index + 3;
            return Ok(Some(value));
        }
        let window = &line[..line.len().min(INLINE_MAX + 1)];
        let Some(end) = memchr::memchr(b'\r', window) else {
            return if line.len() > INLINE_MAX { Err(too_long) } else { Ok(None) };
        };
        match line.get(end + 1) {
            None => return Ok(None),
            Some(b'\n') => {}
            Some(_) => return Err(ProtocolError::InvalidLineEnd),
        }
        let value = crate::primitives::number::parse_i64(&line[..end]).ok_or(invalid)?;
        self.position += end + 3;
        Ok(Some(value))
    }

    fn inline(&mut self, buffer: &[u8]) -> Result<bool, ProtocolError> {
        let rest = &buffer[self.position..];
        let Some(end) = memchr::memchr(b'\n', rest) else {
            return if rest.len() > INLINE_MAX { Err(ProtocolError::InlineTooBig) } else { Ok(false) };
        };
        if end > INLINE_MAX {
            return Err(ProtocolError::InlineTooBig);
        }
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        let base = self.scratch.len();
        let spans_before = self.spans.len();
        let scratch = &mut self.scratch;
        let spans = &mut self.spans;
        let whole = split_words(line, |word| {
            spans.push(Span { start: scratch.len() | IN_SCRATCH, len: word.len() });
            scratch.extend_from_slice(word);
        });
        if !whole {
            self.spans.truncate(spans_before);
            self.scratch.truncate(base);
            return Err(ProtocolError::UnbalancedQuotes);
        }
        self.position += end + 1;
        if self.spans.len() > self.first {
            self.finish();
        }
        Ok(true)
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Splits a line at white space. "Double quotes" know the escapes \n \r \t \b \a \xHH and \-anything, 'single
/// quotes' only \'. As in Valkey 9, a quote may begin and end within a word. Returns false when a quote does
/// not end.
pub fn split_words(line: &[u8], mut word_found: impl FnMut(&[u8])) -> bool {
    let mut word = Vec::new();
    let mut at = 0;
    loop {
        while at < line.len() && line[at].is_ascii_whitespace() {
            at += 1;
        }
        if at >= line.len() {
            return true;
        }
        word.clear();
        while at < line.len() && !line[at].is_ascii_whitespace() {
            match line[at] {
                quote @ (b'"' | b'\'') => {
                    let Some(next) = quoted(line, at + 1, quote, &mut word) else { return false };
                    at = next;
                }
                byte => {
                    word.push(byte);
                    at += 1;
                }
            }
        }
        word_found(&word);
    }
}

/// Reads up to the closing quote. Returns the position behind it.
fn quoted(line: &[u8], mut at: usize, quote: u8, word: &mut Vec<u8>) -> Option<usize> {
    loop {
        match (*line.get(at)?, line.get(at + 1).copied()) {
            (byte, _) if byte == quote => return Some(at + 1),
            (b'\\', Some(b'\'')) if quote == b'\'' => {
                word.push(b'\'');
                at += 2;
            }
            (b'\\', Some(escaped)) if quote == b'"' => {
                let hex = |index: usize| line.get(index).and_then(|byte| char::from(*byte).to_digit(16));
                if let (b'x', Some(high), Some(low)) = (escaped, hex(at + 2), hex(at + 3)) {
                    word.push((high * 16 + low) as u8);
                    at += 4;
                    continue;
                }
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => other,
                });
                at += 2;
            }
            (byte, _) => {
                word.push(byte);
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { bulk_max: 512 << 20, authenticated: true };

    /// Feeds `input` in pieces cut at `cuts`, executing all that is whole after each; answers requests, or
    /// the error.
    fn decode_in_pieces(input: &[u8], cuts: &[usize]) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>) {
        let mut decoder = Decoder::new();
        let (mut buffer, mut requests) = (Vec::new(), Vec::new());
        let mut start = 0;
        for end in cuts.iter().copied().chain([input.len()]) {
            let end = end.clamp(start, input.len());
            buffer.extend_from_slice(&input[start..end]);
            start = end;
            loop {
                let count = match decoder.decode(&buffer, LIMITS) {
                    Ok(count) => count,
                    Err(error) => return (requests, Some(error)),
                };
                for index in 0..count {
                    let mut arguments = Vec::new();
                    decoder.arguments(&buffer, index, &mut arguments);
                    requests.push(arguments.into_iter().map(<[u8]>::to_vec).collect());
                }
                let dropped = decoder.consume(count);
                buffer.drain(..dropped);
                if count == 0 {
                    break;
                }
            }
        }
        (requests, None)
    }

    fn all(input: &[u8]) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>) {
        decode_in_pieces(input, &[])
    }

    #[test]
    fn split_at_every_byte_gives_the_same_requests() {
        let input = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n\r\nPING \"a\\x41 b\"\r\n*0\r\n*-1\r\n*3\r\n$3\r\nSET\r\n$0\r\n\r\n$12\r\nhello\r\nworld\r\n";
        let whole = all(input);
        assert_eq!(whole.1, None);
        assert_eq!(whole.0.len(), 3);
        assert_eq!(whole.0[1], [b"PING".to_vec(), b"aA b".to_vec()]);
        assert_eq!(whole.0[2], [b"SET".to_vec(), b"".to_vec(), b"hello\r\nworld".to_vec()]);
        for cut in 0..input.len() {
            assert_eq!(decode_in_pieces(input, &[cut]), whole, "cut at {cut}");
        }
        let every: Vec<usize> = (0..input.len()).collect();
        assert_eq!(decode_in_pieces(input, &every), whole);
    }

    #[test]
    fn broken_requests_have_redis_texts() {
        let text = |input: &[u8]| all(input).1.unwrap().to_string();
        assert_eq!(text(b"*x\r\n"), "Protocol error: invalid multibulk length");
        assert_eq!(text(b"*01\r\n"), "Protocol error: invalid multibulk length");
        assert_eq!(text(b"*3000000000\r\n"), "Protocol error: invalid multibulk length");
        assert_eq!(text(b"*1\r\nfoo\r\n"), "Protocol error: expected '$', got 'f'");
        assert_eq!(text(b"*1\r\n$-1\r\n"), "Protocol error: invalid bulk length");
        assert_eq!(text(b"*1\r\n$2000000000\r\n"), "Protocol error: invalid bulk length");
        assert_eq!(text(b"*1\r\n$blabla\r\n"), "Protocol error: invalid bulk length");
        assert_eq!(text(b"set \"x\r\n"), "Protocol error: unbalanced quotes in request");
        assert_eq!(text(&vec![b'a'; INLINE_MAX + 2]), "Protocol error: too big inline request");
        let mut long = vec![b'*'];
        long.extend(vec![b'1'; INLINE_MAX + 2]);
        assert_eq!(text(&long), "Protocol error: too big mbulk count string");
        let mut long = b"*1\r\n$".to_vec();
        long.extend(vec![b'1'; INLINE_MAX + 2]);
        assert_eq!(text(&long), "Protocol error: too big bulk count string");
    }

    #[test]
    fn requests_before_a_broken_one_are_handed_out() {
        let (requests, error) = all(b"PING\r\n*1\r\n!");
        assert_eq!(requests.len(), 1);
        assert_eq!(error, Some(ProtocolError::ExpectedDollar(b'!')));
    }

    #[test]
    fn strangers_may_send_little() {
        let limits = Limits { authenticated: false, ..LIMITS };
        assert_eq!(
            Decoder::new().decode(b"*11\r\n", limits),
            Err(ProtocolError::UnauthenticatedMultibulkLength)
        );
        assert_eq!(
            Decoder::new().decode(b"*1\r\n$16385\r\n", limits),
            Err(ProtocolError::UnauthenticatedBulkLength)
        );
    }

    proptest! {
        #[test]
        fn any_request_survives_any_cuts(
            requests in prop::collection::vec(
                prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6),
                0..40,
            ),
            cuts in prop::collection::vec(0usize..4000, 0..12),
        ) {
            let mut input = Vec::new();
            for request in &requests {
                input.extend(format!("*{}\r\n", request.len()).bytes());
                for argument in request {
                    input.extend(format!("${}\r\n", argument.len()).bytes());
                    input.extend(argument);
                    input.extend(b"\r\n");
                }
            }
            let mut cuts = cuts;
            cuts.sort_unstable();
            prop_assert_eq!(decode_in_pieces(&input, &cuts), (requests, None));
        }

        #[test]
        fn any_bytes_are_survived(input: Vec<u8>, cuts in prop::collection::vec(0usize..200, 0..6)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            // The cuts decide when requests are handed out, never which.
            prop_assert_eq!(decode_in_pieces(&input, &cuts), all(&input));
        }
    }
}
