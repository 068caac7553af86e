//! Reading arguments: numbers with the errors that Redis gives, and options in any case.

use crate::error::CommandError;
use crate::primitives::long_double::LongDouble;
use crate::primitives::number;

/// Whether an argument is this option word (given in capitals), in any case.
#[inline]
pub fn is(argument: &[u8], word: &str) -> bool {
    argument.eq_ignore_ascii_case(word.as_bytes())
}

/// A signed integer.
#[inline]
pub fn int(argument: &[u8]) -> Result<i64, CommandError> {
    number::parse_i64(argument).ok_or(CommandError::NotAnInteger)
}

/// A signed integer within a range, which the error names.
pub fn int_in(argument: &[u8], min: i64, max: i64) -> Result<i64, CommandError> {
    let value = int(argument)?;
    if (min..=max).contains(&value) { Ok(value) } else { Err(CommandError::OutOfRange) }
}

/// Reads a database's number from the argument at `index`, and returns it with `index`. `None` for what is no
/// such number.
pub fn database_at(arguments: &[&[u8]], index: usize) -> Option<(usize, usize)> {
    let number = arguments.get(index).and_then(|text| number::parse_i64(text))?;
    Some((usize::try_from(number).ok()?, index))
}

/// A floating point number.
pub fn float(argument: &[u8]) -> Result<f64, CommandError> {
    number::parse_f64(argument).ok_or(CommandError::NotAFloat)
}

/// Reads a time limit in seconds, with fractions. Returns the deadline in milliseconds of Unix time; `None`
/// (for 0) is for ever.
pub fn wait_seconds(argument: &[u8], now_ms: u64) -> Result<Option<u64>, CommandError> {
    let seconds = LongDouble::parse(argument)
        .ok_or(CommandError::text("ERR timeout is not a float or out of range"))?
        .to_f64();
    let milliseconds = (seconds * 1000.0).ceil();
    if milliseconds >= i64::MAX as f64 {
        return Err(CommandError::text("ERR timeout is out of range"));
    }
    wait_until(milliseconds as i64, now_ms)
}

/// [`wait_seconds`] for commands that take milliseconds.
pub fn wait_milliseconds(argument: &[u8], now_ms: u64) -> Result<Option<u64>, CommandError> {
    let milliseconds = number::parse_i64(argument)
        .ok_or(CommandError::text("ERR timeout is not an integer or out of range"))?;
    wait_until(milliseconds, now_ms)
}

fn wait_until(milliseconds: i64, now_ms: u64) -> Result<Option<u64>, CommandError> {
    match u64::try_from(milliseconds) {
        Err(_) => Err(CommandError::text("ERR timeout is negative")),
        Ok(0) => Ok(None),
        Ok(milliseconds) => match now_ms.checked_add(milliseconds) {
            Some(until_ms) if until_ms <= i64::MAX as u64 => Ok(Some(until_ms)),
            _ => Err(CommandError::text("ERR timeout is out of range")),
        },
    }
}

/// The argument behind an option.
pub fn value_of<'a>(arguments: &[&'a [u8]], option: usize) -> Result<&'a [u8], CommandError> {
    arguments.get(option + 1).copied().ok_or(CommandError::Syntax)
}

/// A client's bytes as text, for messages and names that are text.
pub fn text(argument: &[u8]) -> String {
    String::from_utf8_lossy(argument).into_owned()
}
