//! Texts of any length as numbers: what C's `strtod` and `strtoul` would read, with every byte counted.

use mlua::{Function, Lua, Value};

use super::call::{Failure, function_beneath};
use super::meter::Meter;
use super::number::read_number;

/// The length up to which C reads a numeral, in bytes.
pub(super) const SHORT_BYTES: usize = 512;

/// Significant digits that decide a double; of those beyond it matters only whether all are zero.
const DIGITS: usize = 800;

/// An exponent beyond which every numeral of a length that fits in memory is zero or infinite.
const EXPONENT_MAX: i64 = 1 << 40;

/// `tonumber` for all that Lua's own is not called for.
///
/// # Errors
/// When memory is short.
pub fn tonumber(lua: &Lua) -> mlua::Result<Function> {
    function_beneath(lua, |lua, args| {
        let base = if args.is_absent(2) { 10 } else { args.integer(lua, 2)? };
        if base == 10 {
            return match args.get(1) {
                None => Err(Failure::argument(1, "value expected")),
                Some(Value::Integer(_) | Value::Number(_) | Value::String(_)) => match args.number(lua, 1) {
                    Ok(value) => Ok(Some(value)),
                    Err(Failure::Argument(..)) => Ok(None),
                    Err(other) => Err(other),
                },
                Some(_) => Ok(None),
            };
        }
        let text = args.string(lua, 1)?;
        if !(2..=36).contains(&base) {
            return Err(Failure::argument(2, "base out of range"));
        }
        read_unsigned(&text.as_bytes(), base as u32, &mut Meter::new(lua))
    })
}

/// The text without spaces around it, up to its first zero byte.
fn trimmed<'t>(text: &'t [u8], meter: &mut Meter<'_>) -> Result<&'t [u8], Failure> {
    let (mut start, mut end) = (0, 0);
    while text.get(start).is_some_and(|byte| is_space(*byte)) {
        meter.step(1)?;
        start += 1;
    }
    for (at, byte) in text.iter().enumerate().skip(start) {
        meter.step(1)?;
        match byte {
            0 => break,
            byte if is_space(*byte) => {}
            _ => end = at + 1,
        }
    }
    Ok(text.get(start..end).unwrap_or_default())
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Reads a decimal or hexadecimal numeral.
///
/// # Errors
/// When the script has to end.
pub(super) fn read_long(text: &[u8], meter: &mut Meter<'_>) -> Result<Option<f64>, Failure> {
    let text = trimmed(text, meter)?;
    let shortened = if text.len() > SHORT_BYTES { shortened(text, meter)? } else { Some(text.to_vec()) };
    Ok(shortened
        .and_then(|text| read_number(&text).filter(|(_, len)| *len == text.len()).map(|(value, _)| value)))
}

/// Reads the numeral at the beginning of a text; answers it with its length in bytes.
///
/// # Errors
/// When the script has to end.
pub(super) fn read_start(text: &[u8], meter: &mut Meter<'_>) -> Result<Option<(f64, usize)>, Failure> {
    /// Bytes behind a numeral that tell that an exponent does not follow: its letter, a sign, a digit.
    const BEHIND: usize = 3;
    let start = text.get(..SHORT_BYTES).unwrap_or(text);
    let read = read_number(start);
    match read {
        Some((_, len)) if start.len() < text.len() && len + BEHIND > start.len() => {
            let len = numeral_len(text, meter)?;
            Ok(read_long(text.get(..len).unwrap_or_default(), meter)?.map(|value| (value, len)))
        }
        read => Ok(read),
    }
}

/// The length of the decimal or hexadecimal numeral at the beginning of a text.
fn numeral_len(text: &[u8], meter: &mut Meter<'_>) -> Result<usize, Failure> {
    let mut at = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let hexadecimal = matches!(text.get(at..), Some([b'0', b'x' | b'X', ..]));
    let (radix, letter) = if hexadecimal { (16, b'p') } else { (10, b'e') };
    at += if hexadecimal { 2 } else { 0 };
    let mut point = false;
    while let Some(&byte) = text.get(at)
        && (byte == b'.' && !point || char::from(byte).is_digit(radix))
    {
        meter.step(1)?;
        point |= byte == b'.';
        at += 1;
    }
    if !text.get(at).is_some_and(|byte| byte.eq_ignore_ascii_case(&letter)) {
        return Ok(at);
    }
    let digits_from = at + 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
    let mut end = digits_from;
    while text.get(end).is_some_and(u8::is_ascii_digit) {
        meter.step(1)?;
        end += 1;
    }
    Ok(if end > digits_from { end } else { at })
}

/// A numeral of the same value with as many digits as decide it.
fn shortened(text: &[u8], meter: &mut Meter<'_>) -> Result<Option<Vec<u8>>, Failure> {
    let sign = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let hexadecimal = matches!(text.get(sign..), Some([b'0', b'x' | b'X', ..]));
    let (radix, digit_exponent) = if hexadecimal { (16, 4) } else { (10, 1) };
    let mut at = sign + if hexadecimal { 2 } else { 0 };
    let mut out = text.get(..at).unwrap_or_default().to_vec();
    let (mut any, mut point, mut kept, mut dropped, mut exponent) = (false, false, 0, false, 0i64);
    while let Some(&byte) = text.get(at) {
        meter.step(1)?;
        if byte == b'.' && !point {
            point = true;
        } else if let Some(digit) = char::from(byte).to_digit(radix) {
            any = true;
            if kept == DIGITS {
                dropped |= digit != 0;
                exponent += i64::from(!point);
            } else {
                exponent -= i64::from(point);
                if kept > 0 || digit > 0 {
                    kept += 1;
                    out.push(byte);
                }
            }
        } else {
            break;
        }
        at += 1;
    }
    if !any {
        return Ok(None);
    }
    out.push(if dropped { b'1' } else { b'0' });
    let letter = if hexadecimal { b'p' } else { b'e' };
    let Some(stated) = stated_exponent(text, at, letter, meter)? else { return Ok(None) };
    let exponent = (exponent - 1) * digit_exponent + stated;
    out.push(letter);
    out.extend_from_slice(exponent.to_string().as_bytes());
    Ok(Some(out))
}

/// The exponent that is the rest of the text, 0 where there is no rest.
fn stated_exponent(
    text: &[u8],
    at: usize,
    letter: u8,
    meter: &mut Meter<'_>,
) -> Result<Option<i64>, Failure> {
    let Some(first) = text.get(at) else { return Ok(Some(0)) };
    let sign = text.get(at + 1).copied();
    let digits = text.get(at + 1 + usize::from(matches!(sign, Some(b'+' | b'-')))..).unwrap_or_default();
    if !first.eq_ignore_ascii_case(&letter) || digits.is_empty() {
        return Ok(None);
    }
    let mut value = 0i64;
    for byte in digits {
        meter.step(1)?;
        if !byte.is_ascii_digit() {
            return Ok(None);
        }
        value = (value * 10 + i64::from(byte - b'0')).min(EXPONENT_MAX);
    }
    Ok(Some(if sign == Some(b'-') { -value } else { value }))
}

/// Reads a whole number of a base as C's `strtoul`: too large a one is the largest of 64 bits, a negative one
/// its two's complement.
fn read_unsigned(text: &[u8], base: u32, meter: &mut Meter<'_>) -> Result<Option<f64>, Failure> {
    let text = trimmed(text, meter)?;
    let negative = text.first() == Some(&b'-');
    let digits = text.get(usize::from(matches!(text.first(), Some(b'+' | b'-')))..).unwrap_or_default();
    let digits = match digits {
        [b'0', b'x' | b'X', rest @ ..] if base == 16 => rest,
        digits => digits,
    };
    let mut value = Some(0u64);
    for byte in digits {
        meter.step(1)?;
        let Some(digit) = char::from(*byte).to_digit(base) else { return Ok(None) };
        value = value
            .and_then(|value| value.checked_mul(u64::from(base)))
            .and_then(|value| value.checked_add(u64::from(digit)));
    }
    if digits.is_empty() {
        return Ok(None);
    }
    Ok(Some(value.map_or(u64::MAX, |value| if negative { value.wrapping_neg() } else { value }) as f64))
}
