//! Numbers as the protocol writes and reads them: canonical integers, double arguments, double replies.
//!
//! The extended floating point of INCRBYFLOAT is in [`super::long_double`].

use std::fmt::Write as _;
use std::ops::Deref;

/// Longest decimal text of a 64-bit integer in bytes, sign included.
pub const MAX_INTEGER_LEN: usize = 20;

/// Reads a signed integer in its one canonical decimal form, as Redis does for every integer argument and for
/// values kept as integers.
///
/// Refused: an empty text, a plus sign, leading zeros, `-0`, spaces, anything outside the range of `i64`.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let magnitude = parse_u64(digits)?;
    if !negative {
        return i64::try_from(magnitude).ok();
    }
    if magnitude == 0 {
        return None;
    }
    0i64.checked_sub_unsigned(magnitude)
}

/// Reads an unsigned integer in its one canonical decimal form; the rules are those of [`parse_i64`] without
/// a sign.
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    let first = *text.first()?;
    if first == b'0' {
        return (text.len() == 1).then_some(0);
    }
    if text.len() > MAX_INTEGER_LEN {
        return None;
    }
    // Nineteen digits cannot overflow; only the twentieth needs the checked path.
    let (safe, last) = text.split_at(text.len().min(MAX_INTEGER_LEN - 1));
    let mut value = 0u64;
    for &byte in safe {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    for &byte in last {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// The decimal text of an integer, kept on the stack. Dereferences to its bytes.
#[derive(Clone, Copy)]
pub struct IntText {
    bytes: [u8; MAX_INTEGER_LEN],
    len: u8,
}

impl Deref for IntText {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

/// The canonical decimal text of a signed integer.
pub fn format_i64(value: i64) -> IntText {
    int_text(itoa::Buffer::new().format(value))
}

/// The canonical decimal text of an unsigned integer.
pub fn format_u64(value: u64) -> IntText {
    int_text(itoa::Buffer::new().format(value))
}

fn int_text(text: &str) -> IntText {
    let mut bytes = [0; MAX_INTEGER_LEN];
    for (to, from) in bytes.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    IntText { bytes, len: text.len() as u8 }
}

/// Length of the canonical decimal text of `value`.
pub fn integer_len(value: i64) -> usize {
    let digits = value.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1;
    digits + usize::from(value < 0)
}

/// Reads a double argument as Valkey 9 does for scores, coordinates and the like.
///
/// Accepted: an optional sign, digits with or without a point, an exponent, and `inf` or `infinity` in any
/// case. Refused: an empty text, spaces, hexadecimal, NaN, and a number too large or too small to be told
/// from infinity or zero.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let unsigned = match text {
        [b'+' | b'-', rest @ ..] => rest,
        _ => text,
    };
    if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
        return Some(if text.first() == Some(&b'-') { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    if !matches!(unsigned.first(), Some(b'0'..=b'9' | b'.')) {
        return None;
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    if value.is_infinite() {
        return None;
    }
    if value == 0.0 {
        let underflow = unsigned
            .iter()
            .take_while(|byte| !byte.eq_ignore_ascii_case(&b'e'))
            .any(|byte| matches!(byte, b'1'..=b'9'));
        return (!underflow).then_some(value);
    }
    Some(value)
}

/// Longest text that [`format_f64`] makes: a sign, 17 digits, a point and a four character exponent, or a
/// sign and "0." with zeros before the digits.
const MAX_FLOAT_LEN: usize = 32;

/// The text of a double, kept on the stack. Dereferences to its bytes.
#[derive(Clone, Copy)]
pub struct FloatText {
    bytes: [u8; MAX_FLOAT_LEN],
    len: u8,
}

impl FloatText {
    const EMPTY: Self = Self { bytes: [0; MAX_FLOAT_LEN], len: 0 };

    fn push(&mut self, text: &[u8]) {
        for &byte in text {
            if let Some(to) = self.bytes.get_mut(usize::from(self.len)) {
                *to = byte;
                self.len += 1;
            }
        }
    }

    fn push_zeros(&mut self, count: usize) {
        for _ in 0..count {
            self.push(b"0");
        }
    }
}

impl Deref for FloatText {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

impl std::fmt::Write for FloatText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// Writes a double as Valkey 9 replies it (ZSCORE and its kin): the shortest digits that read back as the
/// same double.
///
/// Whole numbers up to 2^62 are written as integers. Beyond, and for fractions, the exponent form is used
/// when the plain form would be much longer than the digits. Valkey's digits are in rare cases one longer
/// than the shortest; ours never are.
pub fn format_f64(value: f64) -> FloatText {
    const WHOLE_LIMIT: f64 = (1u64 << 62) as f64;
    let mut text = FloatText::EMPTY;
    if value.is_nan() {
        text.push(b"nan");
        return text;
    }
    if value.is_infinite() {
        text.push(if value > 0.0 { b"inf" } else { b"-inf" });
        return text;
    }
    if value.abs() <= WHOLE_LIMIT && value.trunc() == value {
        if value == 0.0 && value.is_sign_negative() {
            text.push(b"-");
        }
        text.push(&format_i64(value as i64));
        return text;
    }
    if value < 0.0 {
        text.push(b"-");
    }
    let mut scientific = FloatText::EMPTY;
    // Writing into a fixed buffer cannot fail: `write_str` above never does.
    let _ = write!(scientific, "{:e}", value.abs());
    push_shaped(&mut text, &Shape::of(&scientific));
    text
}

/// Significant digits without a point, and the power of ten of the first.
struct Shape {
    digits: [u8; MAX_INTEGER_LEN],
    count: usize,
    power: i32,
}

impl Shape {
    /// Reads a text of the form `d.ddde-nn`.
    fn of(scientific: &[u8]) -> Self {
        let mut shape = Shape { digits: [b'0'; MAX_INTEGER_LEN], count: 0, power: 0 };
        let mut parts = scientific.split(|&byte| byte == b'e');
        for &byte in parts.next().unwrap_or(&[]) {
            if byte != b'.'
                && let Some(to) = shape.digits.get_mut(shape.count)
            {
                *to = byte;
                shape.count += 1;
            }
        }
        shape.power = parts.next().and_then(parse_i64).unwrap_or(0) as i32;
        shape
    }
}

fn push_shaped(text: &mut FloatText, shape: &Shape) {
    let digits = shape.digits.get(..shape.count).unwrap_or(&[]);
    let count = digits.len() as i32;
    // Power of ten of the last digit: negative when there is a fraction.
    let scale = shape.power - (count - 1);
    if scale >= 0 && shape.power < count + 7 {
        text.push(digits);
        text.push_zeros(scale as usize);
    } else if scale < 0 && (scale > -7 || shape.power.abs() < 4) {
        if shape.power < 0 {
            text.push(b"0.");
            text.push_zeros((-shape.power - 1) as usize);
            text.push(digits);
        } else {
            let (whole, fraction) = digits.split_at(digits.len().min(shape.power as usize + 1));
            text.push(whole);
            text.push(b".");
            text.push(fraction);
        }
    } else {
        let (whole, fraction) = digits.split_at(digits.len().min(1));
        text.push(whole);
        if !fraction.is_empty() {
            text.push(b".");
            text.push(fraction);
        }
        text.push(if shape.power < 0 { b"e-" } else { b"e+" });
        text.push(&format_u64(u64::from(shape.power.unsigned_abs())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(value: f64) -> String {
        String::from_utf8(format_f64(value).to_vec()).expect("ascii")
    }

    #[test]
    fn integers_have_one_form() {
        for (text, value) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), value);
        }
        for refused in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            " 1",
            "1 ",
            "1.0",
            "0x1",
            "9223372036854775808",
            "-9223372036854775809",
            "1e3",
            "--1",
        ] {
            assert_eq!(parse_i64(refused.as_bytes()), None, "{refused:?}");
        }
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"99999999999999999999"), None);
        assert_eq!(parse_u64(b"-1"), None);
    }

    #[test]
    fn double_arguments_as_the_peer_takes_them() {
        for (text, value) in [
            ("1", 1.0),
            ("+1", 1.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("+.5e1", 5.0),
            ("1E3", 1000.0),
            ("0e999", 0.0),
        ] {
            assert_eq!(parse_f64(text.as_bytes()), Some(value), "{text:?}");
        }
        for text in ["inf", "+INF", "Infinity"] {
            assert_eq!(parse_f64(text.as_bytes()), Some(f64::INFINITY));
        }
        assert_eq!(parse_f64(b"-inf"), Some(f64::NEG_INFINITY));
        for refused in [
            "", ".", "+", "nan", "-nan", " 1", "1 ", "1e", "1e+", "0x10", "1_0", "infinit", "1e400",
            "-1e400", "1e-400", "2.4e-324", "--1",
        ] {
            assert_eq!(parse_f64(refused.as_bytes()), None, "{refused:?}");
        }
    }

    #[test]
    fn double_replies_as_the_peer_writes_them() {
        for (value, text) in [
            (3.0, "3"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1e17, "100000000000000000"),
            (1e18, "1000000000000000000"),
            (9e18, "9e+18"),
            (1e20, "1e+20"),
            (9223372036854774784.0, "9223372036854775000"),
            (1e-5, "0.00001"),
            (1e-7, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (123456789.12345679, "1.2345678912345679e+8"),
            (123456.7890123, "1.234567890123e+5"),
            (1234567.891, "1234567.891"),
            (0.00012345678901234567, "1.2345678901234567e-4"),
            (12345.00000001, "1.234500000001e+4"),
            (0.00123456, "0.00123456"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (-5e-324, "-5e-324"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(shown(value), text);
        }
    }

    proptest! {
        #[test]
        fn an_integer_reads_back(value: i64) {
            let text = format_i64(value);
            prop_assert_eq!(parse_i64(&text), Some(value));
            prop_assert_eq!(text.len(), integer_len(value));
            let expected = value.to_string();
            prop_assert_eq!(&*text, expected.as_bytes());
        }

        #[test]
        fn what_is_read_writes_back_the_same(text in "-?[0-9]{0,22}") {
            if let Some(value) = parse_i64(text.as_bytes()) {
                prop_assert_eq!(value.to_string(), text);
            } else {
                prop_assert!(
                    text.parse::<i64>().is_err()
                        || text.parse::<i64>().is_ok_and(|value| value.to_string() != text)
                );
            }
        }

        #[test]
        fn a_double_reads_back(bits: u64) {
            let value = f64::from_bits(bits);
            if value.is_finite() {
                prop_assert_eq!(parse_f64(&format_f64(value)), Some(value));
            }
        }
    }
}
