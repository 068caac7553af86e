//! Scripts that want to crash, corrupt, stop or fill the server. docs/lua-safety.md names these tests.

use std::sync::atomic::{AtomicBool, Ordering};

use kvarts::shared::clock::Clock;

use crate::harness::*;

#[path = "../../fuzz/script_grammar.rs"]
mod script_grammar;

const KILLED: &str = "-ERR Script killed by user with SCRIPT KILL.";

fn eval(client: &mut Client, script: &str) -> String {
    client.send(&encode(&["EVAL", script, "0"]));
    show(&client.read_raw())
}

/// A server whose scripts may hold 16 MB.
fn small() -> TestServer {
    TestServer::with_clock(&[("lua-memory-limit", "16mb")], Clock::system())
}

/// Every script answers with an error that has this text, and the machine works on.
#[track_caller]
fn fail_with(client: &mut Client, scripts: &[&str], text: &str) {
    for script in scripts {
        let reply = eval(client, script);
        assert!(reply.starts_with('-') && reply.contains(text), "{script}\n{reply}");
        assert_eq!(eval(client, "return 1 + #string.rep('x', 10)"), ":11~", "after {script}");
    }
}

/// Library functions, metamethods, collectors and handlers of errors that run for very long: each is seen as
/// running, does not hold up a PING of another client, and ends at SCRIPT KILL. Killing is asked for until it
/// is heard; there is no other measure of time.
#[test]
fn whatever_runs_long_can_be_killed() {
    const SCRIPTS: &[&str] = &[
        "return string.find(string.rep('a', 40), string.rep('a-', 40) .. 'b')",
        "return string.match(string.rep('a', 40), string.rep('a*', 40) .. 'b')",
        "return string.gsub(string.rep('a', 40), string.rep('a?', 40) .. string.rep('a-', 40) .. 'b', '')",
        "for _ in string.gmatch(string.rep('a', 40), string.rep('a-', 40) .. 'b') do end",
        "local s = string.rep('a', 2000000) while true do string.find(s, string.rep('a', 1000) .. 'b', 1, true) end",
        "while true do string.rep('abc', 1000000) end",
        "local s = string.rep('%s', 1000) while true do pcall(string.format, s, unpack({}, 1, 1000)) end",
        "local s = string.rep('x', 1000000) while true do string.format('%s%s%s', s, s, s) end",
        "local s = string.rep('x', 4000000) while true do string.upper(s) string.lower(s) string.reverse(s) end",
        "local s = string.rep('x', 4000000) while true do local t = s .. 'y' end",
        "while true do table.insert({}, -2147483648, 1) end",
        "local t = {} for i = 1, 200000 do t[i] = i end while true do table.insert(t, 1, 0) table.remove(t, 1) end",
        "local t = {} for i = 1, 200000 do t[i] = -i end while true do table.sort(t) end",
        "local t = {} for i = 1, 200000 do t[i] = i end while true do table.concat(t, ',') end",
        "local t = {} for i = 1, 100000 do t[i] = i end while true do cjson.encode(t) end",
        "local s = '[' .. string.rep('[1],', 50000) .. '1]' while true do cjson.decode(s) end",
        "local t = {} for i = 1, 100000 do t[i] = i end while true do cmsgpack.unpack(cmsgpack.pack(t)) end",
        "local f = string.rep('x', 1000000) while true do struct.size(f) struct.pack(f) end",
        "local s = string.rep('x', 8000000) while true do redis.sha1hex(s) end",
        "while true do redis.pcall('PING') end",
        "while true do pcall(error, 'x') end",
        "while true do pcall(function() while true do end end) end",
        "while true do xpcall(function() error('x') end, function() while true do end end) end",
        "local function f() return (pcall(f)) and f() end f()",
        "local function f() return xpcall(f, f) end while true do f() end",
        "while true do coroutine.wrap(function() while true do end end)() end",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
        "local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) while true do pcall(function() return t[1] end) end",
        "while true do string.gsub('aaaa', 'a', function() while true do end end) end",
        "while true do table.sort({3, 2, 1}, function() while true do end end) end",
        "while true do loadstring('return 1')() end",
        "load(function() while true do end end)",
        "while true do collectgarbage() end",
        "for i = 1, 1e15 do redis.log(redis.LOG_DEBUG, 'x') end",
        "while true do tonumber(string.rep('1', 1000000)) end",
        "while true do tonumber(string.rep(' ', 6000000)) end",
        "while true do tonumber(string.rep('z', 1000000), 36) end",
        "while true do pcall(string.find, 'a', '[' .. string.rep('a', 6000000) .. ']') end",
        "while true do string.gsub(string.rep('a', 300), 'a', string.rep('b', 100000)) end",
        "while true do redis.sha1hex(string.rep('a', 50000000)) end",
        "local t = {} while true do t[#t + 1] = string.rep('a', 1000000) end",
        "local s = '1' for i = 1, 23 do s = s .. s end while true do local x = s + 0 end",
        "local s = ARGV[1] or '1' for i = 1, 23 do s = s .. s end while true do math.floor(s) end",
        "local s = string.rep('1', 4000000) local t = {} for i = 1, 7000 do t[i] = s end while true do math.max(unpack(t)) end",
        "local s = string.rep('0', 4000000) local t = {} for i = 1, 7000 do t[i] = s end while true do string.char(unpack(t)) end",
        "local s = string.rep(' ', 40000000) while true do pcall(cjson.decode, s) end",
        "local s = '\"' .. string.rep('\\\\u0041', 4000000) .. '\"' while true do cjson.decode(s) end",
        "local s = string.rep('1', 40000000) while true do cjson.decode(s) end",
        "local s = cmsgpack.pack(string.rep('x', 40000000)) while true do cmsgpack.unpack(s) end",
        "local s = string.rep('x', 40000000) while true do struct.unpack('c40000000', s) end",
        "local s = 'c' .. string.rep('0', 40000000) while true do struct.size(s .. '1') end",
        "local t = {1} for i = 1, 60 do t = {t, t} end return t",
        "local t = {1} for i = 1, 60 do t = {map = {[1] = t, [2] = t}} end return t",
        "local t = {1} for i = 1, 60 do t = {set = {[t] = true, [{t}] = true}} end return t",
        "local t = {1} for i = 1, 900 do t = {t, t} end return cjson.encode(t)",
        "local t = {1} for i = 1, 15 do t = {t, t} end while true do cmsgpack.pack(t) end",
    ];
    let server = TestServer::with_clock(&[("busy-reply-threshold", "0")], Clock::system());
    let mut other = server.client();
    for script in SCRIPTS {
        let mut slow = server.client();
        slow.send(&encode(&["EVAL", script, "0"]));
        eventually(script, || {
            other.check("PING", "+PONG~");
            other.raw("SCRIPT KILL") == "+OK~"
        });
        let reply = show(&slow.read_raw());
        assert!(reply.starts_with(KILLED), "{script}\n{reply}");
        slow.check("PING", "+PONG~");
    }
}

/// A text too long for C to read unwatched is the number that C would read; wrong arguments are told of the
/// script's own call.
#[test]
fn long_numerals_and_wrong_arguments_answer_as_the_peers_do() {
    let server = TestServer::start();
    let mut client = server.client();
    for (script, reply) in [
        ("return tonumber(string.rep(' ', 1000) .. '42' .. string.rep(' ', 1000))", ":42~"),
        ("return tonumber('0.' .. string.rep('0', 1000) .. '5e1003')", ":500~"),
        ("return tonumber(string.rep('0', 1000) .. '7')", ":7~"),
        ("return tostring(tonumber('1' .. string.rep('0', 1000) .. 'e-1000'))", "$1~1~"),
        ("return tonumber('0x' .. string.rep('0', 1000) .. 'ff')", ":255~"),
        ("return tonumber('-' .. string.rep('0', 1000) .. '11', 2)", ":-9223372036854775808~"),
        ("return tostring(tonumber(string.rep(' ', 1000)))", "$3~nil~"),
        ("return tostring(tonumber(string.rep('1', 1000) .. 'x'))", "$3~nil~"),
        ("return cjson.decode('[' .. string.rep('0', 1000) .. '1]')", "*1~:1~"),
        ("return cjson.decode('[' .. string.rep('1', 1000) .. 'e-999, 2]')", "*2~:1~:2~"),
        ("return cjson.decode('[0.' .. string.rep('0', 509) .. '3e510]')", "*1~:3~"),
        ("return cjson.decode('[0.' .. string.rep('0', 507) .. '3e+508]')", "*1~:3~"),
        ("return math.max('2', 3, string.rep(' ', 1000) .. 4)", ":4~"),
        ("return math.min(3, '2', string.rep(' ', 1000) .. 4)", ":2~"),
        ("return string.char(string.rep('0', 1000) .. 65, 66.9, '67')", "$3~ABC~"),
        (
            "string.char(256)",
            "-ERR user_script:1: bad argument #1 to 'char' (invalid value) script: on @user_script:1.~",
        ),
        (
            "math.max()",
            "-ERR user_script:1: bad argument #1 to 'max' (number expected, got no value) script: on @user_script:1.~",
        ),
        (
            "pairs(nil)",
            "-ERR user_script:1: bad argument #1 to 'pairs' (table expected, got nil) script: on @user_script:1.~",
        ),
        (
            "setmetatable(setmetatable({}, {__metatable = 1}), {})",
            "-ERR user_script:1: cannot change a protected metatable script: on @user_script:1.~",
        ),
        ("redis.setresp(3) return {verbatim_string = {format = 'txtx', string = 'a'}}", "$1~a~"),
    ] {
        assert_eq!(eval(&mut client, script), reply, "{script}");
    }
}

/// Each load went through all libraries and functions there were: thousands of them load, are listed and are
/// called.
#[test]
fn thousands_of_libraries_load() {
    let server = TestServer::start();
    let mut client = server.client();
    for number in 0..3000 {
        let source = format!(
            "#!lua name=l{number}\nredis.register_function('f{number}', function() return {number} end)"
        );
        client.send(&encode(&["FUNCTION", "LOAD", &source]));
    }
    for number in 0..3000 {
        let name = format!("l{number}");
        assert_eq!(show(&client.read_raw()), format!("${}~{name}~", name.len()));
    }
    client.check("FCALL F2999 0", ":2999~");
    client.send(&encode(&[
        "FUNCTION",
        "LOAD",
        "#!lua name=l\nredis.register_function('F7', function() end)",
    ]));
    assert_eq!(show(&client.read_raw()), "-ERR Function F7 already exists~");
    assert!(client.raw("FUNCTION LIST").starts_with("*3000~"));
}

/// Tables that stand in tables many times over made a reply without end, which counted as nothing and could
/// not be killed.
#[test]
fn a_reply_is_no_longer_than_a_script_may_hold() {
    let server = small();
    let mut client = server.client();
    let scripts = [
        "local t = {1} for i = 1, 40 do t = {t, t} end return t",
        "local t = {1} for i = 1, 40 do t = {map = {a = t, b = t}} end return t",
    ];
    fail_with(&mut client, &scripts, "ERR not enough memory");
    // What was written of it is taken back, also within a transaction.
    client.check("MULTI", "+OK~");
    client.send(&encode(&["EVAL", scripts[0], "0"]));
    assert_eq!(show(&client.read_raw()), "+QUEUED~");
    client.check("PING", "+QUEUED~");
    let replies = client.raw("EXEC");
    assert!(replies.starts_with("*2~-ERR not enough memory") && replies.ends_with("+PONG~"), "{replies}");
}

/// Each function of a library was compared with all before, and Lua's references to them ran out at some
/// thousands.
#[test]
fn a_library_may_have_thousands_of_functions() {
    let server = TestServer::start();
    let mut client = server.client();
    let load = |body: &str| encode(&["FUNCTION", "LOAD", &format!("#!lua name=many\n{body}")]);
    client.send(&load("for i = 1, 4000 do redis.register_function('f' .. i, function() return i end) end"));
    assert_eq!(show(&client.read_raw()), "$4~many~");
    client.check("FCALL f4000 0", ":4000~");
    client.check("FCALL F1 0", ":1~");
    client.check("FUNCTION DELETE many", "+OK~");
    client.check("FCALL f4000 0", "-ERR Function not found~");
    client.check("FUNCTION LIST", "*0~");
    client.send(&load("for i = 1, 2 do redis.register_function('f' .. i, function() return i + 1 end) end"));
    assert_eq!(show(&client.read_raw()), "$4~many~");
    client.check("FCALL f1 0", ":2~");
    client.send(&encode(&[
        "FUNCTION",
        "LOAD",
        "#!lua name=twice\nredis.register_function('a', print) redis.register_function('A', error)",
    ]));
    assert!(show(&client.read_raw()).starts_with('-'));
}

/// Maps and sets in sets went as deep as Lua nests C calls, and the error was a stack trace.
#[test]
fn replies_nested_without_end_are_a_clean_error() {
    // The test's own client reads nested replies by recursion.
    let reader = std::thread::Builder::new().stack_size(64 << 20).spawn(nested_replies).unwrap();
    reader.join().unwrap();
}

fn nested_replies() {
    let server = TestServer::start();
    let mut client = server.client3();
    for script in [
        "local t = {} t[1] = t return t",
        "local t = {} t.map = t return t",
        "local t = {} t.set = {[t] = true} return t",
        "local t = {} for i = 1, 100000 do t = {map = {a = t}} end redis.setresp(3) return t",
    ] {
        let reply = eval(&mut client, script);
        let (nest, error) = reply.split_once("-ERR ").unwrap_or_default();
        assert!(nest.len() > 3000 && !error.contains("traceback"), "{script}: {error}");
        assert!(error.starts_with("reached lua stack limit~"), "{script}: {error}");
        client.check("ECHO next", "$4~next~");
    }
}

/// A script can name one text thousands of times in a command, which then had more bytes than the machine has
/// memory.
#[test]
fn a_commands_words_are_no_longer_than_a_script_may_hold() {
    let server = small();
    let mut client = server.client();
    fail_with(
        &mut client,
        &[
            "local s = string.rep('x', 1000000) local t = {} for i = 1, 7000 do t[i] = s end redis.call('RPUSH', 'k', unpack(t))",
            "local s = string.rep('x', 1000000) local t = {} for i = 1, 7000 do t[i] = s end redis.acl_check_cmd('RPUSH', 'k', unpack(t))",
        ],
        "not enough memory",
    );
    client.check("EXISTS k", ":0~");
}

/// Two scripts that no hook sees while they match froze every thread, SCRIPT KILL included.
#[test]
fn two_stuck_patterns_do_not_freeze_the_server() {
    let server = TestServer::with_clock(&[("busy-reply-threshold", "0")], Clock::system());
    let mut stuck: Vec<Client> = (0..2).map(|_| server.client()).collect();
    for (number, client) in stuck.iter_mut().enumerate() {
        let key = format!("k{number}");
        let script = "return string.find(string.rep('a', 40), string.rep('a-', 40) .. 'b')";
        client.send(&encode(&["EVAL", script, "1", &key]));
    }
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut other = server.client();
            while !ended.load(Ordering::Relaxed) {
                other.check("PING", "+PONG~");
                other.raw("SCRIPT KILL");
            }
        });
        for client in &mut stuck {
            assert!(show(&client.read_raw()).starts_with(KILLED));
        }
        ended.store(true, Ordering::Relaxed);
    });
}

/// A script that can be undone ends at the threshold wherever it is.
#[test]
fn an_atomic_script_ends_at_its_threshold_within_a_library_function() {
    let server = TestServer::with_clock(&[("busy-reply-threshold", "30")], Clock::system());
    let mut client = server.client();
    for body in [
        "return string.find(string.rep('a', 40), string.rep('a-', 40) .. 'b')",
        "while true do pcall(string.rep, 'abc', 1000000) end",
        "while true do local t = {} for i = 1, 1000 do t[i] = -i end table.sort(t) end",
    ] {
        let script = format!("#!lua flags=atomic\nredis.call('set', KEYS[1], 1) {body}");
        client.send(&encode(&["EVAL", &script, "1", "k"]));
        let reply = show(&client.read_raw());
        assert!(reply.contains("took longer than busy-reply-threshold"), "{reply}");
        client.check("EXISTS k", ":0~");
    }
}

/// What grows without end fails at the limit, in whatever way it grows, and leaves a machine that works.
#[test]
fn memory_bombs_end_at_the_limit() {
    let server = small();
    let mut client = server.client();
    let scripts = [
        "local t = {} for i = 1, 1e9 do t[i] = i end",
        "local t = {} for i = 1, 1e9 do t[i] = {} end",
        "local t = {} for i = 1, 1e9 do t[i] = function() return i end end",
        "local t = {} for i = 1, 1e9 do t[i] = coroutine.create(function() end) end",
        "local t = {} for i = 1, 1e9 do t[i] = string.gmatch('a', 'a') end",
        "local t = {} for i = 1, 1e9 do t[tostring(i)] = true end",
        "local s = 'x' while true do s = s .. s end",
        "string.rep('x', 2147483647)",
        "string.rep(string.rep('x', 65536), 2147483647)",
        "local s = string.rep('x', 1000000) string.gsub(s, 'x', s)",
        "local s = string.rep('x', 5000000) string.format('%s%s%s%s%s%s', s, s, s, s, s, s)",
        "local s = string.rep('x', 100000) local t = {} for i = 1, 1000 do t[i] = s end table.concat(t, s)",
        "cjson.encode_sparse_array(false, 0) cjson.encode({[20000000] = 1})",
        "local s = string.rep('x', 1000000) local t = {} for i = 1, 100 do t[i] = s end cmsgpack.pack(t)",
        "local t = cjson.decode('[' .. string.rep('[],', 2000000) .. '1]')",
        "cmsgpack.unpack('\\221\\0\\16\\0\\0' .. string.rep('\\144', 1048576))",
        "local n = 0 load(function() n = n + 1 return string.rep('x', 1000000) .. n end) local s = string.rep('x', 2147483647)",
    ];
    fail_with(&mut client, &scripts, "not enough memory");
}

/// An error that a script catches is no reason to go on for ever with it, nor to leave the next script
/// without memory.
#[test]
fn a_script_that_catches_the_limit_can_be_killed_and_leaves_room() {
    let server = small();
    let (mut slow, mut other) = (server.client(), server.client());
    let script = "local t = {} while true do pcall(function() for i = 1, 1e9 do t[#t + 1] = {} end end) end";
    slow.send(&encode(&["EVAL", script, "0"]));
    eventually("it is killed", || other.raw("SCRIPT KILL") == "+OK~");
    assert!(show(&slow.read_raw()).starts_with(KILLED));
    let nested = "local function f(n) local ok, e = pcall(f, n + 1) local t = {} for i = 1, 1e9 do t[i] = i end end f(1)";
    fail_with(&mut slow, &[nested], "not enough memory");
    assert_eq!(eval(&mut slow, "return #string.rep('x', 4000000)"), ":4000000~");
    slow.check("CONFIG SET lua-memory-limit 64mb", "+OK~");
    assert_eq!(eval(&mut slow, "return #string.rep('x', 20000000)"), ":20000000~");
}

/// The collector belongs to the machine, not to a script that stops it.
#[test]
fn stopping_the_collector_leaves_the_next_script_alone() {
    let server = small();
    let mut client = server.client();
    eval(&mut client, "collectgarbage('stop') collectgarbage('setpause', 100000) return 1");
    assert_eq!(eval(&mut client, "for i = 1, 3000000 do local t = {} end return 1"), ":1~");
}

/// Depth in every form is bounded before the thread's stack is.
#[test]
fn deep_recursion_is_an_error() {
    let server = small();
    let mut client = server.client();
    let scripts = [
        "local function f() return 1 + f() end f()",
        "local function f() coroutine.wrap(f)() end f()",
        "local function f() string.gsub('a', 'a', f) end f()",
        "local function f() table.sort({2, 1}, f) end f()",
        "local function f() table.foreach({1}, f) end f()",
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(_, k) return t[k] end return t.x",
        "local t = setmetatable({}, {}) getmetatable(t).__tostring = function() return tostring(t) end return tostring(t)",
        "local t = setmetatable({}, {}) getmetatable(t).__concat = function(a, b) return a .. b end return t .. t",
        "local t = setmetatable({}, {}) getmetatable(t).__eq = function(a, b) return t == {} end return 1 + string.gsub('a', 'a', function() return t + 1 end)",
        "loadstring('return ' .. string.rep('(', 100000) .. '1')() error('overflow')",
    ];
    for script in scripts {
        let reply = eval(&mut client, script);
        assert!(reply.starts_with('-'), "{script}\n{reply}");
        client.check("PING", "+PONG~");
    }
    // A chain of tables is followed so many times and no more.
    let chain = "local t = {} setmetatable(t, {__index = t}) return t.x";
    assert!(eval(&mut client, chain).contains("loop in gettable"));
    let nested =
        "local t = {} local top = t for i = 1, 100000 do t[1] = {} t = t[1] end return cjson.encode(top)";
    assert!(eval(&mut client, nested).contains("excessive nesting"));
    let packed =
        "local t = {} local top = t for i = 1, 100000 do t[1] = {} t = t[1] end return #cmsgpack.pack(top)";
    assert!(eval(&mut client, packed).starts_with(':'));
}

/// CVE-2025-46817: `unpack` counted its results in 32 bits and wrote beyond the stack. CVE-2015-8080, the
/// like in `struct`'s sizes.
#[test]
fn unpack_does_not_count_beyond_its_stack() {
    let server = small();
    let mut client = server.client();
    for range in [
        "0, 2147483647",
        "-2147483648, 2147483647",
        "-2147483648, -1",
        "1, 2147483647",
        "2147483640, 2147483647 + 5",
        "1, 8000",
        "-1e300, 1e300",
    ] {
        let script = format!("local a = unpack({{}}, {range}) return 'none'");
        let reply = eval(&mut client, &script);
        assert!(reply.contains("too many results to unpack") || reply == "$4~none~", "{range}: {reply}");
    }
    let most = "local t = {} for i = 1, 7800 do t[i] = i end return select('#', unpack(t))";
    assert_eq!(eval(&mut client, most), ":7800~");
    let named = "local x = unpack({}, 0, 2147483647) return x";
    let place = "-ERR user_script:1: too many results to unpack script: on @user_script:1.~";
    assert_eq!(eval(&mut client, named), place);
    // CVE-2015-8080, CVE-2020-14147, CVE-2018-11219: integers in formats and sizes.
    fail_with(
        &mut client,
        &[
            "return struct.pack('>I2147483648', '10')",
            "return struct.pack('>I4294967296', '10')",
            "return struct.unpack('c2147483647', 'a')",
            "return struct.unpack('I1I4294967295c0', 'a')",
            "return struct.unpack('i', '01234', 4294967296)",
        ],
        "",
    );
}

/// CVE-2025-49844: the name of a chunk was freed while its text was compiled. CVE-2024-46981: the collector
/// ran functions of a script.
#[test]
fn names_of_chunks_and_finalizers_outlive_nothing() {
    let server = small();
    let mut client = server.client();
    let names = "for i = 1, 3000 do local f = loadstring('local a = {} ' .. string.rep('a[#a + 1] = \"' .. i .. '\" ', 30) .. ' return function() return 1 end', 'name' .. i .. '\\0rest') collectgarbage('step') assert(f()() == 1) end return 1";
    assert_eq!(eval(&mut client, names), ":1~");
    let errors = "local n = 0 for i = 1, 2000 do local f, e = loadstring('x = = 1', '@' .. string.rep('n', 50) .. i) if e then n = n + 1 end collectgarbage('step') end return n";
    assert_eq!(eval(&mut client, errors), ":2000~");
    let reply =
        eval(&mut client, "local p = newproxy(true) getmetatable(p).__gc = function() while true do end end");
    assert!(reply.contains("nonexistent global variable 'newproxy'"), "{reply}");
    assert_eq!(
        eval(&mut client, "setmetatable({}, {__gc = function() error('x') end}) collectgarbage() return 1"),
        ":1~"
    );
}

/// CVE-2025-46818: one user's script could leave functions in the metatables of basic types for the scripts
/// of others. CVE-2022-24735: or in the globals.
#[test]
fn scripts_leave_nothing_behind_for_others() {
    let server = small();
    let mut client = server.client();
    for script in [
        "getmetatable('').__index = function() return 'owned' end",
        "getmetatable('').__add = function() return 'owned' end",
        "rawset(getmetatable(''), '__index', {})",
        "setmetatable(getmetatable(''), {})",
        "rawset(string, 'rep', 1)",
        "string.rep = 1",
        "redis.call = 1",
        "rawset(_G, 'x', 1)",
        "setmetatable(_G, {})",
        "getmetatable(_G).__index = function() end",
        "table.insert(redis, 1)",
        "x = 1",
        "cjson.encode = nil",
        "getmetatable(redis).__index = {}",
        "math.huge = 1",
    ] {
        let reply = eval(&mut client, script);
        assert!(reply.contains("Attempt to modify a readonly table"), "{script}\n{reply}");
    }
    let none = "return {getmetatable(1) == nil and 1 or 0, getmetatable(nil) == nil and 1 or 0, getmetatable(print_) == nil and 1 or 0}";
    assert!(eval(&mut client, none).contains("nonexistent global variable 'print_'"));
    assert_eq!(eval(&mut client, "return ('x'):rep(2)"), "$2~xx~");
    // As on the peers the methods of texts are the library, seen but not changed.
    assert_eq!(eval(&mut client, "return tostring(getmetatable('').__index == string)"), "$4~true~");
}

/// `lua-enable-insecure-api` gives scripts the environments of their own functions and proxies without
/// finalizers: not the world they run in, and nothing that outlasts them.
#[test]
fn environments_are_those_of_a_scripts_own_functions() {
    let server = TestServer::with(&[("enable-protected-configs", "yes")]);
    let mut client = server.client();
    let missing = |name: &str| {
        format!(
            "-ERR user_script:1: Script attempted to access nonexistent global variable '{name}' script: on @user_script:1.~"
        )
    };
    assert_eq!(eval(&mut client, "return getfenv()"), missing("getfenv"));
    client.check("CONFIG SET lua-enable-deprecated-api yes", "+OK~");
    let refused =
        "-ERR user_script:1: 'setfenv' cannot change environment of given object script: on @user_script:1.~";
    for _ in 0..2 {
        for (script, reply) in [
            ("return getfenv()", "*0~"),
            ("return getfenv(pcall) == _G and getfenv(0) == _G and getfenv(1) == getfenv()", ":1~"),
            ("local f = function() return x end setfenv(f, {x = 7}) return f()", ":7~"),
            ("setfenv(1, {}) return redis == nil", ":1~"),
            ("return type(redis)", "$5~table~"),
            ("setfenv(0, {})", refused),
            ("setfenv(3, {})", refused),
            ("setfenv(pcall, {})", refused),
            ("setfenv(redis.call, {})", refused),
            ("local p = newproxy(true) getmetatable(p).__len = function() return 9 end return #p", ":9~"),
            (
                "getmetatable(newproxy(true)).__gc = pcall",
                "-ERR user_script:1: '__gc' is not for scripts to set script: on @user_script:1.~",
            ),
            (
                "getmetatable(newproxy(true)).__metatable = 1",
                "-ERR user_script:1: '__metatable' is not for scripts to set script: on @user_script:1.~",
            ),
            (
                "newproxy('x')",
                "-ERR user_script:1: bad argument #1 to 'newproxy' (boolean or proxy expected) script: on @user_script:1.~",
            ),
            ("return newproxy()", "$-1~"),
        ] {
            assert_eq!(eval(&mut client, script), reply, "{script}");
        }
    }
    client.check("CONFIG SET lua-enable-insecure-api no", "+OK~");
    for name in ["getfenv", "setfenv", "newproxy"] {
        assert_eq!(eval(&mut client, &format!("return {name}()")), missing(name));
    }
}

/// CVE-2025-46819: long brackets of a level that no integer holds, and what else a text may have too much of.
/// Where reading were quadratic, as it was for nested calls and long lists of names, these would take
/// minutes.
#[test]
fn sources_of_any_length_and_depth_are_read_in_time() {
    let server = small();
    let mut client = server.client();
    let equals = "=".repeat(3_000_000);
    for source in [
        format!("return [{equals}["),
        format!("return [{equals}[x]{equals}]"),
        format!("--[{equals}[x"),
        "(".repeat(200_000),
        "{".repeat(200_000),
        format!("return {}", "redis.call('PING', ".repeat(200_000)),
        format!("local {} = 1", vec!["a"; 100_000].join(",")),
        format!("{}x = 1", "local a = KEYS[1] ".repeat(50_000)),
        format!("f({})", vec!["a"; 200_000].join(",")),
        format!("{} = 1", vec!["a"; 200_000].join(",")),
        format!("return {}1", "not ".repeat(200_000)),
        format!("return {}1", "- ".repeat(200_000)),
        format!("return {}", vec!["'a'"; 100_000].join("..")),
        "if x then else".repeat(100_000),
        "function f() ".repeat(100_000),
        "goto x ".repeat(10_000),
        "x".repeat(17 << 20),
    ] {
        let reply = eval(&mut client, &source);
        assert!(!reply.is_empty());
        client.check("PING", "+PONG~");
    }
    let reply = eval(&mut client, &format!("return #[{equals}[x]{equals}]"));
    assert_eq!(reply, ":1~");
}

/// CVE-2024-31449: `bit.tohex` wrote beyond its buffer for a count of -2147483648.
#[test]
fn tohex_takes_any_count() {
    let server = small();
    let mut client = server.client();
    assert_eq!(eval(&mut client, "return bit.tohex(65535, -2147483648)"), "$8~0000FFFF~");
    assert_eq!(eval(&mut client, "return bit.tohex(65535, 2147483647)"), "$8~0000ffff~");
}

/// CVE-2018-11218: packing and unpacking asked for more places on the stack than there were. CVE-2022-24834:
/// long texts overflowed JSON's buffer. CVE-2021-32626: unpacking did not check the stack.
#[test]
fn json_and_msgpack_take_any_size() {
    let server = TestServer::with_clock(&[("lua-memory-limit", "32mb")], Clock::system());
    let mut client = server.client();
    assert_eq!(eval(&mut client, "return #cmsgpack.pack(unpack({}, 1, 6000))"), ":6000~");
    let unpacked = "return select('#', cmsgpack.unpack(string.rep('\\192', 7000)))";
    assert_eq!(eval(&mut client, unpacked), ":7000~");
    fail_with(
        &mut client,
        &["return cmsgpack.unpack(string.rep('\\192', 100000))"],
        "too many return values",
    );
    assert_eq!(eval(&mut client, "return #cjson.encode(string.rep('\\1', 500000))"), ":3000002~");
    fail_with(&mut client, &["return cjson.encode(string.rep('\\1', 8000000))"], "not enough memory");
    let deep = "return cjson.decode(string.rep('[', 100000))";
    assert!(eval(&mut client, deep).contains("too many nested data structures"));
}

/// CVE-2014-5461: a function with many parameters and `...`, called with none of them. CVE-2015-4335,
/// CVE-2021-32628 and the like: compiled code, which nothing checks, is not loaded; nor can it be had.
#[test]
fn compiled_code_is_not_loaded_and_parameters_have_room() {
    let server = small();
    let mut client = server.client();
    let names: Vec<String> = (1..=190).map(|number| format!("p{number}")).collect();
    let call = format!(
        "local function f({}, ...) return select('#', ...) end for i = 1, 100 do f() coroutine.wrap(f)() end return f()",
        names.join(", ")
    );
    assert_eq!(eval(&mut client, &call), ":0~");
    assert_eq!(
        eval(&mut client, "return tostring(loadstring('\\27Lua')) .. type(string.find)"),
        "$11~nilfunction~"
    );
    assert_eq!(
        eval(&mut client, "return tostring(load(coroutine.wrap(function() coroutine.yield('\\27Lua') end)))"),
        "$3~nil~"
    );
    fail_with(&mut client, &["\x1bLua"], "Error compiling script");
    let dumped = "return tostring(loadstring(string.dump(function() end)))";
    assert_eq!(eval(&mut client, dumped), "$3~nil~");
    for name in [
        "dofile", "loadfile", "require", "module", "package", "io", "print", "getfenv", "setfenv", "newproxy",
    ] {
        let reply = eval(&mut client, &format!("return {name}"));
        assert!(reply.contains("nonexistent global variable"), "{name}\n{reply}");
    }
}

/// Errors that are no texts come out of library functions as they went in; who yields within one is told that
/// it may not.
#[test]
fn callbacks_of_library_functions_may_fail_in_any_way() {
    let server = small();
    let mut client = server.client();
    for function in ["string.gsub, 'a', 'a'", "table.sort, {3, 2, 1}", "table.foreach, {1}"] {
        let table =
            format!("local ok, e = pcall({function}, function() error({{code = 7}}) end) return e.code");
        assert_eq!(eval(&mut client, &table), ":7~", "{function}");
        let text = format!("local ok, e = pcall({function}, function() error('t', 0) end) return e");
        assert_eq!(eval(&mut client, &text), "$1~t~", "{function}");
        let command =
            format!("local ok, e = pcall({function}, function() redis.call('nosuch') end) return type(e)");
        assert_eq!(eval(&mut client, &command), "$6~string~", "{function}");
        let yields = format!(
            "local ok, e = coroutine.resume(coroutine.create(function() local ok, e = pcall({function}, coroutine.yield) error(e, 0) end)) return e"
        );
        assert!(eval(&mut client, &yields).contains("attempt to yield across"), "{function}");
    }
    fail_with(
        &mut client,
        &["table.sort({1, 2, 3, 4, 5}, function() return true end)"],
        "user_script:1: invalid order function",
    );
    let objects = "error(setmetatable({}, {__tostring = function() while true do error('x') end end}))";
    assert!(eval(&mut client, objects).starts_with('-'));
}

/// The small differences in texts and values that were found beside all this.
#[test]
fn the_api_answers_as_the_peers_do() {
    let server = TestServer::start();
    let mut client = server.client();
    for (script, reply) in [
        ("return {double = -0.0}", "$2~-0~"),
        ("redis.setresp('3') return 1", ":1~"),
        ("redis.setresp(3.5) return 1", ":1~"),
        ("redis.setresp('x')", "-ERR RESP version must be 2 or 3. script: on @user_script:1.~"),
        (
            "return redis.setresp()",
            "-ERR server.setresp() requires one argument. script: on @user_script:1.~",
        ),
        (
            "return redis.log()",
            "-ERR server.log() requires two arguments or more. script: on @user_script:1.~",
        ),
        (
            "redis.log('a', 'b')",
            "-ERR First argument must be a number (log level). script: on @user_script:1.~",
        ),
        ("redis.log('1', 'b') return 1", ":1~"),
        ("redis.log(10, 'b')", "-ERR Invalid log level. script: on @user_script:1.~"),
        ("return redis.sha1hex()", "-ERR wrong number of arguments script: on @user_script:1.~"),
        ("return redis.sha1hex({})", "$40~da39a3ee5e6b4b0d3255bfef95601890afd80709~"),
        ("return redis.sha1hex(1.5)", "$40~aa8f289ebe6d4db1b4a1038b8931ec8c2b5399fb~"),
        (
            "return redis.set_repl()",
            "-ERR server.set_repl() requires one argument. script: on @user_script:1.~",
        ),
        ("redis.set_repl('x') return 1", ":1~"),
        (
            "redis.set_repl(77)",
            "-ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE. script: on @user_script:1.~",
        ),
        (
            "return string.find('a', '%')",
            "-ERR user_script:1: malformed pattern (ends with '%') script: on @user_script:1.~",
        ),
        (
            "local f = string.find f(nil)",
            "-ERR user_script:1: bad argument #1 to 'f' (string expected, got nil) script: on @user_script:1.~",
        ),
    ] {
        client.send(&encode(&["EVAL", script, "0"]));
        let answer = show(&client.read_raw());
        assert_eq!(answer, reply, "{script}");
    }
}

/// FUNCTION STATS tells of functions: beside a script that has run for too long it is refused, as on the
/// peers.
#[test]
fn function_stats_beside_a_busy_script() {
    let server = TestServer::with_clock(&[("busy-reply-threshold", "20")], Clock::system());
    let (mut slow, mut other) = (server.client(), server.client());
    slow.send(&encode(&["EVAL", "while true do end", "0"]));
    let busy = "-BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.~";
    eventually("it is busy", || other.raw("FUNCTION STATS") == busy);
    other.check("SCRIPT KILL", "+OK~");
    assert!(show(&slow.read_raw()).starts_with(KILLED));
    assert!(other.raw("FUNCTION STATS").starts_with('*'));
}

/// Scripts of a grammar of hostile calls: each ends by itself, as it can be undone and has a time limit, and
/// the server answers the next.
#[test]
fn generated_scripts_end_and_the_server_goes_on() {
    let settings = [("lua-memory-limit", "4mb"), ("busy-reply-threshold", "15")];
    let server = TestServer::with_clock(&settings, Clock::system());
    let mut client = server.client();
    let mut random = fastrand::Rng::with_seed(17);
    for _ in 0..400 {
        let bytes: Vec<u8> = (0..random.usize(10..200)).map(|_| random.u8(..)).collect();
        let script = format!("#!lua flags=atomic\n{}", script_grammar::script(&bytes));
        client.send(&encode(&["EVAL", &script, "1", "k", "argument"]));
        assert!(!client.read_raw().is_empty(), "{script}");
        client.check("PING", "+PONG~");
    }
}
