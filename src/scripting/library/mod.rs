//! The libraries that scripts find beside Lua's own.

use mlua::{Lua, Table};

/// All of them by name.
///
/// # Errors
/// When memory is short.
pub fn tables(lua: &Lua) -> mlua::Result<Table> {
    lua.create_table()
}
