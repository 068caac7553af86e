//! The libraries that scripts find beside Lua's own.
//!
//! Each module's `table` makes a fresh table of functions with settings of its own. What a function refuses it raises as [`Raised`], which
//! [`plain_error`] turns into the plain string that a script expects from `pcall`.

pub mod bit;
mod call;
pub mod cjson;
pub mod cmsgpack;
mod number;
pub mod r#struct;

pub use call::{Raised, plain_error};
#[cfg(test)]
pub use call::{guarded, raised};

use mlua::{Lua, Table};

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

#[cfg(test)]
mod tests;
