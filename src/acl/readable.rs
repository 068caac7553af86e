//! [`ReadableKeys`]: the keys whose names a user may be told.

use std::collections::BTreeSet;

use super::check::{Asked, READ, allows_request};
use super::selector::Selector;
use super::user::User;
use crate::glob;

/// The keys whose names a user may be told by a command that tells of keys which its request does not name (KVARTS
/// BIGKEYS, HOTKEYS GET): those that the user might read if the request named them. One selector has to allow the
/// request, the key and its database.
#[derive(Clone, Debug, Default)]
pub struct ReadableKeys {
    allows: Vec<Allows>,
}

/// What one selector allows; `None` stands for all.
#[derive(Clone, Debug)]
struct Allows {
    patterns: Option<Vec<Box<[u8]>>>,
    databases: Option<BTreeSet<u32>>,
}

impl Allows {
    fn of(selector: &Selector) -> Self {
        let read = selector.keys.iter().filter(|key| key.access & READ != 0);
        let patterns: Vec<_> = read.map(|key| key.pattern.clone()).collect();
        let all_keys = selector.all_keys || patterns.iter().any(|pattern| **pattern == *b"*");
        Self {
            patterns: (!all_keys).then_some(patterns),
            databases: (!selector.all_databases).then(|| selector.databases.clone()),
        }
    }

    fn are_all(&self) -> bool {
        self.patterns.is_none() && self.databases.is_none()
    }

    fn has(&self, database: Option<usize>, key: &[u8]) -> bool {
        let number = database.and_then(|number| u32::try_from(number).ok());
        let has_database =
            |databases: &BTreeSet<u32>| number.is_some_and(|number| databases.contains(&number));
        self.databases.as_ref().is_none_or(has_database)
            && self
                .patterns
                .as_ref()
                .is_none_or(|patterns| patterns.iter().any(|pattern| glob::matches(pattern, key, false)))
    }
}

impl ReadableKeys {
    /// Every key of every database.
    pub fn every() -> Self {
        Self { allows: vec![Allows { patterns: None, databases: None }] }
    }

    /// Those that a user may be told in the reply to a request.
    pub fn of(user: &User, asked: &Asked<'_>) -> Self {
        Self::of_selectors(user.all_selectors().filter(|selector| allows_request(selector, asked)))
    }

    /// Those that a user may read with whatever commands.
    pub fn of_user(user: &User) -> Self {
        Self::of_selectors(user.all_selectors())
    }

    fn of_selectors<'s>(selectors: impl Iterator<Item = &'s Selector>) -> Self {
        Self { allows: selectors.map(Allows::of).collect() }
    }

    /// Whether it is every key of every database.
    pub fn are_all(&self) -> bool {
        self.allows.iter().any(Allows::are_all)
    }

    /// Whether a key is among them; where its database is not known, whether it is in all databases.
    pub fn has(&self, database: Option<usize>, key: &[u8]) -> bool {
        self.allows.iter().any(|allows| allows.has(database, key))
    }
}
