//! A user.

use super::password::PasswordHash;
use super::selector::Selector;

/// The name of the user that clients are at first.
pub const DEFAULT_USER: &[u8] = b"default";

/// A user as it is at one time. A change makes another one with the same number.
#[derive(Clone, Debug)]
pub struct User {
    /// Its name.
    pub name: Box<[u8]>,
    /// Its number: a name may come again, a number does not.
    pub id: u64,
    /// Whether clients may become this user.
    pub enabled: bool,
    /// Whether any password is right.
    pub needs_no_password: bool,
    /// The passwords that are right.
    pub passwords: Vec<PasswordHash>,
    /// What it may do.
    pub root: Selector,
    /// What else it may do: a request has to be allowed by one of them as a whole.
    pub selectors: Vec<Selector>,
}

impl User {
    /// One that is switched off and may do what the selector says.
    pub fn new(name: &[u8], id: u64, root: Selector) -> Self {
        Self {
            name: name.into(),
            id,
            enabled: false,
            needs_no_password: false,
            passwords: Vec::new(),
            root,
            selectors: Vec::new(),
        }
    }

    /// One that may do everything and needs no password.
    pub fn everything(name: &[u8], id: u64, commands: usize) -> Self {
        let root = Selector::everything(commands);
        Self { enabled: true, needs_no_password: true, ..Self::new(name, id, root) }
    }

    /// Whether everybody may be this user without a password.
    pub fn is_open(&self) -> bool {
        self.enabled && self.needs_no_password
    }

    /// Whether no request need be looked at.
    pub fn is_unrestricted(&self) -> bool {
        let Selector { every_command, all_keys, all_channels, all_databases, .. } = self.root;
        every_command && all_keys && all_channels && all_databases
    }

    /// The root and the others.
    pub fn all_selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    /// Whether a client that knows this password may become this user.
    pub fn admits(&self, password: &[u8]) -> bool {
        let is_known = PasswordHash::of(password).is_among(&self.passwords);
        self.enabled && (self.needs_no_password || is_known)
    }

    /// Leaves this password alone; if it is empty, none is needed.
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
