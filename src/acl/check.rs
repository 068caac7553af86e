//! Whether a user may make a request.

use smallvec::SmallVec;

use super::selector::Selector;
use super::user::User;
use crate::command::keys::{KeyPosition, KeySpec};
use crate::command::spec::{Category, Channels, Flags};
use crate::command::table::Entry;
use crate::glob;

/// Permission to read data under a key.
pub const READ: u8 = 1;
/// Permission to change data under a key.
pub const WRITE: u8 = 2;

/// What a request was refused for. If several selectors refuse it for different reasons, the greatest is
/// reported: that selector's check came furthest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A database is not allowed.
    Database,
    /// The command is not allowed.
    Command,
    /// A key is not allowed.
    Key,
    /// Name and password were wrong.
    Auth,
    /// A channel is not allowed.
    Channel,
    /// The name in a client's certificate is no user.
    Certificate,
}

impl Reason {
    /// The reason's word in ACL LOG.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Command => "command",
            Reason::Database => "database",
            Reason::Key => "key",
            Reason::Auth => "auth",
            Reason::Channel => "channel",
            Reason::Certificate => "tls-cert",
        }
    }
}

/// A request that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denied {
    /// What it was refused for.
    pub reason: Reason,
    /// Index of the argument that was refused; 0 for the command itself.
    pub argument: usize,
}

/// A request as it is judged.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Entry of the command.
    pub entry: &'a Entry,
    /// All words, the command's name first.
    pub arguments: &'a [&'a [u8]],
    /// Keys and how they are used.
    pub keys: &'a [KeyPosition],
    /// Number of the selected database.
    pub database: usize,
    /// Number of databases.
    pub database_count: usize,
}

/// Judges a request.
///
/// # Errors
/// None of the user's selectors allows it as a whole.
pub fn check(user: &User, asked: &Asked<'_>) -> Result<(), Denied> {
    let mut furthest: Option<Denied> = None;
    for selector in user.all_selectors() {
        match check_selector(selector, asked) {
            Ok(()) => return Ok(()),
            Err(denied) => furthest = furthest.max(Some(denied)),
        }
    }
    furthest.map_or(Ok(()), Err)
}

/// Whether the user may read every key, in a selector that allows the request: what SORT needs for keys made
/// of patterns.
pub fn reads_every_key(user: &User, asked: &Asked<'_>) -> bool {
    user.all_selectors().any(|selector| {
        let every = |key: &super::selector::KeyPattern| key.access & READ != 0 && *key.pattern == *b"*";
        let reads_all = selector.all_keys || selector.keys.iter().any(every);
        reads_all && allows_request(selector, asked)
    })
}

/// Whether a selector allows a request as a whole.
pub(super) fn allows_request(selector: &Selector, asked: &Asked<'_>) -> bool {
    check_selector(selector, asked).is_ok()
}

/// Whether one of the user's selectors allows a channel. A pattern has to be allowed literally.
pub fn allows_channel(user: &User, channel: &[u8], is_pattern: bool) -> bool {
    user.all_selectors().any(|selector| selector_allows_channel(selector, channel, is_pattern))
}

fn check_selector(selector: &Selector, asked: &Asked<'_>) -> Result<(), Denied> {
    let denied = |reason, argument| Err(Denied { reason, argument });
    let &Asked { entry, arguments, keys, .. } = asked;
    if !selector.all_databases
        && let Some(argument) = forbidden_database(selector, asked)
    {
        return denied(Reason::Database, argument);
    }
    if !entry.spec.flags.has(Flags::NO_AUTH) && !selector.allows_command(entry.id, arguments.get(1).copied())
    {
        return denied(Reason::Command, 0);
    }
    if !selector.all_keys {
        let mut keys = keys.iter().filter(|key| key.flags & KeySpec::NOT_KEY == 0);
        if let Some(key) = keys.find(|key| !allows_key(selector, arguments[key.argument], key.flags)) {
            return denied(Reason::Key, key.argument);
        }
    }
    if !selector.all_channels {
        let (channels, are_patterns) = match entry.spec.channels {
            Channels::None => (0..0, false),
            Channels::At(index) => (index..index + 1, false),
            Channels::From(index) => (index..arguments.len(), false),
            Channels::Patterns(index) => (index..arguments.len(), true),
        };
        for index in channels {
            if !selector_allows_channel(selector, arguments[index], are_patterns) {
                return denied(Reason::Channel, index);
            }
        }
    }
    Ok(())
}

fn allows_key(selector: &Selector, key: &[u8], flags: u16) -> bool {
    let mut needed = 0;
    if flags & KeySpec::ACCESS != 0 {
        needed |= READ;
    }
    if flags & (KeySpec::INSERT | KeySpec::DELETE | KeySpec::UPDATE) != 0 {
        needed |= WRITE;
    }
    let mut patterns = selector.keys.iter().filter(|pattern| pattern.access & needed == needed);
    patterns.any(|pattern| glob::matches(&pattern.pattern, key, false))
}

fn selector_allows_channel(selector: &Selector, channel: &[u8], is_pattern: bool) -> bool {
    let allows = |allowed: &[u8]| {
        if is_pattern { allowed == channel } else { glob::matches(allowed, channel, false) }
    };
    selector.all_channels || selector.channels.iter().any(|allowed| allows(allowed))
}

/// Index of the argument that names a forbidden database; 0 for the selected one.
fn forbidden_database(selector: &Selector, asked: &Asked<'_>) -> Option<usize> {
    let allows = |database: usize| {
        u32::try_from(database).is_ok_and(|database| selector.databases.contains(&database))
    };
    let command = &asked.entry.spec;
    if let Some(named) = command.databases {
        let mut databases = SmallVec::new();
        named(asked.arguments, &mut databases);
        // Numbers that are no database are left to the command to refuse.
        let mut there = databases.iter().filter(|(database, _)| *database < asked.database_count);
        if let Some((_, argument)) = there.find(|(database, _)| !allows(*database)) {
            return Some(*argument);
        }
    }
    let forbidden = if command.flags.has(Flags::ALL_DATABASES) {
        !(0..asked.database_count).all(allows)
    } else {
        works_on_a_database(asked.entry) && !allows(asked.database)
    };
    forbidden.then_some(0)
}

/// Whether a command depends on the selected database: it touches keys, or the keyspace without naming a
/// database.
fn works_on_a_database(entry: &Entry) -> bool {
    let command = &entry.spec;
    if command.databases.is_some() && command.keys.is_empty() {
        return false;
    }
    command.flags.intersects(Flags::READONLY.and(Flags::WRITE))
        || command.categories.contains(&Category::Keyspace)
        || command.keys.iter().any(|spec| spec.flags & KeySpec::NOT_KEY == 0)
}
