//! One Lua machine: the world that scripts see, and the scripts compiled for it.
//!
//! There is one for each thread that runs commands, so scripts run at the same time. A machine is used by one script at a time.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mlua::chunk::ChunkMode;
use mlua::{Either, Function, HookTriggers, Lua, LuaOptions, LuaString, MultiValue, StdLib, Table, Value};

use super::call::Words;
use super::control::{Control, Place};
use super::scripts::{Script, Sha};
use super::{convert, host, library};
use crate::resp::Version;

/// Memory that the scripts of one machine may hold, in bytes: beyond it they get Lua's "not enough memory".
const MEMORY_MAX: usize = 1 << 30;

/// Replies and arguments up to this many bytes are made Lua values without asking for the memory step by step.
const UNASKED_MAX: usize = 64 * 1024;

/// Instructions between two looks at the time.
const INSTRUCTIONS: u32 = 50_000;

/// Compiled scripts kept in a machine; when there are more all are compiled again as they are used.
const COMPILED_MAX: usize = 1024;

/// The names of what is compiled: a script, and a library of functions.
const SOURCES: [&str; 2] = ["@user_script", "@user_function"];

const PRELUDE: &str = include_str!("prelude.lua");

/// See the module's page.
pub struct Vm {
    /// The machine.
    pub lua: Lua,
    /// Says what is running, and whether it has to end.
    pub control: Rc<Control>,
    run: Function,
    run_function: Function,
    register: Function,
    /// Names of fields that replies are looked at for.
    pub names: Rc<FieldNames>,
    /// The protocol version that `redis.call` answers in.
    version: Rc<Cell<Version>>,
    /// Bytes that the machine held when it was last used.
    pub memory: Arc<AtomicUsize>,
    /// Memory for the words of commands.
    pub words: Cell<Words>,
    compiled: HashMap<Sha, Function>,
    /// The flush of scripts that they were compiled after.
    generation: u64,
    /// Functions of the libraries, and the version of the libraries they are of.
    functions: HashMap<Vec<u8>, Function>,
    libraries_version: u64,
}

/// See [`Vm::names`].
pub struct FieldNames {
    pub err: LuaString,
    pub ok: LuaString,
    pub double: LuaString,
    pub map: LuaString,
    pub set: LuaString,
    pub big_number: LuaString,
    pub verbatim_string: LuaString,
    pub format: LuaString,
    pub string: LuaString,
}

/// Sets the limit of memory again.
struct Limit<'l> {
    lua: &'l Lua,
}

impl Drop for Limit<'_> {
    fn drop(&mut self) {
        let set = self.lua.set_memory_limit(MEMORY_MAX);
        debug_assert!(set.is_ok(), "the machine's allocator keeps the limit");
    }
}

/// How a script ended that did not end well.
#[derive(Debug)]
pub struct Failure {
    /// The error's text with its code.
    pub text: Vec<u8>,
    /// Where in the script, if that is known.
    pub place: Option<(Vec<u8>, i64)>,
}

impl Vm {
    /// A new machine.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new() -> mlua::Result<Self> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS;
        let lua = Lua::new_with(libraries, LuaOptions::default().catch_rust_panics(false))?;
        lua.set_memory_limit(MEMORY_MAX)?;
        let control = Rc::new(Control::default());
        let version = Rc::new(Cell::new(Version::Resp2));
        let world = lua.globals();
        world.set("debug", debug_table(&lua)?)?;
        let name = |text: &str| lua.create_string(text);
        let names = Rc::new(FieldNames {
            err: name("err")?,
            ok: name("ok")?,
            double: name("double")?,
            map: name("map")?,
            set: name("set")?,
            big_number: name("big_number")?,
            verbatim_string: name("verbatim_string")?,
            format: name("format")?,
            string: name("string")?,
        });
        let host = host_table(&lua, &version, &names)?;
        let (visible, run, run_function, register): (Table, Function, Function, Function) =
            lua.load(PRELUDE).set_name("=prelude").call((world, library::tables(&lua)?, host))?;
        lua.set_globals(visible)?;
        let vm = Self {
            control,
            run,
            run_function,
            register,
            names,
            version,
            memory: Arc::default(),
            words: Cell::default(),
            compiled: HashMap::new(),
            generation: 0,
            functions: HashMap::new(),
            libraries_version: 0,
            lua,
        };
        vm.look_every(INSTRUCTIONS)?;
        // Two fifths of what there is by now served only to make the rest.
        vm.lua.gc_collect()?;
        vm.tell_memory();
        Ok(vm)
    }

    fn look_every(&self, instructions: u32) -> mlua::Result<()> {
        let control = Rc::clone(&self.control);
        self.lua.set_global_hook(HookTriggers::new().every_nth_instruction(instructions), move |lua, _| {
            control.look().map_err(|end| {
                // The script's own handler of errors is stopped too, so it cannot say this.
                control.note_place(place_in_script(lua));
                // From now on each instruction asks: a script that catches the error does not come far.
                let again = Rc::clone(&control);
                let every = HookTriggers::new().every_nth_instruction(1);
                drop(lua.set_global_hook(every, move |_, _| {
                    again.look().map(|()| mlua::VmState::Continue).map_err(mlua::Error::external)
                }));
                mlua::Error::external(end)
            })?;
            Ok(mlua::VmState::Continue)
        })
    }

    /// Starts anew with looking at the time, after a script that was ended by force.
    ///
    /// # Errors
    /// When memory is short.
    pub fn recover(&self) -> mlua::Result<()> {
        self.look_every(INSTRUCTIONS)
    }

    /// Whether this is Lua; the error says why not.
    ///
    /// # Errors
    /// The compiler's message.
    pub fn check(&self, source: &[u8], chunk: &'static str) -> Result<Function, String> {
        let loaded = self.lua.load(source).set_name(chunk).set_mode(ChunkMode::Text).into_function();
        loaded.map_err(|error| match error {
            mlua::Error::SyntaxError { message, .. } => message,
            other => other.to_string(),
        })
    }

    /// A script's function, compiled when it is first used here.
    ///
    /// # Errors
    /// The compiler's message.
    pub fn compiled(&mut self, script: &Script) -> Result<Function, String> {
        if let Some(function) = self.compiled.get(&script.sha) {
            return Ok(function.clone());
        }
        let function = self.check(script.body(), "@user_script")?;
        if self.compiled.len() >= COMPILED_MAX {
            self.compiled.clear();
        }
        self.compiled.insert(script.sha, function.clone());
        Ok(function)
    }

    /// Forgets all compiled scripts if they were compiled before this flush of scripts.
    pub fn see_flush(&mut self, generation: u64) {
        if self.generation != generation {
            self.generation = generation;
            self.compiled.clear();
        }
    }

    /// Says how much memory the machine holds now.
    pub fn tell_memory(&self) {
        self.memory.store(self.lua.used_memory(), Ordering::Relaxed);
    }

    /// Whether the machine has these libraries.
    pub fn has_libraries(&self, version: u64) -> bool {
        self.libraries_version == version
    }

    /// Forgets all functions, to be filled with those of this version of the libraries.
    pub fn begin_libraries(&mut self, version: u64) {
        self.functions.clear();
        self.libraries_version = version;
    }

    /// Adds a function.
    pub fn add_function(&mut self, name: Vec<u8>, function: Function) {
        self.functions.insert(name, function);
    }

    /// A function by its name.
    pub fn function(&self, name: &[u8]) -> Option<Function> {
        self.functions.get(name).cloned()
    }

    /// Runs a library's source, which calls `register_function` for each of its functions.
    ///
    /// # Errors
    /// What went wrong in it.
    pub fn load_library(
        &self,
        chunk: &Function,
        register_function: &Function,
    ) -> mlua::Result<Result<(), Failure>> {
        let (ok, failure): (bool, Value) = self.register.call((chunk, register_function))?;
        Ok(if ok { Ok(()) } else { Err(failure_of(&failure)) })
    }

    /// Runs a script's function.
    ///
    /// # Errors
    /// The outer: the machine itself failed. The inner: the script did.
    pub fn run_script(
        &self,
        function: &Function,
        keys: Table,
        arguments: Table,
    ) -> mlua::Result<Result<Value, Failure>> {
        self.finish(self.run.call((function, keys, arguments)))
    }

    /// Runs a function of a library.
    ///
    /// # Errors
    /// As [`run_script`](Self::run_script).
    pub fn run_function(
        &self,
        function: &Function,
        keys: Table,
        arguments: Table,
    ) -> mlua::Result<Result<Value, Failure>> {
        self.finish(self.run_function.call((function, keys, arguments)))
    }

    fn finish(&self, ended: mlua::Result<(bool, Value)>) -> mlua::Result<Result<Value, Failure>> {
        let (ok, value) = ended?;
        Ok(if ok { Ok(value) } else { Err(failure_of(&value)) })
    }

    /// A table of strings: KEYS or ARGV.
    ///
    /// # Errors
    /// When the machine's memory is full.
    pub fn strings(&self, texts: &[&[u8]]) -> mlua::Result<Table> {
        let bytes = texts.iter().map(|text| text.len() + size_of::<usize>()).sum();
        self.unasked(bytes, || {
            let strings = texts.iter().map(|text| match std::str::from_utf8(text) {
                Ok(text) => Either::Left(text),
                Err(_) => Either::Right(LuaString::wrap(*text)),
            });
            self.lua.create_sequence_from(strings)
        })
    }

    /// Makes Lua values of about so many bytes. The library protects every step that may run into the limit of memory, which costs
    /// more than the step; what is small is made without a limit.
    pub fn unasked<T>(&self, bytes: usize, work: impl FnOnce() -> mlua::Result<T>) -> mlua::Result<T> {
        if bytes > UNASKED_MAX || self.lua.used_memory() > MEMORY_MAX {
            return work();
        }
        let limit = Limit { lua: &self.lua };
        self.lua.set_memory_limit(0)?;
        let made = work();
        drop(limit);
        made
    }

    /// Sets the protocol version that `redis.call` answers in.
    pub fn set_version(&self, version: Version) {
        self.version.set(version);
    }

    /// The protocol version that `redis.call` answers in.
    pub fn version(&self) -> Version {
        self.version.get()
    }
}

/// What the prelude's error handler says, or Lua's own message where the handler could not run.
fn failure_of(value: &Value) -> Failure {
    match value {
        Value::Table(table) => {
            let text = table
                .raw_get::<LuaString>("err")
                .map_or_else(|_| Vec::new(), |text| text.as_bytes().to_vec());
            let source = table.raw_get::<Option<LuaString>>("source").ok().flatten();
            let line = table.raw_get::<Option<i64>>("line").ok().flatten();
            Failure { text, place: source.zip(line).map(|(source, line)| (source.as_bytes().to_vec(), line)) }
        }
        Value::String(text) => Failure { text: [b"ERR ", &*text.as_bytes()].concat(), place: None },
        Value::Error(error) => Failure { text: format!("ERR {error}").into_bytes(), place: None },
        _ => Failure { text: b"ERR unknown error".to_vec(), place: None },
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

/// The one function of Lua's debug library that the prelude needs, made of what the machine tells of its stack.
fn debug_table(lua: &Lua) -> mlua::Result<Table> {
    let debug = lua.create_table()?;
    let getinfo = lua.create_function(|lua, (level, _): (usize, Value)| {
        let found = lua.inspect_stack(level, |frame| {
            let source = frame.source().source.map(|source| source.into_owned());
            (source, frame.current_line())
        });
        let Some((source, line)) = found else { return Ok(None) };
        let info = lua.create_table()?;
        info.raw_set("source", source)?;
        info.raw_set("currentline", line)?;
        Ok(Some(info))
    })?;
    debug.raw_set("getinfo", getinfo)?;
    Ok(debug)
}

/// The text of an error that came through Lua: that of a failed command is as the command gave it.
fn text_of(error: &mlua::Error) -> String {
    match error {
        mlua::Error::CallbackError { cause, .. } | mlua::Error::WithContext { cause, .. } => text_of(cause),
        mlua::Error::ExternalError(inner) => inner.to_string(),
        other => format!("ERR {other}"),
    }
}

/// What the prelude needs of the server.
fn host_table(lua: &Lua, version: &Rc<Cell<Version>>, names: &Rc<FieldNames>) -> mlua::Result<Table> {
    let host = lua.create_table()?;
    // An error of `call` is raised, one of `pcall` is its result.
    let call = lua.create_function(|lua, words: MultiValue| {
        host::with(|host| host.call(lua, &words))?.map_err(mlua::Error::external)
    })?;
    host.raw_set("call", call)?;
    let names = Rc::clone(names);
    let pcall = lua.create_function(move |lua, words: MultiValue| {
        host::with(|host| host.call(lua, &words))?.or_else(|error| convert::error_to_lua(lua, &names, &error))
    })?;
    host.raw_set("pcall", pcall)?;
    let check = lua.create_function(|_, words: MultiValue| {
        host::with(|host| host.may_call(&words).map_err(mlua::Error::external))
    })?;
    host.raw_set("acl_check_cmd", check)?;
    host.raw_set("version", crate::REDIS_VERSION)?;
    host.raw_set("version_number", version_number(crate::REDIS_VERSION))?;
    host.raw_set("server_name", "kvarts")?;
    let log = lua.create_function(|_, (level, text): (i64, LuaString)| {
        let text = text.to_string_lossy();
        match level {
            0 => tracing::trace!(target: "kvarts::script", "{text}"),
            1 => tracing::debug!(target: "kvarts::script", "{text}"),
            2 => tracing::info!(target: "kvarts::script", "{text}"),
            _ => tracing::warn!(target: "kvarts::script", "{text}"),
        }
        Ok(())
    })?;
    host.raw_set("log", log)?;
    let sha1hex = lua.create_function(|lua, text: LuaString| {
        lua.create_string(super::scripts::sha1_hex(&text.as_bytes()))
    })?;
    host.raw_set("sha1hex", sha1hex)?;
    let visible_error =
        lua.create_function(|lua, failure: Value| match library::plain_error(lua, failure)? {
            Value::Error(error) => {
                let table = lua.create_table()?;
                table.raw_set("err", text_of(&error))?;
                Ok(Value::Table(table))
            }
            plain => Ok(plain),
        })?;
    host.raw_set("visible_error", visible_error)?;
    let version = Rc::clone(version);
    let setresp = lua.create_function(move |_, wanted: u8| {
        version.set(if wanted == 3 { Version::Resp3 } else { Version::Resp2 });
        Ok(())
    })?;
    host.raw_set("setresp", setresp)?;
    Ok(host)
}

/// `7.2.4` as one number, a byte a part.
fn version_number(version: &str) -> i64 {
    version.split('.').fold(0, |number, part| number << 8 | part.parse::<i64>().unwrap_or(0))
}
