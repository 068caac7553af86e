//! Random users, the same here and on a real Redis server: what each may do, by ACL DRYRUN, and how each is
//! described.

use std::collections::BTreeMap;

use crate::harness::*;
use crate::peer::Peer;

/// Users of one run.
const USERS: usize = 120;

/// Rules that both know and mean the same by. Redis 7.0 counts a few commands to other categories than
/// Valkey, so categories are those that both fill alike with the commands below.
const RULES: &[&str] = &[
    "+@all",
    "-@all",
    "+@string",
    "-@string",
    "+@hash",
    "-@hash",
    "+@set",
    "+@list",
    "-@list",
    "+@write",
    "-@write",
    "+@read",
    "+@pubsub",
    "-@pubsub",
    "+@fast",
    "-@slow",
    "+@blocking",
    "-@dangerous",
    "+@connection",
    "+@transaction",
    "+get",
    "-get",
    "+set",
    "+mget",
    "-hset",
    "+config|get",
    "-config|get",
    "+config",
    "-config",
    "+client|kill",
    "+client",
    "+select|0",
    "+get|k1",
    "+eval",
    "~*",
    "~k*",
    "~k1",
    "%R~k2",
    "%W~k2",
    "%RW~a?",
    "%R~*",
    "allkeys",
    "resetkeys",
    "&*",
    "&c*",
    "&c1",
    "resetchannels",
    "allchannels",
    "(+get ~k3)",
    "(+@write %W~k*)",
    "(+@all ~a* &d)",
    "(+publish &e)",
    "clearselectors",
    "on",
    "off",
    "nopass",
    ">secret",
    "resetpass",
    "nocommands",
];

/// Requests with keys and channels of all kinds.
const REQUESTS: &[&str] = &[
    "GET k1",
    "GET a1",
    "SET k1 v",
    "SET k2 v GET",
    "GETSET k2 v",
    "APPEND k2 v",
    "MGET k1 k2 k3",
    "MGET a1 z",
    "MSET k1 v a1 v",
    "STRLEN k2",
    "HSET k1 f v",
    "HGETALL k2",
    "LPUSH k3 v",
    "RPOPLPUSH k1 k2",
    "BLPOP k1 k2 0",
    "SADD k1 m",
    "SDIFFSTORE k2 k1 k3",
    "SINTERCARD 2 k1 k2",
    "ZADD k1 1 m",
    "ZUNIONSTORE k2 2 k1 k3",
    "XADD k1 * f v",
    "XREAD STREAMS k1 k2 0 0",
    "COPY k1 k2",
    "DEL k1 k2",
    "EXISTS k1 z",
    "EXPIRE k2 10",
    "RENAME k1 a1",
    "BITOP AND k2 k1 k3",
    "BITFIELD k2 GET u4 0",
    "BITFIELD k2 SET u4 0 1",
    "GEORADIUS k1 1 1 1 m STORE k2",
    "PFCOUNT k1 k2",
    "EVAL x 1 k2",
    "EVAL x 0",
    "EVAL_RO x 1 k2",
    "WATCH k1",
    "PUBLISH c1 m",
    "PUBLISH d m",
    "PUBLISH e m",
    "SPUBLISH c2 m",
    "SUBSCRIBE c1 d",
    "PSUBSCRIBE c*",
    "PSUBSCRIBE c1",
    "UNSUBSCRIBE z",
    "PING",
    "SELECT 0",
    "SELECT 1",
    "CONFIG GET x",
    "CONFIG SET x y",
    "CLIENT KILL ID 1",
    "CLIENT LIST",
    "AUTH x",
    "HELLO 3",
    "MULTI",
    "EXEC",
    "INFO",
    "DBSIZE",
    "NOSUCH x",
    "GET",
];

/// What a request is refused for. Redis 7.0 tells it in other words.
fn verdict(reply: &Value) -> String {
    let text = reply.text();
    let object = text.split('\'').nth(1).unwrap_or_default().to_owned();
    match reply {
        Value::Simple(_) => "allowed".to_owned(),
        Value::Error(error) => error.clone(),
        _ if text.contains(" to run the ") => format!("command {object}"),
        _ if text.contains(" to access the ") && text.contains(" key") => format!("key {object}"),
        _ if text.contains(" to access the ") && text.contains(" channel") => format!("channel {object}"),
        _ => panic!("no verdict: {text}"),
    }
}

/// A user's description without what only one of both tells: Redis 7.0 finds rules for the commands that are
/// allowed, where Valkey keeps those that were given.
fn description(client: &mut Client) -> BTreeMap<String, Value> {
    let user = client.value("ACL GETUSER u");
    let pairs = user.items();
    let mut fields: BTreeMap<String, Value> =
        pairs.chunks_exact(2).map(|pair| (pair[0].text(), pair[1].clone())).collect();
    fields.remove("databases");
    fields.remove("commands");
    let flags = fields.remove("flags").map(|flags| flags.texts()).unwrap_or_default();
    let known = flags.iter().filter(|flag| ["on", "off", "nopass"].contains(&flag.as_str()));
    fields.insert(
        "flags".to_owned(),
        Value::Array(known.map(|flag| Value::Bulk(flag.clone().into())).collect()),
    );
    let selectors = fields.remove("selectors").map(|selectors| selectors.items()).unwrap_or_default();
    let selectors = selectors
        .iter()
        .map(|selector| Value::Array(["keys", "channels"].map(|name| selector.field(name)).to_vec()));
    fields.insert("selectors".to_owned(), Value::Array(selectors.collect()));
    fields
}

#[test]
fn users_may_do_the_same_here_and_there() {
    let peer = Peer::start();
    let server = TestServer::start();
    let (mut ours, mut theirs) = (server.client(), Client::tcp(local(peer.port)));
    let mut random = fastrand::Rng::with_seed(4);
    for _ in 0..USERS {
        let count = random.usize(1..12);
        let rules: Vec<&str> = (0..count).map(|_| RULES[random.usize(..RULES.len())]).collect();
        for rule in std::iter::once(&"reset").chain(&rules) {
            let line = format!("ACL SETUSER u {rule}");
            assert_eq!(ours.raw(&line), theirs.raw(&line), "{line}");
        }
        for request in REQUESTS {
            let line = format!("ACL DRYRUN u {request}");
            let (one, other) = (verdict(&ours.value(&line)), verdict(&theirs.value(&line)));
            assert_eq!(one, other, "{request} after {rules:?}");
        }
        assert_eq!(description(&mut ours), description(&mut theirs), "after {rules:?}");
    }
}
