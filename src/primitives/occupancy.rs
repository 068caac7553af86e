//! How full a hash table is, for those who look into one.

/// See the module's page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// How many entries it takes before it grows.
    pub capacity: usize,
    /// How many there are.
    pub entries: usize,
    /// Entries that are not where their hash says, because that place was full.
    pub displaced: usize,
    /// How many buckets have no entry, one, two and so on.
    pub buckets_by_entries: Vec<usize>,
}

impl Occupancy {
    /// Counts a bucket with so many entries.
    pub fn add_bucket(&mut self, entries: usize) {
        if self.buckets_by_entries.len() <= entries {
            self.buckets_by_entries.resize(entries + 1, 0);
        }
        self.buckets_by_entries[entries] += 1;
        self.entries += entries;
    }

    /// How many buckets there are.
    pub fn buckets(&self) -> usize {
        self.buckets_by_entries.iter().sum()
    }
}
