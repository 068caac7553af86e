//! A user and its permissions.

use std::sync::Arc;

use super::password::PasswordHash;
use super::role::Role;
use super::selector::Selector;

/// Name of the user that new connections have.
pub const DEFAULT_USER: &[u8] = b"default";

/// A user. Never changes: a change makes another `User` with the same number.
#[derive(Clone, Debug)]
pub struct User {
    /// The user's name.
    pub name: Box<[u8]>,
    /// Number of the user. A name may be used again, a number is not.
    pub id: u64,
    /// Whether clients may authenticate as this user (`on`).
    pub enabled: bool,
    /// Whether any password is accepted (`nopass`).
    pub needs_no_password: bool,
    /// Hashes of the accepted passwords.
    pub passwords: Vec<PasswordHash>,
    /// Permissions of the user itself.
    pub root: Selector,
    /// Further selectors: one of them has to allow a request as a whole.
    pub selectors: Vec<Selector>,
    /// Roles whose permissions the user has beside its own, each once.
    pub roles: Vec<Arc<Role>>,
}

impl User {
    /// A user that is switched off and has one selector.
    pub fn new(name: &[u8], id: u64, root: Selector) -> Self {
        Self {
            name: name.into(),
            id,
            enabled: false,
            needs_no_password: false,
            passwords: Vec::new(),
            root,
            selectors: Vec::new(),
            roles: Vec::new(),
        }
    }

    /// A user that may do everything and needs no password.
    pub fn everything(name: &[u8], id: u64, commands: usize) -> Self {
        let root = Selector::everything(commands);
        Self { enabled: true, needs_no_password: true, ..Self::new(name, id, root) }
    }

    /// Whether clients get this user without a password.
    pub fn is_open(&self) -> bool {
        self.enabled && self.needs_no_password
    }

    /// Whether every request is allowed, so that none need be checked.
    pub fn is_unrestricted(&self) -> bool {
        let roots = std::iter::once(&self.root).chain(self.roles.iter().map(|role| &role.root));
        roots
            .into_iter()
            .any(|root| root.every_command && root.all_keys && root.all_channels && root.all_databases)
    }

    /// All selectors, the root first, those of roles last.
    pub fn all_selectors(&self) -> impl Iterator<Item = &Selector> {
        let of_roles = self.roles.iter().flat_map(|role| role.all_selectors());
        std::iter::once(&self.root).chain(&self.selectors).chain(of_roles)
    }

    /// Whether the user holds the role of this name.
    pub fn holds(&self, role: &[u8]) -> bool {
        self.roles.iter().any(|held| *held.name == *role)
    }

    /// Whether this password is accepted.
    pub fn admits(&self, password: &[u8]) -> bool {
        let is_known = PasswordHash::of(password).is_among(&self.passwords);
        self.enabled && (self.needs_no_password || is_known)
    }

    /// Makes this the only password; if it is empty, none is needed.
    pub fn set_only_password(&mut self, password: &[u8]) {
        self.passwords.clear();
        self.needs_no_password = password.is_empty();
        if !password.is_empty() {
            self.passwords.push(PasswordHash::of(password));
        }
    }

    /// The rules that make this user, in one line. Passwords are hashes.
    pub fn describe(&self) -> Vec<u8> {
        let mut line = if self.enabled { b"on ".to_vec() } else { b"off ".to_vec() };
        if self.needs_no_password {
            line.extend_from_slice(b"nopass ");
        }
        for password in &self.passwords {
            line.extend_from_slice(format!("#{} ", password.hex()).as_bytes());
        }
        for role in &self.roles {
            line.extend_from_slice(&[b"role=".as_slice(), &role.name, b" "].concat());
        }
        line.extend_from_slice(&self.root.describe());
        for selector in &self.selectors {
            line.extend_from_slice(b" (");
            line.extend_from_slice(&selector.describe());
            line.push(b')');
        }
        line
    }

    /// The line of a file that makes this user, without its end.
    pub fn line(&self) -> Vec<u8> {
        [b"user ".as_slice(), &self.name, b" ", &self.describe()].concat()
    }
}
