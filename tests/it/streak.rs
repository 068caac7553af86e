//! Requests of one kind in a row answer, change and count what they do one by one.

use kvarts::shared::clock::Clock;

use crate::harness::*;

/// What may differ between the two ways: times.
fn counted(client: &mut Client) -> Vec<String> {
    let mut counted = Vec::new();
    for field in [
        "keyspace_hits",
        "keyspace_misses",
        "expired_keys",
        "total_error_replies",
        "rdb_changes_since_last_save",
    ] {
        counted.push(format!("{field} {}", info(client, field)));
    }
    for command in ["get", "set", "incr", "hset", "hget", "sadd", "zadd", "lpush", "lpop"] {
        let stats = info(client, &format!("cmdstat_{command}"));
        assert!(stats.contains("calls="), "{command}: {stats}");
        let counts = stats.split(',').filter(|part| !part.contains("usec"));
        counted.push(format!("{command} {}", counts.collect::<Vec<_>>().join(",")));
    }
    counted
}

/// One kind of command in a row, on a few keys of all types: some fail, some find a key that has ended.
fn row(random: &mut fastrand::Rng) -> Vec<Vec<String>> {
    let kind = random.usize(..9);
    let fixed_key = random.bool();
    (0..random.usize(1..80))
        .map(|_| {
            let pick =
                |random: &mut fastrand::Rng, words: &[&str]| words[random.usize(..words.len())].to_owned();
            let key = if fixed_key {
                "hash".to_owned()
            } else {
                pick(random, &["text", "number", "hash", "set", "zset", "list", "gone", "new"])
            };
            let element = format!("e{}", random.u16(..300));
            let words: Vec<String> = match kind {
                0 => vec!["GET".into(), key],
                1 => vec!["SET".into(), key, element, pick(random, &["NX", "XX", "GET", "KEEPTTL"])],
                2 => vec!["INCR".into(), key],
                3 => vec!["HSET".into(), key, element, "v".into()],
                4 => vec!["HGET".into(), key, element],
                5 => vec!["SADD".into(), key, element],
                6 => vec!["ZADD".into(), key, pick(random, &["1", "2.5", "x"]), element],
                7 => vec!["LPUSH".into(), key, element],
                _ => vec!["LPOP".into(), key],
            };
            words
        })
        .collect()
}

#[test]
fn a_row_does_what_its_requests_do_one_by_one() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let servers = [0, 1].map(|_| TestServer::with_clock(&[], Clock::manual(1_000_000)));
    let mut clients = [servers[0].client(), servers[1].client()];
    for round in 0..150 {
        let row = row(&mut random);
        for (server, client) in servers.iter().zip(&mut clients) {
            for command in [
                "FLUSHALL",
                "SET text x",
                "SET number 1",
                "HSET hash e1 v",
                "SADD set e1",
                "ZADD zset 1 e1",
                "RPUSH list a b",
                "SET gone x PX 5",
            ] {
                assert!(!matches!(client.value(command), Value::Error(_)), "{command}");
            }
            // Large ones are found in another way.
            if round % 3 == 0 {
                let fields: Vec<String> =
                    (0..400).flat_map(|at| [format!("e{at}"), "v".to_owned()]).collect();
                client.call(&[vec!["HSET".to_owned(), "hash".to_owned()], fields].concat());
            }
            server.advance_ms(10);
        }
        let [together, single] = &mut clients;
        together.send(&row.iter().flat_map(|words| encode(words)).collect::<Vec<u8>>());
        for words in &row {
            let reply = together.read_raw();
            single.send(&encode(words));
            assert_eq!(show(&reply), show(&single.read_raw()), "{words:?}");
        }
        let [digest, other] = [together, single].map(|client| client.value("DEBUG DIGEST"));
        assert_eq!(digest, other, "{row:?}");
    }
    let [together, single] = clients.each_mut().map(counted);
    assert_eq!(together, single);
}

#[test]
fn who_waits_is_served_within_a_row() {
    let server = TestServer::start();
    let (mut waiting, mut client) = (server.client(), server.client());
    waiting.send(&encode(&["BLPOP", "list", "0"]));
    eventually("it waits", || info(&mut client, "blocked_clients") == "1");
    let push = encode(&["RPUSH", "list", "a"]);
    client.send(&[push.clone(), push.clone(), push].concat());
    assert_eq!([0; 3].map(|_| show(&client.read_raw())), [":1~", ":1~", ":2~"]);
    assert_eq!(show(&waiting.read_raw()), "*2~$4~list~$1~a~");
}

#[test]
fn a_row_stops_at_the_limit_of_memory() {
    let server = TestServer::with(&[("maxmemory-policy", "noeviction")]);
    let mut client = server.client();
    client.check("CONFIG SET maxmemory 1", "+OK~");
    let set = encode(&["SET", "a", "b"]);
    let get = encode(&["GET", "a"]);
    client.send(&[set.clone(), set, get.clone(), get].concat());
    for expected in ["-OOM", "-OOM", "$-1", "$-1"] {
        let reply = show(&client.read_raw());
        assert!(reply.starts_with(expected), "{reply}");
    }
}

/// Subcommands with as many words, in one write: each ran the one before it when only the first word was
/// compared.
#[test]
fn subcommands_in_a_pipeline_are_told_apart() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SET k word", "+OK~");
    client.check("XADD st 1-1 f v", "$3~1-1~");
    let pipelines: [(&[&str], &[&str]); 4] = [
        (
            &["OBJECT ENCODING k", "OBJECT REFCOUNT k", "OBJECT IDLETIME k", "object encoding k"],
            &["$6~embstr~", ":1~", ":0~", "$6~embstr~"],
        ),
        (
            &["XGROUP CREATE st g 0", "XGROUP SETID st g 1-1", "XGROUP CREATE st g 0"],
            &["+OK~", "+OK~", "-BUSYGROUP Consumer Group name already exists~"],
        ),
        (
            &["XGROUP CREATECONSUMER st g c", "XGROUP DELCONSUMER st g c", "XGROUP DELCONSUMER st g c"],
            &[":1~", ":0~", ":0~"],
        ),
        (&["XINFO GROUPS none", "XINFO STREAM none"], &["-ERR no such key~", "-ERR no such key~"]),
    ];
    for (requests, replies) in pipelines {
        let bytes: Vec<u8> = requests.iter().flat_map(|line| encode(&crate::wire::words(line))).collect();
        client.send(&bytes);
        for (request, reply) in requests.iter().zip(replies) {
            assert_eq!(show(&client.read_raw()), *reply, "{request}");
        }
    }
    assert_eq!(client.value("XINFO CONSUMERS st g"), Value::Array(Vec::new()));
}

/// Every container's subcommands, twice each with the same number of words in one pipeline, answer what they
/// answer one by one.
#[test]
fn no_subcommand_is_taken_for_its_neighbour() {
    let server = TestServer::start();
    let (mut one_by_one, mut at_once) = (server.client(), server.client());
    let mut requests: Vec<Vec<String>> = Vec::new();
    for name in one_by_one.value("COMMAND LIST").items().iter().map(Value::text) {
        let container = name.split('|').next().unwrap_or_default();
        // HELP is a status of several lines everywhere; none of these does anything to the server with words
        // that are not its own.
        if name.contains('|')
            && !["acl", "backup", "config", "client", "cluster", "debug", "shutdown"].contains(&container)
        {
            let (container, subcommand) = name.split_once('|').expect("two words");
            for words in 0..4 {
                let mut request = vec![container.to_owned(), subcommand.to_owned()];
                request.extend((0..words).map(|index| format!("w{index}")));
                requests.push(request);
            }
        }
    }
    requests.sort_by_key(Vec::len);
    assert!(requests.len() > 100, "{requests:?}");
    let expected: Vec<String> = requests.iter().map(|words| error_of(&one_by_one.call(words))).collect();
    at_once.send(&requests.iter().flat_map(|words| encode(words)).collect::<Vec<u8>>());
    for (words, expected) in requests.iter().zip(&expected) {
        assert_eq!(&error_of(&at_once.read()), expected, "{words:?}");
    }
}

/// The text of an error; of any other reply only that it is none, since figures move on.
fn error_of(reply: &Value) -> String {
    match reply {
        Value::Error(text) => text.clone(),
        _ => "no error".to_owned(),
    }
}
