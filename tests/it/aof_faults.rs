//! The append-only file on a disk that fails: writes are refused, reads go on, nothing acknowledged is lost,
//! and all goes on when the disk does.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU64, Ordering::SeqCst};

use kvarts::config::Config;
use kvarts::persistence::files::{Disk, Files, Output};
use kvarts::shared::clock::Clock;

use crate::harness::*;

pub const ENOSPC: i32 = 28;
pub const EIO: i32 = 5;
pub const EROFS: i32 = 30;

/// What fails, by the number of the error; 0 for nothing.
#[derive(Debug, Default)]
pub struct Faults {
    /// Writing: half of the bytes are written.
    pub write: AtomicI32,
    /// Syncing: what was written since the last sync is lost, as a failed sync may lose it.
    pub sync: AtomicI32,
    /// Making, renaming and removing files, and syncing folders.
    pub names: AtomicI32,
    /// Operations that work before all fail, as if the machine had stopped; negative for no end.
    pub left: AtomicI64,
    /// Operations so far.
    pub count: AtomicI64,
}

impl Faults {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { left: AtomicI64::new(-1), ..Self::default() })
    }

    fn check(&self, kind: &AtomicI32) -> io::Result<()> {
        self.count.fetch_add(1, SeqCst);
        if self.left.load(SeqCst) >= 0 && self.left.fetch_sub(1, SeqCst) <= 0 {
            self.left.store(0, SeqCst);
            return Err(io::Error::from_raw_os_error(EIO));
        }
        match kind.load(SeqCst) {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// The machine's files, some of whose operations fail.
pub struct FaultyFiles(pub Arc<Faults>);

struct FaultyOutput {
    faults: Arc<Faults>,
    file: Arc<dyn Output>,
    len: AtomicU64,
    synced: AtomicU64,
}

impl FaultyFiles {
    fn output(&self, file: Arc<dyn Output>, len: u64) -> Arc<dyn Output> {
        let (len, synced) = (AtomicU64::new(len), AtomicU64::new(len));
        Arc::new(FaultyOutput { faults: Arc::clone(&self.0), file, len, synced })
    }
}

impl Files for FaultyFiles {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.0.check(&self.0.names)?;
        Disk.create_folder(path)
    }

    fn append(&self, path: &Path) -> io::Result<Arc<dyn Output>> {
        self.0.check(&self.0.names)?;
        let file = Disk.append(path)?;
        Ok(self.output(file, Disk.len(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn Output>> {
        self.0.check(&self.0.names)?;
        Ok(self.output(Disk.create(path)?, 0))
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Disk.read(path)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Disk.len(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.check(&self.0.names)?;
        Disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.check(&self.0.names)?;
        Disk.remove(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.0.check(&self.0.names)?;
        Disk.sync_folder(path)
    }
}

impl Output for FaultyOutput {
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.faults.check(&self.faults.write) {
            self.file.write(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        self.file.write(bytes)?;
        self.len.fetch_add(bytes.len() as u64, SeqCst);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        if let Err(error) = self.faults.check(&self.faults.sync) {
            let (len, synced) = (self.len.load(SeqCst), self.synced.load(SeqCst));
            self.file.truncate(synced)?;
            self.file.truncate(len)?;
            return Err(error);
        }
        self.synced.store(self.len.load(SeqCst), SeqCst);
        self.file.sync()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.faults.check(&self.faults.write)?;
        self.file.truncate(len)?;
        self.len.store(len, SeqCst);
        self.synced.fetch_min(len, SeqCst);
        Ok(())
    }
}

/// A server on a disk that works until it is told otherwise.
fn server_with(pairs: &[(&str, &str)]) -> (TestServer, Arc<Faults>) {
    let faults = Faults::new();
    let files = Arc::new(FaultyFiles(Arc::clone(&faults)));
    let all: Vec<(&str, &str)> = [("appendonly", "yes")].iter().chain(pairs).copied().collect();
    let server = TestServer::try_with_files(&all, Clock::manual(START_MS), TempDir::new(), files);
    (server.expect("the server starts"), faults)
}

/// All keys with their values.
pub fn data(server: &TestServer) -> Vec<(String, String)> {
    let mut client = server.client();
    let mut keys = client.value("KEYS *").texts();
    keys.sort();
    keys.into_iter().map(|key| (key.clone(), client.raw(&format!("DUMP {key}")))).collect()
}

/// Starts a server on a working disk in this folder.
fn on_good_disk(dir: TempDir) -> TestServer {
    TestServer::try_with(&[("appendonly", "yes")], Clock::manual(START_MS), dir).expect("it starts")
}

const FULL: &str = "-MISCONF Errors writing to the AOF file: No space left on device~";

/// A full disk: a write that ran is answered only when it is in the file, others are refused, in whichever
/// way they come; reads go on.
#[test]
fn a_full_disk_refuses_writes_and_nothing_else() {
    for fsync in ["always", "everysec"] {
        let (server, faults) = server_with(&[("appendfsync", fsync)]);
        let mut client = server.client();
        client.check("SET before 1", "+OK~");
        faults.write.store(ENOSPC, SeqCst);
        let mut first = server.client();
        first.send_command("SET during 1");
        eventually("it is noticed", || server.handle().server().durability.refuses_writes());
        client.check("SET refused 1", FULL);
        client.check("PING", FULL);
        client.check("GET before", "$1~1~");
        client.check("EXISTS during", ":1~");
        client.check("MULTI", "+OK~");
        client.check("SET refused 1", FULL);
        client.check("EXEC", "-EXECABORT Transaction discarded because of previous errors.~");
        client.send(&encode(&["EVAL", "return redis.pcall('set', KEYS[1], '1')", "1", "refused"]));
        let reply = show(&client.read_raw());
        assert!(reply.contains("MISCONF Errors writing to the AOF file: No space"), "{reply}");
        client.send(
            &[encode(&["GET", "before"]), encode(&["SET", "refused", "1"]), encode(&["GET", "before"])]
                .concat(),
        );
        client.check_next("$1~1~");
        client.check_next(FULL);
        client.check_next("$1~1~");
        assert_eq!(server.info("aof_last_write_status"), "err");
        if fsync == "always" {
            let stream = first.tcp_stream();
            stream.set_nonblocking(true).expect("a socket");
            let nothing = stream.peek(&mut [0]).expect_err("no reply");
            assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
            stream.set_nonblocking(false).expect("a socket");
        }
        faults.write.store(0, SeqCst);
        first.check_next("+OK~");
        eventually("it is noticed", || !server.handle().server().durability.refuses_writes());
        client.check("SET after 1", "+OK~");
        assert_eq!(server.info("aof_last_write_status"), "ok");
        let before = data(&server);
        let server = on_good_disk(server.stop_and_keep());
        assert_eq!(data(&server), before);
        server.client().check("MGET before during after refused", "*4~$1~1~$1~1~$1~1~$-1~");
    }
}

/// A sync that fails may have lost what it was to make lasting (it does here): that is written again.
#[test]
fn what_a_failed_sync_loses_is_written_again() {
    for fsync in ["always", "everysec"] {
        let (server, faults) = server_with(&[("appendfsync", fsync)]);
        let mut client = server.client();
        client.check("SET before 1", "+OK~");
        faults.sync.store(EIO, SeqCst);
        let mut first = server.client();
        first.send_command("SET during 1");
        eventually("it is noticed", || server.handle().server().durability.refuses_writes());
        client.check("SET refused 1", "-MISCONF Errors writing to the AOF file: Input/output error~");
        faults.sync.store(0, SeqCst);
        first.check_next("+OK~");
        eventually("it is noticed", || !server.handle().server().durability.refuses_writes());
        client.check("SET after 1", "+OK~");
        client.check("WAITAOF 1 0 20000", "*2~:1~:0~");
        let server = on_good_disk(server.stop_and_keep());
        server.client().check("MGET before during after refused", "*4~$1~1~$1~1~$1~1~$-1~");
    }
}

/// The file is taken away while it is written: a rewrite brings all data into new files.
#[test]
fn a_file_that_is_taken_away_is_replaced() {
    let (server, _) = server_with(&[("appendfsync", "always")]);
    let mut client = server.client();
    client.check("SET before 1", "+OK~");
    std::fs::remove_file(server.dir().join("appendonlydir/appendonly.aof.1.incr.aof")).expect("it is there");
    client.check("SET during 1", "+OK~");
    eventually("a rewrite replaces it", || {
        server.info("aof_rewrites") == "1" && server.info("aof_rewrite_in_progress") == "0"
    });
    eventually("it is noticed", || !server.handle().server().durability.refuses_writes());
    client.check("SET after 1", "+OK~");
    let server = on_good_disk(server.stop_and_keep());
    server.client().check("MGET before during after", "*3~$1~1~$1~1~$1~1~");
}

/// A folder that cannot be written is told at the start, and when the file is switched on.
#[test]
fn a_folder_that_cannot_be_written_is_told_at_once() {
    let faults = Faults::new();
    faults.names.store(EROFS, SeqCst);
    let files = Arc::new(FaultyFiles(Arc::clone(&faults)));
    let pairs = [("appendonly", "yes")];
    let started = TestServer::try_with_files(&pairs, Clock::manual(START_MS), TempDir::new(), files);
    let error = started.err().expect("a refusal").to_string();
    assert!(error.contains("cannot write the append-only file: Read-only file system"), "{error}");

    let files = Arc::new(FaultyFiles(faults));
    let server = TestServer::try_with_files(&[], Clock::manual(START_MS), TempDir::new(), files);
    let server = server.expect("it starts without the file");
    let mut client = server.client();
    client.check(
        "CONFIG SET appendonly yes",
        "-ERR CONFIG SET failed (possibly related to argument 'appendonly') - Unable to turn on AOF. Check server logs.~",
    );
    client.check("CONFIG GET appendonly", "*2~$10~appendonly~$2~no~");
    client.check("SET a 1", "+OK~");
}

/// The machine stops at each step of a rewrite in turn: the folder as it is then loads to all data.
#[test]
fn a_rewrite_that_stops_anywhere_loses_nothing() {
    let mut steps = 0;
    for step in 0.. {
        let (server, faults) = server_with(&[("appendfsync", "always")]);
        let mut client = server.client();
        for key in 0..20 {
            client.check(&format!("SET key-{key} {key}"), "+OK~");
        }
        client.check("RPUSH list a b c", ":3~");
        let before = data(&server);
        faults.count.store(0, SeqCst);
        faults.left.store(step, SeqCst);
        client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
        let stopped = || faults.left.load(SeqCst) == 0 && server.info("aof_rewrite_in_progress") == "0";
        let done = || server.info("aof_rewrites") == "1" && server.info("aof_rewrite_in_progress") == "0";
        eventually("it stops or ends", || stopped() || done());
        let finished = faults.left.load(SeqCst) > 0;
        let copy = TempDir::new();
        std::fs::create_dir(copy.path().join("appendonlydir")).expect("a folder");
        for entry in std::fs::read_dir(server.dir().join("appendonlydir")).expect("the folder") {
            let path = entry.expect("an entry").path();
            let to = copy.path().join("appendonlydir").join(path.file_name().expect("a name"));
            std::fs::copy(&path, to).expect("a copy");
        }
        let after = on_good_disk(copy);
        assert_eq!(data(&after), before, "stopped at step {step}");
        if finished {
            break;
        }
        steps += 1;
    }
    assert!(steps > 10, "{steps} steps");
}

/// A rewrite that fails leaves the file as it was and goes on appending; the next one works.
#[test]
fn a_rewrite_that_fails_is_told_and_tried_again() {
    let (server, faults) = server_with(&[("appendfsync", "always")]);
    let mut client = server.client();
    client.check("SET a 1", "+OK~");
    faults.names.store(EROFS, SeqCst);
    client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
    eventually("it ends", || server.info("aof_rewrite_in_progress") == "0");
    assert_eq!(server.info("aof_last_bgrewrite_status"), "err");
    client.check("SET b 1", "+OK~");
    faults.names.store(0, SeqCst);
    client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
    eventually("it ends", || server.info("aof_rewrite_in_progress") == "0");
    assert_eq!(server.info("aof_last_bgrewrite_status"), "ok");
    client.check("SET c 1", "+OK~");
    let server = on_good_disk(server.stop_and_keep());
    server.client().check("MGET a b c", "*3~$1~1~$1~1~$1~1~");
}

/// Directives of the file with values that would lead out of its folder, or mean nothing, are refused.
#[test]
fn directives_of_the_file_are_checked() {
    assert!(Config::from_pairs([("appendfsync", "sometimes")]).is_err());
    assert!(Config::from_pairs([("appenddirname", "a/b")]).is_err());
    assert!(Config::from_pairs([("appendfilename", "a/b")]).is_err());
}
