//! What is done before the server ends: replicas get what they lack, the last snapshot is written.

use std::any::Any;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Server;
use super::saving::EndError;
use crate::config::Directive;
use crate::replication::Stage;
use crate::shared::pause::{FOR_EVER_MS, Purpose, Scope};

/// Pause between two looks whether replicas have everything.
const CATCH_UP_LOOK: Duration = Duration::from_millis(5);

/// Those that asked for the end: clients that sent SHUTDOWN, and a signal.
#[derive(Debug, Default)]
pub struct Ending {
    /// Those of them that wait for replicas.
    waits: Mutex<Waits>,
    /// Connections on which SHUTDOWN came, where the process ends with the server.
    kept_open: Mutex<Option<Vec<Box<dyn Any + Send>>>>,
}

#[derive(Debug, Default)]
struct Waits {
    count: usize,
    /// When the first of them waits no longer.
    until: Option<Instant>,
    /// Number of times that the end was given up.
    aborts: u64,
}

impl Ending {
    /// Has connections on which SHUTDOWN comes kept open to the end of the process, for a server that ends with it:
    /// whoever sees them closed starts it again, on the same port and in the same folder.
    pub fn keep_connections(&self) {
        *self.kept_open.lock() = Some(Vec::new());
    }

    /// Keeps such a connection open, or closes it at once.
    pub fn take_connection(&self, connection: impl Any + Send) {
        if let Some(kept_open) = &mut *self.kept_open.lock() {
            kept_open.push(Box::new(connection));
        }
    }

    /// Time for which replicas are still waited for; `None` while nobody waits for them.
    pub fn remaining(&self) -> Option<Duration> {
        self.waits.lock().until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    /// Begins to wait for no longer than `limit`. Returns the count of aborts.
    fn enter(&self, limit: Duration) -> u64 {
        let mut waits = self.waits.lock();
        waits.count += 1;
        waits.until.get_or_insert_with(|| Instant::now() + limit);
        waits.aborts
    }

    /// Ends a wait that began with this count of aborts.
    fn leave(&self, aborts: u64) -> Result<(), EndError> {
        let mut waits = self.waits.lock();
        waits.count -= 1;
        if waits.count == 0 {
            waits.until = None;
        }
        if waits.aborts == aborts { Ok(()) } else { Err(EndError::Aborted) }
    }

    fn was_aborted(&self, aborts: u64) -> bool {
        self.waits.lock().aborts != aborts
    }

    /// Gives up the end that is waited for. Returns whether there was any.
    fn abort(&self) -> bool {
        let mut waits = self.waits.lock();
        waits.aborts += 1;
        waits.count > 0
    }
}

impl Server {
    /// Does what is to be done before the end, and logs it: writes the last snapshot, where one is `asked`
    /// for or by default where there are save points. `force` ends without it where it cannot be written.
    /// With `waits` the replicas get everything first, as far as `shutdown-timeout` lets them.
    ///
    /// # Errors
    /// The server must not end, as data would be lost or SHUTDOWN ABORT came.
    pub fn prepare_end(&self, asked: Option<bool>, force: bool, waits: bool) -> Result<(), EndError> {
        let is_partial = || self.append_only().is_some_and(|append_only| append_only.figures().is_partial);
        let catches_up = waits && (force || !is_partial());
        let caught_up = if catches_up { self.let_replicas_catch_up() } else { Ok(false) };
        // The file may have been switched on while replicas were waited for.
        let is_partial = is_partial();
        let prepared = match (&caught_up, self.saving()) {
            (Err(error), _) => Err(error.clone()),
            _ if is_partial && !force => Err(EndError::InitialAof),
            (Ok(_), Some(saving)) => saving.save_before_end(asked),
            (Ok(_), None) => Ok(()),
        };
        let goes_on = matches!(prepared, Err(EndError::Aborted)) || prepared.is_err() && !force;
        if goes_on && caught_up != Ok(false) {
            self.end_pause(Purpose::Shutdown);
        }
        if matches!(prepared, Err(EndError::NotSaved(_))) && !force {
            tracing::error!("Error trying to save the DB, can't exit.");
        }
        match prepared {
            Err(EndError::Aborted) => tracing::warn!("Shutdown manually aborted"),
            Err(error) if force => {
                tracing::error!(%error, "Error trying to save the DB. Exit anyway.");
                return Ok(());
            }
            Err(ref error) => tracing::error!(
                "{error}: Errors trying to shut down the server. Check the logs for more information."
            ),
            Ok(()) if is_partial => tracing::warn!("Writing initial AOF. Exit anyway."),
            Ok(()) => {}
        }
        prepared
    }

    /// Gives up the end that is being prepared (SHUTDOWN ABORT), for all that asked for it. Returns whether
    /// one was.
    pub fn abort_end(&self) -> bool {
        let waited = self.ending.abort();
        self.saving().is_some_and(|saving| saving.abort_end()) || waited
    }

    /// Lets nothing change any more and waits until the replicas that follow have everything, but no longer
    /// than `shutdown-timeout`. Returns false, and does nothing, where there are none.
    ///
    /// # Errors
    /// SHUTDOWN ABORT came.
    fn let_replicas_catch_up(&self) -> Result<bool, EndError> {
        let replicas = &self.replication.replicas;
        let limit = Duration::from_secs(self.config.int(Directive::ShutdownTimeout).max(0) as u64);
        if replicas.online() == 0 || limit.is_zero() {
            return Ok(false);
        }
        let aborts = self.ending.enter(limit);
        self.pause.start(Purpose::Shutdown, Scope::Write, FOR_EVER_MS, self.clock.now_ms());
        // What ran already when the pause began has run to its end behind this.
        drop(self.be_alone());
        let offset = self.replication_offset();
        // On a thread of its own: what this one wakes would wait here until it goes on.
        let is_behind = || replicas.acknowledged(offset) < replicas.online();
        if is_behind() {
            std::thread::scope(|scope| {
                let ask = || self.ask_replicas();
                // Without a thread they acknowledge within a second by themselves.
                drop(std::thread::Builder::new().spawn_scoped(scope, ask));
            });
        }
        let began = Instant::now();
        while is_behind() && began.elapsed() < limit && !self.ending.was_aborted(aborts) {
            std::thread::sleep(CATCH_UP_LOOK);
        }
        self.ending.leave(aborts)?;
        self.log_catching_up(offset);
        Ok(true)
    }

    /// Logs which replicas have the stream up to `offset`, and which have not.
    fn log_catching_up(&self, offset: u64) {
        let now_ms = self.clock.now_ms();
        let (mut online, mut in_sync) = (0, 0);
        for replica in self.replication.replicas.all() {
            if replica.stage() != Stage::Online {
                continue;
            }
            online += 1;
            let behind = offset.saturating_sub(replica.acknowledged());
            if behind == 0 {
                in_sync += 1;
            } else {
                tracing::warn!(
                    "Lagging replica {}: {behind} bytes behind, silent for {} s",
                    replica.name(),
                    replica.lag_s(now_ms)
                );
            }
        }
        tracing::info!("{in_sync} of {online} replicas are in sync when shutting down");
    }
}
