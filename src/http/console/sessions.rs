//! [`Sessions`]: who has logged in to the console. A session ends when nobody has used it for a while, after a day's
//! work in any case, and when its user or the user's password is not the same any more.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use tokio_util::sync::CancellationToken;

use crate::acl::user::User;
use crate::engine::Server;

/// Most sessions of a user at once; that one of them that was not used for longest makes room for the next.
const USER_SESSIONS_MAX: usize = 16;

/// Most sessions at once; of the user that has most of them, the one that was not used for longest makes room for the
/// next. So nobody ends the sessions of others by logging in often.
const SESSIONS_MAX: usize = 256;

/// How long a session lasts that nobody uses, in milliseconds.
const IDLE_MAX_MS: u64 = 30 * 60 * 1000;

/// How long a session lasts, in milliseconds.
const LASTS_MS: u64 = 12 * 60 * 60 * 1000;

/// Bytes of the secret that a browser keeps.
const SECRET_BYTES: usize = 32;

/// All sessions.
#[derive(Default)]
pub(super) struct Sessions(Mutex<State>);

#[derive(Default)]
struct State {
    /// By the hash of their secret: who could read or time this table learns none.
    by_hash: HashMap<[u8; 32], Session>,
    /// The generation of users in which all of them were looked at.
    generation: u64,
}

struct Session {
    user: Arc<User>,
    since_ms: u64,
    used_ms: u64,
    ended: CancellationToken,
}

/// Who makes a request.
#[derive(Clone)]
pub(super) struct LoggedIn {
    pub user: Arc<User>,
    /// Is cancelled when the session ends.
    pub ended: CancellationToken,
}

impl Session {
    fn is_over(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.used_ms) >= IDLE_MAX_MS || now_ms.saturating_sub(self.since_ms) >= LASTS_MS
    }

    /// The user as it is now, if it is still on and has the passwords with which the session began.
    fn present(&self, server: &Server) -> Option<Arc<User>> {
        let now = server.acl.user(&self.user.name)?;
        let is_same = now.id == self.user.id
            && now.enabled
            && now.needs_no_password == self.user.needs_no_password
            && now.passwords == self.user.passwords;
        is_same.then_some(now)
    }
}

impl State {
    /// The session that has to end before a user begins another one, by its hash.
    fn in_the_way(&self, name: &[u8]) -> Option<[u8; 32]> {
        let mut counts: HashMap<&[u8], usize> = HashMap::new();
        for session in self.by_hash.values() {
            *counts.entry(&session.user.name).or_default() += 1;
        }
        let of = |session: &Session| counts.get(&*session.user.name).copied().unwrap_or_default();
        let is_users = counts.get(name).is_some_and(|count| *count >= USER_SESSIONS_MAX);
        if !is_users && self.by_hash.len() < SESSIONS_MAX {
            return None;
        }
        let candidates = self.by_hash.iter().filter(|(_, session)| !is_users || *session.user.name == *name);
        let first = candidates.max_by_key(|(_, session)| (of(session), Reverse(session.used_ms)));
        first.map(|(hash, _)| *hash)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

impl Sessions {
    /// Begins a session. Returns its secret, 64 hex digits; `None` where the system has no random numbers.
    pub fn begin(&self, user: Arc<User>, now_ms: u64) -> Option<String> {
        let mut secret = [0; SECRET_BYTES];
        SystemRandom::new().fill(&mut secret).ok()?;
        let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut state = self.0.lock();
        state.by_hash.retain(|_, session| !session.is_over(now_ms));
        if let Some(hash) = state.in_the_way(&user.name) {
            state.by_hash.remove(&hash);
        }
        let session = Session { user, since_ms: now_ms, used_ms: now_ms, ended: CancellationToken::new() };
        state.by_hash.insert(hash_of(&secret), session);
        Some(secret)
    }

    /// The session with this secret. Whether it counts as used by that is `uses`: what the page asks for by itself
    /// does not keep it.
    pub fn find(&self, secret: &str, uses: bool, server: &Server) -> Option<LoggedIn> {
        let (now_ms, hash) = (server.clock.now_ms(), hash_of(secret));
        let mut state = self.0.lock();
        let session = state.by_hash.get_mut(&hash)?;
        let user = session.present(server).filter(|_| !session.is_over(now_ms));
        let Some(user) = user else {
            state.by_hash.remove(&hash);
            return None;
        };
        if uses {
            session.used_ms = now_ms;
        }
        Some(LoggedIn { user, ended: session.ended.clone() })
    }

    /// Ends the session with this secret.
    pub fn end(&self, secret: &str) {
        self.0.lock().by_hash.remove(&hash_of(secret));
    }

    /// Ends sessions whose time is over or whose user was changed.
    pub fn look(&self, server: &Server) {
        let mut state = self.0.lock();
        if state.by_hash.is_empty() {
            return;
        }
        let (now_ms, generation) = (server.clock.now_ms(), server.acl.generation());
        let is_new = generation != state.generation;
        state.generation = generation;
        state
            .by_hash
            .retain(|_, session| !session.is_over(now_ms) && (!is_new || session.present(server).is_some()));
    }
}

fn hash_of(secret: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    hash
}
