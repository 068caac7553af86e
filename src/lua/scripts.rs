//! The scripts that the server knows, by their SHA1.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};

use super::analysis::{self, Reach};
use super::direct::{self, Direct};
use super::shebang::{self, ScriptFlags};
use super::watch;
use crate::command::table::CommandTable;
use crate::error::CommandError;

/// A SHA1 digest.
pub type Sha = [u8; 20];

/// Scripts sent with EVAL that are kept: when there are more, the one that was used longest ago is forgotten
/// (Redis's figure). Those loaded with SCRIPT LOAD stay.
const EVALUATED_MAX: usize = 500;

/// A script as EVAL or SCRIPT LOAD sent it, read and analysed.
#[derive(Debug)]
pub struct Script {
    /// Its digest, by which EVALSHA names it.
    pub sha: Sha,
    /// Its text.
    pub source: Vec<u8>,
    /// The flags in its first line.
    pub flags: ScriptFlags,
    /// The keys it may touch.
    pub reach: Reach,
    /// Its tree, if it can run without a machine.
    pub straight: Option<Direct>,
    /// Whether it may join texts with `..`.
    pub joins_texts: bool,
    /// Set when it reached for a key that it did not declare: it runs alone from then on.
    pub misjudged: AtomicBool,
    body_start: usize,
    /// Whether it was loaded with SCRIPT LOAD, and so stays.
    kept: AtomicBool,
    used: AtomicU64,
}

impl Script {
    /// Its text without a first line that begins with `#!`; lines keep their numbers.
    pub fn body(&self) -> &[u8] {
        &self.source[self.body_start..]
    }
}

/// All scripts.
#[derive(Debug, Default)]
pub struct Scripts {
    by_sha: RwLock<HashMap<Sha, Arc<Script>>>,
    /// By their text: EVAL needs no digest for one that is known.
    by_source: RwLock<HashMap<Vec<u8>, Arc<Script>, foldhash::fast::RandomState>>,
    /// Scripts that were sent with EVAL. Some may have been loaded with SCRIPT LOAD or forgotten since.
    evaluated: Mutex<Vec<Arc<Script>>>,
    uses: AtomicU64,
    evicted: AtomicU64,
    memory: AtomicUsize,
    /// Grows with each SCRIPT FLUSH: machines forget what they compiled before.
    generation: AtomicU64,
}

impl Scripts {
    /// The script with this text, made known if it is not.
    ///
    /// # Errors
    /// A first line that is not understood.
    pub fn of_source(&self, source: &[u8], table: &CommandTable) -> Result<Arc<Script>, CommandError> {
        if let Some(script) = self.by_source.read().get(source) {
            self.use_one(script);
            return Ok(Arc::clone(script));
        }
        let (flags, body) = shebang::of_script(source)?;
        let script = Arc::new(Script {
            sha: sha1(source),
            flags,
            reach: analysis::reach(body, table),
            straight: direct::parse(body, table),
            joins_texts: watch::joins_texts(body),
            misjudged: AtomicBool::new(false),
            body_start: source.len() - body.len(),
            kept: AtomicBool::new(false),
            used: AtomicU64::new(0),
            source: source.to_vec(),
        });
        self.use_one(&script);
        let mut by_source = self.by_source.write();
        let mut by_sha = self.by_sha.write();
        if by_source.insert(source.to_vec(), Arc::clone(&script)).is_none() {
            self.memory.fetch_add(size_of::<Script>() + 2 * source.len(), Ordering::Relaxed);
        }
        by_sha.insert(script.sha, Arc::clone(&script));
        if let Some(oldest) = self.oldest_beyond(&script) {
            by_sha.remove(&oldest.sha);
            if by_source.remove(&oldest.source).is_some() {
                self.memory.fetch_sub(size_of::<Script>() + 2 * oldest.source.len(), Ordering::Relaxed);
                self.evicted.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(script)
    }

    /// Enters a script that was sent with EVAL. Answers the one used longest ago where that makes too many.
    fn oldest_beyond(&self, script: &Arc<Script>) -> Option<Arc<Script>> {
        let mut evaluated = self.evaluated.lock();
        evaluated.push(Arc::clone(script));
        if evaluated.len() <= EVALUATED_MAX {
            return None;
        }
        evaluated.retain(|script| !script.kept.load(Ordering::Relaxed));
        if evaluated.len() <= EVALUATED_MAX {
            return None;
        }
        let used = |index: &usize| evaluated[*index].used.load(Ordering::Relaxed);
        let oldest = (0..evaluated.len()).min_by_key(used)?;
        Some(evaluated.swap_remove(oldest))
    }

    /// The script with this digest in hexadecimal, if it is known.
    pub fn of_hex(&self, digits: &[u8]) -> Option<Arc<Script>> {
        let sha = from_hex(digits)?;
        let script = self.by_sha.read().get(&sha).cloned()?;
        self.use_one(&script);
        Some(script)
    }

    /// Keeps a script until SCRIPT FLUSH.
    pub fn keep(&self, script: &Script) {
        script.kept.store(true, Ordering::Relaxed);
    }

    /// Forgets a script that does not compile.
    pub fn forget(&self, script: &Script) {
        let mut by_source = self.by_source.write();
        if by_source.remove(&script.source).is_some() {
            self.memory.fetch_sub(size_of::<Script>() + 2 * script.source.len(), Ordering::Relaxed);
        }
        self.by_sha.write().remove(&script.sha);
        self.evaluated.lock().retain(|other| other.sha != script.sha);
    }

    /// Forgets all.
    pub fn flush(&self) {
        let mut by_source = self.by_source.write();
        by_source.clear();
        self.by_sha.write().clear();
        self.evaluated.lock().clear();
        self.memory.store(0, Ordering::Relaxed);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The number of the last SCRIPT FLUSH.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// How many are known.
    pub fn count(&self) -> usize {
        self.by_sha.read().len()
    }

    /// Bytes that they take.
    pub fn memory_bytes(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// How many were forgotten to make room.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Counts those that are evicted from here on (CONFIG RESETSTAT).
    pub fn reset_evicted(&self) {
        self.evicted.store(0, Ordering::Relaxed);
    }

    fn use_one(&self, script: &Script) {
        script.used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// The SHA1 of some bytes: names of scripts, nothing that has to be kept secret.
pub fn sha1(bytes: &[u8]) -> Sha {
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    let mut sha = [0; 20];
    sha.copy_from_slice(digest.as_ref());
    sha
}

/// The SHA1 of some bytes in hexadecimal.
pub fn sha1_hex(bytes: &[u8]) -> String {
    hex(&sha1(bytes))
}

/// A digest in hexadecimal.
pub fn hex(sha: &Sha) -> String {
    sha.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(digits: &[u8]) -> Option<Sha> {
    let mut sha = [0; 20];
    if digits.len() != 40 {
        return None;
    }
    for (byte, pair) in sha.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(sha)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_and_written() {
        assert_eq!(sha1_hex(b""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(from_hex(b"DA39a3ee5e6b4b0d3255bfef95601890afd80709"), Some(sha1(b"")));
        assert_eq!(from_hex(b"da39"), None);
        assert_eq!(from_hex(&[b'x'; 40]), None);
    }

    #[test]
    fn scripts_that_were_only_evaluated_make_room() {
        let table = crate::engine::command::Commands::new(&crate::commands::groups());
        let scripts = Scripts::default();
        let kept = scripts.of_source(b"return 'kept'", &table).unwrap();
        scripts.keep(&kept);
        for number in 0..EVALUATED_MAX + 10 {
            scripts.of_source(format!("return {number}").as_bytes(), &table).unwrap();
        }
        assert_eq!(scripts.count(), EVALUATED_MAX + 1);
        assert_eq!(scripts.evicted(), 10);
        assert!(scripts.of_hex(hex(&kept.sha).as_bytes()).is_some());
        assert!(scripts.of_hex(sha1_hex(b"return 0").as_bytes()).is_none());
        scripts.flush();
        assert_eq!((scripts.count(), scripts.memory_bytes()), (0, 0));
    }
}
