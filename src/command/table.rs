//! All commands by name.

use std::collections::HashMap;

use super::keys::KeyPosition;
use super::spec::{Channels, Flags, Spec};
use crate::error::CommandError;

/// Longest name, in bytes, that is looked up; longer ones are unknown.
const NAME_MAX: usize = 64;

/// First words of HTTP requests and of their header lines. A web page can have a browser send them to any
/// port, with commands in the lines behind.
const OTHER_PROTOCOL: [&str; 2] = ["POST", "Host:"];

/// Most bytes of an unknown command, and of its arguments, that the error repeats (Redis's figure).
const ECHO_MAX: usize = 128;

/// A command in the table.
pub struct Entry {
    /// Flags, key specs and documentation of the command.
    pub spec: Spec,
    /// Its place in the table, by which statistics are kept.
    pub id: usize,
    /// `get`, or `config|get`.
    pub full_name: String,
    /// Name by which clients call it, in small letters: its own, another one after `rename-command`, or none if
    /// it was taken away. Of a subcommand its own.
    pub called: Box<str>,
    /// The ids of its subcommands.
    pub subcommands: std::ops::Range<usize>,
    /// Whether two words name it (`OBJECT ENCODING`), not one.
    pub is_subcommand: bool,
    /// Whether it works on its own keys only, neither on its client nor on the server. Such commands run in
    /// streaks.
    pub plain: bool,
    /// The entry under which its calls are counted and shown: itself, or the command that it belongs to.
    pub counted_as: usize,
    /// Its key, if it is plain and has one at a fixed place.
    pub single: Option<KeyPosition>,
}

/// Flags of which a plain command has none.
const NOT_PLAIN: Flags = Flags(
    Flags::ADMIN.0
        | Flags::PUBSUB.0
        | Flags::NOSCRIPT.0
        | Flags::BLOCKING.0
        | Flags::NO_AUTH.0
        | Flags::PROTECTED.0
        | Flags::ALL_DATABASES.0
        | Flags::MAY_REPLICATE.0
        | Flags::WHOLE_KEYSPACE.0
        | Flags::WHILE_SUBSCRIBED.0
        | Flags::NOT_QUEUED.0
        | Flags::KEEPS_ASKING.0
        | Flags::KEEPS_CACHING.0
        | Flags::PUSHES.0
        | Flags::RUNS_QUEUE.0
        | Flags::SELECTS.0
        | Flags::SKIP_MONITOR.0,
);

impl Entry {
    fn new(spec: Spec, id: usize, full_name: String, is_subcommand: bool) -> Self {
        let plain = spec.flags.intersects(Flags::READONLY.and(Flags::WRITE))
            && !spec.flags.intersects(NOT_PLAIN)
            && !spec.may_run_alone
            && !spec.has_further_locks
            && spec.foreign_keys.is_none()
            && spec.databases.is_none()
            && spec.channels == Channels::None;
        let single = match spec.keys {
            [key] if plain && spec.moving_keys.is_none() => key.only().filter(|key| key.is_key()),
            _ => None,
        };
        let called = spec.name.into();
        Self { spec, id, full_name, called, subcommands: 0..0, is_subcommand, plain, counted_as: id, single }
    }
}

/// A command of the lists, with its subcommands.
pub struct Listed {
    /// The command.
    pub spec: Spec,
    /// Its subcommands.
    pub subcommands: Vec<Spec>,
}

/// Why `rename-command` cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenameError {
    /// Nothing is called by the old name.
    #[error("No such command in rename-command")]
    Unknown,
    /// Another command is called by the new name.
    #[error("Target command name already exists")]
    Taken,
    /// The new name is longer than names that are looked up.
    #[error("Target command name is longer than {NAME_MAX} bytes")]
    TooLong,
    /// The new name is no text.
    #[error("Target command name is not UTF-8")]
    NoText,
}

/// The specs of all commands, found by name.
pub struct CommandTable {
    entries: Vec<Entry>,
    /// How many of them are commands; subcommands follow.
    commands: usize,
    /// Ids by full names, which `rename-command` does not change: access rules and the requests of files and
    /// primaries use them.
    by_name: HashMap<Box<[u8]>, usize, foldhash::fast::FixedState>,
    /// Ids by the names that clients use, without those in `short`.
    long: HashMap<Box<[u8]>, usize, foldhash::fast::FixedState>,
    short: ShortNames,
}

impl CommandTable {
    /// Makes the table. Subcommands follow behind the commands.
    pub fn new(listed: impl Iterator<Item = Listed>) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        let mut by_name = HashMap::with_hasher(foldhash::fast::FixedState::with_seed(0));
        let mut subcommands = Vec::new();
        for command in listed {
            let (id, name) = (entries.len(), command.spec.name);
            let doubled = by_name.insert(name.as_bytes().into(), id);
            assert!(doubled.is_none(), "{name} stands twice in the lists");
            entries.push(Entry::new(command.spec, id, name.to_owned(), false));
            subcommands.push(command.subcommands);
        }
        let commands = entries.len();
        for (parent, subcommands) in subcommands.into_iter().enumerate() {
            let first = entries.len();
            for spec in subcommands {
                let full_name = format!("{}|{}", entries[parent].full_name, spec.name);
                by_name.insert(full_name.as_bytes().into(), entries.len());
                let mut entry = Entry::new(spec, entries.len(), full_name, true);
                if entries[parent].spec.is_whole {
                    entry.counted_as = parent;
                }
                entries.push(entry);
            }
            entries[parent].subcommands = first..entries.len();
        }
        let mut table = Self {
            entries,
            commands,
            by_name,
            long: HashMap::default(),
            short: ShortNames { slots: [].into() },
        };
        table.index_called();
        table
    }

    /// Has a command called by another name from here on, or by none if that is empty: `rename-command`.
    ///
    /// # Errors
    /// See [`RenameError`].
    pub fn rename(&mut self, old: &[u8], new: &[u8]) -> Result<(), RenameError> {
        let id = self.by_called(old).ok_or(RenameError::Unknown)?.id;
        if new.len() > NAME_MAX {
            return Err(RenameError::TooLong);
        }
        if !new.is_empty() && self.by_called(new).is_some_and(|other| other.id != id) {
            return Err(RenameError::Taken);
        }
        let new = std::str::from_utf8(new).map_err(|_| RenameError::NoText)?;
        self.entries[id].called = new.to_ascii_lowercase().into();
        self.index_called();
        Ok(())
    }

    fn index_called(&mut self) {
        let commands = &self.entries[..self.commands];
        self.short = ShortNames::new(commands);
        let long = commands.iter().filter(|entry| ShortNames::packed(entry.called.as_bytes()).is_none());
        self.long = long.map(|entry| (entry.called.as_bytes().into(), entry.id)).collect();
        self.long.remove(&b""[..]);
    }

    /// Every entry, by id.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The commands without subcommands of containers.
    pub fn commands(&self) -> impl Iterator<Item = &Entry> {
        self.entries[..self.commands].iter()
    }

    /// The entry with this full name (`get`, `config|get`), in any case.
    pub fn by_full_name(&self, name: &[u8]) -> Option<&Entry> {
        let mut lower = [0; NAME_MAX];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        self.by_name.get(&*lower).map(|&id| &self.entries[id])
    }

    /// The entry that clients mean by this name (`get`, `config|get`), in any case.
    pub fn by_called_name(&self, name: &[u8]) -> Option<&Entry> {
        let end = name.iter().position(|byte| *byte == b'|');
        match end {
            None => self.by_called(name),
            Some(end) => self.subcommand(self.by_called(&name[..end])?, &name[end + 1..]),
        }
    }

    /// The entries that clients mean by these names, or all where they give none. A container's name stands for its
    /// subcommands too.
    pub fn by_called_names(&self, names: &[&[u8]]) -> Vec<&Entry> {
        if names.is_empty() {
            return self.entries.iter().collect();
        }
        let found = names.iter().filter_map(|name| self.by_called_name(name));
        found
            .flat_map(|entry| std::iter::once(entry).chain(&self.entries[entry.subcommands.clone()]))
            .collect()
    }

    /// The command that clients call by this name, in any case.
    #[inline]
    fn by_called(&self, name: &[u8]) -> Option<&Entry> {
        match ShortNames::packed(name) {
            // The length tells `get` from one with a zero behind.
            Some(packed) => self
                .short
                .find(packed)
                .map(|id| &self.entries[usize::from(id)])
                .filter(|entry| entry.called.len() == name.len()),
            None => self.by_long_name(name),
        }
    }

    fn by_long_name(&self, name: &[u8]) -> Option<&Entry> {
        let mut lower = [0; NAME_MAX];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        self.long.get(&*lower).map(|id| &self.entries[*id])
    }

    #[inline]
    fn subcommand(&self, container: &Entry, name: &[u8]) -> Option<&Entry> {
        let subcommands = &self.entries[container.subcommands.clone()];
        subcommands.iter().find(|sub| sub.spec.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// The command or subcommand that a request means, its arity checked.
    ///
    /// # Errors
    /// Unknown command or subcommand, or wrong number of arguments.
    #[inline]
    pub fn resolve(&self, arguments: &[&[u8]]) -> Result<&Entry, CommandError> {
        with_arity(self.find(arguments)?, arguments)
    }

    /// The command or subcommand that a client's request means, its arity checked.
    ///
    /// # Errors
    /// As of [`resolve`](Self::resolve); [`CommandError::OtherProtocol`] where the client does not speak this
    /// protocol.
    #[inline]
    pub fn resolve_request(&self, arguments: &[&[u8]]) -> Result<&Entry, CommandError> {
        self.resolve(arguments).map_err(|error| match error {
            CommandError::UnknownCommand { .. } if is_other_protocol(arguments) => {
                CommandError::OtherProtocol
            }
            error => error,
        })
    }

    /// The command or subcommand that a request of an append-only file or of a primary's stream means. What a
    /// server writes there by itself (MULTI, PEXPIREAT) has its own names, whatever `rename-command` says.
    ///
    /// # Errors
    /// As of [`resolve_request`](Self::resolve_request).
    #[inline]
    pub fn resolve_entered(&self, arguments: &[&[u8]]) -> Result<&Entry, CommandError> {
        self.resolve_request(arguments).or_else(|error| match error {
            CommandError::UnknownCommand { .. } => {
                let name = arguments.first().ok_or_else(|| unknown(arguments))?;
                let entry = self.by_full_name(name).filter(|entry| !entry.is_subcommand).ok_or(error)?;
                with_arity(self.within(entry, arguments)?, arguments)
            }
            error => Err(error),
        })
    }

    /// The command or subcommand that a request means, however many arguments it has.
    ///
    /// # Errors
    /// Unknown command or subcommand.
    #[inline]
    pub fn find(&self, arguments: &[&[u8]]) -> Result<&Entry, CommandError> {
        let Some(entry) = arguments.first().and_then(|name| self.by_called(name)) else {
            return Err(unknown(arguments));
        };
        self.within(entry, arguments)
    }

    /// A command, or its subcommand that a request names.
    #[inline]
    fn within<'t>(&'t self, entry: &'t Entry, arguments: &[&[u8]]) -> Result<&'t Entry, CommandError> {
        if entry.subcommands.is_empty() || arguments.len() < 2 {
            return Ok(entry);
        }
        self.subcommand(entry, arguments[1]).ok_or_else(|| unknown_subcommand(arguments, entry))
    }

    /// Does what [`resolve`](Self::resolve) does for a request whose first word is that of the request
    /// before, which meant `before`. A script calls the same commands again and again.
    ///
    /// # Errors
    /// As of `resolve`.
    #[inline]
    pub fn resolve_again(&self, arguments: &[&[u8]], before: usize) -> Result<&Entry, CommandError> {
        let entry = &self.entries[before];
        if before >= self.commands || !entry.subcommands.is_empty() {
            return self.resolve(arguments);
        }
        with_arity(entry, arguments)
    }

    /// Whether any entry has this flag: for checks at start.
    pub fn any(&self, flags: Flags) -> bool {
        self.entries.iter().any(|entry| entry.spec.flags.has(flags))
    }
}

#[cold]
fn is_other_protocol(arguments: &[&[u8]]) -> bool {
    let is_first =
        |word: &&str| arguments.first().is_some_and(|first| first.eq_ignore_ascii_case(word.as_bytes()));
    OTHER_PROTOCOL.iter().any(is_first)
}

/// Commands whose names fit into a number, which most do: found without a call.
struct ShortNames {
    /// Name and id, at the place that [`ShortNames::place`] says or behind it. No name is 0.
    slots: Box<[(u64, u16)]>,
}

impl ShortNames {
    fn new(commands: &[Entry]) -> Self {
        // At most a quarter is filled, so a search seldom goes on.
        let mut slots = vec![(0, 0); (commands.len() * 4).next_power_of_two()].into_boxed_slice();
        for entry in commands {
            if let (Some(name), Ok(id)) = (Self::packed(entry.called.as_bytes()), u16::try_from(entry.id)) {
                let mut place = Self::place(name, slots.len());
                while slots[place].0 != 0 {
                    place = (place + 1) & (slots.len() - 1);
                }
                slots[place] = (name, id);
            }
        }
        Self { slots }
    }

    /// A name in small letters as a number; `None` for an empty one or one that is too long.
    #[inline]
    fn packed(name: &[u8]) -> Option<u64> {
        let packed = match (name.len(), name.first_chunk::<4>(), name.last_chunk::<4>()) {
            (len @ 4..=8, Some(first), Some(last)) => {
                u64::from(u32::from_le_bytes(*first))
                    | u64::from(u32::from_le_bytes(*last)) << (8 * (len - 4))
            }
            (len @ 1..4, ..) => {
                u64::from(name[0])
                    | u64::from(name[len / 2]) << (8 * (len / 2))
                    | u64::from(name[len - 1]) << (8 * (len - 1))
            }
            _ => return None,
        };
        // Eight letters at once: the high bit of a byte says whether it is a capital, and its bit 0x20 makes
        // that small.
        const ONES: u64 = u64::from_le_bytes([1; 8]);
        let low_bits = packed & (0x7F * ONES);
        let from_a = low_bits + (0x80 - u64::from(b'A')) * ONES;
        let beyond_z = low_bits + (0x7F - u64::from(b'Z')) * ONES;
        let capitals = (from_a ^ beyond_z) & !packed & (0x80 * ONES);
        Some(packed | capitals >> 2)
    }

    #[inline]
    fn place(name: u64, slots: usize) -> usize {
        (name.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize & (slots - 1)
    }

    #[inline]
    fn find(&self, name: u64) -> Option<u16> {
        let mut place = Self::place(name, self.slots.len());
        loop {
            match self.slots[place] {
                (found, id) if found == name && name != 0 => return Some(id),
                (0, _) => return None,
                _ => place = (place + 1) & (self.slots.len() - 1),
            }
        }
    }
}

#[inline]
fn with_arity<'t>(entry: &'t Entry, arguments: &[&[u8]]) -> Result<&'t Entry, CommandError> {
    if !entry.spec.arity_allows(arguments.len()) {
        return Err(CommandError::WrongArity(entry.full_name.clone().into()));
    }
    Ok(entry)
}

/// The error for a request that means no command.
pub fn unknown(arguments: &[&[u8]]) -> CommandError {
    let name = arguments.first().map(|name| clip(name, ECHO_MAX)).unwrap_or_default();
    let mut echoed = String::new();
    for argument in arguments.iter().skip(1) {
        if echoed.len() >= ECHO_MAX {
            break;
        }
        echoed.push_str(&format!("'{}' ", clip(argument, ECHO_MAX - echoed.len())));
    }
    CommandError::UnknownCommand { name, arguments: echoed }
}

fn unknown_subcommand(arguments: &[&[u8]], container: &Entry) -> CommandError {
    CommandError::UnknownSubcommand(clip(arguments[1], ECHO_MAX), container.full_name.to_uppercase())
}

/// At most `max` bytes of what a client sent, as text.
fn clip(bytes: &[u8], max: usize) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(max)]).into_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_means_a_command_in_any_case_and_only_as_it_is() {
        let table = crate::engine::command::Commands::new(&crate::commands::groups());
        let found = |name: &[u8]| table.by_called(name).map(|entry| entry.id);
        for entry in table.commands() {
            let name = entry.full_name.as_bytes();
            let mixed: Vec<u8> = name
                .iter()
                .enumerate()
                .map(|(at, b)| if at % 2 == 0 { b.to_ascii_uppercase() } else { *b })
                .collect();
            assert_eq!(found(name), Some(entry.id));
            assert_eq!(found(&name.to_ascii_uppercase()), Some(entry.id));
            assert_eq!(found(&mixed), Some(entry.id));
            let known = |name: &[u8]| {
                table.commands().find(|entry| entry.full_name.as_bytes() == name).map(|entry| entry.id)
            };
            for other in
                [&name[1..], &name[..name.len() - 1], &[name, b"\0"].concat(), &[name, b"s"].concat()]
            {
                assert_eq!(found(other), known(other), "{}", other.escape_ascii());
            }
        }
        for name in [&b""[..], b"\0", b"\0\0\0\0\0\0\0\0", b"acl|cat", b"config|get", &[b'x'; 100]] {
            assert_eq!(found(name), None);
        }
        assert_eq!(table.by_full_name(b"ACL|Cat").map(|entry| &entry.full_name[..]), Some("acl|cat"));
    }
}
