//! [`Trouble`]: why the server does not do at present what clients want of it: a part does not answer, writes are
//! refused, clients are not let in, the link to the primary is down. The console's headline says so, and
//! `kvarts_trouble` and `kvarts_refuses` of /metrics. Each kind is asked for where requests are judged by it.

use std::borrow::Cow;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use super::Server;
use super::eviction::REFUSAL_MS;
use super::following::{LinkState, Primary};
use super::health::{State, Status};
use super::holders::reach_in_words;
use crate::config::Directive;
use crate::shared::pause::{FOR_EVER_MS, InForce, Purpose, Scope};

/// How long a replica may say and take nothing, in seconds. One that follows tells its offset each second, one that
/// loads its copy that it is there.
const SILENT_REPLICA_S: u64 = 10;

/// What helps where memory is at its limit.
const MAKE_ROOM: &str = "Raise maxmemory, delete keys (DEL, UNLINK and FLUSHDB are let through), or let keys be evicted by another \
                         maxmemory-policy. Hot and big keys shows what takes most.";

/// Bytes of clients that are not talked about where memory is at its limit.
const CLIENTS_FEW_BYTES: u64 = 1 << 20;

/// What has held locks for less than this is no trouble, whoever waits for it.
const HOLDS_LONG_NS: u64 = 1_000_000_000;

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Kind {
    /// A worker, a thread in the background or a lock does not answer.
    Stuck,
    /// The data are being loaded.
    Loading,
    /// The last snapshot failed.
    Snapshot,
    /// The append-only file cannot be written.
    AppendOnlyFile,
    /// The append-only file could not be rewritten.
    Rewrite,
    /// Memory is over its limit, and nothing can be evicted.
    Memory,
    /// Fewer replicas follow than writes ask for.
    TooFewReplicas,
    /// A replica has not been heard of for a while.
    SilentReplica,
    /// The link to the primary is down.
    PrimaryLink,
    /// A copy of the primary's data is awaited, or comes.
    Copy,
    /// The link to the primary is up, and nothing comes.
    SilentPrimary,
    /// As many clients are connected as may be.
    Clients,
    /// CLIENT PAUSE, a failover or the end hold requests up.
    Pause,
    /// A script has run for so long that others hear BUSY.
    Script,
    /// A command has held locks for long, and clients wait for them.
    LocksHeld,
}

/// What clients are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refuses {
    /// Nothing: what is wrong has not reached them.
    Nothing,
    /// Commands that write.
    Writes,
    /// Nearly all commands.
    Commands,
    /// Connections of further clients.
    Connections,
}

/// Something that an operator has to know, and do something about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What kind of trouble it is.
    pub kind: Kind,
    /// What clients are refused for it.
    pub refuses: Refuses,
    /// It in a few words, the same as long as it lasts.
    pub title: &'static str,
    /// What is the matter.
    pub reason: String,
    /// What to do about it.
    pub advice: Cow<'static, str>,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 15] = [
        Self::Stuck,
        Self::Loading,
        Self::Snapshot,
        Self::AppendOnlyFile,
        Self::Rewrite,
        Self::Memory,
        Self::TooFewReplicas,
        Self::SilentReplica,
        Self::PrimaryLink,
        Self::Copy,
        Self::SilentPrimary,
        Self::Clients,
        Self::Pause,
        Self::Script,
        Self::LocksHeld,
    ];

    /// Its name in the console's API and in /metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stuck => "stuck",
            Self::Loading => "loading",
            Self::Snapshot => "snapshot",
            Self::AppendOnlyFile => "append-only-file",
            Self::Rewrite => "rewrite",
            Self::Memory => "memory",
            Self::TooFewReplicas => "too-few-replicas",
            Self::SilentReplica => "silent-replica",
            Self::PrimaryLink => "primary-link",
            Self::Copy => "copy",
            Self::SilentPrimary => "silent-primary",
            Self::Clients => "clients",
            Self::Pause => "pause",
            Self::Script => "script",
            Self::LocksHeld => "locks-held",
        }
    }
}

impl Refuses {
    /// All that may be refused.
    pub const ALL: [Self; 3] = [Self::Writes, Self::Commands, Self::Connections];

    /// Its name in the console's API and in /metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Writes => "writes",
            Self::Commands => "commands",
            Self::Connections => "connections",
        }
    }
}

impl Server {
    /// All that is the matter at this time; that for which clients are refused something stands first.
    pub fn troubles(&self, now_ms: u64) -> Vec<Trouble> {
        let mut found: Vec<Trouble> = [
            self.trouble_of_loading(),
            self.trouble_of_script(),
            self.trouble_of_locks(),
            self.trouble_of_pause(now_ms),
            self.trouble_of_snapshots(),
            self.trouble_of_file(),
            self.trouble_of_rewrites(),
            self.trouble_of_memory(now_ms),
            self.trouble_of_primary(now_ms),
            self.trouble_of_few_replicas(),
            self.trouble_of_replicas(now_ms),
            self.trouble_of_clients(),
        ]
        .into_iter()
        .flatten()
        .collect();
        found.sort_by_key(|trouble| trouble.refuses == Refuses::Nothing);
        found.splice(0..0, self.trouble_of_parts());
        found
    }

    fn trouble_of_parts(&self) -> Option<Trouble> {
        let findings = self.health.findings();
        if findings.status(self.clock.monotonic_ns()) != Status::Stuck {
            return None;
        }
        let stuck: Vec<String> = findings
            .parts
            .iter()
            .filter(|part| part.state == State::Stuck)
            .map(|part| {
                let runs = if part.about.is_empty() { String::new() } else { format!(" ({})", part.about) };
                format!("{}{runs} for {:.1} s", part.name, part.waits_ns as f64 / 1e9)
            })
            .collect();
        Some(Trouble {
            kind: Kind::Stuck,
            refuses: Refuses::Nothing,
            title: "A part does not answer",
            reason: match stuck.is_empty() {
                true => "The thread that asks all parts has not done so for two seconds.".to_owned(),
                false => format!("Not heard of: {}.", stuck.join(", ")),
            },
            advice: "Who needs it waits. State, KVARTS HEALTH and the log say what it runs; if it does not go on by itself, the process has to be started again.".into(),
        })
    }

    fn trouble_of_loading(&self) -> Option<Trouble> {
        (self.loading.is_active() && !self.loading.is_beside()).then(|| Trouble {
            kind: Kind::Loading,
            refuses: Refuses::Commands,
            title: "Commands are refused (LOADING)",
            reason: "The data are being loaded.".to_owned(),
            advice: "State and INFO persistence say how long it will take. /readyz answers 503 so long: send clients there only behind it.".into(),
        })
    }

    fn trouble_of_snapshots(&self) -> Option<Trouble> {
        let reason = "The last snapshot in the background failed (rdb_last_bgsave_status is err).".to_owned();
        if self.refuses_for_snapshot() {
            return Some(Trouble {
                kind: Kind::Snapshot,
                refuses: Refuses::Writes,
                title: "Writes are refused (MISCONF)",
                reason: format!(
                    "{reason} As stop-writes-on-bgsave-error is yes, writes are refused until one is written."
                ),
                advice: "The log says why: mostly a full disk or a folder that may not be written. Make room, then BGSAVE: \
                         writes go on when it has ended. CONFIG SET stop-writes-on-bgsave-error no lets them go on at once, and what is written may be lost.".into(),
            });
        }
        self.snapshot_failed.load(Relaxed).then_some(Trouble {
            kind: Kind::Snapshot,
            refuses: Refuses::Nothing,
            title: "The last snapshot failed",
            reason,
            advice: "Writes go on, and what was changed since the last snapshot may be lost. The log says why it failed: \
                     mostly a full disk or a folder that may not be written. BGSAVE tries again.".into(),
        })
    }

    fn trouble_of_file(&self) -> Option<Trouble> {
        let told = self.durability.refusal()?.to_string();
        Some(Trouble {
            kind: Kind::AppendOnlyFile,
            refuses: Refuses::Writes,
            title: "Writes are refused (MISCONF)",
            reason: format!("{}.", told.trim_start_matches("MISCONF ")),
            advice: self.advice_for_file(),
        })
    }

    /// What to do where the append-only file cannot be written.
    fn advice_for_file(&self) -> Cow<'static, str> {
        if !self.append_only().is_some_and(|file| file.figures().is_gone) {
            return "Make room on the disk, or see to the rights of appenddirname: the server tries again each second, and \
                    writes go on by themselves."
                .into();
        }
        let dir = self.config.text(Directive::Dir);
        let dir = std::path::absolute(&*dir).unwrap_or_else(|_| Path::new(&*dir).to_owned());
        let folder = dir.join(&*self.config.text(Directive::Appenddirname));
        format!(
            "The file has been taken away, perhaps with its folder {}. See to it that {} is there and may be written: the server \
             tries again each second to write all data into new files, and writes go on by themselves.",
            folder.display(),
            dir.display(),
        )
        .into()
    }

    fn trouble_of_rewrites(&self) -> Option<Trouble> {
        let figures = self.append_only()?.figures();
        (figures.enabled && figures.rewrite_failed).then(|| Trouble {
            kind: Kind::Rewrite,
            refuses: Refuses::Nothing,
            title: "The append-only file was not rewritten",
            reason: "The last rewrite of the append-only file failed (aof_last_bgrewrite_status is err): it grows on.".to_owned(),
            advice: "The log says why: mostly a full disk, or a folder that is gone. A rewrite needs room for a second file beside the first; BGREWRITEAOF tries again.".into(),
        })
    }

    fn trouble_of_memory(&self, now_ms: u64) -> Option<Trouble> {
        let Some(over) = self.bytes_over_what_can_be_evicted(now_ms) else {
            return self.trouble_of_large_requests(now_ms);
        };
        let policy = self.config.word(Directive::MaxmemoryPolicy);
        let why = match policy {
            "noeviction" => "nothing is evicted (maxmemory-policy noeviction)".to_owned(),
            policy => format!("there is nothing that {policy} may evict"),
        };
        Some(Trouble {
            kind: Kind::Memory,
            refuses: Refuses::Writes,
            title: "Writes are refused (OOM)",
            reason: format!("Memory is {over} bytes over maxmemory, and {why}."),
            advice: self.advice_for_memory(over),
        })
    }

    /// Requests that fit by themselves, but not with what the server holds for them while they run.
    fn trouble_of_large_requests(&self, now_ms: u64) -> Option<Trouble> {
        let (bytes, room) = self.request_without_room(now_ms)?;
        Some(Trouble {
            kind: Kind::Memory,
            refuses: Refuses::Writes,
            title: "Writes are refused (OOM)",
            reason: format!(
                "Memory is {room} bytes under maxmemory, but requests of up to {bytes} bytes were refused in the last {} s that do not \
                 fit in: they count with what is held for them while they run.",
                REFUSAL_MS / 1000,
            ),
            advice: self.advice_for_memory(bytes),
        })
    }

    /// What to do where so many bytes are wanting: where clients hold much, they are told of first, and alone where
    /// that is enough.
    fn advice_for_memory(&self, wanting: u64) -> Cow<'static, str> {
        let (total, most) = self.clients_memory();
        let Some((bytes, client)) =
            most.filter(|_| total >= (self.used_memory() / 20).max(CLIENTS_FEW_BYTES))
        else {
            return MAKE_ROOM.into();
        };
        let unread = client.reply_buffer[0].load(Relaxed) + client.outbox_size().0;
        let told = format!(
            "Clients hold {total} bytes (mem_clients_normal), client {id} {bytes} of them, {unread} of these unread replies: CLIENT KILL ID \
             {id} ends it; client-output-buffer-limit and maxmemory-clients bound what clients hold.",
            id = client.id,
        );
        if total >= wanting { told.into() } else { format!("{told} {MAKE_ROOM}").into() }
    }

    fn trouble_of_few_replicas(&self) -> Option<Trouble> {
        self.lacks_replicas().then(|| Trouble {
            kind: Kind::TooFewReplicas,
            refuses: Refuses::Writes,
            title: "Writes are refused (NOREPLICAS)",
            reason: format!(
                "{} replicas follow that were heard of in the last {} s (min-replicas-max-lag), and writes take {} (min-replicas-to-write).",
                self.good_replicas(),
                self.config.int(Directive::MinReplicasMaxLag),
                self.settings.min_replicas(),
            ),
            advice: "Bring the replicas back: their logs say why they do not follow. CONFIG SET min-replicas-to-write 0 lets \
                     writes go on without them.".into(),
        })
    }

    fn trouble_of_replicas(&self, now_ms: u64) -> Option<Trouble> {
        let all = self.replication.replicas.all();
        let silent: Vec<_> = all.iter().filter(|one| one.silent_s(now_ms) > SILENT_REPLICA_S).collect();
        let first = silent.first()?;
        let (name, silent_s) = (first.name(), first.silent_s(now_ms));
        Some(Trouble {
            kind: Kind::SilentReplica,
            refuses: Refuses::Nothing,
            title: "A replica does not answer",
            reason: format!(
                "{} of {} replicas were not heard of for more than {SILENT_REPLICA_S} s, {name} for {silent_s} s.",
                silent.len(),
                all.len()
            ),
            advice: "It is stopped, overloaded, or the network is: its own figures and log say which. After repl-timeout it is cut off, \
                     and comes back by itself.".into(),
        })
    }

    fn trouble_of_primary(&self, now_ms: u64) -> Option<Trouble> {
        if !self.following.is_replica() {
            return None;
        }
        let Primary { host, port } = &*self.following.primary()?;
        let link = self.following.link();
        if link.state == LinkState::Connected {
            let silent_s = now_ms.saturating_sub(link.heard_ms) / 1000;
            let ping_s = self.config.int(Directive::ReplPingReplicaPeriod).max(1) as u64;
            return (silent_s > 2 * ping_s).then(|| Trouble {
                kind: Kind::SilentPrimary,
                refuses: Refuses::Nothing,
                title: "Nothing comes from the primary",
                reason: format!("The link to the primary {host}:{port} is up, but nothing has come for {silent_s} s: the data here grow old."),
                advice: "The primary is stopped, overloaded, or the network is: its own figures and log say which. After repl-timeout the \
                         link is given up and made again.".into(),
            });
        }
        if matches!(link.state, LinkState::Handshake | LinkState::Sync) {
            return Some(Self::trouble_of_copy(host, *port, self.following.refuses_reads()));
        }
        let (refuses, title) = match (self.following.refuses_reads(), self.following.refuses_writes()) {
            (true, _) => (Refuses::Commands, "Commands are refused (MASTERDOWN)"),
            (false, true) => (Refuses::Writes, "Writes are refused (READONLY)"),
            (false, false) => (Refuses::Nothing, "The link to the primary is down"),
        };
        let since = match link.down_since_ms {
            0 => "was never up".to_owned(),
            down_ms => format!("is down for {} s", now_ms.saturating_sub(down_ms) / 1000),
        };
        Some(Trouble {
            kind: Kind::PrimaryLink,
            refuses,
            title,
            reason: format!(
                "This is a replica, and its link to the primary {host}:{port} {since}: the data here grow old."
            ),
            advice: "If the primary is to come back, its log and the one here say what is in the way (address, password in primaryauth, TLS). \
                     If not, make a replica the primary: FAILOVER by your Sentinel, or REPLICAOF NO ONE here.".into(),
        })
    }

    /// A replica that waits for its copy, or receives it. Writes it refuses at all times.
    fn trouble_of_copy(host: &str, port: u16, refuses_reads: bool) -> Trouble {
        Trouble {
            kind: Kind::Copy,
            refuses: if refuses_reads { Refuses::Commands } else { Refuses::Nothing },
            title: match refuses_reads {
                true => "Commands are refused (MASTERDOWN)",
                false => "A copy of the primary's data comes",
            },
            reason: format!(
                "This is a replica, and waits for its copy of the data of {host}:{port}: until then it has what it had before."
            ),
            advice: "It goes on by itself. State and INFO replication say how far it is. /readyz answers 503 so long: send clients here only behind it.".into(),
        }
    }

    fn trouble_of_clients(&self) -> Option<Trouble> {
        let max = self.config.int(Directive::Maxclients).max(1) as usize;
        (self.clients.count() >= max).then(|| Trouble {
            kind: Kind::Clients,
            refuses: Refuses::Connections,
            title: "Connections are refused (maxclients)",
            reason: format!("{max} clients are connected, which is maxclients: further ones are refused, those that are in are served."),
            advice: "The list of clients shows whose they are, and how long they are idle: mostly a pool that leaks. CONFIG SET maxclients \
                     lets more in, timeout closes those that are idle.".into(),
        })
    }

    fn trouble_of_pause(&self, now_ms: u64) -> Option<Trouble> {
        let InForce { scope, end_ms, purpose } = self.pause.in_force(now_ms)?;
        let all = scope == Scope::All;
        let why = match purpose {
            Purpose::Client => "CLIENT PAUSE holds requests up",
            Purpose::Failover => "A failover holds requests up",
            Purpose::Shutdown => "The server is about to end and holds requests up",
        };
        let how_long = match end_ms {
            FOR_EVER_MS.. => ".".to_owned(),
            end_ms => format!(", for {} s more.", end_ms.saturating_sub(now_ms).div_ceil(1000)),
        };
        Some(Trouble {
            kind: Kind::Pause,
            refuses: if all { Refuses::Commands } else { Refuses::Writes },
            title: if all { "Commands wait (pause)" } else { "Writes wait (pause)" },
            reason: format!("{why}{how_long}"),
            advice: "CLIENT UNPAUSE ends the pause of CLIENT PAUSE; those of a failover and of the end are over with them.".into(),
        })
    }

    fn trouble_of_script(&self) -> Option<Trouble> {
        let threshold_ms = self.config.int(Directive::BusyReplyThreshold);
        let too_long = |ms: u64| threshold_ms > 0 && ms >= threshold_ms as u64;
        let slow = self.scripting.slow.all();
        let longest =
            slow.iter().filter(|one| too_long(one.elapsed_ms())).max_by_key(|one| one.elapsed_ms())?;
        let (name, seconds) = (longest.name(), longest.elapsed_ms() / 1000);
        let of_all = longest.start.declares_none || longest.start.locks.is_none();
        Some(Trouble {
            kind: Kind::Script,
            refuses: Refuses::Commands,
            title: "Commands are refused (BUSY)",
            reason: format!(
                "The script or function {name} has run for {seconds} s: {} hear BUSY.",
                if of_all { "all others" } else { "commands on its keys" }
            ),
            advice: format!(
                "SCRIPT KILL or FUNCTION KILL ends it, as long as it has changed nothing that cannot be put back. {}",
                match of_all {
                    true => "Let scripts declare their keys: then they keep up only commands on these.",
                    false => "Have it do less at a time.",
                }
            )
            .into(),
        })
    }

    /// Clients that wait for what has held locks for long. Those that hear BUSY for it wait no longer:
    /// [`trouble_of_script`](Self::trouble_of_script) tells of it.
    fn trouble_of_locks(&self) -> Option<Trouble> {
        let waiting = if self.runs_slow() { self.clients_held_up() } else { 0 };
        if waiting == 0 {
            return None;
        }
        let busy_after_ms = self.config.int(Directive::BusyReplyThreshold);
        let mut all = self.holds_now(HOLDS_LONG_NS);
        all.retain(|(held, _)| !held.is_told_as_busy(busy_after_ms));
        let (held, slots) = all.first()?;
        let others = match all.len() {
            1 => String::new(),
            2 => " Another command does so, too.".to_owned(),
            count => format!(" {} other commands do so, too.", count - 1),
        };
        Some(Trouble {
            kind: Kind::LocksHeld,
            refuses: Refuses::Commands,
            title: "Commands wait (locks are held)",
            // Whoever sees the console need not know all keys.
            reason: format!(
                "{}, keeps its locks, and {}. {}.{others}",
                held.in_words_without_key(),
                if waiting == 1 { "a client waits".to_owned() } else { format!("{waiting} clients wait") },
                reach_in_words(*slots, "wait meanwhile"),
            ),
            advice: format!(
                "{}. Have it do less at a time: SCAN and its cousins go step by step, and a script that declares its keys keeps up commands \
                 on these alone. KVARTS HEALTH and State list what holds locks.",
                upper_first(&held.end_in_words()),
            )
            .into(),
        })
    }
}

/// The text with a capital letter at its beginning.
fn upper_first(text: &str) -> String {
    let (first, rest) = text.split_at_checked(1).unwrap_or((text, ""));
    first.to_uppercase() + rest
}
