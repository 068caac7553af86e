//! `table`, and `unpack`: the functions whose time or result may grow beyond what they are given.

use mlua::{Function, Lua, LuaString, MultiValue, Table, Value};

use super::call::{Arguments, Failure, function, function_beneath};
use super::format;
use super::meter::Meter;
use super::protected::call_protected;

/// Elements that Lua's own function may move in one go.
const MOVED_MAX: i64 = 8192;

/// The longest list that Lua's own `sort` gets, which compares within C, unwatched.
const SORTED_UNWATCHED_MAX: usize = 512;

/// Memory beyond which texts may be so long that comparing them takes time, too.
const COMPARED_UNWATCHED_BYTES: usize = 8 << 20;

const READ_ONLY: &str = "Attempt to modify a readonly table";

/// Puts the functions in the place of Lua's own. `protected` has the tables that scripts may not change as
/// its keys.
///
/// # Errors
/// When memory is short.
pub fn replace(lua: &Lua, tables: &Table, protected: &Table) -> mlua::Result<()> {
    tables.raw_set("concat", function(lua, concat)?)?;
    let (lua_insert, kept) = (tables.raw_get::<Function>("insert")?, protected.clone());
    tables.raw_set("insert", function(lua, move |lua, args| insert(lua, args, &lua_insert, &kept))?)?;
    let (lua_remove, kept) = (tables.raw_get::<Function>("remove")?, protected.clone());
    tables.raw_set("remove", function(lua, move |lua, args| remove(lua, args, &lua_remove, &kept))?)?;
    let lua_sort = tables.raw_get::<Function>("sort")?;
    let is_less: Function =
        lua.load("local left, right = ... return left < right").set_name("=prelude").into_function()?;
    tables.raw_set("sort", function(lua, move |lua, args| sort(lua, args, &lua_sort, &is_less))?)?;
    Ok(())
}

/// `table.insert` with arguments that are not all right, or may not be, called by a function that has done it
/// itself with all others.
///
/// # Errors
/// When memory is short.
pub fn insert_carefully(lua: &Lua, lua_insert: Function, protected: Table) -> mlua::Result<Function> {
    function_beneath(lua, move |lua, args| insert(lua, args, &lua_insert, &protected))
}

/// `unpack` with arguments that are not all right, or may not be, called by a function that has done it
/// itself with all others.
///
/// # Errors
/// When memory is short.
pub fn unpack_carefully(lua: &Lua) -> mlua::Result<Function> {
    function_beneath(lua, |lua, args| {
        let list = table_at(args, 1)?;
        let first = if args.is_absent(2) { 1 } else { integer(lua, args, 2)? };
        let last = if args.is_absent(3) { list.raw_len() as i64 } else { integer(lua, args, 3)? };
        let count = last - first + 1;
        if count <= 0 {
            return Ok(MultiValue::new());
        }
        if count as usize > super::call::STACK_SLOTS_MAX - args.count() {
            return Err(Failure::message("too many results to unpack"));
        }
        (first..=last).map(|index| Ok(list.raw_get(index)?)).collect()
    })
}

/// Of a number 32 bits are taken, as C does.
fn integer(lua: &Lua, args: &Arguments, number: usize) -> Result<i64, Failure> {
    Ok(i64::from(args.integer(lua, number)? as i32))
}

fn table_at(args: &Arguments, number: usize) -> Result<&Table, Failure> {
    match args.get(number) {
        Some(Value::Table(table)) => Ok(table),
        _ => Err(args.wrong_type(number, "table")),
    }
}

fn concat(lua: &Lua, args: &Arguments) -> Result<LuaString, Failure> {
    let separator = if args.is_absent(2) { None } else { Some(args.string(lua, 2)?) };
    let separator = separator.as_ref().map(|text| text.as_bytes());
    let separator: &[u8] = separator.as_deref().unwrap_or_default();
    let list = table_at(args, 1)?;
    let first = if args.is_absent(3) { 1 } else { integer(lua, args, 3)? };
    let last = if args.is_absent(4) { list.raw_len() as i64 } else { integer(lua, args, 4)? };
    let mut meter = Meter::new(lua);
    let mut out = Vec::new();
    for index in first..=last {
        match list.raw_get(index)? {
            Value::String(text) => out.extend_from_slice(&text.as_bytes()),
            Value::Integer(number) => format::push_number(&mut out, number as f64),
            Value::Number(number) => format::push_number(&mut out, number),
            other => {
                let name = super::call::type_name(&other);
                let text = format!("invalid value ({name}) at index {index} in table for 'concat'");
                return Err(Failure::text(text));
            }
        }
        if index < last {
            out.extend_from_slice(separator);
        }
        meter.step(8)?;
        meter.makes(out.len())?;
    }
    Ok(lua.create_string(out)?)
}

fn check_writable(list: &Table, protected: &Table) -> Result<(), Failure> {
    match protected.raw_get::<Value>(list)? {
        Value::Nil => Ok(()),
        _ => Err(Failure::Bare(READ_ONLY)),
    }
}

fn insert(lua: &Lua, args: &Arguments, lua_insert: &Function, protected: &Table) -> Result<(), Failure> {
    let list = table_at(args, 1)?;
    check_writable(list, protected)?;
    let end = list.raw_len() as i64 + 1;
    match args.count() {
        2 => Ok(list.raw_set(end, args.get(2).unwrap_or(&Value::Nil))?),
        3 => {
            let place = integer(lua, args, 2)?;
            let value = args.get(3).unwrap_or(&Value::Nil);
            if place >= end || end - place <= MOVED_MAX {
                return Ok(lua_insert.call::<()>((list, place, value))?);
            }
            let mut meter = Meter::new(lua);
            for index in (place + 1..=end).rev() {
                meter.step(16)?;
                move_one(list, index - 1, index)?;
            }
            Ok(list.raw_set(place, value)?)
        }
        _ => Err(Failure::message("wrong number of arguments to 'insert'")),
    }
}

fn remove(
    lua: &Lua,
    args: &Arguments,
    lua_remove: &Function,
    protected: &Table,
) -> Result<MultiValue, Failure> {
    let list = table_at(args, 1)?;
    check_writable(list, protected)?;
    let end = list.raw_len() as i64;
    let place = if args.is_absent(2) { end } else { integer(lua, args, 2)? };
    if !(1..=end).contains(&place) {
        return Ok(MultiValue::new());
    }
    if end - place <= MOVED_MAX {
        return Ok(lua_remove.call((list, place))?);
    }
    let removed: Value = list.raw_get(place)?;
    let mut meter = Meter::new(lua);
    for index in place..end {
        meter.step(16)?;
        move_one(list, index + 1, index)?;
    }
    list.raw_set(end, Value::Nil)?;
    Ok(MultiValue::from_vec(vec![removed]))
}

/// Copies an element; a hole stays one without taking room.
fn move_one(list: &Table, from: i64, to: i64) -> Result<(), Failure> {
    let value: Value = list.raw_get(from)?;
    if value == Value::Nil && list.raw_get::<Value>(to)? == Value::Nil {
        return Ok(());
    }
    Ok(list.raw_set(to, value)?)
}

/// Sorts with Lua's own function: an order that is none makes it fail, not read or write beyond the list. Who
/// compares is either a function of Lua code, whose instructions are counted, or the list is short.
fn sort(lua: &Lua, args: &Arguments, lua_sort: &Function, is_less: &Function) -> Result<(), Failure> {
    let list = table_at(args, 1)?;
    let compare = match args.get(2) {
        None | Some(Value::Nil) => None,
        Some(Value::Function(compare)) => Some(compare),
        Some(_) => return Err(args.wrong_type(2, "function")),
    };
    let len = list.raw_len();
    let unwatched = len <= SORTED_UNWATCHED_MAX
        && lua.used_memory() <= COMPARED_UNWATCHED_BYTES
        && !super::super::watch::has_long_text(lua);
    let compare = compare.or((!unwatched).then_some(is_less));
    let mut arguments = MultiValue::from_vec(vec![Value::Table(list.clone())]);
    arguments.extend(compare.map(|compare| Value::Function(compare.clone())));
    match call_protected(lua, lua_sort, arguments) {
        Ok(_) => Ok(()),
        Err(Failure::Value(Value::String(text))) => Err(sort_failed(&text.as_bytes())),
        Err(other) => Err(other),
    }
}

/// Lua's own function is called without a place that could be told.
fn sort_failed(text: &[u8]) -> Failure {
    if text == b"invalid order function for sorting" {
        return Failure::Message(text.to_vec().into());
    }
    let compared = text.strip_prefix(b"sort:1: ").unwrap_or(text);
    Failure::Text(compared.to_vec())
}
