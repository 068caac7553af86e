//! What the stream of each id is, as its primary wrote it: every byte, and a fingerprint of the data behind
//! every entry.

use std::collections::{BTreeMap, HashMap};

#[derive(Debug)]
struct Stream {
    /// The id that was before it.
    parent: Option<String>,
    /// The offset of its first byte; what is before is its parent's.
    start: u64,
    bytes: Vec<u8>,
    fingerprints: BTreeMap<u64, u64>,
}

/// All streams there have been.
#[derive(Debug, Default)]
pub struct Truth {
    streams: HashMap<String, Stream>,
}

impl Truth {
    /// A stream begins at this offset, with these data; where `parent` is another's id, behind that one.
    pub fn begin(&mut self, id: &str, parent: Option<&str>, start: u64, fingerprint: u64) {
        let fingerprints = BTreeMap::from([(start, fingerprint)]);
        let stream = Stream { parent: parent.map(str::to_owned), start, bytes: Vec::new(), fingerprints };
        assert!(self.streams.insert(id.to_owned(), stream).is_none(), "two streams have the id {id}");
    }

    /// The primary of this stream has written bytes at an offset.
    pub fn write(&mut self, id: &str, offset: u64, bytes: &[u8], fingerprint: u64) {
        let stream = self.streams.get_mut(id).unwrap_or_else(|| panic!("{id} has not begun"));
        assert_eq!(
            stream.start + stream.bytes.len() as u64,
            offset,
            "the stream {id} has a gap, or two writers"
        );
        stream.bytes.extend_from_slice(bytes);
        stream.fingerprints.insert(offset + bytes.len() as u64, fingerprint);
    }

    /// The stream that an offset of an id lies in.
    fn find(&self, id: &str, offset: u64) -> &Stream {
        let stream = self.streams.get(id).unwrap_or_else(|| panic!("nobody has the id {id}"));
        match &stream.parent {
            Some(parent) if offset < stream.start => self.find(parent, offset),
            _ => stream,
        }
    }

    /// Bytes that came as those of an id at an offset are those.
    pub fn check_bytes(&self, id: &str, offset: u64, bytes: &[u8]) {
        for (at, byte) in (offset..).zip(bytes) {
            let stream = self.find(id, at);
            let there = at.checked_sub(stream.start).and_then(|index| stream.bytes.get(index as usize));
            assert_eq!(there, Some(byte), "the byte at {at} of {id}, of {} from {offset} on", bytes.len());
        }
    }

    /// A node that has an id at an offset has the data that its primary had there.
    pub fn check_data(&self, id: &str, offset: u64, fingerprint: u64) {
        let stream = self.find(id, offset);
        assert!(offset <= stream.start + stream.bytes.len() as u64, "{offset} of {id} was never written");
        let there = stream.fingerprints.range(..=offset).next_back();
        assert_eq!(there.map(|(_, there)| *there), Some(fingerprint), "the data at {offset} of {id}");
    }
}
