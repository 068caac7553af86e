//! Figures of how full a hash table is, for DEBUG HTSTATS.

/// How full one table, or several together, are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Entries that fit before the table grows.
    pub capacity: usize,
    /// Entries present.
    pub entries: usize,
    /// Entries that are not in their home bucket because it was full.
    pub displaced: usize,
    /// Number of buckets with 0, 1, 2, ... entries.
    pub buckets_by_entries: Vec<usize>,
}

impl Occupancy {
    /// Counts a bucket with this number of entries.
    pub fn add_bucket(&mut self, entries: usize) {
        if self.buckets_by_entries.len() <= entries {
            self.buckets_by_entries.resize(entries + 1, 0);
        }
        self.buckets_by_entries[entries] += 1;
        self.entries += entries;
    }

    /// Number of buckets.
    pub fn buckets(&self) -> usize {
        self.buckets_by_entries.iter().sum()
    }
}
