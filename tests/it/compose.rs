//! The compose file. No container engine is asked: what is checked is that the directives of its commands are
//! those of this program, and that the scripts and health checks of the group with Sentinels do what they are
//! there for, run by a shell on this machine with other ports and addresses. Images, networks, volumes and the
//! order of starting are not.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use kvarts::config;

use crate::harness::*;
use crate::peer::tool_of_peers;

fn file() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docker-compose.yml"))
        .expect("it is there")
}

/// The lines of the file below the line `key:` within the part that begins with `part`, as long as they are
/// indented further.
fn below(part: &str, key: &str) -> Vec<String> {
    let text = file();
    let lines = text.lines().skip_while(|line| *line != part).skip(1);
    let mut lines = lines.skip_while(|line| line.trim() != key);
    let indent = |line: &str| line.len() - line.trim_start().len();
    let depth = indent(lines.next().unwrap_or_else(|| panic!("{part} has no {key}")));
    lines.take_while(|line| line.is_empty() || indent(line) > depth).map(str::to_owned).collect()
}

/// A script of the file (`- |`), as compose hands it to a container, on another port.
fn script(part: &str, key: &str, port: u16, program_port: &str) -> String {
    let lines = below(part, key);
    let body = lines.iter().skip_while(|line| line.trim() != "- |").skip(1);
    let text: Vec<&str> = body.map(|line| line.trim()).collect();
    assert!(text.len() >= 3, "{part} {key}: {text:?}");
    text.join("\n").replace("$$", "$").replace(program_port, &port.to_string())
}

/// A service of the group, for as long as the test runs.
struct Service {
    child: Child,
    dir: TempDir,
}

impl Service {
    /// Runs a script in a folder of its own, with these variables and a PATH on which the programs stand.
    fn run(script: &str, programs: &Path, dir: TempDir, variables: &[(&str, &str)]) -> Self {
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
        let child = Command::new("sh")
            .args(["-c", script])
            .env("PATH", path)
            .envs(variables.iter().copied())
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("sh runs");
        Self { child, dir }
    }

    /// Ends it, and returns its folder.
    fn end(mut self) -> TempDir {
        drop(self.child.kill());
        drop(self.child.wait());
        std::mem::replace(&mut self.dir, TempDir::new())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn client(port: u16) -> Client {
    let mut client = Client::tcp(local(port));
    client.check("AUTH secret", "+OK~");
    client
}

fn is_up(port: u16) -> bool {
    std::net::TcpStream::connect(local(port)).is_ok()
}

fn variables(primary: &str) -> [(&str, &str); 3] {
    [("NAME", "127.0.0.1"), ("PRIMARY", primary), ("PASSWORD", "secret")]
}

/// The words of a service's command.
pub fn words_of(service: &str) -> Vec<String> {
    let lines = below(service, "command:");
    lines.iter().map(|line| line.trim().trim_start_matches("- ").trim_matches('"').to_owned()).collect()
}

/// The service that is as a serverless endpoint: its health check, which speaks TLS, finds it well, and the name
/// that it tells is in its certificate.
#[test]
fn the_serverless_service_is_found_well() {
    let (dir, port) = (TempDir::new(), free_port());
    let read_only = free_port();
    let log = std::fs::File::create(dir.path().join("log")).expect("a file");
    let child = Command::new(env!("CARGO_BIN_EXE_kvarts"))
        .args(words_of("  kvarts-serverless:"))
        .args([
            "--port",
            &port.to_string(),
            "--read-only-port",
            &read_only.to_string(),
            "--bind",
            "127.0.0.1",
        ])
        .current_dir(dir.path())
        .stdout(Stdio::from(log))
        .spawn()
        .expect("it starts");
    let service = Service { child, dir };
    let is_well = || {
        let mut check = Command::new(env!("CARGO_BIN_EXE_kvarts"));
        check.args(["--health-check", "--tls", "--port", &port.to_string()]).stdout(Stdio::null());
        check.current_dir(service.dir.path()).status().expect("it runs").success()
    };
    eventually("it is well", is_well);
    let authority = service.dir.path().join("tls").join(kvarts::AUTHORITY_FILE);
    let mut client = Client::tls(local(port), "localhost", &authority).expect("a handshake");
    assert!(client.value("CLUSTER NODES").text().contains(&format!(" localhost:{port}@")));
}

#[test]
fn the_services_directives_are_known() {
    let text = file();
    let plain = text.lines().find_map(|line| line.trim().strip_prefix("command: [")).expect("a command");
    let plain: Vec<&str> = plain.trim_end_matches(']').split(", ").collect();
    let (cluster, serverless) = (words_of("  kvarts-cluster:"), words_of("  kvarts-serverless:"));
    let plain = plain.into_iter().map(str::to_owned).collect();
    for words in [plain, cluster, serverless] {
        assert!(words.len() >= 4 && words.len().is_multiple_of(2), "{words:?}");
        let words = words.iter().map(|word| OsString::from(word.trim_matches('"')));
        let config = config::from_args([OsString::from("kvarts")].into_iter().chain(words));
        config.unwrap_or_else(|error| panic!("{error}"));
    }
}

/// A primary and a replica by the script of the nodes: the password is asked for, the health check tells
/// whether it is right, and after the roles were exchanged and written down, both keep them when they start
/// again. A Sentinel by its script finds the primary with that password.
#[test]
fn the_groups_scripts_do_what_they_are_for() {
    let programs = TempDir::new();
    let link = |name: &str, program: &Path| {
        std::os::unix::fs::symlink(program, programs.path().join(name)).expect("a link");
    };
    link("kvarts", Path::new(env!("CARGO_BIN_EXE_kvarts")));
    let (first, second) = (free_port(), free_port());
    let node = |port: u16, dir, primary: &str| {
        let text = script("x-node: &node", "command:", port, "6379");
        // The replica's line has the primary's port, which is its own in containers only.
        let text = text.replace(&format!("$PRIMARY {port}"), &format!("$PRIMARY {first}"));
        Service::run(&text, programs.path(), dir, &variables(primary))
    };
    let one = node(first, TempDir::new(), "");
    let two = node(second, TempDir::new(), "127.0.0.1");
    for port in [first, second] {
        eventually("it listens", || is_up(port));
    }
    eventually("it follows", || info(&mut client(second), "master_link_status") == "up");
    assert!(Client::tcp(local(first)).raw("GET k").starts_with("-NOAUTH"));
    for (password, is_right) in [("secret", true), ("wrong", false)] {
        let check = script("x-node: &node", "test:", first, "6379");
        let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("sh");
        let status = command.args(["-c", &check]).env("PATH", path).env("PASSWORD", password).status();
        assert_eq!(status.expect("sh runs").success(), is_right, "{password}");
    }
    if let Some(program) = tool_of_peers("valkey-sentinel") {
        link("valkey-sentinel", &program);
        let port = free_port();
        let text = script("x-sentinel: &sentinel", "command:", port, "26379");
        let text = text.replace("node-1 6379", &format!("127.0.0.1 {first}"));
        let _sentinel = Service::run(&text, programs.path(), TempDir::new(), &variables(""));
        eventually("the sentinel listens", || is_up(port));
        let mut client = client(port);
        eventually("it sees the primary", || {
            client.raw("SENTINEL MASTER mymaster").contains("~role-reported~$6~master~")
        });
    } else {
        eprintln!("skipped in part: no valkey-sentinel is installed");
    }
    client(first).check(&format!("FAILOVER TO 127.0.0.1 {second} TIMEOUT 10000"), "+OK~");
    eventually("the other one has taken over", || info(&mut client(second), "role") == "master");
    eventually("the first one follows", || info(&mut client(first), "master_link_status") == "up");
    for port in [first, second] {
        client(port).check("CONFIG REWRITE", "+OK~");
    }
    let (dir_one, dir_two) = (one.end(), two.end());
    let _one = node(first, dir_one, "");
    let _two = node(second, dir_two, "127.0.0.1");
    for port in [first, second] {
        eventually("it listens again", || is_up(port));
    }
    eventually("the first one still follows", || info(&mut client(first), "master_link_status") == "up");
    assert_eq!(info(&mut client(second), "role"), "master");
}
