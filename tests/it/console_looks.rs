//! What the console lets through where it only looks, its sessions, and what it writes only if nobody else has.

use crate::console::{command, log_in, post, status};
use crate::http::with_port;
use kvarts::command::Flags;

/// Commands that neither write keys nor are refused to whom only looks: these read, show, or change nothing but the
/// connection, which ends with its request. A further command belongs here only if that holds of all its forms.
const THAT_LOOK: &str = "
    acl|cat acl|dryrun acl|genpass acl|getrole acl|getuser acl|help acl|list acl|roles acl|users acl|whoami
    backup|help backup|list backup|status bless|get bless|help bless|scan
    client|caching client|capa client|getname client|getredir client|help client|id client|import-source client|info
    client|list client|no-touch client|reply client|setinfo client|setname client|trackinginfo
    cluster|count-failure-reports cluster|countkeysinslot cluster|getkeysinslot cluster|help cluster|info
    cluster|keyslot cluster|links cluster|myid cluster|myshardid cluster|nodes cluster|replicas cluster|shards
    cluster|slaves cluster|slot-stats cluster|slots clusterscan
    command|count command|docs command|getkeys command|getkeysandflags command|help command|info command|list
    commandlog|get commandlog|help commandlog|len slowlog|get slowlog|help slowlog|len
    config|get config|help hotkeys|get hotkeys|help info
    latency|doctor latency|graph latency|help latency|histogram latency|history latency|latest lastsave lolwut
    kvarts|bigkeys kvarts|compat kvarts|health kvarts|help kvarts|prefixes kvarts|slow
    memory|doctor memory|help memory|malloc-stats memory|stats memory|usage module|help module|list monitor
    object|encoding object|freq object|help object|idletime object|refcount
    pubsub|channels pubsub|help pubsub|numpat pubsub|numsub pubsub|shardchannels pubsub|shardnumsub
    psubscribe punsubscribe ssubscribe subscribe sunsubscribe unsubscribe
    role script|debug script|exists script|help script|show function|dump function|help function|list function|stats
    time wait waitaof xgroup|help xinfo|consumers xinfo|groups xinfo|help xinfo|stream

    asking auth discard echo exec hello multi ping quit readonly readwrite reset select unwatch watch
    eval eval_ro evalsha evalsha_ro fcall fcall_ro himport|discard himport|discardall himport|help himport|prepare

    bitcount bitfield_ro bitpos dbsize digest dump exists expiretime geodist geohash geopos geosearch georadius_ro
    georadiusbymember_ro get getbit getrange hexists hexpiretime hget hgetall hkeys hlen hmget hpexpiretime hpttl
    hrandfield hscan hstrlen httl hvals keys lcs lindex llen lpos lrange mget pexpiretime pfcount pttl randomkey scan
    scard sdiff sdiffcard sexpiretime sinter sintercard sismember smembers smismember sort_ro spexpiretime spttl
    srandmember sscan strlen sttl substr sunion sunioncard touch ttl type xlen xpending xrange xread xrevrange zcard
    zcount zdiff zinter zintercard zlexcount zmscore zrandmember zrange zrangebylex zrangebyscore zrank zrevrange
    zrevrangebylex zrevrangebyscore zrevrank zscan zscore zunion";

/// Whatever does something is refused, each command of the table; SCRIPT KILL and MEMORY PURGE once were not.
#[test]
fn only_what_looks_passes() {
    let (server, port) = with_port(&[("enable-debug-command", "yes")]);
    let entries = server.handle().server().commands.entries();
    let mut passed = Vec::new();
    for entry in entries.iter().filter(|entry| entry.subcommands.is_empty()) {
        let mut words: Vec<&str> = entry.full_name.split('|').collect();
        let least = entry.spec.arity.unsigned_abs() as usize;
        // A one is a key as well as how many there are.
        words.resize(least.max(words.len()), "1");
        if words[0].starts_with("wait") {
            words[1..].fill("0");
        }
        let line = serde_json::json!([words]).to_string();
        if entry.spec.flags.has(Flags::PUSHES) || entry.full_name == "monitor" {
            passed.push(entry.full_name.clone());
            continue;
        }
        let answer = post(port, "/api/command", "", &format!("{{\"commands\":{line},\"read_only\":true}}"));
        assert_eq!(status(&answer), 200, "{line}: {answer}");
        if !answer.contains("READONLY This client only looks") {
            passed.push(entry.full_name.clone());
        }
    }
    let mut known: Vec<&str> = THAT_LOOK.split_whitespace().collect();
    known.sort_unstable();
    passed.sort_unstable();
    assert_eq!(passed, known);
}

/// Scripts are refused the same, and so is what waits behind MULTI.
#[test]
fn what_does_something_is_refused_in_scripts_and_transactions() {
    let (server, port) = with_port(&[]);
    let ask = |commands: &str| {
        post(port, "/api/command", "", &format!("{{\"commands\":{commands},\"read_only\":true}}"))
    };
    let answer = ask(r#"[["EVAL","return redis.call('MEMORY', 'PURGE')","0"]]"#);
    assert!(answer.contains("READONLY"), "{answer}");
    let answer = ask(r#"[["MULTI"],["MEMORY","PURGE"],["EXEC"]]"#);
    assert!(answer.contains("READONLY This client only looks") && answer.contains("EXECABORT"), "{answer}");
    let sha = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    server.client().check("SCRIPT LOAD 'return 1'", &format!("$40~{sha}~"));
    for script in [r#"["SCRIPT","FLUSH"]"#, r#"["SCRIPT","LOAD","return 2"]"#] {
        assert!(ask(&format!("[{script}]")).contains("READONLY This client only looks"), "{script}");
    }
    server.client().check(&format!("SCRIPT EXISTS {sha}"), "*1~:1~");
}

/// Whoever logs in again and again ends sessions of his own, and not those of others.
#[test]
fn a_user_ends_no_sessions_of_others() {
    let (server, port) = with_port(&[("requirepass", "secret")]);
    let mut client = server.client();
    client.check("AUTH secret", "+OK~");
    let lasts =
        |cookie: &str| status(&post(port, "/api/command", cookie, r#"{"commands":[["PING"]]}"#)) == 200;
    let operator = log_in(port, "default", "secret");
    client.check("ACL SETUSER few on >p", "+OK~");
    let first = log_in(port, "few", "p");
    server.advance_ms(1);
    let second = log_in(port, "few", "p");
    server.advance_ms(1);
    assert!(lasts(&first));
    server.advance_ms(1);
    for _ in 0..15 {
        log_in(port, "few", "p");
    }
    assert!(lasts(&first) && !lasts(&second), "there are 16 of a user; one that was not used makes room");
    // And with many users: what one of them has too many of makes room.
    for user in 0..16 {
        client.check(&format!("ACL SETUSER u{user} on >p"), "+OK~");
        for _ in 0..16 {
            server.advance_ms(1);
            log_in(port, &format!("u{user}"), "p");
        }
    }
    assert!(lasts(&operator), "the only session of a user, which was used least lately");
}

/// What was changed since it was shown is not overwritten.
#[test]
fn a_condition_has_to_hold() {
    let (server, port) = with_port(&[]);
    let mut client = server.client();
    client.check("MSET k old other v", "+OK~");
    client.check("HSET h f 1 g 2", ":2~");
    client.check("ZADD z 1.50 m", ":1~");
    let ask = |headers: &str, condition: &str, commands: &str| {
        let answer =
            post(port, "/api/command", headers, &format!("{{\"commands\":{commands},\"if\":{condition}}}"));
        let body = answer.split_once("\r\n\r\n").expect("a head").1;
        serde_json::from_str::<serde_json::Value>(body).expect("JSON")
    };
    let set = |seen: &str| {
        let condition = format!(r#"{{"key":"k","command":["GET","k"],"reply":{seen}}}"#);
        ask("", &condition, r#"[["SET","k","new"],["STRLEN","k"]]"#)
    };
    let answer = set(r#""older""#);
    assert_eq!((&answer["replies"], &answer["found"]), (&serde_json::json!([]), &serde_json::json!("old")));
    assert!(answer["stopped"].is_string());
    client.check("GET k", "$3~old~");
    assert_eq!(set("null")["found"], "old");
    let answer = set(r#""old""#);
    assert_eq!(answer["replies"], serde_json::json!([{"simple": "OK"}, 3]));
    assert!(answer["stopped"].is_null() && answer.get("found").is_none());
    // Fields and scores; a double may be written in several ways.
    let answer = ask(
        "",
        r#"{"key":"h","command":["HGET","h","f"],"reply":"1"}"#,
        r#"[["HSET","h","f","3"],["HGET","h","f"]]"#,
    );
    assert_eq!(answer["replies"], serde_json::json!([0, "3"]));
    let answer = ask(
        "",
        r#"{"key":"z","command":["ZSCORE","z","m"],"reply":{"double":"1.500"}}"#,
        r#"[["ZADD","z","2","m"]]"#,
    );
    assert_eq!(answer["replies"], serde_json::json!([0]));
    // Errors are told as ever: of a command that is not queued, and of one that runs.
    let seen = r#"{"key":"k","command":["GET","k"],"reply":"new"}"#;
    let errors = |commands: &str| ask("", seen, commands)["replies"][0]["error"].to_string();
    assert!(errors(r#"[["NO"]]"#).contains("unknown command 'NO'"));
    assert!(errors(r#"[["INCR","k"]]"#).contains("not an integer"));
    client.check("GET k", "$3~new~");
    // A wrong type is not what was seen, and a condition that says nothing is none.
    assert!(
        ask("", r#"{"key":"h","command":["GET","h"],"reply":"1"}"#, r#"[["DEL","h"]]"#)["found"]["error"]
            .to_string()
            .contains("WRONGTYPE")
    );
    assert!(
        ask("", r#"{"key":"k"}"#, r#"[["DEL","k"]]"#)["error"].to_string().contains("if is {\\\"key\\\": …")
    );
    // Rights are those of the user, and who only looks writes nothing.
    client.check("ACL SETUSER few on >p ~k +get +set +watch +multi +exec", "+OK~");
    let cookie = log_in(port, "few", "p");
    let refused = ask(&cookie, seen, r#"[["DEL","k"]]"#)["replies"][0]["error"].to_string();
    assert!(refused.contains("NOPERM User few has no permissions to run the 'del' command"), "{refused}");
    let foreign = r#"{"key":"other","command":["GET","other"],"reply":"v"}"#;
    let refused = ask(&cookie, foreign, r#"[["SET","other","w"]]"#)["replies"][0]["error"].to_string();
    assert!(refused.contains("NOPERM No permissions to access a key"), "{refused}");
    client.check("CONFIG SET console read-only", "+OK~");
    let refused = ask("", seen, r#"[["SET","k","w"]]"#)["replies"][0]["error"].to_string();
    assert!(refused.contains("READONLY This client only looks"), "{refused}");
    client.check("MGET k other", "*2~$3~new~$1~v~");
    assert_eq!(command(port, "", r#"[["GET","k"]]"#), r#"["new"]"#);
}
