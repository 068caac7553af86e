//! MEMORY: figures of the memory in use, and advice.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use crate::command::{Flags, Group, KeySpec, args};
use crate::commands::server::advice;
use crate::commands::shared::help;
use crate::config::Directive;
use crate::engine::Server;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::engine::memory::MemoryUse;
use crate::error::{CommandError, CommandResult};
use crate::shared::stats::Counter;

const KEY: &[KeySpec] = &[KeySpec::one(2, KeySpec::RO)];

/// Bytes in use below which MEMORY DOCTOR has nothing to say (Redis's figure).
const SMALL_BYTES: u64 = 5 << 20;

/// Bytes that the system holds for the process below which MEMORY DOCTOR does not speak of fragmentation: what a
/// server needs by itself is the larger part of them.
const HELD_MIN: u64 = 256 << 20;

/// Average bytes of buffers a client from which on MEMORY DOCTOR mentions them.
const BUFFERS_BIG_BYTES: usize = 200 << 10;

/// Share of the limit, or of the machine's memory, from which on MEMORY DOCTOR mentions it.
const LIMIT_NEAR_PERCENT: u64 = 80;

/// Number of scripts from which on MEMORY DOCTOR mentions them.
const SCRIPTS_MANY: usize = 500;

/// They look at what is counted of the keyspace, and not at keys.
const WHOLE: Flags = Flags::WHOLE_KEYSPACE.and(Flags::PASSES_NO_GATE);

const fn of_memory(name: &'static str) -> Command {
    Command { name, arity: 2, flags: WHOLE, group: Group::Server, since: "4.0.0", ..Command::DEFAULT }
}

/// Entry of the command in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "memory",
    arity: -2,
    group: Group::Server,
    summary: "Tells what takes memory.",
    since: "4.0.0",
    subcommands: &[
        Command {
            name: "usage",
            arity: -3,
            flags: Flags::READONLY.and(Flags::NO_ACCESS),
            keys: KEY,
            group: Group::Server,
            summary: "Returns the bytes that a key and its value take.",
            syntax: "key [SAMPLES count]",
            since: "4.0.0",
            complexity: "O(N) where N is the number of samples",
            reply: "a number or null",
            run: usage,
            ..Command::DEFAULT
        },
        Command {
            summary: "Tells in words whether memory is used as it should be.",
            reply: "a text",
            run: doctor,
            tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
            ..of_memory("doctor")
        },
        Command {
            summary: "Returns what the allocator tells of itself.",
            reply: "a text",
            flags: WHOLE.and(Flags::LOADING),
            run: malloc_stats,
            tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
            ..of_memory("malloc-stats")
        },
        Command {
            summary: "Asks the allocator to give back what is free. It does that by itself: nothing more happens.",
            reply: "OK",
            flags: WHOLE.and(Flags::LOADING).and(Flags::ACTS),
            run: purge,
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            ..of_memory("purge")
        },
        Command {
            summary: "Returns what takes memory, in figures.",
            reply: "a map of figures",
            run: stats,
            tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
            ..of_memory("stats")
        },
        help::entry("4.0.0", Group::Server, &[]),
    ],
    ..Command::DEFAULT
}];

fn usage(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let mut index = 3;
    while index < arguments.len() {
        if !args::is(arguments[index], "SAMPLES") {
            return Err(CommandError::Syntax);
        }
        // SAMPLES has no effect, as the figure is exact; the number is checked all the same.
        if args::int(args::value_of(arguments, index)?)? < 0 {
            return Err(CommandError::Syntax);
        }
        index += 2;
    }
    let key = cx.key(arguments, 2);
    cx.keys.expect_elements(&key, usize::MAX, 1)?;
    match cx.keys.memory_bytes(&key) {
        Some(bytes) => cx.reply.count(bytes),
        None => cx.reply.null(),
    }
    Ok(())
}

/// Sums the bytes of all clients' buffers.
fn client_bytes(server: &Server) -> usize {
    let bytes = |client: &std::sync::Arc<crate::shared::client::SharedClient>| {
        client.query_buffer[1].load(Relaxed) + client.reply_buffer[1].load(Relaxed) + client.outbox_size().0
    };
    server.clients.all().iter().map(bytes).sum()
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn doctor(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let server = cx.server;
    let used = server.memory_use();
    let clients = server.clients.count().max(1);
    let limit = Limit {
        bytes: server.settings.maxmemory(),
        policy: server.config.word(Directive::MaxmemoryPolicy),
        evicted: server.stats.sum(Counter::EvictedKeys),
    };
    let mut advice = advice(&used, &limit, client_bytes(server) / clients, server.scripting.scripts.count());
    // Names of keys and addresses of clients are for those who may see all of them.
    if used.allocated >= SMALL_BYTES && cx.client.rights.is_free(server) {
        let (report, clients) = (server.key_report(0), advice::largest_clients(server));
        advice += &advice::of_large_things(used.allocated, report.as_deref(), &clients);
        if report.is_none() && !advice.is_empty() && !server.keyspace.sizes.is_wanted() {
            advice += "- After CONFIG SET key-sizes yes the server can name the largest keys and prefixes.\n";
        }
    }
    cx.reply.verbatim("txt", in_one(&used, advice).as_bytes());
    Ok(())
}

/// What `maxmemory` says, and what came of it.
struct Limit {
    /// Its value; 0 for none.
    bytes: u64,
    policy: &'static str,
    /// Keys that were evicted since the start.
    evicted: u64,
}

impl Limit {
    /// Says where the limit is near, or misses.
    fn advise(&self, used: &MemoryUse, text: &mut String) {
        let &Limit { bytes, policy, evicted } = self;
        let percent = |whole: u64| used.allocated.saturating_mul(100) / whole.max(1);
        // Writing to a string cannot fail.
        let _ = if bytes == 0 && percent(used.system) >= LIMIT_NEAR_PERCENT {
            writeln!(
                text,
                "- {} bytes are in use, {} % of the machine's memory, and maxmemory is not set: the system may end the server. CONFIG SET maxmemory bounds it.",
                used.allocated,
                percent(used.system)
            )
        } else if bytes > 0 && percent(bytes) >= LIMIT_NEAR_PERCENT && policy == "noeviction" {
            writeln!(
                text,
                "- {} % of maxmemory ({bytes}) are in use, and with maxmemory-policy noeviction writes are refused at the limit: raise it, shorten expiries, or choose a policy that evicts.",
                percent(bytes)
            )
        } else if bytes > 0 && percent(bytes) >= LIMIT_NEAR_PERCENT {
            writeln!(
                text,
                "- {} % of maxmemory ({bytes}) are in use; {evicted} keys were evicted so far (maxmemory-policy {policy}): raise it where the hit rate falls.",
                percent(bytes)
            )
        } else {
            Ok(())
        };
    }
}

/// The whole text, for this advice.
fn in_one(used: &MemoryUse, advice: String) -> String {
    if used.allocated < SMALL_BYTES && advice.is_empty() {
        "Too little memory is in use to say anything about it.\n".to_owned()
    } else if advice.is_empty() {
        "Nothing is wrong with the use of memory.\n".to_owned()
    } else {
        format!("This stands out:\n\n{advice}")
    }
}

/// The advice for these figures, a line for each; empty where nothing stands out.
fn advice(used: &MemoryUse, limit: &Limit, bytes_a_client: usize, scripts: usize) -> String {
    let mut text = String::new();
    limit.advise(used, &mut text);
    if used.allocated < SMALL_BYTES {
        // Of so little memory nothing but its limit says anything.
        return text;
    }
    // Writing to a string cannot fail.
    if used.peak > used.allocated + used.allocated / 2 {
        let _ = writeln!(
            text,
            "- At its peak the server used {} bytes, now {}: what was freed since may still be held for the process.",
            used.peak, used.allocated
        );
    }
    let held = ratio(used.resident, used.allocated);
    if held > 1.4 && used.resident > HELD_MIN {
        let _ = writeln!(
            text,
            "- The system holds {held:.2} times what is in use: memory is fragmented, or was freed a moment ago. MEMORY PURGE gives back what is free."
        );
    }
    if bytes_a_client > BUFFERS_BIG_BYTES {
        let _ = writeln!(
            text,
            "- A client's buffers take {bytes_a_client} bytes on average: look in CLIENT LIST for clients that read slowly or send much at once."
        );
    }
    if scripts > SCRIPTS_MANY {
        let _ = writeln!(
            text,
            "- {scripts} scripts are known: pass what differs as arguments instead of writing it into the script."
        );
    }
    text
}

fn malloc_stats(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let MemoryUse { resident, allocated, peak, system } = cx.server.memory_use();
    let text = format!(
        "allocator: {}\nin use: {allocated} bytes\nin use at the peak: {peak} bytes\nheld by the system for the process: {resident} bytes\nthe machine has: {system} bytes\n",
        crate::alloc::NAME
    );
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn purge(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    // Other threads give memory back when they next have nothing to do; the keeper sees to that.
    crate::alloc::ask_back();
    cx.server.upkeep.keeper.wake_all();
    cx.reply.ok();
    Ok(())
}

/// A figure of MEMORY STATS.
enum Figure {
    Count(u64),
    Signed(i64),
    Number(f64),
    /// A database: bytes of its tables and expiries.
    Database(u64),
}

fn stats(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let server = cx.server;
    let used = server.memory_use();
    let mut databases = Vec::new();
    let (mut keys, mut overhead) = (0, 0);
    for number in 0..cx.keys.keyspace.database_count() {
        let counts = cx.keys.glance(number, |database| (database.len(), database.overhead_bytes()));
        if let Some((len, bytes)) = counts {
            overhead += bytes as u64;
            // One that was emptied may still have tables.
            if len > 0 || bytes > 0 {
                keys += len as u64;
                databases.push((format!("db.{number}"), Figure::Database(bytes as u64)));
            }
        }
    }
    let scripts = server.scripting.scripts.memory_bytes() as u64;
    let functions = server.scripting.libraries.memory_bytes() as u64;
    let clients = client_bytes(server) as u64;
    let (backlog, beyond) = server.replication_memory();
    let tables = overhead;
    let startup = server.identity.memory_startup;
    let sizes = server.keyspace.sizes.memory_bytes() as u64;
    overhead += sizes + scripts + functions + clients + startup;
    let dataset = used.allocated.saturating_sub(overhead);
    let percentage = |part: u64, whole: u64| Figure::Number(ratio(part, whole) * 100.0);
    let waste = used.resident as i64 - used.allocated as i64;
    let named = |name: &str, figure| (name.to_owned(), figure);
    let mut figures = vec![
        named("peak.allocated", Figure::Count(used.peak)),
        named("total.allocated", Figure::Count(used.allocated)),
        named("startup.allocated", Figure::Count(startup)),
        named("replication.backlog", Figure::Count(backlog)),
        named("replicas.repl.buffer", Figure::Count(beyond)),
        named("clients.slaves", Figure::Count(0)),
        named("clients.normal", Figure::Count(clients)),
        named("cluster.links", Figure::Count(0)),
        named("cluster.slot_import", Figure::Count(0)),
        named("cluster.slot_export", Figure::Count(0)),
        named("aof.buffer", Figure::Count(0)),
        named("lua.caches", Figure::Count(scripts)),
        named("functions.caches", Figure::Count(functions)),
    ];
    figures.extend(databases);
    figures.extend([
        named("overhead.db.hashtable.lut", Figure::Count(tables)),
        named("overhead.db.hashtable.rehashing", Figure::Count(0)),
        named("overhead.total", Figure::Count(overhead)),
        named("db.dict.rehashing.count", Figure::Count(0)),
        named("keys.count", Figure::Count(keys)),
        named("keys.bytes-per-key", Figure::Count(dataset.checked_div(keys).unwrap_or(0))),
        named("dataset.bytes", Figure::Count(dataset)),
        named("dataset.percentage", percentage(dataset, used.allocated)),
        named("peak.percentage", percentage(used.allocated, used.peak)),
        named("allocator.allocated", Figure::Count(used.allocated)),
        named("allocator.active", Figure::Count(used.resident)),
        named("allocator.resident", Figure::Count(used.resident)),
        named("allocator.muzzy", Figure::Count(0)),
        named("allocator-fragmentation.ratio", Figure::Number(1.0)),
        named("allocator-fragmentation.bytes", Figure::Count(0)),
        named("allocator-rss.ratio", Figure::Number(ratio(used.resident, used.allocated))),
        named("allocator-rss.bytes", Figure::Signed(waste)),
        named("rss-overhead.ratio", Figure::Number(1.0)),
        named("rss-overhead.bytes", Figure::Count(0)),
        named("fragmentation", Figure::Number(ratio(used.resident, used.allocated))),
        named("fragmentation.bytes", Figure::Signed(waste)),
    ]);
    cx.reply.map(figures.len());
    for (name, figure) in figures {
        cx.reply.bulk(name.as_bytes());
        match figure {
            Figure::Count(count) => cx.reply.int(count as i64),
            Figure::Signed(count) => cx.reply.int(count),
            Figure::Number(number) => cx.reply.double(number),
            Figure::Database(bytes) => {
                cx.reply.map(2);
                cx.reply.bulk(b"overhead.hashtable.main");
                cx.reply.int(bytes as i64);
                cx.reply.bulk(b"overhead.hashtable.expires");
                cx.reply.int(0);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_follows_from_the_figures() {
        let used = |allocated, peak, resident| MemoryUse { resident, allocated, peak, system: 1 << 34 };
        const M: u64 = 1 << 20;
        let limit = |bytes, policy| Limit { bytes, policy, evicted: 7 };
        let none = limit(0, "noeviction");
        let text = |used: MemoryUse, limit: &Limit, bytes, scripts| {
            in_one(&used, advice(&used, limit, bytes, scripts))
        };
        assert!(text(used(M, M, M), &none, 1 << 20, 1000).starts_with("Too little"));
        // But its limit, where there is one.
        let near = text(used(M, M, 100 * M), &limit(M, "noeviction"), 1 << 20, 1000);
        assert!(near.starts_with("This stands out:\n\n- 100 % of maxmemory"), "{near}");
        assert_eq!(near.lines().count(), 3, "{near}");
        assert!(text(used(100 * M, 110 * M, 110 * M), &none, 1000, 10).starts_with("Nothing is wrong"));
        assert!(text(used(10 * M, 10 * M, 200 * M), &none, 1000, 10).starts_with("Nothing is wrong"));
        let all = text(used(200 * M, 400 * M, 400 * M), &none, 1 << 20, 1000);
        assert!(all.starts_with("This stands out:\n\n- "), "{all}");
        assert_eq!(all.lines().filter(|line| line.starts_with("- ")).count(), 4, "{all}");
        let at = |limit: &Limit, bytes| advice(&used(bytes, bytes, bytes), limit, 0, 0);
        assert_eq!(at(&limit(100 * M, "noeviction"), 79 * M), "");
        let refused = at(&limit(100 * M, "noeviction"), 80 * M);
        assert!(refused.starts_with("- 80 % of maxmemory (104857600) are in use, and with"), "{refused}");
        let evicted = at(&limit(100 * M, "allkeys-lru"), 99 * M);
        assert!(evicted.contains("7 keys were evicted so far (maxmemory-policy allkeys-lru)"), "{evicted}");
        assert!(at(&none, 15 << 30).contains("maxmemory is not set"));
    }
}
