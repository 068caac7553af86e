//! Subkey notifications: messages that say which fields of a hash or members of a set an event was about, on four
//! kinds of channels.

use crate::config::KeyspaceEvents;
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;

use super::Effects;

impl Effects {
    /// Publishes which fields of a hash or members of a set an event was about, on the channels that
    /// `notify-keyspace-events` asks for. They are listed with their lengths, as they may hold any byte.
    #[cold]
    pub(super) fn subkey_event<'f>(
        &self,
        database: usize,
        key: &HashedKey<'_>,
        (class, event): (EventClass, &'static str),
        fields: impl Iterator<Item = &'f [u8]> + Clone,
    ) {
        let wanted = self.wanted();
        if !wanted.contains(class.0) {
            return;
        }
        let now_ms = self.now_ms();
        let publish = |kind: &str, rest: &[&[u8]], text: &[u8]| {
            let channel = [format!("__{kind}@{database}__:").as_bytes(), &rest.concat()].concat();
            self.pubsub.publish(&channel, text, now_ms);
        };
        let list = list_of(fields.clone());
        if wanted.contains(KeyspaceEvents::SUBKEYSPACE) {
            publish("subkeyspace", &[key.bytes], &[event.as_bytes(), b"|", &list].concat());
        }
        if wanted.contains(KeyspaceEvents::SUBKEYEVENT) {
            let text = [&list_of([key.bytes].into_iter()), &b"|"[..], &list].concat();
            publish("subkeyevent", &[event.as_bytes()], &text);
        }
        // A line break parts key and field: a key with one of its own could be mistaken for another.
        if wanted.contains(KeyspaceEvents::SUBKEYSPACE_ITEM) && !key.bytes.contains(&b'\n') {
            fields.for_each(|field| publish("subkeyspaceitem", &[key.bytes, b"\n", field], event.as_bytes()));
        }
        if wanted.contains(KeyspaceEvents::SUBKEYSPACE_EVENT) {
            publish("subkeyspaceevent", &[event.as_bytes(), b"|", key.bytes], &list);
        }
    }
}

/// `3:one,3:two`
fn list_of<'f>(fields: impl Iterator<Item = &'f [u8]>) -> Vec<u8> {
    let mut list = Vec::new();
    for field in fields {
        if !list.is_empty() {
            list.push(b',');
        }
        list.extend_from_slice(itoa::Buffer::new().format(field.len()).as_bytes());
        list.push(b':');
        list.extend_from_slice(field);
    }
    list
}
