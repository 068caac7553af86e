//! The rules of ACL SETUSER and of users' files, one a word.

use std::sync::Arc;

use thiserror::Error;

use super::check::{READ, WRITE};
use super::password::PasswordHash;
use super::role::{Role, Roles};
use super::selector::{KeyPattern, Selector};
use super::user::User;
use crate::command::args;
use crate::command::spec::Category;
use crate::command::table::{CommandTable, Entry};

/// Why a rule is refused; the text is for the client.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RuleError {
    #[error("Syntax error")]
    Syntax,
    #[error("Unknown command or category name in ACL")]
    Unknown,
    #[error("Allowing first-arg of a subcommand is not supported")]
    FirstArgumentOfSubcommand,
    #[error(
        "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns"
    )]
    KeyAfterAllKeys,
    #[error(
        "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels"
    )]
    ChannelAfterAllChannels,
    #[error("The provided database ID is out of range")]
    DatabaseOutOfRange,
    #[error(
        "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
    )]
    NotAHash,
    #[error("The role does not exist")]
    NoSuchRole,
    #[error("The rule is for users, a role has no such thing")]
    OnlyForUsers,
    #[error("The password you are trying to remove from the user does not exist")]
    NoSuchPassword,
}

/// What rules are read with: the table of commands and a default.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// Command table in which names and categories are looked up.
    pub commands: &'a CommandTable,
    /// `acl-pubsub-default`: new users may use all channels.
    pub all_channels: bool,
    /// Roles that users can be given.
    pub roles: &'a Roles,
}

/// Whether a name or pattern has blanks or other characters that would end it in a file.
pub fn has_blanks(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0))
}

/// The name in `role=name`.
fn role_of(rule: &[u8]) -> Option<&[u8]> {
    const WORD: &[u8] = b"role=";
    rule.split_at_checked(WORD.len())
        .filter(|(word, _)| word.eq_ignore_ascii_case(WORD))
        .map(|(_, name)| name)
}

/// Joins the words of each selector, which begins with `(` and ends with `)`, to one word.
///
/// # Errors
/// The first word of a selector that does not end.
pub fn join_selectors<W: AsRef<[u8]>>(words: &[W]) -> Result<Vec<Vec<u8>>, Vec<u8>> {
    let mut joined: Vec<Vec<u8>> = Vec::new();
    let mut open: Option<(Vec<u8>, &[u8])> = None;
    for word in words {
        let word = word.as_ref();
        let ends = word.ends_with(b")");
        match open.take() {
            None if word.starts_with(b"(") && !ends => open = Some((word.to_vec(), word)),
            None => joined.push(word.to_vec()),
            Some((mut selector, first)) => {
                selector.push(b' ');
                selector.extend_from_slice(word);
                if ends {
                    joined.push(selector);
                } else {
                    open = Some((selector, first));
                }
            }
        }
    }
    open.map_or(Ok(joined), |(_, first)| Err(first.to_vec()))
}

/// The rule with passwords replaced, for showing.
pub fn without_passwords(rule: &[u8]) -> Vec<u8> {
    let shown = rule.split(|&byte| byte == b' ').map(|word| {
        let start = word.iter().take_while(|&&byte| byte == b'(').count();
        match word.get(start) {
            Some(b'<' | b'>') => {
                let end: &[u8] = if start > 0 && word.ends_with(b")") { b")" } else { b"" };
                [&word[..=start], b"***", end].concat()
            }
            _ => word.to_vec(),
        }
    });
    shown.collect::<Vec<_>>().join(&b' ')
}

impl Rules<'_> {
    /// A new user: switched off, without any permission.
    pub fn new_user(&self, name: &[u8], id: u64) -> User {
        User::new(name, id, self.new_selector())
    }

    fn new_selector(&self) -> Selector {
        let mut selector = Selector::nothing(self.commands.entries().len());
        selector.all_channels = self.all_channels;
        selector
    }

    /// Applies one rule to a user.
    ///
    /// # Errors
    /// What is wrong with the rule. The user may be changed in part then.
    pub fn apply(&self, user: &mut User, rule: &[u8]) -> Result<(), RuleError> {
        if args::is(rule, "ON") {
            user.enabled = true;
        } else if args::is(rule, "OFF") {
            user.enabled = false;
        } else if args::is(rule, "NOPASS") {
            user.set_only_password(b"");
        } else if args::is(rule, "RESETPASS") {
            user.passwords.clear();
            user.needs_no_password = false;
        } else if args::is(rule, "CLEARSELECTORS") {
            user.selectors.clear();
        } else if args::is(rule, "RESETROLES") {
            user.roles.clear();
        } else if args::is(rule, "RESET") {
            *user = self.new_user(&user.name, user.id);
        } else if args::is(rule, "SANITIZE-PAYLOAD") || args::is(rule, "SKIP-SANITIZE-PAYLOAD") {
            // Payloads are always checked: there is nothing to skip.
        } else {
            return match rule {
                [] => Ok(()),
                [b'>', password @ ..] => add_password(user, PasswordHash::of(password)),
                [b'#', hash @ ..] => add_password(user, hash_of(hash)?),
                [b'<', password @ ..] => remove_password(user, PasswordHash::of(password)),
                [b'!', hash @ ..] => remove_password(user, hash_of(hash)?),
                [b'(', inner @ .., b')'] => {
                    user.selectors.push(self.selector_of(inner)?);
                    Ok(())
                }
                _ if let Some(name) = role_of(rule) => self.give_role(user, name),
                _ => self.apply_to_selector(&mut user.root, rule),
            };
        }
        Ok(())
    }

    /// Applies one rule to a role.
    ///
    /// # Errors
    /// What is wrong with the rule. The role may be changed in part then.
    pub fn apply_to_role(&self, role: &mut Role, rule: &[u8]) -> Result<(), RuleError> {
        const OF_USERS: [&str; 8] = [
            "ON",
            "OFF",
            "NOPASS",
            "RESETPASS",
            "RESET",
            "RESETROLES",
            "SANITIZE-PAYLOAD",
            "SKIP-SANITIZE-PAYLOAD",
        ];
        match rule {
            [] => Ok(()),
            [b'>' | b'<' | b'#' | b'!', ..] => Err(RuleError::OnlyForUsers),
            _ if OF_USERS.iter().any(|word| args::is(rule, word)) || role_of(rule).is_some() => {
                Err(RuleError::OnlyForUsers)
            }
            _ if args::is(rule, "CLEARSELECTORS") => {
                role.selectors.clear();
                Ok(())
            }
            [b'(', inner @ .., b')'] => {
                role.selectors.push(self.selector_of(inner)?);
                Ok(())
            }
            _ => self.apply_to_selector(&mut role.root, rule),
        }
    }

    /// Gives a user a role, once.
    fn give_role(&self, user: &mut User, name: &[u8]) -> Result<(), RuleError> {
        let role = self.roles.get(name).ok_or(RuleError::NoSuchRole)?;
        if !user.holds(name) {
            user.roles.push(Arc::clone(role));
        }
        Ok(())
    }

    /// The selector that stands within parentheses.
    fn selector_of(&self, inner: &[u8]) -> Result<Selector, RuleError> {
        let mut selector = self.new_selector();
        let words = inner.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
        words.into_iter().try_for_each(|word| self.apply_to_selector(&mut selector, word))?;
        Ok(selector)
    }

    /// Whether a command or a category has this name, which a role then cannot have.
    pub fn is_taken(&self, name: &[u8]) -> bool {
        self.commands.by_full_name(name).is_some() || category(name).is_some()
    }

    fn apply_to_selector(&self, selector: &mut Selector, rule: &[u8]) -> Result<(), RuleError> {
        if args::is(rule, "ALLKEYS") || rule == b"~*" {
            selector.all_keys = true;
            selector.keys.clear();
        } else if args::is(rule, "RESETKEYS") {
            selector.all_keys = false;
            selector.keys.clear();
        } else if args::is(rule, "ALLCHANNELS") || rule == b"&*" {
            selector.all_channels = true;
            selector.channels.clear();
        } else if args::is(rule, "RESETCHANNELS") {
            selector.all_channels = false;
            selector.channels.clear();
        } else if args::is(rule, "ALLCOMMANDS") || args::is(rule, "+@ALL") {
            selector.set_all_commands(true);
        } else if args::is(rule, "NOCOMMANDS") || args::is(rule, "-@ALL") {
            selector.set_all_commands(false);
        } else if args::is(rule, "ALLDBS") {
            selector.all_databases = true;
            selector.databases.clear();
        } else if args::is(rule, "RESETDBS") {
            selector.all_databases = false;
            selector.databases.clear();
        } else {
            return match rule {
                [b'~' | b'%', ..] => add_key_pattern(selector, rule),
                [b'&', pattern @ ..] => add_channel(selector, pattern),
                [b'+', b'@', name @ ..] => self.set_category(selector, name, true),
                [b'-', b'@', name @ ..] => self.set_category(selector, name, false),
                [b'+', name @ ..] => self.allow_command(selector, name),
                [b'-', name @ ..] => {
                    let entry = self.commands.by_full_name(name).ok_or(RuleError::Unknown)?;
                    self.set_command(selector, entry, false);
                    selector.note_command_rule(false, entry.full_name.as_bytes());
                    Ok(())
                }
                [d, b, b'=', list @ ..] if [*d, *b].eq_ignore_ascii_case(b"db") => {
                    set_databases(selector, list)
                }
                _ => Err(RuleError::Syntax),
            };
        }
        Ok(())
    }

    fn allow_command(&self, selector: &mut Selector, name: &[u8]) -> Result<(), RuleError> {
        let Some(bar) = name.iter().rposition(|&byte| byte == b'|') else {
            let entry = self.commands.by_full_name(name).ok_or(RuleError::Unknown)?;
            self.set_command(selector, entry, true);
            selector.note_command_rule(true, entry.full_name.as_bytes());
            return Ok(());
        };
        let (container, word) = (&name[..bar], &name[bar + 1..]);
        let entry = self.commands.by_full_name(container).ok_or(RuleError::Unknown)?;
        if container.contains(&b'|') {
            return Err(RuleError::FirstArgumentOfSubcommand);
        }
        if word.is_empty() {
            return Err(RuleError::Syntax);
        }
        let is_known = self.commands.by_full_name(name).is_some();
        if entry.subcommands.is_empty() || (entry.spec.is_whole && !is_known) {
            selector.add_first_argument(entry.id, word);
        } else {
            let entry = self.commands.by_full_name(name).ok_or(RuleError::Unknown)?;
            self.set_command(selector, entry, true);
        }
        selector.note_command_rule(true, name);
        Ok(())
    }

    /// Allows or forbids a command with its subcommands.
    fn set_command(&self, selector: &mut Selector, entry: &Entry, allowed: bool) {
        selector.set_command(entry.id, allowed);
        entry.subcommands.clone().for_each(|id| selector.set_command(id, allowed));
    }

    fn set_category(&self, selector: &mut Selector, name: &[u8], allowed: bool) -> Result<(), RuleError> {
        let category = category(name).ok_or(RuleError::Unknown)?;
        for entry in self.commands.entries() {
            if entry.spec.all_categories().contains(&category) {
                self.set_command(selector, entry, allowed);
            }
        }
        selector.note_command_rule(allowed, format!("@{}", category.name()).as_bytes());
        Ok(())
    }
}

/// The category of this name, in any case.
pub fn category(name: &[u8]) -> Option<Category> {
    Category::ALL.into_iter().find(|category| name.eq_ignore_ascii_case(category.name().as_bytes()))
}

fn hash_of(text: &[u8]) -> Result<PasswordHash, RuleError> {
    PasswordHash::from_hex(text).ok_or(RuleError::NotAHash)
}

fn add_password(user: &mut User, password: PasswordHash) -> Result<(), RuleError> {
    user.needs_no_password = false;
    if !user.passwords.contains(&password) {
        user.passwords.push(password);
    }
    Ok(())
}

fn remove_password(user: &mut User, password: PasswordHash) -> Result<(), RuleError> {
    let place = user.passwords.iter().position(|known| *known == password);
    user.passwords.remove(place.ok_or(RuleError::NoSuchPassword)?);
    Ok(())
}

/// Adds `~pattern`, or `%R~pattern` with the letters R and W, each at most once.
fn add_key_pattern(selector: &mut Selector, rule: &[u8]) -> Result<(), RuleError> {
    if selector.all_keys {
        return Err(RuleError::KeyAfterAllKeys);
    }
    let (access, pattern) = match rule {
        [b'%', rest @ ..] => {
            let end = rest.iter().position(|&byte| byte == b'~').unwrap_or(rest.len());
            let mut access = 0;
            for letter in &rest[..end] {
                let bit = match letter.to_ascii_uppercase() {
                    b'R' => READ,
                    b'W' => WRITE,
                    _ => return Err(RuleError::Syntax),
                };
                if access & bit != 0 {
                    return Err(RuleError::Syntax);
                }
                access |= bit;
            }
            (access, rest.get(end + 1..).unwrap_or_default())
        }
        _ => (READ | WRITE, &rule[1..]),
    };
    if access == 0 || has_blanks(pattern) {
        return Err(RuleError::Syntax);
    }
    match selector.keys.iter_mut().find(|known| *known.pattern == *pattern) {
        Some(known) => known.access |= access,
        None => selector.keys.push(KeyPattern { access, pattern: pattern.into() }),
    }
    if selector.keys.iter().any(|known| *known.pattern == *b"*" && known.access == READ | WRITE) {
        // Two rules together give the same as `~*`, and are written as that: nothing may follow it when the
        // rules are read again.
        selector.all_keys = true;
        selector.keys.clear();
    }
    Ok(())
}

fn add_channel(selector: &mut Selector, pattern: &[u8]) -> Result<(), RuleError> {
    if selector.all_channels {
        return Err(RuleError::ChannelAfterAllChannels);
    }
    if has_blanks(pattern) {
        return Err(RuleError::Syntax);
    }
    if !selector.channels.iter().any(|known| **known == *pattern) {
        selector.channels.push(pattern.into());
    }
    Ok(())
}

/// Sets the allowed databases: numbers with commas between them.
fn set_databases(selector: &mut Selector, list: &[u8]) -> Result<(), RuleError> {
    let mut databases = std::collections::BTreeSet::new();
    for number in list.split(|&byte| byte == b',') {
        databases.insert(database(number)?);
    }
    selector.all_databases = false;
    selector.databases = databases;
    Ok(())
}

fn database(text: &[u8]) -> Result<u32, RuleError> {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(RuleError::Syntax);
    }
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<i32>().ok());
    match number {
        Some(number) if !negative || number == 0 => Ok(number.unsigned_abs()),
        _ => Err(RuleError::DatabaseOutOfRange),
    }
}
