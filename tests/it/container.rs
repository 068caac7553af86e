//! The program as a container has it, without a container engine: as the first process of its own namespaces, under
//! the image's user, in a tree that is read-only but for the folder of data; and in a network of its own, reached from
//! there by one name and through a published port by another. Skipped, with a word, where namespaces are not
//! permitted.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::compose;
use crate::harness::*;
use crate::image;

const PROGRAM: &str = env!("CARGO_BIN_EXE_kvarts");

/// Whether this process may make namespaces of every kind that the tests here want. Says why not.
fn may_make_namespaces() -> bool {
    let probe = "mount --make-rprivate / && mount -t tmpfs none /mnt && ip link add kvarts0 type bridge";
    let words = ["--mount", "--pid", "--net", "--fork", "sh", "-c", probe];
    let reason = match Command::new("unshare").args(words).output() {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    eprintln!("skipped: no namespaces can be made here: {reason}");
    false
}

/// A child that is ended with all that it started.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A tree with the program where the image has it, and what it was linked with; in the image it is linked statically.
fn tree(dir: &Path) -> PathBuf {
    let root = dir.join("root");
    for folder in ["data", "proc", "usr/local/bin"] {
        std::fs::create_dir_all(root.join(folder)).expect("a folder");
    }
    std::fs::copy(PROGRAM, root.join("usr/local/bin/kvarts")).expect("it is copied");
    let linked = Command::new("ldd").arg(PROGRAM).output().expect("ldd runs");
    for word in
        String::from_utf8_lossy(&linked.stdout).split_whitespace().filter(|word| word.starts_with('/'))
    {
        let to = root.join(word.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().expect("in a folder")).expect("a folder");
        std::fs::copy(word, to).expect("it is copied");
    }
    root
}

/// The program in a tree of its own, with what the image says of user, folder and arguments.
struct Contained {
    group: Group,
    /// Of the program, as it is outside.
    pid: u32,
    port: u16,
}

/// Starts it on data that are kept in `data`, with its log in `log` and further directives.
fn start(root: &Path, data: &Path, log: &Path, more: &[&str]) -> Contained {
    let stage = image::stage("image");
    let (user, group) = stage.one("USER").split_once(':').expect("user and group");
    let (port, read_only) = (free_port(), free_port());
    let script = "set -e
        mount --make-rprivate /
        mount --bind \"$ROOT\" \"$ROOT\"
        mount -o remount,bind,ro \"$ROOT\"
        mount --bind \"$DATA\" \"$ROOT$FOLDER\"
        mount -t proc proc \"$ROOT/proc\"
        exec setpriv --no-new-privs unshare --root=\"$ROOT\" --wd=\"$FOLDER\" --setgid \"$GROUP\" --setuid \"$USER\" \"$@\"";
    let file = std::fs::File::create(log).expect("a file");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh"])
        .args(stage.list("ENTRYPOINT"))
        .args(stage.list("CMD"))
        .args(["--port", &port.to_string(), "--read-only-port", &read_only.to_string()])
        .args(more)
        .envs([("ROOT", root), ("DATA", data)])
        .envs([("USER", user), ("GROUP", group), ("FOLDER", stage.one("WORKDIR"))])
        .stdout(file.try_clone().expect("another handle"))
        .stderr(file);
    let group = Group(command.spawn().expect("unshare runs"));
    // What those wait for who start containers.
    let is_ready =
        || std::fs::read_to_string(log).is_ok_and(|text| text.contains("Ready to accept connections"));
    eventually("it is ready", is_ready);
    let id = group.0.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("children");
    let pid = children.trim().parse().unwrap_or_else(|_| panic!("one child: {children:?}"));
    Contained { group, pid, port }
}

impl Contained {
    /// Runs a program where this one is, as its user.
    fn run(&self, words: &[String]) -> Output {
        let stage = image::stage("image");
        let (user, group) = stage.one("USER").split_once(':').expect("user and group");
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid.to_string(), "--mount", "--pid", "--root", "--wd"]);
        command.args(["--setuid", user, "--setgid", group]).args(words);
        command.output().expect("nsenter runs")
    }

    /// Ends it as a container engine does, and returns how it ended.
    fn stop(mut self) -> Option<i32> {
        let sent = Command::new("kill").args(["-TERM", &self.pid.to_string()]).status();
        assert!(sent.expect("kill runs").success());
        let mut code = None;
        eventually("it ends", || {
            let ended = self.group.0.try_wait().expect("it can be waited for");
            code = ended.and_then(|status| status.code());
            ended.is_some()
        });
        code
    }
}

/// All files below a folder, with their lengths, in order.
fn listing(folder: &Path) -> Vec<(PathBuf, u64)> {
    let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let meta = entry.metadata().expect("it is there");
            if meta.is_dir() {
                folders.push(entry.path());
            }
            found.push((entry.path(), if meta.is_dir() { 0 } else { meta.len() }));
        }
    }
    found.sort();
    found
}

#[test]
fn it_needs_no_root_and_writes_only_its_data() {
    if !may_make_namespaces() {
        return;
    }
    let dir = TempDir::new();
    let (root, data, log) = (tree(dir.path()), dir.path().join("volume"), dir.path().join("log"));
    std::fs::create_dir(&data).expect("a folder");
    let stage = image::stage("image");
    let user: u32 = stage.one("USER").split(':').next().and_then(|id| id.parse().ok()).expect("a number");
    std::os::unix::fs::chown(&data, Some(user), Some(user)).expect("it is the user's");
    let before = listing(&root);
    let server = start(&root, &data, &log, &[]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid)).expect("it runs");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(field("Uid:"), [(); 4].map(|()| user.to_string()));
    assert_eq!((field("CapEff:").concat(), field("NoNewPrivs:").concat()), ("0".repeat(16), "1".to_owned()));
    assert_eq!(
        field("NSpid:").last().map(String::as_str),
        Some("1"),
        "signals reach it as the first process"
    );
    let inside = PathBuf::from(format!("/proc/{}/root", server.pid));
    let written = std::fs::write(inside.join("file"), "x").map_err(|error| error.kind());
    assert_eq!(written, Err(std::io::ErrorKind::ReadOnlyFilesystem));
    let mut client = Client::tcp(local(server.port));
    client.check("SET k v", "+OK~");
    client.check("CONFIG SET appendonly yes", "+OK~");
    // It may still write the first file of the append-only ones.
    eventually("it begins", || client.raw("BGSAVE").starts_with('+'));
    eventually("it is saved", || info(&mut client, "rdb_bgsave_in_progress") == "0");
    // The first TLS client has it make its authority, the check of the compose file uses it.
    let authority = data.join("tls").join(kvarts::AUTHORITY_FILE);
    let mut check = stage.list("HEALTHCHECK");
    check.extend(["--port".to_owned(), server.port.to_string()]);
    eventually("the image's check finds it well", || server.run(&check).status.success());
    drop(TcpStream::connect(local(server.port)).map(|mut stream| stream.write_all(&[22, 3, 1, 0, 1, 0])));
    eventually("it has an authority", || authority.exists());
    check.push("--tls".to_owned());
    let tls = server.run(&check);
    assert!(tls.status.success(), "{}", String::from_utf8_lossy(&tls.stdout));
    let mut over_tls = Client::tls(local(server.port), "localhost", &authority).expect("a handshake");
    over_tls.check("GET k", "$1~v~");
    drop((client, over_tls));
    assert_eq!(server.stop(), Some(0), "{}", std::fs::read_to_string(&log).unwrap_or_default());
    assert!(data.join("dump.rdb").is_file(), "saved at the end");
    assert_eq!(listing(&root), before, "nothing was written beside the data");
    // What was saved is there for the next container on the same volume.
    let server = start(&root, &data, &log, &["--requirepass", "secret"]);
    let mut client = Client::tcp(local(server.port));
    client.check("AUTH secret", "+OK~");
    client.check("GET k", "$1~v~");
    // The check finds port and password by process 1, and proves that all parts answer.
    let check = || String::from_utf8_lossy(&server.run(&stage.list("HEALTHCHECK")).stdout).into_owned();
    eventually("the image's check is told how it is", || {
        check().starts_with("status ok, ready yes, slowest ")
    });
    assert_eq!(server.stop(), Some(0));
}

/// Where the clients of the next test are told by its script to connect: name, address, and what stands for a
/// published port.
const VARIABLES: [&str; 4] =
    ["KVARTS_NET_NAME", "KVARTS_NET_ADDRESS", "KVARTS_NET_PUBLISHED", "KVARTS_NET_AUTHORITY"];

/// A server in a network of its own, started as the compose file starts it, is reached from there by its name in that
/// network, and from outside through published ports by `localhost`, at the same time: each client is told what it can
/// connect to, and what stands in the certificate.
#[test]
fn announced_addresses_are_right_inside_and_outside_at_once() {
    if !may_make_namespaces() {
        return;
    }
    for service in ["kvarts-serverless", "kvarts-cluster"] {
        let arguments = compose::words_of(&format!("  {service}:")).join(" ");
        let dir = TempDir::new();
        let test = std::env::current_exe().expect("this program");
        let script = "set -e
            mount --make-rprivate /
            mount -t proc proc /proc
            mount -t tmpfs none /run
            ip link set lo up
            ip link add br0 type bridge
            ip addr add 10.99.7.1/24 dev br0
            ip link set br0 up
            for at in 2 3; do
                ip netns add \"n$at\"
                ip link add \"v$at\" type veth peer name eth0 netns \"n$at\"
                ip link set \"v$at\" master br0 up
                ip -n \"n$at\" addr add \"10.99.7.$at/24\" dev eth0
                ip -n \"n$at\" link set eth0 up
                ip -n \"n$at\" link set lo up
            done
            ip netns exec n2 \"$PROGRAM\" $ARGUMENTS > \"$DIR/log\" 2>&1 &
            export KVARTS_NET_ADDRESS=10.99.7.2 KVARTS_NET_AUTHORITY=\"$DIR/tls/ca.crt\"
            client='--exact container::a_client_of_the_network --ignored --nocapture'
            KVARTS_NET_NAME=$SERVICE.internal ip netns exec n3 \"$TEST\" $client > \"$DIR/inside\" 2>&1 &
            inside=$!
            KVARTS_NET_NAME=localhost KVARTS_NET_PUBLISHED=yes \"$TEST\" $client > \"$DIR/outside\" 2>&1 || true
            wait \"$inside\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--net", "--fork", "--kill-child", "bash", "-c", script]);
        command.envs([("PROGRAM", PROGRAM.as_ref()), ("TEST", test.as_path().as_os_str())]);
        command
            .env("DIR", dir.path())
            .env("ARGUMENTS", &arguments)
            .env("SERVICE", service)
            .current_dir(dir.path());
        let output = command.stdin(Stdio::null()).process_group(0).output().expect("unshare runs");
        for side in ["inside", "outside"] {
            let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap_or_default();
            let said = text(side);
            assert!(
                said.contains("test result: ok. 1 passed"),
                "{side} of {arguments}:\n{said}\n{}\n{}",
                text("log"),
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}

/// Hands what comes to the loopback's `port` to the same port of `to`, as an engine that publishes a port.
fn publish(to: IpAddr, port: u16) {
    let listener = TcpListener::bind(local(port)).expect("a port of a fresh network");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            let Ok(other) = TcpStream::connect(SocketAddr::new(to, port)) else { continue };
            for (mut from, mut into) in [
                (stream.try_clone().expect("a handle"), other.try_clone().expect("a handle")),
                (other, stream),
            ] {
                std::thread::spawn(move || drop(std::io::copy(&mut from, &mut into)));
            }
        }
    });
}

#[test]
#[ignore = "run by the test above, in networks of its own"]
fn a_client_of_the_network() {
    let [name, address, published, authority] = VARIABLES.map(|name| std::env::var(name).unwrap_or_default());
    let address: IpAddr = address.parse().expect("run by the test above");
    let dialled = if published.is_empty() { address } else { local(0).ip() };
    if !published.is_empty() {
        [6379, 6380].into_iter().for_each(|port| publish(address, port));
    }
    let authority = PathBuf::from(authority);
    // Names are looked up as in the client's network: others than its own are not known there.
    let connect = |host: &str, port: u16| {
        assert_eq!(host, name, "only this name leads anywhere");
        Client::tls(SocketAddr::new(dialled, port), host, &authority)
            .expect("a handshake with full verification")
    };
    eventually("the server is there", || authority.exists() && TcpStream::connect((address, 6379)).is_ok());
    let mut client = connect(&name, 6379);
    eventually("it has loaded its data", || client.raw("EXISTS k") == ":0~");
    let mut told: Vec<(String, u16)> = Vec::new();
    let slots = client.value("CLUSTER SLOTS").items()[0].clone();
    for node in &slots.items()[2..] {
        let port = u16::try_from(node.items()[1].int()).expect("a port");
        told.push((node.items()[0].text(), port));
    }
    for line in client.value("CLUSTER NODES").text().lines() {
        // `host:port@bus[,hostname]`: the host name wins.
        let word = line.split(' ').nth(1).expect("an address");
        let (address, hostname) = word.split_once(',').unwrap_or((word, ""));
        let (host, port) = address.split_once('@').expect("a bus port").0.rsplit_once(':').expect("a port");
        let host = if hostname.is_empty() { host } else { hostname };
        told.push((host.to_owned(), port.parse().expect("a port")));
    }
    let shards = client.value("CLUSTER SHARDS").items()[0].field("nodes");
    for node in shards.items() {
        let port = u16::try_from(node.field("tls-port").int()).expect("a port");
        told.push((node.field("endpoint").text(), port));
    }
    assert_eq!(told.len(), 6, "{told:?}");
    for (host, port) in &told {
        let mut node = connect(host, *port);
        node.check("READONLY", "+OK~");
        node.check("EXISTS k", ":0~");
    }
    // Where a redirection leads.
    let mut replica = connect(&name, 6380);
    let moved = replica.raw(&format!("SET {name} v"));
    let (_, target) = moved.trim_end_matches('~').rsplit_once(' ').expect("MOVED slot host:port");
    let (host, port) = target.rsplit_once(':').expect("host and port");
    assert!(moved.starts_with("-MOVED "), "{moved}");
    connect(host, port.parse().expect("a port")).check(&format!("SET {name} v"), "+OK~");
}
