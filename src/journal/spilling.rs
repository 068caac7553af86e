//! Moving the front of the stream to a file and back: what the journal decides of it.

use bytes::Bytes;

use super::{Fetch, Hold, Journal, Reader, Sizes, SpillJob, State, Stretch, Waiting};

/// Batches by which memory may be over its bound for replicas that were cut off: a disk that is too slow for
/// the stream is not waited for.
const HOLD_BATCHES: u64 = 8;

impl Journal {
    /// A journal with pieces of other sizes than usual.
    pub fn with_sizes(sizes: Sizes) -> Self {
        let journal = Self::default();
        journal.state.lock().sizes = sizes;
        journal
    }

    /// Says how a job or a [`Fetch`] is announced to whatever keeps the file. It is called with a lock held,
    /// and must not come back here.
    pub fn set_spill_waker(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.state.lock().spill.wake = Some(Box::new(wake));
    }

    /// Lets the file have so many bytes; 0 for none from here on: what it has stays until it is read.
    pub fn set_spill(&self, limit: u64) {
        let mut state = self.state.lock();
        (state.spill.limit, state.spill.is_full) = (limit, false);
        if limit == 0 {
            state.spill.holds.clear();
        }
        state.forget_read();
        state.call_spill_if_due();
    }

    /// Lets no more than about so many bytes wait in memory beside the backlog before the file takes them.
    pub fn set_room(&self, bytes: u64) {
        let mut state = self.state.lock();
        state.spill.room = bytes;
        state.call_spill_if_due();
    }

    /// The next bytes to be written behind those in the file, which takes `used` bytes of the disk. What they
    /// are stays in memory until they are [written](Self::spilled).
    pub fn take_spill(&self, used: u64) -> Option<SpillJob> {
        let mut state = self.state.lock();
        (state.spill.used, state.spill.has_called) = (used, false);
        state.take_spill()
    }

    /// Notes that the last job is written.
    pub fn spilled(&self, job: &SpillJob) {
        let mut state = self.state.lock();
        state.spill.is_writing = false;
        let (start, end) = (state.memory_start(), job.end());
        let count = state.sealed.partition_point(|piece| piece.end() <= end);
        // Nobody needs what went meanwhile.
        let written: Vec<_> = state.sealed.drain(..count).collect();
        if !written.is_empty() {
            let spill = &mut state.spill;
            debug_assert!(spill.file.is_empty() || spill.file.end == start);
            spill.file = if spill.file.is_empty() { start..end } else { spill.file.start..end };
        }
        state.forget_read();
        drop(state);
        // Memory is given back after the lock.
        drop(written);
    }

    /// Notes that the last job could not be written: nothing goes to the file until it is
    /// [tried again](Self::retry_spill).
    /// What is in it can be read.
    pub fn spill_failed(&self) {
        let mut state = self.state.lock();
        (state.spill.is_writing, state.spill.is_broken) = (false, true);
        state.spill.holds.clear();
        state.forget_read();
    }

    /// Has a file that could not be written tried again.
    pub fn retry_spill(&self) {
        let mut state = self.state.lock();
        state.spill.is_broken = false;
        state.call_spill_if_due();
    }

    /// What a reader wants from the file next.
    pub fn take_fetch(&self) -> Option<Fetch> {
        self.state.lock().spill.fetches.pop_front()
    }

    /// Gives a reader what it asked for; `None` where it cannot be read.
    pub fn fetched(&self, fetch: Fetch, bytes: Option<Bytes>) {
        let mut state = self.state.lock();
        let Some(place) = state.readers.iter_mut().find(|place| place.number == fetch.reader) else { return };
        let Some(link) = &mut place.link else { return };
        link.fetches = false;
        link.is_lost |= bytes.as_ref().is_none_or(Bytes::is_empty);
        link.fetched = bytes;
        (place.wake)();
    }

    /// The positions of the bytes in the file that are still needed.
    pub fn spilled_range(&self) -> std::ops::Range<u64> {
        self.state.lock().spill.file.clone()
    }

    /// Bytes that the file takes on the disk, as was said last.
    pub fn spill_bytes(&self) -> u64 {
        self.state.lock().spill.used
    }

    /// Notes how many bytes the file takes on the disk.
    pub fn set_spill_bytes(&self, used: u64) {
        self.state.lock().spill.used = used;
    }

    /// Notes up to which position a link's replica has acknowledged the stream.
    pub fn acknowledged(&self, reader: &Reader, position: u64) {
        let mut state = self.state.lock();
        let Some(place) = state.readers.iter_mut().find(|place| place.number == reader.0) else { return };
        let read = place.position;
        if let Some(link) = &mut place.link {
            link.acknowledged = link.acknowledged.max(position.min(read));
        }
    }

    /// Ends the reader of a link whose replica is expected to come back: what it has not acknowledged is kept,
    /// as far as the file has room, until that is [given up](Self::give_up). `None` where there is no file.
    pub fn leave_and_hold(&self, reader: &Reader) -> Option<Hold> {
        let mut state = self.state.lock();
        let is_kept = state.spill.is_on() && state.backlog.is_some();
        let place = state.readers.iter().find(|place| place.number == reader.0 && is_kept);
        let floor = state.spill.hold_floor;
        let position = place.and_then(|place| state.reach(place)).filter(|position| *position >= floor);
        let hold = position.map(|position| {
            state.spill.last_hold += 1;
            let number = state.spill.last_hold;
            state.spill.holds.push_back((number, position));
            Hold(number)
        });
        drop(state);
        self.leave(reader);
        hold
    }

    /// Keeps nothing any more for a replica that was cut off.
    pub fn give_up(&self, hold: Hold) {
        let mut state = self.state.lock();
        state.spill.holds.retain(|(number, _)| *number != hold.0);
        state.forget_read();
    }

    /// Whether a reader's bytes in the file cannot be read: it will get no more.
    pub fn is_lost(&self, reader: &Reader) -> bool {
        let state = self.state.lock();
        let place = state.readers.iter().find(|place| place.number == reader.0);
        place.and_then(|place| place.link.as_ref()).is_some_and(|link| link.is_lost)
    }

    /// What waits for a reader, and where.
    pub fn waiting(&self, reader: &Reader) -> Waiting {
        let state = self.state.lock();
        let Some(place) = state.readers.iter().find(|place| place.number == reader.0) else {
            return Waiting::default();
        };
        let links = state.readers.iter().filter(|place| place.link.is_some());
        let last = links.map(|other| other.position).min();
        Waiting {
            bytes: state.end() - place.position,
            memory_bytes: state.end() - place.position.max(state.memory_start()),
            kept_bytes: state.kept_anyway(),
            is_last: state.spill.file.is_empty() || last == Some(place.position),
            spills: state.spill.is_on() && !state.spill.is_full,
        }
    }

    /// Keeps nothing of what came before the present end for replicas that were cut off, or will be: the history
    /// is another one.
    pub fn forget_holds(&self) {
        let mut state = self.state.lock();
        state.spill.hold_floor = state.end();
        state.spill.holds.clear();
        state.forget_read();
    }
}

impl State {
    /// The position from which on a reader needs the stream: a link also what its replica may not have got.
    fn reach(&self, place: &super::Place) -> Option<u64> {
        let link = place.link.as_ref()?;
        let sent = place.position.saturating_sub(self.sizes.in_flight);
        Some(place.position.min(link.acknowledged.max(sent)))
    }

    /// The position from which on readers need the stream.
    pub(super) fn needed_by_readers(&self) -> Option<u64> {
        let is_on = self.spill.is_on();
        let needs = |place: &super::Place| self.reach(place).filter(|_| is_on).unwrap_or(place.position);
        self.readers.iter().map(needs).min()
    }

    /// Whether the next bytes of a reader are in the file.
    pub(super) fn is_in_file(&self, reader: &Reader) -> bool {
        let is_there = |place: &super::Place| {
            place.number == reader.0 && (self.spill.file.start..self.spill.file.end).contains(&place.position)
        };
        !self.spill.file.is_empty() && self.readers.iter().any(is_there)
    }

    /// The next bytes for a link that reads from the file, if they have come.
    pub(super) fn read_file(&mut self, reader: &Reader) -> Option<Stretch> {
        let place = self.readers.iter_mut().find(|place| place.number == reader.0)?;
        let link = place.link.as_mut()?;
        let fetched = link.fetched.take().map(|bytes| {
            let stretch = Stretch { position: place.position, bytes, for_links: false };
            place.position += stretch.bytes.len() as u64;
            stretch
        });
        let (position, end) = (place.position, self.spill.file.end);
        // The next ones come while these are sent.
        if position < end && !link.fetches && !link.is_lost {
            link.fetches = true;
            let max_len = self.sizes.fetch.min(end - position);
            self.spill.fetches.push_back(Fetch { reader: reader.0, position, max_len });
            self.spill.call();
        }
        if fetched.is_some() {
            self.forget_read();
        }
        fetched
    }

    /// Bytes that memory keeps beside the backlog before the file takes them.
    fn in_flight(&self) -> u64 {
        self.sizes.in_flight.min(self.spill.room / 2)
    }

    /// Bytes that go to the file at once, at least.
    fn batch(&self) -> u64 {
        self.sizes.batch.min((self.spill.room / 4).max(1))
    }

    /// Bytes that are in memory whoever reads: the backlog, with the piece and the block that its ends lie in,
    /// and what is there before it goes to the file.
    fn kept_anyway(&self) -> u64 {
        let before_file = if self.spill.is_on() { self.in_flight() + self.batch() } else { 0 };
        let bound = self.end().saturating_sub(self.backlog.unwrap_or(0) + before_file);
        let first = self.sealed.partition_point(|piece| piece.end() <= bound);
        let start = self.sealed.get(first).map_or(self.open_start, |piece| piece.start);
        self.end() - start + self.sizes.block
    }

    /// The position up to which nothing is to stay in memory.
    fn spills_to(&self) -> u64 {
        let kept = self.backlog.unwrap_or(0) + self.in_flight();
        let pinned = self.readers.iter().filter(|place| place.link.is_none()).map(|place| place.position);
        pinned.chain([self.end().saturating_sub(kept)]).min().unwrap_or(0)
    }

    /// Calls the thread of the file where there is something for it to write.
    #[inline]
    pub(super) fn call_spill_if_due(&mut self) {
        let bound = self.backlog.unwrap_or(0) + self.in_flight() + self.batch();
        if self.end() - self.memory_start() > bound && self.spill.is_on() {
            self.call_spill(bound);
        }
    }

    #[cold]
    fn call_spill(&mut self, bound: u64) {
        let over = (self.end() - self.memory_start()).saturating_sub(bound);
        if over > HOLD_BATCHES * self.batch() && !self.spill.holds.is_empty() {
            self.spill.holds.clear();
            self.forget_read();
        }
        let is_due = self.spills_to().saturating_sub(self.memory_start()) >= self.batch();
        if is_due && !self.spill.is_writing && !self.spill.has_called && !self.spill.is_full {
            self.spill.has_called = true;
            self.spill.call();
        }
    }

    fn take_spill(&mut self) -> Option<SpillJob> {
        if !self.spill.is_on() || self.spill.is_writing {
            return None;
        }
        loop {
            self.forget_read();
            let (start, to) = (self.memory_start(), self.spills_to());
            if to.saturating_sub(start) < self.batch() {
                return None;
            }
            let room = self.spill.limit.saturating_sub(self.spill.used);
            let mut len = 0;
            let mut pieces = Vec::new();
            for piece in self.sealed.iter().take_while(|piece| piece.end() <= to) {
                if len >= self.batch() || len + piece.bytes.len() as u64 > room {
                    break;
                }
                len += piece.bytes.len() as u64;
                pieces.push(piece.bytes.clone());
            }
            if !pieces.is_empty() {
                (self.spill.is_writing, self.spill.is_full) = (true, false);
                return Some(SpillJob { position: start, pieces });
            }
            if self.sealed.front().is_none_or(|piece| piece.end() > to) {
                return None;
            }
            // A replica that is there goes before one that was cut off.
            if !self.spill.give_up_hold(self.needed_by_readers()) {
                self.spill.is_full = true;
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Entries;

    const SIZES: Sizes = Sizes { block: 256, batch: 512, fetch: 300, in_flight: 700 };
    const BACKLOG: u64 = 1000;

    /// A file as it might be kept: one run of bytes, of which only those needed are held.
    #[derive(Default)]
    struct File {
        start: u64,
        bytes: Vec<u8>,
    }

    impl File {
        fn give_back(&mut self, journal: &Journal) {
            let needed = journal.spilled_range();
            if needed.is_empty() {
                self.bytes.clear();
            } else if needed.start > self.start {
                self.bytes.drain(..(needed.start - self.start) as usize);
                self.start = needed.start;
            }
        }

        fn write(&mut self, job: &SpillJob) {
            if self.bytes.is_empty() {
                self.start = job.position;
            }
            assert_eq!(self.start + self.bytes.len() as u64, job.position, "a gap in the file");
            job.pieces.iter().for_each(|piece| self.bytes.extend_from_slice(piece));
        }

        fn read(&self, fetch: Fetch) -> Bytes {
            let bytes = &self.bytes[(fetch.position - self.start) as usize..];
            Bytes::copy_from_slice(&bytes[..bytes.len().min(fetch.max_len as usize)])
        }

        /// Does what the file's thread does.
        fn work(&mut self, journal: &Journal, limit: u64) -> bool {
            self.give_back(journal);
            let fetched = std::iter::from_fn(|| journal.take_fetch()).map(|fetch| {
                journal.fetched(fetch, Some(self.read(fetch)));
            });
            let mut did_something = fetched.count() > 0;
            if let Some(job) = journal.take_spill(self.bytes.len() as u64) {
                if journal.spilled_range().is_empty() {
                    self.bytes.clear();
                }
                self.write(&job);
                assert!(self.bytes.len() as u64 <= limit, "{} of {limit} bytes", self.bytes.len());
                journal.spilled(&job);
                did_something = true;
            }
            did_something
        }
    }

    fn spilling(limit: u64) -> Journal {
        let journal = Journal::with_sizes(SIZES);
        journal.set_spill_waker(|| {});
        journal.set_spill(limit);
        journal.keep(Some(BACKLOG));
        journal
    }

    /// Appends an entry, and to the bytes of the whole stream.
    fn append(journal: &Journal, all: &mut Vec<u8>, len: usize, rng: &mut fastrand::Rng) {
        let value: Vec<u8> = (0..len).map(|_| rng.u8(..)).collect();
        let mut entries = Entries::default();
        entries.push(0, &[b"SET", b"k", &value]);
        if all.is_empty() {
            all.extend_from_slice(b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n");
        }
        all.extend_from_slice(entries.bytes());
        journal.append(&entries);
        assert_eq!(journal.end(), all.len() as u64);
    }

    struct Link {
        reader: Reader,
        position: u64,
    }

    impl Link {
        /// Reads a stretch, which has to be what stands there in the stream.
        fn read(&mut self, journal: &Journal, all: &[u8]) -> bool {
            let Some(stretch) = journal.read(&self.reader) else { return false };
            assert_eq!(stretch.position, self.position);
            let end = stretch.position as usize + stretch.bytes.len();
            assert_eq!(stretch.bytes, all[stretch.position as usize..end]);
            self.position = end as u64;
            true
        }
    }

    /// Whatever order things happen in, each link reads the stream byte for byte, from wherever it comes; what
    /// is kept for a replica that was cut off is there when it comes back, and memory is bounded.
    #[test]
    fn links_read_the_stream_from_wherever_it_lies() {
        let (mut spilled, mut came_back, mut given_up) = (0, 0, 0);
        for seed in 0..400 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let limit = if rng.bool() { u64::MAX } else { 3000 };
            let (journal, mut file, mut all) = (spilling(limit), File::default(), Vec::new());
            let mut links: Vec<Link> = Vec::new();
            let mut gone: Vec<(Hold, u64)> = Vec::new();
            for _ in 0..400 {
                match rng.u8(..20) {
                    0..8 => {
                        let len = if rng.u8(..20) == 0 { rng.usize(..900) } else { rng.usize(..120) };
                        append(&journal, &mut all, len, &mut rng);
                    }
                    8 if links.len() < 4 => {
                        let position = rng.u64(journal.first()..=journal.end());
                        let reader = journal.listen_from(position, || {}).expect("it is kept");
                        links.push(Link { reader, position });
                    }
                    9..13 if !links.is_empty() => {
                        let at = rng.usize(..links.len());
                        for _ in 0..rng.usize(..8) {
                            links[at].read(&journal, &all);
                        }
                    }
                    13 if !links.is_empty() => {
                        let link = &links[rng.usize(..links.len())];
                        journal.acknowledged(&link.reader, link.position);
                    }
                    14 if !links.is_empty() => {
                        let link = links.swap_remove(rng.usize(..links.len()));
                        // It may have got everything that was sent.
                        gone.extend(journal.leave_and_hold(&link.reader).map(|hold| (hold, link.position)));
                    }
                    15 if !gone.is_empty() => {
                        let (hold, position) = gone.swap_remove(rng.usize(..gone.len()));
                        match journal.listen_from(position, || {}) {
                            Some(reader) => {
                                came_back += 1;
                                links.push(Link { reader, position });
                            }
                            None => given_up += 1,
                        }
                        assert!(
                            limit < u64::MAX || links.last().is_some_and(|link| link.position == position)
                        );
                        journal.give_up(hold);
                    }
                    _ => spilled += usize::from(file.work(&journal, limit)),
                }
                if limit == u64::MAX {
                    while file.work(&journal, limit) {}
                    let bound = BACKLOG + SIZES.in_flight + SIZES.batch + 2 * SIZES.block + 1000;
                    assert!(journal.memory_bytes() as u64 <= bound, "{} bytes", journal.memory_bytes());
                }
            }
            for mut link in links {
                while link.read(&journal, &all) || file.work(&journal, limit) {}
                assert_eq!(link.position, journal.end(), "seed {seed}");
                journal.leave(&link.reader);
            }
            gone.into_iter().for_each(|(hold, _)| journal.give_up(hold));
            file.give_back(&journal);
            assert!(file.bytes.is_empty(), "nobody needs it");
        }
        assert!(spilled > 1000 && came_back > 100 && given_up > 10, "{spilled}, {came_back}, {given_up}");
    }

    /// Who goes on at the very beginning of what is kept waits for no more than is kept anyway, with a file and
    /// without.
    #[test]
    fn what_is_kept_anyway_is_no_burden() {
        for limit in [0, u64::MAX] {
            let mut rng = fastrand::Rng::with_seed(5);
            let (journal, mut file, mut all) = (spilling(limit), File::default(), Vec::new());
            for _ in 0..2000 {
                let len = if rng.u8(..20) == 0 { rng.usize(..900) } else { rng.usize(..120) };
                append(&journal, &mut all, len, &mut rng);
                while file.work(&journal, limit) {}
                let reader = journal.listen_from(journal.first(), || {}).expect("it is kept");
                let waiting = journal.waiting(&reader);
                assert!(waiting.memory_bytes <= waiting.kept_bytes, "{waiting:?}");
                assert!(waiting.bytes == waiting.memory_bytes);
                journal.leave(&reader);
            }
        }
    }

    /// Less room in memory than usual is kept to, whatever waits.
    #[test]
    fn what_waits_in_memory_keeps_to_its_room() {
        let mut rng = fastrand::Rng::with_seed(6);
        let (journal, mut file, mut all) = (spilling(u64::MAX), File::default(), Vec::new());
        let mut link = Link { reader: journal.listen_from(0, || {}).expect("kept"), position: 0 };
        for room in [u64::MAX, SIZES.in_flight, SIZES.in_flight / 4, 0, u64::MAX] {
            journal.set_room(room);
            let share = room.min(SIZES.in_flight + SIZES.batch);
            for step in 0..500 {
                append(&journal, &mut all, 50, &mut rng);
                while file.work(&journal, u64::MAX) {}
                let bound = BACKLOG + share + 2 * SIZES.block;
                let waiting = journal.waiting(&link.reader);
                assert!(
                    step < 10 || journal.memory_bytes() as u64 <= bound,
                    "{} bytes",
                    journal.memory_bytes()
                );
                assert!(waiting.kept_bytes <= bound + SIZES.block, "{waiting:?}");
            }
        }
        while link.read(&journal, &all) || file.work(&journal, u64::MAX) {}
        assert_eq!(link.position, journal.end());
    }

    /// Only the last one that waits pays where the file is full, and what was kept for one that is gone goes
    /// first.
    #[test]
    fn a_full_file_is_told() {
        let mut rng = fastrand::Rng::with_seed(3);
        let (journal, mut file, mut all) = (spilling(3000), File::default(), Vec::new());
        let (gone, last) = (journal.listen_from(0, || {}).expect("kept"), journal.listen_from(0, || {}));
        let last = last.expect("kept");
        journal.leave_and_hold(&gone).expect("there is a file");
        let mut fill = |all: &mut Vec<u8>, len: usize| {
            let end = all.len() + len;
            while all.len() < end {
                append(&journal, all, 50, &mut rng);
                while file.work(&journal, 3000) {}
            }
        };
        fill(&mut all, 2000);
        let other = journal.listen_from(1000, || {}).expect("kept");
        assert!(journal.waiting(&last).spills);
        fill(&mut all, 6000);
        let waiting = journal.waiting(&last);
        assert!(waiting.is_last && !waiting.spills && waiting.bytes == journal.end());
        assert!(waiting.memory_bytes > 4000 && !journal.waiting(&other).is_last);
        journal.leave(&last);
        assert!(journal.waiting(&other).spills, "there may be room again");
        fill(&mut all, 100);
        journal.leave(&other);
        assert!(journal.spilled_range().is_empty());
        fill(&mut all, 2000);
        assert!(journal.memory_bytes() < 4000);
    }

    /// A file that cannot be written is left alone, and what was kept with it in mind goes.
    #[test]
    fn a_file_that_cannot_be_written_is_left_alone() {
        let mut rng = fastrand::Rng::with_seed(4);
        let (journal, mut all) = (spilling(u64::MAX), Vec::new());
        let mut link = Link { reader: journal.listen_from(0, || {}).expect("kept"), position: 0 };
        let gone = journal.listen_from(0, || {}).expect("kept");
        journal.leave_and_hold(&gone).expect("there is a file");
        (0..100).for_each(|_| append(&journal, &mut all, 50, &mut rng));
        journal.take_spill(0).expect("there is something to write");
        assert!(journal.take_spill(0).is_none(), "one at a time");
        journal.spill_failed();
        assert!(journal.take_spill(0).is_none());
        assert!(!journal.waiting(&link.reader).spills);
        while link.read(&journal, &all) {}
        assert_eq!(link.position, journal.end());
        append(&journal, &mut all, 50, &mut rng);
        link.read(&journal, &all);
        assert!(journal.first() > 0, "nothing is kept for the one that is gone");
        // Of another history nothing is kept.
        journal.retry_spill();
        journal.forget_holds();
        let late = journal.listen_from(journal.first(), || {}).expect("kept");
        assert!(journal.leave_and_hold(&late).is_none());
        let next = journal.listen_from(journal.end(), || {}).expect("kept");
        let hold = journal.leave_and_hold(&next).expect("it is of this history");
        journal.give_up(hold);
        // A link whose bytes cannot be read back gets no more.
        journal.retry_spill();
        (0..100).for_each(|_| append(&journal, &mut all, 50, &mut rng));
        assert!(journal.waiting(&link.reader).spills, "it is tried again");
        while let Some(job) = journal.take_spill(0) {
            journal.spilled(&job);
        }
        assert!(journal.read(&link.reader).is_none() && !journal.is_lost(&link.reader));
        let fetch = journal.take_fetch().expect("it asks");
        journal.fetched(fetch, None);
        assert!(journal.read(&link.reader).is_none() && journal.is_lost(&link.reader));
    }
}
