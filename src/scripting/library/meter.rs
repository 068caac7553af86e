//! Counting what a library function does, so that a script is watched over there as well.
//!
//! Lua's hook counts a machine's instructions; a function of a library is one of them, however long it runs. Such a function tells its
//! steps to a [`Meter`], and every so many the script is looked at as by the hook: shown as running, ended when it has to end.

use mlua::Lua;

use super::super::watch;
use super::call::Failure;

/// Steps between two looks: some tens of microseconds.
const STEPS: usize = 1 << 14;

/// Bytes that are made before it is asked whether there is room for them.
const UNASKED_BYTES: usize = 64 * 1024;

/// The steps of one call of a library function.
pub(super) struct Meter<'l> {
    lua: &'l Lua,
    left: usize,
    /// Bytes that may be made before it is asked again.
    room: usize,
}

impl<'l> Meter<'l> {
    pub(super) fn new(lua: &'l Lua) -> Self {
        Self { lua, left: STEPS, room: UNASKED_BYTES }
    }

    /// Counts so many steps.
    ///
    /// # Errors
    /// When the script has to end.
    #[inline]
    pub(super) fn step(&mut self, steps: usize) -> Result<(), Failure> {
        if steps < self.left {
            self.left -= steps;
            return Ok(());
        }
        self.look()
    }

    /// The same within a walk over a table, whose errors are Lua's.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub(super) fn step_in_walk(&mut self, steps: usize) -> mlua::Result<()> {
        if steps < self.left {
            self.left -= steps;
            return Ok(());
        }
        self.left = STEPS;
        watch::look(self.lua)
    }

    #[cold]
    fn look(&mut self) -> Result<(), Failure> {
        self.left = STEPS;
        watch::look(self.lua).map_err(Failure::Lua)
    }

    /// Says that the result is, or is about to be, so many bytes long.
    ///
    /// # Errors
    /// When the script's memory has no room for it.
    #[inline]
    pub(super) fn makes(&mut self, len: usize) -> Result<(), Failure> {
        if len <= self.room {
            return Ok(());
        }
        self.ask(len)
    }

    #[cold]
    fn ask(&mut self, len: usize) -> Result<(), Failure> {
        let room = watch::room(self.lua);
        if len > room {
            return Err(Failure::Bare("not enough memory"));
        }
        watch::note_text(self.lua, len);
        self.room = (2 * len).min(room);
        Ok(())
    }
}
