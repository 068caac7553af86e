//! `cmsgpack`: values as MessagePack.

use mlua::{IntoLua, Lua, LuaString, MultiValue, Table, Value};

use super::call::{Arguments, Failure, STACK_SLOTS_MAX, function, truncated};
use super::meter::Meter;

/// Tables nested deeper are packed as nil.
const PACK_DEPTH_MAX: usize = 16;

/// Makes the table of functions.
pub fn table(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, 8)?;
    table.raw_set("_NAME", "cmsgpack")?;
    table.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    table.raw_set("_COPYRIGHT", "The Kvarts authors")?;
    table.raw_set("_DESCRIPTION", "MessagePack for scripts")?;
    table.raw_set("pack", function(lua, pack)?)?;
    table.raw_set("unpack", function(lua, |lua, args| unpack_range(lua, args, 0, 0))?)?;
    table.raw_set(
        "unpack_one",
        function(lua, |lua, args| {
            let offset = if args.is_absent(2) { 0 } else { args.integer(lua, 2)? };
            unpack_range(lua, args, 1, offset)
        })?,
    )?;
    table.raw_set(
        "unpack_limit",
        function(lua, |lua, args| {
            let limit = args.integer(lua, 2)?;
            let offset = if args.is_absent(3) { 0 } else { args.integer(lua, 3)? };
            unpack_range(lua, args, limit, offset)
        })?,
    )?;
    Ok(table)
}

fn pack(lua: &Lua, args: &Arguments) -> Result<LuaString, Failure> {
    if args.count() == 0 {
        return Err(Failure::argument(0, "MessagePack pack needs input."));
    }
    let mut out = Vec::with_capacity(64);
    let mut meter = Meter::new(lua);
    for value in args.iter() {
        push_value(&mut out, &mut meter, value, 0)?;
    }
    Ok(lua.create_string(out)?)
}

/// Tables that share parts can ask for far more bytes than they take themselves.
fn push_value(out: &mut Vec<u8>, meter: &mut Meter<'_>, value: &Value, depth: usize) -> mlua::Result<()> {
    meter.step_in_walk(16)?;
    if meter.makes(out.len()).is_err() {
        return Err(mlua::Error::MemoryError("not enough memory".into()));
    }
    match value {
        Value::Boolean(value) => out.push(if *value { 0xc3 } else { 0xc2 }),
        Value::Integer(value) => push_integer(out, *value),
        Value::Number(value) => push_number(out, *value),
        Value::String(text) => push_string(out, &text.as_bytes()),
        Value::Table(table) if depth < PACK_DEPTH_MAX => push_table(out, meter, table, depth)?,
        _ => out.push(0xc0),
    }
    Ok(())
}

fn push_number(out: &mut Vec<u8>, value: f64) {
    let whole = truncated(value);
    if whole as f64 == value && whole != i64::MIN {
        push_integer(out, whole);
    } else if f64::from(value as f32) == value {
        out.push(0xca);
        out.extend_from_slice(&(value as f32).to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// The smallest form that holds the integer.
fn push_integer(out: &mut Vec<u8>, value: i64) {
    let bytes = value.to_be_bytes();
    let (marker, size) = match value {
        -0x20..=0x7f => {
            out.push(value as u8);
            return;
        }
        0x80..=0xff => (0xcc, 1),
        0x100..=0xffff => (0xcd, 2),
        0x1_0000..=0xffff_ffff => (0xce, 4),
        0x1_0000_0000.. => (0xcf, 8),
        -0x80..=-0x21 => (0xd0, 1),
        -0x8000..=-0x81 => (0xd1, 2),
        -0x8000_0000..=-0x8001 => (0xd2, 4),
        _ => (0xd3, 8),
    };
    out.push(marker);
    out.extend_from_slice(bytes.get(8 - size..).unwrap_or_default());
}

fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    match text.len() {
        len @ 0..=31 => out.push(0xa0 | len as u8),
        len @ 32..=0xff => out.extend_from_slice(&[0xd9, len as u8]),
        len => push_len(out, len, 0xda),
    }
    out.extend_from_slice(text);
}

/// A length of 16 bits after this marker, or of 32 after the next.
fn push_len(out: &mut Vec<u8>, len: usize, marker: u8) {
    if let Ok(len) = u16::try_from(len) {
        out.push(marker);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(marker + 1);
        out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
    }
}

/// A table whose keys are 1 to n is an array, the empty one too; any other is a map.
fn push_table(out: &mut Vec<u8>, meter: &mut Meter<'_>, table: &Table, depth: usize) -> mlua::Result<()> {
    let (mut count, mut last, mut is_array) = (0usize, 0i64, true);
    table.for_each(|key: Value, _: bool| {
        count += 1;
        match key {
            Value::Integer(key) if key > 0 => last = last.max(key),
            _ => is_array = false,
        }
        meter.step_in_walk(8)
    })?;
    if is_array && usize::try_from(last) == Ok(count) {
        match count {
            0..=15 => out.push(0x90 | count as u8),
            _ => push_len(out, count, 0xdc),
        }
        for index in 1..=count {
            push_value(out, meter, &table.raw_get(index)?, depth + 1)?;
        }
        return Ok(());
    }
    match count {
        0..=15 => out.push(0x80 | count as u8),
        _ => push_len(out, count, 0xde),
    }
    table.for_each(|key: Value, value: Value| {
        push_value(out, meter, &key, depth + 1)?;
        push_value(out, meter, &value, depth + 1)
    })
}

/// Answers what stands from `offset` on, at most `limit` values. With neither, every value; else, before
/// them, the offset of the next value, or -1 after the last.
fn unpack_range(lua: &Lua, args: &Arguments, limit: i64, offset: i64) -> Result<MultiValue, Failure> {
    let data = args.string(lua, 1)?;
    let data = data.as_bytes();
    if offset < 0 || limit < 0 {
        // Both are told with their lowest 32 bits.
        let (offset, len) = (offset as i32, data.len());
        return Err(Failure::text(format!(
            "Invalid request to unpack with offset of {offset} and limit of {len}."
        )));
    }
    let everything = limit == 0 && offset == 0;
    let Some(rest) = usize::try_from(offset).ok().and_then(|offset| data.get(offset..)) else {
        let (offset, len) = (offset as i32, data.len());
        return Err(Failure::text(format!("Start offset {offset} greater than input length {len}.")));
    };
    let limit = if everything { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
    let mut reader = Reader { lua, meter: Meter::new(lua), rest, open: Vec::new(), slots: args.count() };
    let mut results = Vec::new();
    if !everything {
        results.push(Value::Nil);
        reader.slots += 1;
    }
    let mut count = 0;
    while !reader.rest.is_empty() && count < limit {
        results.push(reader.value()?);
        reader.slots += 1;
        count += 1;
    }
    if let (false, Some(first)) = (everything, results.first_mut()) {
        let next = data.len() - reader.rest.len();
        *first = Value::Integer(if reader.rest.is_empty() { -1 } else { next as i64 });
    }
    Ok(MultiValue::from_vec(results))
}

/// Decodes without recursion: what nests is bounded by the input alone.
struct Reader<'a> {
    lua: &'a Lua,
    meter: Meter<'a>,
    rest: &'a [u8],
    open: Vec<Open>,
    /// Slots of Lua's stack that the values use which are not yet stored in a table.
    slots: usize,
}

/// An array or a map that is not complete.
struct Open {
    table: Table,
    /// Values still to come.
    left: usize,
    place: Place,
}

enum Place {
    /// The index of the next value.
    Array(usize),
    /// The key of the next value, once it has been read.
    Map(Option<Value>),
}

/// What a marker begins.
enum Part {
    Value(Value),
    Array(usize),
    Map(usize),
}

impl<'a> Reader<'a> {
    /// Reads one whole value.
    fn value(&mut self) -> Result<Value, Failure> {
        debug_assert!(self.open.is_empty());
        loop {
            self.meter.step(16)?;
            self.check_slots(1, "too many return values at once; use unpack_one or unpack_limit instead.")?;
            let mut done = match self.part()? {
                Part::Value(value) => value,
                Part::Array(0) | Part::Map(0) => Value::Table(self.lua.create_table()?),
                Part::Array(left) => {
                    self.check_slots(2, "in function mp_decode_to_lua_array")?;
                    self.begin(left, Place::Array(1))?;
                    continue;
                }
                Part::Map(left) => {
                    self.begin(left, Place::Map(None))?;
                    continue;
                }
            };
            // Store it, and each table that is complete with it.
            loop {
                let Some(open) = self.open.last_mut() else { return Ok(done) };
                match &mut open.place {
                    Place::Array(index) => {
                        open.table.raw_seti(*index, done)?;
                        *index += 1;
                        open.left -= 1;
                    }
                    Place::Map(key @ None) => {
                        *key = Some(done);
                        self.slots += 1;
                        break;
                    }
                    Place::Map(key) => {
                        let key = key.take().unwrap_or(Value::Nil);
                        match key {
                            Value::Nil => return Err(Failure::Bare("table index is nil")),
                            Value::Number(number) if number.is_nan() => {
                                return Err(Failure::Bare("table index is NaN"));
                            }
                            _ => open.table.raw_set(key, done)?,
                        }
                        self.slots -= 1;
                        open.left -= 1;
                    }
                }
                if open.left > 0 {
                    break;
                }
                let Some(complete) = self.open.pop() else { break };
                self.slots -= complete.slots();
                done = Value::Table(complete.table);
            }
        }
    }

    fn begin(&mut self, left: usize, place: Place) -> Result<(), Failure> {
        // The count is the sender's word: memory is taken as the values come.
        let open = Open { table: self.lua.create_table()?, left, place };
        self.slots += open.slots();
        self.open.push(open);
        Ok(())
    }

    fn check_slots(&self, more: usize, why: &str) -> Result<(), Failure> {
        if self.slots + more > STACK_SLOTS_MAX {
            return Err(Failure::text(format!("stack overflow ({why})")));
        }
        Ok(())
    }

    fn part(&mut self) -> Result<Part, Failure> {
        let [marker] = self.array()?;
        let number = match marker {
            0x00..=0x7f => f64::from(marker),
            0xe0..=0xff => f64::from(marker as i8),
            0x80..=0x8f => return Ok(Part::Map(usize::from(marker & 0x0f))),
            0x90..=0x9f => return Ok(Part::Array(usize::from(marker & 0x0f))),
            0xa0..=0xbf => return self.string(usize::from(marker & 0x1f)),
            0xc0 => return Ok(Part::Value(Value::Nil)),
            0xc2 | 0xc3 => return Ok(Part::Value(Value::Boolean(marker == 0xc3))),
            0xca => f64::from(f32::from_be_bytes(self.array()?)),
            0xcb => f64::from_be_bytes(self.array()?),
            0xcc => f64::from(u8::from_be_bytes(self.array()?)),
            0xcd => f64::from(u16::from_be_bytes(self.array()?)),
            0xce => f64::from(u32::from_be_bytes(self.array()?)),
            // Scripts have always read the unsigned ones as signed.
            0xcf | 0xd3 => i64::from_be_bytes(self.array()?) as f64,
            0xd0 => f64::from(i8::from_be_bytes(self.array()?)),
            0xd1 => f64::from(i16::from_be_bytes(self.array()?)),
            0xd2 => f64::from(i32::from_be_bytes(self.array()?)),
            0xd9 => {
                let [len] = self.array()?;
                return self.string(usize::from(len));
            }
            0xda => {
                let len = self.len_16()?;
                return self.string(len);
            }
            0xdb => {
                let len = self.len_32()?;
                return self.string(len);
            }
            0xdc => return self.len_16().map(Part::Array),
            0xdd => return self.len_32().map(Part::Array),
            0xde => return self.len_16().map(Part::Map),
            0xdf => return self.len_32().map(Part::Map),
            0xc1 | 0xc4..=0xc9 | 0xd4..=0xd8 => return Err(Failure::message("Bad data format in input.")),
        };
        Ok(Part::Value(Value::Number(number)))
    }

    fn string(&mut self, len: usize) -> Result<Part, Failure> {
        let bytes = self.bytes(len)?;
        self.meter.bytes(len)?;
        Ok(Part::Value(LuaString::wrap(bytes).into_lua(self.lua)?))
    }

    fn len_16(&mut self) -> Result<usize, Failure> {
        Ok(usize::from(u16::from_be_bytes(self.array()?)))
    }

    fn len_32(&mut self) -> Result<usize, Failure> {
        Ok(u32::from_be_bytes(self.array()?) as usize)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        let (bytes, rest) =
            self.rest.split_first_chunk().ok_or(Failure::message("Missing bytes in input."))?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], Failure> {
        let (bytes, rest) =
            self.rest.split_at_checked(len).ok_or(Failure::message("Missing bytes in input."))?;
        self.rest = rest;
        Ok(bytes)
    }
}

impl Open {
    /// An array's table stands with the index on the stack, a map's alone until a key has come.
    fn slots(&self) -> usize {
        match self.place {
            Place::Array(_) => 2,
            Place::Map(_) => 1,
        }
    }
}
