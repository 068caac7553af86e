//! The program itself in a process of its own, for what belongs to a process: memory, signals, limits, the
//! log.

use std::fs::OpenOptions;
use std::process::{Child, Command, Stdio};

use crate::harness::{Client, TempDir, ask, eventually, free_port, local};

/// A running program in a folder of its own, for as long as the test runs.
pub struct Program {
    child: Child,
    port: u16,
    dir: TempDir,
}

impl Program {
    /// With these flags, on a free port.
    pub fn start(flags: &[&str]) -> Self {
        Self::start_after("", flags)
    }

    /// As [`start`](Self::start), from a shell that runs `before` first, such as `ulimit -n 200;`.
    pub fn start_after(before: &str, flags: &[&str]) -> Self {
        Self::start_in(TempDir::new(), before, flags)
    }

    /// As [`start_after`](Self::start_after), in this folder.
    pub fn start_in(dir: TempDir, before: &str, flags: &[&str]) -> Self {
        Self::start_at(free_port(), dir, before, flags)
    }

    /// As [`start_in`](Self::start_in), on this port.
    pub fn start_at(port: u16, dir: TempDir, before: &str, flags: &[&str]) -> Self {
        // A server that starts again in its folder goes on with its log.
        let log = OpenOptions::new().create(true).append(true).open(dir.path().join("stdout"));
        let log = log.expect("a file");
        let child = Command::new("sh")
            .args(["-c", &format!("{before} exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_kvarts")])
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(flags)
            .current_dir(dir.path())
            .stdout(Stdio::from(log))
            .spawn()
            .expect("the program starts");
        let program = Self { child, port, dir };
        eventually("it listens", || std::net::TcpStream::connect(local(port)).is_ok());
        eventually("it has loaded its data", || {
            ask(port, "PING\r\n").is_ok_and(|reply| !reply.is_empty() && !reply.starts_with("-LOADING"))
        });
        program
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::tcp(local(self.port))
    }

    /// Its folder.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stdout")).expect("its log")
    }

    /// Sends it a signal by name (`HUP`).
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success(), "{name}");
    }

    /// Kills it at once, and returns its folder.
    pub fn kill(mut self) -> TempDir {
        self.child.kill().expect("it runs");
        self.child.wait().expect("a child");
        self.take_dir()
    }

    /// Takes its folder, for another one to start in it.
    pub fn take_dir(&mut self) -> TempDir {
        std::mem::replace(&mut self.dir, TempDir::new())
    }

    /// Bytes that the system holds for it. Asks the system, and sends the program nothing.
    pub fn resident_bytes(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).expect("it runs");
        let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
        4096 * pages.expect("a number")
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().expect("a child")
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
