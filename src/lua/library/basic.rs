//! Basic functions that scripts find beside Lua's own: those that must not change what is protected, and
//! those that compile.
//!
//! They are functions of Rust, not of the prelude: where a script calls one as the last thing it does
//! (`return f(x)`), Lua forgets the script's line when the function is one of Lua.

use mlua::{Function, Lua, LuaString, MultiValue, Table, Value};

use super::super::vm::{SOURCE_MAX, is_too_long};
use super::super::watch;
use super::call::{Arguments, Failure, function};
use super::meter::Meter;
use super::protected::call_protected;

const READ_ONLY: &str = "Attempt to modify a readonly table";

/// The first byte of compiled code, which Lua runs unchecked.
const BYTECODE: u8 = 27;

const TOO_LONG: &str = "chunk is too long";

/// Puts `rawset`, `setmetatable`, `load` and `loadstring` into a table. `protected` has the tables that
/// scripts may not change as its keys.
///
/// # Errors
/// When memory is short.
pub fn fill(lua: &Lua, table: &Table, protected: &Table) -> mlua::Result<()> {
    let kept = protected.clone();
    table.raw_set("rawset", function(lua, move |_, args| rawset(args, &kept))?)?;
    let kept = protected.clone();
    table.raw_set("setmetatable", function(lua, move |_, args| setmetatable(args, &kept))?)?;
    let compile: Function = lua.globals().raw_get("loadstring")?;
    let compile_text = compile.clone();
    table.raw_set("loadstring", function(lua, move |lua, args| loadstring(lua, args, &compile_text))?)?;
    table.raw_set("load", function(lua, move |lua, args| load(lua, args, &compile))?)
}

fn table_to_change<'a>(args: &'a Arguments, protected: &Table) -> Result<&'a Table, Failure> {
    let Some(Value::Table(table)) = args.get(1) else { return Err(args.wrong_type(1, "table")) };
    match protected.raw_get::<Value>(table)? {
        Value::Nil => Ok(table),
        _ => Err(Failure::Bare(READ_ONLY)),
    }
}

fn rawset(args: &Arguments, protected: &Table) -> Result<Table, Failure> {
    if !matches!(args.get(1), Some(Value::Table(_))) {
        return Err(args.wrong_type(1, "table"));
    }
    for number in 2..=3 {
        if args.get(number).is_none() {
            return Err(Failure::argument(number, "value expected"));
        }
    }
    let table = table_to_change(args, protected)?;
    match (args.get(2), args.get(3)) {
        (None | Some(Value::Nil), _) => Err(Failure::Bare("table index is nil")),
        (Some(Value::Number(name)), _) if name.is_nan() => Err(Failure::Bare("table index is NaN")),
        (Some(name), value) => {
            table.raw_set(name, value)?;
            Ok(table.clone())
        }
    }
}

fn setmetatable(args: &Arguments, protected: &Table) -> Result<Table, Failure> {
    if !matches!(args.get(1), Some(Value::Table(_))) {
        return Err(args.wrong_type(1, "table"));
    }
    let metatable = match args.get(2) {
        Some(Value::Nil) => None,
        Some(Value::Table(metatable)) => Some(metatable.clone()),
        _ => return Err(Failure::argument(2, "nil or table expected")),
    };
    let table = table_to_change(args, protected)?;
    if let Some(present) = table.metatable()
        && !matches!(present.raw_get::<Value>("__metatable")?, Value::Nil)
    {
        return Err(Failure::message("cannot change a protected metatable"));
    }
    table.set_metatable(metatable)?;
    Ok(table.clone())
}

/// What `load` and `loadstring` answer: a function, or nil and why there is none.
type Loaded = MultiValue;

fn refused(lua: &Lua, why: &str) -> Result<Loaded, Failure> {
    Ok(MultiValue::from_vec(vec![Value::Nil, Value::String(lua.create_string(why)?)]))
}

fn loadstring(lua: &Lua, args: &Arguments, compile: &Function) -> Result<Loaded, Failure> {
    let source = args.string(lua, 1)?;
    let name = args.string(lua, if args.is_absent(2) { 1 } else { 2 })?;
    compiled(lua, &source.as_bytes(), &name.as_bytes(), compile)
}

fn compiled(lua: &Lua, source: &[u8], name: &[u8], compile: &Function) -> Result<Loaded, Failure> {
    if source.first() == Some(&BYTECODE) {
        return refused(lua, "attempt to load chunk with wrong mode");
    }
    if is_too_long(source) {
        return refused(lua, TOO_LONG);
    }
    Meter::new(lua).step(source.len())?;
    watch::note_source(lua, source);
    // The compiler reads the name up to a zero byte and does not hold it from the first: it is held here
    // (CVE-2025-49844).
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let held: LuaString = lua.create_string(name)?;
    Ok(compile.call((lua.create_string(source)?, &held))?)
}

fn load(lua: &Lua, args: &Arguments, compile: &Function) -> Result<Loaded, Failure> {
    let Some(Value::Function(reader)) = args.get(1) else { return Err(args.wrong_type(1, "function")) };
    let mut source = Vec::new();
    let mut meter = Meter::new(lua);
    loop {
        let part = match call_protected(lua, reader, MultiValue::new()) {
            Ok(Value::Nil) => break,
            Ok(part @ (Value::String(_) | Value::Integer(_) | Value::Number(_))) => {
                lua.coerce_string(part)?
            }
            Ok(_) => return refused(lua, "reader function must return a string"),
            Err(Failure::Value(why)) => return Ok(MultiValue::from_vec(vec![Value::Nil, why])),
            Err(Failure::Lua(error)) => {
                // What ends a script by force is not caught.
                if super::super::vm::forced(&error).is_some() {
                    return Err(Failure::Lua(error));
                }
                let why = super::super::vm::visible_error(lua, &error)?;
                return Ok(MultiValue::from_vec(vec![Value::Nil, why]));
            }
            Err(other) => return Err(other),
        };
        let Some(part) = part.filter(|part| !part.as_bytes().is_empty()) else { break };
        if source.len() + part.as_bytes().len() > SOURCE_MAX {
            return refused(lua, TOO_LONG);
        }
        source.extend_from_slice(&part.as_bytes());
        meter.makes(source.len())?;
    }
    if args.is_absent(2) {
        return compiled(lua, &source, b"=(load)", compile);
    }
    compiled(lua, &source, &args.string(lua, 2)?.as_bytes(), compile)
}
