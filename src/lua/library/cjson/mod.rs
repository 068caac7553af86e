//! `cjson`: values as JSON. Each table of functions has its own settings.

mod decode;
mod encode;

use std::sync::Arc;

use mlua::{Function, LightUserData, Lua, Table, Value};
use parking_lot::Mutex;

use super::call::{Arguments, Failure, function};
use super::meter::Meter;

/// Lua's stack slots that nested tables may take, one for an array and two for an object. It stays below what
/// Lua allows, because mlua keeps its references to values on a stack of the same size.
const NESTING_SLOTS_MAX: usize = 7_500;
/// A buffer above this size is not kept from one call to the next.
const KEPT_BUFFER_MAX: usize = 1 << 20;

/// What numbers that JSON does not know become.
#[derive(Clone, Copy, PartialEq, Eq)]
enum InvalidNumbers {
    Refused,
    Written,
    Null,
}

#[derive(Clone, Copy)]
struct Settings {
    encode_depth_max: i32,
    decode_depth_max: i32,
    keep_buffer: bool,
    encode_invalid_numbers: InvalidNumbers,
    decode_invalid_numbers: InvalidNumbers,
    precision: i32,
    /// Arrays with too many holes become objects; else they are refused.
    sparse_to_object: bool,
    /// An array has too many holes if its last index is this many times its count and beyond `sparse_safe`. 0
    /// allows any.
    sparse_ratio: i32,
    sparse_safe: i32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            encode_depth_max: 1000,
            decode_depth_max: 1000,
            keep_buffer: true,
            encode_invalid_numbers: InvalidNumbers::Refused,
            decode_invalid_numbers: InvalidNumbers::Written,
            precision: 14,
            sparse_to_object: false,
            sparse_ratio: 2,
            sparse_safe: 10,
        }
    }
}

/// What the functions of one table share.
#[derive(Default)]
struct Shared {
    settings: Settings,
    /// Memory for the next encoding.
    buffer: Vec<u8>,
}

type State = Arc<Mutex<Shared>>;

/// Makes the table of functions with settings of its own.
pub fn table(lua: &Lua) -> mlua::Result<Table> {
    let next: Function = lua.globals().raw_get("next")?;
    table_with(lua, &next)
}

fn table_with(lua: &Lua, next: &Function) -> mlua::Result<Table> {
    let state = State::default();
    let table = lua.create_table_with_capacity(0, 13)?;
    table.raw_set("_NAME", "cjson")?;
    table.raw_set("_VERSION", "2.1.0")?;
    table.raw_set("null", Value::LightUserData(NULL))?;
    let (shared, walker) = (State::clone(&state), next.clone());
    table.raw_set("encode", function(lua, move |lua, args| encode(lua, args, &shared, &walker))?)?;
    let shared = State::clone(&state);
    table.raw_set("decode", function(lua, move |lua, args| decode(lua, args, &shared))?)?;
    let again = next.clone();
    table.raw_set("new", function(lua, move |lua, _| Ok(table_with(lua, &again)?))?)?;
    table.raw_set("encode_max_depth", setting(lua, &state, 1, encode_max_depth)?)?;
    table.raw_set("decode_max_depth", setting(lua, &state, 1, decode_max_depth)?)?;
    table.raw_set("encode_keep_buffer", setting(lua, &state, 1, encode_keep_buffer)?)?;
    table.raw_set("encode_invalid_numbers", setting(lua, &state, 1, encode_invalid_numbers)?)?;
    table.raw_set("decode_invalid_numbers", setting(lua, &state, 1, decode_invalid_numbers)?)?;
    table.raw_set("encode_number_precision", setting(lua, &state, 1, encode_number_precision)?)?;
    table.raw_set("encode_sparse_array", setting(lua, &state, 3, encode_sparse_array)?)?;
    Ok(table)
}

/// What stands for JSON's null.
const NULL: LightUserData = LightUserData(std::ptr::null_mut());

fn encode(lua: &Lua, args: &Arguments, state: &State, next: &Function) -> Result<mlua::LuaString, Failure> {
    let value = only_argument(args)?;
    let (settings, mut buffer) = {
        let mut shared = state.lock();
        (shared.settings, std::mem::take(&mut shared.buffer))
    };
    buffer.clear();
    let encoded = encode::encode(value, &settings, next, &mut Meter::new(lua), &mut buffer);
    let text = encoded.and_then(|()| Ok(lua.create_string(&buffer)?));
    if settings.keep_buffer && buffer.capacity() <= KEPT_BUFFER_MAX {
        state.lock().buffer = buffer;
    }
    text
}

fn decode(lua: &Lua, args: &Arguments, state: &State) -> Result<Value, Failure> {
    only_argument(args)?;
    let text = args.string(lua, 1)?;
    let settings = state.lock().settings;
    decode::decode(lua, &text.as_bytes(), &settings)
}

fn only_argument(args: &Arguments) -> Result<&Value, Failure> {
    match args.get(1) {
        Some(value) if args.count() == 1 => Ok(value),
        _ => Err(Failure::argument(1, "expected 1 argument")),
    }
}

type Configure<R> = fn(&Lua, &Arguments, &mut Settings) -> Result<R, Failure>;

/// Makes a function that reads and changes settings and takes at most so many arguments.
fn setting<R: mlua::IntoLuaMulti + 'static>(
    lua: &Lua,
    state: &State,
    arguments_max: usize,
    configure: Configure<R>,
) -> mlua::Result<Function> {
    let state = State::clone(state);
    function(lua, move |lua, args| {
        if args.count() > arguments_max {
            return Err(Failure::argument(arguments_max + 1, "found too many arguments"));
        }
        configure(lua, args, &mut state.lock().settings)
    })
}

fn encode_max_depth(lua: &Lua, args: &Arguments, settings: &mut Settings) -> Result<i32, Failure> {
    configure_integer(lua, args, 1, &mut settings.encode_depth_max, 1, i32::MAX)
}

fn decode_max_depth(lua: &Lua, args: &Arguments, settings: &mut Settings) -> Result<i32, Failure> {
    configure_integer(lua, args, 1, &mut settings.decode_depth_max, 1, i32::MAX)
}

fn encode_number_precision(lua: &Lua, args: &Arguments, settings: &mut Settings) -> Result<i32, Failure> {
    configure_integer(lua, args, 1, &mut settings.precision, 1, 14)
}

fn encode_keep_buffer(lua: &Lua, args: &Arguments, settings: &mut Settings) -> Result<bool, Failure> {
    configure_bool(lua, args, 1, &mut settings.keep_buffer)?;
    Ok(settings.keep_buffer)
}

fn encode_invalid_numbers(lua: &Lua, args: &Arguments, settings: &mut Settings) -> Result<Value, Failure> {
    configure_invalid_numbers(lua, args, &mut settings.encode_invalid_numbers, true)
}

fn decode_invalid_numbers(lua: &Lua, args: &Arguments, settings: &mut Settings) -> Result<Value, Failure> {
    configure_invalid_numbers(lua, args, &mut settings.decode_invalid_numbers, false)
}

fn encode_sparse_array(
    lua: &Lua,
    args: &Arguments,
    settings: &mut Settings,
) -> Result<(bool, i32, i32), Failure> {
    configure_bool(lua, args, 1, &mut settings.sparse_to_object)?;
    configure_integer(lua, args, 2, &mut settings.sparse_ratio, 0, i32::MAX)?;
    configure_integer(lua, args, 3, &mut settings.sparse_safe, 0, i32::MAX)?;
    Ok((settings.sparse_to_object, settings.sparse_ratio, settings.sparse_safe))
}

/// Sets a number that is given. A number out of range is told as the first argument whatever its place.
fn configure_integer(
    lua: &Lua,
    args: &Arguments,
    number: usize,
    to: &mut i32,
    min: i32,
    max: i32,
) -> Result<i32, Failure> {
    if !args.is_absent(number) {
        // The lowest 32 bits count.
        let value = args.integer(lua, number)? as i32;
        if !(min..=max).contains(&value) {
            return Err(Failure::argument_text(1, format!("expected integer between {min} and {max}")));
        }
        *to = value;
    }
    Ok(*to)
}

fn configure_bool(lua: &Lua, args: &Arguments, number: usize, to: &mut bool) -> Result<(), Failure> {
    match args.get(number) {
        None | Some(Value::Nil) => {}
        Some(Value::Boolean(value)) => *to = *value,
        Some(_) => {
            let text = args.string(lua, number)?;
            *to = match &*text.as_bytes() {
                b"on" => true,
                b"off" => false,
                other => return Err(invalid_option(number, other)),
            };
        }
    }
    Ok(())
}

fn configure_invalid_numbers(
    lua: &Lua,
    args: &Arguments,
    to: &mut InvalidNumbers,
    null_allowed: bool,
) -> Result<Value, Failure> {
    let null = args.get(1).and_then(Value::as_string).is_some_and(|text| *text.as_bytes() == *b"null");
    if null && null_allowed {
        *to = InvalidNumbers::Null;
    } else if !args.is_absent(1) {
        let mut written = false;
        configure_bool(lua, args, 1, &mut written)?;
        *to = if written { InvalidNumbers::Written } else { InvalidNumbers::Refused };
    }
    Ok(match to {
        InvalidNumbers::Refused => Value::Boolean(false),
        InvalidNumbers::Written => Value::Boolean(true),
        InvalidNumbers::Null => Value::String(lua.create_string("null")?),
    })
}

#[cold]
fn invalid_option(number: usize, option: &[u8]) -> Failure {
    // A zero byte ends what is shown.
    let shown = option.split(|&byte| byte == 0).next().unwrap_or_default();
    Failure::Argument(number, [b"invalid option '".as_slice(), shown, b"'"].concat().into())
}
