//! The libraries that scripts find beside Lua's own, and what stands in the place of some of its functions.
//!
//! Each module's `table` makes a fresh table of functions with settings of its own. What a function refuses
//! it raises as [`Raised`], which [`plain_error`] turns into the plain string that a script expects from
//! `pcall`.

pub mod api;
pub mod basic;
pub mod bit;
mod call;
pub mod cjson;
pub mod cmsgpack;
pub mod environment;
mod format;
pub mod list;
pub mod math;
mod meter;
mod number;
pub mod numeral;
mod pattern;
pub mod protected;
pub mod r#struct;
pub mod text;

pub use call::plain_error;
#[cfg(test)]
pub use call::{guarded, raised};

use call::Failure;
use mlua::{Function, Lua, Table};

/// All of them by name.
///
/// # Errors
/// When memory is short.
pub fn tables(lua: &Lua) -> mlua::Result<Table> {
    let all = lua.create_table()?;
    all.raw_set("bit", bit::table(lua)?)?;
    all.raw_set("cjson", cjson::table(lua)?)?;
    all.raw_set("cmsgpack", cmsgpack::table(lua)?)?;
    all.raw_set("struct", r#struct::table(lua)?)?;
    Ok(all)
}

/// A function that raises the error for a wrong argument of the prelude's function that calls it: the
/// argument's number, and why.
///
/// # Errors
/// When memory is short.
pub fn wrong_argument(lua: &Lua) -> mlua::Result<Function> {
    call::function_beneath(lua, |lua, args| -> Result<(), Failure> {
        let number = args.integer(lua, 1)?;
        let why = args.string(lua, 2)?.to_string_lossy();
        Err(Failure::argument_text(usize::try_from(number).unwrap_or(0), why))
    })
}

#[cfg(test)]
mod tests;
