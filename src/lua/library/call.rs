//! How a library function reads its arguments and how it refuses.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use mlua::{Function, IntoLuaMulti, Lua, LuaString, MultiValue, RegistryKey, Value};

use super::meter::Meter;
use super::numeral;

/// The stack slots that a function may use: arguments and results count against it. Lua 5.1 has 8,000; some
/// are left because mlua keeps its references to values on a stack of the same size.
pub(super) const STACK_SLOTS_MAX: usize = 7_900;

/// Why a library function refuses.
#[derive(Debug)]
pub(super) enum Failure {
    /// The argument of this number is wrong. The text follows the function's name in brackets.
    Argument(usize, Cow<'static, [u8]>),
    /// Anything else that is told with the place of the call.
    Message(Cow<'static, [u8]>),
    /// What Lua itself says, without a place.
    Bare(&'static str),
    /// The same, made up.
    Text(Vec<u8>),
    /// What a function of the script raised: it goes on as it is.
    Value(Value),
    /// Lua failed beneath: no memory, no stack.
    Lua(mlua::Error),
}

impl Failure {
    pub(super) fn argument(number: usize, why: &'static str) -> Self {
        Self::Argument(number, Cow::Borrowed(why.as_bytes()))
    }

    pub(super) fn argument_text(number: usize, why: String) -> Self {
        Self::Argument(number, Cow::Owned(why.into_bytes()))
    }

    pub(super) fn message(text: &'static str) -> Self {
        Self::Message(Cow::Borrowed(text.as_bytes()))
    }

    pub(super) fn text(text: String) -> Self {
        Self::Message(Cow::Owned(text.into_bytes()))
    }

    /// The error as it leaves the function, with the place of the call and the name the caller used. `level`
    /// is where the function that the script called stands on the stack, from this one on.
    #[cold]
    fn raise(self, lua: &Lua, level: usize) -> mlua::Error {
        let mut message = Vec::new();
        match self {
            Self::Lua(error) => return error,
            Self::Value(value) => return raised_value(lua, value),
            Self::Text(text) => message = text,
            Self::Bare(text) => message.extend_from_slice(text.as_bytes()),
            Self::Message(text) => {
                push_place(lua, level, &mut message);
                message.extend_from_slice(&text);
            }
            Self::Argument(number, why) => {
                push_place(lua, level, &mut message);
                push_argument(lua, level, number, &mut message);
                message.extend_from_slice(b" (");
                message.extend_from_slice(&why);
                message.push(b')');
            }
        }
        mlua::Error::external(Raised::Message(message))
    }
}

impl From<mlua::Error> for Failure {
    fn from(error: mlua::Error) -> Self {
        Self::Lua(error)
    }
}

/// Where the running function was called: "user_script:1: ", or nothing if the caller is not Lua code.
fn push_place(lua: &Lua, level: usize, out: &mut Vec<u8>) {
    let place = lua.inspect_stack(level + 1, |frame| {
        let line = frame.current_line()?;
        let source = frame.source().short_src?.into_owned();
        Some((source, line))
    });
    if let Some(Some((source, line))) = place {
        out.extend_from_slice(format!("{source}:{line}: ").as_bytes());
    }
}

/// Names the argument as the caller sees it: in a call with a colon the first one is the object itself.
fn push_argument(lua: &Lua, level: usize, number: usize, out: &mut Vec<u8>) {
    let names = lua.inspect_stack(level, |frame| {
        let names = frame.names();
        (names.name.map(Cow::into_owned), names.name_what == Some("method"))
    });
    let (name, method) = names.unwrap_or_default();
    let name = name.as_deref().unwrap_or("?");
    let text = match (method, number) {
        (true, 1) => format!("calling '{name}' on bad self"),
        (true, _) => format!("bad argument #{} to '{name}'", number.saturating_sub(1)),
        (false, _) => format!("bad argument #{number} to '{name}'"),
    };
    out.extend_from_slice(text.as_bytes());
}

/// What a library function raised, ready for the script: mlua carries it through Lua as an opaque value.
#[derive(Debug)]
pub enum Raised {
    /// The bytes that a script is to see as the error.
    Message(Vec<u8>),
    /// The value that it is to see.
    Value(RegistryKey),
}

fn raised_value(lua: &Lua, value: Value) -> mlua::Error {
    match lua.create_registry_value(value) {
        Ok(key) => mlua::Error::external(Raised::Value(key)),
        Err(error) => error,
    }
}

impl Raised {
    /// The bytes that a script is to see as the error, where it is bytes.
    pub fn message(&self) -> &[u8] {
        match self {
            Self::Message(message) => message,
            Self::Value(_) => b"error object is not a string",
        }
    }
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.message()))
    }
}

impl std::error::Error for Raised {}

/// Finds what a library function raised in an error that came out of Lua.
pub fn raised(error: &mlua::Error) -> Option<&Raised> {
    match error {
        mlua::Error::CallbackError { cause, .. } | mlua::Error::WithContext { cause, .. } => raised(cause),
        mlua::Error::ExternalError(cause) => cause.downcast_ref(),
        _ => None,
    }
}

/// Wraps `pcall` or `coroutine.resume`, or anything else that answers `false` and an error, so that scripts
/// see the errors of these libraries as the strings they are.
#[cfg(test)]
pub fn guarded(lua: &Lua, protected: Function) -> mlua::Result<Function> {
    let plain = lua.create_function(|lua, value: Value| plain_error(lua, value))?;
    lua.load(GUARDED).set_name("=[C]").call((protected, plain, lua.globals().raw_get::<Function>("type")?))
}

/// The results are passed on in two branches because a call that succeeds without results must answer `true`
/// alone.
#[cfg(test)]
const GUARDED: &str = "
    local protected, plain, type = ...
    local function finish(ok, ...)
        if ok then return ok, ... end
        local problem = ...
        if type(problem) == 'userdata' then problem = plain(problem) end
        return ok, problem
    end
    return function(...) return finish(protected(...)) end
";

/// The string for an error of these libraries or of Lua beneath; an error of another kind comes back as it
/// is.
pub fn plain_error(lua: &Lua, value: Value) -> mlua::Result<Value> {
    let Value::Error(error) = &value else { return Ok(value) };
    match raised(error) {
        Some(Raised::Message(message)) => return Ok(Value::String(lua.create_string(message)?)),
        Some(Raised::Value(key)) => return lua.registry_value(key),
        None => {}
    }
    let mut cause: &mlua::Error = error;
    while let mlua::Error::CallbackError { cause: inner, .. } = cause {
        cause = inner;
    }
    let text = match cause {
        mlua::Error::ExternalError(_) => return Ok(value),
        mlua::Error::StackError => "stack overflow".to_owned(),
        mlua::Error::MemoryError(_) => "not enough memory".to_owned(),
        other => other.to_string(),
    };
    Ok(Value::String(lua.create_string(text)?))
}

/// Makes a function for scripts out of one that says why it fails.
pub(super) fn function<R: IntoLuaMulti>(
    lua: &Lua,
    run: impl Fn(&Lua, &Arguments) -> Result<R, Failure> + 'static,
) -> mlua::Result<Function> {
    lua.create_function(move |lua, values: MultiValue| {
        run(lua, &Arguments(values)).map_err(|failure| failure.raise(lua, 0))
    })
}

/// The same for a function that one of the prelude calls in its place: what is wrong is told of that one.
pub(super) fn function_beneath<R: IntoLuaMulti>(
    lua: &Lua,
    run: impl Fn(&Lua, &Arguments) -> Result<R, Failure> + 'static,
) -> mlua::Result<Function> {
    lua.create_function(move |lua, values: MultiValue| {
        run(lua, &Arguments(values)).map_err(|failure| failure.raise(lua, 1))
    })
}

/// An argument as a text. One that was passed as a text is borrowed: another reference to it costs mlua two
/// calls of Lua.
pub(super) enum Text<'a> {
    Passed(&'a LuaString),
    Made(LuaString),
}

impl Deref for Text<'_> {
    type Target = LuaString;

    fn deref(&self) -> &LuaString {
        match self {
            Self::Passed(text) => text,
            Self::Made(text) => text,
        }
    }
}

/// What a script passed. Arguments are numbered from 1, as Lua's errors number them.
pub(super) struct Arguments(MultiValue);

impl Arguments {
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, number: usize) -> Option<&Value> {
        number.checked_sub(1).and_then(|index| self.0.get(index))
    }

    /// True if the argument is missing or nil.
    pub(super) fn is_absent(&self, number: usize) -> bool {
        matches!(self.get(number), None | Some(Value::Nil))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Value> {
        self.0.iter()
    }

    /// A number, or a string that reads as one.
    #[inline]
    pub(super) fn number(&self, lua: &Lua, number: usize) -> Result<f64, Failure> {
        match self.get(number) {
            Some(Value::Integer(value)) => Ok(*value as f64),
            Some(Value::Number(value)) => Ok(*value),
            Some(Value::String(text)) if text.as_bytes().len() > numeral::SHORT_BYTES => {
                numeral::read_long(&text.as_bytes(), &mut Meter::new(lua))?
                    .ok_or_else(|| self.wrong_type(number, "number"))
            }
            Some(value @ Value::String(_)) => {
                lua.coerce_number(value.clone())?.ok_or_else(|| self.wrong_type(number, "number"))
            }
            _ => Err(self.wrong_type(number, "number")),
        }
    }

    /// A number without its fraction.
    pub(super) fn integer(&self, lua: &Lua, number: usize) -> Result<i64, Failure> {
        self.number(lua, number).map(truncated)
    }

    /// A string, or a number as Lua writes it.
    pub(super) fn string(&self, lua: &Lua, number: usize) -> Result<Text<'_>, Failure> {
        match self.get(number) {
            Some(Value::String(text)) => Ok(Text::Passed(text)),
            Some(value @ (Value::Integer(_) | Value::Number(_))) => lua
                .coerce_string(value.clone())?
                .map(Text::Made)
                .ok_or_else(|| self.wrong_type(number, "string")),
            _ => Err(self.wrong_type(number, "string")),
        }
    }

    #[cold]
    pub(super) fn wrong_type(&self, number: usize, expected: &str) -> Failure {
        let got = self.get(number).map_or("no value", type_name);
        Failure::argument_text(number, format!("{expected} expected, got {got}"))
    }
}

/// The name that Lua's `type` has for a value.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Boolean(_) => "boolean",
        Value::Integer(_) | Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Table(_) => "table",
        Value::Function(_) => "function",
        Value::Thread(_) => "thread",
        _ => "userdata",
    }
}

/// Drops the fraction. What no 64 bits hold becomes the smallest integer, as on the processors scripts were
/// written for.
pub(super) fn truncated(value: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&value) { value as i64 } else { i64::MIN }
}
