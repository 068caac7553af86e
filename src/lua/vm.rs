//! One Lua machine: the world that scripts see, and the scripts compiled for it.
//!
//! There is one for each thread that runs commands, so scripts run at the same time. A machine is used by one
//! script at a time.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mlua::chunk::ChunkMode;
use mlua::{Either, Function, Lua, LuaOptions, LuaString, MultiValue, RegistryKey, StdLib, Table, Value};

use super::control::{Control, ForcedEnd};
use super::scripts::{Script, Sha};
use super::words::Words;
use super::{convert, host, library, watch};
use crate::resp::Version;

/// The least limit of a machine's memory, in bytes, however little is configured: the machine itself needs
/// some.
pub const LEAST_LIMIT: usize = 16 << 20;

/// The limit of a machine's memory until another is set, in bytes. Beyond it scripts get "not enough memory".
const LIMIT: usize = 256 << 20;

/// The longest source that is compiled, in bytes. Bounded because SCRIPT KILL does not reach the compiler.
pub const SOURCE_MAX: usize = 16 << 20;

/// The most of the words [`JUMPS`] in a long source: for each, the compiler walks a list of those before it.
const JUMPS_MAX: usize = 10_000;

/// Keywords that compile to jumps which are chained until their target is known.
const JUMPS: [&[u8]; 4] = [b"elseif", b"and", b"or", b"break"];

/// Replies and arguments up to this many bytes are made into Lua values with the limit of memory lifted: see
/// [`Vm::unasked`].
const UNASKED_MAX: usize = 64 * 1024;

/// [`Vm::tidy`] collects the garbage of machines that hold less than this, in bytes: it takes microseconds.
const TIDIED_BYTES: usize = 1 << 20;

/// The most compiled scripts in a machine. When another comes all are dropped, and compiled again when used.
const COMPILED_MAX: usize = 1024;

const PRELUDE: &str = include_str!("prelude.lua");

/// What the prelude answers: the globals of scripts, and the functions that run scripts and functions, load
/// libraries, and add or take away what is insecure.
type Prelude = (Table, Function, Function, Function, Function);

/// A Lua machine with what it has compiled.
pub struct Vm {
    /// The interpreter.
    pub lua: Lua,
    /// The state of the script that runs: how long it has, and whether it has to end.
    pub control: Rc<Control>,
    run: Function,
    run_function: Function,
    register: Function,
    set_insecure: Function,
    /// Whether scripts have `getfenv` and its like.
    is_insecure: bool,
    /// Lua strings for the names of fields in replies.
    pub names: Rc<FieldNames>,
    /// The protocol version that `redis.call` answers in.
    version: Rc<Cell<Version>>,
    /// Its memory as of when it was last used; other threads read it for INFO.
    pub memory: Arc<Memory>,
    /// A buffer for the words of commands that scripts call.
    pub words: Cell<Words>,
    /// Compiled scripts, as keys of Lua's registry: references to functions would take room that mlua needs
    /// for arguments.
    compiled: HashMap<Sha, RegistryKey>,
    /// The number of the last SCRIPT FLUSH before the scripts were compiled.
    generation: u64,
    /// Functions of libraries by name, as keys of Lua's registry.
    functions: HashMap<Vec<u8>, RegistryKey>,
    libraries_version: u64,
    limit: usize,
    /// Bytes that were left when garbage was last collected by [`tidy`](Self::tidy).
    kept: Cell<usize>,
    /// The names of chunks. The compiler does not hold them from the first, so they are held here
    /// (CVE-2025-49844).
    _chunk_names: Vec<LuaString>,
}

/// The memory of a machine, as other threads read it.
#[derive(Debug, Default)]
pub struct Memory {
    /// Allocated bytes.
    pub bytes: AtomicUsize,
    /// Whether the machine has loaded libraries.
    pub has_functions: AtomicBool,
}

/// Lua strings for the names of fields in replies, made once.
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

/// Puts the limit of memory back in force when it is dropped.
struct Limit<'l> {
    lua: &'l Lua,
    limit: usize,
}

impl Drop for Limit<'_> {
    fn drop(&mut self) {
        let set = self.lua.set_memory_limit(self.limit);
        debug_assert!(set.is_ok(), "the machine's allocator keeps the limit");
    }
}

/// Why a script failed.
#[derive(Debug)]
pub struct Failure {
    /// The error's text with its code.
    pub text: Vec<u8>,
    /// The source's name and the line of the error, if they are known.
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
        lua.set_memory_limit(LIMIT)?;
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
        library::protected::prepare(&lua)?;
        let protected = lua.create_table()?;
        let lua_insert: Function = world.raw_get::<Table>("table")?.raw_get("insert")?;
        host.raw_set("lua_insert", &lua_insert)?;
        let careful = library::list::insert_carefully(&lua, lua_insert, protected.clone())?;
        host.raw_set("careful_insert", careful)?;
        library::basic::fill(&lua, &host, &protected)?;
        library::text::replace(&lua, &world.raw_get("string")?)?;
        library::math::replace(&lua, &world.raw_get("math")?)?;
        library::list::replace(&lua, &world.raw_get("table")?, &protected)?;
        library::environment::fill(&lua, &host)?;
        let (visible, run, run_function, register, set_insecure): Prelude =
            lua.load(PRELUDE).set_name("=prelude").call((world, library::tables(&lua)?, host, protected))?;
        lua.set_globals(visible)?;
        let vm = Self {
            control,
            run,
            run_function,
            register,
            set_insecure,
            is_insecure: false,
            names,
            version,
            memory: Arc::default(),
            words: Cell::default(),
            compiled: HashMap::new(),
            generation: 0,
            functions: HashMap::new(),
            libraries_version: 0,
            limit: LIMIT,
            kept: Cell::new(0),
            _chunk_names: vec![lua.create_string("@user_script")?, lua.create_string("@user_function")?],
            lua,
        };
        watch::begin(&vm.lua, &vm.control, LIMIT)?;
        // Two fifths of what there is by now served only to make the rest.
        vm.lua.gc_collect()?;
        vm.kept.set(vm.lua.used_memory());
        vm.tell_memory();
        Ok(vm)
    }

    /// Resets the watch over scripts: another one is about to run, which joins texts with
    /// `..` or does not.
    ///
    /// # Errors
    /// When memory is short.
    pub fn restart(&self, joins_texts: bool) -> mlua::Result<()> {
        watch::restart(&self.lua, joins_texts)
    }

    /// Sets how many bytes the machine may hold.
    ///
    /// # Errors
    /// None that comes up with the machine's allocator.
    pub fn set_limit(&mut self, limit: usize) -> mlua::Result<()> {
        if self.limit == limit {
            return Ok(());
        }
        self.limit = limit;
        watch::set_limit(&self.lua, limit)
    }

    /// Lets scripts have `getfenv`, `setfenv` and `newproxy`, or not.
    ///
    /// # Errors
    /// When memory is short.
    pub fn set_insecure(&mut self, is_insecure: bool) -> mlua::Result<()> {
        if self.is_insecure != is_insecure {
            self.set_insecure.call::<()>(is_insecure)?;
            self.is_insecure = is_insecure;
        }
        Ok(())
    }

    /// The bytes that the machine may hold.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Collects garbage if the machine is small and more than a fifth of it is garbage: Lua itself would wait
    /// for twice as much.
    pub fn tidy(&self) {
        let (used, kept) = (self.lua.used_memory(), self.kept.get());
        if used < TIDIED_BYTES && used > kept + kept / 4 && self.lua.gc_collect().is_ok() {
            self.kept.set(self.lua.used_memory());
            self.tell_memory();
        }
    }

    /// Whether more than a quarter of the limit is still held, as after a script.
    pub fn holds_much(&self) -> bool {
        self.lua.used_memory() > self.limit / 4
    }

    /// Collects garbage; if that is not enough, also drops what can be compiled again. Answers whether it
    /// helped.
    ///
    /// # Errors
    /// When memory is short.
    pub fn make_room(&mut self) -> mlua::Result<bool> {
        self.lua.gc_collect()?;
        if self.holds_much() {
            self.compiled.clear();
            self.begin_libraries(0);
            self.lua.expire_registry_values();
            self.lua.gc_collect()?;
            self.lua.gc_collect()?;
        }
        Ok(!self.holds_much())
    }

    /// Compiles a source.
    ///
    /// # Errors
    /// The compiler's message.
    pub fn check(&self, source: &[u8], chunk: &'static str) -> Result<Function, String> {
        if is_too_long(source) {
            return Err(format!("{}: chunk is too long", chunk.trim_start_matches('@')));
        }
        let loaded = self.lua.load(source).set_name(chunk).set_mode(ChunkMode::Text).into_function();
        loaded.map_err(|error| match error {
            mlua::Error::SyntaxError { message, .. } => message,
            other => text_of(&other).trim_start_matches("ERR ").to_owned(),
        })
    }

    /// A script's function, compiled when it is first used here.
    ///
    /// # Errors
    /// The compiler's message.
    pub fn compiled(&mut self, script: &Script) -> Result<Function, String> {
        let failed = |error: mlua::Error| text_of(&error).trim_start_matches("ERR ").to_owned();
        if let Some(key) = self.compiled.get(&script.sha).filter(|_| !self.is_insecure) {
            return self.lua.registry_value(key).map_err(failed);
        }
        let function = self.check(script.body(), "@user_script")?;
        if self.is_insecure {
            // It may change its environment, which is not to be that of its next run.
            return Ok(function);
        }
        if self.compiled.len() >= COMPILED_MAX {
            self.compiled.clear();
            self.lua.expire_registry_values();
        }
        let key = self.lua.create_registry_value(&function).map_err(failed)?;
        self.compiled.insert(script.sha, key);
        Ok(function)
    }

    /// The number of the last SCRIPT FLUSH that it has seen.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Forgets all compiled scripts if they were compiled before this flush of scripts.
    pub fn see_flush(&mut self, generation: u64) {
        if self.generation != generation {
            self.generation = generation;
            self.compiled.clear();
            self.lua.expire_registry_values();
        }
    }

    /// Stores its memory where other threads read it.
    pub fn tell_memory(&self) {
        self.memory.bytes.store(self.lua.used_memory(), Ordering::Relaxed);
        self.memory.has_functions.store(!self.functions.is_empty(), Ordering::Relaxed);
    }

    /// Whether the machine has loaded this version of the libraries.
    pub fn has_libraries(&self, version: u64) -> bool {
        self.libraries_version == version
    }

    /// Drops all functions. Those of this version of the libraries are to be added next.
    pub fn begin_libraries(&mut self, version: u64) {
        self.functions.clear();
        self.lua.expire_registry_values();
        self.libraries_version = version;
    }

    /// Adds a function.
    ///
    /// # Errors
    /// When memory is short.
    pub fn add_function(&mut self, name: Vec<u8>, function: Function) -> mlua::Result<()> {
        self.functions.insert(name, self.lua.create_registry_value(function)?);
        Ok(())
    }

    /// A function by its name.
    pub fn function(&self, name: &[u8]) -> Option<Function> {
        self.functions.get(name).and_then(|key| self.lua.registry_value(key).ok())
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
        watch::note_text(&self.lua, texts.iter().map(|text| text.len()).max().unwrap_or(0));
        self.unasked(bytes, || {
            let strings = texts.iter().map(|text| match std::str::from_utf8(text) {
                Ok(text) => Either::Left(text),
                Err(_) => Either::Right(LuaString::wrap(*text)),
            });
            self.lua.create_sequence_from(strings)
        })
    }

    /// Runs `work`, which makes Lua values of about `bytes` bytes, with the limit of memory lifted if that is
    /// little. Under a limit mlua makes each step a protected call, which costs more than the step.
    pub fn unasked<T>(&self, bytes: usize, work: impl FnOnce() -> mlua::Result<T>) -> mlua::Result<T> {
        if bytes > UNASKED_MAX || self.lua.used_memory() > self.limit {
            return work();
        }
        let limit = Limit { lua: &self.lua, limit: self.limit };
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

/// The failure that the prelude's error handler answered, or Lua's own message where the handler could not
/// run.
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
        Value::Error(error) => Failure { text: text_of(error).into_bytes(), place: None },
        _ => Failure { text: b"ERR unknown error".to_vec(), place: None },
    }
}

/// A `debug` table with `getinfo` alone, which is all that the prelude needs.
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
        mlua::Error::MemoryError(_) => "ERR not enough memory".to_owned(),
        other => format!("ERR {other}"),
    }
}

/// Whether a source is too long to be compiled, or has too many jumps.
pub fn is_too_long(source: &[u8]) -> bool {
    let is_word = |at: usize, word: &[u8]| {
        let belongs =
            |byte: Option<&u8>| byte.is_some_and(|byte| *byte == b'_' || byte.is_ascii_alphanumeric());
        !belongs(at.checked_sub(1).and_then(|before| source.get(before)))
            && !belongs(source.get(at + word.len()))
    };
    let count = |word: &[u8]| memchr::memmem::find_iter(source, word).filter(|at| is_word(*at, word)).count();
    let jumps = || JUMPS.iter().map(|word| count(word)).sum::<usize>();
    source.len() > SOURCE_MAX || source.len() > 2 * JUMPS_MAX && jumps() > JUMPS_MAX
}

/// The reason in an error that ends a script by force; `None` for any other error.
pub fn forced(error: &mlua::Error) -> Option<ForcedEnd> {
    match error {
        mlua::Error::CallbackError { cause, .. } | mlua::Error::WithContext { cause, .. } => forced(cause),
        mlua::Error::ExternalError(inner) => inner.downcast_ref().copied(),
        _ => None,
    }
}

/// An error as a script sees it: a library's is the text it is, a command's a table with its text.
pub fn visible_error(lua: &Lua, error: &mlua::Error) -> mlua::Result<Value> {
    match library::plain_error(lua, Value::Error(Box::new(error.clone())))? {
        Value::Error(error) => {
            let table = lua.create_table()?;
            table.raw_set("err", text_of(&error))?;
            Ok(Value::Table(table))
        }
        plain => Ok(plain),
    }
}

/// The table of functions and constants that the prelude is given.
fn host_table(lua: &Lua, version: &Rc<Cell<Version>>, names: &Rc<FieldNames>) -> mlua::Result<Table> {
    let host = lua.create_table()?;
    // An error of `call` is raised, one of `pcall` is its result.
    let call = lua.create_function(|lua, words: MultiValue| {
        watch::count_call(lua)?;
        host::with(|host| host.call(lua, &words))?.map_err(mlua::Error::external)
    })?;
    host.raw_set("call", call)?;
    let names = Rc::clone(names);
    let pcall = lua.create_function(move |lua, words: MultiValue| {
        watch::count_call(lua)?;
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
    library::api::fill(lua, &host, version)?;
    host.raw_set("unpack", library::list::unpack_carefully(lua)?)?;
    host.raw_set("tonumber", library::numeral::tonumber(lua)?)?;
    host.raw_set("wrong_argument", library::wrong_argument(lua)?)?;
    host.raw_set("has_to_end", lua.create_function(|lua, ()| Ok(watch::has_to_end(lua)))?)?;
    let visible_error = lua.create_function(|lua, failure: Value| match failure {
        // What ends a script by force is not caught.
        Value::Error(error) if forced(&error).is_some() => Err(*error),
        Value::Error(error) => visible_error(lua, &error),
        plain => Ok(plain),
    })?;
    host.raw_set("visible_error", visible_error)?;
    Ok(host)
}

/// `7.2.4` as one number, a byte a part.
fn version_number(version: &str) -> i64 {
    version.split('.').fold(0, |number, part| number << 8 | part.parse::<i64>().unwrap_or(0))
}
