//! [`Requests`]: the requests of one part of an append-only file, and where the last whole one ends.

use thiserror::Error;

use crate::resp::decode::{Decoder, Limits, ProtocolError};

/// Any argument that a server wrote is read: its `proto-max-bulk-len` may have been larger than it is now. A
/// longer length than this is a broken file.
pub const LIMITS: Limits = Limits { bulk_max: 1 << 40, authenticated: true };

/// Longest annotation, in bytes.
const ANNOTATION_MAX: usize = 1024;

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Run so many requests, which stand in [`Requests::decoder`].
    Run(usize),
    /// Drop so many bytes from the buffer's front: an annotation.
    Skip(usize),
    /// Read on: what is in the buffer is no whole request.
    More,
}

/// Where a file is wrong.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{what} at offset {offset}")]
pub struct PartError {
    /// Offset in the file of the request that cannot be read.
    pub offset: u64,
    /// What is wrong with it.
    pub what: WrongRequest,
}

/// What is wrong with a request of a file.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum WrongRequest {
    /// It does not begin with `*` and a number of words.
    #[error("no request begins here")]
    NoRequest,
    /// A line in it is none of RESP.
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
    /// A line that begins with `#` is too long.
    #[error("the annotation is too long")]
    LongAnnotation,
    /// EXEC without MULTI, or MULTI within MULTI.
    #[error("MULTI and EXEC do not match")]
    Group,
}

/// Reads the requests of one file, whose bytes come in pieces.
#[derive(Debug)]
pub struct Requests {
    decoder: Decoder,
    limits: Limits,
    /// Offset in the file of the buffer's first byte.
    offset: u64,
    /// Offset of the MULTI that has had no EXEC yet.
    group: Option<u64>,
    /// The last time noted by an annotation, in seconds of Unix time.
    time_s: Option<u64>,
}

impl Default for Requests {
    fn default() -> Self {
        Self { decoder: Decoder::new(), limits: LIMITS, offset: 0, group: None, time_s: None }
    }
}

impl Requests {
    /// A reader of a file whose requests begin at `offset`.
    pub fn new(offset: u64) -> Self {
        Self { offset, ..Self::default() }
    }

    /// Takes longer arguments than this, in bytes, for errors.
    pub fn set_bulk_max(&mut self, bytes: u64) {
        self.limits.bulk_max = i64::try_from(bytes).unwrap_or(i64::MAX);
    }

    /// Looks at the bytes of the buffer, which begins where [`consume`](Self::consume) or a skip left off and
    /// may have grown at its end.
    ///
    /// # Errors
    /// The next request cannot be read.
    pub fn step(&mut self, buffer: &[u8]) -> Result<Step, PartError> {
        let wrong = |what| PartError { offset: self.offset, what };
        match buffer.first() {
            None => return Ok(Step::More),
            Some(b'#') => return self.annotation(buffer),
            Some(_) => {}
        }
        let count = self.decoder.decode(buffer, self.limits);
        if !is_request(buffer) {
            return Err(wrong(WrongRequest::NoRequest));
        }
        let count = count.map_err(|error| wrong(error.into()))?;
        let mut start = 0;
        for index in 0..count {
            if !is_request(&buffer[start..]) {
                return Ok(Step::Run(index));
            }
            start += self.decoder.request_bytes(index);
        }
        Ok(if count == 0 { Step::More } else { Step::Run(count) })
    }

    fn annotation(&mut self, buffer: &[u8]) -> Result<Step, PartError> {
        // What was decoded behind the annotation was decoded as if this were a request.
        self.decoder = Decoder::new();
        let Some(end) = memchr::memchr(b'\n', &buffer[..buffer.len().min(ANNOTATION_MAX)]) else {
            let is_long = buffer.len() >= ANNOTATION_MAX;
            let error = PartError { offset: self.offset, what: WrongRequest::LongAnnotation };
            return if is_long { Err(error) } else { Ok(Step::More) };
        };
        let time = buffer[..end].strip_prefix(b"#TS:").and_then(|time| std::str::from_utf8(time).ok());
        self.time_s = time.and_then(|time| time.trim().parse().ok()).or(self.time_s);
        self.offset += end as u64 + 1;
        Ok(Step::Skip(end + 1))
    }

    /// The decoder that holds the requests of a step.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Forgets the first `count` requests, which have run. Returns the number of bytes that the caller has to
    /// drop from the buffer's front.
    ///
    /// # Errors
    /// One of them is an EXEC without its MULTI, or a second MULTI.
    pub fn consume(&mut self, buffer: &[u8], count: usize) -> Result<usize, PartError> {
        let mut offset = self.offset;
        for index in 0..count {
            if self.decoder.argument_count(index) == 1 {
                self.follow_group(buffer, index, offset)?;
            }
            offset += self.decoder.request_bytes(index) as u64;
        }
        let dropped = if count == 0 { 0 } else { self.decoder.consume(count) };
        self.offset += dropped as u64;
        Ok(dropped)
    }

    fn follow_group(&mut self, buffer: &[u8], index: usize, offset: u64) -> Result<(), PartError> {
        let mut words = Vec::new();
        self.decoder.arguments(buffer, index, &mut words);
        let is = |name: &[u8]| words[0].eq_ignore_ascii_case(name);
        let wrong = Err(PartError { offset, what: WrongRequest::Group });
        match self.group {
            None if is(b"MULTI") => self.group = Some(offset),
            Some(_) if is(b"MULTI") => return wrong,
            Some(_) if is(b"EXEC") => self.group = None,
            None if is(b"EXEC") => return wrong,
            _ => {}
        }
        Ok(())
    }

    /// How many of the first `count` requests are of a transaction that is open, or begins with the first one.
    pub fn grouped(&self, buffer: &[u8], count: usize) -> usize {
        let mut words = Vec::new();
        let mut names = |index, name: &[u8]| {
            words.clear();
            self.decoder.arguments(buffer, index, &mut words);
            words.len() == 1 && words[0].eq_ignore_ascii_case(name)
        };
        if self.group.is_none() && !names(0, b"MULTI") {
            return 0;
        }
        (0..count).find(|index| names(*index, b"EXEC")).map_or(count, |index| index + 1)
    }

    /// Offset of the buffer's first byte in the file: behind the last request that was consumed.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Offset up to which the file may be kept when nothing follows: behind the last request, or before the
    /// MULTI whose EXEC is missing.
    pub fn whole(&self) -> u64 {
        self.group.unwrap_or(self.offset)
    }

    /// The last time noted in the file, in seconds of Unix time.
    pub fn time_s(&self) -> Option<u64> {
        self.time_s
    }
}

/// Whether a request with at least one word may begin here. A lone `*` may be the beginning of one.
fn is_request(bytes: &[u8]) -> bool {
    match bytes {
        [b'*'] => true,
        [b'*', digit, ..] => (b'1'..=b'9').contains(digit),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(words: &[&str]) -> Vec<u8> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        bytes
    }

    fn file() -> Vec<u8> {
        [
            request(&["SELECT", "0"]),
            b"#TS:1700000000\r\n".to_vec(),
            request(&["SET", "key", "value\r\n*1"]),
            request(&["MULTI"]),
            request(&["RPUSH", "list", "1"]),
            b"#TS:1700000001\r\n".to_vec(),
            request(&["DEL", "key"]),
            request(&["EXEC"]),
            request(&["SET", "key", "2"]),
        ]
        .concat()
    }

    /// Reads bytes that come in pieces of `piece` bytes. Returns the number of requests, and where the file
    /// may be cut; or the error.
    fn read(bytes: &[u8], piece: usize) -> Result<(usize, u64, Option<u64>), PartError> {
        let (mut requests, mut buffer, mut count) = (Requests::new(0), Vec::new(), 0);
        for piece in bytes.chunks(piece) {
            buffer.extend_from_slice(piece);
            loop {
                let dropped = match requests.step(&buffer)? {
                    Step::Run(found) => {
                        count += found;
                        requests.consume(&buffer, found)?
                    }
                    Step::Skip(bytes) => bytes,
                    Step::More => break,
                };
                assert!(dropped > 0);
                buffer.drain(..dropped);
            }
        }
        assert_eq!(requests.offset() as usize, bytes.len() - buffer.len());
        Ok((count, requests.whole(), requests.time_s()))
    }

    #[test]
    fn requests_are_found_however_the_file_is_read() {
        let file = file();
        for piece in 1..=file.len() {
            assert_eq!(read(&file, piece), Ok((7, file.len() as u64, Some(1_700_000_001))), "by {piece}");
        }
    }

    #[test]
    fn a_torn_end_is_cut_behind_what_is_whole() {
        let file = file();
        let offset = |words: &[&str]| {
            let wanted = request(words);
            file.windows(wanted.len()).position(|window| window == wanted).unwrap()
        };
        let (multi, last) = (offset(&["MULTI"]), offset(&["SET", "key", "2"]));
        let mut whole = 0;
        for len in 0..file.len() {
            let (_, cut, _) = read(&file[..len], 7).unwrap();
            assert!(cut as usize <= len && cut >= whole, "what was whole stays whole");
            whole = cut;
            let expected = match len {
                len if len >= last => last,
                len if len >= multi => multi,
                _ => continue,
            };
            assert_eq!(cut as usize, expected, "{len} bytes");
        }
    }

    #[test]
    fn what_is_no_request_is_told_with_its_offset() {
        let first = request(&["SET", "a", "1"]);
        let at = first.len() as u64;
        for (bytes, what) in [
            (&b"SET a 2\r\n"[..], WrongRequest::NoRequest),
            (b"\r\n*1\r\n$4\r\nPING\r\n", WrongRequest::NoRequest),
            (b"*0\r\n*1\r\n$4\r\nPING\r\n", WrongRequest::NoRequest),
            (b"*-1\r\n", WrongRequest::NoRequest),
            (b"*1\r\n+4\r\nPING\r\n", WrongRequest::Protocol(ProtocolError::ExpectedDollar(b'+'))),
            (b"*1\r\n$4\r\nPINGPONG", WrongRequest::Protocol(ProtocolError::InvalidLineEnd)),
            (b"*1\r\n$4\r\nEXEC\r\n", WrongRequest::Group),
        ] {
            let file = [&first[..], bytes].concat();
            for piece in [1, 3, 1000] {
                assert_eq!(read(&file, piece), Err(PartError { offset: at, what }), "{bytes:?} by {piece}");
            }
        }
        let long = [&first[..], b"#", &[b'x'; 2000]].concat();
        let what = WrongRequest::LongAnnotation;
        assert_eq!(read(&long, 100), Err(PartError { offset: at, what }));
    }

    #[test]
    fn every_changed_byte_is_read_or_refused() {
        let file = file();
        for at in 0..file.len() {
            for byte in 0..=255 {
                let mut changed = file.clone();
                changed[at] = byte;
                if let Ok((_, whole, _)) = read(&changed, 1000) {
                    assert!(whole <= file.len() as u64);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_the_same_however_they_come(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'*'), Just(b'$'), Just(b'1'), Just(b'\r'), Just(b'\n'), Just(b'#'), any::<u8>()],
                0..200,
            ),
            piece in 1..50_usize,
        ) {
            prop_assert_eq!(read(&bytes, piece).is_ok(), read(&bytes, 1000).is_ok());
        }
    }
}
