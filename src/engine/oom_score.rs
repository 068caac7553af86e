//! [`OomScore`]: what the system is told about ending this process when memory runs out (`oom-score-adj`).

use std::fs;
use std::io;

use parking_lot::Mutex;

use super::Server;
use crate::config::{Change, Directive};

/// The file with the process's own score.
const FILE: &str = "/proc/self/oom_score_adj";

/// What the system takes, either way.
const SCORE_MAX: i64 = 1000;

/// The score that the process had before the server changed it.
#[derive(Debug, Default)]
pub struct OomScore {
    /// `None` while `oom-score-adj` is off.
    before: Mutex<Option<i64>>,
}

impl OomScore {
    /// Sets the score of the present role as `oom-score-adj` says, or puts back the one there was.
    fn set(&self, mode: &str, score: i64) -> io::Result<()> {
        let mut before = self.before.lock();
        if mode == "no" {
            return before.take().map_or(Ok(()), |score| fs::write(FILE, score.to_string()));
        }
        let base = match *before {
            Some(base) => base,
            None => read()?,
        };
        let score = if mode == "absolute" { score } else { base + score };
        fs::write(FILE, score.clamp(-SCORE_MAX, SCORE_MAX).to_string())?;
        *before = Some(base);
        Ok(())
    }
}

fn read() -> io::Result<i64> {
    fs::read_to_string(FILE)?.trim().parse().map_err(io::Error::other)
}

impl Server {
    /// Tells the system the score of the present role, as the directives will be once these changes are made.
    ///
    /// # Errors
    /// The process may not have that score, or the system has none.
    pub fn tell_oom_score(&self, changes: &[Change]) -> io::Result<()> {
        let text = |directive| {
            let change = changes.iter().find(|change| change.directive == directive);
            let new = change.map(|change| String::from_utf8_lossy(&change.text()).into_owned());
            new.unwrap_or_else(|| self.config.text(directive).to_string())
        };
        let scores = text(Directive::OomScoreAdjValues);
        // The first is a primary's, the second a replica's; a process that saves in the background is not forked.
        let place = usize::from(self.following.is_replica());
        let score = scores.split_whitespace().nth(place).and_then(|score| score.parse().ok());
        self.oom_score.set(&text(Directive::OomScoreAdj), score.unwrap_or_default())
    }

    /// Tells the system the score of the present role; the log, if that fails.
    pub fn tell_oom_score_of_role(&self) {
        if self.config.word(Directive::OomScoreAdj) != "no"
            && let Err(error) = self.tell_oom_score(&[])
        {
            tracing::warn!(%error, "Failed to set oom_score_adj");
        }
    }
}
