//! Commands of replicas: REPLCONF, PSYNC, SYNC.

use crate::command::{Flags, Group, args};
use crate::engine::command::Command;
use crate::engine::context::{After, Context};
use crate::error::{CommandError, CommandResult};
use crate::replication::{Announced, refusal};

/// Longest address that a replica may announce, in bytes (that of a host name).
const ADDRESS_MAX: usize = 1025;

const FOLLOWS: Flags = Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING).and(Flags::NO_MULTI);

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "replconf",
        arity: -1,
        flags: Flags::ADMIN
            .and(Flags::NOSCRIPT)
            .and(Flags::LOADING)
            .and(Flags::STALE)
            .and(Flags::ALLOW_BUSY)
            .and(Flags::IN_STREAMS)
            .and(Flags::FOR_LINKS),
        group: Group::Server,
        summary: "Tells a primary about a replica.",
        since: "3.0.0",
        reply: "OK; nothing to an acknowledgement",
        run: replconf,
        ..Command::DEFAULT
    },
    Command {
        name: "psync",
        arity: -3,
        // With FAILOVER it changes the role.
        flags: FOLLOWS.and(Flags::WHOLE_KEYSPACE).and(Flags::CHANGES_ROLE),
        group: Group::Server,
        summary: "Makes this connection the link of a replica, which goes on where it was.",
        syntax: "replicationid:string offset:integer",
        since: "2.8.0",
        reply: "a line that says from where on, then data",
        run: psync,
        ..Command::DEFAULT
    },
    Command {
        name: "sync",
        arity: 1,
        flags: FOLLOWS,
        group: Group::Server,
        summary: "Makes this connection the link of a replica, which begins with all data.",
        since: "1.0.0",
        reply: "data",
        run: sync,
        ..Command::DEFAULT
    },
];

fn psync(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let next = args::int(arguments[2]).inspect_err(|_| {
        let address = &cx.client.shared.address;
        tracing::warn!("Replica {address} asks for synchronization but with a wrong offset");
    })?;
    if arguments.get(3).is_some_and(|word| args::is(word, "FAILOVER")) && cx.client.link.is_none() {
        let server = cx.server;
        cx.keys.alone(|| server.take_over(arguments[1]))?;
    }
    follow(cx, Some((arguments[1], next)))
}

fn sync(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    follow(cx, None)
}

/// Makes the connection a link, unless it is one.
fn follow(cx: &mut Context<'_>, asked: Option<(&[u8], i64)>) -> CommandResult {
    if cx.client.link.is_some() {
        return Ok(());
    }
    let following = &cx.server.following;
    let refusal = refusal(cx.server.failover_step(), following.is_replica(), following.is_connected());
    if let Some(refusal) = refusal {
        return Err(CommandError::text(refusal));
    }
    cx.server.follow(cx.client, asked);
    cx.after = Some(After::Link);
    Ok(())
}

fn replconf(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let options = &arguments[1..];
    if !options.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    let mut announced = cx.client.announced.take().unwrap_or_default();
    let mut acknowledged = (None, None);
    for pair in options.chunks_exact(2) {
        match &*args::text(pair[0]).to_ascii_lowercase() {
            "ack" => match args::int(pair[1]) {
                Ok(offset) => acknowledged.0 = u64::try_from(offset).ok(),
                // Nothing is answered whatever it is.
                Err(_) => return Ok(()),
            },
            "fack" => acknowledged.1 = args::int(pair[1]).ok().and_then(|offset| u64::try_from(offset).ok()),
            // A primary asks this of its replicas.
            "getack" => {
                cx.client.ack_asked = true;
                return Ok(());
            }
            option => announce(&mut announced, option, pair[1])?,
        }
    }
    if options.chunks_exact(2).any(|pair| args::is(pair[0], "ACK")) {
        acknowledge(cx, acknowledged);
        return Ok(());
    }
    cx.client.announced = Some(announced);
    cx.reply.ok();
    Ok(())
}

fn announce(announced: &mut Announced, option: &str, value: &[u8]) -> CommandResult {
    match option {
        "listening-port" => {
            announced.port = u16::try_from(args::int(value)?).map_err(|_| CommandError::OutOfRange)?;
        }
        "ip-address" if value.len() < ADDRESS_MAX => {
            announced.ip = args::text(value).chars().filter(|letter| is_plain(*letter)).collect();
        }
        "ip-address" => {
            return Err(CommandError::new(format!(
                "ERR REPLCONF ip-address provided by replica instance is too long: {} bytes",
                value.len()
            )));
        }
        "capa" => match &*args::text(value).to_ascii_lowercase() {
            "eof" => announced.takes_marked_copies = true,
            "psync2" => announced.takes_new_ids = true,
            "rdb-channel-repl" => announced.is_redis_8 = true,
            // What is not known is not used.
            _ => {}
        },
        "version" => {
            announced.version = Announced::version_of(&args::text(value)).ok_or_else(|| {
                CommandError::new(format!(
                    "ERR Unrecognized version format: {}",
                    args::text(&value[..value.len().min(40)])
                ))
            })?;
        }
        "rdb-only" => announced.rdb_only = args::int_in(value, 0, 1)? == 1,
        "rdb-filter-only" => announced.functions_only = filters(value)?,
        // Whether copies are compressed and how they are checked is the primary's to decide.
        "rdb-no-compress" => {}
        _ => {
            return Err(CommandError::new(format!(
                "ERR Unrecognized REPLCONF option: {}",
                option.chars().take(128).collect::<String>()
            )));
        }
    }
    Ok(())
}

/// Whether a letter may stand in an address: the address is shown in lines and lists of fields.
fn is_plain(letter: char) -> bool {
    letter.is_ascii_graphic() && letter != ','
}

/// Reads what a copy is to be limited to; true for libraries of functions.
fn filters(value: &[u8]) -> Result<bool, CommandError> {
    let text = args::text(value);
    let mut words = text.split_ascii_whitespace();
    match words.find(|word| !word.eq_ignore_ascii_case("functions")) {
        Some(word) => Err(CommandError::new(format!(
            "ERR Unsupported rdb-filter-only option: {}",
            word.chars().take(128).collect::<String>()
        ))),
        None => Ok(text.split_ascii_whitespace().next().is_some()),
    }
}

/// Takes a replica's acknowledgement. One of what was never sent would have WAIT promise what is not so.
fn acknowledge(cx: &mut Context<'_>, (offset, on_disk): (Option<u64>, Option<u64>)) {
    let (Some(link), Some(offset)) = (&cx.client.link, offset) else { return };
    let server = cx.server;
    let history = server.replication.history.read();
    let taken = link.acknowledge(server.journal(), &history, (offset, on_disk), server.clock.now_ms());
    if let Err(end) = taken {
        tracing::warn!(
            "closing the link of replica {}, which acknowledges the offset {offset}: the stream ends at {end}",
            link.replica.name()
        );
        cx.after = Some(After::CloseNow);
        return;
    }
    drop(history);
    cx.server.replica_acknowledged();
}
