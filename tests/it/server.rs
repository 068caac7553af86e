//! COMMAND, CONFIG and other commands about the server.

use kvarts::shared::clock::Clock;

use crate::harness::*;

#[test]
fn command_and_its_subcommands() {
    table(
        r#"
        COMMAND COUNT x => -ERR wrong number of arguments for 'command|count' command~
        COMMAND INFO get => *1~*10~$3~get~:2~*2~+readonly~+fast~:1~:1~:1~*3~+@read~+@string~+@fast~*0~*1~*6~$5~flags~*2~+RO~+access~$12~begin_search~*4~$4~type~$5~index~$4~spec~*2~$5~index~:1~$9~find_keys~*4~$4~type~$5~range~$4~spec~*6~$7~lastkey~:0~$7~keystep~:1~$5~limit~:0~*0~ => *1~*10~$3~get~:2~~2~+readonly~+fast~:1~:1~:1~~3~+@read~+@string~+@fast~~0~~1~%3~$5~flags~~2~+RO~+access~$12~begin_search~%2~$4~type~$5~index~$4~spec~%1~$5~index~:1~$9~find_keys~%2~$4~type~$5~range~$4~spec~%3~$7~lastkey~:0~$7~keystep~:1~$5~limit~:0~*0~
        COMMAND INFO dbsize => *1~*10~$6~dbsize~:1~*2~+readonly~+fast~:0~:0~:0~*3~+@keyspace~+@read~+@fast~*2~$25~request_policy:all_shards~$23~response_policy:agg_sum~*0~*0~ => *1~*10~$6~dbsize~:1~~2~+readonly~+fast~:0~:0~:0~~3~+@keyspace~+@read~+@fast~~2~$25~request_policy:all_shards~$23~response_policy:agg_sum~~0~*0~
        COMMAND INFO nothing => *1~$-1~ => *1~_~
        COMMAND INFO get nothing => *2~*10~$3~get~:2~*2~+readonly~+fast~:1~:1~:1~*3~+@read~+@string~+@fast~*0~*1~*6~$5~flags~*2~+RO~+access~$12~begin_search~*4~$4~type~$5~index~$4~spec~*2~$5~index~:1~$9~find_keys~*4~$4~type~$5~range~$4~spec~*6~$7~lastkey~:0~$7~keystep~:1~$5~limit~:0~*0~$-1~ => *2~*10~$3~get~:2~~2~+readonly~+fast~:1~:1~:1~~3~+@read~+@string~+@fast~~0~~1~%3~$5~flags~~2~+RO~+access~$12~begin_search~%2~$4~type~$5~index~$4~spec~%1~$5~index~:1~$9~find_keys~%2~$4~type~$5~range~$4~spec~%3~$7~lastkey~:0~$7~keystep~:1~$5~limit~:0~*0~_~
        COMMAND INFO config|get => *1~*10~$10~config|get~:-3~*4~+admin~+noscript~+loading~+stale~:0~:0~:0~*3~+@admin~+@slow~+@dangerous~*0~*0~*0~ => *1~*10~$10~config|get~:-3~~4~+admin~+noscript~+loading~+stale~:0~:0~:0~~3~+@admin~+@slow~+@dangerous~~0~~0~*0~
        COMMAND GETKEYS get k => *1~$1~k~
        COMMAND GETKEYS mset a 1 b 2 => *2~$1~a~$1~b~
        COMMAND GETKEYS msetex 2 a 1 b 2 => *2~$1~a~$1~b~
        COMMAND GETKEYS eval script 0 => *0~
        COMMAND GETKEYS ping => -ERR The command has no key arguments~
        COMMAND GETKEYS blah a => -ERR Invalid command specified~
        COMMAND GETKEYS get => -ERR Invalid number of arguments specified for command~
        COMMAND GETKEYS rename a b => *2~$1~a~$1~b~
        COMMAND GETKEYS => -ERR wrong number of arguments for 'command|getkeys' command~
        COMMAND GETKEYSANDFLAGS get k => *1~*2~$1~k~*2~+RO~+access~ => *1~*2~$1~k~~2~+RO~+access~
        COMMAND GETKEYSANDFLAGS copy a b => *2~*2~$1~a~*2~+RO~+access~*2~$1~b~*2~+OW~+update~ => *2~*2~$1~a~~2~+RO~+access~*2~$1~b~~2~+OW~+update~
        COMMAND GETKEYSANDFLAGS mset a 1 b 2 => *2~*2~$1~a~*2~+OW~+update~*2~$1~b~*2~+OW~+update~ => *2~*2~$1~a~~2~+OW~+update~*2~$1~b~~2~+OW~+update~
        COMMAND LIST FILTERBY PATTERN getr* => *1~$8~getrange~
        COMMAND LIST FILTERBY PATTERN nothing* => *0~
        COMMAND LIST FILTERBY ACLCAT nothing => *0~
        COMMAND LIST FILTERBY MODULE nothing => *0~
        COMMAND LIST FILTERBY BLAH x => -ERR syntax error~
        COMMAND LIST BLAH => -ERR syntax error~
        COMMAND DOCS nothing => *0~ => %0~
        COMMAND BLAH => -ERR unknown subcommand 'BLAH'. Try COMMAND HELP.~
        "#,
    );
}

#[test]
fn config_get() {
    table(
        r#"
        CONFIG GET maxclients => *2~$10~maxclients~$5~10000~ => %1~$10~maxclients~$5~10000~
        CONFIG GET MAXCLIENTS => *2~$10~MAXCLIENTS~$5~10000~ => %1~$10~MAXCLIENTS~$5~10000~
        CONFIG GET nothing => *0~ => %0~
        CONFIG GET hash-max-listpack-entries hash-max-ziplist-entries => *4~$25~hash-max-listpack-entries~$3~512~$24~hash-max-ziplist-entries~$3~512~ => %2~$25~hash-max-listpack-entries~$3~512~$24~hash-max-ziplist-entries~$3~512~
        CONFIG GET appendonly save => *4~$10~appendonly~$2~no~$4~save~$0~~ => %2~$10~appendonly~$2~no~$4~save~$0~~
        CONFIG GET => -ERR wrong number of arguments for 'config|get' command~
        CONFIG SET => -ERR wrong number of arguments for 'config|set' command~
        CONFIG SET maxclients => -ERR wrong number of arguments for 'config|set' command~
        CONFIG SET nothing 1 => -ERR Unknown option or number of arguments for CONFIG SET - 'nothing'~
        CONFIG SET maxclients x => -ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument couldn't be parsed into an integer~
        CONFIG SET timeout -1 => -ERR CONFIG SET failed (possibly related to argument 'timeout') - argument must be between 0 and 2147483647 inclusive~
        CONFIG SET timeout 5 timeout 6 => -ERR CONFIG SET failed (possibly related to argument 'timeout') - duplicate parameter~
        CONFIG SET timeout 5 nothing 6 => -ERR Unknown option or number of arguments for CONFIG SET - 'nothing'~
        CONFIG GET timeout => *2~$7~timeout~$1~0~ => %1~$7~timeout~$1~0~
        CONFIG SET timeout 7 => +OK~
        CONFIG GET timeout => *2~$7~timeout~$1~7~ => %1~$7~timeout~$1~7~
        CONFIG SET timeout 0 => +OK~
        CONFIG SET port 0 => +OK~
        CONFIG GET read-only-port => *2~$14~read-only-port~$1~0~ => %1~$14~read-only-port~$1~0~
        CONFIG SET read-only-port 0 => +OK~
        CONFIG SET databases 5 => -ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config~
        CONFIG SET maxmemory-policy blah => -ERR CONFIG SET failed (possibly related to argument 'maxmemory-policy') - argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, volatile-ttl, volatile-lrm, allkeys-lru, allkeys-lfu, allkeys-random, allkeys-lrm, noeviction~
        CONFIG SET appendonly blah => -ERR CONFIG SET failed (possibly related to argument 'appendonly') - argument must be 'yes' or 'no'~
        CONFIG SET maxmemory 1gb => +OK~
        CONFIG GET maxmemory => *2~$9~maxmemory~$10~1073741824~ => %1~$9~maxmemory~$10~1073741824~
        CONFIG SET maxmemory 0 => +OK~
        CONFIG SET notify-keyspace-events KEA => +OK~
        CONFIG GET notify-keyspace-events => *2~$22~notify-keyspace-events~$3~AKE~ => %1~$22~notify-keyspace-events~$3~AKE~
        CONFIG SET notify-keyspace-events "" => +OK~
        CONFIG SET notify-keyspace-events blah => -ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - Invalid event class character. Use 'Ag$lshzxeKEtmdn'.~
        CONFIG REWRITE => -ERR The server is running without a config file~
        CONFIG RESETSTAT => +OK~
        CONFIG RESETSTAT x => -ERR wrong number of arguments for 'config|resetstat' command~
        CONFIG BLAH => -ERR unknown subcommand 'BLAH'. Try CONFIG HELP.~
        "#,
    );
}

#[test]
fn time_role_lolwut() {
    table(
        r#"
        # An offset that is never 0, as clients want one; Valkey says 0.
        !ROLE => *3~$6~master~:1~*0~
        ROLE x => -ERR wrong number of arguments for 'role' command~
        !LASTSAVE => :1700000000~
        !MODULE LIST => *0~
        MODULE LOAD x => -ERR MODULE command not allowed. If the enable-module-command option is set to "local", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.~
        TIME x => -ERR wrong number of arguments for 'time' command~
        SHUTDOWN BLAH => -ERR syntax error~
        SHUTDOWN SAVE NOSAVE => -ERR syntax error~
        SHUTDOWN ABORT => -ERR No shutdown in progress.~
        SHUTDOWN ABORT NOW => -ERR syntax error~
        "#,
    );
}

#[test]
fn debug_needs_permission() {
    let text = "-ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.~";
    let server = TestServer::start();
    server.client().check("DEBUG SLEEP 0", text);
    server.client().check("DEBUG SET-ACTIVE-EXPIRE 1", text);
    for allowed in ["yes", "local"] {
        table_with(
            &[("enable-debug-command", allowed)],
            "
            DEBUG SLEEP 0 => +OK~
            DEBUG SLEEP x => -ERR value is not a valid float~
            DEBUG SET-ACTIVE-EXPIRE 1 => +OK~
            DEBUG SET-ACTIVE-EXPIRE x => -ERR value is not an integer or out of range~
            DEBUG OBJECT missing => -ERR no such key~
            SET k v => +OK~
            DEBUG OBJECT k => +Value at:...
            DEBUG => -ERR wrong number of arguments for 'debug' command~
            ",
        );
    }
}

#[test]
fn time_is_the_servers_clock() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("TIME", "*2~$10~1700000000~$1~0~");
    server.advance_ms(61_005);
    client.check("TIME", "*2~$10~1700000061~$4~5000~");
    assert_eq!(info(&mut client, "uptime_in_seconds"), "61");
    assert_eq!(info(&mut client, "server_time_usec"), "1700000061005000");
}

#[test]
fn info_has_the_sections_that_are_asked_for() {
    let server = TestServer::start();
    let mut client = server.client();
    let titles = |client: &mut Client, command: &str| -> Vec<String> {
        let text = client.value(command).text();
        text.lines().filter_map(|line| line.strip_prefix("# ")).map(str::to_owned).collect()
    };
    let default = titles(&mut client, "INFO");
    assert_eq!(default, titles(&mut client, "INFO default"));
    assert!(
        default.contains(&"Server".to_owned()) && default.contains(&"Keyspace".to_owned()),
        "{default:?}"
    );
    assert!(!default.contains(&"Commandstats".to_owned()), "{default:?}");
    assert!(titles(&mut client, "INFO all").contains(&"Commandstats".to_owned()));
    assert!(titles(&mut client, "INFO everything").contains(&"Commandstats".to_owned()));
    assert_eq!(titles(&mut client, "INFO server CLIENTS"), ["Server", "Clients"]);
    assert_eq!(titles(&mut client, "INFO nothing"), Vec::<String>::new());
    client.check("INFO nothing", "$0~~");
    server.client3().check("INFO nothing", "=4~txt:~");
    server.client3().check("INFO keyspace", "=16~txt:# Keyspace~~");
}

#[test]
fn info_counts_what_happened() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SET k v", "+OK~");
    client.check("GET k", "$1~v~");
    client.check("GET missing", "$-1~");
    client.check("SET e v EX 10", "+OK~");
    client.check("INCR k", "-ERR value is not an integer or out of range~");
    client.check("BLAH", "-ERR unknown command 'BLAH', with args beginning with: ~");
    for (field, expected) in [
        ("keyspace_hits", "1"),
        ("keyspace_misses", "1"),
        ("connected_clients", "1"),
        ("total_connections_received", "1"),
        ("rdb_changes_since_last_save", "2"),
        ("db0", "keys=2,expires=1,avg_ttl=10000,keys_with_volatile_items=0"),
        ("errorstat_ERR", "count=2"),
        ("redis_version", "7.2.4"),
        ("server_name", "kvarts"),
        ("server_mode", "standalone"),
        ("role", "master"),
        ("cluster_enabled", "0"),
    ] {
        assert_eq!(info(&mut client, field), expected, "{field}");
    }
    let of_command = info(&mut client, "cmdstat_get");
    assert!(
        of_command.starts_with("calls=2,") && of_command.ends_with("rejected_calls=0,failed_calls=0"),
        "{of_command}"
    );
    let of_command = info(&mut client, "cmdstat_incr");
    assert!(
        of_command.starts_with("calls=1,") && of_command.ends_with("rejected_calls=0,failed_calls=1"),
        "{of_command}"
    );
    // A wait that is ended with an error counts as a call, and as rejected.
    let mut waiting = server.client();
    waiting.send_command("BLPOP q 0");
    eventually("it waits", || info(&mut client, "blocked_clients") == "1");
    client.check("REPLICAOF 127.0.0.1 1", "+OK~");
    waiting.check_next(
        "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)~",
    );
    client.check("REPLICAOF NO ONE", "+OK~");
    let of_command = info(&mut client, "cmdstat_blpop");
    assert!(
        of_command.starts_with("calls=1,") && of_command.ends_with("rejected_calls=1,failed_calls=0"),
        "{of_command}"
    );
    client.check("CONFIG RESETSTAT", "+OK~");
    assert_eq!(info(&mut client, "keyspace_hits"), "0");
    assert_eq!(info(&mut client, "tcp_port"), server.address().port().to_string());
}

#[test]
fn lolwut_names_the_version() {
    let server = TestServer::start();
    let text = server.client().value("LOLWUT").text();
    assert!(
        text.ends_with(&format!("Kvarts ver. {} (speaks Redis ver. 7.2.4)\n", kvarts::VERSION)),
        "{text}"
    );
    server.client().check("LOLWUT VERSION x", "-ERR value is not an integer or out of range~");
}

#[test]
fn every_command_is_described() {
    let server = TestServer::start();
    let mut client = server.client3();
    let commands = client.value("COMMAND").items();
    assert_eq!(client.value("COMMAND COUNT").int(), commands.len() as i64);
    let docs = client.value("COMMAND DOCS");
    for command in commands {
        let name = command.items()[0].text();
        let page = docs.field(&name);
        for field in ["summary", "since", "group", "complexity"] {
            assert!(!page.field(field).text().is_empty(), "{field} of {name}");
        }
    }
}

#[test]
fn latencies_are_kept_for_each_command() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SET k v", "+OK~");
    client.check("GET k", "$1~v~");
    let text = client.value("INFO latencystats").text();
    let line =
        text.lines().find(|line| line.starts_with("latency_percentiles_usec_set:")).expect("a line for SET");
    let names: Vec<&str> =
        line.split_once(':').unwrap().1.split(',').map(|part| part.split('=').next().unwrap()).collect();
    assert_eq!(names, ["p50", "p99", "p99.9"]);
    client.check("CONFIG SET latency-tracking-info-percentiles 90", "+OK~");
    let text = client.value("INFO latencystats").text();
    assert!(text.contains("latency_percentiles_usec_get:p90="), "{text}");
    client.check("CONFIG RESETSTAT", "+OK~");
    assert!(!client.value("INFO latencystats").text().contains("_get:"));
    client.check("CONFIG SET latency-tracking no", "+OK~");
    client.check("GET k", "$1~v~");
    assert!(!client.value("INFO latencystats").text().contains("latency_percentiles"));
}

#[test]
fn errors_are_counted_by_code_up_to_a_number() {
    let server = TestServer::start();
    let mut client = server.client();
    for number in 0..140 {
        client.value(&format!("EVAL \"return redis.error_reply('E{number} x')\" 0"));
    }
    let text = client.value("INFO errorstats").text();
    assert_eq!(text.matches("errorstat_").count(), 129, "{text}");
    assert!(text.contains("errorstat_E127:count=1\r\n"), "{text}");
    assert!(text.contains("errorstat_ERRORSTATS_OVERFLOW:count=12\r\n"), "{text}");
}

/// A text with line breaks in its first word put one into INFO's answer.
#[test]
fn errors_are_counted_by_codes_without_line_breaks() {
    let server = TestServer::start();
    let mut client = server.client();
    client.value("EVAL \"error(redis.error_reply('-ERR\\\\r\\\\n-ERR FAKE'))\" 0");
    client.value("EVAL \"return redis.error_reply('MINE\\\\nx y')\" 0");
    let text = client.value("INFO errorstats").text();
    let lines: Vec<&str> = text.trim_end().split("\r\n").collect();
    assert_eq!(lines[0], "# Errorstats");
    assert!(
        lines[1..].iter().all(|line| line.starts_with("errorstat_") && line.contains(":count=")),
        "{text:?}"
    );
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "{text:?}");
}

/// The time that commands take is told as that of the main thread on the peers.
#[test]
fn the_time_of_commands_is_told() {
    let server = TestServer::with_clock(&[], Clock::system());
    let mut client = server.client();
    for _ in 0..10 {
        client.check("PING", "+PONG~");
    }
    let active = info(&mut client, "used_active_time_main_thread");
    assert!(active.parse::<f64>().expect("seconds") > 0.0, "{active}");
    assert_eq!(active.split_once('.').expect("a point").1.len(), 6, "{active}");
}

#[test]
fn replies_before_a_panic_are_not_lost() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    client.send(b"SET k v\r\nGET k\r\nDEBUG PANIC\r\nGET k\r\n");
    assert_eq!(show(&client.read_to_end()), "+OK~$1~v~");
    server.client().check("GET k", "$1~v~");
}

#[test]
fn memory_is_told_in_figures() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SELECT 2", "+OK~");
    client.check("SET k v", "+OK~");
    let stats = client.value("MEMORY STATS");
    assert_eq!(stats.field("keys.count").int(), 1);
    assert!(stats.field("total.allocated").int() > 0);
    assert_eq!(stats.field("db.2").field("overhead.hashtable.expires"), Value::Int(0));
    assert_eq!(stats.items().len(), 70);
    let mut client = server.client3();
    assert_eq!(client.value("MEMORY STATS").field("rss-overhead.ratio"), Value::Double("1".into()));
    client.check("MEMORY PURGE", "+OK~");
    assert!(client.raw("MEMORY DOCTOR").starts_with('='));
}

#[test]
fn an_error_is_counted_once_and_where_it_came_up() {
    let server = TestServer::start();
    let mut client = server.client();
    let check = |client: &mut Client, total: &str, command: &str, ends: &str| {
        let stats = info(client, &format!("cmdstat_{command}"));
        assert!(stats.ends_with(ends), "{command}: {stats}");
        assert_eq!(info(client, "total_error_replies"), total, "{command}");
    };
    client.value("SET k");
    check(&mut client, "1", "set", "calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0");
    client.check("SET k v", "+OK~");
    client.value("LPUSH k v");
    check(&mut client, "2", "lpush", "rejected_calls=0,failed_calls=1");
    client.value("EVAL \"return redis.call('lpush', KEYS[1], 1)\" 1 k");
    check(&mut client, "3", "lpush", "rejected_calls=0,failed_calls=2");
    check(&mut client, "3", "eval", "rejected_calls=0,failed_calls=1");
    client.value("EVAL \"redis.pcall('lpush', KEYS[1], 1)\" 1 k");
    check(&mut client, "4", "lpush", "rejected_calls=0,failed_calls=3");
    check(&mut client, "4", "eval", "rejected_calls=0,failed_calls=1");
    client.check("MULTI", "+OK~");
    client.check("LPUSH k 1", "+QUEUED~");
    client.value("EXEC");
    check(&mut client, "5", "lpush", "failed_calls=4");
    check(&mut client, "5", "exec", "rejected_calls=0,failed_calls=0");
    client.check("MULTI", "+OK~");
    client.value("GET");
    client.value("EXEC");
    check(&mut client, "7", "exec", "rejected_calls=0,failed_calls=1");
    check(&mut client, "7", "get", "rejected_calls=1,failed_calls=0");
    assert_eq!(info(&mut client, "errorstat_WRONGTYPE"), "count=4");
    assert_eq!(info(&mut client, "errorstat_EXECABORT"), "count=1");
}

#[test]
fn debug_reload_reads_what_it_wrote() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    let failed = "-ERR Error trying to load the RDB dump, check server logs.~";
    client.check("DEBUG RELOAD NOSAVE", failed);
    client.check("DEBUG RELOAD NOFLUSH", "+OK~");
    client.check("RPUSH k a b", ":2~");
    client.check("DEBUG RELOAD", "+OK~");
    client.check("DEBUG RELOAD NOFLUSH", failed);
    client.check("DEBUG RELOAD noflush merge", "+OK~");
    client.check("DEBUG RELOAD NOSAVE", "+OK~");
    client.check(
        "DEBUG RELOAD other",
        "-ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.~",
    );
    client.check("LRANGE k 0 -1", "*2~$1~a~$1~b~");
    client.check("DEL k", ":1~");
    let library = "#!lua name=lib\nredis.register_function('f', function() return 1 end)";
    assert_eq!(client.call(&["FUNCTION", "LOAD", library]).text(), "lib");
    client.check("DEBUG RELOAD NOFLUSH", failed);
    client.check("FCALL f 0", ":1~");
}

/// In a transaction DEBUG RELOAD reads all values again where they are; what a file has cannot be brought in
/// there, and options that ask for it were taken without a word.
#[test]
fn debug_reload_in_a_transaction_reads_values_again() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    client.check("SET a 1", "+OK~");
    client.send(b"MULTI\r\nSET b 1\r\nDEBUG RELOAD\r\nINCR b\r\nDEBUG RELOAD NOSAVE\r\nEXEC\r\n");
    let refused = "-ERR DEBUG RELOAD in a transaction or script takes no options~";
    client.check_next("+OK~");
    (0..4).for_each(|_| client.check_next("+QUEUED~"));
    client.check_next(&format!("*4~+OK~+OK~:2~{refused}"));
    client.check("MGET a b", "*2~$1~1~$1~2~");
}

#[test]
fn debug_object_shows_a_key_that_has_ended() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    client.check("DEBUG SET-ACTIVE-EXPIRE 0", "+OK~");
    client.check("SET k v PX 1", "+OK~");
    server.advance_ms(5);
    assert!(client.raw("DEBUG OBJECT k").starts_with("+Value at:"));
    client.check("EXISTS k", ":0~");
    client.check("DEBUG OBJECT k", "-ERR no such key~");
}

/// An argument of COMMAND DOCS: its type, token, key spec, `?` for optional, `+` for multiple, `!` for a
/// token each time, and what is in it.
fn argument_shape(argument: &Value) -> String {
    let Value::Map(pairs) = argument else { panic!("a map: {argument:?}") };
    let field = |name: &str| pairs.iter().find(|(key, _)| key.text() == name).map(|(_, value)| value);
    let mut shape = field("type").expect("a type").text();
    if let Some(token) = field("token") {
        shape += &format!("={}", token.text());
    }
    if let Some(key_spec) = field("key_spec_index") {
        shape += &format!("#{}", key_spec.int());
    }
    for flag in field("flags").map_or_else(Vec::new, Value::texts) {
        shape += match flag.as_str() {
            "optional" => "?",
            "multiple" => "+",
            "multiple_token" => "!",
            other => panic!("{other}"),
        };
    }
    if let Some(children) = field("arguments") {
        shape += &format!("({})", children.items().iter().map(argument_shape).collect::<Vec<_>>().join(" "));
    }
    shape
}

/// Choices in mid-syntax took all before and behind them along, tokens of groups went to their first value,
/// and clients' hints were wrong. Looked up at Valkey 9.1.2.
#[test]
fn command_docs_tell_the_structure_of_arguments() {
    let server = TestServer::start();
    let mut client = server.client3();
    for (command, shape) in [
        (
            "LMOVE",
            "key#0 key#1 oneof(pure-token=LEFT pure-token=RIGHT) oneof(pure-token=LEFT pure-token=RIGHT)",
        ),
        ("BLMPOP", "double integer key#0+ oneof(pure-token=LEFT pure-token=RIGHT) integer=COUNT?"),
        ("ZMPOP", "integer key#0+ oneof(pure-token=MIN pure-token=MAX) integer=COUNT?"),
        (
            "BITOP",
            "oneof(pure-token=AND pure-token=OR pure-token=XOR pure-token=NOT \
             pure-token=DIFF pure-token=DIFF1 pure-token=ANDOR pure-token=ONE) key#0 key#1+",
        ),
        (
            "BITFIELD",
            "key#0 oneof?+(block=GET(string integer) block(oneof=OVERFLOW?(pure-token=WRAP pure-token=SAT \
             pure-token=FAIL) oneof(block=SET(string integer integer) block=INCRBY(string integer integer))))",
        ),
        ("BITFIELD_RO", "key#0 block=GET?+!(string integer)"),
        (
            "SORT",
            "key#0 pattern=BY#1? block=LIMIT?(integer integer) pattern=GET#1?+! oneof?(pure-token=ASC pure-token=DESC) \
             pure-token=ALPHA? key=STORE#2?",
        ),
        (
            "XADD",
            "key#0 pure-token=NOMKSTREAM? oneof?(pure-token=KEEPREF pure-token=DELREF pure-token=ACKED) \
             oneof?(string=IDMPAUTO block=IDMP(string string)) \
             block?(oneof(pure-token=MAXLEN pure-token=MINID) oneof?(pure-token== \
             pure-token=~) string integer=LIMIT?) oneof(pure-token=* string) block+(string string)",
        ),
        (
            "XREADGROUP",
            "block=GROUP(string string) integer=COUNT? integer=MAXCOUNT? integer=MAXSIZE? \
             integer=BLOCK? integer=CLAIM? pure-token=NOACK? block=STREAMS(key#0+ string+)",
        ),
        ("LCS", "key#0 key#0 pure-token=LEN? pure-token=IDX? integer=MINMATCHLEN? pure-token=WITHMATCHLEN?"),
        ("ZRANGEBYLEX", "key#0 string string block=LIMIT?(integer integer)"),
        (
            "HEXPIREAT",
            "key#0 integer oneof?(pure-token=NX pure-token=XX pure-token=GT pure-token=LT) block=FIELDS(integer#0 string+)",
        ),
        ("SCRIPT|DEBUG", "oneof(pure-token=YES pure-token=SYNC pure-token=NO) string?"),
        (
            "CLIENT|KILL",
            "oneof(string oneof+(integer=ID?+ oneof=TYPE?(pure-token=NORMAL pure-token=MASTER pure-token=PRIMARY \
             pure-token=SLAVE pure-token=REPLICA pure-token=PUBSUB) string=USER? string=ADDR? string=LADDR? \
             oneof=SKIPME?(pure-token=YES pure-token=NO) integer=MAXAGE? string=NAME? integer=IDLE? string=FLAGS? \
             string=LIB-NAME? string=LIB-VER? integer=DB? string=CAPA? string=IP? oneof=NOT-TYPE?(pure-token=NORMAL \
             pure-token=MASTER pure-token=PRIMARY pure-token=SLAVE pure-token=REPLICA pure-token=PUBSUB) \
             integer=NOT-ID?+ string=NOT-USER? string=NOT-ADDR? string=NOT-LADDR? string=NOT-NAME? string=NOT-FLAGS? \
             string=NOT-LIB-NAME? string=NOT-LIB-VER? integer=NOT-DB? string=NOT-CAPA? string=NOT-IP?))",
        ),
        ("HELLO", "block?(integer block=AUTH?(string string) string=SETNAME?)"),
        (
            "SHUTDOWN",
            "oneof?(block(oneof?(pure-token=NOSAVE pure-token=SAVE) pure-token=NOW? pure-token=FORCE? \
             pure-token=SAFE? pure-token=FAILOVER?) pure-token=ABORT)",
        ),
    ] {
        let docs = client.value(&format!("COMMAND DOCS {command}")).items();
        let Value::Map(fields) = &docs[1] else { panic!("a map") };
        let (_, arguments) = fields.iter().find(|(name, _)| name.text() == "arguments").expect("arguments");
        let shapes: Vec<String> = arguments.items().iter().map(argument_shape).collect();
        assert_eq!(shapes.join(" "), shape, "{command}");
    }
}

/// HELLO tells the zone, behind all else, where one is set; INFO shows the mode under both names.
#[test]
fn the_zone_and_the_mode_are_told() {
    let server = TestServer::start();
    let mut client = server.client();
    assert_eq!(client.value("HELLO").items().len(), 14);
    client.check("CONFIG SET availability-zone z1", "+OK~");
    let hello = client.value("HELLO").items();
    assert_eq!(hello[14..].iter().map(Value::text).collect::<Vec<_>>(), ["availability_zone", "z1"]);
    assert_eq!(info(&mut client, "availability_zone"), "z1");
    assert_eq!(info(&mut client, "server_mode"), "standalone");
    assert_eq!(info(&mut client, "redis_mode"), "standalone");
}
