//! Replies in RESP3, found in bytes as they come and written as JSON that keeps their types.
//!
//! | RESP3 | JSON |
//! |---|---|
//! | bulk string | a string; `{"base64": …}` where it is no UTF-8 |
//! | simple string, error | `{"simple": …}`, `{"error": …}` |
//! | integer | a number; `{"int": "…"}` beyond what a double holds |
//! | double, big number | `{"double": "…"}`, `{"big": "…"}` |
//! | null, boolean | `null`, `true` or `false` |
//! | array, set, push | an array, `{"set": […]}`, `{"push": […]}` |
//! | map | `{"map": [[key, value], …]}`: keys may be of any type, and have an order |
//! | verbatim string | `{"text": …}` |
//!
//! A string that was shortened on its way ([`cut`](super::cut)) is `{"cut": …, "bytes": n}`, with what there is of it
//! and the length that it had.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memchr;

use crate::primitives::number::parse_i64;

/// How deeply replies may be nested that are written as JSON.
const DEPTH_MAX: usize = 64;

/// How deeply replies may be nested.
const NESTING_MAX: usize = 10_000;

/// Bytes of a line in a reply that is no string.
const LINE_MAX: usize = 64 << 10;

/// The largest whole number of which each up to it is a double.
const EXACT_MAX: u64 = 1 << 53;

/// What a line with the length of a string begins with that is shortened and follows; RESP has no such type.
pub(super) const CUT: u8 = b'^';

/// What came is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Finds the end of a reply whose bytes come bit by bit. It goes on where it left off.
#[derive(Debug, Default)]
pub(super) struct Finder {
    at: usize,
    /// Elements that are still to come, of each array around the place.
    open: Vec<usize>,
}

impl Finder {
    /// Looks for the end of the reply that `bytes` begin with: `None` while it has not come. Begins anew behind it.
    ///
    /// # Errors
    /// It is no reply.
    pub fn find(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        loop {
            let Some(head) = Head::read(&bytes[self.at..])? else { return Ok(None) };
            let size = head.size.saturating_add(head.text.unwrap_or(0));
            if bytes.len() - self.at < size {
                return Ok(None);
            }
            self.at += size;
            // An attribute stands before what it is about, and is one with that; so does what a string was.
            let elements = head.elements + usize::from(matches!(head.kind, b'|' | CUT));
            if elements > 0 {
                if self.open.len() >= NESTING_MAX {
                    return Err(Malformed);
                }
                self.open.push(elements);
                continue;
            }
            while let Some(left) = self.open.last_mut() {
                *left -= 1;
                if *left > 0 {
                    break;
                }
                self.open.pop();
            }
            if self.open.is_empty() {
                return Ok(Some(std::mem::take(&mut self.at)));
            }
        }
    }
}

/// The first line of a reply or of a part of it.
struct Head<'b> {
    kind: u8,
    line: &'b [u8],
    /// Bytes of the line with its end.
    size: usize,
    /// Bytes of the text that follows, with their end.
    text: Option<usize>,
    /// Parts that follow.
    elements: usize,
    is_null: bool,
}

impl<'b> Head<'b> {
    fn read(bytes: &'b [u8]) -> Result<Option<Self>, Malformed> {
        let Some(end) = memchr(b'\n', bytes) else {
            return if bytes.len() > LINE_MAX { Err(Malformed) } else { Ok(None) };
        };
        let [kind, line @ .., b'\r'] = &bytes[..end] else { return Err(Malformed) };
        let mut head = Self { kind: *kind, line, size: end + 1, text: None, elements: 0, is_null: false };
        let factor = match *kind {
            b'$' | b'=' | b'!' | b'*' | b'~' | b'>' => 1,
            b'%' | b'|' => 2,
            b'+' | b'-' | b':' | b',' | b'(' | b'#' | CUT => return Ok(Some(head)),
            b'_' => {
                head.is_null = true;
                return Ok(Some(head));
            }
            _ => return Err(Malformed),
        };
        let count = parse_i64(line).ok_or(Malformed)?;
        match usize::try_from(count) {
            Err(_) => head.is_null = true,
            Ok(count) if matches!(kind, b'$' | b'=' | b'!') => {
                head.text = Some(count.checked_add(2).ok_or(Malformed)?);
            }
            Ok(count) => head.elements = count.checked_mul(factor).ok_or(Malformed)?,
        }
        Ok(Some(head))
    }
}

/// Whether a reply is a push message.
pub(super) fn is_push(reply: &[u8]) -> bool {
    reply.first() == Some(&b'>')
}

/// Writes a whole reply as JSON.
pub(super) fn write(reply: &[u8], json: &mut String) {
    let mut rest = reply;
    let start = json.len();
    if write_part(&mut rest, json, 0).is_none() {
        json.truncate(start);
        json.push_str("{\"error\":\"ERR the reply is nested too deeply for the console\"}");
    }
}

fn write_part(rest: &mut &[u8], json: &mut String, depth: usize) -> Option<()> {
    let head = Head::read(rest).ok().flatten()?;
    *rest = &rest[head.size..];
    if depth > DEPTH_MAX {
        return None;
    }
    let mut text: &[u8] = head.line;
    if let Some(size) = head.text {
        text = rest.get(..size - 2)?;
        *rest = &rest[size..];
    }
    if head.is_null {
        json.push_str("null");
        return Some(());
    }
    let mut wrapped = |name: &str, text: &[u8]| {
        json.push_str("{\"");
        json.push_str(name);
        json.push_str("\":");
        quote(&String::from_utf8_lossy(text), json);
        json.push('}');
    };
    match head.kind {
        b'$' => string(text, json),
        b'=' => wrapped("text", text.get(4..)?),
        b'+' => wrapped("simple", text),
        b'-' | b'!' => wrapped("error", text),
        b',' => wrapped("double", text),
        b'(' => wrapped("big", text),
        b':' if parse_i64(text).is_some_and(|number| number.unsigned_abs() <= EXACT_MAX) => {
            json.push_str(&String::from_utf8_lossy(text));
        }
        b':' => wrapped("int", text),
        b'#' => json.push_str(if text == b"t" { "true" } else { "false" }),
        b'|' => {
            for _ in 0..head.elements {
                write_part(rest, &mut String::new(), depth + 1)?;
            }
            write_part(rest, json, depth)?;
        }
        b'%' => pairs(rest, json, head.elements / 2, depth)?,
        CUT => shortened(rest, json, text)?,
        kind => {
            let wrapper = match kind {
                b'~' => "{\"set\":",
                b'>' => "{\"push\":",
                _ => "",
            };
            json.push_str(wrapper);
            elements(rest, json, head.elements, depth)?;
            json.push_str(if wrapper.is_empty() { "" } else { "}" });
        }
    }
    Some(())
}

fn elements(rest: &mut &[u8], json: &mut String, count: usize, depth: usize) -> Option<()> {
    json.push('[');
    for place in 0..count {
        if place > 0 {
            json.push(',');
        }
        write_part(rest, json, depth + 1)?;
    }
    json.push(']');
    Some(())
}

fn pairs(rest: &mut &[u8], json: &mut String, count: usize, depth: usize) -> Option<()> {
    json.push_str("{\"map\":[");
    for place in 0..count {
        if place > 0 {
            json.push(',');
        }
        elements(rest, json, 2, depth)?;
    }
    json.push_str("]}");
    Some(())
}

/// Writes a string that is a part of one of so many bytes. A letter that was cut in two is left out.
fn shortened(rest: &mut &[u8], json: &mut String, bytes: &[u8]) -> Option<()> {
    let head = Head::read(rest).ok().flatten()?;
    let end = head.size + head.text?;
    let mut text = rest.get(head.size..end - 2)?;
    *rest = &rest[end..];
    if let Err(error) = std::str::from_utf8(text)
        && error.error_len().is_none()
    {
        text = &text[..error.valid_up_to()];
    }
    json.push_str("{\"cut\":");
    string(text, json);
    json.push_str(",\"bytes\":");
    json.push_str(&String::from_utf8_lossy(bytes));
    json.push('}');
    Some(())
}

/// Writes a text that may be any bytes.
fn string(text: &[u8], json: &mut String) {
    match std::str::from_utf8(text) {
        Ok(text) => quote(text, json),
        Err(_) => {
            json.push_str("{\"base64\":\"");
            STANDARD.encode_string(text, json);
            json.push_str("\"}");
        }
    }
}

/// Writes a string of JSON.
pub(super) fn quote(text: &str, json: &mut String) {
    // A string can always be written.
    json.push_str(&serde_json::to_string(text).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(reply: &[u8]) -> String {
        let mut finder = Finder::default();
        // However its bytes come.
        for end in 0..reply.len() {
            assert_eq!(finder.find(&reply[..end]), Ok(None), "{end}");
        }
        assert_eq!(finder.find(reply), Ok(Some(reply.len())));
        let mut json = String::new();
        write(reply, &mut json);
        json
    }

    #[test]
    fn each_type_is_kept() {
        for (reply, expected) in [
            ("+OK\r\n", r#"{"simple":"OK"}"#),
            ("-ERR no\r\n", r#"{"error":"ERR no"}"#),
            ("!4\r\nE \"x\r\n", r#"{"error":"E \"x"}"#),
            (":-12\r\n", "-12"),
            (":9223372036854775807\r\n", r#"{"int":"9223372036854775807"}"#),
            ("$3\r\na\r\n\r\n", r#""a\r\n""#),
            ("$0\r\n\r\n", r#""""#),
            ("$-1\r\n", "null"),
            ("*-1\r\n", "null"),
            ("_\r\n", "null"),
            (",1.5\r\n", r#"{"double":"1.5"}"#),
            ("(12345678901234567890\r\n", r#"{"big":"12345678901234567890"}"#),
            ("#t\r\n", "true"),
            ("=7\r\ntxt:abc\r\n", r#"{"text":"abc"}"#),
            ("*0\r\n", "[]"),
            ("*2\r\n:1\r\n*1\r\n$1\r\nx\r\n", r#"[1,["x"]]"#),
            ("~1\r\n$1\r\nx\r\n", r#"{"set":["x"]}"#),
            (">2\r\n$1\r\nm\r\n:1\r\n", r#"{"push":["m",1]}"#),
            ("%2\r\n+a\r\n:1\r\n:2\r\n%0\r\n", r#"{"map":[[{"simple":"a"},1],[2,{"map":[]}]]}"#),
            ("|1\r\n+a\r\n+b\r\n:7\r\n", "7"),
            ("*2\r\n^9\r\n$2\r\nab\r\n:1\r\n", r#"[{"cut":"ab","bytes":9},1]"#),
            ("^9\r\n$3\r\naä\r\n", r#"{"cut":"aä","bytes":9}"#),
        ] {
            assert_eq!(json(reply.as_bytes()), expected, "{reply:?}");
        }
        assert_eq!(json(b"$2\r\n\xff\x00\r\n"), r#"{"base64":"/wA="}"#);
        assert_eq!(json(b"^9\r\n$2\r\na\xc3\r\n"), r#"{"cut":"a","bytes":9}"#);
        assert_eq!(json(b"^9\r\n$2\r\n\xff\x00\r\n"), r#"{"cut":{"base64":"/wA="},"bytes":9}"#);
    }

    #[test]
    fn what_is_deeper_than_can_be_shown_is_said_so() {
        let reply = ["*1\r\n".repeat(100).as_str(), ":1\r\n"].concat();
        assert!(json(reply.as_bytes()).contains("nested too deeply"));
    }

    #[test]
    fn what_is_no_reply_is_told() {
        for bytes in ["?\r\n", "$x\r\n", "\n", "+a\n", "$99999999999999999999\r\n"] {
            assert_eq!(Finder::default().find(bytes.as_bytes()), Err(Malformed), "{bytes:?}");
        }
    }
}
