//! `math` and `string.char`: the functions that take any number of arguments, each of which may be a long
//! text that reads as a number.

use mlua::{Lua, LuaString, Table};

use super::call::{Arguments, Failure, function};

/// Puts `max` and `min` in the place of Lua's own.
///
/// # Errors
/// When memory is short.
pub fn replace(lua: &Lua, math: &Table) -> mlua::Result<()> {
    math.raw_set("max", function(lua, |lua, args| best(lua, args, |value, best| value > best))?)?;
    math.raw_set("min", function(lua, |lua, args| best(lua, args, |value, best| value < best))?)
}

/// The first of the arguments than which no other is better.
fn best(lua: &Lua, args: &Arguments, is_better: fn(f64, f64) -> bool) -> Result<f64, Failure> {
    let mut best = args.number(lua, 1)?;
    for number in 2..=args.count() {
        let value = args.number(lua, number)?;
        if is_better(value, best) {
            best = value;
        }
    }
    Ok(best)
}

/// `string.char`.
pub(super) fn char(lua: &Lua, args: &Arguments) -> Result<LuaString, Failure> {
    let byte = |number| {
        // Of a number 32 bits are taken, as C does.
        u8::try_from(args.integer(lua, number)? as i32)
            .map_err(|_| Failure::argument(number, "invalid value"))
    };
    let bytes = (1..=args.count()).map(byte).collect::<Result<Vec<u8>, Failure>>()?;
    Ok(lua.create_string(bytes)?)
}
