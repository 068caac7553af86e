//! Publish and subscribe: channels, patterns, shard channels.

use bytes::Bytes;

use crate::command::spec::Channels;
use crate::command::{Category, Flags, Group, KeySpec};
use crate::effects::Message;
use crate::engine::command::Command;
use crate::engine::context::{After, Context};
use crate::error::CommandResult;
use crate::shared::ordered::Ordered;
use crate::shared::pubsub::Kind;

const PUBSUB: &[Category] = &[Category::Pubsub];
const SUBSCRIBER: Flags = Flags::PUBSUB
    .and(Flags::NOSCRIPT)
    .and(Flags::LOADING)
    .and(Flags::STALE)
    .and(Flags::WHILE_SUBSCRIBED)
    .and(Flags::PUSHES);
const ASKER: Flags = Flags::PUBSUB.and(Flags::LOADING).and(Flags::STALE);
const PUBLISHER: Flags = Flags::PUBSUB
    .and(Flags::LOADING)
    .and(Flags::STALE)
    .and(Flags::FAST)
    .and(Flags::MAY_REPLICATE)
    .and(Flags::FOR_LINKS);

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "subscribe",
        arity: -2,
        flags: SUBSCRIBER,
        channels: Channels::From(1),
        categories: PUBSUB,
        group: Group::Pubsub,
        summary: "Listens to channels.",
        syntax: "channel [channel ...]",
        since: "2.0.0",
        complexity: "O(N) where N is the number of channels",
        reply: "a message for each channel",
        run: subscribe,
        ..Command::DEFAULT
    },
    Command {
        name: "unsubscribe",
        arity: -1,
        flags: SUBSCRIBER,
        categories: PUBSUB,
        group: Group::Pubsub,
        summary: "Stops listening to channels, to all without an argument.",
        syntax: "[channel [channel ...]]",
        since: "2.0.0",
        complexity: "O(N) where N is the number of channels",
        reply: "a message for each channel",
        run: unsubscribe,
        ..Command::DEFAULT
    },
    Command {
        name: "psubscribe",
        arity: -2,
        flags: SUBSCRIBER,
        channels: Channels::Patterns(1),
        categories: PUBSUB,
        group: Group::Pubsub,
        summary: "Listens to all channels whose names match patterns.",
        syntax: "pattern [pattern ...]",
        since: "2.0.0",
        complexity: "O(N) where N is the number of patterns",
        reply: "a message for each pattern",
        run: psubscribe,
        ..Command::DEFAULT
    },
    Command {
        name: "punsubscribe",
        arity: -1,
        flags: SUBSCRIBER,
        categories: PUBSUB,
        group: Group::Pubsub,
        summary: "Stops listening to patterns, to all without an argument.",
        syntax: "[pattern [pattern ...]]",
        since: "2.0.0",
        complexity: "O(N) where N is the number of patterns",
        reply: "a message for each pattern",
        run: punsubscribe,
        ..Command::DEFAULT
    },
    Command {
        name: "ssubscribe",
        arity: -2,
        flags: SUBSCRIBER,
        keys: &[KeySpec::rest(1, 1, KeySpec::NOT_KEY)],
        channels: Channels::From(1),
        categories: PUBSUB,
        group: Group::Pubsub,
        summary: "Listens to shard channels.",
        syntax: "shardchannel [shardchannel ...]",
        since: "7.0.0",
        complexity: "O(N) where N is the number of channels",
        reply: "a message for each channel",
        run: ssubscribe,
        ..Command::DEFAULT
    },
    Command {
        name: "sunsubscribe",
        arity: -1,
        flags: SUBSCRIBER,
        keys: &[KeySpec::rest(1, 1, KeySpec::NOT_KEY)],
        categories: PUBSUB,
        group: Group::Pubsub,
        summary: "Stops listening to shard channels, to all without an argument.",
        syntax: "[shardchannel [shardchannel ...]]",
        since: "7.0.0",
        complexity: "O(N) where N is the number of channels",
        reply: "a message for each channel",
        run: sunsubscribe,
        ..Command::DEFAULT
    },
    Command {
        name: "publish",
        arity: 3,
        flags: PUBLISHER,
        channels: Channels::At(1),
        categories: PUBSUB,
        group: Group::Pubsub,
        summary: "Sends a message to everyone who listens to a channel.",
        syntax: "channel message",
        since: "2.0.0",
        complexity: "O(N+M) where N is the number of the channel's listeners and M that of all patterns",
        reply: "how many got it",
        run: publish,
        ..Command::DEFAULT
    },
    Command {
        name: "spublish",
        arity: 3,
        flags: PUBLISHER,
        keys: &[KeySpec::one(1, KeySpec::NOT_KEY)],
        channels: Channels::At(1),
        categories: PUBSUB,
        group: Group::Pubsub,
        summary: "Sends a message to everyone who listens to a shard channel.",
        syntax: "shardchannel message",
        since: "7.0.0",
        complexity: "O(N) where N is the number of the channel's listeners",
        reply: "how many got it",
        run: spublish,
        ..Command::DEFAULT
    },
    Command {
        name: "pubsub",
        arity: -2,
        group: Group::Pubsub,
        summary: "Tells who listens to what.",
        since: "2.8.0",
        subcommands: &[
            Command {
                name: "channels",
                arity: -2,
                flags: ASKER,
                summary: "Names the channels that have listeners.",
                syntax: "[pattern]",
                since: "2.8.0",
                complexity: "O(N) where N is the number of channels",
                reply: "an array of channels",
                run: channels,
                group: Group::Pubsub,
                ..Command::DEFAULT
            },
            Command {
                name: "numsub",
                arity: -2,
                flags: ASKER,
                summary: "Counts the listeners of channels, patterns not included.",
                syntax: "[channel [channel ...]]",
                since: "2.8.0",
                complexity: "O(N) where N is the number of channels asked for",
                reply: "channels and counts",
                run: numsub,
                group: Group::Pubsub,
                ..Command::DEFAULT
            },
            Command {
                name: "numpat",
                arity: 2,
                flags: ASKER,
                summary: "Counts the different patterns that are listened to.",
                since: "2.8.0",
                reply: "the number of patterns",
                run: numpat,
                group: Group::Pubsub,
                ..Command::DEFAULT
            },
            Command {
                name: "shardchannels",
                arity: -2,
                flags: ASKER,
                summary: "Names the shard channels that have listeners.",
                syntax: "[pattern]",
                since: "7.0.0",
                complexity: "O(N) where N is the number of channels",
                reply: "an array of channels",
                run: shardchannels,
                group: Group::Pubsub,
                ..Command::DEFAULT
            },
            Command {
                name: "shardnumsub",
                arity: -2,
                flags: ASKER,
                summary: "Counts the listeners of shard channels.",
                syntax: "[shardchannel [shardchannel ...]]",
                since: "7.0.0",
                complexity: "O(N) where N is the number of channels asked for",
                reply: "channels and counts",
                run: shardnumsub,
                group: Group::Pubsub,
                ..Command::DEFAULT
            },
            crate::commands::shared::help::entry("6.2.0", Group::Pubsub, &[]),
        ],
        ..Command::DEFAULT
    },
];

/// Which of a client's three lists a command is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Channels,
    Patterns,
    Shard,
}

impl List {
    fn of<'c>(self, cx: &'c mut Context<'_>) -> &'c mut Ordered<()> {
        let subscriptions = &mut cx.client.subscriptions;
        match self {
            List::Channels => &mut subscriptions.channels,
            List::Patterns => &mut subscriptions.patterns,
            List::Shard => &mut subscriptions.shard_channels,
        }
    }

    fn words(self) -> (&'static [u8], &'static [u8]) {
        match self {
            List::Channels => (b"subscribe", b"unsubscribe"),
            List::Patterns => (b"psubscribe", b"punsubscribe"),
            List::Shard => (b"ssubscribe", b"sunsubscribe"),
        }
    }

    /// The number in confirmations: channels and patterns together, shard channels by themselves.
    fn count(self, cx: &Context<'_>) -> usize {
        let subscriptions = &cx.client.subscriptions;
        match self {
            List::Shard => subscriptions.shard_channels.len(),
            _ => subscriptions.global_count(),
        }
    }
}

fn subscribe(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    add(cx, arguments, List::Channels)
}

fn psubscribe(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    add(cx, arguments, List::Patterns)
}

fn ssubscribe(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    add(cx, arguments, List::Shard)
}

fn add(cx: &mut Context<'_>, arguments: &[&[u8]], list: List) -> CommandResult {
    for name in &arguments[1..] {
        if !list.of(cx).contains(name) {
            let name = Bytes::copy_from_slice(name);
            match list {
                List::Channels => cx.server.pubsub.subscribe(Kind::Channel, &name, &cx.client.shared),
                List::Patterns => cx.server.pubsub.psubscribe(&name, &cx.client.shared),
                List::Shard => cx.server.pubsub.subscribe(Kind::Shard, &name, &cx.client.shared),
            }
            list.of(cx).add(name, ());
        }
        confirm(cx, list.words().0, Some(name), list);
    }
    cx.client.publish_subscriptions();
    if !cx.server.may_still_listen(cx.client) {
        // The user lost the right during the subscription, when the thread that closes such clients could not
        // see it yet.
        cx.after = Some(After::Close);
    }
    Ok(())
}

fn unsubscribe(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    take(cx, arguments, List::Channels)
}

fn punsubscribe(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    take(cx, arguments, List::Patterns)
}

fn sunsubscribe(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    take(cx, arguments, List::Shard)
}

fn take(cx: &mut Context<'_>, arguments: &[&[u8]], list: List) -> CommandResult {
    let names: Vec<Bytes> = if arguments.len() > 1 {
        arguments[1..].iter().map(|name| Bytes::copy_from_slice(name)).collect()
    } else {
        list.of(cx).names().cloned().collect()
    };
    if names.is_empty() {
        confirm(cx, list.words().1, None, list);
    }
    for name in names {
        if list.of(cx).remove(&name).is_some() {
            match list {
                List::Channels => cx.server.pubsub.unsubscribe(Kind::Channel, &name, &cx.client.shared),
                List::Patterns => cx.server.pubsub.punsubscribe(&name, &cx.client.shared),
                List::Shard => cx.server.pubsub.unsubscribe(Kind::Shard, &name, &cx.client.shared),
            }
        }
        confirm(cx, list.words().1, Some(&name), list);
    }
    cx.client.publish_subscriptions();
    Ok(())
}

fn confirm(cx: &mut Context<'_>, word: &[u8], name: Option<&[u8]>, list: List) {
    let count = list.count(cx);
    cx.reply.push(3);
    cx.reply.bulk(word);
    cx.reply.bulk_or_null(name);
    cx.reply.count(count);
}

fn publish(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    send(cx, arguments, Kind::Channel)
}

/// Publishes a message. In an undoable transaction it is kept until that has succeeded.
fn send(cx: &mut Context<'_>, arguments: &[&[u8]], kind: Kind) -> CommandResult {
    /// Work of sending to a receiver, in the units of [`Access::work`](crate::keyspace::access::Access::work).
    const RECEIVER: usize = 20;
    cx.keys.announce(RECEIVER * cx.server.pubsub.many_subscribers(kind, arguments[1]));
    let (channel, text) = (Bytes::copy_from_slice(arguments[1]), Bytes::copy_from_slice(arguments[2]));
    let receivers = cx.changes.publish(Message { kind, channel, text });
    cx.reply.count(receivers);
    Ok(())
}

fn spublish(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    send(cx, arguments, Kind::Shard)
}

fn channels(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    list_channels(cx, arguments, Kind::Channel)
}

fn shardchannels(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    list_channels(cx, arguments, Kind::Shard)
}

fn list_channels(cx: &mut Context<'_>, arguments: &[&[u8]], kind: Kind) -> CommandResult {
    if arguments.len() > 3 {
        return Err(crate::commands::shared::help::wrong_subcommand(cx, arguments));
    }
    let found = cx.server.pubsub.channels(kind, arguments.get(2).copied());
    cx.reply.array(found.len());
    for channel in found {
        cx.reply.bulk(&channel);
    }
    Ok(())
}

fn numsub(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    count_subscribers(cx, arguments, Kind::Channel)
}

fn shardnumsub(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    count_subscribers(cx, arguments, Kind::Shard)
}

fn count_subscribers(cx: &mut Context<'_>, arguments: &[&[u8]], kind: Kind) -> CommandResult {
    cx.reply.array((arguments.len() - 2) * 2);
    for channel in &arguments[2..] {
        cx.reply.bulk(channel);
        cx.reply.count(cx.server.pubsub.subscriber_count(kind, channel));
    }
    Ok(())
}

fn numpat(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    cx.reply.count(cx.server.pubsub.pattern_count());
    Ok(())
}
