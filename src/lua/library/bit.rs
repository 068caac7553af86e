//! `bit`: operations on 32 bits. Results are signed.

use mlua::{Lua, Table};

use super::call::{Arguments, Failure, function};

/// Makes the table of functions.
pub fn table(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, 12)?;
    table.raw_set("tobit", unary(lua, |bits| bits)?)?;
    table.raw_set("bnot", unary(lua, |bits| !bits)?)?;
    table.raw_set("bswap", unary(lua, u32::swap_bytes)?)?;
    table.raw_set("band", folded(lua, |left, right| left & right)?)?;
    table.raw_set("bor", folded(lua, |left, right| left | right)?)?;
    table.raw_set("bxor", folded(lua, |left, right| left ^ right)?)?;
    // The count is taken modulo 32.
    table.raw_set("lshift", shift(lua, u32::wrapping_shl)?)?;
    table.raw_set("rshift", shift(lua, u32::wrapping_shr)?)?;
    table.raw_set("arshift", shift(lua, |bits, count| (bits as i32).wrapping_shr(count) as u32)?)?;
    table.raw_set("rol", shift(lua, |bits, count| bits.rotate_left(count & 31))?)?;
    table.raw_set("ror", shift(lua, |bits, count| bits.rotate_right(count & 31))?)?;
    table.raw_set("tohex", function(lua, tohex)?)?;
    Ok(table)
}

fn unary(lua: &Lua, apply: fn(u32) -> u32) -> mlua::Result<mlua::Function> {
    function(lua, move |lua, args| Ok(apply(bits(lua, args, 1)?) as i32))
}

fn folded(lua: &Lua, apply: fn(u32, u32) -> u32) -> mlua::Result<mlua::Function> {
    function(lua, move |lua, args| {
        let mut result = bits(lua, args, 1)?;
        for number in 2..=args.count() {
            result = apply(result, bits(lua, args, number)?);
        }
        Ok(result as i32)
    })
}

fn shift(lua: &Lua, apply: fn(u32, u32) -> u32) -> mlua::Result<mlua::Function> {
    function(lua, move |lua, args| Ok(apply(bits(lua, args, 1)?, bits(lua, args, 2)?) as i32))
}

/// Up to eight hexadecimal digits, the lowest ones. A negative count asks for capitals.
fn tohex(lua: &Lua, args: &Arguments) -> Result<String, Failure> {
    let value = bits(lua, args, 1)?;
    let count = if args.get(2).is_none() { 8 } else { bits(lua, args, 2)? as i32 };
    let digits = count.unsigned_abs().min(8) as usize;
    let text = if count < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    Ok(text.get(8 - digits..).unwrap_or_default().to_owned())
}

/// The lowest 32 bits of a number, rounded to the nearest integer. Adding 2^52 + 2^51 leaves the integer in
/// the lowest bits of the double; for numbers beyond 2^51 the result is what scripts have always got.
fn bits(lua: &Lua, args: &Arguments, number: usize) -> Result<u32, Failure> {
    const SHIFTER: f64 = 6_755_399_441_055_744.0;
    Ok((args.number(lua, number)? + SHIFTER).to_bits() as u32)
}
