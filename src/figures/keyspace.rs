//! Figures of the section Keyspace.

use super::sight::DatabaseCounts;
use super::{Figure, Kind, Part, Row, Sight, Unit, family, part};

pub(super) const FIGURES: &[Figure] =
    &[family("db", "A database with keys, by its number.", DATABASE, databases)];

const DATABASE: &[Part] = &[
    part("keys", Kind::Gauge, Unit::None, "Keys of the database.").export("redis_db_keys", 1.0),
    part("expires", Kind::Gauge, Unit::None, "Keys of the database with an expiry.")
        .export("redis_db_keys_expiring", 1.0),
    part(
        "avg_ttl",
        Kind::Gauge,
        Unit::Milliseconds,
        "What keys with an expiry have still to live on average, by a sample.",
    )
    .export("redis_db_avg_ttl_seconds", 1e-3),
    part(
        "keys_with_volatile_items",
        Kind::Gauge,
        Unit::None,
        "Hashes of the database with fields that have an expiry.",
    )
    .export("kvarts_db_keys_with_volatile_items", 1.0),
];

/// Databases without keys that Prometheus is told of all the same, so that a graph shows a database that was
/// emptied: as many as there are by default.
const EMPTY_MAX: usize = 16;

fn databases(at: &Sight<'_>) -> Vec<Row> {
    let Some(made) = at.databases() else { return Vec::new() };
    let count = at.server.keyspace.database_count();
    let of = |number| made.iter().find(|counts| counts.number == number).copied();
    let empty = (0..count.min(EMPTY_MAX))
        .map(|number| of(number).unwrap_or(DatabaseCounts { number, ..<_>::default() }));
    let further = made.iter().filter(|counts| counts.number >= EMPTY_MAX && counts.keys > 0).copied();
    empty.chain(further).map(row).collect()
}

fn row(counts: DatabaseCounts) -> Row {
    let mut parts = vec![("keys", counts.keys.into()), ("expires", counts.volatile.into())];
    if counts.keys > 0 {
        parts.push(("avg_ttl", counts.average_ttl_ms.into()));
        parts.push(("keys_with_volatile_items", counts.field_ends.into()));
    }
    let labels = vec![("db", format!("db{}", counts.number))];
    Row { labels, in_info: counts.keys > 0, ..Row::new(counts.number.to_string(), "", parts) }
}
