//! `redis`: the functions that need no command. What is wrong in a call is raised as a table with the text,
//! as commands' errors are.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Lua, LuaString, Table, Value};
use ring::digest;

use super::super::scripts::hex;
use super::call::{Arguments, Failure, function};
use super::meter::Meter;
use crate::resp::Version;

/// Puts the functions into a table.
///
/// # Errors
/// When memory is short.
pub fn fill(lua: &Lua, table: &Table, version: &Rc<Cell<Version>>) -> mlua::Result<()> {
    table.raw_set("log", function(lua, log)?)?;
    table.raw_set("sha1hex", function(lua, sha1hex)?)?;
    table.raw_set("set_repl", function(lua, set_repl)?)?;
    let version = Rc::clone(version);
    table.raw_set("setresp", function(lua, move |lua, args| setresp(lua, args, &version))?)?;
    Ok(())
}

fn refused(lua: &Lua, text: &str) -> Failure {
    let table = lua.create_table().and_then(|table| table.raw_set("err", text).map(|()| table));
    match table {
        Ok(table) => Failure::Value(Value::Table(table)),
        Err(error) => Failure::Lua(error),
    }
}

/// A number, or a text that reads as one.
fn number(lua: &Lua, args: &Arguments, number: usize) -> Option<f64> {
    match args.get(number) {
        Some(Value::Integer(_) | Value::Number(_) | Value::String(_)) => args.number(lua, number).ok(),
        _ => None,
    }
}

fn log(lua: &Lua, args: &Arguments) -> Result<(), Failure> {
    if args.count() < 2 {
        return Err(refused(lua, "ERR server.log() requires two arguments or more."));
    }
    let Some(level) = number(lua, args, 1) else {
        return Err(refused(lua, "ERR First argument must be a number (log level)."));
    };
    let level = level as i32;
    if !(0..=3).contains(&level) {
        return Err(refused(lua, "ERR Invalid log level."));
    }
    let mut text = String::new();
    for number in 2..=args.count() {
        // What is neither a text nor a number is left out.
        let Ok(part) = args.string(lua, number) else { continue };
        if number > 2 {
            text.push(' ');
        }
        text.push_str(&part.to_string_lossy());
    }
    match level {
        0 => tracing::trace!(target: "kvarts::script", "{text}"),
        1 => tracing::debug!(target: "kvarts::script", "{text}"),
        2 => tracing::info!(target: "kvarts::script", "{text}"),
        _ => tracing::warn!(target: "kvarts::script", "{text}"),
    }
    Ok(())
}

fn sha1hex(lua: &Lua, args: &Arguments) -> Result<LuaString, Failure> {
    const PART: usize = 1 << 17;
    if args.count() != 1 {
        return Err(refused(lua, "ERR wrong number of arguments"));
    }
    let mut digest = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    // Of what is neither a text nor a number the digest is that of nothing.
    if let Ok(text) = args.string(lua, 1) {
        let mut meter = Meter::new(lua);
        for part in text.as_bytes().chunks(PART) {
            meter.step(part.len() / 16)?;
            digest.update(part);
        }
    }
    let mut sha = [0; 20];
    sha.copy_from_slice(digest.finish().as_ref());
    Ok(lua.create_string(hex(&sha))?)
}

fn setresp(lua: &Lua, args: &Arguments, version: &Rc<Cell<Version>>) -> Result<(), Failure> {
    if args.count() != 1 {
        return Err(refused(lua, "ERR server.setresp() requires one argument."));
    }
    version.set(match number(lua, args, 1).map(|wanted| wanted as i32) {
        Some(2) => Version::Resp2,
        Some(3) => Version::Resp3,
        _ => return Err(refused(lua, "ERR RESP version must be 2 or 3.")),
    });
    Ok(())
}

fn set_repl(lua: &Lua, args: &Arguments) -> Result<(), Failure> {
    /// All that may be said: the file and the replicas.
    const FLAGS: i32 = 3;
    if args.count() != 1 {
        return Err(refused(lua, "ERR server.set_repl() requires one argument."));
    }
    let flags = number(lua, args, 1).unwrap_or(0.0) as i32;
    if flags & !FLAGS != 0 {
        let text = "ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.";
        return Err(refused(lua, text));
    }
    Ok(())
}
