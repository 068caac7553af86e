//! Calling a script's function out of a library function.
//!
//! An error of any kind may leave it, a table too, and has to come out of the library function as it is. mlua
//! carries only texts; so the function is called through Lua's own `pcall`, and the error travels in its
//! place ([`Failure::Value`]).

use mlua::{Function, Lua, MultiValue, Value};

use super::call::Failure;

/// Names in the machine's registry: Lua's own `pcall`, and a function that looks a key up with metamethods.
const PCALL: &str = "kvarts.pcall";
pub(super) const LOOK_UP: &str = "kvarts.look_up";

/// Keeps what calling needs, while the machine's globals are still Lua's own.
///
/// # Errors
/// When memory is short.
pub fn prepare(lua: &Lua) -> mlua::Result<()> {
    lua.set_named_registry_value(PCALL, lua.globals().raw_get::<Function>("pcall")?)?;
    let look_up: Function =
        lua.load("local table, key = ... return table[key]").set_name("=[C]").into_function()?;
    lua.set_named_registry_value(LOOK_UP, look_up)
}

/// Calls a function of the script; answers its first result.
pub(super) fn call_protected(
    lua: &Lua,
    function: &Function,
    mut arguments: MultiValue,
) -> Result<Value, Failure> {
    let pcall = lua.named_registry_value::<Function>(PCALL)?;
    arguments.push_front(Value::Function(function.clone()));
    let (ended_well, value): (bool, Value) = pcall.call(arguments)?;
    if ended_well { Ok(value) } else { Err(failure_of(value)) }
}

/// What came out of a function that failed.
fn failure_of(value: Value) -> Failure {
    match value {
        // The machine's own, and what ends a script by force.
        Value::Error(error) => Failure::Lua(*error),
        value => Failure::Value(value),
    }
}
