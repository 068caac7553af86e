//! CLUSTER, READONLY, READWRITE, ASKING: one node that owns all slots, its read-only port shown as the
//! replica.

use std::sync::atomic::Ordering;

use crate::cluster::{Ids, SlotGiven};
use crate::command::{Category, Family, Flags, Group, args};
use crate::commands::shared::help;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::engine::endpoints::Endpoint;
use crate::error::{CommandError, CommandResult};
use crate::figures::{self, Sight};
use crate::keyspace::key_hash::{SLOT_COUNT, key_slot};
use crate::keyspace::scan;
use crate::profile::Feature;
use crate::shared::client::Door;

const CONNECTION: &[Category] = &[Category::Connection];
const ANYTIME: Flags = Flags::LOADING.and(Flags::STALE);

const WALKS: Flags = Flags::WHOLE_KEYSPACE.and(Flags::BEGINS_ANEW);
const OPERATOR: Flags = Flags::ADMIN.and(Flags::STALE);

const fn subcommand(name: &'static str, arity: i32, flags: Flags) -> Command {
    Command { name, arity, flags, group: Group::Cluster, since: "3.0.0", ..Command::DEFAULT }
}

/// Entry of a subcommand that changes the owners of slots, which never change here.
const fn fixed(name: &'static str, arity: i32, since: &'static str) -> Command {
    Command {
        summary: "Refused: one node owns all slots.",
        reply: "an error",
        since,
        run: refuse_change,
        ..subcommand(name, arity, OPERATOR.and(Flags::NO_ASYNC_LOADING))
    }
}

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "cluster",
        arity: -2,
        group: Group::Cluster,
        summary: "Tells about the cluster: its slots and nodes.",
        since: "3.0.0",
        subcommands: &[
            Command {
                summary: "Lists the ranges of slots with their nodes.",
                reply: "an array of ranges",
                run: slots,
                tips: &["nondeterministic_output"],
                ..subcommand("slots", 2, ANYTIME)
            },
            Command {
                summary: "Lists the shards with their slots and nodes.",
                since: "7.0.0",
                reply: "an array of shards",
                run: shards,
                tips: &["nondeterministic_output"],
                ..subcommand("shards", 2, ANYTIME)
            },
            Command {
                summary: "Lists the nodes, a line each.",
                reply: "lines of fields",
                run: nodes,
                tips: &["nondeterministic_output"],
                ..subcommand("nodes", 2, ANYTIME)
            },
            Command {
                summary: "Describes the cluster's state.",
                reply: "lines of fields",
                run: info,
                tips: &["nondeterministic_output"],
                ..subcommand("info", 2, ANYTIME)
            },
            Command {
                summary: "Returns the slot of a key.",
                syntax: "key:string",
                complexity: "O(N) where N is the number of bytes in the key",
                reply: "the slot",
                run: keyslot,
                ..subcommand("keyslot", 3, Flags::STALE)
            },
            Command {
                summary: "Returns this node's id.",
                reply: "the id",
                run: myid,
                ..subcommand("myid", 2, ANYTIME)
            },
            Command {
                summary: "Returns the id of this node's shard.",
                since: "7.2.0",
                reply: "the id",
                run: myshardid,
                tips: &["nondeterministic_output"],
                ..subcommand("myshardid", 2, ANYTIME)
            },
            Command {
                summary: "Counts the keys in a slot.",
                syntax: "slot",
                reply: "the number of keys",
                run: countkeysinslot,
                ..subcommand("countkeysinslot", 3, Flags::STALE.and(WALKS))
            },
            Command {
                summary: "Returns names of keys in a slot.",
                syntax: "slot count",
                complexity: "O(N) where N is the number of keys asked for",
                reply: "an array of keys",
                run: getkeysinslot,
                tips: &["nondeterministic_output"],
                ..subcommand("getkeysinslot", 4, Flags::STALE.and(WALKS))
            },
            Command {
                summary: "Lists a node's replicas, a line each.",
                syntax: "node-id",
                since: "5.0.0",
                reply: "an array of lines",
                run: replicas,
                tips: &["nondeterministic_output"],
                ..subcommand("replicas", 3, OPERATOR.and(Flags::SHOWS))
            },
            Command {
                summary: "An older name of CLUSTER REPLICAS.",
                syntax: "node-id",
                reply: "an array of lines",
                run: replicas,
                tips: &["nondeterministic_output"],
                ..subcommand("slaves", 3, OPERATOR.and(Flags::SHOWS))
            },
            Command {
                summary: "Lists the links to other nodes: there are none.",
                since: "7.0.0",
                reply: "an empty array",
                run: links,
                tips: &["nondeterministic_output"],
                ..subcommand("links", 2, Flags::STALE)
            },
            Command {
                summary: "Counts the reports that a node has failed.",
                syntax: "node-id",
                reply: "a number",
                run: count_failure_reports,
                tips: &["nondeterministic_output"],
                ..subcommand("count-failure-reports", 3, OPERATOR.and(Flags::SHOWS))
            },
            Command {
                summary: "Tells what slots hold and, with cluster-slot-stats-enabled, what they are used for.",
                syntax: "SLOTSRANGE(start-slot end-slot) | ORDERBY(metric [LIMIT limit] [ASC | DESC])",
                since: "8.0.0",
                family: Family::Each("8.2", "8.0"),
                complexity: "O(N) where N is the number of slots",
                reply: "slots with their figures",
                run: super::slot_stats::slot_stats,
                tips: &["nondeterministic_output", "request_policy:all_shards"],
                ..subcommand("slot-stats", -4, ANYTIME.and(WALKS))
            },
            Command {
                summary: "Accepts slots, which this node has anyway, once.",
                syntax: "slot [slot ...]",
                complexity: "O(N) where N is the number of slots",
                reply: "OK",
                run: add_slots,
                ..fixed("addslots", -3, "3.0.0")
            },
            Command {
                summary: "Accepts ranges of slots, which this node has anyway, once.",
                syntax: "start-slot end-slot [start-slot end-slot ...]",
                complexity: "O(N) where N is the number of slots",
                reply: "OK",
                run: add_slot_ranges,
                ..fixed("addslotsrange", -4, "7.0.0")
            },
            Command { tips: &["nondeterministic_output"], ..fixed("bumpepoch", 2, "3.0.0") },
            Command { syntax: "slot [slot ...]", ..fixed("delslots", -3, "3.0.0") },
            Command {
                syntax: "start-slot end-slot [start-slot end-slot ...]",
                ..fixed("delslotsrange", -4, "7.0.0")
            },
            Command { syntax: "[FORCE | TAKEOVER]", ..fixed("failover", -2, "3.0.0") },
            fixed("flushslots", 2, "3.0.0"),
            Command { syntax: "node-id", run: refuse_node, ..fixed("forget", 3, "3.0.0") },
            Command { syntax: "ip port [cluster-bus-port]", ..fixed("meet", -4, "3.0.0") },
            Command { syntax: "node-id | NO ONE", ..fixed("replicate", -3, "3.0.0") },
            Command {
                flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::STALE),
                syntax: "[HARD | SOFT]",
                ..fixed("reset", -2, "3.0.0")
            },
            fixed("saveconfig", 2, "3.0.0"),
            Command {
                summary: "Sets the configuration epoch of a new node.",
                syntax: "config-epoch",
                reply: "OK",
                run: set_config_epoch,
                ..fixed("set-config-epoch", 3, "3.0.0")
            },
            Command {
                syntax: "slot (IMPORTING node-id | MIGRATING node-id | NODE node-id | STABLE) [TIMEOUT timeout]",
                ..fixed("setslot", -4, "3.0.0")
            },
            help::entry("5.0.0", Group::Cluster, &[]),
        ],
        ..Command::DEFAULT
    },
    Command {
        name: "readonly",
        arity: 1,
        flags: ANYTIME.and(Flags::FAST),
        categories: CONNECTION,
        group: Group::Cluster,
        summary: "Lets this connection read from a replica.",
        since: "3.0.0",
        reply: "OK",
        run: readonly,
        ..Command::DEFAULT
    },
    Command {
        name: "readwrite",
        arity: 1,
        flags: ANYTIME.and(Flags::FAST),
        categories: CONNECTION,
        group: Group::Cluster,
        summary: "Ends what READONLY began.",
        since: "3.0.0",
        reply: "OK",
        run: readwrite,
        ..Command::DEFAULT
    },
    Command {
        name: "asking",
        arity: 1,
        flags: Flags::FAST.and(Flags::KEEPS_ASKING),
        categories: CONNECTION,
        group: Group::Cluster,
        summary: "Lets the next command follow an ASK redirection.",
        since: "3.0.0",
        reply: "OK",
        run: asking,
        ..Command::DEFAULT
    },
];

pub(super) fn check_enabled(cx: &Context<'_>) -> CommandResult {
    if cx.server.cluster.is_enabled() { Ok(()) } else { Err(CommandError::ClusterDisabled) }
}

/// One of the two nodes.
struct Node<'c> {
    id: &'c str,
    port: u16,
    is_replica: bool,
}

/// The primary, and the replica where there is a read-only port.
fn node_list<'c>(ids: &'c Ids, endpoint: &Endpoint) -> Vec<Node<'c>> {
    let mut nodes = vec![Node { id: &ids.node, port: endpoint.port, is_replica: false }];
    if endpoint.read_only_port != 0 {
        nodes.push(Node { id: &ids.replica, port: endpoint.read_only_port, is_replica: true });
    }
    nodes
}

fn slots(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    check_enabled(cx)?;
    let endpoint = cx.server.endpoint(cx.client);
    let host = cx.server.preferred_host(&endpoint);
    let ids = cx.server.cluster.ids();
    let nodes = node_list(&ids, &endpoint);
    // Names and addresses other than the endpoint are told beside it.
    let mut extras: Vec<(&str, &str)> = Vec::new();
    if host != endpoint.ip {
        extras.push(("ip", &endpoint.ip));
    }
    if !endpoint.hostname.is_empty() && host != endpoint.hostname {
        extras.push(("hostname", &endpoint.hostname));
    }
    let is_bare =
        cx.server.profile.as_ref().is_some_and(|profile| profile.shape(Feature::BareSlots).is_some());
    let reply = &mut cx.reply;
    reply.array(1);
    reply.array(2 + nodes.len());
    reply.int(0);
    reply.count(SLOT_COUNT - 1);
    for node in nodes {
        reply.array(if is_bare { 3 } else { 4 });
        // Null for an unknown endpoint: clients go on using the address they are connected to.
        reply.bulk_or_null((!host.is_empty()).then_some(host.as_bytes()));
        reply.int(i64::from(node.port));
        reply.bulk(node.id.as_bytes());
        if is_bare {
            continue;
        }
        reply.map(extras.len());
        for (name, value) in &extras {
            reply.bulk(name.as_bytes());
            reply.bulk(value.as_bytes());
        }
    }
    Ok(())
}

fn shards(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    check_enabled(cx)?;
    let endpoint = cx.server.endpoint(cx.client);
    let host = cx.server.preferred_host(&endpoint);
    let ids = cx.server.cluster.ids();
    let nodes = node_list(&ids, &endpoint);
    let tls = cx.client.tls;
    let offset = cx.server.replication_offset() as i64;
    let reply = &mut cx.reply;
    reply.array(1);
    reply.map(3);
    reply.bulk(b"slots");
    reply.array(2);
    reply.int(0);
    reply.count(SLOT_COUNT - 1);
    reply.bulk(b"nodes");
    reply.array(nodes.len());
    for node in nodes {
        let has_hostname = !endpoint.hostname.is_empty();
        reply.map(7 + usize::from(has_hostname));
        reply.bulk(b"id");
        reply.bulk(node.id.as_bytes());
        reply.bulk(if tls { b"tls-port" } else { b"port" });
        reply.int(i64::from(node.port));
        reply.bulk(b"ip");
        reply.bulk(endpoint.ip.as_bytes());
        reply.bulk(b"endpoint");
        reply.bulk_or_null((!host.is_empty()).then_some(host.as_bytes()));
        if has_hostname {
            reply.bulk(b"hostname");
            reply.bulk(endpoint.hostname.as_bytes());
        }
        reply.bulk(b"role");
        reply.bulk(if node.is_replica { b"replica" } else { b"master" });
        reply.bulk(b"replication-offset");
        reply.int(offset);
        reply.bulk(b"health");
        reply.bulk(b"online");
    }
    reply.bulk(b"id");
    reply.bulk(ids.shard.as_bytes());
    Ok(())
}

/// A line of CLUSTER NODES, without its end.
fn node_line(cx: &Context<'_>, ids: &Ids, endpoint: &Endpoint, node: &Node<'_>) -> String {
    let is_myself = (cx.client.door == Door::ReadOnly) == node.is_replica;
    let myself = if is_myself { "myself," } else { "" };
    let hostname =
        if endpoint.hostname.is_empty() { String::new() } else { format!(",{}", endpoint.hostname) };
    let place = format!("{} {}:{}@{}{hostname}", node.id, endpoint.ip, node.port, endpoint.bus_port);
    let pong_ms = if is_myself { 0 } else { cx.keys.now_ms };
    let epoch = cx.server.cluster.epoch();
    if node.is_replica {
        format!("{place} {myself}slave {} 0 {pong_ms} {epoch} connected", ids.node)
    } else {
        format!("{place} {myself}master - 0 {pong_ms} {epoch} connected 0-{}", SLOT_COUNT - 1)
    }
}

fn nodes(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    check_enabled(cx)?;
    let endpoint = cx.server.endpoint(cx.client);
    let mut text = String::new();
    let ids = cx.server.cluster.ids();
    for node in node_list(&ids, &endpoint) {
        text.push_str(&node_line(cx, &ids, &endpoint, &node));
        text.push('\n');
    }
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn replicas(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    check_enabled(cx)?;
    let ids = cx.server.cluster.ids();
    let wanted = arguments[2];
    if wanted == ids.replica.as_bytes() {
        return Err(CommandError::text("ERR The specified node is not a master"));
    }
    if wanted != ids.node.as_bytes() {
        return Err(unknown_node(wanted));
    }
    let endpoint = cx.server.endpoint(cx.client);
    let lines: Vec<String> = node_list(&ids, &endpoint)
        .iter()
        .filter(|node| node.is_replica)
        .map(|node| node_line(cx, &ids, &endpoint, node))
        .collect();
    cx.reply.array(lines.len());
    for line in lines {
        cx.reply.bulk(line.as_bytes());
    }
    Ok(())
}

fn unknown_node(id: &[u8]) -> CommandError {
    CommandError::new(format!("ERR Unknown node {}", args::text(id)))
}

fn count_failure_reports(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    check_enabled(cx)?;
    let ids = cx.server.cluster.ids();
    if arguments[2] != ids.node.as_bytes() && arguments[2] != ids.replica.as_bytes() {
        return Err(unknown_node(arguments[2]));
    }
    cx.reply.int(0);
    Ok(())
}

fn info(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    check_enabled(cx)?;
    // No figure of it asks for keys.
    let at = Sight::new(cx.server, Some(&*cx.client), cx.keys.now_ms, &|| None);
    let mut text = String::new();
    figures::cluster::FIGURES.iter().for_each(|figure| figure.add_lines(&mut text, &at));
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn keyslot(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    // A key's slot does not depend on cluster mode.
    cx.reply.count(key_slot(arguments[2]));
    Ok(())
}

fn myid(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    check_enabled(cx)?;
    let ids = cx.server.cluster.ids();
    let id = if cx.client.door == Door::ReadOnly { &ids.replica } else { &ids.node };
    cx.reply.bulk(id.as_bytes());
    Ok(())
}

fn myshardid(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    check_enabled(cx)?;
    cx.reply.bulk(cx.server.cluster.ids().shard.as_bytes());
    Ok(())
}

pub(super) fn slot_argument(argument: &[u8], text: &'static str) -> Result<usize, CommandError> {
    let slot = args::int(argument)?;
    usize::try_from(slot).ok().filter(|slot| *slot < SLOT_COUNT).ok_or(CommandError::text(text))
}

fn countkeysinslot(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    check_enabled(cx)?;
    let slot = slot_argument(arguments[2], "ERR Invalid slot")?;
    let count = cx.keys.with_database(cx.keys.database, |database| database.slot_len(slot));
    cx.reply.count(count.unwrap_or(0));
    Ok(())
}

fn getkeysinslot(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    const INVALID: &str = "ERR Invalid slot or number of keys";
    check_enabled(cx)?;
    let (slot, count) = (args::int(arguments[2])?, args::int(arguments[3])?);
    let slot =
        usize::try_from(slot).ok().filter(|slot| *slot < SLOT_COUNT).ok_or(CommandError::text(INVALID))?;
    let count = usize::try_from(count).map_err(|_| CommandError::text(INVALID))?;
    let (number, now_ms) = (cx.keys.database, cx.keys.now_ms);
    let keys = cx.keys.with_database(number, |database| {
        let table = cx.keys.read_slot(number, database, slot)?;
        Some(scan::keys_in_slot(&table, count, now_ms))
    });
    let keys = keys.flatten().unwrap_or_default();
    cx.reply.array(keys.len());
    for key in keys {
        cx.reply.bulk(&key);
    }
    Ok(())
}

fn links(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    check_enabled(cx)?;
    cx.reply.array(0);
    Ok(())
}

/// Refuses a change of a node; of one that is not known, because of that.
fn refuse_node(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    check_enabled(cx)?;
    let ids = cx.server.cluster.ids();
    if ![&ids.node, &ids.replica].iter().any(|id| id.as_bytes() == arguments[2]) {
        return Err(unknown_node(arguments[2]));
    }
    refuse_change(cx, arguments)
}

fn refuse_change(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    check_enabled(cx)?;
    Err(CommandError::text("ERR this node owns all slots of its cluster, and that cannot be changed"))
}

fn slot_number(text: &[u8]) -> Result<usize, CommandError> {
    let slot = args::int(text).ok().and_then(|slot| usize::try_from(slot).ok());
    slot.filter(|slot| *slot < SLOT_COUNT).ok_or(CommandError::text("ERR Invalid or out of range slot"))
}

fn add_slots(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    check_enabled(cx)?;
    let slots = arguments[2..].iter().map(|word| slot_number(word)).collect::<Result<_, _>>()?;
    give_slots(cx, slots)
}

fn add_slot_ranges(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    check_enabled(cx)?;
    if !arguments.len().is_multiple_of(2) {
        return Err(CommandError::text("ERR wrong number of arguments for 'cluster|addslotsrange' command"));
    }
    let mut slots = Vec::new();
    for range in arguments[2..].chunks(2) {
        let (start, end) = (slot_number(range[0])?, slot_number(range[1])?);
        if start > end {
            return Err(CommandError::new(format!(
                "ERR start slot number {start} is greater than end slot number {end}"
            )));
        }
        if slots.len() > SLOT_COUNT {
            break; // One of them is named twice.
        }
        slots.extend(start..=end);
    }
    give_slots(cx, slots)
}

/// Gives this node slots that are each named once.
fn give_slots(cx: &mut Context<'_>, slots: Vec<usize>) -> CommandResult {
    let mut named = vec![false; SLOT_COUNT];
    for slot in &slots {
        if std::mem::replace(&mut named[*slot], true) {
            return Err(CommandError::new(format!("ERR Slot {slot} specified multiple times")));
        }
    }
    if let Err(SlotGiven(slot)) = cx.server.cluster.give_slots(&slots) {
        return Err(CommandError::new(format!("ERR Slot {slot} is already busy")));
    }
    cx.reply.ok();
    Ok(())
}

fn set_config_epoch(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    check_enabled(cx)?;
    let number = args::int(arguments[2])?;
    let epoch = u64::try_from(number)
        .map_err(|_| CommandError::new(format!("ERR Invalid config epoch specified: {number}")))?;
    if !cx.server.cluster.set_epoch(epoch) {
        return Err(CommandError::text("ERR Node config epoch is already non-zero"));
    }
    cx.reply.ok();
    Ok(())
}

fn readonly(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    // Without cluster mode READONLY and READWRITE have no effect and reply OK all the same.
    set_readonly(cx, true);
    Ok(())
}

fn readwrite(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    set_readonly(cx, false);
    Ok(())
}

fn set_readonly(cx: &mut Context<'_>, readonly: bool) {
    cx.client.readonly = readonly;
    cx.client.shared.readonly.store(readonly, Ordering::Relaxed);
    cx.reply.ok();
}

fn asking(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    check_enabled(cx)?;
    cx.client.asking = true;
    cx.reply.ok();
    Ok(())
}
