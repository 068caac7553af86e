//! What the functions of a library may touch, found by reading its source as a script's is read
//! ([`analysis`](super::analysis)).
//!
//! A function is given its keys as its first parameter and its other arguments as its second. Within each
//! function that is registered these names are taken for a script's KEYS and ARGV; the library is then read
//! as one script that does what all of them do. Whatever is registered in another way than written out, or
//! may be called by others with what they like, is not understood.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::analysis::{Reach, SOURCE_MAX, reach_of};
use super::lexer::{Token, tokens};
use crate::command::table::CommandTable;

/// Reads a library's source, its first line left out.
pub fn reach(source: &[u8], table: &CommandTable) -> Reach {
    if source.len() > SOURCE_MAX {
        return Reach::Any;
    }
    let tokens = tokens(source);
    match tokens.as_deref().and_then(as_script) {
        Some(script) => reach_of(&script, table),
        None => Reach::Any,
    }
}

/// A function that is registered.
struct Callback {
    /// Where the parenthesis of its parameters opens and closes.
    parameters: (usize, usize),
    /// The last token of its body.
    end: usize,
}

/// The library as one script.
fn as_script<'t>(tokens: &[Token<'t>]) -> Option<Vec<Token<'t>>> {
    let callbacks = callbacks(tokens)?;
    let mut script = tokens.to_vec();
    let mut renamed = vec![false; tokens.len()];
    for callback in &callbacks {
        let (open, close) = callback.parameters;
        let names = parameters(&tokens[open + 1..close])?;
        for (name, global) in names.iter().zip([b"KEYS".as_slice(), b"ARGV"]) {
            for at in close + 1..callback.end {
                if tokens[at] == Token::Name(name) && !is_member(tokens, at) {
                    script[at] = Token::Name(global);
                    renamed[at] = true;
                }
            }
        }
        renamed[open..=close].fill(true);
    }
    let is_global = |token: &Token<'_>| matches!(token, Token::Name(b"KEYS" | b"ARGV"));
    if (0..tokens.len()).any(|at| is_global(&tokens[at]) && !renamed[at]) {
        return None;
    }
    // Parameters stand for nothing by themselves.
    let mut are_parameters = vec![false; tokens.len()];
    for callback in &callbacks {
        are_parameters[callback.parameters.0 + 1..callback.parameters.1].fill(true);
    }
    let mut kept = are_parameters.iter().map(|is_parameter| !is_parameter);
    script.retain(|_| kept.next().unwrap_or(true));
    Some(script)
}

/// The names of a registered function's parameters, of which there are two at most.
fn parameters<'t>(tokens: &[Token<'t>]) -> Option<Vec<&'t [u8]>> {
    match *tokens {
        [] => Some(vec![]),
        [Token::Name(keys)] => Some(vec![keys]),
        [Token::Name(keys), Token::Symbol(b','), Token::Name(arguments)] if keys != arguments => {
            Some(vec![keys, arguments])
        }
        _ => None,
    }
}

/// How many tokens may be read again for functions that stand in one another.
const READ_AGAIN_MAX: usize = 50;

fn callbacks(tokens: &[Token<'_>]) -> Option<Vec<Callback>> {
    let mut found = Vec::new();
    let places = places(tokens);
    let mut left = tokens.len() * READ_AGAIN_MAX;
    for (at, token) in tokens.iter().enumerate() {
        if *token != Token::Name(b"register_function") {
            continue;
        }
        let value = match tokens.get(at + 1..)? {
            [Token::Symbol(b'('), Token::Text(_), Token::Symbol(b','), ..] => at + 4,
            [Token::Symbol(b'('), Token::Symbol(b'{'), ..] => named(tokens, at + 3)?,
            [Token::Symbol(b'{'), ..] => named(tokens, at + 2)?,
            _ => return None,
        };
        found.push(match tokens.get(value)? {
            Token::Name(b"function") => callback(tokens, value)?,
            Token::Name(name) if ends_field(tokens.get(value + 1)) => {
                let definition = definition(tokens, places.get(name)?, value)?;
                callback(tokens, definition)?
            }
            _ => return None,
        });
        let read = found.last().map_or(0, |callback| callback.end - callback.parameters.0);
        left = left.checked_sub(read)?;
    }
    (!found.is_empty()).then_some(found)
}

/// Where the value of the field `callback` begins in the table whose fields begin at `at`.
fn named(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token {
            Token::Symbol(b'(' | b'[' | b'{') => depth += 1,
            Token::Symbol(b')' | b']' | b'}') => depth = depth.checked_sub(1)?,
            Token::Name(b"callback") if depth == 0 => {
                return (tokens.get(index + 1) == Some(&Token::Symbol(b'='))).then_some(index + 2);
            }
            _ => {}
        }
    }
    None
}

fn ends_field(next: Option<&Token<'_>>) -> bool {
    matches!(next, Some(Token::Symbol(b',' | b';' | b'}' | b')')))
}

/// The first three places of each name.
fn places<'t>(tokens: &[Token<'t>]) -> HashMap<&'t [u8], SmallVec<[usize; 3]>> {
    let mut places: HashMap<&[u8], SmallVec<[usize; 3]>> = HashMap::new();
    for (at, token) in tokens.iter().enumerate() {
        if let Token::Name(name) = token {
            let places = places.entry(name).or_default();
            if places.len() < 3 {
                places.push(at);
            }
        }
    }
    places
}

/// Where the function is defined whose name has these places, if it stands nowhere else but at `used`.
fn definition(tokens: &[Token<'_>], places: &[usize], used: usize) -> Option<usize> {
    let mut places = places.iter().copied().filter(|at| *at != used);
    let place = places.next()?;
    if places.next().is_some() || is_member(tokens, place) {
        return None;
    }
    if place > 0 && tokens[place - 1] == Token::Name(b"function") {
        return Some(place - 1);
    }
    match tokens.get(place + 1..place + 3)? {
        [Token::Symbol(b'='), Token::Name(b"function")] => Some(place + 2),
        _ => None,
    }
}

/// The function whose `function` stands at `at`.
fn callback(tokens: &[Token<'_>], at: usize) -> Option<Callback> {
    let open = match tokens.get(at + 1)? {
        Token::Name(_) => at + 2,
        _ => at + 1,
    };
    if tokens.get(open) != Some(&Token::Symbol(b'(')) {
        return None;
    }
    let close = open + tokens[open..].iter().position(|token| *token == Token::Symbol(b')'))?;
    let mut depth = 1usize;
    for (index, token) in tokens.iter().enumerate().skip(close + 1) {
        match token {
            Token::Name(b"function" | b"if" | b"do") => depth += 1,
            Token::Name(b"end") => {
                depth -= 1;
                if depth == 0 {
                    return Some(Callback { parameters: (open, close), end: index });
                }
            }
            _ => {}
        }
    }
    None
}

fn is_member(tokens: &[Token<'_>], at: usize) -> bool {
    at > 0 && matches!(tokens[at - 1], Token::Symbol(b'.' | b':')) && !is_concatenation(tokens, at - 1)
}

/// Two points are one operator.
fn is_concatenation(tokens: &[Token<'_>], at: usize) -> bool {
    at > 0 && tokens[at] == Token::Symbol(b'.') && tokens[at - 1] == Token::Symbol(b'.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lua::analysis::NamedByArgument;

    fn of(source: &str) -> Reach {
        reach(source.as_bytes(), &crate::engine::command::Commands::new(&crate::commands::groups()))
    }

    #[track_caller]
    fn declared(source: &str) {
        assert_eq!(of(source), Reach::Declared(vec![]), "{source}");
    }

    #[track_caller]
    fn any(source: &str) {
        assert_eq!(of(source), Reach::Any, "{source}");
    }

    #[test]
    fn keys_come_from_the_first_parameter() {
        declared("redis.register_function('f', function(keys, args) return redis.call('get', keys[1]) end)");
        declared("redis.register_function('f', function() return 1 end)");
        declared(
            "local function f(k, a) local key = k[1] if a[1] then for i = 1, #k do redis.call('set', k[i], a[1]) end end return redis.call('get', key) end redis.register_function('f', f)",
        );
        declared(
            "local f = function(KEYS, ARGV) return redis.call('mget', unpack(KEYS)) end server.register_function{function_name='f', callback=f, flags={'no-writes'}}",
        );
        declared(
            "local function log(text) redis.log(redis.LOG_NOTICE, text) end redis.register_function({callback = function(keys) log('x') return redis.call('incr', keys[1]) end, function_name = 'g'}) redis.register_function('h', function(ks, as) return redis.call('del', ks[1]) end)",
        );
        declared(
            "redis.register_function('f', function(keys, args) local t = {} t.keys = 1 return args[1] .. keys[1] end)",
        );
        assert_eq!(
            of("redis.register_function('f', function(k, a) return redis.call(a[2], k[1]) end)"),
            Reach::Declared(vec![NamedByArgument { argument: 2, are_keys: vec![true] }])
        );
    }

    #[test]
    fn anything_else_may_touch_any_key() {
        any("redis.register_function('f', function(keys, args) return redis.call('get', args[1]) end)");
        any("redis.register_function('f', function(keys, args) return redis.call('get', 'x') end)");
        any("redis.register_function('f', function(keys, args) return redis.call('get', KEYS[1]) end)");
        any(
            "redis.register_function('f', function(keys, args) keys = args return redis.call('get', keys[1]) end)",
        );
        any(
            "redis.register_function('f', function(keys, args) local keys = args return redis.call('get', keys[1]) end)",
        );
        any(
            "redis.register_function('f', function(keys, args) keys[1] = 'x' return redis.call('get', keys[1]) end)",
        );
        any(
            "redis.register_function('f', function(...) local keys = ... return redis.call('get', keys[1]) end)",
        );
        any(
            "redis.register_function('f', function(a, args) for _, a in ipairs({args}) do redis.call('get', a[1]) end end)",
        );
        // Called by another with what it likes.
        any(
            "local function get(keys) return redis.call('get', keys[1]) end redis.register_function('f', get) redis.register_function('g', function(k, a) return get({a[1]}) end)",
        );
        any(
            "local function get(keys) return redis.call('get', keys[1]) end redis.register_function('f', function(k, a) return get(a) end)",
        );
        any(
            "local function f(k) return redis.call('get', k[1]) end local list = {f} redis.register_function('f', list[1])",
        );
        any("local r = redis.register_function r('f', function(k) return redis.call('get', k[1]) end)");
        any(
            "local f if true then f = function(k) return redis.call('get', k[1]) end end redis.register_function('f', f)",
        );
        any("return 1");
        any("redis.register_function('f', function(keys) return redis.call('get', keys[1])");
    }
}
