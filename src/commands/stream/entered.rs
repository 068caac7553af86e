//! What commands for streams enter into the journal in place of their requests: ids written out, and what a
//! group has delivered as XCLAIM and XGROUP SETID.

use std::collections::BTreeMap;

use crate::commands::shared::collection;
use crate::engine::context::Context;
use crate::keyspace::key_hash::HashedKey;
use crate::primitives::thin::Owned;
use crate::types::stream::{Stream, StreamId, Trimmed};

/// Enters XADD with the id that the entry got, and with what its trimming has left.
pub(super) fn enter_add(
    cx: &Context<'_>,
    key: &HashedKey<'_>,
    id: StreamId,
    pairs: &[&[u8]],
    trimmed: Option<&Trimmed>,
) {
    let id = id.text();
    with_trim(cx, key, trimmed, |trim| {
        let words = [&[b"XADD", key.bytes], trim, &[&*id]].concat();
        cx.enter(&[&words, pairs].concat());
    });
}

/// Enters XTRIM with what it has left.
pub(super) fn enter_trim(cx: &Context<'_>, key: &HashedKey<'_>, trimmed: &Trimmed) {
    with_trim(cx, key, Some(trimmed), |trim| cx.enter(&[&[b"XTRIM", key.bytes], trim].concat()));
}

/// Calls `enter` with the words of a trim that leaves as many entries as this one, however they are laid out
/// where it is repeated: it removes from the front. What it has removed elsewhere is entered as XDEL, what is
/// pending no more as XACK.
fn with_trim(cx: &Context<'_>, key: &HashedKey<'_>, trimmed: Option<&Trimmed>, enter: impl FnOnce(&[&[u8]])) {
    let Some((trimmed, stream)) = trimmed.and_then(|trimmed| Some((trimmed, stream(cx, key)?))) else {
        return enter(&[]);
    };
    let left = stream.len() + trimmed.between.len();
    enter(&[b"MAXLEN", b"=", itoa::Buffer::new().format(left).as_bytes()]);
    enter_deleted(cx, key, &trimmed.between);
    enter_unreferenced(cx, key, &trimmed.unreferenced);
}

/// Enters that entries were deleted.
pub(super) fn enter_deleted(cx: &Context<'_>, key: &HashedKey<'_>, ids: &[StreamId]) {
    enter_ids(cx, &[b"XDEL", key.bytes], ids);
}

/// Enters that entries are pending in no group any more. Of those that were not nothing is repeated.
pub(super) fn enter_unreferenced(cx: &Context<'_>, key: &HashedKey<'_>, ids: &[StreamId]) {
    let Some(stream) = stream(cx, key) else { return };
    for (name, _) in stream.groups() {
        enter_ids(cx, &[b"XACK", key.bytes, name], ids);
    }
}

/// Enters that entries are pending in a group no more.
pub(super) fn enter_acknowledged(cx: &Context<'_>, key: &HashedKey<'_>, group: &[u8], ids: &[StreamId]) {
    enter_ids(cx, &[b"XACK", key.bytes, group], ids);
}

fn enter_ids(cx: &Context<'_>, words: &[&[u8]], ids: &[StreamId]) {
    if !ids.is_empty() {
        let texts: Vec<_> = ids.iter().map(|id| id.text()).collect();
        let mut words = words.to_vec();
        words.extend(texts.iter().map(|text| &**text));
        cx.enter(&words);
    }
}

/// A key's stream as the command has left it.
fn stream<'c>(cx: &'c Context<'_>, key: &HashedKey<'_>) -> Option<&'c Stream> {
    cx.keys
        .peek(key)
        .and_then(|record| collection::of_record::<Owned<Stream>>(record).ok())
        .map(|stream| &**stream)
}

/// A consumer of a group: the words that name it in requests.
#[derive(Clone, Copy)]
pub(super) struct Member<'a> {
    pub(super) key: &'a HashedKey<'a>,
    pub(super) group: &'a [u8],
    pub(super) consumer: &'a [u8],
}

impl Member<'_> {
    /// Enters that the consumer was added.
    pub(super) fn enter_new(&self, cx: &Context<'_>) {
        cx.enter(&[b"XGROUP", b"CREATECONSUMER", self.key.bytes, self.group, self.consumer]);
    }

    /// Enters that entries are pending with the consumer, as they are now: when they were delivered and how
    /// often.
    pub(super) fn enter_pending(&self, cx: &Context<'_>, ids: &[StreamId]) {
        let Some(group) = stream(cx, self.key).and_then(|stream| stream.group(self.group)) else { return };
        let mut alike: BTreeMap<(i64, u64), Vec<StreamId>> = BTreeMap::new();
        for &id in ids {
            if let Some(pending) = group.pending(id) {
                alike.entry((pending.delivered_at_ms, pending.deliveries)).or_default().push(id);
            }
        }
        let last_id = group.last_id.text();
        for ((delivered_at_ms, deliveries), ids) in alike {
            let (mut time, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
            let texts: Vec<_> = ids.iter().map(|id| id.text()).collect();
            let mut words: Vec<&[u8]> = vec![b"XCLAIM", self.key.bytes, self.group, self.consumer, b"0"];
            words.extend(texts.iter().map(|text| &**text));
            words.extend([b"TIME", time.format(delivered_at_ms).as_bytes()]);
            words.extend([b"RETRYCOUNT", count.format(deliveries).as_bytes()]);
            words.extend([&b"FORCE"[..], b"JUSTID", b"LASTID", &*last_id]);
            cx.enter(&words);
        }
    }

    /// Enters that entries are pending no more.
    pub(super) fn enter_acknowledged(&self, cx: &Context<'_>, ids: &[StreamId]) {
        enter_ids(cx, &[b"XACK", self.key.bytes, self.group], ids);
    }

    /// Enters how far the group has read.
    pub(super) fn enter_progress(&self, cx: &Context<'_>) {
        let Some(group) = stream(cx, self.key).and_then(|stream| stream.group(self.group)) else { return };
        let read = group.entries_read.map_or(-1, |read| read as i64);
        let (last_id, mut number) = (group.last_id.text(), itoa::Buffer::new());
        let read = number.format(read).as_bytes();
        cx.enter(&[b"XGROUP", b"SETID", self.key.bytes, self.group, &*last_id, b"ENTRIESREAD", read]);
    }
}
