//! `string`: the functions whose time or result may grow beyond what they are given.
//!
//! They answer as Lua 5.1's own, errors included; each counts its steps and asks for room before it makes
//! much.

use mlua::{Function, IntoLua, Lua, LuaString, MultiValue, Table, Value};

use super::call::{self, Arguments, Failure, function, function_beneath, type_name};
use super::format;
use super::math;
use super::meter::Meter;
use super::pattern::{Capture, Matcher, Pattern, find_plain, invalid_replacement, is_plain};
use super::protected::call_protected;

/// Puts the functions in the place of Lua's own.
///
/// # Errors
/// When memory is short.
pub fn replace(lua: &Lua, strings: &Table) -> mlua::Result<()> {
    strings.raw_set("find", function(lua, |lua, args| search(lua, args, true))?)?;
    strings.raw_set("match", function(lua, |lua, args| search(lua, args, false))?)?;
    strings.raw_set("gsub", function(lua, gsub)?)?;
    let gmatch = gmatch(lua)?;
    strings.raw_set("gfind", &gmatch)?;
    strings.raw_set("gmatch", gmatch)?;
    strings.raw_set("rep", function(lua, rep)?)?;
    strings.raw_set("lower", function(lua, |lua, args| mapped(lua, args, <[u8]>::make_ascii_lowercase))?)?;
    strings.raw_set("upper", function(lua, |lua, args| mapped(lua, args, <[u8]>::make_ascii_uppercase))?)?;
    strings.raw_set("reverse", function(lua, reverse)?)?;
    strings.raw_set("char", function(lua, math::char)?)?;
    strings.raw_set("format", function(lua, format::format)?)?;
    Ok(())
}

/// `find` and `match`.
fn search(lua: &Lua, args: &Arguments, find: bool) -> Result<MultiValue, Failure> {
    let subject = args.string(lua, 1)?;
    let pattern = args.string(lua, 2)?;
    let start = if args.is_absent(3) { 1 } else { args.integer(lua, 3)? };
    let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
    let from = place_of(start, subject.len()).saturating_sub(1).min(subject.len());
    let mut meter = Meter::new(lua);
    let as_it_is = find && (is_plain(&pattern) || args.get(4).is_some_and(is_true));
    if as_it_is {
        let found = find_plain(&subject, &pattern, from, &mut meter)?;
        return Ok(found.map_or_else(nil, |at| places(at, at + pattern.len())));
    }
    let pattern = Pattern::new(&pattern);
    let mut matcher = Matcher::new(&subject, pattern, &mut meter);
    let Some((start, end)) = matcher.search(from, pattern.is_anchored())? else { return Ok(nil()) };
    let taken = captures(lua, &subject, matcher.captures(), (!find).then_some((start, end)))?;
    if !find {
        return Ok(taken);
    }
    let mut results = places(start, end);
    results.extend(taken);
    Ok(results)
}

fn nil() -> MultiValue {
    MultiValue::from_vec(vec![Value::Nil])
}

/// A place as Lua tells it: first and last byte, counted from 1.
fn places(start: usize, end: usize) -> MultiValue {
    MultiValue::from_vec(vec![Value::Integer(start as i64 + 1), Value::Integer(end as i64)])
}

fn is_true(value: &Value) -> bool {
    !matches!(value, Value::Nil | Value::Boolean(false))
}

/// A place from the start, or from the end if it is negative, counted from 1; 0 for what is before the first
/// byte.
fn place_of(place: i64, len: usize) -> usize {
    let place = if place < 0 { place.saturating_add(len as i64 + 1) } else { place };
    usize::try_from(place).unwrap_or(0)
}

/// What the captures took; where there are none, the whole match if it is given.
fn captures(
    lua: &Lua,
    subject: &[u8],
    taken: &[Capture],
    whole: Option<(usize, usize)>,
) -> Result<MultiValue, Failure> {
    if taken.is_empty() {
        let Some((start, end)) = whole else { return Ok(MultiValue::new()) };
        return Ok(MultiValue::from_vec(vec![text(lua, &subject[start..end])?]));
    }
    taken.iter().map(|capture| value_of(lua, subject, *capture)).collect()
}

fn value_of(lua: &Lua, subject: &[u8], capture: Capture) -> Result<Value, Failure> {
    match capture {
        Capture::Open(_) => Err(Failure::message("unfinished capture")),
        Capture::Place(at) => Ok(Value::Integer(at as i64 + 1)),
        Capture::Text(from, len) => text(lua, &subject[from..from + len]),
    }
}

fn text(lua: &Lua, bytes: &[u8]) -> Result<Value, Failure> {
    Ok(LuaString::wrap(bytes).into_lua(lua)?)
}

/// Makes the iterators of `gmatch`. What is searched from is kept by Lua, not by a function of ours, of which
/// a script may make any number.
const ITERATORS: &str = "
    local next_match = ...
    return function(subject, pattern)
        local place = 0
        local function found(behind, ...)
            place = behind
            return ...
        end
        return function()
            return found(next_match(subject, pattern, place))
        end
    end
";

/// Makes `string.gmatch`: an iterator in Lua over [`next_match`].
fn gmatch(lua: &Lua) -> mlua::Result<Function> {
    let iterator: Function =
        lua.load(ITERATORS).set_name("=prelude").call(function_beneath(lua, next_match)?)?;
    function(lua, move |lua, args| {
        let (subject, pattern) = (args.string(lua, 1)?, args.string(lua, 2)?);
        Ok(iterator.call::<Function>((&*subject, &*pattern))?)
    })
}

/// Finds the next match from a place on; answers the place behind it and the captures.
fn next_match(lua: &Lua, args: &Arguments) -> Result<MultiValue, Failure> {
    let (subject, pattern) = (args.string(lua, 1)?, args.string(lua, 2)?);
    let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
    let from = usize::try_from(args.integer(lua, 3)?).unwrap_or(0);
    if from > subject.len() {
        return Ok(MultiValue::from_vec(vec![Value::Integer(from as i64), Value::Nil]));
    }
    let mut meter = Meter::new(lua);
    let mut matcher = Matcher::new(&subject, Pattern::unanchored(&pattern), &mut meter);
    let Some((start, end)) = matcher.search(from, false)? else {
        return Ok(MultiValue::from_vec(vec![Value::Integer(from as i64), Value::Nil]));
    };
    let mut results = captures(lua, &subject, matcher.captures(), Some((start, end)))?;
    results.push_front(Value::Integer(if end == start { end + 1 } else { end } as i64));
    Ok(results)
}

fn gsub(lua: &Lua, args: &Arguments) -> Result<(LuaString, i64), Failure> {
    let subject = args.string(lua, 1)?;
    let pattern = args.string(lua, 2)?;
    let subject = subject.as_bytes();
    let most =
        if args.is_absent(4) { subject.len() as i64 + 1 } else { i64::from(args.integer(lua, 4)? as i32) };
    let replacement = match args.get(3) {
        Some(Value::Integer(_) | Value::Number(_) | Value::String(_)) => {
            Replacement::Text(args.string(lua, 3)?)
        }
        Some(Value::Table(table)) => Replacement::Table(table),
        Some(Value::Function(function)) => Replacement::Function(function),
        _ => return Err(Failure::argument(3, "string/function/table expected")),
    };
    let pattern = pattern.as_bytes();
    let pattern = Pattern::new(&pattern);
    let mut meter = Meter::new(lua);
    let mut matcher = Matcher::new(&subject, pattern, &mut meter);
    let mut making = Meter::new(lua);
    let (mut out, mut at, mut count) = (Vec::new(), 0, 0i64);
    while count < most {
        let end = matcher.match_at(at)?;
        if let Some(end) = end {
            count += 1;
            let found = Found { subject: &subject, captures: matcher.captures(), start: at, end };
            let value = replacement.value(lua, &found)?;
            replacement.push(&mut out, &mut making, value, &found)?;
        }
        match end {
            Some(end) if end > at => at = end,
            _ if at < subject.len() => {
                out.push(subject[at]);
                at += 1;
            }
            _ => break,
        }
        if pattern.is_anchored() {
            break;
        }
    }
    making.makes(out.len() + subject.len() - at)?;
    out.extend_from_slice(&subject[at..]);
    Ok((lua.create_string(out)?, count))
}

/// What `gsub` puts in a match's place.
enum Replacement<'a> {
    Text(call::Text<'a>),
    Table(&'a Table),
    Function(&'a Function),
}

/// A match.
struct Found<'a> {
    subject: &'a [u8],
    captures: &'a [Capture],
    start: usize,
    end: usize,
}

impl Found<'_> {
    fn whole(&self) -> (usize, usize) {
        (self.start, self.end)
    }

    /// The first capture, or all of the match.
    fn first(&self, lua: &Lua) -> Result<Value, Failure> {
        match self.captures.first() {
            Some(capture) => value_of(lua, self.subject, *capture),
            None => text(lua, &self.subject[self.start..self.end]),
        }
    }
}

impl Replacement<'_> {
    /// What a table or function has for a match.
    fn value(&self, lua: &Lua, found: &Found<'_>) -> Result<Option<Value>, Failure> {
        match self {
            Self::Text(_) => Ok(None),
            Self::Table(table) => {
                let look_up = lua.named_registry_value::<Function>(super::protected::LOOK_UP)?;
                let arguments = MultiValue::from_vec(vec![Value::Table((*table).clone()), found.first(lua)?]);
                Ok(Some(call_protected(lua, &look_up, arguments)?))
            }
            Self::Function(function) => {
                let arguments = captures(lua, found.subject, found.captures, Some(found.whole()))?;
                Ok(Some(call_protected(lua, function, arguments)?))
            }
        }
    }

    fn push(
        &self,
        out: &mut Vec<u8>,
        making: &mut Meter<'_>,
        value: Option<Value>,
        found: &Found<'_>,
    ) -> Result<(), Failure> {
        let whole = &found.subject[found.start..found.end];
        match (self, value) {
            (Self::Text(text), _) => return push_text(out, making, &text.as_bytes(), found),
            (_, None | Some(Value::Nil | Value::Boolean(false))) => out.extend_from_slice(whole),
            (_, Some(Value::String(text))) => out.extend_from_slice(&text.as_bytes()),
            (_, Some(Value::Integer(number))) => format::push_number(out, number as f64),
            (_, Some(Value::Number(number))) => format::push_number(out, number),
            (_, Some(other)) => return Err(invalid_replacement(type_name(&other))),
        }
        making.makes(out.len())
    }
}

/// A replacement's text, in which `%1` stands for a capture.
fn push_text(
    out: &mut Vec<u8>,
    making: &mut Meter<'_>,
    text: &[u8],
    found: &Found<'_>,
) -> Result<(), Failure> {
    let mut rest = text;
    while let Some(percent) = memchr::memchr(b'%', rest) {
        out.extend_from_slice(&rest[..percent]);
        // Behind the text's last byte there is a zero byte.
        let byte = rest.get(percent + 1).copied().unwrap_or(0);
        rest = rest.get(percent + 2..).unwrap_or_default();
        match byte {
            b'0' => out.extend_from_slice(&found.subject[found.start..found.end]),
            b'1'..=b'9' => push_capture(out, usize::from(byte - b'1'), found)?,
            other => out.push(other),
        }
        making.step(1)?;
        making.makes(out.len())?;
    }
    out.extend_from_slice(rest);
    making.makes(out.len())
}

fn push_capture(out: &mut Vec<u8>, index: usize, found: &Found<'_>) -> Result<(), Failure> {
    match found.captures.get(index) {
        Some(Capture::Text(from, len)) => out.extend_from_slice(&found.subject[*from..from + len]),
        Some(Capture::Place(at)) => format::push_number(out, *at as f64 + 1.0),
        Some(Capture::Open(_)) => return Err(Failure::message("unfinished capture")),
        None if index == 0 => out.extend_from_slice(&found.subject[found.start..found.end]),
        None => return Err(Failure::message("invalid capture index")),
    }
    Ok(())
}

fn rep(lua: &Lua, args: &Arguments) -> Result<LuaString, Failure> {
    let text = args.string(lua, 1)?;
    let text = text.as_bytes();
    // Of the number C's 32 bits are taken.
    let count = usize::try_from(args.integer(lua, 2)? as i32).unwrap_or(0);
    let len = text.len().checked_mul(count).ok_or(Failure::Bare("not enough memory"))?;
    let mut meter = Meter::new(lua);
    meter.makes(len)?;
    Ok(lua.create_string(text.repeat(count))?)
}

/// A text with every byte changed.
fn mapped(lua: &Lua, args: &Arguments, change: fn(&mut [u8])) -> Result<LuaString, Failure> {
    let text = args.string(lua, 1)?;
    let mut meter = Meter::new(lua);
    let mut bytes = text.as_bytes().to_vec();
    for part in bytes.chunks_mut(1 << 17) {
        meter.bytes(part.len())?;
        change(part);
    }
    Ok(lua.create_string(bytes)?)
}

fn reverse(lua: &Lua, args: &Arguments) -> Result<LuaString, Failure> {
    let text = args.string(lua, 1)?;
    let mut bytes = text.as_bytes().to_vec();
    Meter::new(lua).bytes(bytes.len())?;
    bytes.reverse();
    Ok(lua.create_string(bytes)?)
}
