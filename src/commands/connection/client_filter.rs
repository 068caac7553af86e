//! The filters of CLIENT LIST and CLIENT KILL.

use std::collections::HashSet;
use std::mem::discriminant;
use std::sync::atomic::Ordering::Relaxed;

use crate::command::args;
use crate::engine::client_text::{capabilities_of, flags_of};
use crate::engine::context::Context;
use crate::error::CommandError;
use crate::primitives::number::parse_i64;
use crate::shared::client::SharedClient;

/// Letters that the `flags` field of a client can have.
const KNOWN_FLAGS: &str = "AbBCcdeEfFgGiIMnNoOPrRStTuUx";

/// Letters that the `capa` field of a client can have.
const KNOWN_CAPABILITIES: &str = "r";

/// Filters that have no form with `NOT-`.
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

/// Classes of clients that TYPE knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    PubSub,
    Primary,
    Replica,
}

/// Conditions that all have to hold. `NOT-` inverts one. There is at most one of a kind, beside its inverted
/// form.
#[derive(Default)]
pub struct Filter {
    conditions: Vec<(bool, Condition)>,
    /// SKIPME.
    pub skip_me: Option<bool>,
}

impl Filter {
    /// Reads pairs of a filter's name and value; ID takes several values. Of a filter given twice the last
    /// one counts, as in Valkey, but ids add up.
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

    /// Whether a client meets all conditions.
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

fn kind_of(client: &SharedClient) -> Kind {
    if client.replica.load(Relaxed) {
        return Kind::Replica;
    }
    if client.primary.load(Relaxed) {
        return Kind::Primary;
    }
    if client.is_subscribed() { Kind::PubSub } else { Kind::Normal }
}
