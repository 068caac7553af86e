//! Scripts and functions.

use crate::harness::*;
use kvarts::shared::clock::Clock;

/// A client's EVAL of a script, its keys and arguments.
fn eval(client: &mut Client, script: &str, keys: &[&str], arguments: &[&str]) -> Value {
    let count = keys.len().to_string();
    let words = ["EVAL", script, &count].into_iter().chain(keys.iter().chain(arguments).copied());
    client.call(&words.collect::<Vec<_>>())
}

#[track_caller]
fn answers(client: &mut Client, script: &str, expected: &str) {
    client.send(&encode(&["EVAL", script, "0"]));
    assert_eq!(show(&client.read_raw()), expected, "{script}");
}

#[test]
fn values_become_replies() {
    let server = TestServer::start();
    let mut client = server.client();
    for (script, expected) in [
        ("return 1", ":1~"),
        ("return 3.99", ":3~"),
        ("return -1.5", ":-1~"),
        ("return 1/0", ":-9223372036854775808~"),
        ("return 'a'", "$1~a~"),
        ("return true", ":1~"),
        ("return false", "$-1~"),
        ("return nil", "$-1~"),
        ("return {1,2,nil,3}", "*2~:1~:2~"),
        ("return {ok='fine'}", "+fine~"),
        ("return {err='bad thing'}", "-bad thing~"),
        ("return redis.error_reply('X')", "-ERR X~"),
        ("return redis.error_reply('-X y')", "-X y~"),
        ("return redis.status_reply('x')", "+x~"),
        ("return {double=3.5}", "$3~3.5~"),
        ("return {map={a=1}}", "*2~$1~a~:1~"),
        ("return {set={a=true}}", "*1~$1~a~"),
        ("return {big_number='123'}", "$3~123~"),
        ("return {verbatim_string={format='txt',string='hi'}}", "$2~hi~"),
        ("return redis.call('set','k','v')", "+OK~"),
        ("return redis.call('get','k')", "$1~v~"),
        ("return type(redis.call('get','none'))", "$7~boolean~"),
        ("return redis.sha1hex('')", "$40~da39a3ee5e6b4b0d3255bfef95601890afd80709~"),
        ("return redis.call('echo', 2^53)", "$16~9007199254740992~"),
        ("return redis.call('echo', 0.1)", "$3~0.1~"),
        ("return cjson.encode({1,'a'})", "$7~[1,\"a\"]~"),
        ("return struct.size('i4')", ":4~"),
        ("return bit.band(7, 10)", ":2~"),
        ("return cmsgpack.unpack(cmsgpack.pack(5))", ":5~"),
        ("return redis.call('blpop','none',0)", "$-1~"),
    ] {
        answers(&mut client, script, expected);
    }
    let mut client = server.client3();
    for (script, expected) in [
        ("return {true,false,{double=3.5}}", "*3~:1~_~,3.5~"),
        ("redis.setresp(3) return {true,false}", "*2~#t~#f~"),
        ("redis.setresp(3) return redis.call('hgetall','none')", "%0~"),
        ("redis.setresp(3) return type(redis.call('get','none'))", "$3~nil~"),
    ] {
        answers(&mut client, script, expected);
    }
}

#[test]
fn tables_that_cannot_be_changed_can_be_walked() {
    let server = TestServer::start();
    let mut client = server.client();
    answers(
        &mut client,
        "local names={} for name in pairs(os) do names[#names+1]=name end return names",
        "*1~$5~clock~",
    );
    answers(&mut client, "return next(os)", "$5~clock~");
    answers(&mut client, "local sum=0 for _,value in pairs({1,2,3}) do sum=sum+value end return sum", ":6~");
    answers(&mut client, "return next({})", "$-1~");
}

// Long: a table of scripts and their errors.
#[test]
fn errors_name_their_place() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SET text x", "+OK~");
    for (script, expected) in [
        ("x y", "-ERR Error compiling script (new function): user_script:1: '=' expected near 'y'~"),
        (
            "return foo",
            "-ERR user_script:1: Script attempted to access nonexistent global variable 'foo' script: on @user_script:1.~",
        ),
        ("\nfoo=1", "-ERR user_script:2: Attempt to modify a readonly table script: on @user_script:2.~"),
        (
            "local f,t=pairs(string) t.x=1",
            "-ERR user_script:1: Attempt to modify a readonly table script: on @user_script:1.~",
        ),
        ("string.x=1", "-ERR user_script:1: Attempt to modify a readonly table script: on @user_script:1.~"),
        ("setmetatable(_G,{})", "-ERR Attempt to modify a readonly table script: on @user_script:1.~"),
        ("rawset(_G,'x',1)", "-ERR Attempt to modify a readonly table script: on @user_script:1.~"),
        ("table.insert(redis,1)", "-ERR Attempt to modify a readonly table script: on @user_script:1.~"),
        ("return rawset(_G,'x',1)", "-ERR Attempt to modify a readonly table script: on @user_script:1.~"),
        (
            "return rawset({}, 1)",
            "-ERR user_script:1: bad argument #3 to 'rawset' (value expected) script: on @user_script:1.~",
        ),
        ("rawset({}, nil, 1)", "-ERR table index is nil script: on @user_script:1.~"),
        (
            "return setmetatable()",
            "-ERR user_script:1: bad argument #1 to 'setmetatable' (table expected, got no value) script: on @user_script:1.~",
        ),
        (
            "return setmetatable({})",
            "-ERR user_script:1: bad argument #2 to 'setmetatable' (nil or table expected) script: on @user_script:1.~",
        ),
        (
            "return setmetatable(setmetatable({}, {__metatable = false}), nil)",
            "-ERR user_script:1: cannot change a protected metatable script: on @user_script:1.~",
        ),
        (
            "return load('return 1')",
            "-ERR user_script:1: bad argument #1 to 'load' (function expected, got string) script: on @user_script:1.~",
        ),
        (
            "return loadstring()",
            "-ERR user_script:1: bad argument #1 to 'loadstring' (string expected, got no value) script: on @user_script:1.~",
        ),
        (
            "local s = 'abc' return s:gmatch()",
            "-ERR user_script:1: bad argument #1 to 'gmatch' (string expected, got no value) script: on @user_script:1.~",
        ),
        (
            "next()",
            "-ERR user_script:1: bad argument #1 to 'next' (table expected, got no value) script: on @user_script:1.~",
        ),
        (
            "unpack()",
            "-ERR user_script:1: bad argument #1 to 'unpack' (table expected, got no value) script: on @user_script:1.~",
        ),
        (
            "xpcall(error)",
            "-ERR user_script:1: bad argument #2 to 'xpcall' (value expected) script: on @user_script:1.~",
        ),
        (
            "coroutine.resume(1)",
            "-ERR user_script:1: bad argument #1 to 'resume' (coroutine expected) script: on @user_script:1.~",
        ),
        // The place is that of the innermost code, whatever compiled it.
        (
            "local f = loadstring('return absent') local a = f() return a",
            "-ERR [string \"return absent\"]:1: Script attempted to access nonexistent global variable 'absent' script: on return absent:1.~",
        ),
        ("error('boom')", "-ERR user_script:1: boom script: on @user_script:1.~"),
        ("error({err='MY x'})", "-MY x script: on @user_script:1.~"),
        ("error({1})", "-ERR unknown error script: on @user_script:1.~"),
        (
            "return redis.call('lpush','text','a')",
            "-WRONGTYPE Operation against a key holding the wrong kind of value script: on @user_script:1.~",
        ),
        (
            "return redis.pcall('lpush','text','a')",
            "-WRONGTYPE Operation against a key holding the wrong kind of value~",
        ),
        (
            "local ok, e = pcall(redis.call,'lpush','text','a') return {type(e), e}",
            "*2~$6~string~$65~WRONGTYPE Operation against a key holding the wrong kind of value~",
        ),
        (
            "return redis.call('nosuch')",
            "-ERR Unknown command called from script script: on @user_script:1.~",
        ),
        (
            "return redis.call('get')",
            "-ERR Wrong number of args calling command from script script: on @user_script:1.~",
        ),
        (
            "return redis.call()",
            "-ERR Please specify at least one argument for this call script: on @user_script:1.~",
        ),
        (
            "return redis.call('get',{})",
            "-ERR Command arguments must be strings or integers script: on @user_script:1.~",
        ),
        (
            "redis.call('multi')",
            "-ERR This Valkey command is not allowed from script script: on @user_script:1.~",
        ),
        (
            "local function f() return f() + 1 end return f()",
            "-ERR user_script:1: stack overflow script: on @user_script:1.~",
        ),
        ("return loadstring(string.dump(function() end))", "$-1~"),
        (
            "return print",
            "-ERR user_script:1: Script attempted to access nonexistent global variable 'print' script: on @user_script:1.~",
        ),
    ] {
        answers(&mut client, script, expected);
    }
    client.check("EVAL x", "-ERR wrong number of arguments for 'eval' command~");
    client.check("EVAL x y z", "-ERR value is not an integer or out of range~");
    client.check("EVAL x -1", "-ERR Number of keys can't be negative~");
    client.check("EVAL x 2 a", "-ERR Number of keys can't be greater than number of args~");
    client.check("EVALSHA ffffffffffffffffffffffffffffffffffffffff 0", "-NOSCRIPT No matching script.~");
}

#[test]
fn read_only_scripts_do_not_write() {
    let server = TestServer::start();
    let mut client = server.client();
    let refused = "ERR Write commands are not allowed from read-only scripts. script: on @user_script";
    let write = "return redis.call('set',KEYS[1],'v')";
    let reply = client.call(&["EVAL_RO", write, "1", "k"]);
    assert_eq!(reply.text(), format!("{refused}:1."));
    let flagged = format!("#!lua flags=no-writes\n{write}");
    assert_eq!(eval(&mut client, &flagged, &["k"], &[]).text(), format!("{refused}:2."));
    client.check("EXISTS k", ":0~");
}

#[test]
fn scripts_on_the_read_only_port_do_not_write() {
    let port = free_port().to_string();
    let server = TestServer::with(&[("read-only-port", port.as_str())]);
    server.client().check("SET k v", "+OK~");
    let mut client = server.read_only_client();
    assert_eq!(eval(&mut client, "return redis.call('get', KEYS[1])", &["k"], &[]).text(), "v");
    let reply = eval(&mut client, "return redis.call('set', KEYS[1], 'changed')", &["k"], &[]).text();
    assert_eq!(reply, "READONLY You can't write against a read only replica. script: on @user_script:1.");
    server.client().check("GET k", "$1~v~");
}

#[test]
fn scripts_are_known_by_their_digest() {
    let server = TestServer::start();
    let mut client = server.client();
    let sha = client.call(&["SCRIPT", "LOAD", "return ARGV[1]"]).text();
    client.check(&format!("EVALSHA {sha} 0 hello"), "$5~hello~");
    client.check(&format!("EVALSHA {} 0 hello", sha.to_uppercase()), "$5~hello~");
    client.check(&format!("SCRIPT EXISTS {sha} ffff"), "*2~:1~:0~");
    client.check(&format!("SCRIPT SHOW {sha}"), "$14~return ARGV[1]~");
    client.check("SCRIPT FLUSH", "+OK~");
    client.check(&format!("EVALSHA {sha} 0 hello"), "-NOSCRIPT No matching script.~");
}

#[test]
fn a_script_that_fails_can_be_undone() {
    let server = TestServer::with(&[("notify-keyspace-events", "KEA")]);
    let (mut client, mut listener) = (server.client(), server.client());
    client.check("SET stock 5 EX 100", "+OK~");
    client.check("SET orders text", "+OK~");
    listener.send_command("PSUBSCRIBE *");
    listener.read();
    let body = "redis.call('decr', KEYS[1]) redis.call('set', KEYS[3], 1) redis.call('publish', 'c', 'm') return redis.call('lpush', KEYS[2], 'order')";
    let keys = ["stock", "orders", "new"];
    let atomic = format!("#!lua flags=atomic\n{body}");
    let reply = eval(&mut client, &atomic, &keys, &[]).text();
    assert!(reply.starts_with("WRONGTYPE"), "{reply}");
    client.check("GET stock", "$1~5~");
    client.check("TTL stock", ":100~");
    client.check("EXISTS new", ":0~");
    // Without the flag it is as in Redis: what was done stays.
    let reply = eval(&mut client, body, &keys, &[]).text();
    assert!(reply.starts_with("WRONGTYPE"), "{reply}");
    client.check("GET stock", "$1~4~");
    client.check("EXISTS new", ":1~");
    // The listener heard only of the second.
    let heard: Vec<String> = (0..5).map(|_| listener.read().texts()[2].clone()).collect();
    assert_eq!(
        heard,
        ["__keyspace@0__:stock", "__keyevent@0__:incrby", "__keyspace@0__:new", "__keyevent@0__:set", "c"]
    );
}

#[test]
fn scripts_with_undeclared_keys_work_and_are_counted() {
    let server = TestServer::start();
    let mut client = server.client();
    let script = "for i = 1, 10 do redis.call('set', 'key:' .. i, i) end return redis.call('dbsize')";
    assert_eq!(eval(&mut client, script, &[], &[]).int(), 10);
    assert_eq!(server.info("scripts_ran_alone"), "1");
    let script = "return redis.call('get', KEYS[1])";
    assert_eq!(eval(&mut client, script, &["key:3"], &[]).text(), "3");
    assert_eq!(server.info("scripts_ran_alone"), "1");
    // Databases, too.
    let script = "redis.call('select', 3) redis.call('set', 'k', 'three') return redis.call('get', 'k')";
    assert_eq!(eval(&mut client, script, &[], &[]).text(), "three");
    client.check("GET k", "$-1~");
}

#[test]
fn scripts_in_transactions() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("MULTI", "+OK~");
    client.send(&encode(&["EVAL", "return redis.call('incr', KEYS[1])", "1", "n"]));
    client.check_next("+QUEUED~");
    client.send(&encode(&["EVAL", "return redis.call('incr', 'n')", "0"]));
    client.check_next("+QUEUED~");
    client.check("EXEC", "*2~:1~:2~");
}

#[test]
fn slow_scripts_stand_in_the_way_of_their_keys_only() {
    let server = TestServer::with_clock(&[("busy-reply-threshold", "50")], Clock::system());
    let (mut slow, mut other) = (server.client(), server.client());
    other.check("SCRIPT KILL", "-NOTBUSY No scripts in execution right now.~");
    slow.send(&encode(&["EVAL", "while true do redis.call('get', KEYS[1]) end", "1", "k"]));
    eventually("its key is busy", || other.raw("SET k v").starts_with("-BUSY"));
    other.check("SET free v", "+OK~");
    other.check("PING", "+PONG~");
    // What looks at the whole keyspace without a lock of any slot waits for none.
    assert!(other.raw("DBSIZE").starts_with(':'));
    assert!(other.value("INFO").text().contains("db0:keys="));
    // One that says nothing of its keys stands in everybody's way.
    let mut second = server.client();
    second.send(&encode(&["EVAL", "while true do end", "0"]));
    eventually("all is busy", || other.raw("PING").starts_with("-BUSY"));
    other.check("MULTI", "+OK~");
    assert!(other.raw("EXEC").starts_with("-EXECABORT Transaction discarded because of: BUSY"));
    other.check("SCRIPT KILL", "+OK~");
    // While the one still ends, what the other asks for is refused.
    for client in [&mut slow, &mut second] {
        client.check_next("-ERR Script killed by user with SCRIPT KILL. script: on @user_script:1.~");
    }
    slow.check("PING", "+PONG~");
    second.check("PING", "+PONG~");
    other.check("SET k v", "+OK~");
}

#[test]
fn a_script_that_wrote_can_be_killed_only_if_it_can_be_undone() {
    let server = TestServer::with_clock(&[("busy-reply-threshold", "50")], Clock::system());
    let (mut slow, mut other) = (server.client(), server.client());
    let body = "redis.call('set', KEYS[1], 'changed') while redis.call('get', KEYS[2]) ~= 'stop' do end";
    slow.send(&encode(&["EVAL", &format!("#!lua flags=atomic\n{body}"), "2", "k", "l"]));
    // Its time limit ends it.
    let reply = slow.read().text();
    assert!(reply.contains("took longer than busy-reply-threshold"), "{reply}");
    other.check("EXISTS k", ":0~");
    other.check("CONFIG SET busy-reply-threshold 0", "+OK~");
    slow.send(&encode(&["EVAL", &format!("#!lua flags=atomic\n{body}"), "2", "k", "l"]));
    eventually("it can be killed", || other.raw("SCRIPT KILL") == "+OK~");
    slow.check_next("-ERR Script killed by user with SCRIPT KILL. script: on @user_script:2.~");
    other.check("EXISTS k", ":0~");
    // A bounded loop: nothing can end this one.
    let bounded = "redis.call('set', KEYS[1], 'changed') local t = os.clock() while os.clock() < t + 0.3 do end return 1";
    slow.send(&encode(&["EVAL", bounded, "1", "k"]));
    eventually("it is seen", || other.raw("SCRIPT KILL").starts_with("-UNKILLABLE"));
    slow.check_next(":1~");
    other.check("GET k", "$7~changed~");
}

#[test]
fn a_slow_function_is_alone_and_can_be_killed() {
    let server = TestServer::with_clock(&[("busy-reply-threshold", "10")], Clock::system());
    let (mut slow, mut client) = (server.client(), server.client());
    const CODE: &str = "#!lua name=slow\nserver.register_function('spin', function() while true do end end)";
    assert_eq!(client.call(&["FUNCTION", "LOAD", CODE]).text(), "slow");
    slow.send_command("FCALL spin 0");
    eventually("it is in the way", || client.raw("GET k").starts_with("-BUSY"));
    client.check(
        "SCRIPT KILL",
        "-BUSY Valkey is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.~",
    );
    client.check("FUNCTION KILL", "+OK~");
    slow.check_next("-ERR Script killed by user with FUNCTION KILL. script: on @user_function:2.~");
    client.check("GET k", "$-1~");
}

#[test]
fn functions_with_declared_keys_run_under_their_locks() {
    let server = TestServer::with_clock(&[("busy-reply-threshold", "10")], Clock::system());
    let (mut slow, mut client) = (server.client(), server.client());
    const CODE: &str = "#!lua name=own
local function add(keys, args) return redis.call('incrby', keys[1], args[1]) end
redis.register_function('add', add)
redis.register_function{function_name = 'spin', callback = function(k) while true do redis.call('get', k[1]) end end}";
    assert_eq!(client.call(&["FUNCTION", "LOAD", CODE]).text(), "own");
    client.check("FCALL add 1 n 5", ":5~");
    client.check(
        "FCALL add 1 n x",
        "-ERR value is not an integer or out of range script: on @user_function:2.~",
    );
    slow.send_command("FCALL spin 1 k");
    eventually("its key is busy", || client.raw("GET k").starts_with("-BUSY"));
    client.check("FCALL add 1 n 1", ":6~");
    client.check("SET free v", "+OK~");
    client.check("FUNCTION KILL", "+OK~");
    slow.check_next("-ERR Script killed by user with FUNCTION KILL. script: on @user_function:4.~");
    assert_eq!(server.info("scripts_ran_alone"), "0");
}

#[test]
fn functions_that_reach_for_undeclared_keys_run_alone() {
    let server = TestServer::start();
    let mut client = server.client();
    // What the reading of the source takes for a command that the caller names is another one when it is
    // called.
    const CODE: &str = "#!lua name=sly
redis.register_function('move', function(keys, args)
    args[1] = 'rename'
    return redis.call(args[1], keys[1], args[2])
end)
redis.register_function('late', function(keys, args)
    redis.call('set', keys[1], 'x')
    args[1] = 'rename'
    return redis.call(args[1], keys[1], args[2])
end)";
    let load = ["FUNCTION", "LOAD", "REPLACE", CODE];
    assert_eq!(client.call(&load).text(), "sly");
    client.check("SET k v", "+OK~");
    // It has changed nothing yet, so it runs again.
    client.check("FCALL move 1 k set other", "+OK~");
    client.check("GET other", "$1~v~");
    assert_eq!(server.info("scripts_ran_alone"), "1");
    // From now on it is alone from the start.
    client.check("FCALL late 1 k set third", "+OK~");
    assert_eq!(server.info("scripts_ran_alone"), "2");
    assert_eq!(client.call(&load).text(), "sly");
    client.check(
        "FCALL late 1 k set fourth",
        "-ERR The function reached for a key that it did not declare. script: on @user_function:9.~",
    );
    client.check("FCALL late 1 k set fourth", "+OK~");
    client.check("GET fourth", "$1~x~");
    // A script likewise.
    let script = "ARGV[1] = 'rename' return redis.call(ARGV[1], KEYS[1], ARGV[2])";
    assert_eq!(eval(&mut client, script, &["fourth"], &["set", "fifth"]).text(), "OK");
    client.check("GET fifth", "$1~x~");
}

#[test]
fn functions_are_loaded_listed_and_called() {
    let server = TestServer::start();
    let mut client = server.client();
    let code = "#!lua name=lib\nredis.register_function('f', function(keys, args) return redis.call('set', keys[1], args[1]) end)\nredis.register_function{function_name='g', callback=function() return 'g' end, flags={'no-writes'}}";
    assert_eq!(client.call(&["FUNCTION", "LOAD", code]).text(), "lib");
    client.check("FCALL f 1 k v", "+OK~");
    client.check("FCALL g 0", "$1~g~");
    client.check("FCALL_RO g 0", "$1~g~");
    client.check("FCALL_RO f 1 k v", "-ERR Can not execute a script with write flag using *_ro command.~");
    assert_eq!(client.call(&["FUNCTION", "LOAD", code]).text(), "ERR Library 'lib' already exists");
    let Value::Bulk(dump) = client.value("FUNCTION DUMP") else { panic!("a payload") };
    let restored = client.call(&[&b"FUNCTION"[..], b"RESTORE", &dump]);
    assert_eq!(restored.text(), "ERR Library lib already exists");
    client.check("FUNCTION FLUSH", "+OK~");
    client.check("FCALL g 0", "-ERR Function not found~");
    assert_eq!(client.call(&[&b"FUNCTION"[..], b"RESTORE", &dump]).text(), "OK");
    client.check("FCALL g 0", "$1~g~");
    client.check("FUNCTION DELETE lib", "+OK~");
    client.check("FUNCTION DELETE lib", "-ERR Library not found~");
    client.check("FUNCTION LIST", "*0~");
}

/// The reply to loading a library with this body.
fn load(client: &mut Client, body: &str) -> String {
    client.send(&encode(&["FUNCTION", "LOAD", "REPLACE", &format!("#!lua name=lib\n{body}")]));
    show(&client.read_raw())
}

#[test]
fn a_library_that_loads_may_register_functions_and_log() {
    let server = TestServer::start();
    let mut client = server.client();
    for name in ["math", "os", "pairs", "string", "_G", "pcall", "KEYS", "cjson"] {
        assert_eq!(
            load(&mut client, &format!("return {name}")),
            format!(
                "-ERR Error registering functions: ERR user_function:2: Script attempted to access nonexistent global variable '{name}'~"
            )
        );
    }
    for name in ["call", "pcall", "setresp", "set_repl", "sha1hex", "error_reply", "acl_check_cmd"] {
        assert_eq!(
            load(&mut client, &format!("return redis.{name}(3)")),
            format!(
                "-ERR Error registering functions: ERR user_function:2: Script attempted to access nonexistent global variable '{name}'~"
            )
        );
    }
    let read_only =
        "-ERR Error registering functions: ERR user_function:2: Attempt to modify a readonly table~";
    assert_eq!(load(&mut client, "redis.call = 1"), read_only);
    assert_eq!(load(&mut client, "a = 1"), read_only);
    assert_eq!(
        load(
            &mut client,
            "server.log(redis.LOG_DEBUG, redis.REDIS_VERSION) redis.register_function(12, function() end)"
        ),
        "$3~lib~"
    );
    client.check("FCALL 12 0", "$-1~");
    // A number is as good as a text, in names too.
    assert_eq!(
        load(
            &mut client,
            "redis.register_function{function_name=13, callback=function() end, description=1.5}"
        ),
        "$3~lib~"
    );
    client.check(
        "FUNCTION LIST",
        "*1~*6~$12~library_name~$3~lib~$6~engine~$3~LUA~$9~functions~*1~*6~$4~name~$2~13~$11~description~$3~1.5~$5~flags~*0~",
    );
    assert_eq!(
        load(&mut client, "redis.register_function{[1]=2}"),
        "-ERR Error registering functions: ERR unknown argument given to server.register_function~"
    );
    assert_eq!(
        load(&mut client, "while true do end"),
        "-ERR Error registering functions: ERR FUNCTION LOAD timeout~"
    );
    // The machine is as good as before.
    client.check("FCALL 13 0", "$-1~");
}

#[test]
fn a_function_that_runs_cannot_register_another() {
    let server = TestServer::start();
    let mut client = server.client();
    for (body, expected) in [
        ("return type(redis.register_function)", "$3~nil~"),
        ("return type(server.breakpoint)", "$3~nil~"),
        ("return lib.SERVER_NAME", "$6~kvarts~"),
        ("return redis.call('ping')", "+PONG~"),
        ("return redis.pcall('ping')", "+PONG~"),
        ("return redis.acl_check_cmd('ping')", ":1~"),
        ("return redis.sha1hex('')", "$40~da39a3ee5e6b4b0d3255bfef95601890afd80709~"),
        ("return math.abs(-1) + redis.REPL_ALL", ":4~"),
        ("return tostring(_G.redis == redis)", "$4~true~"),
        ("return redis.foo", "$-1~"),
        (
            "redis.register_function('g', function() end)",
            "-ERR user_function:2: attempt to call field 'register_function' (a nil value) script: on @user_function:2.~",
        ),
        (
            "lib.register_function('g', function() end)",
            "-ERR server.register_function can only be called on FUNCTION LOAD command script: on @user_function:2.~",
        ),
        (
            "register('g', function() end)",
            "-ERR server.register_function can only be called on FUNCTION LOAD command script: on @user_function:2.~",
        ),
        (
            "return lib.call('ping')",
            "-ERR user_function:2: Script attempted to access nonexistent global variable 'call' script: on @user_function:2.~",
        ),
        // The last script's keys are not seen.
        (
            "return KEYS",
            "-ERR user_function:2: Script attempted to access nonexistent global variable 'KEYS' script: on @user_function:2.~",
        ),
        (
            "lib.x = 1",
            "-ERR user_function:2: Attempt to modify a readonly table script: on @user_function:2.~",
        ),
        ("x = 1", "-ERR user_function:2: Attempt to modify a readonly table script: on @user_function:2.~"),
    ] {
        assert_eq!(eval(&mut client, "return #KEYS", &["k"], &[]).text(), "1");
        let library = format!(
            "local lib, register = redis, redis.register_function lib.register_function('f', function() {body} end)"
        );
        assert_eq!(load(&mut client, &library), "$3~lib~", "{body}");
        assert_eq!(client.raw("FCALL f 0"), expected, "{body}");
    }
}

#[test]
fn for_tests_scripts_may_call_what_they_may_not_call() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    let denied = "-ERR This Valkey command is not allowed from script script: on @user_script:1.~";
    answers(&mut client, "return redis.call('debug', 'protocol', 'integer')", denied);
    client.check("DEBUG SET-DISABLE-DENY-SCRIPTS 1", "+OK~");
    answers(&mut client, "return redis.call('debug', 'protocol', 'integer')", ":12345~");
    answers(
        &mut client,
        "return redis.call('debug', 'digest')",
        "+0000000000000000000000000000000000000000~",
    );
    answers(&mut client, "return redis.call('client', 'getname')", "$-1~");
    let behind = "$39~Some real reply following the attribute~";
    answers(&mut client, "redis.setresp(3) return redis.call('debug', 'protocol', 'attrib')", behind);
    answers(&mut client, "return redis.call('config', 'get', 'port')", "*2~$4~port~$1~0~");
    answers(&mut client, "return redis.call('blpop', 'k', 0)", "$-1~");
    for never in
        ["'multi'", "'exec'", "'discard'", "'watch', 'k'", "'eval', 'return 1', 0", "'function', 'flush'"]
    {
        answers(&mut client, &format!("return redis.call({never})"), denied);
    }
    client.check("DEBUG SET-DISABLE-DENY-SCRIPTS 0", "+OK~");
    answers(&mut client, "return redis.call('debug', 'protocol', 'integer')", denied);
}

#[test]
fn wrong_arguments_of_function_are_told() {
    table(
        "
        FUNCTION FLUSH bad => -ERR FUNCTION FLUSH only supports SYNC|ASYNC option~
        FUNCTION FLUSH sync extra => -ERR unknown subcommand or wrong number of arguments for 'FLUSH'. Try FUNCTION HELP.~
        FUNCTION restore a b c => -ERR unknown subcommand or wrong number of arguments for 'restore'. Try FUNCTION HELP.~
    ",
    );
}

#[test]
fn in_a_cluster_a_script_stays_in_its_slot() {
    let server = TestServer::with(&[("cluster-enabled", "yes")]);
    let mut client = server.client();
    let script = "return redis.call('set', KEYS[2], 'v')";
    let reply = eval(&mut client, script, &["{a}1", "{b}2"], &[]).text();
    assert!(reply.starts_with("CROSSSLOT"), "{reply}");
    assert_eq!(eval(&mut client, script, &["{a}1", "{a}2"], &[]).text(), "OK");
    // With flags it stays in the slot of its keys, or of the first that it reaches for.
    let both = "redis.call('set', '{a}1', 'v') return redis.call('get', '{b}x')";
    let other = "return redis.call('get', '{b}x')";
    let refused = "ERR Script attempted to access keys that do not hash to the same slot";
    for (script, keys) in [(both, &[][..]), (both, &["{a}1"]), (other, &["{a}1"])] {
        let reply = eval(&mut client, &format!("#!lua\n{script}"), keys, &[]).text();
        assert!(reply.starts_with(refused), "{reply}");
        let allowed = format!("#!lua flags=allow-cross-slot-keys\n{script}");
        assert_eq!(eval(&mut client, &allowed, keys, &[]), Value::Null);
        assert_eq!(eval(&mut client, script, keys, &[]), Value::Null);
    }
    // Scripts and functions that are not for clusters.
    client.check(
        "FUNCTION LOAD \"#!lua name=l\\nserver.register_function{function_name='f', callback=function() return 1 end, flags={'no-cluster'}}\"",
        "$1~l~",
    );
    for request in ["FCALL f 0", "EVAL \"#!lua flags=no-cluster\\nreturn 1\" 0"] {
        client.check(request, "-ERR Can not run script on cluster, 'no-cluster' flag is set.~");
    }
}

#[test]
fn keys_of_a_script_may_be_none() {
    table(
        "
        COMMAND GETKEYS EVAL script 0 => *0~
        COMMAND GETKEYS EVAL script 2 a b => *2~$1~a~$1~b~
        COMMAND GETKEYS MSET a => -ERR Invalid number of arguments specified for command~
        EVAL_RO \"return redis.call('pfcount', KEYS[1])\" 1 k => -ERR Write commands are not allowed from read-only scripts. script: on @user_script:1.~
    ",
    );
}

#[test]
fn time_stands_still_in_scripts_and_transactions() {
    let server = TestServer::with_clock(&[], Clock::system());
    let mut client = server.client();
    let script = "local first = redis.call('time') for _ = 1, 100000 do end local second = redis.call('time') return first[1] == second[1] and first[2] == second[2]";
    answers(&mut client, script, ":1~");
    client.check("MULTI", "+OK~");
    client.check("TIME", "+QUEUED~");
    client.check("KEYS *", "+QUEUED~");
    client.check("TIME", "+QUEUED~");
    let Value::Array(replies) = client.value("EXEC") else { panic!("replies") };
    assert_eq!(replies[0], replies[2]);
}

#[test]
fn errors_in_scripts_are_counted_once() {
    let server = TestServer::start();
    let mut client = server.client();
    for (script, rejected, errors) in [
        ("return redis.call('set', 'k')", "calls=0,usec=0,usec_per_call=0.00,rejected_calls=1", "count=1"),
        ("return redis.pcall('set', 'k')", "calls=0,usec=0,usec_per_call=0.00,rejected_calls=1", "count=1"),
        (
            "#!lua flags=no-writes\nreturn redis.call('set', 'k', 'v')",
            "calls=0,usec=0,usec_per_call=0.00,rejected_calls=1",
            "count=1",
        ),
        (
            "redis.pcall('set', 'k') return redis.pcall('set', 'k')",
            "calls=0,usec=0,usec_per_call=0.00,rejected_calls=2",
            "count=2",
        ),
        (
            "redis.pcall('set', 'k') return redis.error_reply('ERR other')",
            "calls=0,usec=0,usec_per_call=0.00,rejected_calls=1",
            "count=2",
        ),
    ] {
        client.check("CONFIG RESETSTAT", "+OK~");
        assert!(eval(&mut client, script, &[], &[]).text().starts_with("ERR"), "{script}");
        assert_eq!(server.info("errorstat_ERR"), errors, "{script}");
        assert!(server.info("cmdstat_set").starts_with(rejected), "{script}: {}", server.info("cmdstat_set"));
    }
}

#[test]
fn what_a_scripts_user_may_not_do_is_counted_as_such() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("ACL SETUSER u on nopass +@all -set ~*", "+OK~");
    client.check("AUTH u x", "+OK~");
    let reply = eval(&mut client, "return redis.call('set', KEYS[1], 'v')", &["k"], &[]).text();
    assert!(reply.starts_with("ERR ACL failure in script"), "{reply}");
    assert_eq!(server.info("errorstat_NOPERM"), "count=1");
    assert!(
        server.info("cmdstat_set").contains("calls=0,")
            && server.info("cmdstat_set").contains("rejected_calls=1")
    );
    assert!(!info_text(&mut client).contains("errorstat_ERR"));
}

fn info_text(client: &mut Client) -> String {
    client.value("INFO errorstats").text()
}

/// As many results as Lua has room for: one element less than eight thousand was refused.
#[test]
fn unpack_gives_as_many_results_as_there_is_room_for() {
    let server = TestServer::start();
    let mut client = server.client();
    let script =
        "local a = {} for i = 1, 7999 do a[i] = 1 end return redis.call('lpush', KEYS[1], unpack(a))";
    assert_eq!(client.call(&["EVAL", script, "1", "l"]), Value::Int(7999));
}

/// With the least maxmemory a script has room for itself, since the limit for scripts follows from it.
#[test]
fn a_script_has_room_however_little_memory_is_allowed() {
    let server = TestServer::with(&[("maxmemory", "1")]);
    let script = "local t = {} for i = 1, 1000 do t[i] = tostring(i) end return #table.concat(t)";
    assert_eq!(server.client().call(&["EVAL", script, "0"]), Value::Int(2893));
}

/// SCRIPT FLUSH has the machines of all threads dropped; libraries are counted, and not any more when they
/// are gone.
#[test]
fn what_scripts_and_functions_take_is_given_back() {
    let server = TestServer::with(&[("io-threads", "2")]);
    let used = |field: &str| server.info(field).parse::<u64>().expect("a number");
    // On several connections, so that more than one thread makes a machine where there are several.
    for number in 0..8 {
        let script = format!("for i = 1, 2 do end return {number}");
        assert_eq!(server.client().call(&["EVAL", &script, "0"]), Value::Int(number));
    }
    assert!(used("used_memory_lua") > 0);
    server.client().check("SCRIPT FLUSH", "+OK~");
    eventually("no machine is left", || used("used_memory_lua") == 0);
    // Tens of kilobytes of garbage are collected when the thread has nothing to do, long before Lua would.
    let script = "local t = {} for i = 1, 1000 do t[i] = i end return #t";
    for number in 0..30 {
        assert_eq!(server.client().call(&["EVAL", script, "0"]), Value::Int(1000), "{number}");
    }
    eventually("garbage is collected", || used("used_memory_lua") < 2 * 102_400);
    server.client().check("SCRIPT FLUSH", "+OK~");
    eventually("no machine is left again", || used("used_memory_lua") == 0);
    let mut client = server.client();
    let before = used("used_memory_vm_functions");
    client.call(&["FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('f', function() return 1 end)"]);
    assert!(used("used_memory_vm_functions") > before);
    client.check("FCALL f 0", ":1~");
    assert!(used("used_memory_vm_functions") > before + 10_000, "the machine is the functions'");
    client.check("FUNCTION FLUSH", "+OK~");
    assert_eq!(used("used_memory_vm_functions"), before);
}
