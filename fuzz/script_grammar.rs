//! Scripts made of bytes: Lua that mostly compiles, and asks the libraries for too much.
//!
//! The same bytes make the same script. Both the fuzz target and a bounded test of the integration tests use
//! it.

/// Makes a script of bytes.
pub fn script(bytes: &[u8]) -> String {
    let mut maker = Maker { bytes: bytes.iter(), out: String::new(), left: 60 };
    maker.block(0);
    maker.out.push_str(" return ");
    maker.expression(0);
    maker.out
}

struct Maker<'b> {
    bytes: std::slice::Iter<'b, u8>,
    out: String,
    /// Statements and expressions that may be made yet.
    left: usize,
}

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "7",
    "40",
    "300",
    "8000",
    "65536",
    "-2147483648",
    "2147483647",
    "2^31",
    "2^53",
    "0/0",
    "1/0",
    "1.5",
];

const TEXTS: &[&str] = &[
    "''",
    "'a'",
    "'aaaaaaaa'",
    "'a-a-a-a-b'",
    "'(.-)%1'",
    "'%f[%w]%w+'",
    "'[^%s]*'",
    "'%b()'",
    "'a?a?a?a?'",
    "'('",
    "'%'",
    "'['",
    "'%5.2f|%s|%q'",
    "'%99.99f'",
    "'<i4>I8!8d'",
    "'c0s'",
    "'[1,2,{\"a\":null}]'",
    "'\\0'",
    "'\\147\\1\\2\\3'",
    "'k'",
    "'get'",
    "string.rep('a', 5000)",
    "string.rep('a?', 200)",
    "string.rep('(', 40)",
];

const FUNCTIONS: &[&str] = &[
    "string.find",
    "string.match",
    "string.gmatch",
    "string.gsub",
    "string.rep",
    "string.format",
    "string.byte",
    "string.char",
    "string.lower",
    "string.upper",
    "string.reverse",
    "string.sub",
    "string.len",
    "table.concat",
    "table.insert",
    "table.remove",
    "table.sort",
    "table.maxn",
    "table.getn",
    "table.foreach",
    "table.foreachi",
    "unpack",
    "select",
    "tostring",
    "tonumber",
    "type",
    "next",
    "rawget",
    "rawset",
    "rawequal",
    "setmetatable",
    "getmetatable",
    "pcall",
    "xpcall",
    "error",
    "assert",
    "loadstring",
    "load",
    "coroutine.wrap",
    "coroutine.create",
    "coroutine.resume",
    "coroutine.status",
    "coroutine.yield",
    "collectgarbage",
    "cjson.encode",
    "cjson.decode",
    "cmsgpack.pack",
    "cmsgpack.unpack",
    "cmsgpack.unpack_limit",
    "struct.pack",
    "struct.unpack",
    "struct.size",
    "bit.tohex",
    "bit.lshift",
    "redis.call",
    "redis.pcall",
    "redis.sha1hex",
    "redis.error_reply",
    "redis.status_reply",
    "redis.setresp",
    "redis.set_repl",
    "math.random",
    "math.floor",
    "os.clock",
    "ipairs",
    "pairs",
    "gcinfo",
];

impl Maker<'_> {
    /// A number below `limit`; 0 where the bytes have come to an end.
    fn pick(&mut self, limit: usize) -> usize {
        usize::from(self.bytes.next().copied().unwrap_or(0)) % limit
    }

    fn one_of(&mut self, words: &[&str]) {
        let word = words[self.pick(words.len())];
        self.out.push_str(word);
    }

    fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn may_go_on(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        self.left > 0 && self.bytes.len() > 0
    }

    fn block(&mut self, depth: usize) {
        while self.may_go_on() {
            self.statement(depth);
            self.push(" ");
            if depth > 0 && self.pick(3) == 0 {
                break;
            }
        }
    }

    fn statement(&mut self, depth: usize) {
        let kinds = if depth < 4 { 9 } else { 3 };
        match self.pick(kinds) {
            0 => {
                self.push("local a = ");
                self.expression(depth);
            }
            1 => self.call(depth),
            2 => {
                self.push("local t = ");
                self.table(depth);
            }
            3 => {
                self.push("for i = 1, ");
                self.one_of(NUMBERS);
                self.body(depth, " do ");
            }
            4 => self.body(depth, "while true do "),
            5 => {
                self.push("if ");
                self.expression(depth);
                self.body(depth, " then ");
            }
            6 => self.body(depth, "local function f(...) "),
            7 => {
                self.push("for k, v in pairs(");
                self.table(depth);
                self.body(depth, ") do ");
            }
            _ => {
                self.push("local ok, e = pcall(");
                self.function(depth);
                self.push(")");
            }
        }
    }

    fn body(&mut self, depth: usize, head: &str) {
        self.push(head);
        self.block(depth + 1);
        self.push(" end");
    }

    fn function(&mut self, depth: usize) {
        match self.pick(3) {
            0 => self.one_of(FUNCTIONS),
            _ => self.body(depth, "function(...) "),
        }
    }

    fn call(&mut self, depth: usize) {
        self.one_of(FUNCTIONS);
        self.push("(");
        for argument in 0..self.pick(5) {
            if argument > 0 {
                self.push(", ");
            }
            self.expression(depth + 1);
        }
        self.push(")");
    }

    fn table(&mut self, depth: usize) {
        match self.pick(4) {
            0 => self.push("{}"),
            1 => self.push("{3, 1, 2, 'x'}"),
            2 => {
                self.push("{");
                self.expression(depth + 1);
                self.push(", k = ");
                self.expression(depth + 1);
                self.push("}");
            }
            _ => {
                self.push("setmetatable({}, { __index = ");
                self.function(depth + 1);
                self.push(" })");
            }
        }
    }

    fn expression(&mut self, depth: usize) {
        if depth > 6 || !self.may_go_on() {
            return self.one_of(NUMBERS);
        }
        match self.pick(9) {
            0 => self.one_of(NUMBERS),
            1 | 2 => self.one_of(TEXTS),
            3 => {
                self.one_of(&["KEYS[1]", "ARGV[1]", "KEYS", "nil", "true", "false", "_G", "string", "redis"])
            }
            4 => self.table(depth),
            5 => self.function(depth + 1),
            6 => {
                self.push("tostring(");
                self.expression(depth + 1);
                self.push(") .. ");
                self.one_of(TEXTS);
            }
            _ => self.call(depth),
        }
    }
}
