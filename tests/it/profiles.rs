//! Profiles of cloud services: what is refused under them, what is only recorded, and the report of it.

use std::path::Path;

use kvarts::profile::{Answer, BUILT_IN, Profile, When};

use crate::harness::*;
use crate::http;

const CROSS: &str = "-CROSSSLOT Keys in request don't hash to the same slot~";

/// A server under a profile, with a unix socket, which asks for no TLS.
fn start(profile: &str, pairs: &[(&str, &str)]) -> TestServer {
    let read_only = free_port().to_string();
    let mut all = vec![("profile", profile), ("unixsocket", "socket"), ("read-only-port", &*read_only)];
    all.extend_from_slice(pairs);
    let dir = TempDir::new();
    let socket = dir.path().join("socket").display().to_string();
    all[1].1 = &socket;
    let clock = kvarts::shared::clock::Clock::manual(START_MS);
    TestServer::try_with(&all, clock, dir).expect("the server starts")
}

fn serverless() -> TestServer {
    start("elasticache-serverless", &[])
}

fn client(server: &TestServer) -> Client {
    Client::unix(&server.dir().join("socket"))
}

/// A client over TCP of a server that lets plain clients in.
fn warned(pairs: &[(&str, &str)]) -> TestServer {
    let mut all = vec![("profile-mode", "warn")];
    all.extend_from_slice(pairs);
    start("elasticache-serverless", &all)
}

/// The findings of KVARTS COMPAT: rule, command, keys, client, library, count.
fn findings(client: &mut Client) -> Vec<[String; 6]> {
    let report = client.value("KVARTS COMPAT");
    let found = report.field("findings");
    found
        .items()
        .iter()
        .map(|finding| {
            let text = |name: &str| finding.field(name).text();
            let count = finding.field("count").int().to_string();
            [text("rule"), text("command"), text("keys"), text("client"), text("library"), count]
        })
        .collect()
}

#[test]
fn restricted_commands_are_unknown() {
    for (name, _) in BUILT_IN {
        let profile = Profile::built_in(name).expect("there").expect("a profile");
        let server = start(name, &[]);
        let mut client = client(&server);
        let mut tried = 0;
        for rule in profile.rules.iter().filter(|rule| rule.when == When::Always) {
            for command in &rule.commands {
                let words: Vec<&str> = command.split('|').collect();
                let line = words.join(" ").to_uppercase();
                // As it was sent, but for the one service of which it is known that it does otherwise.
                let told = |word: &str| match profile.title.contains("Serverless") {
                    true => word.to_owned(),
                    false => word.to_uppercase(),
                };
                let expected = match (&rule.answer, &*words) {
                    (Answer::Error(text), _) => format!("-{text}~"),
                    (Answer::Ok, _) => "+OK~".to_owned(),
                    (_, [name]) => {
                        format!("-ERR unknown command '{}', with args beginning with: ~", told(name))
                    }
                    (_, [name, sub]) => format!(
                        "-ERR unknown command '{}', with args beginning with: '{}' ~",
                        told(name),
                        sub.to_uppercase()
                    ),
                    _ => panic!("{command}"),
                };
                if let (Answer::Error(_), [_]) = (&rule.answer, &*words) {
                    let known = client.raw(&line);
                    // A command with the wrong number of arguments is told so first.
                    assert!(
                        known == expected || known.starts_with("-ERR wrong number"),
                        "{command}: {known}"
                    );
                } else {
                    client.check(&line, &expected);
                }
                tried += 1;
            }
        }
        assert!(tried > 10, "{name}: {tried}");
    }
}

/// With the right number of arguments too, in a pipeline, in a transaction and in a script.
#[test]
fn restricted_commands_are_unknown_wherever_they_stand() {
    let server = serverless();
    let mut client = client(&server);
    let unknown =
        "-ERR unknown command 'psubscribe', with args beginning with: '__keyevent@*__:expired' 'b' ~";
    client.check("PSUBSCRIBE __keyevent@*__:expired b", unknown);
    client.check("CONFIG", "-ERR unknown command 'config', with args beginning with: ~");
    client.check("Config NoSuch", "-ERR unknown command 'config', with args beginning with: 'NoSuch' ~");
    client.check("CLIENT LIST", "-ERR unknown command 'client', with args beginning with: 'LIST' ~");
    client.check("CLIENT SETNAME a", "+OK~");
    client.check("CLIENT GETNAME", "$1~a~");
    client.check(
        "HEXPIRE h 5 FIELDS 1 a",
        "-ERR unknown command 'hexpire', with args beginning with: 'h' '5' 'FIELDS' '1' 'a' ~",
    );
    client.check("nosuch", "-ERR unknown command 'nosuch', with args beginning with: ~");
    client.send(b"SET a 1\r\nKEYS *\r\nGET a\r\nKEYS\r\nGET a\r\n");
    client.check_next("+OK~");
    client.check_next("-ERR unknown command 'keys', with args beginning with: '*' ~");
    client.check_next("$1~1~");
    client.check_next("-ERR unknown command 'keys', with args beginning with: ~");
    client.check_next("$1~1~");
    client.check("MULTI", "+OK~");
    client.check(
        "OBJECT ENCODING a",
        "-ERR unknown command 'object', with args beginning with: 'ENCODING' 'a' ~",
    );
    client.check("EXEC", "-EXECABORT Transaction discarded because of previous errors.~");
    let script = "EVAL \"return redis.pcall('object', 'encoding', KEYS[1]).err\" 1 a";
    client.check(script, "$42~ERR Unknown command called from script~".replace("42", "38").as_str());
    // What does nothing there says OK all the same, and does nothing.
    let sha = client.value("SCRIPT LOAD \"return 1\"").text();
    client.check("SCRIPT FLUSH", "+OK~");
    client.check("MULTI", "+OK~");
    client.check("SCRIPT FLUSH SYNC", "+QUEUED~");
    client.check("EXEC", "*1~+OK~");
    client.check(&format!("SCRIPT EXISTS {sha}"), "*1~:1~");
    // Who is nobody yet hears only that.
    let server = start("elasticache-serverless", &[("requirepass", "secret")]);
    let mut stranger = self::client(&server);
    stranger.check("KEYS *", "-NOAUTH Authentication required.~");
    stranger.check("KEYS", "-NOAUTH Authentication required.~");
}

#[test]
fn limits_of_requests() {
    let server = serverless();
    let mut client = client(&server);
    let error = |client: &mut Client, words: &[Vec<u8>]| match client.call(words) {
        Value::Error(text) => text,
        other => format!("{other:?}").chars().take(40).collect(),
    };
    let words = |first: &str, count: usize| -> Vec<Vec<u8>> {
        std::iter::once(first)
            .chain(std::iter::repeat_n("{k}", count - 1))
            .map(|word| word.as_bytes().to_vec())
            .collect()
    };
    client.check("SET {k} v", "+OK~");
    assert_eq!(client.call(&words("EXISTS", 3999)), Value::Int(3998));
    assert_eq!(error(&mut client, &words("EXISTS", 4000)), "ERR too many arguments in the request");
    let key = |len: usize| vec![b'k'; len];
    assert_eq!(client.call(&[b"SET".to_vec(), key(4096), b"v".to_vec()]), Value::Simple("OK".into()));
    let long = [b"SET".to_vec(), key(4097), b"v".to_vec()];
    assert_eq!(error(&mut client, &long), "ERR key is longer than 4096 bytes");
    assert_eq!(client.call(&[b"PUBLISH".to_vec(), key(4096), b"v".to_vec()]), Value::Int(0));
    let long = [b"PUBLISH".to_vec(), key(4097), b"v".to_vec()];
    assert_eq!(error(&mut client, &long), "ERR channel name is longer than 4096 bytes");
    let script = |len: usize| {
        let mut script = b"return 1 --".to_vec();
        script.resize(len, b'x');
        script
    };
    let eval = |len: usize| [b"EVAL".to_vec(), script(len), b"1".to_vec(), b"k".to_vec()];
    assert_eq!(client.call(&eval(4 << 20)), Value::Int(1));
    assert_eq!(error(&mut client, &eval((4 << 20) + 1)), "ERR script is longer than 4194304 bytes");
    let load = [b"SCRIPT".to_vec(), b"LOAD".to_vec(), script((4 << 20) + 1)];
    assert_eq!(error(&mut client, &load), "ERR script is longer than 4194304 bytes");
    let watch = |from: usize, to: usize| -> Vec<Vec<u8>> {
        std::iter::once("WATCH".to_owned())
            .chain((from..to).map(|n| format!("{{w}}{n}")))
            .map(String::into_bytes)
            .collect()
    };
    assert_eq!(client.call(&watch(0, 600)), Value::Simple("OK".into()));
    assert_eq!(client.call(&watch(500, 1000)), Value::Simple("OK".into()));
    assert_eq!(client.call(&watch(0, 1000)), Value::Simple("OK".into()));
    assert_eq!(error(&mut client, &watch(1000, 1001)), "ERR too many keys are watched");
}

#[test]
fn keys_share_a_slot_in_requests_transactions_and_scripts() {
    let server = serverless();
    let mut client = client(&server);
    for (request, reply) in [
        ("MSET a 1 b 2", CROSS),
        ("MSET {t}a 1 {t}b 2", "+OK~"),
        ("MULTI", "+OK~"),
        ("SET a 1", "+QUEUED~"),
        ("SET b 2", "+QUEUED~"),
        ("EXEC", CROSS),
        ("GET a", "$-1~"),
        ("MULTI", "+OK~"),
        ("SET {t}a 1", "+QUEUED~"),
        ("SET {t}b 2", "+QUEUED~"),
        ("EXEC", "*2~+OK~+OK~"),
        ("WATCH {t}a", "+OK~"),
        ("WATCH {t}b", "+OK~"),
        ("WATCH b", CROSS),
        ("SCAN 0", "-ERR command not supported during watch state~"),
        ("UNWATCH", "+OK~"),
        // A transaction has the slot of what is watched; when it is refused, nothing is watched any more.
        ("WATCH {t}a", "+OK~"),
        ("MULTI", "+OK~"),
        ("SET b 2", "+QUEUED~"),
        ("SET b 3", "+QUEUED~"),
        ("EXEC", CROSS),
        ("EXEC", "-ERR EXEC without MULTI~"),
        ("WATCH b", "+OK~"),
        ("MULTI", "+OK~"),
        ("SET b 2", "+QUEUED~"),
        ("EXEC", "*1~+OK~"),
        ("DEL b", ":1~"),
        ("EVAL \"return redis.call('get', KEYS[1])\" 1 {t}a", "$1~1~"),
        ("EVAL \"return redis.call('get', '{t}b')\" 1 {t}a", "$1~2~"),
        (
            "EVAL \"return redis.pcall('get', 'b').err\" 1 {t}a",
            "$69~ERR Script attempted to access keys that do not hash to the same slot~",
        ),
        ("EVAL \"return redis.call('publish', '{t}ch', 'x')\" 1 {t}a", ":0~"),
        (
            "EVAL \"return redis.pcall('publish', 'ch', 'x').err\" 1 {t}a",
            "$69~ERR Script attempted to access keys that do not hash to the same slot~",
        ),
        ("PUBLISH ch x", ":0~"),
        ("EVAL \"return 1\" 0", "-ERR Lua scripts without any input keys are not supported.~"),
        (
            "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0",
            "-ERR Lua scripts without any input keys are not supported.~",
        ),
        ("EVAL \"return 1\" 1 a", ":1~"),
        ("MULTI", "+OK~"),
        ("FLUSHALL", "-ERR command not supported inside transaction~"),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors.~"),
        ("SELECT 0", "+OK~"),
        ("SELECT 1", "-ERR SELECT is not allowed in cluster mode~"),
        ("COPY {t}a {t}c DB 1", "-ERR SELECT is not allowed in cluster mode~"),
        ("FLUSHALL", "+OK~"),
        ("SUBSCRIBE __keyevent@0__:set", "*3~$9~subscribe~$18~__keyevent@0__:set~:1~"),
    ] {
        client.check(request, reply);
    }
    // The subscription is right and silent; only the report tells.
    let mut other = self::client(&server);
    other.check("SET a 1", "+OK~");
    client.check_silent();
    let found = findings(&mut other);
    let last = found.last().expect("findings");
    assert_eq!(last[..3], ["keyspace-events", "subscribe", "__keyevent@*__:set"]);
}

#[test]
fn the_cluster_has_the_shape_of_one_virtual_node() {
    let server = serverless();
    let ports = server.handle().ports();
    let authority = server.dir().join("tls").join(kvarts::AUTHORITY_FILE);
    // The authority is there before the first client.
    let tls = |port: u16| Client::tls(local(port), "localhost", &authority).expect("a handshake");
    let (mut client, mut reader) = (tls(ports.main), tls(ports.read_only));
    let (id, replica) = (client.value("CLUSTER MYID").text(), reader.value("CLUSTER MYID").text());
    assert!(
        id.len() == 40 && id.ends_with("000000000000000000000000") && !id.starts_with("0000000000000000"),
        "{id}"
    );
    let (main, read_only) = (ports.main, ports.read_only);
    client.check(
        "CLUSTER SLOTS",
        &format!(
            "*1~*4~:0~:16383~*3~$9~localhost~:{main}~$40~{id}~*3~$9~localhost~:{read_only}~$40~{replica}~"
        ),
    );
    let bus = u32::from(main) + 10_000;
    assert_eq!(
        client.value("CLUSTER NODES").text(),
        format!(
            "{id} localhost:{main}@{bus} myself,master - 0 0 0 connected 0-16383\n{replica} localhost:{read_only}@{bus} slave {id} 0 {START_MS} 0 connected\n"
        )
    );
    let shards = client.value("CLUSTER SHARDS");
    let node = &shards.items()[0].field("nodes").items()[0].clone();
    assert_eq!(
        (node.field("endpoint").text(), node.field("tls-port").int()),
        ("localhost".to_owned(), i64::from(main))
    );
    // Also where the client has not said by which name it called.
    let mut nameless = Client::tls(local(main), "127.0.0.1", &authority).expect("a handshake");
    let nodes = nameless.value("CLUSTER NODES").text();
    assert!(nodes.contains(&format!("{id} localhost:{main}@{bus} ")), "{nodes}");
    client.check("SET foo v", "+OK~");
    reader.check("GET foo", &format!("-MOVED 12182 localhost:{main}~"));
    reader.check("READONLY", "+OK~");
    reader.check("GET foo", "$1~v~");
    reader.check("SET foo w", &format!("-MOVED 12182 localhost:{main}~"));
}

#[test]
fn plain_clients_are_answered_nothing() {
    let server = serverless();
    for mut plain in [server.client(), server.read_only_client()] {
        plain.send(b"PING\r\n*1\r\n$4\r\nPING\r\n");
        plain.finish();
        // It is closed when the client leaves, and nothing was said.
        assert_eq!(show(&plain.read_to_end()), "");
    }
    // The end is not held up by one that hangs.
    let _hangs = server.client();
    let mut client = client(&server);
    assert_eq!(findings(&mut client)[0], ["plain-connection", "", "", "", "", "2"].map(str::to_owned));
    // Where the server only warns they are served.
    let server = warned(&[]);
    server.client().check("PING", "+PONG~");
    assert_eq!(findings(&mut self::client(&server))[0][0], "plain-connection");
}

/// What the command line says wins over the profile: plain clients were answered nothing all the same.
#[test]
fn plain_clients_are_served_where_somebody_says_so() {
    for profile in ["elasticache-serverless", "azure-enterprise"] {
        let server = start(profile, &[("tls-only", "no")]);
        server.client().check("PING", "+PONG~");
        server.read_only_client().check("PING", "+PONG~");
        if profile == "elasticache-serverless" {
            let found = findings(&mut client(&server));
            assert_eq!(found, [["plain-connection", "", "", "", "", "2"].map(str::to_owned)]);
        }
    }
    let server = serverless();
    let mut client = client(&server);
    let mut hangs = server.client();
    hangs.send(b"PING\r\n");
    eventually("it is noted", || !findings(&mut client).is_empty());
    hangs.finish();
    assert_eq!(show(&hangs.read_to_end()), "");
}

/// A command that there is not is refused once, whatever else is wrong with the request.
#[test]
fn one_finding_for_an_unknown_command() {
    let server = warned(&[]);
    let mut client = client(&server);
    client.check("HSET user2fa:7 f v", ":1~");
    client.check("HEXPIRE user2fa:7 100 FIELDS 1 f", "*1~:1~");
    client.value("CONFIG GET maxmemory* save");
    client.value("CONFIG SET maxmemory 0 requirepass secret");
    client.value("KEYS cart:12*");
    client.value("MOVE cart 1");
    client.value("SUNIONCARD 2 cart stock");
    let found: Vec<[String; 3]> =
        findings(&mut client).into_iter().map(|[rule, command, keys, ..]| [rule, command, keys]).collect();
    let expected = [
        ["config", "config|get", "maxmemory* save"],
        ["config", "config|set", "maxmemory requirepass"],
        ["keys", "keys", "cart:*"],
        ["databases", "move", "cart"],
        ["field-ttl", "hexpire", "user2fa:*"],
        ["newer-commands", "sunioncard", "cart"],
    ];
    assert_eq!(found, expected.map(|row| row.map(str::to_owned)));
}

/// A known set of violations, each in another way, gives the report that it has to.
#[test]
fn in_warn_nothing_is_refused_and_all_is_recorded() {
    let server = warned(&[("notify-keyspace-events", "Ex")]);
    let mut client = server.client();
    client.check("CLIENT SETNAME app", "+OK~");
    client.check("CLIENT SETINFO lib-name Lettuce", "+OK~");
    client.check("CLIENT SETINFO lib-ver 6.4", "+OK~");
    // In a pipeline.
    client.send(b"MSET user:1 a order:2 b\r\nMGET user:3 order:4\r\nKEYS user:*\r\nGET user:1\r\n");
    client.check_next("+OK~");
    client.check_next("*2~$-1~$-1~");
    client.check_next("*1~$6~user:1~");
    client.check_next("$1~a~");
    server.advance_ms(5000);
    client.check("MGET user:5 order:6", "*2~$-1~$-1~");
    // In a transaction.
    for (request, reply) in [
        ("MULTI", "+OK~"),
        ("SET cart:9 x", "+QUEUED~"),
        ("SET stock:9 y", "+QUEUED~"),
        ("OBJECT ENCODING cart:9", "+QUEUED~"),
        ("EXEC", "*3~+OK~+OK~$6~embstr~"),
        ("MULTI", "+OK~"),
        ("FLUSHDB", "+QUEUED~"),
        ("EXEC", "*1~+OK~"),
        ("WATCH a", "+OK~"),
        ("WATCH b", "+OK~"),
        ("UNWATCH", "+OK~"),
        // In a script.
        (
            "EVAL \"redis.call('set', 'x:1', 1) redis.call('set', 'y:2', 2) return redis.call('publish', 'news', 1)\" 1 x:1",
            ":0~",
        ),
        ("EVAL \"return 7\" 0", ":7~"),
        ("SELECT 3", "+OK~"),
        ("SELECT 0", "+OK~"),
        ("CONFIG SET notify-keyspace-events Exg", "+OK~"),
        ("SCRIPT FLUSH", "+OK~"),
        ("WAIT 0 0", ":1~"),
    ] {
        client.check(request, reply);
    }
    let mut listener = server.client();
    listener.check("PSUBSCRIBE __keyevent@0__:expired", "*3~$10~psubscribe~$22~__keyevent@0__:expired~:1~");
    client.check("SET session:1 v PX 5", "+OK~");
    server.advance_ms(10);
    listener.check_next("*4~$8~pmessage~$22~__keyevent@0__:expired~$22~__keyevent@0__:expired~$9~session:1~");
    let mut operator = self::client(&server);
    let app = |rule: &str, command: &str, keys: &str, count: &str| {
        [rule, command, keys, "app", "Lettuce 6.4", count].map(str::to_owned)
    };
    let listens = |rule: &str| [rule, "psubscribe", "__keyevent@*__:expired", "", "", "1"].map(str::to_owned);
    assert_eq!(
        findings(&mut operator),
        [
            ["plain-connection", "", "", "", "", "2"].map(str::to_owned),
            app("config", "config|set", "notify-keyspace-events", "1"),
            app("keys", "keys", "user:*", "1"),
            app("observation", "object|encoding", "cart:*", "1"),
            listens("pattern-subscriptions"),
            app("wait", "wait", "", "1"),
            app("script-flush", "script|flush", "", "1"),
            app("cross-slot", "exec", "cart:* stock:*", "1"),
            app("cross-slot", "mget", "user:* order:*", "2"),
            app("cross-slot", "mset", "user:* order:*", "1"),
            app("watched-slots", "watch", "b a", "1"),
            app("script-slots", "set", "y:*", "1"),
            app("script-publish", "publish", "news", "1"),
            app("scripts-without-keys", "eval", "", "1"),
            app("flush-in-transaction", "flushdb", "", "1"),
            app("select", "select", "", "1"),
            listens("keyspace-events"),
        ]
    );
    let report = operator.value("KVARTS COMPAT");
    assert_eq!(
        (report.field("profile").text(), report.field("mode").text()),
        ("elasticache-serverless".into(), "warn".into())
    );
    let found = report.field("findings").items().to_vec();
    let mget = found.iter().find(|finding| finding.field("command").text() == "mget").expect("there");
    assert_eq!(mget.field("first-ms").int(), START_MS as i64);
    assert_eq!(mget.field("last-ms").int(), START_MS as i64 + 5000);
    assert_eq!(
        (mget.field("address").text(), mget.field("basis").text()),
        ("127.0.0.1".into(), "fact".into())
    );
    assert!(mget.field("fix").text().contains("{tag}"));
    operator.check("KVARTS COMPAT RESET", "+OK~");
    assert_eq!(findings(&mut operator), Vec::<[String; 6]>::new());
    operator.check("KVARTS COMPAT NOW", "-ERR syntax error~");
}

#[test]
fn commands_that_wait_are_judged_before_they_do() {
    let server = serverless();
    let (mut waiting, mut client) = (client(&server), client(&server));
    waiting.check("BLPOP a b 0", CROSS);
    waiting.send_command("BLPOP {l}a {l}b 0");
    eventually("it waits", || info(&mut self::client(&server), "blocked_clients") == "1");
    client.check("RPUSH {l}b v", ":1~");
    waiting.check_next("*2~$4~{l}b~$1~v~");
}

#[test]
fn an_endpoint_without_the_protocol_of_clusters_wants_slots_all_the_same() {
    let server = start("azure-enterprise", &[]);
    let mut client = client(&server);
    for (request, reply) in [
        ("CLUSTER SLOTS", "-ERR This instance has cluster support disabled~"),
        ("SORT l BY w_*", CROSS),
        ("SORT_RO l GET # GET v_*", CROSS),
        ("SORT {l}a BY {l}w_* GET {l}*->f GET #", "*0~"),
        ("SORT l BY nosort DESC", "*0~"),
        ("MULTI", "+OK~"),
        ("SORT l BY w_* STORE {l}b", CROSS),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors.~"),
        (
            "EVAL \"return redis.pcall('sort', KEYS[1], 'by', 'w_*').err\" 1 l",
            "$53~CROSSSLOT Keys in request don't hash to the same slot~",
        ),
        ("MSET a 1 b 2", "+OK~"),
        ("MGET a b", "*2~$1~1~$1~2~"),
        ("DEL a b", ":2~"),
        ("RENAME a b", CROSS),
        ("SINTER a b", CROSS),
        ("MULTI", "+OK~"),
        ("SET a 1", "+QUEUED~"),
        ("GET {a}b", "+QUEUED~"),
        ("SET b 1", CROSS),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors.~"),
        ("EXISTS a b", ":0~"),
        ("MULTI", "+OK~"),
        ("MSET a 1 b 2", CROSS),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors.~"),
        ("WATCH a", "+OK~"),
        ("WATCH b", CROSS),
        ("UNWATCH", "+OK~"),
        ("MULTI", "+OK~"),
        ("SET a 1", "+QUEUED~"),
        ("EXEC", "*1~+OK~"),
        ("CONFIG RESETSTAT", "-ERR unknown command 'CONFIG', with args beginning with: 'RESETSTAT' ~"),
        (
            "EVAL \"return redis.pcall('get', 'b').err\" 1 a",
            "$53~CROSSSLOT Keys in request don't hash to the same slot~",
        ),
        (
            "EVAL \"redis.call('get', 'a') return redis.pcall('get', 'b').err\" 0",
            "$53~CROSSSLOT Keys in request don't hash to the same slot~",
        ),
        ("SELECT 0", "+OK~"),
        ("SELECT 1", "-ERR DB index is out of range~"),
        ("SWAPDB 0 1", "-ERR unknown command 'SWAPDB', with args beginning with: '0' '1' ~"),
        ("MOVE a 1", "-ERR unknown command 'MOVE', with args beginning with: 'a' '1' ~"),
        ("CONFIG GET maxmemory-policy", "*2~$16~maxmemory-policy~$10~noeviction~"),
    ] {
        client.check(request, reply);
    }
}

#[test]
fn a_profile_of_ones_own() {
    let dir = TempDir::new();
    let path = dir.path().join("own.toml");
    let text = "title = 'Own'\nabout = 'Mine.'\n[sources]\nme = 'I said so'\n\
        [[setting]]\ndirective = 'maxmemory-policy'\nvalue = 'allkeys-lru'\nbasis = 'fact'\nsource = 'me'\n\
        [[rule]]\nname = 'no-get'\ncommands = ['get']\nanswer = 'NOPERM not here'\nfix = 'Use MGET.'\nbasis = 'assumption'\nsource = 'me'\n";
    std::fs::write(&path, text).expect("a file");
    let path = path.display().to_string();
    let server = TestServer::with(&[("profile", &path)]);
    let mut client = server.client();
    client.check("CONFIG GET maxmemory-policy", "*2~$16~maxmemory-policy~$11~allkeys-lru~");
    client.send(b"SET a 1\r\nGET a\r\nMGET a\r\nGET a\r\n");
    for reply in ["+OK~", "-NOPERM not here~", "*1~$1~1~", "-NOPERM not here~"] {
        client.check_next(reply);
    }
    assert_eq!(findings(&mut client), [["no-get", "get", "a", "", "", "2"].map(str::to_owned)]);
    client.check(
        "CONFIG SET profile-mode warn",
        "-ERR CONFIG SET failed (possibly related to argument 'profile-mode') - can't set immutable config~",
    );
    // What is said beside the profile wins over it.
    let server = TestServer::with(&[("maxmemory-policy", "noeviction"), ("profile", &path)]);
    server.client().check("CONFIG GET maxmemory-policy", "*2~$16~maxmemory-policy~$10~noeviction~");
    std::fs::write(&path, text.replace("'get'", "'got'")).expect("a file");
    let failed = TestServer::try_with(
        &[("profile", &path)],
        kvarts::shared::clock::Clock::manual(START_MS),
        TempDir::new(),
    );
    let Err(error) = failed else { panic!("it started") };
    assert_eq!(error.to_string(), format!("profile '{path}': rule 'no-get': there is no command 'got'"));
    let unknown =
        kvarts::config::Config::from_pairs([("profile", "elasticash")]).expect_err("unknown").to_string();
    assert!(
        unknown.starts_with("--profile: 'elasticash' is neither a profile (elasticache-serverless, "),
        "{unknown}"
    );
}

/// A server that is started with a profile and rewrites its file is the same when it starts with the file.
#[test]
fn a_rewritten_file_gives_the_same_configuration() {
    let dir = TempDir::new();
    let path = dir.path().join("kvarts.conf");
    let folder = dir.path().display();
    std::fs::write(&path, format!("port 0\nbind 127.0.0.1\ndir {folder}\nsave \"\"\n")).expect("a file");
    let arguments = [
        "kvarts",
        path.to_str().expect("text"),
        "--profile",
        "elasticache-serverless",
        "--profile-mode",
        "warn",
        "--maxclients",
        "10000",
        "--cluster-enabled",
        "no",
    ];
    let config = kvarts::config::from_args(arguments.map(std::ffi::OsString::from)).expect("a configuration");
    config.rewrite(false, &[]).expect("written");
    let again = kvarts::config::Config::from_file(&path).expect("a configuration");
    for name in [
        "profile",
        "profile-mode",
        "maxclients",
        "cluster-enabled",
        "maxmemory-policy",
        "cluster-databases",
        "tls-only",
    ] {
        assert_eq!(again.get(&[name]), config.get(&[name]), "{name}");
    }
    assert_eq!(again.get(&["maxclients"])[0].1, b"10000");
}

#[test]
fn the_report_is_a_page_beside_the_figures() {
    let (server, port) = http::with_port(&[("profile", "elasticache"), ("profile-mode", "warn")]);
    server.client().check("CONFIG GET nosuch", "*0~");
    let (status, page) = http::get(port, "/compat.json");
    let page: serde_json::Value = serde_json::from_str(&page).expect("JSON");
    assert_eq!((status, &page["profile"], &page["mode"]), (200, &"elasticache".into(), &"warn".into()));
    let found = &page["findings"][0];
    assert_eq!(
        (&found["rule"], &found["command"], &found["count"]),
        (&"config".into(), &"config|get".into(), &1.into())
    );
    // A page from elsewhere whose name was made to point here is told nothing.
    let answer = |head: &str| http::raw(port, &format!("GET /compat.json HTTP/1.{head}\r\n"));
    for host in ["127.0.0.1:9121", "localhost"] {
        assert!(answer(&format!("1\r\nHost: {host}\r\n")).starts_with("HTTP/1.1 200 "), "{host}");
    }
    assert!(answer("0\r\n").starts_with("HTTP/1.0 200 "), "what sends no Host is no browser");
    let foreign = answer("1\r\nHost: evil.example\r\n");
    assert!(foreign.starts_with("HTTP/1.1 421 ") && !foreign.contains("elasticache"), "{foreign}");
    server.client().check("CONFIG SET console-hosts figures.example", "+OK~");
    assert!(answer("1\r\nHost: figures.example:9121\r\n").starts_with("HTTP/1.1 200 "));
    let (_server, port) = http::with_port(&[]);
    assert_eq!(http::get(port, "/compat.json").0, 404);
    let server = TestServer::start();
    server.client().check("KVARTS COMPAT", "-ERR the server runs without a profile~");
}

/// What a program that ran with these flags, and was sent these requests, left: its exit status, and its report.
fn ended(flags: &[&str], report: &str, requests: &[&str]) -> (Option<i32>, String) {
    ended_by(&|program| program.signal("TERM"), flags, report, requests)
}

/// The same of a program that was ended in another way.
fn ended_by(
    end: &dyn Fn(&crate::program::Program),
    flags: &[&str],
    report: &str,
    requests: &[&str],
) -> (Option<i32>, String) {
    let mut flags = flags.to_vec();
    flags.extend(["--profile", "elasticache", "--profile-mode", "warn", "--compat-report", report]);
    let dir = TempDir::new();
    std::fs::write(dir.path().join(report), "of a run before").expect("a file");
    let mut program = crate::program::Program::start_in(dir, "", &flags);
    assert!(!program.dir().join(report).exists(), "nobody takes it for this run's");
    let mut client = program.client();
    requests.iter().for_each(|request| drop(client.raw(request)));
    drop(client);
    end(&program);
    let status = program.wait();
    (status.code(), std::fs::read_to_string(program.dir().join(report)).expect("a report"))
}

#[test]
fn the_report_is_written_at_the_end_in_the_form_of_its_name() {
    let violation = &["CLIENT SETNAME <app>", "CONFIG GET port"];
    let twice = &["CLIENT SETNAME <app>", "CONFIG GET port", "CONFIG GET port"];
    let (status, json) = ended(&[], "found.json", violation);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        (status, &json["findings"][0]["client"], &json["left-out"]),
        (Some(0), &"<app>".into(), &0.into())
    );
    let (status, sarif) = ended(&["--compat-fail"], "found.sarif", violation);
    let sarif: serde_json::Value = serde_json::from_str(&sarif).expect("JSON");
    let run = &sarif["runs"][0];
    assert_eq!((status, &sarif["version"]), (Some(1), &"2.1.0".into()));
    assert_eq!(
        (&run["results"][0]["ruleId"], &run["tool"]["driver"]["rules"][0]["id"]),
        (&"config".into(), &"config".into())
    );
    // What the pages of CI systems need to show a result, and to tell two of one rule apart.
    let place = &run["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(place["region"]["startLine"], 1);
    assert_eq!(run["results"][0]["partialFingerprints"]["finding/v1"], "config/config|get/port/<app>/");
    let (status, xml) = ended(&["--compat-fail"], "found.xml", violation);
    assert_eq!(status, Some(1));
    assert!(
        xml.contains(
            "<testcase classname=\"config\" name=\"CONFIG GET port (&lt;app&gt;, 127.0.0.1)\" time=\"0\">"
        ),
        "{xml}"
    );
    assert!(xml.contains("tests=\"1\" failures=\"1\" timestamp=\"2") && xml.contains(">once, at 2"), "{xml}");
    let (_, xml) = ended(&[], "found.xml", twice);
    let (_, times) = xml.split_once(">2 times, from ").expect("when");
    let (first, last) =
        times.split_once("Z</failure>").expect("an end").0.split_once("Z to ").expect("two times");
    assert!(first <= last && first.len() == last.len(), "{xml}");
    // The whole took from the first to the last finding, and so did the only one.
    assert_eq!(xml.matches(" time=\"").count(), 2, "{xml}");
    let (status, xml) = ended(&["--compat-fail"], "found.xml", &["PING"]);
    assert_eq!(status, Some(0));
    assert!(
        xml.contains("tests=\"1\" failures=\"0\" time=\"0\"") && xml.contains("nothing was found"),
        "{xml}"
    );
}

/// Whichever way it ends by; and what would be noticed at the end only, when all findings would be lost, is told at the
/// start.
#[test]
fn the_report_is_written_at_every_end() {
    let violation = &["CONFIG GET port"];
    let by_interrupt =
        ended_by(&|program| program.signal("INT"), &["--compat-fail"], "found.json", violation);
    let by_request = ended_by(
        &|program| program.client().send(b"SHUTDOWN NOSAVE\r\n"),
        &["--compat-fail"],
        "found.json",
        violation,
    );
    for ((status, report), count) in [(by_interrupt, 1), (by_request, 2)] {
        let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
        assert_eq!((status, report["findings"].as_array().map(Vec::len)), (Some(1), Some(count)), "{report}");
    }
    let start = |pairs: &[(&str, &str)]| {
        let clock = kvarts::shared::clock::Clock::manual(START_MS);
        TestServer::try_with(pairs, clock, TempDir::new()).map(drop).expect_err("no start").to_string()
    };
    let error = start(&[("profile", "elasticache"), ("compat-report", "/no/such/folder/report.json")]);
    assert!(error.starts_with("compat-report: cannot write '/no/such/folder/report.json': "), "{error}");
    let without = "compat-report and compat-fail: there is no profile";
    assert_eq!(start(&[("compat-fail", "yes")]), without);
}

/// Neither by rules about requests nor by those about transactions.
#[test]
fn what_a_primary_sends_is_held_against_no_rule() {
    let primary = TestServer::with(&[("repl-diskless-sync-delay", "0")]);
    let follows = format!("127.0.0.1 {}", primary.address().port());
    let replica = start("azure-enterprise", &[("replicaof", &follows)]);
    let (mut writer, mut reader) = (primary.client(), client(&replica));
    eventually("it follows", || info(&mut reader, "master_link_status") == "up");
    for (request, reply) in [
        ("MULTI", "+OK~"),
        ("SET a 1", "+QUEUED~"),
        ("SET b 2", "+QUEUED~"),
        ("EXEC", "*2~+OK~+OK~"),
        ("RENAME a c", "+OK~"),
        ("SELECT 1", "+OK~"),
        ("SET d 4", "+OK~"),
        ("SELECT 0", "+OK~"),
        ("SET last 1", "+OK~"),
    ] {
        writer.check(request, reply);
    }
    eventually("it has all of it", || reader.raw("EXISTS last") == ":1~");
    reader.check("MGET a b c", "*3~$-1~$1~2~$1~1~");
    assert!(reader.value("INFO keyspace").text().contains("db1:keys=1,"));
    assert_eq!(findings(&mut reader), Vec::<[String; 6]>::new());
}

#[test]
fn a_loaded_file_is_held_against_no_rule() {
    let dir = TempDir::new();
    std::fs::create_dir(dir.path().join("appendonlydir")).expect("a folder");
    let words: &[&[&str]] =
        &[&["MSET", "a", "1", "b", "2"], &["HPEXPIREAT", "h", "5", "FIELDS", "1", "f"], &["SET", "c", "3"]];
    let content: Vec<u8> = words.iter().flat_map(|words| encode(words)).collect();
    write_parts(dir.path(), &content);
    let socket = dir.path().join("socket").display().to_string();
    let pairs = [("profile", "elasticache-serverless"), ("unixsocket", &*socket), ("appendonly", "yes")];
    let clock = kvarts::shared::clock::Clock::manual(START_MS);
    let server = TestServer::try_with(&pairs, clock, dir).expect("it loads");
    let mut client = client(&server);
    for (key, value) in [("a", "1"), ("b", "2"), ("c", "3")] {
        client.check(&format!("GET {key}"), &format!("$1~{value}~"));
    }
    assert_eq!(findings(&mut client), Vec::<[String; 6]>::new());
}

fn write_parts(folder: &Path, content: &[u8]) {
    let folder = folder.join("appendonlydir");
    std::fs::write(folder.join("appendonly.aof.1.incr.aof"), content).expect("a file");
    let manifest = "file appendonly.aof.1.incr.aof seq 1 type i\n";
    std::fs::write(folder.join("appendonly.aof.manifest"), manifest).expect("a file");
}

#[test]
fn announced_names_stand_in_the_place_of_addresses() {
    let server = start(
        "elasticache-serverless",
        &[
            ("cluster-announce-hostname", "cache.example"),
            ("cluster-announce-ip", "10.1.2.3"),
            ("cluster-preferred-endpoint-type", "hostname"),
        ],
    );
    let mut client = client(&server);
    let main = server.handle().ports().main;
    let slots = client.raw("CLUSTER SLOTS");
    assert!(slots.starts_with(&format!("*1~*4~:0~:16383~*3~$13~cache.example~:{main}~$40~")), "{slots}");
    assert!(!client.value("CLUSTER NODES").text().contains("10.1.2.3"));
    let server = start("elasticache-serverless", &[("cluster-announce-ip", "10.1.2.3")]);
    assert!(self::client(&server).raw("CLUSTER SLOTS").contains("$8~10.1.2.3~"));
}

/// A server in a container has one name outside and another one in its network: each client goes on with the name by
/// which it called, if it is one of the server's.
#[test]
fn a_further_name_is_told_to_those_that_call_it() {
    let names = [("cluster-announce-hostname", "localhost"), ("tls-auto-names", "Cache *.cache.example")];
    let cluster =
        [("cluster-enabled", "yes"), ("cluster-preferred-endpoint-type", "hostname"), ("tls-only", "yes")];
    let plain = TestServer::with(&[names.as_slice(), &cluster].concat());
    for server in [start("elasticache-serverless", &names), plain] {
        let address = server.address();
        let authority = server.dir().join("tls").join(kvarts::AUTHORITY_FILE);
        let calls = [("cache", "cache"), ("localhost", "localhost"), ("a.cache.example", "localhost")];
        for (called, told) in calls {
            let mut client = Client::tls(address, called, &authority).expect("a handshake");
            let slots = client.value("CLUSTER SLOTS").items()[0].clone();
            assert_eq!(slots.items()[2].items()[0].text(), told, "{called}");
            assert!(client.value("CLUSTER NODES").text().contains(told));
        }
    }
}

/// What a cluster refuses by itself is served in `warn`, and told of: SORT by keys of other slots, MOVE, SWAPDB.
#[test]
fn warn_serves_what_a_cluster_would_refuse() {
    let server = warned(&[]);
    let mut client = server.client();
    client.check("RPUSH list b a", ":2~");
    client.check("MSET weight_a 2 weight_b 1 name_a one name_b two", "+OK~");
    for (request, reply) in [
        ("SORT list BY weight_* GET name_*", "*2~$3~two~$3~one~"),
        ("SORT_RO list BY weight_*", "*2~$1~b~$1~a~"),
        ("SORT list BY x GET # ALPHA", "*2~$1~b~$1~a~"),
        ("EVAL \"return redis.call('SORT', KEYS[1], 'GET', 'name_*', 'ALPHA')\" 1 list", "*2~$3~one~$3~two~"),
    ] {
        client.check(request, reply);
    }
    client.check("MULTI", "+OK~");
    client.check("SORT list BY weight_*", "+QUEUED~");
    client.check("GET weight_a", "+QUEUED~");
    client.check("EXEC", "*2~*2~$1~b~$1~a~$1~2~");
    let found = findings(&mut client);
    let counts: Vec<(&str, &str)> = found
        .iter()
        .filter(|finding| finding[0] == "sort-patterns")
        .map(|finding| (&*finding[1], &*finding[5]))
        .collect();
    assert_eq!(counts, [("sort", "3"), ("sort_ro", "1")], "{found:?}");

    let server = warned(&[("cluster-databases", "2")]);
    let mut client = server.client();
    client.check("SET k v", "+OK~");
    client.check("MOVE k 1", ":1~");
    client.check("SWAPDB 0 1", "+OK~");
    client.check("GET k", "$1~v~");
    // A cluster without the profile keeps to its slots.
    let server = TestServer::with(&[("cluster-enabled", "yes")]);
    let denied = "-ERR BY option of SORT denied in Cluster mode when keys formed by the pattern may be in different slots.~";
    server.client().check("SORT list BY weight_*", denied);
}

#[test]
fn the_report_is_a_map_in_both_versions_of_the_protocol() {
    let server = TestServer::with(&[("profile", "elasticache"), ("profile-mode", "warn")]);
    let fix = "Set parameters in a parameter group, keyspace events included; with Spring Session set spring.session.redis.configure-action=none.";
    server.client().check("CONFIG GET nosuch", "*0~");
    for (mut client, map, inner) in [(server.client(), "*8", "*22"), (server.client3(), "%4", "%11")] {
        client.check(
            "KVARTS COMPAT",
            &format!(
                "{map}~$7~profile~$11~elasticache~$4~mode~$4~warn~$8~findings~*1~{inner}~$4~rule~$6~config~$7~command~$10~config|get~$4~keys~$6~nosuch~$6~client~$0~~$7~library~$0~~$7~address~$9~127.0.0.1~$3~fix~${}~{fix}~$5~basis~$4~fact~$5~count~:1~$8~first-ms~:{START_MS}~$7~last-ms~:{START_MS}~$8~left-out~:0~",
                fix.len()
            ),
        );
    }
}
