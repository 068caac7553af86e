//! How far the loading of data has come, which clients are told while they wait for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst, fence};

use parking_lot::{Mutex, MutexGuard};

/// The loading of data at the start. Nothing is being loaded by default.
#[derive(Debug, Default)]
pub struct Loading {
    is_active: AtomicBool,
    /// Whether what is loaded is put beside the data that clients see.
    is_beside: AtomicBool,
    /// Whether the data that clients see were removed, to be loaded again, and are not all there yet.
    is_partial: AtomicBool,
    /// Held by whoever puts other data in the place of those that clients see.
    turn: Mutex<()>,
    started_ms: AtomicU64,
    total_bytes: AtomicU64,
    loaded_bytes: AtomicU64,
    /// Memory that the writer of the snapshot used, in bytes.
    used_memory: AtomicU64,
    keys_loaded: AtomicU64,
    keys_expired: AtomicU64,
}

/// Figures of a loading, as INFO shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// When it began, in milliseconds of Unix time.
    pub started_ms: u64,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// Bytes of them that are loaded.
    pub loaded_bytes: u64,
    /// Memory that the writer of the snapshot used, in bytes; 0 where the file does not say it.
    pub used_memory: u64,
}

impl Progress {
    /// Loaded bytes in percent.
    pub fn percent(&self) -> f64 {
        if self.total_bytes == 0 { 0.0 } else { self.loaded_bytes as f64 / self.total_bytes as f64 * 100.0 }
    }

    /// Seconds to the end if it goes on as until `now_ms`.
    pub fn eta_s(&self, now_ms: u64) -> u64 {
        let elapsed_s = now_ms.saturating_sub(self.started_ms) / 1000;
        let left = self.total_bytes.saturating_sub(self.loaded_bytes);
        match self.loaded_bytes {
            0 => 1,
            loaded => (u128::from(elapsed_s) * u128::from(left) / u128::from(loaded)) as u64,
        }
    }
}

impl Loading {
    /// Whether data are being loaded: commands without the flag LOADING are refused.
    #[inline]
    pub fn is_active(&self) -> bool {
        self.is_active.load(Relaxed)
    }

    /// Whether other data are being loaded beside those that clients see: commands with the flag
    /// `NO_ASYNC_LOADING` are refused.
    #[inline]
    pub fn is_beside(&self) -> bool {
        self.is_beside.load(Relaxed)
    }

    /// Whether the data are not whole, as they are being loaded again: no snapshot is to be taken of them.
    #[inline]
    pub fn is_partial(&self) -> bool {
        self.is_partial.load(Relaxed)
    }

    /// Says that the data are not whole from here on, until the loading ends.
    pub fn take_apart(&self) {
        self.is_partial.store(true, Relaxed);
    }

    /// Waits for the turn to put other data in the place of those that clients see: a copy of a primary's data that
    /// comes while files are read again would be mixed with what they hold.
    pub fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }

    /// The [`turn`](Self::turn) where nobody has it.
    pub fn try_turn(&self) -> Option<MutexGuard<'_, ()>> {
        self.turn.try_lock()
    }

    /// Begins. The figures of a loading before are forgotten.
    pub fn begin(&self, now_ms: u64) {
        self.begin_figures(now_ms);
        self.is_active.store(true, Relaxed);
    }

    /// Begins to load other data beside those that clients see.
    pub fn begin_beside(&self, now_ms: u64) {
        self.begin_figures(now_ms);
        self.is_beside.store(true, Relaxed);
    }

    fn begin_figures(&self, now_ms: u64) {
        for figure in
            [&self.total_bytes, &self.loaded_bytes, &self.used_memory, &self.keys_loaded, &self.keys_expired]
        {
            figure.store(0, Relaxed);
        }
        self.started_ms.store(now_ms, Relaxed);
    }

    /// Ends.
    pub fn end(&self) {
        self.is_partial.store(false, Relaxed);
        self.is_active.store(false, Relaxed);
        self.is_beside.store(false, Relaxed);
        // Together with the one of those who postpone what cannot be done meanwhile (`Waiting::postpone`).
        fence(SeqCst);
    }

    /// Says that there is a further file of this many bytes.
    pub fn expect(&self, bytes: u64) {
        self.total_bytes.fetch_add(bytes, Relaxed);
    }

    /// Adds bytes that were loaded.
    pub fn add_bytes(&self, bytes: u64) {
        self.loaded_bytes.fetch_add(bytes, Relaxed);
    }

    /// Adds keys that were loaded, and keys that were left out because they had ended.
    pub fn add_keys(&self, loaded: u64, expired: u64) {
        self.keys_loaded.fetch_add(loaded, Relaxed);
        self.keys_expired.fetch_add(expired, Relaxed);
    }

    /// Says how much memory the writer of the snapshot used, in bytes.
    pub fn set_used_memory(&self, bytes: u64) {
        self.used_memory.store(bytes, Relaxed);
    }

    /// Keys of the last loading, and keys that it left out because they had ended.
    pub fn keys(&self) -> (u64, u64) {
        (self.keys_loaded.load(Relaxed), self.keys_expired.load(Relaxed))
    }

    /// How far it has come; `None` where nothing is being loaded.
    pub fn progress(&self) -> Option<Progress> {
        (self.is_active() || self.is_beside()).then(|| Progress {
            started_ms: self.started_ms.load(Relaxed),
            total_bytes: self.total_bytes.load(Relaxed),
            loaded_bytes: self.loaded_bytes.load(Relaxed),
            used_memory: self.used_memory.load(Relaxed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_while_it_lasts() {
        let loading = Loading::default();
        assert_eq!(loading.progress(), None);
        loading.begin(5_000);
        loading.expect(400);
        loading.add_bytes(100);
        loading.add_keys(3, 1);
        let progress = loading.progress().expect("active");
        assert_eq!((progress.percent(), progress.eta_s(9_999)), (25.0, 12));
        loading.end();
        assert_eq!(loading.progress(), None);
        assert_eq!(loading.keys(), (3, 1));
        loading.begin(6_000);
        assert_eq!(loading.keys(), (0, 0));
        let progress = loading.progress().expect("active");
        assert_eq!((progress.percent(), progress.eta_s(6_000)), (0.0, 1));
    }
}
