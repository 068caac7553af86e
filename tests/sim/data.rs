//! The data of a node, as simple as can be, and what requests do to them.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Values by database and key.
#[derive(Clone, Debug, Default)]
pub struct Data {
    values: BTreeMap<(usize, Vec<u8>), Vec<u8>>,
    /// Of all that it holds, in any order.
    pub fingerprint: u64,
}

fn hash_of(database: usize, key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (database, key, value).hash(&mut hasher);
    hasher.finish()
}

impl Data {
    pub fn set(&mut self, database: usize, key: &[u8], value: &[u8]) {
        self.delete(database, key);
        self.fingerprint ^= hash_of(database, key, value);
        self.values.insert((database, key.to_vec()), value.to_vec());
    }

    pub fn delete(&mut self, database: usize, key: &[u8]) {
        if let Some(value) = self.values.remove(&(database, key.to_vec())) {
            self.fingerprint ^= hash_of(database, key, &value);
        }
    }

    /// All of it as bytes, with the database of the stream first.
    pub fn to_bytes(&self, database: usize) -> Vec<u8> {
        let mut bytes = vec![database as u8];
        for ((database, key), value) in &self.values {
            bytes.push(*database as u8);
            for part in [key, value] {
                bytes.extend((part.len() as u16).to_be_bytes());
                bytes.extend(part);
            }
        }
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> (Self, usize) {
        fn part<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
            let len = u16::from_be_bytes([rest[0], rest[1]]) as usize;
            let part = &rest[2..2 + len];
            *rest = &rest[2 + len..];
            part
        }
        let (mut data, mut rest) = (Self::default(), &bytes[1..]);
        while let Some((&database, after)) = rest.split_first() {
            rest = after;
            let key = part(&mut rest);
            let value = part(&mut rest);
            data.set(database as usize, key, value);
        }
        (data, bytes[0] as usize)
    }
}

/// Runs the requests of a stream, as the client does that stands for a primary.
#[derive(Debug, Default)]
pub struct Runner {
    pub database: usize,
    /// Requests of a transaction whose EXEC has not come.
    group: Option<Vec<Vec<Vec<u8>>>>,
    /// Whether the primary asked for an acknowledgement.
    pub asked: bool,
}

impl Runner {
    pub fn in_database(database: usize) -> Self {
        Self { database, ..Self::default() }
    }

    /// Runs a request. Returns whether it is for links only.
    pub fn run(&mut self, data: &mut Data, words: &[&[u8]]) -> bool {
        match words {
            [b"MULTI"] => self.group = Some(Vec::new()),
            [b"EXEC"] => {
                for words in self.group.take().expect("there was a MULTI") {
                    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
                    self.run(data, &words);
                }
            }
            words if self.group.is_some() => {
                let words = words.iter().map(|word| word.to_vec()).collect();
                self.group.as_mut().expect("there is one").push(words);
            }
            [b"SELECT", number] => self.database = (number[0] - b'0') as usize,
            [b"SET", key, value] => data.set(self.database, key, value),
            [b"DEL", key] => data.delete(self.database, key),
            [b"PING"] => return true,
            [b"REPLCONF", b"GETACK", _] => {
                self.asked = true;
                return true;
            }
            other => panic!(
                "{:?} stands in no stream",
                other.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>()
            ),
        }
        false
    }
}
