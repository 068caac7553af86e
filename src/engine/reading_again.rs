//! [`ReadingAgain`]: the server's data are read again from files while it runs (DEBUG RELOAD, DEBUG LOADAOF).
//!
//! What is read again is told to nobody: it is what replicas and the append-only file have already. So from the
//! instant on at which the files are right until all is loaded, nothing else may change the data, and nobody may
//! read all of them for a file or a replica.

use parking_lot::MutexGuard;

use super::Server;

/// Data that are being read again, until this is dropped.
pub struct ReadingAgain<'s> {
    server: &'s Server,
    _turn: MutexGuard<'s, ()>,
}

impl Server {
    /// Begins to read all data again: clients hear LOADING. Returns when all that was under way has ended, so that
    /// the data stay as they are; `None` where data are being loaded.
    pub fn read_again(&self) -> Option<ReadingAgain<'_>> {
        let turn = self.loading.try_turn().filter(|_| !self.loading.is_active())?;
        self.loading.begin(self.clock.now_ms());
        // Each of these looks whether data are loaded when it has begun: the sweeper, evictions, a primary's stream,
        // commands, changes of libraries.
        drop(self.upkeep.sweeping.lock());
        drop(self.upkeep.evictor.lock());
        drop(self.following.hold_stream());
        drop(self.be_alone());
        drop(self.scripting.libraries.change());
        Some(ReadingAgain { server: self, _turn: turn })
    }
}

impl ReadingAgain<'_> {
    /// Has no snapshot begin from here on: the data are about to be removed.
    pub fn take_apart(&self) {
        self.server.loading.take_apart();
    }
}

impl Drop for ReadingAgain<'_> {
    fn drop(&mut self) {
        self.server.loading.end();
    }
}
