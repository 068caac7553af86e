//! The 80-bit extended floating point of INCRBYFLOAT and HINCRBYFLOAT.
//!
//! Redis adds such increments in the x87 format (64 bits of mantissa) and prints 17 decimals with trailing
//! zeros cut. Replies show both, so both are done here bit for bit, on integers.

use std::cmp::Ordering;

/// Longest text that Redis reads as an extended float, in bytes.
const MAX_TEXT_LEN: usize = 5 * 1024 - 1;
/// Decimals printed.
const DECIMALS: u32 = 17;
const TEN_POW_DECIMALS: u128 = 10u128.pow(DECIMALS);
/// Largest exponent of the mantissa's lowest bit in the format.
const MAX_EXPONENT: i64 = 16383 - 63;
const MIN_EXPONENT: i64 = -16446 - 63;

/// A number of the 80-bit extended format: `mantissa * 2^exponent`, the mantissa's top bit set unless it is
/// zero. Never NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    infinite: bool,
    exponent: i32,
    mantissa: u64,
}

impl LongDouble {
    /// The number 0, without a sign.
    pub const ZERO: Self = Self { negative: false, infinite: false, exponent: 0, mantissa: 0 };

    /// The highest number that is not infinite.
    pub const MAX: Self =
        Self { negative: false, infinite: false, exponent: MAX_EXPONENT as i32, mantissa: u64::MAX };

    /// The lowest number that is not infinite.
    pub const MIN: Self = Self { negative: true, ..Self::MAX };

    /// Whether it is not infinite.
    pub fn is_finite(self) -> bool {
        !self.infinite
    }

    /// The same number with the other sign.
    pub fn negated(self) -> Self {
        Self { negative: !self.negative && (self.infinite || self.mantissa != 0), ..self }
    }

    /// Which of two numbers is greater; both zeros are the same.
    pub fn compare(self, other: Self) -> std::cmp::Ordering {
        // The exponent of 0 says nothing.
        let sign = |number: Self| match (number.infinite || number.mantissa != 0, number.negative) {
            (false, _) => 0,
            (true, negative) => 1 - 2 * i32::from(negative),
        };
        let magnitude = |number: Self| (number.infinite, number.exponent, number.mantissa);
        sign(self).cmp(&sign(other)).then_with(|| match sign(self) {
            0 => std::cmp::Ordering::Equal,
            1 => magnitude(self).cmp(&magnitude(other)),
            _ => magnitude(other).cmp(&magnitude(self)),
        })
    }

    /// Reads what `strtold` reads: decimal or hexadecimal with or without an exponent, or infinity, in any
    /// case. Refuses NaN, spaces, an empty text, and numbers beyond the range of the format.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > MAX_TEXT_LEN {
            return None;
        }
        let (negative, unsigned) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
            return Some(Self { negative, infinite: true, exponent: 0, mantissa: 0 });
        }
        let magnitude = match unsigned {
            [b'0', b'x' | b'X', digits @ ..] => Literal::parse::<16>(digits)?.binary(),
            _ => Literal::parse::<10>(unsigned)?.decimal(),
        }?;
        Some(Self { negative, ..magnitude })
    }

    /// The nearest double, or nearly; infinity beyond that range.
    pub fn to_f64(self) -> f64 {
        let magnitude =
            if self.infinite { f64::INFINITY } else { self.mantissa as f64 * 2f64.powi(self.exponent) };
        if self.negative { -magnitude } else { magnitude }
    }

    /// The sum, rounded to the nearest number of the format, ties to even; `None` when it would be infinite
    /// or not a number.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        if self.infinite || other.infinite {
            return None;
        }
        if self.mantissa == 0 {
            return Some(other);
        }
        if other.mantissa == 0 {
            return Some(self);
        }
        let (large, small) = if (self.exponent, self.mantissa) >= (other.exponent, other.mantissa) {
            (self, other)
        } else {
            (other, self)
        };
        // 62 guard bits below the mantissa and a sticky lowest bit are more than rounding needs.
        const GUARD: u32 = 62;
        let upper = u128::from(large.mantissa) << GUARD;
        let distance = large.exponent.abs_diff(small.exponent);
        let lower = shift_right_sticky(u128::from(small.mantissa) << GUARD, distance);
        let sum = if large.negative == small.negative { upper + lower } else { upper - lower };
        let Some(rounded) = Self::rounded(sum, i64::from(large.exponent) - i64::from(GUARD), false) else {
            // The result is too small for the format: the rest of two neighbouring numbers, which 17 decimals
            // do not show.
            return (large.exponent < 0).then_some(Self::ZERO);
        };
        Some(Self { negative: large.negative && rounded.mantissa != 0, ..rounded })
    }

    /// Writes the number with up to 17 decimals, rounded half to even, trailing zeros cut; a negative zero is
    /// `0`.
    pub fn format_into(self, out: &mut Vec<u8>) {
        if self.infinite {
            out.extend_from_slice(if self.negative { b"-inf" } else { b"inf" });
            return;
        }
        if self.mantissa == 0 {
            out.push(b'0');
            return;
        }
        let (whole, decimals) = if self.exponent >= 0 { (None, 0) } else { self.fraction_parts() };
        if self.negative && (decimals != 0 || whole != Some(0)) {
            out.push(b'-');
        }
        match whole {
            Some(whole) => push_u128(out, whole),
            None if self.exponent <= 64 => push_u128(out, u128::from(self.mantissa) << self.exponent),
            None => {
                let mut big = Big::from_u64(self.mantissa);
                big.shift_left(self.exponent.unsigned_abs());
                big.push_decimal(out);
            }
        }
        if decimals != 0 {
            let mut rest = decimals;
            let mut width = DECIMALS as usize;
            while rest % 10 == 0 {
                rest /= 10;
                width -= 1;
            }
            out.push(b'.');
            let mut digits = Vec::with_capacity(width);
            push_u128(&mut digits, rest);
            out.resize(out.len() + width - digits.len(), b'0');
            out.extend_from_slice(&digits);
        }
    }

    /// The whole part and 17 decimals of a number with a negative exponent.
    fn fraction_parts(self) -> (Option<u128>, u128) {
        let distance = self.exponent.unsigned_abs();
        let (mut whole, scaled) = if distance < 64 {
            let fraction = self.mantissa & ((1 << distance) - 1);
            (u128::from(self.mantissa >> distance), u128::from(fraction) * TEN_POW_DECIMALS)
        } else {
            (0, u128::from(self.mantissa) * TEN_POW_DECIMALS)
        };
        let mut decimals = shift_right_to_even(scaled, distance);
        if decimals == TEN_POW_DECIMALS {
            decimals = 0;
            whole += 1;
        }
        (Some(whole), decimals)
    }

    /// Rounds `value * 2^exponent`, with something more below it when `sticky`, to 64 bits. `None` when it is
    /// out of range.
    fn rounded(value: u128, exponent: i64, sticky: bool) -> Option<Self> {
        if value == 0 {
            return Some(Self::ZERO);
        }
        let bits = i64::from(128 - value.leading_zeros());
        let surplus = bits - 64;
        let mut exponent = exponent + surplus;
        let mut mantissa = if surplus <= 0 {
            (value << -surplus) as u64
        } else {
            let kept = (value >> surplus) as u64;
            let lost = value & ((1u128 << surplus) - 1);
            let half = 1u128 << (surplus - 1);
            let up = match lost.cmp(&half) {
                Ordering::Greater => true,
                Ordering::Equal => sticky || kept & 1 == 1,
                Ordering::Less => false,
            };
            match kept.checked_add(u64::from(up)) {
                Some(kept) => kept,
                None => {
                    exponent += 1;
                    1 << 63
                }
            }
        };
        if exponent > MAX_EXPONENT {
            return None;
        }
        if exponent < MIN_EXPONENT || (exponent == MIN_EXPONENT && mantissa == 1 << 63) {
            return None;
        }
        if mantissa == 0 {
            mantissa = 1 << 63;
        }
        Some(Self { negative: false, infinite: false, exponent: exponent as i32, mantissa })
    }
}

/// Digits of a number as written, and the power of the base (2 for hexadecimal) of the last digit.
struct Literal<'a> {
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Literal<'a> {
    fn parse<const BASE: u32>(text: &'a [u8]) -> Option<Self> {
        let mark = if BASE == 16 { b'p' } else { b'e' };
        let end = text.iter().position(|byte| byte.to_ascii_lowercase() == mark).unwrap_or(text.len());
        let (digits, tail) = text.split_at(end);
        let (whole, fraction) = match memchr::memchr(b'.', digits) {
            Some(point) => (digits.get(..point)?, digits.get(point + 1..)?),
            None => (digits, &[][..]),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        if !whole.iter().chain(fraction).all(|&byte| char::from(byte).is_digit(BASE)) {
            return None;
        }
        let exponent = match tail {
            [] => 0,
            [_, tail @ ..] => parse_exponent(tail)?,
        };
        Some(Self { whole, fraction, exponent })
    }

    fn digits(&self, base: u32) -> impl Iterator<Item = u32> {
        self.whole
            .iter()
            .chain(self.fraction)
            .map(move |&byte| char::from(byte).to_digit(base).unwrap_or(0))
            .skip_while(|&digit| digit == 0)
    }

    fn binary(&self) -> Option<LongDouble> {
        let mut value = 0u128;
        let mut exponent = self.exponent - 4 * self.fraction.len() as i64;
        let mut sticky = false;
        for digit in self.digits(16) {
            if value >> 120 == 0 {
                value = value << 4 | u128::from(digit);
            } else {
                exponent += 4;
                sticky |= digit != 0;
            }
        }
        LongDouble::rounded(value, exponent, sticky)
    }

    fn decimal(&self) -> Option<LongDouble> {
        let count = self.digits(10).count();
        if count == 0 {
            return Some(LongDouble::ZERO);
        }
        let power = self.exponent - self.fraction.len() as i64;
        // Far outside of the range, whatever the digits are.
        if power + count as i64 > 5000 || power + (count as i64) < -5000 {
            return None;
        }
        if count <= 19 {
            let value = self.digits(10).fold(0u64, |value, digit| value * 10 + u64::from(digit));
            match power {
                0..=19 => return LongDouble::rounded(u128::from(value) * 10u128.pow(power as u32), 0, false),
                -17..=-1 => {
                    // The dividend's top bit is set, so the quotient has 71 bits or more and the remainder is
                    // only a sticky bit.
                    let shift = 64 + value.leading_zeros();
                    let dividend = u128::from(value) << shift;
                    let divisor = 10u128.pow(power.unsigned_abs() as u32);
                    return LongDouble::rounded(
                        dividend / divisor,
                        -i64::from(shift),
                        dividend % divisor != 0,
                    );
                }
                _ => {}
            }
        }
        self.decimal_exact(power)
    }

    /// The general case, on integers of any size.
    fn decimal_exact(&self, power: i64) -> Option<LongDouble> {
        let mut big = Big::default();
        for digit in self.digits(10) {
            big.multiply_add(10, digit);
        }
        let mut exponent = 0i64;
        let mut sticky = false;
        let mut steps = power.unsigned_abs();
        if power >= 0 {
            while steps > 0 {
                let step = steps.min(9);
                big.multiply_add(10u32.pow(step as u32), 0);
                steps -= step;
            }
        } else {
            // Enough bits above the divisor's for the quotient to keep more than 64. A power of ten has fewer
            // than 10/3 bits a digit and one more.
            let wanted = steps * 10 / 3 + 2 + 72;
            let shift = wanted.saturating_sub(big.bits());
            big.shift_left(shift as u32);
            exponent -= shift as i64;
            while steps > 0 {
                let step = steps.min(9);
                sticky |= big.divide(10u32.pow(step as u32)) != 0;
                steps -= step;
            }
        }
        let (top, dropped_bits, lost) = big.top();
        LongDouble::rounded(top, exponent + dropped_bits as i64, sticky || lost)
    }
}

/// An exponent with an optional sign; huge ones are held at a bound that is out of range anyway.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude =
        digits.iter().fold(0i64, |value, byte| (value * 10 + i64::from(byte - b'0')).min(1_000_000));
    Some(if negative { -magnitude } else { magnitude })
}

fn shift_right_sticky(value: u128, distance: u32) -> u128 {
    if distance >= 128 {
        return u128::from(value != 0);
    }
    let lost = value & ((1 << distance) - 1);
    value >> distance | u128::from(lost != 0)
}

fn shift_right_to_even(value: u128, distance: u32) -> u128 {
    if distance >= 128 {
        return 0;
    }
    let kept = value >> distance;
    let lost = value & ((1 << distance) - 1);
    let half = (1u128 << distance) >> 1;
    kept + u128::from(lost > half || (lost == half && lost != 0 && kept & 1 == 1))
}

fn push_u128(out: &mut Vec<u8>, value: u128) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// An unsigned integer of any size, least significant limb first, no zero limb on top.
#[derive(Default)]
struct Big {
    limbs: Vec<u32>,
}

impl Big {
    fn from_u64(value: u64) -> Self {
        let mut big = Self { limbs: vec![value as u32, (value >> 32) as u32] };
        big.trim();
        big
    }

    fn trim(&mut self) {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }

    fn bits(&self) -> u64 {
        self.limbs.last().map_or(0, |top| self.limbs.len() as u64 * 32 - u64::from(top.leading_zeros()))
    }

    fn multiply_add(&mut self, factor: u32, addend: u32) {
        let mut carry = u64::from(addend);
        for limb in &mut self.limbs {
            let product = u64::from(*limb) * u64::from(factor) + carry;
            *limb = product as u32;
            carry = product >> 32;
        }
        if carry != 0 {
            self.limbs.push(carry as u32);
        }
    }

    /// Divides in place and returns the remainder.
    fn divide(&mut self, divisor: u32) -> u32 {
        let mut remainder = 0u64;
        for limb in self.limbs.iter_mut().rev() {
            let dividend = remainder << 32 | u64::from(*limb);
            *limb = (dividend / u64::from(divisor)) as u32;
            remainder = dividend % u64::from(divisor);
        }
        self.trim();
        remainder as u32
    }

    fn shift_left(&mut self, distance: u32) {
        self.multiply_add(1 << (distance % 32), 0);
        let whole = (distance / 32) as usize;
        self.limbs.splice(0..0, std::iter::repeat_n(0, whole));
    }

    /// The top 128 bits at most, how many bits were below them, and whether any of those was set.
    fn top(&self) -> (u128, u64, bool) {
        let dropped = self.limbs.len().saturating_sub(4);
        let (low, high) = self.limbs.split_at(dropped);
        let top = high.iter().rev().fold(0u128, |value, &limb| value << 32 | u128::from(limb));
        (top, dropped as u64 * 32, low.iter().any(|&limb| limb != 0))
    }

    fn push_decimal(mut self, out: &mut Vec<u8>) {
        const CHUNK: u32 = 1_000_000_000;
        let mut chunks = Vec::new();
        while !self.limbs.is_empty() {
            chunks.push(self.divide(CHUNK));
        }
        let mut buffer = itoa::Buffer::new();
        for (index, &chunk) in chunks.iter().rev().enumerate() {
            let text = buffer.format(chunk);
            if index > 0 {
                out.resize(out.len() + 9 - text.len(), b'0');
            }
            out.extend_from_slice(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(a: &str, b: &str) -> Option<String> {
        let total = LongDouble::parse(a.as_bytes())?.checked_add(LongDouble::parse(b.as_bytes())?)?;
        let mut out = Vec::new();
        total.format_into(&mut out);
        Some(String::from_utf8(out).expect("ascii"))
    }

    #[test]
    fn sums_as_the_peer_makes_them() {
        for (a, b, total) in [
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("10000000000", "0.1", "10000000000.09999999962747097"),
            ("0", "1e-17", "0.00000000000000001"),
            ("0", "5e-18", "0"),
            ("0", "4e-18", "0"),
            ("0", "-1e-18", "0"),
            ("-0", "-0", "0"),
            ("1", "-1", "0"),
            ("0", "0x1p3", "8"),
            ("0", "0x1.8p-1", "0.75"),
            ("0", "1.", "1"),
            ("0", ".5", "0.5"),
            ("3", "-3.75", "-0.75"),
            ("1e40", "1", "9999999999999999999783686092270256259072"),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("0", "1e-4950", "0"),
            ("0.99999999999999999999", "0", "1"),
        ] {
            assert_eq!(sum(a, b).as_deref(), Some(total), "{a} + {b}");
        }
        assert_eq!(sum("0", "1e4932").map(|text| text.len()), Some(4933));
    }

    #[test]
    fn what_is_refused() {
        for text in [
            "", "nan", " 1", "1 ", "1e", "1e5000", "1e4933", "1e-5000", "0x", "0xg", ".", "+", "-", "1.2.3",
            "e5", "inf1",
        ] {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(sum("inf", "1"), None);
        assert_eq!(sum("inf", "-inf"), None);
        assert_eq!(sum("1.1e4932", "1.1e4932"), None);
    }

    /// Order and sign are those of the doubles that the numbers came from.
    #[test]
    fn numbers_are_ordered() {
        let texts =
            ["-inf", "-1e4000", "-3.5", "-0.25", "-0", "0", "1e-4000", "0.25", "3.5", "4", "1e4000", "inf"];
        let numbers: Vec<LongDouble> =
            texts.iter().map(|text| LongDouble::parse(text.as_bytes()).expect("a number")).collect();
        for (low, number) in numbers.iter().enumerate() {
            for (high, other) in numbers.iter().enumerate() {
                let zeros = [low, high].iter().all(|place| [4, 5].contains(place));
                let expected = if zeros { std::cmp::Ordering::Equal } else { low.cmp(&high) };
                assert_eq!(number.compare(*other), expected, "{} {}", texts[low], texts[high]);
                let negated = if zeros { std::cmp::Ordering::Equal } else { high.cmp(&low) };
                assert_eq!(number.negated().compare(other.negated()), negated);
            }
        }
        assert!(LongDouble::MAX.is_finite());
        assert_eq!(LongDouble::MAX.checked_add(LongDouble::MAX), None);
        assert_eq!(LongDouble::MAX.compare(numbers[10]), std::cmp::Ordering::Greater);
        assert_eq!(LongDouble::ZERO.negated(), LongDouble::ZERO);
    }

    proptest! {
        /// Integers and their halves are exact, so the sum is known.
        #[test]
        fn exact_sums(a in -(1i64 << 52)..1i64 << 52, b in -(1i64 << 52)..1i64 << 52) {
            let half = |value: i64| {
                format!(
                    "{}{}",
                    if value < 0 { "-" } else { "" },
                    format_args!("{}.{}", value.abs() / 2, if value % 2 != 0 { 5 } else { 0 })
                )
            };
            let total = a + b;
            let expected = half(total);
            let expected = expected.trim_end_matches(".0");
            prop_assert_eq!(
                sum(&half(a), &half(b)),
                Some(if expected == "-0" { "0".to_owned() } else { expected.to_owned() })
            );
        }

    /// The quick paths and the exact one agree.
        #[test]
        fn quick_is_exact(digits in 1u64..10_000_000_000_000_000_000, power in -17i64..=19) {
            let text = digits.to_string();
            let literal = Literal { whole: text.as_bytes(), fraction: &[], exponent: power };
            prop_assert_eq!(literal.decimal(), literal.decimal_exact(power));
        }

        #[test]
        fn nothing_panics(text in proptest::collection::vec(proptest::sample::select(b"0123456789.eExXpP+-inf".to_vec()), 0..24)) {
            if let Some(value) = LongDouble::parse(&text) {
                let mut out = Vec::new();
                value.format_into(&mut out);
                prop_assert!(LongDouble::parse(&out).is_some());
            }
        }
    }
}
