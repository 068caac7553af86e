//! The filters of CLIENT LIST and CLIENT KILL, and the line that describes a client.

use std::collections::HashSet;
use std::mem::discriminant;
use std::sync::atomic::Ordering::Relaxed;

use crate::command::args;
use crate::engine::Server;
use crate::engine::context::Context;
use crate::error::CommandError;
use crate::shared::client::SharedClient;
use crate::types::number::parse_i64;

/// The letters of the `flags` field that exist.
const KNOWN_FLAGS: &str = "AbBCcdeEfFgGiIMnNoOPrRStTuUx";

/// The letters of the `capa` field that exist.
const KNOWN_CAPABILITIES: &str = "r";

/// Filters that `NOT-` cannot stand before.
const NOT_INVERTED: [&str; 2] = ["MAXAGE", "IDLE"];

/// One condition on a client.
enum Condition {
    Ids(HashSet<u64>),
    Kind(Kind),
    Address(String),
    LocalAddress(String),
    User(Vec<u8>),
    AgeMin(u64),
    IdleMin(u64),
    Name(String),
    Flags(String),
    LibName(String),
    LibVersion(String),
    Database(usize),
    Ip(String),
    Capability(String),
}

/// What TYPE tells apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    PubSub,
    Primary,
    Replica,
}

/// Conditions that all have to hold, each perhaps inverted by `NOT-`. There is one of a kind, beside its inverted form.
#[derive(Default)]
pub struct Filter {
    conditions: Vec<(bool, Condition)>,
    /// SKIPME.
    pub skip_me: Option<bool>,
}

impl Filter {
    /// Reads pairs of a filter's name and value; ID takes several values. Of a filter given twice the last one counts, as in Valkey,
    /// but ids add up.
    ///
    /// # Errors
    /// Unknown filters and values, with Redis's texts.
    pub fn parse(cx: &Context<'_>, words: &[&[u8]]) -> Result<Self, CommandError> {
        let mut filter = Filter::default();
        let mut index = 0;
        while index < words.len() {
            let name = args::text(words[index]).to_ascii_uppercase();
            let (inverted, name) = match name.strip_prefix("NOT-") {
                Some(rest) => (true, rest.to_owned()),
                None => (false, name),
            };
            let Some(value) = words.get(index + 1) else { return Err(CommandError::Syntax) };
            index += 2;
            if name == "SKIPME" && !inverted {
                filter.skip_me = Some(match value {
                    value if args::is(value, "YES") => true,
                    value if args::is(value, "NO") => false,
                    _ => return Err(CommandError::Syntax),
                });
                continue;
            }
            if name == "ID" {
                let mut ids = HashSet::from([client_id(value)?]);
                while let Some(more) = words.get(index).and_then(|word| parse_i64(word)) {
                    ids.insert(positive_id(more)?);
                    index += 1;
                }
                filter.add(inverted, Condition::Ids(ids));
                continue;
            }
            if inverted && NOT_INVERTED.contains(&name.as_str()) {
                return Err(CommandError::Syntax);
            }
            filter.add(inverted, condition(cx, &name, value)?);
        }
        Ok(filter)
    }

    fn add(&mut self, inverted: bool, condition: Condition) {
        let is_kind = |(other_inverted, other): &&mut (bool, Condition)| {
            *other_inverted == inverted && discriminant(other) == discriminant(&condition)
        };
        match (self.conditions.iter_mut().find(is_kind), condition) {
            (Some((_, Condition::Ids(ids))), Condition::Ids(further)) => ids.extend(further),
            (Some((_, before)), condition) => *before = condition,
            (None, condition) => self.conditions.push((inverted, condition)),
        }
    }

    /// Whether a client passes.
    pub fn matches(&self, client: &SharedClient, cx: &Context<'_>, now_ms: u64) -> bool {
        if self.skip_me == Some(true) && client.id == cx.client.shared.id {
            return false;
        }
        self.conditions.iter().all(|(inverted, condition)| condition.holds(client, now_ms) != *inverted)
    }
}

fn condition(cx: &Context<'_>, name: &str, value: &[u8]) -> Result<Condition, CommandError> {
    let text = args::text(value);
    let seconds = |what: &str| match parse_i64(value) {
        None => Err(CommandError::new(format!("ERR {what} is not an integer or out of range"))),
        Some(number) if number <= 0 => Err(CommandError::new(format!("ERR {what} should be greater than 0"))),
        Some(number) => Ok(number as u64),
    };
    Ok(match name {
        "TYPE" => Condition::Kind(match text.to_ascii_lowercase().as_str() {
            "normal" => Kind::Normal,
            "pubsub" => Kind::PubSub,
            "master" | "primary" => Kind::Primary,
            "slave" | "replica" => Kind::Replica,
            _ => return Err(CommandError::new(format!("ERR Unknown client type '{text}'"))),
        }),
        "ADDR" => Condition::Address(text),
        "LADDR" => Condition::LocalAddress(text),
        "USER" if cx.server.acl.user(value).is_some() => Condition::User(value.to_vec()),
        "USER" => return Err(CommandError::new(format!("ERR No such user '{text}'"))),
        "MAXAGE" => Condition::AgeMin(seconds("maxage")?),
        "IDLE" => Condition::IdleMin(seconds("idle")?),
        "NAME" => Condition::Name(text),
        "FLAGS" => {
            if text.chars().any(|letter| !KNOWN_FLAGS.contains(letter)) {
                return Err(CommandError::new(format!(
                    "ERR Unknown flags found in the provided filter: {text}"
                )));
            }
            Condition::Flags(text)
        }
        "LIB-NAME" => Condition::LibName(text),
        "LIB-VER" => Condition::LibVersion(text),
        "DB" => {
            let count = cx.keys.keyspace.database_count();
            let number =
                parse_i64(value).ok_or(CommandError::text("ERR DB is not an integer or out of range"))?;
            let index = usize::try_from(number).ok();
            Condition::Database(index.filter(|index| *index < count).ok_or_else(|| {
                CommandError::new(format!("ERR DB number should be between 0 and {}", count - 1))
            })?)
        }
        "IP" => Condition::Ip(text),
        "CAPA" if text.chars().any(|letter| !KNOWN_CAPABILITIES.contains(letter)) => {
            return Err(CommandError::new(format!("ERR Unknown capa found in the provided filter: {text}")));
        }
        "CAPA" => Condition::Capability(text),
        _ => return Err(CommandError::Syntax),
    })
}

fn client_id(value: &[u8]) -> Result<u64, CommandError> {
    positive_id(parse_i64(value).ok_or(CommandError::Syntax)?)
}

fn positive_id(value: i64) -> Result<u64, CommandError> {
    u64::try_from(value)
        .ok()
        .filter(|id| *id > 0)
        .ok_or(CommandError::text("ERR client-id should be greater than 0"))
}

impl Condition {
    fn holds(&self, client: &SharedClient, now_ms: u64) -> bool {
        let names = || client.names.lock().clone();
        match self {
            Condition::Ids(ids) => ids.contains(&client.id),
            Condition::Kind(kind) => *kind == kind_of(client),
            Condition::Address(address) => client.address == *address,
            Condition::LocalAddress(address) => client.local_address == *address,
            Condition::User(user) => *client.user.lock().name == **user,
            Condition::AgeMin(seconds) => now_ms.saturating_sub(client.created_ms) / 1000 >= *seconds,
            Condition::IdleMin(seconds) => {
                now_ms.saturating_sub(client.active_ms.load(Relaxed)) / 1000 >= *seconds
            }
            Condition::Name(name) => names().name == *name,
            Condition::Flags(wanted) => {
                let flags = flags_of(client);
                wanted.chars().all(|letter| flags.contains(letter))
            }
            Condition::LibName(name) => names().lib_name == *name,
            Condition::LibVersion(version) => names().lib_version == *version,
            Condition::Database(database) => client.database.load(Relaxed) == *database,
            Condition::Ip(ip) => client
                .address
                .rsplit_once(':')
                .is_some_and(|(host, _)| host.trim_start_matches('[').trim_end_matches(']') == ip),
            Condition::Capability(letters) => {
                let has = capabilities_of(client);
                letters.chars().all(|letter| has.contains(letter))
            }
        }
    }
}

fn subscriptions_of(client: &SharedClient) -> [usize; 3] {
    [0, 1, 2].map(|index| client.subscribed[index].load(Relaxed))
}

fn kind_of(client: &SharedClient) -> Kind {
    let resp3 = client.protocol.load(Relaxed) == 3;
    if !resp3 && subscriptions_of(client).iter().any(|count| *count > 0) {
        Kind::PubSub
    } else {
        Kind::Normal
    }
}

fn capabilities_of(client: &SharedClient) -> &'static str {
    if client.capa_redirect.load(Relaxed) { "r" } else { "" }
}

/// The letters of the `flags` field.
fn flags_of(client: &SharedClient) -> String {
    let mut flags = String::new();
    let mut add = |wanted: bool, letter| {
        if wanted {
            flags.push(letter);
        }
    };
    add(client.monitor.load(Relaxed), 'O');
    add(subscriptions_of(client).iter().any(|count| *count > 0), 'P');
    let tracker = client.tracker.lock().clone();
    add(tracker.is_some(), 't');
    add(tracker.as_ref().is_some_and(|tracker| tracker.is_broken()), 'R');
    add(tracker.as_ref().is_some_and(|tracker| tracker.broadcast), 'B');
    add(client.queued.load(Relaxed) >= 0, 'x');
    add(client.blocked.load(Relaxed) || client.waiter.lock().is_some(), 'b');
    add(client.is_unix(), 'U');
    add(client.readonly.load(Relaxed), 'r');
    add(client.no_evict.load(Relaxed), 'e');
    add(client.no_touch.load(Relaxed), 'T');
    add(client.import_source.load(Relaxed), 'I');
    if flags.is_empty() {
        flags.push('N');
    }
    flags
}

/// Whom a client has its invalid keys told: -1 while it tracks none, 0 for itself.
pub fn redirect_of(client: &SharedClient) -> i64 {
    match &*client.tracker.lock() {
        None => -1,
        Some(tracker) => tracker.redirect.as_ref().map_or(0, |redirect| redirect.id as i64),
    }
}

/// One line of CLIENT LIST, without its end.
pub fn describe(server: &Server, client: &SharedClient, now_ms: u64) -> String {
    let names = client.names.lock().clone();
    let [channels, patterns, shard] = subscriptions_of(client);
    let (waiting_bytes, waiting_messages) = client.outbox_size();
    let [query_len, query_capacity] = [0, 1].map(|index| client.query_buffer[index].load(Relaxed));
    let [reply_len, reply_capacity] = [0, 1].map(|index| client.reply_buffer[index].load(Relaxed));
    let last = client.last_command.load(Relaxed) as usize;
    let command = server.commands.entries().get(last).map_or("NULL", |entry| entry.full_name.as_str());
    let output_memory = waiting_bytes + reply_len;
    let events = if output_memory > 0 { "rw" } else { "r" };
    let request_memory = client.waiter.lock().as_ref().map_or(0, |waiter| waiter.request.memory_bytes());
    let queued = client.queued.load(Relaxed);
    let queued_memory = if queued >= 0 { client.queued_bytes.load(Relaxed) } else { 0 };
    let watched = client.watched.load(Relaxed);
    let total_memory = client.memory_bytes();
    let query_free = query_capacity.saturating_sub(query_len);
    let age_s = now_ms.saturating_sub(client.created_ms) / 1000;
    let idle_s = now_ms.saturating_sub(client.active_ms.load(Relaxed)) / 1000;
    format!(
        "id={} addr={} laddr={} fd={} name={} age={age_s} idle={idle_s} flags={} capa={} db={} sub={channels} \
         psub={patterns} ssub={shard} multi={queued} watch={watched} qbuf={query_len} qbuf-free={query_free} argv-mem={request_memory} \
         multi-mem={queued_memory} \
         rbs={reply_capacity} rbp={reply_capacity} obl={reply_len} oll={waiting_messages} omem={output_memory} \
         tot-mem={total_memory} events={events} cmd={command} user={} redir={} resp={} lib-name={} lib-ver={} \
         tot-net-in={} tot-net-out={} tot-cmds={}",
        client.id,
        client.address,
        client.local_address,
        client.fd,
        names.name,
        flags_of(client),
        capabilities_of(client),
        client.database.load(Relaxed),
        String::from_utf8_lossy(&client.user.lock().name),
        redirect_of(client),
        client.protocol.load(Relaxed),
        names.lib_name,
        names.lib_version,
        client.input_bytes.load(Relaxed),
        client.output_bytes.load(Relaxed),
        client.commands.load(Relaxed),
    )
}
