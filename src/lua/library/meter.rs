//! Counting what a library function does, so that a script is watched over there as well.
//!
//! Lua's hook counts a machine's instructions; a function of a library is one of them, however long it runs.
//! Such a function tells its steps to a [`Meter`], and every so many the script is looked at as by the hook:
//! shown as running, ended when it has to end.

use mlua::Lua;

use super::super::watch;
use super::call::Failure;

/// Steps that a call may take before they are told to the watch: some microseconds.
const UNTOLD_STEPS: usize = 512;

/// Bytes that are copied, searched or compared at once, which count as one step.
const BYTES_OF_STEP: usize = 64;

/// Bytes that are made before it is asked whether there is room for them.
const UNASKED_BYTES: usize = 64 * 1024;

/// The steps of one call of a library function.
pub(super) struct Meter<'l> {
    lua: &'l Lua,
    left: usize,
    /// Bytes that may be made before it is asked again.
    room: usize,
    /// Bytes made that were counted as steps.
    made: usize,
}

impl<'l> Meter<'l> {
    pub(super) fn new(lua: &'l Lua) -> Self {
        Self { lua, left: UNTOLD_STEPS, room: UNASKED_BYTES, made: 0 }
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
        self.tell(steps)
    }

    /// Counts work on so many bytes that goes through all of them at once.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    #[inline]
    pub(super) fn bytes(&mut self, len: usize) -> Result<(), Failure> {
        self.step(len / BYTES_OF_STEP)
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
        watch::count_steps(self.lua, self.taken(steps))
    }

    #[cold]
    fn tell(&mut self, steps: usize) -> Result<(), Failure> {
        watch::count_steps(self.lua, self.taken(steps)).map_err(Failure::Lua)
    }

    /// The steps not told yet, these included; counting starts anew.
    fn taken(&mut self, steps: usize) -> usize {
        let taken = UNTOLD_STEPS - self.left + steps;
        self.left = UNTOLD_STEPS;
        taken
    }

    /// Says that the result is, or is about to be, so many bytes long, and counts them as steps.
    ///
    /// # Errors
    /// When the script's memory has no room for it, or the script has to end.
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
        self.room = (len + UNASKED_BYTES).min(room);
        let more = len.saturating_sub(self.made);
        self.made = len;
        self.bytes(more)
    }
}
