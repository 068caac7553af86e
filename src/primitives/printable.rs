//! Bytes as text that can stand in a line.

/// The bytes as text: what is no printable character of ASCII is written as `\n`, `\r`, `\t` or `\x1f`, a backslash
/// twice; quotes stay as they are.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'"' | b'\'' => text.push(char::from(byte)),
            _ => text.extend(byte.escape_ascii().map(char::from)),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_printed_is_escaped() {
        assert_eq!(printable(b"a 'b' \"c\"\r\n\\\xff\x00"), "a 'b' \"c\"\\r\\n\\\\\\xff\\x00");
    }
}
