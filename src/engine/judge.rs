//! Judging a request before its command runs: user, protected commands, slot, port, subscriptions, pause.
//! Judgement goes by flags and key specs, never by names.

use smallvec::SmallVec;

use super::Server;
use super::client::Client;
use crate::acl::log::Place;
use crate::command::keys::{KeySpec, PlannedKey};
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::config::Directive;
use crate::error::CommandError;
use crate::keyspace::key_hash::slot_of_hash;
use crate::replication::failover::Step;
use crate::resp::Version;
use crate::shared::client::Door;
use crate::shared::pause::{InForce, Scope};

/// The judgement.
#[derive(Debug)]
pub enum Verdict {
    /// Its command may run.
    Pass,
    /// Answer this error.
    Refuse(CommandError),
    /// Try again when the pause is over.
    Wait,
}

/// Commands that a client in MONITOR and the link of a replica may not call: those on keys, as in Redis.
const ON_KEYS: Flags = Flags::READONLY.and(Flags::WRITE).and(Flags::MAY_REPLICATE);

/// Returns whether a request writes, or is an EXEC whose queue does.
pub(super) fn writes(client: &Client, flags: Flags) -> bool {
    let queued = client.transaction.as_ref().filter(|_| flags.has(Flags::RUNS_QUEUE));
    flags.has(Flags::WRITE) || queued.is_some_and(|transaction| transaction.flags.has(Flags::WRITE))
}

/// Whether a request may change something about the server, or tells its clients something: what operators
/// do, but for what only shows, what is marked to do as much, and PUBLISH.
pub fn changes_server(flags: Flags) -> bool {
    let publishes = flags.has(Flags::PUBSUB) && flags.has(Flags::MAY_REPLICATE);
    flags.has(Flags::ADMIN) && !flags.has(Flags::SHOWS) || flags.has(Flags::ACTS) || publishes
}

/// Returns whether a request, or all commands in an EXEC's queue, may run while data are being loaded.
pub(super) fn runs_while_loading(client: &Client, flags: Flags) -> bool {
    let queued = client.transaction.as_ref().filter(|_| flags.has(Flags::RUNS_QUEUE));
    flags.has(Flags::LOADING) && queued.is_none_or(|transaction| !transaction.needs_data)
}

/// Returns whether a request, or all commands in an EXEC's queue, may run although the data may be old.
fn runs_while_stale(client: &Client, flags: Flags) -> bool {
    let queued = client.transaction.as_ref().filter(|_| flags.has(Flags::RUNS_QUEUE));
    flags.has(Flags::STALE) && queued.is_none_or(|transaction| !transaction.needs_fresh)
}

/// Judges a request of a file, which may be any, or of a primary's stream: there only what changes data, and
/// what goes with it, makes sense, in databases that there are.
#[cold]
fn judge_stream(client: &Client, entry: &Entry, arguments: &[&[u8]], databases: usize) -> Verdict {
    const STREAMED: Flags =
        Flags::WRITE.and(Flags::MAY_REPLICATE).and(Flags::IN_STREAMS).and(Flags::RUNS_QUEUE);
    if !client.is_primary {
        return Verdict::Pass;
    }
    if entry.spec.flags.intersects(STREAMED) {
        let mut named = SmallVec::new();
        if let Some(name) = entry.spec.databases {
            name(arguments, &mut named);
        }
        let names_none = named.is_empty() && entry.spec.flags.has(Flags::SELECTS);
        return match !names_none && named.iter().all(|(database, _)| *database < databases) {
            true => Verdict::Pass,
            false => Verdict::Refuse(CommandError::DatabaseOutOfRange),
        };
    }
    Verdict::Refuse(CommandError::new(format!("ERR not in the stream of a primary: '{}'", entry.full_name)))
}

impl Server {
    /// Judges a request whose arity is right.
    #[inline]
    pub fn judge(
        &self,
        client: &mut Client,
        entry: &Entry,
        arguments: &[&[u8]],
        keys: &[PlannedKey],
        now_ms: u64,
    ) -> Verdict {
        if client.is_loader {
            return judge_stream(client, entry, arguments, self.keyspace.database_count());
        }
        let flags = entry.spec.flags;
        let place = if client.transaction.is_some() { Place::Transaction } else { Place::TopLevel };
        if let Err(refused) = self.permit(client, entry, arguments, place) {
            return Verdict::Refuse(refused);
        }
        if flags.has(Flags::PROTECTED)
            && let Some(refused) = self.refuse_protected(client, entry)
        {
            return Verdict::Refuse(refused);
        }
        if let Some(profile) = &self.profile
            && !client.is_inside
            && let Some(refused) = self.judge_by_profile(profile, client, entry, arguments, keys)
        {
            return Verdict::Refuse(refused);
        }
        if self.simulation.is_on()
            && !client.is_inside
            && let Some(refused) = self.refuse_by_simulation(client, entry, keys, now_ms)
        {
            return Verdict::Refuse(refused);
        }
        if self.cluster.is_enabled()
            && let Some(refused) = self.refuse_slot(client, entry, keys)
        {
            return Verdict::Refuse(refused);
        }
        if client.capa_redirect
            && self.following.is_replica()
            && let Some(verdict) = self.redirect(client, flags)
        {
            return verdict;
        }
        if self.lacks_replicas() && writes(client, flags) {
            return Verdict::Refuse(CommandError::NoReplicas);
        }
        if (writes(client, flags) || flags.has(Flags::TELLS_DISK_ERRORS))
            && let Some(refused) = self.refusal_by_disk()
        {
            return Verdict::Refuse(refused);
        }
        if client.views_only && (writes(client, flags) || changes_server(flags)) {
            return Verdict::Refuse(CommandError::OnlyLooks);
        }
        // What was queued before this server became a replica must not run on it either.
        if writes(client, flags) && (client.door == Door::ReadOnly || self.following.refuses_writes()) {
            return Verdict::Refuse(CommandError::ReadOnlyReplica);
        }
        if client.version == Version::Resp2
            && !flags.has(Flags::WHILE_SUBSCRIBED)
            && client.subscriptions.any()
        {
            return Verdict::Refuse(CommandError::new(format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
                entry.full_name
            )));
        }
        if self.following.refuses_reads() && !runs_while_stale(client, flags) {
            return Verdict::Refuse(CommandError::PrimaryDown);
        }
        if self.loading.is_active() && !runs_while_loading(client, flags) {
            return Verdict::Refuse(CommandError::loading(
                self.config.flag(Directive::ExtendedRedisCompatibility),
            ));
        }
        // A change of role is no matter of the copy that comes: it is dropped where it is not wanted any more.
        if self.loading.is_beside() && flags.has(Flags::NO_ASYNC_LOADING) && !flags.has(Flags::CHANGES_ROLE) {
            return Verdict::Refuse(CommandError::loading(
                self.config.flag(Directive::ExtendedRedisCompatibility),
            ));
        }
        if (client.monitor || client.link.is_some()) && flags.intersects(ON_KEYS) {
            return Verdict::Refuse(CommandError::text("ERR Replica can't interact with the keyspace"));
        }
        if self.pause.is_set() && client.link.is_none() && self.is_paused(client, entry, arguments, now_ms) {
            return Verdict::Wait;
        }
        Verdict::Pass
    }

    /// What a client is told whose write is refused because the last snapshot in the background failed
    /// (`stop-writes-on-bgsave-error`) or the append-only file cannot be written.
    #[inline]
    pub fn refusal_by_disk(&self) -> Option<CommandError> {
        let snapshot_failed = self.snapshot_failed.load(std::sync::atomic::Ordering::Relaxed);
        if !snapshot_failed && !self.durability.refuses_writes() {
            return None;
        }
        if self.refuses_for_snapshot() {
            return Some(CommandError::SnapshotFailed);
        }
        self.durability.refusal()
    }

    /// Whether writes are refused because the last snapshot in the background failed.
    pub fn refuses_for_snapshot(&self) -> bool {
        self.snapshot_failed.load(std::sync::atomic::Ordering::Relaxed)
            && self.config.flag(Directive::StopWritesOnBgsaveError)
            && !self.config.save_points().is_empty()
    }

    /// Sends a client that follows redirections to the primary with what it writes, and with what it reads
    /// unless it said READONLY. While a failover is under way there is none to send it to: it waits.
    #[cold]
    fn redirect(&self, client: &Client, flags: Flags) -> Option<Verdict> {
        let queued = client.transaction.as_ref().filter(|_| flags.has(Flags::RUNS_QUEUE));
        let flags = queued.map_or(flags, |transaction| flags.and(transaction.flags));
        if self.cluster.is_enabled()
            || !flags.has(Flags::WRITE) && (client.readonly || !flags.has(Flags::READONLY))
        {
            return None;
        }
        if self.failover_step() == Step::InProgress {
            return Some(Verdict::Wait);
        }
        let primary = self.following.primary()?;
        Some(Verdict::Refuse(CommandError::Redirect(format!("{}:{}", primary.host, primary.port))))
    }

    /// Whether there are fewer replicas than `min-replicas-to-write` asks for. A replica asks for none.
    #[inline]
    pub fn lacks_replicas(&self) -> bool {
        let min = self.settings.min_replicas();
        min > 0 && !self.following.is_replica() && self.good_replicas() < min
    }

    /// Refuses a request or transaction whose keys are of several slots (CROSSSLOT), or a request with keys of a
    /// slot that this port does not serve (MOVED). Under a profile that only warns keys may be of any slots.
    fn refuse_slot(&self, client: &Client, entry: &Entry, keys: &[PlannedKey]) -> Option<CommandError> {
        let queued = client.transaction.as_ref().filter(|_| entry.spec.flags.has(Flags::RUNS_QUEUE));
        let is_across = match (keys, queued) {
            ([first, others @ ..], _) => {
                let slot = slot_of_hash(first.hash);
                others.iter().any(|key| slot_of_hash(key.hash) != slot)
            }
            ([], queued) => queued.is_some_and(|transaction| transaction.has_several_slots()),
        };
        if is_across && self.keeps_to_slots() {
            return Some(CommandError::CrossSlot);
        }
        let slot = slot_of_hash(keys.first()?.hash);
        let is_write = entry.spec.flags.has(Flags::WRITE)
            || keys
                .iter()
                .any(|key| key.flags & KeySpec::NOT_KEY != 0 && entry.spec.flags.has(Flags::MAY_REPLICATE));
        if client.door == Door::ReadOnly && (!client.readonly || is_write) {
            return Some(CommandError::Moved { slot, endpoint: self.redirect_endpoint(client) });
        }
        None
    }

    /// Whether a request has to keep to one slot: in a cluster, but under a profile that only warns.
    pub fn keeps_to_slots(&self) -> bool {
        self.cluster.is_enabled() && !self.profile.as_ref().is_some_and(|profile| profile.warns())
    }

    /// Flags of one request: those of its entry, without MAY_REPLICATE where its arguments show that it only
    /// reads.
    pub fn flags_of(&self, entry: &Entry, arguments: &[&[u8]]) -> Flags {
        let flags = entry.spec.flags;
        match self.commands.functions(entry).reads_only {
            Some(reads_only) if reads_only(self, arguments) => flags.without(Flags::MAY_REPLICATE),
            _ => flags,
        }
    }

    /// Whether a pause that is in force holds a request up.
    pub(super) fn is_paused(&self, client: &Client, entry: &Entry, arguments: &[&[u8]], now_ms: u64) -> bool {
        let mut flags = self.flags_of(entry, arguments);
        if flags.has(Flags::RUNS_QUEUE)
            && let Some(transaction) = &client.transaction
        {
            flags = flags.and(transaction.flags);
        }
        // What an operator asks waits for nothing: neither a health check, nor what moves the clock by which a pause
        // ends.
        const OPERATOR: Flags = Flags::ADMIN.and(Flags::LOCKS_NO_SLOT);
        match self.pause.in_force(now_ms) {
            None => false,
            Some(InForce { scope: Scope::All, .. }) => !flags.has(OPERATOR),
            Some(_) => flags.has(Flags::WRITE) || flags.has(Flags::MAY_REPLICATE),
        }
    }

    fn refuse_protected(&self, client: &Client, entry: &Entry) -> Option<CommandError> {
        let container = entry.full_name.split('|').next().unwrap_or_default();
        self.refuse_unless_enabled(client, Directive::EnableDebugCommand, container)
    }

    /// Whether a directive that says `no`, `local` or `yes` admits this client.
    pub fn is_enabled_for(&self, client: &Client, directive: Directive) -> bool {
        match self.config.word(directive) {
            "yes" => true,
            "local" => client.is_local(),
            _ => false,
        }
    }

    /// Refuses a command unless its `enable-*-command` directive admits this client: `yes` admits all,
    /// `local` those on this machine. `container` is the command's name in lower case.
    pub fn refuse_unless_enabled(
        &self,
        client: &Client,
        directive: Directive,
        container: &str,
    ) -> Option<CommandError> {
        (!self.is_enabled_for(client, directive)).then(|| {
            CommandError::new(format!(
                "ERR {} command not allowed. If the enable-{container}-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.",
                container.to_uppercase(),
            ))
        })
    }
}
