//! Values of a script, and what Lua makes of them.

use std::rc::Rc;

use crate::primitives::number::format_i64;

/// A value. Texts of the request and of the script are borrowed.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Nil,
    Boolean(bool),
    Number(f64),
    Text(Text<'a>),
    Table(Rc<Table<'a>>),
}

#[derive(Clone, Debug)]
pub(super) enum Text<'a> {
    Borrowed(&'a [u8]),
    Owned(Rc<[u8]>),
}

/// The tables that there are; no statement changes one.
#[derive(Debug)]
pub(super) enum Table<'a> {
    List(Vec<Value<'a>>),
    /// `{ok = ...}`: a status reply.
    Ok(Text<'a>),
    /// `{err = ...}`: an error reply.
    Err(Text<'a>),
}

impl Text<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Text::Borrowed(bytes) => bytes,
            Text::Owned(bytes) => bytes,
        }
    }
}

impl<'a> Value<'a> {
    pub(super) fn text(bytes: &[u8]) -> Self {
        Value::Text(Text::Owned(Rc::from(bytes)))
    }

    pub(super) fn table(table: Table<'a>) -> Self {
        Value::Table(Rc::new(table))
    }

    pub(super) fn is_true(&self) -> bool {
        !matches!(self, Value::Nil | Value::Boolean(false))
    }

    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::Nil => "nil",
            Value::Boolean(_) => "boolean",
            Value::Number(_) => "number",
            Value::Text(_) => "string",
            Value::Table(_) => "table",
        }
    }

    /// The number that it is or, as a text, means.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            Value::Text(text) => parse_number(text.bytes()),
            _ => None,
        }
    }

    /// Whether they are equal; tables are only equal to themselves.
    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::Nil, Value::Nil) => true,
            (Value::Boolean(a), Value::Boolean(b)) => a == b,
            (Value::Number(a), Value::Number(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => a.bytes() == b.bytes(),
            (Value::Table(a), Value::Table(b)) => Rc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Table<'_> {
    /// The table's length as Lua finds it: where nil follows, if the last is nil by halving.
    pub(super) fn len(&self) -> usize {
        let Table::List(values) = self else { return 0 };
        let is_nil = |index: usize| matches!(values[index - 1], Value::Nil);
        if values.is_empty() || !is_nil(values.len()) {
            return values.len();
        }
        let (mut there, mut nil) = (0, values.len());
        while nil - there > 1 {
            let middle = (there + nil) / 2;
            if is_nil(middle) {
                nil = middle;
            } else {
                there = middle;
            }
        }
        there
    }
}

/// The number that a text means: decimal or hexadecimal, blanks around it, and the words for what is no
/// finite number, as C's `strtod` takes them.
pub(super) fn parse_number(text: &[u8]) -> Option<f64> {
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let start = text.iter().position(|byte| !is_blank(byte))?;
    let end = text.iter().rposition(|byte| !is_blank(byte))? + 1;
    let text = &text[start..end];
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let magnitude = match digits {
        [b'0', b'x' | b'X', rest @ ..] => parse_hexadecimal(rest)?,
        // Rust takes more signs than C here: one has been taken away.
        [b'+' | b'-', ..] => return None,
        _ if digits.eq_ignore_ascii_case(b"nan") => f64::NAN,
        _ => std::str::from_utf8(digits).ok()?.parse().ok()?,
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// Digits, a point among them, and an exponent of two.
fn parse_hexadecimal(text: &[u8]) -> Option<f64> {
    let (digits, exponent) = match text.iter().position(|byte| matches!(byte, b'p' | b'P')) {
        Some(at) => (&text[..at], std::str::from_utf8(&text[at + 1..]).ok()?.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (mut value, mut scale, mut point, mut any) = (0.0f64, 0i32, false, false);
    for byte in digits {
        match (*byte as char).to_digit(16) {
            Some(digit) => {
                value = value * 16.0 + f64::from(digit);
                scale -= if point { 4 } else { 0 };
                any = true;
            }
            None if *byte == b'.' && !point => point = true,
            None => return None,
        }
    }
    any.then(|| value * 2f64.powi(exponent.clamp(-5000, 5000) + scale.max(-5000)))
}

/// A number's text as `tostring` and `..` make it: `%.14g`.
pub(super) fn show_number(number: f64) -> Vec<u8> {
    const DIGITS: i32 = 14;
    if number.fract() == 0.0 && number.abs() < 1e14 && !(number == 0.0 && number.is_sign_negative()) {
        return format_i64(number as i64).to_vec();
    }
    if number.is_nan() {
        return if number.is_sign_negative() { b"-nan".to_vec() } else { b"nan".to_vec() };
    }
    if number.is_infinite() {
        return if number < 0.0 { b"-inf".to_vec() } else { b"inf".to_vec() };
    }
    let scientific = format!("{:.*e}", DIGITS as usize - 1, number);
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific.into_bytes() };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..DIGITS).contains(&exponent) {
        let text = format!("{:.*}", (DIGITS - 1 - exponent) as usize, number);
        return without_zeros(&text).into();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", without_zeros(digits), exponent.abs()).into_bytes()
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A number as a word of a command.
pub(super) fn write_word(number: f64, out: &mut impl Extend<u8>) {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let whole = number as i64;
    if (whole as f64).to_bits() == number.to_bits() && number < LIMIT {
        out.extend(format_i64(whole).iter().copied());
    } else {
        out.extend(crate::primitives::number::format_f64(number).iter().copied());
    }
}
