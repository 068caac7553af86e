//! Reading JSON.

use mlua::{IntoLua, Lua, LuaString, Table, Value};

use super::super::call::Failure;
use super::super::meter::Meter;
use super::super::numeral;
use super::{InvalidNumbers, NESTING_SLOTS_MAX, NULL, Settings};

/// Reads one value, which must be all there is.
pub(super) fn decode(lua: &Lua, text: &[u8], settings: &Settings) -> Result<Value, Failure> {
    if text.len() >= 2 && text.iter().take(2).any(|&byte| byte == 0) {
        return Err(Failure::message("JSON parser does not support UTF-16 or UTF-32"));
    }
    let lexer = Lexer {
        text,
        at: 0,
        start: 0,
        invalid_numbers: settings.decode_invalid_numbers != InvalidNumbers::Refused,
        unescaped: Vec::new(),
        meter: Meter::new(lua),
    };
    let mut parser = Parser {
        lua,
        lexer,
        open: Vec::new(),
        slots: 0,
        depth_max: settings.decode_depth_max.unsigned_abs() as usize,
    };
    parser.parse()
}

/// Parses without recursion: how deep tables nest is a setting of the script.
struct Parser<'a> {
    lua: &'a Lua,
    lexer: Lexer<'a>,
    open: Vec<Open>,
    slots: usize,
    depth_max: usize,
}

/// A table that is not complete. It is already stored where it belongs.
enum Open {
    Array { table: Table, len: usize },
    Object { table: Table, empty: bool },
}

impl Parser<'_> {
    fn parse(&mut self) -> Result<Value, Failure> {
        let first = self.lexer.next()?;
        let root = match self.scalar(&first, "value")? {
            Some(value) => value,
            None => Value::Table(self.begin(&first)?),
        };
        while !self.open.is_empty() {
            self.lexer.meter.step(16)?;
            self.step()?;
        }
        let last = self.lexer.next()?;
        if last != Token::End {
            return Err(self.unexpected("the end", &last));
        }
        Ok(root)
    }

    /// Reads the next element or entry of the innermost table, or its end.
    fn step(&mut self) -> Result<(), Failure> {
        let mut token = self.lexer.next()?;
        match self.open.last() {
            None => {}
            Some(Open::Array { len: 0, .. }) => {
                if token == Token::ArrayEnd {
                    self.end();
                    return Ok(());
                }
                self.element(&token)?;
            }
            Some(Open::Array { .. }) => match token {
                Token::ArrayEnd => self.end(),
                Token::Comma => {
                    token = self.lexer.next()?;
                    self.element(&token)?;
                }
                _ => return Err(self.unexpected("comma or array end", &token)),
            },
            Some(Open::Object { empty: true, .. }) => {
                if token == Token::ObjectEnd {
                    self.end();
                    return Ok(());
                }
                self.entry(&token)?;
            }
            Some(Open::Object { .. }) => match token {
                Token::ObjectEnd => self.end(),
                Token::Comma => {
                    token = self.lexer.next()?;
                    self.entry(&token)?;
                }
                _ => return Err(self.unexpected("comma or object end", &token)),
            },
        }
        Ok(())
    }

    fn element(&mut self, token: &Token) -> Result<(), Failure> {
        let scalar = self.scalar(token, "value")?;
        let Some(Open::Array { table, len }) = self.open.last_mut() else { return Ok(()) };
        *len += 1;
        if let Some(value) = scalar {
            table.raw_seti(*len, value)?;
            return Ok(());
        }
        let (parent, index) = (table.clone(), *len);
        let child = self.begin(token)?;
        parent.raw_seti(index, child)?;
        Ok(())
    }

    /// Reads an entry from its key on.
    fn entry(&mut self, key: &Token) -> Result<(), Failure> {
        if !matches!(key, Token::String(_)) {
            return Err(self.unexpected("object key string", key));
        }
        let key = LuaString::wrap(self.lexer.string(key)).into_lua(self.lua)?;
        let colon = self.lexer.next()?;
        if colon != Token::Colon {
            return Err(self.unexpected("colon", &colon));
        }
        let token = self.lexer.next()?;
        let scalar = self.scalar(&token, "value")?;
        let Some(Open::Object { table, empty }) = self.open.last_mut() else { return Ok(()) };
        *empty = false;
        if let Some(value) = scalar {
            table.raw_set(key, value)?;
            return Ok(());
        }
        let parent = table.clone();
        let child = self.begin(&token)?;
        parent.raw_set(key, child)?;
        Ok(())
    }

    /// The value of a token, or nothing for one that begins a table.
    fn scalar(&mut self, token: &Token, expected: &str) -> Result<Option<Value>, Failure> {
        Ok(Some(match token {
            Token::String(_) => LuaString::wrap(self.lexer.string(token)).into_lua(self.lua)?,
            Token::Number(value) => Value::Number(*value),
            Token::Boolean(value) => Value::Boolean(*value),
            Token::Null => Value::LightUserData(NULL),
            Token::ArrayBegin | Token::ObjectBegin => return Ok(None),
            _ => return Err(self.unexpected(expected, token)),
        }))
    }

    fn begin(&mut self, token: &Token) -> Result<Table, Failure> {
        let depth = self.open.len() + 1;
        if depth > self.depth_max || self.slots > NESTING_SLOTS_MAX {
            let at = self.lexer.at;
            return Err(Failure::text(format!(
                "Found too many nested data structures ({depth}) at character {at}"
            )));
        }
        let table = self.lua.create_table()?;
        let result = table.clone();
        if *token == Token::ArrayBegin {
            self.slots += 1;
            self.open.push(Open::Array { table, len: 0 });
            return Ok(result);
        }
        self.slots += 2;
        self.open.push(Open::Object { table, empty: true });
        Ok(result)
    }

    fn end(&mut self) {
        self.slots -= match self.open.pop() {
            Some(Open::Array { .. }) => 1,
            Some(Open::Object { .. }) => 2,
            None => 0,
        };
    }

    #[cold]
    fn unexpected(&self, expected: &str, token: &Token) -> Failure {
        let found = match token {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::String(_) => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Invalid(why) => why,
        };
        let at = self.lexer.start + 1;
        Failure::text(format!("Expected {expected} but found {found} at character {at}"))
    }
}

#[derive(Debug, PartialEq)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String(Text),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Invalid(&'static str),
}

/// Where the bytes of a string are.
#[derive(Debug, PartialEq)]
enum Text {
    /// In the input, as they are.
    Plain { from: usize, to: usize },
    /// In the buffer, with the escapes replaced.
    Unescaped,
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    /// Where the last token began, or what is wrong with it.
    start: usize,
    invalid_numbers: bool,
    unescaped: Vec<u8>,
    meter: Meter<'a>,
}

impl Lexer<'_> {
    /// The byte at the place, 0 at the end: a zero byte ends the text.
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// Reads the next token.
    ///
    /// # Errors
    /// When the script has to end.
    fn next(&mut self) -> Result<Token, Failure> {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
            self.meter.step(1)?;
        }
        self.start = self.at;
        let single = match self.peek() {
            0 => return Ok(Token::End),
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b':' => Token::Colon,
            b',' => Token::Comma,
            b'"' => return self.quoted(),
            b'-' | b'0'..=b'9' => return self.number(),
            b'+' if self.invalid_numbers => return self.number(),
            _ => return self.word(),
        };
        self.at += 1;
        Ok(single)
    }

    fn word(&mut self) -> Result<Token, Failure> {
        const WORDS: [(&[u8], Token); 3] =
            [(b"true", Token::Boolean(true)), (b"false", Token::Boolean(false)), (b"null", Token::Null)];
        let rest = self.text.get(self.at..).unwrap_or_default();
        for (word, token) in WORDS {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(token);
            }
        }
        let starts =
            |word: &[u8]| rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        if self.invalid_numbers && (starts(b"inf") || starts(b"nan")) {
            return self.number();
        }
        Ok(Token::Invalid("invalid token"))
    }

    fn number(&mut self) -> Result<Token, Failure> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !self.invalid_numbers && is_invalid_number(rest) {
            return Ok(Token::Invalid("invalid number"));
        }
        let Some((value, len)) = numeral::read_start(rest, &mut self.meter)? else {
            return Ok(Token::Invalid("invalid number"));
        };
        self.at += len;
        Ok(Token::Number(value))
    }

    /// The bytes of a string token, which must be the last one that was read.
    fn string(&self, token: &Token) -> &[u8] {
        match token {
            Token::String(Text::Plain { from, to }) => self.text.get(*from..*to).unwrap_or_default(),
            Token::String(Text::Unescaped) => &self.unescaped,
            _ => &[],
        }
    }

    fn quoted(&mut self) -> Result<Token, Failure> {
        let from = self.at + 1;
        self.at = from;
        let mut escaped = false;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let len = memchr::memchr3(b'"', b'\\', 0, rest).unwrap_or(rest.len());
            let plain = rest.get(..len).unwrap_or_default();
            let end = self.at + len;
            self.meter.step(2 + len / 32)?;
            match rest.get(len) {
                Some(b'"') => {
                    self.at = end + 1;
                    if !escaped {
                        return Ok(Token::String(Text::Plain { from, to: end }));
                    }
                    self.unescaped.extend_from_slice(plain);
                    return Ok(Token::String(Text::Unescaped));
                }
                Some(b'\\') => {
                    if !escaped {
                        self.unescaped.clear();
                        escaped = true;
                    }
                    self.unescaped.extend_from_slice(plain);
                    self.at = end;
                    if let Err(why) = self.escape() {
                        self.start = end;
                        return Ok(Token::Invalid(why));
                    }
                }
                _ => {
                    self.start = end;
                    return Ok(Token::Invalid("unexpected end of string"));
                }
            }
        }
    }

    fn escape(&mut self) -> Result<(), &'static str> {
        let byte = match self.text.get(self.at + 1) {
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'b') => 0x08,
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'f') => 0x0c,
            Some(b'r') => b'\r',
            Some(b'u') => {
                let (character, len) = self.unicode().ok_or("invalid unicode escape code")?;
                self.unescaped.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                self.at += len;
                return Ok(());
            }
            _ => return Err("invalid escape code"),
        };
        self.unescaped.push(byte);
        self.at += 2;
        Ok(())
    }

    /// The character of an escape, or of two that are a surrogate pair, and their length.
    fn unicode(&self) -> Option<(char, usize)> {
        let unit = self.code_unit(self.at)?;
        if !(0xd800..0xdc00).contains(&unit) {
            return Some((char::from_u32(unit)?, 6));
        }
        let low = self.code_unit(self.at + 6).filter(|low| (0xdc00..0xe000).contains(low))?;
        Some((char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))?, 12))
    }

    /// The number of the escape `\uXXXX` at the place.
    fn code_unit(&self, at: usize) -> Option<u32> {
        let escape = self.text.get(at..at + 6)?;
        let digits = escape.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |unit, &byte| Some(unit << 4 | char::from(byte).to_digit(16)?))
    }
}

/// Numbers that C reads but JSON does not know: a leading zero, hexadecimal, infinity, NaN.
fn is_invalid_number(text: &[u8]) -> bool {
    match text.strip_prefix(b"-").unwrap_or(text) {
        [b'0', b'x' | b'X' | b'0'..=b'9', ..] => true,
        [first, ..] => matches!(first, b'i' | b'I' | b'n' | b'N' | b'+'),
        [] => false,
    }
}
