//! [`Rights`]: which user a client is, and the checks of requests against that user. Also what follows when
//! users change: clients logged out, subscribers cut, the file rewritten.

use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use super::Server;
use super::client::Client;
use crate::acl::check::{Asked, Denied, Reason, check, reads_every_key};
use crate::acl::log::{Place, Refusal};
use crate::acl::readable::ReadableKeys;
use crate::acl::role::NO_ROLES;
use crate::acl::rules::Rules;
use crate::acl::user::User;
use crate::acl::{Acl, WrongRule, check, file};
use crate::command::keys::{KeyPosition, for_each_key_with_access};
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::config::{Directive, RewriteError};
use crate::error::CommandError;
use crate::shared::client::SharedClient;
use crate::shared::stats::Counter;
use crate::worker;

/// A connection's copy of its user, with a cached answer to whether that user may do everything.
#[derive(Debug)]
pub struct Rights {
    /// The user as it was when last looked at.
    pub user: Arc<User>,
    /// The generation of users that it was looked at in.
    generation: u64,
    /// The generation of users in which the client may do everything; 0 for none. One comparison with the
    /// present generation lets a request of such a client pass.
    free_in: u64,
    /// Whether the client has to authenticate first.
    barred: bool,
}

impl Rights {
    /// Makes the rights of a user whose rules were not looked at yet.
    pub fn new(user: Arc<User>) -> Self {
        Self { user, generation: 0, free_in: 0, barred: true }
    }

    /// Returns whether the user may do everything in the server's present generation of users; one
    /// comparison.
    #[inline]
    pub fn is_free(&self, server: &Server) -> bool {
        self.free_in == server.acl.generation()
    }

    /// Lets everything pass in the present generation of users.
    pub fn free_now(&mut self, server: &Server) {
        self.free_in = server.acl.generation();
    }

    /// Whether the client has to authenticate first.
    pub fn is_barred(&self) -> bool {
        self.barred
    }
}

impl Server {
    /// Checks whether the client's user may make this request.
    ///
    /// # Errors
    /// What it is told if not; that is logged and counted.
    #[inline]
    pub fn permit(
        &self,
        client: &mut Client,
        entry: &Entry,
        arguments: &[&[u8]],
        place: Place,
    ) -> Result<(), CommandError> {
        if client.rights.is_free(self) {
            return Ok(());
        }
        self.permit_or(client, entry, arguments, place, |user, entry, denied| {
            format!("NOPERM {}", Self::denial_text(user, entry, denied))
        })
    }

    /// [`permit`](Self::permit) for a request of a transaction that runs now, which was permitted when it
    /// came.
    ///
    /// # Errors
    /// What the client is told if it is not any more.
    pub fn permit_queued(
        &self,
        client: &mut Client,
        entry: &Entry,
        arguments: &[&[u8]],
    ) -> Result<(), CommandError> {
        self.permit_or(client, entry, arguments, Place::Transaction, |_, _, denied| {
            let reason = match denied.reason {
                Reason::Command => "no permission to execute the command or subcommand",
                Reason::Key => "no permission to touch the specified keys",
                Reason::Channel => "no permission to access one of the channels used as arguments",
                Reason::Database | Reason::Auth | Reason::Certificate => "no permission",
            };
            format!(
                "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: {reason}"
            )
        })
    }

    /// [`permit`](Self::permit) for a command that a script calls.
    ///
    /// # Errors
    /// What the script is told if not.
    pub fn permit_in_script(
        &self,
        client: &mut Client,
        entry: &Entry,
        arguments: &[&[u8]],
    ) -> Result<(), CommandError> {
        self.permit_or(client, entry, arguments, Place::Script, |user, entry, denied| {
            format!("ERR ACL failure in script: {}", Self::denial_text(user, entry, denied))
        })
    }

    /// Whether a client has to authenticate before it may do anything else.
    pub(super) fn is_barred(&self, client: &mut Client) -> bool {
        if client.rights.is_free(self) || client.is_loader {
            return false;
        }
        self.look_at_rights(client);
        client.rights.barred
    }

    fn permit_or(
        &self,
        client: &mut Client,
        entry: &Entry,
        arguments: &[&[u8]],
        place: Place,
        text: impl FnOnce(&User, &Entry, Denied) -> String,
    ) -> Result<(), CommandError> {
        if client.rights.is_free(self) || client.is_loader {
            return Ok(());
        }
        if self.is_barred(client) && !entry.spec.flags.has(Flags::NO_AUTH) {
            return Err(CommandError::NoAuth);
        }
        self.examine(client, entry, arguments).map_err(|denied| {
            self.denied(client, entry, arguments, place, denied);
            CommandError::new(text(&client.rights.user, entry, denied))
        })
    }

    /// Checks a request as [`permit`](Self::permit) does, but neither counts nor logs a refusal.
    ///
    /// # Errors
    /// Why not.
    pub fn examine(&self, client: &Client, entry: &Entry, arguments: &[&[u8]]) -> Result<(), Denied> {
        let user = &client.rights.user;
        let queued = client.transaction.as_ref().and_then(|transaction| transaction.database);
        let database = queued.unwrap_or(client.database);
        self.with_asked(entry, arguments, database, |asked| check(user, asked))
    }

    /// [`examine`](Self::examine) for any user.
    ///
    /// # Errors
    /// Why not.
    pub fn examine_user(
        &self,
        user: &User,
        entry: &Entry,
        arguments: &[&[u8]],
        database: usize,
    ) -> Result<(), Denied> {
        self.with_asked(entry, arguments, database, |asked| check(user, asked))
    }

    /// Returns whether the client may read keys whose names a request makes up (SORT's patterns).
    pub fn may_read_every_key(&self, client: &mut Client, entry: &Entry, arguments: &[&[u8]]) -> bool {
        if client.rights.is_free(self) {
            return true;
        }
        self.look_at_rights(client);
        let user = &client.rights.user;
        self.with_asked(entry, arguments, client.database, |asked| reads_every_key(user, asked))
    }

    /// The keys whose names the client may be told in the reply to a request that does not name them.
    pub fn readable_keys(&self, client: &mut Client, entry: &Entry, arguments: &[&[u8]]) -> ReadableKeys {
        if client.rights.is_free(self) {
            return ReadableKeys::every();
        }
        self.look_at_rights(client);
        let user = &client.rights.user;
        self.with_asked(entry, arguments, client.database, |asked| ReadableKeys::of(user, asked))
    }

    fn with_asked<T>(
        &self,
        entry: &Entry,
        arguments: &[&[u8]],
        database: usize,
        ask: impl FnOnce(&Asked<'_>) -> T,
    ) -> T {
        let mut keys: SmallVec<[KeyPosition; 8]> = SmallVec::new();
        if entry.spec.arity_allows(arguments.len()) {
            for_each_key_with_access(&entry.spec, arguments, |key| keys.push(key));
        }
        let database_count = self.keyspace.database_count();
        ask(&Asked { entry, arguments, keys: &keys, database, database_count })
    }

    /// Text of a refusal, without the error's code.
    pub fn denial_text(user: &User, entry: &Entry, denied: Denied) -> String {
        match denied.reason {
            Reason::Command => {
                let name = String::from_utf8_lossy(&user.name);
                format!("User {name} has no permissions to run the '{}' command", entry.full_name)
            }
            Reason::Key => "No permissions to access a key".to_owned(),
            Reason::Channel => "No permissions to access a channel".to_owned(),
            Reason::Database => "No permissions to access database".to_owned(),
            Reason::Auth | Reason::Certificate => CommandError::WrongPass.to_string(),
        }
    }

    /// Counts and logs a refusal.
    pub fn denied(&self, client: &Client, entry: &Entry, arguments: &[&[u8]], place: Place, denied: Denied) {
        let object = match denied.argument {
            0 => entry.full_name.as_bytes(),
            index => arguments[index],
        };
        if place == Place::TopLevel || (place == Place::Transaction && client.transaction.is_some()) {
            client.shared.last_command.store(entry.id as u32, std::sync::atomic::Ordering::Relaxed);
        }
        self.log_denial(client, denied.reason, place, object, &client.rights.user.name);
    }

    fn log_denial(&self, client: &Client, reason: Reason, place: Place, object: &[u8], user: &[u8]) {
        let counter = match reason {
            Reason::Command => Counter::DeniedCommand,
            Reason::Database => Counter::DeniedDatabase,
            Reason::Key => Counter::DeniedKey,
            Reason::Auth => Counter::DeniedAuth,
            Reason::Channel => Counter::DeniedChannel,
            Reason::Certificate => Counter::DeniedCertificate,
        };
        self.stats.add(worker::current(), counter, 1);
        let now_ms = self.clock.now_ms();
        let refusal = Refusal {
            reason,
            place,
            object: object.to_vec(),
            user: user.to_vec(),
            client: super::client_text::describe(self, &client.shared, now_ms),
        };
        let max = usize::try_from(self.config.int(Directive::AcllogMaxLen)).unwrap_or(usize::MAX);
        self.acl.log.lock().add(refusal, now_ms, max);
    }

    /// Looks the client's user up again, after the generation of users has grown.
    pub fn look_at_rights(&self, client: &mut Client) {
        let generation = self.acl.generation();
        if client.rights.generation == generation {
            return;
        }
        let (present, open_to_all) = self.acl.present(&client.rights.user);
        let gone = present.is_none();
        if let Some(user) = present {
            *client.shared.user.lock() = Arc::clone(&user);
            client.rights.user = user;
        }
        let barred = gone || !(client.authenticated || open_to_all);
        let free = !barred && client.rights.user.is_unrestricted();
        let free_in = if free { generation } else { 0 };
        client.rights = Rights { user: Arc::clone(&client.rights.user), generation, free_in, barred };
    }

    /// Logs the client in as `user`.
    pub fn log_in(&self, client: &mut Client, user: Arc<User>) {
        client.authenticated = true;
        client.is_known = true;
        self.become_user(client, user);
    }

    /// Resets the client to the state in which it connected: the default user, authenticated if that has no
    /// password.
    pub fn log_out(&self, client: &mut Client) {
        let user = self.acl.default_user();
        client.authenticated = user.is_open();
        self.become_user(client, user);
    }

    fn become_user(&self, client: &mut Client, user: Arc<User>) {
        *client.shared.user.lock() = Arc::clone(&user);
        client.rights = Rights::new(user);
        self.look_at_rights(client);
    }

    /// Authenticates the client. Returns the milliseconds for which the reply is to be held back. It is 0 for
    /// a right password, so guesses from one address do not delay others that know it.
    ///
    /// # Errors
    /// A wrong name or password; that is logged and counted. `object` is the command as the client wrote it.
    pub fn authenticate(
        &self,
        client: &mut Client,
        name: &[u8],
        password: &[u8],
        object: &[u8],
        place: Place,
    ) -> (u64, Result<(), CommandError>) {
        let (address, now_ms) = (client.address(), self.clock.now_ms());
        let found = self.acl.user(name);
        // A name that is not there takes as long as one that is.
        let admitted = found.as_ref().unwrap_or(&self.acl.default_user()).admits(password);
        if let Some(user) = found.filter(|_| admitted) {
            self.log_in(client, user);
            return (0, Ok(()));
        }
        let wait_ms = self.acl.guesses.lock().add(address, now_ms);
        let shown = String::from_utf8_lossy(name);
        tracing::warn!(
            client = client.shared.id,
            address = client.shared.address,
            user = %shown,
            "wrong user name or password"
        );
        self.log_denial(client, Reason::Auth, place, object, name);
        (wait_ms, Err(CommandError::WrongPass))
    }

    /// Logs a client in as the first user of `names` (from its certificate) that exists and is on. Where
    /// there is none, that is counted and goes to ACL LOG.
    pub fn log_in_by_certificate(&self, client: &mut Client, names: &[String]) {
        let found = names.iter().find_map(|name| self.acl.user(name.as_bytes()).filter(|user| user.enabled));
        if let Some(user) = found {
            tracing::debug!(client = client.shared.id, "logged in by its certificate");
            self.log_in(client, user);
        } else if let Some(last) = names.last() {
            tracing::warn!(
                client = client.shared.id,
                user = last,
                "the certificate names no user that is on"
            );
            self.log_denial(client, Reason::Certificate, Place::TopLevel, b"", last.as_bytes());
        }
    }

    /// What ACL rules are parsed with: the command table and `acl-pubsub-default`.
    pub fn rules(&self) -> Rules<'_> {
        let all_channels = self.config.word(Directive::AclPubsubDefault) == "allchannels";
        Rules { commands: &self.commands, all_channels, roles: &NO_ROLES }
    }

    /// Returns whether `protected-mode` turns the connection away: the client is on another machine, and the
    /// default user has no password.
    pub fn is_protected_from(&self, client: &Client) -> bool {
        !client.is_local() && self.is_protected()
    }

    /// Whether `protected-mode` keeps those on other machines out.
    pub fn is_protected(&self) -> bool {
        self.config.flag(Directive::ProtectedMode) && self.acl.default_user().needs_no_password
    }

    /// Loads the users that the configuration names: those of its `user` lines, or those of `aclfile`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn load_configured_users(&self) -> Result<(), String> {
        let lines = self.config.users();
        let path = self.config.path(Directive::Aclfile);
        if let Some(path) = path {
            if !lines.is_empty() || !self.config.roles().is_empty() {
                return Err(
                    "users and roles are given by `user` and `role` lines or by `aclfile`, not by both"
                        .to_owned(),
                );
            }
            return file::load(&self.acl, &path, &self.config.text(Directive::Aclfile), &self.rules());
        }
        self.load_configured_roles()?;
        let mut names = std::collections::BTreeSet::new();
        for line in lines {
            if !names.insert(line.first()) {
                let name = line.first().map(|name| String::from_utf8_lossy(name)).unwrap_or_default();
                return Err(format!(
                    "user '{name}': Duplicate user found. A user can only be defined once in config files"
                ));
            }
            self.load_user_line(&self.acl, line)?;
        }
        Ok(())
    }

    fn load_configured_roles(&self) -> Result<(), String> {
        let mut names = std::collections::BTreeSet::new();
        for line in self.config.roles() {
            let name = line.first().map(|name| String::from_utf8_lossy(name)).unwrap_or_default();
            if !names.insert(line.first()) {
                return Err(format!(
                    "role '{name}': Duplicate role found. A role can only be defined once in config files"
                ));
            }
            self.load_role_line(&self.acl, line)?;
        }
        Ok(())
    }

    fn load_role_line(&self, acl: &Acl, words: &[Vec<u8>]) -> Result<(), String> {
        let [name, rules @ ..] = words else { return Ok(()) };
        let shown = String::from_utf8_lossy(name);
        if crate::acl::rules::has_blanks(name) || self.rules().is_taken(name) {
            return Err(format!("role '{shown}': the name is that of a command or category, or has blanks"));
        }
        let rules = crate::acl::rules::join_selectors(rules)
            .map_err(|_| format!("role '{shown}': unmatched parenthesis in selector definition"))?;
        let result = acl.set_role(name, &rules, &self.rules());
        result.map(|_| ()).map_err(|WrongRule { index, error }| {
            format!("role '{shown}': rule '{}': {error}", String::from_utf8_lossy(&rules[index]))
        })
    }

    fn load_user_line(&self, acl: &Acl, words: &[Vec<u8>]) -> Result<(), String> {
        let [name, rules @ ..] = words else { return Ok(()) };
        let shown = String::from_utf8_lossy(name);
        if crate::acl::rules::has_blanks(name) {
            return Err(format!("user '{shown}': blanks are not allowed in user names"));
        }
        let rules = crate::acl::rules::join_selectors(rules)
            .map_err(|_| format!("user '{shown}': unmatched parenthesis in selector definition"))?;
        // The line is the whole truth about the default user, too.
        let rules: Vec<Vec<u8>> = std::iter::once(b"reset".to_vec()).chain(rules).collect();
        let result = acl.set_user(name, &rules, &self.rules());
        result.map(|_| ()).map_err(|WrongRule { index, error }| {
            let rule = crate::acl::rules::without_passwords(&rules[index]);
            format!("user '{shown}': rule '{}': {error}", String::from_utf8_lossy(&rule))
        })
    }

    /// Rewrites the configuration file (CONFIG REWRITE). `all` writes every directive, also those at their
    /// default.
    ///
    /// # Errors
    /// Where that is not possible.
    pub fn rewrite_config(&self, all: bool) -> Result<(), RewriteError> {
        let mut lines = self.user_lines();
        let included = self.config.included_users();
        for words in included.roles {
            let Some(name) = words.first() else { continue };
            let acl = Acl::new(self.commands.entries().len(), b"");
            let loaded = self.load_role_line(&acl, &words);
            let line = acl.roles().get(name.as_slice()).filter(|_| loaded.is_ok()).map(|role| role.line());
            let stands = line.and_then(|line| lines.iter().position(|other| *other == line));
            let changed = || RewriteError::IncludedRole(String::from_utf8_lossy(name).into_owned());
            lines.remove(stands.ok_or_else(changed)?);
        }
        for words in included.users {
            let Some(name) = words.first() else { continue };
            let acl = Acl::new(self.commands.entries().len(), b"");
            acl.take_roles(self.acl.roles());
            let loaded = self.load_user_line(&acl, &words);
            let line = acl.user(name).filter(|_| loaded.is_ok()).map(|user| user.line());
            let stands = line.and_then(|line| lines.iter().position(|other| *other == line));
            let changed = || RewriteError::IncludedUser(String::from_utf8_lossy(name).into_owned());
            lines.remove(stands.ok_or_else(changed)?);
        }
        self.config.rewrite(all, &lines)
    }

    /// The lines of the configuration file that make the present roles and users; none while there is only a default
    /// user whom `requirepass` describes, or with an `aclfile`.
    pub fn user_lines(&self) -> Vec<Vec<u8>> {
        let users = self.acl.all_users();
        let plain = {
            let mut plain = User::everything(b"default", 0, self.commands.entries().len());
            plain.set_only_password(&self.config.bytes(Directive::Requirepass));
            plain.line()
        };
        let has_file = self.config.path(Directive::Aclfile).is_some();
        let roles = self.acl.roles();
        let said = !self.config.users().is_empty() || !self.config.roles().is_empty();
        let unsaid = !said && roles.is_empty() && users.iter().all(|user| user.line() == plain);
        if has_file || unsaid {
            return Vec::new();
        }
        roles.values().map(|role| role.line()).chain(users.iter().map(|user| user.line())).collect()
    }

    /// Finds the subscribers that are to be cut after `before` became `now`: clients of that user with a
    /// subscription it no longer allows.
    pub fn listeners_to_cut(&self, before: &User, now: &User) -> Vec<Arc<SharedClient>> {
        if now.all_selectors().any(|selector| selector.all_channels) {
            return Vec::new();
        }
        let kept = |pattern: &[u8]| {
            now.all_selectors().any(|selector| selector.channels.iter().any(|known| **known == *pattern))
        };
        let mut had = before.all_selectors();
        if had.all(|had| !had.all_channels && had.channels.iter().all(|pattern| kept(pattern))) {
            return Vec::new();
        }
        let is_forbidden =
            |channel: &[u8], is_pattern: bool| !check::allows_channel(now, channel, is_pattern);
        let listeners = self.pubsub.listeners(is_forbidden);
        listeners.into_iter().filter(|client| client.user.lock().id == before.id).collect()
    }

    /// Returns whether a client's user allows all its subscriptions. Checked after each SUBSCRIBE, as the
    /// user may have changed meanwhile.
    pub fn may_still_listen(&self, client: &mut Client) -> bool {
        if client.rights.generation == self.acl.generation() {
            return true;
        }
        self.look_at_rights(client);
        let subscriptions = &client.subscriptions;
        let user = &client.rights.user;
        let mut channels = subscriptions.channels.names().chain(subscriptions.shard_channels.names());
        !client.rights.barred
            && channels.all(|channel| check::allows_channel(user, channel, false))
            && subscriptions.patterns.names().all(|pattern| check::allows_channel(user, pattern, true))
    }
}

impl Client {
    /// The address that the client came from; `None` for the Unix socket.
    pub fn address(&self) -> Option<IpAddr> {
        let host = self.shared.address.rsplit_once(':').map_or("", |(host, _)| host);
        let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        ip.ok().filter(|_| !self.unix).map(|ip| ip.to_canonical())
    }
}
