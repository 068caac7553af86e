//! Writing JSON.

use mlua::{Function, Table, Value};

use super::super::call::{Failure, type_name};
use super::super::meter::Meter;
use super::super::number::push_general;
use super::{InvalidNumbers, NESTING_SLOTS_MAX, NULL, Settings};

/// Entries of objects that are read ahead, in all open objects together; each takes two of mlua's references.
const AHEAD_MAX: usize = 96;

/// Appends the value. `next` is Lua's own.
pub(super) fn encode(
    value: &Value,
    settings: &Settings,
    next: &Function,
    meter: &mut Meter<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let mut writer = Writer { meter, settings, next, out, open: Vec::new(), ahead: Vec::new(), slots: 0 };
    writer.value(value)?;
    while writer.step()? {}
    Ok(())
}

/// Writes without recursion: how deep tables nest is a setting of the script.
struct Writer<'a, 'l> {
    /// Counts what is written: arrays with holes and tables that share parts can ask for far more than they
    /// take themselves.
    meter: &'a mut Meter<'l>,
    settings: &'a Settings,
    next: &'a Function,
    out: &'a mut Vec<u8>,
    open: Vec<Open>,
    /// Entries read ahead, those of the innermost object last and in reverse.
    ahead: Vec<(Value, Value)>,
    slots: usize,
}

/// A table whose writing has begun.
enum Open {
    Array {
        table: Table,
        at: usize,
        len: usize,
    },
    Object {
        table: Table,
        first: bool,
        /// Where its entries begin in `ahead`.
        ahead_from: usize,
        /// The last key read ahead, if there may be more after it.
        resume: Option<Value>,
    },
}

impl Writer<'_, '_> {
    fn value(&mut self, value: &Value) -> Result<(), Failure> {
        match value {
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::LightUserData(data) if *data == NULL => self.out.extend_from_slice(b"null"),
            Value::Boolean(true) => self.out.extend_from_slice(b"true"),
            Value::Boolean(false) => self.out.extend_from_slice(b"false"),
            Value::Integer(value) => self.number(*value as f64)?,
            Value::Number(value) => self.number(*value)?,
            Value::String(text) => push_string(self.out, &text.as_bytes()),
            Value::Table(table) => self.begin(table)?,
            other => return Err(unserialisable(other, "type not supported")),
        }
        self.meter.step(16)?;
        self.meter.makes(self.out.len())
    }

    fn number(&mut self, value: f64) -> Result<(), Failure> {
        if value.is_finite() {
            push_general(self.out, value, self.settings.precision.unsigned_abs() as usize);
            return Ok(());
        }
        let text: &[u8] = match self.settings.encode_invalid_numbers {
            InvalidNumbers::Refused => {
                return Err(unserialisable(&Value::Number(value), "must not be NaN or Inf"));
            }
            InvalidNumbers::Null => b"null",
            InvalidNumbers::Written if value.is_nan() => b"nan",
            InvalidNumbers::Written if value > 0.0 => b"inf",
            InvalidNumbers::Written => b"-inf",
        };
        self.out.extend_from_slice(text);
        Ok(())
    }

    fn begin(&mut self, table: &Table) -> Result<(), Failure> {
        let depth = self.open.len() + 1;
        if depth > self.settings.encode_depth_max.unsigned_abs() as usize || self.slots > NESTING_SLOTS_MAX {
            return Err(Failure::text(format!("Cannot serialise, excessive nesting ({depth})")));
        }
        let len = array_len(table, self.settings, self.meter)?;
        let open = if let Some(len) = len {
            self.out.push(b'[');
            Open::Array { table: table.clone(), at: 0, len }
        } else {
            self.out.push(b'{');
            self.object(table)?
        };
        self.slots += open.slots();
        self.open.push(open);
        Ok(())
    }

    /// Reads entries ahead, as many as fit.
    fn object(&mut self, table: &Table) -> Result<Open, Failure> {
        let (ahead_from, ahead) = (self.ahead.len(), &mut self.ahead);
        let mut more = false;
        let walked = table.for_each(|key: Value, value: Value| {
            if ahead.len() >= AHEAD_MAX {
                more = true;
                // Ends the walk: an error that takes no memory.
                return Err(mlua::Error::StackError);
            }
            ahead.push((key, value));
            Ok(())
        });
        if !more {
            walked?;
        }
        let taken = ahead.get_mut(ahead_from..).unwrap_or_default();
        let resume = more.then(|| taken.last().map_or(Value::Nil, |(key, _)| key.clone()));
        taken.reverse();
        Ok(Open::Object { table: table.clone(), first: true, ahead_from, resume })
    }

    /// Writes the next part of the innermost table. False if none is left.
    fn step(&mut self) -> Result<bool, Failure> {
        let Some(open) = self.open.last_mut() else { return Ok(false) };
        match open {
            Open::Array { table, at, len } => {
                if *at == *len {
                    return Ok(self.end(b']'));
                }
                if *at > 0 {
                    self.out.push(b',');
                }
                *at += 1;
                let value: Value = table.raw_get(*at)?;
                self.value(&value)?;
            }
            Open::Object { table, first, ahead_from, resume } => {
                let entry = if self.ahead.len() > *ahead_from {
                    self.ahead.pop()
                } else if let Some(key) = resume.take() {
                    let (key, value): (Value, Value) = self.next.call((&*table, key))?;
                    *resume = (key != Value::Nil).then(|| key.clone());
                    (key != Value::Nil).then_some((key, value))
                } else {
                    None
                };
                let Some((key, value)) = entry else { return Ok(self.end(b'}')) };
                if !*first {
                    self.out.push(b',');
                }
                *first = false;
                self.key(&key)?;
                self.out.push(b':');
                self.value(&value)?;
            }
        }
        Ok(true)
    }

    fn end(&mut self, bracket: u8) -> bool {
        self.out.push(bracket);
        if let Some(open) = self.open.pop() {
            self.slots -= open.slots();
        }
        true
    }

    fn key(&mut self, key: &Value) -> Result<(), Failure> {
        match key {
            Value::String(text) => push_string(self.out, &text.as_bytes()),
            Value::Integer(_) | Value::Number(_) => {
                self.out.push(b'"');
                self.value(key)?;
                self.out.push(b'"');
            }
            other => return Err(unserialisable(other, "table key must be a number or string")),
        }
        Ok(())
    }
}

impl Open {
    fn slots(&self) -> usize {
        match self {
            Self::Array { .. } => 1,
            Self::Object { .. } => 2,
        }
    }
}

#[cold]
fn unserialisable(value: &Value, why: &str) -> Failure {
    Failure::text(format!("Cannot serialise {}: {why}", type_name(value)))
}

/// The last index of a table that is written as an array: all its keys are positive integers and it has any.
fn array_len(table: &Table, settings: &Settings, meter: &mut Meter<'_>) -> Result<Option<usize>, Failure> {
    let (mut count, mut last, mut is_array) = (0i64, 0i64, true);
    let walked = table.for_each(|key: Value, _: bool| match key {
        Value::Integer(key @ 1..=0x7fff_ffff) => {
            count += 1;
            last = last.max(key);
            meter.step_in_walk(8)
        }
        _ => {
            is_array = false;
            Err(mlua::Error::StackError)
        }
    });
    if !is_array {
        return Ok(None);
    }
    walked?;
    let (ratio, safe) = (i64::from(settings.sparse_ratio), i64::from(settings.sparse_safe));
    if ratio > 0 && last > count * ratio && last > safe {
        if !settings.sparse_to_object {
            return Err(Failure::message("Cannot serialise table: excessively sparse array"));
        }
        return Ok(None);
    }
    // A hole takes five bytes, anything else at least two.
    let least = (last - count) * 5 + count * 2;
    meter.makes(usize::try_from(least).unwrap_or(usize::MAX))?;
    Ok(usize::try_from(last).ok().filter(|&last| last > 0))
}

fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| is_escaped(byte)) {
        let (plain, from) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((&byte, after)) = from.split_first() else { break };
        push_escape(out, byte);
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[inline]
fn is_escaped(byte: u8) -> bool {
    matches!(byte, 0..=0x1f | b'"' | b'/' | b'\\' | 0x7f)
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        b'"' | b'/' | b'\\' => byte,
        _ => {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            let digit = |index: u8| DIGITS.get(usize::from(index)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 0x0f)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}
