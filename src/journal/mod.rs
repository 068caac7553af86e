//! The journal: every change of the data as one stream of bytes, in the order in which a replica or an
//! append-only file has to repeat them.
//!
//! Its bytes are requests in RESP. A position in it counts bytes from the server's start; it is the
//! replication offset. SELECT stands before an entry whose database is not that of the entry before.
//! A change is appended while the locks of its keys are held, so the entries of one key stand in the order of
//! its changes; what a transaction or script did is appended as MULTI ... EXEC, in one piece.
//!
//! Pure state: readers (the writer of the append-only file, links to replicas) hold the bytes by reference
//! and move their own positions. What all of them have read goes, but for a backlog of the last bytes where
//! one is kept ([`Journal::keep`]): a link that was cut goes on from there. With no reader and no backlog
//! nothing is made and nothing kept. For links that are far behind, the front of the stream may lie in a file
//! ([`Journal::set_spill`]).

mod entries;
mod spill;
mod spilling;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

pub use entries::{Entries, Mark};
use spill::Spill;
pub use spill::{Fetch, Hold, Sizes, SpillJob, Waiting};

/// The stream of changes of one server.
#[derive(Debug, Default)]
pub struct Journal {
    heard: AtomicBool,
    /// Whether all that is appended is a primary's stream: see [`relay`](Self::relay).
    relays: AtomicBool,
    /// The position behind the last entry.
    end: AtomicU64,
    /// Bytes that a reader has taken and keeps.
    kept_by_reader: AtomicU64,
    state: Mutex<State>,
}

/// A reader of the journal, by the number under which [`Journal::listen`] entered it.
#[derive(Debug, PartialEq, Eq)]
pub struct Reader(u64);

#[derive(Debug, Default)]
struct State {
    sizes: Sizes,
    /// Bytes in memory that readers may take, in the order of their positions and without gaps.
    sealed: VecDeque<Piece>,
    /// The bytes behind them, with room for more.
    open: BytesMut,
    /// Position of the first byte of `open`.
    open_start: u64,
    /// The database that a reader of the whole stream is in; `None` before the first entry.
    database: Option<usize>,
    /// Whether the next entry has to say its database whichever it is.
    says_database: bool,
    readers: Vec<Place>,
    last_reader: u64,
    /// Bytes before the end that are kept though nobody has to read them; `None` without a backlog.
    backlog: Option<u64>,
    /// Position of the first byte that is kept on purpose. Others may lie before it in the same block: they
    /// are not given to anybody, so that who may go on depends on no block's size.
    kept_from: u64,
    /// The bytes before those in memory.
    spill: Spill,
    /// Whether nothing is taken any more.
    is_closed: bool,
}

#[derive(Debug)]
struct Piece {
    start: u64,
    bytes: Bytes,
    for_links: bool,
}

/// What a reader is given: bytes of whole entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The position of the first of them.
    pub position: u64,
    /// At most one block or one entry.
    pub bytes: Bytes,
    /// Whether they are no changes of the data but words to replicas, which no file is to hold: they count in
    /// positions, and nothing else.
    pub for_links: bool,
}

/// Where a file of its own begins in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// The position of its first byte.
    pub position: u64,
    /// The database that a reader of the whole stream is in there; `None` before the first entry.
    pub database: Option<usize>,
}

impl Begin {
    /// What has to stand in the file before its first bytes, which are these: a SELECT where they do not
    /// begin with one. What is relayed stays as it is, and knows of no files.
    pub fn select_before(&self, bytes: &[u8]) -> Vec<u8> {
        const SELECT: &[u8] = b"*2\r\n$6\r\nSELECT\r\n";
        let Some(database) = self.database.filter(|_| !bytes.starts_with(SELECT)) else { return Vec::new() };
        let mut select = Entries::default();
        select.select(database);
        select.into_buffer()
    }
}

/// How far a reader has come.
struct Place {
    number: u64,
    position: u64,
    /// Of a link, the position up to which its replica has acknowledged the stream, and what has come for it
    /// from the file; `None` for a reader that reads from memory only.
    link: Option<LinkPlace>,
    /// Whether the reader has found nothing to read and wants to be called.
    sleeps: bool,
    wake: Box<dyn Fn() + Send + Sync>,
}

#[derive(Debug)]
struct LinkPlace {
    acknowledged: u64,
    fetched: Option<Bytes>,
    /// Whether bytes were asked for that have not come.
    fetches: bool,
    /// Whether the file could not be read.
    is_lost: bool,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("number", &self.number).field("position", &self.position).finish()
    }
}

impl Journal {
    /// Whether changes are to be entered: anybody reads, and it is no primary's stream. One relaxed load. It
    /// changes only while nobody else is in the keyspace, so it stays the same while a command runs.
    #[inline]
    pub fn is_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// The position behind the last entry.
    #[inline]
    pub fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Appends entries as one piece: several of them as a transaction. Returns the position behind them. The
    /// locks of what they changed are held.
    pub fn append(&self, entries: &Entries) -> u64 {
        const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
        const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";
        if entries.is_empty() {
            return self.end();
        }
        let mut state = self.state.lock();
        debug_assert!(!self.relays(), "a replica's own changes are in nobody's stream");
        if state.is_closed || self.relays() {
            return state.end();
        }
        let says = state.says_database;
        let mut select = Entries::default();
        match entries.databases() {
            Some((first, last)) => {
                if says || state.database != Some(first) {
                    select.select(first);
                }
                (state.database, state.says_database) = (Some(last), false);
            }
            // A stream for replicas begins with a database whatever comes first, as the peers' do.
            None if state.backlog.is_some() && (says || state.database.is_none()) => {
                let database = state.database.unwrap_or(0);
                select.select(database);
                (state.database, state.says_database) = (Some(database), false);
            }
            None => {}
        }
        // The database of a group is chosen within it, as the peers do.
        if entries.count() > 1 {
            state.write(&[MULTI, select.bytes(), entries.bytes(), EXEC]);
        } else {
            state.write(&[select.bytes(), entries.bytes()]);
        }
        self.appended(&mut state)
    }

    /// Appends requests that only links to replicas pass on (PING, GETACK, PUBLISH), which work in any
    /// database. Returns the position behind them.
    pub fn append_for_links(&self, entries: &Entries) -> u64 {
        let mut state = self.state.lock();
        if state.is_closed {
            return state.end();
        }
        state.write_for_links(entries.bytes());
        self.appended(&mut state)
    }

    /// Appends bytes of a primary's stream as they came: whole requests, and whole transactions. A reader of
    /// them is in `database` behind them. With `for_links` they change no data. Returns the position behind
    /// them.
    pub fn relay(&self, bytes: &[u8], database: usize, for_links: bool) -> u64 {
        let mut state = self.state.lock();
        if state.is_closed {
            return state.end();
        }
        if for_links {
            state.write_for_links(bytes);
        } else {
            state.write(&[bytes]);
        }
        state.database = Some(database);
        self.appended(&mut state)
    }

    /// Has changes entered no longer, since all that is appended from here on is [relayed](Self::relay), or
    /// has them entered again, beginning with their database. To be called while nobody else is in the
    /// keyspace.
    pub fn set_relays(&self, relays: bool) {
        let mut state = self.state.lock();
        self.relays.store(relays, Ordering::Relaxed);
        state.says_database = true;
        self.note_heard(&state);
    }

    /// Whether all that is appended is a primary's stream.
    pub fn relays(&self) -> bool {
        self.relays.load(Ordering::Relaxed)
    }

    fn note_heard(&self, state: &State) {
        let is_kept = !state.readers.is_empty() || state.backlog.is_some();
        self.heard.store(is_kept && !self.relays(), Ordering::Relaxed);
    }

    /// The database that a reader of the whole stream is in at its end; `None` before the first entry.
    pub fn database(&self) -> Option<usize> {
        self.state.lock().database
    }

    /// Says which database a reader of the whole stream is in at its end, where it was begun elsewhere.
    pub fn set_database(&self, database: Option<usize>) {
        self.state.lock().database = database;
    }

    fn appended(&self, state: &mut State) -> u64 {
        let end = state.end();
        self.end.store(end, Ordering::Release);
        state.wake_sleepers();
        state.call_spill_if_due();
        end
    }

    /// Takes nothing any more: the server ends, and what is cut short from here on must not be repeated.
    pub fn close(&self) {
        self.state.lock().is_closed = true;
    }

    /// Enters a reader that wants all from here on, beginning with a SELECT. `wake` is called when there is
    /// something to read after [`read`](Self::read) returned nothing; it must not come back here. To be
    /// called while nobody else is in the keyspace: commands ask once whether anybody reads.
    pub fn listen(&self, wake: impl Fn() + Send + Sync + 'static) -> Reader {
        let mut state = self.state.lock();
        let position = state.end();
        state.says_database = true;
        let reader = state.enter_reader(position, false, Box::new(wake));
        self.note_heard(&state);
        reader
    }

    /// Enters the reader of a link, which goes on at an earlier position whose database its replica knows;
    /// `None` where the bytes from there on are not kept, or are still to come. To be called while there is a
    /// backlog.
    pub fn listen_from(&self, position: u64, wake: impl Fn() + Send + Sync + 'static) -> Option<Reader> {
        let mut state = self.state.lock();
        state.forget_read();
        let is_kept = state.backlog.is_some() && (state.first()..=state.end()).contains(&position);
        is_kept.then(|| state.enter_reader(position, true, Box::new(wake)))
    }

    /// Keeps at least the last `size` bytes from now on, as far as there will be so many; `None` ends that.
    /// To be called while nobody else is in the keyspace, as [`listen`](Self::listen).
    pub fn keep(&self, size: Option<u64>) {
        let mut state = self.state.lock();
        state.backlog = size;
        if size.is_none() {
            state.spill.holds.clear();
        }
        if state.open.capacity() as u64 > state.block_bytes() {
            state.seal();
            state.open = BytesMut::new();
        }
        self.note_heard(&state);
        state.forget_read();
    }

    /// The position of the first byte that is kept: the end where none is.
    pub fn first(&self) -> u64 {
        let mut state = self.state.lock();
        state.forget_read();
        state.first()
    }

    /// Goes on at a position, as if all bytes before it had been here. For a server that takes over a stream
    /// from another one; no reader is entered and nothing is kept.
    pub fn begin_at(&self, position: u64) {
        let mut state = self.state.lock();
        debug_assert!(state.readers.is_empty());
        state.sealed.clear();
        state.spill.file = 0..0;
        (state.open, state.open_start, state.database) = (BytesMut::new(), position, None);
        state.says_database = false;
        self.end.store(position, Ordering::Release);
    }

    /// Lets the next entry say its database: a file of its own begins at the present end. To be called while
    /// nobody else is in the keyspace.
    pub fn begin_part(&self) -> Begin {
        let mut state = self.state.lock();
        state.says_database = true;
        Begin { position: state.end(), database: state.database }
    }

    /// The next bytes for a reader. `None` where it has read all, or the next ones are in the file; it is woken
    /// then when there are some.
    pub fn read(&self, reader: &Reader) -> Option<Stretch> {
        let mut state = self.state.lock();
        let end = state.end();
        if state.is_in_file(reader) {
            return state.read_file(reader);
        }
        let place = state.readers.iter_mut().find(|place| place.number == reader.0)?;
        if place.position == end {
            place.sleeps = true;
            return None;
        }
        let position = place.position;
        if position >= state.open_start {
            state.seal();
        }
        let at = state.sealed.partition_point(|piece| piece.end() <= position);
        let piece = state.sealed.get(at)?;
        let (bytes, for_links) = (piece.bytes.slice((position - piece.start) as usize..), piece.for_links);
        let next = piece.end();
        if let Some(place) = state.readers.iter_mut().find(|place| place.number == reader.0) {
            place.position = next;
        }
        state.forget_read();
        Some(Stretch { position, bytes, for_links })
    }

    /// Ends a reader. With the last one the journal falls silent, unless there is a backlog.
    pub fn leave(&self, reader: &Reader) {
        let mut state = self.state.lock();
        state.readers.retain(|place| place.number != reader.0);
        state.spill.reader_left(reader.0);
        self.note_heard(&state);
        state.forget_read();
    }

    /// Bytes that a reader has still to read.
    pub fn unread(&self, reader: &Reader) -> u64 {
        let state = self.state.lock();
        let place = state.readers.iter().find(|place| place.number == reader.0);
        place.map_or(0, |place| state.end() - place.position)
    }

    /// Notes how many of the bytes that it has read a reader still keeps. There is one that keeps any: the
    /// append-only file's.
    pub fn set_kept_by_reader(&self, bytes: u64) {
        self.kept_by_reader.store(bytes, Ordering::Relaxed);
    }

    /// Bytes of memory that entries take, those for readers and those that a reader keeps. They do not count
    /// against `maxmemory`, as on the peers: each eviction is an entry more.
    pub fn all_memory_bytes(&self) -> u64 {
        if !self.is_heard() && !self.relays() {
            return 0;
        }
        self.memory_bytes() as u64 + self.kept_by_reader.load(Ordering::Relaxed)
    }

    /// Bytes in memory that are kept for readers and as the backlog.
    pub fn memory_bytes(&self) -> usize {
        let state = self.state.lock();
        (state.end() - state.memory_start()) as usize
    }
}

impl Piece {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl State {
    fn end(&self) -> u64 {
        self.open_start + self.open.len() as u64
    }

    fn first(&self) -> u64 {
        let start = if self.spill.file.is_empty() { self.memory_start() } else { self.spill.file.start };
        start.max(self.kept_from)
    }

    /// The position of the first byte in memory.
    fn memory_start(&self) -> u64 {
        self.sealed.front().map_or(self.open_start, |piece| piece.start)
    }

    fn enter_reader(&mut self, position: u64, is_link: bool, wake: Box<dyn Fn() + Send + Sync>) -> Reader {
        self.last_reader += 1;
        let link = is_link.then_some(LinkPlace {
            acknowledged: position,
            fetched: None,
            fetches: false,
            is_lost: false,
        });
        self.readers.push(Place { number: self.last_reader, position, link, sleeps: false, wake });
        Reader(self.last_reader)
    }

    /// Appends parts that belong together.
    fn write(&mut self, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if self.open.capacity() - self.open.len() < len {
            self.seal();
            // Where nobody reads, this is what keeps the backlog within its size.
            self.forget_read();
            self.open = BytesMut::with_capacity(len.max(self.block_bytes() as usize));
        }
        parts.iter().for_each(|part| self.open.extend_from_slice(part));
    }

    /// Size of a new block. One goes as a whole, so those of a small backlog are small, too.
    fn block_bytes(&self) -> u64 {
        const LEAST: u64 = 16 << 10;
        let share = self.backlog.map_or(u64::MAX, |size| size / 8).min(self.spill.room / 4);
        share.max(LEAST).min(self.sizes.block)
    }

    /// Writes what no file is to hold, as a piece of its own.
    fn write_for_links(&mut self, bytes: &[u8]) {
        self.seal();
        self.write(&[bytes]);
        self.seal();
        if let Some(last) = self.sealed.back_mut() {
            last.for_links = true;
        }
    }

    /// Gives what was written to the readers; the rest of the block is written on.
    fn seal(&mut self) {
        if !self.open.is_empty() {
            let (start, bytes) = (self.open_start, self.open.split().freeze());
            self.open_start += bytes.len() as u64;
            self.sealed.push_back(Piece { start, bytes, for_links: false });
        }
    }

    /// Drops what all readers have read and the backlog does not need.
    fn forget_read(&mut self) {
        let kept = self.backlog.map(|size| self.end().saturating_sub(size));
        let needed = self.needed_by_readers().into_iter().chain(self.spill.held_from()).chain(kept).min();
        if needed.is_none() {
            self.seal();
            self.open = BytesMut::new();
        }
        let needed = needed.unwrap_or(self.end());
        self.kept_from = needed;
        if !self.spill.forget_before(needed) {
            return;
        }
        while self.sealed.front().is_some_and(|piece| piece.end() <= needed) {
            self.sealed.pop_front();
        }
    }

    fn wake_sleepers(&mut self) {
        for place in &mut self.readers {
            if std::mem::take(&mut place.sleeps) {
                (place.wake)();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const BLOCK: usize = 1 << 20;

    fn one(database: usize, words: &[&[u8]]) -> Entries {
        let mut entries = Entries::default();
        entries.push(database, words);
        entries
    }

    fn read_all(journal: &Journal, reader: &Reader) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(stretch) = journal.read(reader) {
            all.extend_from_slice(&stretch.bytes);
        }
        all
    }

    #[test]
    fn databases_are_said_where_they_change() {
        let journal = Journal::default();
        let reader = journal.listen(|| {});
        journal.append(&one(0, &[b"DEL", b"a"]));
        journal.append(&one(0, &[b"DEL", b"b"]));
        let mut group = one(2, &[b"DEL", b"c"]);
        group.push(1, &[b"DEL", b"d"]);
        journal.append(&group);
        journal.append(&one(1, &[b"DEL", b"e"]));
        journal.append(&Entries::default());
        let mut anywhere = Entries::default();
        anywhere.push(None, &[b"FLUSHALL"]);
        journal.append(&anywhere);
        journal.append(&one(1, &[b"DEL", b"f"]));
        let select = |digit: char| format!("*2\r\n$6\r\nSELECT\r\n$1\r\n{digit}\r\n");
        let del = |key: char| format!("*2\r\n$3\r\nDEL\r\n$1\r\n{key}\r\n");
        let expected = [
            select('0'),
            del('a'),
            del('b'),
            "*1\r\n$5\r\nMULTI\r\n".into(),
            select('2'),
            del('c'),
            select('1'),
            del('d'),
            "*1\r\n$4\r\nEXEC\r\n".into(),
            del('e'),
            "*1\r\n$8\r\nFLUSHALL\r\n".into(),
            del('f'),
        ]
        .concat();
        assert_eq!(String::from_utf8(read_all(&journal, &reader)).unwrap(), expected);
        assert_eq!(journal.end(), expected.len() as u64);
    }

    #[test]
    fn each_reader_reads_all_from_its_beginning_on() {
        let journal = Journal::default();
        assert!(!journal.is_heard());
        let mut rng = fastrand::Rng::with_seed(9);
        let mut expected: Vec<u8> = Vec::new();
        let mut readers: Vec<(Reader, usize, Vec<u8>)> = Vec::new();
        for round in 0..3000 {
            let value = vec![b'v'; if rng.u8(..) == 0 { rng.usize(..3 * BLOCK) } else { rng.usize(..300) }];
            if round % 500 == 0 {
                readers.push((journal.listen(|| {}), expected.len(), Vec::new()));
            }
            let select = round % 500 == 0;
            let entry = one(3, &[b"SET", b"key", &value]);
            if select {
                expected.extend_from_slice(b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n");
            }
            expected.extend_from_slice(entry.bytes());
            assert_eq!(journal.append(&entry), expected.len() as u64);
            let (reader, start, seen) = &mut readers[rng.usize(..) % (round / 500 + 1)];
            if rng.bool()
                && let Some(stretch) = journal.read(reader)
            {
                assert_eq!(stretch.position, (*start + seen.len()) as u64);
                seen.extend_from_slice(&stretch.bytes);
            }
        }
        for (reader, start, mut seen) in readers {
            seen.extend(read_all(&journal, &reader));
            assert_eq!(seen, expected[start..]);
            journal.leave(&reader);
        }
        assert!(!journal.is_heard());
        assert_eq!(journal.memory_bytes(), 0, "what everybody has read is not kept");
    }

    /// Somebody who was cut off goes on where he was, as long as the backlog reaches there.
    #[test]
    fn a_backlog_is_kept_for_those_who_come_back() {
        const SIZE: u64 = 3 * BLOCK as u64;
        let journal = Journal::default();
        assert!(journal.listen_from(0, || {}).is_none(), "there is no backlog");
        journal.begin_at(1000);
        journal.keep(Some(SIZE));
        assert!(journal.is_heard());
        assert_eq!((journal.first(), journal.end()), (1000, 1000));
        let mut rng = fastrand::Rng::with_seed(4);
        let mut all = Vec::new();
        for _ in 0..2000 {
            let entry = one(0, &[b"SET", b"key", &vec![b'v'; rng.usize(..20_000)]]);
            if all.is_empty() {
                all.extend_from_slice(b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n");
            }
            all.extend_from_slice(entry.bytes());
            journal.append(&entry);
            assert_eq!(journal.end(), 1000 + all.len() as u64);
            let kept = journal.end() - journal.first();
            assert_eq!(kept, SIZE.min(all.len() as u64));
            assert!(journal.memory_bytes() as u64 <= SIZE + 2 * BLOCK as u64);
            let position = journal.first() + rng.u64(..=kept);
            if rng.u8(..) < 10 {
                let reader = journal.listen_from(position, || {}).expect("it is kept");
                assert!(read_all(&journal, &reader) == all[(position - 1000) as usize..]);
                journal.leave(&reader);
            }
        }
        assert!(journal.first() > 1000);
        assert!(journal.listen_from(journal.first() - 1, || {}).is_none(), "it has gone");
        assert!(journal.listen_from(journal.end() + 1, || {}).is_none(), "it is still to come");
        journal.keep(None);
        assert!(!journal.is_heard());
        assert_eq!(journal.memory_bytes(), 0);
    }

    /// Words to replicas stand in the stream by themselves, so that files can leave them out, and change
    /// nothing about the database of the next entry.
    #[test]
    fn words_to_replicas_are_marked() {
        let journal = Journal::default();
        let reader = journal.listen(|| {});
        let mut ping = Entries::default();
        ping.push(None, &[b"PING"]);
        let entry = one(2, &[b"DEL", b"a"]);
        journal.append(&entry);
        journal.append_for_links(&ping);
        journal.append(&entry);
        let mut all = Vec::new();
        while let Some(Stretch { position, bytes, for_links }) = journal.read(&reader) {
            all.push((position, bytes.len(), for_links));
        }
        let (select, entry, ping) = (23, entry.bytes().len(), ping.bytes().len());
        let first = select + entry;
        let expected = [(0, first, false), (first as u64, ping, true), ((first + ping) as u64, entry, false)];
        assert_eq!(all, expected);
        assert_eq!(journal.end(), (first + ping + entry) as u64);
    }

    /// A primary's stream stays byte for byte what it is, and its own changes begin with a database where it
    /// ends.
    #[test]
    fn what_is_relayed_stays_as_it_is() {
        let journal = Journal::default();
        journal.keep(Some(1000));
        let reader = journal.listen(|| {});
        journal.append(&one(2, &[b"DEL", b"a"]));
        let own = read_all(&journal, &reader).len() as u64;
        journal.set_relays(true);
        assert!(!journal.is_heard());
        let begin = journal.begin_part();
        assert_eq!(begin, Begin { position: own, database: Some(2) });
        let (write, ping) = (b"*2\r\n$3\r\nDEL\r\n$1\r\nb\r\n", b"*1\r\n$4\r\nPING\r\n");
        assert_eq!(begin.select_before(write), b"*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n");
        assert!(begin.select_before(b"*2\r\n$6\r\nSELECT\r\n$1\r\n7\r\n").is_empty());
        journal.relay(write, 2, false);
        journal.relay(ping, 2, true);
        journal.relay(write, 3, false);
        assert_eq!(journal.database(), Some(3));
        let mut all = Vec::new();
        while let Some(Stretch { bytes, for_links, .. }) = journal.read(&reader) {
            all.push((bytes.to_vec(), for_links));
        }
        assert_eq!(all, [(write.to_vec(), false), (ping.to_vec(), true), (write.to_vec(), false)]);
        journal.set_relays(false);
        assert!(journal.is_heard());
        let entry = one(3, &[b"DEL", b"a"]);
        journal.append(&entry);
        let expected = [&b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n"[..], entry.bytes()].concat();
        assert_eq!(read_all(&journal, &reader), expected);
    }

    #[test]
    fn readers_that_have_read_all_are_woken_once() {
        let journal = Journal::default();
        let woken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&woken);
        let reader = journal.listen(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let entry = one(0, &[b"DEL", b"a"]);
        journal.append(&entry);
        assert_eq!(woken.load(Ordering::Relaxed), 0, "it has not said that it sleeps");
        read_all(&journal, &reader);
        journal.append(&entry);
        journal.append(&entry);
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        assert_eq!(journal.unread(&reader), 2 * entry.bytes().len() as u64);
    }
}
