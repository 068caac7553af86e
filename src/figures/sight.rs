//! [`Sight`]: what figures are read from. What several figures share is looked up once, by the first of them.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::config::Directive;
use crate::engine::Server;
use crate::engine::append_only;
use crate::engine::client::Client;
use crate::engine::endpoints::Endpoint;
use crate::engine::following::{LinkFacts, LinkState, Primary};
use crate::engine::memory::MemoryUse;
use crate::engine::saving::SaveFigures;
use crate::keyspace::database::Database;
use crate::keyspace::key_hash::SLOT_COUNT;
use crate::lua::MemoryHeld;
use crate::replication::Replica;
use crate::shared::client::{Door, SharedClient};
use crate::shared::pause::InForce;
use crate::shared::processor::processor_seconds;
use crate::shared::stats::{Counter, Rates};

/// Counts the keys of all databases; `None` where somebody has the keyspace alone for long.
pub type Count<'a> = dyn Fn() -> Option<Vec<DatabaseCounts>> + 'a;

/// A look at a server.
pub struct Sight<'a> {
    /// What is looked at.
    pub server: &'a Server,
    /// When it is looked at, in milliseconds of Unix time.
    pub now_ms: u64,
    /// The client that asks; `None` where none does.
    client: Option<&'a Client>,
    count: &'a Count<'a>,
    databases: OnceCell<Option<Vec<DatabaseCounts>>>,
    clients: OnceCell<ClientCounts>,
    memory: OnceCell<MemoryUse>,
    overhead_bytes: OnceCell<u64>,
    saves: OnceCell<SaveFigures>,
    append_only: OnceCell<append_only::Figures>,
    rates: OnceCell<Rates>,
    standing: OnceCell<Standing>,
    offset: OnceCell<u64>,
    replicas: OnceCell<Vec<Arc<Replica>>>,
    machines: OnceCell<MemoryHeld>,
    processor: OnceCell<[(f64, f64); 2]>,
}

/// Counts of one database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseCounts {
    /// Its number, as SELECT counts.
    pub number: usize,
    /// All of them, those that have ended and are still there included.
    pub keys: usize,
    /// Keys with an expiry.
    pub volatile: usize,
    /// What they have still to live on average, in milliseconds.
    pub average_ttl_ms: u64,
    /// Hashes and sets with fields or members that have an expiry.
    pub field_ends: usize,
    /// Slots with keys.
    pub slots: usize,
    /// Keys of the slot with most of them.
    pub slot_keys_max: usize,
}

impl DatabaseCounts {
    /// Counts a database.
    pub fn of(number: usize, database: &Database, now_ms: u64) -> Self {
        let mut counts = Self {
            number,
            volatile: database.volatile_len(),
            average_ttl_ms: database.average_ttl_ms(now_ms),
            field_ends: database.field_ends_len() + database.member_ends_len(),
            ..Self::default()
        };
        for keys in (0..SLOT_COUNT).map(|slot| database.slot_len(slot)) {
            counts.keys += keys;
            counts.slots += usize::from(keys > 0);
            counts.slot_keys_max = counts.slot_keys_max.max(keys);
        }
        counts
    }
}

/// Counts of the clients that are connected.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientCounts {
    /// Those that are not being closed, without replicas.
    pub connected: usize,
    /// Capacity of the largest query buffer, in bytes.
    pub query_buffer_max: usize,
    /// Capacity of the largest reply buffer, in bytes.
    pub reply_buffer_max: usize,
    /// Those that wait for keys, replicas, files or the end of a pause.
    pub blocked: usize,
    /// Those with subscriptions.
    pub subscribed: usize,
    /// Those that watch keys.
    pub watching: usize,
    /// Those that wait with a time limit.
    pub with_timeout: usize,
    /// Bytes of all their buffers.
    pub bytes: usize,
}

/// What the server is to whoever asks.
#[derive(Clone, Debug)]
pub enum Standing {
    /// It follows a primary.
    Follows(Arc<Primary>, LinkFacts),
    /// A replica that is the primary itself, which is at this address: the read-only port.
    ReadOnlyPort(Endpoint),
    /// It follows nobody.
    Primary,
}

impl Standing {
    /// The primary that is followed, and how the link to it is.
    pub fn link(&self) -> Option<(&Primary, &LinkFacts)> {
        match self {
            Self::Follows(primary, link) => Some((primary, link)),
            Self::ReadOnlyPort(_) | Self::Primary => None,
        }
    }

    /// The same while the link is up.
    pub fn link_that_is(&self, state: LinkState) -> Option<&LinkFacts> {
        self.link().map(|(_, link)| link).filter(|link| link.state == state)
    }
}

impl<'a> Sight<'a> {
    /// A look at `now_ms`, by a client if one asks; `count` counts all databases.
    pub fn new(server: &'a Server, client: Option<&'a Client>, now_ms: u64, count: &'a Count<'a>) -> Self {
        Self {
            server,
            now_ms,
            client,
            count,
            databases: OnceCell::new(),
            clients: OnceCell::new(),
            memory: OnceCell::new(),
            overhead_bytes: OnceCell::new(),
            saves: OnceCell::new(),
            append_only: OnceCell::new(),
            rates: OnceCell::new(),
            standing: OnceCell::new(),
            offset: OnceCell::new(),
            replicas: OnceCell::new(),
            machines: OnceCell::new(),
            processor: OnceCell::new(),
        }
    }

    /// The kind of port that is asked through.
    pub fn door(&self) -> Door {
        self.client.map_or(Door::Main, |client| client.door)
    }

    /// Where whoever asks finds the cluster.
    pub fn endpoint(&self) -> Endpoint {
        match self.client {
            Some(client) => self.server.endpoint(client),
            None => self.server.endpoint_of(false, None, None),
        }
    }

    /// The port that is asked through.
    pub fn port(&self) -> u16 {
        let ports = *self.server.identity.ports.read();
        if self.door() == Door::ReadOnly { ports.read_only } else { ports.main }
    }

    /// Seconds since the server's start.
    pub fn uptime_s(&self) -> u64 {
        self.now_ms.saturating_sub(self.server.identity.started_ms) / 1000
    }

    /// A directive that is a number.
    pub fn int(&self, directive: Directive) -> i64 {
        self.server.config.int(directive)
    }

    /// The sum of a counter.
    pub fn sum(&self, counter: Counter) -> u64 {
        self.server.stats.sum(counter)
    }

    /// The counts of all databases that were made; `None` where they could not be counted.
    pub fn databases(&self) -> Option<&[DatabaseCounts]> {
        self.databases.get_or_init(|| (self.count)()).as_deref()
    }

    /// The counts of all clients.
    pub fn clients(&self) -> &ClientCounts {
        self.clients.get_or_init(|| count_clients(self.server))
    }

    /// Memory in use.
    pub fn memory(&self) -> MemoryUse {
        *self.memory.get_or_init(|| self.server.memory_use())
    }

    /// Bytes of the databases' own tables, of the sizes of keys that are known (`key-sizes`), and of the server as it
    /// was made.
    pub fn overhead_bytes(&self) -> u64 {
        *self.overhead_bytes.get_or_init(|| {
            let databases = self.server.keyspace.all_made();
            let tables: u64 = databases.map(|database| database.overhead_bytes() as u64).sum();
            tables + self.server.keyspace.sizes.memory_bytes() as u64 + self.server.identity.memory_startup
        })
    }

    /// Figures of snapshots.
    pub fn saves(&self) -> &SaveFigures {
        self.saves.get_or_init(|| self.server.saving().map(|saving| saving.figures()).unwrap_or_default())
    }

    /// Figures of the append-only file.
    pub fn append_only(&self) -> &append_only::Figures {
        self.append_only.get_or_init(|| {
            self.server.append_only().map(|append_only| append_only.figures()).unwrap_or_default()
        })
    }

    /// Figures of the append-only file where it is on.
    pub fn append_only_if_on(&self) -> Option<&append_only::Figures> {
        Some(self.append_only()).filter(|figures| figures.enabled)
    }

    /// How much happens a second.
    pub fn rates(&self) -> &Rates {
        self.rates.get_or_init(|| *self.server.upkeep.rates.read())
    }

    /// The pause that is in force.
    pub fn pause(&self) -> Option<InForce> {
        self.server.pause.in_force(self.now_ms)
    }

    /// What the server is to whoever asks.
    pub fn standing(&self) -> &Standing {
        self.standing.get_or_init(|| match self.server.following.primary() {
            Some(primary) => Standing::Follows(primary, self.server.following.link()),
            None if self.door() == Door::ReadOnly => Standing::ReadOnlyPort(self.endpoint()),
            None => Standing::Primary,
        })
    }

    /// The replication offset.
    pub fn offset(&self) -> u64 {
        *self.offset.get_or_init(|| self.server.replication_offset())
    }

    /// The replicas that are connected.
    pub fn replicas(&self) -> &[Arc<Replica>] {
        self.replicas.get_or_init(|| self.server.replication.replicas.all())
    }

    /// Memory of Lua's machines.
    pub fn machines(&self) -> &MemoryHeld {
        self.machines.get_or_init(|| self.server.scripting.memory_held())
    }

    /// User and system seconds of the processor, of all threads and of the main thread.
    pub fn processor_s(&self) -> &[(f64, f64); 2] {
        self.processor.get_or_init(|| {
            let main_thread = format!("/proc/self/task/{}/stat", std::process::id());
            [processor_seconds("/proc/self/stat"), processor_seconds(&main_thread)]
        })
    }
}

fn count_clients(server: &Server) -> ClientCounts {
    let all = server.clients.all();
    let count = |wanted: &dyn Fn(&SharedClient) -> bool| all.iter().filter(|client| wanted(client)).count();
    let largest =
        |size: &dyn Fn(&SharedClient) -> usize| all.iter().map(|client| size(client)).max().unwrap_or(0);
    let bytes = |client: &Arc<SharedClient>| {
        client.query_buffer[1].load(Relaxed) + client.reply_buffer[1].load(Relaxed) + client.outbox_size().0
    };
    ClientCounts {
        // Clients that are being closed count as gone, and replicas as none.
        connected: count(&|client| !client.is_gone()).saturating_sub(server.replication.replicas.count()),
        query_buffer_max: largest(&|client| client.query_buffer[1].load(Relaxed)),
        reply_buffer_max: largest(&|client| client.reply_buffer[1].load(Relaxed)),
        blocked: server.effects.waiting.client_count() + count(&|client| client.blocked.load(Relaxed)),
        subscribed: count(&|client| client.subscribed.iter().any(|count| count.load(Relaxed) > 0)),
        watching: count(&|client| client.watched.load(Relaxed) > 0),
        with_timeout: count(&|client| {
            client.waiter.lock().as_ref().is_some_and(|waiter| waiter.wait.until_ms.is_some())
        }),
        bytes: all.iter().map(bytes).sum(),
    }
}
