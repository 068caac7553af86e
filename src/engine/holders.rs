//! [`Holder`]: a command that has locks which others wait for, as these and the operator are told of it.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Server;
use crate::command::keys;
use crate::command::table::Entry;
use crate::keyspace::access::{INNER_KEY_MAX, Inner};
use crate::primitives::printable::printable;
use crate::shared::client::SharedClient;
use crate::shared::commandlog::{cut_argument, tell_left_out};

/// A command that has taken long under its locks. Made once for it, when that turns out.
#[derive(Debug)]
pub struct Holder {
    /// The client that it runs for; none where that has left.
    client: Option<Arc<SharedClient>>,
    /// Id of the client.
    client_id: u64,
    /// Name of the command; of a transaction with that of the request which it runs.
    command: String,
    /// What it runs: SHA1 of a script, name of a function. Empty for all others.
    program: String,
    /// Its first key, cut as SLOWLOG cuts it.
    key: Option<Vec<u8>>,
    /// Since when it has run, in nanoseconds of the monotonic clock.
    since_ns: u64,
}

/// A holder as it was at one instant.
#[derive(Clone, Debug)]
pub struct Held {
    holder: Arc<Holder>,
    at_ns: u64,
}

impl Held {
    pub(super) fn new(holder: &Arc<Holder>, at_ns: u64) -> Self {
        Self { holder: Arc::clone(holder), at_ns }
    }

    /// All of it in words.
    pub fn in_words(&self) -> String {
        self.holder.in_words_at(self.at_ns)
    }

    /// The same without its key.
    pub fn in_words_without_key(&self) -> String {
        self.holder.described_at(false, self.at_ns)
    }

    /// Name of the command; of a transaction with that of the request which it runs.
    pub fn command(&self) -> &str {
        &self.holder.command
    }

    /// What it runs: `script` and its SHA1, `function` and its name.
    pub fn program(&self) -> Option<(&str, &str)> {
        self.holder.program.split_once(' ')
    }

    /// Its first key as far as it is known, without what cannot be shown.
    pub fn key(&self) -> Option<String> {
        self.holder.key.as_deref().map(printable)
    }

    /// Id of the client that it runs for.
    pub fn client_id(&self) -> u64 {
        self.holder.client_id
    }

    /// That client, unless it has left.
    pub fn client(&self) -> Option<&SharedClient> {
        self.holder.client.as_deref()
    }

    /// How long it had run.
    pub fn ran_ns(&self) -> u64 {
        self.holder.ran_ns(self.at_ns)
    }

    /// Whether it is a script or function that has run for so long that those in whose way it is hear BUSY.
    pub fn is_told_as_busy(&self, busy_after_ms: i64) -> bool {
        self.program().is_some() && busy_after_ms > 0 && self.ran_ns() / 1_000_000 >= busy_after_ms as u64
    }

    /// What ends it, in words.
    pub fn end_in_words(&self) -> String {
        match self.program() {
            Some((kind, _)) => {
                format!("{} KILL ends it, unless it has changed something", kind.to_uppercase())
            }
            None => format!(
                "it runs to its end; CLIENT KILL ID {} keeps its client from sending it again",
                self.client_id()
            ),
        }
    }
}

/// Whom something concerns that has so many slots (`None` for all), in words; `meanwhile` says what requests do.
pub fn reach_in_words(slots: Option<usize>, meanwhile: &str) -> String {
    match slots {
        None => "Nobody else reaches any key meanwhile".to_owned(),
        Some(0) => format!("Requests on the whole keyspace {meanwhile}"),
        Some(1) => format!("Requests for keys of its slot {meanwhile}"),
        Some(count) => format!("Requests for keys of its {count} slots {meanwhile}"),
    }
}

impl Holder {
    /// Id of the client that it runs for.
    pub(super) fn client_id(&self) -> u64 {
        self.client_id
    }

    /// Whether it is the same command for the same client, entered again.
    pub(super) fn is_of_same(&self, other: &Holder) -> bool {
        (self.client_id, self.since_ns, &self.command) == (other.client_id, other.since_ns, &other.command)
    }

    /// Since when it has run, in nanoseconds of the monotonic clock.
    pub(super) fn since_ns(&self) -> u64 {
        self.since_ns
    }

    /// How long it has run.
    pub(super) fn ran_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.since_ns)
    }

    /// What it is and for whom it runs: the command, its program, its key, the client.
    pub(super) fn in_words(&self) -> String {
        self.described(true)
    }

    fn described(&self, names_key: bool) -> String {
        let mut text = self.command.clone();
        if !self.program.is_empty() {
            text.push_str(&format!(" of {}", self.program));
        }
        if let Some(key) = self.key.as_ref().filter(|_| names_key) {
            text.push_str(&format!(" on key {}", printable(key)));
        }
        match &self.client {
            Some(client) => format!("{text} for {}", client_in_words(client)),
            None => format!("{text} for client {}, which has left", self.client_id),
        }
    }

    /// The same with how long it has run.
    pub(super) fn in_words_at(&self, now_ns: u64) -> String {
        self.described_at(true, now_ns)
    }

    fn described_at(&self, names_key: bool, now_ns: u64) -> String {
        format!("{}, running for {} ms", self.described(names_key), self.ran_ns(now_ns) / 1_000_000)
    }
}

/// A client by its id, address and user.
fn client_in_words(client: &SharedClient) -> String {
    let user = printable(&client.user.lock().name);
    format!("client {} at {}, user {user}", client.id, client.address)
}

/// The key of a request of a transaction: its beginning, and how long it is.
fn cut_inner((begin, len): (SmallVec<[u8; INNER_KEY_MAX]>, usize)) -> Vec<u8> {
    let mut key = begin.to_vec();
    tell_left_out(&mut key, len);
    key
}

impl Server {
    /// How many clients wait behind something slow or heavy, without a thread each.
    pub fn clients_held_up(&self) -> usize {
        self.held_up.count() + self.heavy.room.waiting()
    }

    /// What has held locks for so long, that for longest first, with how many slots it has; `None` for all of them.
    pub fn holds_now(&self, min_ns: u64) -> Vec<(Held, Option<usize>)> {
        let now_ns = self.clock.monotonic_ns();
        let holders = self.heavy.holders().into_iter();
        let held = holders.map(|(holder, slots)| (Held::new(&holder, now_ns), slots));
        let mut all: Vec<_> = held.filter(|(held, _)| held.ran_ns() >= min_ns).collect();
        all.sort_unstable_by_key(|(held, _)| std::cmp::Reverse(held.ran_ns()));
        all
    }

    /// Makes a holder of a request that has run since `since_ns`; `inner` is the request of a transaction that it
    /// runs, and `program` names the script or function that it runs.
    #[cold]
    pub(super) fn holder(
        &self,
        (entry, arguments): (&Entry, &[&[u8]]),
        inner: Option<Inner>,
        program: Option<&dyn Fn() -> String>,
        client_id: u64,
        since_ns: u64,
    ) -> Holder {
        let key = self.first_key(entry, arguments);
        let mut own = self.program_in_words(entry, arguments);
        if let Some(program) = program.filter(|_| own.is_empty()) {
            own = program();
        }
        let mut command = entry.full_name.clone();
        let inner_name = inner.as_ref().map(|inner| self.command_name(inner.command));
        if let Some(name) = inner_name {
            command = format!("{command} with {name}");
        }
        Holder {
            client: self.clients.by_id(client_id),
            client_id,
            command,
            program: own,
            key: key.or_else(|| inner.and_then(|inner| inner.key).map(cut_inner)),
            since_ns,
        }
    }

    /// The first key of a request, cut as SLOWLOG cuts it.
    pub(super) fn first_key(&self, entry: &Entry, arguments: &[&[u8]]) -> Option<Vec<u8>> {
        // Of a streak whose first request has not begun there are no words.
        if arguments.is_empty() {
            return None;
        }
        let first = keys::first_key(&entry.spec, arguments);
        first.map(|key| cut_argument(key, self.kept_of_request().argument_bytes))
    }

    /// The script or function that a request runs, in words; empty for others.
    pub(super) fn program_in_words(&self, entry: &Entry, arguments: &[&[u8]]) -> String {
        match self.commands.functions(entry).program {
            Some(program) if arguments.len() > 1 => printable(&program(arguments)),
            _ => String::new(),
        }
    }

    /// The name of a command by its id.
    pub(super) fn command_name(&self, command: u32) -> &str {
        let entry = self.commands.entries().get(command as usize);
        entry.map_or("?", |entry| entry.full_name.as_str())
    }

    /// Who runs what, in words: all that is known of a command that another thread runs, unless it is a
    /// [`Holder`].
    pub(super) fn in_words(&self, command: u32, client: &SharedClient) -> String {
        format!("{} for {}", self.command_name(command), client_in_words(client))
    }
}
