//! Conversion of replies to Lua values and back, by Redis's rules.

use mlua::{Lua, LuaString, Table, Value};

use super::vm::{FieldNames, Vm};
use super::watch;
use crate::error::CommandError;
use crate::resp::Version;
use crate::resp::encode::Reply;

/// How deep a reply may be nested: a table that contains itself has no end.
const DEPTH_MAX: usize = 1000;

/// The Lua value of the reply at `at` in `bytes`, and where it ends. The bytes are a command's own reply, so
/// they are well formed.
///
/// # Errors
/// When the machine's memory is full.
pub fn to_lua(lua: &Lua, names: &FieldNames, bytes: &[u8], at: usize) -> mlua::Result<(Value, usize)> {
    let end = line_end(bytes, at);
    let line = &bytes[at + 1..end];
    let next = end + 2;
    let value = match bytes[at] {
        b':' => Value::Number(number(line) as f64),
        b'+' => Value::Table(with_field(lua, &names.ok, line)?),
        b'-' => Value::Table(with_field(lua, &names.err, line)?),
        b'_' => Value::Nil,
        b'#' => Value::Boolean(line == b"t"),
        b',' => {
            let table = lua.create_table()?;
            let double = std::str::from_utf8(line).ok().and_then(|text| text.parse::<f64>().ok());
            table.raw_set(&names.double, double.unwrap_or(0.0))?;
            Value::Table(table)
        }
        b'(' => Value::Table(with_field(lua, &names.big_number, line)?),
        b'$' | b'*' if line.first() == Some(&b'-') => Value::Boolean(false),
        b'$' => {
            let end = next + number(line) as usize;
            watch::note_text(lua, end - next);
            return Ok((Value::String(lua.create_string(&bytes[next..end])?), end + 2));
        }
        b'=' => {
            let end = next + number(line) as usize;
            let inner = lua.create_table()?;
            inner.raw_set(&names.string, lua.create_string(&bytes[next + 4..end])?)?;
            inner.raw_set(&names.format, lua.create_string(&bytes[next..next + 3])?)?;
            let table = lua.create_table()?;
            table.raw_set(&names.verbatim_string, inner)?;
            return Ok((Value::Table(table), end + 2));
        }
        b'*' | b'>' => {
            let count = number(line) as usize;
            let table = lua.create_table_with_capacity(count, 0)?;
            let mut next = next;
            for index in 1..=count {
                let (value, end) = to_lua(lua, names, bytes, next)?;
                table.raw_set(index, value)?;
                next = end;
            }
            return Ok((Value::Table(table), next));
        }
        kind @ (b'%' | b'~') => {
            let (inner, mut next) = (lua.create_table()?, next);
            for _ in 0..number(line) {
                let (name, end) = to_lua(lua, names, bytes, next)?;
                let (value, end) =
                    if kind == b'%' { to_lua(lua, names, bytes, end)? } else { (Value::Boolean(true), end) };
                inner.raw_set(name, value)?;
                next = end;
            }
            let table = lua.create_table()?;
            table.raw_set(if kind == b'%' { &names.map } else { &names.set }, inner)?;
            return Ok((Value::Table(table), next));
        }
        // Scripts see no attributes, only what they are of.
        b'|' => {
            let mut next = next;
            for _ in 0..number(line) * 2 {
                next = to_lua(lua, names, bytes, next)?.1;
            }
            return to_lua(lua, names, bytes, next);
        }
        _ => Value::Nil,
    };
    Ok((value, next))
}

/// An error as `redis.pcall` answers it.
///
/// # Errors
/// When the machine's memory is full.
pub fn error_to_lua(lua: &Lua, names: &FieldNames, error: &CommandError) -> mlua::Result<Value> {
    with_field(lua, &names.err, error.to_string().as_bytes()).map(Value::Table)
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    memchr::memchr(b'\r', &bytes[at..]).map_or(bytes.len(), |length| at + length)
}

fn number(line: &[u8]) -> i64 {
    crate::primitives::number::parse_i64(line).unwrap_or(0)
}

fn with_field(lua: &Lua, name: &LuaString, text: &[u8]) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set(name, lua.create_string(text)?)?;
    Ok(table)
}

/// Writes what a script returned as its reply. `script_version` is the one that it set for itself: truth
/// values are a type of their own only for a script that knows them.
///
/// Tables may stand in tables many times over, so what a script returns may be longer than all that it holds.
/// The script counts as running meanwhile, can be killed, and its reply may be as long as its memory limit.
///
/// # Errors
/// A reply that is too long, a script that has to end.
pub fn to_reply(value: &Value, vm: &Vm, reply: &mut Reply<'_>) -> mlua::Result<()> {
    let start = reply.position();
    let mut writer =
        Writer { names: &vm.names, knows_resp3: vm.version() == Version::Resp3, vm, start, left: LOOK };
    writer.write(value, reply, 0)
}

/// Values written between two looks at the script's time.
const LOOK: u32 = 256;

/// Writes the values of one reply.
struct Writer<'v> {
    names: &'v FieldNames,
    knows_resp3: bool,
    vm: &'v Vm,
    /// Where the reply begins.
    start: usize,
    /// Values until the next look.
    left: u32,
}

impl Writer<'_> {
    fn write(&mut self, value: &Value, reply: &mut Reply<'_>, depth: usize) -> mlua::Result<()> {
        self.look(reply)?;
        if depth > DEPTH_MAX {
            reply.error("ERR reached lua stack limit");
            return Ok(());
        }
        match value {
            Value::Integer(number) => reply.int(*number),
            Value::Number(number) => reply.int(truncate(*number)),
            Value::String(text) => reply.bulk(&text.as_bytes()),
            Value::Boolean(truth) if self.knows_resp3 => reply.boolean(*truth),
            Value::Boolean(true) => reply.int(1),
            Value::Table(table) => self.write_table(table, reply, depth)?,
            _ => reply.null(),
        }
        Ok(())
    }

    /// From time to time, looks whether the script has to end, and whether its reply is too long.
    #[inline]
    fn look(&mut self, reply: &Reply<'_>) -> mlua::Result<()> {
        if reply.position() - self.start > self.vm.limit() {
            return Err(mlua::Error::MemoryError("not enough memory".to_owned()));
        }
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => {
                self.left = LOOK;
                self.vm.control.look().map_err(mlua::Error::external)?;
            }
        }
        Ok(())
    }

    fn write_table(&mut self, table: &Table, reply: &mut Reply<'_>, depth: usize) -> mlua::Result<()> {
        let names = self.names;
        match table.raw_get::<Value>(&names.err)? {
            Value::String(text) => {
                reply.error(&text.to_string_lossy());
                return Ok(());
            }
            Value::Nil => {}
            _ => return self.write_array(table, reply, depth),
        }
        if let Value::String(text) = table.raw_get::<Value>(&names.ok)? {
            reply.simple(&one_line(&text.to_string_lossy()));
            return Ok(());
        }
        match table.raw_get::<Value>(&names.double)? {
            // Else a zero is written without its sign.
            Value::Number(number) if number == 0.0 && number.is_sign_negative() => {
                reply.double_text("-0");
                return Ok(());
            }
            Value::Number(number) => {
                reply.double(number);
                return Ok(());
            }
            Value::Integer(number) => {
                reply.double(number as f64);
                return Ok(());
            }
            _ => {}
        }
        if let Value::Table(map) = table.raw_get::<Value>(&names.map)? {
            let begun = reply.begin_array();
            let mut pairs = 0;
            // Not `for_each`, which nests C calls, of which Lua allows 200.
            for pair in map.pairs::<Value, Value>() {
                let (name, value) = pair?;
                pairs += 1;
                self.write(&name, reply, depth + 1)?;
                self.write(&value, reply, depth + 1)?;
            }
            reply.end_map(begun, pairs);
            return Ok(());
        }
        if let Value::Table(set) = table.raw_get::<Value>(&names.set)? {
            let begun = reply.begin_array();
            let mut count = 0;
            for member in set.pairs::<Value, Value>() {
                count += 1;
                self.write(&member?.0, reply, depth + 1)?;
            }
            reply.end_set(begun, count);
            return Ok(());
        }
        if let Value::String(digits) = table.raw_get::<Value>(&names.big_number)? {
            reply.big_number(&one_line(&digits.to_string_lossy()));
            return Ok(());
        }
        if let Value::Table(verbatim) = table.raw_get::<Value>(&names.verbatim_string)?
            && let Value::String(format) = verbatim.raw_get::<Value>(&names.format)?
            && let Value::String(text) = verbatim.raw_get::<Value>(&names.string)?
        {
            // A format has three bytes.
            let mut format = format.to_string_lossy();
            match format.char_indices().nth(3) {
                Some((end, _)) => format.truncate(end),
                None => format.extend(std::iter::repeat_n(' ', 3 - format.chars().count())),
            }
            reply.verbatim(&format, &text.as_bytes());
            return Ok(());
        }
        self.write_array(table, reply, depth)
    }

    /// The elements from 1 up to the first that is nil.
    fn write_array(&mut self, table: &Table, reply: &mut Reply<'_>, depth: usize) -> mlua::Result<()> {
        let begun = reply.begin_array();
        let mut count = 0;
        loop {
            match table.raw_get::<Value>(count + 1)? {
                Value::Nil => break,
                value => self.write(&value, reply, depth + 1)?,
            }
            count += 1;
        }
        reply.end_array(begun, count);
        Ok(())
    }
}

/// Fractions are cut off; what is no number of 64 bits is the lowest of them, as conversion in C gives.
pub fn truncate(number: f64) -> i64 {
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number) {
        number as i64
    } else {
        i64::MIN
    }
}

/// A simple string ends at the line's end, so it must not contain one.
pub fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}
