//! Numbers as C reads and writes them.

use std::io::Write as _;

/// Appends a finite number as C's `%.Ng` writes it: so many significant digits, no zeros at the end, an
/// exponent of at least two digits when the number is below 0.0001 or has more digits before the point than
/// asked for.
pub(super) fn push_general(out: &mut Vec<u8>, value: f64, precision: usize) {
    const WHOLE_LIMIT: f64 = 1e15;
    debug_assert!(value.is_finite() && precision > 0);
    if value.abs() < WHOLE_LIMIT && value.trunc() == value && !(value == 0.0 && value.is_sign_negative()) {
        let text = crate::primitives::number::format_i64(value as i64);
        let digits = text.len() - usize::from(value < 0.0);
        if digits <= precision {
            out.extend_from_slice(&text);
            return;
        }
    }
    // "d.ddde-nn", rounded to the digits asked for.
    let mut scientific = [0u8; 40];
    let mut rest = scientific.as_mut_slice();
    let written = write!(rest, "{:.*e}", precision - 1, value.abs());
    debug_assert!(written.is_ok(), "a precision that no setting allows");
    let free = rest.len();
    let used = scientific.len() - free;
    let text = scientific.get(..used).unwrap_or_default();
    let at = text.iter().position(|&byte| byte == b'e').unwrap_or(used);
    let (mantissa, exponent) = text.split_at(at);
    let exponent: i32 = exponent
        .get(1..)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0);
    let mut digits = [b'0'; 40];
    let mut count = 0;
    for &byte in mantissa.iter().filter(|byte| byte.is_ascii_digit()) {
        if let Some(to) = digits.get_mut(count) {
            *to = byte;
            count += 1;
        }
    }
    let digits = digits.get(..count).unwrap_or_default();
    let kept = digits.iter().rposition(|&byte| byte != b'0').map_or(1, |last| last + 1);

    if value.is_sign_negative() {
        out.push(b'-');
    }
    if exponent < -4 || exponent >= precision as i32 {
        push_pointed(out, digits.get(..kept).unwrap_or_default(), 1);
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        let power = exponent.unsigned_abs();
        if power < 10 {
            out.push(b'0');
        }
        out.extend_from_slice(&crate::primitives::number::format_u64(u64::from(power)));
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-exponent - 1) as usize, b'0');
        out.extend_from_slice(digits.get(..kept).unwrap_or_default());
    } else {
        let whole = exponent as usize + 1;
        push_pointed(out, digits.get(..kept.max(whole)).unwrap_or_default(), whole);
    }
}

fn push_pointed(out: &mut Vec<u8>, digits: &[u8], whole: usize) {
    let (before, after) = digits.split_at(whole.min(digits.len()));
    out.extend_from_slice(before);
    if !after.is_empty() {
        out.push(b'.');
        out.extend_from_slice(after);
    }
}

/// Reads the number at the beginning as C's `strtod` does: decimal, hexadecimal, `inf`, `infinity`, `nan`.
/// Answers it with the length read.
pub(super) fn read_number(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let negative = text.first() == Some(&b'-');
    let unsigned = text.get(sign..)?;
    let (value, len) = if let Some(found) = read_word(unsigned) {
        found
    } else if let Some(found) = read_hexadecimal(unsigned) {
        found
    } else {
        read_decimal(unsigned)?
    };
    Some((if negative { -value } else { value }, sign + len))
}

fn read_word(text: &[u8]) -> Option<(f64, usize)> {
    let starts = |word: &[u8]| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if starts(b"infinity") {
        return Some((f64::INFINITY, 8));
    }
    if starts(b"inf") {
        return Some((f64::INFINITY, 3));
    }
    if !starts(b"nan") {
        return None;
    }
    // A sequence in brackets may follow.
    let rest = text.get(3..).unwrap_or_default();
    let inner = match rest.strip_prefix(b"(") {
        Some(inner) => inner.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count(),
        None => return Some((f64::NAN, 3)),
    };
    let closed = rest.get(inner + 1) == Some(&b')');
    Some((f64::NAN, if closed { 3 + inner + 2 } else { 3 }))
}

fn read_decimal(text: &[u8]) -> Option<(f64, usize)> {
    let (whole, mut len) = (digits_at(text, 0), digits_at(text, 0));
    let mut fraction = 0;
    if text.get(len) == Some(&b'.') {
        fraction = digits_at(text, len + 1);
        if whole + fraction > 0 {
            len += 1 + fraction;
        }
    }
    if whole + fraction == 0 {
        return None;
    }
    if matches!(text.get(len), Some(b'e' | b'E')) {
        len = exponent_end(text, len).unwrap_or(len);
    }
    let value = std::str::from_utf8(text.get(..len)?).ok()?.parse().ok()?;
    Some((value, len))
}

fn digits_at(text: &[u8], from: usize) -> usize {
    text.get(from..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The end of the exponent whose letter stands at `at`, if digits follow.
fn exponent_end(text: &[u8], at: usize) -> Option<usize> {
    let digits_from = at + 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
    let digits = digits_at(text, digits_from);
    (digits > 0).then_some(digits_from + digits)
}

fn read_hexadecimal(text: &[u8]) -> Option<(f64, usize)> {
    if !matches!(text, [b'0', b'x' | b'X', ..]) {
        return None;
    }
    let mut mantissa = 0u64;
    // Bits below the 64 that are kept: only whether there were any matters.
    let mut sticky = false;
    let mut exponent = 0i64;
    let (mut len, mut any, mut point) = (2, false, false);
    loop {
        let byte = text.get(len).copied().unwrap_or(0);
        if byte == b'.' && !point {
            point = true;
        } else if let Some(digit) = char::from(byte).to_digit(16) {
            any = true;
            if mantissa >> 60 == 0 {
                mantissa = mantissa << 4 | u64::from(digit);
                exponent -= if point { 4 } else { 0 };
            } else {
                sticky |= digit != 0;
                exponent += if point { 0 } else { 4 };
            }
        } else {
            break;
        }
        len += 1;
    }
    if !any {
        return None;
    }
    if matches!(text.get(len), Some(b'p' | b'P'))
        && let Some(end) = exponent_end(text, len)
    {
        let negative = text.get(len + 1) == Some(&b'-');
        let power = text.get(len + 1..end).unwrap_or_default().iter().filter(|byte| byte.is_ascii_digit());
        // Large enough to be infinity or zero whatever the mantissa's length.
        let power = power.fold(0i64, |sum, &byte| (sum * 10 + i64::from(byte - b'0')).min(1 << 40));
        exponent += if negative { -power } else { power };
        len = end;
    }
    Some((scaled(mantissa, sticky, exponent), len))
}

/// `mantissa` times two to the power of `exponent`, rounded once, to even.
fn scaled(mantissa: u64, sticky: bool, exponent: i64) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let shift = mantissa.leading_zeros();
    let mantissa = mantissa << shift;
    // The power of two of the highest bit.
    let power = exponent - i64::from(shift) + 63;
    if power > 1023 {
        return f64::INFINITY;
    }
    // A double keeps 53 bits, fewer below 2^-1022.
    let kept = if power >= -1022 { 53 } else { 53 - (-1022 - power) };
    if kept < 0 {
        return 0.0;
    }
    let dropped = 64 - kept as u32;
    let whole = if dropped == 64 { 0 } else { mantissa >> dropped };
    let rest = mantissa << kept;
    let half = 1u64 << 63;
    let up = rest > half || rest == half && (sticky || whole & 1 == 1);
    let rounded = whole + u64::from(up);
    // Below 2^-1022 the bits are the double; above, the leading bit is implied and the exponent is added, a
    // carry included.
    let bits = if power >= -1022 { ((power + 1022) as u64).wrapping_shl(52) + rounded } else { rounded };
    f64::from_bits(bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn general(value: f64, precision: usize) -> String {
        let mut out = Vec::new();
        push_general(&mut out, value, precision);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_as_c_does() {
        for (value, precision, expected) in [
            (0.0, 14, "0"),
            (-0.0, 14, "-0"),
            (-7.0, 14, "-7"),
            (99_999_999_999_999.0, 14, "99999999999999"),
            (-99_999_999_999_999.0, 14, "-99999999999999"),
            (1e14, 14, "1e+14"),
            (0.0001, 14, "0.0001"),
            (0.00001, 14, "1e-05"),
            (5e-324, 14, "4.9406564584125e-324"),
            (f64::MAX, 14, "1.7976931348623e+308"),
            (100.0, 1, "1e+02"),
            (0.5, 1, "0.5"),
            (2.5, 1, "2"),
            (1e15, 17, "1000000000000000"),
            (123.456, 4, "123.5"),
            (120.0, 2, "1.2e+02"),
        ] {
            assert_eq!(general(value, precision), expected);
        }
    }

    #[test]
    fn hexadecimal_is_rounded_once() {
        for (text, expected) in [
            ("0x1.00000000000008p0", 1.0),
            ("0x1.00000000000008000000001p0", 1.0 + f64::EPSILON),
            ("0x1.00000000000018p0", 1.0 + 2.0 * f64::EPSILON),
            ("0x1.fffffffffffff8p1023", f64::INFINITY),
            ("0x1.fffffffffffff7p1023", f64::MAX),
            ("0x0.8p-1074", 0.0),
            ("0x0.80001p-1074", 5e-324),
            ("0x1.8p-1074", 1e-323),
            ("0x0.fffffffffffff8p-1022", f64::MIN_POSITIVE),
            ("0x1p-1075", 0.0),
            ("0x1p-1076", 0.0),
        ] {
            assert_eq!(read_number(text.as_bytes()), Some((expected, text.len())), "{text}");
        }
    }

    proptest! {
        #[test]
        fn seventeen_digits_read_back(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            let text = general(value, 17);
            prop_assert_eq!(read_number(text.as_bytes()), Some((value, text.len())));
        }

        #[test]
        fn hexadecimal_reads_back(mantissa in 0u64..1 << 53, power in -1200i32..1100) {
            let text = format!("0x{mantissa:x}p{power}");
            // In two steps, so that neither leaves the range of normal numbers when the result is one.
            let half = power / 2;
            let exact = mantissa as f64 * 2f64.powi(half) * 2f64.powi(power - half);
            let (value, len) = read_number(text.as_bytes()).unwrap();
            prop_assert_eq!(len, text.len());
            prop_assert_eq!(value, exact);
        }

        #[test]
        fn no_text_is_too_strange(text in "[-+0-9xXa-fpPeE.infty()]{0,24}") {
            if let Some((_, len)) = read_number(text.as_bytes()) {
                prop_assert!(len <= text.len());
            }
        }
    }
}
