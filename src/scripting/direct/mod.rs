//! Walking a script that needs no Lua machine: the tree that `lua::direct` has read it into.

mod value;

use std::rc::Rc;

use smallvec::SmallVec;

use super::call::{self, Permits};
use crate::engine::context::Context;
use crate::error::CommandError;
use crate::lua::direct::{
    Arithmetic, Block, Call, Compare, Direct, Expr, Field, Function, Line, Statement, Words,
};
use crate::resp::Version;
use crate::resp::encode::Reply;
use value::{Table, Text, Value, parse_number, show_number, write_word};

/// How deep a reply may be nested that becomes a value. No command's is deeper.
const REPLY_DEPTH_MAX: usize = 100;

/// What ends a script before its end.
#[derive(Debug)]
pub enum Stop {
    /// A command failed.
    Command(CommandError, u32),
    /// What Lua says of values of the wrong type.
    Raised(String, u32),
    /// Its values take too much memory.
    Memory,
}

/// Runs a script with its keys and arguments, and writes what it returns as its reply.
///
/// # Errors
/// Why it ended before.
pub fn run(
    straight: &Direct,
    cx: &mut Context<'_>,
    permits: &mut Permits,
    keys: &[&[u8]],
    arguments: &[&[u8]],
) -> Result<(), Stop> {
    let mut locals = SmallVec::new();
    locals.resize(straight.locals.len(), Value::Nil);
    let memory_left = crate::lua::memory_limit(&cx.server.config);
    let mut walk = Walk { straight, cx, permits, keys, arguments, locals, memory_left };
    let returned = walk.block(&straight.body)?.unwrap_or(Value::Nil);
    reply(&returned, &mut walk.cx.reply);
    Ok(())
}

struct Walk<'w, 'c, 'a> {
    straight: &'a Direct,
    cx: &'w mut Context<'c>,
    permits: &'w mut Permits,
    keys: &'a [&'a [u8]],
    arguments: &'a [&'a [u8]],
    locals: SmallVec<[Value<'a>; 6]>,
    memory_left: usize,
}

impl<'a> Walk<'_, '_, 'a> {
    /// Answers what the script returned, if it did.
    fn block(&mut self, block: &'a Block) -> Result<Option<Value<'a>>, Stop> {
        for statement in block {
            match statement {
                Statement::Call(call) => drop(self.call(call, false)?),
                Statement::Assign { targets, values } => self.assign(targets, values)?,
                Statement::Return(None) => return Ok(Some(Value::Nil)),
                Statement::Return(Some(value)) => return self.value(value).map(Some),
                Statement::If { arms, otherwise } => {
                    let mut taken = otherwise;
                    for (condition, block) in arms {
                        if self.value(condition)?.is_true() {
                            taken = block;
                            break;
                        }
                    }
                    if let Some(returned) = self.block(taken)? {
                        return Ok(Some(returned));
                    }
                }
            }
        }
        Ok(None)
    }

    fn assign(&mut self, targets: &[usize], values: &'a [Expr]) -> Result<(), Stop> {
        if let ([target], [value]) = (targets, values) {
            self.locals[*target] = self.value(value)?;
            return Ok(());
        }
        let values = values.iter().map(|value| self.value(value)).collect::<Result<Vec<_>, _>>()?;
        let mut values = values.into_iter();
        for target in targets {
            self.locals[*target] = values.next().unwrap_or(Value::Nil);
        }
        Ok(())
    }

    fn value(&mut self, expr: &'a Expr) -> Result<Value<'a>, Stop> {
        Ok(match expr {
            Expr::Nil => Value::Nil,
            Expr::Boolean(truth) => Value::Boolean(*truth),
            Expr::Number(number) => Value::Number(*number),
            Expr::Text(text) => Value::Text(Text::Borrowed(text)),
            Expr::Local(local) => self.locals[*local].clone(),
            Expr::Word(words, index) => {
                let index = match &**index {
                    Expr::Number(number) => *number,
                    index => match self.value(index)? {
                        Value::Number(number) => number,
                        _ => return Ok(Value::Nil),
                    },
                };
                let place = index as usize;
                let word = self.words(*words).get(place.wrapping_sub(1));
                match word {
                    Some(word) if place as f64 == index => Value::Text(Text::Borrowed(word)),
                    _ => Value::Nil,
                }
            }
            Expr::Count(words) => Value::Number(self.words(*words).len() as f64),
            Expr::Call(call) => self.call(call, true)?,
            Expr::Item(table, index, line) => match self.looked_into(table, *line)? {
                Some(table) => match &*table {
                    Table::List(values) => {
                        index.checked_sub(1).and_then(|at| values.get(at)).cloned().unwrap_or(Value::Nil)
                    }
                    _ => Value::Nil,
                },
                None => Value::Nil,
            },
            Expr::Field(table, field, line) => match self.looked_into(table, *line)?.as_deref() {
                Some(Table::Ok(text)) if *field == Field::Ok => Value::Text(text.clone()),
                Some(Table::Err(text)) if *field == Field::Err => Value::Text(text.clone()),
                _ => Value::Nil,
            },
            Expr::List(values) => {
                self.spend(values.len() * size_of::<Value<'_>>())?;
                let values = values.iter().map(|value| self.value(value)).collect::<Result<_, _>>()?;
                Value::table(Table::List(values))
            }
            Expr::Not(operand) => Value::Boolean(!self.value(operand)?.is_true()),
            Expr::Negate(operand, line) => {
                let value = self.value(operand)?;
                match value.number() {
                    Some(number) => Value::Number(-number),
                    None => return Err(self.wrong("perform arithmetic on", operand, &value, *line)),
                }
            }
            Expr::Length(operand, line) => match self.value(operand)? {
                Value::Text(text) => Value::Number(text.bytes().len() as f64),
                Value::Table(table) => Value::Number(table.len() as f64),
                value => return Err(self.wrong("get length of", operand, &value, *line)),
            },
            Expr::And(both) => match self.value(&both.0)? {
                value if value.is_true() => self.value(&both.1)?,
                value => value,
            },
            Expr::Or(both) => match self.value(&both.0)? {
                value if value.is_true() => value,
                _ => self.value(&both.1)?,
            },
            Expr::Arithmetic(arithmetic, both, line) => {
                let (left, right) = (self.value(&both.0)?, self.value(&both.1)?);
                match (left.number(), right.number()) {
                    (Some(a), Some(b)) => Value::Number(calculate(*arithmetic, a, b)),
                    (None, _) => return Err(self.wrong("perform arithmetic on", &both.0, &left, *line)),
                    (_, None) => return Err(self.wrong("perform arithmetic on", &both.1, &right, *line)),
                }
            }
            Expr::Compare(compare, both, line) => {
                let (left, right) = (self.value(&both.0)?, self.value(&both.1)?);
                Value::Boolean(compared(*compare, &left, &right).map_err(|text| Stop::Raised(text, *line))?)
            }
            Expr::Concat(parts, line) => self.concat(parts, *line)?,
            Expr::Apply(function, arguments, line) => self.apply(*function, arguments, *line)?,
        })
    }

    fn words(&self, words: Words) -> &'a [&'a [u8]] {
        match words {
            Words::Keys => self.keys,
            Words::Arguments => self.arguments,
        }
    }

    /// The table that is looked into; `None` for a text, which has none of the fields that are asked for.
    fn looked_into(&mut self, table: &'a Expr, line: Line) -> Result<Option<Rc<Table<'a>>>, Stop> {
        match self.value(table)? {
            Value::Table(table) => Ok(Some(table)),
            Value::Text(_) => Ok(None),
            value => Err(self.wrong("index", table, &value, line)),
        }
    }

    /// Runs a command. Answers nil if the reply is not used.
    fn call(&mut self, call: &'a Call, looked_at: bool) -> Result<Value<'a>, Stop> {
        let mut values: SmallVec<[Value<'a>; 6]> = SmallVec::with_capacity(call.words.len());
        for word in &call.words {
            values.push(self.value(word)?);
        }
        let mut numbers: SmallVec<[u8; 64]> = SmallVec::new();
        for value in &values {
            if let Value::Number(number) = value {
                write_word(*number, &mut numbers);
                // A number's text contains no such byte.
                numbers.push(0);
            }
        }
        let mut number_texts = numbers.split(|byte| *byte == 0);
        let mut words: SmallVec<[&[u8]; 8]> = SmallVec::with_capacity(values.len());
        for value in &values {
            words.push(match value {
                Value::Text(text) => text.bytes(),
                Value::Number(_) => number_texts.next().unwrap_or_default(),
                _ => {
                    let error = CommandError::text("ERR Command arguments must be strings or integers");
                    return self.failed(call, error);
                }
            });
        }
        let (server, permits) = (self.cx.server, &mut *self.permits);
        let resolved = match call.entry {
            Some(entry) => server.commands.resolve_again(&words, entry),
            None => server.commands.resolve(&words),
        };
        let resolved = resolved.map_err(|error| call::unresolved(server, error, &words));
        let start = match call::perform(self.cx, permits, None, Version::Resp2, resolved, &words) {
            Ok(start) => start,
            Err(error) => return self.failed(call, error),
        };
        if !looked_at {
            self.cx.reply.truncate(start);
            return Ok(Value::Nil);
        }
        let reply = self.cx.reply.written_since(start);
        // Each element of it takes more as a value than as a reply.
        let memory = reply.len().saturating_mul(if reply.first() == Some(&b'*') { 16 } else { 1 });
        let value = value_of(reply, 0, 0).0;
        self.cx.reply.truncate(start);
        self.spend(memory)?;
        Ok(value)
    }

    #[cold]
    fn failed(&self, call: &Call, error: CommandError) -> Result<Value<'a>, Stop> {
        // One that reaches too far is over, whatever it makes of errors.
        if call.protected && !self.permits.reached_too_far {
            let text = Text::Owned(Rc::from(error.to_string().as_bytes()));
            return Ok(Value::table(Table::Err(text)));
        }
        Err(Stop::Command(error, call.line))
    }

    fn concat(&mut self, parts: &'a [Expr], line: Line) -> Result<Value<'a>, Stop> {
        let mut values: SmallVec<[Value<'a>; 6]> = SmallVec::with_capacity(parts.len());
        for part in parts {
            values.push(self.value(part)?);
        }
        let is_wrong = |value: &Value<'_>| !matches!(value, Value::Text(_) | Value::Number(_));
        if values.iter().any(is_wrong) {
            // Lua joins from behind, two at a time, and of these looks at the first one first.
            let last = values.len() - 1;
            let order = [last - 1, last].into_iter().chain((0..last - 1).rev());
            let wrong = order.into_iter().find(|at| is_wrong(&values[*at])).unwrap_or(last);
            return Err(self.wrong("concatenate", &parts[wrong], &values[wrong], line));
        }
        let mut joined = Vec::new();
        for value in &values {
            match value {
                Value::Text(text) => {
                    self.spend(text.bytes().len())?;
                    joined.extend_from_slice(text.bytes());
                }
                Value::Number(number) => joined.extend_from_slice(&show_number(*number)),
                _ => {}
            }
        }
        Ok(Value::text(&joined))
    }

    fn apply(&mut self, function: Function, arguments: &'a [Expr], line: Line) -> Result<Value<'a>, Stop> {
        let first = self.value(&arguments[0])?;
        let number = |value: &Value<'_>, place: usize| {
            value.number().ok_or_else(|| {
                let (name, found) = (function.name(), value.type_name());
                let text = format!("bad argument #{place} to '{name}' (number expected, got {found})");
                Stop::Raised(text, line)
            })
        };
        Ok(match function {
            Function::ToNumber => match &first {
                Value::Text(text) => parse_number(text.bytes()).map_or(Value::Nil, Value::Number),
                Value::Number(_) => first,
                _ => Value::Nil,
            },
            Function::ToText => match &first {
                Value::Text(_) => first,
                Value::Number(number) => Value::text(&show_number(*number)),
                Value::Boolean(truth) => Value::Text(Text::Borrowed(if *truth { b"true" } else { b"false" })),
                Value::Nil => Value::Text(Text::Borrowed(b"nil")),
                Value::Table(table) => Value::text(format!("table: {:p}", Rc::as_ptr(table)).as_bytes()),
            },
            Function::Type => Value::Text(Text::Borrowed(first.type_name().as_bytes())),
            Function::Floor => Value::Number(number(&first, 1)?.floor()),
            Function::Ceil => Value::Number(number(&first, 1)?.ceil()),
            Function::Abs => Value::Number(number(&first, 1)?.abs()),
            Function::Max | Function::Min => {
                let mut values = vec![first];
                for argument in &arguments[1..] {
                    values.push(self.value(argument)?);
                }
                let mut best = number(&values[0], 1)?;
                for (at, value) in values.iter().enumerate().skip(1) {
                    let other = number(value, at + 1)?;
                    let better = if function == Function::Max { other > best } else { other < best };
                    best = if better { other } else { best };
                }
                Value::Number(best)
            }
            Function::ErrorReply => Value::table(Table::Err(error_text(&first))),
            Function::StatusReply => match first {
                Value::Text(text) => Value::table(Table::Ok(text)),
                _ => Value::table(Table::Err(Text::Borrowed(WRONG_ARGUMENT))),
            },
        })
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Stop> {
        self.memory_left = self.memory_left.checked_sub(bytes).ok_or(Stop::Memory)?;
        Ok(())
    }

    /// The error of a value that is of the wrong type, and what Lua calls it.
    #[cold]
    fn wrong(&self, what: &str, expr: &Expr, value: &Value<'_>, line: Line) -> Stop {
        let found = value.type_name();
        let text = match self.name_of(expr) {
            Some(name) => format!("attempt to {what} {name} (a {found} value)"),
            None => format!("attempt to {what} a {found} value"),
        };
        Stop::Raised(text, line)
    }

    fn name_of(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::Local(local) => {
                Some(format!("local '{}'", String::from_utf8_lossy(&self.straight.locals[*local])))
            }
            Expr::Word(_, index) => Some(match &**index {
                Expr::Text(name) => format!("field '{}'", String::from_utf8_lossy(name)),
                _ => "field '?'".to_owned(),
            }),
            Expr::Item(..) => Some("field '?'".to_owned()),
            Expr::Field(_, Field::Ok, _) => Some("field 'ok'".to_owned()),
            Expr::Field(_, Field::Err, _) => Some("field 'err'".to_owned()),
            _ => None,
        }
    }
}

const WRONG_ARGUMENT: &[u8] = b"ERR wrong number or type of arguments";

/// What `error_reply` makes of its argument: an error without a code gets one.
fn error_text<'a>(argument: &Value<'a>) -> Text<'a> {
    let Value::Text(text) = argument else { return Text::Borrowed(WRONG_ARGUMENT) };
    let bare = text.bytes().strip_prefix(b"-").unwrap_or(text.bytes());
    // At least one byte, then a blank.
    let has_code = memchr::memchr(b' ', bare).is_some_and(|at| at > 0);
    Text::Owned(Rc::from(if has_code { bare.to_vec() } else { [b"ERR ", bare].concat() }))
}

fn calculate(arithmetic: Arithmetic, a: f64, b: f64) -> f64 {
    match arithmetic {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide => a / b,
        Arithmetic::Modulo => a - (a / b).floor() * b,
        Arithmetic::Power => a.powf(b),
    }
}

/// The error is Lua's text.
fn compared(compare: Compare, left: &Value<'_>, right: &Value<'_>) -> Result<bool, String> {
    let (less, equal) = match compare {
        Compare::Equal => return Ok(left.equals(right)),
        Compare::Unequal => return Ok(!left.equals(right)),
        Compare::Less | Compare::Greater => (true, false),
        Compare::LessOrEqual | Compare::GreaterOrEqual => (true, true),
    };
    // Lua turns `a > b` round.
    let (left, right) = match compare {
        Compare::Greater | Compare::GreaterOrEqual => (right, left),
        _ => (left, right),
    };
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => Ok(less && a < b || equal && a == b),
        (Value::Text(a), Value::Text(b)) => {
            Ok(less && a.bytes() < b.bytes() || equal && a.bytes() == b.bytes())
        }
        _ => {
            let (left, right) = (left.type_name(), right.type_name());
            Err(match left == right {
                true => format!("attempt to compare two {left} values"),
                false => format!("attempt to compare {left} with {right}"),
            })
        }
    }
}

/// The value of the reply at `at`, and where it ends. The bytes are a command's own reply in RESP2, so they
/// are well formed.
fn value_of<'a>(bytes: &[u8], at: usize, depth: usize) -> (Value<'a>, usize) {
    let end = memchr::memchr(b'\r', &bytes[at..]).map_or(bytes.len(), |length| at + length);
    let line = &bytes[at + 1..end];
    let next = end + 2;
    let number = || crate::primitives::number::parse_i64(line).unwrap_or(0);
    let owned = |text: &[u8]| Text::Owned(Rc::from(text));
    let value = match bytes[at] {
        b':' => Value::Number(number() as f64),
        b'+' => Value::table(Table::Ok(owned(line))),
        b'-' => Value::table(Table::Err(owned(line))),
        b'$' | b'*' if line.first() == Some(&b'-') => Value::Boolean(false),
        b'$' => {
            let end = next + number() as usize;
            return (Value::text(&bytes[next..end]), end + 2);
        }
        b'*' => {
            assert!(depth < REPLY_DEPTH_MAX, "no command's reply is so deep");
            let mut next = next;
            let mut values = Vec::new();
            for _ in 0..number() {
                let (value, end) = value_of(bytes, next, depth + 1);
                values.push(value);
                next = end;
            }
            return (Value::table(Table::List(values)), next);
        }
        _ => Value::Nil,
    };
    (value, next)
}

/// Writes what a script returned, as [`to_reply`](crate::lua::convert::to_reply) does for the machine's
/// values.
fn reply(value: &Value<'_>, out: &mut Reply<'_>) {
    match value {
        // Fractions are cut off; what is no number of 64 bits is the lowest of them, as conversion in C
        // gives.
        Value::Number(number) => out.int(crate::lua::convert::truncate(*number)),
        Value::Text(text) => out.bulk(text.bytes()),
        Value::Boolean(true) => out.int(1),
        Value::Nil | Value::Boolean(false) => out.null(),
        Value::Table(table) => match &**table {
            Table::Err(text) => out.error(&String::from_utf8_lossy(text.bytes())),
            Table::Ok(text) => {
                out.simple(&crate::lua::convert::one_line(&String::from_utf8_lossy(text.bytes())));
            }
            Table::List(values) => {
                let begun = out.begin_array();
                let shown = values.iter().take_while(|value| !matches!(value, Value::Nil));
                let count = shown.map(|value| reply(value, out)).count();
                out.end_array(begun, count);
            }
        },
    }
}
