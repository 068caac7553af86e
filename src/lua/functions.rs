//! Libraries of functions: FUNCTION LOAD and what comes of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mlua::{Function, Lua, LuaString, MultiValue, Table, Value};
use parking_lot::{Mutex, MutexGuard, RwLock};
use smallvec::SmallVec;

use super::analysis::Reach;
use super::library_reach;
use super::shebang::{self, ScriptFlags};
use super::vm::Vm;
use super::watch;
use crate::command::table::CommandTable;
use crate::error::CommandError;
use crate::worker::GiveWay;

/// A library that FUNCTION LOAD made, with its functions.
#[derive(Debug)]
pub struct Library {
    /// Its name.
    pub name: String,
    /// Its text.
    pub source: Vec<u8>,
    /// Its functions.
    pub functions: Vec<FunctionEntry>,
    /// The keys that they may touch.
    pub reach: Reach,
    /// Whether its source may join texts with `..`.
    pub joins_texts: bool,
    /// Set when one of them reached for a key that it did not declare: they run alone from then on.
    pub misjudged: AtomicBool,
}

/// A function of a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionEntry {
    /// Its name.
    pub name: String,
    /// What it says of itself, if it does.
    pub description: Option<Vec<u8>>,
    /// What it does.
    pub flags: ScriptFlags,
}

/// All libraries.
#[derive(Debug, Default)]
pub struct Libraries {
    known: RwLock<Known>,
    /// Grows with each change: machines load anew what has changed.
    version: AtomicU64,
    /// Held while libraries are changed, so that two changes do not undo each other.
    turn: Mutex<()>,
}

/// The right to change libraries.
pub type Turn<'l> = MutexGuard<'l, ()>;

/// The libraries that there are.
#[derive(Debug, Default)]
struct Known {
    by_name: BTreeMap<String, Arc<Library>>,
    /// The library of each function and its place there, by the function's name in small letters.
    functions: HashMap<Vec<u8>, (Arc<Library>, usize)>,
}

impl Known {
    fn new(by_name: BTreeMap<String, Arc<Library>>) -> Self {
        let mut functions = HashMap::new();
        for library in by_name.values() {
            for (place, function) in library.functions.iter().enumerate() {
                let name = function.name.to_ascii_lowercase().into_bytes();
                functions.insert(name, (Arc::clone(library), place));
            }
        }
        Self { by_name, functions }
    }

    fn find(&self, name: &[u8]) -> Option<&(Arc<Library>, usize)> {
        let name: SmallVec<[u8; 64]> = name.iter().map(u8::to_ascii_lowercase).collect();
        self.functions.get(name.as_slice())
    }
}

/// A function's name in small letters, as names are compared.
fn lower_name(function: &FunctionEntry) -> String {
    function.name.to_ascii_lowercase()
}

/// What FUNCTION LOAD and FUNCTION RESTORE do with libraries that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// LOAD: they stay, and one of the same name is an error.
    Load,
    /// RESTORE: the same.
    Append,
    /// One of the same name is replaced.
    Replace,
    /// All of them go.
    Flush,
}

impl Libraries {
    /// All libraries by name.
    pub fn all(&self) -> Vec<Arc<Library>> {
        self.known.read().by_name.values().cloned().collect()
    }

    /// Whether there is no library.
    pub fn is_empty(&self) -> bool {
        self.known.read().by_name.is_empty()
    }

    /// How many functions there are.
    pub fn function_count(&self) -> usize {
        self.known.read().by_name.values().map(|library| library.functions.len()).sum()
    }

    /// Bytes that the libraries take.
    pub fn memory_bytes(&self) -> usize {
        self.known.read().by_name.values().map(|library| library.source.len() + size_of::<Library>()).sum()
    }

    /// What the function with this name says of itself.
    pub fn flags(&self, name: &[u8]) -> Option<ScriptFlags> {
        self.known.read().find(name).map(|(library, index)| library.functions[*index].flags)
    }

    /// The library with the function of this name, and the function's place in it.
    pub fn find(&self, name: &[u8]) -> Option<(Arc<Library>, usize)> {
        self.known.read().find(name).cloned()
    }

    /// Keeps others from changing libraries, until the guard is dropped.
    pub fn change(&self) -> Turn<'_> {
        self.turn.lock()
    }

    /// Adds libraries: all of them, or none.
    ///
    /// # Errors
    /// One that is not understood or does not load, a name that is taken.
    pub fn add(
        &self,
        _turn: &Turn<'_>,
        vm: &mut Vm,
        give_way: &Arc<GiveWay>,
        table: &CommandTable,
        sources: &[&[u8]],
        policy: Policy,
    ) -> Result<Vec<String>, CommandError> {
        if let ([source], Policy::Load) = (sources, policy) {
            return self.add_one(load(vm, give_way, table, source)?).map(|name| vec![name]);
        }
        let mut next =
            if policy == Policy::Flush { BTreeMap::new() } else { self.known.read().by_name.clone() };
        let mut others: HashSet<String> =
            next.values().flat_map(|library| library.functions.iter().map(lower_name)).collect();
        let mut names = Vec::new();
        for source in sources {
            let library = load(vm, give_way, table, source)?;
            if next.contains_key(&library.name) && policy != Policy::Replace {
                // The peers quote the name for FUNCTION LOAD alone.
                let quote = if policy == Policy::Load { "'" } else { "" };
                let name = &library.name;
                return Err(CommandError::new(format!("ERR Library {quote}{name}{quote} already exists")));
            }
            if let Some(replaced) = next.remove(&library.name) {
                for function in &replaced.functions {
                    others.remove(&lower_name(function));
                }
            }
            if let Some(function) = library.functions.iter().find(|entry| others.contains(&lower_name(entry)))
            {
                return Err(CommandError::new(format!("ERR Function {} already exists", function.name)));
            }
            others.extend(library.functions.iter().map(lower_name));
            names.push(library.name.clone());
            next.insert(library.name.clone(), Arc::new(library));
        }
        self.replace(next);
        Ok(names)
    }

    /// Adds a library beside the others, which stay as they are: takes no time for each of them.
    fn add_one(&self, library: Library) -> Result<String, CommandError> {
        let mut known = self.known.write();
        let name = library.name.clone();
        if known.by_name.contains_key(&name) {
            return Err(CommandError::new(format!("ERR Library '{name}' already exists")));
        }
        let taken = library.functions.iter().find(|entry| known.find(entry.name.as_bytes()).is_some());
        if let Some(function) = taken {
            return Err(CommandError::new(format!("ERR Function {} already exists", function.name)));
        }
        let library = Arc::new(library);
        for (place, function) in library.functions.iter().enumerate() {
            known.functions.insert(lower_name(function).into_bytes(), (Arc::clone(&library), place));
        }
        known.by_name.insert(name.clone(), library);
        drop(known);
        self.version.fetch_add(1, Ordering::Release);
        Ok(name)
    }

    /// Deletes a library, in time proportional to its functions. Whether there was one.
    pub fn delete(&self, _turn: &Turn<'_>, name: &[u8]) -> bool {
        let Ok(name) = std::str::from_utf8(name) else { return false };
        let mut known = self.known.write();
        let Some(library) = known.by_name.remove(name) else { return false };
        for function in &library.functions {
            known.functions.remove(lower_name(function).as_bytes());
        }
        drop(known);
        self.version.fetch_add(1, Ordering::Release);
        true
    }

    /// Deletes all.
    pub fn flush(&self, _turn: &Turn<'_>) {
        self.replace(BTreeMap::new());
    }

    fn replace(&self, next: BTreeMap<String, Arc<Library>>) {
        *self.known.write() = Known::new(next);
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// Sees to it that a machine has the functions of all libraries as they are now.
///
/// # Errors
/// When a library that loaded once does not load again.
pub fn load_into(vm: &mut Vm, give_way: &Arc<GiveWay>, libraries: &Libraries) -> Result<(), CommandError> {
    let version = libraries.version.load(Ordering::Acquire);
    if vm.has_libraries(version) {
        return Ok(());
    }
    vm.begin_libraries(version);
    for library in libraries.all() {
        let (_, Registered { entries, callbacks, .. }) = register(vm, give_way, &library.source)?;
        for (place, entry) in (1..).zip(entries) {
            let added = callbacks
                .raw_get::<Function>(place)
                .and_then(|callback| vm.add_function(entry.name.into_bytes(), callback));
            added.map_err(|error| CommandError::new(format!("ERR {error}")))?;
        }
    }
    Ok(())
}

/// Loads a library to see what it has.
fn load(
    vm: &mut Vm,
    give_way: &Arc<GiveWay>,
    table: &CommandTable,
    source: &[u8],
) -> Result<Library, CommandError> {
    let (name, Registered { entries: functions, .. }) = register(vm, give_way, source)?;
    if functions.is_empty() {
        return Err(CommandError::text("ERR No functions registered"));
    }
    let (_, body) = shebang::of_library(source)?;
    let reach = library_reach::reach(body, table);
    let joins_texts = watch::joins_texts(source);
    Ok(Library {
        name,
        source: source.to_vec(),
        functions,
        reach,
        joins_texts,
        misjudged: AtomicBool::new(false),
    })
}

/// What a library's source registered.
struct Registered {
    /// The functions in the order in which they were registered.
    entries: Vec<FunctionEntry>,
    /// Their names in small letters.
    names: HashSet<String>,
    /// Their Lua functions, by place from 1. Lua keeps them, as mlua has room for some thousands of
    /// references only.
    callbacks: Table,
}

impl Registered {
    fn new(lua: &Lua) -> mlua::Result<Self> {
        Ok(Self { entries: Vec::new(), names: HashSet::new(), callbacks: lua.create_table()? })
    }

    /// Adds a function; answers the error's text if its name is taken.
    fn add(&mut self, entry: FunctionEntry, callback: Function) -> mlua::Result<Option<String>> {
        if !self.names.insert(lower_name(&entry)) {
            return Ok(Some("Function already exists in the library".to_owned()));
        }
        self.callbacks.raw_push(callback)?;
        self.entries.push(entry);
        Ok(None)
    }
}

/// Runs a library's source; answers its name and what it registered.
fn register(vm: &Vm, give_way: &Arc<GiveWay>, source: &[u8]) -> Result<(String, Registered), CommandError> {
    let (name, body) = shebang::of_library(source)?;
    let chunk = vm
        .check(body, "@user_function")
        .map_err(|message| CommandError::new(format!("ERR Error compiling function: {message}")))?;
    let machine = |error: mlua::Error| CommandError::new(format!("ERR {error}"));
    let registered = Rc::new(RefCell::new(Registered::new(&vm.lua).map_err(machine)?));
    let found = Rc::clone(&registered);
    let register_function = vm
        .lua
        .create_function(move |lua, arguments: MultiValue| match function_entry(lua, &arguments) {
            Ok((entry, callback)) => found.borrow_mut().add(entry, callback),
            Err(text) => Ok(Some(text)),
        })
        .map_err(machine)?;
    vm.control.begin_load(give_way);
    vm.restart(true).map_err(machine)?;
    let loaded = vm.load_library(&chunk, &register_function);
    if vm.control.end().is_some() {
        return Err(CommandError::text("ERR Error registering functions: ERR FUNCTION LOAD timeout"));
    }
    loaded.map_err(machine)?.map_err(|failure| {
        let text = String::from_utf8_lossy(&failure.text);
        // These two the peers answer without saying where they come from.
        if text.starts_with("Function already exists") || text.starts_with("Function names") {
            CommandError::new(format!("ERR {text}"))
        } else {
            CommandError::new(format!("ERR Error registering functions: {text}"))
        }
    })?;
    let registered = registered.replace(Registered::new(&vm.lua).map_err(machine)?);
    Ok((name, registered))
}

/// A text, or a number as Lua writes it.
fn text_of(lua: &Lua, value: &Value) -> Option<LuaString> {
    match value {
        Value::String(_) | Value::Integer(_) | Value::Number(_) => {
            lua.coerce_string(value.clone()).ok().flatten()
        }
        _ => None,
    }
}

/// The arguments of `redis.register_function`.
fn function_entry(lua: &Lua, arguments: &MultiValue) -> Result<(FunctionEntry, Function), String> {
    let wrong = |text: &str| format!("ERR {text}");
    match arguments.len() {
        1 => {
            let Some(Value::Table(named)) = arguments.front() else {
                return Err(wrong(
                    "calling server.register_function with a single argument is only applicable to Lua table (representing named arguments).",
                ));
            };
            named_entry(lua, named)
        }
        2 => {
            let Some(name) = arguments.front().and_then(|name| text_of(lua, name)) else {
                return Err(wrong("first argument to server.register_function must be a string"));
            };
            let Some(Value::Function(callback)) = arguments.get(1) else {
                return Err(wrong("second argument to server.register_function must be a function"));
            };
            Ok((entry(&name, None, ScriptFlags::default())?, callback.clone()))
        }
        _ => Err(wrong("wrong number of arguments to server.register_function")),
    }
}

fn named_entry(lua: &Lua, named: &Table) -> Result<(FunctionEntry, Function), String> {
    let wrong = |text: &str| format!("ERR {text}");
    let (mut name, mut callback, mut description, mut flags) = (None, None, None, ScriptFlags::default());
    for pair in named.pairs::<Value, Value>() {
        let (field, value) = pair.map_err(|error| error.to_string())?;
        let Some(field) = text_of(lua, &field) else {
            return Err(wrong("named argument key given to server.register_function is not a string"));
        };
        let field = field.to_string_lossy();
        let text = text_of(lua, &value);
        match (field.as_str(), value) {
            ("function_name", _) => {
                let wrong =
                    wrong("function_name argument given to server.register_function must be a string");
                name = Some(text.ok_or(wrong)?);
            }
            ("callback", Value::Function(function)) => callback = Some(function),
            ("callback", _) => {
                return Err(wrong("callback argument given to server.register_function must be a function"));
            }
            ("description", _) => {
                let wrong = wrong("description argument given to server.register_function must be a string");
                description = Some(text.ok_or(wrong)?.as_bytes().to_vec());
            }
            ("flags", Value::Table(list)) => {
                for flag in list.sequence_values::<Value>() {
                    let known = match flag.map_err(|error| error.to_string())? {
                        Value::String(flag) => flags.set(&flag.as_bytes()),
                        _ => false,
                    };
                    if !known {
                        return Err(wrong("unknown flag given"));
                    }
                }
            }
            ("flags", _) => {
                return Err(wrong(
                    "flags argument to server.register_function must be a table representing function flags",
                ));
            }
            _ => return Err(wrong("unknown argument given to server.register_function")),
        }
    }
    let name = name.ok_or(wrong("server.register_function must get a function name argument"))?;
    let callback = callback.ok_or(wrong("server.register_function must get a callback argument"))?;
    Ok((entry(&name, description, flags)?, callback))
}

fn entry(
    name: &LuaString,
    description: Option<Vec<u8>>,
    flags: ScriptFlags,
) -> Result<FunctionEntry, String> {
    if !shebang::is_name(&name.as_bytes()) {
        return Err(
            "Function names can only contain letters, numbers, or underscores(_) and must be at least one character long"
                .to_owned(),
        );
    }
    Ok(FunctionEntry {
        name: name.to_string_lossy(),
        description,
        flags: ScriptFlags { declared: true, ..flags },
    })
}
