//! `string.format`: numbers and texts as C's `printf` writes them.

use mlua::{Lua, LuaString};

use super::call::{Arguments, Failure, truncated};
use super::meter::Meter;
use super::number::push_general;

/// Digits that Lua writes of a number.
const NUMBER_DIGITS: usize = 14;

/// A text of this length that has no precision is taken as it is; a shorter one ends at its first zero byte,
/// as C's do.
const LONG_TEXT: usize = 100;

/// How often a flag may stand, all of them together.
const FLAGS_MAX: usize = 5;

/// Appends a number as Lua writes it.
pub(super) fn push_number(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        push_general(out, value, NUMBER_DIGITS);
    } else {
        out.extend_from_slice(unfinite(value));
    }
}

fn unfinite(value: f64) -> &'static [u8] {
    match (value.is_nan(), value.is_sign_negative()) {
        (true, true) => b"-nan",
        (true, false) => b"nan",
        (false, true) => b"-inf",
        (false, false) => b"inf",
    }
}

/// What stands between `%` and the letter.
#[derive(Default)]
struct Spec {
    left: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    zeros: bool,
    width: usize,
    precision: Option<usize>,
}

pub(super) fn format(lua: &Lua, args: &Arguments) -> Result<LuaString, Failure> {
    let format = args.string(lua, 1)?;
    let format = format.as_bytes();
    let mut meter = Meter::new(lua);
    let mut out = Vec::with_capacity(format.len() + 16);
    let (mut at, mut number) = (0, 1);
    while at < format.len() {
        let percent = memchr::memchr(b'%', &format[at..]).map_or(format.len(), |found| at + found);
        out.extend_from_slice(&format[at..percent]);
        at = percent + 1;
        if percent == format.len() {
            break;
        }
        if format.get(at) == Some(&b'%') {
            out.push(b'%');
            at += 1;
            continue;
        }
        number += 1;
        if number > args.count() {
            return Err(Failure::argument(number, "no value"));
        }
        let (spec, end) = spec_at(&format, at)?;
        let letter = format.get(end).copied().unwrap_or(0);
        push_item(&mut out, lua, args, number, &spec, letter)?;
        at = end + 1;
        meter.step(8)?;
        meter.makes(out.len())?;
    }
    meter.step(out.len() / 1024)?;
    Ok(lua.create_string(out)?)
}

/// Reads a spec; answers where its letter stands.
fn spec_at(format: &[u8], mut at: usize) -> Result<(Spec, usize), Failure> {
    let mut spec = Spec::default();
    let start = at;
    while let Some(&flag) = format.get(at) {
        match flag {
            b'-' => spec.left = true,
            b'+' => spec.plus = true,
            b' ' => spec.space = true,
            b'#' => spec.alternate = true,
            b'0' => spec.zeros = true,
            _ => break,
        }
        at += 1;
    }
    if at - start > FLAGS_MAX {
        return Err(Failure::message("invalid format (repeated flags)"));
    }
    spec.width = two_digits(format, &mut at).unwrap_or(0);
    if format.get(at) == Some(&b'.') {
        at += 1;
        spec.precision = Some(two_digits(format, &mut at).unwrap_or(0));
    }
    if format.get(at).is_some_and(u8::is_ascii_digit) {
        return Err(Failure::message("invalid format (width or precision too long)"));
    }
    Ok((spec, at))
}

fn two_digits(format: &[u8], at: &mut usize) -> Option<usize> {
    let mut number = None;
    for _ in 0..2 {
        let Some(digit) = format.get(*at).filter(|byte| byte.is_ascii_digit()) else { break };
        number = Some(number.unwrap_or(0) * 10 + usize::from(digit - b'0'));
        *at += 1;
    }
    number
}

fn push_item(
    out: &mut Vec<u8>,
    lua: &Lua,
    args: &Arguments,
    number: usize,
    spec: &Spec,
    letter: u8,
) -> Result<(), Failure> {
    match letter {
        b'c' => {
            let byte = truncated(args.number(lua, number)?) as u8;
            push_character(out, byte, spec);
        }
        b'd' | b'i' => push_signed(out, truncated(args.number(lua, number)?), spec),
        b'o' | b'u' | b'x' | b'X' => push_unsigned(out, unsigned(args.number(lua, number)?), spec, letter),
        b'e' | b'E' | b'f' | b'g' | b'G' => push_double(out, args.number(lua, number)?, spec, letter),
        b'q' => push_quoted(out, &args.string(lua, number)?.as_bytes()),
        b's' => push_text(out, &args.string(lua, number)?.as_bytes(), spec),
        0 => return Err(Failure::message("invalid option '%' to 'format'")),
        letter => {
            let text = [b"invalid option '%", &[letter][..], b"' to 'format'"].concat();
            return Err(Failure::Message(text.into()));
        }
    }
    Ok(())
}

/// As processors turn a double into 64 bits without a sign: a negative one is its two's complement.
fn unsigned(value: f64) -> u64 {
    const HALF: f64 = 9_223_372_036_854_775_808.0;
    if value >= HALF { (truncated(value - HALF) as u64) ^ 1 << 63 } else { truncated(value) as u64 }
}

/// Of a C text nothing is left where its zero byte comes first: neither is what pads it on the right.
fn push_character(out: &mut Vec<u8>, byte: u8, spec: &Spec) {
    let spaces = spec.width.saturating_sub(1);
    if !spec.left {
        out.resize(out.len() + spaces, b' ');
    }
    if byte == 0 {
        return;
    }
    out.push(byte);
    if spec.left {
        out.resize(out.len() + spaces, b' ');
    }
}

fn push_text(out: &mut Vec<u8>, text: &[u8], spec: &Spec) {
    if spec.precision.is_none() && text.len() >= LONG_TEXT {
        out.extend_from_slice(text);
        return;
    }
    let text = &text[..memchr::memchr(0, text).unwrap_or(text.len())];
    let text = &text[..spec.precision.map_or(text.len(), |precision| precision.min(text.len()))];
    push_padded(out, b"", text, spec, false);
}

fn push_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for &byte in text {
        match byte {
            b'"' | b'\\' | b'\n' => out.extend_from_slice(&[b'\\', byte]),
            b'\r' => out.extend_from_slice(b"\\r"),
            0 => out.extend_from_slice(b"\\000"),
            byte => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Appends a sign or prefix and digits, filled up to the width.
fn push_padded(out: &mut Vec<u8>, sign: &[u8], digits: &[u8], spec: &Spec, zeros: bool) {
    let fill = spec.width.saturating_sub(sign.len() + digits.len());
    let zeros = zeros && !spec.left;
    if !spec.left && !zeros {
        out.resize(out.len() + fill, b' ');
    }
    out.extend_from_slice(sign);
    if zeros {
        out.resize(out.len() + fill, b'0');
    }
    out.extend_from_slice(digits);
    if spec.left {
        out.resize(out.len() + fill, b' ');
    }
}

/// The digits of an integer, as many as the precision asks for at least; none of a zero with the precision 0.
fn integer_digits(digits: String, precision: Option<usize>) -> String {
    match precision {
        Some(0) if digits == "0" => String::new(),
        Some(precision) => format!("{digits:0>precision$}"),
        None => digits,
    }
}

fn sign_of(negative: bool, spec: &Spec) -> &'static [u8] {
    match (negative, spec.plus, spec.space) {
        (true, ..) => b"-",
        (false, true, _) => b"+",
        (false, false, true) => b" ",
        _ => b"",
    }
}

fn push_signed(out: &mut Vec<u8>, value: i64, spec: &Spec) {
    let digits = integer_digits(value.unsigned_abs().to_string(), spec.precision);
    let zeros = spec.zeros && spec.precision.is_none();
    push_padded(out, sign_of(value < 0, spec), digits.as_bytes(), spec, zeros);
}

fn push_unsigned(out: &mut Vec<u8>, value: u64, spec: &Spec, letter: u8) {
    let digits = match letter {
        b'o' => format!("{value:o}"),
        b'x' => format!("{value:x}"),
        b'X' => format!("{value:X}"),
        _ => value.to_string(),
    };
    let mut digits = integer_digits(digits, spec.precision);
    let mut prefix: &[u8] = b"";
    if spec.alternate {
        match letter {
            b'o' if !digits.starts_with('0') => digits.insert(0, '0'),
            b'x' if value != 0 => prefix = b"0x",
            b'X' if value != 0 => prefix = b"0X",
            _ => {}
        }
    }
    let zeros = spec.zeros && spec.precision.is_none();
    push_padded(out, prefix, digits.as_bytes(), spec, zeros);
}

fn push_double(out: &mut Vec<u8>, value: f64, spec: &Spec, letter: u8) {
    let sign = sign_of(value.is_sign_negative(), spec);
    if !value.is_finite() {
        let word: &[u8] = match (value.is_nan(), letter.is_ascii_uppercase()) {
            (true, false) => b"nan",
            (true, true) => b"NAN",
            (false, false) => b"inf",
            (false, true) => b"INF",
        };
        return push_padded(out, sign, word, spec, false);
    }
    let value = value.abs();
    let precision = spec.precision.unwrap_or(6);
    let mut digits = match letter {
        b'f' => fixed(value, precision, spec.alternate),
        b'e' | b'E' => scientific(value, precision, spec.alternate),
        _ => general(value, precision.max(1), spec.alternate),
    };
    if letter.is_ascii_uppercase() {
        digits.make_ascii_uppercase();
    }
    push_padded(out, sign, digits.as_bytes(), spec, spec.zeros);
}

fn fixed(value: f64, precision: usize, alternate: bool) -> String {
    let mut digits = format!("{value:.precision$}");
    if precision == 0 && alternate {
        digits.push('.');
    }
    digits
}

/// The mantissa's digits, and the exponent with its sign and two digits at least.
fn scientific(value: f64, precision: usize, alternate: bool) -> String {
    let (mantissa, exponent) = split(value, precision);
    let point = if precision == 0 && alternate { "." } else { "" };
    with_exponent(&format!("{mantissa}{point}"), exponent)
}

fn with_exponent(mantissa: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

fn split(value: f64, precision: usize) -> (String, i32) {
    let text = format!("{value:.precision$e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa.to_owned(), exponent.parse().unwrap_or(0)),
        None => (text, 0),
    }
}

/// `%g`: the shorter of both, without zeros at the end unless they are asked for.
fn general(value: f64, precision: usize, alternate: bool) -> String {
    let (mantissa, exponent) = split(value, precision - 1);
    let is_scientific = exponent < -4 || exponent >= precision as i32;
    let mut digits = if is_scientific {
        mantissa
    } else {
        let behind_point = (precision as i32 - 1 - exponent).max(0) as usize;
        format!("{value:.behind_point$}")
    };
    if alternate {
        if !digits.contains('.') {
            digits.push('.');
        }
    } else if digits.contains('.') {
        digits.truncate(digits.trim_end_matches('0').trim_end_matches('.').len());
    }
    if is_scientific { with_exponent(&digits, exponent) } else { digits }
}
