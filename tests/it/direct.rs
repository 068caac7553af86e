//! Scripts that run without a Lua machine answer what the machine answers.

use kvarts::engine::command::Commands;
use kvarts::lua::direct::parse;

use crate::harness::*;

/// In front of a script this changes nothing, but a loop has to be left to the machine.
const LOOP: &str = "while false do end ";

fn is_straight(script: &str, table: &Commands) -> bool {
    parse(script.as_bytes(), table).is_some()
}

/// Runs a script in both ways on the same data and compares the replies and what is left.
struct Both {
    client: Client,
    table: Commands,
}

impl Both {
    const STATE: [&str; 6] = ["GET n", "GET s", "HGETALL h", "LRANGE l 0 -1", "EXISTS new other", "PTTL n"];

    fn new(server: &TestServer) -> Self {
        Self { client: server.client(), table: Commands::new(&kvarts::commands::groups()) }
    }

    fn run(&mut self, script: &str) -> Vec<u8> {
        for command in ["FLUSHALL", "SET n 10", "SET s text", "HSET h f 1 g two", "RPUSH l a 2 c"] {
            self.client.send(&encode(&command.split(' ').collect::<Vec<_>>()));
            assert_ne!(self.client.read_raw()[0], b'-', "{command}");
        }
        let words = ["EVAL", script, "5", "n", "h", "l", "new", "other", "5", "text", "1.5", ""];
        self.client.send(&encode(&words));
        let mut all = self.client.read_raw();
        for command in Self::STATE {
            self.client.send(&encode(&command.split(' ').collect::<Vec<_>>()));
            all.extend(self.client.read_raw());
        }
        all
    }

    #[track_caller]
    fn agree(&mut self, script: &str) -> Vec<u8> {
        assert!(is_straight(script, &self.table), "{script}");
        let (ours, machine) = (self.run(script), self.run(&format!("{LOOP}{script}")));
        // Tables show their addresses.
        if memchr::memmem::find(&machine, b"table: 0x").is_none() {
            assert_eq!(show(&ours), show(&machine), "{script}");
        }
        ours
    }
}

#[test]
fn scripts_in_use_are_straight_and_answer_as_in_the_machine() {
    let server = TestServer::with_clock(&[], kvarts::shared::clock::Clock::manual(1_000_000));
    let mut both = Both::new(&server);
    for script in [
        "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end",
        "if (redis.call('exists', KEYS[4]) == 0) or (redis.call('hexists', KEYS[4], ARGV[2]) == 1) then \
         redis.call('hincrby', KEYS[4], ARGV[2], 1); redis.call('pexpire', KEYS[4], ARGV[1]); return nil; end; \
         return redis.call('pttl', KEYS[4]);",
        "local val = redis.call('get', KEYS[5]); if val ~= false then return tonumber(val); end; \
         local counter = redis.call('hincrby', KEYS[2], 'f', -1); if counter > 0 then return 0; else \
         redis.call('del', KEYS[2]); redis.call('publish', ARGV[2], ARGV[1]); return 1; end;",
        "local current = redis.call('INCR', KEYS[1])\nif tonumber(current) == 1 then\n  -- the first\n  redis.call('EXPIRE', KEYS[1], ARGV[1])\nend\nreturn current",
        "local stock = tonumber(redis.call('get', KEYS[1]) or '0') if stock < 3 then return -1 end \
         redis.call('decrby', KEYS[1], 3) return {stock - 3, 'left', true, false, 3.9}",
        "local rate = tonumber(ARGV[1]) local tokens = tonumber(redis.call('get', KEYS[1])) \
         if tokens == nil then tokens = 0 end local filled = math.min(rate, tokens + math.max(0, 7) * rate) \
         local allowed = filled >= 1 local n = 0 if allowed then n = 1 filled = filled - 1 end \
         redis.call('setex', KEYS[1], math.floor(rate * 2), filled) return { n, filled }",
        "local v = redis.call('hmget', KEYS[2], 'f', 'none') if v[1] and not v[2] then return #v .. ':' .. v[1] end",
        "return redis.call('set', KEYS[1], 'x', 'NX', 'PX', 100)",
        "return redis.pcall('incr', KEYS[2]).err",
        "local e = redis.pcall('nocommand') if type(e) == 'table' and e.err then return redis.error_reply(e.err) end",
        "return redis.status_reply('FINE')",
        "return {redis.call('hgetall', KEYS[2]), {1, {2, nil, 3}}, redis.call('ping')}",
        "do local x = 1 end local x, y = 2 return {x, y == nil}",
        "",
        "return",
        "return tostring(nil) .. tostring(true) .. 10",
    ] {
        both.agree(script);
    }
}

#[test]
fn what_is_not_understood_is_left_to_the_machine() {
    let table = Commands::new(&kvarts::commands::groups());
    for script in [
        "for i = 1, 2 do end",
        "while true do end",
        "local function f() end",
        "local t = {} t.x = 1",
        "local t = {a = 1}",
        "return x",
        "x = 1",
        "return KEYS",
        "return unpack(ARGV)",
        "return cjson.encode({})",
        "return ('x'):rep(3)",
        "return redis",
        "return redis.call",
        "redis.setresp(3)",
        "local redis = 1 return redis.call('get', KEYS[1])",
        "return 1, 2",
        "return 1 return 2",
        "return [[x]]",
        "return 'a\\065'",
        "local x\r\nreturn x",
        "redis.call\n('get', KEYS[1])",
        "redis.call('get', KEYS[1])\n('x')",
        "redis.call 'ping'",
        "redis.call()",
        "return 1 = = 1",
        "return 1 . . 2",
        "if 1 then",
        "return (",
        "local if = 1",
        "return 0x10",
        "return 1e0",
        "goto x",
        ";",
        "return 1;;",
        "local a a, a = 1, 2",
        "return #KEYS ^ 2",
        "return ((KEYS[1] or ARGV[1]) .. 'x')",
        "KEYS[1] = 'x'",
        "return tonumber('10', 2)",
    ] {
        assert!(!is_straight(script, &table), "{script}");
    }
    let nested = |depth: usize| format!("return {}1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(is_straight(&nested(40), &table));
    assert!(!is_straight(&nested(400), &table));
    assert!(!is_straight(&format!("return '{}'", "x".repeat(20_000)), &table));
}

#[test]
fn errors_are_the_machines() {
    let server = TestServer::with_clock(&[], kvarts::shared::clock::Clock::manual(1_000_000));
    let mut both = Both::new(&server);
    for script in [
        "redis.call('incr', KEYS[4])\nreturn redis.call('incr', KEYS[2])",
        "return redis.call('nocommand', KEYS[1])",
        "return redis.call('get')",
        "return redis.call('get', nil)",
        "return redis.call('set', KEYS[1], {1})",
        "return redis.call('object', 'nothing', KEYS[1])",
        "return redis.call('subscribe', 'x')",
        "return 1 + nil",
        "local x\nreturn x + 1",
        "local x = redis.call('get', KEYS[4]) return x .. 'a'",
        "return redis.call('get', KEYS[4]) .. 'a'",
        "return KEYS[9] .. 'a'",
        "return 'a' .. KEYS[9] .. nil",
        "return nil .. KEYS[9] .. 'a'",
        "return -KEYS[9]",
        "return #nil",
        "local x = 1 return #x",
        "local x = 1 return x[1]",
        "return redis.call('get', KEYS[4])[1]",
        "return redis.call('ping').ok[1][1]",
        "return redis.call('lrange', KEYS[3], 0, -1)[7].ok",
        "return 1 < '2'",
        "return nil > 1",
        "return {} <= {}",
        "return true < false",
        "return ARGV[2] * 2",
        "return math.floor('x')",
        "return math.max(1, ARGV[9])",
        "return (redis.call('get', KEYS[4]) or 'x') + 1",
        "return (KEYS[1] or 1) + 1",
    ] {
        let reply = both.agree(script);
        assert_eq!(reply[0], b'-', "{script}: {}", show(&reply));
    }
}

#[test]
fn memory_is_bounded() {
    let server = TestServer::start();
    let mut both = Both::new(&server);
    let doubled = "local s = ARGV[2] ".to_owned() + &"s = s .. s ".repeat(40) + "return #s";
    assert!(is_straight(&doubled, &both.table));
    assert!(show(&both.run(&doubled)).starts_with("-ERR not enough memory"));
}

/// Makes random scripts of what is understood.
struct Writer {
    random: fastrand::Rng,
    locals: Vec<String>,
}

impl Writer {
    fn one_of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.random.usize(..texts.len())]
    }

    fn command(&mut self, depth: usize) -> String {
        let call = self.one_of(&["call", "call", "call", "pcall"]);
        let value = self.expr(depth);
        let command = self.one_of(&[
            "'get', KEYS[1]",
            "'incrby', KEYS[1], #",
            "'hget', KEYS[2], #",
            "'hgetall', KEYS[2]",
            "'hincrby', KEYS[2], 'f', #",
            "'lrange', KEYS[3], 0, #",
            "'rpush', KEYS[3], #",
            "'set', KEYS[4], #",
            "'SET', KEYS[5], 1, 'PX', #",
            "'pexpire', KEYS[1], #",
            "'exists', KEYS[4], KEYS[5]",
            "'type', KEYS[2]",
            "'get', KEYS[2]",
            "'del', KEYS[1]",
        ]);
        format!("redis.{call}({})", command.replace('#', &value))
    }

    fn expr(&mut self, depth: usize) -> String {
        if depth == 0 || self.random.u8(..4) == 0 {
            if !self.locals.is_empty() && self.random.bool() {
                return self.locals[self.random.usize(..self.locals.len())].clone();
            }
            let leaf = [
                "1",
                "2",
                "3.5",
                "10",
                "100000000000000000000",
                "'a'",
                "'10'",
                "\"\"",
                "' 7 '",
                "'0x1F'",
                "nil",
                "true",
                "false",
                "KEYS[1]",
                "KEYS[2]",
                "KEYS[9]",
                "ARGV[1]",
                "ARGV[2]",
                "ARGV[3]",
                "ARGV[4]",
                "(#KEYS)",
                "(#ARGV)",
                "ARGV['1']",
            ];
            return self.one_of(&leaf).to_owned();
        }
        let (a, b) = (self.expr(depth - 1), self.expr(depth - 1));
        match self.random.u8(..20) {
            0..4 => {
                let operator = self.one_of(&["+", "-", "*", "/", "%", "^", "..", "..", ".."]);
                format!("({a} {operator} {b})")
            }
            4..8 => {
                let operator = self.one_of(&["==", "~=", "<", "<=", ">", ">="]);
                format!("({a} {operator} {b})")
            }
            8..10 => format!("not {a}"),
            10 => format!("- ({a})"),
            11 => format!("#({a})"),
            // Where Lua's name for a value depends on its registers, it is no operand.
            12 => {
                let (or, operator) = (self.one_of(&["and", "or"]), self.one_of(&["+", "..", "*"]));
                let literal = self.one_of(&["1", "'a'", "'7'"]);
                format!("(({a} {or} {literal}) {operator} {b})")
            }
            13 => format!("tonumber({a} {} {b})", self.one_of(&["and", "or"])),
            14 => {
                format!("{}({a})", self.one_of(&["tonumber", "tostring", "type", "math.floor", "math.abs"]))
            }
            15 => format!("math.{}({a}, {b})", self.one_of(&["max", "min"])),
            16 => format!("({a}){}", self.one_of(&["[1]", "[2]", ".ok", ".err"])),
            17 => format!("ARGV[{a}]"),
            _ => self.command(depth - 1),
        }
    }

    fn block(&mut self, depth: usize) -> String {
        let visible = self.locals.len();
        let mut block = String::new();
        for _ in 0..self.random.usize(1..4) {
            let value = self.expr(2);
            block += &match self.random.u8(..8) {
                0..3 => {
                    let name = format!("v{}", self.random.u8(..4));
                    self.locals.push(name.clone());
                    format!("local {name} = {value}")
                }
                3 if !self.locals.is_empty() => {
                    let name = self.locals[self.random.usize(..self.locals.len())].clone();
                    format!("{name} = {value}")
                }
                4..6 if depth > 0 => {
                    let (then, other) = (self.block(depth - 1), self.block(depth - 1));
                    match self.random.bool() {
                        true => format!("if {value} then\n{then}else\n{other}end"),
                        false => format!("if {value} then\n{then}end"),
                    }
                }
                _ => self.command(1),
            };
            block += self.one_of(&["\n", ";\n"]);
        }
        if self.random.u8(..4) == 0 {
            let value = match self.random.bool() {
                true => self.expr(2),
                false => format!("{{{}, {}, {}}}", self.expr(2), self.expr(1), self.expr(1)),
            };
            block += &format!("return {value}\n");
        }
        self.locals.truncate(visible);
        block
    }
}

#[test]
fn generated_scripts_answer_as_in_the_machine() {
    const ROUNDS: usize = 1500;
    let server = TestServer::with_clock(&[], kvarts::shared::clock::Clock::manual(1_000_000));
    let mut both = Both::new(&server);
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut writer = Writer { random: fastrand::Rng::with_seed(seed), locals: Vec::new() };
    let (mut failed, mut done) = (0, 0);
    for _ in 0..ROUNDS {
        writer.locals.clear();
        let script = writer.block(2);
        match both.agree(&script)[0] {
            b'-' => failed += 1,
            _ => done += 1,
        }
    }
    assert!(failed > ROUNDS / 20 && done > ROUNDS / 20, "{failed} failed, {done} did not");
}
