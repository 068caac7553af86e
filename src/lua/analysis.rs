//! Where a script's commands take their keys from, found by reading its source.
//!
//! A script whose every `redis.call` takes its keys from KEYS runs under those keys' locks, at the same time
//! as scripts on other slots. Any other may touch any key, so it runs alone. The reading is cautious:
//! whatever it does not understand counts as touching any key. A script that it misjudged all the same is
//! caught when it reaches for a key whose lock it does not hold.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::lexer::{Token, tokens};
use super::shape::Shape;
use crate::command::keys::for_each_key;
use crate::command::spec::Flags;
use crate::command::table::CommandTable;

/// What a script may touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Keys that it declares, as long as the commands named by these arguments of ARGV (counted from 1) take
    /// keys only where the call has some.
    Declared(Vec<NamedByArgument>),
    /// Any key.
    Any,
}

/// A call whose command is named by an element of ARGV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedByArgument {
    /// Which element, counted from 1.
    pub argument: usize,
    /// For each further argument of the call whether it is a key from KEYS.
    pub are_keys: Vec<bool>,
}

impl NamedByArgument {
    /// Whether a command of this name takes its keys only where the call has declared ones.
    pub fn is_within(&self, table: &CommandTable, name: &[u8]) -> bool {
        let kinds: Vec<Kind> =
            self.are_keys.iter().map(|is_key| if *is_key { Kind::Key } else { Kind::Unknown }).collect();
        takes_only_keys(table, name, &kinds)
    }
}

/// What an argument of a call is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// An element of KEYS.
    Key,
    /// Several elements of KEYS: `unpack(KEYS)`.
    Keys,
    /// A text or number that stands in the source.
    Literal(Vec<u8>),
    /// An element of ARGV at a place that stands in the source.
    Argument(usize),
    /// Anything else that is one value.
    Unknown,
    /// Anything that may be several values.
    Several,
}

/// A longer script is not read: it may touch any key.
pub const SOURCE_MAX: usize = 1 << 20;

/// Reads a script.
pub fn reach(source: &[u8], table: &CommandTable) -> Reach {
    if source.len() > SOURCE_MAX {
        return Reach::Any;
    }
    match tokens(source) {
        Some(tokens) => reach_of(&tokens, table),
        None => Reach::Any,
    }
}

/// Reads a script's tokens.
pub fn reach_of(tokens: &[Token<'_>], table: &CommandTable) -> Reach {
    let Some(shape) = Shape::new(tokens) else { return Reach::Any };
    let locals = key_locals(tokens, &shape);
    Reader { tokens, shape, table, locals }.read().unwrap_or(Reach::Any)
}

/// Names through which a script could get at things that this does not see.
const OPAQUE: [&[u8]; 6] = [b"_G", b"loadstring", b"load", b"getfenv", b"setfenv", b"coroutine"];

struct Reader<'a> {
    tokens: &'a [Token<'a>],
    shape: Shape,
    table: &'a CommandTable,
    /// Local variables that always hold an element of KEYS.
    locals: HashSet<&'a [u8]>,
}

impl Reader<'_> {
    /// `None` where a script may touch any key.
    fn read(&self) -> Option<Reach> {
        let mut named = Vec::new();
        let mut at = 0;
        while let Some(token) = self.tokens.get(at) {
            let is_member = at > 0 && matches!(self.tokens[at - 1], Token::Symbol(b'.' | b':'));
            match token {
                Token::Name(name) if !is_member => match *name {
                    b"redis" | b"server" => at = self.read_api(at, &mut named)?,
                    b"KEYS" => self.check_keys(at)?,
                    name if OPAQUE.contains(&name) => return None,
                    _ => {}
                },
                _ => {}
            }
            at += 1;
        }
        Some(Reach::Declared(named))
    }

    /// `redis.something`: a call of a command is looked at. Answers the last token that was read.
    fn read_api(&self, at: usize, named: &mut Vec<NamedByArgument>) -> Option<usize> {
        let [Token::Symbol(b'.'), Token::Name(member)] = self.tokens.get(at + 1..at + 3)? else {
            return None;
        };
        if !matches!(*member, b"call" | b"pcall") {
            return Some(at + 2);
        }
        // Without its parenthesis it is passed on as a value, and what is called then is not seen.
        if self.tokens.get(at + 3) != Some(&Token::Symbol(b'(')) {
            return None;
        }
        let mut kinds = Vec::new();
        for argument in self.arguments_of_call(at + 3)? {
            kinds.push(self.kind(argument));
        }
        let (name, rest) = kinds.split_first()?;
        match name {
            Kind::Literal(name) => takes_only_keys(self.table, name, rest).then_some(())?,
            Kind::Argument(argument) => {
                if rest.iter().any(|kind| matches!(kind, Kind::Keys | Kind::Several)) {
                    return None;
                }
                let are_keys = rest.iter().map(|kind| *kind == Kind::Key).collect();
                named.push(NamedByArgument { argument: *argument, are_keys });
            }
            _ => return None,
        }
        // Calls within the arguments are read as well.
        Some(at + 3)
    }

    /// KEYS may be looked into and passed to `unpack`; a script that changes it or gives it away is not
    /// understood.
    fn check_keys(&self, at: usize) -> Option<()> {
        let before = at.checked_sub(1).and_then(|before| self.tokens.get(before));
        match self.tokens.get(at + 1) {
            Some(Token::Symbol(b'[')) => {
                let end = self.shape.closing(at + 1)?;
                let assigned = self.tokens.get(end + 1) == Some(&Token::Symbol(b'='))
                    && self.tokens.get(end + 2) != Some(&Token::Symbol(b'='));
                // `KEYS[1], x = ...` and fields of elements do not come up in scripts that mean well.
                let is_list_target = self.tokens.get(end + 1) == Some(&Token::Symbol(b','))
                    && self.shape.assignment_follows(end + 1);
                (!assigned && !is_list_target).then_some(())
            }
            _ if before == Some(&Token::Symbol(b'#')) => Some(()),
            Some(Token::Symbol(b')' | b',')) => {
                let opened = at.checked_sub(2)?;
                let function = self.tokens.get(opened)?;
                let harmless = matches!(function, Token::Name(b"unpack" | b"ipairs" | b"pairs"));
                (harmless && before == Some(&Token::Symbol(b'('))).then_some(())
            }
            _ => None,
        }
    }

    /// Where the arguments of the call stand whose parenthesis opens at `open`.
    fn arguments_of_call(&self, open: usize) -> Option<Vec<Range<usize>>> {
        let end = self.shape.closing(open)?;
        // A function within the arguments may hold commas of its own.
        if self.shape.has_function(open, end) {
            return None;
        }
        let mut arguments = Vec::new();
        let (mut start, mut at) = (open + 1, open + 1);
        while at < end {
            match self.tokens[at] {
                Token::Symbol(b'(' | b'[' | b'{') => at = self.shape.closing(at)?,
                Token::Symbol(b',') => {
                    arguments.push(start..at);
                    start = at + 1;
                }
                _ => {}
            }
            at += 1;
        }
        if start < end {
            arguments.push(start..end);
        }
        Some(arguments)
    }

    fn kind(&self, range: Range<usize>) -> Kind {
        let argument = &self.tokens[range.clone()];
        match argument {
            [Token::Text(text)] => Kind::Literal(text.clone()),
            [Token::Number(text)] => Kind::Literal(text.to_vec()),
            [Token::Name(name)] if self.locals.contains(name) => Kind::Key,
            [Token::Name(_)] => Kind::Unknown,
            [Token::Name(b"KEYS"), Token::Symbol(b'['), ..]
                if self.shape.closing(range.start + 1) == Some(range.end - 1) =>
            {
                Kind::Key
            }
            [Token::Name(b"ARGV"), Token::Symbol(b'['), Token::Number(number), Token::Symbol(b']')] => {
                match std::str::from_utf8(number).ok().and_then(|number| number.parse().ok()) {
                    Some(number) => Kind::Argument(number),
                    None => Kind::Unknown,
                }
            }
            [Token::Name(b"ARGV"), Token::Symbol(b'['), ..] => one_or_several(argument),
            [Token::Name(b"unpack"), Token::Symbol(b'('), Token::Name(b"KEYS"), Token::Symbol(b')')] => {
                Kind::Keys
            }
            [
                Token::Name(b"table"),
                Token::Symbol(b'.'),
                Token::Name(b"unpack"),
                Token::Symbol(b'('),
                Token::Name(b"KEYS"),
                Token::Symbol(b')'),
            ] => Kind::Keys,
            _ => one_or_several(argument),
        }
    }
}

/// A call or `...` may stand for several values, anything else is one.
fn one_or_several(argument: &[Token<'_>]) -> Kind {
    match argument.last() {
        Some(Token::Symbol(b')')) | Some(Token::Dots) | None => Kind::Several,
        _ => Kind::Unknown,
    }
}

/// Whether a command with these arguments takes keys only where declared ones stand.
fn takes_only_keys(table: &CommandTable, name: &[u8], kinds: &[Kind]) -> bool {
    // A value for the parsers of key specs: what stands in the source, else something that is no number and
    // no word.
    const UNKNOWN: &[u8] = b"\0unknown";
    let first_several = kinds.iter().position(|kind| matches!(kind, Kind::Keys | Kind::Several));
    let mut words: Vec<&[u8]> = vec![name];
    for kind in kinds {
        words.push(match kind {
            Kind::Literal(text) => text,
            _ => UNKNOWN,
        });
    }
    let Some(entry) = table.by_called_name(name) else { return true };
    let entry = match words.get(1) {
        // The subcommand of a container has to stand in the source.
        Some(word) if !entry.subcommands.is_empty() => {
            let full = [name, b"|", *word].concat();
            match table.by_called_name(&full) {
                Some(entry) => entry,
                None => return kinds.first().is_some_and(|kind| matches!(kind, Kind::Literal(_))),
            }
        }
        _ => entry,
    };
    let command = &entry.spec;
    if command.flags.intersects(Flags::WHOLE_KEYSPACE.and(Flags::SELECTS)) || command.may_run_alone {
        return false;
    }
    if command.keys.is_empty() && command.moving_keys.is_none() && command.foreign_keys.is_none() {
        return true;
    }
    if command.foreign_keys.is_some() {
        return false;
    }
    let moves =
        command.moving_keys.is_some() || !command.keys.iter().all(crate::command::keys::KeySpec::is_fixed);
    if moves {
        // Where its keys stand depends on arguments: those must stand in the source or be keys themselves.
        let known = kinds.iter().all(|kind| matches!(kind, Kind::Literal(_) | Kind::Key));
        if !known {
            return false;
        }
    }
    if let Some(several) = first_several {
        // Behind several values nothing is known of places: all must be keys, from there to the end of the
        // keys.
        let all_keys = kinds[several..].iter().all(|kind| matches!(kind, Kind::Key | Kind::Keys));
        if !all_keys && !keys_end_before(command, several + 1, words.len()) {
            return false;
        }
    }
    let mut within = true;
    for_each_key(command, &words, |position| {
        within &= matches!(kinds.get(position.argument.wrapping_sub(1)), Some(Kind::Key | Kind::Keys));
    });
    within
}

/// Whether a command has all its keys before this argument, however many follow.
fn keys_end_before(command: &crate::command::Spec, argument: usize, count: usize) -> bool {
    let mut last = 0;
    let words: Vec<&[u8]> = vec![b"x"; count + 8];
    for_each_key(command, &words, |position| last = last.max(position.argument));
    last < argument
}

/// Local variables that are given an element of KEYS when they are made and nothing else anywhere.
fn key_locals<'t>(tokens: &[Token<'t>], shape: &Shape) -> HashSet<&'t [u8]> {
    let mut given: HashMap<&[u8], bool> = HashMap::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at] == Token::Name(b"local") {
            at = read_local(tokens, shape, at, &mut given);
            continue;
        }
        at += 1;
    }
    // A name that is bound or assigned in any other way is not one.
    let mut depth_of_parameters = 0usize;
    for (index, token) in tokens.iter().enumerate() {
        let next = tokens.get(index + 1);
        match token {
            Token::Name(b"function") => depth_of_parameters = 1,
            Token::Symbol(b')') => depth_of_parameters = 0,
            Token::Name(name) if depth_of_parameters > 0 => {
                given.insert(name, false);
            }
            _ => {}
        }
        if let Token::Name(name) = token
            && let Some(is_key) = given.get_mut(name)
        {
            let before = index.checked_sub(1).and_then(|before| tokens.get(before));
            let in_for = before == Some(&Token::Name(b"for"))
                || (before == Some(&Token::Symbol(b',')) && next == Some(&Token::Name(b"in")));
            let is_local = before == Some(&Token::Name(b"local"));
            let is_field = matches!(before, Some(Token::Symbol(b'.' | b':')));
            let assigned = next == Some(&Token::Symbol(b'='))
                && tokens.get(index + 2) != Some(&Token::Symbol(b'='))
                && !is_local
                && !is_field;
            let in_targets =
                next == Some(&Token::Symbol(b',')) && !is_local && shape.assignment_follows(index + 1);
            if in_for || ((assigned || in_targets) && !shape.in_local_list(index)) {
                *is_key = false;
            }
        }
    }
    given.into_iter().filter(|(_, is_key)| *is_key).map(|(name, _)| name).collect()
}

/// Reads `local a, b = KEYS[1], KEYS[2]` at `at`; answers where to read on.
fn read_local<'t>(
    tokens: &[Token<'t>],
    shape: &Shape,
    at: usize,
    given: &mut HashMap<&'t [u8], bool>,
) -> usize {
    let mut names = Vec::new();
    let mut index = at + 1;
    while let Some(Token::Name(name)) = tokens.get(index) {
        if *name == b"function" {
            return index;
        }
        names.push(*name);
        index += 1;
        if tokens.get(index) != Some(&Token::Symbol(b',')) {
            break;
        }
        index += 1;
    }
    let has_values = tokens.get(index) == Some(&Token::Symbol(b'='));
    let mut value = index + 1;
    for (place, name) in names.iter().enumerate() {
        let is_key = has_values
            && element_of_keys(tokens, shape, value).is_some_and(|end| {
                value = end + 2;
                let next = tokens.get(end + 1);
                let is_last = place + 1 == names.len();
                if is_last { ends_value(next) } else { next == Some(&Token::Symbol(b',')) }
            });
        if !is_key {
            value = usize::MAX;
        }
        // A name made twice has to be a key both times.
        given.entry(name).and_modify(|all| *all &= is_key).or_insert(is_key);
    }
    at + 1
}

/// Where `KEYS[...]` at `at` ends.
fn element_of_keys(tokens: &[Token<'_>], shape: &Shape, at: usize) -> Option<usize> {
    match tokens.get(at..at.checked_add(2)?)? {
        [Token::Name(b"KEYS"), Token::Symbol(b'[')] => shape.closing(at + 1),
        _ => None,
    }
}

/// Whether an expression is not continued by the token behind it.
fn ends_value(next: Option<&Token<'_>>) -> bool {
    match next {
        None | Some(Token::Symbol(b';')) => true,
        Some(Token::Name(word)) => !matches!(*word, b"and" | b"or"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> crate::engine::command::Commands {
        crate::engine::command::Commands::new(&crate::commands::groups())
    }

    #[track_caller]
    fn declared(source: &str) {
        assert_eq!(reach(source.as_bytes(), &table()), Reach::Declared(vec![]), "{source}");
    }

    #[track_caller]
    fn any(source: &str) {
        assert_eq!(reach(source.as_bytes(), &table()), Reach::Any, "{source}");
    }

    #[test]
    fn keys_from_keys_are_declared() {
        declared("return 1");
        declared("return redis.call('get', KEYS[1])");
        declared(
            "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end",
        );
        declared("for i = 1, #KEYS do redis.call('set', KEYS[i], ARGV[i]) end");
        declared("return redis.call('mget', unpack(KEYS))");
        declared(
            "local k = KEYS[1] local n = redis.call('incr', k) if n == 1 then redis.call('expire', k, ARGV[1]) end return n",
        );
        declared("local a, b = KEYS[1], KEYS[2]; redis.call('rename', a, b)");
        declared("return redis.pcall('zadd', KEYS[1], 1, 'x') -- redis.call('get', 'x')");
        declared("return redis.call('zunionstore', KEYS[1], 2, KEYS[2], KEYS[3])");
        declared("redis.call('hset', KEYS[1], unpack(ARGV))");
        declared("redis.call('publish', ARGV[1], 'x') return redis.call('time')");
        declared("return server.call('GET', KEYS[tonumber(ARGV[1])])");
        declared("return #KEYS == 0 or redis.call('ping')");
    }

    #[test]
    fn anything_else_may_touch_any_key() {
        any("return redis.call('get', 'x')");
        any("return redis.call('get', ARGV[1])");
        any("return redis.call('get', KEYS[1] .. 'x')");
        any("local k = KEYS[1] .. ':x' return redis.call('get', k)");
        any("local k = KEYS[1] k = 'x' return redis.call('get', k)");
        any("local k = KEYS[1] for _, k in ipairs(ARGV) do redis.call('get', k) end");
        any("local k = KEYS[1] local function f(k) return redis.call('get', k) end return f('x')");
        any("local call = redis.call return call('get', KEYS[1])");
        any("local r = redis return r.call('get', 'x')");
        any("return redis['call']('get', KEYS[1])");
        any("KEYS[1] = 'x' return redis.call('get', KEYS[1])");
        any("KEYS = {'x'} return redis.call('get', KEYS[1])");
        any("local t = KEYS t[1] = 'x' return redis.call('get', KEYS[1])");
        any("return redis.call('mget', unpack(ARGV))");
        any("return redis.call('mget', KEYS[1], unpack(ARGV))");
        any("return redis.call('zunionstore', KEYS[1], ARGV[1], KEYS[2])");
        any("return redis.call('keys', '*')");
        any("return redis.call('flushall')");
        any("return redis.call(ARGV[1] .. 'x', KEYS[1])");
        any("return loadstring(ARGV[1])()");
        any("return _G.redis.call('get', 'x')");
        any("local k, l = KEYS[1] return redis.call('get', l)");
        any("return redis.call('sort', KEYS[1])");
        any("return pcall(redis.call, 'get', 'x')");
        any("return redis.call('get', KEYS[1] or 'x')");
        any("local k = KEYS[1] or 'x' return redis.call('get', k)");
        any("x y 'unfinished");
    }

    #[test]
    fn a_command_named_by_an_argument_is_judged_when_it_is_known() {
        let source = b"redis.call('del', KEYS[1]) redis.call(ARGV[4], KEYS[2], ARGV[1])";
        let Reach::Declared(named) = reach(source, &table()) else { panic!("declared") };
        assert_eq!(named, [NamedByArgument { argument: 4, are_keys: vec![true, false] }]);
        for (name, within) in
            [("publish", true), ("SPUBLISH", true), ("set", true), ("mget", false), ("keys", false)]
        {
            assert_eq!(named[0].is_within(&table(), name.as_bytes()), within, "{name}");
        }
    }
}
