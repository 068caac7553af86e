//! Deleting entries together with what groups know of them, or only where no group needs them any more.

use super::{Stream, StreamId, Trim, TrimTo};

/// What becomes of groups' references to an entry that is to be deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum References {
    /// KEEPREF: it stays pending where it was.
    #[default]
    Keep,
    /// DELREF: it is pending no more.
    Delete,
    /// ACKED: it is deleted only if each group has read it and none has it pending.
    Acknowledged,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It was not there.
    Missing,
    /// It was deleted.
    Deleted,
    /// It stays, as groups refer to it.
    Kept,
}

/// What trimming removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// How many entries from the front, up to the first that stays.
    pub front: usize,
    /// The entries behind one that stays.
    pub between: Vec<StreamId>,
    /// The entries that went whose references were to go too.
    pub unreferenced: Vec<StreamId>,
}

impl Trimmed {
    /// How many entries went.
    pub fn count(&self) -> usize {
        self.front + self.between.len()
    }
}

impl Stream {
    /// Whether a group has yet to read an entry with this id, or has it pending.
    pub fn is_referenced(&self, id: StreamId) -> bool {
        self.groups.values().any(|group| group.last_id < id || group.pending(id).is_some())
    }

    /// Removes an id from what is pending in all groups. Returns whether it was pending in any.
    pub fn remove_references(&mut self, id: StreamId) -> bool {
        if !self.groups.values().any(|group| group.pending(id).is_some()) {
            return false;
        }
        self.keep_groups();
        for group in self.groups.values_mut() {
            group.acknowledge(id);
        }
        true
    }

    /// Deletes an entry. With [`References::Delete`] the references go even where the entry is gone.
    pub fn delete_with(&mut self, id: StreamId, references: References) -> Deletion {
        if references == References::Acknowledged && self.is_referenced(id) {
            return Deletion::Kept;
        }
        if references == References::Delete {
            self.remove_references(id);
        }
        if self.delete(id) { Deletion::Deleted } else { Deletion::Missing }
    }

    /// Trims as [`trim`](Self::trim) does, and treats groups' references so. Where those are asked for,
    /// entries go one by one also in an approximate trim.
    pub fn trim_with(&mut self, trim: &Trim, references: References) -> Trimmed {
        let exact = Trim { approximate: false, ..*trim };
        match references {
            References::Keep => Trimmed { front: self.trim(trim), ..Trimmed::default() },
            References::Delete => {
                let ids = self.first_to_trim(trim);
                let to = TrimTo::MaxLen((self.len - ids.len()) as u64);
                let unreferenced = ids.into_iter().filter(|&id| self.remove_references(id)).collect();
                let front = self.trim(&Trim { to, limit: 0, ..exact });
                Trimmed { front, between: Vec::new(), unreferenced }
            }
            References::Acknowledged => self.trim_acknowledged(trim),
        }
    }

    /// Removes those of the oldest entries that no group refers to.
    fn trim_acknowledged(&mut self, trim: &Trim) -> Trimmed {
        let free: Vec<StreamId> = match trim.to {
            TrimTo::MaxLen(max) => {
                let excess = (self.len as u64).saturating_sub(max).min(limit(trim));
                let ids = self.range(StreamId::MIN, StreamId::MAX).map(|entry| entry.id);
                ids.filter(|&id| !self.is_referenced(id)).take(excess as usize).collect()
            }
            TrimTo::MinId(_) => {
                let ids = self.first_to_trim(trim).into_iter();
                ids.filter(|&id| !self.is_referenced(id)).collect()
            }
        };
        let ids = self.range(StreamId::MIN, StreamId::MAX).map(|entry| entry.id);
        let front = ids.zip(&free).take_while(|(id, free)| id == *free).count();
        let to = TrimTo::MaxLen((self.len - front) as u64);
        self.trim(&Trim { to, approximate: false, limit: 0 });
        let between = free[front..].to_vec();
        for &id in &between {
            self.delete(id);
        }
        Trimmed { front, between, unreferenced: Vec::new() }
    }

    /// The entries that an exact trim removes.
    fn first_to_trim(&self, trim: &Trim) -> Vec<StreamId> {
        let ids = self.range(StreamId::MIN, StreamId::MAX).map(|entry| entry.id);
        let most = limit(trim) as usize;
        match trim.to {
            TrimTo::MaxLen(max) => {
                let excess = (self.len as u64).saturating_sub(max) as usize;
                ids.take(excess.min(most)).collect()
            }
            TrimTo::MinId(min) => ids.take_while(|&id| id < min).take(most).collect(),
        }
    }
}

/// The most entries that a trim may remove.
fn limit(trim: &Trim) -> u64 {
    if trim.limit == 0 { u64::MAX } else { trim.limit }
}
