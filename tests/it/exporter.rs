//! redis_exporter, which reads INFO and other commands: it finds what `/metrics` says by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use kvarts::shared::clock::Clock;

use crate::harness::*;
use crate::http::{connect, get, raw};

/// The environment variable that names another program than one of [`NAMES`] from the PATH.
const PROGRAM: &str = "KVARTS_REDIS_EXPORTER";

/// What the exporter is called in packages.
const NAMES: [&str; 2] = ["prometheus-redis-exporter", "redis_exporter"];

/// Metrics about the exporter itself, and one that it makes of a field by the field's place, which is another
/// in Valkey too.
const ITS_OWN: [&str; 5] = [
    "redis_exporter_",
    "redis_target_scrape_",
    "redis_last_key_groups_",
    "redis_db_keys_cached",
    "redis_instance_info",
];

/// A counter that is a gauge in older versions.
const RETYPED: &str = "redis_expired_time_cap_reached_total";

/// Gauges that the exporter changes by being connected, or that rise and fall by themselves.
const RESTLESS: [&str; 8] = [
    "redis_memory_used",
    "redis_allocator",
    "redis_mem_",
    "redis_connected_clients",
    "redis_client_recent_max",
    "redis_instantaneous_",
    "redis_latency_percentiles_usec",
    "redis_last_slow_execution_duration_seconds",
];

struct Exporter(Child, u16);

impl Exporter {
    /// `None` where it is not installed.
    fn start(server: u16) -> Option<Self> {
        let program = std::env::var_os(PROGRAM).map(PathBuf::from).or_else(|| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
            NAMES
                .iter()
                .flat_map(|name| folders.iter().map(move |one| one.join(name)))
                .find(|file| file.exists())
        })?;
        let port = free_port();
        let process = Command::new(program)
            .arg(format!("-redis.addr=redis://127.0.0.1:{server}"))
            .arg(format!("-web.listen-address=127.0.0.1:{port}"))
            .args(["-redis-only-metrics", "-include-system-metrics"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the exporter starts");
        let exporter = Self(process, port);
        eventually("the exporter listens", || std::net::TcpStream::connect(local(port)).is_ok());
        Some(exporter)
    }

    fn page(&self) -> String {
        let answer = raw(self.1, "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n");
        answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Samples by name and labels, the labels in the order of their names.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        let name = match name.strip_suffix('}').and_then(|name| name.split_once('{')) {
            Some((name, labels)) => {
                let labels: BTreeSet<&str> =
                    labels.split("\",").map(|label| label.trim_end_matches('"')).collect();
                format!("{name}{labels:?}")
            }
            None => name.to_owned(),
        };
        Some((name, value.parse().ok()?))
    };
    page.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect()
}

fn types(page: &str) -> BTreeMap<&str, &str> {
    page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect()
}

/// Asks both, and says what differs. What the exporter found must lie between what the page said before and
/// after.
fn compare(server: &TestServer, port: u16, exporter: &Exporter) -> Vec<String> {
    let is_of = |names: &[&str], name: &str| names.iter().any(|own| name.starts_with(own));
    // The first one counts the commands that it needs each time.
    exporter.page();
    let before = get(port, "/metrics").1;
    let theirs = exporter.page();
    let mut client = server.client();
    // The page is a tenth of a second old at most.
    eventually("a new page", || get(port, "/metrics").1 != before);
    client.check("PING", "+PONG~");
    std::thread::yield_now();
    let after = get(port, "/metrics").1;
    let (own_types, their_types) = (types(&after), types(&theirs));
    let mut wrong = Vec::new();
    for (name, kind) in their_types.iter().filter(|(name, _)| !is_of(&ITS_OWN[..4], name)) {
        if own_types.get(name) != Some(kind) && *name != RETYPED {
            wrong.push(format!("{name} is a {kind}, here {:?}", own_types.get(name)));
        }
    }
    let (before, after) = (samples(&before), samples(&after));
    let theirs = samples(&theirs);
    assert!(theirs.len() > 200, "the exporter found the server");
    let failure = theirs.iter().find(|(name, _)| name.starts_with("redis_exporter_last_scrape_error"));
    assert!(failure.is_some_and(|(_, failed)| *failed == 0.0), "{failure:?}");
    for (name, value) in theirs.iter().filter(|(name, _)| !is_of(&ITS_OWN, name)) {
        let Some(&last) = after.get(name) else {
            wrong.push(format!("{name} is missing"));
            continue;
        };
        let first = before.get(name).copied().unwrap_or(0.0);
        // Times that the exporter computes itself are a second off.
        let slack = if name.contains("time") || name.contains("seconds") { 1.0 } else { 1e-9 };
        let (low, high) = (first.min(last) - slack, first.max(last) + slack);
        if !is_of(&RESTLESS, name) && !(low..=high).contains(value) {
            wrong.push(format!("{name} is {value}, here {first}, then {last}"));
        }
    }
    wrong
}

#[test]
fn the_exporter_finds_what_the_page_says() {
    let closed = free_port();
    let replicaof = format!("127.0.0.1 {closed}");
    let states: [&[(&str, &str)]; 4] = [
        &[("maxmemory", "1gb"), ("latency-monitor-threshold", "1")],
        &[("appendonly", "yes"), ("min-replicas-to-write", "1")],
        &[("cluster-enabled", "yes"), ("slowlog-log-slower-than", "0")],
        &[("replicaof", &replicaof)],
    ];
    for pairs in states {
        let (port, read_only) = (free_port(), free_port());
        let (number, read_only) = (port.to_string(), read_only.to_string());
        let mut all = vec![("metrics-port", number.as_str()), ("read-only-port", read_only.as_str())];
        all.extend(pairs);
        let server = TestServer::with_clock(&all, Clock::system());
        let Some(exporter) = Exporter::start(server.address().port()) else {
            return println!("no redis_exporter in the PATH, and {PROGRAM} names none");
        };
        let mut client = server.client();
        for request in
            ["SET k v", "SET e v EX 500", "GET k", "GET no", "INCR k", "BLAH", "XADD s * a b", "LPUSH l 1"]
        {
            client.raw(request);
        }
        client.raw("EVAL \"return 1\" 0");
        let wrong = compare(&server, port, &exporter);
        assert!(wrong.is_empty(), "with {pairs:?}:\n{}", wrong.join("\n"));
    }
}

/// What a dashboard asks for is there.
#[test]
fn the_dashboard_asks_for_metrics_that_exist() {
    let (port, read_only) = (free_port().to_string(), free_port().to_string());
    let pairs = [
        ("metrics-port", port.as_str()),
        ("read-only-port", read_only.as_str()),
        ("appendonly", "yes"),
        ("key-sizes", "yes"),
        ("hotkeys-top-k", "3"),
        ("hotkeys-sampling-percentage", "100"),
    ];
    let (primary, replica_port) = (TestServer::with(&pairs), free_port());
    let mut client = primary.client();
    for request in ["SET k v", "SADD s m", "GET k", "BLAH"] {
        client.raw(request);
    }
    // What a command tells that has waited for a lock.
    primary.handle().server().stats.lock_waits.note(0, 5000);
    let replicaof = format!("127.0.0.1 {}", primary.address().port());
    let replica = [("metrics-port", &*replica_port.to_string()), ("replicaof", &*replicaof)]
        .map(|(a, b)| (a, b.to_owned()));
    let replica = TestServer::with(&replica.iter().map(|(a, b)| (*a, b.as_str())).collect::<Vec<_>>());
    // What is told of the last window of accesses.
    primary.advance_ms(1250);
    let mut page = get(port.parse().expect("a port"), "/metrics").1;
    page += &get(replica_port, "/metrics").1;
    let names: BTreeSet<&str> = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/grafana/kvarts.json");
    let dashboard = std::fs::read_to_string(path).expect("the dashboard");
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let expressions = dashboard.lines().filter_map(|line| line.trim().strip_prefix("\"expr\": "));
    let asked: BTreeSet<&str> = expressions
        .flat_map(|expression| expression.split(|letter| !is_of_name(letter)))
        .filter(|word| word.starts_with("redis_") || word.starts_with("kvarts_"))
        .collect();
    assert!(asked.len() > 40, "the dashboard was read: {asked:?}");
    let missing: Vec<_> = asked.difference(&names).collect();
    assert!(missing.is_empty(), "{missing:?}");
    drop(replica);
}

/// Prometheus's own checker finds nothing to say against the page, beside names that are redis_exporter's.
#[test]
fn promtool_reads_the_page() {
    let port = free_port();
    let server = TestServer::with(&[("metrics-port", &port.to_string())]);
    server.client().raw("SET k v");
    let tool = std::env::var("KVARTS_PROMTOOL").unwrap_or_else(|_| "promtool".into());
    let checker = Command::new(&tool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut checker) = checker else { return println!("no promtool") };
    let page = get(port, "/metrics").1;
    checker.stdin.take().expect("its input").write_all(page.as_bytes()).expect("it reads");
    let output = checker.wait_with_output().expect("it ends");
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    // 3 for names that break its rules, as some of redis_exporter's do, and none of the server's own.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{said}");
    assert!(!said.lines().any(|line| line.starts_with("kvarts_")), "{said}");
    drop(connect(port));
}
