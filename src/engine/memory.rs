//! How much memory is in use: what the allocator has handed out, what the system holds for us.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Server;
use crate::shared::client::SharedClient;

/// Memory in use, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryUse {
    /// Held by the system for this process.
    pub resident: u64,
    /// Handed out by the allocator, without what is set apart.
    pub allocated: u64,
    /// Largest `allocated` of all looks so far.
    pub peak: u64,
    /// All memory of the machine.
    pub system: u64,
}

impl Server {
    /// What the allocator has handed out, in bytes, without the slots' own tables, which are as large in an
    /// empty server; what the system holds for the process where the allocator does not count.
    #[inline]
    pub fn used_memory(&self) -> u64 {
        crate::alloc::used_bytes().unwrap_or_else(resident_bytes)
    }

    /// Reads the present use.
    pub fn memory_use(&self) -> MemoryUse {
        let resident = resident_bytes();
        let allocated = self.used_memory();
        let peak = self.upkeep.memory_peak.fetch_max(allocated, Ordering::Relaxed).max(allocated);
        MemoryUse { resident, allocated, peak, system: system_bytes() }
    }

    /// What all clients take together, in bytes, and the one that takes most, with that. Those that are being closed do
    /// not count.
    pub(super) fn clients_memory(&self) -> (u64, Option<(u64, Arc<SharedClient>)>) {
        let all = self.clients.all().into_iter().filter(|client| !client.is_closing());
        all.fold((0, None), |(total, most), client| {
            let bytes = client.memory_bytes() as u64;
            let most = most.filter(|(known, _)| *known >= bytes).or(Some((bytes, client)));
            (total + bytes, most)
        })
    }
}

/// An eighth of the memory that this process may have, in bytes, and 512 MiB where that is little or not known:
/// what may wait for others, as the unread replies of all clients together.
pub(super) fn share_for_waiting() -> usize {
    const MIN: u64 = 512 << 20;
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = limit.and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX);
    (system_bytes().min(limit) / 8).max(MIN) as usize
}

fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_ascii_whitespace().nth(1).and_then(|field| field.parse::<u64>().ok()))
        .unwrap_or(0);
    pages * 4096
}

fn system_bytes() -> u64 {
    std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
            line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .map_or(0, |kilobytes| kilobytes * 1024)
}
