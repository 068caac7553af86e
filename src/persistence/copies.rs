//! [`CopyMaker`]: full copies for replicas, straight from memory to their links.
//!
//! All that wait for the same form of copy when one begins share it. Where one of them cannot take a copy
//! whose length is not known ahead, it is written into a file first, and sent from there.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::aof::snapshot::is_in_the_way;
use super::files::{Files, remove_leftovers};
use super::save::{Begun, Form, SaveError, begin_snapshot, default_version, write_as};
use crate::config::Directive;
use crate::engine::Server;
use crate::engine::replication::FullCopies;
use crate::rdb::file::FileVersion;
use crate::replication::{Announced, Copy, CopyEnd, Follower, Replica, Start};

/// How the name of a copy in a file begins and ends; between them stands the process's id.
const TEMPORARY_BEGIN: &str = "temp-copy-";
const TEMPORARY_END: &str = ".rdb";

/// Bytes read from a file at once.
const CHUNK: usize = 256 << 10;

/// Pause before it is tried again to begin where another snapshot is being read.
const PAUSE: Duration = Duration::from_millis(10);

/// Bytes of a key that are shown where it keeps a replica from being sent the data. A peer reads 256 bytes of
/// the line.
const KEY_SHOWN: usize = 64;

/// Digits of the mark behind a copy.
const MARK_LEN: usize = 40;

/// Makes copies, one at a time.
pub struct CopyMaker {
    server: Weak<Server>,
    files: Arc<dyn Files>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// The copy that is being sent.
    present: Mutex<Option<Arc<Copy>>>,
    stops: AtomicBool,
}

/// Ends the making of a copy, whichever way it comes to its end.
struct Running<'r> {
    maker: &'r CopyMaker,
    server: &'r Server,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(copy) = self.maker.present.lock().take() {
            copy.finish(CopyEnd::Failed);
        }
        self.server.replication.is_copying.store(false, Ordering::Release);
    }
}

/// Whether a replica can be sent the data.
enum Fit {
    /// Its copy has this form.
    As(Form, Sent),
    /// It cannot read what there is.
    Never,
}

/// How a copy is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// As it is made, with a mark behind it.
    Marked,
    /// With its length ahead, from a file.
    Measured,
}

impl CopyMaker {
    /// Makes it, and removes the copies that processes which are gone have not finished.
    pub fn new(server: &Arc<Server>, files: Arc<dyn Files>) -> Arc<Self> {
        if let Some(folder) = server.config.path(Directive::Dir) {
            remove_leftovers(&*files, &folder, TEMPORARY_BEGIN, TEMPORARY_END);
        }
        Arc::new(Self {
            server: Arc::downgrade(server),
            files,
            thread: Mutex::new(None),
            present: Mutex::new(None),
            stops: AtomicBool::new(false),
        })
    }

    /// Gives up what is being made, and waits for the thread that does.
    pub fn stop(&self) {
        self.stops.store(true, Ordering::Release);
        if let Some(copy) = &*self.present.lock() {
            copy.finish(CopyEnd::Failed);
        }
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // Its panics were reported by the panic hook.
            drop(thread.join());
        }
    }

    /// Makes one copy for the replicas that wait for it.
    fn run(&self, server: &Server) {
        let mut followers = Vec::new();
        let mut position = 0;
        let begun = loop {
            if self.stops.load(Ordering::Acquire) || server.waiting_replicas().is_empty() {
                return;
            }
            if !is_in_the_way(server)
                && let Some(begun) =
                    begin_snapshot(server, &|| self.stops.load(Ordering::Acquire), &mut |server| {
                        (followers, position) = begin_following(server);
                    })
            {
                break begun;
            }
            std::thread::sleep(PAUSE);
        };
        let Some((form, sent, group)) = self.choose(server, &begun, followers) else { return };
        self.send(server, begun, form, sent, group, position);
    }

    /// Chooses the form of the first replica that can be sent a copy, and all that take the same. The others
    /// go on waiting; those that can be sent none are told so and closed.
    fn choose(
        &self,
        server: &Server,
        begun: &Begun<'_>,
        followers: Vec<Follower>,
    ) -> Option<(Form, Sent, Vec<Follower>)> {
        let (mut chosen, mut group) = (None, Vec::new());
        for follower in followers {
            match (fit(server, begun, &follower.replica.announced), chosen) {
                (Fit::Never, _) => refuse(server, follower, &refusal(server, begun)),
                (Fit::As(form, sent), None) => {
                    chosen = Some((form, sent));
                    group.push(follower);
                }
                (Fit::As(form, sent), Some(taken)) if (form, sent) == taken => group.push(follower),
                (Fit::As(..), Some(_)) => follower.leave(server.journal()),
            }
        }
        chosen.map(|(form, sent)| (form, sent, group))
    }

    fn send(
        &self,
        server: &Server,
        begun: Begun<'_>,
        form: Form,
        sent: Sent,
        group: Vec<Follower>,
        position: u64,
    ) {
        let replicas: Vec<Arc<Replica>> =
            group.iter().map(|follower| Arc::clone(&follower.replica)).collect();
        let copy = Arc::new(Copy::new(&replicas, sent == Sent::Marked));
        *self.present.lock() = Some(Arc::clone(&copy));
        if self.stops.load(Ordering::Acquire) {
            copy.finish(CopyEnd::Failed);
        }
        let (id, offset) = {
            let history = server.replication.history.read();
            (history.id().to_owned(), history.offset(position))
        };
        for follower in group {
            follower.begin(&server.replication.replicas, server.journal(), &copy, (&id, offset));
        }
        let (began, count) = (Instant::now(), replicas.len());
        tracing::info!("Starting a full copy for {count} replicas, RDB version {}", form.version.number());
        let made = match sent {
            Sent::Marked => make_marked(server, begun, form, &copy),
            Sent::Measured => self.make_measured(server, begun, form, &copy),
        };
        let seconds = began.elapsed().as_secs_f64();
        match made {
            Ok(()) => {
                tracing::info!("the full copy was made in {seconds:.3} seconds");
                copy.finish(CopyEnd::Whole);
            }
            Err(error) => {
                if copy.is_wanted() {
                    tracing::error!(%error, "the full copy could not be made");
                }
                copy.finish(CopyEnd::Failed);
            }
        }
        replicas.iter().for_each(|replica| replica.wake());
    }

    /// Writes the copy into a file, and sends the file with its length ahead.
    fn make_measured(
        &self,
        server: &Server,
        begun: Begun<'_>,
        form: Form,
        copy: &Copy,
    ) -> Result<(), SaveError> {
        let folder = server.config.path(Directive::Dir).unwrap_or_else(|| PathBuf::from("."));
        let path = folder.join(format!("{TEMPORARY_BEGIN}{}{TEMPORARY_END}", std::process::id()));
        let sent = self.files.create(&path).map_err(SaveError::from).and_then(|file| {
            write_as(server, begun, form, &mut |bytes| file.write(bytes), &mut |_| wanted(copy))?;
            let head = format!("${}\r\n", self.files.len(&path)?);
            push(copy, Bytes::from(head))?;
            let mut file = self.files.read(&path)?;
            loop {
                let mut chunk = Vec::with_capacity(CHUNK);
                if file.by_ref().take(CHUNK as u64).read_to_end(&mut chunk)? == 0 {
                    return Ok(());
                }
                push(copy, chunk.into())?;
            }
        });
        // It was for these replicas only.
        drop(self.files.remove(&path));
        sent
    }
}

/// Sends the copy as it is made, with a mark before and behind it.
fn make_marked(server: &Server, begun: Begun<'_>, form: Form, copy: &Copy) -> Result<(), SaveError> {
    let mark = crate::random::hex(MARK_LEN);
    push(copy, Bytes::from(format!("$EOF:{mark}\r\n")))?;
    let mut write = |bytes: &[u8]| push(copy, Bytes::copy_from_slice(bytes));
    write_as(server, begun, form, &mut write, &mut |_| wanted(copy))?;
    push(copy, Bytes::from(mark))?;
    Ok(())
}

fn push(copy: &Copy, bytes: Bytes) -> io::Result<()> {
    if bytes.is_empty() || copy.push(bytes) { Ok(()) } else { Err(io::Error::other("nobody takes it")) }
}

fn wanted(copy: &Copy) -> Result<(), SaveError> {
    if copy.is_wanted() { Ok(()) } else { Err(SaveError::Cancelled) }
}

/// Has the stream read for all that wait, from the present instant on. The caller is alone in the keyspace.
fn begin_following(server: &Server) -> (Vec<Follower>, u64) {
    server.begin_stream();
    Follower::all(&server.replication.replicas, server.journal())
}

/// The form in which a replica takes the data of a snapshot.
fn fit(server: &Server, begun: &Begun<'_>, announced: &Announced) -> Fit {
    let asked = server.config.word(Directive::RdbVersion);
    let version = match begun.snapshot.has_field_ends() {
        _ if announced.rdb_only => default_version(server, &begun.snapshot, false),
        // Redis 7.0, which reads no more, says nothing that tells it from 7.2.
        false if announced.version == 0 && !announced.is_redis_8 => FileVersion::Redis10,
        false => FileVersion::Redis11,
        true if announced.reads_valkey_80() => FileVersion::Valkey80,
        true if announced.is_redis_8 => FileVersion::Redis12,
        true if announced.version == 0 && asked == "80" => FileVersion::Valkey80,
        true => return Fit::Never,
    };
    let is_marked = announced.takes_marked_copies && server.config.flag(Directive::ReplDisklessSync);
    let form = Form { version, aof_base: false, has_keys: !announced.functions_only };
    Fit::As(form, if is_marked { Sent::Marked } else { Sent::Measured })
}

/// Why a replica can be sent no copy: a hash that it could not hold, by its key where the log may show keys.
fn refusal(server: &Server, begun: &Begun<'_>) -> String {
    let what = match begun.snapshot.key_with_field_ends() {
        Some((database, _)) if server.config.flag(Directive::HideUserDataFromLog) => {
            format!("a hash in database {database}")
        }
        Some((database, key)) => {
            let shown = key[..key.len().min(KEY_SHOWN)].escape_ascii();
            format!("the hash '{shown}' in database {database}")
        }
        None => "hashes".to_owned(),
    };
    format!("fields of {what} have expiries, which this replica cannot read (Redis 8 and Valkey 9 can)")
}

/// Ends the link of a replica with a line that has it keep its data, log the reason and ask again later.
fn refuse(server: &Server, follower: Follower, reason: &str) {
    tracing::warn!("closing the link of replica {}: {reason}", follower.replica.name());
    follower.leave(server.journal());
    let copy = Arc::new(Copy::new(&[], false));
    copy.finish(CopyEnd::Failed);
    let line = format!("-NOMASTERLINK Can't SYNC: {reason}\r\n").into();
    // Where the link has ended by itself, nobody is left to be told.
    drop(follower.replica.begin_copy(Start { copy, reader: None, line }));
}

impl FullCopies for Arc<CopyMaker> {
    fn begin(&self) {
        let Some(server) = self.server.upgrade() else { return };
        let mut thread = self.thread.lock();
        if self.stops.load(Ordering::Acquire) || server.replication.is_copying.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(before) = thread.take() {
            // It has ended, as no copy is being made.
            drop(before.join());
        }
        let (maker, of_thread) = (Arc::clone(self), Arc::clone(&server));
        let spawned = std::thread::Builder::new().name("kvarts-copy".into()).spawn(move || {
            let _running = Running { maker: &maker, server: &of_thread };
            maker.run(&of_thread);
        });
        match spawned {
            Ok(handle) => *thread = Some(handle),
            Err(error) => {
                tracing::error!(%error, "cannot begin a full copy");
                server.replication.is_copying.store(false, Ordering::Release);
            }
        }
    }
}
