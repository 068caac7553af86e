//! [`Ending`]: a set's table of which some members end.

use crate::alloc::box_bytes;
use crate::types::expiries::Expiries;
use crate::types::packed::table::MemberTable;

/// Members and the expiries of some of them.
pub(super) struct Ending {
    pub(super) members: MemberTable,
    pub(super) expiries: Expiries,
}

impl Ending {
    /// These members, without expiries.
    pub(super) fn new(members: MemberTable) -> Self {
        Self { members, expiries: Expiries::default() }
    }

    /// Adds a member without an expiry. Returns whether it was new; one that was there keeps its expiry.
    pub(super) fn add(&mut self, member: &[u8]) -> bool {
        self.keep_frozen(member);
        self.members.insert(member)
    }

    /// Removes a member with its expiry. Returns whether it was there.
    pub(super) fn remove(&mut self, member: &[u8]) -> bool {
        self.forget_expiry(member);
        self.members.remove(member)
    }

    /// Sets the expiry of a member that is there.
    pub(super) fn set_expire(&mut self, member: &[u8], at_ms: u64) {
        self.keep_frozen(member);
        self.expiries.set(member, at_ms);
    }

    /// Removes a member's expiry. Returns whether it had one.
    pub(super) fn forget_expiry(&mut self, member: &[u8]) -> bool {
        self.keep_frozen(member);
        self.expiries.remove(member).is_some()
    }

    /// Removes up to `limit` members that have ended, the earliest first, and returns them.
    pub(super) fn take_expired(&mut self, now_ms: u64, limit: usize) -> Vec<Box<[u8]>> {
        let mut taken = Vec::new();
        while taken.len() < limit {
            self.keep_first_due(now_ms);
            let Some(member) = self.expiries.pop_due(now_ms) else { break };
            self.members.remove(&member);
            taken.push(member);
        }
        taken
    }

    /// Whether a member has ended at `now_ms`.
    pub(super) fn has_ended(&self, member: &[u8], now_ms: u64) -> bool {
        self.expiries.is_due(member, now_ms)
    }

    /// Number of members that have not ended.
    pub(super) fn live_len(&self, now_ms: u64) -> usize {
        self.members.len() - self.expiries.due(now_ms).count()
    }

    /// Bytes taken from the allocator.
    pub(super) fn memory_bytes(&self) -> usize {
        box_bytes::<Self>() + self.members.memory_bytes() + self.expiries.memory_bytes()
    }

    /// Called before a member or its expiry changes: where the set is being read as it was, what is not read
    /// yet is kept with its expiries.
    #[inline]
    fn keep_frozen(&mut self, member: &[u8]) {
        if self.members.reading().is_some() {
            let expiries = &self.expiries;
            self.members.copy_frozen(member, |member| expiries.get(member));
        }
    }

    /// [`keep_frozen`](Self::keep_frozen) of the member that ends first, if it is due.
    fn keep_first_due(&mut self, now_ms: u64) {
        if self.members.reading().is_some()
            && let Some(member) = self.expiries.due(now_ms).next()
        {
            let expiries = &self.expiries;
            self.members.copy_frozen(member, |member| expiries.get(member));
        }
    }

    /// Panics if the representation is not well formed. For tests.
    #[cfg(test)]
    pub(super) fn assert_invariants(&self) {
        self.members.assert_invariants();
        assert!(!self.expiries.is_empty(), "a set without expiries is a plain table");
        self.expiries.assert_invariants(|member| self.members.contains(member));
    }
}
