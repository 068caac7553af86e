//! Roles: permissions with a name, which any number of users hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::selector::Selector;

/// A role. Never changes: a change makes another `Role`, which its users are given.
#[derive(Clone, Debug)]
pub struct Role {
    /// The role's name.
    pub name: Box<[u8]>,
    /// Permissions of the role itself.
    pub root: Selector,
    /// Further selectors, as users have them.
    pub selectors: Vec<Selector>,
}

/// Roles by name.
pub type Roles = BTreeMap<Box<[u8]>, Arc<Role>>;

/// For rules that are read where there are no roles.
pub static NO_ROLES: Roles = Roles::new();

impl Role {
    /// A role without any permission. `commands` is the length of the command table.
    pub fn new(name: &[u8], commands: usize) -> Self {
        Self { name: name.into(), root: Selector::nothing(commands), selectors: Vec::new() }
    }

    /// All selectors, the root first.
    pub fn all_selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    /// The line of a file that makes this role, without its end.
    pub fn line(&self) -> Vec<u8> {
        let mut line = [b"role ".as_slice(), &self.name, b" ", &self.root.describe()].concat();
        for selector in &self.selectors {
            line.extend_from_slice(b" (");
            line.extend_from_slice(&selector.describe());
            line.push(b')');
        }
        line
    }
}
