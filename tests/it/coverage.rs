//! No command without a test: every command and subcommand of the table is called here at least once.

use std::collections::BTreeSet;

use crate::harness::*;

/// A call of each command, which answers no error unless it says which.
pub const CALLS: &str = r#"
SET k v
GET k
MGET k none
GETSET k v
GETEX k EX 100
GETDEL k
SETNX k v
SETEX k 100 v
PSETEX k 100000 v
MSET k v l w
MSETNX m v
MSETEX 1 n v EX 100
DELIFEQ n v
DIGEST k
DELEX n IFEQ v
INCREX n EX 100
STRLEN k
GETRANGE k 0 -1
SUBSTR k 0 -1
SETRANGE k 1 x
APPEND k x
LCS k l
INCR i
DECR i
INCRBY i 5
DECRBY i 5
INCRBYFLOAT i 1.5
DEL m
UNLINK m
EXISTS k
TOUCH k
TYPE k
RENAME k k2
RENAMENX k2 k
COPY k k3
MOVE k3 1
RANDOMKEY
KEYS *
SCAN 0
DBSIZE
SWAPDB 1 2
EXPIRE k 100
PEXPIRE k 100000
EXPIREAT k 99999999999
PEXPIREAT k 99999999999999
TTL k
PTTL k
EXPIRETIME k
PEXPIRETIME k
PERSIST k
OBJECT ENCODING k
OBJECT FREQ k => -ERR An LFU maxmemory policy is not selected
OBJECT IDLETIME k
OBJECT REFCOUNT k
OBJECT HELP
MEMORY USAGE k
MEMORY DOCTOR
MEMORY MALLOC-STATS
MEMORY PURGE
MEMORY STATS
MEMORY HELP
KVARTS HEALTH
KVARTS CLOCK FREEZE
KVARTS SIMULATE
KVARTS COMPAT => -ERR the server runs without a profile
KVARTS BIGKEYS => -ERR sizes of keys are not kept
KVARTS PREFIXES => -ERR sizes of keys are not kept
KVARTS SLOW
KVARTS HELP
HOTKEYS START METRICS 1 CPU
HOTKEYS GET
HOTKEYS STOP
HOTKEYS RESET
HOTKEYS HELP
DEBUG SLEEP 0
DEBUG OBJECT k
DEBUG SET-ACTIVE-EXPIRE 1
DEBUG PROTOCOL string
DEBUG DIGEST
DEBUG DIGEST-VALUE k
DEBUG RELOAD
DEBUG POPULATE 3
DEBUG HTSTATS 0
DEBUG HTSTATS-KEY k => -ERR The value stored
DEBUG LISTPACK k => -ERR Not a listpack
DEBUG CONFIG-REWRITE-FORCE-ALL => -ERR CONFIG-REWRITE
DEBUG CHANGE-REPL-ID
DEBUG REPLYBUFFER RESIZING 1
DEBUG DICT-RESIZING 1
DEBUG SET-DISABLE-DENY-SCRIPTS 0
DEBUG SET-SKIP-CHECKSUM-VALIDATION 0
DEBUG AOF-FLUSH-SLEEP 0
DEBUG LOADAOF
DEBUG PAUSE-CRON 0
DEBUG CLIENT-ENFORCE-REPLY-LIST 0
MODULE LIST
MODULE LOAD /tmp/x.so => -ERR MODULE
MODULE LOADEX /tmp/x.so => -ERR MODULE
MODULE UNLOAD x => -ERR MODULE
MODULE HELP
LASTSAVE
SAVE
BGSAVE
BGREWRITEAOF
BACKUP SEAL => -ERR No backup ready to seal
BACKUP START
BACKUP STATUS
BACKUP LIST
BACKUP ABORT
BACKUP CLEANUP
BACKUP HELP
DEBUG JMAP
FUNCTION FLUSH
FUNCTION LIST
FUNCTION STATS
FUNCTION DUMP
FUNCTION KILL => -NOTBUSY
FUNCTION DELETE x => -ERR
FUNCTION LOAD x => -ERR
FUNCTION RESTORE x => -ERR
FUNCTION HELP
FCALL f 0 => -ERR
FCALL_RO f 0 => -ERR
DEBUG ERROR "ERR mine" => -ERR mine
DEBUG LOG hello
DEBUG QUICKLIST-PACKED-THRESHOLD 100b
DEBUG HELP
DUMP k
RESTORE r 0 x => -ERR DUMP payload version or checksum are wrong
RESTORE-ASKING r 0 x => -ERR DUMP payload version or checksum are wrong
MIGRATE 127.0.0.1 1 nosuch 0 10
EVAL "return 1" 0
EVALSHA 0000000000000000000000000000000000000000 0 => -NOSCRIPT
EVAL_RO "return 1" 0
EVALSHA_RO 0000000000000000000000000000000000000000 0 => -NOSCRIPT
SCRIPT LOAD "return 1"
SCRIPT EXISTS x
SCRIPT FLUSH
SCRIPT KILL => -NOTBUSY
SCRIPT SHOW x => -NOSCRIPT
SCRIPT DEBUG NO
SCRIPT HELP
REPLCONF listening-port 1
FAILOVER ABORT => -ERR No failover in progress.
REPLICAOF NO ONE
SLAVEOF NO ONE
PSYNC ? x => -ERR value is not an integer
WAIT 0 0
WAITAOF 0 0 0
MULTI
DISCARD
WATCH k
UNWATCH
EXEC => -ERR EXEC without MULTI
RPUSH waited a b c d e
ZADD zwaited 1 a 2 b 3 c
BLPOP waited 0
BRPOP waited 0
BLMOVE waited waited2 LEFT LEFT 0
BRPOPLPUSH waited waited2 0
BLMPOP 0 1 waited LEFT
BZPOPMIN zwaited 0
BZPOPMAX zwaited 0
BZMPOP 0 1 zwaited MIN
PUBLISH ch x
SPUBLISH ch x
PUBSUB CHANNELS
PUBSUB NUMSUB
PUBSUB NUMPAT
PUBSUB SHARDCHANNELS
PUBSUB SHARDNUMSUB
PUBSUB HELP
UNSUBSCRIBE
PUNSUBSCRIBE
SUNSUBSCRIBE
PING
ECHO x
SELECT 0
AUTH default x
ACL CAT
ACL DRYRUN default GET k
ACL GENPASS
ACL GETUSER default
ACL HELP
ACL LIST
ACL LOAD => -ERR This instance is not configured to use an ACL file
ACL LOG
ACL SAVE => -ERR This instance is not configured to use an ACL file
ACL SETUSER u on +get
ACL DELUSER u
ACL USERS
ACL SETROLE reader +get
ACL GETROLE reader
ACL ROLES
ACL DELROLE reader
ACL WHOAMI
HELLO 2
CLIENT ID
COMMANDLOG GET 1 slow
COMMANDLOG LEN large-request
COMMANDLOG RESET large-reply
COMMANDLOG HELP
SLOWLOG GET
SLOWLOG LEN
SLOWLOG RESET
SLOWLOG HELP
LATENCY DOCTOR
LATENCY GRAPH command => -ERR No samples available
LATENCY HISTOGRAM
LATENCY HISTORY command
LATENCY LATEST
LATENCY RESET
LATENCY HELP
CLIENT INFO
CLIENT LIST
CLIENT KILL ID 99999
CLIENT SETNAME me
CLIENT GETNAME
CLIENT SETINFO LIB-NAME x
CLIENT REPLY ON
CLIENT NO-EVICT OFF
CLIENT NO-TOUCH OFF
CLIENT PAUSE 0
CLIENT UNPAUSE
CLIENT UNBLOCK 99999
CLIENT CAPA redirect
CLIENT IMPORT-SOURCE ON => -ERR Server is not in import mode
CLIENT TRACKING ON OPTIN
CLIENT CACHING YES
CLIENT GETREDIR
CLIENT TRACKINGINFO
CLIENT TRACKING OFF
CLIENT HELP
COMMAND
COMMAND COUNT
COMMAND DOCS get
COMMAND INFO get
COMMAND LIST
COMMAND GETKEYS get k
COMMAND GETKEYSANDFLAGS get k
COMMAND HELP
CONFIG GET timeout
CONFIG SET timeout 0
CONFIG RESETSTAT
CONFIG REWRITE => -ERR The server is running without a config file
CONFIG HELP
INFO
ROLE
TIME
LOLWUT
CLUSTER SLOTS => -ERR This instance has cluster support disabled
CLUSTER SHARDS => -ERR This instance has cluster support disabled
CLUSTER NODES => -ERR This instance has cluster support disabled
CLUSTER INFO => -ERR This instance has cluster support disabled
CLUSTER KEYSLOT k
CLUSTER MYID => -ERR This instance has cluster support disabled
CLUSTER MYSHARDID => -ERR This instance has cluster support disabled
CLUSTER COUNTKEYSINSLOT 0 => -ERR This instance has cluster support disabled
CLUSTER GETKEYSINSLOT 0 1 => -ERR This instance has cluster support disabled
CLUSTER REPLICAS x => -ERR This instance has cluster support disabled
CLUSTER SLAVES x => -ERR This instance has cluster support disabled
CLUSTER LINKS => -ERR This instance has cluster support disabled
CLUSTER COUNT-FAILURE-REPORTS x => -ERR This instance has cluster support disabled
CLUSTER SLOT-STATS SLOTSRANGE 0 1 => -ERR This instance has cluster support disabled
CLUSTERSCAN 0 => -ERR This instance has cluster support disabled
CLUSTER ADDSLOTS 1 => -ERR This instance has cluster support disabled
CLUSTER ADDSLOTSRANGE 1 2 => -ERR This instance has cluster support disabled
CLUSTER BUMPEPOCH => -ERR This instance has cluster support disabled
CLUSTER DELSLOTS 1 => -ERR This instance has cluster support disabled
CLUSTER DELSLOTSRANGE 1 2 => -ERR This instance has cluster support disabled
CLUSTER FAILOVER => -ERR This instance has cluster support disabled
CLUSTER FLUSHSLOTS => -ERR This instance has cluster support disabled
CLUSTER FORGET x => -ERR This instance has cluster support disabled
CLUSTER MEET 127.0.0.1 1 => -ERR This instance has cluster support disabled
CLUSTER REPLICATE x => -ERR This instance has cluster support disabled
CLUSTER RESET => -ERR This instance has cluster support disabled
CLUSTER SAVECONFIG => -ERR This instance has cluster support disabled
CLUSTER SET-CONFIG-EPOCH 1 => -ERR This instance has cluster support disabled
CLUSTER SETSLOT 1 STABLE => -ERR This instance has cluster support disabled
CLUSTER HELP
READONLY
READWRITE
ASKING => -ERR This instance has cluster support disabled
SADD s a b c
SREM s c
SISMEMBER s a
SMISMEMBER s a x
SMEMBERS s
SCARD s
SPOP s 0
SRANDMEMBER s
SMOVE s t b
SINTER s t
SINTERCARD 2 s t
SUNIONCARD 2 s t
SDIFFCARD 2 s t
SADDEX ending EX 100 MEMBERS 2 a b
BLESS SET ending NO-EVICT
BLESS GET ending
BLESS SCAN 0 NO-EVICT
BLESS CLEAR ending NO-EVICT
BLESS HELP
SEXPIRE ending 100 MEMBERS 1 a
SPEXPIRE ending 100000 MEMBERS 1 a
SEXPIREAT ending 4102444800 MEMBERS 1 a
SPEXPIREAT ending 4102444800000 MEMBERS 1 a
STTL ending MEMBERS 1 a
SPTTL ending MEMBERS 1 a
SEXPIRETIME ending MEMBERS 1 a
SPEXPIRETIME ending MEMBERS 1 a
SPERSIST ending MEMBERS 1 a
SINTERSTORE u s t
SUNION s t
SUNIONSTORE u s t
SDIFF s t
SDIFFSTORE u s t
SSCAN s 0
HSET h f v n 1
HSETNX h g v
HSETEX h EX 100 FIELDS 1 e v
HGETEX h EX 100 FIELDS 1 e
HGETDEL h FIELDS 1 e
HIMPORT PREPARE u a b
HIMPORT SET imported u 1 2
HIMPORT DISCARD u
HIMPORT DISCARDALL
HIMPORT HELP
HMSET h f v
HGET h f
HMGET h f none
HGETALL h
HDEL h g
HEXISTS h f
HLEN h
HKEYS h
HVALS h
HSTRLEN h f
HINCRBY h n 1
HINCRBYFLOAT h x 1.5
HRANDFIELD h
HSCAN h 0
HEXPIRE h 100 FIELDS 1 f
HPEXPIRE h 100000 FIELDS 1 f
HEXPIREAT h 99999999999 FIELDS 1 f
HPEXPIREAT h 99999999999999 FIELDS 1 f
HTTL h FIELDS 1 f
HPTTL h FIELDS 1 f
HEXPIRETIME h FIELDS 1 f
HPEXPIRETIME h FIELDS 1 f
HPERSIST h FIELDS 1 f
RPUSH li a b c d
LPUSH li x
LPUSHX li y
RPUSHX li z
LPOP li
RPOP li
LLEN li
LRANGE li 0 -1
LINDEX li 0
LSET li 0 q
LINSERT li BEFORE q p
LREM li 0 none
LTRIM li 0 -1
LPOS li q
LMOVE li li2 LEFT RIGHT
LMOVEM li li2 LEFT RIGHT
BLMOVEM li2 li LEFT RIGHT 0
RPOPLPUSH li li2
LMPOP 1 li LEFT
BLPOP li2 0
BRPOP li2 0
BLMOVE li li2 LEFT RIGHT 0
BRPOPLPUSH li2 li 0
BLMPOP 0 1 li LEFT
ZADD z 1 a 2 b 3 c 4 d 5 e 6 f
ZREM z none
ZCARD z
ZSCORE z a
ZMSCORE z a none
ZINCRBY z 1 a
ZRANK z a
ZREVRANK z a
ZCOUNT z -inf +inf
ZLEXCOUNT z - +
ZRANGE z 0 -1
ZREVRANGE z 0 -1
ZRANGEBYSCORE z -inf +inf
ZREVRANGEBYSCORE z +inf -inf
ZRANGEBYLEX z - +
ZREVRANGEBYLEX z + -
ZRANGESTORE z2 z 0 -1
ZRANDMEMBER z
ZSCAN z 0
ZUNION 1 z
ZUNIONSTORE z3 1 z
ZINTER 1 z
ZINTERCARD 1 z
ZINTERSTORE z3 1 z
ZDIFF 1 z
ZDIFFSTORE z3 1 z
ZREMRANGEBYRANK z 100 200
ZREMRANGEBYSCORE z 100 200
ZREMRANGEBYLEX z [zz [zzz
ZMOVE z z4 MIN
ZMOVEMEMBER z4 z MEMBERS 1 none
BZMOVE z4 z MIN 0
ZPOPMIN z
ZPOPMAX z
ZMPOP 1 z MIN
BZPOPMIN z 0
BZPOPMAX z 0
BZMPOP 0 1 z MIN
SETBIT bits 7 1
GETBIT bits 7
BITCOUNT bits
BITPOS bits 1
BITOP NOT bits2 bits
BITFIELD bits GET u8 0
BITFIELD_RO bits GET u8 0
PFADD pf a
PFDEBUG ENCODING pf
PFSELFTEST
PFCOUNT pf
PFMERGE pf2 pf
GEOADD geo 13.361389 38.115556 a
GEOPOS geo a
GEODIST geo a a
GEOHASH geo a
GEOSEARCH geo FROMMEMBER a BYRADIUS 1 km
GEOSEARCHSTORE geo2 geo FROMMEMBER a BYRADIUS 1 km
GEORADIUS geo 13 38 100 km
GEORADIUS_RO geo 13 38 100 km
GEORADIUSBYMEMBER geo a 1 km
GEORADIUSBYMEMBER_RO geo a 1 km
SORT li ALPHA
SORT_RO li ALPHA BY none_* GET #
MULTI
EXEC
MULTI
DISCARD
WATCH k
UNWATCH
WAIT 0 0
XADD st 1-1 f v
XADD st 2-1 f w
XLEN st
XRANGE st - +
XREVRANGE st + -
XREAD STREAMS st 0
XGROUP CREATE st gr 0
XGROUP CREATECONSUMER st gr co
XREADGROUP GROUP gr co STREAMS st >
XPENDING st gr
XCLAIM st gr co 0 1-1
XAUTOCLAIM st gr co 0 0
XACK st gr 1-1
XDELEX st IDS 1 9-9
XACKDEL st gr IDS 1 9-9
XNACK st gr FAIL IDS 1 9-9
XCFGSET st IDMP-MAXSIZE 3
XIDMPRECORD st p i 1-1
XINFO STREAM st
XINFO GROUPS st
XINFO CONSUMERS st gr
XINFO HELP
XGROUP SETID st gr 0
XGROUP DELCONSUMER st gr co
XGROUP DESTROY st gr
XGROUP HELP
XDEL st 1-1
XTRIM st MAXLEN 1
XSETID st 9-9
FLUSHDB
FLUSHALL
"#;

/// Commands that change what a connection may say, or end it: each has its own test, and here a connection of
/// its own.
const ALONE: [(&str, &str); 9] = [
    ("MONITOR", "+OK~"),
    ("SUBSCRIBE ch", "*3~"),
    ("PSUBSCRIBE ch", "*3~"),
    ("SSUBSCRIBE ch", "*3~"),
    ("RESET", "+RESET~"),
    ("QUIT", "+OK~"),
    ("DEBUG PANIC", ""),
    ("SHUTDOWN ABORT", "-ERR No shutdown in progress."),
    ("CLIENT KILL TYPE pubsub", ":"),
];

/// The table's names of the commands that a line calls: the command, and the subcommand.
fn name(line: &str, known: &BTreeSet<String>) -> String {
    let words: Vec<String> = line.split_whitespace().map(str::to_lowercase).collect();
    let both = format!("{}|{}", words[0], words.get(1).map_or("", String::as_str));
    if known.contains(&both) { both } else { words[0].clone() }
}

#[test]
fn every_command_is_called() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let known: BTreeSet<String> =
        server.handle().server().commands.entries().iter().map(|entry| entry.full_name.clone()).collect();
    let is_container =
        |name: &str| name != "command" && known.iter().any(|other| other.starts_with(&format!("{name}|")));
    let mut called = BTreeSet::new();
    let mut wrong = Vec::new();
    let mut client = server.client();
    for line in CALLS.lines().filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once(" => ").unwrap_or((line, ""));
        let name = name(command, &known);
        // The list may name more than the table, never less.
        if !known.contains(&name) || is_container(&name) {
            continue;
        }
        let reply = client.raw(command);
        let right = if expected.is_empty() { !reply.starts_with('-') } else { reply.starts_with(expected) };
        if !right {
            wrong.push(format!("{command}: {reply}"));
        }
        called.insert(name);
    }
    for (command, expected) in ALONE {
        let mut client = server.client();
        client.send_command(command);
        let reply = if expected.is_empty() { client.read_to_end() } else { client.read_raw() };
        if !show(&reply).starts_with(expected) {
            wrong.push(format!("{command}: {}", show(&reply)));
        }
        called.insert(name(command, &known));
    }
    // The first would end this process, and lifecycle.rs calls it in another one. The second is answered with
    // data: replication.rs.
    let elsewhere = ["debug|segfault", "sync"];
    assert!(elsewhere.iter().all(|name| known.contains(*name)));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // A container without a subcommand answers its arity.
    let missing: Vec<&String> = known
        .iter()
        .filter(|name| !called.contains(*name) && !is_container(name) && !elsewhere.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "no call in this file: {missing:?}");
    // The server's own count agrees that each ran, or answered its own error.
    let text = server.client().value("INFO commandstats").text();
    for name in
        called.iter().filter(|name| !matches!(name.as_str(), "info" | "debug|panic" | "config|resetstat"))
    {
        let since_reset = text.contains(&format!("cmdstat_{name}:"));
        let before_reset =
            CALLS.find("CONFIG RESETSTAT").zip(position(name)).is_some_and(|(reset, at)| at < reset);
        assert!(since_reset || before_reset, "{name} was not counted");
    }
}

/// Where the list calls a command.
fn position(name: &str) -> Option<usize> {
    let line = name.replace('|', " ").to_uppercase();
    CALLS.find(&format!("\n{line} ")).or_else(|| CALLS.find(&format!("\n{line}\n")))
}

#[test]
fn every_container_answers_without_a_subcommand() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    for entry in server.handle().server().commands.entries() {
        if entry.subcommands.is_empty() || entry.full_name == "command" {
            continue;
        }
        let name = &entry.full_name;
        client.check(name, &format!("-ERR wrong number of arguments for '{name}' command~"));
        client.check(
            &format!("{name} nothing"),
            &format!("-ERR unknown subcommand 'nothing'. Try {} HELP.~", name.to_uppercase()),
        );
        let help = client.value(&format!("{name} help")).texts();
        assert!(help.len() > 2 && help[0].starts_with(&name.to_uppercase()), "{help:?}");
    }
}
