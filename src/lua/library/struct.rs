//! `struct`: numbers and strings in the layouts of C.

use std::borrow::Cow;

use mlua::{IntoLua, Lua, MultiValue, Table, Value};

use super::call::{Arguments, Failure, STACK_SLOTS_MAX, function, truncated};
use super::meter::Meter;

/// The widest integer, in bytes.
const INTEGER_SIZE_MAX: usize = 32;
/// Alignment when `!` stands without a number.
const NATIVE_ALIGNMENT: usize = 8;
/// What a number in a format may be at most.
const FORMAT_NUMBER_MAX: usize = i32::MAX as usize;

/// Makes the table of functions.
pub fn table(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, 3)?;
    table.raw_set("pack", function(lua, pack)?)?;
    table.raw_set("unpack", function(lua, unpack)?)?;
    table.raw_set("size", function(lua, size)?)?;
    Ok(table)
}

fn pack(lua: &Lua, args: &Arguments) -> Result<mlua::LuaString, Failure> {
    let format = args.string(lua, 1)?;
    let format = format.as_bytes();
    let mut meter = Meter::new(lua);
    let mut layout = Layout::new(&format);
    let mut out = Vec::with_capacity(64);
    let mut number = 1;
    while let Some(item) = layout.next(&mut meter)? {
        meter.makes(out.len())?;
        out.resize(out.len() + layout.padding(out.len(), &item), 0);
        match item.kind {
            Kind::Padding => out.push(0),
            Kind::Integer { .. } => {
                number += 1;
                push_integer(&mut out, packed_number(lua, args, number)?, item.size, layout.big_endian);
            }
            Kind::Float => {
                number += 1;
                let value = packed_number(lua, args, number)? as f32;
                let bytes = if layout.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
                out.extend_from_slice(&bytes);
            }
            Kind::Double => {
                number += 1;
                let value = packed_number(lua, args, number)?;
                let bytes = if layout.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
                out.extend_from_slice(&bytes);
            }
            Kind::Bytes | Kind::Terminated => {
                number += 1;
                if args.get(number).is_none() {
                    return Err(absent(number, "string"));
                }
                let text = args.string(lua, number)?;
                let text = text.as_bytes();
                let size = if item.kind == Kind::Bytes && item.size > 0 { item.size } else { text.len() };
                let taken = text.get(..size).ok_or(Failure::argument(number + 1, "string too short"))?;
                out.extend_from_slice(taken);
                if item.kind == Kind::Terminated {
                    out.push(0);
                }
            }
            Kind::Control => {}
            Kind::Unknown(option) => return Err(invalid_option(option)),
        }
    }
    Ok(lua.create_string(out)?)
}

/// The number to be packed. A missing one counts as nil.
fn packed_number(lua: &Lua, args: &Arguments, number: usize) -> Result<f64, Failure> {
    if args.get(number).is_none() {
        return Err(absent(number, "number"));
    }
    args.number(lua, number)
}

#[cold]
fn absent(number: usize, expected: &str) -> Failure {
    Failure::argument_text(number, format!("{expected} expected, got nil"))
}

fn unpack(lua: &Lua, args: &Arguments) -> Result<MultiValue, Failure> {
    let format = args.string(lua, 1)?;
    let data = args.string(lua, 2)?;
    let start = if args.is_absent(3) { 1 } else { args.integer(lua, 3)? };
    if start == 0 {
        return Err(Failure::argument(3, "offset must be 1 or greater"));
    }
    let (format, data) = (format.as_bytes(), data.as_bytes());
    let mut layout = Layout::new(&format);
    // A negative start lies beyond any data: it is answered as it is if nothing is read.
    let mut at = start.wrapping_sub(1) as usize;
    let mut results: Vec<Value> = Vec::new();
    let mut meter = Meter::new(lua);
    while let Some(item) = layout.next(&mut meter)? {
        at = at.wrapping_add(layout.padding(at, &item));
        let bytes = take(&data, at, item.size)?;
        // Two slots for the arguments, and two that must be free.
        if item.kind.has_value() && results.len() + 4 > STACK_SLOTS_MAX {
            return Err(Failure::message("stack overflow (too many results)"));
        }
        let mut used = item.size;
        match item.kind {
            Kind::Integer { signed } => {
                results.push(Value::Number(read_integer(bytes, layout.big_endian, signed)));
            }
            Kind::Float => {
                let bytes: [u8; 4] = bytes.try_into().unwrap_or_default();
                let value =
                    if layout.big_endian { f32::from_be_bytes(bytes) } else { f32::from_le_bytes(bytes) };
                results.push(Value::Number(f64::from(value)));
            }
            Kind::Double => {
                let bytes: [u8; 8] = bytes.try_into().unwrap_or_default();
                let value =
                    if layout.big_endian { f64::from_be_bytes(bytes) } else { f64::from_le_bytes(bytes) };
                results.push(Value::Number(value));
            }
            Kind::Bytes => {
                let mut bytes = bytes;
                if item.size == 0 {
                    // The number read before is the length, and is no result.
                    let before = results.last().map(|value| lua.coerce_number(value.clone()));
                    let Some(Some(size)) = before.transpose()? else {
                        return Err(Failure::message("format 'c0' needs a previous size"));
                    };
                    results.pop();
                    used = usize::try_from(unsigned(size)).unwrap_or(usize::MAX);
                    bytes = take(&data, at, used)?;
                }
                meter.bytes(bytes.len())?;
                results.push(mlua::LuaString::wrap(bytes).into_lua(lua)?);
            }
            Kind::Terminated => {
                let rest = data.get(at..).unwrap_or_default();
                let Some(len) = memchr::memchr(0, rest) else {
                    return Err(Failure::message("unfinished string in data"));
                };
                meter.bytes(len)?;
                results.push(mlua::LuaString::wrap(rest.get(..len).unwrap_or_default()).into_lua(lua)?);
                used = len + 1;
            }
            Kind::Padding | Kind::Control => {}
            Kind::Unknown(option) => return Err(invalid_option(option)),
        }
        at = at.wrapping_add(used);
    }
    results.push(Value::Number((at as i64).wrapping_add(1) as f64));
    Ok(MultiValue::from_vec(results))
}

fn take(data: &[u8], at: usize, size: usize) -> Result<&[u8], Failure> {
    let end = at.checked_add(size);
    match end.and_then(|end| data.get(at..end)) {
        Some(bytes) => Ok(bytes),
        None => Err(Failure::argument(2, "data string too short")),
    }
}

fn size(lua: &Lua, args: &Arguments) -> Result<f64, Failure> {
    let format = args.string(lua, 1)?;
    let format = format.as_bytes();
    let mut layout = Layout::new(&format);
    // No format is long enough to overflow this: each number in it is below 2^31.
    let mut total = 0usize;
    let mut meter = Meter::new(lua);
    while let Some(item) = layout.next(&mut meter)? {
        match item.kind {
            Kind::Terminated => return Err(Failure::argument(1, "option 's' has no fixed size")),
            Kind::Bytes if item.size == 0 => {
                return Err(Failure::argument(1, "option 'c0' has no fixed size"));
            }
            _ => total = total.saturating_add(layout.padding(total, &item)).saturating_add(item.size),
        }
    }
    Ok(total as f64)
}

#[cold]
fn invalid_option(option: u8) -> Failure {
    let why = [b"invalid format option '".as_slice(), &[option], b"'"].concat();
    Failure::Argument(1, Cow::Owned(why))
}

/// One option of a format.
struct Item {
    kind: Kind,
    /// Bytes it takes; 0 if that depends on the data.
    size: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer {
        signed: bool,
    },
    Float,
    Double,
    /// `x`
    Padding,
    /// `c`
    Bytes,
    /// `s`
    Terminated,
    /// Byte order, alignment, a space.
    Control,
    Unknown(u8),
}

impl Kind {
    fn has_value(self) -> bool {
        !matches!(self, Self::Padding | Self::Control | Self::Unknown(_))
    }
}

/// Reads a format, and remembers the byte order and the alignment it has set.
struct Layout<'a> {
    format: &'a [u8],
    at: usize,
    big_endian: bool,
    alignment: usize,
}

impl<'a> Layout<'a> {
    fn new(format: &'a [u8]) -> Self {
        // A zero byte ends a format.
        let end = memchr::memchr(0, format).unwrap_or(format.len());
        Self { format: format.get(..end).unwrap_or_default(), at: 0, big_endian: false, alignment: 1 }
    }

    fn next(&mut self, meter: &mut Meter<'_>) -> Result<Option<Item>, Failure> {
        let Some(&option) = self.format.get(self.at) else { return Ok(None) };
        self.at += 1;
        meter.step(4)?;
        let signed = option.is_ascii_lowercase();
        let (kind, size) = match option {
            b'b' | b'B' => (Kind::Integer { signed }, 1),
            b'h' | b'H' => (Kind::Integer { signed }, 2),
            b'i' | b'I' => (Kind::Integer { signed }, self.integer_size(meter)?),
            b'l' | b'L' => (Kind::Integer { signed }, 8),
            b'T' => (Kind::Integer { signed: false }, 8),
            b'f' => (Kind::Float, 4),
            b'd' => (Kind::Double, 8),
            b'x' => (Kind::Padding, 1),
            b'c' => (Kind::Bytes, self.number(1, meter)?),
            b's' => (Kind::Terminated, 0),
            b' ' => (Kind::Control, 0),
            b'<' | b'>' => {
                self.big_endian = option == b'>';
                (Kind::Control, 0)
            }
            b'!' => {
                let alignment = self.number(NATIVE_ALIGNMENT, meter)?;
                if !alignment.is_power_of_two() {
                    return Err(Failure::text(format!("alignment {alignment} is not a power of 2")));
                }
                self.alignment = alignment;
                (Kind::Control, 0)
            }
            _ => (Kind::Unknown(option), 0),
        };
        Ok(Some(Item { kind, size }))
    }

    /// The digits that follow, or else `default`.
    fn number(&mut self, default: usize, meter: &mut Meter<'_>) -> Result<usize, Failure> {
        let rest = self.format.get(self.at..).unwrap_or_default();
        if !rest.first().is_some_and(u8::is_ascii_digit) {
            return Ok(default);
        }
        let mut value = 0usize;
        for digit in rest.iter().take_while(|byte| byte.is_ascii_digit()) {
            self.at += 1;
            meter.step(1)?;
            value = value * 10 + usize::from(digit - b'0');
            if value > FORMAT_NUMBER_MAX {
                return Err(Failure::message("integral size overflow"));
            }
        }
        Ok(value)
    }

    fn integer_size(&mut self, meter: &mut Meter<'_>) -> Result<usize, Failure> {
        let size = self.number(4, meter)?;
        if size > INTEGER_SIZE_MAX {
            return Err(Failure::text(format!(
                "integral size {size} is larger than limit of {INTEGER_SIZE_MAX}"
            )));
        }
        Ok(size)
    }

    /// The bytes to skip before an item at this place. For sizes that are no power of two this is the rule
    /// that scripts know, odd as it is.
    fn padding(&self, at: usize, item: &Item) -> usize {
        if item.size <= 1 || item.kind == Kind::Bytes {
            return 0;
        }
        let align = item.size.min(self.alignment);
        if align <= 1 {
            return 0;
        }
        align.wrapping_sub(at & (align - 1)) & (align - 1)
    }
}

/// Appends the low bytes of the number. Bytes beyond the eighth are zero, whatever the sign.
fn push_integer(out: &mut Vec<u8>, value: f64, size: usize, big_endian: bool) {
    let bits = unsigned(value);
    let (low, zeros) = (size.min(8), size.saturating_sub(8));
    if big_endian {
        out.resize(out.len() + zeros, 0);
        out.extend_from_slice(bits.to_be_bytes().get(8 - low..).unwrap_or_default());
    } else {
        out.extend_from_slice(bits.to_le_bytes().get(..low).unwrap_or_default());
        out.resize(out.len() + zeros, 0);
    }
}

/// The 64 bits of a number without its fraction: a negative one in two's complement, one beyond 64 bits 0.
fn unsigned(value: f64) -> u64 {
    const HALF: f64 = 9_223_372_036_854_775_808.0;
    if value >= HALF { (truncated(value - HALF) as u64) ^ (1 << 63) } else { truncated(value) as u64 }
}

fn read_integer(bytes: &[u8], big_endian: bool, signed: bool) -> f64 {
    let push = |bits: u64, &byte: &u8| bits << 8 | u64::from(byte);
    let bits = if big_endian { bytes.iter().fold(0, push) } else { bytes.iter().rev().fold(0, push) };
    if !signed {
        return bits as f64;
    }
    // The sign stands in the highest bit of the size; for sizes beyond eight bytes its place is taken modulo
    // 64.
    let sign = u64::MAX.wrapping_shl((bytes.len() as u32).wrapping_mul(8).wrapping_sub(1));
    let extended = if bits & sign == 0 { bits } else { bits | sign };
    extended as i64 as f64
}
