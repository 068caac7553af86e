//! Access control: users, what they may do, and what was refused to them. Knows the table of commands, but no
//! sockets.

pub mod check;
pub mod file;
pub mod guesses;
pub mod log;
pub mod password;
pub mod readable;
pub mod role;
pub mod rules;
pub mod selector;
#[cfg(test)]
mod tests;
pub mod user;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use guesses::Guesses;
use log::Log;
use role::{Role, Roles};
use rules::{RuleError, Rules};
use user::{DEFAULT_USER, User};

/// The users of a server.
#[derive(Debug)]
pub struct Acl {
    users: RwLock<Users>,
    /// Counts changes of users. A connection that keeps a user looks it up again when the number has grown.
    generation: AtomicU64,
    /// Refused requests (ACL LOG).
    pub log: Mutex<Log>,
    /// Wrong passwords of the last minute, by address.
    pub guesses: Mutex<Guesses>,
}

/// Users and roles by name. The default user is always among them.
#[derive(Clone, Debug)]
pub struct Users {
    /// Roles that users hold or can be given.
    pub roles: Roles,
    by_name: BTreeMap<Box<[u8]>, Arc<User>>,
    next_id: u64,
}

/// A user that was made or changed.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The user before the change; `None` if it is new.
    pub before: Option<Arc<User>>,
    /// The user after the change.
    pub now: Arc<User>,
}

/// A rule that cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongRule {
    /// Index of the rule.
    pub index: usize,
    /// What is wrong with it.
    pub error: RuleError,
}

impl Users {
    /// The default user alone, with this password: it may do everything.
    pub fn new(commands: usize, default_password: &[u8]) -> Self {
        let mut default = User::everything(DEFAULT_USER, 0, commands);
        default.set_only_password(default_password);
        let by_name = BTreeMap::from([(default.name.clone(), Arc::new(default))]);
        Self { roles: Roles::new(), by_name, next_id: 1 }
    }

    /// The user of this name.
    pub fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.by_name.get(name)
    }

    /// The user that clients are at first.
    pub fn default_user(&self) -> &Arc<User> {
        &self.by_name[DEFAULT_USER]
    }

    /// All of them in the order of their names.
    pub fn all(&self) -> impl Iterator<Item = &Arc<User>> {
        self.by_name.values()
    }

    /// The user of this name, or a new one that may do nothing yet.
    pub fn get_or_new(&mut self, name: &[u8], rules: &Rules<'_>) -> User {
        match self.by_name.get(name) {
            Some(user) => User::clone(user),
            None => {
                self.next_id += 1;
                rules.new_user(name, self.next_id - 1)
            }
        }
    }

    /// Puts a user in the place of the one that has its name.
    pub fn put(&mut self, user: User) -> Arc<User> {
        let user = Arc::new(user);
        self.by_name.insert(user.name.clone(), Arc::clone(&user));
        user
    }

    /// Puts a role in the place of the one that has its name, also for the users that hold it. Returns those.
    pub fn put_role(&mut self, role: Role) -> Vec<Changed> {
        let role = Arc::new(role);
        self.roles.insert(role.name.clone(), Arc::clone(&role));
        let holders: Vec<Arc<User>> = self.all().filter(|user| user.holds(&role.name)).cloned().collect();
        let give = |before: Arc<User>| {
            let mut now = User::clone(&before);
            now.roles
                .iter_mut()
                .filter(|held| held.name == role.name)
                .for_each(|held| *held = Arc::clone(&role));
            Changed { before: Some(before), now: self.put(now) }
        };
        holders.into_iter().map(give).collect()
    }

    /// Takes a user away; the default user stays.
    pub fn remove(&mut self, name: &[u8]) -> Option<Arc<User>> {
        if name == DEFAULT_USER { None } else { self.by_name.remove(name) }
    }
}

impl Acl {
    /// With the default user alone.
    pub fn new(commands: usize, default_password: &[u8]) -> Self {
        Self {
            users: RwLock::new(Users::new(commands, default_password)),
            generation: AtomicU64::new(1),
            log: Mutex::default(),
            guesses: Mutex::default(),
        }
    }

    /// See the field.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// The user of this name.
    pub fn user(&self, name: &[u8]) -> Option<Arc<User>> {
        self.users.read().get(name).cloned()
    }

    /// The user that clients are at first.
    pub fn default_user(&self) -> Arc<User> {
        Arc::clone(self.users.read().default_user())
    }

    /// All users in the order of their names.
    pub fn all_users(&self) -> Vec<Arc<User>> {
        self.users.read().all().cloned().collect()
    }

    /// What has become of a user, and whether clients need no password to be the default user.
    pub fn present(&self, user: &User) -> (Option<Arc<User>>, bool) {
        let users = self.users.read();
        let present = users.get(&user.name).filter(|present| present.id == user.id);
        (present.cloned(), users.default_user().is_open())
    }

    /// Changes users, all or nothing: after an error all users are as before.
    ///
    /// # Errors
    /// Those of the change.
    pub fn change<T, E>(&self, change: impl FnOnce(&mut Users) -> Result<T, E>) -> Result<T, E> {
        let mut users = self.users.write();
        let mut changed = users.clone();
        let result = change(&mut changed)?;
        *users = changed;
        // A connection that sees the new number and then looks up its user waits for this lock.
        self.generation.fetch_add(1, Ordering::Release);
        Ok(result)
    }

    /// Removes users, but never the default one. Returns those that existed.
    pub fn remove(&self, names: &[&[u8]]) -> Vec<Arc<User>> {
        let mut users = self.users.write();
        let removed: Vec<_> = names.iter().filter_map(|name| users.remove(name)).collect();
        if !removed.is_empty() {
            self.generation.fetch_add(1, Ordering::Release);
        }
        removed
    }

    /// Gives the default user this password alone, or none if it is empty.
    pub fn set_default_password(&self, password: &[u8]) {
        let changed: Result<(), std::convert::Infallible> = self.change(|users| {
            let mut default = User::clone(users.default_user());
            default.set_only_password(password);
            users.put(default);
            Ok(())
        });
        let Ok(()) = changed;
    }

    /// Applies rules to a user, who is made if there is none of that name.
    ///
    /// # Errors
    /// Which rule is wrong; then nothing has changed.
    pub fn set_user(&self, name: &[u8], words: &[Vec<u8>], rules: &Rules<'_>) -> Result<Changed, WrongRule> {
        // One user is put in place when all rules were right, so no copy of the others is needed to go back
        // to.
        let mut users = self.users.write();
        let before = users.get(name).cloned();
        let mut user = users.get_or_new(name, rules);
        let rules = Rules { roles: &users.roles, ..*rules };
        for (index, word) in words.iter().enumerate() {
            rules.apply(&mut user, word).map_err(|error| WrongRule { index, error })?;
        }
        let now = users.put(user);
        self.generation.fetch_add(1, Ordering::Release);
        Ok(Changed { before, now })
    }

    /// All roles in the order of their names.
    pub fn roles(&self) -> Roles {
        self.users.read().roles.clone()
    }

    /// Has these roles, and no others, beside its users, of whom none holds one.
    pub fn take_roles(&self, roles: Roles) {
        self.users.write().roles = roles;
    }

    /// Applies rules to a role, which is made if there is none of that name. Returns the users that hold it.
    ///
    /// # Errors
    /// Which rule is wrong; then nothing has changed.
    pub fn set_role(
        &self,
        name: &[u8],
        words: &[Vec<u8>],
        rules: &Rules<'_>,
    ) -> Result<Vec<Changed>, WrongRule> {
        let mut users = self.users.write();
        let mut role = match users.roles.get(name) {
            Some(role) => Role::clone(role),
            None => Role::new(name, rules.commands.entries().len()),
        };
        for (index, word) in words.iter().enumerate() {
            rules.apply_to_role(&mut role, word).map_err(|error| WrongRule { index, error })?;
        }
        let changed = users.put_role(role);
        self.generation.fetch_add(1, Ordering::Release);
        Ok(changed)
    }

    /// Removes roles, all of them or none. Returns how many there were.
    ///
    /// # Errors
    /// The first of them that a user holds.
    pub fn remove_roles<'n>(&self, names: &[&'n [u8]]) -> Result<usize, &'n [u8]> {
        let mut users = self.users.write();
        if let Some(held) = names.iter().find(|name| users.all().any(|user| user.holds(name))) {
            return Err(held);
        }
        Ok(names.iter().filter(|name| users.roles.remove(**name).is_some()).count())
    }
}
