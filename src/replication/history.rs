//! [`History`]: ids and offsets of the stream, and who may go on where in it.

use crate::random;

/// Digits of an id.
const ID_LEN: usize = 40;

/// The history that this server's data are of.
///
/// Two servers with the same id and offset hold the same data. A server that stops following a primary keeps
/// that one's id as its second one, up to the offset at which it went its own way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    id: String,
    /// The id before this one, and the last offset for which it holds.
    second: Option<(String, u64)>,
    /// Offset of the journal's position 0, modulo 2^64.
    base: u64,
    /// The position from which on the stream is written.
    begun_at: u64,
    is_kept: bool,
}

/// A place in a stream, as a snapshot names the one that it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPlace {
    /// Id of the history.
    pub id: String,
    /// Offset in it.
    pub offset: u64,
    /// The database that a reader of the whole stream is in there.
    pub database: usize,
}

/// What a replica is told that asks to go on at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may: the stream from this position on.
    Continue(u64),
    /// It needs all data.
    Full(Unfit),
}

/// Why a replica cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It asks for all data.
    Asked,
    /// Its data are of another history, or it went on in this one where this server did not.
    Id,
    /// What it misses is not kept, or it has more than this server.
    Offset,
}

impl Default for History {
    fn default() -> Self {
        Self { id: random::hex(ID_LEN), second: None, base: 0, begun_at: 0, is_kept: false }
    }
}

impl History {
    /// 40 hex digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The id before it and the first offset for which it does not hold.
    pub fn second(&self) -> Option<(&str, u64)> {
        self.second.as_ref().map(|(id, last)| (id.as_str(), last + 1))
    }

    /// Whether the stream is written and its end kept, so that replicas may go on in it.
    pub fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// The stream is written from this position on, which has this offset.
    pub fn begin(&mut self, position: u64, offset: u64) {
        (self.base, self.begun_at, self.is_kept) = (offset.wrapping_sub(position), position, true);
    }

    /// The stream is not written any more. What changes from here on is of another history.
    pub fn end(&mut self) {
        (self.is_kept, self.second) = (false, None);
        self.id = random::hex(ID_LEN);
    }

    /// Goes on where the history `id` ended, at this offset, under the id that there is.
    pub fn take_over(&mut self, id: String, last: u64) {
        self.second = Some((id, last));
    }

    /// Goes its own way from this offset on: the id that there is becomes the second one.
    pub fn part_from_primary(&mut self, last: u64) {
        self.change_id(random::hex(ID_LEN), last);
    }

    /// Goes on under another id from this offset on, as the primary does.
    pub fn change_id(&mut self, id: String, last: u64) {
        self.second = Some((std::mem::replace(&mut self.id, id), last));
    }

    /// Takes an id that nobody knows, and forgets the one before.
    pub fn forget_ids(&mut self) {
        (self.id, self.second) = (random::hex(ID_LEN), None);
    }

    /// Becomes the history of a primary, of which a copy was taken: this position has this offset in it, and
    /// nothing before it is of use.
    pub fn adopt(&mut self, id: String, position: u64, offset: u64) {
        (self.id, self.second) = (id, None);
        self.begin(position, offset);
    }

    /// The offsets of the first byte that replicas may ask for and of the end of the stream, of which the
    /// journal keeps what is between these positions.
    pub fn kept(&self, first: u64, end: u64) -> (u64, u64) {
        (self.offset(first.max(self.begun_at)), self.offset(end))
    }

    /// The offset of a position.
    pub fn offset(&self, position: u64) -> u64 {
        self.base.wrapping_add(position)
    }

    /// The offset that a replica must have acknowledged to have the changes before a position: 0, which every
    /// replica has, for those that were made before the stream began. Each replica's copy has them.
    pub fn offset_of_changes(&self, position: u64) -> u64 {
        if self.is_kept && position > self.begun_at { self.offset(position) } else { 0 }
    }

    /// The position with this offset.
    pub fn position(&self, offset: u64) -> u64 {
        offset.wrapping_sub(self.base)
    }

    /// Answers a replica that has data of the history `id` and asks for the stream from the byte number
    /// `next` on, which is one more than its offset. The bytes between `first` and `end`, two positions, are
    /// kept.
    pub fn answer(&self, id: &[u8], next: i64, first: u64, end: u64) -> Answer {
        if id == b"?" {
            return Answer::Full(Unfit::Asked);
        }
        let is_first = id == self.id.as_bytes();
        let is_second = self
            .second
            .as_ref()
            .is_some_and(|(second, last)| id == second.as_bytes() && next >= 0 && next as u64 <= last + 1);
        if !is_first && !is_second {
            return Answer::Full(Unfit::Id);
        }
        let (first, end) = self.kept(first, end);
        match u64::try_from(next).ok().and_then(|next| next.checked_sub(1)) {
            Some(offset) if self.is_kept && (first..=end).contains(&offset) => {
                Answer::Continue(self.position(offset))
            }
            _ => Answer::Full(Unfit::Offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> History {
        let mut history = History::default();
        history.begin(1000, 5000);
        history
    }

    /// A replica goes on in what is kept, which begins with position 1100 and ends with 1200, and nowhere
    /// else.
    #[test]
    fn a_replica_goes_on_in_what_is_kept() {
        let history = kept();
        let id = history.id().as_bytes().to_vec();
        assert_eq!(id.len(), 40);
        let answer = |next| history.answer(&id, next, 1100, 1200);
        assert_eq!(answer(5101), Answer::Continue(1100));
        assert_eq!(answer(5150), Answer::Continue(1149));
        assert_eq!(answer(5201), Answer::Continue(1200), "it has everything");
        for next in [5100, 5202, 0, 1, -1, i64::MIN, i64::MAX] {
            assert_eq!(answer(next), Answer::Full(Unfit::Offset), "{next}");
        }
        assert_eq!(history.answer(b"?", -1, 1100, 1200), Answer::Full(Unfit::Asked));
        for other in [&b""[..], b"x", &[b'0'; 40], &id[..39]] {
            assert_eq!(history.answer(other, 5150, 1100, 1200), Answer::Full(Unfit::Id));
        }
    }

    /// Whoever followed the primary before goes on with that one's id, as far as both have the same data.
    #[test]
    fn the_second_id_holds_up_to_where_histories_part() {
        let mut history = kept();
        let other = "f".repeat(40);
        history.take_over(other.clone(), 5150);
        assert_eq!(history.second(), Some((other.as_str(), 5151)));
        let answer = |next| history.answer(other.as_bytes(), next, 1100, 1200);
        assert_eq!(answer(5120), Answer::Continue(1119));
        assert_eq!(answer(5151), Answer::Continue(1150));
        assert_eq!(answer(5152), Answer::Full(Unfit::Id), "it has what was never here");
        assert_eq!(answer(-1), Answer::Full(Unfit::Id));
        let id = history.id().to_owned();
        history.part_from_primary(5160);
        assert_eq!(history.second(), Some((id.as_str(), 5161)));
        assert_eq!(history.answer(other.as_bytes(), 5120, 1100, 1200), Answer::Full(Unfit::Id));
        assert_eq!(history.answer(id.as_bytes(), 5161, 1100, 1200), Answer::Continue(1160));
    }

    /// Of a copy's history nothing is kept that was before it.
    #[test]
    fn a_copy_begins_a_history() {
        let mut history = kept();
        let other = "e".repeat(40);
        history.adopt(other.clone(), 1150, 70);
        assert_eq!((history.id(), history.second(), history.offset(1160)), (other.as_str(), None, 80));
        assert_eq!(history.answer(other.as_bytes(), 70, 1100, 1160), Answer::Full(Unfit::Offset));
        assert_eq!(history.answer(other.as_bytes(), 71, 1100, 1160), Answer::Continue(1150));
        assert_eq!(history.kept(1100, 1160), (70, 80));
    }

    /// What was changed before the stream began is in every copy.
    #[test]
    fn changes_before_the_stream_are_in_every_copy() {
        let mut history = kept();
        assert_eq!([0, 999, 1000].map(|position| history.offset_of_changes(position)), [0, 0, 0]);
        assert_eq!(history.offset_of_changes(1001), 5001);
        history.end();
        assert_eq!(history.offset_of_changes(1001), 0);
        history.begin(9000, 10);
        assert_eq!([8000, 9001].map(|position| history.offset_of_changes(position)), [0, 11]);
    }

    /// Once nothing is kept, nobody goes on, and the history is another one.
    #[test]
    fn nobody_goes_on_where_nothing_is_kept() {
        let mut history = kept();
        let id = history.id().to_owned();
        history.end();
        assert_ne!(history.id(), id);
        assert!(!history.is_kept());
        let now = history.id().to_owned();
        assert_eq!(history.answer(now.as_bytes(), 5150, 1200, 1200), Answer::Full(Unfit::Offset));
    }
}
