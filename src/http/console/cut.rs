//! [`Cutter`]: long strings of replies are shortened as they come, so that a page of elements can be shown however long
//! one of them is, and never stands in memory here.

use memchr::memchr;

use super::reply::CUT;
use crate::primitives::number::parse_i64;

/// Bytes of a line that is no string's head; longer ones are no replies, which their reader finds.
const LINE_MAX: usize = 64 << 10;

/// Shortens bulk strings in bytes that come bit by bit. Before a string that was shortened stands a line with the
/// length it had: [`CUT`], the number, the end of a line.
#[derive(Debug)]
pub(super) struct Cutter {
    max_bytes: usize,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// Bytes of a string that are kept, and then those that are dropped.
    keep: usize,
    drop: usize,
}

impl Cutter {
    /// Shortens what is longer than so many bytes.
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes, line: Vec::new(), keep: 0, drop: 0 }
    }

    /// Takes the next bytes, and appends what is kept of them.
    pub fn take(&mut self, mut bytes: &[u8], kept: &mut Vec<u8>) {
        while !bytes.is_empty() {
            if self.keep > 0 {
                let (now, rest) = bytes.split_at(self.keep.min(bytes.len()));
                kept.extend_from_slice(now);
                self.keep -= now.len();
                bytes = rest;
                if self.keep == 0 && self.drop > 0 {
                    kept.extend_from_slice(b"\r\n");
                }
            } else if self.drop > 0 {
                let dropped = self.drop.min(bytes.len());
                self.drop -= dropped;
                bytes = &bytes[dropped..];
            } else {
                let end = memchr(b'\n', bytes).map_or(bytes.len(), |place| place + 1);
                let (now, rest) = bytes.split_at(end);
                self.line.extend_from_slice(now);
                bytes = rest;
                if now.ends_with(b"\n") || self.line.len() > LINE_MAX {
                    self.end_line(kept);
                }
            }
        }
    }

    fn end_line(&mut self, kept: &mut Vec<u8>) {
        let length = match self.line.as_slice() {
            [b'$' | b'=' | b'!', digits @ .., b'\r', b'\n'] => parse_i64(digits),
            _ => None,
        };
        // -1 is none.
        let length = length.and_then(|length| usize::try_from(length).ok());
        match length {
            Some(length) if length > self.max_bytes && self.line[0] == b'$' => {
                kept.push(CUT);
                kept.extend_from_slice(format!("{length}\r\n${}\r\n", self.max_bytes).as_bytes());
                (self.keep, self.drop) = (self.max_bytes, (length - self.max_bytes).saturating_add(2));
            }
            length => {
                kept.extend_from_slice(&self.line);
                self.keep = length.map_or(0, |length| length.saturating_add(2));
            }
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is kept, however the bytes come.
    fn cut(reply: &[u8]) -> String {
        let whole = |step: usize| {
            let (mut cutter, mut kept) = (Cutter::new(4), Vec::new());
            reply.chunks(step).for_each(|chunk| cutter.take(chunk, &mut kept));
            String::from_utf8(kept).expect("text")
        };
        let kept = whole(reply.len());
        (1..reply.len()).for_each(|step| assert_eq!(whole(step), kept, "{step} at once"));
        kept
    }

    #[test]
    fn long_strings_are_shortened_and_nothing_else() {
        for (reply, expected) in [
            ("$4\r\nabcd\r\n", "$4\r\nabcd\r\n"),
            ("$5\r\nabcde\r\n:1\r\n", "^5\r\n$4\r\nabcd\r\n:1\r\n"),
            (
                "*3\r\n$7\r\na\r\n$9\r\n\r\n$1\r\nb\r\n$-1\r\n",
                "*3\r\n^7\r\n$4\r\na\r\n$\r\n$1\r\nb\r\n$-1\r\n",
            ),
            ("$0\r\n\r\n+simple and long\r\n", "$0\r\n\r\n+simple and long\r\n"),
            ("=9\r\ntxt:abcde\r\n!7\r\nERR abc\r\n", "=9\r\ntxt:abcde\r\n!7\r\nERR abc\r\n"),
            ("%1\r\n$8\r\n12345678\r\n_\r\n", "%1\r\n^8\r\n$4\r\n1234\r\n_\r\n"),
        ] {
            assert_eq!(cut(reply.as_bytes()), expected, "{reply:?}");
        }
    }
}
