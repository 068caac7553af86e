//! What commands for sorted sets enter into the journal in place of their requests: members with their scores.

use crate::commands::generic::bless::keep_blessing;
use crate::commands::shared::collection;
use crate::engine::context::Context;
use crate::keyspace::key_hash::HashedKey;
use crate::primitives::number::format_f64;
use crate::types::zset::ZSet;

/// Members that one entry adds.
const TOGETHER: usize = 1000;

/// Enters that a key holds what it holds now and nothing else.
pub(in crate::commands) fn enter_whole(cx: &Context<'_>, key: &HashedKey<'_>) {
    if !cx.is_journaled() {
        return;
    }
    cx.enter(&[b"DEL", key.bytes]);
    let zset = cx.keys.peek(key).and_then(|record| collection::of_record::<ZSet>(record).ok());
    let Some(zset) = zset else { return };
    let mut some = Vec::new();
    for (member, score) in zset.iter() {
        some.push((member.to_vec(), score));
        if some.len() == TOGETHER {
            enter_added(cx, key, &some);
            some.clear();
        }
    }
    enter_added(cx, key, &some);
    keep_blessing(cx, key);
}

/// Enters that members are gone.
pub(super) fn enter_removed(cx: &Context<'_>, key: &HashedKey<'_>, members: &[(Vec<u8>, f64)]) {
    let mut words: Vec<&[u8]> = vec![b"ZREM", key.bytes];
    words.extend(members.iter().map(|(member, _)| &**member));
    cx.enter(&words);
}

/// Enters that members have these scores.
pub(super) fn enter_added(cx: &Context<'_>, key: &HashedKey<'_>, members: &[(Vec<u8>, f64)]) {
    if members.is_empty() {
        return;
    }
    let scores: Vec<_> = members.iter().map(|(_, score)| format_f64(*score)).collect();
    let mut words: Vec<&[u8]> = vec![b"ZADD", key.bytes];
    for ((member, _), score) in members.iter().zip(&scores) {
        words.extend([&**score, &**member]);
    }
    cx.enter(&words);
}
