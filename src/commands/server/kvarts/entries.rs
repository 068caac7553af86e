//! The entry of KVARTS with its subcommands.

use super::big_keys::big_keys;
use super::clock::clock;
use super::compat::compat;
use super::health::health;
use super::prefixes::prefixes;
use super::simulate::simulate;
use super::slow::slow;
use crate::command::{Family, Flags, Group};
use crate::commands::shared::help;
use crate::engine::command::Command;

/// What an operator asks must not wait for what is wrong: no key is touched, and nothing is waited for.
const OPERATOR: Flags = ON_DATA.without(Flags::BEGINS_ANEW).and(Flags::ALLOW_BUSY).and(Flags::PASSES_NO_GATE);

/// What is told of the data is told of all of them, and waits only for what is alone in the keyspace.
const ON_DATA: Flags = Flags::ADMIN
    .and(Flags::LOADING)
    .and(Flags::STALE)
    .and(Flags::NOSCRIPT)
    .and(Flags::WHOLE_KEYSPACE)
    .and(Flags::LOCKS_NO_SLOT)
    .and(Flags::BEGINS_ANEW);

/// Version of Kvarts that first had KVARTS.
const SINCE: &str = "0.1.0";

const fn of_kvarts(name: &'static str, arity: i32) -> Command {
    Command { name, arity, flags: OPERATOR, group: Group::Server, since: SINCE, ..Command::DEFAULT }
}

/// Entry of the command.
pub const COMMANDS: &[Command] = &[Command {
    name: "kvarts",
    arity: -2,
    group: Group::Server,
    summary: "Tells of the server what neither Redis nor Valkey tells.",
    since: SINCE,
    family: Family::Kvarts,
    subcommands: &[
        Command {
            summary: "Tells whether all workers, threads in the background and locks of slots answer.",
            complexity: "O(N) where N is the number of workers",
            reply: "a map",
            run: health,
            tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
            flags: OPERATOR.and(Flags::SHOWS),
            ..of_kvarts("health", 2)
        },
        Command {
            summary: "Moves the clock of the server, for tests of what depends on time, or shows it.",
            syntax: "<ADVANCE milliseconds:integer | SET unix-time-milliseconds:integer | FREEZE | RESUME | GET>",
            complexity: "O(N) where N is the number of keys that end by it",
            reply: "OK; with GET a map",
            run: clock,
            flags: OPERATOR.and(Flags::NO_MULTI),
            ..of_kvarts("clock", -3)
        },
        Command {
            summary: "Returns what the profile refuses, or would refuse, as it was found so far, or forgets it (profile).",
            syntax: "[RESET]",
            complexity: "O(N) where N is the number of findings",
            reply: "a map; with RESET OK",
            run: compat,
            tips: &["nondeterministic_output"],
            flags: OPERATOR.and(Flags::SHOWS),
            ..of_kvarts("compat", -2)
        },
        Command {
            summary: "Returns the largest keys by bytes and by elements, of those that the user may read (key-sizes).",
            syntax: "[TYPE type] [COUNT count]",
            complexity: "O(N) where N is the number of keys that are known",
            reply: "a map",
            flags: ON_DATA.and(Flags::SHOWS),
            run: big_keys,
            tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
            ..of_kvarts("bigkeys", -2)
        },
        Command {
            summary: "Returns what the keys of the database with a common prefix take, and how they are used, of those that the user may read (key-sizes).",
            syntax: "[DEPTH parts] [SEPARATOR text] [COUNT count]",
            complexity: "O(N) where N is the number of keys that are known",
            reply: "an array of maps",
            flags: ON_DATA.and(Flags::SHOWS),
            run: prefixes,
            tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
            ..of_kvarts("prefixes", -2)
        },
        Command {
            summary: "Rehearses faults: connections cut, a failover, slots that move, and others (enable-debug-command).",
            syntax: "[LATENCY milliseconds [JITTER milliseconds] [TAIL percent milliseconds] | CUT percent | NOSCRIPT percent | OOM percent | MOVED percent | ASK percent | LOADING milliseconds | FAILOVER milliseconds | READ-ONLY-PORT <DOWN | UP> | STALE milliseconds | SEED number | OFF]",
            complexity: "O(1); O(N) where N clients are cut",
            reply: "OK; without arguments a map",
            run: simulate,
            flags: OPERATOR.and(Flags::NO_MULTI),
            ..of_kvarts("simulate", -2)
        },
        Command {
            summary: "Returns the latest requests that took long (slow-requests-slower-than), with what their time was spent on: waiting for a lock, and for whom, for the end of a pause, for room, running, waiting for the disk, and for the client to read. LOCKS tells how long commands waited for locks.",
            syntax: "[GET [count] | LEN | RESET | LOCKS [command [command ...]]]",
            complexity: "O(N) where N is the number of requests or commands",
            reply: "an array of maps; with LEN a number, with RESET OK, with LOCKS a map of commands",
            run: slow,
            tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
            flags: OPERATOR.and(Flags::SHOWS),
            ..of_kvarts("slow", -2)
        },
        help::entry(SINCE, Group::Server, &[]),
    ],
    ..Command::DEFAULT
}];
