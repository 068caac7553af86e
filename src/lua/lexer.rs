//! Lua's tokens, as far as reading a script for its keys needs them.

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A name or keyword.
    Name(&'a [u8]),
    /// A number as written.
    Number(&'a [u8]),
    /// A string's text, its simple escapes resolved.
    Text(Vec<u8>),
    /// `...`
    Dots,
    /// Any other character.
    Symbol(u8),
}

/// The tokens of a source; `None` if a string or comment does not end, or an escape is one that is not
/// resolved here.
pub fn tokens(source: &[u8]) -> Option<Vec<Token<'_>>> {
    let mut all = Vec::new();
    read(source, |token, _| all.push(token))?;
    Some(all)
}

/// The tokens of a source, each with the place of its first byte. As [`tokens`].
pub fn placed_tokens(source: &[u8]) -> Option<Vec<(Token<'_>, usize)>> {
    let mut all = Vec::new();
    read(source, |token, at| all.push((token, at)))?;
    Some(all)
}

fn read<'a>(source: &'a [u8], mut found: impl FnMut(Token<'a>, usize)) -> Option<()> {
    let mut at = 0;
    while let Some(&byte) = source.get(at) {
        match byte {
            b'-' if source.get(at + 1) == Some(&b'-') => at = comment_end(source, at + 2)?,
            b'"' | b'\'' => {
                let (text, end) = quoted(source, at)?;
                found(Token::Text(text), at);
                at = end;
            }
            b'[' if long_bracket(source, at).is_some() => {
                let (text, end) = long_text(source, at)?;
                found(Token::Text(text.to_vec()), at);
                at = end;
            }
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                let end = end_of(source, at, |byte| byte == b'_' || byte.is_ascii_alphanumeric());
                found(Token::Name(&source[at..end]), at);
                at = end;
            }
            b'0'..=b'9' => {
                let end = end_of(source, at, |byte| byte == b'.' || byte.is_ascii_alphanumeric());
                found(Token::Number(&source[at..end]), at);
                at = end;
            }
            b'.' if source[at..].starts_with(b"...") => {
                found(Token::Dots, at);
                at += 3;
            }
            byte if byte.is_ascii_whitespace() => at += 1,
            byte => {
                found(Token::Symbol(byte), at);
                at += 1;
            }
        }
    }
    Some(())
}

fn end_of(source: &[u8], at: usize, belongs: impl Fn(u8) -> bool) -> usize {
    source[at..].iter().position(|byte| !belongs(*byte)).map_or(source.len(), |length| at + length)
}

fn comment_end(source: &[u8], at: usize) -> Option<usize> {
    if source.get(at) == Some(&b'[') && long_bracket(source, at).is_some() {
        return long_text(source, at).map(|(_, end)| end);
    }
    Some(memchr::memchr(b'\n', &source[at..]).map_or(source.len(), |line| at + line))
}

/// The level of a long bracket that opens at `at`.
fn long_bracket(source: &[u8], at: usize) -> Option<usize> {
    let end = end_of(source, at + 1, |byte| byte == b'=');
    (source.get(end) == Some(&b'[')).then_some(end - at - 1)
}

/// The text of a long bracket and where it ends.
fn long_text(source: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let level = long_bracket(source, at)?;
    let start = at + level + 2;
    let close = [b"]".as_slice(), &vec![b'='; level], b"]"].concat();
    let length = memchr::memmem::find(&source[start..], &close)?;
    Some((&source[start..start + length], start + length + close.len()))
}

/// The text of a quoted string and where it ends.
fn quoted(source: &[u8], at: usize) -> Option<(Vec<u8>, usize)> {
    let quote = source[at];
    let mut text = Vec::new();
    let mut index = at + 1;
    loop {
        match *source.get(index)? {
            byte if byte == quote => return Some((text, index + 1)),
            b'\\' => {
                text.push(match *source.get(index + 1)? {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    byte @ (b'\\' | b'"' | b'\'' | b'\n') => byte,
                    _ => return None,
                });
                index += 2;
            }
            b'\n' => return None,
            byte => {
                text.push(byte);
                index += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tokens_of_all_kinds() {
        use Token::{Dots, Name, Number, Symbol, Text};
        let text = |text: &str| Text(text.as_bytes().to_vec());
        assert_eq!(
            tokens(b"a1 = 'x\\n' .. [==[]]]==] -- c 'd\n--[[ e\n]] f(0x1F, 1.5, ...)[\"g\"]"),
            Some(vec![
                Name(b"a1"),
                Symbol(b'='),
                text("x\n"),
                Symbol(b'.'),
                Symbol(b'.'),
                text("]]"),
                Name(b"f"),
                Symbol(b'('),
                Number(b"0x1F"),
                Symbol(b','),
                Number(b"1.5"),
                Symbol(b','),
                Dots,
                Symbol(b')'),
                Symbol(b'['),
                text("g"),
                Symbol(b']'),
            ])
        );
        for wrong in ["'x", "[[x", "--[[x", "'a\nb'", "'\\065'"] {
            assert_eq!(tokens(wrong.as_bytes()), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(source: Vec<u8>) {
            tokens(&source);
        }
    }
}
