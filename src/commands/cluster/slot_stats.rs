//! CLUSTER SLOT-STATS: how many keys slots hold, how much memory these take, and what time and how many bytes
//! of requests and replies commands for them have taken.

use super::nodes::{check_enabled, slot_argument};
use crate::cluster::SlotUse;
use crate::command::args;
use crate::commands::shared::help;
use crate::config::Directive;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::key_hash::SLOT_COUNT;
use crate::keyspace::table;

/// A figure of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metric {
    Keys,
    Memory,
    Time,
    BytesIn,
    BytesOut,
}

/// All figures with their names, in the order of the reply. All but the first are shown only where
/// `cluster-slot-stats-enabled` says so.
const METRICS: [(&str, Metric); 5] = [
    ("key-count", Metric::Keys),
    ("memory-bytes", Metric::Memory),
    ("cpu-usec", Metric::Time),
    ("network-bytes-in", Metric::BytesIn),
    ("network-bytes-out", Metric::BytesOut),
];

/// A slot with the number by which slots are ordered.
type Ranked = (usize, u64);

/// How slots are ordered and how many of them are shown.
#[derive(Debug, PartialEq, Eq)]
struct Order {
    metric: Metric,
    limit: usize,
    ascending: bool,
}

pub(super) fn slot_stats(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    check_enabled(cx)?;
    let shown =
        if cx.server.config.flag(Directive::ClusterSlotStatsEnabled) { &METRICS } else { &METRICS[..1] };
    let slots: Vec<usize> = if args::is(arguments[2], "SLOTSRANGE") && arguments.len() == 5 {
        let invalid = CommandError::text("ERR Invalid or out of range slot");
        let slot = |word| slot_argument(word, "").map_err(|_| invalid.clone());
        let (start, end) = (slot(arguments[3])?, slot(arguments[4])?);
        if start > end {
            return Err(CommandError::new(format!(
                "ERR Start slot number {start} is greater than end slot number {end}"
            )));
        }
        (start..=end).collect()
    } else if args::is(arguments[2], "ORDERBY") {
        let order = Order::parse(&arguments[3..], shown)?;
        ranked(cx, &order).into_iter().map(|(slot, _)| slot).collect()
    } else {
        return Err(help::wrong_subcommand(cx, arguments));
    };
    let figures: Vec<Vec<u64>> = shown
        .iter()
        .map(|(_, metric)| slots.iter().map(|slot| figure(cx, *metric, *slot)).collect())
        .collect();
    cx.reply.array(slots.len());
    for (at, slot) in slots.iter().enumerate() {
        cx.reply.array(2);
        cx.reply.count(*slot);
        cx.reply.map(shown.len());
        for ((name, _), values) in shown.iter().zip(&figures) {
            cx.reply.bulk(name.as_bytes());
            cx.reply.int(values[at] as i64);
        }
    }
    Ok(())
}

/// The figure of a slot.
fn figure(cx: &Context<'_>, metric: Metric, slot: usize) -> u64 {
    let of_use = |pick: fn(SlotUse) -> u64| pick(cx.server.cluster.slot_use(slot));
    match metric {
        Metric::Keys => {
            let count = cx.keys.with_database(cx.keys.database, |database| database.slot_len(slot));
            count.unwrap_or(0) as u64
        }
        Metric::Memory => {
            let mut bytes = 0;
            let share = cx.keys.with_database(cx.keys.database, |database| database.share(slot));
            let share = share.unwrap_or_default();
            cx.keys.walk(cx.keys.database, slot..slot + 1, |keys| {
                table::for_each(keys, |record| bytes += record.memory_bytes() + share.of(record));
            });
            bytes as u64
        }
        Metric::Time => of_use(|slot_use| slot_use.ns / 1000),
        Metric::BytesIn => of_use(|slot_use| slot_use.bytes_in),
        Metric::BytesOut => of_use(|slot_use| slot_use.bytes_out),
    }
}

fn ranked(cx: &Context<'_>, order: &Order) -> Vec<Ranked> {
    let mut slots: Vec<Ranked> = (0..SLOT_COUNT).map(|slot| (slot, figure(cx, order.metric, slot))).collect();
    slots.sort_by(|a, b| if order.ascending { a.1.cmp(&b.1) } else { b.1.cmp(&a.1) });
    slots.truncate(order.limit);
    slots
}

impl Order {
    /// Reads what stands behind ORDERBY; `shown` are the figures that slots can be ordered by.
    fn parse(words: &[&[u8]], shown: &[(&str, Metric)]) -> Result<Self, CommandError> {
        let metric = shown.iter().find(|(name, _)| args::is(words[0], &name.to_ascii_uppercase()));
        let Some((_, metric)) = metric else {
            return Err(CommandError::text("ERR Unrecognized sort metric for ORDERBY."));
        };
        const TWICE: CommandError =
            CommandError::text("ERR Multiple filters of the same type are disallowed.");
        let (mut limit, mut ascending, mut index) = (None, None, 1);
        while index < words.len() {
            let direction = if args::is(words[index], "ASC") {
                Some(true)
            } else if args::is(words[index], "DESC") {
                Some(false)
            } else {
                None
            };
            if direction.is_some() {
                if std::mem::replace(&mut ascending, direction).is_some() {
                    return Err(TWICE);
                }
            } else if args::is(words[index], "LIMIT") && index + 1 < words.len() {
                let number = usize::try_from(args::int(words[index + 1])?).ok();
                let number =
                    number.filter(|limit| (1..=SLOT_COUNT).contains(limit)).ok_or(CommandError::text(
                        "ERR Limit has to lie in between 1 and 16384 (maximum number of slots).",
                    ))?;
                if limit.replace(number).is_some() {
                    return Err(TWICE);
                }
                index += 1;
            } else {
                return Err(CommandError::Syntax);
            }
            index += 1;
        }
        Ok(Self {
            metric: *metric,
            limit: limit.unwrap_or(SLOT_COUNT),
            ascending: ascending.unwrap_or(false),
        })
    }
}
