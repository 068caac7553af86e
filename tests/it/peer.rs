//! The real Redis server that the differential tests compare with.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::*;

/// The environment variable that names another program than `redis-server` from the PATH.
const PROGRAM: &str = "KVARTS_DIFF_PEER";

/// Whether the peer is the `redis-server` of the PATH, whose differences are all listed in differences.rs.
pub fn is_the_usual_one() -> bool {
    std::env::var_os(PROGRAM).is_none()
}

/// The other server, which ends with the test.
pub struct Peer {
    process: Child,
    /// Where it listens.
    pub port: u16,
    dir: TempDir,
}

impl Peer {
    /// On a free port.
    pub fn start() -> Self {
        let program = std::env::var(PROGRAM).unwrap_or_else(|_| "redis-server".into());
        Self::of_program(&program, TempDir::new())
    }

    /// A server of this program, with the data in this folder.
    pub fn of_program(program: &str, dir: TempDir) -> Self {
        let port = free_port();
        let process = Command::new(program)
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
            ])
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process = process.unwrap_or_else(|error| {
            panic!("{program} cannot be started ({error}): these tests compare with a real Redis; `make test-tools` installs it, KVARTS_DIFF_PEER names another program")
        });
        let peer = Self { process, port, dir };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(local(port)).is_err() {
            assert!(Instant::now() < deadline, "{program} does not listen");
            std::thread::yield_now();
        }
        peer
    }
}

/// Programs of Redis and Valkey whose files are exchanged with ours: those of the PATH, and those that
/// `KVARTS_FILE_PEERS` names, with colons between them.
pub fn file_peers() -> Vec<String> {
    let named = std::env::var("KVARTS_FILE_PEERS").unwrap_or_default();
    let names = ["redis-server", "valkey-server"].into_iter().chain(named.split(':'));
    let runs = |program: &str| {
        let version =
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    };
    names.filter(|name| !name.is_empty() && runs(name)).map(str::to_owned).collect()
}

impl Peer {
    /// The folder with its data.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A program that comes with the peers: of the folder that `KVARTS_PEERS` names (`~/.cache/peers`), or of the
/// PATH.
pub fn tool_of_peers(name: &str) -> Option<std::path::PathBuf> {
    let folder = std::env::var_os("KVARTS_PEERS")
        .map(std::path::PathBuf::from)
        .or_else(|| Some(std::path::PathBuf::from(std::env::var_os("HOME")?).join(".cache/peers")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = folder.into_iter().chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}
