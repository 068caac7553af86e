//! Tests of the configuration as a whole, and a folder for tests that need files.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::config::table::TABLE;

/// A folder that is removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("kvarts-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(&path, content).expect("a file for the test");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn set(config: &Config, pairs: &[(&str, &str)]) -> Result<(), String> {
    config.set(pairs, Access::Remote, |_| Ok(())).map_err(|error| error.to_string())
}

fn get(config: &Config, patterns: &[&str]) -> Vec<(String, String)> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    config.get(patterns).into_iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn numbers_texts_and_words_are_read() {
    let config = Config::from_pairs([
        ("port", "7000"),
        ("maxmemory", "18446744073709551615"),
        ("bind", "127.0.0.1 -::1"),
        ("appendonly", "yes"),
        ("maxmemory-policy", "allkeys-lru"),
        ("client-output-buffer-limit", "pubsub 1 2 3"),
        ("save", "900 1"),
        ("notify-keyspace-events", "KEA"),
        ("unixsocket", "run/kvarts.sock"),
        ("dir", "/"),
    ])
    .expect("valid pairs");
    assert_eq!(config.int(Directive::Port), 7000);
    assert_eq!(config.unsigned(Directive::Maxmemory), u64::MAX);
    assert_eq!(config.words(Directive::Bind), ["127.0.0.1", "-::1"]);
    assert!(config.flag(Directive::Appendonly));
    assert_eq!(config.word(Directive::MaxmemoryPolicy), "allkeys-lru");
    assert_eq!(&*config.text(Directive::MaxmemoryPolicy), "allkeys-lru");
    let limit = BufferLimit { hard_bytes: 1, soft_bytes: 2, soft_seconds: 3 };
    assert_eq!(config.output_buffer_limit(ClientClass::Pubsub), limit);
    assert_eq!(config.save_points(), [SavePoint { seconds: 900, changes: 1 }]);
    assert!(config.keyspace_events().contains(KeyspaceEvents::KEYSPACE));
    assert_eq!(config.path(Directive::Unixsocket), Some(PathBuf::from("/run/kvarts.sock")));
    assert_eq!(config.path(Directive::Logfile), None);
}

#[test]
fn the_read_only_port_follows_the_usual_port() {
    let port = |given: &[(&str, &str)]| {
        let config = Config::from_pairs(given.iter().copied()).expect("valid pairs");
        assert_eq!(config.show(Directive::ReadOnlyPort), config.read_only_port().to_string().into_bytes());
        config.read_only_port()
    };
    assert_eq!(port(&[]), 6380);
    assert_eq!(port(&[("port", "7000")]), 0);
    assert_eq!(port(&[("port", "7000"), ("read-only-port", "7001")]), 7001);
    assert_eq!(port(&[("read-only-port", "0")]), 0);
}

#[test]
fn names_come_back_as_asked_and_patterns_match_aliases() {
    let config = Config::new();
    assert_eq!(get(&config, &["PORT", "port", "Port"]), pairs(&[("PORT", "6379")]));
    assert_eq!(get(&config, &["slave-pri*"]), pairs(&[("slave-priority", "100")]));
    assert_eq!(
        get(&config, &["MAXM*y", "maxmemory"]),
        pairs(&[
            ("maxmemory", "0"),
            ("maxmemory-eviction-tenacity", "10"),
            ("maxmemory-policy", "noeviction")
        ])
    );
    assert_eq!(get(&config, &["nosuch", "nosuch*"]), []);
}

#[test]
fn hidden_directives_are_shown_only_by_name() {
    let config = Config::new();
    assert_eq!(get(&config, &["key-load-delay"]), pairs(&[("key-load-delay", "0")]));
    assert!(get(&config, &["*"]).iter().all(|(name, _)| name != "key-load-delay"));
}

#[test]
fn refusals_have_the_words_of_valkey() {
    let config = Config::new();
    for (pairs, text) in [
        (&[("a", "b")] as &[(&str, &str)], "Unknown option or number of arguments for CONFIG SET - 'a'"),
        (
            &[("DATABASES", "2"), ("nosuch", "1")],
            "CONFIG SET failed (possibly related to argument 'DATABASES') - can't set immutable config",
        ),
        (
            &[("nosuch", "1"), ("databases", "2")],
            "Unknown option or number of arguments for CONFIG SET - 'nosuch'",
        ),
        (
            &[("dir", "/tmp")],
            "CONFIG SET failed (possibly related to argument 'dir') - can't set protected config",
        ),
        (
            &[("hz", "1"), ("HZ", "2")],
            "CONFIG SET failed (possibly related to argument 'HZ') - duplicate parameter",
        ),
        (
            &[("MaxMemory", "xx")],
            "CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value",
        ),
        (
            &[("slave-priority", "-1")],
            "CONFIG SET failed (possibly related to argument 'slave-priority') - \
             argument must be between 0 and 2147483647 inclusive",
        ),
    ] {
        assert_eq!(set(&config, pairs), Err(text.to_owned()));
    }
    assert_eq!(config.version(), 0);
}

#[test]
fn all_or_nothing_is_changed() {
    let config = Config::new();
    let error = set(&config, &[("maxmemory", "1mb"), ("timeout", "-1")]);
    assert!(error.is_err());
    assert_eq!(config.int(Directive::Maxmemory), 0);
    assert_eq!(set(&config, &[("maxmemory", "1mb"), ("timeout", "5")]), Ok(()));
    assert_eq!((config.int(Directive::Maxmemory), config.int(Directive::Timeout)), (1 << 20, 5));
    assert_eq!(config.version(), 1);
}

#[test]
fn who_applies_a_change_hears_of_real_ones_and_may_refuse() {
    let config = Config::new();
    let refused =
        config.set(&[("timeout", "5"), ("maxclients", "1"), ("hz", "10")], Access::Remote, |changes| {
            let names: Vec<&str> = changes.iter().map(|change| change.directive.name()).collect();
            assert_eq!(names, ["timeout", "maxclients"]);
            assert_eq!(changes[1].number(), 1);
            assert_eq!(changes[1].text(), b"1");
            let reason = "There are more already.".to_owned();
            Err(Refusal { directive: Directive::Maxclients, reason })
        });
    assert_eq!(
        refused.expect_err("refused").to_string(),
        "CONFIG SET failed (possibly related to argument 'maxclients') - There are more already."
    );
    assert_eq!(config.int(Directive::Timeout), 0);
    let silent = config.set(&[("timeout", "0")], Access::Remote, |_| panic!("nothing changes"));
    assert_eq!(silent, Ok(()));
}

#[test]
fn a_name_and_its_alias_may_both_be_set() {
    let config = Config::new();
    assert_eq!(set(&config, &[("slave-priority", "5"), ("replica-priority", "6")]), Ok(()));
    assert_eq!(config.int(Directive::ReplicaPriority), 6);
}

#[test]
fn protected_directives_ask_who_changes_them() {
    let change = |access: Access, allowed: &str| {
        let config = Config::from_pairs([("enable-protected-configs", allowed)]).expect("valid pairs");
        config.set(&[("dbfilename", "x.rdb")], access, |_| Ok(())).is_ok()
    };
    assert!(!change(Access::Local, "no") && !change(Access::Remote, "no"));
    assert!(change(Access::Local, "local") && !change(Access::Remote, "local"));
    assert!(change(Access::Remote, "yes") && change(Access::Program, "no"));
}

#[test]
fn values_may_hold_any_bytes() {
    let config = Config::new();
    let secret: &[u8] = b"\xff\x00a";
    config.set(&[("requirepass", secret)], Access::Remote, |_| Ok(())).expect("any text");
    assert_eq!(&*config.bytes(Directive::Requirepass), secret);
    assert_eq!(config.get(&["requirepass"]), [(b"requirepass".to_vec(), secret.to_vec())]);
}

#[test]
fn secrets_are_not_shown_in_debug_output() {
    let config = Config::from_pairs([("requirepass", "hunter2"), ("hz", "20")]).expect("valid pairs");
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("hunter2") && shown.contains("(secret)") && shown.contains("hz: \"20\""),
        "{shown}"
    );
    let secret: Vec<&str> = TABLE.iter().filter(|spec| spec.secret).map(|spec| spec.name).collect();
    assert_eq!(
        secret,
        ["tls-key-file-pass", "tls-client-key-file-pass", "primaryauth", "primaryuser", "requirepass"]
    );
}

#[test]
fn a_file_may_hold_users_and_renames_and_obsolete_names() {
    let folder = Folder::new();
    let path = folder.write(
        "main.conf",
        "user alice on >secret ~* +@all\nrename-command FLUSHALL \"\"\nio-threads-do-reads yes\nsave 9 1\nsave 8 2\n",
    );
    let config = Config::from_file(&path).expect("a valid file");
    assert_eq!(
        config.users(),
        [["alice", "on", ">secret", "~*", "+@all"].map(|word| word.as_bytes().to_vec())]
    );
    assert_eq!(config.renames(), [(b"FLUSHALL".to_vec(), Vec::new())]);
    assert_eq!(&*config.text(Directive::Save), "9 1 8 2");
}

#[test]
fn errors_of_a_file_name_the_line_and_the_closest_directive() {
    let folder = Folder::new();
    for (content, expected) in [
        ("hz 10\nprot 7000\n", "main.conf:2: prot: unknown directive; did you mean 'port'?"),
        ("port abc\n", "main.conf:1: port: argument couldn't be parsed into an integer"),
        ("port 1 2\n", "main.conf:1: port: wrong number of arguments"),
        ("loadmodule x.so\n", "main.conf:1: loadmodule: modules are not supported"),
        ("quite-something-else 1\n", "main.conf:1: quite-something-else: unknown directive"),
    ] {
        let path = folder.write("main.conf", content);
        let error = Config::from_file(&path).expect_err(content).to_string();
        assert!(error.ends_with(expected), "{error}");
    }
}
