//! The first line of a script or library: `#!lua name=... flags=a,b`.

use crate::config::split_arguments;
use crate::error::CommandError;

/// What a script says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptFlags {
    /// It has a first line that says what it does: rules that only such scripts obey are in force.
    pub declared: bool,
    /// `no-writes`: it calls no command that writes.
    pub no_writes: bool,
    /// `allow-oom`: it may run while memory is over `maxmemory`.
    pub allow_oom: bool,
    /// `allow-stale`: it may run on a replica without its primary.
    pub allow_stale: bool,
    /// `no-cluster`: it is refused in cluster mode.
    pub no_cluster: bool,
    /// `allow-cross-slot-keys`.
    pub allow_cross_slot_keys: bool,
    /// `atomic`: all that it changed is put back if it fails.
    pub atomic: bool,
}

impl ScriptFlags {
    /// Sets a flag by its name. Whether there is one of this name.
    pub fn set(&mut self, name: &[u8]) -> bool {
        let flag = match name {
            b"no-writes" => &mut self.no_writes,
            b"allow-oom" => &mut self.allow_oom,
            b"allow-stale" => &mut self.allow_stale,
            b"no-cluster" => &mut self.no_cluster,
            b"allow-cross-slot-keys" => &mut self.allow_cross_slot_keys,
            b"atomic" => &mut self.atomic,
            _ => return false,
        };
        *flag = true;
        true
    }

    /// The names of the flags that are set.
    pub fn names(&self) -> Vec<&'static str> {
        let all = [
            (self.no_writes, "no-writes"),
            (self.allow_oom, "allow-oom"),
            (self.allow_stale, "allow-stale"),
            (self.no_cluster, "no-cluster"),
            (self.allow_cross_slot_keys, "allow-cross-slot-keys"),
            (self.atomic, "atomic"),
        ];
        all.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect()
    }
}

const MARK: &[u8] = b"#!";
const NAME: &[u8] = b"name=";

/// The engine that a first line names, and the words behind it, which may be quoted. `None` where a quote
/// does not end.
fn words(line: &[u8]) -> Option<(Vec<u8>, std::vec::IntoIter<Vec<u8>>)> {
    let mut words = split_arguments(line)?.into_iter();
    let engine = words.next()?.split_off(MARK.len());
    Some((engine, words))
}

/// The flags of a script, and its source with the first line emptied (so that lines keep their numbers).
///
/// # Errors
/// A first line that is not understood.
pub fn of_script(source: &[u8]) -> Result<(ScriptFlags, &[u8]), CommandError> {
    let mut flags = ScriptFlags::default();
    if !source.starts_with(MARK) {
        return Ok((flags, source));
    }
    let end = memchr::memchr(b'\n', source).ok_or(CommandError::text("ERR Invalid script shebang"))?;
    flags.declared = true;
    let (engine, words) =
        words(&source[..end]).ok_or(CommandError::text("ERR Invalid engine in script shebang"))?;
    for word in words {
        let Some(list) = word.strip_prefix(b"flags=") else {
            let word = String::from_utf8_lossy(&word);
            return Err(CommandError::new(format!("ERR Unknown lua shebang option: {word}")));
        };
        for name in list.split(|byte| *byte == b',').filter(|_| !list.is_empty()) {
            if !flags.set(name) {
                let name = String::from_utf8_lossy(name);
                return Err(CommandError::new(format!("ERR Unexpected flag in script shebang: {name}")));
            }
        }
    }
    if !engine.eq_ignore_ascii_case(b"lua") {
        let engine = String::from_utf8_lossy(&engine);
        return Err(CommandError::new(format!("ERR Could not find scripting engine '{engine}'")));
    }
    Ok((flags, &source[end..]))
}

/// The name of a library, and its source with the first line emptied.
///
/// # Errors
/// A first line that is missing or not understood.
pub fn of_library(source: &[u8]) -> Result<(String, &[u8]), CommandError> {
    if !source.starts_with(MARK) {
        return Err(CommandError::text("ERR Missing library metadata"));
    }
    let invalid = CommandError::text("ERR Invalid library metadata");
    let end = memchr::memchr(b'\n', source).ok_or(invalid.clone())?;
    let (engine, words) = words(&source[..end]).ok_or(invalid)?;
    let mut name: Option<Vec<u8>> = None;
    for word in words {
        match word.split_at_checked(NAME.len()) {
            Some((key, _)) if key.eq_ignore_ascii_case(NAME) && name.is_some() => {
                return Err(CommandError::text(
                    "ERR Invalid metadata value, name argument was given multiple times",
                ));
            }
            Some((key, given)) if key.eq_ignore_ascii_case(NAME) => name = Some(given.to_vec()),
            _ => {
                let word = String::from_utf8_lossy(&word);
                return Err(CommandError::new(format!("ERR Invalid metadata value given: {word}")));
            }
        }
    }
    let name = name.ok_or(CommandError::text("ERR Library name was not given"))?;
    if !is_name(&name) {
        return Err(CommandError::text(
            "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
        ));
    }
    if !engine.eq_ignore_ascii_case(b"lua") {
        let engine = String::from_utf8_lossy(&engine);
        return Err(CommandError::new(format!("ERR Engine '{engine}' not found")));
    }
    Ok((String::from_utf8_lossy(&name).into_owned(), &source[end..]))
}

/// Whether these bytes may name a library or function.
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_say_what_they_do() {
        assert_eq!(of_script(b"return 1"), Ok((ScriptFlags::default(), &b"return 1"[..])));
        let (flags, body) = of_script(b"#!lua flags=no-writes,atomic\nreturn 1").unwrap();
        assert_eq!(flags.names(), ["no-writes", "atomic"]);
        assert!(flags.declared);
        assert_eq!(body, b"\nreturn 1");
        assert!(of_script(b"#!lua flags=\nreturn 1").is_ok());
        let error = |source: &[u8]| of_script(source).unwrap_err().to_string();
        assert_eq!(error(b"#!lua"), "ERR Invalid script shebang");
        assert_eq!(error(b"#!'lua\n"), "ERR Invalid engine in script shebang");
        assert!(of_script(b"#!lua flags=\"no-writes\"\nx").is_ok_and(|(flags, _)| flags.no_writes));
        assert_eq!(error(b"#! lua\n"), "ERR Unknown lua shebang option: lua");
        assert_eq!(error(b"#!\n"), "ERR Could not find scripting engine ''");
        assert_eq!(error(b"#!foo\n"), "ERR Could not find scripting engine 'foo'");
        assert_eq!(error(b"#!lua name=x\n"), "ERR Unknown lua shebang option: name=x");
        assert_eq!(error(b"#!lua flags=x\n"), "ERR Unexpected flag in script shebang: x");
        assert_eq!(error(b"#!lua flags=no-writes,\n"), "ERR Unexpected flag in script shebang: ");
    }

    #[test]
    fn libraries_have_names() {
        assert_eq!(of_library(b"#!lua name=a_1\nx"), Ok(("a_1".to_owned(), &b"\nx"[..])));
        let error = |source: &[u8]| of_library(source).unwrap_err().to_string();
        assert_eq!(of_library(b"#!'LUA' NAME='a'\nx"), Ok(("a".to_owned(), &b"\nx"[..])));
        assert_eq!(of_library(b"#!lua name=\"a\"b\nx"), Ok(("ab".to_owned(), &b"\nx"[..])));
        assert_eq!(error(b"#!lua name='a\nx"), "ERR Invalid library metadata");
        assert_eq!(error(b"#! name=a\nx"), "ERR Engine '' not found");
        assert_eq!(error(b"#! lua name=a\nx"), "ERR Invalid metadata value given: lua");
        assert_eq!(error(b"x"), "ERR Missing library metadata");
        assert_eq!(error(b"#!lua\nx"), "ERR Library name was not given");
        assert_eq!(error(b"#!foo name=a\nx"), "ERR Engine 'foo' not found");
        assert_eq!(error(b"#!lua name=a b\n"), "ERR Invalid metadata value given: b");
        assert!(error(b"#!lua name=a-b\n").starts_with("ERR Library names can only contain"));
    }
}
