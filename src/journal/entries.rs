//! [`Entries`]: changes on their way into the journal.

/// Changes of one command, or of all commands of a transaction or script, as requests in RESP, with SELECT
/// where the database changes between them.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    bytes: Vec<u8>,
    count: usize,
    /// The database of the first entry and that of the last one.
    databases: Option<(usize, usize)>,
}

/// A place in [`Entries`] to come back to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark {
    len: usize,
    count: usize,
    databases: Option<(usize, usize)>,
}

impl Entries {
    /// Empty entries that use the memory of `bytes`.
    pub fn with_buffer(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        Self { bytes, count: 0, databases: None }
    }

    /// The memory, to be used again.
    pub fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }

    /// Adds a request to be run in the database with this number; `None` for one that does the same in any.
    pub fn push(&mut self, database: impl Into<Option<usize>>, words: &[&[u8]]) {
        if let Some(database) = database.into() {
            self.change_to(database);
        }
        self.write(words);
        self.count += 1;
    }

    fn change_to(&mut self, database: usize) {
        match &mut self.databases {
            Some((_, last)) if *last == database => {}
            Some((_, last)) => {
                *last = database;
                self.select(database);
            }
            None => self.databases = Some((database, database)),
        }
    }

    /// Number of requests, without SELECT.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The database of the first request and that of the last one, of those that are run in a certain one.
    pub fn databases(&self) -> Option<(usize, usize)> {
        self.databases
    }

    /// The requests as bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.bytes.clear();
        (self.count, self.databases) = (0, None);
    }

    /// The present end.
    pub fn mark(&self) -> Mark {
        Mark { len: self.bytes.len(), count: self.count, databases: self.databases }
    }

    /// Forgets what was added since a mark was taken.
    pub fn forget_since(&mut self, mark: Mark) {
        self.bytes.truncate(mark.len);
        (self.count, self.databases) = (mark.count, mark.databases);
    }

    /// Adds a line that is no request, and is passed over where requests are repeated.
    pub fn note(&mut self, line: &str) {
        self.bytes.extend_from_slice(line.as_bytes());
    }

    pub(super) fn select(&mut self, database: usize) {
        let mut number = itoa::Buffer::new();
        self.write(&[b"SELECT", number.format(database).as_bytes()]);
    }

    fn write(&mut self, words: &[&[u8]]) {
        self.line(b'*', words.len());
        for word in words {
            self.line(b'$', word.len());
            self.bytes.extend_from_slice(word);
            self.bytes.extend_from_slice(b"\r\n");
        }
    }

    fn line(&mut self, mark: u8, number: usize) {
        if let Ok(digit @ 0..10) = u8::try_from(number) {
            self.bytes.extend_from_slice(&[mark, b'0' + digit, b'\r', b'\n']);
            return;
        }
        let mut buffer = itoa::Buffer::new();
        self.bytes.push(mark);
        self.bytes.extend_from_slice(buffer.format(number).as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_after_a_mark_is_forgotten() {
        let mut entries = Entries::default();
        entries.push(0, &[b"SET", b"a", b"0123456789"]);
        let (mark, before) = (entries.mark(), entries.bytes().to_vec());
        entries.push(4, &[b"DEL", b"b"]);
        assert_eq!(entries.databases(), Some((0, 4)));
        entries.forget_since(mark);
        assert_eq!((entries.bytes(), entries.count()), (&before[..], 1));
        assert_eq!(entries.databases(), Some((0, 0)));
        entries.push(4, &[b"DEL", b"b"]);
        let again = b"*2\r\n$6\r\nSELECT\r\n$1\r\n4\r\n*2\r\n$3\r\nDEL\r\n$1\r\nb\r\n";
        assert_eq!(entries.bytes()[before.len()..], *again);
    }
}
