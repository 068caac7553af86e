//! How a machine is watched over while it runs a script: the hook that Lua calls every so many instructions,
//! and what library functions call every so many steps.
//!
//! Most instructions take nanoseconds, some copy or compare all that a script holds. So the hook comes more
//! often while a script holds much, and once a script was seen to take long between two looks.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mlua::{HookTriggers, Lua, VmState};

use super::control::{Control, Place};

/// Instructions between two looks.
const INSTRUCTIONS: u32 = 1_000;

/// The same for a script that joins texts with `..`: this many joins make a text as long as there is memory
/// for, unseen.
const INSTRUCTIONS_OF_JOINS: u32 = 64;

/// Steps of library functions between two looks, all calls together: some tens of microseconds, up to a
/// millisecond where a step copies.
const STEPS: usize = 1 << 14;

/// The length from which on a text makes the instructions count that work on it, in bytes.
const LONG_TEXT_BYTES: usize = 64 << 10;

/// Bytes that the instructions between two looks may go through, were each to work on the longest text:
/// reading them as a number, the slowest that an instruction does, takes some 20 milliseconds.
const TEXT_BYTES_BETWEEN: usize = 4 << 20;

/// The same for a script that took long between two looks.
const FEW_INSTRUCTIONS: u32 = 8;

/// Commands of a script between two looks.
const CALLS: u32 = 16;

/// A time between two looks that is long.
const LONG: Duration = Duration::from_millis(4);

/// A machine that holds more than this, in bytes, is looked at more often: in proportion.
const MUCH_BYTES: usize = 4 << 20;

/// Garbage is collected at a look when the machine holds this part of what it may hold, as Lua, which waits
/// until there is twice as much as was left last time, may run into the limit first.
const COLLECT_PERCENT: usize = 60;

/// The names of what is compiled: a script, and a library of functions.
const SOURCES: [&str; 2] = ["@user_script", "@user_function"];

/// What a machine's watch knows. The machine keeps it where its functions find it.
pub struct Watch {
    control: Rc<Control>,
    /// Bytes that the machine may hold.
    limit: Cell<usize>,
    /// The most instructions between two looks at the script that runs.
    usual: Cell<u32>,
    /// Instructions between two looks at present.
    every: Cell<u32>,
    looked: Cell<Option<Instant>>,
    /// Bytes at which garbage is collected next.
    collect_at: Cell<usize>,
    /// Commands until the next look.
    calls_left: Cell<u32>,
    /// Steps of library functions since the last look.
    steps: Cell<usize>,
    /// The length of the longest text that the script is known to have had, in bytes.
    longest: Cell<usize>,
}

impl Watch {
    /// The most instructions between two looks while the script has texts as long as it has.
    fn most_instructions(&self) -> u32 {
        let (longest, usual) = (self.longest.get(), self.usual.get());
        if longest < LONG_TEXT_BYTES {
            return usual;
        }
        u32::try_from(TEXT_BYTES_BETWEEN / longest).unwrap_or(usual).clamp(1, usual)
    }
}

/// Begins to watch a machine.
///
/// # Errors
/// When memory is short.
pub fn begin(lua: &Lua, control: &Rc<Control>, limit: usize) -> mlua::Result<()> {
    lua.set_app_data(Rc::new(Watch {
        control: Rc::clone(control),
        limit: Cell::new(limit),
        usual: Cell::new(INSTRUCTIONS),
        every: Cell::new(INSTRUCTIONS),
        looked: Cell::new(None),
        collect_at: Cell::new(limit / 100 * COLLECT_PERCENT),
        calls_left: Cell::new(CALLS),
        steps: Cell::new(0),
        longest: Cell::new(0),
    }));
    look_every(lua, INSTRUCTIONS)
}

/// Sets how many bytes the machine may hold.
///
/// # Errors
/// None that comes up with the machine's allocator.
pub fn set_limit(lua: &Lua, limit: usize) -> mlua::Result<()> {
    if let Some(watch) = of(lua) {
        watch.limit.set(limit);
        watch.collect_at.set(limit / 100 * COLLECT_PERCENT);
    }
    lua.set_memory_limit(limit).map(|_| ())
}

/// Starts anew: a script is about to run, which joins texts with `..` or does not.
///
/// # Errors
/// When memory is short.
pub fn restart(lua: &Lua, joins_texts: bool) -> mlua::Result<()> {
    let Some(watch) = of(lua) else { return Ok(()) };
    watch.looked.set(Some(Instant::now()));
    watch.steps.set(0);
    watch.longest.set(0);
    watch.collect_at.set(watch.limit.get() / 100 * COLLECT_PERCENT);
    let usual = if joins_texts { INSTRUCTIONS_OF_JOINS } else { INSTRUCTIONS };
    watch.usual.set(usual);
    if watch.every.replace(usual) != usual {
        look_every(lua, usual)?;
    }
    Ok(())
}

/// Whether a source may join texts with `..`. Three dots and those of a comment or text count too.
pub fn joins_texts(source: &[u8]) -> bool {
    memchr::memmem::find(source, b"..").is_some()
}

/// Notes that the script has compiled a source.
pub fn note_source(lua: &Lua, source: &[u8]) {
    if let Some(watch) = of(lua)
        && watch.usual.get() > INSTRUCTIONS_OF_JOINS
        && joins_texts(source)
    {
        watch.usual.set(INSTRUCTIONS_OF_JOINS);
        if watch.every.get() > INSTRUCTIONS_OF_JOINS {
            set_every(lua, &watch, INSTRUCTIONS_OF_JOINS);
        }
    }
}

/// Whether the script has to end by force; notes where it is.
pub fn has_to_end(lua: &Lua) -> bool {
    let Some(watch) = of(lua) else { return false };
    let ends = watch.control.has_to_end();
    if ends && !watch.control.knows_place() {
        watch.control.note_place(place_in_script(lua));
    }
    ends
}

/// Notes that the script gets a text of so many bytes: its instructions may take long from now on.
pub fn note_text(lua: &Lua, len: usize) {
    if len >= LONG_TEXT_BYTES
        && let Some(watch) = of(lua)
        && watch.longest.get() < len
    {
        watch.longest.set(len);
        let most = watch.most_instructions();
        if watch.every.get() > most {
            set_every(lua, &watch, most);
        }
    }
}

/// Whether the script is known to have had a long text.
pub fn has_long_text(lua: &Lua) -> bool {
    of(lua).is_some_and(|watch| watch.longest.get() >= LONG_TEXT_BYTES)
}

/// Counts steps of a library function; looks at the script when there were many since the last look.
///
/// # Errors
/// When it has to end.
pub fn count_steps(lua: &Lua, steps: usize) -> mlua::Result<()> {
    let many = lua.app_data_ref::<Rc<Watch>>().is_some_and(|watch| {
        let all = watch.steps.get().saturating_add(steps);
        watch.steps.set(if all < STEPS { all } else { 0 });
        all >= STEPS
    });
    if many { look(lua) } else { Ok(()) }
}

/// Bytes that the machine may still take; 256 MB if no watch was begun.
pub fn room(lua: &Lua) -> usize {
    const UNWATCHED: usize = 256 << 20;
    of(lua).map_or(UNWATCHED, |watch| watch.limit.get().saturating_sub(lua.used_memory()))
}

/// Checks the script with [`Control::look`], and collects garbage if the machine holds much.
///
/// # Errors
/// When it has to end.
pub fn look(lua: &Lua) -> mlua::Result<()> {
    let Some(watch) = of(lua) else { return Ok(()) };
    watch.control.look().map_err(|end| {
        // The script's own handler of errors is stopped too, so it cannot say this.
        if !watch.control.knows_place() {
            watch.control.note_place(place_in_script(lua));
        }
        // From now on each instruction asks: a script that catches the error does not come far.
        set_every(lua, &watch, 1);
        mlua::Error::external(end)
    })?;
    if lua.used_memory() > watch.collect_at.get() {
        lua.gc_collect()?;
        let (limit, used) = (watch.limit.get(), lua.used_memory());
        watch.collect_at.set((limit / 100 * COLLECT_PERCENT).max(used + limit / 8));
    }
    Ok(())
}

/// Counts a command of the script.
///
/// # Errors
/// When the script has to end.
pub fn count_call(lua: &Lua) -> mlua::Result<()> {
    let left = lua.app_data_ref::<Rc<Watch>>().map(|watch| {
        watch.calls_left.set(watch.calls_left.get() - 1);
        watch.calls_left.get()
    });
    if left != Some(0) {
        return Ok(());
    }
    if let Some(watch) = of(lua) {
        watch.calls_left.set(CALLS);
    }
    look(lua)
}

fn of(lua: &Lua) -> Option<Rc<Watch>> {
    lua.app_data_ref::<Rc<Watch>>().map(|watch| Rc::clone(&watch))
}

fn look_every(lua: &Lua, instructions: u32) -> mlua::Result<()> {
    lua.set_global_hook(HookTriggers::new().every_nth_instruction(instructions), |lua, _| {
        look(lua)?;
        if let Some(watch) = of(lua) {
            adapt(lua, &watch);
        }
        Ok(VmState::Continue)
    })
}

/// Fits the number of instructions between two looks to what they cost.
fn adapt(lua: &Lua, watch: &Rc<Watch>) {
    let now = Instant::now();
    let took = watch.looked.replace(Some(now)).map_or(Duration::ZERO, |looked| now - looked);
    let every = watch.every.get();
    if took > LONG {
        let most = if took > 4 * LONG { 1 } else { FEW_INSTRUCTIONS };
        set_every(lua, watch, most.min(every));
        return;
    }
    let used = lua.used_memory();
    // What is longer than all that is held is gone.
    watch.longest.set(watch.longest.get().min(used));
    let part = (used / MUCH_BYTES).max(1) as u32;
    let wanted = (INSTRUCTIONS / part).max(FEW_INSTRUCTIONS).min(watch.most_instructions());
    if wanted < every {
        set_every(lua, watch, wanted);
    } else if wanted > every {
        // Slowly: what took long may come again.
        set_every(lua, watch, (every + every / 8 + 1).min(wanted));
    }
}

fn set_every(lua: &Lua, watch: &Rc<Watch>, instructions: u32) {
    if watch.every.replace(instructions) != instructions {
        // Where there is no memory for another hook the old one stays.
        drop(look_every(lua, instructions));
    }
}

/// Where in the script the machine is: the prelude has none of the sources' names.
fn place_in_script(lua: &Lua) -> Option<Place> {
    const DEPTH: usize = 250;
    (0..DEPTH)
        .map_while(|level| {
            lua.inspect_stack(level, |frame| {
                let source = frame.source().source.map(|source| source.into_owned());
                let source = source.filter(|source| SOURCES.contains(&source.as_str()))?;
                Some((source.into_bytes(), frame.current_line()? as i64))
            })
        })
        .flatten()
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A script that makes a long text by `..` alone was first looked at after 1,000 instructions: each of
    /// them may read all of it.
    #[test]
    fn scripts_that_join_texts_are_looked_at_often() {
        let lua = Lua::new();
        begin(&lua, &Rc::default(), 64 << 20).unwrap();
        let every = || of(&lua).unwrap().every.get();
        restart(&lua, joins_texts(b"local a = 1")).unwrap();
        assert_eq!(every(), INSTRUCTIONS);
        note_source(&lua, b"return 1");
        assert_eq!(every(), INSTRUCTIONS);
        note_source(&lua, b"return a..b");
        assert_eq!(every(), INSTRUCTIONS_OF_JOINS);
        restart(&lua, joins_texts(b"local a = b .. c")).unwrap();
        assert_eq!(every(), INSTRUCTIONS_OF_JOINS);
        lua.load("for i = 1, 5000 do end").exec().unwrap();
        assert!(every() <= INSTRUCTIONS_OF_JOINS);
        restart(&lua, false).unwrap();
        assert_eq!(every(), INSTRUCTIONS);
    }
}
