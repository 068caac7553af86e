//! A selector: commands, keys, channels and databases that are allowed together.

use std::collections::{BTreeMap, BTreeSet};

use super::check::{READ, WRITE};

/// One set of permissions. A request is allowed if one selector of its user allows all of it.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    /// Whether every command is allowed without exception.
    pub every_command: bool,
    /// Whether commands that do not exist yet are allowed. The rules for commands begin with `+@all` then.
    pub future_commands: bool,
    allowed: CommandSet,
    /// For commands that are not allowed as a whole: first arguments with which they are.
    first_arguments: BTreeMap<usize, Vec<Box<[u8]>>>,
    /// Rules for commands since the last one for all commands.
    command_rules: Vec<Vec<u8>>,
    /// Whether every key is allowed.
    pub all_keys: bool,
    /// Allowed patterns of keys, unless every key is.
    pub keys: Vec<KeyPattern>,
    /// Whether every channel is allowed.
    pub all_channels: bool,
    /// Allowed patterns of channels, unless every channel is.
    pub channels: Vec<Box<[u8]>>,
    /// Whether every database is allowed.
    pub all_databases: bool,
    /// Allowed databases, unless every one is.
    pub databases: BTreeSet<u32>,
}

/// A pattern of keys, and what may be done with matching keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPattern {
    /// Bits: [`READ`](super::check::READ), [`WRITE`](super::check::WRITE).
    pub access: u8,
    /// A glob pattern.
    pub pattern: Box<[u8]>,
}

/// A set of commands: a bit for each place in the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct CommandSet(Vec<u64>);

impl CommandSet {
    fn with_room(commands: usize) -> Self {
        Self(vec![0; commands.div_ceil(64)])
    }

    fn has(&self, id: usize) -> bool {
        self.0.get(id / 64).is_some_and(|word| word >> (id % 64) & 1 != 0)
    }

    fn set(&mut self, id: usize, allowed: bool) {
        let Some(word) = self.0.get_mut(id / 64) else { return };
        *word = *word & !(1 << (id % 64)) | u64::from(allowed) << (id % 64);
    }

    fn set_all(&mut self, allowed: bool) {
        self.0.fill(if allowed { u64::MAX } else { 0 });
    }
}

impl Selector {
    /// A selector that allows no command, key or channel, but all databases. `commands` is the table's
    /// length.
    pub fn nothing(commands: usize) -> Self {
        Self { allowed: CommandSet::with_room(commands), all_databases: true, ..Self::default() }
    }

    /// A selector that allows everything.
    pub fn everything(commands: usize) -> Self {
        let mut selector = Self { all_keys: true, all_channels: true, ..Self::nothing(commands) };
        selector.set_all_commands(true);
        selector
    }

    /// Allows all commands or none.
    pub fn set_all_commands(&mut self, allowed: bool) {
        self.every_command = allowed;
        self.future_commands = allowed;
        self.allowed.set_all(allowed);
        self.first_arguments.clear();
        self.command_rules.clear();
    }

    /// Allows or forbids a command, and forgets its first arguments.
    pub fn set_command(&mut self, id: usize, allowed: bool) {
        self.every_command &= allowed;
        self.allowed.set(id, allowed);
        self.first_arguments.remove(&id);
    }

    /// Allows a command with this first argument.
    pub fn add_first_argument(&mut self, id: usize, argument: &[u8]) {
        let known = self.first_arguments.entry(id).or_default();
        if !known.iter().any(|known| known.eq_ignore_ascii_case(argument)) {
            known.push(argument.into());
        }
    }

    /// Remembers a rule for commands, such as `get` or `@read`. It replaces earlier rules for the same
    /// commands or a part of them.
    pub fn note_command_rule(&mut self, allowed: bool, name: &[u8]) {
        let name = name.to_ascii_lowercase();
        self.command_rules.retain(|rule| {
            !rule[1..].strip_prefix(name.as_slice()).is_some_and(|rest| matches!(rest, [] | [b'|', ..]))
        });
        self.command_rules.push([if allowed { b"+" } else { b"-" }, name.as_slice()].concat());
    }

    /// Whether a command is allowed with this first argument.
    pub fn allows_command(&self, id: usize, first_argument: Option<&[u8]>) -> bool {
        self.every_command
            || self.allowed.has(id)
            || first_argument.is_some_and(|argument| {
                let known = self.first_arguments.get(&id);
                known.is_some_and(|known| known.iter().any(|known| known.eq_ignore_ascii_case(argument)))
            })
    }

    /// The rules that make this selector.
    pub fn describe(&self) -> Vec<u8> {
        let mut words = Vec::new();
        match self.describe_keys() {
            keys if keys.is_empty() => {}
            keys => words.push(keys),
        }
        if !self.all_channels {
            words.push(b"resetchannels".to_vec());
        }
        match self.describe_channels() {
            channels if channels.is_empty() => {}
            channels => words.push(channels),
        }
        if !self.all_databases {
            let databases = self.describe_databases();
            words.push(if databases.is_empty() { b"resetdbs".to_vec() } else { databases });
        }
        words.push(self.describe_commands());
        words.join(&b' ')
    }

    /// The rules for commands.
    pub fn describe_commands(&self) -> Vec<u8> {
        let mut words = vec![if self.future_commands { b"+@all".to_vec() } else { b"-@all".to_vec() }];
        words.extend_from_slice(&self.command_rules);
        words.join(&b' ')
    }

    /// The rules for keys.
    pub fn describe_keys(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let describe = |key: &KeyPattern| {
            let sign: &[u8] = match key.access {
                READ => b"%R~",
                WRITE => b"%W~",
                _ => b"~",
            };
            [sign, &key.pattern].concat()
        };
        self.keys.iter().map(describe).collect::<Vec<_>>().join(&b' ')
    }

    /// The rules for channels.
    pub fn describe_channels(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        self.channels.iter().map(|pattern| [b"&", &**pattern].concat()).collect::<Vec<_>>().join(&b' ')
    }

    /// The rule for databases; empty when there are none.
    pub fn describe_databases(&self) -> Vec<u8> {
        if self.all_databases {
            return b"alldbs".to_vec();
        }
        let numbers: Vec<String> = self.databases.iter().map(u32::to_string).collect();
        if numbers.is_empty() { Vec::new() } else { format!("db={}", numbers.join(",")).into_bytes() }
    }
}
