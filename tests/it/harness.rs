//! Servers for tests, and tables of commands with their replies.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use kvarts::config::Config;
use kvarts::persistence::files::{Disk, Files};
use kvarts::shared::clock::Clock;
use kvarts::{Handle, StartError};

pub use crate::value::Value;
pub use crate::wire::{Client, encode, show};

/// When tests begin, in milliseconds of Unix time.
pub const START_MS: u64 = 1_700_000_000_000;

/// A folder that goes away with the test.
pub struct TempDir(PathBuf);

impl TempDir {
    /// A new, empty one.
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("kvarts-it-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if std::env::var_os("KVARTS_KEEP_FOLDERS").is_some() {
            return;
        }
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Ends the threads beside a test, which go on while the flag is set, also where the test fails.
pub struct StopAtEnd<'a>(pub &'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// A port that nobody listens on, from below the range from which the system takes its own, and that is given
/// to no other test.
///
/// Each process of tests has a block of ports to itself: it holds the block by listening on the block's first
/// port, at an address that no server of the tests uses. So no other process is given one of its ports
/// between the test for it here and its use.
pub fn free_port() -> u16 {
    const BLOCK: u16 = 400;
    static RESERVED: OnceLock<(TcpListener, u16)> = OnceLock::new();
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let (_, first) = RESERVED.get_or_init(|| {
        (0..30)
            .map(|number| 20_000 + number * BLOCK)
            .find_map(|first| Some((TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), first)).ok()?, first)))
            .expect("a block of ports that no other process holds")
    });
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(number < BLOCK, "the tests of one process take fewer ports");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, first + number)).is_ok() {
            return first + number;
        }
    }
}

/// A running server in a folder of its own.
pub struct TestServer {
    handle: Option<Handle>,
    dir: TempDir,
}

impl TestServer {
    /// With the defaults, on a free port, its clock standing still.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// With these directives, its clock standing still.
    pub fn with(pairs: &[(&str, &str)]) -> Self {
        Self::with_clock(pairs, Clock::manual(START_MS))
    }

    /// With the machine's clock.
    pub fn with_clock(pairs: &[(&str, &str)], clock: Clock) -> Self {
        Self::try_with(pairs, clock, TempDir::new()).expect("the server starts")
    }

    /// In this folder.
    pub fn try_with(pairs: &[(&str, &str)], clock: Clock, dir: TempDir) -> Result<Self, StartError> {
        Self::try_with_files(pairs, clock, dir, Arc::new(Disk))
    }

    /// In this folder, with these files in place of the machine's.
    pub fn try_with_files(
        pairs: &[(&str, &str)],
        clock: Clock,
        dir: TempDir,
        files: Arc<dyn Files>,
    ) -> Result<Self, StartError> {
        let handle = kvarts::start_with_files(Self::config(pairs, dir.path()), clock, files)?;
        Ok(Self { handle: Some(handle), dir })
    }

    /// In this folder, without waiting until it has loaded its data.
    pub fn loading(pairs: &[(&str, &str)], dir: TempDir) -> Self {
        let config = Self::config(pairs, dir.path());
        let handle = kvarts::start_loading(config, Clock::manual(START_MS)).expect("the server starts");
        Self { handle: Some(handle), dir }
    }

    fn config(pairs: &[(&str, &str)], dir: &Path) -> Config {
        let folder = dir.display().to_string();
        let defaults = [("port", "0"), ("bind", "127.0.0.1"), ("save", ""), ("dir", folder.as_str())];
        Config::from_pairs(defaults.iter().chain(pairs).copied()).expect("a configuration")
    }

    /// With a configuration read from a file with these lines; the file is `kvarts.conf` in the server's
    /// folder.
    pub fn with_file(lines: &str) -> Self {
        let dir = TempDir::new();
        let path = dir.path().join("kvarts.conf");
        let folder = dir.path().display();
        std::fs::write(&path, format!("port 0\nbind 127.0.0.1\ndir {folder}\n{lines}")).expect("a file");
        let config = Config::from_file(&path).expect("a configuration");
        let handle = kvarts::start(config, Clock::manual(START_MS)).expect("the server starts");
        Self { handle: Some(handle), dir }
    }

    /// Without sockets of its own making: the running server.
    pub fn handle(&self) -> &Handle {
        self.handle.as_ref().expect("it runs")
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Moves its clock and lets happen what is due then.
    pub fn advance_ms(&self, by_ms: u64) {
        self.handle().advance_clock(by_ms);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        local(self.handle().ports().main)
    }

    /// A RESP2 client.
    pub fn client(&self) -> Client {
        Client::tcp(self.address())
    }

    /// A RESP3 client.
    pub fn client3(&self) -> Client {
        self.client().resp3()
    }

    /// A client of the read-only port.
    pub fn read_only_client(&self) -> Client {
        Client::tcp(local(self.handle().ports().read_only))
    }

    /// A field of INFO.
    pub fn info(&self, field: &str) -> String {
        info(&mut self.client(), field)
    }

    /// Ends it and waits for the end.
    pub fn stop(mut self) {
        self.handle = None;
    }

    /// Ends it, waits for the end, and returns its folder.
    pub fn stop_and_keep(mut self) -> TempDir {
        self.handle = None;
        self.dir
    }
}

/// A field of INFO, of all its sections.
pub fn info(client: &mut Client, field: &str) -> String {
    let text = client.value("INFO everything").text();
    let wanted = format!("{field}:");
    let line = text.lines().find_map(|line| line.strip_prefix(&wanted));
    line.unwrap_or_else(|| panic!("no field {field} in\n{text}")).to_owned()
}

/// A port on this machine.
pub fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// The replies to these requests over a connection of its own, or the error of a server that is down or closes
/// it before the end, as one does that becomes a replica by Sentinel's word. For looking at such a server.
pub fn ask(port: u16, requests: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(local(port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut writing = stream.try_clone()?;
    let mut text = String::new();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let written = writing.write_all(requests.as_bytes());
            written.and_then(|()| writing.shutdown(Shutdown::Write))
        });
        stream.read_to_string(&mut text)
    })?;
    Ok(text)
}

/// Waits for what other threads bring about by themselves. Fails when it does not come about.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// Runs a table on two servers, one asked in RESP2 and one in RESP3.
///
/// A line is `command => reply`, or `command => reply in RESP2 => reply in RESP3` where they differ. `~`
/// stands for a line end in replies; otherwise they are compared byte by byte. `+500 ms` moves the clock.
/// Empty lines and lines that begin with `#` are passed over. In a reply `*` alone stands for any reply but
/// an error, and a reply that ends in `...` is compared up to there.
///
/// With `KVARTS_TABLE_PEER` set to the address of another server, tables that do not move the clock run on
/// that as well, which shows whether a table is right. A line that begins with `!` holds only here.
#[track_caller]
pub fn table(text: &str) {
    table_with(&[], text);
}

/// [`table`] on servers with these directives.
#[track_caller]
pub fn table_with(pairs: &[(&str, &str)], text: &str) {
    let mut wrong = Vec::new();
    for version in [2, 3] {
        let server = TestServer::with(pairs);
        let client = if version == 3 { server.client3() } else { server.client() };
        run(text, version, client, &|ms| server.advance_ms(ms), true, &mut wrong);
    }
    if let Some(peer) = std::env::var_os("KVARTS_TABLE_PEER")
        && pairs.is_empty()
        && !text.lines().any(|line| line.trim_start().starts_with('+'))
    {
        static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let address: SocketAddr = peer.to_string_lossy().parse().expect("KVARTS_TABLE_PEER is host:port");
        for version in [2, 3] {
            let client = Client::tcp(address);
            let mut client = if version == 3 { client.resp3() } else { client };
            client.check("FLUSHALL", "+OK~");
            run(text, version, client, &|_| unreachable!("no clock"), false, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{} lines of the table differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn run(
    text: &str,
    version: u8,
    mut client: Client,
    advance: &dyn Fn(u64),
    ours: bool,
    wrong: &mut Vec<String>,
) {
    let who = if ours { "here" } else { "peer" };
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(ms) = line.strip_prefix('+') {
            let ms = ms.trim_end_matches("ms").trim();
            advance(ms.parse().unwrap_or_else(|_| panic!("milliseconds in {line:?}")));
            continue;
        }
        let (line, only_ours) = line.strip_prefix('!').map_or((line, false), |rest| (rest, true));
        let parts: Vec<&str> = line.split(" => ").map(str::trim).collect();
        let (command, expected) = match parts[..] {
            [command, both] => (command, both),
            [command, resp2, resp3] => (command, if version == 3 { resp3 } else { resp2 }),
            _ => panic!("not a line of a table: {line:?}"),
        };
        let reply = client.raw(command);
        let right = match expected.strip_suffix("...") {
            _ if only_ours && !ours => true,
            Some(beginning) => reply.starts_with(beginning),
            None if expected == "*" => !reply.starts_with('-'),
            None => reply == expected,
        };
        if !right {
            wrong
                .push(format!("RESP{version} {who}: {command}\n   expected {expected}\n   reply    {reply}"));
        }
    }
}

/// Has three clients of the server increment `n` while `work` runs. Returns how often they were told that they
/// did.
pub fn count_beside(server: &TestServer, work: impl FnOnce()) -> u64 {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
    let (done, counted) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = server.client();
                while !done.load(Relaxed) {
                    counted.fetch_add(u64::from(client.raw("INCR n").starts_with(':')), Relaxed);
                }
            });
        }
        eventually("they count", || counted.load(Relaxed) > 0);
        work();
        done.store(true, Relaxed);
    });
    counted.into_inner()
}
