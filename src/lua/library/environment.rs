//! `getfenv` and `setfenv`, which scripts have where `lua-enable-insecure-api` is set.
//!
//! They reach the functions of scripts only. The world in which scripts run stays out of their reach: the
//! environment of any other function is told to be that of scripts, and cannot be changed.

use mlua::{Function, Lua, Table, Value};

use super::call::{Arguments, Failure, function};

/// Puts both functions into a table.
///
/// # Errors
/// When memory is short.
pub fn fill(lua: &Lua, table: &Table) -> mlua::Result<()> {
    table.raw_set("getfenv", function(lua, getfenv)?)?;
    table.raw_set("setfenv", function(lua, setfenv)?)
}

/// What a first argument means.
enum Target {
    /// A function of a script.
    Own(Function),
    /// Any other function, given or on the stack.
    Other,
    /// Level 0: what the thread's functions begin with.
    Thread,
}

fn target(lua: &Lua, args: &Arguments, default_level: Option<i64>) -> Result<Target, Failure> {
    if let Some(Value::Function(function)) = args.get(1) {
        return Ok(own(function.clone()));
    }
    let level = match default_level {
        Some(level) if args.is_absent(1) => level,
        _ => args.integer(lua, 1)?,
    };
    let Ok(level) = usize::try_from(level) else {
        return Err(Failure::argument(1, "level must be non-negative"));
    };
    if level == 0 {
        return Ok(Target::Thread);
    }
    let invalid = || Failure::argument(1, "invalid level");
    // A level counts from the function that called; level 0 of the stack is this one.
    let found = lua.inspect_stack(level, |frame| {
        let is_gone = frame.source().source.as_deref() == Some("=(tail call)");
        (!is_gone).then(|| own(frame.function()))
    });
    found
        .ok_or_else(invalid)?
        .ok_or_else(|| Failure::text(format!("no function environment for tail call at level {level}")))
}

fn own(function: Function) -> Target {
    let info = function.info();
    let is_own = info.what != "C" && info.source.as_deref() != Some("=prelude");
    if is_own { Target::Own(function) } else { Target::Other }
}

fn getfenv(lua: &Lua, args: &Arguments) -> Result<Table, Failure> {
    match target(lua, args, Some(1))? {
        Target::Own(function) => Ok(function.environment().unwrap_or_else(|| lua.globals())),
        Target::Other | Target::Thread => Ok(lua.globals()),
    }
}

fn setfenv(lua: &Lua, args: &Arguments) -> Result<Function, Failure> {
    let Some(Value::Table(environment)) = args.get(2) else { return Err(args.wrong_type(2, "table")) };
    match target(lua, args, None)? {
        Target::Own(function) if function.set_environment(environment.clone())? => Ok(function),
        _ => Err(Failure::message("'setfenv' cannot change environment of given object")),
    }
}
